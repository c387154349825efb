//! [`RedisRefreshStore`]: refresh tokens of several processes, in Redis.
//!
//! How a family is written is in `form`, what is done with it in the scripts beside this file; the connection is
//! that of [`crate::redis`].

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{RefreshFamily, RefreshStore, Rotated, Rotation, Secret};
use crate::{
    error::ConfigError,
    redis::{Call, Lua, PREFIX, Redis},
    store::StoreError,
    verify::BoxFuture,
};

mod form;

/// Refresh tokens in Redis, for any number of processes. Clones are the same store.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::token_service::RedisRefreshStore;
///
/// let store = RedisRefreshStore::new("redis://user:password@redis.internal:6379/0")?
///     .prefix("login:")
///     .timeout(Duration::from_secs(1));
/// // Nothing was connected to yet.
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// It connects when it is first asked, and again when the connection breaks. What cannot be done within the
/// [timeout](Self::timeout), or without Redis, is a [`StoreError`]. It works with Redis from version 6.0 on, and with
/// Valkey. URLs are those of `redis://`, `valkey://` and `unix://` (a socket, with `?user=…&pass=…&db=…`).
///
/// # What is kept
/// | key | what it is |
/// |---|---|
/// | `tower-bearer:family:{` id `}` | a hash: the family, with SHA-256 hashes of its current and its previous token |
/// | `tower-bearer:client:` client id | a sorted set: the ids of the families of that client, by when they end |
///
/// No key holds a token, nor anything that a current token could be made from. Both expire by themselves,
/// 5 minutes after the family is over by the clock of whoever wrote it, for clocks differ. Whether a family is over
/// when its token is presented is judged by the clock of the token service alone, never by that of Redis.
///
/// A client has 100 000 families at most; with one more, those go that began first.
///
/// # What is atomic
/// Each presentation of a token is one script on one key, so that of any number of them, from any number of
/// processes, one finds the token current. It is sent once: if the connection breaks before its answer, that is a
/// [`StoreError`], and no second attempt that would take the first for a theft. What Redis did not do (because
/// a slot moved, it is still loading, a cluster has no majority) is tried again for as long as the timeout
/// allows.
///
/// # What durability is needed
/// `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction`. With less, Redis may forget what it has
/// answered:
///
/// | setting | what may be lost | what that does |
/// |---|---|---|
/// | `appendfsync everysec` | the last second, when the machine dies | a token that was rotated is current again, and its successor ends the family: the client has to log in again, and a stolen token is good once more; new families are lost |
/// | no append-only file | all since the last snapshot | the same, for minutes |
/// | a replica takes over | what was not yet replicated; `WAIT` is not used | the same, for what was rotated in that moment |
/// | an eviction policy other than `noeviction` | whole families, when memory is full | those clients have to log in again |
///
/// A family that was ended may come back in the same way. End it once more after Redis has lost data.
///
/// # Cluster
/// [`cluster`](Self::cluster) takes the URLs of some nodes, and finds the others. Whatever is done is done on one key,
/// so that it is in one slot; each family is in that of its id. When a node fails, its families are out of
/// reach until a replica takes over, and the others are not.
///
/// # TLS
/// `rediss://` is refused when the store is made: the TLS of the Redis client depends on the crypto provider of
/// the process. Where Redis is not on a network of its own, run a TLS proxy beside the process (stunnel, Envoy,
/// ghostunnel) and connect to that, best by a Unix socket. For a cluster that does not do, for its nodes tell
/// their addresses themselves.
#[derive(Clone)]
pub struct RedisRefreshStore {
    redis: Redis,
    prefix: Arc<str>,
}

/// Kept for so long after it is over, in milliseconds.
const MARGIN: u64 = 5 * 60 * 1000;

/// Of one client. Its index has some 10 MB then.
const AT_MOST: usize = 100_000;

/// Families that are read at the same time.
const AT_ONCE: usize = 64;

static BEGIN: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("begin.lua")));
static INDEX: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("index.lua")));
static ROTATE: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("rotate.lua")));
static END: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("end.lua")));

impl RedisRefreshStore {
    /// In the Redis server at that URL. Nothing is connected to yet.
    ///
    /// # Errors
    /// If the URL is none of Redis, or one of `rediss://`.
    pub fn new(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        Redis::server(url.as_ref()).map(Self::in_redis)
    }

    /// In the Redis cluster to which the nodes at these URLs belong. One is enough; with more, the others may be
    /// down.
    ///
    /// ```
    /// use tower_bearer::token_service::RedisRefreshStore;
    ///
    /// let store = RedisRefreshStore::cluster([
    ///     "redis://:password@redis-1.internal:6379",
    ///     "redis://:password@redis-2.internal:6379",
    /// ])?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// If there is none, if one is no URL of Redis or one of `rediss://`, or if they differ in user or password.
    pub fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        let urls: Vec<_> = urls.into_iter().collect();
        Redis::cluster(urls.iter().map(AsRef::as_ref)).map(Self::in_redis)
    }

    fn in_redis(redis: Redis) -> Self {
        Self {
            redis,
            prefix: PREFIX.into(),
        }
    }

    /// Sets what all keys begin with. The default is `tower-bearer:`. Services that share a Redis and not their
    /// tokens have different ones.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into().into();
        self
    }

    /// Sets how long a command may take in all, with connecting and further attempts. The default is 2 seconds.
    ///
    /// What is answered after that is lost: too short a timeout makes clients log in again.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.redis.set_timeout(timeout);
        self
    }

    fn family_key(&self, id: &str) -> String {
        format!("{}family:{{{id}}}", self.prefix)
    }

    fn client_key(&self, client_id: &str) -> String {
        format!("{}client:{client_id}", self.prefix)
    }

    async fn write(&self, family: &RefreshFamily) -> Result<(), StoreError> {
        let end = family.ends_at.min(family.idle_until);
        let call = Call::script(&BEGIN, &[&self.family_key(&family.id)])
            .word(kept_for(family.begun_at, end))
            .word(form::write(family)?);
        // First the family: what the index names and is not there would be taken for over. If the index fails,
        // nobody has a token of the family.
        let () = self.redis.call(&call).await?;
        for too_many in self.enter(family).await? {
            self.end_now(&too_many).await?;
            self.leave(&family.grant.client_id, &[too_many]).await?;
        }
        Ok(())
    }

    /// Enters a family into the index, and says which ones have to go.
    async fn enter(&self, family: &RefreshFamily) -> Result<Vec<String>, StoreError> {
        let call = Call::script(&INDEX, &[&self.client_key(&family.grant.client_id)])
            .word(&family.id)
            .word(family.ends_at)
            .word(family.begun_at.saturating_sub(MARGIN / 1000))
            .word(kept_for(family.begun_at, family.ends_at))
            .word(AT_MOST);
        self.redis.call(&call).await
    }

    /// Removes families from the index of their client.
    async fn leave(&self, client_id: &str, ids: &[String]) -> Result<(), StoreError> {
        let call = Call::command("ZREM")
            .word(self.client_key(client_id))
            .word(ids);
        self.redis.call(&call).await
    }

    /// The same, of one that has ended. The index may name it all the same: that does no harm.
    async fn leave_if_possible(&self, id: &str, grant: &str) {
        if let Some(grant) = form::grant(grant) {
            self.leave(grant.client_id(), &[id.to_owned()]).await.ok();
        }
    }

    async fn read(&self, id: &str) -> Result<Option<RefreshFamily>, StoreError> {
        let call = Call::command("HGETALL").word(self.family_key(id));
        let fields: HashMap<String, String> = self.redis.call(&call).await?;
        form::read(id, &fields)
    }

    async fn present(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        let id = &rotation.family_id;
        let now = rotation.now.as_secs();
        let call = Call::script(&ROTATE, &[&self.family_key(id)])
            .word(rotation.presented.to_text())
            .word(rotation.successor.to_text())
            .word(
                rotation
                    .seed
                    .as_ref()
                    .map(Secret::to_text)
                    .unwrap_or_default(),
            )
            .word(now)
            .word(rotation.grace)
            .word(now.saturating_add(rotation.idle_for))
            .word(MARGIN)
            .once();
        let answer: Vec<String> = self.redis.call(&call).await?;
        let (outcome, grant) = match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["rotated"] => return Ok(Rotated::Rotated),
            ["again", seed] => {
                let seed = Secret::parse(seed).ok_or_else(|| form::unreadable(id))?;
                return Ok(Rotated::Again { seed });
            }
            ["unknown"] => return Ok(Rotated::Unknown),
            ["expired", grant] => (Rotated::Expired, grant),
            ["reused", grant] => (Rotated::Reused, grant),
            _ => return Err(form::unreadable(id)),
        };
        self.leave_if_possible(id, grant).await;
        Ok(outcome)
    }

    async fn end_now(&self, id: &str) -> Result<(bool, String), StoreError> {
        let call = Call::script(&END, &[&self.family_key(id)]);
        self.redis.call(&call).await
    }

    async fn read_all_of(&self, client_id: &str) -> Result<Vec<RefreshFamily>, StoreError> {
        let call = Call::command("ZRANGE")
            .word(self.client_key(client_id))
            .word(0)
            .word(-1);
        let ids: Vec<String> = self.redis.call(&call).await?;
        let read = |id: String| async move { Ok::<_, StoreError>((self.read(&id).await?, id)) };
        let families: Vec<_> = stream::iter(ids)
            .map(read)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let gone: Vec<String> = families
            .iter()
            .filter(|(family, _)| family.is_none())
            .map(|(_, id)| id.clone())
            .collect();
        if !gone.is_empty() {
            self.leave(client_id, &gone).await.ok();
        }
        Ok(families
            .into_iter()
            .filter_map(|(family, _)| family)
            .collect())
    }
}

/// In milliseconds.
fn kept_for(from: u64, until: u64) -> u64 {
    // At most 300 years, which Redis can count.
    until.saturating_sub(from).min(10_000_000_000) * 1000 + MARGIN
}

impl RefreshStore for RedisRefreshStore {
    fn begin(&self, family: RefreshFamily) -> BoxFuture<Result<(), StoreError>> {
        let store = self.clone();
        Box::pin(async move { store.write(&family).await })
    }

    fn find(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        let (store, id) = (self.clone(), family_id.to_owned());
        Box::pin(async move { store.read(&id).await })
    }

    fn rotate(&self, rotation: Rotation) -> BoxFuture<Result<Rotated, StoreError>> {
        let store = self.clone();
        Box::pin(async move { store.present(&rotation).await })
    }

    fn end(&self, family_id: &str) -> BoxFuture<Result<bool, StoreError>> {
        let (store, id) = (self.clone(), family_id.to_owned());
        Box::pin(async move {
            let (existed, grant) = store.end_now(&id).await?;
            store.leave_if_possible(&id, &grant).await;
            Ok(existed)
        })
    }

    fn of_client(&self, client_id: &str) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        let (store, client_id) = (self.clone(), client_id.to_owned());
        Box::pin(async move { store.read_all_of(&client_id).await })
    }
}

/// Shows neither user nor password.
impl fmt::Debug for RedisRefreshStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRefreshStore")
            .field("redis", &self.redis)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
