//! Where else than in `Authorization` a token may stand, and what becomes of it there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex},
};

use http::{Request, Response, StatusCode, request::Parts};
use support::{Inner, Text, any_token, request, request_to, send, send_to};
use tower_bearer::{BearerAuthLayer, CheckContext, TokenSource, Verifier, reason};

fn with(source: TokenSource) -> BearerAuthLayer<impl Verifier<Claims = (), Future: Send>> {
    BearerAuthLayer::new(any_token()).token_source(source)
}

/// What comes of a request.
#[derive(Clone, Copy, Debug)]
enum Outcome<'a> {
    Passes(&'a str),
    Missing,
    Malformed,
    /// 400: more than one token (attacks.md 19).
    Repeated,
}
use Outcome::{Malformed, Missing, Passes, Repeated};

async fn assert_outcome<V: Verifier>(
    layer: &BearerAuthLayer<V>,
    request: Request<Text>,
    outcome: Outcome<'_>,
) {
    let of = format!(
        "{} {:?}",
        request.uri(),
        request.headers().values().collect::<Vec<_>>()
    );
    let (answer, seen) = send(layer, request).await;
    if let Passes(token) = outcome {
        assert_eq!(answer.status, 200, "{of}");
        assert_eq!(seen.unwrap().subject().as_deref(), Some(token), "{of}");
        return;
    }
    assert!(seen.is_none(), "{of}");
    match outcome {
        Missing => answer.assert_missing(&of),
        Malformed => answer.assert_invalid(reason::TOKEN_MALFORMED, &of),
        _ => answer.assert_repeated(&of),
    }
}

#[tokio::test]
async fn another_header() {
    let layer = with(TokenSource::header("X-Auth-Token").unwrap());
    for (lines, outcome) in [
        (&["abc"][..], Passes("abc")),
        (&["Bearer abc"], Passes("abc")),
        (&["bearer   abc="], Passes("abc=")),
        (&["Bearerabc"], Passes("Bearerabc")),
        (&["Bearer.abc"], Passes("Bearer.abc")),
        (&[], Missing),
        (&[""], Malformed),
        (&["Bearer"], Malformed),
        (&["Bearer "], Malformed),
        (&["a b"], Malformed),
        (&["Basic abc"], Malformed),
        (&["a, b"], Malformed),
        (&["Bearer a, Bearer b"], Malformed),
        (&["a", "b"], Repeated),
        (&["a", "a"], Repeated),
        (&["Bearer a", ""], Repeated),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("x-auth-token", *line)).collect();
        assert_outcome(&layer, request(&headers), outcome).await;
    }
    // `Authorization` stays enabled beside it.
    assert_outcome(
        &layer,
        request(&[("authorization", "Bearer abc")]),
        Passes("abc"),
    )
    .await;
}

#[tokio::test]
async fn a_cookie() {
    let layer = with(TokenSource::cookie("session").unwrap());
    for (lines, outcome) in [
        (&["session=abc"][..], Passes("abc")),
        (&["a=1; session=abc; b=2"], Passes("abc")),
        (&["a=1;session=abc;b=2"], Passes("abc")),
        // HTTP/2 sends a line for each (RFC 9113 §8.2.3).
        (&["a=1", "session=abc", "b=2"], Passes("abc")),
        (&["session=\"abc\""], Passes("abc")),
        (&["session=abc=="], Passes("abc==")),
        // The name is compared exactly, and is none of a longer name or of a value.
        (&["Session=abc"], Missing),
        (&["xsession=abc"], Missing),
        (&["session2=abc"], Missing),
        (&["a=session=abc"], Missing),
        (&["a=1"], Missing),
        (&[""], Missing),
        // Present, and empty or malformed: never anonymous.
        (&["session="], Malformed),
        (&["session=\"\""], Malformed),
        (&["session=\""], Malformed),
        (&["session=\"abc"], Malformed),
        (&["session=a b"], Malformed),
        (&["session=a,b"], Malformed),
        (&["session=a%2E"], Malformed),
        (&["session=Bearer abc"], Malformed),
        (&["session=a; session=b"], Repeated),
        (&["session=a", "session=a"], Repeated),
        (&["session=; session=b"], Repeated),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        assert_outcome(&layer, request(&headers), outcome).await;
    }
}

#[tokio::test]
async fn a_query_parameter() {
    let layer = with(TokenSource::query("access_token").unwrap());
    for (query, outcome) in [
        ("access_token=abc", Passes("abc")),
        ("a=1&access_token=abc&b=2", Passes("abc")),
        ("access_token=abc==", Passes("abc==")),
        // Name and value are form-decoded.
        ("access_token=a%2Bb%2fc%3D", Passes("a+b/c=")),
        ("access%5Ftoken=abc", Passes("abc")),
        ("%61ccess_token=%61bc", Passes("abc")),
        ("", Missing),
        ("a=1", Missing),
        ("Access_Token=abc", Missing),
        ("xaccess_token=abc", Missing),
        ("access_token2=abc", Missing),
        ("a=access_token=abc", Missing),
        ("access+token=abc", Missing),
        ("access_token=", Malformed),
        ("access_token", Malformed),
        ("access_token&a=1", Malformed),
        ("access_token=a+b", Malformed),
        ("access_token=a%20b", Malformed),
        ("access_token=a%", Malformed),
        ("access_token=a%2", Malformed),
        ("access_token=a%zz", Malformed),
        ("access_token=a%252E", Malformed),
        ("access_token=a%00", Malformed),
        ("access_token=a%FF", Malformed),
        ("access_token=a%C3%A9", Malformed),
        ("access_token=Bearer%20abc", Malformed),
        ("access_token=a&access_token=b", Repeated),
        ("access_token=a&access%5ftoken=a", Repeated),
        ("access_token=&access_token=b", Repeated),
        ("access_token&access_token=b", Repeated),
    ] {
        let uri = format!("/elements?{query}");
        assert_outcome(&layer, request_to(&uri, &[]), outcome).await;
    }
}

#[tokio::test]
async fn a_long_query_parameter_is_measured_once_it_is_decoded() {
    let layer = with(TokenSource::query("t").unwrap());
    let longest = "%61".repeat(16_384);
    let decoded = "a".repeat(16_384);
    let request = request_to(&format!("/?t={longest}"), &[]);
    assert_outcome(&layer, request, Passes(&decoded)).await;
    let (answer, _) = send(&layer, request_to(&format!("/?t=a{longest}"), &[])).await;
    answer.assert_invalid(reason::TOKEN_TOO_LARGE, "16385 bytes");
}

/// RFC 6750 §2.3: a 2xx to a token in the query is `private`, unless the service says otherwise.
#[tokio::test]
async fn cache_control_of_an_answer_to_a_query_token() {
    let layer = with(TokenSource::query("access_token").unwrap());
    let query = || request_to("/?access_token=abc", &[]);
    let header = || request_to("/", &[("authorization", "Bearer abc")]);
    for (request, status, own, expected) in [
        (query(), 200, None, Some("private")),
        (query(), 204, None, Some("private")),
        (query(), 200, Some("no-store"), Some("no-store")),
        (
            query(),
            200,
            Some("public, max-age=60"),
            Some("public, max-age=60"),
        ),
        (query(), 304, None, None),
        (query(), 404, None, None),
        (query(), 500, None, None),
        (header(), 200, None, None),
        (header(), 200, Some("public"), Some("public")),
    ] {
        let inner = Inner::answering(move |_| {
            let mut response = Response::builder().status(status);
            if let Some(own) = own {
                response = response.header("cache-control", own);
            }
            response.body(Text::default()).unwrap()
        });
        let (answer, _) = send_to(inner, &layer, request).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("cache-control"), expected, "{status} {own:?}");
    }
    // A refusal is stored nowhere.
    let (answer, _) = send(&layer, request_to("/?access_token=", &[])).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_web_socket_subprotocol() {
    let layer = with(TokenSource::web_socket_protocol());
    for (lines, outcome) in [
        (&["bearer, abc"][..], Passes("abc")),
        (&["bearer,abc"], Passes("abc")),
        (&["chat, bearer, abc"], Passes("abc")),
        (&["bearer, abc, chat"], Passes("abc")),
        (&["bearer", "abc"], Passes("abc")),
        (&["chat", "bearer, abc"], Passes("abc")),
        (&["bearer, bearer"], Passes("bearer")),
        (&["chat"], Missing),
        (&["chat, abc"], Missing),
        (&["Bearer, abc"], Missing),
        (&["bearer abc"], Missing),
        (&["bearer"], Malformed),
        (&["bearer,"], Malformed),
        (&["chat, bearer"], Malformed),
        (&["bearer, a b"], Malformed),
        (&["bearer, a, bearer, b"], Repeated),
        (&["bearer, a", "bearer, a"], Repeated),
        (&["bearer, a, bearer"], Repeated),
    ] {
        let name = "sec-websocket-protocol";
        let headers: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
        assert_outcome(&layer, request(&headers), outcome).await;
    }
}

#[tokio::test]
async fn a_function() {
    fn key_in_path(parts: &Parts) -> Option<Cow<'_, str>> {
        match parts.uri.path().strip_prefix("/keys/")? {
            "owned" => Some(Cow::Owned("from-a-string".to_owned())),
            key => Some(Cow::Borrowed(key)),
        }
    }
    let layer = with(TokenSource::from_fn(key_in_path));
    for (path, outcome) in [
        ("/keys/abc", Passes("abc")),
        ("/keys/owned", Passes("from-a-string")),
        ("/keys/", Malformed),
        ("/keys/a,b", Malformed),
        ("/elements", Missing),
    ] {
        assert_outcome(&layer, request_to(path, &[]), outcome).await;
    }
    let both = request_to("/keys/abc", &[("authorization", "Bearer abc")]);
    assert_outcome(&layer, both, Repeated).await;
}

/// Whatever is not enabled is not looked at (RFC 6750 §2.2 and §2.3 are discouraged).
#[tokio::test]
async fn places_that_are_not_enabled() {
    let places = [
        ("x-auth-token", "other"),
        ("cookie", "access_token=other"),
        ("sec-websocket-protocol", "bearer, other"),
        ("proxy-authorization", "Bearer other"),
    ];
    let layer = BearerAuthLayer::new(any_token());
    let uri = "/?access_token=other";
    assert_outcome(&layer, request_to(uri, &places), Missing).await;
    let all = [&places[..], &[("authorization", "Bearer abc")]].concat();
    assert_outcome(&layer, request_to(uri, &all), Passes("abc")).await;
    // RFC 6750 §2.2: a form body is not read.
    let mut form = request(&[("content-type", "application/x-www-form-urlencoded")]);
    *form.method_mut() = http::Method::POST;
    *form.body_mut() = Text::from("access_token=other");
    assert_outcome(&layer, form, Missing).await;
}

fn everywhere() -> BearerAuthLayer<impl Verifier<Claims = (), Future: Send>> {
    with(TokenSource::header("x-auth-token").unwrap())
        .token_source(TokenSource::cookie("session").unwrap())
        .token_source(TokenSource::query("access_token").unwrap())
        .token_source(TokenSource::web_socket_protocol())
}

/// `remove_token` takes the token out, and leaves everything else as it came.
#[tokio::test]
async fn the_token_is_taken_out_of_each_place() {
    let plain = "/a?b=1&c=%20&b=2";
    // What is sent, URI and headers, and what is left of it.
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let rows: &[(&str, Headers<'_>, &str, Headers<'_>)] = &[
        (
            plain,
            &[("authorization", "Bearer abc"), ("x-other", "1")],
            plain,
            &[("x-other", "1")],
        ),
        (plain, &[("x-auth-token", "abc")], plain, &[]),
        // Credentials of another scheme are not ours to take.
        (
            plain,
            &[("authorization", "Basic eA=="), ("x-auth-token", "abc")],
            plain,
            &[("authorization", "Basic eA==")],
        ),
        (plain, &[("cookie", "session=abc")], plain, &[]),
        (
            plain,
            &[("cookie", "a=1; session=abc; b=\"2\"")],
            plain,
            &[("cookie", "a=1; b=\"2\"")],
        ),
        (
            plain,
            &[
                ("cookie", "a=1"),
                ("cookie", "session=abc"),
                ("cookie", "xsession=b"),
            ],
            plain,
            &[("cookie", "a=1; xsession=b")],
        ),
        ("/a?access_token=abc", &[], "/a", &[]),
        ("/a?access_token=abc&b=1&c=%20&b=2", &[], plain, &[]),
        ("/a?b=1&c=%20&b=2&access%5Ftoken=%61bc", &[], plain, &[]),
        ("/a?b=1&access_token=abc&c=%20&b=2", &[], plain, &[]),
        (
            "http://example.com:8080/a?access_token=abc",
            &[],
            "http://example.com:8080/a",
            &[],
        ),
        (
            plain,
            &[("sec-websocket-protocol", "bearer, abc")],
            plain,
            &[],
        ),
        (
            plain,
            &[("sec-websocket-protocol", "chat, bearer, abc, chat.v2")],
            plain,
            &[("sec-websocket-protocol", "chat, chat.v2")],
        ),
        // A place in which there was no token stays as it came, to the byte.
        (
            plain,
            &[
                ("authorization", "Bearer abc"),
                ("cookie", "a=1;b=2"),
                ("cookie", "c=3"),
                ("sec-websocket-protocol", "chat,chat.v2"),
            ],
            plain,
            &[
                ("cookie", "a=1;b=2"),
                ("cookie", "c=3"),
                ("sec-websocket-protocol", "chat,chat.v2"),
            ],
        ),
    ];
    let keeping = everywhere();
    let removing = everywhere().remove_token();
    for (uri, headers, left_uri, left_headers) in rows {
        for (layer, uri_then, headers_then) in [
            (&keeping, uri, headers),
            (&removing, left_uri, left_headers),
        ] {
            let (_, seen) = send(layer, request_to(uri, headers)).await;
            let seen = seen.unwrap();
            assert_eq!(seen.subject().as_deref(), Some("abc"), "{uri} {headers:?}");
            assert_eq!(seen.parts.uri.to_string(), *uri_then, "{uri} {headers:?}");
            let mut left: Vec<_> = seen
                .parts
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                .collect();
            let mut expected = headers_then.to_vec();
            // Lines of one name keep their order.
            left.sort_by_key(|(name, _)| *name);
            expected.sort_by_key(|(name, _)| *name);
            assert_eq!(left, expected, "{uri} {headers:?}");
            assert_eq!(seen.body, "sent");
        }
    }
}

/// Before anybody else sees the request, the credential is sensitive in it.
#[tokio::test]
async fn the_credential_is_marked_as_sensitive() {
    let secret = "s3cr3t";
    for (name, lines) in [
        ("authorization", &["Bearer s3cr3t"][..]),
        ("authorization", &["Bearer s3cr3t", "Bearer s3cr3t"]),
        ("authorization", &["Basic s3cr3t"]),
        ("x-auth-token", &["s3cr3t"]),
        ("x-auth-token", &["s3cr3t", "s3cr3t", "s3cr3t"]),
        ("cookie", &["a=1", "session=s3cr3t"]),
        ("sec-websocket-protocol", &["bearer, s3cr3t"]),
        ("sec-websocket-protocol", &["bearer", "s3cr3t"]),
    ] {
        let witnesses = Arc::new(Mutex::new(Vec::new()));
        let witness = |who: &'static str| {
            let witnesses = Arc::clone(&witnesses);
            let count = lines.len();
            move |parts: &Parts| {
                let values = parts.headers.get_all(name);
                assert_eq!(values.iter().count(), count);
                assert!(
                    values.iter().all(|value| value.is_sensitive()),
                    "{who} {name}"
                );
                assert!(!format!("{parts:?}").contains(secret), "{who} {name}");
                witnesses.lock().unwrap().push(who);
            }
        };
        let (exempt, check, reject) = (witness("exempt"), witness("check"), witness("reject"));
        let layer = everywhere()
            .exempt(move |parts| {
                exempt(parts);
                false
            })
            .check_fn(move |cx: &CheckContext<'_, ()>| {
                check(cx.request());
                Err(tower_bearer::AuthError::access_denied("test"))
            })
            .reject_fn(move |error, parts| {
                reject(parts);
                let mut response = Response::default();
                *response.status_mut() = error.kind().status();
                response
            });
        let headers: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
        let (answer, _) = send(&layer, request(&headers)).await;
        let expected = match answer.status {
            StatusCode::FORBIDDEN => &["exempt", "check", "reject"][..],
            _ => &["exempt", "reject"],
        };
        assert_eq!(*witnesses.lock().unwrap(), expected, "{name} {lines:?}");

        // The service behind sees it marked too.
        let (_, seen) = send(&everywhere().optional(), request(&headers)).await;
        if let Some(seen) = seen {
            assert!(
                !format!("{:?}", seen.parts).contains(secret),
                "{name} {lines:?}"
            );
        }
    }
}
