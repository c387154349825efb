//! Stores that cannot be reached: attacks.md 38.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tower_bearer::{
    BoxFuture, StoreError,
    token_service::{
        Client, ClientStore, FailureLimit, FamiliesOf, FamilyPage, InMemoryClients,
        InMemoryRefreshStore, RefreshFamily, RefreshStore, Rotated, Rotation,
    },
};

use crate::{
    lab::{self, Lab, granted, post, text},
    support::Answer,
};

const WELL: u8 = 0;
const DOWN: u8 = 1;
const HUNG: u8 = 2;
/// The rotation is done, but its answer is lost.
const DEAF: u8 = 3;
/// The same, but nothing is said at all.
const MUTE: u8 = 4;
/// It answers well, but not before others have had their turn.
const LATE: u8 = 5;

/// A store with something wrong.
#[derive(Clone)]
struct Faulty<S> {
    store: S,
    state: Arc<AtomicU8>,
}

impl<S> Faulty<S> {
    fn new(store: S) -> Self {
        Self {
            store,
            state: Arc::default(),
        }
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }

    fn answer<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&S) -> BoxFuture<Result<T, StoreError>>,
        writes: bool,
    ) -> BoxFuture<Result<T, StoreError>> {
        let down = || -> BoxFuture<Result<T, StoreError>> {
            Box::pin(async { Err(StoreError::new("connection refused")) })
        };
        match self.state.load(Ordering::SeqCst) {
            DOWN => down(),
            HUNG => Box::pin(pending()),
            state @ (DEAF | MUTE) if writes => {
                let answer = answer(&self.store);
                Box::pin(async move {
                    answer.await?;
                    if state == MUTE {
                        pending::<()>().await;
                    }
                    Err(StoreError::new("connection reset"))
                })
            }
            LATE => {
                let answer = answer(&self.store);
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    answer.await
                })
            }
            _ => answer(&self.store),
        }
    }
}

impl RefreshStore for Faulty<InMemoryRefreshStore> {
    fn begin(&self, family: RefreshFamily) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        self.answer(|store| store.begin(family), true)
    }
    fn find(&self, id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        self.answer(|store| store.find(id), false)
    }
    fn rotate(&self, rotation: Rotation) -> BoxFuture<Result<Rotated, StoreError>> {
        self.answer(|store| store.rotate(rotation), true)
    }
    fn end(&self, id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        self.answer(|store| store.end(id), true)
    }
    fn end_some(&self, of: &FamiliesOf) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        self.answer(|store| store.end_some(of), true)
    }
    fn list(
        &self,
        of: &FamiliesOf,
        after: Option<&str>,
    ) -> BoxFuture<Result<FamilyPage, StoreError>> {
        self.answer(|store| store.list(of, after), false)
    }
}

impl ClientStore for Faulty<InMemoryClients> {
    fn find(&self, id: &str) -> BoxFuture<Result<Option<Arc<Client>>, StoreError>> {
        self.answer(|store| store.find(id), false)
    }
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.member("title"), "Service Unavailable");
    assert_eq!(answer.member("error"), "temporarily_unavailable");
    assert!(answer.member("detail").contains("try again"));
    assert!(answer.member("type").ends_with("/service-unavailable"));
    assert!(!answer.body.contains("connection"), "{}", answer.body);
}

/// attacks.md 38: 503, and the token is good as before.
#[tokio::test(start_paused = true)]
async fn while_the_store_of_refresh_tokens_is_away_the_answer_is_503_and_nothing_is_lost() {
    let clock = tower_bearer::ManualClock::new(lab::NOW);
    let store = Faulty::new(InMemoryRefreshStore::with_clock(clock));
    let lab = Lab::with(|builder| {
        builder
            .refresh_tokens(store.clone())
            .store_timeout(Duration::from_secs(2))
    });
    let token = lab.refresh_token().await;
    let credentials = [
        ("grant_type", "client_credentials"),
        ("client_id", "gen"),
        ("client_secret", &*lab.secret),
    ];
    for state in [DOWN, HUNG] {
        store.set(state);
        let began = tokio::time::Instant::now();
        assert_unavailable(&lab.refresh(&token).await);
        assert!(began.elapsed() <= Duration::from_secs(2));
        assert_unavailable(&post(lab.server.token_endpoint(), &credentials).await);
        // Without a refresh token there is nothing to keep.
        granted(post(lab.server.oauth_endpoint(), &credentials).await);
    }
    store.set(WELL);
    granted(lab.refresh(&token).await);
}

/// attacks.md 38: the rotation took place, and nobody was told, because the store did not answer or because the client
/// went away. The next attempt finds its successor; and then no other token is good.
#[tokio::test(start_paused = true)]
async fn rotation_whose_answer_was_lost_is_found_again() {
    for state in [DEAF, MUTE] {
        for grace in [0, 30] {
            let clock = tower_bearer::ManualClock::new(lab::NOW);
            let store = Faulty::new(InMemoryRefreshStore::with_clock(clock));
            let lab = Lab::with(|builder| {
                builder
                    .refresh_tokens(store.clone())
                    .refresh_token_grace(Duration::from_secs(grace))
            });
            let token = lab.refresh_token().await;
            store.set(state);
            // As often as it takes.
            for _ in 0..2 {
                let attempt = tokio::time::timeout(Duration::from_secs(1), lab.refresh(&token));
                if let Ok(answer) = attempt.await {
                    assert_unavailable(&answer);
                }
            }
            store.set(WELL);
            let tokens = granted(lab.refresh(&token).await);
            let successor = text(&tokens, "refresh_token");
            granted(lab.refresh(&successor).await);
            lab.clock.advance(Duration::from_secs(grace));
            assert_eq!(lab.refresh(&token).await.status, 401);
        }
    }
}

/// attacks.md 34: while one attempt is under way, another one with the same token is no repetition of it.
#[tokio::test]
async fn attempts_at_the_same_time_share_no_successor() {
    let clock = tower_bearer::ManualClock::new(lab::NOW);
    let store = Faulty::new(InMemoryRefreshStore::with_clock(clock));
    let lab = Lab::with(|builder| builder.refresh_tokens(store.clone()));
    let token = lab.refresh_token().await;
    store.set(LATE);
    let attempts = (0..20).map(|_| lab.refresh(&token));
    let answers = futures_util::future::join_all(attempts).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1);
    // Nor do those that come after an attempt of which nothing is known.
    store.set(WELL);
    let token = lab.refresh_token().await;
    store.set(DEAF);
    assert_unavailable(&lab.refresh(&token).await);
    store.set(LATE);
    let attempts = (0..20).map(|_| lab.refresh(&token));
    let answers = futures_util::future::join_all(attempts).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1);
}

/// For a minute. Then it is a token that was used before.
#[tokio::test]
async fn rotation_whose_answer_was_lost_is_forgotten_after_a_minute() {
    let clock = tower_bearer::ManualClock::new(lab::NOW);
    let store = Faulty::new(InMemoryRefreshStore::with_clock(clock));
    let lab = Lab::with(|builder| builder.refresh_tokens(store.clone()));
    let token = lab.refresh_token().await;
    store.set(DEAF);
    assert_unavailable(&lab.refresh(&token).await);
    store.set(WELL);
    lab.clock.advance(Duration::from_secs(60));
    assert_eq!(lab.refresh(&token).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_of_clients_is_away_nobody_is_refused_for_it() {
    let lab = Lab::new();
    let store = Faulty::new(lab.clients.clone());
    let secret = lab.secret.clone();
    let lab = Lab::with(|builder| {
        builder
            .clients(store.clone())
            .failure_limit(FailureLimit {
                per_client: 1,
                per_peer: 1,
            })
            .store_timeout(Duration::from_secs(2))
    });
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "gen"),
        ("client_secret", &*secret),
    ];
    let token = text(
        &granted(post(lab.server.token_endpoint(), &pairs).await),
        "refresh_token",
    );
    for state in [DOWN, HUNG] {
        store.set(state);
        for _ in 0..3 {
            assert_unavailable(&post(lab.server.token_endpoint(), &pairs).await);
            assert_unavailable(&post(lab.server.oauth_endpoint(), &pairs).await);
            assert_unavailable(&lab.refresh(&token).await);
        }
    }
    store.set(WELL);
    granted(post(lab.server.token_endpoint(), &pairs).await);
    granted(lab.refresh(&token).await);
}
