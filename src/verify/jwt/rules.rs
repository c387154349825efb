//! What the tokens of one issuer are held against: [`Issuer`].

use std::time::Duration;

#[cfg(feature = "jwks")]
use super::super::jwks::RemoteKeySet;
use super::{
    claims::Payload,
    compact::Header,
    invalid,
    keys::{Keys, Loaded, Table},
};
use crate::{
    algorithm::Algorithm,
    claims::Epoch,
    clock::NumericDate,
    error::{AuthError, reason},
};

/// An issuer as tokens are held against it.
pub(super) struct Issuer {
    // Empty: any will do.
    pub(super) names: Vec<String>,
    pub(super) keys: Keys,
    pub(super) audiences: Vec<String>,
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
        leeway: Duration,
    ) -> Result<Option<NumericDate>, AuthError> {
        let valid_until = match claims.expires_at {
            Some(expires_at) => Some(expires_at.saturating_add(leeway)),
            None if self.expiry_optional => None,
            None => return Err(invalid(reason::CLAIM_MISSING)),
        };
        // "On or after" is too late (RFC 7519 §4.1.4), "before" is too early (§4.1.5).
        if valid_until.is_some_and(|end| now >= end) {
            return Err(invalid(reason::TOKEN_EXPIRED));
        }
        if claims
            .not_before
            .is_some_and(|start| now < start.saturating_sub(leeway))
        {
            return Err(invalid(reason::TOKEN_NOT_YET_VALID));
        }
        if !self.names.is_empty() {
            match claims.issuer.as_deref() {
                None => return Err(invalid(reason::CLAIM_MISSING)),
                Some(issuer) if self.names.iter().any(|ours| ours == issuer) => {}
                Some(_) => return Err(invalid(reason::ISSUER_MISMATCH)),
            }
        }
        if !self.audiences.is_empty() {
            match &claims.audience {
                None => return Err(invalid(reason::CLAIM_MISSING)),
                Some(audience)
                    if audience
                        .iter()
                        .any(|one| self.audiences.iter().any(|ours| ours == one)) => {}
                Some(_) => return Err(invalid(reason::AUDIENCE_MISMATCH)),
            }
        }
        // RFC 9068 §2.2.
        if self.access_token_profile
            && (claims.issuer.is_none()
                || claims.audience.is_none()
                || claims.expires_at.is_none()
                || claims.subject.is_none()
                || claims.client_id.is_none()
                || claims.issued_at.is_none()
                || claims.id.is_none())
        {
            return Err(invalid(reason::CLAIM_MISSING));
        }
        Ok(valid_until)
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
