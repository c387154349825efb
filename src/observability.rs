//! What can be seen of the layer from outside: metrics and events.
//!
//! The feature `metrics` counts and measures, by the facade [metrics]; the feature `tracing` makes events,
//! by [tracing]. Which recorder and which subscriber there is, the application says; where there is none,
//! each costs a few nanoseconds. Once a recorder is installed, `describe_metrics` tells it descriptions and
//! units.
//!
//! | what | kind, unit | labels or fields | when |
//! |---|---|---|---|
//! | metric `tower_bearer.requests` | counter, 1 | `outcome`: `admitted`, `anonymous`, `exempt`, `refused`; with the last `error.type` | the layer has come to a decision on a request |
//! | metric `tower_bearer.verification.duration` | histogram, s | `outcome`: `verified`, `refused`, `unavailable`; with the last two `error.type` | a token was verified: a JWT whose signature was checked, or a token of a verifier that answers later |
//! | metric `tower_bearer.cache.lookups` | counter, 1 | `result`: `hit`, `miss` | a `Cached` was asked for a token |
//! | metric `tower_bearer.cache.evictions` | counter, 1 | | a verdict had to go to make room, although it still held |
//! | metric `tower_bearer.key_set.fetches` | counter, 1 | `key_set`; `outcome`: `success`, `failure`; with the last `error.type` | a key set was fetched from the network, or could not be |
//! | metric `tower_bearer.key_set.fetch.duration` | histogram, s | the same | the same |
//! | metric `tower_bearer.key_set.age` | gauge, s | `key_set` | how long ago the key set in use was fetched |
//! | metric `tower_bearer.key_set.keys` | gauge, 1 | `key_set` | how many usable keys it has |
//! | metric `tower_bearer.token_requests` | counter, 1 | `endpoint`: `token`, `refresh`, `oauth`, `revocation`, `introspection`; `outcome`: `success`, `refused`; with the last `error.type` | an endpoint of the token service has answered |
//! | metric `tower_bearer.token_events` | counter, 1 | `event`: `issued`, `refreshed`, `rejected`, `reused`, `revoked`, `ended`, `ended_for_room` | the same as the token events below |
//! | event `request refused` | DEBUG; WARN if it could not be found out whether the token is good | `error.type`; `http.response.status_code`; `exception.message`, if the error has a source | a request was refused; target `tower_bearer`, as of all that follow |
//! | event `claim rejected` | DEBUG | `claim`, empty if it is the payload as a whole; `fault` | a JWT was rejected because of its claims; the only event that shows values of claims, escaped and cut |
//! | span `fetch_keys` | INFO | `key_set` | around a fetch of keys from the network |
//! | event `keys fetched` | DEBUG | `key_set` | a fetch succeeded |
//! | event `keys not fetched` | WARN | `key_set`, `error.type`, `exception.message` | a fetch failed |
//! | event `keys changed` | INFO | `key_set`, `keys`, `withdrawn` | a fetch brought other keys than before |
//! | event `key cannot be used` | INFO | `key_set`, `key` | the same, for each key that was left out |
//! | event `keys too old to be used` | ERROR | `key_set` | the keys could not be fetched anew for longer than they may be stale |
//! | event `tokens issued`, `tokens refreshed` | DEBUG | of a token event, see below | a grant began; a refresh token was exchanged |
//! | event `token request rejected` | DEBUG; WARN if a store could not be reached | of a token event, and `http.response.status_code`; `exception.message`, if there is more to say | an endpoint of the token service has rejected a request, or the application was given no tokens |
//! | event `token revoked`, `refresh token family ended` | INFO | of a token event | a client has revoked a token; the application has logged somebody out, or a grant was withdrawn |
//! | event `refresh token reused, its family has ended` | WARN | of a token event | a token was stolen, or a client is mistaken |
//! | event `refresh token family ended for room` | WARN | of a token event | its client or subject, or the store, has no room for another |
//! | event `signing keys not reloaded` | WARN | `exception.message` | the source of the signing keys could not be asked, or gave keys that cannot be used |
//! | event `Redis may evict keys: set maxmemory-policy noeviction` | WARN | `maxmemory_policy` | the first connection to Redis has found such a policy |
//! | event `revocations not read` | WARN | `exception.message` | the first of several attempts in a row to read them from Redis has failed |
//! | event `revocation cannot be read` | WARN | | one of those in Redis was passed over |
//!
//! * `error.type` is [`AuthError::reason`](crate::AuthError::reason): one of [`reason`](crate::reason), or a
//!   constant of your verifier or check. It never holds what a client sent.
//! * `key_set` is the URL, without its query, or the issuer that the keys are configured by;
//!   `error.type` of a fetch is one of those of `KeySetError::reason`.
//! * `http.response.status_code` is the status of the answer as it is sent; that of a gRPC answer is 200.
//! * A token event has `client_id`, `subject`, `family_id`, `client.address`, `endpoint` and `error.type`, as far as they
//!   are known. What ends access is told at INFO, because it is rare and an audit log wants it; what somebody should
//!   look into, at WARN; and the daily business, of which there may be thousands a second, at DEBUG. The names of
//!   clients and subjects are one line of at most 512 characters each. The observer of an `AuthorizationServer` is told
//!   the same.
//! * `exception.message` is the source of the error (see
//!   [`AuthError::with_source`](crate::AuthError::with_source)), which must not hold the token. It
//!   is one line of at most 512 characters, in which control characters are escaped.
//!
//! Recorders and subscribers are never called with a lock held, so they may ask for the
//! state of what they are told about, such as `KeySetHealth::status`.
//!
//! # What is counted once, and what twice
//! A request is `admitted` when the layer lets it pass, whatever the service behind answers. Where a
//! [`RequireLayer`](crate::RequireLayer) further in then refuses it, it is counted a second time, as
//! `refused`; so is an `anonymous` or `exempt` one whose handler asks for [`Claims`](crate::Claims). What
//! the layer refused is thus `refused` less those.
//!
//! Not counted are a request whose client went away before the decision, and the 500 of a stack that is put
//! together wrongly.
//!
//! # What is timed
//! Each verification is timed once. Cached and immediate verdicts are not timed. JWTs are the
//! exception: the timer starts when the signature is checked, because everything before it is too
//! cheap to measure. A verdict that comes later is timed from when it was asked for, for each
//! request that waits for it, also where several wait for the same look-up. A verdict that no
//! request waits for any longer is not timed.
//!
//! # In Prometheus
//! Its exporters write `_` for the dots, in names and labels: `tower_bearer_requests{outcome="refused",
//! error_type="token_expired"}`.
//!
//! [metrics]: https://docs.rs/metrics
//! [tracing]: https://docs.rs/tracing

/// Tells the recorder the descriptions and units of all metrics.
///
/// To be called once, after the recorder was installed: one that comes later hears nothing of it. The
/// metrics are counted without it too.
///
/// ```
/// use metrics_util::debugging::DebuggingRecorder;
///
/// // Your exporter installs its own.
/// DebuggingRecorder::new().install()?;
/// tower_bearer::describe_metrics();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    crate::observe::describe();
}
