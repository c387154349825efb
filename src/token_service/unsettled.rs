//! [`Unsettled`]: rotations of which nobody knows whether they were done.
//!
//! If the store does not answer in time, or the client goes away before it has, the token may have been rotated, and
//! nobody has its successor. The client then tries again with the same token. By this it gets the same successor, so that
//! the store sees the same rotation once more, and no token that was used before.
//!
//! Only this process knows of it, for a minute. Where the next attempt comes to another process, the
//! [grace](super::AuthorizationServerBuilder::refresh_token_grace) is the remedy.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use quick_cache::unsync::Cache;

use super::refresh::{Secret, TokenHash, token::RefreshToken};
use crate::clock::NumericDate;

/// Some megabytes. When there are more, those are forgotten that nobody has asked for.
const AT_MOST: usize = 10_000;

/// In seconds: as long as the longest grace.
const KEPT_FOR: u64 = 60;

pub(super) struct Unsettled(Mutex<Cache<[u8; 32], Attempt>>);

#[derive(Clone)]
struct Attempt {
    successor: Successor,
    since: NumericDate,
}

/// A token, and what it can be made from once more.
pub(super) type Successor = (RefreshToken, Option<Secret>);

impl Unsettled {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Cache::new(AT_MOST)))
    }

    /// The successor that an earlier attempt with this token may have made current.
    pub(super) fn successor(&self, presented: &TokenHash, now: NumericDate) -> Option<Successor> {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.get(&presented.0)?;
        let is_over = now.as_secs() >= attempt.since.as_secs().saturating_add(KEPT_FOR);
        (!is_over).then(|| attempt.successor.clone())
    }

    /// An attempt begins.
    pub(super) fn begin(&self, presented: &TokenHash, successor: &Successor, now: NumericDate) {
        let attempt = Attempt {
            successor: successor.clone(),
            since: now,
        };
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.insert(presented.0, attempt);
    }

    /// What came of an attempt is known.
    pub(super) fn settle(&self, presented: &TokenHash) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.remove(&presented.0);
    }
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsettled").finish_non_exhaustive()
    }
}
