//! The store in Redis, against a server that the tests start.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    clock::{ManualClock, NumericDate},
    redis::server::RedisServer,
    token_service::{
        InMemoryRefreshStore,
        grant::Grant,
        refresh::{Previous, TokenHash},
    },
};

mod cluster;
mod concurrent;
mod crash;
mod faults;
mod random;

const NOW: u64 = 1_700_000_000;

/// The hash of a token of that number.
fn token(number: u64) -> TokenHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    TokenHash(hash)
}

fn seed(number: u64) -> Secret {
    Secret(token(number).0)
}

/// A family whose current token is number 1; it ends after an hour, and after 10 minutes without use.
fn family(id: &str) -> RefreshFamily {
    RefreshFamily {
        id: id.into(),
        grant: Grant {
            client_id: "svc".into(),
            subject: "svc".into(),
            scope: "read write".into(),
            audiences: vec!["https://api.example.com".into()],
        },
        mark: seed(7),
        current: token(1),
        previous: None,
        begun_at: NOW,
        ends_at: NOW + 3600,
        idle_until: NOW + 600,
    }
}

fn rotation(id: &str, presented: u64, successor: u64, now: u64) -> Rotation {
    Rotation {
        family_id: id.into(),
        presented: token(presented),
        successor: token(successor),
        seed: None,
        now: NumericDate::from_secs(now),
        idle_for: 600,
        grace: 0,
    }
}

/// The same, with a grace of 30 seconds, and what the successor can be made from once more.
fn graceful(id: &str, presented: u64, successor: u64, now: u64) -> Rotation {
    Rotation {
        seed: Some(seed(successor)),
        grace: 30,
        ..rotation(id, presented, successor, now)
    }
}

fn store(server: &RedisServer) -> RedisRefreshStore {
    RedisRefreshStore::new(server.url()).unwrap()
}

/// Presents a token at a time, of family `f`; the outcome, and when the family ends if it is not used again,
/// `None` if it is no more.
type Step = (Rotation, Rotated, Option<u64>);

fn rules() -> Vec<(&'static str, Vec<Step>)> {
    use super::Rotated::{Expired, Reused, Rotated, Unknown};

    let again = |number| super::Rotated::Again { seed: seed(number) };
    let plain = |presented, successor, now| rotation("f", presented, successor, now);
    let graced = |presented, successor, now| graceful("f", presented, successor, now);
    vec![
        (
            "one after the other",
            vec![
                (plain(1, 2, NOW), Rotated, Some(NOW + 600)),
                (plain(2, 3, NOW + 599), Rotated, Some(NOW + 1199)),
                (plain(3, 4, NOW + 1000), Rotated, Some(NOW + 1600)),
            ],
        ),
        (
            "a family does not outlive its end",
            vec![
                (plain(1, 2, NOW + 599), Rotated, Some(NOW + 1199)),
                (plain(2, 3, NOW + 1198), Rotated, Some(NOW + 1798)),
                (plain(3, 4, NOW + 1797), Rotated, Some(NOW + 2397)),
                (plain(4, 5, NOW + 2396), Rotated, Some(NOW + 2996)),
                (plain(5, 6, NOW + 2995), Rotated, Some(NOW + 3595)),
                (plain(6, 7, NOW + 3590), Rotated, Some(NOW + 3600)),
                (plain(7, 8, NOW + 3599), Rotated, Some(NOW + 3600)),
                (plain(8, 9, NOW + 3600), Expired, None),
                (plain(8, 9, NOW), Unknown, None),
            ],
        ),
        (
            "not used for too long, to the second",
            vec![(plain(1, 2, NOW + 600), Expired, None)],
        ),
        (
            "over comes before reused",
            vec![(plain(9, 2, NOW + 600), Expired, None)],
        ),
        (
            "the previous one again",
            vec![
                (plain(1, 2, NOW), Rotated, Some(NOW + 600)),
                (plain(1, 3, NOW), Reused, None),
                (plain(2, 4, NOW), Unknown, None),
            ],
        ),
        (
            "one that is older",
            vec![
                (graced(1, 2, NOW), Rotated, Some(NOW + 600)),
                (graced(2, 3, NOW), Rotated, Some(NOW + 600)),
                (graced(1, 4, NOW), Reused, None),
            ],
        ),
        (
            "again within the grace, as often as one likes",
            vec![
                (graced(1, 2, NOW), Rotated, Some(NOW + 600)),
                (graced(1, 3, NOW + 1), again(2), Some(NOW + 600)),
                (graced(1, 4, NOW + 29), again(2), Some(NOW + 600)),
                (graced(2, 5, NOW + 30), Rotated, Some(NOW + 630)),
                (graced(2, 6, NOW + 59), again(5), Some(NOW + 630)),
                (graced(2, 7, NOW + 60), Reused, None),
            ],
        ),
        (
            "a grace that the later request does not have",
            vec![
                (graced(1, 2, NOW), Rotated, Some(NOW + 600)),
                (plain(1, 3, NOW), Reused, None),
            ],
        ),
        (
            "a grace that the earlier request did not have",
            vec![
                (plain(1, 2, NOW), Rotated, Some(NOW + 600)),
                (graced(1, 3, NOW), Reused, None),
            ],
        ),
        (
            "a grace that only the one before last had",
            vec![
                (graced(1, 2, NOW), Rotated, Some(NOW + 600)),
                (plain(2, 3, NOW), Rotated, Some(NOW + 600)),
                (graced(2, 4, NOW), Reused, None),
            ],
        ),
    ]
}

async fn keeps_the_rules(store: &dyn RefreshStore) {
    for (rule, steps) in rules() {
        store.begin(family("f")).await.unwrap();
        let mut model = family("f");
        for (rotation, expected, idle_until) in steps {
            let outcome = store.rotate(rotation.clone()).await.unwrap();
            assert_eq!(outcome, expected, "{rule}: {rotation:?}");
            let found = store.find("f").await.unwrap();
            let found_until = found.as_ref().map(|family| family.idle_until);
            assert_eq!(found_until, idle_until, "{rule}: {rotation:?}");
            if expected != Rotated::Unknown {
                assert_eq!(model.rotate(&rotation), expected, "{rule}: {rotation:?}");
            }
            if let Some(found) = found {
                assert!(found == model, "{rule}: {rotation:?}");
            }
        }
        store.end("f").await.unwrap();
    }
}

#[tokio::test]
async fn memory_keeps_the_rules() {
    // It drops what is over by its clock; here that is left to the rotation.
    let clock = ManualClock::new(NumericDate::from_secs(0));
    keeps_the_rules(&InMemoryRefreshStore::with_settings(clock, 10)).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn redis_keeps_the_rules() {
    let server = RedisServer::start();
    keeps_the_rules(&store(&server)).await;
    assert_eq!(
        server.cli(&["dbsize"]),
        "0",
        "{}",
        server.cli(&["keys", "*"])
    );
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn families_are_found_listed_and_ended() {
    let server = RedisServer::start();
    let store = store(&server);
    assert!(store.find("f").await.unwrap().is_none());
    assert!(!store.end("f").await.unwrap());
    assert!(store.of_client("svc").await.unwrap().is_empty());

    let mut of_another = family("g");
    of_another.grant.client_id = "other {client} ü\0\r\n".into();
    of_another.previous = Some(Previous {
        hash: token(0),
        rotated_at: NOW - 5,
        seed: Some(seed(3)),
    });
    for family in [&family("e"), &family("f"), &of_another] {
        store.begin(family.clone()).await.unwrap();
        assert!(store.find(&family.id).await.unwrap().as_ref() == Some(family));
    }
    let of_client = async |client_id: &str| {
        let families = store.of_client(client_id).await.unwrap();
        let mut ids: Vec<_> = families.iter().map(|family| family.id.clone()).collect();
        ids.sort();
        ids.concat()
    };
    assert_eq!(of_client("svc").await, "ef");
    assert_eq!(of_client(&of_another.grant.client_id).await, "g");
    assert_eq!(of_client("nobody").await, "");

    // What is gone without the index being told is not listed, and no longer in it afterwards.
    server.cli(&["del", "tower-bearer:family:{e}"]);
    assert_eq!(server.cli(&["zcard", "tower-bearer:client:svc"]), "2");
    assert_eq!(of_client("svc").await, "f");
    assert_eq!(server.cli(&["zcard", "tower-bearer:client:svc"]), "1");

    assert!(store.end("f").await.unwrap());
    assert!(!store.end("f").await.unwrap());
    assert_eq!(of_client("svc").await, "");
    assert_eq!(server.cli(&["exists", "tower-bearer:client:svc"]), "0");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn keys_expire_some_minutes_after_the_family() {
    let server = RedisServer::start();
    let store = store(&server).prefix("p:");
    store.begin(family("f")).await.unwrap();
    let seconds = |key: &str| server.cli(&["ttl", key]).parse::<u64>().unwrap();
    assert!((890..=900).contains(&seconds("p:family:{f}")));
    assert!((3890..=3900).contains(&seconds("p:client:svc")));
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
    assert!(store.find("e").await.unwrap() == Some(eternal.clone()));
    let mut onwards = rotation("e", 1, 2, NOW);
    onwards.idle_for = u64::MAX;
    assert_eq!(
        store.rotate(onwards.clone()).await.unwrap(),
        Rotated::Rotated
    );
    eternal.rotate(&onwards);
    assert!(store.find("e").await.unwrap() == Some(eternal));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn no_key_holds_a_token() {
    let server = RedisServer::start();
    let store = store(&server);
    store.begin(family("f")).await.unwrap();
    store.rotate(graceful("f", 1, 2, NOW)).await.unwrap();
    let fields = server.cli(&["hkeys", "tower-bearer:family:{f}"]);
    let mut fields: Vec<_> = fields.lines().collect();
    fields.sort_unstable();
    let known = "begun_at current ends_at grant idle_until mark previous rotated_at seed";
    assert_eq!(fields.join(" "), known);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_client_with_too_many_families_loses_those_that_began_first() {
    let server = RedisServer::start();
    let store = store(&server);
    let mut first = family("first");
    first.ends_at -= 1;
    store.begin(first).await.unwrap();
    let fill =
        "for i = 1, tonumber(ARGV[2]) do redis.call('ZADD', KEYS[1], ARGV[1], 'of' .. i) end";
    let (end, count) = ((NOW + 3600).to_string(), (AT_MOST - 1).to_string());
    server.cli(&["eval", fill, "1", "tower-bearer:client:svc", &end, &count]);
    assert!(store.find("first").await.unwrap().is_some());
    store.begin(family("last")).await.unwrap();
    assert!(store.find("first").await.unwrap().is_none());
    assert!(store.find("last").await.unwrap().is_some());
    let count = server.cli(&["zcard", "tower-bearer:client:svc"]);
    assert_eq!(count, AT_MOST.to_string());
}
