//! `Cached`: what is kept and for how long (attacks.md 25 to 28), look-ups that several wait for (Attack
//! 40), foreign code that uses the cache (Attack 43), and how much memory it all takes.
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod foreign;
mod kept;
mod memory;
mod panics;
mod pending;
mod settings;
mod stress;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;
use tower_bearer::{
    AuthError, BearerToken, Claims, ManualClock, NumericDate, OwnedToken, Verification, Verifier,
    verify_async_fn, verify_fn,
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

/// A look-up that waits for a permit, and counts how often it began and ended.
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
