//! Keys from the network: lines 26 and 29 to 32 of the attacks, by number, and the life-cycle of a
//! `RemoteKeySet`.
//!
//! What is about time runs on tokio's paused clock, with a [`Source`] that does what the test says. What is
//! about sockets runs against a [`Server`](server::Server) on the loopback, with the client of the crate.
#![cfg(all(
    feature = "cache",
    feature = "client",
    feature = "testing",
    feature = "_crypto"
))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod answers;
mod asks_back;
mod discovery;
mod faults;
mod freshness;
mod handle;
mod issuers;
mod observed;
mod odd_keys;
mod outage;
mod private_urls;
mod proxy;
mod replaced_key;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod unknown_key;
mod waiting;
mod withdrawal;

use std::{
    future::pending,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use support::{Answer, request};
use tokio::time::{Instant, sleep};
use tower_bearer::{
    Algorithm, AuthError, BearerAuthLayer, BearerToken, Claims, JwtVerifier, JwtVerifierBuilder,
    ManualClock, NumericDate, RemoteKeySet, RemoteKeySetBuilder, Verification, Verifier, reason,
    testing::Issuer,
};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const NOW: u64 = 1_700_000_000;

/// A key of the issuer, with that id.
fn signer(key_id: &str) -> Issuer {
    let issuer = Issuer::new(ISSUER, Algorithm::EdDSA).unwrap();
    issuer.with_key_id(key_id)
}

/// The JWK Set that these keys are published in.
fn set(of: &[&Issuer]) -> String {
    let keys: Vec<Value> = of.iter().map(|signer| jwk(signer)).collect();
    json!({ "keys": keys }).to_string()
}

fn jwk(signer: &Issuer) -> Value {
    let set: Value = serde_json::from_str(&signer.public_key_set()).unwrap();
    set["keys"][0].clone()
}

/// The claims of a token that is good at [`NOW`], but for `iss`, which its signer adds.
fn claims() -> Value {
    json!({ "aud": AUDIENCE, "sub": "alice", "exp": NOW + 300 })
}

fn token(signer: &Issuer) -> String {
    signer.token(&claims()).unwrap()
}

/// The same without a `kid`.
fn token_without_kid(signer: &Issuer) -> String {
    let mut claims = claims();
    claims["iss"] = signer.issuer().into();
    let header = json!({ "alg": signer.algorithm().as_str() });
    signer.token_with_header(&header, &claims).unwrap()
}

/// A token of the issuer with any `kid`, by a key that nobody has: signed only in appearance, for it
/// is not looked at, and to make many takes no time.
fn token_of_kid(key_id: &str) -> String {
    static SIGNED: LazyLock<String> = LazyLock::new(|| token(&signer("stranger")));
    let (_, signed) = SIGNED.split_once('.').unwrap();
    let header = json!({ "alg": "EdDSA", "kid": key_id }).to_string();
    let header = base64_simd::URL_SAFE_NO_PAD.encode_to_string(header);
    format!("{header}.{signed}")
}

/// The same token with another signature.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{other}{}", &signature[1..])
}

fn clock() -> ManualClock {
    ManualClock::new(NumericDate::from_secs(NOW))
}

fn builder() -> JwtVerifierBuilder<()> {
    JwtVerifier::builder().clock(clock())
}

fn verifier(keys: RemoteKeySet) -> JwtVerifier {
    let builder = builder().issuer(ISSUER).audience(AUDIENCE);
    builder.remote_keys(keys).build().unwrap()
}

/// What came of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    In,
    /// 401, for this reason.
    Refused(&'static str),
    /// 503, with so many seconds in `Retry-After`.
    Unavailable(u64),
}

/// 401 for a key that the issuer does not have.
const UNKNOWN: Said = Said::Refused(reason::KEY_UNKNOWN);
const BAD_SIGNATURE: Said = Said::Refused(reason::SIGNATURE_INVALID);

impl Said {
    #[track_caller]
    fn of<C>(verdict: Result<Claims<C>, AuthError>) -> Self {
        let Err(error) = verdict else { return Self::In };
        match error.kind().status().as_u16() {
            401 => Self::Refused(error.reason()),
            503 => {
                assert_eq!(error.reason(), reason::KEYS_UNAVAILABLE);
                let seconds = error.retry_after().expect("when to try again");
                Self::Unavailable(seconds.as_secs_f64().ceil() as u64)
            }
            other => panic!("{other}"),
        }
    }

    fn is_unavailable(self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// What a verifier says at once.
#[track_caller]
fn at_once<V: Verifier>(verifier: &V, token: &str) -> Said {
    match verifier.verify(BearerToken::parse(token).unwrap()) {
        Verification::Ready(verdict) => Said::of(verdict),
        Verification::Pending(_) => panic!("waits"),
    }
}

/// The verdict that a verifier waits for.
#[track_caller]
fn waits<V: Verifier>(verifier: &V, token: &str) -> V::Future {
    match verifier.verify(BearerToken::parse(token).unwrap()) {
        Verification::Ready(verdict) => panic!("{:?}, at once", Said::of(verdict)),
        Verification::Pending(verdict) => verdict,
    }
}

/// What a verifier says, sooner or later.
async fn ask<V: Verifier>(verifier: &V, token: &str) -> Said {
    Said::of(verifier.verify(BearerToken::parse(token).unwrap()).await)
}

/// The answer of a service behind the layer, which was called if it is 200 and not if it is another.
async fn answer<V: Verifier + Clone>(verifier: &V, token: &str) -> Answer {
    let header = format!("Bearer {token}");
    let request = request(&[("authorization", &header)]);
    let layer = BearerAuthLayer::new(verifier.clone());
    let (answer, seen) = support::send(&layer, request).await;
    assert_eq!(answer.status == 200, seen.is_some());
    answer
}

/// Lets that time go by, on the paused clock.
async fn pass(time: Duration) {
    sleep(time).await;
}

async fn seconds(count: u64) {
    pass(Duration::from_secs(count)).await;
}

/// Where the keys are in a test of time. Clones are the same.
#[derive(Clone)]
struct Source(Arc<Inner>);

struct Inner {
    does: Mutex<Does>,
    asked: Mutex<Vec<Instant>>,
}

/// What a source does when it is asked.
#[derive(Clone)]
enum Does {
    Gives(String),
    /// The same, after a while.
    GivesAfter(Duration, String),
    Fails,
    Hangs,
    Panics,
}

impl Source {
    fn new(does: Does) -> Self {
        Self(Arc::new(Inner {
            does: Mutex::new(does),
            asked: Mutex::default(),
        }))
    }

    /// One that gives these keys.
    fn of(signers: &[&Issuer]) -> Self {
        Self::new(Does::Gives(set(signers)))
    }

    fn now(&self, does: Does) {
        *self.0.does.lock().unwrap() = does;
    }

    /// From now on it gives these keys.
    fn gives(&self, signers: &[&Issuer]) {
        self.now(Does::Gives(set(signers)));
    }

    fn keys(&self) -> RemoteKeySetBuilder {
        let inner = Arc::clone(&self.0);
        RemoteKeySet::from_fn(move || {
            inner.asked.lock().unwrap().push(Instant::now());
            let does = inner.does.lock().unwrap().clone();
            async move {
                match does {
                    Does::Gives(json) => Ok(json),
                    Does::GivesAfter(time, json) => {
                        sleep(time).await;
                        Ok(json)
                    }
                    Does::Fails => Err("out of order"),
                    Does::Hangs => pending().await,
                    Does::Panics => panic!("as the test says"),
                }
            }
        })
    }

    /// How often it was asked.
    fn count(&self) -> usize {
        self.0.asked.lock().unwrap().len()
    }

    /// How much time there was between one time that it was asked and the next.
    fn intervals(&self) -> Vec<Duration> {
        let asked = self.0.asked.lock().unwrap();
        asked.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// A source with one key, a verifier that has it already, and the key.
async fn warm() -> (Source, JwtVerifier, Issuer) {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let verifier = verifier(source.keys().build().unwrap());
    assert_eq!(ask(&verifier, &token(&signer)).await, Said::In);
    assert_eq!(source.count(), 1);
    (source, verifier, signer)
}

/// Holds that a time is as long as it should be, or up to 50 ms more: tokio's timers round to a
/// millisecond, and one that was rounded sets another.
#[track_caller]
fn assert_about(time: Duration, seconds: u64, of: &str) {
    let expected = Duration::from_secs(seconds);
    let range = expected..expected + Duration::from_millis(50);
    assert!(range.contains(&time), "{of}: {time:?}, not {expected:?}");
}

/// To be called before a test sets a subscriber for its thread. While there is one subscriber
/// alone, `tracing` asks that of the thread which is first to come by an event whether anybody
/// wants it; another test may have none.
#[cfg(feature = "tracing")]
fn share_events_among_tests() {
    static OTHER: LazyLock<tracing::Dispatch> =
        LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&OTHER);
}
