//! A gRPC service behind the layer, and its client: tonic, API tokens.
//!
//! ```text
//! cargo run --features full --example tonic
//! cargo run --features full --example tonic -- client http://127.0.0.1:3000
//! ```
//!
//! The first needs no set-up. It listens on `ADDR` (default 127.0.0.1:3000), prints two tokens, and stops
//! on Ctrl-C or SIGTERM. Health checks and reflection need no token, the rest of the server does, and to
//! add an element the token must have the scope `write`.
//!
//! The second calls every method with a good token, one without any, and one with a token that may only
//! read. A refusal is a gRPC status that carries the challenge in its metadata:
//!
//! ```text
//! without a token: Unauthenticated, "Invalid or expired authentication token"
//!   www-authenticate: Bearer realm="elements"
//! to add, with a token that may only read: PermissionDenied, "Access denied"
//!   www-authenticate: Bearer realm="elements", error="insufficient_scope", error_description="Access denied", scope="write"
//! ```
//!
//! The same by `curl`, with an empty message; and what is no gRPC is answered with a 401 and a problem
//! document:
//!
//! ```text
//! # 200 of HTTP, with `grpc-status: 16` (UNAUTHENTICATED)
//! printf '\0\0\0\0\0' | curl -i --http2-prior-knowledge http://127.0.0.1:3000/elements.v1.Elements/List \
//!     -H "Content-Type: application/grpc" --data-binary @-
//! # 401
//! curl -i --http2-prior-knowledge http://127.0.0.1:3000/elements.v1.Elements/List
//! ```
#![allow(clippy::print_stdout)]

use std::{env, error::Error, io, pin::Pin, time::Duration};

use futures_util::{Stream, TryStreamExt, stream};
use tokio::{net::TcpListener, signal, sync::watch};
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Server, server::TcpIncoming},
};
use tower_bearer::{AuthError, BearerAuthLayer, CheckContext, Claims, StaticTokens, exempt};

/// What `tonic-prost-build` makes of `elements.proto`.
#[allow(unreachable_pub)]
mod elements;

use elements::{
    AddRequest, AddResponse, Element, ListRequest, ListResponse, WatchRequest,
    elements_client::ElementsClient,
    elements_server::{self, ElementsServer},
};

/// Tokens for this example. Real ones are random, and the configuration holds their hashes:
/// see `StaticTokensBuilder::token_sha256`.
const WRITER: &str = "a-token-that-may-read-and-write";
const READER: &str = "a-token-that-may-only-read";

/// How long calls have to finish once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();

    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => serve().await,
        (Some("client"), Some(url)) => call(url).await,
        _ => Err("give no arguments to serve, or `client http://ADDR` to call".into()),
    }
}

async fn serve() -> Result<(), Box<dyn Error + Send + Sync>> {
    let claims = |subject, scope| Claims::builder().subject(subject).scope(scope).build(());
    let verifier = StaticTokens::builder()
        .token(WRITER, claims("alice", "read write"))
        .token(READER, claims("bob", "read"))
        .build()?;

    let auth = BearerAuthLayer::new(verifier)
        .realm("elements")?
        .check_fn(writers_add)
        .exempt(exempt::grpc_health)
        .exempt(exempt::grpc_reflection);

    let (_, health) = tonic_health::server::health_reporter();
    let router = Server::builder()
        .layer(auth)
        .add_service(health)
        .add_service(ElementsServer::new(Elements::new()));
    // Around one service alone, with the others open to all (`use tonic::service::LayerExt`):
    //
    //     Server::builder()
    //         .add_service(health)
    //         .add_service(auth.named_layer(ElementsServer::new(Elements::new())));

    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let (stop, grace_begins) = (stopped()?, stopped()?);
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    println!("\na token that may do all:      {WRITER}");
    println!("a token that may only read:   {READER}");
    println!("\n# calls with these, and without");
    println!("cargo run --features full --example tonic -- client {url}");
    println!("\n# 401: this is no gRPC");
    println!("curl -i --http2-prior-knowledge {url}/elements.v1.Elements/List");

    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = router.serve_with_incoming_shutdown(incoming, stop);
    tokio::select! {
        result = server => result?,
        // Calls are finished, but a client that goes on listening is not waited for.
        () = async { grace_begins.await; tokio::time::sleep(GRACE).await } => {}
    }
    Ok(())
}

/// The layer sees the path of a call before its message: `/package.Service/Method`.
fn writers_add(cx: &CheckContext<'_, ()>) -> Result<(), AuthError> {
    let scopes = cx.claims().registered().scopes();
    match cx.request().uri.path() {
        "/elements.v1.Elements/Add" if !scopes.contains("write") => {
            Err(AuthError::insufficient_scope("write"))
        }
        _ => Ok(()),
    }
}

/// The service. It knows nothing of tokens, only of claims.
struct Elements {
    known: watch::Sender<Vec<Element>>,
}

impl Elements {
    fn new() -> Self {
        let known = ["earth", "water", "air", "fire"].map(element);
        Self {
            known: watch::Sender::new(known.into()),
        }
    }
}

fn element(name: &str) -> Element {
    Element {
        name: name.to_owned(),
    }
}

#[tonic::async_trait]
impl elements_server::Elements for Elements {
    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        // The layer lets nobody pass without claims. If they are not there, it does not stand where
        // it should, and that is no fault of the caller.
        let claims: &Claims = request
            .extensions()
            .get()
            .ok_or_else(|| Status::internal("no claims"))?;
        let subject = claims.registered().subject().unwrap_or("nobody");
        Ok(Response::new(ListResponse {
            elements: self.known.borrow().clone(),
            subject: subject.to_owned(),
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<Element, Status>> + Send>>;

    async fn watch(
        &self,
        _request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let start = (self.known.subscribe(), 0);
        let elements = stream::unfold(start, |(mut known, seen)| async move {
            let more = known.wait_for(|known| known.len() > seen).await.ok()?;
            let element = more.get(seen)?.clone();
            drop(more);
            Some((Ok(element), (known, seen + 1)))
        });
        Ok(Response::new(Box::pin(elements)))
    }

    async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddResponse>, Status> {
        let element = request
            .into_inner()
            .element
            .ok_or_else(|| Status::invalid_argument("no element"))?;
        let mut count = 0;
        self.known.send_modify(|known| {
            known.push(element);
            count = u32::try_from(known.len()).unwrap_or(u32::MAX);
        });
        Ok(Response::new(AddResponse { count }))
    }
}

async fn call(url: String) -> Result<(), Box<dyn Error + Send + Sync>> {
    let channel = Channel::from_shared(url)?.connect().await?;

    let token = bearer(WRITER)?;
    let mut client = ElementsClient::with_interceptor(channel.clone(), |call| with(&token, call));
    let all = client.list(ListRequest {}).await?.into_inner();
    println!(
        "{} elements, listed for {}",
        all.elements.len(),
        all.subject
    );

    let mut watched = client.watch(WatchRequest {}).await?.into_inner();
    let element = Some(element("aether"));
    let added = client.add(AddRequest { element }).await?.into_inner();
    for _ in 0..added.count {
        if let Some(element) = watched.try_next().await? {
            println!("  watched: {}", element.name);
        }
    }

    let mut client = ElementsClient::new(channel.clone());
    if let Err(status) = client.list(ListRequest {}).await {
        show("without a token", &status);
    }

    let token = bearer(READER)?;
    let mut client = ElementsClient::with_interceptor(channel, |call| with(&token, call));
    if let Err(status) = client.add(AddRequest { element: None }).await {
        show("to add, with a token that may only read", &status);
    }
    Ok(())
}

/// The metadata `authorization`, which is not shown in logs.
fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Box<dyn Error + Send + Sync>> {
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn with(token: &MetadataValue<Ascii>, mut call: Request<()>) -> Result<Request<()>, Status> {
    call.metadata_mut().insert("authorization", token.clone());
    Ok(call)
}

fn show(call: &str, status: &Status) {
    println!("{call}: {:?}, {:?}", status.code(), status.message());
    for challenge in status.metadata().get_all("www-authenticate") {
        println!("  www-authenticate: {}", challenge.to_str().unwrap_or("?"));
    }
}

/// Listens for Ctrl-C and SIGTERM from now on, and is done when one of them has come.
#[cfg(unix)]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    use signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Done when Ctrl-C has come.
#[cfg(not(unix))]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
