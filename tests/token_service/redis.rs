//! Two authorization servers on one Redis: attacks.md 34 and 38. (The store itself is tested beside its source.)

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tower_bearer::{
    RedisRevocation, RegisteredClaims, Revocation,
    token_service::{RedisRefreshStore, TokenService},
};

use crate::{
    lab::{self, Lab, granted, post, text},
    redis_server::{RedisServer, eventually},
};

/// One of several servers on the same Redis.
fn lab_on(redis: &RedisServer, grace: u64) -> Lab {
    Lab::with(|builder| {
        builder
            .refresh_tokens(
                RedisRefreshStore::new(redis.url())
                    .unwrap()
                    .timeout(Duration::from_secs(1)),
            )
            .refresh_token_grace(Duration::from_secs(grace))
    })
}

/// attacks.md 34: across two servers, too.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_lets_one_of_a_hundred_concurrent_refreshes_at_two_servers_succeed() {
    let redis = RedisServer::start();
    let [one, other] = [lab_on(&redis, 0), lab_on(&redis, 0)];
    other.clients.set(
        tower_bearer::token_service::Client::builder("gen")
            .secret(lab::chosen())
            .scope("read write")
            .build()
            .unwrap(),
    );
    for _ in 0..5 {
        let token = one.refresh_token().await;
        let tasks: Vec<_> = [
            one.server.refresh_endpoint(),
            other.server.refresh_endpoint(),
        ]
        .iter()
        .cycle()
        .take(100)
        .map(|service| {
            let (service, token) = (service.clone(), token.clone());
            tokio::spawn(async move { refresh(service, &token).await.status })
        })
        .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap().as_u16() {
                200 => won += 1,
                status => assert_eq!(status, 401),
            }
        }
        assert_eq!(won, 1);
    }
}

async fn refresh(service: TokenService, token: &str) -> crate::support::Answer {
    post(service, &[("refresh_token", token)]).await
}

const FAMILIES: usize = 20;
const REFRESHES: u64 = 1000;

/// attacks.md 38, and the issue: Redis is killed and comes back in the middle of a thousand refreshes. With a grace a
/// client whose answer was lost asks again, and no answer is any other than 200 or 503.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_may_crash_in_the_middle_of_a_thousand_refreshes() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = RedisServer::start_with(&durable);
    let lab = lab_on(&redis, 60);
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..FAMILIES {
        let mut tokens = vec![lab.refresh_token().await];
        let (service, done) = (lab.server.refresh_endpoint(), Arc::clone(&done));
        tasks.spawn(async move {
            while done.load(Ordering::Relaxed) < REFRESHES {
                let answer = refresh(service.clone(), tokens.last().unwrap()).await;
                match answer.status.as_u16() {
                    200 => {
                        tokens.push(text(&granted(answer), "refresh_token"));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    // Where Redis takes longer to be back than a request may wait.
                    503 => assert!(answer.header("retry-after").is_some()),
                    status => panic!("{status}: {}", answer.body),
                }
            }
            tokens
        });
    }
    let killer = tokio::task::spawn_blocking({
        let done = Arc::clone(&done);
        move || {
            for after in [100, 400, 700] {
                eventually("refreshes go on", || done.load(Ordering::Relaxed) >= after);
                redis.kill();
                redis.restart();
            }
            redis
        }
    });
    let families = tokio::time::timeout(Duration::from_secs(120), tasks.join_all()).await;
    let families = families.expect("a thousand refreshes are done in two minutes");
    let _redis = killer.await.unwrap();
    for tokens in families {
        // The last one is good, and no other: the grace is over.
        lab.clock.advance(Duration::from_secs(61));
        let last = tokens.last().unwrap();
        let next = text(&granted(lab.refresh(last).await), "refresh_token");
        let former = &tokens[tokens.len().saturating_sub(2)];
        lab.clock.advance(Duration::from_secs(61));
        assert_eq!(lab.refresh(former).await.status, 401);
        assert_eq!(
            lab.refresh(&next).await.status,
            401,
            "its reuse has ended the family"
        );
    }
}

/// What one server revokes the other refuses, within the time that is set.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_tells_the_other_server_what_was_revoked() {
    let redis = RedisServer::start();
    let revocation = || {
        RedisRevocation::new(redis.url())
            .unwrap()
            .stale_at_most(Duration::from_millis(300))
            .clock(tower_bearer::ManualClock::new(lab::NOW))
    };
    let lab = Lab::with(|builder| builder.revocation(revocation()));
    let elsewhere = revocation();
    let token = text(&lab.tokens().await, "access_token");
    let claims = claims_of(&token);
    assert!(!is_revoked(&elsewhere, &claims).await);
    let pairs = [("token", &*token)];
    let answer = lab::post_as(lab.server.revocation_endpoint(), &lab.basic(), &pairs).await;
    assert_eq!(answer.status, 200);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_revoked(&elsewhere, &claims).await {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

async fn is_revoked(revocation: &RedisRevocation, claims: &RegisteredClaims) -> bool {
    match revocation.is_revoked(claims) {
        tower_bearer::Revoked::Ready(answer) => answer.unwrap(),
        tower_bearer::Revoked::Pending(answer) => answer.await.unwrap(),
    }
}

fn claims_of(token: &str) -> RegisteredClaims {
    let (_, claims) = lab::opened(token);
    let claims = tower_bearer::Claims::builder()
        .id(claims["jti"].as_str().unwrap())
        .client_id(claims["client_id"].as_str().unwrap())
        .build(());
    claims.registered().clone()
}
