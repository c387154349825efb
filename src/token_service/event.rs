//! [`TokenEvent`]: what has happened to tokens, for an audit log.

use std::{net::IpAddr, sync::OnceLock};

use super::{grant::Grant, refresh::RefreshFamily};

/// Something that has happened to tokens. See
/// [`observer`](super::AuthorizationServerBuilder::observer).
///
/// Ids of clients and subjects come from the application, with one exception: the client of a rejected request is the
/// one that the request names, which need not exist. Escape it where it is written to a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenEvent<'a> {
    /// What has happened.
    pub kind: TokenEventKind,
    /// The `client_id`. `None` if the request names none.
    pub client_id: Option<&'a str>,
    /// The `sub`. `None` if it is not known.
    pub subject: Option<&'a str>,
    /// The [id](RefreshFamily::id) of the family of refresh tokens. `None` if there is none.
    pub family_id: Option<&'a str>,
    /// From which address the request came, as the function of
    /// [`peer`](super::AuthorizationServerBuilder::peer) says. `None` if there was no request, or it does not say.
    pub peer: Option<IpAddr>,
    /// At which endpoint: `token`, `refresh`, `oauth`, `revocation`, `introspection`. `None` if the application has called a function.
    pub endpoint: Option<&'static str>,
    /// Why, as a short constant such as `token_reused`. Empty if all is well.
    pub reason: &'static str,
}

/// What has happened in a [`TokenEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenEventKind {
    /// A grant began: an access token was issued, and perhaps a refresh token.
    Issued,
    /// A refresh token was exchanged for new tokens.
    Refreshed,
    /// A request was rejected. `reason` says why.
    Rejected,
    /// A refresh token was used that had been used before, and its family has ended: it was stolen, or its client is
    /// mistaken.
    Reused,
    /// A client has revoked an access token, or a refresh token with its family.
    Revoked,
    /// The application has ended a family, or a user's whole access was revoked.
    Ended,
    /// A family has ended because its client or subject, or the store, had no room for another.
    EndedForRoom,
}

impl TokenEventKind {
    /// Its name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refreshed => "refreshed",
            Self::Rejected => "rejected",
            Self::Reused => "reused",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
            Self::EndedForRoom => "ended_for_room",
        }
    }
}

/// What becomes known of a request on its way, for the event at its end.
#[derive(Default)]
pub(super) struct Trail {
    kind: OnceLock<TokenEventKind>,
    client_id: OnceLock<String>,
    subject: OnceLock<String>,
    family_id: OnceLock<String>,
}

impl Trail {
    /// What it will be if all goes well.
    pub(super) fn leads_to(&self, kind: TokenEventKind) {
        self.kind.get_or_init(|| kind);
    }

    /// Notes the client that the request names.
    pub(super) fn client(&self, client_id: &str) {
        self.client_id.get_or_init(|| client_id.to_owned());
    }

    pub(super) fn subject(&self, subject: &str) {
        self.subject.get_or_init(|| subject.to_owned());
    }

    pub(super) fn grant(&self, grant: &Grant) {
        self.client(&grant.client_id);
        self.subject(&grant.subject);
    }

    pub(super) fn family(&self, family: &RefreshFamily) {
        self.grant(&family.grant);
        self.family_id(&family.id);
    }

    pub(super) fn family_id(&self, id: &str) {
        self.family_id.get_or_init(|| id.to_owned());
    }

    /// The event of a request that was answered well, or rejected for a reason.
    pub(super) fn event(&self, outcome: Result<(), &'static str>) -> Option<TokenEvent<'_>> {
        let (kind, reason) = match outcome {
            Ok(()) => (*self.kind.get()?, ""),
            Err(reason @ "token_reused") => (TokenEventKind::Reused, reason),
            Err(reason) => (TokenEventKind::Rejected, reason),
        };
        Some(TokenEvent {
            kind,
            client_id: self.client_id.get().map(String::as_str),
            subject: self.subject.get().map(String::as_str),
            family_id: self.family_id.get().map(String::as_str),
            peer: None,
            endpoint: None,
            reason,
        })
    }
}
