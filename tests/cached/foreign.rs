//! Attack 43: code of others that the cache calls may use the cache. Wherever it would meet a lock that is
//! held, these tests hang, and fail after a while.

use std::{
    future::IntoFuture,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use tower_bearer::{
    BearerToken, Cached, Claims, Clock, NumericDate, OwnedToken, SharedVerifier, Verifier,
    verify_async_fn, verify_fn,
};

use crate::{NOW, verify};

/// Runs `f` on a thread of its own, which must come to its end.
fn ends(f: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        f();
        sender.send(()).unwrap();
    });
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a deadlock"),
    }
}

/// A cache that foreign code uses: everything it can do, a verification of another token included.
struct Handle<C: Send + Sync + 'static>(Arc<Inside<C>>);

struct Inside<C: Send + Sync + 'static> {
    cached: OnceLock<Cached<SharedVerifier<C>>>,
    calls: AtomicUsize,
    busy: std::sync::atomic::AtomicBool,
}

impl<C: Send + Sync + 'static> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Send + Sync + 'static> Handle<C> {
    fn new() -> Self {
        Self(Arc::new(Inside {
            cached: OnceLock::new(),
            calls: AtomicUsize::new(0),
            busy: false.into(),
        }))
    }

    fn set(&self, cached: &Cached<SharedVerifier<C>>) {
        assert!(self.0.cached.set(cached.clone()).is_ok());
    }

    /// Not from within itself, which would have no end.
    fn use_it(&self) {
        let Some(cached) = self.0.cached.get() else {
            return;
        };
        if self.0.busy.swap(true, Ordering::SeqCst) {
            return;
        }
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let _ = cached.stats();
        for text in ["other", "token-7"] {
            let token = BearerToken::parse(text).unwrap();
            let _ = cached.verify(token).into_future().now_or_never();
        }
        cached.invalidate("token-7");
        self.0.busy.store(false, Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.0.calls.swap(0, Ordering::SeqCst)
    }

    /// The claims would keep the cache, and the cache the claims.
    fn forget(&self) {
        self.0.busy.store(true, Ordering::SeqCst);
    }
}

/// Claims that use the cache when they are dropped.
struct Loud(Handle<Loud>);

impl Drop for Loud {
    fn drop(&mut self) {
        self.0.use_it();
    }
}

fn loud() -> (
    Handle<Loud>,
    impl Verifier<Claims = Loud, Future: Send> + Send + Sync,
) {
    let handle = Handle::new();
    let of_verifier = handle.clone();
    let verifier = verify_fn(move |_: BearerToken<'_>| Ok(Claims::new(Loud(of_verifier.clone()))));
    (handle, verifier)
}

#[test]
fn attack_43_claims_that_use_the_cache_when_they_are_dropped() {
    ends(|| {
        let clock = crate::clock();
        let (handle, verifier) = loud();
        let cached = Cached::builder(verifier.shared())
            .max_bytes(65_536)
            .clock(clock.clone())
            .build()
            .unwrap();
        handle.set(&cached);
        // Evicted.
        for n in 0..1_000 {
            verify(&cached, &format!("token-{n:0>500}")).unwrap();
        }
        assert!(handle.calls() > 500);
        // Ended, and found so.
        verify(&cached, "token").unwrap();
        clock.advance(Duration::from_secs(1_000));
        handle.calls();
        verify(&cached, "token").unwrap();
        assert!(handle.calls() > 0, "ended");
        // Invalidated.
        assert!(cached.invalidate("token"));
        assert!(handle.calls() > 0, "invalidated");
        // Too large to be kept.
        let huge = "x".repeat(16 * 1024);
        let weighed = Cached::builder(loud().1)
            .weigh(|_: &Claims<Loud>| usize::MAX)
            .build()
            .unwrap();
        verify(&weighed, &huge).unwrap();
        assert_eq!(weighed.stats().entries, 0);
        // Cleared.
        for n in 0..20 {
            verify(&cached, &format!("token-{n}")).unwrap();
        }
        handle.calls();
        cached.clear();
        assert!(handle.calls() > 0, "cleared");
        handle.forget();
    });
}

/// A verdict that is replaced: two threads have asked the verifier at once.
#[test]
fn attack_43_claims_that_use_the_cache_when_they_are_replaced() {
    ends(|| {
        let handle = Handle::<Loud>::new();
        let of_verifier = handle.clone();
        let both = Arc::new(std::sync::Barrier::new(2));
        let at_once = Arc::clone(&both);
        let verifier = verify_fn(move |token: BearerToken<'_>| {
            if token.as_str() == "together" {
                at_once.wait();
            }
            Ok(Claims::new(Loud(of_verifier.clone())))
        });
        let cached = Cached::new(verifier.shared());
        handle.set(&cached);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| drop(verify(&cached, "together").unwrap()));
            }
        });
        assert!(handle.calls() > 0);
        assert_eq!(cached.stats().evictions, 0, "a replaced verdict is no loss");
        handle.forget();
    });
}

#[test]
fn attack_43_a_clock_that_uses_the_cache() {
    struct Asking(Handle<()>);
    impl Clock for Asking {
        fn now(&self) -> NumericDate {
            self.0.use_it();
            NumericDate::from_secs(NOW)
        }
    }

    ends(|| {
        let handle = Handle::new();
        let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
        let cached = Cached::builder(verifier.shared())
            .max_bytes(65_536)
            .clock(Asking(handle.clone()))
            .build()
            .unwrap();
        handle.set(&cached);
        for n in 0..1_000 {
            verify(&cached, &format!("token-{n:0>500}")).unwrap();
            verify(&cached, &format!("token-{n:0>500}")).unwrap();
        }
        assert!(handle.calls() >= 2_000);
        assert!(cached.stats().evictions > 500);
    });
}

#[test]
fn attack_43_a_weight_that_uses_the_cache() {
    ends(|| {
        let handle = Handle::new();
        let of_weigh = handle.clone();
        let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
        let cached = Cached::builder(verifier.shared())
            .weigh(move |_: &Claims| {
                of_weigh.use_it();
                1_000
            })
            .max_bytes(65_536)
            .build()
            .unwrap();
        handle.set(&cached);
        for n in 0..1_000 {
            verify(&cached, &format!("token-{n}")).unwrap();
        }
        assert!(handle.calls() >= 1_000);
    });
}

/// A verifier that uses the cache: where it makes its future, where that is polled, and where it is
/// dropped, ended or abandoned. Its wakers do too.
#[test]
fn attack_43_look_ups_and_wakers_that_use_the_cache() {
    struct OnDrop(Handle<Loud>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.use_it();
        }
    }
    struct Waking(Handle<Loud>);
    impl Wake for Waking {
        fn wake(self: Arc<Self>) {
            self.0.use_it();
        }
    }
    impl Drop for Waking {
        fn drop(&mut self) {
            self.0.use_it();
        }
    }

    ends(|| {
        let handle = Handle::<Loud>::new();
        let of_verifier = handle.clone();
        let verifier = verify_async_fn(move |token: OwnedToken| {
            let handle = of_verifier.clone();
            handle.use_it();
            let mut polls = 0;
            let on_drop = OnDrop(handle.clone());
            std::future::poll_fn(move |context| {
                on_drop.0.use_it();
                polls += 1;
                if polls < 3 || token.as_str() == "never" {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Claims::new(Loud(handle.clone()))))
            })
        });
        let cached = Cached::builder(verifier.shared())
            .time_to_live(Duration::ZERO)
            .build()
            .unwrap();
        handle.set(&cached);
        for text in ["token-7", "never", "other", "token-8"] {
            let token = BearerToken::parse(text).unwrap();
            let mut waiting: Vec<_> = (0..4)
                .map(|_| Box::pin(cached.verify(token).into_future()))
                .collect();
            for _ in 0..5 {
                waiting.retain_mut(|one| {
                    let waker = Waker::from(Arc::new(Waking(handle.clone())));
                    one.as_mut()
                        .poll(&mut Context::from_waker(&waker))
                        .is_pending()
                });
            }
            assert_eq!(waiting.is_empty(), text != "never", "{text}");
            drop(waiting);
            let calls = handle.calls();
            assert!(calls > 5, "{text}: {calls}");
        }
        handle.forget();
    });
}

#[cfg(feature = "metrics")]
#[test]
fn attack_43_a_recorder_that_uses_the_cache() {
    use metrics::{
        Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit,
    };

    struct Recorder(Handle<()>);
    struct Counting(Handle<()>);

    impl CounterFn for Counting {
        fn increment(&self, _: u64) {
            self.0.use_it();
        }

        fn absolute(&self, _: u64) {}
    }

    impl metrics::Recorder for Recorder {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            self.0.use_it();
            Counter::from_arc(Arc::new(Counting(self.0.clone())))
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    ends(|| {
        let handle = Handle::new();
        let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
        let cached = Cached::builder(verifier.shared())
            .max_bytes(65_536)
            .build()
            .unwrap();
        handle.set(&cached);
        metrics::with_local_recorder(&Recorder(handle.clone()), || {
            for n in 0..1_000 {
                verify(&cached, &format!("token-{n:0>500}")).unwrap();
                verify(&cached, &format!("token-{n:0>500}")).unwrap();
            }
        });
        assert!(handle.calls() >= 2_000);
        assert!(cached.stats().evictions > 500);
    });
}

/// A look-up that waits for itself is refused, and not waited for without end.
#[tokio::test]
async fn a_verifier_that_asks_its_own_cache_for_its_own_token_is_unavailable() {
    let handle = Handle::<()>::new();
    let of_verifier = handle.clone();
    let verifier = verify_async_fn(move |token: OwnedToken| {
        let handle = of_verifier.clone();
        async move {
            // Pending, once, so that others can join.
            tokio::task::yield_now().await;
            let cached = handle.0.cached.get().unwrap();
            cached.verify(token.as_token()).await
        }
    });
    let cached = Cached::new(verifier.shared());
    handle.set(&cached);
    let token = BearerToken::parse("token").unwrap();
    let waiting = (0..3).map(|_| cached.verify(token).into_future());
    let verdicts = futures_util::future::join_all(waiting);
    let verdicts = tokio::time::timeout(Duration::from_secs(60), verdicts);
    for verdict in verdicts.await.expect("it waits without end") {
        let error = verdict.unwrap_err();
        assert_eq!(error.reason(), tower_bearer::reason::VERIFIER_AWAITS_ITSELF);
        assert_eq!(error.kind().status(), 503);
    }
    // Nor does it stay behind.
    let mut again = pin!(cached.verify(token).into_future());
    assert!(again.as_mut().now_or_never().is_none());
    assert!(again.await.is_err());
}
