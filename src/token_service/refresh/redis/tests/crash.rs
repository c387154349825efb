//! Redis that is killed and comes back in the middle of a thousand rotations.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const FAMILIES: u64 = 40;
const ROTATIONS: u64 = 1000;

/// What the client of a family knows.
struct Client {
    id: String,
    /// Its token, by all that it was answered.
    holds: u64,
    /// What it would have got, had it been answered.
    perhaps: Vec<u64>,
}

/// All of them, of all families.
#[derive(Default)]
struct Counted {
    tokens: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Client {
    /// Rotates its token, once or, where that was not answered, until it is known what came of it.
    async fn rotate(&mut self, store: &RedisRefreshStore, counted: &Counted) {
        let successor = counted.tokens.fetch_add(1, Ordering::Relaxed);
        match store
            .rotate(rotation(&self.id, self.holds, successor, NOW))
            .await
        {
            Ok(outcome) => {
                assert_eq!(outcome, Rotated::Rotated, "{}", self.id);
                self.holds = successor;
                self.perhaps.clear();
                counted.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                self.perhaps.push(successor);
                counted.failed.fetch_add(1, Ordering::Relaxed);
                self.look(store).await;
            }
        }
    }

    /// Which of its tokens is current, as soon as Redis says it: a client would not be told, but the test has to
    /// go on with it.
    async fn look(&mut self, store: &RedisRefreshStore) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let family = loop {
            match store.find(&self.id).await {
                Ok(family) => break family,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        let current = family
            .unwrap_or_else(|| panic!("{} is lost", self.id))
            .current;
        if current != token(self.holds) {
            let taken = self.perhaps.iter().find(|&&one| token(one) == current);
            self.holds = *taken.unwrap_or_else(|| panic!("{} has a token of nobody", self.id));
            self.perhaps.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_crash_loses_nothing_that_was_answered() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = RedisServer::start_with(&durable);
    let store = store(&server).timeout(Duration::from_millis(500));
    let counted = Arc::new(Counted::default());
    counted.tokens.store(FAMILIES + 1, Ordering::Relaxed);
    let mut clients = Vec::new();
    for number in 1..=FAMILIES {
        let id = format!("f{number}");
        let mut family = family(&id);
        family.current = token(number);
        store.begin(family).await.unwrap();
        clients.push(Client {
            id,
            holds: number,
            perhaps: Vec::new(),
        });
    }

    let mut tasks = tokio::task::JoinSet::new();
    for mut client in clients {
        let (store, counted) = (store.clone(), Arc::clone(&counted));
        tasks.spawn(async move {
            while counted.answered.load(Ordering::Relaxed) < ROTATIONS {
                client.rotate(&store, &counted).await;
            }
            client
        });
    }
    let killer = tokio::task::spawn_blocking({
        let counted = Arc::clone(&counted);
        move || {
            for after in [100, 350, 600, 850] {
                crate::redis::server::eventually("rotations go on", || {
                    counted.answered.load(Ordering::Relaxed) >= after
                });
                server.kill();
                server.restart();
            }
            server
        }
    });
    let ended = tokio::time::timeout(Duration::from_secs(60), tasks.join_all()).await;
    let mut clients = ended.expect("a thousand rotations are done in a minute");
    let _server = killer.await.unwrap();

    for client in &mut clients {
        client.look(&store).await;
        let rotate =
            |presented, successor| store.rotate(rotation(&client.id, presented, successor, NOW));
        // The one that it holds is good, and then no other is: neither that nor one from before.
        let next = counted.tokens.fetch_add(1, Ordering::Relaxed);
        assert_eq!(rotate(client.holds, next).await.unwrap(), Rotated::Rotated);
        assert_eq!(
            rotate(client.holds, next + 1).await.unwrap(),
            Rotated::Reused
        );
        assert_eq!(rotate(next, next + 1).await.unwrap(), Rotated::Unknown);
    }
    let failed = counted.failed.load(Ordering::Relaxed);
    assert!(failed > 0, "no rotation met a crash");
    assert!(store.of_client("svc").await.unwrap().is_empty());
}
