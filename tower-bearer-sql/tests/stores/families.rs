//! Families of refresh tokens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;
use tower_bearer::token_service::{
    AuthorizationServer, Client, FamiliesOf, InMemoryClients, RefreshStore, SigningKeys,
};
use tower_bearer_sql::{Database, SqlRefreshStore};

use crate::{Kept, Lab, lab::eventually, on_both};

/// A server with the public client `spa` and these refresh tokens.
pub(crate) fn server(refresh_tokens: SqlRefreshStore) -> AuthorizationServer {
    let spa = Client::public("spa").scope("read").build().unwrap();
    AuthorizationServer::builder()
        .issuer("https://login.example.com")
        .audience("https://api.example.com")
        .signing_keys(SigningKeys::generate().unwrap())
        .clients(InMemoryClients::new([spa]).unwrap())
        .refresh_tokens(refresh_tokens)
        .store_timeout(Duration::from_secs(30))
        .unlimited_failures()
        .build()
        .unwrap()
}

pub(crate) async fn issue(server: &AuthorizationServer, subject: &str) -> String {
    let tokens = server.issue("spa", subject, None).await.unwrap();
    tokens.refresh_token().unwrap().to_owned()
}

/// The status of a refresh, and the successor.
pub(crate) async fn refresh(server: &AuthorizationServer, token: &str) -> (u16, Option<String>) {
    let request: Request<Full<Bytes>> = Request::post("/refresh")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(format!("refresh_token={token}")))
        .unwrap();
    let response = server.refresh_endpoint().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let tokens: serde_json::Value = serde_json::from_slice(&body).unwrap();
    (status, tokens["refresh_token"].as_str().map(str::to_owned))
}

async fn contract(lab: Lab) {
    tower_bearer::testing::check_refresh_store(lab.database.refresh_tokens()).await;
}
on_both!(the_contract_is_kept => super::contract);

async fn bounds(lab: Lab) {
    let store = SqlRefreshStore::builder(lab.database.clone())
        .max_families(100, 3)
        .build();
    let server = server(store.clone());
    let mut of_alice = Vec::new();
    for _ in 0..5 {
        of_alice.push(issue(&server, "alice").await);
    }
    issue(&server, "bob").await;
    let count = async |subject: &str| {
        let of = FamiliesOf::Subject(subject.to_owned());
        store.list(&of, None).await.unwrap().families.len()
    };
    assert_eq!(count("alice").await, 3);
    assert_eq!(count("bob").await, 1);
    assert_eq!(refresh(&server, &of_alice[4]).await.0, 200, "the newest");
    assert_eq!(server.end_families_of("spa", "alice").await.unwrap(), 3);
    assert_eq!(server.end_families("spa").await.unwrap(), 1);
}
on_both!(a_subject_has_so_many => super::bounds);

/// More than one statement lists or ends.
async fn many(lab: Lab) {
    let store = SqlRefreshStore::builder(lab.database.clone())
        .max_families(10_000, 10_000)
        .build();
    let server = server(store.clone());
    for _ in 0..600 {
        issue(&server, "alice").await;
    }
    let (of, mut listed, mut after) = (FamiliesOf::Client("spa".into()), 0, None);
    loop {
        let page = store.list(&of, after.as_deref()).await.unwrap();
        listed += page.families.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, 600);
    assert_eq!(server.end_families_of_subject("alice").await.unwrap(), 600);
}
on_both!(hundreds_are_listed_and_ended => super::many);

/// A database that is killed in the middle of refreshes: nobody's session is lost, and no token is good twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_loses_no_session() {
    let mut lab = Lab::postgres().await;
    let server = server(lab.database.refresh_tokens());
    let (over, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..10 {
        let token = issue(&server, &format!("user{number}")).await;
        let (server, over, done) = (server.clone(), Arc::clone(&over), Arc::clone(&done));
        tasks.spawn(async move {
            let (mut holds, mut before) = (token.clone(), token);
            while !over.load(Ordering::Relaxed) {
                let (status, successor) = refresh(&server, &holds).await;
                assert_eq!(status, 200);
                before = std::mem::replace(&mut holds, successor.unwrap());
                done.fetch_add(1, Ordering::Relaxed);
            }
            (before, holds)
        });
    }
    let Kept::Postgres(ref mut postgres) = lab.kept else {
        panic!("it is PostgreSQL");
    };
    tokio::task::block_in_place(|| {
        let wait = || {
            let until = done.load(Ordering::Relaxed) + 50;
            eventually("refreshes go on", || done.load(Ordering::Relaxed) >= until);
        };
        for _ in 0..3 {
            wait();
            postgres.kill();
            postgres.restart();
        }
        wait();
    });
    over.store(true, Ordering::Relaxed);
    for (before, holds) in tasks.join_all().await {
        assert_eq!(refresh(&server, &holds).await.0, 200);
        assert_eq!(refresh(&server, &before).await.0, 401);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_in_time() {
    let database = Database::builder("postgres://login@127.0.0.1:1/postgres");
    let database = database
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let began = std::time::Instant::now();
    database.refresh_tokens().find("f").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5));
}
