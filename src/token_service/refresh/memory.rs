//! [`InMemoryRefreshStore`]: refresh tokens of one process.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{RefreshFamily, RefreshStore, Rotated, Rotation};
use crate::{
    clock::{Clock, NumericDate, SystemClock},
    store::StoreError,
    verify::BoxFuture,
};

/// Refresh tokens in memory, for one process; they are lost when it ends. Clones are the same store.
///
/// It holds a hundred thousand families at most, and drops those that are over. When it is full, a client that
/// gets a new one loses the one that it has used least lately; one that has none is answered 503.
#[derive(Clone)]
pub struct InMemoryRefreshStore(Arc<Shared>);

struct Shared {
    families: Mutex<Families>,
    clock: Arc<dyn Clock>,
    at_most: usize,
}

/// Some 80 MB.
const AT_MOST: usize = 100_000;

impl InMemoryRefreshStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty store, and another clock than that of the system.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self::with_settings(clock, AT_MOST)
    }

    /// Another clock than that of the system, and another number of families that it holds at most.
    pub fn with_settings(clock: impl Clock, at_most: usize) -> Self {
        Self(Arc::new(Shared {
            families: Mutex::default(),
            clock: Arc::new(clock),
            at_most,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        // Nothing panics while it is held.
        let families = self.0.families.lock();
        let mut families = families.unwrap_or_else(PoisonError::into_inner);
        families.drop_those_over(self.0.clock.now());
        families
    }
}

impl Default for InMemoryRefreshStore {
    fn default() -> Self {
        Self::new()
    }
}

impl RefreshStore for InMemoryRefreshStore {
    fn begin(&self, family: RefreshFamily) -> BoxFuture<Result<(), StoreError>> {
        let mut families = self.lock();
        let room = families.by_id.len() < self.0.at_most
            || families.drop_oldest_of(&family.grant.client_id);
        let begun = if room {
            families.insert(family);
            Ok(())
        } else {
            Err(StoreError::new("there is no room for another family"))
        };
        Box::pin(ready(begun))
    }

    fn find(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        let family = self.lock().by_id.get(family_id).cloned();
        Box::pin(ready(Ok(family)))
    }

    fn rotate(&self, rotation: Rotation) -> BoxFuture<Result<Rotated, StoreError>> {
        let outcome = self.lock().rotate(&rotation);
        Box::pin(ready(Ok(outcome)))
    }

    fn end(&self, family_id: &str) -> BoxFuture<Result<bool, StoreError>> {
        let ended = self.lock().remove(family_id).is_some();
        Box::pin(ready(Ok(ended)))
    }

    fn of_client(&self, client_id: &str) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        let families = self.lock();
        let of_client = families.of_client.get(client_id).into_iter().flatten();
        let found = of_client.filter_map(|(_, id)| families.by_id.get(id).cloned());
        let found = found.collect();
        drop(families);
        Box::pin(ready(Ok(found)))
    }
}

impl fmt::Debug for InMemoryRefreshStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "InMemoryRefreshStore({} families)",
            self.lock().by_id.len()
        )
    }
}

/// When a family is over if nothing happens, and its id.
type End = (u64, String);

#[derive(Default)]
struct Families {
    by_id: HashMap<String, RefreshFamily>,
    // Both in the order in which they end.
    ends: BTreeSet<End>,
    of_client: HashMap<String, BTreeSet<End>>,
}

impl Families {
    fn insert(&mut self, family: RefreshFamily) {
        let end = end_of(&family);
        let of_client = self.of_client.entry(family.grant.client_id.clone());
        of_client.or_default().insert(end.clone());
        self.ends.insert(end);
        self.by_id.insert(family.id.clone(), family);
    }

    fn remove(&mut self, id: &str) -> Option<RefreshFamily> {
        let family = self.by_id.remove(id)?;
        let end = end_of(&family);
        self.ends.remove(&end);
        if let Some(of_client) = self.of_client.get_mut(&family.grant.client_id) {
            of_client.remove(&end);
            if of_client.is_empty() {
                self.of_client.remove(&family.grant.client_id);
            }
        }
        Some(family)
    }

    fn rotate(&mut self, rotation: &Rotation) -> Rotated {
        let Some(mut family) = self.remove(&rotation.family_id) else {
            return Rotated::Unknown;
        };
        let outcome = family.rotate(rotation);
        if matches!(outcome, Rotated::Rotated | Rotated::Again { .. }) {
            self.insert(family);
        }
        outcome
    }

    fn drop_those_over(&mut self, now: NumericDate) {
        while let Some((end, id)) = self.ends.first()
            && *end <= now.as_secs()
        {
            let id = id.clone();
            self.remove(&id);
        }
    }

    fn drop_oldest_of(&mut self, client_id: &str) -> bool {
        let oldest = self.of_client.get(client_id).and_then(BTreeSet::first);
        match oldest.map(|(_, id)| id.clone()) {
            Some(id) => self.remove(&id).is_some(),
            None => false,
        }
    }
}

fn end_of(family: &RefreshFamily) -> End {
    (family.ends_at.min(family.idle_until), family.id.clone())
}
