//! Bare hyper behind the layer: HTTP/1.1 and HTTP/2 on one port, API tokens that are known beforehand.
//!
//! ```text
//! cargo run --features full --example hyper
//! ```
//!
//! It needs no set-up. It listens on `ADDR` (default 127.0.0.1:3000), prints a valid token and `curl`
//! lines that are ready to paste, and stops on Ctrl-C or SIGTERM:
//!
//! ```text
//! # 200: hello alice, over HTTP/1.1
//! curl -i http://127.0.0.1:3000/ -H "Authorization: Bearer $TOKEN"
//! # 200: hello alice, over HTTP/2.0
//! curl -i --http2-prior-knowledge http://127.0.0.1:3000/ -H "Authorization: Bearer $TOKEN"
//! # 401, and a challenge without `error`: there is no token
//! curl -i http://127.0.0.1:3000/
//! # 403 insufficient_scope: the token is good, but may not read
//! curl -i http://127.0.0.1:3000/ -H "Authorization: Bearer $OTHER"
//! ```
//!
//! The layer makes a tower service of a tower service; `TowerToHyperService` makes hyper's of that.
#![allow(clippy::print_stdout)]

use std::{env, error::Error, io, pin::pin, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, body::Incoming, header::CONTENT_LENGTH};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, signal, time};
use tower::ServiceBuilder;
use tower_bearer::{BearerAuthLayer, Claims, ProblemJson, RequireScopes, StaticTokens};

/// How long requests have to finish once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

// A real service has its tokens, or better `token_sha256` of them, from its configuration.
const TOKEN: &str = "kT9vQ2mXw7Rz4bLs8HcN3pYd";
const OTHER: &str = "w5JfA1sUe6GqZ0rVt9DxK2nB";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();

    let verifier = StaticTokens::builder()
        .token(
            TOKEN,
            Claims::builder().subject("alice").scope("read").build(()),
        )
        .token(
            OTHER,
            Claims::builder().subject("bob").scope("write").build(()),
        )
        .build()?;
    let auth = BearerAuthLayer::new(verifier)
        .reject(ProblemJson::new().type_base("https://docs.example.com/docs/errors/")?)
        .check(RequireScopes::all_of(["read"])?);

    // Request ids and tracing stand before the layer, what only known callers shall reach behind it.
    let service = ServiceBuilder::new().layer(auth).service_fn(hello);
    let service = TowerToHyperService::new(service);

    let mut server = auto::Builder::new(TokioExecutor::new());
    // With a timer hyper hangs up on a client who does not finish its headers.
    server.http1().timer(TokioTimer::new());
    server.http2().timer(TokioTimer::new());

    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let mut stopped = pin!(stopped()?);
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    println!("\na token that may read, and one that may not:\n\nTOKEN={TOKEN}\nOTHER={OTHER}\n");
    println!("# 200, over HTTP/1.1");
    println!("curl -i {url}/ -H \"Authorization: Bearer $TOKEN\"\n");
    println!("# 200, over HTTP/2");
    println!("curl -i --http2-prior-knowledge {url}/ -H \"Authorization: Bearer $TOKEN\"\n");
    println!("# 401, and a challenge without `error`: there is no token");
    println!("curl -i {url}/\n");
    println!("# 401 invalid_token, over HTTP/2");
    println!("curl -i --http2-prior-knowledge {url}/ -H \"Authorization: Bearer ${{TOKEN}}x\"\n");
    println!("# 403 insufficient_scope: the token is good, but may not read");
    println!("curl -i {url}/ -H \"Authorization: Bearer $OTHER\"");

    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let Ok((stream, _)) = accepted else {
            // Such as too many open files, which is over when some are closed.
            time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Without it a small frame of HTTP/2 may wait for the client to acknowledge the one before.
        let _ = stream.set_nodelay(true);
        let connection = server.serve_connection(TokioIo::new(stream), service.clone());
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "connection");
            }
        });
    }

    // Nobody new; requests are finished, but a client that does not hang up is not waited for.
    drop(listener);
    let _ = time::timeout(GRACE, connections.shutdown()).await;
    Ok(())
}

async fn hello(
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let claims: &Claims = request
        .extensions()
        .get()
        .ok_or("the layer is not around this service")?;
    let name = claims.registered().subject().unwrap_or("nobody");
    let text = format!("hello {name}, over {:?}\n", request.version());

    let response = Response::builder().header(CONTENT_LENGTH, text.len());
    // Over HTTP/2 hyper sends the body that a service answers HEAD with.
    let body = match *request.method() {
        Method::HEAD => Full::default(),
        _ => Full::from(text),
    };
    Ok(response.body(body)?)
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
