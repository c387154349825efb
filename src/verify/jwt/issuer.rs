//! [`TrustedIssuer`]: who may issue tokens, with which keys, and what the tokens must comply with.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

#[cfg(feature = "jwks")]
use super::super::jwks::RemoteKeySet;
use super::{
    Key, KeySet,
    claims::Payload,
    compact::Header,
    invalid,
    keys::{Keys, Loaded, Table},
};
use crate::{
    algorithm::Algorithm,
    claims::Epoch,
    clock::NumericDate,
    error::{AuthError, ConfigError, reason},
};

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

/// An issuer as tokens are held against it.
pub(super) struct Issuer {
    // Empty: any will do.
    pub(super) names: Vec<String>,
    keys: Keys,
    audiences: Vec<String>,
    algorithms: Option<Vec<Algorithm>>,
    // Empty: none, `JWT` or `at+jwt`.
    token_types: Vec<String>,
    expiry_optional: bool,
    access_token_profile: bool,
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

/// All that are trusted.
#[derive(Clone)]
pub(super) enum Issuers {
    /// The usual case. Its name need not be known before its tokens are looked at.
    One(Arc<Issuer>),
    Many(HashMap<String, Arc<Issuer>>),
}

impl Issuers {
    /// The only one there is.
    pub(super) fn only(&self) -> Option<&Issuer> {
        match self {
            Self::One(issuer) => Some(issuer),
            Self::Many(_) => None,
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.all().into_keys().collect();
        names.sort_unstable();
        names
    }

    /// The one who is to have issued the token.
    pub(super) fn of(&self, claims: &Payload<'_>) -> Result<&Issuer, AuthError> {
        match (self, claims.issuer.as_deref()) {
            (Self::One(issuer), _) => Ok(issuer),
            (Self::Many(_), None) => Err(invalid(reason::CLAIM_MISSING)),
            (Self::Many(by_name), Some(name)) => match by_name.get(name) {
                Some(issuer) => Ok(issuer),
                None => Err(invalid(reason::ISSUER_MISMATCH)),
            },
        }
    }

    fn all(&self) -> HashMap<String, Arc<Issuer>> {
        match self {
            Self::One(issuer) => by_name(issuer),
            Self::Many(by_name) => by_name.clone(),
        }
    }

    /// With one more, in place of those who had one of its names.
    pub(super) fn with(&self, issuer: &Arc<Issuer>) -> Self {
        let mut all = self.all();
        all.retain(|_, other| !other.names.iter().any(|name| issuer.names.contains(name)));
        all.extend(by_name(issuer));
        Self::Many(all)
    }

    /// Without the one of that name.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut all = self.all();
        all.retain(|_, issuer| !issuer.names.iter().any(|other| other == name));
        Self::Many(all)
    }

    /// Ends what rests on those who are not among the later ones.
    pub(super) fn end_unless_in(&self, later: &Self) {
        let later = later.all();
        for (name, issuer) in self.all() {
            let stays = later
                .get(&name)
                .is_some_and(|other| Arc::ptr_eq(other, &issuer));
            if !stays {
                issuer.trusted.end();
            }
        }
    }
}

fn by_name(issuer: &Arc<Issuer>) -> HashMap<String, Arc<Issuer>> {
    let names = issuer.names.iter();
    names
        .map(|name| (name.clone(), Arc::clone(issuer)))
        .collect()
}
