//! [`TrustedIssuer`]: who may issue tokens, with which keys, and what the tokens must comply with, as a user
//! says it.

use std::fmt;

#[cfg(feature = "jwks")]
use super::super::jwks::RemoteKeySet;
use super::{
    Key, KeySet,
    keys::{Keys, Table},
    rules::Issuer,
};
use crate::{algorithm::Algorithm, claims::Epoch, error::ConfigError};

/// An issuer whose tokens are accepted: its name, its keys, and what its tokens must comply with.
///
/// A [`JwtVerifier`](super::JwtVerifier) of one issuer is built without it: its builder has the same
/// settings. Of several, each has its own, and a key of one never verifies a token of another.
///
/// ```
/// use tower_bearer::{Algorithm, JwtVerifier, Key, TrustedIssuer};
///
/// # let their_key = Key::hmac(Algorithm::HS256, [1; 32])?;
/// # let our_key = Key::hmac(Algorithm::HS256, [2; 32])?;
/// let verifier = JwtVerifier::<()>::builder()
///     .trust(
///         TrustedIssuer::new("https://login.example.com")
///             .audience("https://api.example.com")
///             .key(our_key)
///             .access_token_profile(),
///     )
///     .trust(
///         TrustedIssuer::new("https://partner.example.org")
///             .audience("urn:example:api")
///             .key(their_key),
///     )
///     .build()?;
///
/// // Later, while it is in use:
/// # let new_key = Key::hmac(Algorithm::HS256, [3; 32])?;
/// verifier.trust(
///     TrustedIssuer::new("https://tenant-7.example.com")
///         .audience("https://api.example.com")
///         .key(new_key),
/// )?;
/// assert!(verifier.distrust("https://partner.example.org"));
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct TrustedIssuer {
    pub(super) names: Vec<String>,
    pub(super) any_name: bool,
    keys: Vec<Key>,
    // Of these, not every one must fit the list of algorithms.
    keys_of_sets: Vec<Key>,
    #[cfg(feature = "jwks")]
    remote_keys: Option<RemoteKeySet>,
    pub(super) audiences: Vec<String>,
    any_audience: bool,
    pub(super) audience_rejected: bool,
    pub(super) algorithms: Option<Vec<Algorithm>>,
    token_types: Vec<String>,
    expiry_optional: bool,
    access_token_profile: bool,
}

impl TrustedIssuer {
    /// An issuer of that name: the `iss` of its tokens must be there and equal this, to the letter
    /// (RFC 9068 §4).
    pub fn new(issuer: impl Into<String>) -> Self {
        Self::unnamed().also_named(issuer)
    }

    /// One whose name, if it has any, is yet to come.
    pub(super) fn unnamed() -> Self {
        Self {
            names: Vec::new(),
            any_name: false,
            keys: Vec::new(),
            keys_of_sets: Vec::new(),
            #[cfg(feature = "jwks")]
            remote_keys: None,
            audiences: Vec::new(),
            any_audience: false,
            audience_rejected: false,
            algorithms: None,
            token_types: Vec::new(),
            expiry_optional: false,
            access_token_profile: false,
        }
    }

    /// Gives it another name beside the first, which its keys verify too.
    pub fn also_named(mut self, issuer: impl Into<String>) -> Self {
        self.names.push(issuer.into());
        self
    }

    /// Adds a key, as [`JwtVerifierBuilder::key`](super::JwtVerifierBuilder::key) does.
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds the keys of a set. Those that fit no algorithm on the list are left out.
    pub fn key_set(mut self, keys: KeySet) -> Self {
        self.keys_of_sets.extend(keys.keys().iter().cloned());
        self
    }

    /// Takes its keys from the network, in place of keys that are given.
    #[cfg(feature = "jwks")]
    pub fn remote_keys(mut self, keys: RemoteKeySet) -> Self {
        self.remote_keys = Some(keys);
        self
    }

    /// Sets whom its tokens must be meant for, as
    /// [`JwtVerifierBuilder::audience`](super::JwtVerifierBuilder::audience) does.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts its tokens for any audience, and without one. Whoever gets such a token from a user, for
    /// any service of this issuer, can then use it here.
    pub fn any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Narrows the algorithms to these, as
    /// [`JwtVerifierBuilder::algorithms`](super::JwtVerifierBuilder::algorithms) does.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Accepts its tokens without `exp`, which never expire.
    pub fn expiry_optional(mut self) -> Self {
        self.expiry_optional = true;
        self
    }

    /// Sets the `typ` that the header must have, as
    /// [`JwtVerifierBuilder::token_types`](super::JwtVerifierBuilder::token_types) does.
    pub fn token_types<'a>(mut self, types: impl IntoIterator<Item = &'a str>) -> Self {
        self.token_types = types.into_iter().map(str::to_owned).collect();
        self
    }

    /// Accepts only its access tokens of RFC 9068, as
    /// [`JwtVerifierBuilder::access_token_profile`](super::JwtVerifierBuilder::access_token_profile) does.
    pub fn access_token_profile(mut self) -> Self {
        self.access_token_profile = true;
        self
    }

    /// Whether nothing of it was set.
    pub(super) fn is_blank(&self) -> bool {
        #[cfg(feature = "jwks")]
        let remote = self.remote_keys.is_some();
        #[cfg(not(feature = "jwks"))]
        let remote = false;
        let named = self.any_name || !self.names.is_empty();
        let keyed = remote || !self.keys.is_empty() || !self.keys_of_sets.is_empty();
        let audience = self.any_audience || !self.audiences.is_empty();
        let ruled = self.algorithms.is_some()
            || !self.token_types.is_empty()
            || self.expiry_optional
            || self.access_token_profile;
        !(named || keyed || audience || ruled)
    }

    pub(super) fn build(self) -> Result<Issuer, ConfigError> {
        let keys = self.build_keys()?;
        check_names("issuer", &self.names, self.any_name)?;
        check_names("audience", &self.audiences, self.any_audience)?;
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
        Ok(Issuer {
            names: self.names,
            keys,
            audiences: self.audiences,
            audience_rejected: self.audience_rejected,
            algorithms: self.algorithms,
            token_types,
            expiry_optional: self.expiry_optional,
            access_token_profile: self.access_token_profile,
            trusted: Epoch::new(),
        })
    }

    fn build_keys(&self) -> Result<Keys, ConfigError> {
        #[cfg(feature = "jwks")]
        if let Some(set) = &self.remote_keys {
            if !self.keys.is_empty() || !self.keys_of_sets.is_empty() {
                return Err(ConfigError::new(
                    "keys both given and from the network: leave out `key` and `key_set`, or \
                     `remote_keys`",
                ));
            }
            let mut algorithms = self.algorithms.iter().flatten();
            if let Some(algorithm) = algorithms.find(|algorithm| algorithm.is_symmetric()) {
                return Err(ConfigError::new(format!(
                    "{algorithm} verifies by a secret, which no issuer publishes: leave it out of \
                     `algorithms`"
                )));
            }
            if self.algorithms.as_ref().is_some_and(Vec::is_empty) {
                return Err(ConfigError::new(
                    "no algorithm is on the list of `algorithms`: name one, or leave the list out",
                ));
            }
            return Ok(Keys::Remote(super::keys::RemoteKeys::new(set.clone())));
        }
        let allowed = |_: &Key, algorithm| {
            let list = self.algorithms.as_ref();
            list.is_none_or(|list| list.contains(&algorithm))
        };
        for key in self.keys.iter().chain(&self.keys_of_sets) {
            if self.algorithms.is_none() && key.entries().len() > 1 {
                return Err(ConfigError::new(format!(
                    "{} does not say what algorithm it is for: name it by `algorithms`",
                    name_of(key)
                )));
            }
        }
        if let Some(key) = self
            .keys
            .iter()
            .find(|key| !key.algorithms().any(|algorithm| allowed(key, algorithm)))
        {
            return Err(ConfigError::new(format!(
                "{} is for no algorithm on the list: add its own by `algorithms`, or leave the key out",
                name_of(key)
            )));
        }
        let table = Table::of(self.keys.iter().chain(&self.keys_of_sets), allowed);
        if table.candidates.is_empty() {
            return Err(ConfigError::new(
                "there is no key to verify tokens with: add one by `key` or `key_set`, of an algorithm \
                 on the list of `algorithms` if there is one",
            ));
        }
        Ok(Keys::Fixed(Box::new(table)))
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

impl fmt::Debug for TrustedIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedIssuer")
            .field("names", &self.names)
            .field(
                "keys",
                &self.keys.len().saturating_add(self.keys_of_sets.len()),
            )
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
