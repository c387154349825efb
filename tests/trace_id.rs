//! `traceId` and `instance` of a problem: what of a request may be repeated, and what is replaced.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use http::{HeaderValue, Request, Uri};
use support::{Answer, TRACE_ID, TRACEPARENT, Text, good_token, request, request_to, send};
use tower_bearer::{AuthError, BearerAuthLayer, ProblemJson};

async fn refuse_with(problems: ProblemJson, request: Request<Text>) -> Answer {
    let layer = BearerAuthLayer::new(good_token()).reject(problems);
    let (answer, seen) = send(&layer, request).await;
    assert!(seen.is_none());
    assert_eq!(answer.status, 401);
    answer
}

async fn trace_id(headers: &[(&str, &str)]) -> String {
    refuse_with(ProblemJson::new(), request(headers))
        .await
        .member("traceId")
}

/// 32 lower hexadecimal digits, not all of them zeros.
#[track_caller]
fn assert_fresh(id: &str, of: &str) {
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(id.len() == 32 && id.bytes().all(lower_hex), "{id} for {of}");
    assert!(id.bytes().any(|byte| byte != b'0'), "{of}");
    assert_ne!(id, TRACE_ID, "{of}");
}

#[tokio::test]
async fn valid_traceparents() {
    let rest = &TRACEPARENT[2..];
    for traceparent in [
        TRACEPARENT.to_owned(),
        TRACEPARENT.replace("-01", "-00"),
        TRACEPARENT.replace("-01", "-ff"),
        // Later versions are read by their first 55 characters.
        format!("01{rest}"),
        format!("01{rest}-"),
        format!("01{rest}-what-the-future-brings"),
        format!("cc{rest}-\u{1f600}"),
        format!("fe{rest}"),
    ] {
        assert_eq!(
            trace_id(&[("traceparent", &traceparent)]).await,
            TRACE_ID,
            "{traceparent}"
        );
    }
}

/// attacks.md 22, W3C Trace Context §3.2: never echoed.
#[tokio::test]
async fn invalid_traceparents() {
    let rest = &TRACEPARENT[2..];
    let zero_trace = TRACEPARENT.replace(TRACE_ID, &"0".repeat(32));
    let zero_parent = TRACEPARENT.replace("00f067aa0ba902b7", &"0".repeat(16));
    for traceparent in [
        String::new(),
        "00".to_owned(),
        TRACE_ID.to_owned(),
        TRACEPARENT[..54].to_owned(),
        // Version 00 has exactly 55 characters.
        format!("{TRACEPARENT}-"),
        format!("{TRACEPARENT}-01"),
        format!("{TRACEPARENT}0"),
        // Later versions are longer only behind a `-`.
        format!("01{rest}0"),
        format!("01{rest}.more"),
        format!("01{rest} "),
        format!("ff{rest}"),
        format!("ff{rest}-more"),
        format!("0g{rest}"),
        format!("0A{rest}"),
        format!("FE{rest}"),
        zero_trace,
        zero_parent,
        TRACEPARENT.to_uppercase(),
        TRACEPARENT.replace("4bf9", "4Bf9"),
        TRACEPARENT.replace("aa0b", "AA0b"),
        TRACEPARENT.replace("-01", "-0A"),
        TRACEPARENT.replace("-01", "-0g"),
        TRACEPARENT.replace('-', "_"),
        TRACEPARENT.replace("4bf92f3577", "4bf92f357-"),
        TRACEPARENT.replace("4bf9", "4b\"9"),
        TRACEPARENT.replace("4bf9", "4b\\9"),
        TRACEPARENT.replace("4bf9", "4b\t9"),
        TRACEPARENT.replace("4bf9", "4b\u{e9}"),
        // The 55th byte is within a character.
        format!("{}\u{e9}", &TRACEPARENT[..54]),
        format!(" {TRACEPARENT}"),
        format!("{TRACEPARENT}, {TRACEPARENT}"),
        format!("01{rest}-{}", "x".repeat(10_240)).replace("4b", "4\""),
        "x".repeat(10_240),
    ] {
        let headers = [("traceparent", &*traceparent)];
        assert_fresh(&trace_id(&headers).await, &traceparent);
        // The next in line is asked.
        let headers = [
            ("traceparent", &*traceparent),
            ("x-request-id", "request-1"),
        ];
        assert_eq!(trace_id(&headers).await, "request-1", "{traceparent}");
    }
    let twice = [("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT)];
    assert_fresh(&trace_id(&twice).await, "two headers");
}

#[tokio::test]
async fn request_ids() {
    let longest = "x".repeat(128);
    for id in ["a", "abc-123-def", "A.b_c:d/e+f=g-9", &longest] {
        assert_eq!(trace_id(&[("x-request-id", id)]).await, id);
        // A valid traceparent goes first, wherever it stands.
        let both = [("x-request-id", id), ("traceparent", TRACEPARENT)];
        assert_eq!(trace_id(&both).await, TRACE_ID);
    }
    let too_long = "x".repeat(129);
    let huge = "x".repeat(10_240);
    for id in [
        "", " ", "a b", "a\tb", "a\"b", "a\\b", "a<b", "a,b", "a%0d%0ab", "a{b", "a'b", "a;b",
        "a?b", "a#b", "a&b", "a@b", "a~b", "a!b", "a\u{e9}", &too_long, &huge,
    ] {
        assert_fresh(&trace_id(&[("x-request-id", id)]).await, id);
    }
}

/// Of all bytes that a header can hold, `[A-Za-z0-9._:/+=-]` are repeated.
#[tokio::test]
async fn every_byte_of_a_request_id() {
    for byte in (0..=u8::MAX).filter(|byte| HeaderValue::from_bytes(&[*byte]).is_ok()) {
        let mut request = request(&[]);
        let value = HeaderValue::from_bytes(&[b'a', byte, b'b']).unwrap();
        request.headers_mut().insert("x-request-id", value);
        let id = refuse_with(ProblemJson::new(), request)
            .await
            .member("traceId");
        if byte.is_ascii_alphanumeric() || b"._:/+=-".contains(&byte) {
            assert_eq!(id.as_bytes(), [b'a', byte, b'b']);
        } else {
            assert_fresh(&id, &format!("{byte:#x}"));
        }
    }
}

#[tokio::test]
async fn the_name_of_the_request_id_header() {
    let problems = || {
        ProblemJson::new()
            .request_id_header("X-Correlation-Id")
            .unwrap()
    };
    let headers = [("x-correlation-id", "c-1"), ("x-request-id", "r-1")];
    let answer = refuse_with(problems(), request(&headers)).await;
    assert_eq!(answer.member("traceId"), "c-1");
    let answer = refuse_with(problems(), request(&headers[1..])).await;
    assert_fresh(&answer.member("traceId"), "the default header");
}

#[tokio::test]
async fn fresh_ids_differ() {
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        let id = trace_id(&[]).await;
        assert_fresh(&id, "no header");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 100);
}

#[tokio::test]
async fn a_function_for_the_trace_id() {
    let problems = || {
        ProblemJson::new().trace_id(|parts| match parts.uri.path() {
            "/none" => None,
            path => Some(format!("span \"{path}\"\r\n")),
        })
    };
    let headers = [("traceparent", TRACEPARENT)];
    let answer = refuse_with(problems(), request_to("/a", &headers)).await;
    assert_eq!(answer.member("traceId"), "span \"/a\"\r\n");
    // `None` asks the headers, and then makes one.
    let answer = refuse_with(problems(), request_to("/none", &headers)).await;
    assert_eq!(answer.member("traceId"), TRACE_ID);
    let answer = refuse_with(problems(), request_to("/none", &[])).await;
    assert_fresh(&answer.member("traceId"), "None");
}

/// attacks.md 21: the path as it came, with what a URI may not hold percent-encoded; never its query.
#[tokio::test]
async fn instances() {
    for (target, instance) in [
        (&b"/api/v2/elements"[..], "/api/v2/elements"),
        (b"/api/v2/elements?access_token=secret", "/api/v2/elements"),
        (b"/?a", "/"),
        (b"/", "/"),
        (b"http://example.com/a?b", "/a"),
        (b"http://example.com", "/"),
        (b"/a-._~!$&'()*+,;=:@b", "/a-._~!$&'()*+,;=:@b"),
        // Escapes stay as they are, line breaks among them.
        (b"/a%20b%2Fc%2f", "/a%20b%2Fc%2f"),
        (b"/%0d%0aSet-Cookie:%20a=b", "/%0d%0aSet-Cookie:%20a=b"),
        (b"/%ff%FE", "/%ff%FE"),
        // Broken escapes are escaped.
        (b"/100%", "/100%25"),
        (b"/%zz", "/%25zz"),
        (b"/%2", "/%252"),
        (b"/%%20", "/%25%20"),
        (b"/%2%20", "/%252%20"),
        // What http lets pass though no URI may hold it.
        (b"/a\"b", "/a%22b"),
        (b"/a\\b", "/a%5Cb"),
        (b"/{a|b}^", "/%7Ba%7Cb%7D%5E"),
        (b"/[a]", "/%5Ba%5D"),
        ("/caf\u{e9}".as_bytes(), "/caf%C3%A9"),
        (b"*", "*"),
    ] {
        let of = String::from_utf8_lossy(target);
        let mut request = request(&[]);
        *request.uri_mut() = Uri::try_from(target).unwrap_or_else(|error| panic!("{of}: {error}"));
        let answer = refuse_with(ProblemJson::new(), request).await;
        assert_eq!(answer.member("instance"), instance, "{of}");
        assert!(!answer.body.contains("secret"));
    }
    // Nothing else gets as far as the layer.
    for target in [
        &b"/a\r\nb"[..],
        b"/a b",
        b"/\xff",
        b"/a\xc3",
        b"/a\0",
        b"/a\x7f",
    ] {
        if let Ok(uri) = Uri::try_from(target) {
            let mut request = request(&[]);
            *request.uri_mut() = uri;
            let instance = refuse_with(ProblemJson::new(), request)
                .await
                .member("instance");
            assert!(
                instance.bytes().all(|byte| byte.is_ascii_graphic()),
                "{instance}"
            );
        }
    }
}

#[tokio::test]
async fn a_function_for_the_instance() {
    let problems = || {
        ProblemJson::new().instance(|parts| match parts.uri.path() {
            "/none" => None,
            path => Some(format!("urn:example:{}", &path[1..])),
        })
    };
    let answer = refuse_with(problems(), request_to("/a", &[("x-request-id", "r")])).await;
    assert_eq!(
        answer.body,
        "{\"type\":\"about:blank\",\"title\":\"Unauthorized\",\"status\":401,\
         \"detail\":\"Invalid or expired authentication token\",\"instance\":\"urn:example:a\",\
         \"traceId\":\"r\"}"
    );
    let answer = refuse_with(problems(), request_to("/none?x", &[])).await;
    assert_eq!(answer.member("instance"), "/none");
}

/// A problem of one's own begins with what a refusal would have.
#[tokio::test]
async fn a_problem_in_the_same_voice() {
    let problems = ProblemJson::new().type_base(support::BASE).unwrap();
    let (parts, _) = request_to("/a%\"?q", &[("traceparent", TRACEPARENT)]).into_parts();
    let own = problems
        .problem(http::StatusCode::CONFLICT, "taken", &parts)
        .detail("No");
    assert_eq!(
        own.to_string(),
        format!(
            "{{\"type\":\"{}taken\",\"title\":\"Conflict\",\"status\":409,\"detail\":\"No\",\
             \"instance\":\"/a%25%22\",\"traceId\":\"{TRACE_ID}\"}}",
            support::BASE
        )
    );
}

/// The error's own `detail` takes the same way as the documents that are built beforehand.
#[tokio::test]
async fn an_error_with_a_detail_of_its_own() {
    let error = AuthError::invalid_request("test", "Say \"please\"\u{7}");
    let layer = BearerAuthLayer::new(support::refusing(error));
    let headers = [
        ("authorization", "Bearer abc"),
        ("traceparent", TRACEPARENT),
    ];
    let (answer, _) = send(&layer, request_to("/a\"?q", &headers)).await;
    assert_eq!(
        answer.body,
        format!(
            "{{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\
             \"detail\":\"Say \\\"please\\\"\\u0007\",\"instance\":\"/a%22\",\
             \"traceId\":\"{TRACE_ID}\"}}"
        )
    );
}

/// axum's nested routers take their prefix off the URI; `OriginalUri` has the whole.
#[cfg(feature = "axum")]
#[tokio::test]
async fn the_instance_inside_of_a_nested_router() {
    use axum::{Router, body::Body, extract::OriginalUri, routing::get};
    use tower::ServiceExt;

    let original = ProblemJson::new().instance(|parts| {
        let OriginalUri(uri) = parts.extensions.get()?;
        Some(uri.path().to_owned())
    });
    for (problems, target, instance) in [
        (ProblemJson::new(), "/api/v2/elements?q", "/elements"),
        (original.clone(), "/api/v2/elements?q", "/api/v2/elements"),
        (
            original.clone(),
            "/api/v2/elements%0d%0a",
            "/api/v2/elements%0d%0a",
        ),
        // What no URI may hold is encoded here too.
        (original.clone(), "/api/v2/\"\\{", "/api/v2/%22%5C%7B"),
        (original, "/api/v2/caf\u{e9}%", "/api/v2/caf%C3%A9%25"),
    ] {
        let auth = BearerAuthLayer::new(good_token()).reject(problems);
        let routes = Router::new()
            .route("/{*rest}", get(|| async {}))
            .layer(auth);
        let app = Router::new().nest("/api/v2", routes);
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::try_from(target.as_bytes()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.member("instance"), instance, "{target}");
    }
}
