//! A whole resource server: JWTs by the keys that an identity provider publishes, a cache, request ids,
//! traces, metrics, and a health check that tells the state of the keys.
//!
//! ```text
//! ISSUER=https://login.example.com AUDIENCE=https://api.example.com JWKS_URL= \
//!     cargo run --features full --example resource_server
//! ```
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `ADDR` | where it listens | `127.0.0.1:3000` |
//! | `ISSUER` | whose tokens are accepted | `http://127.0.0.1:4500` |
//! | `JWKS_URL` | where the keys are; empty: where the issuer's metadata says | `http://127.0.0.1:4500/jwks` |
//! | `AUDIENCE` | whom the tokens must be meant for, one of these | `https://api.test` |
//! | `ALGORITHMS` | by which they may be signed | `RS256 PS256 ES256 ES384 ES512 EdDSA` |
//! | `JWKS_FRESH` | for how long keys are fresh that do not say it, in seconds | `600` |
//! | `JWKS_COOLDOWN` | how long after a fetch an unknown key causes no other, in seconds | `30` |
//! | `JWKS_MAX_STALE` | for how long old keys are used while the issuer is down, in seconds | `3600` |
//! | `JWKS_TIMEOUT` | how long a fetch may take, in seconds | `5` |
//! | `CACHE_TTL` | for how long a verdict is kept at most, in seconds; 0: not at all | `300` |
//! | `CACHE_BYTES` | how much room the verdicts may take | `33554432` |
//! | `LEEWAY` | by how much clocks may differ, in seconds | `60` |
//! | `TYPE_BASE` | what the `type` of a problem begins with; empty: `about:blank` | `https://docs.example.com/docs/errors/` |
//! | `RUST_LOG` | what is logged | `info` |
//!
//! Only access tokens of RFC 9068 are accepted. Nothing is fetched before the first token, or before
//! `/healthz` is asked. Every route answers every method:
//!
//! | route | who may |
//! |---|---|
//! | `/jwt` | who has a token |
//! | `/jwt/admin` | whose token has the scope `admin` |
//! | `/jwt/query` | who has a token, also as the query parameter `access_token` |
//! | `/optional` | everybody, but with a bad token nobody |
//! | `/public` | everybody |
//! | `/healthz` | everybody: 200 if there are keys, 503 if not |
//! | `/metrics` | everybody: the metrics, as Prometheus reads them |
#![allow(clippy::print_stdout)]

use std::{env, error::Error, future::IntoFuture, io, str::FromStr, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tokio::{net::TcpListener, signal};
use tower_bearer::{
    Algorithm, BearerAuthLayer, Cached, Claims, JwtVerifier, KeySetHealth, ProblemJson,
    RemoteKeySet, RequireScopes, TokenSource,
};
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};

type AnyError = Box<dyn Error + Send + Sync>;

/// How long requests have to finish once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(io::stderr)
        .init();
    let metrics = record_metrics()?;

    let issuer = var("ISSUER", "http://127.0.0.1:4500");
    let keys = match var("JWKS_URL", "http://127.0.0.1:4500/jwks") {
        url if url.is_empty() => RemoteKeySet::discover(&issuer),
        url => RemoteKeySet::jwks_url(url),
    }
    .fresh_for(seconds("JWKS_FRESH", 600)?)
    .cooldown(seconds("JWKS_COOLDOWN", 30)?)
    .max_stale(seconds("JWKS_MAX_STALE", 3600)?)
    .timeout(seconds("JWKS_TIMEOUT", 5)?)
    .build()?;
    let health = keys.health();

    let algorithms = var("ALGORITHMS", "RS256 PS256 ES256 ES384 ES512 EdDSA");
    let algorithms: Vec<Algorithm> = algorithms
        .split_ascii_whitespace()
        .map(Algorithm::from_str)
        .collect::<Result<_, _>>()?;
    let audiences = var("AUDIENCE", "https://api.test");
    let verifier = JwtVerifier::<()>::builder()
        .issuer(&issuer)
        .algorithms(algorithms)
        .remote_keys(keys)
        .access_token_profile()
        .leeway(seconds("LEEWAY", 60)?);
    let verifier = audiences
        .split_ascii_whitespace()
        .fold(verifier, |verifier, audience| verifier.audience(audience))
        .build()?;
    let verifier = Cached::builder(verifier)
        .time_to_live(seconds("CACHE_TTL", 300)?)
        .max_bytes(number("CACHE_BYTES", 32 * 1024 * 1024)?)
        .build()?;

    let mut problems = ProblemJson::new();
    let base = var("TYPE_BASE", "https://docs.example.com/docs/errors/");
    if !base.is_empty() {
        problems = problems.type_base(&base)?;
    }
    // One for each way of asking; the verifier, its cache and its keys are the same.
    let auth = || BearerAuthLayer::new(verifier.clone()).reject(problems.clone());
    let admin = RequireScopes::all_of(["admin"])?;

    let app = Router::new()
        .route("/jwt", any(whoami).layer(auth()))
        .route("/jwt/admin", any(whoami).layer(auth().check(admin)))
        .route(
            "/jwt/query",
            any(whoami).layer(auth().token_source(TokenSource::query("access_token")?)),
        )
        .route("/optional", any(whoami).layer(auth().optional()))
        .route("/public", any(whoami).layer(auth().exempt(|_| true)))
        .route("/healthz", any(healthz).with_state(health))
        .route("/metrics", any(prometheus).with_state(metrics))
        // Outside of the layer, so that a refusal has a request id, and is traced.
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(TraceLayer::new_for_http())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid));

    let listener = TcpListener::bind(var("ADDR", "127.0.0.1:3000")).await?;
    let (stop, grace_begins) = (stopped()?, stopped()?);
    println!("listening on http://{}", listener.local_addr()?);

    let server = axum::serve(listener, app).with_graceful_shutdown(stop);
    tokio::select! {
        result = server.into_future() => result?,
        // Requests are finished, but a client that does not hang up is not waited for.
        () = async { grace_begins.await; tokio::time::sleep(GRACE).await } => {}
    }
    Ok(())
}

/// What the token says, if there is one.
async fn whoami(claims: Option<Claims>) -> impl IntoResponse {
    let Some(claims) = claims else {
        return Json(json!({ "anonymous": true }));
    };
    let claims = claims.registered();
    Json(json!({
        "sub": claims.subject(),
        "client_id": claims.client_id(),
        "scope": claims.scopes().iter().collect::<Vec<_>>().join(" "),
    }))
}

/// The state of the keys. A balancer asks this before it sends requests, and so has the keys fetched.
async fn healthz(State(keys): State<KeySetHealth>) -> Response {
    let keys = keys.status();
    let status = if keys.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let skipped: Vec<String> = keys.skipped.iter().map(ToString::to_string).collect();
    let body = json!({
        "ready": keys.is_ready(),
        "keys": keys.keys,
        "age": keys.age.map(|age| age.as_secs()),
        "stale": keys.stale,
        "skipped": skipped,
        "last_error": keys.last_error.map(|error| error.to_string()),
        "attempts": keys.attempts,
        "failures": keys.failures,
    });
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn prometheus(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, TEXT)], metrics.render())
}

/// Takes whatever is measured, to be shown by [`prometheus`].
fn record_metrics() -> Result<PrometheusHandle, AnyError> {
    const DURATIONS: [f64; 9] = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2, 0.1, 1.0, 5.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("duration".to_owned()), &DURATIONS)?
        .install_recorder()?;
    tower_bearer::describe_metrics();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

fn var(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn seconds(name: &str, default: u64) -> Result<Duration, AnyError> {
    number(name, default).map(Duration::from_secs)
}

fn number(name: &str, default: u64) -> Result<u64, AnyError> {
    let text = var(name, &default.to_string());
    text.parse()
        .map_err(|_| format!("{name} is {text:?}, which is not a whole number").into())
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
