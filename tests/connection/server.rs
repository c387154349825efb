//! Servers on ports of their own, which reject what has no good token.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{copy, sink},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service, service_fn};
use tower_bearer::{AuthError, BearerAuthLayer, BearerToken, Claims, Verifier, verify_fn};

use crate::support::good_token;

/// Serves over HTTP/1.1 until the test ends.
pub async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    address
}

/// The service behind: reads the request to its end and returns its length.
async fn inner(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let length = request
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes().len());
    Ok(Response::new(Full::from(format!(
        "{} bytes",
        length.unwrap_or_default()
    ))))
}

/// A server behind the layer, which says in time that it has no use for the content.
pub async fn behind_the_layer() -> SocketAddr {
    serve(BearerAuthLayer::new(good_token()).layer(service_fn(inner))).await
}

/// The same, where each verdict takes time.
pub async fn behind_a_slow_verifier() -> SocketAddr {
    let slow = tower_bearer::verify_async_fn(|token: tower_bearer::OwnedToken| async move {
        tokio::task::yield_now().await;
        judge(token.as_token())
    });
    serve(BearerAuthLayer::new(slow).layer(service_fn(inner))).await
}

/// Tokens that are good everywhere, good for little, and bad.
pub fn judge(token: BearerToken<'_>) -> Result<Claims, AuthError> {
    match token.as_str() {
        "good" => Ok(Claims::builder().subject("alice").scope("write").build(())),
        "reader" => Ok(Claims::builder().subject("bob").build(())),
        _ => Err(AuthError::invalid_token("unknown")),
    }
}

/// The layer whose verifier judges so.
pub fn auth() -> BearerAuthLayer<impl Verifier<Claims = (), Future: Send> + Send + Sync + 'static> {
    BearerAuthLayer::new(verify_fn(judge))
}

/// A router whose routes reject in different places: `/layer`, `/require`, `/extract` (behind an optional
/// layer), and, where the stack is wrong, `/unlayered` and `/unlayered-require`.
#[cfg(feature = "axum")]
pub fn router() -> axum::Router {
    use axum::{Router, routing::any};
    use tower_bearer::RequireScopes;

    async fn read(body: Bytes) -> String {
        format!("{} bytes", body.len())
    }
    async fn extract(_: Claims, body: Bytes) -> String {
        read(body).await
    }
    let write = || RequireScopes::all_of(["write"]).unwrap();
    let auth = auth();
    Router::new()
        .route("/layer", any(read).layer(auth.clone()))
        .route(
            "/require",
            any(read)
                .layer::<_, Infallible>(auth.require(write()))
                .layer(auth.clone()),
        )
        .route("/extract", any(extract).layer(auth.clone().optional()))
        .route("/unlayered", any(extract))
        .route("/unlayered-require", any(read).layer(auth.require(write())))
        .route("/good", any(read).layer(auth))
        // Longer than what axum takes by default.
        .layer(axum::extract::DefaultBodyLimit::disable())
}

#[cfg(feature = "axum")]
pub async fn serve_router(app: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A stretch of network before a server, on which bytes come at once and the end of a connection comes
/// later: for so long a client cannot see that the server has closed it.
pub async fn far(server: SocketAddr) -> SocketAddr {
    const LATER: Duration = Duration::from_millis(100);

    async fn relay(client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
        let server = TcpStream::connect(server).await?;
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let requests = async {
            let _ = copy(&mut from_client, &mut to_server).await;
            // What the server does not take any longer is lost, and nobody hears of it.
            let _ = copy(&mut from_client, &mut sink()).await;
        };
        let responses = async {
            let _ = copy(&mut from_server, &mut to_client).await;
            tokio::time::sleep(LATER).await;
        };
        tokio::select! { () = requests => {}, () = responses => {} }
        Ok(())
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            client.set_nodelay(true).unwrap();
            tokio::spawn(relay(client, server));
        }
    });
    address
}
