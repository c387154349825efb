//! Attack 43: foreign code that asks the crate back while it is called. Nobody is called with a
//! lock held, so each gets an answer.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_bearer::{
    Clock, InMemoryRevocation, KeySetHealth, RegisteredClaims, Revocation, Revoked, TrustedIssuer,
};

use super::*;

/// Longer than any test takes that is not locked.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs a test on a thread of its own, and fails if it does not come to its end.
#[track_caller]
fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).ok();
    });
    match end.recv_timeout(WATCHDOG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a deadlock"),
        // It has ended, one way or the other.
        _ => thread.join().unwrap(),
    }
}

/// What is asked whenever somebody is called: all that can be asked of a key set and of its
/// verifier.
#[derive(Clone, Default)]
struct Asker(Arc<Asked>);

#[derive(Default)]
struct Asked {
    of: OnceLock<(KeySetHealth, JwtVerifier, String)>,
    count: AtomicUsize,
}

thread_local! {
    /// Whether this thread asks already: what is asked makes events too.
    static ASKS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Asker {
    fn about(&self, keys: &RemoteKeySet, verifier: &JwtVerifier, token: String) {
        let of = (keys.health(), verifier.clone(), token);
        assert!(self.0.of.set(of).is_ok());
    }

    fn ask(&self) {
        let Some((health, verifier, token)) = self.0.of.get() else {
            return;
        };
        if ASKS.replace(true) {
            return;
        }
        self.0.count.fetch_add(1, Ordering::SeqCst);
        let status = health.status();
        assert!(!format!("{health:?}{status:?}{verifier:?}").is_empty());
        // Tokens of a known and of an unknown key, and a forged one; who would have to wait does
        // not.
        let unknown = token_of_kid("never");
        for token in [token, &unknown, &forged(token)] {
            drop(verifier.verify(BearerToken::parse(token).unwrap()));
        }
        ASKS.set(false);
    }

    fn count(&self) -> usize {
        self.0.count.load(Ordering::SeqCst)
    }
}

/// A life of a key set with all that can happen in it: it fails, comes, changes, and grows too
/// old.
async fn life(source: &Source, keys: &RemoteKeySet, verifier: &JwtVerifier, signers: [&Issuer; 2]) {
    let [old, new] = signers;
    let mut odd = jwk(&signer("odd"));
    odd["use"] = "enc".into();
    source.now(Does::Fails);
    assert!(keys.ready().await.is_err());
    source.now(Does::Gives(json!({ "keys": [jwk(old), odd] }).to_string()));
    keys.ready().await.unwrap();
    assert_eq!(ask(verifier, &token(old)).await, Said::In);
    source.gives(&[new]);
    // Who asks back may have had them fetched by then.
    seconds(62).await;
    assert_eq!(ask(verifier, &token(new)).await, Said::In);
    assert_ne!(ask(verifier, &token(old)).await, Said::In);
    source.now(Does::Fails);
    seconds(4300).await;
    assert!(!keys.health().status().is_ready());
    assert!(ask(verifier, &token(new)).await.is_unavailable());
}

fn paused<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

#[cfg(feature = "tracing")]
#[test]
fn attack_43_a_subscriber_that_asks_back_gets_an_answer() {
    use tracing_subscriber::{
        layer::{Context, Layer, SubscriberExt},
        registry,
    };

    struct AsksBack(Asker);

    impl<S: tracing::Subscriber> Layer<S> for AsksBack {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.ask();
        }

        fn on_new_span(
            &self,
            _: &tracing::span::Attributes<'_>,
            _: &tracing::span::Id,
            _: Context<'_, S>,
        ) {
            self.0.ask();
        }

        fn on_enter(&self, _: &tracing::span::Id, _: Context<'_, S>) {
            self.0.ask();
        }

        fn on_exit(&self, _: &tracing::span::Id, _: Context<'_, S>) {
            self.0.ask();
        }

        fn on_close(&self, _: tracing::span::Id, _: Context<'_, S>) {
            self.0.ask();
        }
    }

    watched(|| {
        let asker = Asker::default();
        share_events_among_tests();
        let subscriber = registry().with(AsksBack(asker.clone()));
        let _guard = tracing::subscriber::set_default(subscriber);
        paused(async {
            let signers = [&signer("a"), &signer("b")];
            let source = Source::new(Does::Fails);
            let keys = source.keys().build().unwrap();
            let verifier = verifier(keys.clone());
            asker.about(&keys, &verifier, token(signers[0]));
            life(&source, &keys, &verifier, signers).await;
        });
        assert!(asker.count() > 50, "{}", asker.count());
    });
}

#[cfg(feature = "metrics")]
#[test]
fn attack_43_a_recorder_that_asks_back_gets_an_answer() {
    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
        Recorder, SharedString, Unit,
    };

    struct AsksBack(Asker);

    impl Recorder for AsksBack {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            self.0.ask();
        }

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            self.0.ask();
        }

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            self.0.ask();
        }

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            self.0.ask();
            Counter::from_arc(Arc::new(AsksBack(self.0.clone())))
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            self.0.ask();
            Gauge::from_arc(Arc::new(AsksBack(self.0.clone())))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            self.0.ask();
            Histogram::from_arc(Arc::new(AsksBack(self.0.clone())))
        }
    }

    impl CounterFn for AsksBack {
        fn increment(&self, _: u64) {
            self.0.ask();
        }

        fn absolute(&self, _: u64) {
            self.0.ask();
        }
    }

    impl GaugeFn for AsksBack {
        fn increment(&self, _: f64) {
            self.0.ask();
        }

        fn decrement(&self, _: f64) {
            self.0.ask();
        }

        fn set(&self, _: f64) {
            self.0.ask();
        }
    }

    impl HistogramFn for AsksBack {
        fn record(&self, _: f64) {
            self.0.ask();
        }
    }

    watched(|| {
        let asker = Asker::default();
        let recorder = AsksBack(asker.clone());
        metrics::with_local_recorder(&recorder, || {
            tower_bearer::describe_metrics();
            paused(async {
                let signers = [&signer("a"), &signer("b")];
                let source = Source::new(Does::Fails);
                let keys = source.keys().build().unwrap();
                let verifier = verifier(keys.clone());
                asker.about(&keys, &verifier, token(signers[0]));
                life(&source, &keys, &verifier, signers).await;
                // The layer counts too.
                assert_eq!(answer(&verifier, &token(signers[0])).await.status, 503);
            });
        });
        assert!(asker.count() > 50, "{}", asker.count());
    });
}

/// A clock that asks, trusts and distrusts while a token is verified by it, and asks the list of
/// revocations.
#[test]
fn attack_43_a_clock_that_asks_back_gets_an_answer() {
    #[derive(Clone, Default)]
    struct AsksBack {
        asker: Asker,
        revoked: Arc<OnceLock<InMemoryRevocation>>,
    }

    impl Clock for AsksBack {
        fn now(&self) -> NumericDate {
            self.asker.ask();
            if let Some((_, verifier, _)) = self.asker.0.of.get()
                && !ASKS.replace(true)
            {
                let other = TrustedIssuer::new("https://other.example.com")
                    .audience(AUDIENCE)
                    .remote_keys(Source::new(Does::Fails).keys().build().unwrap());
                verifier.trust(other).unwrap();
                assert!(verifier.distrust("https://other.example.com"));
                ASKS.set(false);
            }
            if let Some(revoked) = self.revoked.get() {
                let claims = RegisteredClaims::default();
                assert!(matches!(
                    revoked.is_revoked(&claims),
                    Revoked::Ready(Ok(false))
                ));
                assert!(!format!("{revoked:?}").is_empty());
            }
            NumericDate::from_secs(NOW)
        }
    }

    watched(|| {
        let clock = AsksBack::default();
        paused(async {
            let signers = [&signer("a"), &signer("b")];
            let source = Source::new(Does::Fails);
            let keys = source.keys().build().unwrap();
            let verifier: JwtVerifier = JwtVerifier::builder()
                .clock(clock.clone())
                .issuer(ISSUER)
                .audience(AUDIENCE)
                .remote_keys(keys.clone())
                .build()
                .unwrap();
            clock.asker.about(&keys, &verifier, token(signers[0]));
            life(&source, &keys, &verifier, signers).await;

            let revoked = InMemoryRevocation::with_settings(clock.clone(), Duration::from_secs(60));
            assert!(clock.revoked.set(revoked.clone()).is_ok());
            let later = NumericDate::from_secs(NOW + 60);
            revoked.revoke_token("a", later).await.unwrap();
            revoked.revoke_client("a", later).await.unwrap();
            revoked.revoke_subject("a", later).await.unwrap();
        });
        assert!(clock.asker.count() > 5, "{}", clock.asker.count());
    });
}

/// A client whose `clone`, `poll_ready`, `call` and `drop` ask, and a body and a future that do.
#[test]
fn attack_43_a_client_that_asks_back_gets_an_answer() {
    struct AsksBack(Asker, String);

    impl Clone for AsksBack {
        fn clone(&self) -> Self {
            self.0.ask();
            Self(self.0.clone(), self.1.clone())
        }
    }

    impl Drop for AsksBack {
        fn drop(&mut self) {
            self.0.ask();
        }
    }

    struct Answers(AsksBack);

    impl Future for Answers {
        type Output = Result<Response<Full<Bytes>>, Infallible>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            self.0.0.ask();
            Poll::Ready(Ok(Response::new(Full::from(self.0.1.clone()))))
        }
    }

    impl tower::Service<Request<()>> for AsksBack {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = Answers;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.0.ask();
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Answers {
            self.0.ask();
            Answers(self.clone())
        }
    }

    watched(|| {
        let asker = Asker::default();
        paused(async {
            let signer = signer("a");
            let client = AsksBack(asker.clone(), set(&[&signer]));
            let keys = RemoteKeySet::jwks_url("https://login.example.com/jwks").client(client);
            let keys = keys.build().unwrap();
            let verifier = verifier(keys.clone());
            asker.about(&keys, &verifier, token(&signer));
            for _ in 0..5 {
                assert_eq!(ask(&verifier, &token(&signer)).await, Said::In);
                seconds(520).await;
            }
            drop((keys, verifier));
        });
        assert!(asker.count() > 20, "{}", asker.count());
    });
}

/// A function that asks, and whose future asks when it is polled and dropped.
#[test]
fn attack_43_a_function_that_asks_back_gets_an_answer() {
    struct OnDrop(Asker);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.ask();
        }
    }

    watched(|| {
        let asker = Asker::default();
        paused(async {
            let signer = signer("a");
            let json = set(&[&signer]);
            let of_function = (asker.clone(), OnDrop(asker.clone()));
            let fails = AtomicUsize::new(0);
            let keys = RemoteKeySet::from_fn(move || {
                of_function.0.ask();
                let (asker, json) = (OnDrop(of_function.0.clone()), json.clone());
                let hangs = fails.fetch_add(1, Ordering::SeqCst) % 2 == 1;
                async move {
                    asker.0.ask();
                    if hangs {
                        // It is dropped when its time is over.
                        pending::<()>().await;
                    }
                    Ok::<_, Infallible>(json)
                }
            });
            let keys = keys.build().unwrap();
            let verifier = verifier(keys.clone());
            asker.about(&keys, &verifier, token(&signer));
            for _ in 0..20 {
                keys.ready().await.unwrap();
                seconds(300).await;
            }
            drop((keys, verifier));
        });
        assert!(asker.count() > 20, "{}", asker.count());
    });
}

/// A request that waits is woken by its executor's waker, which is foreign code too.
#[test]
fn attack_43_a_waker_that_asks_back_gets_an_answer() {
    struct AsksBack(Asker);

    impl std::task::Wake for AsksBack {
        fn wake(self: Arc<Self>) {
            self.0.ask();
        }
    }

    watched(|| {
        let asker = Asker::default();
        paused(async {
            let signer = signer("a");
            let source = Source::new(Does::GivesAfter(Duration::from_secs(1), set(&[&signer])));
            let keys = source.keys().build().unwrap();
            let verifier = verifier(keys.clone());
            asker.about(&keys, &verifier, token(&signer));
            let waker = Waker::from(Arc::new(AsksBack(asker.clone())));
            let token = token(&signer);
            let mut waiting: Vec<_> = (0..10)
                .map(|_| Box::pin(waits(&verifier, &token)))
                .collect();
            let mut ready = Box::pin(keys.ready());
            let mut context = Context::from_waker(&waker);
            for verdict in &mut waiting {
                assert!(verdict.as_mut().poll(&mut context).is_pending());
            }
            assert!(ready.as_mut().poll(&mut context).is_pending());
            seconds(2).await;
            for mut verdict in waiting {
                assert!(verdict.as_mut().poll(&mut context).is_ready());
            }
            assert!(ready.as_mut().poll(&mut context).is_ready());
        });
        assert!(asker.count() >= 10, "{}", asker.count());
    });
}

/// Events and counts of the layer, with a cache of verdicts in between.
#[cfg(feature = "tracing")]
#[test]
fn attack_43_a_subscriber_that_asks_the_cache_gets_an_answer() {
    use tracing_subscriber::{
        layer::{Context, Layer, SubscriberExt},
        registry,
    };

    #[derive(Clone, Default)]
    struct AsksBack(Arc<OnceLock<tower_bearer::Cached<JwtVerifier>>>);

    impl<S: tracing::Subscriber> Layer<S> for AsksBack {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            if let Some(cached) = self.0.get() {
                let stats = cached.stats();
                assert!(!format!("{stats:?}").is_empty());
            }
        }
    }

    watched(|| {
        share_events_among_tests();
        let layer = AsksBack::default();
        let _guard = tracing::subscriber::set_default(registry().with(layer.clone()));
        paused(async {
            let signer = signer("a");
            let source = Source::of(&[&signer]);
            let cached = tower_bearer::Cached::builder(verifier(source.keys().build().unwrap()))
                .clock(clock())
                .build()
                .unwrap();
            assert!(layer.0.set(cached.clone()).is_ok());
            for token in [token(&signer), token(&signer), forged(&token(&signer))] {
                answer(&cached, &token).await;
            }
        });
    });
}
