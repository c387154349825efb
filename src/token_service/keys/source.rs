//! [`SigningKeySource`]: from where replicas take one set of keys, and how it is kept fresh.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

use super::{
    Shared, SigningKeys,
    key::{PublicKey, SigningKey},
    observe,
    schedule::Schedule,
};
use crate::{
    clock::{Clock, NumericDate, SystemClock},
    error::ConfigError,
    store::StoreError,
    verify::BoxFuture,
};

/// Where signing keys come from that several processes share, such as a database or a secret manager.
/// [`SigningKeyFile`](super::SigningKeyFile) is one that is ready-made.
///
/// ```
/// use tower_bearer::{
///     Algorithm, BoxFuture, NumericDate, StoreError,
///     token_service::{ScheduledKey, SigningKey, SigningKeySource, SigningKeys},
/// };
///
/// struct Vault;
/// # impl Vault { async fn read() -> std::io::Result<Vec<(String, u64)>> {
/// #     let pem = SigningKey::generate(Algorithm::ES256).unwrap().to_pem().unwrap().expose().to_owned();
/// #     Ok(vec![(pem, 0)])
/// # } }
///
/// impl SigningKeySource for Vault {
///     fn keys(&self) -> BoxFuture<Result<Vec<ScheduledKey>, StoreError>> {
///         Box::pin(async {
///             let rows = Self::read().await.map_err(StoreError::new)?;
///             let keys = rows.into_iter().map(|(pem, use_from)| {
///                 let key = SigningKey::from_pem(Algorithm::ES256, pem).map_err(StoreError::new)?;
///                 Ok(ScheduledKey::new(key, NumericDate::from_secs(use_from)))
///             });
///             keys.collect()
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_bearer::ConfigError> {
/// let keys = SigningKeys::from_source(Vault).load().await?;
/// # assert_eq!(keys.key_ids().len(), 1);
/// # Ok(())
/// # }
/// ```
pub trait SigningKeySource: Send + Sync + 'static {
    /// Returns the whole schedule: the key in use, the next ones, and the former ones that are still to be published.
    ///
    /// A key that is no longer in the schedule is withdrawn at once. Every key has its own id and its own time.
    ///
    /// # Errors
    /// If the source cannot be reached, or holds something else. The keys that were there before stay in use.
    fn keys(&self) -> BoxFuture<Result<Vec<ScheduledKey>, StoreError>>;
}

/// A signing key of a [`SigningKeySource`], and when it is used.
#[derive(Debug)]
pub struct ScheduledKey {
    pub(super) half: Half,
    pub(super) use_from: NumericDate,
}

pub(super) enum Half {
    Private(Box<SigningKey>),
    /// Of a former key.
    Public(PublicKey),
}

impl ScheduledKey {
    /// A key that is published now and signs from that time on, until the time of the next one.
    pub fn new(key: SigningKey, use_from: NumericDate) -> Self {
        let half = Half::Private(Box::new(key));
        Self { half, use_from }
    }

    /// The id of the key.
    pub fn key_id(&self) -> &str {
        match &self.half {
            Half::Private(key) => key.key_id(),
            Half::Public(key) => key.id(),
        }
    }

    /// From when the key is used.
    pub fn use_from(&self) -> NumericDate {
        self.use_from
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private(key) => key.fmt(f),
            Self::Public(key) => write!(f, "PublicKey({:?})", key.id()),
        }
    }
}

/// Loads [`SigningKeys`] from a [`SigningKeySource`].
#[must_use]
pub struct SigningKeysLoader {
    source: Arc<dyn SigningKeySource>,
    every: Duration,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

/// A source, and how long it may take.
pub(super) struct Origin {
    source: Arc<dyn SigningKeySource>,
    timeout: Duration,
}

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

impl SigningKeysLoader {
    pub(super) fn new(source: impl SigningKeySource) -> Self {
        Self {
            source: Arc::new(source),
            every: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets how often the source is asked again, 1 second to an hour. The default is a minute: a key that is withdrawn
    /// at the source signs no longer than that.
    ///
    /// A new key must be in the source at least this long before its time, and as long before as verifiers may cache
    /// the published keys.
    pub fn reload_every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Sets how long the source may take, a minute at most. The default is 10 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the clock by which keys are used and superseded. The default is that of the system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Asks the source for the keys, and keeps them fresh in a task on the runtime of the caller. The task ends after
    /// the last clone of the keys is dropped.
    ///
    /// If the source cannot be reached later, or gives keys that cannot be used, the last good ones stay in use, and
    /// an event at WARN says why.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if the first answer is an error or cannot be used, if a setting is out of bounds, or
    /// outside of a tokio runtime.
    pub async fn load(self) -> Result<SigningKeys, ConfigError> {
        if self.every < SHORTEST_INTERVAL || self.every > LONGEST_INTERVAL {
            return Err(ConfigError::new(
                "`reload_every` of signing keys must be 1 second to an hour",
            ));
        }
        if self.timeout.is_zero() || self.timeout > LONGEST_TIMEOUT {
            return Err(ConfigError::new(
                "the timeout of a source of signing keys must be over 0, and a minute at most",
            ));
        }
        let Ok(runtime) = Handle::try_current() else {
            return Err(ConfigError::new(
                "signing keys are loaded outside of a tokio runtime: call `load` within one",
            ));
        };
        let origin = Origin {
            source: self.source,
            timeout: self.timeout,
        };
        let schedule = origin.ask(&*self.clock).await;
        let schedule = schedule.map_err(|error| {
            ConfigError::new(format!("the signing keys cannot be loaded: {error}"))
        })?;
        let keys = SigningKeys::of(schedule, self.clock, Some(origin));
        runtime.spawn(keep(Arc::downgrade(&keys.0), self.every));
        Ok(keys)
    }
}

impl fmt::Debug for SigningKeysLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeysLoader")
            .field("every", &self.every)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// The schedule as it is now.
    pub(super) async fn ask(&self, clock: &dyn Clock) -> Result<Schedule, StoreError> {
        let keys = timeout(self.timeout, self.source.keys()).await;
        let keys = keys.map_err(|_| StoreError::new("the source did not answer in time"))??;
        Schedule::of(keys, clock.now()).map_err(StoreError::new)
    }
}

/// Asks again and again, for as long as somebody has the keys.
async fn keep(keys: Weak<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(keys) = keys.upgrade() else {
            return;
        };
        // A task of its own: if the code of the user panics, the next attempt is made all the same.
        let reload = tokio::spawn(async move { SigningKeys(keys).reload().await });
        let outcome = reload.await;
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => observe::keys_not_reloaded(&error),
            Err(error) => observe::keys_not_reloaded(&StoreError::new(error)),
        }
    }
}
