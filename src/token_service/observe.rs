//! What is told of issuing tokens: events of `tracing`, counts of `metrics`, and the observer of the application.

use std::{error::Error, net::IpAddr};

use super::{
    endpoint::Endpoint,
    event::{TokenEvent, TokenEventKind, Trail},
    refresh::RefreshFamily,
    refusal::Refusal,
    server::Server,
};
use crate::observe;

/// What is behind an error.
type Source = dyn Error + Send + Sync;

pub(super) type ObserverFn = dyn Fn(&TokenEvent<'_>) + Send + Sync;

/// An endpoint has come to an answer.
pub(super) fn answered(
    server: &Server,
    endpoint: Endpoint,
    peer: Option<IpAddr>,
    trail: &Trail,
    outcome: Result<(), &Refusal>,
) {
    let reason = outcome.map_err(Refusal::reason);
    observe::token_request(endpoint.name(), reason);
    if let Some(event) = trail.event(reason) {
        let event = TokenEvent {
            peer,
            endpoint: Some(endpoint.name()),
            ..event
        };
        let status = outcome.err().map(|refusal| refusal.status().as_u16());
        tell(
            server,
            &event,
            status,
            outcome.err().and_then(Refusal::source),
        );
    }
}

/// Tokens were issued to whom the application has authenticated, or were not, for that reason, behind which there may be
/// another error.
pub(super) fn issued(
    server: &Server,
    trail: &Trail,
    outcome: Result<(), &'static str>,
    source: Option<&Source>,
) {
    if let Some(event) = trail.event(outcome) {
        tell(server, &event, None, source);
    }
}

/// The application has ended a family, or its grant was withdrawn.
pub(super) fn ended(server: &Server, family: &RefreshFamily, reason: &'static str) {
    tell_of(server, TokenEventKind::Ended, family, reason);
}

/// A refresh token was used again, and its family has ended, but the answer says something else.
pub(super) fn reused(server: &Server, family: &RefreshFamily) {
    tell_of(server, TokenEventKind::Reused, family, "token_reused");
}

/// A family has ended because its client or subject, or the store, has no room for more.
pub(super) fn ended_for_room(server: &Server, family: &RefreshFamily) {
    tell_of(server, TokenEventKind::EndedForRoom, family, "room");
}

fn tell_of(server: &Server, kind: TokenEventKind, family: &RefreshFamily, reason: &'static str) {
    let event = TokenEvent {
        kind,
        client_id: Some(&family.grant.client_id),
        subject: Some(&family.grant.subject),
        family_id: Some(&family.id),
        peer: None,
        endpoint: None,
        reason,
    };
    tell(server, &event, None, None);
}

fn tell(server: &Server, event: &TokenEvent<'_>, status: Option<u16>, source: Option<&Source>) {
    observe::token_event(event.kind.name());
    trace(event, status, source);
    if let Some(observer) = &server.observer {
        observer(event);
    }
}

/// What anybody should look into is a warning: a token that was used twice, a family that had to go, a store that is
/// away. What ends access is rare, and an audit log wants it: INFO. The rest is the daily business, of which there may
/// be thousands a second: DEBUG.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn trace(event: &TokenEvent<'_>, status: Option<u16>, source: Option<&Source>) {
    #[cfg(feature = "tracing")]
    {
        use observe::Line;

        // The level of an event and its message are constants of the place where it is made.
        macro_rules! event {
            ($level:ident, $message:literal) => {
                tracing::event!(
                    target: "tower_bearer",
                    tracing::Level::$level,
                    client_id = event.client_id.map(Line).map(tracing::field::display),
                    subject = event.subject.map(Line).map(tracing::field::display),
                    family_id = event.family_id,
                    "client.address" = event.peer.map(tracing::field::display),
                    endpoint = event.endpoint,
                    "error.type" = Some(event.reason).filter(|reason| !reason.is_empty()),
                    "http.response.status_code" = status,
                    "exception.message" =
                        source.map(Line).map(tracing::field::display),
                    $message
                )
            };
        }
        match event.kind {
            TokenEventKind::Issued => event!(DEBUG, "tokens issued"),
            TokenEventKind::Refreshed => event!(DEBUG, "tokens refreshed"),
            TokenEventKind::Rejected if source.is_some() => {
                event!(WARN, "token request rejected");
            }
            TokenEventKind::Rejected => event!(DEBUG, "token request rejected"),
            TokenEventKind::Reused => event!(WARN, "refresh token reused, its family has ended"),
            TokenEventKind::Revoked => event!(INFO, "token revoked"),
            TokenEventKind::Ended => event!(INFO, "refresh token family ended"),
            TokenEventKind::EndedForRoom => event!(WARN, "refresh token family ended for room"),
        }
    }
}
