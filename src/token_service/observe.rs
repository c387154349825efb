//! What is told of issuing tokens: events of `tracing`, counts of `metrics`.

use super::{endpoint::Endpoint, refresh::RefreshFamily, refusal::Refusal};
use crate::observe;

/// An endpoint has come to an answer.
pub(super) fn answered(endpoint: Endpoint, outcome: Result<(), &Refusal>) {
    observe::token_request(endpoint.name(), outcome.map_err(Refusal::reason));
    #[cfg(feature = "tracing")]
    if let Err(refusal) = outcome {
        // The level of an event is a constant of the place where it is made.
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "tower_bearer",
                    tracing::Level::$level,
                    endpoint = endpoint.name(),
                    "error.type" = refusal.reason(),
                    "http.response.status_code" = refusal.status().as_u16(),
                    "exception.message" = refusal.source().map(tracing::field::display),
                    "tokens refused"
                )
            };
        }
        // As with refused requests: somebody should do something about it, or not.
        if refusal.source().is_some() {
            event!(WARN);
        } else {
            event!(DEBUG);
        }
    }
}

/// A refresh token was used that had been used before.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn family_ended_by_reuse(family: &RefreshFamily) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_bearer",
        client_id = family.grant().client_id(),
        "a refresh token was used again, and its family has ended"
    );
}

/// A family has ended because its client or subject, or the store, has no room for more.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn family_ended_for_room(family: &RefreshFamily) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_bearer",
        client_id = family.grant().client_id(),
        "a family of refresh tokens has ended to make room for another"
    );
}
