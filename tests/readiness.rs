//! Readiness and back-pressure: which service is called, and what a verdict that hangs holds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::poll;
use http::{Request, Response};
use http_body_util::Full;
use support::Text;
use tokio::sync::oneshot;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_bearer::{
    AuthError, BearerAuthLayer, BearerToken, BoxFuture, Check, CheckContext, Checked, Claims,
    Verification, Verifier, verify_fn,
};
use tower_test::mock;

type Mock = mock::Mock<Request<Text>, Response<Text>>;
type Handle = mock::Handle<Request<Text>, Response<Text>>;
type Verdict = Result<Claims, AuthError>;

/// `fast` is confirmed at once; each `slow` waits until it is told.
#[derive(Clone, Default)]
struct FastOrSlow {
    slow: Arc<Mutex<Vec<oneshot::Receiver<Verdict>>>>,
    // Is held by every verdict that has not come.
    held: Arc<()>,
}

impl FastOrSlow {
    fn expect_slow(&self) -> oneshot::Sender<Verdict> {
        let (sender, receiver) = oneshot::channel();
        self.slow.lock().unwrap().push(receiver);
        sender
    }
}

impl Verifier for FastOrSlow {
    type Claims = ();
    type Future = BoxFuture<Verdict>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<(), Self::Future> {
        match token.as_str() {
            "fast" => Verification::Ready(Ok(Claims::new(()))),
            "slow" => {
                let verdict = self.slow.lock().unwrap().pop().unwrap();
                let held = Arc::clone(&self.held);
                Verification::Pending(Box::pin(async move {
                    let verdict = verdict.await.unwrap();
                    drop(held);
                    verdict
                }))
            }
            _ => Verification::Ready(Err(AuthError::invalid_token("bad"))),
        }
    }
}

/// A check that waits until it is told, for the token `slow` alone.
struct SlowCheck(
    Mutex<Option<oneshot::Receiver<Result<(), AuthError>>>>,
    Arc<()>,
);

impl Check<()> for SlowCheck {
    fn check(&self, cx: &CheckContext<'_, ()>) -> Checked {
        if cx.credentials().unwrap().token().as_str() != "slow" {
            return Ok(()).into();
        }
        let receiver = self.0.lock().unwrap().take().unwrap();
        let held = Arc::clone(&self.1);
        Checked::Pending(Box::pin(async move {
            let answer = receiver.await.unwrap();
            drop(held);
            answer
        }))
    }
}

fn any() -> impl Verifier<Claims = (), Future: Send> + Clone {
    verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())))
}

fn with(token: &str) -> Request<Text> {
    support::request(&[("authorization", &format!("Bearer {token}"))])
}

fn ok() -> Response<Text> {
    Response::new(Text::from("served"))
}

/// A mock that panics where it is called without having been ready.
fn pair() -> (Mock, Handle) {
    let (service, mut handle) = mock::pair();
    handle.allow(0);
    (service, handle)
}

#[tokio::test]
async fn readiness_is_that_of_the_service() {
    let (service, mut handle) = pair();
    let mut service = mock::Spawn::new(BearerAuthLayer::new(any()).layer(service));
    assert!(service.poll_ready().is_pending());
    assert!(!service.is_woken());
    handle.allow(1);
    assert!(service.is_woken());
    assert!(service.poll_ready().is_ready());

    let mut response = pin!(service.call(with("a")));
    assert!(poll!(&mut response).is_pending());
    let (request, respond) = handle.next_request().await.unwrap();
    assert_eq!(request.headers()["authorization"], "Bearer a");
    assert!(request.extensions().get::<Claims>().is_some());
    respond.send_response(ok());
    assert_eq!(response.await.unwrap().status(), 200);
    // The one request that was allowed has been made.
    assert!(service.poll_ready().is_pending());
}

/// `S::Error` is never changed.
#[tokio::test]
async fn errors_come_through_unchanged() {
    let (service, mut handle) = pair();
    let mut service = mock::Spawn::new(BearerAuthLayer::new(any()).layer(service));
    handle.send_error("not ready");
    let Poll::Ready(Err(error)) = service.poll_ready() else {
        panic!("the error of `poll_ready` is lost");
    };
    assert_eq!(error.to_string(), "not ready");

    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let mut response = pin!(service.call(with("a")));
    assert!(poll!(&mut response).is_pending());
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_error("broke off");
    assert_eq!(response.await.unwrap_err().to_string(), "broke off");
}

/// A refusal calls nobody, and uses up nothing.
#[tokio::test]
async fn a_refusal_leaves_the_service_alone() {
    let (service, mut handle) = pair();
    handle.allow(1);
    let mut service = mock::Spawn::new(BearerAuthLayer::new(FastOrSlow::default()).layer(service));
    for _ in 0..3 {
        assert!(service.poll_ready().is_ready());
        let response = service.call(with("bad")).await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(handle.poll_request().is_pending());
    }
}

/// Knows whether it was made ready, counts its clones, and fails where it is called without.
struct Tracked {
    ready: bool,
    polled: Arc<AtomicUsize>,
    clones: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

impl Tracked {
    fn new() -> Self {
        Self {
            ready: false,
            polled: Arc::default(),
            clones: Arc::default(),
            calls: Arc::default(),
        }
    }

    fn counts(&self) -> [usize; 3] {
        [&self.polled, &self.clones, &self.calls].map(|count| count.load(Ordering::SeqCst))
    }
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self {
            ready: false,
            polled: Arc::clone(&self.polled),
            clones: Arc::clone(&self.clones),
            calls: Arc::clone(&self.calls),
        }
    }
}

impl Service<Request<Text>> for Tracked {
    type Response = Response<Text>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Text>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.polled.fetch_add(1, Ordering::SeqCst);
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Text>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without having been ready"
        );
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(ok()))
    }
}

/// A verdict that is there calls the service that was made ready, within `call`, and clones nothing.
#[tokio::test]
async fn a_verdict_that_is_there_clones_nothing() {
    for layer in [
        BearerAuthLayer::new(FastOrSlow::default()),
        BearerAuthLayer::new(FastOrSlow::default()).optional(),
        BearerAuthLayer::new(FastOrSlow::default()).check_fn(|_: &CheckContext<'_, ()>| Ok(())),
    ] {
        let mut service = layer.layer(Tracked::new());
        let response = service.ready().await.unwrap().call(with("fast"));
        assert_eq!(service.get_ref().counts(), [1, 0, 1]);
        assert_eq!(response.await.unwrap().status(), 200);
        let response = service.ready().await.unwrap().call(with("bad"));
        assert_eq!(response.await.unwrap().status(), 401);
        assert_eq!(service.get_ref().counts(), [2, 0, 1]);
        // It is still ready, and is called without being asked again.
        let response = service.call(with("fast"));
        assert_eq!(response.await.unwrap().status(), 200);
        assert_eq!(service.get_ref().counts(), [2, 0, 2]);
    }
}

/// A verdict that has not come leaves a service behind that is not ready, and takes one along that
/// is made ready when it has come.
#[tokio::test]
async fn a_verdict_that_has_not_come_drops_the_ready_service() {
    let verifier = FastOrSlow::default();
    let verdict = verifier.expect_slow();
    let mut service = BearerAuthLayer::new(verifier).layer(Tracked::new());
    service.ready().await.unwrap();
    assert!(service.get_ref().ready);

    let mut response = pin!(service.call(with("slow")));
    assert!(!service.get_ref().ready);
    assert_eq!(service.get_ref().counts(), [1, 2, 0]);
    assert!(poll!(&mut response).is_pending());
    assert_eq!(service.get_ref().counts(), [1, 2, 0]);

    verdict.send(Ok(Claims::new(()))).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(service.get_ref().counts(), [2, 2, 1]);
}

/// A slow verdict that comes to a refusal makes nothing ready.
#[tokio::test]
async fn a_slow_refusal_makes_nothing_ready() {
    let verifier = FastOrSlow::default();
    let verdict = verifier.expect_slow();
    let mut service = BearerAuthLayer::new(verifier).layer(Tracked::new());
    let response = service.ready().await.unwrap().call(with("slow"));
    verdict.send(Err(AuthError::revoked_token())).unwrap();
    assert_eq!(response.await.unwrap().status(), 401);
    assert_eq!(service.get_ref().counts(), [1, 2, 0]);
}

#[tokio::test]
async fn clones_never_inherit_readiness() {
    let mut service = BearerAuthLayer::new(any()).layer(Tracked::new());
    service.ready().await.unwrap();
    let clone = service.clone();
    assert!(service.get_ref().ready);
    assert!(!clone.get_ref().ready);
}

/// After a slow verdict the clone is polled ready, waits for its turn, and is woken.
#[tokio::test]
async fn the_clone_waits_until_it_is_ready() {
    let verifier = FastOrSlow::default();
    let verdict = verifier.expect_slow();
    let (service, mut handle) = pair();
    handle.allow(1);
    let mut service = BearerAuthLayer::new(verifier).layer(service);
    let response = tokio::spawn(service.ready().await.unwrap().call(with("slow")));
    tokio::task::yield_now().await;

    handle.allow(0);
    verdict.send(Ok(Claims::new(()))).unwrap();
    for _ in 0..3 {
        tokio::task::yield_now().await;
        assert!(handle.poll_request().is_pending());
        assert!(!response.is_finished());
    }
    handle.allow(1);
    let (request, respond) = handle.next_request().await.unwrap();
    assert_eq!(request.headers()["authorization"], "Bearer slow");
    respond.send_response(ok());
    assert_eq!(response.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn an_error_of_the_clone_comes_through() {
    let verifier = FastOrSlow::default();
    let verdict = verifier.expect_slow();
    let (service, mut handle) = pair();
    handle.allow(1);
    let mut service = BearerAuthLayer::new(verifier).layer(service);
    let mut response = pin!(service.ready().await.unwrap().call(with("slow")));
    assert!(poll!(&mut response).is_pending());
    handle.allow(0);
    verdict.send(Ok(Claims::new(()))).unwrap();
    assert!(poll!(&mut response).is_pending());
    handle.send_error("gone");
    assert_eq!(response.await.unwrap_err().to_string(), "gone");
}

fn limited() -> (ConcurrencyLimit<support::Inner>, support::Inner) {
    let inner = support::Inner::new();
    (ConcurrencyLimit::new(inner.clone(), 1), inner)
}

/// A verdict, and a check, that hang hold no permit of a concurrency limit.
#[tokio::test]
async fn what_hangs_holds_no_permit() {
    for by in ["verdict", "check"] {
        let verifier = FastOrSlow::default();
        let verdict = verifier.expect_slow();
        let (answer, receiver) = oneshot::channel();
        let layer = BearerAuthLayer::new(verifier);
        let layer = match by {
            "verdict" => layer,
            _ => layer.check(SlowCheck(Mutex::new(Some(receiver)), Arc::default())),
        };
        let (limited, inner) = limited();
        let mut first = layer.layer(limited);
        let mut second = first.clone();

        let mut hangs = pin!(first.ready().await.unwrap().call(with("slow")));
        assert!(poll!(&mut hangs).is_pending());
        let mut verdict = Some(verdict);
        if by == "check" {
            verdict.take().unwrap().send(Ok(Claims::new(()))).unwrap();
            assert!(poll!(&mut hangs).is_pending());
        }
        // Others pass meanwhile: neither the caller's service nor the one that waits holds a permit.
        for service in [&mut second, &mut first] {
            let passes = service.ready().await.unwrap().call(with("fast"));
            assert_eq!(passes.await.unwrap().status(), 200);
            assert_eq!(inner.take().len(), 1);
        }
        // The one that waits gets the permit in its turn.
        match by {
            "verdict" => verdict.take().unwrap().send(Ok(Claims::new(()))).unwrap(),
            _ => answer.send(Ok(())).unwrap(),
        }
        assert_eq!(hangs.await.unwrap().status(), 200);
        assert_eq!(inner.take().len(), 1);
    }
}

/// With the only permit the waiting request comes to its end while its own service lives on.
#[tokio::test]
async fn a_slow_verdict_does_not_deadlock() {
    let verifier = FastOrSlow::default();
    let verdict = verifier.expect_slow();
    let (limited, inner) = limited();
    let mut service = BearerAuthLayer::new(verifier).layer(limited);
    // By value, so that it is gone, and its permit with it, once it is done.
    let mut response = Box::pin(service.ready().await.unwrap().call(with("slow")));
    assert!(poll!(&mut response).is_pending());
    verdict.send(Ok(Claims::new(()))).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(inner.take().len(), 1);
    service.ready().await.unwrap();
}

/// A service, a request body, a verdict and a check that show whether they are still held.
#[derive(Clone)]
struct Holding<S>(S, #[allow(dead_code)] Arc<()>);

impl<S: Service<Request<Held>>> Service<Request<Held>> for Holding<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Held>) -> S::Future {
        self.0.call(request)
    }
}

type Held = Arc<()>;

/// Dropped at any time, the future lets go of everything.
#[tokio::test]
async fn a_dropped_future_releases_everything() {
    for state in ["verifying", "checking", "readying", "inner"] {
        let (service, mut handle) = mock::pair::<Request<Held>, Response<Full<Bytes>>>();
        handle.allow(1);
        let [in_service, in_body, in_check] = [(); 3].map(Arc::new);
        let verifier = FastOrSlow::default();
        let in_verdict = Arc::clone(&verifier.held);
        let verdict = verifier.expect_slow();
        let (answer, receiver) = oneshot::channel();
        let check = SlowCheck(Mutex::new(Some(receiver)), Arc::clone(&in_check));
        let layer = BearerAuthLayer::new(verifier.clone()).check(check);
        let mut service = layer.layer(Holding(service, Arc::clone(&in_service)));

        let request = with("slow").map(|_| Arc::clone(&in_body));
        let mut response = Box::pin(service.ready().await.unwrap().call(request));
        assert!(poll!(&mut response).is_pending());
        assert_eq!(format!("{response:?}"), "ResponseFuture(\"verifying\")");
        // Each once by this test, and once by what is held; the verdict and the check by their owners.
        let counts = || [&in_service, &in_body, &in_verdict, &in_check].map(Arc::strong_count);
        assert_eq!(counts(), [3, 2, 4, 2], "{state}");

        handle.allow(0);
        let mut served = None;
        if state != "verifying" {
            verdict.send(Ok(Claims::new(()))).unwrap();
            assert!(poll!(&mut response).is_pending());
            assert_eq!(counts(), [3, 2, 3, 3], "{state}");
        }
        if state == "readying" || state == "inner" {
            answer.send(Ok(())).unwrap();
            assert!(poll!(&mut response).is_pending());
            assert_eq!(counts(), [3, 2, 3, 2], "{state}");
        }
        if state == "inner" {
            handle.allow(1);
            assert!(poll!(&mut response).is_pending());
            served = handle.next_request().await;
            // The clone that was called is gone, and the body is with the service.
            assert_eq!(counts(), [2, 2, 3, 2], "{state}");
        }
        assert_eq!(
            format!("{response:?}"),
            format!("ResponseFuture({state:?})")
        );

        drop(response);
        drop(served);
        assert_eq!(counts(), [2, 1, 3, 2], "{state}");
        drop((service, layer, verifier));
        assert_eq!(counts(), [1, 1, 1, 1], "{state}");
    }
}
