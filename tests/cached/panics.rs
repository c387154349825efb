//! Attack 40: a verifier that panics, wherever it does, is a 503 for all who wait, at once.

use std::{
    convert::Infallible,
    future::IntoFuture,
    panic::panic_any,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::FutureExt;
use http::{Request, Response, StatusCode, header};
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    AuthError, AuthErrorKind, BearerAuthLayer, BearerToken, Cached, CachedFuture, Claims, Clock,
    NumericDate, Verification, VerificationFuture, Verifier, reason,
};

use crate::{NOW, clock};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    /// In `verify`, which makes the future.
    Verify,
    FirstPoll,
    SecondPoll,
    /// When the future has ended and is dropped.
    Drop,
    /// What is thrown panics itself when it is dropped.
    PayloadDrop,
    /// First when it is polled, then when it is dropped.
    PollAndDrop,
}

const SITES: [Site; 6] = [
    Site::Verify,
    Site::FirstPoll,
    Site::SecondPoll,
    Site::Drop,
    Site::PayloadDrop,
    Site::PollAndDrop,
];

/// Panics while it is armed, and accepts every token after.
#[derive(Clone)]
struct Bomb {
    site: Site,
    armed: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Bomb {
    fn new(site: Site) -> Self {
        Self {
            site,
            armed: Arc::new(AtomicBool::new(true)),
            asked: Arc::default(),
        }
    }

    fn goes_off(&self, site: Site) -> bool {
        self.site == site && self.armed.load(Ordering::SeqCst)
    }
}

struct Thrown;

impl Drop for Thrown {
    fn drop(&mut self) {
        panic!("what was thrown");
    }
}

struct BombFuture {
    bomb: Bomb,
    polls: usize,
}

impl Verifier for Bomb {
    type Claims = ();
    type Future = BombFuture;

    fn verify(&self, _: BearerToken<'_>) -> Verification<(), BombFuture> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(!self.goes_off(Site::Verify), "in verify");
        Verification::Pending(BombFuture {
            bomb: self.clone(),
            polls: 0,
        })
    }
}

impl Future for BombFuture {
    type Output = Result<Claims, AuthError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls += 1;
        assert!(!self.bomb.goes_off(Site::FirstPoll), "in the first poll");
        if self.polls == 1 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        assert!(!self.bomb.goes_off(Site::SecondPoll), "in the second poll");
        assert!(!self.bomb.goes_off(Site::PollAndDrop), "in the second poll");
        if self.bomb.goes_off(Site::PayloadDrop) {
            panic_any(Thrown);
        }
        Poll::Ready(Ok(Claims::new(())))
    }
}

impl Drop for BombFuture {
    fn drop(&mut self) {
        let dropped = self.bomb.goes_off(Site::Drop) || self.bomb.goes_off(Site::PollAndDrop);
        assert!(!dropped, "in drop");
    }
}

type Waiting = Pin<Box<VerificationFuture<(), CachedFuture<()>>>>;

fn start(cached: &Cached<Bomb>) -> Waiting {
    let token = BearerToken::parse("token").unwrap();
    Box::pin(cached.verify(token).into_future())
}

#[track_caller]
fn assert_panicked<C>(verdict: Result<Claims<C>, AuthError>, site: impl std::fmt::Debug) {
    let error = verdict.err().unwrap_or_else(|| panic!("{site:?}"));
    assert_eq!(error.kind(), AuthErrorKind::Unavailable, "{site:?}");
    assert_eq!(error.reason(), reason::VERIFIER_PANICKED, "{site:?}");
}

#[tokio::test]
async fn attack_40_a_panic_is_unavailable_for_all_who_wait() {
    for site in SITES {
        let bomb = Bomb::new(site);
        let cached = Cached::new(bomb.clone());
        // The first one's poll, and with it perhaps the panic, comes last of all.
        let waiting: Vec<_> = (0..5).map(|_| start(&cached)).collect();
        for one in waiting.into_iter().rev() {
            assert_panicked(one.await, site);
        }
        let asked = bomb.asked.load(Ordering::SeqCst);
        assert_eq!(asked, if site == Site::Verify { 5 } else { 1 }, "{site:?}");
        assert_eq!(cached.stats().entries, 0, "{site:?}");
        // The next request asks again, and finds nothing broken.
        bomb.armed.store(false, Ordering::SeqCst);
        assert!(start(&cached).await.is_ok(), "{site:?}");
        assert!(start(&cached).await.is_ok(), "{site:?}");
        assert_eq!(bomb.asked.load(Ordering::SeqCst), asked + 1, "{site:?}");
    }
}

/// One polls, and the panic comes; the others sleep, and are woken.
#[test]
fn attack_40_a_panic_wakes_who_sleeps() {
    #[derive(Default)]
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    for site in SITES {
        if matches!(site, Site::Verify | Site::FirstPoll) {
            // Nobody sleeps yet.
            continue;
        }
        let cached = Cached::new(Bomb::new(site));
        let woken: Vec<Arc<Woken>> = (0..3).map(|_| Arc::default()).collect();
        let mut waiting: Vec<_> = (0..3).map(|_| start(&cached)).collect();
        let poll = |one: &mut Waiting, place: usize| {
            let waker = Waker::from(Arc::clone(&woken[place]));
            Future::poll(one.as_mut(), &mut Context::from_waker(&waker))
        };
        // The first poll wakes all who sleep, once it is over; the second one panics.
        assert!(poll(&mut waiting[0], 0).is_pending());
        let mut last = waiting.pop().unwrap();
        assert_panicked(last.as_mut().now_or_never().unwrap(), site);
        assert!(woken[0].0.load(Ordering::SeqCst) >= 1, "{site:?}");
        for (place, one) in waiting.iter_mut().enumerate() {
            match poll(one, place) {
                Poll::Ready(verdict) => assert_panicked(verdict, site),
                Poll::Pending => panic!("{site:?}: still pending"),
            }
        }
    }
}

/// A look-up that nobody waits for any more is dropped, and its panic with it.
#[test]
fn attack_40_a_panic_in_the_drop_of_an_abandoned_look_up_reaches_nobody() {
    let bomb = Bomb::new(Site::Drop);
    let cached = Cached::new(bomb.clone());
    let mut one = start(&cached);
    assert!(one.as_mut().now_or_never().is_none());
    drop(one);
    bomb.armed.store(false, Ordering::SeqCst);
    let mut next = pin!(start(&cached));
    assert!(next.as_mut().now_or_never().is_none());
    assert!(next.now_or_never().unwrap().is_ok());
}

/// Code of others that is called on the way: the clock, and what weighs the claims.
#[tokio::test]
async fn attack_40_a_panic_of_the_clock_or_of_weigh_is_no_hang() {
    struct Broken(AtomicUsize);
    impl Clock for Broken {
        fn now(&self) -> NumericDate {
            // The first question is that of the look-up, which wants to keep its verdict.
            let first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
            assert!(!first, "the clock");
            NumericDate::from_secs(NOW)
        }
    }

    let harmless = || {
        let bomb = Bomb::new(Site::Verify);
        bomb.armed.store(false, Ordering::SeqCst);
        Cached::builder(bomb)
    };
    for (name, cached) in [
        ("clock", harmless().clock(Broken(AtomicUsize::new(0)))),
        ("weigh", harmless().weigh(|_: &Claims| panic!("weigh"))),
    ] {
        let cached = cached.build().unwrap();
        let waiting: Vec<_> = (0..3).map(|_| start(&cached)).collect();
        for one in waiting {
            assert_panicked(one.await, name);
        }
    }
}

/// The same where the verdict is there at once.
#[test]
fn attack_40_a_verifier_that_answers_at_once_and_panics_is_unavailable() {
    let verifier = tower_bearer::verify_fn(|token: BearerToken<'_>| match token.as_str() {
        "bad" => panic!("in verify"),
        _ => Ok(Claims::new(())),
    });
    let cached = Cached::builder(verifier).clock(clock()).build().unwrap();
    for _ in 0..2 {
        assert_panicked(crate::verify(&cached, "bad"), "at once");
        assert!(crate::verify(&cached, "good").is_ok());
    }
    assert_eq!(cached.stats().entries, 1);
}

/// A waker that panics keeps nobody else from being woken.
#[tokio::test]
async fn attack_40_a_waker_that_panics_takes_no_one_along() {
    struct Broken;
    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }

    let store = crate::Store::default();
    let cached = Cached::new(store.verifier());
    let waker = Waker::from(Arc::new(Broken));
    let mut broken = Box::pin(crate::begin(&cached, "good"));
    let polled = broken.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let mut other = task(crate::begin(&cached, "good"));
    assert!(other.poll().is_pending());
    store.gate.0.add_permits(1);
    assert!(other.is_woken());
    assert!(matches!(other.poll(), Poll::Ready(Ok(_))));
    assert!(broken.await.is_ok());
}

/// A future with a waker that remembers whether it was woken.
struct Task<F> {
    future: Pin<Box<F>>,
    flag: Arc<Flag>,
}

#[derive(Default)]
struct Flag(Mutex<bool>);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
    }
}

fn task<F: Future>(future: F) -> Task<F> {
    Task {
        future: Box::pin(future),
        flag: Arc::default(),
    }
}

impl<F: Future> Task<F> {
    fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.flag));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        *self.flag.0.lock().unwrap()
    }
}

/// What a client sees of it.
#[tokio::test]
async fn attack_40_the_client_is_told_to_come_back() {
    for site in SITES {
        let layer = BearerAuthLayer::new(Cached::new(Bomb::new(site)));
        let service = layer.layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(()))
        }));
        let requests = (0..3).map(|_| {
            let request = Request::get("/")
                .header(header::AUTHORIZATION, "Bearer token")
                .body(())
                .unwrap();
            service.clone().oneshot(request)
        });
        for response in futures_util::future::join_all(requests).await {
            let response = response.unwrap();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
            let error = response.extensions().get::<AuthError>().unwrap();
            assert_eq!(error.reason(), reason::VERIFIER_PANICKED, "{site:?}");
        }
    }
}

/// Claims whose `Drop` panics, where they leave the cache: no request fails that happened to drop them.
#[test]
fn attack_43_claims_that_panic_when_they_are_dropped_break_nothing() {
    struct Touchy(Arc<AtomicBool>);
    impl Drop for Touchy {
        fn drop(&mut self) {
            assert!(!self.0.load(Ordering::SeqCst), "in drop");
        }
    }

    let armed = Arc::new(AtomicBool::new(false));
    let of_verifier = Arc::clone(&armed);
    let verifier = tower_bearer::verify_fn(move |_: BearerToken<'_>| {
        Ok(Claims::new(Touchy(Arc::clone(&of_verifier))))
    });
    let cached = Cached::builder(verifier).max_bytes(65_536).build().unwrap();
    let ask = |n: usize, length: usize| {
        let token = format!("token-{n:0>length$}");
        assert!(crate::verify(&cached, &token).is_ok());
        token
    };
    for n in 0..100 {
        ask(n, 500);
    }
    armed.store(true, Ordering::SeqCst);
    let evictions = cached.stats().evictions;
    // A large one makes several go at once.
    let large = ask(100, 15_000);
    assert!(cached.stats().evictions > evictions + 5);
    assert!(cached.invalidate(&large));
    let entries = cached.stats().entries;
    assert!(entries > 5, "{entries}");
    cached.clear();
    assert_eq!(cached.stats().entries, 0);
    armed.store(false, Ordering::SeqCst);
    ask(0, 500);
    assert_eq!(cached.stats().entries, 1);
}
