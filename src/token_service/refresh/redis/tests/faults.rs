//! Redis that is not there, does not answer, or answers something else.

use std::net::TcpListener;

use super::*;

/// Well over the timeout, for the machines that tests run on; well under a second timeout.
const SLACK: Duration = Duration::from_millis(900);

async fn fails_in_time(store: &RedisRefreshStore) -> StoreError {
    let began = Instant::now();
    let error = store.rotate(rotation("f", 1, 2, NOW)).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(1) + SLACK, "{error}");
    error
}

async fn fails_everywhere(store: &RedisRefreshStore) {
    fails_in_time(store).await;
    store.begin(family("f")).await.unwrap_err();
    store.find("f").await.unwrap_err();
    store.end("f").await.unwrap_err();
    store.list(&of_svc(), None).await.unwrap_err();
}

/// The first that works after a break, of those that are tried until then.
async fn works_again(store: &RedisRefreshStore) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.find("f").await.is_err() {
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_was_away_is_found_again() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = store(&server).timeout(Duration::from_secs(1));
    server.kill();
    fails_everywhere(&store).await;
    server.restart();
    store.begin(family("f")).await.unwrap();
    let rotated = store.rotate(rotation("f", 1, 2, NOW)).await.unwrap();
    assert_eq!(rotated, ROTATED);

    server.kill();
    fails_everywhere(&store).await;
    server.restart();
    works_again(&store).await;
    let rotated = store.rotate(rotation("f", 2, 3, NOW)).await.unwrap();
    assert_eq!(rotated, ROTATED);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn whatever_may_be_done_twice_survives_a_broken_connection() {
    let server = RedisServer::start();
    let store = store(&server);
    store.begin(family("f")).await.unwrap();
    let cut = || server.cli(&["client", "kill", "type", "normal"]);
    for _ in 0..20 {
        cut();
        assert!(store.find("f").await.unwrap().is_some());
        cut();
        assert_eq!(listed(&store, &of_svc()).await.len(), 1);
        cut();
        store.begin(family("g")).await.unwrap();
        cut();
        store.end("g").await.unwrap();
    }
}

/// A server that takes connections and says nothing.
#[tokio::test]
async fn a_silent_server_is_a_failure_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("redis://user:hunter2@127.0.0.1:{port}");
    let store = RedisRefreshStore::new(&url).unwrap();
    let store = store.timeout(Duration::from_millis(300));
    let began = Instant::now();
    let waiting = (0..50).map(|_| store.rotate(rotation("f", 1, 2, NOW)));
    let outcomes = futures_util::future::join_all(waiting).await;
    assert!(outcomes.iter().all(Result::is_err));
    // All together, and not one after the other.
    assert!(began.elapsed() < Duration::from_millis(300) + SLACK);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_falls_silent_is_a_failure_in_time() {
    let server = RedisServer::start();
    let store = store(&server).timeout(Duration::from_secs(1));
    store.begin(family("f")).await.unwrap();
    server.cli(&["client", "pause", "1500", "all"]);
    fails_in_time(&store).await;
    works_again(&store).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn scripts_that_redis_forgot_are_sent_anew() {
    let server = RedisServer::start();
    let store = store(&server);
    store.begin(family("f")).await.unwrap();
    for number in 1..10 {
        server.cli(&["script", "flush"]);
        let outcome = store.rotate(rotation("f", number, number + 1, NOW)).await;
        assert_eq!(outcome.unwrap(), ROTATED);
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_family_that_cannot_be_read_is_an_error() {
    let server = RedisServer::start();
    let store = store(&server);
    let key = "tower-bearer:family:{f}";
    for spoil in [
        &["set", key, "something else"][..],
        &["set", key, "\u{1}something else"],
        &["set", key, ""],
        &["hset", key, "something", "else"],
    ] {
        store.begin(family("f")).await.unwrap();
        server.cli(&["del", key]);
        server.cli(spoil);
        let before = (server.cli(&["type", key]), server.cli(&["dump", key]));
        let error = store.find("f").await.unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains("something"), "{said}");
        store.rotate(rotation("f", 1, 2, NOW)).await.unwrap_err();
        store.list(&of_svc(), None).await.unwrap_err();
        let after = (server.cli(&["type", key]), server.cli(&["dump", key]));
        assert_eq!(after, before);
        // It can be got rid of.
        assert!(store.end_some(&of_svc()).await.unwrap().is_empty());
        assert!(store.find("f").await.unwrap().is_none());
        assert!(listed(&store, &of_svc()).await.is_empty());
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_full_server_rotates_nothing_by_halves() {
    let server = RedisServer::start();
    let store = store(&server);
    store.begin(family("f")).await.unwrap();
    server.cli(&["config", "set", "maxmemory", "1"]);
    store.begin(family("g")).await.unwrap_err();
    store.rotate(rotation("f", 1, 2, NOW)).await.unwrap_err();
    let found = store.find("f").await.unwrap().unwrap();
    assert!(found.current == token(1));
    server.cli(&["config", "set", "maxmemory", "0"]);
    let outcome = store.rotate(rotation("f", 1, 2, NOW)).await.unwrap();
    assert_eq!(outcome, ROTATED);
}

#[test]
fn without_a_runtime_it_fails_and_does_not_panic() {
    let store = RedisRefreshStore::new("redis://127.0.0.1:1").unwrap();
    let error = futures_util::FutureExt::now_or_never(store.find("f"));
    assert!(error.unwrap().unwrap_err().to_string().contains("runtime"));
}

#[test]
#[ignore = "needs redis-server"]
fn a_runtime_that_ended_takes_no_connection_with_it() {
    let server = RedisServer::start();
    let store = store(&server);
    for number in 1..5 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            if number == 1 {
                store.begin(family("f")).await.unwrap();
            }
            let outcome = store.rotate(rotation("f", number, number + 1, NOW)).await;
            assert_eq!(outcome.unwrap(), ROTATED);
        });
    }
}

#[test]
fn urls_that_are_none() {
    for url in [
        "",
        "127.0.0.1:6379",
        "http://hunter2@127.0.0.1",
        "redis://",
        "redis://:hunter2@127.0.0.1/database",
        " redi\tss://:hunter2@127.0.0.1",
        "rediss://:hunter2@127.0.0.1/database",
    ] {
        let error = RedisRefreshStore::new(url).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        RedisRefreshStore::cluster([url]).unwrap_err();
    }
    RedisRefreshStore::cluster([""; 0]).unwrap_err();
    let differ = ["redis://:hunter2@127.0.0.1", "redis://:hunter3@127.0.0.1"];
    let error = RedisRefreshStore::cluster(differ).unwrap_err().to_string();
    assert!(!error.contains("hunter"), "{error}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_password_is_shown_nowhere() {
    let server = RedisServer::start_with(&["--requirepass", "correct horse"]);
    let port = server.port();
    let good = format!("redis://:correct%20horse@127.0.0.1:{port}");
    let store = RedisRefreshStore::new(&good).unwrap();
    store.begin(family("f")).await.unwrap();
    assert!(!format!("{store:?}").contains("horse"), "{store:?}");
    assert!(
        format!("{store:?}").contains(&port.to_string()),
        "{store:?}"
    );

    for url in [
        format!("redis://:hunter2@127.0.0.1:{port}"),
        format!("redis://user:hunter2@127.0.0.1:{port}"),
        format!("redis://user:hunter2@127.0.0.1:{port}/?protocol=resp3"),
        "redis://user:hunter2@127.0.0.1:1".into(),
    ] {
        let store = RedisRefreshStore::new(&url).unwrap();
        let cluster = RedisRefreshStore::cluster([&url]).unwrap();
        for store in [store, cluster] {
            let error = store.find("f").await.unwrap_err();
            let mut said = format!("{store:?} {error} {error:?}");
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                said += &format!(" {error} {error:?}");
                source = error.source();
            }
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
