//! Where verdicts are kept, bounded in bytes, and asked whether they still hold.
//!
//! No code of anybody else runs under a lock: clock, recorder and `weigh` are called before or after, and
//! whatever leaves the store is dropped after.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    mem,
    sync::{Arc, LockResult, PoisonError, RwLock},
    time::Duration,
};

use crossbeam_utils::sync::ShardedLock;
use foldhash::fast::FixedState;
use quick_cache::{Equivalent, Lifecycle, Weighter, unsync::Cache};

use super::{
    CacheStats,
    counter::Counter,
    lookup::contain,
    seed::{self, Seed},
    weight::{self, Weigh},
};
use crate::{
    claims::Claims,
    clock::{Clock, NumericDate},
    observe,
};

pub(super) struct Store<C> {
    // Reading one takes no lock that another reader takes: many threads may ask for one token.
    shards: Box<[ShardedLock<Shard<C>>]>,
    seed: Seed,
    /// How often a verdict was invalidated, by the hash of its token.
    invalidations: Box<[RwLock<u64>]>,
    time_to_live: Duration,
    clock: Arc<dyn Clock>,
    weigh: Option<Weigh<C>>,
    bytes_per_shard: u64,
    hits: Counter,
    misses: Counter,
    evictions: Counter,
}

type Shard<C> = Cache<Key, Entry<C>, Weights, FixedState, Gather>;

/// A verdict, what it weighs, and the time that it may live.
struct Entry<C> {
    claims: Claims<C>,
    since: NumericDate,
    until: NumericDate,
    weight: u64,
}

/// A point in time: before or after each invalidation of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(u64);

/// So many shards at most, which are written to at the same time, and none smaller than this. A verdict
/// that does not fit into a shard is not kept.
const SHARDS: u64 = 16;
const SHARD_BYTES: u64 = 1024 * 1024;

/// Tokens that share one of so many counts are invalidated together, as far as it matters to what is being
/// verified just then: few enough to be had for nothing, and so many that hardly ever two meet.
const COUNTS: usize = 256;

impl<C> Store<C> {
    pub(super) fn new(
        max_bytes: u64,
        time_to_live: Duration,
        clock: Arc<dyn Clock>,
        weigh: Option<Weigh<C>>,
    ) -> Self {
        // A power of two, so that the hash divides evenly.
        let count = (max_bytes / SHARD_BYTES).clamp(1, SHARDS);
        let count = 1 << count.ilog2();
        let bytes_per_shard = max_bytes / count;
        Self {
            shards: (0..count)
                .map(|_| ShardedLock::new(shard(bytes_per_shard)))
                .collect(),
            seed: seed::random(),
            invalidations: (0..COUNTS).map(|_| RwLock::new(0)).collect(),
            time_to_live,
            clock,
            weigh,
            bytes_per_shard,
            hits: Counter::default(),
            misses: Counter::default(),
            evictions: Counter::default(),
        }
    }

    /// A token as it is looked for.
    pub(super) fn probe<'a>(&self, token: &'a [u8]) -> Probe<'a> {
        let hash = self.seed.hash_one(token);
        Probe { hash, token }
    }

    /// The verdict on a token, if it is kept and still holds.
    pub(super) fn get(&self, probe: &Probe<'_>) -> Option<Claims<C>> {
        #[cfg(test)]
        super::tests::count_probe();
        let shard = self.shard(probe.hash)?;
        let entry = ignore_poison(shard.read()).get(probe).cloned()?;
        let now = self.clock.now();
        if entry.holds(now) {
            self.hits.add_one();
            observe::cache_hit();
            return Some(entry.claims);
        }
        // It makes room at once, and not only when others need it.
        let removed = ignore_poison(shard.write()).remove_if(probe, |entry| !entry.holds(now));
        drop_each(removed);
        None
    }

    pub(super) fn count_miss(&self) {
        self.misses.add_one();
        observe::cache_miss();
    }

    /// To be taken before a token is verified, and given with the verdict.
    pub(super) fn stamp(&self, probe: &Probe<'_>) -> Stamp {
        let count = self.invalidations(probe.hash);
        Stamp(count.map_or(0, |count| *ignore_poison(count.read())))
    }

    /// Keeps a verdict, unless its token was invalidated since its verification began: it may rest on what
    /// was the case before.
    pub(super) fn insert(&self, key: Key, claims: &Claims<C>, stamp: Stamp) {
        let now = self.now();
        let entry = Entry {
            claims: claims.clone(),
            since: now,
            until: now.saturating_add(self.time_to_live),
            weight: weight::of(key.token.len(), claims, self.weigh.as_ref()),
        };
        if !entry.holds(now) {
            return;
        }
        let mut gathered = Gathered::default();
        let by = key.clone();
        if let (Some(shard), Some(count)) = (self.shard(key.hash), self.invalidations(key.hash)) {
            // Held until the verdict is in: an invalidation comes before, and is seen here, or after, and
            // finds it.
            let count = ignore_poison(count.read());
            if Stamp(*count) == stamp {
                ignore_poison(shard.write()).insert_with_lifecycle(key, entry, &mut gathered);
            }
        }
        self.count_evicted(&gathered, &by);
        drop_each(gathered.0);
    }

    /// Counts what had to make room.
    fn count_evicted(&self, gathered: &Gathered<C>, by: &Key) {
        if gathered.0.is_empty() {
            return;
        }
        let now = self.now();
        let made_room = |(key, entry): &&(Key, Entry<C>)| {
            // A verdict that was replaced is no loss, nor is one that has ended. One that was too large to
            // be kept at all has evicted nothing.
            key != by && entry.holds(now)
        };
        let count = gathered.0.iter().filter(made_room).count();
        if count > 0 {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.evictions.add(count);
            observe::cache_evicted(count);
        }
    }

    /// Forgets the verdict on a token, and lets no verification that has begun keep its own. Says whether
    /// there was one.
    pub(super) fn invalidate(&self, token: &[u8]) -> bool {
        let probe = self.probe(token);
        let (Some(shard), Some(count)) = (self.shard(probe.hash), self.invalidations(probe.hash))
        else {
            return false;
        };
        add_one(count);
        let removed = ignore_poison(shard.write()).remove(&probe);
        let kept = removed.is_some();
        drop_each(removed);
        kept
    }

    /// Forgets all verdicts, and lets no verification that has begun keep its own.
    pub(super) fn clear(&self) {
        self.invalidations.iter().for_each(add_one);
        for kept in &self.shards {
            let empty = shard(self.bytes_per_shard);
            let mut cleared = mem::replace(&mut *ignore_poison(kept.write()), empty);
            drop_each(cleared.drain());
        }
    }

    pub(super) fn now(&self) -> NumericDate {
        self.clock.now()
    }

    pub(super) fn stats(&self) -> CacheStats {
        let (mut entries, mut bytes) = (0_u64, 0_u64);
        for shard in &self.shards {
            let shard = ignore_poison(shard.read());
            entries = entries.saturating_add(u64::try_from(shard.len()).unwrap_or(u64::MAX));
            bytes = bytes.saturating_add(shard.weight());
        }
        CacheStats {
            hits: self.hits.sum(),
            misses: self.misses.sum(),
            evictions: self.evictions.sum(),
            entries,
            bytes,
        }
    }

    fn invalidations(&self, hash: u64) -> Option<&RwLock<u64>> {
        self.invalidations.get(hash as usize % COUNTS)
    }

    /// There is one for each hash.
    fn shard(&self, hash: u64) -> Option<&ShardedLock<Shard<C>>> {
        // The upper half: the table of a shard uses the lower one.
        let place = (hash >> 32) & u64::try_from(self.shards.len()).ok()?.checked_sub(1)?;
        self.shards.get(usize::try_from(place).ok()?)
    }
}

fn add_one(count: &RwLock<u64>) {
    let mut count = ignore_poison(count.write());
    *count = count.wrapping_add(1);
}

/// Nothing panics under a lock; if something did, what is kept would still be what was kept.
fn ignore_poison<G>(guard: LockResult<G>) -> G {
    guard.unwrap_or_else(PoisonError::into_inner)
}

/// Drops what has left the store. Claims that panic then do not make the request fail that happened to
/// drop them, nor keep others from being dropped.
fn drop_each<C>(removed: impl IntoIterator<Item = (Key, Entry<C>)>) {
    for entry in removed {
        contain(|| drop(entry));
    }
}

fn shard<C>(bytes: u64) -> Shard<C> {
    // By which the cache decides how many evicted tokens it remembers: one for two that it keeps.
    let items = usize::try_from(bytes / weight::USUAL).unwrap_or(usize::MAX);
    Cache::with(
        items.clamp(1, 1 << 20),
        bytes,
        Weights,
        FixedState::default(),
        Gather,
    )
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
            weight: self.weight,
        }
    }
}

/// A token as it is kept, with its hash: a table that grows, and one that evicts, asks for it again.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    hash: u64,
    pub(super) token: Arc<[u8]>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A token as it is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe<'a> {
    hash: u64,
    token: &'a [u8],
}

impl Probe<'_> {
    /// The token as it is kept.
    pub(super) fn to_key(self) -> Key {
        Key {
            hash: self.hash,
            token: self.token.into(),
        }
    }
}

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for Probe<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        #[cfg(test)]
        super::tests::count_comparison();
        self.hash == key.hash && *self.token == *key.token
    }
}

/// What a verdict weighs was found out before it came under the lock.
struct Weights;

impl<C> Weighter<Key, Entry<C>> for Weights {
    fn weight(&self, _: &Key, entry: &Entry<C>) -> u64 {
        entry.weight
    }
}

/// Gathers what leaves the cache: it is counted and dropped without the lock, for both call code of
/// somebody else.
struct Gather;

struct Gathered<C>(Vec<(Key, Entry<C>)>);

impl<C> Default for Gathered<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C> Lifecycle<Key, Entry<C>> for Gather {
    type RequestState = Gathered<C>;

    fn on_evict(&self, gathered: &mut Gathered<C>, key: Key, entry: Entry<C>) {
        gathered.0.push((key, entry));
    }
}
