//! [`Keeper`]: owns the task that fetches keys, and answers those who miss one.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    fetch::Fetcher,
    refresh::{Running, Shared, Snapshot},
    settings::Settings,
    status::KeySetError,
};
use crate::error::{AuthError, reason};

/// What comes of asking for a key that is not there.
pub(crate) enum Demand {
    /// The keys have changed since.
    Changed,
    /// A fetch is under way.
    Wait(Arrival),
    /// There is none, and the token is refused: for this, or because its key is unknown.
    Refused(Option<AuthError>),
}

/// The end of a fetch, to be waited for.
pub(crate) struct Arrival {
    ended: watch::Receiver<u64>,
    at_most: Duration,
}

impl Arrival {
    /// Whether there was an end.
    pub(crate) async fn wait(mut self) -> bool {
        let ended = self.ended.changed();
        if Handle::try_current().is_err() {
            // Here is nothing to take the time by, which the fetch does itself.
            return ended.await.is_ok();
        }
        // A little more than the fetch itself may take: its runtime may be there, and nobody run it.
        let at_most = self.at_most.saturating_add(Duration::from_millis(500));
        timeout(at_most, ended)
            .await
            .is_ok_and(|ended| ended.is_ok())
    }
}

/// Owns the task that keeps the keys; it ends with it.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    // Not among what is shared: the source is let go with the last who may fetch.
    fetcher: Arc<Fetcher>,
    runtime: Option<Handle>,
    task: Mutex<Option<AbortHandle>>,
}

impl Keeper {
    pub(super) fn new(name: Box<str>, fetcher: Fetcher, settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared::new(name, settings)),
            fetcher: Arc::new(fetcher),
            runtime: Handle::try_current().ok(),
            task: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    pub(super) fn current(&self) -> (u64, Option<Arc<Snapshot>>) {
        // In this order: keys that are newer than their number are only looked at once more.
        let generation = self.generation();
        (generation, self.shared.keys.load_full())
    }

    /// Starts the task, if it does not run.
    pub(super) fn start(&self) -> Result<(), KeySetError> {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        // It was never started, or its runtime is gone; then the one of the caller may be there.
        let first = self.runtime.clone().filter(|_| task.is_none());
        for runtime in first.into_iter().chain(Handle::try_current()) {
            let running = Running::new(&self.shared);
            let spawned = runtime.spawn(running.keep(Arc::clone(&self.fetcher)));
            // A runtime that was shut down drops it at once.
            let is_there = !spawned.is_finished();
            *task = Some(spawned.abort_handle());
            if is_there {
                return Ok(());
            }
        }
        Err(no_runtime())
    }

    pub(super) fn demand(&self, generation: u64) -> Demand {
        if let Err(error) = self.start() {
            let unavailable = AuthError::unavailable(reason::KEYS_UNAVAILABLE);
            return Demand::Refused(Some(unavailable.with_source(error)));
        }
        let mut progress = self.shared.lock();
        if self.generation() != generation {
            return Demand::Changed;
        }
        if !progress.under_way {
            let not_yet = progress
                .not_before
                .is_some_and(|then| Instant::now() < then);
            if not_yet || !progress.running {
                return Demand::Refused(self.shared.refusal(&progress));
            }
            progress.under_way = true;
            self.shared.wake.notify_one();
        }
        Demand::Wait(self.arrival())
    }

    fn arrival(&self) -> Arrival {
        Arrival {
            ended: self.shared.ended.subscribe(),
            at_most: self.shared.settings.timeout,
        }
    }

    pub(super) fn refusal(&self) -> Option<AuthError> {
        self.shared.refusal(&self.shared.lock())
    }

    /// What is to be said where a fetch came to no end.
    pub(super) fn no_end() -> AuthError {
        AuthError::unavailable(reason::KEYS_UNAVAILABLE).with_source(no_runtime())
    }

    pub(super) async fn ready(&self) -> Result<(), KeySetError> {
        self.start()?;
        let arrival = {
            let progress = self.shared.lock();
            if self.shared.usable().is_some() {
                return Ok(());
            }
            if !progress.running {
                return Err(no_runtime());
            }
            let mut arrival = self.arrival();
            // The next attempt comes by itself.
            if let Some(then) = progress.not_before.filter(|_| !progress.under_way) {
                let pause = then.saturating_duration_since(Instant::now());
                arrival.at_most = arrival.at_most.saturating_add(pause);
            }
            arrival
        };
        let ended = arrival.wait().await;
        let progress = self.shared.lock();
        match &progress.last_error {
            _ if self.shared.usable().is_some() => Ok(()),
            Some(error) if ended => Err(error.clone()),
            _ => Err(no_runtime()),
        }
    }
}

fn no_runtime() -> KeySetError {
    KeySetError::new(
        "no_runtime",
        "there is no tokio runtime to fetch the keys on, or it was shut down".to_owned(),
    )
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.abort();
        }
    }
}
