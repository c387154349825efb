//! [`Redis`]: a Redis server or cluster, connected to when it is first needed, and anew when that breaks.
//!
//! Where it is, is in `config` and `address`; what is asked of it, in `call`; a connection to it, in `connection`,
//! `sentinel`, `tls` and `own`; what is found out about it, in `check`.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use crate::{error::ConfigError, store::StoreError};

mod address;
mod call;
mod check;
mod config;
mod connection;
mod own;
mod sentinel;
#[cfg(not(all(feature = "client-process-provider", feature = "_crypto")))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
mod tls;

pub(crate) use call::{Call, Lua};
pub use check::RedisCheck;
pub use config::RedisConfig;
pub use own::{RedisConnection, RedisReply};
#[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
pub use tls::RedisTls;

use address::Address;
use connection::{Connection, Live};

/// What a prefix of keys is where none is set.
pub(crate) const PREFIX: &str = "tower-bearer:";

/// For so long a request may have to wait for Redis; one that works answers in a millisecond.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Between two attempts at what Redis could not do yet.
const PAUSE: Duration = Duration::from_millis(50);

/// A Redis server or cluster. Clones share a connection.
#[derive(Clone)]
pub(crate) struct Redis {
    shared: Arc<Shared>,
    timeout: Duration,
}

struct Shared {
    address: Address,
    current: Mutex<Option<Connection>>,
    // How many there were. Held while connecting, so that one connects and the others wait, each for as long as
    // it may.
    connected: tokio::sync::Mutex<u64>,
}

impl Redis {
    pub(crate) fn new(config: RedisConfig) -> Result<Self, ConfigError> {
        Ok(Self::at(config.address()?))
    }

    fn at(address: Address) -> Self {
        Self {
            shared: Arc::new(Shared {
                address,
                current: Mutex::default(),
                connected: tokio::sync::Mutex::default(),
            }),
            timeout: TIMEOUT,
        }
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Has something done, within the timeout.
    ///
    /// What Redis has not done, and what it may have done because the connection broke before there was an answer, is
    /// tried again. So whatever is asked must be the same if it is done twice.
    pub(crate) async fn call<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, StoreError> {
        if Handle::try_current().is_err() {
            return Err(StoreError::new(
                "there is no tokio runtime to reach Redis from",
            ));
        }
        let seen = Seen::default();
        match timeout(self.timeout, self.attempts(call, &seen)).await {
            Ok(answer) => answer,
            Err(_) => {
                // It may have gone silent: the next one does not rely on it.
                self.shared.forget(seen.connection.into_inner());
                let error = seen
                    .error
                    .into_inner()
                    .unwrap_or_else(PoisonError::into_inner);
                Err(error.unwrap_or_else(|| StoreError::new("Redis did not answer in time")))
            }
        }
    }

    async fn attempts<T: FromRedisValue>(
        &self,
        call: &Call<'_>,
        seen: &Seen,
    ) -> Result<T, StoreError> {
        let mut by_source = false;
        loop {
            let (number, mut live) = match self.connection().await {
                Ok(connection) => connection,
                Err(NoConnection::Yet(error)) => {
                    seen.tell(error);
                    sleep(PAUSE).await;
                    continue;
                }
                Err(NoConnection::Refused(error)) => return Err(error),
            };
            seen.connection.store(number, Ordering::Relaxed);
            let command = call.build(by_source);
            let Ok(answer) = timeout(self.patience(), live.send(&command)).await else {
                // It may have gone silent, and what is asked may be asked again elsewhere.
                self.shared.forget(number);
                seen.tell(StoreError::new("Redis did not answer in time"));
                continue;
            };
            let error = match answer {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Ask) => {
                    // The node that is asked in its stead may not know the script.
                    match live.ask(&error, call.build(true)).await {
                        Ok(value) => return Ok(value),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
                Ok(value) => return Ok(value),
            };
            match Fault::of(&error) {
                Fault::UnknownScript if !by_source => by_source = true,
                Fault::NotDone => {
                    if error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
                        // It has become a replica: the primary is elsewhere, by the same name or by the sentinels.
                        self.shared.forget(number);
                    }
                    seen.tell(StoreError::new(error));
                    sleep(PAUSE).await;
                }
                Fault::Broken => {
                    self.shared.forget(number);
                    seen.tell(StoreError::new(error));
                    if self.shared.mends_itself() {
                        sleep(PAUSE).await;
                    }
                }
                Fault::UnknownScript | Fault::Refused => return Err(StoreError::new(error)),
            }
        }
    }

    /// How long one attempt may take, so that there is time for another on a new connection.
    fn patience(&self) -> Duration {
        self.timeout / 2
    }

    /// The connection, and its number.
    async fn connection(&self) -> Result<(u64, Live), NoConnection> {
        if let Some(current) = self.shared.current() {
            return Ok(current);
        }
        let mut connected = self.shared.connected.lock().await;
        if let Some(current) = self.shared.current() {
            return Ok(current);
        }
        *connected += 1;
        let connecting = Connection::to(&self.shared.address, *connected, self.patience());
        let Ok(connection) = timeout(self.patience(), connecting).await else {
            let error = StoreError::new("Redis did not answer in time");
            return Err(NoConnection::Yet(error));
        };
        let connection = connection.map_err(|error| {
            // What a server says to a greeting may repeat it, with the password.
            let no_connection = |reason: &str| {
                StoreError::new(format!("there is no connection to Redis: {reason}"))
            };
            match error.kind() {
                ErrorKind::Io => NoConnection::Yet(no_connection(&error.to_string())),
                ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => {
                    NoConnection::Refused(no_connection(error.category()))
                }
                _ => NoConnection::Yet(no_connection(error.category())),
            }
        })?;
        let (number, mut live) = (*connected, connection.live.clone());
        *self.shared.lock() = Some(connection);
        drop(connected);
        if number == 1 {
            check::warn(&mut live).await;
        }
        Ok((number, live))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        // Nothing panics while it is held.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<(u64, Live)> {
        let current = self.lock();
        let current = current.as_ref().filter(|one| one.is_driven())?;
        Some((current.number, current.live.clone()))
    }

    /// Whether the connection that is in use mends itself.
    fn mends_itself(&self) -> bool {
        self.lock().as_ref().is_some_and(Connection::mends_itself)
    }

    /// Gives up the connection of that number, if it is still in use.
    fn forget(&self, number: u64) {
        let mut current = self.lock();
        if current
            .as_ref()
            .is_some_and(|one| one.number == number && !one.mends_itself())
        {
            *current = None;
        }
    }
}

/// Why there is no connection.
enum NoConnection {
    /// There may be one later.
    Yet(StoreError),
    /// Redis does not want this client.
    Refused(StoreError),
}

/// What the attempts have come upon.
#[derive(Default)]
struct Seen {
    connection: AtomicU64,
    error: Mutex<Option<StoreError>>,
}

impl Seen {
    fn tell(&self, error: StoreError) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// What an error means for what was asked.
enum Fault {
    /// It was not done, because Redis does not have the script.
    UnknownScript,
    /// It was not done, and may be later.
    NotDone,
    /// Nobody knows whether it was done.
    Broken,
    /// It was not done, and will not be.
    Refused,
}

impl Fault {
    fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::UnknownScript,
            ErrorKind::Server(
                ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::ReadOnly,
            )
            | ErrorKind::ClusterConnectionNotFound => Self::NotDone,
            _ if error.is_io_error() || error.is_unrecoverable_error() => Self::Broken,
            _ => Self::Refused,
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.address.fmt(f)
    }
}

/// Tests start a server of their own.
#[cfg(test)]
#[path = "../../tests/support/redis.rs"]
pub(crate) mod server;

#[cfg(test)]
mod tests;
