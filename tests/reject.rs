//! A `Reject` of one's own: whatever it answers, the layer keeps the protocol.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Response, StatusCode, request::Parts};
use support::{Answer, INVALID, MISSING, refusing, request, send};
use tower_bearer::{AuthError, AuthErrorKind, BearerAuthLayer, Problem, Reject, reason};

/// Plain text.
struct Plain;

impl Reject for Plain {
    fn reject(&self, error: &AuthError, _: &Parts) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(error.detail().to_owned()));
        *response.status_mut() = error.kind().status();
        response
    }
}

async fn refuse(reject: impl Reject, error: AuthError, method: Method) -> Answer {
    let layer = BearerAuthLayer::new(refusing(error)).reject(reject);
    let mut request = request(&[("authorization", "Bearer abc")]);
    *request.method_mut() = method;
    let (answer, seen) = send(&layer, request).await;
    assert!(seen.is_none());
    answer
}

#[tokio::test]
async fn the_layer_adds_the_protocol() {
    let delay = Duration::from_millis(1500);
    for (error, challenge, retry_after) in [
        (AuthError::missing_token(), Some(MISSING), None),
        (AuthError::invalid_token("x"), Some(INVALID), None),
        (
            AuthError::access_denied("x"),
            Some(
                "Bearer realm=\"api\", error=\"insufficient_scope\", \
                 error_description=\"Access denied\"",
            ),
            None,
        ),
        (
            AuthError::invalid_request("x", "No"),
            Some("Bearer realm=\"api\", error=\"invalid_request\", error_description=\"No\""),
            None,
        ),
        (
            AuthError::unavailable("x").with_retry_after(delay),
            None,
            Some("2"),
        ),
    ] {
        // By the trait, and shared.
        for by in ["trait", "arc"] {
            for method in [Method::GET, Method::HEAD] {
                let answer = match by {
                    "trait" => refuse(Plain, error.clone(), method.clone()).await,
                    _ => refuse(Arc::new(Plain), error.clone(), method.clone()).await,
                };
                let of = format!("{error:?} {method}");
                assert_eq!(answer.status, error.kind().status(), "{of}");
                assert_eq!(answer.header("www-authenticate"), challenge, "{of}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{of}");
                assert_eq!(answer.header("retry-after"), retry_after, "{of}");
                assert_eq!(answer.error.as_ref().unwrap().kind(), error.kind(), "{of}");
                if method == Method::HEAD {
                    let length = error.detail().len().to_string();
                    assert_eq!(answer.header("content-length"), Some(&*length), "{of}");
                    assert_eq!(answer.body, "", "{of}");
                } else {
                    assert_eq!(answer.body, error.detail(), "{of}");
                }
            }
        }
    }
}

/// The layer's challenge stands first, and those for other schemes behind it.
#[tokio::test]
async fn challenges_for_other_schemes_are_kept() {
    let challenging = |lines: &'static [&'static str]| {
        let layer = BearerAuthLayer::new(refusing(AuthError::missing_token()));
        layer.reject_fn(move |error, _| {
            let mut response = Response::builder().status(error.kind().status());
            for line in lines {
                response = response.header("www-authenticate", *line);
            }
            response.body(Bytes::new()).unwrap()
        })
    };
    for (own, expected) in [
        (&[][..], &[MISSING][..]),
        (&["Basic realm=\"x\""], &[MISSING, "Basic realm=\"x\""]),
        (
            &["DPoP algs=\"ES256\"", "Basic realm=\"x\"", "Negotiate"],
            &[
                MISSING,
                "DPoP algs=\"ES256\"",
                "Basic realm=\"x\"",
                "Negotiate",
            ],
        ),
        // One of the layer's own scheme gives way to the layer's.
        (&["Bearer realm=\"other\""], &[MISSING]),
        (&["bearer"], &[MISSING]),
        (
            &["Basic realm=\"x\"", "Bearer realm=\"y\""],
            &[MISSING, "Basic realm=\"x\""],
        ),
        // A scheme whose name begins alike is another.
        (
            &["Bearer-Token realm=\"x\""],
            &[MISSING, "Bearer-Token realm=\"x\""],
        ),
        (&["BearerX realm=\"x\""], &[MISSING, "BearerX realm=\"x\""]),
    ] {
        let (answer, _) = send(&challenging(own), request(&[])).await;
        assert_eq!(answer.all("www-authenticate"), expected, "{own:?}");
    }
}

/// What it says itself stays: `Cache-Control`, the length, the status.
#[tokio::test]
async fn what_it_says_itself_stays() {
    let layer = BearerAuthLayer::new(refusing(AuthError::invalid_token("x"))).reject_fn(|_, _| {
        Response::builder()
            .status(StatusCode::NOT_FOUND)
            .header("cache-control", "private, no-store")
            .header("content-length", "7")
            .body(Bytes::from_static(b"nothing"))
            .unwrap()
    });
    for method in [Method::GET, Method::HEAD] {
        let mut request = request(&[("authorization", "Bearer abc")]);
        *request.method_mut() = method.clone();
        let (answer, _) = send(&layer, request).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(answer.header("content-length"), Some("7"));
        assert_eq!(answer.challenge(), INVALID);
        assert_eq!(
            answer.body,
            if method == Method::HEAD {
                ""
            } else {
                "nothing"
            }
        );
    }
}

/// RFC 9110 §15.5.2: every 401 has a challenge, also one that a `Reject` makes of an outage.
#[tokio::test]
async fn every_401_has_a_challenge() {
    let unauthorized =
        |_: &AuthError, _: &Parts| Problem::new(StatusCode::UNAUTHORIZED).into_response();
    let layer = BearerAuthLayer::new(refusing(AuthError::unavailable("x"))).reject_fn(unauthorized);
    let (answer, _) = send(&layer, request(&[("authorization", "Bearer abc")])).await;
    assert_eq!((answer.status.as_u16(), answer.challenge()), (401, MISSING));
}

/// It sees the error as it was made, and the request as it came.
#[tokio::test]
async fn what_it_sees() {
    let layer = BearerAuthLayer::new(refusing(AuthError::insufficient_scope("admin"))).reject_fn(
        |error, parts| {
            assert_eq!(error.kind(), AuthErrorKind::InsufficientScope);
            assert_eq!(error.reason(), reason::INSUFFICIENT_SCOPE);
            assert_eq!(error.scope(), Some("admin"));
            assert_eq!(parts.headers["x-other"], "1");
            let seen = format!("{} {}", parts.method, parts.uri);
            Response::builder()
                .status(403)
                .body(Bytes::from(seen))
                .unwrap()
        },
    );
    let request = request(&[("authorization", "Bearer abc"), ("x-other", "1")]);
    let (answer, _) = send(&layer, request).await;
    assert_eq!(answer.body, "GET /api/v2/elements");
    let challenge = support::Challenge::parse(answer.challenge());
    assert_eq!(challenge.parameter("scope"), Some("admin"));
}
