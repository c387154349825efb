//! [`Verified`]: slow secrets that have matched before, known by a fast hash.
//!
//! Only memory holds these hashes, under a key that is as old as the process. A client that has authenticated once
//! takes no turn at slow comparisons again, so no flood of wrong secrets stands in its way.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use quick_cache::unsync::Cache;

use super::SecretHash;
use crate::{crypto, error::ConfigError};

/// The most secrets that are remembered: about a megabyte.
const AT_MOST: usize = 10_000;

pub(super) struct Verified {
    key: [u8; 32],
    hasher: RandomState,
    /// By the hash of the slow hash: the MAC of it and the secret.
    known: Mutex<Cache<u64, [u8; 32]>>,
}

impl Verified {
    pub(super) fn new() -> Result<Self, ConfigError> {
        let key = crypto::random().ok_or(ConfigError::new(
            "the operating system gives no randomness, without which there are no secrets",
        ))?;
        Ok(Self {
            key,
            hasher: RandomState::new(),
            known: Mutex::new(Cache::new(AT_MOST)),
        })
    }

    /// Remembers that a slow hash is that of the secret.
    pub(super) fn remember(&self, hash: &SecretHash, secret: &str) {
        let Some(identity) = hash.identity() else {
            return;
        };
        if let Some(mac) = self.mac(&identity, secret) {
            let id = self.hasher.hash_one(&identity);
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(id, mac);
        }
    }

    /// Whether a slow hash is known to be that of the secret. It costs one fast hash, also where there is no hash.
    pub(super) fn knows(&self, hash: Option<&SecretHash>, secret: &str) -> bool {
        let identity = hash.and_then(SecretHash::identity).unwrap_or_default();
        let mac = self.mac(&identity, secret);
        let id = self.hasher.hash_one(&identity);
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&id).copied()
        };
        matches!((mac, known), (Some(mac), Some(known)) if crypto::fixed_time_eq(&mac, &known))
    }

    fn mac(&self, identity: &[u8], secret: &str) -> Option<[u8; 32]> {
        // The length keeps the two parts apart.
        let length = u64::try_from(identity.len()).ok()?.to_be_bytes();
        let message = [&length[..], identity, secret.as_bytes()].concat();
        crypto::hmac_sha256(&self.key, &message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_secret_is_known_for_its_own_hash_alone() {
        let verified = Verified::new().unwrap();
        let [one, other] = [(); 2].map(|()| SecretHash::of_chosen("svc-secret").unwrap());
        assert!(!verified.knows(Some(&one), "svc-secret"));
        verified.remember(&one, "svc-secret");
        assert!(verified.knows(Some(&one), "svc-secret"));
        for (hash, secret) in [
            (Some(&one), "svc-secre"),
            (Some(&one), ""),
            (Some(&other), "svc-secret"),
            (None, "svc-secret"),
            (None, ""),
        ] {
            assert!(!verified.knows(hash, secret), "{secret}");
        }
    }
}
