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

pub(super) struct Unsettled(Mutex<Cache<[u8; 32], Lost>>);

/// An attempt that has come to no end.
struct Lost {
    successor: Successor,
    since: NumericDate,
}

/// A token, and what it can be made from once more.
pub(super) type Successor = (RefreshToken, Option<Secret>);

impl Unsettled {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Cache::new(AT_MOST)))
    }

    /// The successor that an earlier attempt with this token may have made current. It is for one more attempt, so that
    /// of several at the same time one succeeds.
    pub(super) fn take(&self, presented: &TokenHash, now: NumericDate) -> Option<Successor> {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, lost) = lost.remove(&presented.0)?;
        let is_over = now.as_secs() >= lost.since.as_secs().saturating_add(KEPT_FOR);
        (!is_over).then_some(lost.successor)
    }

    /// An attempt begins. It is remembered if it is dropped before the client gets its tokens.
    pub(super) fn begin(
        &self,
        presented: &TokenHash,
        successor: &Successor,
        now: NumericDate,
    ) -> Attempt<'_> {
        Attempt {
            unsettled: self,
            presented: presented.clone(),
            successor: Some(successor.clone()),
            since: now,
        }
    }
}

/// An attempt at a rotation that is under way.
pub(super) struct Attempt<'a> {
    unsettled: &'a Unsettled,
    presented: TokenHash,
    successor: Option<Successor>,
    since: NumericDate,
}

impl Attempt<'_> {
    /// The client gets its tokens.
    pub(super) fn settle(mut self) {
        self.successor = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Some(successor) = self.successor.take() else {
            return;
        };
        let lost = Lost {
            successor,
            since: self.since,
        };
        let unsettled = self.unsettled.0.lock();
        let mut unsettled = unsettled.unwrap_or_else(PoisonError::into_inner);
        unsettled.insert(self.presented.0, lost);
    }
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsettled").finish_non_exhaustive()
    }
}
