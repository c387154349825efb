//! Revoked access tokens.

use std::time::{Duration, Instant};

use tower_bearer::{Claims, Clock, RegisteredClaims, Revocation, Revoked, StoreError, SystemClock};
use tower_bearer_sql::SqlRevocationStore;

use crate::{Kept, Lab, on_both, open};

fn claims(id: &str, client: &str, subject: &str) -> RegisteredClaims {
    let claims = Claims::builder().subject(subject).client_id(client).id(id);
    claims
        .issued_at(SystemClock.now().saturating_sub(Duration::from_secs(60)))
        .build(())
        .registered()
        .clone()
}

async fn is_revoked(
    store: &SqlRevocationStore,
    claims: &RegisteredClaims,
) -> Result<bool, StoreError> {
    match store.is_revoked(claims) {
        Revoked::Ready(answer) => answer,
        Revoked::Pending(answer) => answer.await,
    }
}

fn store(url: &str, max_stale: Duration) -> SqlRevocationStore {
    SqlRevocationStore::builder(open(url))
        .max_stale(max_stale)
        .build()
        .unwrap()
}

async fn eventually_revoked(store: &SqlRevocationStore, claims: &RegisteredClaims) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_revoked(store, claims).await.unwrap_or(false) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn shared(lab: Lab) {
    let here = store(&lab.url, Duration::from_secs(6));
    let there = store(&lab.url, Duration::from_secs(6));
    let alice = claims("1", "web", "alice");
    assert!(!is_revoked(&here, &alice).await.unwrap());
    assert!(!is_revoked(&there, &alice).await.unwrap());
    let later = SystemClock.now().saturating_add(Duration::from_secs(600));
    here.revoke_token("1", later).await.unwrap();
    assert!(
        is_revoked(&here, &alice).await.unwrap(),
        "here it is so at once"
    );
    eventually_revoked(&there, &alice).await;

    let now = SystemClock.now();
    for (revoke, token) in [
        (here.revoke_client("app", now), claims("2", "app", "bob")),
        (here.revoke_subject("eve", now), claims("3", "web", "eve")),
    ] {
        assert!(!is_revoked(&there, &token).await.unwrap());
        revoke.await.unwrap();
        eventually_revoked(&there, &token).await;
    }
    assert!(
        !is_revoked(&there, &claims("4", "web", "bob"))
            .await
            .unwrap()
    );
    // One that comes later knows all that there were.
    let last = store(&lab.url, Duration::from_secs(10));
    for token in [&alice, &claims("9", "app", "x"), &claims("9", "x", "eve")] {
        assert!(is_revoked(&last, token).await.unwrap(), "{token:?}");
    }
}
on_both!(what_one_process_revokes_the_others_know => super::shared);

/// While the database is away, what was revoked stays so, and of the rest nothing is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_too_old_says_nothing() {
    let mut lab = Lab::postgres().await;
    let store = store(&lab.url, Duration::from_millis(300));
    let (revoked, other) = (claims("1", "web", "alice"), claims("2", "web", "bob"));
    let later = SystemClock.now().saturating_add(Duration::from_secs(600));
    store.revoke_token("1", later).await.unwrap();
    assert!(!is_revoked(&store, &other).await.unwrap());
    let Kept::Postgres(ref mut postgres) = lab.kept else {
        panic!("it is PostgreSQL");
    };
    postgres.kill();
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_revoked(&store, &other).await.is_ok() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_revoked(&store, &revoked).await.unwrap());
    postgres.restart();
    while is_revoked(&store, &other).await.is_err() {
        assert!(Instant::now() < deadline + Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_revoked(&store, &revoked).await.unwrap());
}

#[test]
fn what_cannot_be_read_three_times_is_a_mistake() {
    let database = open("sqlite://x.db");
    let builder = SqlRevocationStore::builder(database).max_stale(Duration::from_millis(1));
    assert!(
        builder
            .build()
            .unwrap_err()
            .to_string()
            .contains("max_stale")
    );
}
