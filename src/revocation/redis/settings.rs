//! [`Settings`]: what of a [`RedisRevocation`](super::RedisRevocation) can be set.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Clock, SystemClock},
    redis::{PREFIX, Redis},
    revocation::LONGEST_TOKEN,
};

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) redis: Redis,
    pub(super) prefix: Arc<str>,
    pub(super) stale_at_most: Duration,
    pub(super) longest_token: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl Settings {
    pub(super) fn new(redis: Redis) -> Self {
        Self {
            redis,
            prefix: PREFIX.into(),
            stale_at_most: Duration::from_secs(10),
            longest_token: LONGEST_TOKEN,
            clock: Arc::new(SystemClock),
        }
    }

    /// Two attempts may fail before the copy is too old.
    pub(super) fn interval(&self) -> Duration {
        (self.stale_at_most / 3).max(Duration::from_millis(10))
    }

    /// The keys, all in one slot: how far the numbers are, the revocations by number, and by their end.
    pub(super) fn keys(&self) -> [String; 3] {
        ["state", "numbers", "ends"].map(|name| format!("{}{{revocations}}:{name}", self.prefix))
    }
}
