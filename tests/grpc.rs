//! Refusals in gRPC: when a request is one, and what the answer of headers alone says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use http::{Method, Request, Version};
use support::{Answer, INVALID, MISSING, Text, good_token, refusing, send};
use tower_bearer::{
    AuthError, AuthErrorKind, BearerAuthLayer, ProblemJson, grpc_response, is_grpc, reason,
};

fn call(content_type: Option<&str>) -> Request<Text> {
    let mut builder = Request::post("/elements.Elements/List").version(Version::HTTP_2);
    if let Some(content_type) = content_type {
        builder = builder.header("content-type", content_type);
    }
    builder
        .header("authorization", "Bearer abc")
        .body(Text::default())
        .unwrap()
}

async fn refuse(error: AuthError, content_type: &str) -> Answer {
    let layer = BearerAuthLayer::new(refusing(error));
    let (answer, seen) = send(&layer, call(Some(content_type))).await;
    assert!(seen.is_none());
    answer
}

/// POST, HTTP/2 and the content type, all three: else a plain client could turn its 401 into a 200.
#[tokio::test]
async fn what_is_grpc() {
    let grpc = Some("application/grpc");
    for (method, version, content_type, expected) in [
        (Method::POST, Version::HTTP_2, grpc, true),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grpc+proto"),
            true,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grpc+json"),
            true,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("Application/GRPC+Proto"),
            true,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grpc;charset=utf-8"),
            true,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grpc+proto ; v=1"),
            true,
        ),
        (Method::POST, Version::HTTP_2, None, false),
        (Method::POST, Version::HTTP_2, Some(""), false),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/json"),
            false,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grpc-web"),
            false,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grpc-web+proto"),
            false,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grpc-web-text"),
            false,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grpcx"),
            false,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("application/grp"),
            false,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("x/application/grpc"),
            false,
        ),
        (
            Method::POST,
            Version::HTTP_2,
            Some("text/plain; application/grpc"),
            false,
        ),
        (Method::POST, Version::HTTP_11, grpc, false),
        (Method::POST, Version::HTTP_10, grpc, false),
        (Method::GET, Version::HTTP_2, grpc, false),
        (Method::HEAD, Version::HTTP_2, grpc, false),
        (Method::PUT, Version::HTTP_2, grpc, false),
        (Method::OPTIONS, Version::HTTP_2, grpc, false),
    ] {
        let mut request = call(content_type);
        *request.method_mut() = method.clone();
        *request.version_mut() = version;
        let of = format!("{method} {version:?} {content_type:?}");
        let (parts, body) = request.into_parts();
        assert_eq!(is_grpc(&parts), expected, "{of}");

        let layer = BearerAuthLayer::new(good_token());
        let (answer, _) = send(&layer, Request::from_parts(parts, body)).await;
        if expected {
            assert_eq!(answer.status, 200, "{of}");
            assert_eq!(answer.header("grpc-status"), Some("16"), "{of}");
        } else {
            assert_eq!(answer.status, 401, "{of}");
            assert_eq!(answer.header("grpc-status"), None, "{of}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{of}"
            );
        }
    }
}

/// Only where it is asked for: a refusal that looks like a 200 gets by a proxy that looks at the status.
#[tokio::test]
async fn grpc_web_is_answered_in_grpc_by_opt_in() {
    let by_default = BearerAuthLayer::new(good_token());
    let by_opt_in = by_default.clone().reject(ProblemJson::new().grpc_web());
    for (content_type, is_web) in [
        ("application/grpc-web", true),
        ("application/grpc-web+proto", true),
        ("application/grpc-web-text", true),
        ("Application/gRPC-Web-Text+Proto; charset=utf-8", true),
        ("application/grpc-webx", false),
        ("application/grpc-web-textual", false),
        ("application/json", false),
    ] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let call = || {
                let mut call = call(Some(content_type));
                *call.version_mut() = version;
                call
            };
            assert_eq!(send(&by_default, call()).await.0.status, 401);
            let (answer, seen) = send(&by_opt_in, call()).await;
            assert!(seen.is_none());
            assert_eq!(
                answer.status,
                if is_web { 200 } else { 401 },
                "{content_type}"
            );
            assert_eq!(answer.header("grpc-status"), is_web.then_some("16"));
            if is_web {
                assert_eq!(answer.header("content-type"), Some(content_type));
                assert_eq!(answer.challenge(), INVALID);
                assert_eq!(answer.body, "");
            }
        }
        let mut get = call(Some(content_type));
        *get.method_mut() = Method::GET;
        assert_eq!(send(&by_opt_in, get).await.0.status, 401);
    }
}

/// Inside of tonic's `GrpcWebLayer` a request of gRPC-Web has the content type of gRPC, over HTTP/1.1 too.
#[tokio::test]
async fn by_opt_in_grpc_is_answered_in_grpc_over_every_version_and_never_if_it_is_switched_off() {
    let default = ProblemJson::new();
    let web = ProblemJson::new().grpc_web();
    let off = ProblemJson::new().without_grpc();
    for version in [
        Version::HTTP_10,
        Version::HTTP_11,
        Version::HTTP_2,
        Version::HTTP_3,
    ] {
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let is_native = version == Version::HTTP_2;
            for (problems, expected) in [(&default, is_native), (&web, true), (&off, false)] {
                let layer = BearerAuthLayer::new(good_token()).reject(problems.clone());
                let mut call = call(Some(content_type));
                *call.version_mut() = version;
                let (answer, _) = send(&layer, call).await;
                let of = format!("{version:?} {content_type} {problems:?}");
                assert_eq!(answer.status, if expected { 200 } else { 401 }, "{of}");
                assert_eq!(
                    answer.header("grpc-status"),
                    expected.then_some("16"),
                    "{of}"
                );
            }
        }
    }
}

#[tokio::test]
async fn every_kind() {
    let invalid = "Invalid or expired authentication token";
    for (error, status, message, challenge) in [
        (AuthError::missing_token(), "16", invalid, Some(MISSING)),
        (AuthError::invalid_token("x"), "16", invalid, Some(INVALID)),
        (
            AuthError::revoked_token(),
            "16",
            "Authentication token has been revoked",
            Some(
                "Bearer realm=\"api\", error=\"invalid_token\", \
                 error_description=\"Authentication token has been revoked\"",
            ),
        ),
        (
            AuthError::insufficient_user_authentication(),
            "16",
            "A different authentication level is required",
            Some(
                "Bearer realm=\"api\", error=\"insufficient_user_authentication\", \
                 error_description=\"A different authentication level is required\"",
            ),
        ),
        (
            AuthError::insufficient_scope("write"),
            "7",
            "Access denied",
            Some(
                "Bearer realm=\"api\", error=\"insufficient_scope\", \
                 error_description=\"Access denied\", scope=\"write\"",
            ),
        ),
        (
            AuthError::access_denied("x"),
            "7",
            "Access denied",
            Some(
                "Bearer realm=\"api\", error=\"insufficient_scope\", \
                 error_description=\"Access denied\"",
            ),
        ),
        // A plain 400 reaches gRPC clients as INTERNAL.
        (
            AuthError::invalid_request("x", "Two of them"),
            "16",
            "Two of them",
            Some(
                "Bearer realm=\"api\", error=\"invalid_request\", \
                 error_description=\"Two of them\"",
            ),
        ),
        (
            AuthError::unavailable("x"),
            "14",
            "The authentication service is temporarily unavailable, please try again",
            None,
        ),
    ] {
        let kind = error.kind();
        let answer = refuse(error, "application/grpc+proto").await;
        assert_eq!(answer.status, 200, "{kind:?}");
        let mut expected = vec![
            ("content-type", "application/grpc+proto"),
            ("grpc-status", status),
            ("grpc-message", message),
            ("cache-control", "no-store"),
        ];
        expected.extend(challenge.map(|challenge| ("www-authenticate", challenge)));
        expected.extend((kind == AuthErrorKind::Unavailable).then_some(("retry-after", "5")));
        for (name, value) in &expected {
            assert_eq!(answer.header(name), Some(*value), "{kind:?}");
        }
        assert_eq!(
            answer.headers.len(),
            expected.len(),
            "{kind:?} {:?}",
            answer.headers
        );
        assert_eq!(answer.body, "", "{kind:?}");
        assert_eq!(answer.error.unwrap().kind(), kind);
    }
}

/// The content type of the answer is that of the request.
#[tokio::test]
async fn the_content_type_is_echoed() {
    for content_type in [
        "application/grpc",
        "application/grpc+json",
        "Application/gRPC; a=b",
    ] {
        let answer = refuse(AuthError::missing_token(), content_type).await;
        assert_eq!(answer.header("content-type"), Some(content_type));
    }
}

/// gRPC over HTTP/2: all but `%x20-24` and `%x26-7E` of the UTF-8 is percent-encoded.
#[tokio::test]
async fn the_message_is_percent_encoded() {
    for (detail, message) in [
        ("a \"b\" \\ ~!$&", "a \"b\" \\ ~!$&"),
        ("100%", "100%25"),
        ("%41", "%2541"),
        ("a\r\nb\tc\0\u{7f}", "a%0D%0Ab%09c%00%7F"),
        ("caf\u{e9} \u{1f600}", "caf%C3%A9 %F0%9F%98%80"),
        ("", ""),
    ] {
        let answer = refuse(AuthError::invalid_request("x", detail), "application/grpc").await;
        assert_eq!(answer.header("grpc-message"), Some(message), "{detail:?}");
    }
}

/// The decision of the layer itself is said in gRPC too.
#[tokio::test]
async fn refusals_of_the_layer() {
    for (lines, message, challenge) in [
        (
            &[][..],
            "Invalid or expired authentication token",
            MISSING.to_owned(),
        ),
        (
            &["Bearer"],
            "Invalid or expired authentication token",
            INVALID.to_owned(),
        ),
        (
            &["Bearer good", "Bearer good"],
            "More than one Authorization header",
            format!(
                "{MISSING}, error=\"invalid_request\", \
                 error_description=\"More than one Authorization header\""
            ),
        ),
    ] {
        let mut request = call(Some("application/grpc"));
        request.headers_mut().remove("authorization");
        for line in lines {
            request
                .headers_mut()
                .append("authorization", line.parse().unwrap());
        }
        let (answer, seen) = send(&BearerAuthLayer::new(good_token()), request).await;
        assert!(seen.is_none());
        assert_eq!(
            (answer.status.as_u16(), answer.header("grpc-status")),
            (200, Some("16"))
        );
        assert_eq!(answer.header("grpc-message"), Some(message));
        assert_eq!(answer.challenge(), challenge);
    }
}

/// What a `Reject` of one's own can build on.
#[tokio::test]
async fn a_reject_of_ones_own() {
    let error = AuthError::invalid_token(reason::TOKEN_EXPIRED);
    let layer = BearerAuthLayer::new(refusing(error)).reject_fn(|error, parts| {
        assert!(is_grpc(parts));
        grpc_response(error, parts)
    });
    let (answer, _) = send(&layer, call(Some("application/grpc"))).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("grpc-status")),
        (200, Some("16"))
    );
    assert_eq!(answer.challenge(), INVALID);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.body, "");
}
