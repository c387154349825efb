//! A JSON API behind the layer: axum, JWTs by a key that is made when it starts.
//!
//! ```text
//! cargo run --features full --example axum
//! ```
//!
//! It needs no set-up. It listens on `ADDR` (default 127.0.0.1:3000), prints a valid token and `curl`
//! lines that are ready to paste, and stops on Ctrl-C or SIGTERM. In a service of your own,
//! `Key::from_pem`, `Key::hmac` or a JWK Set takes the place of the issuer made here.
#![allow(clippy::print_stdout)]

use std::{env, error::Error, future::IntoFuture, io, time::Duration};

use axum::{Json, Router, extract::OriginalUri, response::IntoResponse, routing::get};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, signal};
use tower_bearer::{
    Algorithm, BearerAuthLayer, Claims, JwtVerifier, NumericDate, ProblemJson, RequireScopes,
    testing::Issuer,
};
use tower_http::{
    cors::CorsLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";

/// How long requests have to finish once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What this service reads from a token, beside the claims that the standards name.
#[derive(Deserialize)]
struct User {
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();

    // Somebody who issues tokens. A real service has only their public key.
    let issuer = Issuer::new(ISSUER, Algorithm::ES256)?;

    let verifier = JwtVerifier::<User>::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer.key()?)
        .access_token_profile()
        .build()?;

    let problems = ProblemJson::new()
        .type_base("https://docs.example.com/docs/errors/")?
        // The router below is nested, which takes the prefix off the path that the layer sees.
        .instance(|request| Some(request.extensions.get::<OriginalUri>()?.path().to_owned()));
    let auth = BearerAuthLayer::new(verifier).reject(problems);

    let api = Router::new()
        .route("/elements", get(elements).post(add_element))
        .route(
            "/admin",
            get(|| async { "you may\n" }).layer(auth.require(RequireScopes::all_of(["admin"])?)),
        )
        .layer(auth);

    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .nest("/api/v2", api)
        // Outside of the layer, so that a refusal has a request id, is traced, and is shown to a page.
        .layer(CorsLayer::permissive())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(TraceLayer::new_for_http())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid));

    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let (stop, grace_begins) = (stopped()?, stopped()?);
    let url = format!("http://{}", listener.local_addr()?);
    let token = a_token(&issuer)?;
    println!("listening on {url}");
    println!("\na token, good for an hour:\n\nTOKEN={token}\n");
    println!("# 200, and what the token says");
    println!("curl -i {url}/api/v2/elements -H \"Authorization: Bearer $TOKEN\"\n");
    println!("# 401, and a challenge without `error`: there is no token");
    println!("curl -i {url}/api/v2/elements\n");
    println!("# 401 invalid_token");
    println!("curl -i {url}/api/v2/elements -H \"Authorization: Bearer ${{TOKEN}}x\"\n");
    println!("# 403 insufficient_scope: the token is good, but not for this");
    println!("curl -i {url}/api/v2/admin -H \"Authorization: Bearer $TOKEN\"\n");
    println!("# 400 invalid_request: two tokens");
    println!(
        "curl -i {url}/api/v2/elements -H \"Authorization: Bearer $TOKEN\" -H \"Authorization: Bearer $TOKEN\"\n"
    );
    println!("# the trace id of the caller comes back in the problem");
    println!(
        "curl -i {url}/api/v2/elements -H \"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\""
    );

    let server = axum::serve(listener, app).with_graceful_shutdown(stop);
    tokio::select! {
        result = server.into_future() => result?,
        // Requests are finished, but a client that does not hang up is not waited for.
        () = async { grace_begins.await; tokio::time::sleep(GRACE).await } => {}
    }
    Ok(())
}

async fn elements(user: Claims<User>) -> impl IntoResponse {
    let claims = user.registered();
    Json(json!({
        "elements": ["earth", "water", "air", "fire"],
        "for": user.name,
        "subject": claims.subject(),
        "scopes": claims.scopes().iter().collect::<Vec<_>>(),
    }))
}

async fn add_element(user: Claims<User>, element: String) -> String {
    format!("{} adds {element}\n", user.name)
}

/// What an authorization server would give to a client.
fn a_token(issuer: &Issuer) -> Result<String, Box<dyn Error + Send + Sync>> {
    let now = NumericDate::from(std::time::SystemTime::now()).as_secs();
    let token = issuer.token(&json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "client_id": "axum-example",
        "jti": "1",
        "iat": now,
        "exp": now + 3600,
        "scope": "read write",
        "name": "Alice",
    }))?;
    Ok(token)
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
