//! gRPC on a socket: tonic's server behind the layer, tonic's client before it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{sync::Notify, time::timeout};
use tonic::{
    Code, Request, Response, Status,
    service::LayerExt,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower_bearer::{
    AuthError, BearerAuthLayer, BearerToken, CheckContext, Claims, OwnedToken, RequireScopes,
    Verifier, exempt, verify_async_fn, verify_fn,
};

#[allow(unreachable_pub)]
#[path = "../examples/tonic/elements.rs"]
mod elements;

use elements::{
    AddRequest, AddResponse, Element, ListRequest, ListResponse, WatchRequest,
    elements_client::ElementsClient,
    elements_server::{self, ElementsServer},
};

const DENIED: &str = "Invalid or expired authentication token";

/// How long a test waits for what should be there at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lists the subject of the token, and counts the bytes of what is added.
#[derive(Default)]
struct Elements {
    /// The second element is watched once this has been notified.
    go_on: Arc<Notify>,
}

fn element(name: &str) -> Element {
    Element {
        name: name.to_owned(),
    }
}

#[tonic::async_trait]
impl elements_server::Elements for Elements {
    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let claims: Option<&Claims> = request.extensions().get();
        let subject = claims.and_then(|claims| claims.registered().subject());
        Ok(Response::new(ListResponse {
            elements: vec![element("earth")],
            subject: subject.unwrap_or("nobody").to_owned(),
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<Element, Status>> + Send>>;

    async fn watch(
        &self,
        _request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let go_on = Arc::clone(&self.go_on);
        let second = stream::once(async move {
            go_on.notified().await;
            Ok(element("water"))
        });
        let end = stream::iter([Err(Status::data_loss("no more"))]);
        let elements = stream::iter([Ok(element("earth"))])
            .chain(second)
            .chain(end);
        Ok(Response::new(Box::pin(elements)))
    }

    async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddResponse>, Status> {
        let element = request.into_inner().element.unwrap();
        let count = u32::try_from(element.name.len()).unwrap();
        Ok(Response::new(AddResponse { count }))
    }
}

fn service() -> ElementsServer<Elements> {
    ElementsServer::new(Elements::default())
}

fn verdict(token: &str) -> Result<Claims, AuthError> {
    let claims = Claims::builder().subject("alice");
    match token {
        "reader" => Ok(claims.scope("read").build(())),
        "writer" => Ok(claims.scope("read write").build(())),
        "down" => {
            Err(AuthError::unavailable("store_down").with_retry_after(Duration::from_secs(7)))
        }
        "revoked" => Err(AuthError::revoked_token()),
        "odd" => Err(AuthError::invalid_request(
            "odd",
            "50 % für\r\ngrpc-status: 0",
        )),
        _ => Err(AuthError::invalid_token("unknown")),
    }
}

fn auth() -> BearerAuthLayer<impl Verifier<Claims = (), Future: Send>> {
    BearerAuthLayer::new(verify_fn(|token: BearerToken<'_>| verdict(token.as_str())))
}

/// The same, with every verdict given later.
fn slow_auth() -> BearerAuthLayer<impl Verifier<Claims = (), Future: Send>> {
    BearerAuthLayer::new(verify_async_fn(|token: OwnedToken| async move {
        tokio::task::yield_now().await;
        verdict(token.as_str())
    }))
}

/// A socket to serve on, and where it is.
fn socket() -> (TcpIncoming, String) {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", incoming.local_addr().unwrap());
    (incoming, url)
}

async fn connect(url: String) -> Channel {
    let channel = Channel::from_shared(url).unwrap().timeout(PATIENCE);
    channel.connect().await.unwrap()
}

/// A client of the service behind `auth`.
async fn client_of<V>(auth: BearerAuthLayer<V>) -> ElementsClient<Channel>
where
    V: Verifier<Future: Send> + Send + Sync + 'static,
{
    let (incoming, url) = socket();
    let router = Server::builder().layer(auth).add_service(service());
    tokio::spawn(router.serve_with_incoming(incoming));
    ElementsClient::new(connect(url).await)
}

fn with<T>(tokens: &[&str], message: T) -> Request<T> {
    let mut request = Request::new(message);
    for token in tokens {
        let credentials = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().append("authorization", credentials);
    }
    request
}

/// How a call of `List` with these tokens is refused, in the same way whenever the verdict comes.
async fn refused(tokens: &[&str]) -> Status {
    let mut at_once = client_of(auth()).await;
    let mut later = client_of(slow_auth()).await;
    let status = at_once.list(with(tokens, ListRequest {})).await;
    let status = status.unwrap_err();
    let same = later.list(with(tokens, ListRequest {})).await.unwrap_err();
    assert_eq!(status.code(), same.code());
    assert_eq!(status.message(), same.message());
    assert_eq!(challenge(&status), challenge(&same));
    assert!(status.details().is_empty());
    status
}

/// The challenge, which stands in one line or is not there.
#[track_caller]
fn challenge(status: &Status) -> Option<&str> {
    let mut challenges = status.metadata().get_all("www-authenticate").iter();
    let challenge = challenges.next().map(|line| line.to_str().unwrap());
    assert_eq!(challenges.next(), None);
    challenge
}

#[tokio::test]
async fn without_a_token_a_call_is_unauthenticated() {
    let status = refused(&[]).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), DENIED);
    assert_eq!(challenge(&status), Some(r#"Bearer realm="api""#));
    assert_eq!(status.metadata().get("cache-control").unwrap(), "no-store");
}

#[tokio::test]
async fn a_bad_token_is_told_so_and_no_more() {
    for token in ["forged", "not a token", ""] {
        let status = refused(&[token]).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{token}");
        assert_eq!(status.message(), DENIED, "{token}");
        let challenge = challenge(&status).unwrap();
        assert!(
            challenge.starts_with(r#"Bearer realm="api", error="invalid_token""#),
            "{challenge}"
        );
    }

    let status = refused(&["revoked"]).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "Authentication token has been revoked");
    assert!(
        challenge(&status)
            .unwrap()
            .contains(r#"error="invalid_token""#)
    );
}

#[tokio::test]
async fn two_tokens_are_unauthenticated_even_if_both_are_good() {
    let status = refused(&["reader", "reader"]).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(
        challenge(&status)
            .unwrap()
            .contains(r#"error="invalid_request""#)
    );
}

#[tokio::test]
async fn what_cannot_be_found_out_now_is_unavailable() {
    let status = refused(&["down"]).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("retry-after").unwrap(), "7");
    // The token is not at fault.
    assert_eq!(challenge(&status), None);
}

/// The message is a header: whatever it holds arrives as it was, and nothing else with it.
#[tokio::test]
async fn any_message_arrives_whole() {
    let status = refused(&["odd"]).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "50 % für\r\ngrpc-status: 0");
}

#[tokio::test]
async fn a_good_token_passes_with_its_claims() {
    for mut client in [client_of(auth()).await, client_of(slow_auth()).await] {
        let answer = client
            .list(with(&["reader"], ListRequest {}))
            .await
            .unwrap();
        assert_eq!(answer.get_ref().subject, "alice");
        assert_eq!(answer.get_ref().elements, [element("earth")]);
        assert!(!answer.metadata().contains_key("www-authenticate"));
        assert!(!answer.metadata().contains_key("cache-control"));

        // A request of many HTTP/2 frames arrives as it was sent.
        let element = Some(element(&"long".repeat(100_000)));
        let answer = client.add(with(&["reader"], AddRequest { element })).await;
        assert_eq!(answer.unwrap().get_ref().count, 400_000);
    }
}

#[tokio::test]
async fn without_a_token_an_optional_call_is_anonymous() {
    let mut client = client_of(auth().optional()).await;
    let answer = client.list(with(&[], ListRequest {})).await.unwrap();
    assert_eq!(answer.get_ref().subject, "nobody");
    let answer = client
        .list(with(&["reader"], ListRequest {}))
        .await
        .unwrap();
    assert_eq!(answer.get_ref().subject, "alice");
    let status = client.list(with(&["forged"], ListRequest {})).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let element = || AddRequest {
        element: Some(element("aether")),
    };

    // A check of the layer, for one method.
    let mut checked = client_of(auth().check_fn(|cx: &CheckContext<'_, ()>| {
        let scopes = cx.claims().registered().scopes();
        match cx.request().uri.path() {
            "/elements.v1.Elements/Add" if !scopes.contains("write") => {
                Err(AuthError::insufficient_scope("write"))
            }
            _ => Ok(()),
        }
    }))
    .await;
    let listed = checked.list(with(&["reader"], ListRequest {})).await;
    assert_eq!(listed.unwrap().get_ref().subject, "alice");

    // A check around one service.
    let (incoming, url) = socket();
    let auth = auth();
    let writers = auth.require(RequireScopes::all_of(["write"]).unwrap());
    let router = Server::builder()
        .layer(auth)
        .add_service(writers.named_layer(service()));
    tokio::spawn(router.serve_with_incoming(incoming));
    let required = ElementsClient::new(connect(url).await);

    for mut client in [checked, required] {
        let status = client.add(with(&["reader"], element())).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(status.message(), "Access denied");
        let challenge = challenge(&status).unwrap();
        assert!(
            challenge.contains(r#"error="insufficient_scope""#),
            "{challenge}"
        );
        assert!(challenge.contains(r#"scope="write""#), "{challenge}");

        let added = client.add(with(&["writer"], element())).await.unwrap();
        assert_eq!(added.get_ref().count, 6);
    }
}

/// The second element is sent once the client has the first, and the status once it has both.
#[tokio::test]
async fn a_stream_is_not_held_back() {
    let go_on = Arc::new(Notify::new());
    let service = ElementsServer::new(Elements {
        go_on: Arc::clone(&go_on),
    });
    let (incoming, url) = socket();
    let router = Server::builder().layer(auth()).add_service(service);
    tokio::spawn(router.serve_with_incoming(incoming));
    let mut client = ElementsClient::new(connect(url).await);

    let watched = client.watch(with(&["reader"], WatchRequest {})).await;
    let mut watched = watched.unwrap().into_inner();
    let first = timeout(PATIENCE, watched.message()).await.unwrap();
    assert_eq!(first.unwrap(), Some(element("earth")));
    go_on.notify_one();
    let second = timeout(PATIENCE, watched.message()).await.unwrap();
    assert_eq!(second.unwrap(), Some(element("water")));
    // The service's own trailers, as they are.
    let end = timeout(PATIENCE, watched.message()).await.unwrap();
    let status = end.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
    assert_eq!(status.message(), "no more");

    // Without a token there is no stream to begin with.
    let status = client.watch(with(&[], WatchRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn around_one_service_the_others_are_open() {
    let (incoming, url) = socket();
    let (_, health) = tonic_health::server::health_reporter();
    let router = Server::builder()
        .add_service(health)
        .add_service(auth().named_layer(service()));
    tokio::spawn(router.serve_with_incoming(incoming));
    let channel = connect(url).await;

    let mut open = HealthClient::new(channel.clone());
    open.check(HealthCheckRequest::default()).await.unwrap();

    let mut client = ElementsClient::new(channel);
    let status = client.list(with(&[], ListRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(challenge(&status), Some(r#"Bearer realm="api""#));
    let answer = client
        .list(with(&["reader"], ListRequest {}))
        .await
        .unwrap();
    assert_eq!(answer.get_ref().subject, "alice");
}

#[tokio::test]
async fn health_is_exempt_where_it_is_said() {
    for exempted in [true, false] {
        let auth = if exempted {
            auth().exempt(exempt::grpc_health)
        } else {
            auth()
        };
        let (incoming, url) = socket();
        let (_, health) = tonic_health::server::health_reporter();
        let router = Server::builder()
            .layer(auth)
            .add_service(health)
            .add_service(service());
        tokio::spawn(router.serve_with_incoming(incoming));
        let channel = connect(url).await;

        let mut client = HealthClient::new(channel.clone());
        // Exempt is exempt: a bad token does not matter either.
        for tokens in [&[][..], &["forged"]] {
            let answer = client.check(with(tokens, HealthCheckRequest::default()));
            match answer.await {
                Ok(_) => assert!(exempted),
                Err(status) => {
                    assert!(!exempted);
                    assert_eq!(status.code(), Code::Unauthenticated);
                }
            }
        }

        let status = ElementsClient::new(channel)
            .list(with(&[], ListRequest {}))
            .await;
        assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    }
}

/// What a gRPC server says to requests that are written by hand, over HTTP/2 or HTTP/1.1.
async fn raw(http2: bool, requests: Vec<http::request::Builder>) -> Vec<http::Response<Bytes>> {
    let (incoming, url) = socket();
    let auth = auth().exempt(exempt::grpc_health);
    let router = Server::builder()
        .accept_http1(true)
        .layer(auth)
        .add_service(service());
    tokio::spawn(router.serve_with_incoming(incoming));

    let client = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http();
    let mut responses = Vec::new();
    for request in requests {
        // An empty gRPC message: not compressed, no bytes.
        let request = request
            .body(Full::new(Bytes::from_static(&[0; 5])))
            .unwrap();
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("{url}{}", parts.uri).parse().unwrap();
        let call = client.request(http::Request::from_parts(parts, body));
        let (parts, body) = timeout(PATIENCE, call).await.unwrap().unwrap().into_parts();
        let body = body.collect().await.unwrap();
        assert_eq!(body.trailers(), None::<&HeaderMap>);
        responses.push(http::Response::from_parts(parts, body.to_bytes()));
    }
    responses
}

const LIST: &str = "/elements.v1.Elements/List";

#[tokio::test]
async fn a_refusal_is_headers_alone() {
    let types = [
        "application/grpc",
        "application/grpc+proto",
        "Application/gRPC; charset=utf-8",
    ];
    let requests = types.map(|kind| http::Request::post(LIST).header(CONTENT_TYPE, kind));
    for (response, kind) in raw(true, requests.into()).await.iter().zip(types) {
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], kind);
        assert_eq!(headers["grpc-status"], "16");
        assert_eq!(headers["grpc-message"], DENIED);
        assert_eq!(headers["www-authenticate"], r#"Bearer realm="api""#);
        assert!(response.body().is_empty());
    }

    let two = http::Request::post(LIST)
        .header(CONTENT_TYPE, "application/grpc")
        .header("authorization", "Bearer reader")
        .header("authorization", "Bearer reader");
    let response = &raw(true, vec![two]).await[0];
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "16");
}

/// Only a call of gRPC gets its 200: nobody turns a 401 into one by asking in another way.
#[tokio::test]
async fn what_is_no_grpc_gets_the_401() {
    let requests = vec![
        http::Request::post(LIST),
        http::Request::post(LIST).header(CONTENT_TYPE, "application/json"),
        http::Request::post(LIST).header(CONTENT_TYPE, "application/grpc-web"),
        http::Request::post(LIST).header(CONTENT_TYPE, "text/plain; application/grpc"),
        http::Request::put(LIST).header(CONTENT_TYPE, "application/grpc"),
    ];
    let mut responses = raw(true, requests).await;
    // gRPC is spoken over HTTP/2 alone.
    let http1 = http::Request::post(LIST).header(CONTENT_TYPE, "application/grpc");
    responses.extend(raw(false, vec![http1]).await);
    for response in responses {
        assert_eq!(response.status(), 401);
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(headers["www-authenticate"], r#"Bearer realm="api""#);
        assert!(!headers.contains_key("grpc-status"));
        let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(problem["status"], 401);
        assert_eq!(problem["detail"], DENIED);
        assert_eq!(problem["instance"], LIST);
    }
}

/// Names that only begin like the health service are not exempt.
#[tokio::test]
async fn what_looks_like_health_is_not() {
    let paths = [
        "/grpc.health.v1.HealthCare/Check",
        "/grpc.health.v1.Health",
        "//grpc.health.v1.Health/Check",
        "/GRPC.health.v1.Health/Check",
        "/elements.v1.Elements/grpc.health.v1.Health/Check",
    ];
    let requests =
        paths.map(|path| http::Request::post(path).header(CONTENT_TYPE, "application/grpc"));
    for (response, path) in raw(true, requests.into()).await.iter().zip(paths) {
        assert_eq!(response.headers()["grpc-status"], "16", "{path}");
    }

    // There is no health service here, which tonic says itself: 12 is UNIMPLEMENTED.
    let health = http::Request::post("/grpc.health.v1.Health/Check")
        .header(CONTENT_TYPE, "application/grpc");
    let response = &raw(true, vec![health]).await[0];
    assert_eq!(response.headers()["grpc-status"], "12");
    assert!(!response.headers().contains_key("www-authenticate"));
}
