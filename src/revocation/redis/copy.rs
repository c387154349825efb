//! [`Copy`]: the revocations that are in Redis, here, and how they get here.

use std::{
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::watch, time::timeout};

use super::{entry::Entry, settings::Settings};
use crate::{
    claims::RegisteredClaims,
    random,
    redis::{Call, Lua},
    revocation::list::{List, Subject},
    store::StoreError,
};

static ADD: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("add.lua")));
static READ: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("read.lua")));

/// In Redis: some 300 MB there, and 100 here.
const AT_MOST: usize = 1_000_000;

/// For clients and subjects there is more room than for tokens, so that whoever revokes tokens by the million does not
/// keep others from withdrawing a client.
const ROOM_FOR_CUT_OFFS: usize = 100_000;

/// What Redis has lost is not lost here, so that here there may be more.
const AT_MOST_HERE: usize = 2 * AT_MOST;

/// Revocations that are read at once.
const BATCH: usize = 1000;

/// In this rhythm all is read anew: a replica that took over may have lost revocations, and reached the
/// same number with others before anybody looked.
const ANEW: Duration = Duration::from_secs(300);

/// After a failure the next attempt is not later than this.
const PAUSE: Duration = Duration::from_millis(500);

/// Revocations are dropped in Redis so much later than they end, for clocks differ.
const MARGIN: Duration = Duration::from_secs(300);

pub(super) struct Copy {
    pub(super) settings: Settings,
    list: RwLock<List>,
    made: Instant,
    /// In nanoseconds since it was made; 0 until all has been read once.
    fresh_until: AtomicU64,
    attempts: watch::Sender<u64>,
}

/// How good the copy is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Fresh,
    Stale,
    NeverRead,
}

/// How far it was read.
#[derive(Default)]
struct Cursor {
    epoch: String,
    number: u64,
}

impl Copy {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            list: RwLock::default(),
            made: Instant::now(),
            fresh_until: AtomicU64::new(0),
            attempts: watch::Sender::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(super) fn revokes(&self, claims: &RegisteredClaims) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.revokes(claims)
    }

    pub(super) fn state(&self) -> State {
        match self.fresh_until.load(Ordering::Acquire) {
            0 => State::NeverRead,
            until if self.made.elapsed().as_nanos() < u128::from(until) => State::Fresh,
            _ => State::Stale,
        }
    }

    /// Waits until the attempt that goes on, or the next one, has come to its end.
    pub(super) async fn attempt(&self) {
        if Handle::try_current().is_err() {
            return;
        }
        let mut attempts = self.attempts.subscribe();
        // It may have ended in between.
        if self.state() == State::NeverRead {
            timeout(self.settings.redis.timeout(), attempts.changed())
                .await
                .ok();
        }
    }

    /// Reads what is new, again and again.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut cursor = Cursor::default();
        let mut anew = Instant::now();
        let mut failing = false;
        loop {
            if anew.elapsed() >= ANEW {
                anew = Instant::now();
                cursor.number = 0;
            }
            let read = self.read(&mut cursor).await;
            let pause = match &read {
                Ok(()) => self.settings.interval(),
                Err(_) => self.settings.interval().min(PAUSE),
            };
            if let Err(error) = &read
                && !failing
            {
                not_read(error);
            }
            failing = read.is_err();
            self.attempts
                .send_modify(|count| *count = count.wrapping_add(1));
            tokio::time::sleep(pause).await;
        }
    }

    async fn read(&self, cursor: &mut Cursor) -> Result<(), StoreError> {
        let [state, numbers, _] = self.settings.keys();
        let mut redis = self.settings.redis.clone();
        redis.set_timeout(redis.timeout().min(self.settings.stale_at_most));
        loop {
            let asked = self.made.elapsed();
            let call = Call::script(&READ, &[&state, &numbers])
                .word(cursor.number)
                .word(BATCH);
            let (epoch, number, entries): (String, u64, Vec<(String, u64)>) =
                redis.call(&call).await?;
            if epoch != cursor.epoch || number < cursor.number {
                let lost = cursor.number > 0;
                *cursor = Cursor { epoch, number: 0 };
                if lost {
                    continue;
                }
            }
            let all = entries.len() < BATCH;
            cursor.number = match entries.last() {
                Some((_, last)) if !all => *last,
                _ => number,
            };
            self.take(entries.iter().map(|(entry, _)| entry.as_str()))?;
            if all {
                let fresh_until = asked.saturating_add(self.settings.stale_at_most);
                let fresh_until = u64::try_from(fresh_until.as_nanos()).unwrap_or(u64::MAX);
                self.fresh_until.store(fresh_until, Ordering::Release);
                return Ok(());
            }
        }
    }

    /// Takes over what was read. Nothing is ever taken back: what was revoked stays so, also if Redis has lost it.
    fn take<'a>(&self, entries: impl Iterator<Item = &'a str>) -> Result<(), StoreError> {
        // The clock and the subscriber are the user's, and are not called with the lock held.
        let now = self.settings.clock.now();
        let mut unreadables = 0_usize;
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.forget(now);
        let mut taken = Ok(());
        for entry in entries {
            if list.len() >= AT_MOST_HERE {
                taken = Err(StoreError::new("there is no room for more revocations"));
                break;
            }
            match Entry::read(entry) {
                Some(entry) => list.add(entry.subject, entry.issued_until, entry.kept_until),
                None => unreadables = unreadables.saturating_add(1),
            }
        }
        drop(list);
        for _ in 0..unreadables {
            unreadable();
        }
        taken
    }

    /// Adds a revocation, in Redis and then here.
    pub(super) async fn add(&self, entry: Entry) -> Result<(), StoreError> {
        let settings = &self.settings;
        let now = settings.clock.now();
        let left = entry.kept_until.as_secs().saturating_sub(now.as_secs());
        let [state, numbers, ends] = settings.keys();
        let call = Call::script(&ADD, &[&state, &numbers, &ends])
            .word(entry.write())
            .word(entry.kept_until.as_secs())
            .word(now.saturating_sub(MARGIN).as_secs())
            .word(match entry.subject {
                Subject::Token(_) => AT_MOST,
                Subject::Client(_) | Subject::Owner(_) => AT_MOST + ROOM_FOR_CUT_OFFS,
            })
            .word((left + MARGIN.as_secs()) * 1000)
            .word(format!("{:032x}", random::id()));
        let room: bool = settings.redis.call(&call).await?;
        if !room {
            return Err(StoreError::new("there is no room for another revocation"));
        }
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.forget(now);
        list.add(entry.subject, entry.issued_until, entry.kept_until);
        Ok(())
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn not_read(error: &StoreError) {
    #[cfg(feature = "tracing")]
    tracing::event!(
        target: "tower_bearer",
        tracing::Level::WARN,
        "exception.message" = %crate::observe::Line(error),
        "revocations not read"
    );
}

fn unreadable() {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_bearer", "revocation cannot be read");
}
