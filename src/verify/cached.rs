//! [`Cached`]: verdicts kept for as long as they hold.
//!
//! What is kept is in `store`; a look-up that several requests wait for is in `flight`.

use std::{fmt, sync::Arc, time::Duration};

use super::{BoxFuture, Verification, Verifier};
use crate::{
    claims::Claims,
    clock::{Clock, SystemClock},
    error::AuthError,
    token::BearerToken,
};

mod counter;
mod flight;
mod store;

use flight::Flights;
use store::Store;

/// Keeps the verdicts of another verifier, so that a token that was verified before costs a look-up.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{BearerAuthLayer, Cached, Claims, OwnedToken, verify_async_fn};
///
/// # async fn introspect(token: &str) -> Result<Claims, tower_bearer::AuthError> { Ok(Claims::new(())) }
/// let verifier = verify_async_fn(|token: OwnedToken| async move { introspect(token.as_str()).await });
/// let cached = Cached::new(verifier)
///     .time_to_live(Duration::from_secs(30))
///     .max_bytes(64 * 1024 * 1024);
///
/// let auth = BearerAuthLayer::new(cached.clone());
/// // A clone shares the verdicts and their counts.
/// assert_eq!(cached.stats().hits, 0);
/// ```
///
/// # What is kept, and for how long
/// Only tokens that were verified: a flood of bad ones takes no room and drives no good one out. A
/// verdict is used until it ends ([`Claims::valid_until`]: the very second at which the verifier would
/// refuse the token), until its time to live is over, or until an [`Epoch`](crate::Epoch) that it rests
/// on ends, whichever comes first. All three are looked at whenever it is used, so that a withdrawn key
/// is effective on the next request.
///
/// Checks of the layer come after it, and run for every request.
///
/// # Why it is safe
/// A token is found by a hash, seeded at random for each cache, of its last 32 bytes, and then compared
/// as a whole: a token that differs anywhere is another. The last bytes of a verified token are those of
/// its signature, or of a secret, which nobody chooses who could profit from two hashes being the same;
/// and what was not verified is not kept.
///
/// That a token is in the cache can be seen by the time that its answer takes; whoever can try that
/// holds the token.
///
/// # Look-ups that take time
/// While the verdict on a token is being looked up, other requests with this token wait for the same
/// look-up. It ends when none of them waits any longer. Verdicts that are there at once are not shared:
/// to compute one again costs less than to wait for another thread.
pub struct Cached<V: Verifier> {
    verifier: V,
    store: Arc<Store<V::Claims>>,
    flights: Arc<Flights<V::Claims>>,
}

/// Long enough that nearly every request of a client finds its token, short enough that whatever the
/// claims do not say (a user who was locked out) is noticed in the time of a coffee.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);

/// Some ten thousand tokens of the usual size.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

impl<V: Verifier> Cached<V> {
    /// Keeps the verdicts of `verifier`: each for at most 5 minutes, and altogether at most 32 MiB.
    pub fn new(verifier: V) -> Self {
        let store = Store::new(MAX_BYTES, TIME_TO_LIVE, Arc::new(SystemClock));
        Self {
            verifier,
            store: Arc::new(store),
            flights: Arc::default(),
        }
    }

    /// Sets for how long a verdict is used at most, in whole seconds, even if it has not ended. With 0
    /// none is used again.
    #[must_use]
    pub fn time_to_live(mut self, time: Duration) -> Self {
        let (max_bytes, _, clock) = self.store.settings();
        self.store = Arc::new(Store::new(max_bytes, time, clock));
        self
    }

    /// Sets how much room the verdicts may take, in bytes; the least used go first. What a verdict takes
    /// is estimated: twice the length of its token (once for itself, once for the claims read from it),
    /// the size of `Claims<C>`, and what the cache needs to keep it.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        let (_, time_to_live, clock) = self.store.settings();
        self.store = Arc::new(Store::new(bytes, time_to_live, clock));
        self
    }

    /// Sets the clock by which verdicts end; it should be that of the verifier. The default is that of
    /// the system.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        let (max_bytes, time_to_live, _) = self.store.settings();
        self.store = Arc::new(Store::new(max_bytes, time_to_live, Arc::new(clock)));
        self
    }

    /// How it has done so far, for logs and metrics.
    pub fn stats(&self) -> CacheStats {
        self.store.stats()
    }

    /// Forgets all verdicts.
    pub fn clear(&self) {
        self.store.clear();
    }

    /// The verifier whose verdicts are kept.
    pub fn get_ref(&self) -> &V {
        &self.verifier
    }
}

impl<V> Verifier for Cached<V>
where
    V: Verifier,
    V::Future: Send + 'static,
{
    type Claims = V::Claims;
    type Future = BoxFuture<Result<Claims<V::Claims>, AuthError>>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future> {
        if let Some(claims) = self.store.get(token.as_bytes()) {
            return Verification::Ready(Ok(claims));
        }
        self.store.count_miss();
        if let Some(verdict) = self.flights.join(token, &self.store) {
            return Verification::Pending(verdict);
        }
        match self.verifier.verify(token) {
            Verification::Ready(verdict) => {
                if let Ok(claims) = &verdict {
                    self.store.insert(token, claims);
                }
                Verification::Ready(verdict)
            }
            Verification::Pending(verdict) => {
                Verification::Pending(self.flights.begin(token, &self.store, verdict))
            }
        }
    }

    fn recall(&self, credentials: &[u8]) -> Option<Claims<V::Claims>> {
        self.store.get(credentials)
    }
}

/// How a [`Cached`] has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Requests whose token was found, with a verdict that still held.
    pub hits: u64,
    /// Requests whose token was not, so that the verifier was asked, or a look-up in flight joined.
    pub misses: u64,
    /// Verdicts that had to go to make room, although they still held.
    pub evictions: u64,
    /// Verdicts that are kept now, ended ones included.
    pub entries: u64,
    /// What they take, in bytes, as [`Cached::max_bytes`] estimates it.
    pub bytes: u64,
}

impl<V: Verifier + Clone> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: self.verifier.clone(),
            store: Arc::clone(&self.store),
            flights: Arc::clone(&self.flights),
        }
    }
}

impl<V: Verifier + fmt::Debug> fmt::Debug for Cached<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("verifier", &self.verifier)
            .field("stats", &self.stats())
            .finish()
    }
}
