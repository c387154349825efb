//! Look-ups in flight: each is made once, for all requests that wait for it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::future::{FutureExt, Shared, WeakShared};

use super::store::Store;
use crate::{
    claims::Claims,
    error::{AuthError, reason},
    token::{BearerToken, OwnedToken},
    verify::BoxFuture,
};

type Verdict<C> = BoxFuture<Result<Claims<C>, AuthError>>;

/// The look-ups that somebody waits for.
pub(super) struct Flights<C> {
    by_token: Mutex<ByToken<C>>,
    // How many there are, to be asked without the lock: where verdicts are there at once, none ever.
    count: AtomicUsize,
    next: AtomicU64,
}

// Held weakly: when the last who waits is gone, so is the look-up.
type ByToken<C> = HashMap<Box<str>, (u64, WeakShared<Verdict<C>>)>;

impl<C> Default for Flights<C> {
    fn default() -> Self {
        Self {
            by_token: Mutex::default(),
            count: AtomicUsize::new(0),
            next: AtomicU64::new(0),
        }
    }
}

impl<C: Send + Sync + 'static> Flights<C> {
    /// Joins the look-up of this token, if there is one.
    pub(super) fn join(&self, token: BearerToken<'_>, store: &Arc<Store<C>>) -> Option<Verdict<C>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let shared = self.find(token, &self.lock())?;
        Some(landed(shared, store))
    }

    /// Begins a look-up by `verdict`, or, if another was faster, joins that.
    pub(super) fn begin<F>(
        self: &Arc<Self>,
        token: BearerToken<'_>,
        store: &Arc<Store<C>>,
        verdict: F,
    ) -> Verdict<C>
    where
        F: Future<Output = Result<Claims<C>, AuthError>> + Send + 'static,
    {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let flight = Flight {
            flights: Arc::clone(self),
            token: token.to_owned(),
            id,
        };
        let keep = Arc::clone(store);
        let lookup: Verdict<C> = Box::pin(async move {
            let verdict = verdict.await;
            if let Ok(claims) = &verdict {
                keep.insert(flight.token.as_token(), claims);
            }
            verdict
        });
        let lookup = lookup.shared();

        let mut by_token = self.lock();
        if let Some(faster) = self.find(token, &by_token) {
            // Before `lookup` is dropped, for it takes the lock to look whether it is on the list.
            drop(by_token);
            return landed(faster, store);
        }
        if let Some(weak) = lookup.downgrade() {
            by_token.insert(token.as_str().into(), (id, weak));
            self.count.store(by_token.len(), Ordering::Release);
        }
        drop(by_token);
        landed(lookup, store)
    }

    fn find(&self, token: BearerToken<'_>, by_token: &ByToken<C>) -> Option<Shared<Verdict<C>>> {
        let (_, flight) = by_token.get(token.as_str())?;
        flight.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, ByToken<C>> {
        // Nothing panics while it is held; if something did, the map would still be one.
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The verdict of a look-up, if it still holds: who joined late may get one that has ended since.
fn landed<C>(lookup: Shared<Verdict<C>>, store: &Arc<Store<C>>) -> Verdict<C>
where
    C: Send + Sync + 'static,
{
    let store = Arc::clone(store);
    Box::pin(async move {
        let claims = lookup.await?;
        if claims.is_current(store.now()) {
            Ok(claims)
        } else {
            Err(AuthError::invalid_token(reason::VERDICT_ENDED))
        }
    })
}

/// A look-up's place on the list; dropped with it, whether it came to its end or nobody waits for it.
struct Flight<C: Send + Sync + 'static> {
    flights: Arc<Flights<C>>,
    token: OwnedToken,
    id: u64,
}

impl<C: Send + Sync + 'static> Drop for Flight<C> {
    fn drop(&mut self) {
        let mut by_token = self.flights.lock();
        // Another may have begun in its place.
        let ours = by_token
            .get(self.token.as_str())
            .is_some_and(|(id, _)| *id == self.id);
        if ours {
            by_token.remove(self.token.as_str());
            self.flights.count.store(by_token.len(), Ordering::Release);
        }
    }
}
