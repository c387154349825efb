//! A verifier of one's own: sessions, looked up in a store that may be slow or down. In axum.
//!
//! ```text
//! cargo run --features full --example custom_verifier
//! ```
//!
//! It needs no set-up. It listens on `ADDR` (default 127.0.0.1:3000), prints two sessions and `curl`
//! lines that are ready to paste, and stops on Ctrl-C or SIGTERM. The store is a map in memory behind
//! an `async fn`; Redis or SQL takes its place. It can be told to be down, or not to answer:
//!
//! ```text
//! # 200, and who is logged in
//! curl -i http://127.0.0.1:3000/me -H "Authorization: Bearer $ALICE"
//! # 200 for anybody, by name for those who are logged in
//! curl -i http://127.0.0.1:3000/
//! # 403 insufficient_scope: alice is no admin
//! curl -i http://127.0.0.1:3000/admin -H "Authorization: Bearer $ALICE"
//! # now the store is down ...
//! curl -X POST http://127.0.0.1:3000/store/down
//! # ... 503 with Retry-After: bob is not told to log in again
//! curl -i http://127.0.0.1:3000/me -H "Authorization: Bearer $BOB"
//! ```
//!
//! A session that was found is kept by `Cached` for a few seconds, in which it needs no look-up: alice
//! does not notice that the store is down. The price is that a session which is ended elsewhere is good
//! for that long. Without `Cached` every request is a look-up; with an `Epoch` in the claims, ending it
//! is effective at once within the process.
#![allow(clippy::print_stdout)]

use std::{
    collections::HashMap,
    env,
    error::Error,
    future::{IntoFuture, pending},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use serde::Deserialize;
use tokio::{net::TcpListener, signal, time};
use tower_bearer::{
    AuthError, BearerAuthLayer, Cached, Claims, OwnedToken, ProblemJson, RequireScopes,
    verify_async_fn,
};

/// How long the store has to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// For how long a session that was found is not looked up again.
const KEPT: Duration = Duration::from_secs(10);

/// How long requests have to finish once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

// Sessions of those who have logged in already.
const ALICE: &str = "s-4Zk8WfTq1nYc7RvB";
const BOB: &str = "s-9Hd2LxPm6uJe3GaS";

/// What the store knows of a session, and what handlers get.
#[derive(Clone)]
struct Session {
    user: String,
    scope: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();

    let store = Arc::new(Store::new());
    let sessions = Arc::clone(&store);
    let verifier = verify_async_fn(move |token: OwnedToken| {
        let sessions = Arc::clone(&sessions);
        async move { verify(&sessions, &token).await }
    });

    let auth = BearerAuthLayer::new(Cached::builder(verifier).time_to_live(KEPT).build()?)
        .reject(ProblemJson::new().type_base("https://docs.example.com/docs/errors/")?);

    let members = Router::new()
        .route("/me", get(me))
        .route(
            "/admin",
            get(|| async { "you may\n" }).layer(auth.require(RequireScopes::all_of(["admin"])?)),
        )
        .route_layer(auth.clone());
    // The same verifier, and the same sessions kept, but without a token one comes in too.
    let anybody = Router::new()
        .route("/", get(greeting))
        .route_layer(auth.optional());
    let app = members
        .merge(anybody)
        // For trying things out alone.
        .route("/store/{health}", post(set_health).with_state(store));

    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let (stop, grace_begins) = (stopped()?, stopped()?);
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    println!("\ntwo sessions:\n\nALICE={ALICE}\nBOB={BOB}\n");
    println!("# 200, and who is logged in");
    println!("curl -i {url}/me -H \"Authorization: Bearer $ALICE\"\n");
    println!("# 401, and a challenge without `error`: there is no token");
    println!("curl -i {url}/me\n");
    println!("# 401 invalid_token: no such session");
    println!("curl -i {url}/me -H \"Authorization: Bearer ${{ALICE}}x\"\n");
    println!("# 200: hello stranger");
    println!("curl -i {url}/\n");
    println!("# 200: hello alice");
    println!("curl -i {url}/ -H \"Authorization: Bearer $ALICE\"\n");
    println!("# 401 invalid_token: a bad token is not taken for none");
    println!("curl -i {url}/ -H \"Authorization: Bearer ${{ALICE}}x\"\n");
    println!("# 403 insufficient_scope: alice is no admin");
    println!("curl -i {url}/admin -H \"Authorization: Bearer $ALICE\"\n");
    println!("# 200: from now on the store is down (`up` and `hanging` work too)");
    println!("curl -i -X POST {url}/store/down\n");
    println!("# 503 with Retry-After: whether the session is good cannot be found out now");
    println!("curl -i {url}/me -H \"Authorization: Bearer $BOB\"");

    let server = axum::serve(listener, app).with_graceful_shutdown(stop);
    tokio::select! {
        result = server.into_future() => result?,
        // Requests are finished, but a client that does not hang up is not waited for.
        () = async { grace_begins.await; time::sleep(GRACE).await } => {}
    }
    Ok(())
}

/// What the store says of a token. The verdict is waited for as long as it takes, hence the timeout.
async fn verify(store: &Store, token: &OwnedToken) -> Result<Claims<Session>, AuthError> {
    match time::timeout(PATIENCE, store.find(token.as_str())).await {
        Ok(Ok(Some(session))) => Ok(Claims::builder()
            .subject(&session.user)
            .scope(session.scope)
            .build(session)),
        Ok(Ok(None)) => Err(AuthError::invalid_token("unknown_session")),
        // The token is not at fault: 503, not 401. The source is for logs, and never sent.
        Ok(Err(error)) => Err(AuthError::unavailable("session_store").with_source(error)),
        Err(elapsed) => Err(AuthError::unavailable("session_store_slow").with_source(elapsed)),
    }
}

async fn me(session: Claims<Session>) -> String {
    let scopes = session.registered().scopes();
    let scopes: Vec<_> = scopes.iter().collect();
    format!("{}, who may {}\n", session.user, scopes.join(" and "))
}

async fn greeting(session: Option<Claims<Session>>) -> String {
    let name = session.as_ref().map_or("stranger", |session| &session.user);
    format!("hello {name}\n")
}

async fn set_health(State(store): State<Arc<Store>>, Path(health): Path<Health>) -> String {
    *store.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    format!("the store is {health:?}\n").to_lowercase()
}

/// Stands for Redis or SQL. A real one would hold hashes of the tokens, so that a copy of it lets
/// nobody in.
struct Store {
    sessions: HashMap<&'static str, Session>,
    health: Mutex<Health>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Up,
    Down,
    Hanging,
}

impl Store {
    fn new() -> Self {
        let session = |user: &str, scope| Session {
            user: user.to_owned(),
            scope,
        };
        Self {
            sessions: HashMap::from([
                (ALICE, session("alice", "read write")),
                (BOB, session("bob", "read admin")),
            ]),
            health: Mutex::new(Health::Up),
        }
    }

    async fn find(&self, token: &str) -> Result<Option<Session>, io::Error> {
        let health = *self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match health {
            Health::Up => Ok(self.sessions.get(token).cloned()),
            Health::Down => Err(io::ErrorKind::ConnectionRefused.into()),
            Health::Hanging => pending().await,
        }
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
