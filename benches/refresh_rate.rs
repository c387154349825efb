//! How many refreshes one core does in a second, in memory and on a Redis on this machine, and how long the slowest
//! of a hundred takes; and how long it takes to log out a user, and all users of a client.
//!
//! `cargo bench --features full --bench refresh_rate`; a second for each row. Redis writes each answer down before it is
//! given (`appendfsync always`), and has a core of its own.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_bearer::token_service::{
    AuthorizationServer, Client, InMemoryClients, InMemoryRefreshStore, RedisRefreshStore,
    RefreshStore, SecretHash, SigningKeys,
};

#[path = "../tests/support/redis.rs"]
#[allow(dead_code)]
mod redis;

/// Whether it is only to be seen that it runs.
fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

fn main() {
    let time = Duration::from_millis(if is_test() { 10 } else { 1000 });
    println!(
        "{:28} {:>12} {:>10} {:>10}",
        "", "refreshes/s", "median", "p99"
    );
    for clients in [1, 32] {
        row("in memory", clients, time, InMemoryRefreshStore::new);
    }
    let families = if is_test() { 100 } else { 20_000 };
    logout("in memory", families, InMemoryRefreshStore::new());
    if std::process::Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("no redis-server, and so no figures of it");
        return;
    }
    for (name, settings) in [
        (
            "Redis, appendfsync always",
            &["--appendonly", "yes", "--appendfsync", "always"][..],
        ),
        ("Redis, nothing written", &[]),
    ] {
        let server = redis::RedisServer::start_with(settings);
        for clients in [1, 32] {
            row(name, clients, time, || {
                RedisRefreshStore::new(server.url()).unwrap()
            });
        }
        let store = RedisRefreshStore::new(server.url()).unwrap();
        logout(name, families, store);
    }
}

fn row<S: RefreshStore>(name: &str, clients: usize, time: Duration, store: impl Fn() -> S) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (server, credentials) = server(store());
    let server = Arc::new(server);
    let mut took = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (server, credentials) = (Arc::clone(&server), credentials.clone());
            tasks.spawn(async move {
                let mut token = post(server.token_endpoint(), &credentials).await;
                let (began, mut took) = (Instant::now(), Vec::new());
                while began.elapsed() < time {
                    let asked = Instant::now();
                    let form = format!("refresh_token={token}");
                    token = post(server.refresh_endpoint(), &form).await;
                    took.push(asked.elapsed());
                    // A store that answers at once never waits, and would let nobody else come to.
                    tokio::task::yield_now().await;
                }
                took
            });
        }
        tasks.join_all().await.concat()
    });
    took.sort_unstable();
    let rate = took.len() as f64 / time.as_secs_f64();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{name:21} {clients:3} at once {rate:9.0} {median:>10.1?} {p99:>10.1?}");
}

/// Ten sessions of a user, among so many of a client.
fn logout(name: &str, families: usize, store: impl RefreshStore) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (server, _) = server(store);
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for task in 0..50 {
            let server = server.clone();
            tasks.spawn(async move {
                for number in 0..families / 50 {
                    let user = match (task, number) {
                        (0, 0..10) => "alice".to_owned(),
                        _ => format!("user-{task}-{number}"),
                    };
                    server.issue("svc", &user, None).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        let began = Instant::now();
        let of_user = server.end_families_of("svc", "alice").await.unwrap();
        let took = began.elapsed();
        println!("{name:21} a user logged out of {of_user} sessions in {took:.1?}");
        let began = Instant::now();
        let of_client = server.end_families("svc").await.unwrap();
        let took = began.elapsed();
        println!("{name:21} all {of_client} sessions of a client ended in {took:.1?}");
    });
}

fn server(store: impl RefreshStore) -> (AuthorizationServer, String) {
    let (secret, hash) = SecretHash::generate().unwrap();
    let client = Client::builder("svc")
        .secret(hash)
        .scope("read write")
        .build()
        .unwrap();
    let server = AuthorizationServer::builder()
        .issuer("https://login.example.com")
        .audience("https://api.example.com")
        .signing_keys(SigningKeys::generate().unwrap())
        .clients(InMemoryClients::new([client]).unwrap())
        .refresh_tokens(store)
        .unlimited_failures()
        .build()
        .unwrap();
    let credentials = format!("grant_type=client_credentials&client_id=svc&client_secret={secret}");
    (server, credentials)
}

/// The refresh token that a form is answered with.
async fn post(service: tower_bearer::token_service::TokenService, form: &str) -> String {
    let request: Request<Full<Bytes>> = Request::post("/api/v2/auth/refresh")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(form.to_owned()))
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let tokens: Value = serde_json::from_slice(&body).unwrap();
    tokens["refresh_token"].as_str().unwrap().to_owned()
}
