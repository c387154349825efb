//! tower-http around the layer, and the layer in every place of a stack: the problem survives.

#![cfg(feature = "axum")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, routing::get};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use support::{Answer, INVALID, Inner, Text, good_token, request};
use tower::{Layer, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_bearer::{BearerAuthLayer, ResponseBody, exempt, reason};
use tower_http::{
    compression::{CompressionLayer, predicate::SizeAbove},
    cors::CorsLayer,
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};

#[derive(Clone)]
struct One;

impl MakeRequestId for One {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        Some(RequestId::new(HeaderValue::from_static("request-1")))
    }
}

const PROBLEM: &str = "{\"type\":\"about:blank\",\"title\":\"Unauthorized\",\"status\":401,\
                       \"detail\":\"Invalid or expired authentication token\",\
                       \"instance\":\"/api/v2/elements\",\"traceId\":\"request-1\"}";

/// CORS as the docs of the layer have it.
fn cors(origin: HeaderValue) -> CorsLayer {
    CorsLayer::new()
        .allow_origin([origin])
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER])
}

/// Request id, trace, CORS, timeout and compression around the layer, as the docs have it.
async fn through_the_stack(
    headers: &[(&str, &str)],
) -> Response<impl http_body::Body<Data = bytes::Bytes, Error: std::fmt::Debug>> {
    let origin: HeaderValue = "https://app.example.com".parse().unwrap();
    let service = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(One))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(TraceLayer::new_for_http())
        .layer(cors(origin))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(60),
        ))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(0)))
        .layer(BearerAuthLayer::new(good_token()))
        .service(Inner::new());
    service.oneshot(request(headers)).await.unwrap()
}

#[tokio::test]
async fn a_refusal_survives_the_stack() {
    let origin = ("origin", "https://app.example.com");
    let headers = [("authorization", "Bearer bad"), origin];
    let answer = Answer::of(through_the_stack(&headers).await).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (401, PROBLEM));
    assert_eq!(answer.challenge(), INVALID);
    assert_eq!(answer.reason(), reason::TOKEN_UNKNOWN);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        answer.header("content-length"),
        Some(&*PROBLEM.len().to_string())
    );
    assert_eq!(answer.header("x-request-id"), Some("request-1"));
    // Without this the browser does not show the 401 to the page that asked.
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://app.example.com")
    );
    // And without this the page sees no challenge.
    assert_eq!(
        answer.header("access-control-expose-headers"),
        Some("www-authenticate,retry-after")
    );

    let headers = [("authorization", "Bearer good"), origin];
    let answer = Answer::of(through_the_stack(&headers).await).await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.body),
        (200, "hello alice")
    );
}

#[tokio::test]
async fn a_compressed_refusal() {
    let response = through_the_stack(&[("accept-encoding", "gzip")]).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert!(!response.headers().contains_key("content-length"));
    assert!(
        response
            .extensions()
            .get::<tower_bearer::AuthError>()
            .is_some()
    );
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    // RFC 1952 §2.3.1, §2.2: what gzip compresses ends in its length.
    assert_eq!(body[..3], [0x1f, 0x8b, 8]);
    let length = u32::try_from(PROBLEM.len()).unwrap();
    assert_eq!(body[body.len() - 4..], length.to_le_bytes());
}

/// A verdict that hangs is ended by the timeout outside.
#[tokio::test(start_paused = true)]
async fn a_verdict_that_hangs() {
    let hangs = tower_bearer::verify_async_fn(|_| {
        std::future::pending::<Result<tower_bearer::Claims, tower_bearer::AuthError>>()
    });
    let inner = Inner::new();
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(5),
        ))
        .layer(BearerAuthLayer::new(hangs))
        .service(inner.clone());
    let request = request(&[("authorization", "Bearer good")]);
    let response: Response<ResponseBody<Text>> = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 408);
    assert!(inner.take().is_empty());
}

/// Fetch, "CORS non-wildcard request-header name": `*` does not cover `Authorization`.
#[tokio::test]
async fn a_preflight_is_told_that_authorization_may_be_sent() {
    let origin: HeaderValue = "https://app.example.com".parse().unwrap();
    let service = cors(origin).layer(BearerAuthLayer::new(good_token()).layer(Inner::new()));
    let mut request = request(&[
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ]);
    *request.method_mut() = Method::OPTIONS;
    let answer = Answer::of(service.oneshot(request).await.unwrap()).await;
    assert_eq!(answer.status, 200);
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert!(
        allowed.split(',').any(|name| name == "authorization"),
        "{allowed}"
    );
    assert_eq!(answer.header("www-authenticate"), None);
}

/// CORS inside of the layer is one of the mistakes: the preflight passes if exempt, and the 401 is
/// without its headers. Outside it answers the preflight itself.
#[tokio::test]
async fn a_preflight() {
    let cors = || CorsLayer::permissive();
    let auth = || BearerAuthLayer::new(good_token()).exempt(exempt::cors_preflight);
    let outside = cors().layer(BearerAuthLayer::new(good_token()).layer(Inner::new()));
    let inside = auth().layer(cors().layer(Inner::new()));
    let preflight = || {
        let headers = [
            ("origin", "https://app.example.com"),
            ("access-control-request-method", "PUT"),
        ];
        let mut request = request(&headers);
        *request.method_mut() = http::Method::OPTIONS;
        request
    };
    let outside = Answer::of(outside.oneshot(preflight()).await.unwrap()).await;
    let inside = Answer::of(inside.oneshot(preflight()).await.unwrap()).await;
    for answer in [outside, inside] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[tokio::test]
async fn inside_of_a_boxed_service() {
    let service: BoxCloneSyncService<Request<Text>, Response<ResponseBody<Text>>, Infallible> =
        BoxCloneSyncService::new(BearerAuthLayer::new(good_token()).layer(Inner::new()));
    for (token, status) in [("good", 200), ("bad", 401)] {
        let line = format!("Bearer {token}");
        let request = request(&[("authorization", &line)]);
        assert_eq!(
            service
                .clone()
                .oneshot(request)
                .await
                .unwrap()
                .status()
                .as_u16(),
            status
        );
    }
}

/// axum's three places for a layer.
#[tokio::test]
async fn axum_layers() {
    let auth = || BearerAuthLayer::new(good_token());
    let routes = || Router::new().route("/a", get(|| async { "a" }));
    let of_router = routes().layer(auth());
    let of_routes = routes().route_layer(auth());
    let of_method = Router::new().route("/a", get(|| async { "a" }).layer(auth()));
    for (app, path, token, status) in [
        (&of_router, "/a", "good", 200),
        (&of_router, "/a", "bad", 401),
        // `layer` stands around the fallback too, `route_layer` does not.
        (&of_router, "/none", "bad", 401),
        (&of_router, "/none", "good", 404),
        (&of_routes, "/a", "good", 200),
        (&of_routes, "/a", "bad", 401),
        (&of_routes, "/none", "bad", 404),
        (&of_method, "/a", "good", 200),
        (&of_method, "/a", "bad", 401),
        (&of_method, "/none", "bad", 404),
    ] {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        let answer = Answer::of(app.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {token}");
        if status == 401 {
            assert_eq!(answer.challenge(), INVALID);
            assert_eq!(answer.member("instance"), path);
        }
    }
}
