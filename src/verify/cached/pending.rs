//! Which tokens are being looked up: each look-up is made once, for all requests that wait for it.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    Verdict,
    lookup::{self, Failure},
    seed::{self, Seed},
    store::{Key, Probe, Stamp, Store},
};
use crate::error::{AuthError, reason};

/// The look-ups that somebody waits for.
pub(super) struct PendingLookups<C> {
    by_token: Mutex<ByToken<C>>,
    // Read without the lock, so that a verifier that answers at once never takes it. A stale number does
    // no harm: `begin` looks again.
    count: AtomicUsize,
    next_id: AtomicU64,
}

type ByToken<C> = HashMap<Arc<[u8]>, Listed<C>, Seed>;

struct Listed<C> {
    id: u64,
    lookup: Arc<Lookup<C>>,
}

type Lookup<C> = lookup::Lookup<Verdict<C>, Keep<C>>;

/// One of those who wait for a look-up.
pub(super) type Waiter<C> = lookup::Waiter<Verdict<C>, Keep<C>>;

impl<C> Default for PendingLookups<C> {
    fn default() -> Self {
        Self {
            by_token: Mutex::new(HashMap::with_hasher(seed::random())),
            count: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
        }
    }
}

impl<C: Send + Sync + 'static> PendingLookups<C> {
    /// Joins the look-up of this token, if there is one.
    pub(super) fn join(&self, token: &[u8]) -> Option<Waiter<C>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        join(token, &self.lock())
    }

    /// Begins a look-up by `future`, and keeps what it finds unless the token was invalidated after
    /// `stamp`. If another look-up of this token was faster, joins that one.
    pub(super) fn begin<F>(
        self: &Arc<Self>,
        probe: &Probe<'_>,
        stamp: Stamp,
        store: &Arc<Store<C>>,
        future: F,
    ) -> Waiter<C>
    where
        F: Future<Output = Verdict<C>> + Send + 'static,
    {
        let key = probe.to_key();
        let token = Arc::clone(&key.token);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let keep = Keep {
            store: Arc::clone(store),
            stamp,
            // Dropped last: whoever comes after finds what was kept, or begins anew.
            listing: Listing {
                pending: Arc::clone(self),
                key,
                id,
            },
        };
        let waiter = Lookup::begin(Box::pin(future), keep, failed);

        let mut by_token = self.lock();
        if let Some(faster) = join(&token, &by_token) {
            // Before `waiter` goes, which takes the lock to look whether it is on the list.
            drop(by_token);
            return faster;
        }
        let mut former = None;
        if store.stamp(probe) == stamp
            && let Some(lookup) = waiter.lookup()
        {
            let lookup = Arc::clone(lookup);
            former = by_token.insert(token, Listed { id, lookup });
            self.count.store(by_token.len(), Ordering::Relaxed);
        }
        drop(by_token);
        drop(former);
        waiter
    }

    /// Lets nobody join the look-up of this token any more.
    pub(super) fn forget(&self, token: &[u8]) {
        let mut by_token = self.lock();
        let forgotten = by_token.remove(token);
        self.count.store(by_token.len(), Ordering::Relaxed);
        drop(by_token);
        drop(forgotten);
    }

    /// Lets nobody join any look-up that has begun.
    pub(super) fn forget_all(&self) {
        let mut by_token = self.lock();
        let empty = HashMap::with_hasher(by_token.hasher().clone());
        let forgotten = mem::replace(&mut *by_token, empty);
        self.count.store(0, Ordering::Relaxed);
        drop(by_token);
        drop(forgotten);
    }
}

impl<C> PendingLookups<C> {
    fn lock(&self) -> MutexGuard<'_, ByToken<C>> {
        // Nothing panics while it is held; if something did, the map would still be one.
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn join<C: Send + Sync + 'static>(token: &[u8], by_token: &ByToken<C>) -> Option<Waiter<C>> {
    by_token.get(token)?.lookup.join()
}

fn failed<C>(failure: Failure) -> Verdict<C> {
    Err(AuthError::unavailable(match failure {
        Failure::Panicked => reason::VERIFIER_PANICKED,
        Failure::AwaitsItself => reason::VERIFIER_AWAITS_ITSELF,
    }))
}

/// Keeps what a look-up finds.
pub(super) struct Keep<C> {
    store: Arc<Store<C>>,
    stamp: Stamp,
    listing: Listing<C>,
}

impl<C> lookup::Keep<Verdict<C>> for Keep<C> {
    fn keep(self, verdict: &Verdict<C>) {
        if let Ok(claims) = verdict {
            self.store
                .insert(self.listing.key.clone(), claims, self.stamp);
        }
    }
}

/// A look-up's place on the list. It goes with the look-up, whether that has ended, panicked or was
/// abandoned.
struct Listing<C> {
    pending: Arc<PendingLookups<C>>,
    key: Key,
    id: u64,
}

/// How many look-ups the list has room for, once it is empty again after there were more.
const USUAL: usize = 64;

impl<C> Drop for Listing<C> {
    fn drop(&mut self) {
        let mut by_token = self.pending.lock();
        // Another may have begun in its place.
        let ours = by_token
            .get(&self.key.token)
            .is_some_and(|listed| listed.id == self.id);
        let mut removed = None;
        if ours {
            removed = by_token.remove(&self.key.token);
            self.pending.count.store(by_token.len(), Ordering::Relaxed);
            if by_token.is_empty() {
                by_token.shrink_to(USUAL);
            }
        }
        drop(by_token);
        drop(removed);
    }
}
