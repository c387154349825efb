//! Builds a [`JwtVerifier`], or says what is missing.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

#[cfg(feature = "jwks")]
use super::super::jwks::RemoteKeySet;
use super::{
    JwtVerifier, Key, KeySet, Rules, issuer::TrustedIssuer, issuers::Issuers, rules::Times,
};
use crate::{
    algorithm::Algorithm,
    clock::{Clock, SystemClock},
    error::ConfigError,
};

/// Builds a [`JwtVerifier`].
///
/// Nothing is left open by default: a verifier without an issuer or an audience is an error, unless it
/// is written that any will do.
#[must_use]
pub struct JwtVerifierBuilder<C> {
    // The one that is described by the builder itself.
    issuer: TrustedIssuer,
    others: Vec<TrustedIssuer>,
    times: Times,
    any_leeway: bool,
    clock: Arc<dyn Clock>,
    claims: PhantomData<fn() -> C>,
}

/// Clocks of well-kept machines differ by less than a second, but those of others by up to a minute;
/// Spring Security and Envoy grant as much.
const LEEWAY: Duration = Duration::from_secs(60);

/// What is more is no difference of clocks but a longer life for every token.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

impl<C> JwtVerifierBuilder<C> {
    pub(super) fn new() -> Self {
        Self {
            issuer: TrustedIssuer::unnamed(),
            others: Vec::new(),
            times: Times {
                leeway: LEEWAY,
                expiry_margin: Duration::ZERO,
                expiry_ignored: false,
            },
            any_leeway: false,
            clock: Arc::new(SystemClock),
            claims: PhantomData,
        }
    }

    /// Adds a key.
    ///
    /// A key with an id is tried for tokens with this `kid` or without one, a key without an id for
    /// all; of those that come into question at most four for one token.
    pub fn key(mut self, key: Key) -> Self {
        self.issuer = self.issuer.key(key);
        self
    }

    /// Adds the keys of a set. Those that fit no algorithm on the list of
    /// [`algorithms`](Self::algorithms) are left out.
    pub fn key_set(mut self, keys: KeySet) -> Self {
        self.issuer = self.issuer.key_set(keys);
        self
    }

    /// Takes the keys from the network, in place of keys that are given.
    ///
    /// Without a list of [`algorithms`](Self::algorithms), each key is used with the one that it names;
    /// one of RSA that names none with RS256, and others with the only one of their curve.
    #[cfg(feature = "jwks")]
    pub fn remote_keys(mut self, keys: RemoteKeySet) -> Self {
        self.issuer = self.issuer.remote_keys(keys);
        self
    }

    /// Sets who must have issued the token: its `iss` must be there and equal this, to the letter
    /// (RFC 9068 §4). May be called more than once, for an issuer with several names; its keys verify
    /// all of them. For several issuers see [`trust`](Self::trust).
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = self.issuer.also_named(issuer);
        self
    }

    /// Accepts tokens of any issuer, and without one: the keys alone decide.
    pub fn any_issuer(mut self) -> Self {
        self.issuer.any_name = true;
        self
    }

    /// Sets whom the token must be meant for: its `aud` must be there and equal or contain this, to
    /// the letter. May be called more than once; one of them is enough.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.issuer = self.issuer.audience(audience);
        self
    }

    /// Accepts tokens for any audience, and without one. Whoever gets such a token from a user, for
    /// any service of this issuer, can then use it here.
    pub fn any_audience(mut self) -> Self {
        self.issuer = self.issuer.any_audience();
        self
    }

    /// Narrows the algorithms to these (RFC 8725 §3.1). The default is what the keys name: each is
    /// used with its own algorithm alone.
    ///
    /// It must be given where a JWK of type RSA or oct names no `alg`.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.issuer = self.issuer.algorithms(algorithms);
        self
    }

    /// Sets by how much the clocks of the issuers and this machine may differ: `exp` is granted so much
    /// more, and `nbf` so much less. In whole seconds, 60 by default and 300 at most.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.times.leeway = leeway;
        self
    }

    /// Sets a leeway of any length, as somebody else has chosen it.
    #[cfg(feature = "jsonwebtoken")]
    pub(crate) fn any_leeway(mut self, leeway: Duration) -> Self {
        self.any_leeway = true;
        self.leeway(leeway)
    }

    /// Rejects tokens that have an `aud`.
    #[cfg(feature = "jsonwebtoken")]
    pub(crate) fn audience_rejected(mut self) -> Self {
        self.issuer.audience_rejected = true;
        self
    }

    /// Rejects tokens already this long before they expire.
    #[cfg(feature = "jsonwebtoken")]
    pub(crate) fn expiry_margin(mut self, margin: Duration) -> Self {
        self.times.expiry_margin = margin;
        self
    }

    /// Accepts tokens after their `exp`.
    #[cfg(feature = "jsonwebtoken")]
    pub(crate) fn expiry_ignored(mut self) -> Self {
        self.times.expiry_ignored = true;
        self
    }

    /// Accepts tokens without `exp`, which never expire.
    pub fn expiry_optional(mut self) -> Self {
        self.issuer = self.issuer.expiry_optional();
        self
    }

    /// Sets the `typ` that the header must have, one of these, compared in any case and with
    /// `application/` or without (RFC 7515 §4.1.9). The default is `JWT`, `at+jwt` or none.
    pub fn token_types<'a>(mut self, types: impl IntoIterator<Item = &'a str>) -> Self {
        self.issuer = self.issuer.token_types(types);
        self
    }

    /// Accepts only access tokens of RFC 9068: `typ` must be `at+jwt`, and `iss`, `exp`, `aud`, `sub`,
    /// `client_id`, `iat` and `jti` must be there (§2.1, §2.2). No other JWT of the same issuer (an ID
    /// token, an introspection response) can be taken for one.
    pub fn access_token_profile(mut self) -> Self {
        self.issuer = self.issuer.access_token_profile();
        self
    }

    /// Trusts another issuer, with keys, audience and rules of its own. The `iss` of a token says whose
    /// rules it is held against, and a key of one issuer never verifies a token of another.
    ///
    /// What the builder itself says of issuer, keys, audience and so on concerns one more issuer, or
    /// none if it says nothing.
    pub fn trust(mut self, issuer: TrustedIssuer) -> Self {
        self.others.push(issuer);
        self
    }

    /// Sets the clock by which tokens expire. The default is that of the system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The verifier.
    ///
    /// # Errors
    /// If there is no key, issuer or audience, a key that no algorithm of the list fits, a key that
    /// does not say its algorithm while there is no list, two issuers of one name, or a leeway over 300
    /// seconds.
    pub fn build(self) -> Result<JwtVerifier<C>, ConfigError> {
        if self.times.leeway > MAX_LEEWAY && !self.any_leeway {
            return Err(ConfigError::new(
                "the leeway is over 300 seconds: set the clocks right instead",
            ));
        }
        let mut trusted = self.others;
        if trusted.is_empty() || !self.issuer.is_blank() {
            if self.issuer.any_name && !trusted.is_empty() {
                return Err(ConfigError::new(
                    "`any_issuer` beside issuers that are named: leave one of them out",
                ));
            }
            trusted.insert(0, self.issuer);
        }
        let mut names: Vec<&String> = trusted.iter().flat_map(|issuer| &issuer.names).collect();
        names.sort_unstable();
        if let Some(name) = names.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(one),
            _ => None,
        }) {
            return Err(ConfigError::new(format!(
                "the issuer {name:?} is there twice: leave one out"
            )));
        }
        let mut issuers: Option<Issuers> = None;
        for issuer in trusted {
            let issuer = Arc::new(issuer.build()?);
            issuers = Some(match issuers {
                None => Issuers::One(issuer),
                Some(issuers) => issuers.with(&issuer),
            });
        }
        let issuers = issuers.ok_or(ConfigError::new("no issuer is configured"))?;
        Ok(JwtVerifier {
            rules: Arc::new(Rules {
                issuers: ArcSwap::from_pointee(issuers),
                times: self.times,
                clock: self.clock,
            }),
            claims: PhantomData,
        })
    }
}

impl<C> fmt::Debug for JwtVerifierBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifierBuilder")
            .field("issuer", &self.issuer)
            .field("others", &self.others)
            .field("leeway", &self.times.leeway)
            .finish_non_exhaustive()
    }
}
