//! When keys are fetched: the task that keeps them, and those who ask it for more.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::{
    fetch::{self, Fetched, Fetcher, Validator},
    observe,
    settings::{LONGEST_BACKOFF_WITHOUT_KEYS, Settings},
    status::{KeySetError, KeySetStatus},
};
use crate::{
    error::{AuthError, reason},
    verify::jwt::{Key, PublishedKeys},
};

/// Keys as they were fetched.
pub(crate) struct Snapshot {
    published: PublishedKeys,
    validator: Option<Validator>,
    fetched: Instant,
    fresh: Duration,
    usable_until: Instant,
}

impl Snapshot {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.published.keys()
    }

    pub(crate) fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys().filter_map(Key::key_id)
    }

    pub(crate) fn usable_until(&self) -> Instant {
        self.usable_until
    }
}

/// The keys, and the state of fetching them, as the task and those who ask share it.
pub(super) struct Shared {
    pub(super) name: Box<str>,
    pub(super) settings: Settings,
    pub(super) keys: ArcSwapOption<Snapshot>,
    pub(super) generation: AtomicU64,
    progress: Mutex<Progress>,
    /// How many attempts have come to an end, or the task with them.
    pub(super) ended: watch::Sender<u64>,
    pub(super) wake: Notify,
}

/// Where fetching stands. Changes together with the keys, under its lock.
#[derive(Default)]
pub(super) struct Progress {
    attempts: u64,
    failed: u64,
    /// Of the last attempts, how many failed one after the other.
    failures: u32,
    pub(super) last_error: Option<KeySetError>,
    /// There is a task that fetches.
    pub(super) running: bool,
    /// An attempt goes on, or was asked for.
    pub(super) under_way: bool,
    /// Before that there is no other.
    pub(super) not_before: Option<Instant>,
    /// When keys are fetched whoever asks or not.
    due: Option<Instant>,
}

impl Shared {
    pub(super) fn new(name: Box<str>, settings: Settings) -> Self {
        Self {
            name,
            settings,
            keys: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            progress: Mutex::default(),
            ended: watch::Sender::new(0),
            wake: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics while it is held; if something did, the numbers would still be numbers.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys, unless they are too old.
    pub(super) fn usable(&self) -> Option<Arc<Snapshot>> {
        let now = Instant::now();
        self.keys
            .load_full()
            .filter(|snapshot| now < snapshot.usable_until)
    }

    pub(super) fn status(&self) -> KeySetStatus {
        let progress = self.lock();
        let now = Instant::now();
        let mut status = KeySetStatus {
            last_error: progress.last_error.clone(),
            attempts: progress.attempts,
            failures: progress.failed,
            ..KeySetStatus::default()
        };
        if let Some(snapshot) = self.usable() {
            let age = now.saturating_duration_since(snapshot.fetched);
            status.keys = snapshot.published.keys().len();
            status.age = Some(age);
            status.stale = age >= snapshot.fresh;
            status.skipped = snapshot.published.skipped().to_vec();
        }
        status
    }

    pub(super) fn refusal(&self, progress: &Progress) -> Option<AuthError> {
        // The last attempt, to which there was an end, says what keys there are.
        let known = progress.running && progress.last_error.is_none();
        if known && self.usable().is_some() {
            return None;
        }
        let mut error = AuthError::unavailable(reason::KEYS_UNAVAILABLE);
        let wait = progress
            .not_before
            .map(|then| then.saturating_duration_since(Instant::now()));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            error = error.with_retry_after(wait);
        }
        Some(match &progress.last_error {
            Some(source) => error.with_source(source.clone()),
            None => error,
        })
    }

    /// Fetches the keys whenever they are due, for ever.
    async fn keep(&self, fetcher: &Fetcher) {
        loop {
            self.attempt(fetcher).await;
            loop {
                let expiry = self.keys.load().as_ref().map(|keys| keys.usable_until);
                let due = self.lock().due;
                tokio::select! {
                    () = self.wake.notified() => {
                        // Unless that was answered already.
                        if self.lock().under_way {
                            break;
                        }
                    }
                    () = until(due) => break,
                    () = until(expiry) => self.expire(),
                    () = observe::tick() => self.observe_age(),
                }
            }
        }
    }

    async fn attempt(&self, fetcher: &Fetcher) {
        let former = self.keys.load_full();
        {
            let mut progress = self.lock();
            progress.under_way = true;
            progress.attempts = progress.attempts.saturating_add(1);
        }
        let validator = former.as_ref().and_then(|keys| keys.validator.as_ref());
        let started = Instant::now();
        let fetch = fetch::within(self.settings.timeout, fetcher.fetch(validator));
        let fetched = observe::in_span(&self.name, fetch).await;
        let outcome = fetched.and_then(|fetched| self.read(fetched, former.as_deref()));
        observe::fetched(&self.name, outcome.as_ref().map(drop), started.elapsed());
        self.land(outcome, former.as_deref());
        self.observe_age();
    }

    fn read(&self, fetched: Fetched, former: Option<&Snapshot>) -> Result<Snapshot, KeySetError> {
        let now = Instant::now();
        let (published, validator, max_age) = match (fetched, former) {
            (Fetched::NotModified { max_age }, Some(former)) => {
                (former.published.clone(), former.validator.clone(), max_age)
            }
            (Fetched::NotModified { .. }, None) => {
                return Err(KeySetError::new(
                    "unreadable",
                    "answered 304 to a first request".to_owned(),
                ));
            }
            (
                Fetched::Keys {
                    json,
                    max_age,
                    validator,
                },
                former,
            ) => {
                let none = PublishedKeys::default();
                let former = former.map_or(&none, |former| &former.published);
                let published = PublishedKeys::parse(&json, former)
                    .map_err(|wrong| KeySetError::new("unreadable", wrong.into_owned()))?;
                (published, validator, max_age)
            }
        };
        if published.keys().len() == 0 {
            let mut message = "none of the keys can be used".to_owned();
            for skipped in published.skipped().iter().take(3) {
                message.push_str(&format!("; {skipped}"));
            }
            return Err(KeySetError::new("no_usable_key", message));
        }
        let fresh = self.settings.freshness(max_age);
        Ok(Snapshot {
            published,
            validator,
            fetched: now,
            fresh,
            usable_until: now
                .checked_add(fresh.saturating_add(self.settings.max_stale))
                .unwrap_or(now),
        })
    }

    fn land(&self, outcome: Result<Snapshot, KeySetError>, former: Option<&Snapshot>) {
        let mut progress = self.lock();
        let now = Instant::now();
        progress.under_way = false;
        match outcome {
            Ok(snapshot) => {
                let withdrawn = former.map_or(0, |former| {
                    former.published.withdraw_unless_in(&snapshot.published)
                });
                let skipped = snapshot.published.skipped();
                let news = former.is_none_or(|former| {
                    former.published.skipped().len() != skipped.len()
                        || former.published.keys().len() != snapshot.published.keys().len()
                }) || withdrawn > 0;
                if news {
                    observe::keys_changed(
                        &self.name,
                        snapshot.published.keys().len(),
                        withdrawn,
                        skipped,
                    );
                }
                progress.failures = 0;
                progress.last_error = None;
                progress.not_before = now.checked_add(self.settings.cooldown);
                progress.due = now.checked_add(Settings::ahead(snapshot.fresh));
                self.keys.store(Some(Arc::new(snapshot)));
                self.next_generation();
            }
            Err(error) => {
                progress.failed = progress.failed.saturating_add(1);
                progress.failures = progress.failures.saturating_add(1);
                progress.last_error = Some(error);
                let keys = self.usable();
                let backoff = self.settings.backoff(progress.failures, keys.is_some());
                progress.not_before = now.checked_add(backoff);
                // A token of an unknown key may have asked ahead of time.
                let planned = progress.due.filter(|due| *due > now && keys.is_some());
                progress.due = planned.max(progress.not_before);
            }
        }
        // Under the lock still: whoever asks from now on waits for the next one.
        self.tell_who_waits();
    }

    fn tell_who_waits(&self) {
        self.ended
            .send_modify(|ended| *ended = ended.saturating_add(1));
    }

    /// Gives up keys that are too old.
    fn expire(&self) {
        let mut progress = self.lock();
        if let Some(keys) = self.keys.swap(None) {
            keys.published.withdraw_unless_in(&PublishedKeys::default());
            self.next_generation();
            observe::expired(&self.name);
            let soon = Instant::now().checked_add(LONGEST_BACKOFF_WITHOUT_KEYS);
            progress.not_before = progress.not_before.min(soon);
            progress.due = progress.due.min(soon);
        }
    }

    fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn observe_age(&self) {
        let keys = self.keys.load();
        let age = keys.as_ref().map(|keys| keys.fetched.elapsed());
        let count = keys.as_ref().map_or(0, |keys| keys.published.keys().len());
        observe::key_set(&self.name, count, age);
    }
}

/// The task, from before it begins until it ends: by itself it never does, but its runtime may.
pub(super) struct Running(Arc<Shared>);

impl Running {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let mut progress = shared.lock();
        progress.running = true;
        progress.under_way = true;
        drop(progress);
        Self(Arc::clone(shared))
    }

    pub(super) async fn keep(self, fetcher: Arc<Fetcher>) {
        self.0.keep(&fetcher).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut progress = self.0.lock();
        progress.running = false;
        progress.under_way = false;
        self.0.tell_who_waits();
    }
}

async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}
