//! The numbers of the life-cycle of keys: [`Settings`].

use std::time::Duration;

use crate::{error::ConfigError, random};

/// What of the life-cycle is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) fresh_for: Duration,
    pub(super) cooldown: Duration,
    pub(super) max_stale: Duration,
    pub(super) timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fresh_for: Duration::from_secs(600),
            cooldown: Duration::from_secs(30),
            max_stale: Duration::from_secs(3600),
            timeout: Duration::from_secs(5),
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Failed attempts are no closer together than this.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// Failed attempts are no further apart than this, while there are keys, and while there are none.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
pub(super) const LONGEST_BACKOFF_WITHOUT_KEYS: Duration = Duration::from_secs(30);

impl Settings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = if self.fresh_for.is_zero() {
            "`fresh_for` is 0: keys would be fetched without end"
        } else if self.timeout.is_zero() || self.timeout > MINUTE {
            "`timeout` must be over 0, and not over a minute: requests wait for so long"
        } else if self.fresh_for > YEAR || self.cooldown > YEAR || self.max_stale > YEAR {
            "`fresh_for`, `cooldown` or `max_stale` is over a year"
        } else {
            return Ok(());
        };
        Err(ConfigError::new(wrong))
    }

    /// For how long an answer is fresh that says `max_age`.
    pub(super) fn freshness(&self, max_age: Option<Duration>) -> Duration {
        max_age.map_or(self.fresh_for, |age| age.clamp(MINUTE, DAY))
    }

    /// When keys that are fresh for so long are fetched anew: at 80 %, five more or less, so that a crowd
    /// of servers that were started together does not ask together.
    pub(super) fn ahead(fresh: Duration) -> Duration {
        fresh.mul_f64(0.75 + 0.1 * random::fraction())
    }

    /// How long after so many failures there is no other attempt.
    pub(super) fn backoff(&self, failures: u32, keys: bool) -> Duration {
        let (first, longest) = if keys {
            // A cooldown of 0 is no reason to ask one who fails without end.
            let first = self.cooldown.max(FIRST_BACKOFF);
            (first, LONGEST_BACKOFF.max(first))
        } else {
            (FIRST_BACKOFF, LONGEST_BACKOFF_WITHOUT_KEYS)
        };
        let doublings = failures.saturating_sub(1).min(16);
        first.saturating_mul(1 << doublings).min(longest)
    }
}
