//! One token, presented by many at the same time (attacks.md, 34).

use std::process::{Command, Stdio};

use super::*;

/// How many of so many presentations of token 1 find it current.
async fn rotated(stores: &[RedisRefreshStore], id: &str, presentations: u64) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..presentations {
        let store = stores[number as usize % stores.len()].clone();
        let rotation = graceful(
            id,
            1,
            u64::from(std::process::id()) << 32 | (number + 2),
            NOW,
        );
        tasks.spawn(async move { store.rotate(rotation).await.unwrap() });
    }
    let outcomes = tasks.join_all().await;
    outcomes
        .iter()
        .filter(|outcome| is_rotated(outcome))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn one_token_is_rotated_once() {
    let server = RedisServer::start();
    let one = [store(&server)];
    let several: Vec<_> = (0..5).map(|_| store(&server)).collect();
    for round in 0..10 {
        for (name, stores) in [("one", &one[..]), ("several", &several)] {
            let id = format!("{name}{round}");
            stores[0].begin(family(&id)).await.unwrap();
            assert_eq!(rotated(stores, &id, 100).await, 1, "{name} connections");
            assert!(stores[0].find(&id).await.unwrap().is_some());
        }
    }
}

/// The test starts itself twice more.
#[allow(clippy::print_stdout, reason = "how the other two tell it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn two_processes_rotate_one_token_once() {
    const URL: &str = "TOWER_BEARER_TEST_REDIS_URL";
    const ROUNDS: usize = 20;
    if let Ok(url) = std::env::var(URL) {
        let stores = [RedisRefreshStore::new(url).unwrap()];
        for round in 0..ROUNDS {
            // The families are there when both have come.
            let id = format!("f{round}");
            let deadline = Instant::now() + Duration::from_secs(30);
            while stores[0].find(&id).await.unwrap().is_none() {
                assert!(Instant::now() < deadline);
            }
            println!("\nrotated {}", rotated(&stores, &id, 50).await);
        }
        return;
    }
    let server = RedisServer::start();
    let this =
        "token_service::refresh::redis::tests::concurrent::two_processes_rotate_one_token_once";
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args([this, "--exact", "--ignored", "--nocapture"])
            .env(URL, server.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [start(), start()];
    let connections = || server.cli(&["client", "list"]).matches("lib-name=").count();
    // Themselves, and the one who asks; an older server does not tell a library.
    crate::redis::server::eventually("both have connected", || {
        let clients = server.cli(&["info", "clients"]);
        connections() >= 3 || clients.contains("connected_clients:3")
    });
    let store = store(&server);
    for round in 0..ROUNDS {
        store.begin(family(&format!("f{round}"))).await.unwrap();
    }
    let mut sums = [0; ROUNDS];
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let output = String::from_utf8(output.stdout).unwrap();
        let counts: Vec<usize> = output
            .lines()
            .filter_map(|line| line.strip_prefix("rotated ")?.parse().ok())
            .collect();
        assert_eq!(counts.len(), ROUNDS, "{output}");
        sums.iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(sums, [1; ROUNDS]);
}
