//! Look-ups that take time: one for all who wait for the same token.

use std::{
    future::{IntoFuture, pending},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::sync::Semaphore;
use tower_bearer::{
    BearerToken, Cached, Claims, Epoch, NumericDate, OwnedToken, Verifier, reason, verify_async_fn,
};

use crate::{NOW, Store, begin, clock, counting, verify};

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
    let cached = Cached::builder(verifier)
        .clock(clock.clone())
        .build()
        .unwrap();
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
    let cached = Cached::builder(verifier)
        .time_to_live(Duration::ZERO)
        .build()
        .unwrap();
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

/// What is invalidated while it is being looked up may rest on what was before: whoever waits gets it, but
/// it is not kept, and whoever comes later is no part of it.
#[tokio::test]
async fn a_verdict_that_is_invalidated_on_its_way_is_not_kept() {
    for all in [false, true] {
        let store = Store::default();
        let cached = Cached::new(store.verifier());
        let mut before = pin!(begin(&cached, "good"));
        assert!(before.as_mut().now_or_never().is_none());
        match all {
            true => cached.clear(),
            false => assert!(!cached.invalidate("good"), "nothing is kept yet"),
        }
        let mut after = pin!(begin(&cached, "good"));
        assert!(after.as_mut().now_or_never().is_none());
        assert_eq!(store.counts(), (2, 0), "a look-up of its own");
        store.gate.0.add_permits(1);
        assert!(before.await.is_ok());
        assert_eq!(cached.stats().entries, 0);
        // The later one is still joined, and kept.
        let mut joined = pin!(begin(&cached, "good"));
        assert!(joined.as_mut().now_or_never().is_none());
        assert_eq!(store.counts(), (2, 1));
        store.gate.0.add_permits(1);
        assert!(after.await.is_ok() && joined.await.is_ok());
        assert!(verify(&cached, "good").is_ok());
    }
}

/// The same where the verdict is there at once, and the invalidation comes while it is worked out.
#[test]
fn a_verdict_that_is_invalidated_while_it_is_worked_out_is_not_kept() {
    use std::sync::OnceLock;

    use tower_bearer::{SharedVerifier, verify_fn};

    type Inside = Arc<OnceLock<Cached<SharedVerifier<()>>>>;
    let inside = Inside::default();
    let of_verifier = Arc::clone(&inside);
    let verifier = verify_fn(move |token: BearerToken<'_>| {
        if token.as_str() == "good" {
            of_verifier.get().unwrap().invalidate("good");
        }
        Ok(Claims::new(()))
    });
    let cached = Cached::new(verifier.shared());
    assert!(inside.set(cached.clone()).is_ok());
    assert!(verify(&cached, "good").is_ok());
    assert_eq!(cached.stats().entries, 0);
    assert!(verify(&cached, "other").is_ok());
    assert_eq!(cached.stats().entries, 1);
}

/// Sessions that end all the time keep others from being kept at most now and then.
#[tokio::test]
async fn an_invalidation_hardly_touches_the_look_ups_of_other_tokens() {
    let store = Store::default();
    let cached = Cached::new(store.verifier());
    let tokens: Vec<_> = (0..1_000).map(|n| format!("good-{n}")).collect();
    let mut waiting: Vec<_> = tokens
        .iter()
        .map(|token| Box::pin(begin(&cached, token)))
        .collect();
    for n in 0..10 {
        cached.invalidate(&format!("another-{n}"));
    }
    store.gate.0.add_permits(1_000);
    for one in &mut waiting {
        assert!(one.await.is_ok());
    }
    // Ten of 256 counts are some 40 of a thousand tokens.
    assert!(cached.stats().entries > 850, "{:?}", cached.stats());
}

/// A look-up is asked for by a waker that was registered last, however often its waiter moved.
#[tokio::test]
async fn who_waits_may_move_to_another_task() {
    let store = Store::default();
    let cached = Cached::new(store.verifier());
    let mut waiting = Box::pin(begin(&cached, "good"));
    for _ in 0..3 {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    let moved = tokio::spawn(waiting);
    tokio::task::yield_now().await;
    store.gate.0.add_permits(1);
    assert!(moved.await.unwrap().is_ok());
}

/// One in whom others could trust, but who is never polled again, keeps nobody waiting.
#[tokio::test]
async fn one_who_waits_and_is_not_polled_holds_nobody_up() {
    let store = Store::default();
    let cached = Cached::new(store.verifier());
    let mut lazy = pin!(begin(&cached, "good"));
    assert!(lazy.as_mut().now_or_never().is_none());
    let busy = tokio::spawn(begin(&cached, "good"));
    tokio::task::yield_now().await;
    store.gate.0.add_permits(1);
    let verdict = tokio::time::timeout(Duration::from_secs(60), busy).await;
    assert!(verdict.expect("it waits for the other").unwrap().is_ok());
    assert!(lazy.await.is_ok());
}
