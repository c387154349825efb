//! Revocations in Redis, against a server that the tests start.

use std::{net::TcpListener, time::Instant};

use super::*;
use crate::{
    clock::ManualClock,
    redis::server::{RedisCluster, RedisServer},
};

const NOW: u64 = 1_700_000_000;

/// How stale a copy may be in these tests.
const STALE: Duration = Duration::from_secs(2);

fn date(seconds: u64) -> NumericDate {
    NumericDate::from_secs(seconds)
}

fn claims(id: &str, client_id: &str, issued_at: u64) -> RegisteredClaims {
    let claims = crate::Claims::builder()
        .id(id)
        .client_id(client_id)
        .subject(client_id)
        .issued_at(date(issued_at))
        .build(());
    claims.registered().clone()
}

fn revocation(server: &RedisServer) -> RedisRevocation {
    at(&server.url())
}

fn at(url: &str) -> RedisRevocation {
    RedisRevocation::new(url)
        .unwrap()
        .stale_at_most(STALE)
        .clock(ManualClock::new(date(NOW)))
}

async fn answer(
    revocation: &RedisRevocation,
    claims: &RegisteredClaims,
) -> Result<bool, StoreError> {
    match revocation.is_revoked(claims) {
        Revoked::Ready(answer) => answer,
        Revoked::Pending(answer) => answer.await,
    }
}

/// What is answered at once.
fn at_once(revocation: &RedisRevocation, claims: &RegisteredClaims) -> Result<bool, StoreError> {
    match revocation.is_revoked(claims) {
        Revoked::Ready(answer) => answer,
        Revoked::Pending(_) => panic!("nothing was read yet"),
    }
}

/// Asks until it is so, for some time at most; says how long it took.
async fn until(at_most: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < at_most, "not within {at_most:?}");
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_revocation_is_effective_here_at_once_and_elsewhere_soon() {
    let server = RedisServer::start();
    let (here, elsewhere) = (revocation(&server), revocation(&server));
    let token = claims("t", "c", NOW);
    assert!(!answer(&elsewhere, &token).await.unwrap());
    here.revoke_token("t", date(NOW + 60)).await.unwrap();
    assert!(at_once(&here, &token).unwrap());
    until(STALE, async || at_once(&elsewhere, &token).unwrap()).await;

    let other = claims("u", "d", NOW);
    assert!(!at_once(&elsewhere, &other).unwrap());
    here.revoke_client("d", date(NOW)).await.unwrap();
    until(STALE, async || at_once(&elsewhere, &other).unwrap()).await;
    assert!(!at_once(&elsewhere, &claims("u", "d", NOW + 1)).unwrap());
    here.revoke_subject("d", date(NOW + 1)).await.unwrap();
    until(STALE, async || {
        at_once(&elsewhere, &claims("u", "d", NOW + 1)).unwrap()
    })
    .await;

    // One that starts now waits for the first reading, and knows all.
    let late = revocation(&server);
    for (claims, revoked) in [
        (&token, true),
        (&other, true),
        (&claims("v", "e", NOW), false),
    ] {
        assert_eq!(answer(&revocation(&server), claims).await.unwrap(), revoked);
        assert_eq!(answer(&late, claims).await.unwrap(), revoked);
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn many_are_read_in_one_go() {
    let server = RedisServer::start();
    let fill = "for i = 1, 3500 do
        local entry = cjson.encode({'token', 'of' .. i, 1700000060, 1700000360})
        redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[1], 'number', 1), entry)
        redis.call('ZADD', KEYS[3], 1700000360, entry)
    end";
    let keys =
        ["state", "numbers", "ends"].map(|name| format!("tower-bearer:{{revocations}}:{name}"));
    server.cli(&["eval", fill, "3", &keys[0], &keys[1], &keys[2]]);
    let revocation = revocation(&server);
    for (id, revoked) in [
        ("of1", true),
        ("of1000", true),
        ("of3500", true),
        ("of3501", false),
    ] {
        let claims = claims(id, "c", NOW);
        assert_eq!(answer(&revocation, &claims).await.unwrap(), revoked, "{id}");
    }
    assert_eq!(revocation.0.copy.len(), 3500);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_has_ended_is_dropped() {
    let server = RedisServer::start();
    let clock = ManualClock::new(date(NOW));
    let one = revocation(&server).clock(clock.clone());
    one.revoke_token("t", date(NOW + 60)).await.unwrap();
    one.revoke_client("c", date(NOW)).await.unwrap();
    let count = || server.cli(&["zcard", "tower-bearer:{revocations}:numbers"]);
    assert_eq!((one.0.copy.len(), count()), (2, "2".to_owned()));
    // The largest leeway, here; in Redis as much again for clocks that differ.
    clock.set(date(NOW + 361));
    one.revoke_token("u", date(NOW + 600)).await.unwrap();
    assert_eq!((one.0.copy.len(), count()), (2, "3".to_owned()));
    clock.set(date(NOW + 661));
    one.revoke_token("v", date(NOW + 900)).await.unwrap();
    assert_eq!((one.0.copy.len(), count()), (3, "3".to_owned()));
    let ttl = server.cli(&["ttl", "tower-bearer:{revocations}:state"]);
    let day = 24 * 3600 + 600;
    assert!((day - 10..=day).contains(&ttl.parse().unwrap()), "{ttl}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_redis_that_was_emptied_is_noticed() {
    let server = RedisServer::start();
    let (here, elsewhere) = (revocation(&server), revocation(&server));
    let token = |id: &str| claims(id, "c", NOW);
    for id in ["a", "b", "c"] {
        here.revoke_token(id, date(NOW + 60)).await.unwrap();
    }
    assert!(answer(&elsewhere, &token("c")).await.unwrap());
    server.cli(&["flushall"]);
    // Its number is one that was there before.
    here.revoke_token("d", date(NOW + 60)).await.unwrap();
    until(STALE, async || at_once(&elsewhere, &token("d")).unwrap()).await;
    // What was known stays known.
    assert!(at_once(&elsewhere, &token("a")).unwrap());
    assert!(!answer(&revocation(&server), &token("a")).await.unwrap());
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_copy_that_is_too_old_answers_nothing() {
    let mut server = RedisServer::start();
    let revocation = revocation(&server);
    let (bad, good) = (claims("bad", "c", NOW), claims("good", "c", NOW));
    revocation
        .revoke_token("bad", date(NOW + 60))
        .await
        .unwrap();
    assert!(!answer(&revocation, &good).await.unwrap());
    server.kill();
    let took = until(STALE * 2, async || at_once(&revocation, &good).is_err()).await;
    // Until then it was used.
    assert!(took > STALE / 2, "{took:?}");
    assert!(at_once(&revocation, &bad).unwrap());
    revocation
        .revoke_token("good", date(NOW + 60))
        .await
        .unwrap_err();

    server.restart();
    until(Duration::from_secs(10), async || {
        at_once(&revocation, &good).is_ok_and(|revoked| !revoked)
    })
    .await;
    revocation
        .revoke_token("good", date(NOW + 60))
        .await
        .unwrap();
    assert!(at_once(&revocation, &good).unwrap());
}

#[tokio::test]
async fn a_copy_that_was_never_read_answers_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for url in [
        format!("redis://127.0.0.1:{port}"),
        "redis://127.0.0.1:1".into(),
    ] {
        let revocation = at(&url).timeout(Duration::from_millis(300));
        let claims = RegisteredClaims::default();
        let began = Instant::now();
        let questions = (0..50).map(|_| answer(&revocation, &claims));
        let answers = futures_util::future::join_all(questions.collect::<Vec<_>>()).await;
        assert!(answers.iter().all(Result::is_err));
        assert!(began.elapsed() < STALE, "{url}");
    }
}

#[test]
fn without_a_runtime_it_fails_and_does_not_panic() {
    let revocation = at("redis://127.0.0.1:1");
    let error = at_once(&revocation, &RegisteredClaims::default()).unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
    let added = revocation.revoke_token("t", date(NOW));
    futures_util::FutureExt::now_or_never(added)
        .unwrap()
        .unwrap_err();
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_task_ends_with_the_last_clone() {
    let server = RedisServer::start();
    let revocation = revocation(&server);
    let clone = revocation.clone();
    answer(&clone, &RegisteredClaims::default()).await.unwrap();
    let task = revocation.0.task.lock().unwrap().clone().unwrap();
    drop(clone);
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    drop(revocation);
    until(STALE, async || task.is_finished()).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_cannot_be_read_is_passed_over() {
    let server = RedisServer::start();
    let revocation = revocation(&server);
    revocation.revoke_token("a", date(NOW + 60)).await.unwrap();
    for entry in [
        "",
        "{}",
        "[]",
        "[\"token\"]",
        "[\"tokens\",\"x\",1,1800000000]",
        "[\"token\",7,1,1800000000]",
        "[\"token\",\"x\",-1,1800000000]",
        "\u{fffd}",
    ] {
        server.cli(&["zadd", "tower-bearer:{revocations}:numbers", "1", entry]);
    }
    revocation.revoke_token("b", date(NOW + 60)).await.unwrap();
    let late = self::revocation(&server);
    assert!(answer(&late, &claims("a", "c", NOW)).await.unwrap());
    assert!(answer(&late, &claims("b", "c", NOW)).await.unwrap());
    assert!(!answer(&late, &claims("x", "c", NOW)).await.unwrap());
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_cluster_will_do() {
    let cluster = RedisCluster::start();
    let start = || {
        let revocation = RedisRevocation::cluster(cluster.urls()).unwrap();
        revocation.clock(ManualClock::new(date(NOW)))
    };
    start().revoke_token("t", date(NOW + 60)).await.unwrap();
    assert!(answer(&start(), &claims("t", "c", NOW)).await.unwrap());
    assert!(!answer(&start(), &claims("u", "c", NOW)).await.unwrap());
}

#[test]
fn the_password_is_not_shown() {
    let revocation = RedisRevocation::new("redis://user:hunter2@127.0.0.1:1/0").unwrap();
    let shown = format!("{revocation:?}");
    assert!(
        !shown.contains("hunter2") && shown.contains("127.0.0.1:1"),
        "{shown}"
    );
    for url in [
        "rediss://:hunter2@127.0.0.1/x",
        "redis://:hunter2@127.0.0.1/x",
    ] {
        let error = RedisRevocation::new(url).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
