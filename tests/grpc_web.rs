//! gRPC-Web on a socket: tonic's `GrpcWebLayer` outside of the layer and inside of it, over both protocols.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    transport::{Server, server::TcpIncoming},
};
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::{Layer, ServiceBuilder};
use tower_bearer::{
    AuthError, BearerAuthLayer, BearerToken, Claims, ProblemJson, Verifier, verify_fn,
};

#[allow(unreachable_pub, dead_code)]
#[path = "../examples/tonic/elements.rs"]
mod elements;

use elements::{
    AddRequest, AddResponse, Element, ListRequest, ListResponse, WatchRequest,
    elements_client::ElementsClient,
    elements_server::{self, ElementsServer},
};

const DENIED: &str = "Invalid or expired authentication token";
const LIST: &str = "/elements.v1.Elements/List";
const PATIENCE: Duration = Duration::from_secs(30);

struct Elements;

#[tonic::async_trait]
impl elements_server::Elements for Elements {
    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let claims: &Claims = request.extensions().get().unwrap();
        Ok(Response::new(ListResponse {
            elements: Vec::new(),
            subject: claims.registered().subject().unwrap().to_owned(),
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<Element, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }

    async fn add(&self, _: Request<AddRequest>) -> Result<Response<AddResponse>, Status> {
        Err(Status::unimplemented("add"))
    }
}

fn auth(
    problems: ProblemJson,
) -> BearerAuthLayer<impl Verifier<Claims = (), Future: Send> + Send + Sync + 'static> {
    let verifier = verify_fn(|token: BearerToken<'_>| match token.as_str() {
        "good" => Ok(Claims::builder().subject("alice").build(())),
        "reader" => Err(AuthError::insufficient_scope("write")),
        "down" => Err(AuthError::unavailable("store_down")),
        _ => Err(AuthError::invalid_token("unknown")),
    });
    BearerAuthLayer::new(verifier).reject(problems)
}

/// Where the layer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OutsideOfGrpcWeb,
    InsideOfGrpcWeb,
}
use Place::{InsideOfGrpcWeb, OutsideOfGrpcWeb};

fn serve(place: Place, problems: ProblemJson) -> String {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", incoming.local_addr().unwrap());
    let server = Server::builder().accept_http1(true);
    let (auth, web) = (auth(problems), GrpcWebLayer::new());
    let service = ElementsServer::new(Elements);
    match place {
        OutsideOfGrpcWeb => {
            let router = server.clone().layer(auth).layer(web).add_service(service);
            tokio::spawn(router.serve_with_incoming(incoming));
        }
        InsideOfGrpcWeb => {
            let router = server.clone().layer(web).layer(auth).add_service(service);
            tokio::spawn(router.serve_with_incoming(incoming));
        }
    }
    url
}

async fn send(
    http2: bool,
    url: &str,
    content_type: &str,
    token: Option<&str>,
) -> http::Response<Bytes> {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http();
    // An empty message: not compressed, no bytes; for the text form in Base64.
    let message: &'static [u8] = match content_type.contains("text") {
        true => b"AAAAAAA=",
        false => &[0; 5],
    };
    let mut request =
        http::Request::post(format!("{url}{LIST}")).header(CONTENT_TYPE, content_type);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request
        .body(Full::new(Bytes::from_static(message)))
        .unwrap();
    let response = timeout(PATIENCE, client.request(request))
        .await
        .unwrap()
        .unwrap();
    let (parts, body) = response.into_parts();
    http::Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// With the opt-in a rejection is gRPC-Web, wherever the layer stands and whatever the version of HTTP.
#[tokio::test]
async fn by_opt_in_a_rejection_is_grpc_web_inside_and_outside_of_the_layer_of_tonic() {
    for place in [OutsideOfGrpcWeb, InsideOfGrpcWeb] {
        let url = serve(place, ProblemJson::new().grpc_web());
        for http2 in [false, true] {
            for content_type in [
                "application/grpc-web",
                "application/grpc-web+proto",
                "application/grpc-web-text",
                "application/grpc-web-text+proto",
            ] {
                for (token, status, message) in [
                    (None, "16", DENIED),
                    (Some("bad"), "16", DENIED),
                    (Some("reader"), "7", "Access denied"),
                    (
                        Some("down"),
                        "14",
                        "The authentication service is temporarily unavailable, please try again",
                    ),
                ] {
                    let response = send(http2, &url, content_type, token).await;
                    let of = format!("{place:?} {http2} {content_type} {token:?}: {response:?}");
                    let headers = response.headers();
                    assert_eq!(response.status(), 200, "{of}");
                    assert_eq!(headers["grpc-status"], status, "{of}");
                    assert_eq!(headers["grpc-message"], message, "{of}");
                    let kind = headers[CONTENT_TYPE].to_str().unwrap();
                    assert!(kind.starts_with("application/grpc-web"), "{of}");
                    assert!(response.body().is_empty(), "{of}");
                    // The message of the request was not read (RFC 9112 §9.6).
                    let close = headers.get("connection").map(|value| value.as_bytes());
                    assert_eq!(close, (!http2).then_some(&b"close"[..]), "{of}");
                }
                let good = send(http2, &url, content_type, Some("good")).await;
                assert_eq!(good.status(), 200, "{place:?} {http2} {content_type}");
                assert!(
                    !good.headers().contains_key("grpc-status"),
                    "{content_type}"
                );
                assert!(!good.body().is_empty());
            }
        }
    }
}

/// Without it a rejection has its own HTTP status.
#[tokio::test]
async fn by_default_a_rejection_of_grpc_web_has_its_own_status() {
    let url = serve(OutsideOfGrpcWeb, ProblemJson::new());
    for http2 in [false, true] {
        let response = send(http2, &url, "application/grpc-web", None).await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert!(!response.headers().contains_key("grpc-status"));
    }
}

/// What tonic's own client for gRPC-Web makes of rejections. If it understands a plain 401 one day, the
/// documentation of `grpc_web` has to say so.
#[tokio::test]
async fn the_client_of_tonic_needs_the_opt_in() {
    for (place, problems, understands) in [
        (OutsideOfGrpcWeb, ProblemJson::new(), false),
        (OutsideOfGrpcWeb, ProblemJson::new().grpc_web(), true),
        (InsideOfGrpcWeb, ProblemJson::new().grpc_web(), true),
    ] {
        let url = serve(place, problems);
        let pool =
            Client::builder(TokioExecutor::new()).build_http::<tonic_web::GrpcWebCall<Body>>();
        let service = ServiceBuilder::new()
            .layer(GrpcWebClientLayer::new())
            .service(pool);
        let mut client = ElementsClient::with_origin(service, url.parse().unwrap());
        for (token, code) in [
            ("bad", Code::Unauthenticated),
            ("reader", Code::PermissionDenied),
            ("down", Code::Unavailable),
        ] {
            let status = client.list(with(token)).await.unwrap_err();
            let expected = if understands { code } else { Code::Internal };
            assert_eq!(status.code(), expected, "{place:?} {token}: {status:?}");
        }
        let answer = client.list(with("good")).await.unwrap();
        assert_eq!(answer.get_ref().subject, "alice");
    }
}

fn with(token: &str) -> Request<ListRequest> {
    let mut request = Request::new(ListRequest {});
    let credentials = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", credentials);
    request
}

/// A service that speaks no gRPC says so, and then no content type turns a 401 into a 200.
#[tokio::test]
async fn without_grpc_every_rejection_is_a_problem() {
    for (problems, grpc) in [
        (ProblemJson::new(), true),
        (ProblemJson::new().without_grpc(), false),
        (ProblemJson::new().grpc_web().without_grpc(), false),
        (ProblemJson::new().without_grpc().grpc_web(), true),
    ] {
        let layer = auth(problems);
        let service = layer.layer(tower::service_fn(|_: http::Request<Full<Bytes>>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
        }));
        let request = http::Request::post(LIST)
            .version(http::Version::HTTP_2)
            .header(CONTENT_TYPE, "application/grpc");
        let request = request.body(Full::default()).unwrap();
        let response = tower::ServiceExt::oneshot(service, request).await.unwrap();
        assert_eq!(response.status(), if grpc { 200 } else { 401 });
        assert_eq!(response.headers().contains_key("grpc-status"), grpc);
    }
}
