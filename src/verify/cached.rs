//! [`Cached`]: verdicts that are kept for as long as they hold.
//!
//! `store` keeps them, `pending` knows which tokens are being looked up, and `lookup` is one such look-up
//! with all who wait for it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{BoxFuture, Verification, Verifier};
use crate::{
    claims::Claims,
    error::{AuthError, reason},
    token::{BearerToken, RawToken},
};

mod builder;
mod counter;
mod lookup;
mod pending;
mod seed;
mod store;
#[cfg(test)]
mod tests;
mod weight;

/// What `lookup` needs of the standard library; `tests/loom` puts its own in its place.
mod sync {
    pub(super) use std::{
        sync::{Mutex, MutexGuard},
        thread,
    };
}

pub use builder::CachedBuilder;

use lookup::contain;
use pending::{PendingLookups, Waiter};
use store::{Probe, Store};

type Verdict<C> = Result<Claims<C>, AuthError>;

/// Keeps the verdicts of another verifier, so that a token that was verified before is not verified again.
///
/// Use it where verifying takes longer than a look into a table: around a verifier that asks a database or
/// an introspection endpoint, and around `JwtVerifier` with any algorithm but HMAC. A hit takes some 150 ns
/// for a token of 800 bytes, of which hashing it takes 20; a token of 16 KiB takes 0.5 µs.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{BearerAuthLayer, Cached, Claims, OwnedToken, verify_async_fn};
///
/// # async fn introspect(token: &str) -> Result<Claims, tower_bearer::AuthError> { Ok(Claims::new(())) }
/// let verifier = verify_async_fn(|token: OwnedToken| async move { introspect(token.as_str()).await });
/// let cached = Cached::builder(verifier)
///     .time_to_live(Duration::from_secs(30))
///     .max_bytes(64 * 1024 * 1024)
///     .build()?;
///
/// let auth = BearerAuthLayer::new(cached.clone());
/// // A clone shares the verdicts and their counts.
/// assert_eq!(cached.stats().hits, 0);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// # What is kept, and for how long
/// Only verdicts that accept a token are kept. A rejected token is verified again each time, so a flood of
/// bad tokens takes no room and evicts no good one.
///
/// A kept verdict is used until the first of these:
/// * the verdict ends ([`Claims::valid_until`]), in the same second in which the verifier itself would
///   reject the token;
/// * its time to live is over ([`CachedBuilder::time_to_live`]);
/// * an [`Epoch`](crate::Epoch) that it rests on ends, such as the one of a key that was withdrawn;
/// * [`invalidate`](Self::invalidate) or [`clear`](Self::clear) is called.
///
/// All of them are checked on every use, so each takes effect on the next request.
///
/// When there is no more room, the cache decides by the algorithm of `quick_cache`, a variant of CLOCK-Pro
/// that resembles S3-FIFO. A verdict that was used since it was last considered stays; of the others the
/// oldest is evicted. A token that comes back soon after it was evicted is kept longer than a new one.
///
/// The checks of the layer come after the cache and run for every request.
///
/// # Look-ups that take time
/// While a token is being looked up, other requests with the same token wait for the same look-up. The
/// look-up goes on for as long as one of them waits, whichever began it, and is dropped when none does. It
/// is polled by the requests themselves and needs no runtime. It has no timeout of its own: give one to the
/// verifier.
///
/// Verdicts that are there at once are not shared: computing one again costs less than waiting for another
/// thread.
///
/// If the verifier panics, every request that waits for it gets a 503 with the reason
/// [`VERIFIER_PANICKED`](crate::reason::VERIFIER_PANICKED), and the next one asks the verifier again. A
/// verifier must not ask the cache that it is in for the token that it is verifying. The cache answers such
/// a question with a 503 ([`VERIFIER_AWAITS_ITSELF`](crate::reason::VERIFIER_AWAITS_ITSELF)) where it comes
/// from the look-up itself, but cannot detect one from a task that the look-up waits for.
///
/// # Why it is safe
/// The whole token is compared, so a token that differs anywhere is another one. It is found by a hash of
/// all its bytes, whose seed comes from the operating system and is different for each cache: nobody can
/// compute tokens in advance that have the same hash and would make look-ups slow.
///
/// The time that a response takes shows whether a token was in the cache, but only to somebody who has the
/// token.
///
/// # Deployment
/// * One cache belongs to one verifier. Clones share it, so build it once and clone it into each layer.
/// * Each process has a cache of its own. [`invalidate`](Self::invalidate) reaches this process alone; a
///   short time to live bounds how long the others go on.
/// * No foreign code is called with a lock held: a clock, a metrics recorder or a `Drop` of the claims may
///   use the cache.
pub struct Cached<V: Verifier> {
    verifier: V,
    store: Arc<Store<V::Claims>>,
    pending: Arc<PendingLookups<V::Claims>>,
}

impl<V: Verifier> Cached<V> {
    fn with_store(verifier: V, store: Store<V::Claims>) -> Self {
        Self {
            verifier,
            store: Arc::new(store),
            pending: Arc::default(),
        }
    }

    /// Returns counts of what the cache has done so far, for logs and metrics.
    pub fn stats(&self) -> CacheStats {
        self.store.stats()
    }

    /// Forgets the verdict on `token`, and returns whether there was one. The next request with this token
    /// asks the verifier.
    ///
    /// Call it when something changes that the verdict rests on, such as a session that the user ends, after
    /// the change. A verification that has begun before may still accept the requests that wait for it, but
    /// its verdict is not kept, and no later request joins it.
    pub fn invalidate(&self, token: &str) -> bool {
        let kept = self.store.invalidate(token.as_bytes());
        self.pending.forget(token.as_bytes());
        kept
    }

    /// Forgets all verdicts, as [`invalidate`](Self::invalidate) forgets one.
    pub fn clear(&self) {
        self.store.clear();
        self.pending.forget_all();
    }

    /// Gets a reference to the verifier.
    pub fn get_ref(&self) -> &V {
        &self.verifier
    }
}

impl<V> Cached<V>
where
    V: Verifier,
    V::Future: Send + 'static,
{
    /// Verifies a token that is not kept.
    fn verify_anew(
        &self,
        token: BearerToken<'_>,
        probe: &Probe<'_>,
    ) -> Verification<V::Claims, CachedFuture<V::Claims>> {
        self.store.count_miss();
        if let Some(waiter) = self.pending.join(token.as_bytes()) {
            return self.wait(waiter);
        }
        let verified = contain(|| {
            let stamp = self.store.stamp(probe);
            match self.verifier.verify(token) {
                Verification::Ready(verdict) => {
                    if let Ok(claims) = &verdict {
                        self.store.insert(probe.to_key(), claims, stamp);
                    }
                    Verification::Ready(verdict)
                }
                Verification::Pending(future) => {
                    self.wait(self.pending.begin(probe, stamp, &self.store, future))
                }
            }
        });
        verified.unwrap_or_else(|| {
            Verification::Ready(Err(AuthError::unavailable(reason::VERIFIER_PANICKED)))
        })
    }

    fn wait(&self, waiter: Waiter<V::Claims>) -> Verification<V::Claims, CachedFuture<V::Claims>> {
        Verification::Pending(CachedFuture {
            waiter,
            store: Arc::clone(&self.store),
        })
    }
}

impl<V> Verifier for Cached<V>
where
    V: Verifier,
    V::Future: Send + 'static,
{
    type Claims = V::Claims;
    type Future = CachedFuture<V::Claims>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future> {
        let probe = self.store.probe(token.as_bytes());
        match self.store.get(&probe) {
            Some(claims) => Verification::Ready(Ok(claims)),
            None => self.verify_anew(token, &probe),
        }
    }

    fn verify_raw(&self, token: RawToken<'_>) -> Verification<Self::Claims, Self::Future> {
        if token.as_bytes().len() > BearerToken::MAX_LENGTH {
            // It would take its time to be hashed, for nothing.
            return Verification::Ready(Err(AuthError::invalid_token(reason::TOKEN_TOO_LARGE)));
        }
        let probe = self.store.probe(token.as_bytes());
        // What is kept was a token when it was verified: the form of a hit need not be checked.
        if let Some(claims) = self.store.get(&probe) {
            return Verification::Ready(Ok(claims));
        }
        match token.parse() {
            Ok(token) => self.verify_anew(token, &probe),
            Err(error) => Verification::Ready(Err(error)),
        }
    }
}

/// The future of a [`Cached`]: waits for a look-up, with all others that wait for the same one.
pub struct CachedFuture<C> {
    waiter: Waiter<C>,
    store: Arc<Store<C>>,
}

impl<C: Send + Sync + 'static> Future for CachedFuture<C> {
    type Output = Result<Claims<C>, AuthError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let claims = ready!(Pin::new(&mut this.waiter).poll(context))?;
        // It may have ended on the way, or since, for one who was polled late.
        Poll::Ready(match claims.is_current(this.store.now()) {
            true => Ok(claims),
            false => Err(AuthError::invalid_token(reason::VERDICT_ENDED)),
        })
    }
}

impl<C> fmt::Debug for CachedFuture<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedFuture").finish_non_exhaustive()
    }
}

/// What a [`Cached`] has done since it was built, as [`Cached::stats`] returns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Requests whose token was found with a verdict that still held.
    pub hits: u64,
    /// Requests whose token was not found, so that the verifier was asked or a look-up joined.
    pub misses: u64,
    /// Verdicts that were evicted to make room although they still held.
    pub evictions: u64,
    /// Verdicts that are kept now, including those that have ended and were not asked for since.
    pub entries: u64,
    /// The memory that these verdicts take, in bytes, as [`CachedBuilder::max_bytes`] estimates it.
    pub bytes: u64,
}

impl<V: Verifier + Clone> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: self.verifier.clone(),
            store: Arc::clone(&self.store),
            pending: Arc::clone(&self.pending),
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
