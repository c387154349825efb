//! The store in Redis, against a server that the tests start.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    redis::server::RedisServer,
    token_service::{
        grant::Grant,
        refresh::contract::{self, ROTATED, check_refresh_store, seed, token},
    },
};

mod cluster;
mod concurrent;
mod faults;
mod killed;
mod limits;

const NOW: u64 = 1_700_000_000;

fn family(id: &str) -> RefreshFamily {
    contract::family(id, NOW)
}

/// A presentation of a token of a family that was found when it began.
fn rotation(id: &str, presented: u64, successor: u64, now: u64) -> Rotation {
    contract::rotation(&family(id), presented, successor, now)
}

fn graceful(id: &str, presented: u64, successor: u64, now: u64) -> Rotation {
    contract::graceful(&family(id), presented, successor, now)
}

fn is_rotated(outcome: &Rotated) -> bool {
    matches!(outcome, Rotated::Rotated { .. })
}

async fn listed(store: &RedisRefreshStore, of: &FamiliesOf) -> Vec<RefreshFamily> {
    let (mut families, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(of, after.as_deref()).await.unwrap();
        families.extend(page.families);
        after = page.next;
        if after.is_none() {
            return families;
        }
    }
}

fn of_svc() -> FamiliesOf {
    FamiliesOf::Client("svc".into())
}

fn store(server: &RedisServer) -> RedisRefreshStore {
    RedisRefreshStore::new(server.url()).unwrap()
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn redis_keeps_the_contract() {
    let server = RedisServer::start();
    check_refresh_store(store(&server)).await;
    let left = server.cli(&["keys", "*"]);
    assert_eq!(server.cli(&["dbsize"]), "0", "{left}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn families_that_are_gone_leave_the_indexes() {
    let server = RedisServer::start();
    let store = store(&server);
    for id in ["e", "f"] {
        store.begin(family(id)).await.unwrap();
    }
    let counts = || {
        ["client:svc", "subject:svc"]
            .map(|index| server.cli(&["zcard", &format!("tower-bearer:{index}")]))
    };
    // What is gone without the index being told is not listed, and no longer in it afterwards.
    server.cli(&["del", "tower-bearer:family:{e}"]);
    assert_eq!(counts(), ["2", "2"]);
    for of in [of_svc(), FamiliesOf::Subject("svc".into())] {
        assert_eq!(listed(&store, &of).await.len(), 1);
    }
    assert_eq!(counts(), ["1", "1"]);
    assert!(store.end("f").await.unwrap().is_some());
    assert_eq!(counts(), ["0", "0"]);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn keys_expire_some_minutes_after_the_family() {
    let server = RedisServer::start();
    let store = store(&server).prefix("p:");
    store.begin(family("f")).await.unwrap();
    let seconds = |key: &str| server.cli(&["ttl", key]).parse::<u64>().unwrap();
    assert!((890..=900).contains(&seconds("p:family:{f}")));
    // The indexes list it for a quarter of its idle lifetime longer.
    for index in ["p:client:svc", "p:subject:svc"] {
        assert!((1040..=1050).contains(&seconds(index)), "{index}");
    }
    store.rotate(rotation("f", 1, 2, NOW + 500)).await.unwrap();
    assert!((890..=900).contains(&seconds("p:family:{f}")));
    store.rotate(rotation("f", 2, 3, NOW + 1000)).await.unwrap();
    let mut eternal = rotation("f", 3, 4, NOW + 1500);
    eternal.idle_for = u64::MAX;
    store.rotate(eternal).await.unwrap();
    assert!((2390..=2400).contains(&seconds("p:family:{f}")));

    // Longer than Redis can count.
    let mut eternal = family("e");
    (eternal.ends_at, eternal.idle_until) = (u64::MAX, u64::MAX);
    store.begin(eternal.clone()).await.unwrap();
    // Apart from what the store keeps for itself.
    let found = async || {
        let found = store.find("e").await.unwrap().unwrap();
        RefreshFamily {
            listed_until: 0,
            ..found
        }
    };
    assert!(found().await == eternal);
    let mut onwards = contract::rotation(&eternal, 1, 2, NOW);
    onwards.idle_for = u64::MAX;
    assert_eq!(store.rotate(onwards.clone()).await.unwrap(), ROTATED);
    eternal.rotate(&onwards);
    assert!(found().await == eternal);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn no_key_holds_a_token() {
    let server = RedisServer::start();
    let store = store(&server);
    let found = family("f");
    store.begin(found.clone()).await.unwrap();
    store.rotate(graceful("f", 1, 2, NOW)).await.unwrap();
    let stored = store.find("f").await.unwrap().unwrap();
    let written = form::write(&stored).unwrap();
    assert_eq!(form::read("f", &written).unwrap(), stored);
    // Everything in it: numbers, two hashes, the mark, a seed, and the grant.
    let grant = serde_json::to_vec(&stored.grant).unwrap();
    assert_eq!(
        written.len(),
        1 + 5 * 8 + 2 * 32 + 1 + (32 + 8 + 1 + 32) + 1 + grant.len()
    );
}

#[test]
fn a_family_of_another_version_or_cut_short_is_an_error() {
    let mut full = family("f");
    full.rotate(&graceful("f", 1, 2, NOW));
    full.access_tokens.push(crate::token_service::IssuedToken {
        id: "jti".into(),
        expires_at: NOW,
    });
    let written = form::write(&full).unwrap();
    for length in 0..written.len() {
        assert!(form::read("f", &written[..length]).is_err(), "{length}");
    }
    let mut later = written;
    later[0] = 2;
    let error = form::read("f", &later).unwrap_err().to_string();
    assert!(error.contains("version 2"), "{error}");
}

/// Of any number of uses, by any number of processes, one is the first.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn an_assertion_is_used_once() {
    let server = RedisServer::start();
    let stores = [store(&server), store(&server)];
    let end = SystemClock.now().saturating_add(Duration::from_secs(60));
    for id in ["a", "b"] {
        let uses = (0..50).map(|number| stores[number % 2].is_first_use(id, end));
        let first = futures_util::future::join_all(uses).await;
        let first = first.into_iter().filter(|first| *first.as_ref().unwrap());
        assert_eq!(first.count(), 1);
    }
    let seconds: u64 = server
        .cli(&["ttl", "tower-bearer:assertion:a"])
        .parse()
        .unwrap();
    assert!((350..=360).contains(&seconds), "{seconds}");
}
