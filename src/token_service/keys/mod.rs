//! [`SigningKeys`]: the keys that access tokens are signed with, and their rotation. One key is in `key`; how they
//! are published, in `publish`.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use crate::{
    algorithm::Algorithm,
    clock::{Clock, NumericDate, SystemClock},
    error::ConfigError,
    revocation::LEEWAY,
};

mod key;
mod publish;

pub use key::SigningKey;
pub use publish::ServeKeySet;

/// The keys that access tokens are signed with: the one in use, the next ones, which are published before they are
/// used, and the former ones, which are published until the last token that they signed has expired.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{Algorithm, token_service::{SigningKey, SigningKeys}};
///
/// let keys = SigningKeys::generate()?;
///
/// // Every few weeks: published now, and used once everybody has had the time to fetch it.
/// keys.rotate(SigningKey::generate(Algorithm::ES256)?, Duration::from_secs(15 * 60))?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// Several servers that issue for the same issuer are given the same keys, with the same times
/// ([`publish`](Self::publish)). Clones are the same keys.
#[derive(Clone)]
pub struct SigningKeys(Arc<Shared>);

struct Shared {
    /// In the order in which they are used.
    keys: ArcSwap<Vec<Arc<Scheduled>>>,
    /// Held by whoever changes them.
    change: Mutex<()>,
    clock: Arc<dyn Clock>,
    /// For how long tokens are good, in seconds: the most that was seen.
    longest_token: AtomicU64,
}

struct Scheduled {
    key: SigningKey,
    /// From when it is used, in seconds.
    from: u64,
}

impl SigningKeys {
    /// One fresh key for ES256: small tokens, and what most verifiers know. It lives as long as the process, so that
    /// it is for one server, and for tokens that need not outlive it.
    ///
    /// # Errors
    /// If no key can be made, because the operating system gives no randomness.
    pub fn generate() -> Result<Self, ConfigError> {
        Ok(Self::new(SigningKey::generate(Algorithm::ES256)?))
    }

    /// One key, used from now on.
    pub fn new(key: SigningKey) -> Self {
        Self::with_clock(key, SystemClock)
    }

    /// One key, used from now on, and another clock than that of the system.
    pub fn with_clock(key: SigningKey, clock: impl Clock) -> Self {
        let from = clock.now().as_secs();
        Self(Arc::new(Shared {
            keys: ArcSwap::from_pointee(vec![Arc::new(Scheduled { key, from })]),
            change: Mutex::default(),
            clock: Arc::new(clock),
            longest_token: AtomicU64::new(0),
        }))
    }

    /// Publishes a key now, and uses it so much later: after as long as anybody may keep the published keys without
    /// asking again. 15 minutes is enough for most verifiers; this crate's asks at once for a key that it does not
    /// know.
    ///
    /// # Errors
    /// If there is a key of that id already.
    pub fn rotate(&self, key: SigningKey, ahead: Duration) -> Result<(), ConfigError> {
        self.publish(key, self.0.clock.now().saturating_add(ahead))
    }

    /// Publishes a key now, and uses it from that time on. From then on the key before it is a former one, and one
    /// whose time has passed already takes its place among the former ones.
    ///
    /// # Errors
    /// If there is a key of that id already.
    pub fn publish(&self, key: SigningKey, use_from: NumericDate) -> Result<(), ConfigError> {
        let _change = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<_> = self.published(self.0.clock.now());
        if keys.iter().any(|known| known.key.key_id() == key.key_id()) {
            return Err(ConfigError::new(format!(
                "there is a signing key of the id {:?} already: give it another by `with_key_id`",
                key.key_id()
            )));
        }
        let from = use_from.as_secs();
        keys.push(Arc::new(Scheduled { key, from }));
        keys.sort_by_key(|scheduled| scheduled.from);
        self.0.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Neither uses nor publishes a key any longer, such as one that others have got hold of: its tokens are refused
    /// by all who fetch the keys anew.
    ///
    /// # Errors
    /// If there is no such key, or no other one that could be used.
    pub fn withdraw(&self, key_id: &str) -> Result<(), ConfigError> {
        let _change = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
        let former = self.0.keys.load_full();
        let rest: Vec<_> = former
            .iter()
            .filter(|scheduled| scheduled.key.key_id() != key_id)
            .cloned()
            .collect();
        if rest.len() == former.len() {
            return Err(ConfigError::new(format!(
                "there is no signing key of the id {key_id:?}"
            )));
        }
        if rest.is_empty() {
            return Err(ConfigError::new(format!(
                "{key_id:?} is the only signing key: publish another one first"
            )));
        }
        self.0.keys.store(Arc::new(rest));
        Ok(())
    }

    /// The published keys, as a JWK Set in JSON (RFC 7517 §5); [`ServeKeySet`] answers with it.
    ///
    /// A service that issues and verifies takes its keys from here:
    ///
    /// ```
    /// # #[cfg(feature = "jwks")] {
    /// use std::{convert::Infallible, future::ready};
    /// use tower_bearer::{RemoteKeySet, token_service::SigningKeys};
    ///
    /// let keys = SigningKeys::generate()?;
    /// let published = {
    ///     let keys = keys.clone();
    ///     RemoteKeySet::from_fn(move || ready(Ok::<_, Infallible>(keys.public_key_set()))).build()?
    /// };
    /// # }
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn public_key_set(&self) -> String {
        let keys = self.published(self.0.clock.now());
        let keys: Vec<Value> = keys
            .iter()
            .map(|scheduled| scheduled.key.public_jwk())
            .collect();
        json!({ "keys": keys }).to_string()
    }

    /// The ids of the published keys, in the order in which they are used.
    pub fn key_ids(&self) -> Vec<String> {
        let keys = self.published(self.0.clock.now());
        keys.iter()
            .map(|scheduled| scheduled.key.key_id().to_owned())
            .collect()
    }

    /// The algorithms of the published keys, each once.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for scheduled in self.published(self.0.clock.now()) {
            let algorithm = scheduled.key.algorithm();
            if !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
        }
        algorithms
    }

    /// Says for how long tokens will be good: for so long, at least, former keys are published.
    pub(super) fn expect_lifetime(&self, lifetime: Duration) {
        self.0
            .longest_token
            .fetch_max(lifetime.as_secs(), Ordering::Relaxed);
    }

    /// An access token with these claims (RFC 9068 §2), good for so long; `None` if the crypto backend fails.
    pub(super) fn sign(&self, claims: &Value, lifetime: Duration) -> Option<String> {
        self.expect_lifetime(lifetime);
        let now = self.0.clock.now().as_secs();
        let keys = self.0.keys.load();
        let in_use = keys.iter().rfind(|scheduled| scheduled.from <= now);
        // Whatever the clock says, one signs.
        in_use.or(keys.first())?.key.sign(claims)
    }

    /// The keys that are published: all but the former ones whose tokens have all expired.
    fn published(&self, now: NumericDate) -> Vec<Arc<Scheduled>> {
        let keys = self.0.keys.load();
        let longest = Duration::from_secs(self.0.longest_token.load(Ordering::Relaxed));
        let successors = keys
            .iter()
            .skip(1)
            .map(|next| Some(next.from))
            .chain([None]);
        keys.iter()
            .zip(successors)
            .filter(|(_, superseded)| {
                superseded.is_none_or(|at| {
                    let last = NumericDate::from_secs(at).saturating_add(longest);
                    now <= last.saturating_add(LEEWAY)
                })
            })
            .map(|(scheduled, _)| Arc::clone(scheduled))
            .collect()
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").field(&self.key_ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(id: &str) -> SigningKey {
        SigningKey::generate(Algorithm::ES256)
            .unwrap()
            .with_key_id(id)
    }

    fn signer(keys: &SigningKeys) -> String {
        let token = keys.sign(&json!({}), 10 * MINUTE).unwrap();
        let header = token.split('.').next().unwrap();
        let header = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(header).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        header["kid"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_key_is_published_before_it_is_used_and_until_its_tokens_have_expired() {
        let clock = ManualClock::new(NumericDate::from_secs(1_800_000_000));
        let keys = SigningKeys::with_clock(key("a"), clock.clone());
        keys.expect_lifetime(10 * MINUTE);
        keys.rotate(key("b"), 15 * MINUTE).unwrap();
        for (minutes, signing, published) in [
            (0, "a", &["a", "b"][..]),
            (14, "a", &["a", "b"]),
            (15, "b", &["a", "b"]),
            // The last token by `a` is good for 10 minutes, and 5 more of leeway.
            (30, "b", &["a", "b"]),
            (31, "b", &["b"]),
        ] {
            clock.set(NumericDate::from_secs(1_800_000_000 + minutes * 60));
            assert_eq!(signer(&keys), signing, "{minutes}");
            assert_eq!(keys.key_ids(), published, "{minutes}");
        }
    }

    #[test]
    fn a_withdrawn_key_is_gone_at_once_but_never_the_last() {
        let keys = SigningKeys::new(key("a"));
        assert!(keys.withdraw("a").is_err());
        assert!(keys.withdraw("b").is_err());
        assert!(keys.rotate(key("a"), MINUTE).is_err());
        keys.rotate(key("b"), MINUTE).unwrap();
        keys.withdraw("a").unwrap();
        assert_eq!(keys.key_ids(), ["b"]);
        assert_eq!(signer(&keys), "b");
    }
}
