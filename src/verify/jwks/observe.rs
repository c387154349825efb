//! What is told of fetching keys: a span and events of `tracing`, counts and times of `metrics`.

use std::{future::Future, time::Duration};

use super::status::KeySetError;
use crate::verify::jwt::SkippedKey;

/// Runs a fetch within a span of its own.
#[cfg(feature = "tracing")]
pub(super) fn in_span<F: Future>(name: &str, fetch: F) -> impl Future<Output = F::Output> {
    let span = tracing::info_span!(target: "tower_bearer", "fetch_keys", key_set = name);
    tracing::Instrument::instrument(fetch, span)
}

#[cfg(not(feature = "tracing"))]
pub(super) fn in_span<F: Future>(_: &str, fetch: F) -> F {
    fetch
}

/// A fetch has come to its end.
pub(super) fn fetched(name: &str, outcome: Result<(), &KeySetError>, took: Duration) {
    #[cfg(feature = "tracing")]
    match outcome {
        Ok(()) => tracing::debug!(target: "tower_bearer", key_set = name, "keys fetched"),
        Err(error) => tracing::warn!(
            target: "tower_bearer",
            key_set = name,
            error.r#type = error.reason(),
            %error,
            "keys not fetched"
        ),
    }
    let _ = (name, outcome, took);
}

/// There are other keys than before.
pub(super) fn keys_changed(name: &str, keys: usize, withdrawn: usize, skipped: &[SkippedKey]) {
    #[cfg(feature = "tracing")]
    {
        tracing::info!(target: "tower_bearer", key_set = name, keys, withdrawn, "keys changed");
        for key in skipped {
            tracing::warn!(target: "tower_bearer", key_set = name, %key, "key cannot be used");
        }
    }
    let _ = (name, keys, withdrawn, skipped);
}

/// How many keys there are, and how old they are.
pub(super) fn key_set(name: &str, keys: usize, age: Option<Duration>) {
    let _ = (name, keys, age);
}

/// When it is to be told again how old the keys are.
pub(super) async fn tick() {
    std::future::pending().await
}
