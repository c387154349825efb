//! A service that verified tokens by jsonwebtoken, and keeps its keys and its validation.
//!
//! ```text
//! cargo run --features full --example jsonwebtoken_bridge
//! ```
//!
//! It needs no set-up. It listens on `ADDR` (default 127.0.0.1:3000), prints a valid token and `curl`
//! lines that are ready to paste, and stops on Ctrl-C.
//!
//! `keys` and `validation` are what such a service has already. Before, its middleware looked for the
//! header, called `jsonwebtoken::decode` and made a 401 of its own; now the layer does all three.
#![allow(clippy::print_stdout)]

use std::{env, error::Error};

use axum::{Router, routing::get};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, signal};
use tower_bearer::{
    BearerAuthLayer, Claims, NumericDate, ProblemJson, RequireScopes, SystemClock,
    jsonwebtoken::JsonWebTokenVerifier, testing::Issuer,
};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";

/// What the handlers read from the token, beside the registered claims.
#[derive(Deserialize)]
struct User {
    name: String,
}

/// What was passed to `jsonwebtoken::decode` before.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.leeway = 30;
    validation
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();

    // A real service has the key from a file or from its issuer: `DecodingKey::from_ec_pem`, `from_jwk`.
    let issuer = Issuer::new(ISSUER, tower_bearer::Algorithm::ES256)?;
    let keys: JwkSet = serde_json::from_str(&issuer.public_key_set())?;

    let mut verifier = JsonWebTokenVerifier::<User>::builder(validation());
    for jwk in &keys.keys {
        let key = DecodingKey::from_jwk(jwk)?;
        verifier = match &jwk.common.key_id {
            Some(key_id) => verifier.key_with_id(key_id, key),
            None => verifier.key(key),
        };
    }
    let auth = BearerAuthLayer::new(verifier.build()?)
        .reject(ProblemJson::new().type_base("https://docs.example.com/docs/errors/")?);
    let app = Router::new()
        .route("/hello", get(hello))
        .route(
            "/admin",
            get(|| async { "administrate\n" })
                .layer(auth.require(RequireScopes::all_of(["admin"])?)),
        )
        .layer(auth);

    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let now = tower_bearer::Clock::now(&SystemClock).as_secs();
    let token = issuer.token(&json!({
        "aud": AUDIENCE, "sub": "alice", "name": "Alice", "scope": "read", "exp": now + 3600,
    }))?;
    println!("listening on {url}");
    println!("\na token for an hour:\n\nTOKEN={token}\n");
    println!("# 200");
    println!("curl -i {url}/hello -H \"Authorization: Bearer $TOKEN\"\n");
    println!("# 401, and a challenge without `error`: there is no token");
    println!("curl -i {url}/hello\n");
    println!("# 401 invalid_token");
    println!("curl -i {url}/hello -H \"Authorization: Bearer ${{TOKEN}}x\"\n");
    println!("# 403 insufficient_scope: the token is good, but may not administrate");
    println!("curl -i {url}/admin -H \"Authorization: Bearer $TOKEN\"");

    axum::serve(listener, app)
        .with_graceful_shutdown(stopped())
        .await?;
    Ok(())
}

async fn hello(user: Claims<User>) -> String {
    let expires = user.registered().expires_at();
    let expires = expires.map_or(0, NumericDate::as_secs);
    format!("hello {}, until {expires}\n", user.name)
}

/// Resolves on Ctrl-C or SIGTERM.
async fn stopped() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = signal::ctrl_c() => {}
        }
        return;
    }
    if signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
