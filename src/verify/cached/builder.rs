//! [`CachedBuilder`]: the settings of a [`Cached`].

use std::{fmt, sync::Arc, time::Duration};

use super::{Cached, store::Store, weight::Weigh};
use crate::{
    claims::Claims,
    clock::{Clock, SystemClock},
    error::ConfigError,
    verify::Verifier,
};

/// Long enough that nearly every request of a client finds its token, short enough that whatever the
/// claims do not say (a user who was locked out) is noticed in the time of a coffee.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);

/// Some ten thousand tokens of the usual size.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Room for the longest token there is, with its claims.
const MIN_BYTES: u64 = 64 * 1024;

/// Builds a [`Cached`]. Made by [`Cached::builder`].
#[must_use]
pub struct CachedBuilder<V: Verifier> {
    verifier: V,
    settings: Settings<V::Claims>,
}

struct Settings<C> {
    time_to_live: Duration,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
    weigh: Option<Weigh<C>>,
}

impl<C> Default for Settings<C> {
    fn default() -> Self {
        Self {
            time_to_live: TIME_TO_LIVE,
            max_bytes: MAX_BYTES,
            clock: Arc::new(SystemClock),
            weigh: None,
        }
    }
}

impl<C> Settings<C> {
    fn store(self) -> Store<C> {
        Store::new(self.max_bytes, self.time_to_live, self.clock, self.weigh)
    }
}

impl<V: Verifier> Cached<V> {
    /// Keeps the verdicts of `verifier`, each for at most 5 minutes and all together in at most 32 MiB.
    /// [`builder`](Self::builder) sets other limits.
    pub fn new(verifier: V) -> Self {
        Self::with_store(verifier, Settings::default().store())
    }

    /// Starts a cache of the verdicts of `verifier` with the defaults of [`new`](Self::new).
    pub fn builder(verifier: V) -> CachedBuilder<V> {
        CachedBuilder {
            verifier,
            settings: Settings::default(),
        }
    }
}

impl<V: Verifier> CachedBuilder<V> {
    /// Sets how long a verdict is used at most, in whole seconds. The default is 5 minutes; 0 means that no
    /// verdict is used twice.
    ///
    /// The time to live bounds how long a change goes unnoticed that the claims say nothing about, such as
    /// a user who was locked out. A verdict that ends earlier (see [`Claims::valid_until`]) is used no
    /// longer than that, however high this is set.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.settings.time_to_live = time;
        self
    }

    /// Sets how much memory the verdicts may take, in bytes. The default is 32 MiB, some ten thousand JWTs
    /// of the usual size; the least is 64 KiB.
    ///
    /// The memory of a verdict is estimated, and rather too high than too low: the token, the claims, and
    /// what the cache needs to find them. The user's part of the claims counts
    /// * as many bytes as [`weigh`](Self::weigh) returns, if it is set;
    /// * else, for a JWT, as much as its payload takes as a `serde_json::Value`, or as strings, numbers,
    ///   vectors and maps: 650 bytes for an object, 150 for a member of a large one, 64 for an element of
    ///   an array, and the texts. `map_claims` keeps this number;
    /// * else as many bytes as the token has.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_bytes = bytes;
        self
    }

    /// Sets the clock by which verdicts end. Use the clock of the verifier. The default is the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Sets how many bytes the user's part of the claims takes on the heap, for
    /// [`max_bytes`](Self::max_bytes). The size of the type itself is added.
    ///
    /// Set it where the estimate is far off: claims that hold more than the token says, such as a user's
    /// record from a database, or a list of large structs.
    ///
    /// ```
    /// use tower_bearer::{Cached, Claims, OwnedToken, verify_async_fn};
    ///
    /// struct User {
    ///     name: String,
    ///     permissions: Vec<u64>,
    /// }
    /// # async fn find_user(token: &str) -> Result<Claims<User>, tower_bearer::AuthError> { unimplemented!() }
    ///
    /// let verifier = verify_async_fn(|token: OwnedToken| async move { find_user(token.as_str()).await });
    /// let cached = Cached::builder(verifier)
    ///     .weigh(|user: &Claims<User>| user.name.capacity() + 8 * user.permissions.capacity())
    ///     .build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn weigh<F>(mut self, weigh: F) -> Self
    where
        F: Fn(&Claims<V::Claims>) -> usize + Send + Sync + 'static,
    {
        self.settings.weigh = Some(Arc::new(weigh));
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    /// If [`max_bytes`](Self::max_bytes) is less than 64 KiB or more than a process can have, or if
    /// [`time_to_live`](Self::time_to_live) is less than a second but not 0.
    pub fn build(self) -> Result<Cached<V>, ConfigError> {
        let Settings {
            time_to_live,
            max_bytes,
            ..
        } = self.settings;
        if max_bytes < MIN_BYTES {
            return Err(ConfigError::new(format!(
                "invalid `max_bytes` {max_bytes} of a cache: must be at least {MIN_BYTES} (64 KiB), the \
                 room that the longest token needs"
            )));
        }
        if isize::try_from(max_bytes).is_err() {
            return Err(ConfigError::new(format!(
                "invalid `max_bytes` {max_bytes} of a cache: no process has so much memory, so nothing \
                 would bound the cache; set what this one can spare, such as 33554432 (32 MiB)"
            )));
        }
        if !time_to_live.is_zero() && time_to_live.as_secs() == 0 {
            return Err(ConfigError::new(format!(
                "invalid `time_to_live` {time_to_live:?} of a cache: must be whole seconds, or 0 to use no \
                 verdict twice"
            )));
        }
        Ok(Cached::with_store(self.verifier, self.settings.store()))
    }
}

impl<V: Verifier + fmt::Debug> fmt::Debug for CachedBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedBuilder")
            .field("verifier", &self.verifier)
            .field("time_to_live", &self.settings.time_to_live)
            .field("max_bytes", &self.settings.max_bytes)
            .finish_non_exhaustive()
    }
}
