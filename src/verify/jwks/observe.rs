//! What is told of fetching keys: a span and events of `tracing`, counts and times of `metrics`.
//!
//! `name` is the URL without its query, which may be a secret (Attack 44).

use std::{future::Future, time::Duration};

use super::status::KeySetError;
use crate::{observe, verify::jwt::SkippedKey};

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
pub(super) fn fetched(name: &str, outcome: Result<(), KeySetError>, took: Duration) {
    observe::fetched(
        name,
        outcome.as_ref().copied().map_err(KeySetError::reason),
        took,
    );
    #[cfg(feature = "tracing")]
    match outcome {
        Ok(()) => tracing::debug!(target: "tower_bearer", key_set = name, "keys fetched"),
        Err(error) => tracing::warn!(
            target: "tower_bearer",
            key_set = name,
            "error.type" = error.reason(),
            "exception.message" = %error,
            "keys not fetched"
        ),
    }
}

/// There are other keys than before.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn keys_changed(name: &str, keys: usize, withdrawn: usize, skipped: &[SkippedKey]) {
    #[cfg(feature = "tracing")]
    {
        tracing::info!(target: "tower_bearer", key_set = name, keys, withdrawn, "keys changed");
        for key in skipped {
            tracing::info!(target: "tower_bearer", key_set = name, %key, "key cannot be used");
        }
    }
}

/// Keys were given up because they are too old.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn expired(name: &str) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "tower_bearer", key_set = name, "keys too old to be used");
}

/// How many keys there are, and how old they are.
pub(super) fn key_set(name: &str, keys: usize, age: Option<Duration>) {
    observe::key_set_keys(name, keys);
    if let Some(age) = age {
        observe::key_set_age(name, age);
    }
}

/// When it is to be told again how old the keys are: often enough for whoever reads metrics.
pub(super) async fn tick() {
    #[cfg(feature = "metrics")]
    tokio::time::sleep(Duration::from_secs(10)).await;
    #[cfg(not(feature = "metrics"))]
    std::future::pending::<()>().await;
}
