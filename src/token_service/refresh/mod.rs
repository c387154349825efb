//! [`RefreshStore`]: where refresh tokens are kept, and the one rule by which they are rotated.
//!
//! What a token looks like is in `token`; the store in memory, in `memory`; the one in Redis, in `redis`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::grant::Grant;
use crate::{clock::NumericDate, store::StoreError, verify::BoxFuture};

mod memory;
#[cfg(feature = "redis")]
mod redis;
pub(super) mod token;

pub use memory::InMemoryRefreshStore;
#[cfg(feature = "redis")]
pub use redis::RedisRefreshStore;

/// Where refresh tokens are kept: [`InMemoryRefreshStore`], `RedisRefreshStore` (feature `redis`), or one of
/// your own.
///
/// A refresh token is used once, and replaced by its successor when it is. All that descend from one
/// issuing are a [`RefreshFamily`], and the family is what is kept: with the hash of its current token, never
/// with a token.
///
/// A store of one's own needs [`rotate`](Self::rotate) to be one atomic operation: whatever else happens at
/// the same time, on this machine or another, one presentation of a token has an effect, and every later one
/// finds what it left. A database with transactions reads the family for update, asks
/// [`RefreshFamily::rotate`], and writes it back.
pub trait RefreshStore: Send + Sync + 'static {
    /// Keeps a new family, until it is [over](RefreshFamily::is_over).
    ///
    /// # Errors
    /// If the store cannot be reached, or is full.
    fn begin(&self, family: RefreshFamily) -> BoxFuture<Result<(), StoreError>>;

    /// The family of that id; `None` if there is none, or no longer.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn find(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>>;

    /// Presents a token of a family, by the rule of [`RefreshFamily::rotate`], as one atomic operation. A
    /// family that this ends is kept no longer.
    ///
    /// # Errors
    /// If the store cannot be reached. Whether the token was rotated all the same may then be unknown.
    fn rotate(&self, rotation: Rotation) -> BoxFuture<Result<Rotated, StoreError>>;

    /// Ends a family: none of its tokens is good for anything from now on. Says whether there was one.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn end(&self, family_id: &str) -> BoxFuture<Result<bool, StoreError>>;

    /// The families of a client, in no particular order.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn of_client(&self, client_id: &str) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>>;
}

/// All refresh tokens that descend from one issuing, of which the last is current.
///
/// Serde writes and reads it, for stores of one's own. What is written holds no token, and nothing that a
/// current token could be made from. Its `Debug` shows no hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshFamily {
    pub(crate) id: String,
    pub(crate) grant: Grant,
    /// By what tokens of this family are told from made-up ones. It makes none that is current.
    pub(crate) mark: Secret,
    pub(crate) current: TokenHash,
    pub(crate) previous: Option<Previous>,
    pub(crate) begun_at: u64,
    pub(crate) ends_at: u64,
    pub(crate) idle_until: u64,
}

/// The token before the current one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Previous {
    pub(crate) hash: TokenHash,
    pub(crate) rotated_at: u64,
    /// From this and that token its successor can be made once more; `None` without a grace period.
    pub(crate) seed: Option<Secret>,
}

impl RefreshFamily {
    /// Its id, by which it can be [ended](RefreshStore::end). It is no secret, but whoever knows it knows
    /// a part of its tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What its client was granted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// When its first token was issued.
    pub fn begun_at(&self) -> NumericDate {
        NumericDate::from_secs(self.begun_at)
    }

    /// When it ends, however often it is used.
    pub fn ends_at(&self) -> NumericDate {
        NumericDate::from_secs(self.ends_at)
    }

    /// When it ends if it is not used before.
    pub fn idle_until(&self) -> NumericDate {
        NumericDate::from_secs(self.idle_until)
    }

    /// Whether it has ended, from this second on. What is over need not be kept.
    pub fn is_over(&self, now: NumericDate) -> bool {
        now.as_secs() >= self.ends_at.min(self.idle_until)
    }

    /// What comes of presenting a token of this family, and the family after it. The rule that every store
    /// keeps:
    ///
    /// * the family is over: [`Expired`](Rotated::Expired);
    /// * the token is the current one: its successor takes its place, [`Rotated`](Rotated::Rotated);
    /// * it is the one before, within the grace: nothing changes, [`Again`](Rotated::Again);
    /// * it is any other: somebody uses a token that has been used. Whether that is the client or a thief
    ///   cannot be known, so the family ends for both (RFC 9700 §4.14.2): [`Reused`](Rotated::Reused).
    ///
    /// After `Expired` and `Reused` the family is to be kept no longer.
    pub fn rotate(&mut self, rotation: &Rotation) -> Rotated {
        let outcome = self.weigh(rotation);
        if let Rotated::Rotated = outcome {
            let now = rotation.now.as_secs();
            self.previous = Some(Previous {
                hash: self.current.clone(),
                rotated_at: now,
                seed: rotation.seed.clone(),
            });
            self.current = rotation.successor.clone();
            self.idle_until = now.saturating_add(rotation.idle_for).min(self.ends_at);
        }
        outcome
    }

    /// What would come of it, and nothing else.
    pub(crate) fn weigh(&self, rotation: &Rotation) -> Rotated {
        if self.is_over(rotation.now) {
            return Rotated::Expired;
        }
        if self.current == rotation.presented {
            return Rotated::Rotated;
        }
        match &self.previous {
            Some(Previous {
                hash,
                rotated_at,
                seed: Some(seed),
            }) if *hash == rotation.presented
                && rotation.now.as_secs() < rotated_at.saturating_add(rotation.grace) =>
            {
                Rotated::Again { seed: seed.clone() }
            }
            _ => Rotated::Reused,
        }
    }
}

impl fmt::Debug for RefreshFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshFamily")
            .field("id", &self.id)
            .field("grant", &self.grant)
            .field("begun_at", &self.begun_at)
            .field("ends_at", &self.ends_at)
            .field("idle_until", &self.idle_until)
            .finish_non_exhaustive()
    }
}

/// A presentation of a refresh token: that it is one of its family is known, whether it is the current one is
/// for the store to say.
#[derive(Clone)]
pub struct Rotation {
    pub(crate) family_id: String,
    pub(crate) presented: TokenHash,
    pub(crate) successor: TokenHash,
    pub(crate) seed: Option<Secret>,
    pub(crate) now: NumericDate,
    /// In seconds.
    pub(crate) idle_for: u64,
    /// In seconds.
    pub(crate) grace: u64,
}

impl Rotation {
    /// The id of the family.
    pub fn family_id(&self) -> &str {
        &self.family_id
    }
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation")
            .field("family_id", &self.family_id)
            .field("now", &self.now)
            .field("idle_for", &self.idle_for)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// What comes of presenting a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotated {
    /// It was current, and its successor is now.
    Rotated,
    /// It was rotated so short a time ago that this is taken for a retry of the same request, whose answer was
    /// lost: the successor is the same.
    Again {
        /// From this and the token presented, the successor can be made.
        seed: Secret,
    },
    /// The family is over.
    Expired,
    /// It was rotated before, and the family has ended for it.
    Reused,
    /// There is no such family, or no longer.
    Unknown,
}

/// The SHA-256 hash of a refresh token. Serde writes it in base64url, `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash(pub(crate) [u8; 32]);

/// 32 random bytes. Serde writes them in base64url, `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) [u8; 32]);

macro_rules! written_in_base64url {
    ($name:ident) => {
        impl $name {
            pub(crate) fn to_text(&self) -> String {
                base64_simd::URL_SAFE_NO_PAD.encode_to_string(self.0)
            }

            pub(crate) fn parse(text: &str) -> Option<Self> {
                let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
                Some(Self(bytes.try_into().ok()?))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.to_text())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| D::Error::custom("not 32 bytes in base64url"))
            }
        }
    };
}

written_in_base64url!(TokenHash);
written_in_base64url!(Secret);
