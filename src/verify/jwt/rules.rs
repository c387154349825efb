//! What the tokens of one issuer are held against: [`Issuer`].

use std::{fmt, time::Duration};

#[cfg(feature = "jwks")]
use super::super::jwks::RemoteKeySet;
use super::{
    claims::{Payload, Texts},
    compact::Header,
    invalid,
    keys::{Keys, Loaded, Table},
};
use crate::{
    algorithm::Algorithm,
    claims::Epoch,
    clock::NumericDate,
    error::{AuthError, reason},
    observe,
};

/// An issuer as tokens are held against it.
pub(super) struct Issuer {
    // Empty: any will do.
    pub(super) names: Vec<String>,
    pub(super) keys: Keys,
    pub(super) audiences: Vec<String>,
    /// Whether a token that names an audience, whichever, is not for us.
    pub(super) audience_rejected: bool,
    pub(super) algorithms: Option<Vec<Algorithm>>,
    // Empty: none, `JWT` or `at+jwt`.
    pub(super) token_types: Vec<String>,
    pub(super) expiry_optional: bool,
    pub(super) access_token_profile: bool,
    /// Ends when it is trusted no longer.
    pub(super) trusted: Epoch,
}

impl Issuer {
    pub(super) fn keys(&self) -> Loaded<'_> {
        self.keys.load(self.algorithms.as_deref())
    }

    /// Where its keys come from, if that is the network.
    #[cfg(feature = "jwks")]
    pub(super) fn remote_keys(&self) -> Option<&RemoteKeySet> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Remote(keys) => Some(&keys.set),
        }
    }

    /// Whether the header asks for nothing that is not done here, and by which algorithm it says the
    /// token is signed.
    pub(super) fn check_header(
        &self,
        header: &Header<'_>,
        keys: &Table,
    ) -> Result<Algorithm, AuthError> {
        if header.unsupported {
            return Err(invalid(reason::HEADER_UNSUPPORTED));
        }
        let algorithm = header
            .algorithm
            .as_deref()
            .and_then(Algorithm::from_name)
            .filter(|algorithm| self.allows_algorithm(*algorithm, keys))
            .ok_or(invalid(reason::ALGORITHM_NOT_ALLOWED))?;
        if !self.allows_type(header.token_type.as_deref()) {
            return Err(invalid(reason::TYPE_MISMATCH));
        }
        Ok(algorithm)
    }

    fn allows_algorithm(&self, algorithm: Algorithm, keys: &Table) -> bool {
        match &self.keys {
            Keys::Fixed(_) => keys.candidates.iter().any(|key| key.algorithm == algorithm),
            // One of these may come yet.
            #[cfg(feature = "jwks")]
            Keys::Remote(_) => match &self.algorithms {
                Some(list) => list.contains(&algorithm),
                None => !algorithm.is_symmetric(),
            },
        }
    }

    /// Compares `typ` in any case, and with `application/` or without (RFC 7515 §4.1.9).
    fn allows_type(&self, token_type: Option<&str>) -> bool {
        let Some(token_type) = token_type else {
            return self.token_types.is_empty();
        };
        let token_type = subtype(token_type);
        if self.token_types.is_empty() {
            ["JWT", "at+jwt"]
                .iter()
                .any(|allowed| token_type.eq_ignore_ascii_case(allowed))
        } else {
            self.token_types
                .iter()
                .any(|allowed| token_type.eq_ignore_ascii_case(subtype(allowed)))
        }
    }

    /// Whether the claims are those of a token for us, now; gives when that ends.
    pub(super) fn check_claims(
        &self,
        claims: &Payload<'_>,
        now: NumericDate,
        times: Times,
    ) -> Result<Option<NumericDate>, AuthError> {
        match claims.expires_at {
            Some(expires_at) => times.check_expires_at(expires_at, now)?,
            None if self.expiry_optional => {}
            None => return Err(missing("exp")),
        }
        if let Some(not_before) = claims.not_before {
            times.check_not_before(not_before, now)?;
        }
        match claims.issuer.as_deref() {
            Some(issuer) => self.check_issuer(issuer)?,
            None if self.names.is_empty() => {}
            None => return Err(missing("iss")),
        }
        match &claims.audience {
            Some(audience) => self.check_audience(audience)?,
            None if self.audiences.is_empty() => {}
            None => return Err(missing("aud")),
        }
        if self.access_token_profile {
            // RFC 9068 §2.2.
            let required = [
                ("iss", claims.issuer.is_some()),
                ("aud", claims.audience.is_some()),
                ("exp", claims.expires_at.is_some()),
                ("sub", claims.subject.is_some()),
                ("client_id", claims.client_id.is_some()),
                ("iat", claims.issued_at.is_some()),
                ("jti", claims.id.is_some()),
            ];
            if let Some((claim, _)) = required.iter().find(|(_, is_there)| !is_there) {
                return Err(missing(claim));
            }
        }
        Ok(claims.expires_at.and_then(|exp| times.end_of(exp)))
    }

    fn check_issuer(&self, issuer: &str) -> Result<(), AuthError> {
        if self.names.is_empty() || self.names.iter().any(|ours| ours == issuer) {
            return Ok(());
        }
        let fault = format_args!("`iss` is {issuer:?}, must be one of {:?}", self.names);
        observe::claim_rejected("iss", fault);
        Err(invalid(reason::ISSUER_MISMATCH))
    }

    fn check_audience(&self, audience: &Texts<'_>) -> Result<(), AuthError> {
        let is_ours = |one: &str| self.audiences.iter().any(|ours| ours == one);
        let any = self.audiences.is_empty() && !self.audience_rejected;
        if any || audience.iter().any(is_ours) {
            return Ok(());
        }
        let (ours, theirs) = (&self.audiences, Listed(audience));
        let fault = format_args!("`aud` must be or contain one of {ours:?}, is {theirs:?}");
        observe::claim_rejected("aud", fault);
        Err(invalid(reason::AUDIENCE_MISMATCH))
    }
}

pub(super) fn missing(claim: &'static str) -> AuthError {
    observe::claim_rejected(claim, format_args!("`{claim}` is missing"));
    invalid(reason::CLAIM_MISSING)
}

/// Shows an audience.
struct Listed<'a>(&'a Texts<'a>);

impl fmt::Debug for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

/// How `exp` and `nbf` are held against the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// How far the clocks of the issuer and this machine may differ.
    pub(super) leeway: Duration,
    /// How long before its end a token is rejected already.
    pub(super) expiry_margin: Duration,
    /// Whether tokens are accepted after `exp`.
    pub(super) expiry_ignored: bool,
}

impl Times {
    /// Returns the second from which on a token is rejected.
    fn end_of(self, expires_at: NumericDate) -> Option<NumericDate> {
        let end = expires_at
            .saturating_add(self.leeway)
            .saturating_sub(self.expiry_margin);
        (!self.expiry_ignored).then_some(end)
    }

    /// "On or after" is too late (RFC 7519 §4.1.4).
    fn check_expires_at(self, expires_at: NumericDate, now: NumericDate) -> Result<(), AuthError> {
        match self.end_of(expires_at) {
            Some(end) if now >= end => {
                let (exp, now, end) = (expires_at.as_secs(), now.as_secs(), end.as_secs());
                let fault =
                    format_args!("`exp` is {exp}, with leeway until {end}, and it is {now}");
                observe::claim_rejected("exp", fault);
                Err(invalid(reason::TOKEN_EXPIRED))
            }
            _ => Ok(()),
        }
    }

    /// "Before" is too early (RFC 7519 §4.1.5).
    fn check_not_before(self, not_before: NumericDate, now: NumericDate) -> Result<(), AuthError> {
        let start = not_before.saturating_sub(self.leeway);
        if now >= start {
            return Ok(());
        }
        let (nbf, now, start) = (not_before.as_secs(), now.as_secs(), start.as_secs());
        let fault = format_args!("`nbf` is {nbf}, with leeway from {start} on, and it is {now}");
        observe::claim_rejected("nbf", fault);
        Err(invalid(reason::TOKEN_NOT_YET_VALID))
    }
}

/// What can be said of a claim as soon as it is read, whatever comes behind it.
pub(super) struct AtSight<'a> {
    /// Whose token it must be; of several issuers it is not known yet.
    pub(super) issuer: Option<&'a Issuer>,
    pub(super) now: NumericDate,
    pub(super) times: Times,
}

impl AtSight<'_> {
    pub(super) fn expires_at(&self, expires_at: NumericDate) -> Result<(), AuthError> {
        self.times.check_expires_at(expires_at, self.now)
    }

    pub(super) fn issuer(&self, name: &str) -> Result<(), AuthError> {
        self.issuer
            .map_or(Ok(()), |issuer| issuer.check_issuer(name))
    }

    pub(super) fn audience(&self, audience: &Texts<'_>) -> Result<(), AuthError> {
        self.issuer
            .map_or(Ok(()), |issuer| issuer.check_audience(audience))
    }
}

/// A media type without its `application/`, which `typ` may leave out.
fn subtype(media_type: &str) -> &str {
    const APPLICATION: &str = "application/";
    match media_type.split_at_checked(APPLICATION.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(APPLICATION) && !rest.contains('/') => {
            rest
        }
        _ => media_type,
    }
}
