//! [`Redis`]: a Redis server or cluster, connected to when it is first needed, and anew when that breaks.
//!
//! Where it is, is in `address`; what is asked of it, in `call`; a connection to it, in `connection`.

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
mod connection;

pub(crate) use call::{Call, Lua};

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
    pub(crate) fn server(url: &str) -> Result<Self, ConfigError> {
        Ok(Self::at(Address::server(url)?))
    }

    pub(crate) fn cluster<'a>(urls: impl Iterator<Item = &'a str>) -> Result<Self, ConfigError> {
        Ok(Self::at(Address::cluster(urls)?))
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
    /// What Redis says it has not done is tried again. What it may have done, because the connection broke
    /// before there was an answer, is tried once more if the call says that it may be done twice.
    pub(crate) async fn call<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, StoreError> {
        if Handle::try_current().is_err() {
            return Err(StoreError::new(
                "there is no tokio runtime to reach Redis from",
            ));
        }
        let used = AtomicU64::new(0);
        match timeout(self.timeout, self.attempts(call, &used)).await {
            Ok(answer) => answer,
            Err(_) => {
                // It may have gone silent: the next one does not rely on it.
                self.shared.forget(used.into_inner());
                Err(StoreError::new("Redis did not answer in time"))
            }
        }
    }

    async fn attempts<T: FromRedisValue>(
        &self,
        call: &Call<'_>,
        used: &AtomicU64,
    ) -> Result<T, StoreError> {
        let mut by_source = false;
        let mut may_break = call.may_be_done_twice();
        loop {
            let (number, mut live) = self.connection().await?;
            used.store(number, Ordering::Relaxed);
            let answer = live.send(&call.build(by_source)).await;
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
                Fault::NotDone => sleep(PAUSE).await,
                Fault::Broken => {
                    self.shared.forget(number);
                    if !may_break {
                        return Err(StoreError::new(error));
                    }
                    may_break = false;
                }
                Fault::UnknownScript | Fault::Refused => return Err(StoreError::new(error)),
            }
        }
    }

    /// The connection, and its number.
    async fn connection(&self) -> Result<(u64, Live), StoreError> {
        if let Some(current) = self.shared.current() {
            return Ok(current);
        }
        let mut connected = self.shared.connected.lock().await;
        if let Some(current) = self.shared.current() {
            return Ok(current);
        }
        *connected += 1;
        let connection = Connection::to(&self.shared.address, *connected, self.timeout).await;
        // What a server says to a greeting may repeat it, with the password.
        let connection = connection.map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::Io => error.to_string(),
                _ => error.category().to_owned(),
            };
            StoreError::new(format!("there is no connection to Redis: {reason}"))
        })?;
        let live = connection.live.clone();
        *self.shared.lock() = Some(connection);
        Ok((*connected, live))
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
