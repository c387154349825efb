//! Where verdicts are kept, bounded in bytes, and asked whether they still hold.

use std::{
    hash::{Hash, Hasher},
    mem,
    sync::Arc,
    time::Duration,
};

use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, Weighter, sync::Cache};

use super::{CacheStats, counter::Counter};
use crate::{
    claims::Claims,
    clock::{Clock, NumericDate},
    observe,
    token::BearerToken,
};

pub(super) struct Store<C> {
    cache: Cache<Key, Entry<C>, Weights, DefaultHashBuilder, Evictions>,
    max_bytes: u64,
    time_to_live: Duration,
    clock: Arc<dyn Clock>,
    hits: Counter,
    misses: Counter,
    evictions: Arc<Counter>,
}

/// A verdict, and the time that it may live.
struct Entry<C> {
    claims: Claims<C>,
    since: NumericDate,
    until: NumericDate,
}

impl<C> Store<C> {
    pub(super) fn new(max_bytes: u64, time_to_live: Duration, clock: Arc<dyn Clock>) -> Self {
        let evictions = Arc::new(Counter::default());
        let items = usize::try_from(max_bytes / weight::<C>(USUAL_TOKEN)).unwrap_or(usize::MAX);
        let cache = Cache::with(
            items.clamp(1, 1 << 20),
            max_bytes,
            Weights,
            DefaultHashBuilder::default(),
            Evictions {
                count: Arc::clone(&evictions),
                clock: Arc::clone(&clock),
            },
        );
        Self {
            cache,
            max_bytes,
            time_to_live,
            clock,
            hits: Counter::default(),
            misses: Counter::default(),
            evictions,
        }
    }

    pub(super) fn settings(&self) -> (u64, Duration, Arc<dyn Clock>) {
        (self.max_bytes, self.time_to_live, Arc::clone(&self.clock))
    }

    /// The verdict on a token, if it is kept and still holds.
    pub(super) fn get(&self, token: &[u8]) -> Option<Claims<C>> {
        let key = Probe(token);
        if let Some(entry) = self.cache.get(&key) {
            if entry.holds(self.clock.now()) {
                self.hits.add_one();
                observe::cache_hit();
                return Some(entry.claims);
            }
            // It makes room at once, and not only when others need it.
            let now = self.clock.now();
            self.cache.remove_if(&key, |entry| !entry.holds(now));
        }
        None
    }

    pub(super) fn count_miss(&self) {
        self.misses.add_one();
        observe::cache_miss();
    }

    pub(super) fn insert(&self, token: BearerToken<'_>, claims: &Claims<C>) {
        let now = self.now();
        let entry = Entry {
            claims: claims.clone(),
            since: now,
            until: now.saturating_add(self.time_to_live),
        };
        if entry.holds(now) {
            self.cache.insert(Key(token.as_bytes().into()), entry);
        }
    }

    pub(super) fn now(&self) -> NumericDate {
        self.clock.now()
    }

    pub(super) fn clear(&self) {
        self.cache.clear();
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.sum(),
            misses: self.misses.sum(),
            evictions: self.evictions.sum(),
            entries: u64::try_from(self.cache.len()).unwrap_or(u64::MAX),
            bytes: self.cache.weight(),
        }
    }
}

impl<C> Entry<C> {
    fn holds(&self, now: NumericDate) -> bool {
        // A clock that was set back makes no verdict live longer.
        self.since <= now && now < self.until && self.claims.is_current(now)
    }
}

impl<C> Clone for Entry<C> {
    fn clone(&self) -> Self {
        Self {
            claims: self.claims.clone(),
            since: self.since,
            until: self.until,
        }
    }
}

/// A token as it is kept.
#[derive(PartialEq, Eq)]
struct Key(Box<[u8]>);

/// A token as it is looked for.
struct Probe<'a>(&'a [u8]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Probe(&self.0).hash(state);
    }
}

/// How much of a token is hashed, from its end: there is the signature, or as much of a secret as is
/// hard to guess, and not what many tokens have in common.
const HASHED: usize = 32;

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let tail = self.0.last_chunk::<HASHED>();
        state.write(tail.map_or(self.0, |tail| tail));
        state.write_usize(self.0.len());
    }
}

impl Equivalent<Key> for Probe<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.0 == *key.0
    }
}

const USUAL_TOKEN: usize = 800;

/// What the table of the cache takes for an entry, about.
const OVERHEAD: usize = 96;

fn weight<C>(token: usize) -> u64 {
    let claims = mem::size_of::<Claims<C>>() + mem::size_of::<C>() + CLAIMS;
    u64::try_from(token.saturating_mul(2).saturating_add(claims + OVERHEAD)).unwrap_or(u64::MAX)
}

/// What `Claims` takes beside its texts and the user's part, about.
const CLAIMS: usize = 256;

#[derive(Clone)]
struct Weights;

impl<C> Weighter<Key, Entry<C>> for Weights {
    fn weight(&self, key: &Key, _: &Entry<C>) -> u64 {
        weight::<C>(key.0.len())
    }
}

#[derive(Clone)]
struct Evictions {
    count: Arc<Counter>,
    clock: Arc<dyn Clock>,
}

impl<C> Lifecycle<Key, Entry<C>> for Evictions {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, _: Key, entry: Entry<C>) {
        // One that has ended is no loss.
        if entry.holds(self.clock.now()) {
            self.count.add_one();
            evicted.0 = evicted.0.saturating_add(1);
        }
    }
}

/// How many verdicts made room for one. The cache drops it when its lock is free again: a recorder is
/// somebody else's code, and may take its time.
#[derive(Default)]
struct Evicted(u64);

impl Drop for Evicted {
    fn drop(&mut self) {
        if self.0 > 0 {
            observe::cache_evicted(self.0);
        }
    }
}
