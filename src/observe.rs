//! What is counted, timed and logged; what users are told of it is in [`observability`](crate::observability).
//!
//! A function for `metrics` or `tracing` exists without that feature too, and is then empty, so
//! that its callers need no `cfg`. Those of the cache exist with the feature `cache` alone. None
//! of them sees a token.
//!
//! A recorder and a subscriber are foreign code, which may ask the crate back (Attack 43): nothing
//! here is called with a lock held.

#![cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(unused_variables)
)]

use std::time::Duration;
#[cfg(feature = "metrics")]
use std::time::Instant;

use http::StatusCode;
#[cfg(feature = "metrics")]
use metrics::Unit;

use crate::error::AuthError;
#[cfg(any(feature = "metrics", feature = "tracing"))]
use crate::error::AuthErrorKind;

#[cfg(any(feature = "tracing", all(feature = "jwks", feature = "_crypto")))]
mod line;
#[cfg(feature = "metrics")]
mod meter;

#[cfg(any(feature = "tracing", all(feature = "jwks", feature = "_crypto")))]
pub(crate) use line::Line;
#[cfg(feature = "metrics")]
use meter::{add, fixed};

/// Every metric by its name, so that the one that is described is the one that is counted.
#[cfg(feature = "metrics")]
mod name {
    pub(super) const REQUESTS: &str = "tower_bearer.requests";
    pub(super) const VERIFICATION_DURATION: &str = "tower_bearer.verification.duration";
    pub(super) const CACHE_LOOKUPS: &str = "tower_bearer.cache.lookups";
    pub(super) const CACHE_EVICTIONS: &str = "tower_bearer.cache.evictions";
    pub(super) const KEY_SET_FETCHES: &str = "tower_bearer.key_set.fetches";
    pub(super) const KEY_SET_FETCH_DURATION: &str = "tower_bearer.key_set.fetch.duration";
    pub(super) const KEY_SET_AGE: &str = "tower_bearer.key_set.age";
    pub(super) const KEY_SET_KEYS: &str = "tower_bearer.key_set.keys";
    pub(super) const TOKEN_REQUESTS: &str = "tower_bearer.token_requests";
    pub(super) const TOKEN_EVENTS: &str = "tower_bearer.token_events";
}

/// Tells the recorder what there is to be counted.
#[cfg(feature = "metrics")]
pub(crate) fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};

    describe_counter!(
        name::REQUESTS,
        Unit::Count,
        "Requests by what the layer came to"
    );
    describe_histogram!(
        name::VERIFICATION_DURATION,
        Unit::Seconds,
        "Time that it took to come to a verdict on a token"
    );
    describe_counter!(
        name::CACHE_LOOKUPS,
        Unit::Count,
        "Look-ups of tokens in the cache of verdicts"
    );
    describe_counter!(
        name::CACHE_EVICTIONS,
        Unit::Count,
        "Verdicts that had to go to make room, although they still held"
    );
    describe_counter!(
        name::KEY_SET_FETCHES,
        Unit::Count,
        "Fetches of key sets from the network"
    );
    describe_histogram!(
        name::KEY_SET_FETCH_DURATION,
        Unit::Seconds,
        "Time that it took to fetch a key set"
    );
    describe_gauge!(
        name::KEY_SET_AGE,
        Unit::Seconds,
        "Time since the key set in use was fetched"
    );
    describe_gauge!(
        name::KEY_SET_KEYS,
        Unit::Count,
        "Usable keys in the key set in use"
    );
    describe_counter!(
        name::TOKEN_REQUESTS,
        Unit::Count,
        "Requests for tokens, and for their revocation, by what came of them"
    );
}

/// A request was refused because of `error`, and is answered with `status`.
#[inline]
pub(crate) fn refused(error: &AuthError, status: StatusCode) {
    #[cfg(feature = "metrics")]
    add(
        &meter::of_error(name::REQUESTS, "refused", error.reason()),
        1,
    );
    #[cfg(feature = "tracing")]
    log(error, status);
}

#[cfg(feature = "tracing")]
fn log(error: &AuthError, status: StatusCode) {
    use std::error::Error;

    let source = error
        .source()
        .map(|source| tracing::field::display(Line(source)));
    // The level of an event is a constant of the place where it is made.
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "tower_bearer",
                tracing::Level::$level,
                "error.type" = error.reason(),
                "http.response.status_code" = status.as_u16(),
                "exception.message" = source,
                "request refused"
            )
        };
    }
    match error.kind() {
        // Somebody should do something about it. A bad token is the client's affair, and a flood of
        // them must not flood the log.
        AuthErrorKind::Unavailable => event!(WARN),
        _ => event!(DEBUG),
    }
}

/// Whether anybody listens to what [`claim_rejected`] says, so that it need not be found out for nobody.
#[cfg(all(feature = "jwt", feature = "_crypto"))]
pub(crate) fn hears_of_claims() -> bool {
    #[cfg(feature = "tracing")]
    return tracing::enabled!(target: "tower_bearer", tracing::Level::DEBUG);
    #[cfg(not(feature = "tracing"))]
    return false;
}

/// A token was rejected because of this claim, which is empty if it is the payload as a whole.
///
/// This is the only place where values of claims are logged.
#[cfg(all(feature = "jwt", feature = "_crypto"))]
pub(crate) fn claim_rejected(claim: &str, fault: impl std::fmt::Display) {
    #[cfg(feature = "tracing")]
    tracing::event!(
        target: "tower_bearer",
        tracing::Level::DEBUG,
        claim = %Line(claim),
        fault = %Line(fault),
        "claim rejected"
    );
}

/// A request was let pass with claims.
#[inline]
pub(crate) fn admitted() {
    #[cfg(feature = "metrics")]
    add(fixed!(name::REQUESTS, "outcome" => "admitted"), 1);
}

/// A request without credentials was let pass.
#[inline]
pub(crate) fn anonymous() {
    #[cfg(feature = "metrics")]
    add(fixed!(name::REQUESTS, "outcome" => "anonymous"), 1);
}

/// A request was let pass without a look at its credentials.
#[inline]
pub(crate) fn exempt() {
    #[cfg(feature = "metrics")]
    add(fixed!(name::REQUESTS, "outcome" => "exempt"), 1);
}

/// A cache had a verdict that still holds.
#[cfg(feature = "cache")]
#[inline]
pub(crate) fn cache_hit() {
    #[cfg(feature = "metrics")]
    add(fixed!(name::CACHE_LOOKUPS, "result" => "hit"), 1);
}

/// A cache had none.
#[cfg(feature = "cache")]
#[inline]
pub(crate) fn cache_miss() {
    #[cfg(feature = "metrics")]
    add(fixed!(name::CACHE_LOOKUPS, "result" => "miss"), 1);
}

/// So many verdicts had to make room in a cache, although they still held.
#[cfg(feature = "cache")]
#[inline]
pub(crate) fn cache_evicted(verdicts: u64) {
    #[cfg(feature = "metrics")]
    add(fixed!(name::CACHE_EVICTIONS), verdicts);
}

/// Measures how long a verdict takes. Nothing without the feature `metrics`.
#[derive(Clone, Copy, Debug)]
#[must_use = "a timer that is not asked measures nothing"]
pub(crate) struct Timer {
    #[cfg(feature = "metrics")]
    since: Instant,
}

impl Timer {
    #[inline]
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            since: Instant::now(),
        }
    }

    /// The verdict has come.
    #[inline]
    pub(crate) fn verified<T>(self, verdict: Result<T, &AuthError>) {
        #[cfg(feature = "metrics")]
        {
            let took = self.since.elapsed();
            let Err(error) = verdict else {
                let key = fixed!(name::VERIFICATION_DURATION, "outcome" => "verified");
                return meter::record(key, took);
            };
            let outcome = match error.kind() {
                AuthErrorKind::Unavailable => "unavailable",
                _ => "refused",
            };
            let key = meter::of_error(name::VERIFICATION_DURATION, outcome, error.reason());
            meter::record(&key, took);
        }
    }
}

/// The key set of `source` was fetched, or why not.
#[allow(dead_code, reason = "called for keys from the network alone")]
pub(crate) fn fetched(source: &str, outcome: Result<(), &'static str>, took: Duration) {
    #[cfg(feature = "metrics")]
    {
        add(&meter::of_fetch(name::KEY_SET_FETCHES, source, outcome), 1);
        meter::record(
            &meter::of_fetch(name::KEY_SET_FETCH_DURATION, source, outcome),
            took,
        );
    }
}

/// How old the key set of `source` is that is in use.
#[allow(dead_code, reason = "called for keys from the network alone")]
pub(crate) fn key_set_age(source: &str, age: Duration) {
    #[cfg(feature = "metrics")]
    meter::set(
        &meter::of_key_set(name::KEY_SET_AGE, source),
        age.as_secs_f64(),
    );
}

/// How many usable keys it has.
#[allow(dead_code, reason = "called for keys from the network alone")]
pub(crate) fn key_set_keys(source: &str, keys: usize) {
    #[cfg(feature = "metrics")]
    meter::set(
        &meter::of_key_set(name::KEY_SET_KEYS, source),
        f64::from(u32::try_from(keys).unwrap_or(u32::MAX)),
    );
}

/// An endpoint of the token service has come to an answer.
#[allow(dead_code, reason = "called by the token service alone")]
pub(crate) fn token_request(endpoint: &'static str, outcome: Result<(), &'static str>) {
    #[cfg(feature = "metrics")]
    add(
        &meter::of_token_request(name::TOKEN_REQUESTS, endpoint, outcome),
        1,
    );
}

/// Something has happened to tokens.
#[allow(dead_code, reason = "called by the token service alone")]
#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
pub(crate) fn token_event(event: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(name::TOKEN_EVENTS, "event" => event).increment(1);
}

#[cfg(all(test, feature = "metrics"))]
mod tests;
