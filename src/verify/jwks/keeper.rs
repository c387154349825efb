//! [`Keeper`]: owns the task that fetches keys, and answers those who miss one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    fetch::Fetcher,
    refresh::{Attempt, Claim, End, Generation, Progress, Running, Shared},
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
    end: End,
    at_most: Duration,
}

impl Arrival {
    /// Waits, and returns whether there was an end.
    pub(crate) async fn wait(self) -> bool {
        let end = self.end.wait();
        if Handle::try_current().is_err() {
            // Here is nothing to take the time by, which the fetch does itself.
            return end.await;
        }
        // A little more than the fetch itself may take: its runtime may be there, and nobody run it.
        let at_most = self.at_most.saturating_add(Duration::from_millis(500));
        timeout(at_most, end).await.unwrap_or(false)
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
        self.shared.generation()
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        self.shared.current()
    }

    /// Starts the task, if it does not run.
    ///
    /// The first one runs where the set was built. When that runtime is gone, the one of the
    /// caller may be there.
    pub(super) fn start(&self) -> Result<(), KeySetError> {
        let here = Handle::try_current().ok();
        let built_on = self.runtime.as_ref().map(|runtime| (runtime, true));
        let candidates = [built_on, here.as_ref().map(|runtime| (runtime, false))];
        let mut running = self.shared.is_running();
        for (runtime, at_first) in candidates.into_iter().flatten() {
            if running {
                break;
            }
            let task = match Running::claim(&self.shared, at_first) {
                Claim::Granted(task) => task,
                Claim::NotFirst => continue,
                Claim::Running => return Ok(()),
            };
            let spawned = runtime.spawn(task.keep(Arc::clone(&self.fetcher)));
            // A runtime that was shut down drops it at once.
            running = !spawned.is_finished();
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            let former = task.replace(spawned.abort_handle());
            drop(task);
            drop(former);
        }
        if running { Ok(()) } else { Err(no_runtime()) }
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
        let attempt = progress.ask();
        if attempt == Attempt::Refused {
            return Demand::Refused(self.shared.refusal(&progress));
        }
        let arrival = self.arrival(&progress);
        drop(progress);
        if attempt == Attempt::Asked {
            self.shared.wake();
        }
        Demand::Wait(arrival)
    }

    /// Has the keys fetched anew, if it is time, because those of this generation did not confirm
    /// a signature that they should have. Waits for nothing.
    pub(super) fn suspect(&self, generation: u64) {
        if self.start().is_err() {
            return;
        }
        let mut progress = self.shared.lock();
        let attempt = match self.generation() == generation {
            true => progress.ask(),
            // There are others now.
            false => Attempt::Refused,
        };
        drop(progress);
        if attempt == Attempt::Asked {
            self.shared.wake();
        }
    }

    fn arrival(&self, progress: &Progress) -> Arrival {
        Arrival {
            end: self.shared.end(progress),
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
        let before = self.shared.lock().ended();
        self.start()?;
        let arrival = {
            let progress = self.shared.lock();
            if self.shared.usable().is_some() {
                return Ok(());
            }
            // An attempt that was short has ended already.
            if let Some(error) = progress
                .last_error
                .as_ref()
                .filter(|_| progress.ended() > before)
            {
                return Err(error.clone());
            }
            if !progress.running {
                return Err(no_runtime());
            }
            let mut arrival = self.arrival(&progress);
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
        "there is no tokio runtime to fetch the keys on, or it was shut down",
    )
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let task = self.task.get_mut();
        if let Some(task) = task.unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}
