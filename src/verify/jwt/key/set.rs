//! [`KeySet`]: the keys of an issuer, from a JWK Set or one by one.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Key,
    jwk::{self, Reason, shown},
};
#[cfg(feature = "jwks")]
use crate::algorithm::Algorithm;
use crate::{error::ConfigError, json};

/// The keys of an issuer.
///
/// ```
/// use tower_bearer::KeySet;
///
/// let keys = KeySet::from_json(
///     r#"{"keys": [
///         {"kty": "OKP", "crv": "Ed25519", "kid": "2026-01", "alg": "EdDSA",
///          "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
///         {"kty": "RSA", "use": "enc", "n": "…", "e": "AQAB"}
///     ]}"#,
/// )?;
/// assert_eq!(keys.keys()[0].key_id(), Some("2026-01"));
/// assert_eq!(keys.skipped()[0].to_string(), "key 1: `use` is \"enc\", not \"sig\"");
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
}

/// Each key costs memory and, where a token names none, a verification: a set of more is a mistake
/// or an attack.
const MOST_KEYS: usize = 256;

impl KeySet {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key.
    #[must_use]
    pub fn with_key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// A JWK Set (RFC 7517 §5). Keys that cannot be used, as an issuer may publish for other ends,
    /// are [`skipped`](Self::skipped); symmetric keys are taken.
    ///
    /// # Errors
    /// If it is no JWK Set, has more than 256 keys, or none that can be used; then the message says
    /// why.
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        let set = Self::parse(json).map_err(ConfigError::new)?;
        if !set.keys.is_empty() {
            return Ok(set);
        }
        let mut message = "a JWK Set without a key that can be used".to_owned();
        for (number, skipped) in set.skipped.iter().enumerate() {
            message.push_str(if number == 0 { ": " } else { "; " });
            if number == 5 {
                message.push('…');
                break;
            }
            message.push_str(&skipped.to_string());
        }
        Err(ConfigError::new(message))
    }

    /// The same, with no key left if it comes to that. The error says what is wrong with the document.
    pub(super) fn parse(json: &str) -> Result<Self, Cow<'static, str>> {
        let mut set = Self::new();
        for (index, json) in members(json, MOST_KEYS)?.into_iter().enumerate() {
            match jwk::parse(json.get()) {
                Ok(key) => set.keys.push(key),
                Err(unusable) => set.skipped.push(SkippedKey::new(index, unusable)),
            }
        }
        Ok(set)
    }

    /// The keys, in their order.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The keys of the JWK Set that cannot be used, and why.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}

/// The keys of a JWK Set, unread.
///
/// Only `keys` and `kty` have a meaning here. Whatever else the set has, however often, does not
/// make its keys unusable.
fn members(json: &str, most: usize) -> Result<Vec<&RawValue>, Cow<'static, str>> {
    let set: Set<'_> = serde_json::from_str(json::without_bom(json))
        .map_err(|_| "not a JWK Set: no JSON object, or one with the member `keys` twice")?;
    let Some(keys) = set.keys else {
        return Err(if set.has_kty {
            "a single JWK, not a JWK Set; use Key::from_jwk".into()
        } else {
            "not a JWK Set: it has no member `keys`".into()
        });
    };
    let keys: Vec<&RawValue> =
        serde_json::from_str(keys.get()).map_err(|_| "not a JWK Set: `keys` is not an array")?;
    if keys.len() > most {
        let count = keys.len();
        return Err(format!("a JWK Set of {count} keys; at most {most} are accepted").into());
    }
    Ok(keys)
}

/// The members of a JWK Set that matter.
#[derive(Default)]
struct Set<'a> {
    keys: Option<&'a RawValue>,
    has_kty: bool,
}

impl<'de> Deserialize<'de> for Set<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Set<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JWK Set")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Set<'de>, A::Error> {
                let mut set = Set::default();
                while let Some(Name(name)) = map.next_key()? {
                    let value: &'de RawValue = map.next_value()?;
                    match &*name {
                        b"keys" if set.keys.is_some() => {
                            return Err(A::Error::duplicate_field("keys"));
                        }
                        b"keys" => set.keys = Some(value),
                        b"kty" => set.has_kty = true,
                        _ => {}
                    }
                }
                Ok(set)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The name of a member. It is read as bytes, because a name that is no text (a lone surrogate in
/// an escape) is not to make the set unusable.
struct Name(Vec<u8>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Name, E> {
                Ok(Name(name.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// The keys that an issuer publishes, as they were read last.
#[cfg(feature = "jwks")]
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishedKeys {
    keys: Vec<PublishedKey>,
    skipped: Vec<SkippedKey>,
}

#[cfg(feature = "jwks")]
#[derive(Clone, Debug)]
struct PublishedKey {
    /// Where it stands in `keys` of the set.
    index: usize,
    identity: Box<str>,
    key: Key,
}

#[cfg(feature = "jwks")]
impl PublishedKeys {
    /// No issuer needs so many, and each costs time where it is read and where tokens name none.
    const MOST: usize = 100;

    /// Reads a JWK Set. A key that was in the former one stays the same, with all that rests on it.
    pub(crate) fn parse(json: &str, former: &Self) -> Result<Self, Cow<'static, str>> {
        let mut set = Self::default();
        for (index, json) in members(json, Self::MOST)?.into_iter().enumerate() {
            let jwk = jwk::Jwk::read(json.get()).map(|jwk| (jwk.identity(), jwk));
            match jwk.and_then(|(identity, jwk)| Ok((former.key(&identity, jwk)?, identity))) {
                Ok((key, identity)) => set.keys.push(PublishedKey {
                    index,
                    identity,
                    key,
                }),
                Err(unusable) => set.skipped.push(SkippedKey::new(index, unusable)),
            }
        }
        Ok(set)
    }

    fn key(&self, identity: &str, jwk: jwk::Jwk<'_>) -> Result<Key, jwk::Unusable> {
        // Also one that was here may no longer be for signatures.
        let key = jwk.into_public_key()?;
        let same = self.keys.iter().find(|known| *known.identity == *identity);
        Ok(same.map_or(key, |known| known.key.clone()))
    }

    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.keys.iter().map(|published| &published.key)
    }

    /// The keys that none of these lists of algorithms has a use for, and why. Without any list
    /// there is none.
    pub(crate) fn unused(&self, lists: &[Vec<Algorithm>]) -> Vec<SkippedKey> {
        let unused = |key: &Key| lists.iter().all(|list| key.bind(Some(list)).is_none());
        let unused = self.keys.iter().filter(|published| unused(&published.key));
        unused
            .filter(|_| !lists.is_empty())
            .map(|published| SkippedKey {
                index: published.index,
                key_id: published.key.key_id().map(str::to_owned),
                reason: published.key.misfit().into(),
            })
            .collect()
    }

    pub(crate) fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Ends what rests on the keys that are not in the later set; gives how many these are.
    pub(crate) fn withdraw_unless_in(&self, later: &Self) -> usize {
        let withdrawn = self.keys.iter().filter(|former| {
            let stays = |other: &PublishedKey| other.identity == former.identity;
            !later.keys.iter().any(stays)
        });
        withdrawn.inspect(|former| former.key.epoch().end()).count()
    }
}

/// A key of a JWK Set that cannot be used. `Display` and `Debug` say which and why, on one line
/// and without a byte of the key.
#[derive(Clone)]
pub struct SkippedKey {
    index: usize,
    key_id: Option<String>,
    reason: Reason,
}

impl SkippedKey {
    fn new(index: usize, unusable: jwk::Unusable) -> Self {
        Self {
            index,
            key_id: unusable.key_id,
            reason: unusable.reason,
        }
    }

    /// Where it stands in `keys`, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its `kid`, if it has one.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Why it cannot be used.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.index)?;
        if let Some(key_id) = &self.key_id {
            write!(f, " ({})", shown(key_id))?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl fmt::Debug for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SkippedKey({self})")
    }
}
