//! Which rejections say `Connection: close`, row by row.

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use tower::{Layer, ServiceExt};
use tower_bearer::{AuthError, BearerAuthLayer, Check, CheckContext, Checked, ProblemJson, exempt};

use crate::{
    server::{auth, judge},
    support::{Answer, Inner, Text, send},
};

type Headers<'a> = &'a [(&'a str, &'a str)];

fn request(method: Method, version: Version, headers: Headers<'_>) -> Request<Text> {
    let mut request = Request::builder()
        .method(method)
        .version(version)
        .uri("/elements");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Text::default()).unwrap()
}

const CLOSED: Option<&str> = Some("close");

/// RFC 9112 §6.3: what has content. A length that cannot be read counts as some.
#[tokio::test]
async fn a_rejection_closes_the_connection_of_a_request_with_content() {
    let rows: &[(Headers<'_>, Option<&str>)] = &[
        (&[], None),
        (&[("content-length", "0")], None),
        (&[("content-length", "000")], None),
        (&[("content-length", "0, 0")], None),
        (&[("content-length", "0"), ("content-length", "0")], None),
        (&[("content-length", " 0\t")], None),
        (&[("content-type", "application/json")], None),
        (&[("expect", "100-continue")], None),
        (&[("connection", "upgrade"), ("upgrade", "websocket")], None),
        (&[("content-length", "1")], CLOSED),
        (&[("content-length", "10")], CLOSED),
        (&[("content-length", "99999999999999999999999")], CLOSED),
        (&[("content-length", "5, 5")], CLOSED),
        (&[("content-length", "0, 5")], CLOSED),
        (&[("content-length", "5"), ("content-length", "5")], CLOSED),
        (&[("content-length", "0"), ("content-length", "5")], CLOSED),
        (&[("content-length", "5"), ("content-length", "0")], CLOSED),
        (&[("content-length", "")], CLOSED),
        (&[("content-length", "0,")], CLOSED),
        (&[("content-length", "-0")], CLOSED),
        (&[("content-length", "+0")], CLOSED),
        (&[("content-length", "0x0")], CLOSED),
        (&[("content-length", "\u{e9}")], CLOSED),
        (&[("transfer-encoding", "chunked")], CLOSED),
        (&[("transfer-encoding", "gzip, chunked")], CLOSED),
        (&[("transfer-encoding", "identity")], CLOSED),
        (
            &[("transfer-encoding", "chunked"), ("content-length", "0")],
            CLOSED,
        ),
        (
            &[("expect", "100-continue"), ("content-length", "5")],
            CLOSED,
        ),
        (
            &[
                ("connection", "upgrade"),
                ("upgrade", "h2c"),
                ("content-length", "5"),
            ],
            CLOSED,
        ),
        (
            &[("connection", "keep-alive"), ("content-length", "5")],
            CLOSED,
        ),
    ];
    for (headers, expected) in rows {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::CONNECT] {
            for version in [Version::HTTP_10, Version::HTTP_11] {
                let request = request(method.clone(), version, headers);
                let (answer, _) = send(&auth(), request).await;
                let of = format!("{method} {version:?} {headers:?}");
                assert_eq!(answer.status, 401, "{of}");
                assert_eq!(answer.header("connection"), *expected, "{of}");
                assert!(answer.headers.contains_key("content-length"), "{of}");
            }
            // RFC 9113 §8.2.2: the header is an error there, and a stream ends alone.
            for version in [Version::HTTP_2, Version::HTTP_3] {
                let request = request(method.clone(), version, headers);
                let (answer, _) = send(&auth(), request).await;
                assert_eq!(answer.header("connection"), None, "{version:?} {headers:?}");
            }
        }
    }
}

/// A check that needs time.
struct Later;

impl Check<()> for Later {
    fn check(&self, _: &CheckContext<'_, ()>) -> Checked {
        Checked::Pending(Box::pin(async {
            tokio::task::yield_now().await;
            Err(AuthError::access_denied("later"))
        }))
    }
}

/// Every way to be rejected leads by the same place.
#[tokio::test]
async fn every_rejection_of_the_layer_closes_the_connection() {
    let slow = tower_bearer::verify_async_fn(|token: tower_bearer::OwnedToken| async move {
        tokio::task::yield_now().await;
        judge(token.as_token())
    });
    let denied = |_: &CheckContext<'_, ()>| Err(AuthError::access_denied("never"));
    let unavailable = |_: &CheckContext<'_, ()>| Err(AuthError::unavailable("store"));
    let asked = Inner::new();
    for (layer, lines, status) in [
        (auth(), &[][..], 401),
        (auth(), &["Bearer bad"], 401),
        (auth(), &["Bearer"], 401),
        (auth(), &["Bearer good", "Bearer good"], 400),
        (auth().check_fn(denied), &["Bearer good"], 403),
        (auth().check_fn(unavailable), &["Bearer good"], 503),
        (auth().check(Later), &["Bearer good"], 403),
        (auth().optional(), &["Bearer bad"], 401),
    ] {
        let service = layer.layer(asked.clone());
        let mut request = request(Method::POST, Version::HTTP_11, &[("content-length", "9")]);
        for line in lines {
            request
                .headers_mut()
                .append("authorization", line.parse().unwrap());
        }
        let answer = Answer::of(service.oneshot(request).await.unwrap()).await;
        assert_eq!(answer.status, status, "{lines:?}");
        assert_eq!(answer.header("connection"), CLOSED, "{lines:?}");
    }
    let post = |token: &str| {
        let headers = [("authorization", token), ("content-length", "9")];
        request(Method::POST, Version::HTTP_11, &headers)
    };
    let (answer, _) = send(&BearerAuthLayer::new(slow), post("Bearer bad")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("connection")),
        (401, CLOSED)
    );
    assert!(asked.take().is_empty());

    // Further in.
    let outer = auth().optional();
    for (token, status) in [("Bearer good", 403), ("Basic eDp5", 401)] {
        let service = outer.layer(outer.require_fn(denied).layer(asked.clone()));
        let answer = Answer::of(service.oneshot(post(token)).await.unwrap()).await;
        assert_eq!(answer.status, status, "{token}");
        assert_eq!(answer.header("connection"), CLOSED, "{token}");
    }
    let service = outer.require_fn(denied).layer(asked.clone());
    let answer = Answer::of(service.oneshot(post("Bearer good")).await.unwrap()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("connection")),
        (500, CLOSED)
    );
    assert!(asked.take().is_empty());
}

/// What the service behind answers is its own affair.
#[tokio::test]
async fn a_response_of_the_inner_service_is_left_alone() {
    for layer in [
        auth(),
        auth().optional(),
        auth().exempt(exempt::paths(&["/elements"]).unwrap()),
    ] {
        let headers = [("authorization", "Bearer good"), ("content-length", "9")];
        let (answer, seen) = send(&layer, request(Method::POST, Version::HTTP_11, &headers)).await;
        assert!(seen.is_some());
        assert_eq!(answer.header("connection"), None);
    }
}

/// The layer adds it after any `Reject`, whatever that has said of the connection.
#[tokio::test]
async fn a_reject_of_ones_own_cannot_keep_the_connection() {
    for (lines, expected) in [
        (&[][..], "close"),
        (&["keep-alive"], "close"),
        (&["Keep-Alive, Close"], "close"),
        (&["close"], "close"),
        (&["Upgrade"], "close, Upgrade"),
        (&["x-hop , keep-alive", "", "y-hop"], "close, x-hop, y-hop"),
        (&["caf\u{e9}"], "close, caf\u{e9}"),
    ] {
        let layer = auth().reject_fn(move |error, _| {
            let mut response = Response::builder().status(error.kind().status());
            for line in lines {
                response = response.header("connection", *line);
            }
            response.body(Bytes::from_static(b"no")).unwrap()
        });
        let with = [("transfer-encoding", "chunked")];
        let (answer, _) = send(&layer, request(Method::POST, Version::HTTP_11, &with)).await;
        let found: Vec<_> = answer.headers.get_all("connection").iter().collect();
        assert_eq!(found, [expected.as_bytes()], "{lines:?}");
        // Without content it stays as it is.
        let (answer, _) = send(&layer, request(Method::GET, Version::HTTP_11, &[])).await;
        assert_eq!(
            answer.headers.get_all("connection").iter().count(),
            lines.len()
        );
    }
}

/// A gRPC request over HTTP/1.1 has content, also where a layer outside has taken its length away, as
/// tonic's `GrpcWebLayer` does.
#[tokio::test]
async fn a_grpc_rejection_over_http_1_1_closes_the_connection() {
    for grpc_web in [false, true] {
        let layer = match grpc_web {
            true => auth().reject(ProblemJson::new().grpc_web()),
            false => auth(),
        };
        let grpc = ("content-type", "application/grpc");
        for (version, headers, expected) in [
            (Version::HTTP_11, &[grpc][..], CLOSED),
            (
                Version::HTTP_11,
                &[grpc, ("transfer-encoding", "chunked")],
                CLOSED,
            ),
            (Version::HTTP_11, &[grpc, ("content-length", "0")], None),
            (Version::HTTP_2, &[grpc], None),
        ] {
            let (answer, _) = send(&layer, request(Method::POST, version, headers)).await;
            assert_eq!(
                answer.header("connection"),
                expected,
                "{version:?} {headers:?}"
            );
            let is_grpc = grpc_web || version == Version::HTTP_2;
            assert_eq!(answer.header("grpc-status"), is_grpc.then_some("16"));
        }
    }
}
