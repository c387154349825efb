//! [`Copy`]: the revocations of the database in memory, and how they get there.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};
use tower_bearer::{
    InMemoryRevocation, NumericDate, RegisteredClaims, Revocation, Revoked, StoreError,
};

use super::{Kind, LEEWAY, Row, SqlRevocationStoreBuilder};
use crate::database::with_pool;

/// How many revocations are read at once.
const BATCH: i64 = 1000;

/// After a failure the next attempt is no later than this.
const PAUSE: Duration = Duration::from_millis(500);

/// Rows get their number before they can be seen, so that a low number may show up after a higher one. What was
/// numbered in the last half minute is therefore read again. A write takes a few milliseconds, and gives up after the
/// timeout of the database.
const OVERLAP: Duration = Duration::from_secs(30);

/// How often rows that are over are deleted, and how many at once.
const PURGE: Duration = Duration::from_secs(60);

pub(super) struct Copy {
    pub(super) settings: SqlRevocationStoreBuilder,
    known: InMemoryRevocation,
    made: Instant,
    /// In nanoseconds since it was made; 0 until all rows have been read once.
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
    /// Rows up to this number are not read again.
    settled: i64,
    /// The highest number there was at a time.
    seen: VecDeque<(Instant, i64)>,
}

impl Cursor {
    fn saw(&mut self, number: i64, now: Instant) {
        self.seen.push_back((now, number));
        while let Some((at, number)) = self.seen.front()
            && now.duration_since(*at) > OVERLAP
        {
            self.settled = self.settled.max(*number);
            self.seen.pop_front();
        }
    }
}

impl Copy {
    pub(super) fn new(settings: SqlRevocationStoreBuilder) -> Self {
        let known = InMemoryRevocation::with_settings(
            Arc::clone(&settings.clock),
            settings.access_token_lifetime,
        );
        Self {
            settings,
            known,
            made: Instant::now(),
            fresh_until: AtomicU64::new(0),
            attempts: watch::Sender::new(0),
        }
    }

    pub(super) fn revokes(&self, claims: &RegisteredClaims) -> bool {
        matches!(self.known.is_revoked(claims), Revoked::Ready(Ok(true)))
    }

    pub(super) fn state(&self) -> State {
        match self.fresh_until.load(Ordering::Acquire) {
            0 => State::NeverRead,
            until if self.made.elapsed().as_nanos() < u128::from(until) => State::Fresh,
            _ => State::Stale,
        }
    }

    /// Waits until the attempt under way, or the next one, has ended.
    pub(super) async fn attempt(&self) {
        let mut attempts = self.attempts.subscribe();
        // It may have ended in between.
        if self.state() == State::NeverRead {
            timeout(self.settings.database.0.timeout, attempts.changed())
                .await
                .ok();
        }
    }

    /// Reads what is new, again and again.
    pub(super) async fn keep(self: Arc<Self>) {
        // Two attempts may fail before the copy is too old.
        let interval = self.settings.max_stale / 3;
        let mut cursor = Cursor::default();
        let mut purged = Instant::now();
        let mut failing = false;
        loop {
            let read = self.settings.database.in_time(self.read(&mut cursor)).await;
            if let Err(error) = &read
                && !failing
            {
                // No statement holds a value, and no error of the library a password.
                tracing::event!(
                    target: "tower_bearer",
                    tracing::Level::WARN,
                    "exception.message" = ?error.to_string(),
                    "revocations not read"
                );
            }
            failing = read.is_err();
            self.attempts
                .send_modify(|count| *count = count.wrapping_add(1));
            if !failing && purged.elapsed() >= PURGE {
                purged = Instant::now();
                // What fails now is done the next time.
                self.settings.database.in_time(self.purge()).await.ok();
            }
            let pause = if failing {
                interval.min(PAUSE)
            } else {
                interval
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn read(&self, cursor: &mut Cursor) -> Result<(), StoreError> {
        const SELECT: &str = "SELECT seq, kind, name, until, kept_until FROM tower_bearer_revocations \
                              WHERE seq > $1 ORDER BY seq LIMIT $2";
        let asked = self.made.elapsed();
        let mut last = cursor.settled;
        loop {
            let rows: Vec<(i64, i64, String, i64, i64)> = with_pool!(self.settings.database.connections()?, pool => {
                let select = sqlx::query_as(SELECT).bind(last).bind(BATCH);
                select.fetch_all(&pool).await.map_err(StoreError::new)?
            });
            let all = i64::try_from(rows.len()).is_ok_and(|read| read < BATCH);
            for (number, kind, name, until, kept_until) in rows {
                last = number;
                self.take(kind, &name, until, kept_until).await?;
            }
            if all {
                break;
            }
        }
        cursor.saw(last, Instant::now());
        let fresh_until = asked.saturating_add(self.settings.max_stale).as_nanos();
        let fresh_until = u64::try_from(fresh_until).unwrap_or(u64::MAX);
        self.fresh_until.store(fresh_until, Ordering::Release);
        Ok(())
    }

    /// Takes over a row. Nothing is ever taken back: what was revoked stays so, also if the database has lost it.
    async fn take(
        &self,
        kind: i64,
        name: &str,
        until: i64,
        kept_until: i64,
    ) -> Result<(), StoreError> {
        let seconds = |number: i64| u64::try_from(number).map(NumericDate::from_secs).ok();
        let (Some(until), Some(kept_until)) = (seconds(until), seconds(kept_until)) else {
            return Ok(());
        };
        if kept_until < self.settings.clock.now() {
            return Ok(());
        }
        match kind {
            0 => self.known.revoke_token(name, until).await,
            1 => self.known.revoke_client(name, until).await,
            2 => self.known.revoke_subject(name, until).await,
            _ => Ok(()),
        }
    }

    /// Adds a revocation: to the database, and then here.
    pub(super) async fn add(&self, row: Row) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO tower_bearer_revocations (kind, name, until, kept_until) \
                              VALUES ($1, $2, $3, $4)";
        let (until, kept_until) = (number(row.until), number(row.kept_until));
        let kind = row.kind as i64;
        let inserted = async {
            with_pool!(self.settings.database.connections()?, pool => {
                let insert = sqlx::query(INSERT).bind(kind).bind(&row.name).bind(until).bind(kept_until);
                insert.execute(&pool).await.map_err(StoreError::new)?;
            });
            Ok(())
        };
        self.settings.database.in_time(inserted).await?;
        match row.kind {
            Kind::Token => self.known.revoke_token(&row.name, row.until).await,
            Kind::Client => self.known.revoke_client(&row.name, row.until).await,
            Kind::Subject => self.known.revoke_subject(&row.name, row.until).await,
        }
    }

    async fn purge(&self) -> Result<(), StoreError> {
        const DELETE: &str = "DELETE FROM tower_bearer_revocations WHERE seq IN \
                              (SELECT seq FROM tower_bearer_revocations WHERE kept_until < $1 LIMIT 10000)";
        let before = number(self.settings.clock.now().saturating_sub(LEEWAY));
        with_pool!(self.settings.database.connections()?, pool => {
            sqlx::query(DELETE).bind(before).execute(&pool).await.map_err(StoreError::new)?;
        });
        Ok(())
    }
}

fn number(date: NumericDate) -> i64 {
    i64::try_from(date.as_secs()).unwrap_or(i64::MAX)
}
