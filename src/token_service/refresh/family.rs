//! [`RefreshFamily`]: all refresh tokens that descend from one grant, and the rule by which they are rotated.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{Rotated, Secret, TokenHash};
use crate::{
    clock::NumericDate,
    token_service::{grant::Grant, session::Session},
};

/// All refresh tokens that descend from one grant. The last one is current.
///
/// Serde writes and reads it, for stores of your own: with a version, without a token, and without anything that a
/// current token could be made from. Its `Debug` shows no hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshFamily {
    #[serde(rename = "v")]
    pub(crate) version: Version,
    pub(crate) id: String,
    pub(crate) revision: u64,
    pub(crate) grant: Grant,
    /// Tells tokens of this family from made-up ones. No current token can be made from it.
    pub(crate) mark: Secret,
    pub(crate) current: TokenHash,
    /// The tokens before the current one, the newest first: at least one that was, more within their grace.
    pub(crate) previous: Vec<Previous>,
    /// The newest last.
    pub(crate) access_tokens: Vec<IssuedToken>,
    pub(crate) begun_at: u64,
    pub(crate) ends_at: u64,
    pub(crate) idle_until: u64,
    /// Until when the indexes of a store list it; 0 where there are none.
    #[serde(skip)]
    pub(crate) listed_until: u64,
}

/// A token before the current one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Previous {
    pub(crate) hash: TokenHash,
    pub(crate) rotated_at: u64,
    /// From this and that token its successor can be made once more; `None` without a grace period.
    pub(crate) seed: Option<Secret>,
}

/// An access token that a [`RefreshFamily`] has issued, to be revoked when the family ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedToken {
    #[serde(rename = "jti")]
    pub(crate) id: String,
    #[serde(rename = "exp")]
    pub(crate) expires_at: u64,
}

impl IssuedToken {
    /// Its `jti`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its `exp`.
    pub fn expires_at(&self) -> NumericDate {
        NumericDate::from_secs(self.expires_at)
    }
}

/// As many rotated tokens as a family keeps within their grace: a client that loses more responses in a minute has
/// other troubles.
const PREVIOUS: usize = 4;

/// As many access tokens as a family keeps, of those that have not expired. A client that refreshes more often than
/// this within the lifetime of an access token has its oldest ones forgotten, and they expire by themselves.
const ACCESS_TOKENS: usize = 16;

impl RefreshFamily {
    /// Its id, by which it can be [ended](super::RefreshStore::end). It is no secret, although it is a part of its
    /// tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Counts its changes. A store writes a family on condition that nobody has written it since it was read.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What its client was granted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The access tokens that it has issued and that may not have expired, the 16 newest at most.
    pub fn access_tokens(&self) -> &[IssuedToken] {
        &self.access_tokens
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

    /// When it is over if it is not used before, whatever comes first, in seconds.
    pub(crate) fn over_at(&self) -> u64 {
        self.ends_at.min(self.idle_until)
    }

    /// Returns whether it has ended, from this second on. What is over need not be kept.
    pub fn is_over(&self, now: NumericDate) -> bool {
        now.as_secs() >= self.over_at()
    }

    /// Presents a token of this family, and returns what comes of it. The rule that every store keeps:
    ///
    /// * The family is over: [`Expired`](Rotated::Expired).
    /// * The token is the current one: its successor takes its place, [`Rotated`](Rotated::Rotated).
    /// * The token is the one before, and the successor the current one: this rotation is done already, and only its
    ///   result was lost. The tokens stay as they are, [`Rotated`](Rotated::Rotated).
    /// * It was rotated within the grace: the tokens stay as they are, [`Again`](Rotated::Again).
    /// * Otherwise somebody uses a token that has been used. Whether that is the client or a thief cannot be known,
    ///   so the family ends for both (RFC 9700 §4.14.2): [`Reused`](Rotated::Reused).
    ///
    /// After `Expired` and `Reused` the family is to be kept no longer. If it is changed, so is its
    /// [`revision`](Self::revision).
    pub fn rotate(&mut self, rotation: &Rotation) -> Rotated {
        let outcome = self.weigh(rotation);
        let now = rotation.now.as_secs();
        match &outcome {
            Rotated::Rotated { .. } if self.current == rotation.presented => {
                let is_within_grace =
                    |one: &Previous| now < one.rotated_at.saturating_add(rotation.grace);
                self.previous.retain(is_within_grace);
                self.previous.truncate(PREVIOUS - 1);
                let former = Previous {
                    hash: self.current.clone(),
                    rotated_at: now,
                    seed: rotation.seed.clone(),
                };
                self.previous.insert(0, former);
                self.current = rotation.successor.clone();
                self.idle_until = now.saturating_add(rotation.idle_for).min(self.ends_at);
            }
            // It is done already. Another attempt at it may have an access token of its own.
            Rotated::Rotated { .. }
                if rotation
                    .issued
                    .as_ref()
                    .is_none_or(|issued| self.access_tokens.contains(issued)) =>
            {
                return outcome;
            }
            Rotated::Rotated { .. } | Rotated::Again { .. } => {}
            _ => return outcome,
        }
        if let Some(session) = &rotation.session {
            self.grant.session = Some(session.clone());
        }
        if let Some(issued) = &rotation.issued {
            self.access_tokens.retain(|token| now < token.expires_at);
            let too_many = (self.access_tokens.len() + 1).saturating_sub(ACCESS_TOKENS);
            self.access_tokens.drain(..too_many);
            self.access_tokens.push(issued.clone());
        }
        self.revision = self.revision.wrapping_add(1);
        outcome
    }

    /// What would come of it, and nothing else.
    pub(crate) fn weigh(&self, rotation: &Rotation) -> Rotated {
        let now = rotation.now.as_secs();
        let unexpired = || {
            let tokens = self.access_tokens.iter();
            let others = tokens.filter(|token| Some(*token) != rotation.issued.as_ref());
            others
                .filter(|token| now < token.expires_at)
                .cloned()
                .collect()
        };
        if self.is_over(rotation.now) {
            return Rotated::Expired;
        }
        if self.current == rotation.presented {
            return Rotated::Rotated {
                earlier: unexpired(),
            };
        }
        let Some(at) = self
            .previous
            .iter()
            .position(|one| one.hash == rotation.presented)
        else {
            return Rotated::Reused {
                issued: unexpired(),
            };
        };
        if at == 0 && self.current == rotation.successor {
            return Rotated::Rotated {
                earlier: unexpired(),
            };
        }
        match self.previous.get(at) {
            Some(Previous {
                rotated_at,
                seed: Some(seed),
                ..
            }) if now < rotated_at.saturating_add(rotation.grace) => {
                Rotated::Again { seed: seed.clone() }
            }
            _ => Rotated::Reused {
                issued: unexpired(),
            },
        }
    }
}

impl fmt::Debug for RefreshFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshFamily")
            .field("id", &self.id)
            .field("revision", &self.revision)
            .field("grant", &self.grant)
            .field("begun_at", &self.begun_at)
            .field("ends_at", &self.ends_at)
            .field("idle_until", &self.idle_until)
            .finish_non_exhaustive()
    }
}

/// A presentation of a refresh token. It is known to be a token of its family; whether it is the current one is for
/// the store to say.
#[derive(Clone)]
pub struct Rotation {
    /// The family, as it was found.
    pub(crate) found: RefreshFamily,
    pub(crate) presented: TokenHash,
    pub(crate) successor: TokenHash,
    pub(crate) seed: Option<Secret>,
    /// What is to be the session data from now on; `None` leaves it as it is.
    pub(crate) session: Option<Session>,
    /// The access token that goes with the successor.
    pub(crate) issued: Option<IssuedToken>,
    pub(crate) now: NumericDate,
    /// In seconds.
    pub(crate) idle_for: u64,
    /// In seconds.
    pub(crate) grace: u64,
}

impl Rotation {
    /// The id of the family.
    pub fn family_id(&self) -> &str {
        &self.found.id
    }

    /// The family as the server has found it. It may have changed since.
    pub fn found(&self) -> &RefreshFamily {
        &self.found
    }
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation")
            .field("family_id", &self.found.id)
            .field("now", &self.now)
            .field("idle_for", &self.idle_for)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// Of how a family is written. Another one is not read, because what it means is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version;

/// Counted up when a reader of the former one would misread it.
pub(crate) const VERSION: u8 = 1;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            VERSION => Ok(Self),
            other => Err(D::Error::custom(format_args!(
                "a refresh family of version {other}, and only {VERSION} can be read"
            ))),
        }
    }
}
