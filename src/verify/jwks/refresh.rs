//! When keys are fetched: the task that keeps them, and those who ask it for more.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
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

/// The keys at one time, if there are any, and the number of that time.
#[derive(Default)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) keys: Option<Arc<Snapshot>>,
}

/// The keys, and the state of fetching them, as the task and those who ask share it.
///
/// Under the lock stands our own code alone. Whoever is told of something (waiting requests by
/// their wakers, subscribers, recorders) is told when it is released, because all of them are
/// foreign code, which may ask for the [`status`](Self::status) (Attack 43).
pub(super) struct Shared {
    pub(super) name: Box<str>,
    pub(super) settings: Settings,
    /// Changes under the lock alone.
    keys: ArcSwap<Generation>,
    /// The number in `keys`, or for a moment one less: read for each token, and cheaper to read.
    generation: AtomicU64,
    progress: Mutex<Progress>,
    /// [`Progress::ended`], told to those who wait.
    ended: watch::Sender<u64>,
    wake: Notify,
}

/// Where fetching stands. Changes together with the keys, under its lock.
#[derive(Default)]
pub(super) struct Progress {
    attempts: u64,
    /// How many attempts have come to an end, or the task in place of one.
    ended: u64,
    failed: u64,
    /// Of the last attempts, how many failed one after the other.
    failures: u32,
    pub(super) last_error: Option<KeySetError>,
    /// There was a task that fetches.
    started: bool,
    /// There is one.
    pub(super) running: bool,
    /// An attempt goes on, or was asked for.
    pub(super) under_way: bool,
    /// Before that there is no other.
    pub(super) not_before: Option<Instant>,
    /// When keys are fetched whoever asks or not.
    due: Option<Instant>,
}

/// What comes of asking for an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// One goes on, or was asked for.
    UnderWay,
    /// It was asked for now: the task is to be woken.
    Asked,
    /// It is not time yet, or nobody is there to make it.
    Refused,
}

impl Progress {
    /// Asks for an attempt ahead of its time. A token whose key is unknown and one whose signature
    /// is bad ask for the same one, so that both together cause no more than one in a cooldown or
    /// a step of the back-off (Attack 29).
    pub(super) fn ask(&mut self) -> Attempt {
        if self.under_way {
            return Attempt::UnderWay;
        }
        let too_early = self.not_before.is_some_and(|then| Instant::now() < then);
        if too_early || !self.running {
            return Attempt::Refused;
        }
        self.under_way = true;
        Attempt::Asked
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    /// An attempt, or the task, comes to its end.
    #[must_use]
    fn end(&mut self) -> u64 {
        self.under_way = false;
        self.ended = self.ended.saturating_add(1);
        self.ended
    }
}

impl Shared {
    pub(super) fn new(name: Box<str>, settings: Settings) -> Self {
        Self {
            name,
            settings,
            keys: ArcSwap::default(),
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

    pub(super) fn is_running(&self) -> bool {
        self.lock().running
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The keys as they are now. The number is at least that of a [`generation`](Self::generation)
    /// that was read before.
    pub(super) fn current(&self) -> Arc<Generation> {
        self.keys.load_full()
    }

    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.keys.load().keys.clone()
    }

    /// Puts other keys in the place of those that are here, and returns the former ones, to be
    /// dropped when the lock is released.
    #[must_use]
    fn replace(&self, _: &mut Progress, keys: Option<Snapshot>) -> Arc<Generation> {
        let number = self.generation().saturating_add(1);
        let keys = keys.map(Arc::new);
        let former = self.keys.swap(Arc::new(Generation { number, keys }));
        self.generation.store(number, Ordering::Release);
        former
    }

    /// The keys, unless they are too old.
    pub(super) fn usable(&self) -> Option<Arc<Snapshot>> {
        let now = Instant::now();
        self.snapshot()
            .filter(|snapshot| now < snapshot.usable_until)
    }

    /// Wakes the task for an attempt that was asked for. Not to be called with the lock held.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The end of the attempt that goes on or was asked for, to be waited for.
    pub(super) fn end(&self, progress: &Progress) -> End {
        End {
            ended: self.ended.subscribe(),
            number: progress.ended.saturating_add(1),
        }
    }

    /// Tells those who wait that so many attempts have ended. Not to be called with the lock held.
    fn tell_who_waits(&self, ended: u64) {
        // Two who tell may do so in either order.
        self.ended.send_modify(|told| *told = (*told).max(ended));
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
                let expiry = self.snapshot().map(|keys| keys.usable_until);
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
        let former = self.snapshot();
        {
            let mut progress = self.lock();
            progress.under_way = true;
            progress.attempts = progress.attempts.saturating_add(1);
        }
        let validator = former.as_ref().and_then(|keys| keys.validator.as_ref());
        let started = Instant::now();
        let fetch = fetch::within(self.settings.timeout, fetcher.fetch(validator));
        let fetched = observe::in_span(&self.name, fetch).await;
        let took = started.elapsed();
        let outcome = fetched.and_then(|fetched| self.read(fetched, former.as_deref()));
        let failure = outcome.as_ref().err().cloned();
        let news = self.land(outcome, former.as_deref());
        observe::fetched(&self.name, failure.map_or(Ok(()), Err), took);
        if let Some(News { keys, withdrawn }) = news {
            let published = &keys.published;
            observe::keys_changed(
                &self.name,
                published.keys().len(),
                withdrawn,
                published.skipped(),
            );
        }
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
                    "answered 304 to a first request",
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
                    .map_err(|wrong| KeySetError::new("unreadable", wrong))?;
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

    /// Takes in what came of an attempt, and tells those who wait for it. Returns what is new
    /// about the keys.
    fn land(
        &self,
        outcome: Result<Snapshot, KeySetError>,
        former: Option<&Snapshot>,
    ) -> Option<News> {
        let mut news = None;
        let mut progress = self.lock();
        let now = Instant::now();
        let mut replaced = None;
        match outcome {
            Ok(snapshot) => {
                let withdrawn = former.map_or(0, |former| {
                    former.published.withdraw_unless_in(&snapshot.published)
                });
                let counts =
                    |published: &PublishedKeys| (published.keys().len(), published.skipped().len());
                let is_new = former
                    .is_none_or(|former| counts(&former.published) != counts(&snapshot.published));
                progress.failures = 0;
                progress.last_error = None;
                progress.not_before = now.checked_add(self.settings.cooldown);
                progress.due = now.checked_add(Settings::ahead(snapshot.fresh));
                replaced = Some(self.replace(&mut progress, Some(snapshot)));
                if is_new || withdrawn > 0 {
                    let keys = self.snapshot();
                    news = keys.map(|keys| News { keys, withdrawn });
                }
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
        // Whoever asks from now on waits for the next one, although this one is told of later.
        let ended = progress.end();
        drop(progress);
        drop(replaced);
        self.tell_who_waits(ended);
        news
    }

    /// Gives up keys that are too old.
    fn expire(&self) {
        let mut progress = self.lock();
        let Some(keys) = self.snapshot() else { return };
        keys.published.withdraw_unless_in(&PublishedKeys::default());
        let former = self.replace(&mut progress, None);
        let soon = Instant::now().checked_add(LONGEST_BACKOFF_WITHOUT_KEYS);
        progress.not_before = progress.not_before.min(soon);
        progress.due = progress.due.min(soon);
        drop(progress);
        drop(former);
        observe::expired(&self.name);
    }

    fn observe_age(&self) {
        let keys = self.snapshot();
        let age = keys.as_ref().map(|keys| keys.fetched.elapsed());
        let count = keys.as_ref().map_or(0, |keys| keys.published.keys().len());
        observe::key_set(&self.name, count, age);
    }
}

/// Keys that are not those that there were before.
struct News {
    keys: Arc<Snapshot>,
    /// How many of the former ones are not among them.
    withdrawn: usize,
}

/// The end of one attempt.
pub(super) struct End {
    ended: watch::Receiver<u64>,
    number: u64,
}

impl End {
    /// Waits for it. Returns whether there was one.
    pub(super) async fn wait(mut self) -> bool {
        let number = self.number;
        self.ended.wait_for(|ended| *ended >= number).await.is_ok()
    }
}

/// The task, from before it begins until it ends: by itself it never does, but its runtime may.
pub(super) struct Running(Arc<Shared>);

impl Running {
    /// Claims to be the task, of which there is one at a time; with `at_first`, to be the first of
    /// all.
    pub(super) fn claim(shared: &Arc<Shared>, at_first: bool) -> Claim {
        let mut progress = shared.lock();
        if progress.running {
            return Claim::Running;
        }
        if at_first && progress.started {
            return Claim::NotFirst;
        }
        progress.started = true;
        progress.running = true;
        progress.under_way = true;
        drop(progress);
        Claim::Granted(Self(Arc::clone(shared)))
    }

    pub(super) async fn keep(self, fetcher: Arc<Fetcher>) {
        self.0.keep(&fetcher).await;
    }
}

/// What comes of claiming to be the task.
pub(super) enum Claim {
    Granted(Running),
    Running,
    NotFirst,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut progress = self.0.lock();
        progress.running = false;
        let ended = progress.end();
        drop(progress);
        self.0.tell_who_waits(ended);
    }
}

async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}
