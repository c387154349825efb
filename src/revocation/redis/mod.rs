//! [`RedisRevocation`]: revocations of several processes, in Redis.
//!
//! What is here of them, and how it gets here, is in `copy`; how one is written, in `entry`; what can be set, in
//! `settings`.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};

use super::{LEEWAY, Revocation, Revoked, list::Subject};
use crate::{
    claims::RegisteredClaims,
    clock::{Clock, NumericDate},
    error::ConfigError,
    redis::{Redis, RedisCheck, RedisConfig},
    store::StoreError,
    verify::BoxFuture,
};

mod copy;
mod entry;
mod settings;

use copy::{Copy, State};
use entry::Entry;
use settings::Settings;

/// Revocations in Redis, for any number of processes, each with a copy in its memory: a check costs no round
/// trip. Clones are the same, with one copy.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{BearerAuthLayer, BearerToken, Claims, RedisRevocation, RevocationList, verify_fn};
///
/// # let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
/// let revoked = RedisRevocation::new("redis://user:password@redis.internal:6379/0")?
///     .stale_at_most(Duration::from_secs(5));
/// let auth = BearerAuthLayer::new(verifier).check(RevocationList::new(revoked.clone()));
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// # How fresh the copy is
/// A revocation made by this process is effective here at once, and in the others within
/// [`stale_at_most`](Self::stale_at_most): in a third of that rhythm a task of its own reads what is new. The
/// task begins with the first question or revocation, and ends when the last clone is dropped.
///
/// | state | what a question is answered |
/// |---|---|
/// | the copy has the revocation | yes, however old the copy is: what was revoked stays so |
/// | it does not, and is fresh | no |
/// | it does not, and is older than it may be, because Redis cannot be reached | an error: 503 |
/// | it was not read yet | the question waits for the first attempt, as long as the [timeout](Self::timeout) |
///
/// That Redis was emptied, or that a replica took over which had not heard of the last revocations, is noticed
/// with the next reading, and all is read anew; where that replica has by then heard of as many others, within 5
/// minutes. What Redis has lost this process still knows, but one that starts afterwards does not: revoke it
/// again. For the settings that keep Redis from forgetting see `RedisRefreshStore` (feature `token-service`).
///
/// # What is kept
/// Three keys, in one slot of a cluster: `tower-bearer:{revocations}:state`, `…:numbers` and `…:ends`. Each
/// revocation is kept until no token can be meant any longer, and 5 minutes for clocks that differ, and of all a million at
/// most; what is more is an error. They expire by themselves. An entry that cannot be read is passed over, and
/// with the feature `tracing` told as an event.
#[derive(Clone)]
pub struct RedisRevocation(Arc<Keeper>);

/// Owns the task that keeps the copy; it ends with it.
struct Keeper {
    copy: Arc<Copy>,
    runtime: Option<Handle>,
    task: Mutex<Option<AbortHandle>>,
}

impl RedisRevocation {
    /// In the Redis server at that URL. Nothing is connected to yet.
    ///
    /// # Errors
    /// If the URL is none of Redis, or TLS is asked for and not possible.
    pub fn new(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        Self::with_config(RedisConfig::server(url)?)
    }

    /// In the Redis cluster to which the nodes at these URLs belong.
    ///
    /// # Errors
    /// If there is none, if one is no URL of Redis, if they differ in user, password or TLS, or if TLS is
    /// not possible.
    pub fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        Self::with_config(RedisConfig::cluster(urls)?)
    }

    /// At the primary that the sentinels at these URLs know by that name.
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
        Ok(Self::with(Settings::new(Redis::new(config)?)))
    }

    /// Asks Redis whether it may throw keys away when its memory is full. The first connection does the same, and an
    /// event at WARN says so.
    ///
    /// # Errors
    /// If Redis cannot be reached, or does not let the user ask (`INFO memory`).
    pub async fn check(&self) -> Result<RedisCheck, StoreError> {
        self.0.copy.settings.redis.check().await
    }

    /// Sets what all keys begin with. The default is `tower-bearer:`. Issuers that share a Redis have different
    /// ones, for a `jti` is unique to its issuer.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        self.set(|settings| settings.prefix = prefix.into().into())
    }

    /// Sets how long a command may take in all. The default is 2 seconds.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.redis.set_timeout(timeout))
    }

    /// Sets how old the copy may be, and so how long a revoked token may be good elsewhere. The default is 10
    /// seconds. With less, Redis is asked more often, and a shorter outage of it is one of this service.
    #[must_use]
    pub fn stale_at_most(self, time: Duration) -> Self {
        self.set(|settings| settings.stale_at_most = time)
    }

    /// Sets how long an access token lives at most: for so long the cut-off of a client or a subject is kept. The
    /// default is 24 hours.
    #[must_use]
    pub fn longest_token(self, time: Duration) -> Self {
        self.set(|settings| settings.longest_token = time)
    }

    /// Sets the clock by which revocations end.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.set(|settings| settings.clock = Arc::new(clock))
    }

    fn set(self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.copy.settings.clone();
        set(&mut settings);
        Self::with(settings)
    }

    fn with(settings: Settings) -> Self {
        Self(Arc::new(Keeper {
            copy: Arc::new(Copy::new(settings)),
            runtime: Handle::try_current().ok(),
            task: Mutex::default(),
        }))
    }

    fn add(
        &self,
        subject: Subject,
        issued_until: NumericDate,
        kept_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        // Without a runtime there is nothing to keep, and the revocation itself fails.
        self.0.start().ok();
        let copy = Arc::clone(&self.0.copy);
        let entry = Entry {
            subject,
            issued_until,
            kept_until,
        };
        Box::pin(async move { copy.add(entry).await })
    }

    fn cut_off(
        &self,
        subject: Subject,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        let last = issued_until
            .saturating_add(self.0.copy.settings.longest_token)
            .saturating_add(LEEWAY);
        self.add(subject, issued_until, last)
    }
}

impl Revocation for RedisRevocation {
    fn is_revoked(&self, claims: &RegisteredClaims) -> Revoked {
        let copy = &self.0.copy;
        // In this order: what is read in between is only taken for older than it is.
        let state = copy.state();
        if copy.revokes(claims) {
            return Revoked::Ready(Ok(true));
        }
        if state == State::Fresh {
            return Revoked::Ready(Ok(false));
        }
        if let Err(error) = self.0.start() {
            return Revoked::Ready(Err(error));
        }
        if state == State::Stale {
            return Revoked::Ready(Err(too_old()));
        }
        // The clone keeps the task for as long as it is waited for.
        let (this, claims) = (self.clone(), claims.clone());
        Revoked::Pending(Box::pin(async move {
            let copy = &this.0.copy;
            copy.attempt().await;
            match copy.state() {
                _ if copy.revokes(&claims) => Ok(true),
                State::Fresh => Ok(false),
                State::Stale | State::NeverRead => Err(too_old()),
            }
        }))
    }

    fn revoke_token(&self, id: &str, expires_at: NumericDate) -> BoxFuture<Result<(), StoreError>> {
        let kept_until = expires_at.saturating_add(LEEWAY);
        self.add(Subject::Token(id.into()), expires_at, kept_until)
    }

    fn revoke_client(
        &self,
        client_id: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        self.cut_off(Subject::Client(client_id.into()), issued_until)
    }

    fn revoke_subject(
        &self,
        subject: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        self.cut_off(Subject::Owner(subject.into()), issued_until)
    }
}

fn too_old() -> StoreError {
    StoreError::new("the revocations could not be read from Redis lately")
}

impl Keeper {
    /// Starts the task, if it does not run.
    fn start(&self) -> Result<(), StoreError> {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        // It was never started, or its runtime is gone; then the one of the caller may be there.
        let runtime = match (&*task, &self.runtime) {
            (None, Some(runtime)) => Some(runtime.clone()),
            _ => Handle::try_current().ok(),
        };
        let runtime = runtime
            .ok_or_else(|| StoreError::new("there is no tokio runtime to read revocations on"))?;
        *task = Some(runtime.spawn(Arc::clone(&self.copy).keep()).abort_handle());
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.abort();
        }
    }
}

/// Shows neither user nor password, and nothing that was revoked.
impl fmt::Debug for RedisRevocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRevocation")
            .field("redis", &self.0.copy.settings.redis)
            .field("prefix", &self.0.copy.settings.prefix)
            .field("revocations", &self.0.copy.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
