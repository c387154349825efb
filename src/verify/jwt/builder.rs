//! Builds a [`JwtVerifier`], or says what is missing.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use super::{Candidate, JwtVerifier, Key, KeySet, Rules, headers::KnownHeaders};
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
    keys: Vec<Key>,
    // Of these, not every one must fit the list of algorithms.
    keys_of_sets: Vec<Key>,
    issuers: Vec<String>,
    any_issuer: bool,
    audiences: Vec<String>,
    any_audience: bool,
    algorithms: Option<Vec<Algorithm>>,
    token_types: Vec<String>,
    leeway: Duration,
    expiry_optional: bool,
    access_token_profile: bool,
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
            keys: Vec::new(),
            keys_of_sets: Vec::new(),
            issuers: Vec::new(),
            any_issuer: false,
            audiences: Vec::new(),
            any_audience: false,
            algorithms: None,
            token_types: Vec::new(),
            leeway: LEEWAY,
            expiry_optional: false,
            access_token_profile: false,
            clock: Arc::new(SystemClock),
            claims: PhantomData,
        }
    }

    /// Adds a key.
    ///
    /// A key with an id is tried for tokens with this `kid` or without one, a key without an id for
    /// all; of those that come into question at most four for one token.
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds the keys of a set. Those that fit no algorithm on the list of
    /// [`algorithms`](Self::algorithms) are left out.
    pub fn key_set(mut self, keys: KeySet) -> Self {
        self.keys_of_sets.extend(keys.keys().iter().cloned());
        self
    }

    /// Sets who must have issued the token: its `iss` must be there and equal this, to the letter
    /// (RFC 9068 §4). May be called more than once, for an issuer with several names; its keys verify
    /// all of them.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Accepts tokens of any issuer, and without one: the keys alone decide.
    pub fn any_issuer(mut self) -> Self {
        self.any_issuer = true;
        self
    }

    /// Sets whom the token must be meant for: its `aud` must be there and equal or contain this, to
    /// the letter. May be called more than once; one of them is enough.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts tokens for any audience, and without one. Whoever gets such a token from a user, for
    /// any service of this issuer, can then use it here.
    pub fn any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Narrows the algorithms to these (RFC 8725 §3.1). The default is what the keys name: each is
    /// used with its own algorithm alone.
    ///
    /// It must be given where a JWK of type RSA or oct names no `alg`.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Sets by how much the clocks of the issuer and this machine may differ: `exp` is granted so much
    /// more, and `nbf` so much less. In whole seconds, 60 by default and 300 at most.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Accepts tokens without `exp`, which never expire.
    pub fn expiry_optional(mut self) -> Self {
        self.expiry_optional = true;
        self
    }

    /// Sets the `typ` that the header must have, one of these, compared in any case and with
    /// `application/` or without (RFC 7515 §4.1.9). The default is `JWT`, `at+jwt` or none.
    pub fn token_types<'a>(mut self, types: impl IntoIterator<Item = &'a str>) -> Self {
        self.token_types = types.into_iter().map(str::to_owned).collect();
        self
    }

    /// Accepts only access tokens of RFC 9068: `typ` must be `at+jwt`, and `iss`, `exp`, `aud`, `sub`,
    /// `client_id`, `iat` and `jti` must be there (§2.1, §2.2). No other JWT of the same issuer (an ID
    /// token, an introspection response) can be taken for one.
    pub fn access_token_profile(mut self) -> Self {
        self.access_token_profile = true;
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
    /// does not say its algorithm while there is no list, or a leeway over 300 seconds.
    pub fn build(self) -> Result<JwtVerifier<C>, ConfigError> {
        let keys = self.candidates()?;
        check_names("issuer", &self.issuers, self.any_issuer)?;
        check_names("audience", &self.audiences, self.any_audience)?;
        if self.leeway > MAX_LEEWAY {
            return Err(ConfigError::new(
                "the leeway is over 300 seconds: set the clocks right instead",
            ));
        }
        let token_types = if self.access_token_profile {
            if !self.token_types.is_empty() {
                return Err(ConfigError::new(
                    "the access token profile has a token type of its own, `at+jwt`: leave out \
                     `token_types`",
                ));
            }
            vec!["at+jwt".to_owned()]
        } else {
            self.token_types
        };
        Ok(JwtVerifier {
            rules: Arc::new(Rules {
                keys,
                issuers: self.issuers,
                audiences: self.audiences,
                token_types,
                leeway: self.leeway,
                expiry_optional: self.expiry_optional,
                access_token_profile: self.access_token_profile,
                clock: self.clock,
                headers: KnownHeaders::default(),
            }),
            claims: PhantomData,
        })
    }

    /// Each key with each algorithm that it may be used with.
    fn candidates(&self) -> Result<Vec<Candidate>, ConfigError> {
        let mut candidates = Vec::new();
        for key in &self.keys {
            let before = candidates.len();
            self.add_candidates(key, &mut candidates)?;
            if candidates.len() == before {
                return Err(ConfigError::new(format!(
                    "{} is for no algorithm on the list: add its own by `algorithms`, or leave the \
                     key out",
                    name_of(key)
                )));
            }
        }
        for key in &self.keys_of_sets {
            self.add_candidates(key, &mut candidates)?;
        }
        if candidates.is_empty() {
            return Err(ConfigError::new(
                "there is no key to verify tokens with: add one by `key` or `key_set`, of an algorithm \
                 on the list of `algorithms` if there is one",
            ));
        }
        Ok(candidates)
    }

    fn add_candidates(
        &self,
        key: &Key,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), ConfigError> {
        let entries = key.entries();
        if self.algorithms.is_none() && entries.len() > 1 {
            return Err(ConfigError::new(format!(
                "{} does not say what algorithm it is for: name it by `algorithms`",
                name_of(key)
            )));
        }
        let allowed = |algorithm| {
            self.algorithms
                .as_ref()
                .is_none_or(|list| list.contains(algorithm))
        };
        candidates.extend(
            entries
                .iter()
                .filter(|(algorithm, _)| allowed(algorithm))
                .map(|(algorithm, verifying_key)| Candidate {
                    key_id: key.key_id().map(Into::into),
                    algorithm: *algorithm,
                    key: verifying_key.clone(),
                    epoch: key.epoch().clone(),
                }),
        );
        Ok(())
    }
}

fn name_of(key: &Key) -> String {
    match key.key_id() {
        Some(id) => format!("the key `{}`", id.escape_debug()),
        None => "a key without an id".to_owned(),
    }
}

fn check_names(what: &str, names: &[String], any: bool) -> Result<(), ConfigError> {
    if names.iter().any(String::is_empty) {
        return Err(ConfigError::new(format!("the {what} is empty: name it")));
    }
    match (names.is_empty(), any) {
        (true, false) => Err(ConfigError::new(format!(
            "no {what} is configured: name it by `{what}`, or write `any_{what}` if the keys alone \
             shall decide"
        ))),
        (false, true) => Err(ConfigError::new(format!(
            "both `{what}` and `any_{what}` are configured: leave one out"
        ))),
        _ => Ok(()),
    }
}

impl<C> fmt::Debug for JwtVerifierBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifierBuilder")
            .field("keys", &self.keys.len())
            .field("issuers", &self.issuers)
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}
