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

use ::redis::Value;
use futures_util::{
    future::try_join,
    stream::{self, StreamExt, TryStreamExt},
};

use super::{FamiliesOf, FamilyPage, RefreshFamily, RefreshStore, Rotated, Rotation};
use crate::{
    clock::{Clock, NumericDate, SystemClock},
    error::ConfigError,
    random,
    redis::{Call, Lua, PREFIX, Redis, RedisCheck, RedisConfig},
    store::StoreError,
    token_service::client::ReplayStore,
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
/// Valkey. URLs are those of `redis://`, `rediss://` and `unix://`, see [`RedisConfig`].
///
/// # What is kept
/// | key | what it is |
/// |---|---|
/// | `tower-bearer:family:{` id `}` | the family, in some 300 bytes, with SHA-256 hashes of its tokens |
/// | `tower-bearer:client:` client id | a sorted set: the ids of the families of that client |
/// | `tower-bearer:assertion:` hash | a client assertion that was used, if this is also the [`ReplayStore`](super::super::ReplayStore) |
/// | `tower-bearer:subject:` subject | a sorted set: the ids of the families of that subject |
///
/// No key holds a token, nor anything that a current token could be made from. All expire by themselves, 5 minutes
/// after the family is over by the clock of the process that wrote it, because clocks differ. Whether a family is over
/// when its token is presented is decided by the clock of the authorization server, never by that of Redis.
///
/// A client has a million families at most, and a subject a thousand ([`max_families`](Self::max_families)). With one
/// more, those end that have not been used for longest. Families that are over do not count.
///
/// # What is atomic
/// Each presentation of a token is one compare and set on one key, so that of any number of them, from any number of
/// processes, one finds the token current. If the connection breaks before its answer, a new one is waited for and
/// the same is asked again, for as long as the timeout allows: a rotation that was done is known by its successor, so
/// nobody's session is lost. The same holds while Redis is loading, a slot moves, or a cluster has no majority.
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
/// # TLS, Sentinel, and what was run
/// [`RedisConfig`] says how Redis may be deployed, and on what the tests have run.
#[derive(Clone)]
pub struct RedisRefreshStore {
    redis: Redis,
    prefix: Arc<str>,
    limits: Limits,
}

/// How many families there may be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    per_client: usize,
    per_subject: usize,
}

/// Kept for so long after it is over, in milliseconds.
const MARGIN: u64 = 5 * 60 * 1000;

/// A client has some 400 MB of families then: more is an attack, or a client that never refreshes.
const PER_CLIENT: usize = 1_000_000;

/// More sessions than anybody has, so that one account cannot fill the store.
const PER_SUBJECT: usize = 1000;

/// Families that are read, listed or ended in one go.
const PAGE: usize = 256;

/// Commands that are under way at the same time.
const AT_ONCE: usize = 64;

static INDEX: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("index.lua")));
static SET: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("set.lua")));
static USE: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("use.lua")));
static END: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("end.lua")));

impl RedisRefreshStore {
    /// In the Redis server at that URL. Nothing is connected to yet.
    ///
    /// # Errors
    /// If the URL is none of Redis, or TLS is asked for and not possible.
    pub fn new(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        Self::with_config(RedisConfig::server(url)?)
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
    /// If there is none, if one is no URL of Redis, if they differ in user, password or TLS, or if TLS is
    /// not possible.
    pub fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        Self::with_config(RedisConfig::cluster(urls)?)
    }

    /// At the primary that the sentinels at these URLs know by that name.
    ///
    /// ```
    /// use tower_bearer::token_service::RedisRefreshStore;
    ///
    /// let store = RedisRefreshStore::sentinel(["redis://sentinel-1.internal:26379"], "mymaster")?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`RedisConfig::sentinel`], which also says how the servers are logged in to.
    pub fn sentinel(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        name: &str,
    ) -> Result<Self, ConfigError> {
        Self::with_config(RedisConfig::sentinel(urls, name)?)
    }

    /// In Redis as it is deployed: with a CA and a client certificate of your own, by a connection of your own, and so on.
    ///
    /// # Errors
    /// If TLS is asked for and not possible.
    pub fn with_config(config: RedisConfig) -> Result<Self, ConfigError> {
        Redis::new(config).map(Self::in_redis)
    }

    /// Asks Redis whether it may throw keys away when its memory is full. The first connection does the same, and an
    /// event at WARN says so.
    ///
    /// # Errors
    /// If Redis cannot be reached, or does not let the user ask (`INFO memory`).
    pub async fn check(&self) -> Result<RedisCheck, StoreError> {
        self.redis.check().await
    }

    fn in_redis(redis: Redis) -> Self {
        Self {
            redis,
            prefix: PREFIX.into(),
            limits: Limits {
                per_client: PER_CLIENT,
                per_subject: PER_SUBJECT,
            },
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
    /// Within this time a broken connection is made again, so it should be longer than Redis takes to restart or to
    /// fail over where clients are to notice nothing. It should be shorter than the
    /// [`store_timeout`](crate::token_service::AuthorizationServerBuilder::store_timeout) of the server. What is
    /// answered later is lost, and the client may have to log in again.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.redis.set_timeout(timeout);
        self
    }

    /// Sets how many families a client and a subject may have. With one more, those end that have not been used for
    /// longest; [`begin`](RefreshStore::begin) returns them. The defaults are a million and a thousand. The families
    /// that a client has for itself, where the subject is the client, count for the client only.
    #[must_use]
    pub fn max_families(mut self, per_client: usize, per_subject: usize) -> Self {
        self.limits = Limits {
            per_client: per_client.max(1),
            per_subject: per_subject.max(1),
        };
        self
    }

    fn family_key(&self, id: &str) -> String {
        format!("{}family:{{{id}}}", self.prefix)
    }

    fn client_key(&self, client_id: &str) -> String {
        format!("{}client:{client_id}", self.prefix)
    }

    fn subject_key(&self, subject: &str) -> String {
        format!("{}subject:{subject}", self.prefix)
    }

    async fn write(&self, mut family: RefreshFamily) -> Result<Vec<RefreshFamily>, StoreError> {
        family.listed_until =
            listed_until(&family, family.idle_until.saturating_sub(family.begun_at));
        let call = Call::command("SET")
            .word(self.family_key(&family.id))
            .word(form::write(&family)?)
            .word("PX")
            .word(kept_for(family.begun_at, family.over_at()));
        // First the family: what an index lists and is not there counts as over. If an index fails, nobody has a
        // token of the family.
        let () = self.redis.call(&call).await?;
        let (of_client, of_subject) = self.list_in_indexes(&family, family.begun_at).await?;
        let mut ended = Vec::new();
        if of_subject > self.limits.per_subject && family.grant.subject != family.grant.client_id {
            let too_many = of_subject - self.limits.per_subject;
            let of = FamiliesOf::Subject(family.grant.subject.clone());
            ended.extend(self.end_first(&of, too_many, &family.id).await?);
        }
        if of_client > self.limits.per_client {
            let too_many = of_client - self.limits.per_client;
            let of = FamiliesOf::Client(family.grant.client_id.clone());
            ended.extend(self.end_first(&of, too_many, &family.id).await?);
        }
        Ok(ended)
    }

    /// Lists a family in both indexes, and says how many the client and the subject have.
    async fn list_in_indexes(
        &self,
        family: &RefreshFamily,
        now: u64,
    ) -> Result<(usize, usize), StoreError> {
        let list = async |key: String| {
            let call = Call::script(&INDEX, &[&key])
                .word(&family.id)
                .word(family.listed_until)
                .word(now.saturating_sub(MARGIN / 1000))
                .word(kept_for(now, family.listed_until));
            self.redis.call(&call).await
        };
        let grant = &family.grant;
        let of_client = list(self.client_key(&grant.client_id));
        let of_subject = list(self.subject_key(&grant.subject));
        try_join(of_client, of_subject).await
    }

    /// Ends as many of the families that have not been used for longest, some hundred at most, but not the one that has
    /// just begun.
    async fn end_first(
        &self,
        of: &FamiliesOf,
        too_many: usize,
        begun: &str,
    ) -> Result<Vec<RefreshFamily>, StoreError> {
        let mut ids = self
            .first_of(of, too_many.saturating_add(1).min(PAGE))
            .await?;
        ids.retain(|id| id != begun);
        ids.truncate(too_many);
        self.end_these(of, ids).await
    }

    /// The index that lists these, and perhaps others.
    fn index_key(&self, of: &FamiliesOf) -> String {
        match of {
            FamiliesOf::Client(client_id) => self.client_key(client_id),
            FamiliesOf::Subject(subject) | FamiliesOf::ClientAndSubject { subject, .. } => {
                self.subject_key(subject)
            }
        }
    }

    /// The ids that come first in an index.
    async fn first_of(&self, of: &FamiliesOf, count: usize) -> Result<Vec<String>, StoreError> {
        let call = Call::command("ZRANGE")
            .word(self.index_key(of))
            .word(0)
            .word(count.saturating_sub(1));
        self.redis.call(&call).await
    }

    /// Ends families of an index, and takes them, and those that are over, out of it.
    async fn end_these(
        &self,
        of: &FamiliesOf,
        ids: Vec<String>,
    ) -> Result<Vec<RefreshFamily>, StoreError> {
        let ended: Vec<_> = stream::iter(ids.clone())
            .map(|id| async move { self.end_now(&id).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        if !ids.is_empty() {
            self.leave(self.index_key(of), &ids).await?;
        }
        let ended: Vec<RefreshFamily> = ended.into_iter().flatten().collect();
        self.leave_indexes(&ended).await;
        Ok(ended)
    }

    /// Takes families out of an index.
    async fn leave(&self, key: String, ids: &[String]) -> Result<(), StoreError> {
        let call = Call::command("ZREM").word(key).word(ids);
        self.redis.call(&call).await
    }

    /// Takes families that have ended out of the indexes. If one lists them all the same, that does no harm.
    async fn leave_indexes(&self, ended: &[RefreshFamily]) {
        let mut of: HashMap<String, Vec<String>> = HashMap::new();
        for family in ended {
            for key in [
                self.client_key(&family.grant.client_id),
                self.subject_key(&family.grant.subject),
            ] {
                of.entry(key).or_default().push(family.id.clone());
            }
        }
        stream::iter(of)
            .for_each_concurrent(AT_ONCE, |(key, ids)| async move {
                self.leave(key, &ids).await.ok();
            })
            .await;
    }

    async fn read(&self, id: &str) -> Result<Option<RefreshFamily>, StoreError> {
        let call = Call::command("GET").word(self.family_key(id));
        let bytes: Option<Vec<u8>> = self.redis.call(&call).await?;
        bytes.map(|bytes| form::read(id, &bytes)).transpose()
    }

    async fn present(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        let id = rotation.family_id();
        let now = rotation.now.as_secs();
        let mut before = rotation.found.clone();
        loop {
            let mut after = before.clone();
            let outcome = after.rotate(rotation);
            let over = matches!(outcome, Rotated::Expired | Rotated::Reused { .. });
            if !over && after.revision == before.revision {
                return Ok(outcome);
            }
            if after.idle_until > before.listed_until {
                after.listed_until = listed_until(&after, rotation.idle_for);
                // Before the rotation, so that a family is never good and not listed.
                self.list_in_indexes(&after, now).await?;
            }
            let call = Call::script(&SET, &[&self.family_key(id)])
                .word(&form::head(before.revision)[..])
                .word(if over {
                    Vec::new()
                } else {
                    form::write(&after)?
                })
                .word(kept_for(now, after.over_at()));
            match self.redis.call(&call).await? {
                Value::Int(1) => {
                    if over {
                        self.leave_indexes(&[after]).await;
                    }
                    return Ok(outcome);
                }
                Value::BulkString(bytes) => before = form::read(id, &bytes)?,
                Value::Nil => return Ok(Rotated::Unknown),
                _ => return Err(form::unreadable(id)),
            }
        }
    }

    /// Deletes a family. One that cannot be read is deleted as well, and counts as none.
    async fn end_now(&self, id: &str) -> Result<Option<RefreshFamily>, StoreError> {
        let call = Call::script(&END, &[&self.family_key(id)]);
        let bytes: Option<Vec<u8>> = self.redis.call(&call).await?;
        Ok(bytes.and_then(|bytes| form::read(id, &bytes).ok()))
    }

    /// A page of an index, and where the next one begins.
    async fn page(
        &self,
        of: &FamiliesOf,
        after: &str,
    ) -> Result<(Vec<RefreshFamily>, Option<String>), StoreError> {
        let key = self.index_key(of);
        let call = Call::command("ZSCAN")
            .word(&key)
            .word(after)
            .word("COUNT")
            .word(PAGE);
        let (next, listed): (String, Vec<(String, f64)>) = self.redis.call(&call).await?;
        let read = |id: String| async move { Ok::<_, StoreError>((self.read(&id).await?, id)) };
        let families: Vec<_> = stream::iter(listed)
            .map(|(id, _)| read(id))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let (found, gone): (Vec<_>, Vec<_>) = families
            .into_iter()
            .partition(|(family, _)| family.is_some());
        if !gone.is_empty() {
            let gone: Vec<String> = gone.into_iter().map(|(_, id)| id).collect();
            self.leave(key, &gone).await.ok();
        }
        let families = found.into_iter().filter_map(|(family, _)| family);
        let families = families.filter(|family| of.contains(family)).collect();
        Ok((families, Some(next).filter(|next| next != "0")))
    }

    async fn end_some_of(&self, of: &FamiliesOf) -> Result<Vec<RefreshFamily>, StoreError> {
        if let FamiliesOf::ClientAndSubject { .. } = of {
            // The index has those of other clients too.
            let mut after = Some("0".to_owned());
            while let Some(from) = after {
                let (families, next) = self.page(of, &from).await?;
                if !families.is_empty() {
                    let ids = families.into_iter().map(|family| family.id).collect();
                    return self.end_these(of, ids).await;
                }
                after = next;
            }
            return Ok(Vec::new());
        }
        loop {
            let ids = self.first_of(of, PAGE).await?;
            let none = ids.is_empty();
            let ended = self.end_these(of, ids).await?;
            if none || !ended.is_empty() {
                return Ok(ended);
            }
        }
    }
}

/// Until when the indexes list a family: for a quarter of its idle lifetime longer than it may live, so that most
/// rotations need not touch them.
fn listed_until(family: &RefreshFamily, idle_for: u64) -> u64 {
    let until = family.idle_until.saturating_add(idle_for / 4);
    until.min(family.ends_at)
}

/// In milliseconds.
fn kept_for(from: u64, until: u64) -> u64 {
    // At most 300 years, which Redis can count.
    until.saturating_sub(from).min(10_000_000_000) * 1000 + MARGIN
}

impl RefreshStore for RedisRefreshStore {
    fn begin(&self, family: RefreshFamily) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        let store = self.clone();
        Box::pin(async move { store.write(family).await })
    }

    fn find(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        let (store, id) = (self.clone(), family_id.to_owned());
        Box::pin(async move { store.read(&id).await })
    }

    fn rotate(&self, rotation: Rotation) -> BoxFuture<Result<Rotated, StoreError>> {
        let store = self.clone();
        Box::pin(async move { store.present(&rotation).await })
    }

    fn end(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        let (store, id) = (self.clone(), family_id.to_owned());
        Box::pin(async move {
            let ended = store.end_now(&id).await?;
            store.leave_indexes(ended.as_slice()).await;
            Ok(ended)
        })
    }

    fn end_some(&self, of: &FamiliesOf) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        let (store, of) = (self.clone(), of.clone());
        Box::pin(async move { store.end_some_of(&of).await })
    }

    fn list(
        &self,
        of: &FamiliesOf,
        after: Option<&str>,
    ) -> BoxFuture<Result<FamilyPage, StoreError>> {
        let (store, of) = (self.clone(), of.clone());
        let after = after.unwrap_or("0").to_owned();
        Box::pin(async move {
            let (families, next) = store.page(&of, &after).await?;
            Ok(FamilyPage { families, next })
        })
    }
}

/// Used client assertions, beside the families: one key each, until the assertion has expired by any clock.
impl ReplayStore for RedisRefreshStore {
    fn is_first_use(
        &self,
        id: &str,
        expires_at: NumericDate,
    ) -> BoxFuture<Result<bool, StoreError>> {
        let (store, key) = (self.clone(), format!("{}assertion:{id}", self.prefix));
        let kept_for = kept_for(SystemClock.now().as_secs(), expires_at.as_secs());
        Box::pin(async move {
            let call = Call::script(&USE, &[&key])
                .word(format!("{:032x}", random::id()))
                .word(kept_for);
            store.redis.call(&call).await
        })
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
