//! Connections that break in the middle of rotations: nobody's session is lost, and no token is good twice.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

const FAMILIES: u64 = 40;

/// Rotates the token of a family again and again, each time with the family as a server would have found it, until
/// it is told to stop. Returns the token that it holds then.
async fn rotates(store: RedisRefreshStore, id: String, happens: Arc<Happens>) -> u64 {
    let mut holds = 1;
    while !happens.over.load(Ordering::Relaxed) {
        let found = store.find(&id).await.unwrap();
        let found = found.unwrap_or_else(|| panic!("{id} is lost"));
        let rotation = contract::rotation(&found, holds, holds + 1, NOW);
        let outcome = store.rotate(rotation).await.unwrap();
        assert!(is_rotated(&outcome), "{id}, token {holds}: {outcome:?}");
        holds += 1;
        happens.rotations.fetch_add(1, Ordering::Relaxed);
    }
    holds
}

#[derive(Default)]
struct Happens {
    over: AtomicBool,
    rotations: AtomicU64,
}

impl Happens {
    /// Waits for so many rotations.
    fn wait(&self, more: u64) {
        let until = self.rotations.load(Ordering::Relaxed) + more;
        crate::redis::server::eventually("rotations go on", || {
            self.rotations.load(Ordering::Relaxed) >= until
        });
    }
}

/// Lets something happen to a server while families are rotated, by clients of which none is to notice.
async fn rotations_go_on(
    mut server: RedisServer,
    happens: impl FnOnce(&mut RedisServer, &Happens) + Send + 'static,
) {
    // Much longer than it takes a server to be back.
    let store = store(&server).timeout(Duration::from_secs(20));
    let happening = Arc::new(Happens::default());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..FAMILIES {
        let id = format!("f{number}");
        store.begin(family(&id)).await.unwrap();
        let (store, happening) = (store.clone(), Arc::clone(&happening));
        tasks.spawn(async move { (id.clone(), rotates(store, id, happening).await) });
    }
    let meanwhile = Arc::clone(&happening);
    let server = tokio::task::spawn_blocking(move || {
        happens(&mut server, &meanwhile);
        server
    });
    let _server = server.await.unwrap();
    happening.over.store(true, Ordering::Relaxed);
    for (id, holds) in tasks.join_all().await {
        // The one that it holds is good, and then no other is.
        let found = store.find(&id).await.unwrap().unwrap();
        let rotate = |presented, successor| {
            store.rotate(contract::rotation(&found, presented, successor, NOW))
        };
        assert!(is_rotated(&rotate(holds, holds + 1).await.unwrap()));
        let outcome = rotate(holds, holds + 2).await.unwrap();
        assert!(matches!(outcome, Rotated::Reused { .. }), "{outcome:?}");
        let outcome = rotate(holds + 1, holds + 2).await.unwrap();
        assert_eq!(outcome, Rotated::Unknown);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn connections_that_are_killed_lose_no_session() {
    rotations_go_on(RedisServer::start(), |server, happens| {
        for _ in 0..100 {
            happens.wait(20);
            server.cli(&["client", "kill", "type", "normal"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_server_that_is_killed_loses_no_session() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    rotations_go_on(RedisServer::start_with(&durable), |server, happens| {
        for _ in 0..5 {
            happens.wait(200);
            server.kill();
            server.restart();
        }
        happens.wait(200);
    })
    .await;
}
