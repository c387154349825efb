//! A cluster of three nodes.

use super::*;
use crate::redis::server::{RedisCluster, eventually};

fn ids() -> impl Iterator<Item = String> {
    (0..60).map(|number| format!("f{number}"))
}

async fn begins_all(store: &RedisRefreshStore) {
    for id in ids() {
        store.begin(family(&id)).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_cluster_does_all_that_a_server_does() {
    let cluster = RedisCluster::start();
    let store = RedisRefreshStore::cluster([&cluster.urls()[0]]).unwrap();
    check_refresh_store(store.clone()).await;

    begins_all(&store).await;
    let families: Vec<usize> = cluster
        .0
        .iter()
        .map(|node| node.cli(&["dbsize"]).parse().unwrap())
        .collect();
    assert!(families.iter().all(|&count| count > 5), "{families:?}");
    for id in ids() {
        let rotate = |presented, successor| store.rotate(graceful(&id, presented, successor, NOW));
        assert_eq!(rotate(1, 2).await.unwrap(), ROTATED);
        let again = Rotated::Again { seed: seed(2) };
        assert_eq!(rotate(1, 3).await.unwrap(), again);
        assert!(store.find(&id).await.unwrap().unwrap().current == token(2));
    }
    assert_eq!(listed(&store, &of_svc()).await.len(), 60);
    for id in ids().take(20) {
        assert!(store.end(&id).await.unwrap().is_some());
    }
    assert_eq!(listed(&store, &of_svc()).await.len(), 40);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_slot_on_its_way_to_another_node_is_followed() {
    let cluster = RedisCluster::start();
    let store = RedisRefreshStore::cluster(cluster.urls()).unwrap();
    store.begin(family("f")).await.unwrap();
    let slot = cluster.0[0].cli(&["cluster", "keyslot", "tower-bearer:family:{f}"]);
    let nodes: Vec<_> = cluster
        .0
        .iter()
        .map(|node| (node, node.cli(&["cluster", "myid"])))
        .collect();
    let holds = |node: &RedisServer| node.cli(&["cluster", "countkeysinslot", &slot]) == "1";
    let (from, from_id) = nodes.iter().find(|(node, _)| holds(node)).unwrap();
    let (to, to_id) = nodes.iter().find(|(node, _)| !holds(node)).unwrap();

    to.cli(&["cluster", "setslot", &slot, "importing", from_id]);
    from.cli(&["cluster", "setslot", &slot, "migrating", to_id]);
    let rotate = |number| store.rotate(rotation("f", number, number + 1, NOW));
    assert_eq!(rotate(1).await.unwrap(), ROTATED);
    let port = to.port().to_string();
    from.cli(&[
        "migrate",
        "127.0.0.1",
        &port,
        "tower-bearer:family:{f}",
        "0",
        "5000",
    ]);
    assert!(holds(to) && !holds(from));
    // Here it is asked for, there it was not told of yet.
    assert_eq!(rotate(2).await.unwrap(), ROTATED);
    assert!(store.find("f").await.unwrap().unwrap().current == token(3));
    to.cli(&["cluster", "setslot", &slot, "node", to_id]);
    from.cli(&["cluster", "setslot", &slot, "node", to_id]);
    assert_eq!(rotate(3).await.unwrap(), ROTATED);
    assert_eq!(rotate(4).await.unwrap(), ROTATED);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_cluster_that_was_away_is_found_again() {
    let mut cluster = RedisCluster::start();
    for node in &cluster.0 {
        node.cli(&["config", "set", "cluster-require-full-coverage", "no"]);
    }
    let store = RedisRefreshStore::cluster(cluster.urls()).unwrap();
    let store = store.timeout(Duration::from_secs(1));
    begins_all(&store).await;
    cluster.0[2].kill();
    let mut lost = 0;
    for id in ids() {
        let began = Instant::now();
        match store.rotate(rotation(&id, 1, 2, NOW)).await {
            Ok(outcome) => assert_eq!(outcome, ROTATED),
            Err(_) => lost += 1,
        }
        assert!(began.elapsed() < Duration::from_millis(1900));
        if lost == 5 {
            break;
        }
    }
    assert_eq!(lost, 5);
    for node in &mut cluster.0 {
        node.kill();
    }
    store.find("f1").await.unwrap_err();
    for node in &mut cluster.0 {
        node.restart();
    }
    eventually("the cluster is complete", || {
        let complete =
            |node: &RedisServer| node.cli(&["cluster", "info"]).contains("cluster_state:ok");
        cluster.0.iter().all(complete)
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    for id in ids() {
        while let Err(error) = store.find(&id).await {
            assert!(Instant::now() < deadline, "{error}");
        }
    }
    // Nothing was kept on disk.
    begins_all(&store).await;
    for id in ids() {
        let outcome = store.rotate(rotation(&id, 1, 2, NOW)).await;
        assert_eq!(outcome.unwrap(), ROTATED);
    }
}
