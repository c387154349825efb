//! [`ReplayStore`]: which client assertions have been used.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    future::ready,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    clock::{Clock, NumericDate, SystemClock},
    store::StoreError,
    verify::BoxFuture,
};

/// Knows which client assertions (`private_key_jwt`) have been used, because each is good once (RFC 7523 §3).
///
/// [`InMemoryReplayStore`] is for one process. With several, `RedisRefreshStore` is one as well, or a store of your own.
pub trait ReplayStore: Send + Sync + 'static {
    /// Remembers `id` until `expires_at`, and returns whether it is the first time. Of any number of calls with the same
    /// id, at the same time and on any machine, one returns `true`.
    ///
    /// The id is made of the client and the `jti`, by a hash: 43 characters of base64url.
    ///
    /// # Errors
    /// Returns an error if the store cannot be reached, or is full. The request is answered 503 then.
    fn is_first_use(
        &self,
        id: &str,
        expires_at: NumericDate,
    ) -> BoxFuture<Result<bool, StoreError>>;
}

/// Used client assertions in memory, for one process. Clones are the same store.
///
/// Only assertions with a good signature get here. It remembers a hundred thousand at most, some 10 MB; what is more is
/// an error until the first of them expire.
#[derive(Clone)]
pub struct InMemoryReplayStore(Arc<Shared>);

struct Shared {
    used: Mutex<Used>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Used {
    ids: HashSet<Arc<str>>,
    ends: BTreeSet<(NumericDate, Arc<str>)>,
}

const AT_MOST: usize = 100_000;

impl InMemoryReplayStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// Returns an empty store with another clock than that of the system.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self(Arc::new(Shared {
            used: Mutex::default(),
            clock: Arc::new(clock),
        }))
    }
}

impl Default for InMemoryReplayStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplayStore for InMemoryReplayStore {
    fn is_first_use(
        &self,
        id: &str,
        expires_at: NumericDate,
    ) -> BoxFuture<Result<bool, StoreError>> {
        // The clock is the user's, and is not asked with the lock held.
        let now = self.0.clock.now();
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((end, _)) = used.ends.first()
            && *end < now
            && let Some((_, id)) = used.ends.pop_first()
        {
            used.ids.remove(&id);
        }
        let first = if used.ids.contains(id) {
            Ok(false)
        } else if used.ids.len() < AT_MOST {
            let id: Arc<str> = id.into();
            used.ids.insert(Arc::clone(&id));
            used.ends.insert((expires_at, id));
            Ok(true)
        } else {
            Err(StoreError::new(
                "there is no room for another client assertion",
            ))
        };
        drop(used);
        Box::pin(ready(first))
    }
}

impl fmt::Debug for InMemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "InMemoryReplayStore({} assertions)", used.ids.len())
    }
}
