//! Start and end: `ready`, the health handle, the runtime, and what is dropped.

use std::{
    future::IntoFuture,
    pin::pin,
    sync::Weak,
    task::{Context, Poll, Wake},
    thread::{self, Thread},
};

use futures_util::FutureExt;
use tower_bearer::{KeySetHealth, TrustedIssuer};

use super::*;

/// The service starts without keys, and a probe that asks for them makes them come.
#[tokio::test(start_paused = true)]
async fn to_ask_how_it_is_begins_the_first_fetch() {
    let signer = signer("a");
    let source = Source::new(Does::GivesAfter(Duration::from_secs(1), set(&[&signer])));
    let keys = source.keys().build().unwrap();
    let health = keys.health();
    seconds(60).await;
    assert_eq!(source.count(), 0, "nobody has asked");
    let status = health.status();
    assert!(!status.is_ready());
    assert_eq!((status.keys, status.age), (0, None));
    seconds(2).await;
    let status = health.status();
    assert!(status.is_ready());
    assert_eq!((status.attempts, status.failures), (1, 0));
    assert_eq!(source.count(), 1);
    drop(keys);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_known_of_the_keys() {
    let (signer, other) = (signer("a"), signer("b"));
    let mut odd = jwk(&other);
    odd["use"] = "enc".into();
    let source = Source::new(Does::Fails);
    let keys = source.keys().build().unwrap();
    let health = keys.health();
    let error = keys.ready().await.unwrap_err();
    assert_eq!(error.reason(), "function_failed");
    assert_eq!(error.to_string(), "the function failed: out of order");
    let status = health.status();
    assert_eq!(status.last_error, Some(error));
    assert_eq!((status.attempts, status.failures), (1, 1));
    assert!(!status.is_ready() && !status.stale);

    source.now(Does::Gives(
        json!({ "keys": [odd, jwk(&signer)] }).to_string(),
    ));
    keys.ready().await.unwrap();
    let status = health.status();
    assert!(status.is_ready());
    assert_eq!((status.keys, status.stale), (1, false));
    assert_eq!((status.attempts, status.failures), (2, 1));
    assert_eq!(status.last_error, None);
    assert_eq!(status.age, Some(Duration::ZERO));
    assert_eq!(status.skipped.len(), 1);
    assert_eq!(status.skipped[0].key_id(), Some("b"));

    source.now(Does::Fails);
    seconds(400).await;
    assert_about(health.status().age.unwrap(), 400, "the age");
    seconds(201).await;
    let status = health.status();
    assert!(status.is_ready() && status.stale);
    assert!(status.failures > 1 && status.last_error.is_some());
    let shown = format!("{health:?} {keys:?}");
    assert!(shown.contains("stale: true"), "{shown}");
}

/// `ready` waits for the attempt that goes on, or for the next, and says how that went.
#[tokio::test(start_paused = true)]
async fn ready_waits_for_the_keys() {
    let signer = signer("a");
    let source = Source::new(Does::GivesAfter(Duration::from_secs(2), set(&[&signer])));
    let keys = source.keys().build().unwrap();
    let begun = Instant::now();
    let (one, other) = tokio::join!(keys.ready(), keys.ready());
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert_about(begun.elapsed(), 2, "both");
    assert_eq!(source.count(), 1);
    source.now(Does::Hangs);
    assert_eq!(keys.ready().now_or_never(), Some(Ok(())), "they are there");

    let source = Source::new(Does::Hangs);
    let keys = source.keys().build().unwrap();
    let begun = Instant::now();
    assert_eq!(keys.ready().await.unwrap_err().reason(), "timeout");
    assert_about(begun.elapsed(), 5, "a hung source");
    source.gives(&[&signer]);
    assert_eq!(keys.ready().await, Ok(()));
    assert_about(begun.elapsed(), 6, "the next attempt");
}

/// What the source holds, to be seen when it is released.
fn guarded(source: &Source) -> (RemoteKeySet, Weak<()>) {
    let held = Arc::new(());
    let released = Arc::downgrade(&held);
    let source = source.clone();
    let keys = RemoteKeySet::from_fn(move || {
        let (source, held) = (source.clone(), Arc::clone(&held));
        async move {
            source.0.asked.lock().unwrap().push(Instant::now());
            let does = source.0.does.lock().unwrap().clone();
            let json = match does {
                Does::Gives(json) => Ok(json),
                Does::Hangs => pending().await,
                _ => Err("out of order"),
            };
            drop(held);
            json
        }
    });
    (keys.build().unwrap(), released)
}

/// Dropped while it waits for its time, while it fetches, and while it waits to try again.
#[tokio::test(start_paused = true)]
async fn the_last_verifier_takes_the_task_along() {
    let signer = signer("a");
    for (of, does) in [
        ("idle", Does::Gives(set(&[&signer]))),
        ("fetching", Does::Hangs),
        ("backing off", Does::Fails),
    ] {
        let source = Source::new(does);
        let (keys, released) = guarded(&source);
        let health: KeySetHealth = keys.health();
        let verifier = verifier(keys);
        health.status();
        let clone = verifier.clone();
        pass(Duration::from_millis(100)).await;
        assert_eq!(source.count(), 1, "{of}");
        drop(verifier);
        pass(Duration::from_millis(1)).await;
        assert!(released.upgrade().is_some(), "{of}: a clone is left");

        drop(clone);
        // The task ends when it is polled next, which is now.
        pass(Duration::from_millis(1)).await;
        assert!(
            released.upgrade().is_none(),
            "{of}: something holds the source"
        );
        seconds(24 * 3600).await;
        assert_eq!(source.count(), 1, "{of}: it is still asked");
        // The handle outlives it, and starts nothing.
        health.status();
        seconds(60).await;
        assert_eq!(source.count(), 1, "{of}");
    }
}

/// A request that waits holds it until it has its answer.
#[tokio::test(start_paused = true)]
async fn who_waits_is_served_though_the_verifier_is_gone() {
    let signer = signer("a");
    let source = Source::new(Does::GivesAfter(Duration::from_secs(1), set(&[&signer])));
    let verifier = verifier(source.keys().build().unwrap());
    let waiting = waits(&verifier, &token(&signer));
    drop(verifier);
    assert_eq!(Said::of(waiting.await), Said::In);
    seconds(3600).await;
    assert_eq!(source.count(), 1);
}

/// An issuer that is no longer trusted is no longer asked.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_distrusted_is_asked_no_more() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let (keys, released) = guarded(&source);
    let verifier: JwtVerifier = builder()
        .trust(
            TrustedIssuer::new(ISSUER)
                .audience(AUDIENCE)
                .remote_keys(keys),
        )
        .build()
        .unwrap();
    assert_eq!(ask(&verifier, &token(&signer)).await, Said::In);
    assert!(verifier.distrust(ISSUER));
    pass(Duration::from_millis(1)).await;
    assert!(released.upgrade().is_none(), "something holds the source");
    seconds(3600).await;
    assert_eq!(source.count(), 1);
}

/// Built and asked where there is no runtime: 503, and no panic.
#[test]
fn outside_a_runtime_it_is_an_outage() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let keys = source.keys().build().unwrap();
    let (health, verifier) = (keys.health(), verifier(keys.clone()));
    assert!(!health.status().is_ready());
    assert!(at_once(&verifier, &token(&signer)).is_unavailable());
    let error = keys.ready().now_or_never().unwrap().unwrap_err();
    assert_eq!(error.reason(), "no_runtime");
    let expired = signer.token(&json!({ "aud": AUDIENCE, "exp": 1 })).unwrap();
    let said = at_once(&verifier, &expired);
    assert_eq!(said, Said::Refused(reason::TOKEN_EXPIRED));
    assert_eq!(source.count(), 0);

    // And when there is one, all is well.
    let runtime = runtime();
    let said = runtime.block_on(ask(&verifier, &token(&signer)));
    assert_eq!(said, Said::In);
    // By keys that are there, anywhere.
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// Polls a future where there is no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Built within a runtime, it fetches on that, and requests may come from elsewhere.
#[test]
fn who_waits_needs_no_runtime() {
    let signer = signer("a");
    let runtime = runtime();
    let _entered = runtime.enter();
    let give = Source::new(Does::GivesAfter(SHORT / 5, set(&[&signer])));
    let hang = Source::new(Does::Hangs);
    for (source, timeout, expected) in
        [(give, AMPLE, Said::In), (hang, SHORT, Said::Unavailable(1))]
    {
        let verifier = verifier(source.keys().timeout(timeout).build().unwrap());
        let token = token(&signer);
        let elsewhere = thread::spawn(move || {
            let verdict = verifier.verify(BearerToken::parse(&token).unwrap());
            Said::of(block_on(verdict.into_future()))
        });
        assert_eq!(elsewhere.join().unwrap(), expected);
    }
}

/// The runtime that it was built on is gone: it goes on where it is asked next.
#[test]
fn it_moves_to_another_runtime() {
    let (signer, new) = (signer("a"), signer("b"));
    let source = Source::of(&[&signer]);
    let first = runtime();
    let verifier = first.block_on(warm_up(&source, &signer, AMPLE));
    drop(first);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    // It cannot be known whether the issuer has such a key.
    assert!(at_once(&verifier, &token(&new)).is_unavailable());
    source.gives(&[&new]);
    let said = runtime().block_on(ask(&verifier, &token(&new)));
    assert_eq!(said, Said::In);
}

/// The same if it never was asked there.
#[test]
fn it_was_built_on_a_runtime_that_is_gone() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let first = runtime();
    let verifier = first.block_on(async { verifier(source.keys().build().unwrap()) });
    drop(first);
    assert!(at_once(&verifier, &token(&signer)).is_unavailable());
    let said = runtime().block_on(ask(&verifier, &token(&signer)));
    assert_eq!(said, Said::In);
}

/// It goes while somebody waits: an outage, and not the word of an issuer who has no such key.
#[test]
fn the_runtime_goes_while_a_key_is_waited_for() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let first = runtime();
    let verifier = first.block_on(warm_up(&source, &signer, AMPLE));
    source.now(Does::Hangs);
    let unknown = token(&super::signer("b"));
    let waiting = waits(&verifier, &unknown);
    let elsewhere = thread::spawn(move || Said::of(block_on(waiting)));
    while source.count() < 2 {
        thread::yield_now();
    }
    drop(first);
    let said = elsewhere.join().unwrap();
    assert!(said.is_unavailable(), "{said:?}");
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
}

/// It is there, but nobody runs it: who waits does so no longer than a fetch may take.
#[test]
fn the_runtime_stands_still_while_a_key_is_waited_for() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let mut first = tokio::runtime::Builder::new_current_thread();
    let first = first.enable_all().build().unwrap();
    let verifier = first.block_on(warm_up(&source, &signer, SHORT));
    let unknown = token(&super::signer("b"));
    let said = runtime().block_on(ask(&verifier, &unknown));
    assert!(said.is_unavailable(), "{said:?}");
    assert_eq!(source.count(), 1);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
}

/// For tests by the clock of the system: what comes, and what does not.
const AMPLE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(500);

async fn warm_up(source: &Source, signer: &Issuer, timeout: Duration) -> JwtVerifier {
    let keys = source.keys().cooldown(Duration::ZERO).timeout(timeout);
    let verifier = verifier(keys.build().unwrap());
    assert_eq!(ask(&verifier, &token(signer)).await, Said::In);
    verifier
}

/// Settings that cannot be meant are refused when it is built.
#[test]
fn settings_are_checked() {
    let year = Duration::from_secs(365 * 24 * 3600);
    let more = year + Duration::from_secs(1);
    let keys = || RemoteKeySet::jwks_url("https://login.example.com/jwks");
    for (of, keys, ok) in [
        ("by default", keys(), true),
        ("fresh for 0", keys().fresh_for(Duration::ZERO), false),
        ("fresh for a year", keys().fresh_for(year), true),
        ("fresh for more", keys().fresh_for(more), false),
        ("a cooldown of 0", keys().cooldown(Duration::ZERO), true),
        ("a cooldown of more", keys().cooldown(more), false),
        ("stale for 0", keys().max_stale(Duration::ZERO), true),
        ("stale for more", keys().max_stale(more), false),
        ("a timeout of 0", keys().timeout(Duration::ZERO), false),
        (
            "a timeout of a minute",
            keys().timeout(Duration::from_secs(60)),
            true,
        ),
        (
            "a timeout of more",
            keys().timeout(Duration::from_secs(61)),
            false,
        ),
        (
            "http",
            RemoteKeySet::jwks_url("http://login.example.com/jwks"),
            false,
        ),
        (
            "http that was allowed",
            RemoteKeySet::jwks_url("http://login.example.com/jwks").allow_insecure_http(),
            true,
        ),
        (
            "http of link-local",
            RemoteKeySet::jwks_url("http://169.254.169.254/"),
            false,
        ),
        (
            "http of this machine",
            RemoteKeySet::jwks_url("http://127.0.0.1:1/"),
            true,
        ),
        (
            "its name",
            RemoteKeySet::jwks_url("http://localhost/"),
            true,
        ),
        ("IPv6", RemoteKeySet::jwks_url("http://[::1]:1/"), true),
        (
            "a name like it",
            RemoteKeySet::jwks_url("http://localhost.example.com/"),
            false,
        ),
        (
            "user information",
            RemoteKeySet::jwks_url("https://a:b@login.example.com/"),
            false,
        ),
        ("no URL", RemoteKeySet::jwks_url("login.example.com"), false),
        ("nothing", RemoteKeySet::discover(""), false),
        (
            "an issuer by http",
            RemoteKeySet::discover("http://login.example.com"),
            false,
        ),
    ] {
        assert_eq!(keys.build().is_ok(), ok, "{of}");
    }
}
