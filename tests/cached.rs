//! `Cached`: attacks.md 25 to 28, look-ups in flight, bounds and counts.
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    future::{IntoFuture, pending},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::sync::Semaphore;
use tower_bearer::{
    AuthError, BearerToken, Cached, Claims, Epoch, ManualClock, NumericDate, OwnedToken,
    Verification, Verifier, reason, verify_async_fn, verify_fn,
};

const NOW: u64 = 1_700_000_000;

fn clock() -> ManualClock {
    ManualClock::new(NumericDate::from_secs(NOW))
}

/// A verdict that must be there at once.
#[track_caller]
fn verify<V: Verifier>(verifier: &V, token: &str) -> Result<Claims<V::Claims>, AuthError> {
    match verifier.verify(BearerToken::parse(token).unwrap()) {
        Verification::Ready(verdict) => verdict,
        Verification::Pending(_) => panic!("not there at once"),
    }
}

/// Accepts every token that begins with `good`, and counts how often it is asked.
fn counting(
    asked: &Arc<AtomicUsize>,
) -> impl Verifier<Claims = String, Future: Send> + Clone + Send + Sync + use<> {
    let asked = Arc::clone(asked);
    verify_fn(move |token: BearerToken<'_>| {
        asked.fetch_add(1, Ordering::SeqCst);
        match token.as_str().starts_with("good") {
            true => Ok(Claims::new(token.as_str().to_owned())),
            false => Err(AuthError::invalid_token("bad")),
        }
    })
}

#[test]
fn what_was_verified_is_not_verified_again() {
    let asked = Arc::default();
    let cached = Cached::new(counting(&asked));
    for _ in 0..3 {
        assert_eq!(*verify(&cached, "good-1").unwrap(), "good-1");
        assert_eq!(*verify(&cached.clone(), "good-2").unwrap(), "good-2");
        assert_eq!(verify(&cached, "bad").unwrap_err().reason(), "bad");
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2 + 3,
        "bad tokens are not kept"
    );
    let stats = cached.stats();
    assert_eq!((stats.hits, stats.misses), (4, 5));
    assert_eq!((stats.entries, stats.evictions), (2, 0));
    assert!(stats.bytes > 0);
    cached.clear();
    assert!(verify(&cached, "good-1").is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 6);
}

/// The token is found by the hash of its last bytes, and compared as a whole.
#[test]
fn attack_27_the_whole_token_is_compared() {
    let asked = Arc::default();
    let cached = Cached::new(counting(&asked));
    let tail = "x".repeat(64);
    let good = format!("good{tail}");
    assert!(verify(&cached, &good).is_ok());
    for other in [
        format!("goof{tail}"),
        format!("bad-{tail}"),
        tail.clone(),
        format!("a{good}"),
    ] {
        assert!(verify(&cached, &other).is_err(), "{other}");
    }
    assert!(verify(&cached, &good).is_ok());
    assert_eq!(cached.stats().hits, 1);
}

#[test]
fn a_verdict_is_used_no_longer_than_its_time_to_live() {
    let (asked, clock) = (Arc::default(), clock());
    let cached = Cached::new(counting(&asked))
        .time_to_live(Duration::from_secs(30))
        .clock(clock.clone());
    let ask = |after: i64| {
        clock.set(NumericDate::from_secs(
            NOW.checked_add_signed(after).unwrap(),
        ));
        let before = asked.load(Ordering::SeqCst);
        verify(&cached, "good").unwrap();
        asked.load(Ordering::SeqCst) > before
    };
    assert!(ask(0));
    assert!(!ask(0));
    assert!(!ask(29));
    assert!(ask(30), "over");
    assert!(!ask(59));
    assert!(ask(60));
    assert!(
        ask(10),
        "a clock that was set back makes no verdict live longer"
    );
    assert!(!ask(39));
}

#[test]
fn attack_25_with_a_time_to_live_of_0_nothing_is_kept() {
    let asked = Arc::default();
    let cached = Cached::new(counting(&asked)).time_to_live(Duration::ZERO);
    for n in 1..4 {
        assert!(verify(&cached, "good").is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), n);
    }
    assert_eq!(cached.stats().entries, 0);
}

/// An epoch that ends takes its verdicts with it, on the next request, and no others.
#[test]
fn attack_26_a_withdrawn_key_takes_its_verdicts_with_it() {
    let keys = [Epoch::new(), Epoch::new()];
    let of_verifier = keys.clone();
    let cached = Cached::new(verify_fn(move |token: BearerToken<'_>| {
        let key = &of_verifier[token.as_str().len() % 2];
        match key.is_current() {
            true => Ok(Claims::builder().epoch(key.clone()).build(())),
            false => Err(AuthError::invalid_token(reason::KEY_UNKNOWN)),
        }
    }));
    for token in ["a", "bb", "ccc"] {
        verify(&cached, token).unwrap();
        verify(&cached, token).unwrap();
    }
    assert_eq!(cached.stats().hits, 3);
    keys[1].end();
    for token in ["a", "ccc"] {
        let error = verify(&cached, token).unwrap_err();
        assert_eq!(error.reason(), reason::KEY_UNKNOWN);
    }
    assert!(verify(&cached, "bb").is_ok());
    assert_eq!(cached.stats().hits, 4);
    assert_eq!(
        cached.stats().entries,
        1,
        "what has ended makes room at once"
    );
}

/// Each cache belongs to one verifier: what one has confirmed says nothing about another.
#[test]
fn attack_27_one_verifier_s_verdict_is_not_another_s() {
    let audience = |ours: &'static str| {
        Cached::new(verify_fn(move |token: BearerToken<'_>| {
            match token.as_str().starts_with(ours) {
                true => Ok(Claims::new(())),
                false => Err(AuthError::invalid_token(reason::AUDIENCE_MISMATCH)),
            }
        }))
    };
    let (one, two) = (audience("one"), audience("two"));
    for _ in 0..2 {
        assert!(verify(&one, "one-token").is_ok());
        assert!(verify(&two, "one-token").is_err());
    }
}

/// Nothing of a million bad tokens is kept, nor does it drive out what is good.
#[test]
fn attack_28_a_million_bad_tokens_leave_no_trace() {
    let asked = Arc::default();
    let cached = Cached::new(counting(&asked)).max_bytes(1024 * 1024);
    for n in 0..100 {
        verify(&cached, &format!("good-{n}")).unwrap();
    }
    let before = (cached.stats().entries, cached.stats().bytes);
    let resident_before = resident_bytes();
    let mut token = String::new();
    for n in 0..1_000_000 {
        use std::fmt::Write;
        token.clear();
        write!(token, "{n:0>300}").unwrap();
        assert!(verify(&cached, &token).is_err());
    }
    assert_eq!((cached.stats().entries, cached.stats().bytes), before);
    let grown = resident_bytes().saturating_sub(resident_before);
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes");
    let hits = cached.stats().hits;
    for n in 0..100 {
        verify(&cached, &format!("good-{n}")).unwrap();
    }
    assert_eq!(cached.stats().hits, hits + 100);
}

/// Nor where each takes its time, and many of them are on their way at once.
#[tokio::test]
async fn attack_28_bad_tokens_that_take_time_leave_no_trace() {
    let verifier = verify_async_fn(|token: OwnedToken| async move {
        tokio::task::yield_now().await;
        match token.as_str().starts_with("good") {
            true => Ok(Claims::new(())),
            false => Err(AuthError::invalid_token("bad")),
        }
    });
    let cached = Cached::new(verifier);
    assert!(begin(&cached, "good").await.is_ok());
    let before = (cached.stats().entries, cached.stats().bytes);
    let flood = async |from: usize| {
        for batch in from..from + 500 {
            let tokens = (0..100).map(|n| format!("{:0>300}", batch * 100 + n));
            let verdicts = tokens.map(|token| begin(&cached, &token));
            for verdict in join_all(verdicts).await {
                assert!(verdict.is_err());
            }
        }
    };
    // What is made once is made by the first.
    flood(0).await;
    let resident_before = resident_bytes();
    flood(500).await;
    assert_eq!((cached.stats().entries, cached.stats().bytes), before);
    let grown = resident_bytes().saturating_sub(resident_before);
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes");
    assert!(verify(&cached, "good").is_ok());
}

/// The memory that the process has, where it is told.
fn resident_bytes() -> u64 {
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else {
        return 0;
    };
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn room_is_bounded_in_bytes() {
    let asked = Arc::default();
    let limit = 256 * 1024;
    let cached = Cached::new(counting(&asked)).max_bytes(limit);
    for n in 0..10_000 {
        verify(&cached, &format!("good-{n:0>500}")).unwrap();
        assert!(cached.stats().bytes <= limit);
    }
    let stats = cached.stats();
    assert!(stats.entries > 50, "{stats:?}");
    assert_eq!(stats.evictions + stats.entries, 10_000, "{stats:?}");
}

/// What takes time: a look-up that waits for a permit, and counts how often it began and ended.
#[derive(Clone, Default)]
struct Store {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

struct Ending(Arc<AtomicUsize>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Store {
    fn verifier(
        &self,
    ) -> impl Verifier<Claims = String, Future: Send> + Clone + Send + Sync + use<> {
        let store = self.clone();
        verify_async_fn(move |token: OwnedToken| {
            let store = store.clone();
            async move {
                store.begun.fetch_add(1, Ordering::SeqCst);
                let _ending = Ending(Arc::clone(&store.ended));
                store.gate.0.acquire().await.unwrap().forget();
                match token.as_str().starts_with("good") {
                    true => Ok(Claims::new(token.as_str().to_owned())),
                    false => Err(AuthError::invalid_token("bad")),
                }
            }
        })
    }

    fn counts(&self) -> (usize, usize) {
        (
            self.begun.load(Ordering::SeqCst),
            self.ended.load(Ordering::SeqCst),
        )
    }
}

fn begin<V: Verifier>(verifier: &V, token: &str) -> V::Future {
    match verifier.verify(BearerToken::parse(token).unwrap()) {
        Verification::Pending(future) => future,
        Verification::Ready(_) => panic!("there at once"),
    }
}

#[tokio::test]
async fn a_burst_of_one_token_is_one_look_up() {
    let store = Store::default();
    let cached = Cached::new(store.verifier());
    let mut burst = pin!(join_all((0..100).map(|_| begin(&cached, "good"))));
    assert!(burst.as_mut().now_or_never().is_none());
    let mut other = pin!(begin(&cached, "good-other"));
    assert!(other.as_mut().now_or_never().is_none());
    assert_eq!(store.counts(), (2, 0), "one for each token");
    store.gate.0.add_permits(2);
    for verdict in burst.await {
        assert_eq!(*verdict.unwrap(), "good");
    }
    assert_eq!(*other.await.unwrap(), "good-other");
    assert_eq!(store.counts(), (2, 2));
    // And from now on it is there at once.
    assert!(verify(&cached, "good").is_ok());
    assert_eq!(store.counts(), (2, 2));
}

#[tokio::test]
async fn all_who_wait_are_refused_together_and_nothing_is_kept() {
    let store = Store::default();
    let cached = Cached::new(store.verifier());
    let waiting = join_all((0..10).map(|_| begin(&cached, "bad")));
    store.gate.0.add_permits(1);
    for verdict in waiting.await {
        assert_eq!(verdict.unwrap_err().reason(), "bad");
    }
    assert_eq!(store.counts(), (1, 1));
    let again = begin(&cached, "bad");
    store.gate.0.add_permits(1);
    assert!(again.await.is_err());
    assert_eq!(store.counts(), (2, 2));
    assert_eq!(cached.stats().entries, 0);
}

/// Whoever leaves takes only themselves along, also if it was for them that the look-up began.
#[tokio::test]
async fn who_leaves_does_not_cancel_it_for_the_others() {
    let store = Store::default();
    let cached = Cached::new(store.verifier());
    let mut first = Box::pin(begin(&cached, "good"));
    assert!(first.as_mut().now_or_never().is_none());
    let mut second = Box::pin(begin(&cached, "good"));
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(store.counts(), (1, 0));
    store.gate.0.add_permits(1);
    assert!(second.await.is_ok());
    assert_eq!(store.counts(), (1, 1));
}

/// When nobody waits any longer the look-up is dropped, and a new request begins a new one.
#[tokio::test]
async fn a_look_up_that_nobody_waits_for_ends() {
    let store = Store::default();
    let cached = Cached::new(store.verifier());
    for n in 1..=3 {
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(begin(&cached, "good"))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(store.counts(), (n, n - 1));
        drop(waiting);
        assert_eq!(store.counts(), (n, n));
    }
    store.gate.0.add_permits(1);
    assert!(begin(&cached, "good").await.is_ok());
}

/// A verdict whose key was withdrawn while it was on its way does not hold for those who waited.
#[tokio::test]
async fn a_verdict_that_has_ended_when_it_lands_is_refused() {
    let (key, clock) = (Epoch::new(), clock());
    let gate = Arc::new(Semaphore::new(0));
    let (of_verifier, of_gate) = (key.clone(), Arc::clone(&gate));
    let verifier = verify_async_fn(move |token: OwnedToken| {
        let (key, gate) = (of_verifier.clone(), Arc::clone(&of_gate));
        async move {
            let end = NumericDate::from_secs(NOW + u64::try_from(token.as_str().len()).unwrap());
            let claims = Claims::builder().epoch(key).valid_until(end).build(());
            gate.acquire().await.unwrap().forget();
            Ok(claims)
        }
    });
    let cached = Cached::new(verifier).clock(clock.clone());
    // Expired on the way.
    let mut late = Box::pin(begin(&cached, "a"));
    assert!(late.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(1));
    gate.add_permits(1);
    assert_eq!(late.await.unwrap_err().reason(), reason::VERDICT_ENDED);
    // Withdrawn on the way.
    let mut late = Box::pin(begin(&cached, "a-longer-one"));
    assert!(late.as_mut().now_or_never().is_none());
    key.end();
    gate.add_permits(1);
    assert_eq!(late.await.unwrap_err().reason(), reason::VERDICT_ENDED);
    assert_eq!(cached.stats().entries, 0);
}

/// A verifier that answers at once is asked by everybody: nobody waits for another thread.
#[test]
fn a_verdict_that_is_there_at_once_is_not_waited_for() {
    let asked = Arc::default();
    let cached = Cached::new(counting(&asked));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..2_000 {
                    assert!(verify(&cached, &format!("good-{}", n % 100)).is_ok());
                }
            });
        }
    });
    let stats = cached.stats();
    assert_eq!(stats.hits + stats.misses, 8_000);
    assert_eq!(
        stats.misses,
        u64::try_from(asked.load(Ordering::SeqCst)).unwrap()
    );
    assert!(stats.misses >= 100 && stats.misses <= 400, "{stats:?}");
}

/// Threads that wait for the same tokens, and leave in between: no deadlock, and nothing left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_wait_and_leave() {
    let verifier = verify_async_fn(|token: OwnedToken| async move {
        tokio::task::yield_now().await;
        if token.as_str().ends_with('7') {
            pending::<()>().await;
        }
        Ok(Claims::new(token.as_str().len()))
    });
    let cached = Cached::new(verifier).time_to_live(Duration::ZERO);
    let tasks = (0..8).map(|_| {
        let cached = cached.clone();
        tokio::spawn(async move {
            for n in 0..500 {
                let token = format!("token-{}", n % 10);
                let verification = cached.verify(BearerToken::parse(&token).unwrap());
                let mut waiting = pin!(verification.into_future());
                if n % 10 == 7 {
                    assert!(waiting.as_mut().now_or_never().is_none());
                } else {
                    assert_eq!(*waiting.await.unwrap(), 7);
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
}
