//! [`InMemoryRefreshStore`]: refresh tokens of one process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{FamiliesOf, FamilyPage, RefreshFamily, RefreshStore, Rotated, Rotation};
use crate::{
    clock::{Clock, NumericDate, SystemClock},
    store::StoreError,
    verify::BoxFuture,
};

/// Refresh tokens in memory, for one process; they are lost when it ends. Clones are the same store.
///
/// It holds a hundred thousand families at most, and drops those that are over. When it is full, the client that has
/// most families loses the one that it has not used for longest, so that one client never takes the sessions of
/// another.
#[derive(Clone)]
pub struct InMemoryRefreshStore(Arc<Shared>);

struct Shared {
    families: Mutex<Families>,
    clock: Arc<dyn Clock>,
    at_most: usize,
}

/// Some 80 MB.
const AT_MOST: usize = 100_000;

/// Families that are dropped, listed or ended while the lock is held.
const PAGE: usize = 256;

impl InMemoryRefreshStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty store, and another clock than that of the system.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self::with_settings(clock, AT_MOST)
    }

    /// Another clock than that of the system, and another number of families that it holds at most, 1 or more.
    pub fn with_settings(clock: impl Clock, at_most: usize) -> Self {
        Self(Arc::new(Shared {
            families: Mutex::default(),
            clock: Arc::new(clock),
            at_most: at_most.max(1),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        // The clock is the user's, and is not asked with the lock held.
        let now = self.0.clock.now();
        // Nothing panics while it is held.
        let families = self.0.families.lock();
        let mut families = families.unwrap_or_else(PoisonError::into_inner);
        families.drop_those_over(now);
        families
    }
}

impl Default for InMemoryRefreshStore {
    fn default() -> Self {
        Self::new()
    }
}

impl RefreshStore for InMemoryRefreshStore {
    fn begin(&self, family: RefreshFamily) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        let mut families = self.lock();
        let mut ended = Vec::new();
        let is_new = !families.by_id.contains_key(&*family.id);
        while is_new
            && families.by_id.len() >= self.0.at_most
            && let Some(family) = families.remove_one_of_the_largest()
        {
            ended.push(family);
        }
        families.insert(family);
        drop(families);
        Box::pin(ready(Ok(ended)))
    }

    fn find(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        let family = self.lock().by_id.get(family_id).cloned();
        Box::pin(ready(Ok(family)))
    }

    fn rotate(&self, rotation: Rotation) -> BoxFuture<Result<Rotated, StoreError>> {
        let outcome = self.lock().rotate(&rotation);
        Box::pin(ready(Ok(outcome)))
    }

    fn end(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        let ended = self.lock().remove(family_id);
        Box::pin(ready(Ok(ended)))
    }

    fn end_some(&self, of: &FamiliesOf) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        let mut families = self.lock();
        let (mut found, mut after) = (Vec::new(), Some((0, "".into())));
        while let Some(from) = after
            && found.is_empty()
        {
            (found, after) = families.page(of, &from);
        }
        let ended = found
            .iter()
            .filter_map(|family| families.remove(&family.id));
        let ended = ended.collect();
        drop(families);
        Box::pin(ready(Ok(ended)))
    }

    fn list(
        &self,
        of: &FamiliesOf,
        after: Option<&str>,
    ) -> BoxFuture<Result<FamilyPage, StoreError>> {
        let after = after.and_then(|after| {
            let (end, id) = after.split_once(':')?;
            Some((end.parse().ok()?, id.into()))
        });
        let (found, next) = self.lock().page(of, &after.unwrap_or((0, "".into())));
        let next = next.map(|(end, id)| format!("{end}:{id}"));
        Box::pin(ready(Ok(FamilyPage::new(found, next))))
    }
}

impl fmt::Debug for InMemoryRefreshStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let families = self.lock().by_id.len();
        write!(f, "InMemoryRefreshStore({families} families)")
    }
}

/// When a family is over if nothing happens, and its id.
type End = (u64, Arc<str>);

#[derive(Default)]
struct Families {
    by_id: HashMap<Arc<str>, RefreshFamily>,
    // All in the order in which they end.
    ends: BTreeSet<End>,
    of_client: HashMap<String, BTreeSet<End>>,
    of_subject: HashMap<String, BTreeSet<End>>,
    /// The clients, by how many families they have.
    by_size: BTreeMap<usize, BTreeSet<String>>,
}

impl Families {
    fn insert(&mut self, family: RefreshFamily) {
        let id: Arc<str> = family.id.as_str().into();
        self.remove(&id);
        let end = (family.over_at(), Arc::clone(&id));
        self.ends.insert(end.clone());
        let of_subject = self.of_subject.entry(family.grant.subject.clone());
        of_subject.or_default().insert(end.clone());
        let client_id = &family.grant.client_id;
        let of_client = self.of_client.entry(client_id.clone()).or_default();
        let before = of_client.len();
        of_client.insert(end);
        let after = of_client.len();
        self.resize(client_id, before, after);
        self.by_id.insert(id, family);
    }

    fn remove(&mut self, id: &str) -> Option<RefreshFamily> {
        let (id, family) = self.by_id.remove_entry(id)?;
        let end = (family.over_at(), id);
        self.ends.remove(&end);
        let left = |index: &mut HashMap<String, BTreeSet<End>>, of: &str| {
            let ends = index.get_mut(of)?;
            ends.remove(&end);
            let left = ends.len();
            if left == 0 {
                index.remove(of);
            }
            Some(left)
        };
        left(&mut self.of_subject, &family.grant.subject);
        if let Some(left) = left(&mut self.of_client, &family.grant.client_id) {
            self.resize(&family.grant.client_id, left.saturating_add(1), left);
        }
        Some(family)
    }

    fn resize(&mut self, client_id: &str, before: usize, after: usize) {
        if let Some(clients) = self.by_size.get_mut(&before) {
            clients.remove(client_id);
            if clients.is_empty() {
                self.by_size.remove(&before);
            }
        }
        if after > 0 {
            let clients = self.by_size.entry(after).or_default();
            clients.insert(client_id.to_owned());
        }
    }

    fn rotate(&mut self, rotation: &Rotation) -> Rotated {
        let id = rotation.family_id();
        let Some(family) = self.by_id.get_mut(id) else {
            return Rotated::Unknown;
        };
        let before = family.over_at();
        let outcome = family.rotate(rotation);
        if matches!(outcome, Rotated::Expired | Rotated::Reused { .. }) {
            self.remove(id);
        } else if family.over_at() != before {
            let (after, grant) = (family.over_at(), &family.grant);
            let indexes = [
                Some(&mut self.ends),
                self.of_client.get_mut(&grant.client_id),
                self.of_subject.get_mut(&grant.subject),
            ];
            let id: Arc<str> = id.into();
            for index in indexes.into_iter().flatten() {
                index.remove(&(before, Arc::clone(&id)));
                index.insert((after, Arc::clone(&id)));
            }
        }
        outcome
    }

    /// Drops some of those that are over. The next one who comes drops the next.
    fn drop_those_over(&mut self, now: NumericDate) {
        for _ in 0..PAGE {
            match self.ends.first() {
                Some((end, id)) if *end <= now.as_secs() => {
                    let id = Arc::clone(id);
                    self.remove(&id);
                }
                _ => break,
            }
        }
    }

    fn remove_one_of_the_largest(&mut self) -> Option<RefreshFamily> {
        let (_, clients) = self.by_size.last_key_value()?;
        let ends = self.of_client.get(clients.first()?)?;
        let (_, id) = ends.first()?;
        let id = Arc::clone(id);
        self.remove(&id)
    }

    /// A page of these families, from there on, and where the next one begins.
    fn page(&self, of: &FamiliesOf, after: &End) -> (Vec<RefreshFamily>, Option<End>) {
        let ends = match of {
            FamiliesOf::Client(client_id) => self.of_client.get(client_id),
            FamiliesOf::Subject(subject) | FamiliesOf::ClientAndSubject { subject, .. } => {
                self.of_subject.get(subject)
            }
        };
        let Some(ends) = ends else {
            return (Vec::new(), None);
        };
        let page = ends.range(after.clone()..).filter(|end| *end != after);
        let page: Vec<_> = page.take(PAGE).collect();
        let next = page.last().filter(|_| page.len() == PAGE);
        let next = next.map(|end| End::clone(end));
        let found = page.iter().filter_map(|(_, id)| self.by_id.get(id));
        let found = found.filter(|family| of.contains(family));
        (found.cloned().collect(), next)
    }
}
