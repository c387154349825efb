//! How many families a client and a subject may have.

use super::*;

/// A family of a subject that is used for so long, in seconds.
fn of(id: &str, subject: &str, idle_for: u64) -> RefreshFamily {
    let mut family = family(id);
    family.grant = Grant::of("web", subject);
    family.idle_until = NOW + idle_for;
    family
}

async fn left(store: &RedisRefreshStore) -> String {
    let web = FamiliesOf::Client("web".into());
    let mut ids: Vec<_> = listed(store, &web)
        .await
        .into_iter()
        .map(|one| one.id)
        .collect();
    ids.sort();
    ids.concat()
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_families_end_that_have_not_been_used_for_longest() {
    let server = RedisServer::start();
    let store = store(&server).max_families(4, 3);
    let begin = async |family: RefreshFamily| {
        let ended = store.begin(family).await.unwrap();
        ended.into_iter().map(|one| one.id).collect::<String>()
    };
    assert_eq!(begin(of("a", "alice", 100)).await, "");
    assert_eq!(begin(of("b", "alice", 200)).await, "");
    assert_eq!(begin(of("c", "alice", 300)).await, "");
    // `a` is used, so that `b` is the one that was not for longest.
    let found = store.find("a").await.unwrap().unwrap();
    let used = contract::rotation(&found, 1, 2, NOW + 50);
    assert!(is_rotated(&store.rotate(used).await.unwrap()));
    assert_eq!(begin(of("d", "alice", 250)).await, "b", "of the subject");
    assert_eq!(begin(of("e", "bob", 800)).await, "");
    assert_eq!(begin(of("f", "bob", 900)).await, "d", "of the client");
    assert_eq!(left(&store).await, "acef");
    assert!(store.find("d").await.unwrap().is_none());
}

/// Families that a client has for itself count for the client only.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_client_is_no_subject_of_its_own() {
    let server = RedisServer::start();
    let store = store(&server).max_families(10, 1);
    for id in ["a", "b", "c"] {
        assert!(store.begin(of(id, "web", 100)).await.unwrap().is_empty());
    }
    assert_eq!(left(&store).await, "abc");
}

/// Of a busy login client most families are over. They do not count, and take no living one's place.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn families_that_are_over_do_not_count() {
    let server = RedisServer::start();
    let store = store(&server).max_families(100, 1000);
    // As long as this one is used it lives.
    let mut living = store_of_living(&store).await;
    let mut now = NOW;
    for number in 0..1000 {
        now += 10;
        let mut short = of(&format!("s{number}"), &format!("user{number}"), 0);
        (short.begun_at, short.idle_until) = (now, now + 100);
        short.ends_at = now + 100_000;
        let ended = store.begin(short).await.unwrap();
        assert!(ended.is_empty(), "{number}: {ended:?}");
        if number % 5 == 0 {
            let found = store.find("living").await.unwrap().unwrap();
            let mut used = contract::rotation(&found, living, living + 1, now);
            used.idle_for = 100;
            assert!(is_rotated(&store.rotate(used).await.unwrap()), "{number}");
            living += 1;
        }
    }
    // Those of the last 100 seconds and a quarter, and the margin for clocks that differ.
    let count: u64 = server
        .cli(&["zcard", "tower-bearer:client:web"])
        .parse()
        .unwrap();
    assert!(count <= 1 + (125 + MARGIN / 1000) / 10 + 1, "{count}");
}

async fn store_of_living(store: &RedisRefreshStore) -> u64 {
    let mut living = of("living", "alice", 100);
    living.ends_at = NOW + 1_000_000;
    store.begin(living).await.unwrap();
    1
}

/// What a family takes: half of what a hash of texts took (1099 bytes, for the same family).
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_family_takes_half_a_kilobyte() {
    let server = RedisServer::start();
    let store = store(&server);
    let id = "AAAAAAAAAAAAAAAAAAAAAA";
    store.begin(family(id)).await.unwrap();
    store.rotate(graceful(id, 1, 2, NOW)).await.unwrap();
    let key = format!("tower-bearer:family:{{{id}}}");
    let bytes: u64 = server.cli(&["memory", "usage", &key]).parse().unwrap();
    assert!(bytes <= 512, "{bytes} bytes");
}
