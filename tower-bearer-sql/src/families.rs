//! [`SqlRefreshStore`]: families of refresh tokens.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tower_bearer::{
    BoxFuture, StoreError,
    token_service::{FamiliesOf, FamilyPage, RefreshFamily, RefreshStore, Rotated, Rotation},
};

use crate::{Database, database::with_pool};

/// Refresh tokens in a database, for any number of processes. Clones are the same store.
///
/// ```
/// use tower_bearer_sql::Database;
///
/// let database = Database::new("sqlite://login.db")?;
/// let refresh_tokens = database.refresh_tokens();
/// // Nothing was connected to yet.
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// See the [docs of the crate](crate#what-is-atomic) for what is kept and what is atomic.
#[derive(Clone)]
pub struct SqlRefreshStore(Arc<Shared>);

struct Shared {
    database: Database,
    per_client: i64,
    per_subject: i64,
    /// When rows were last deleted, in seconds.
    purged_at: AtomicU64,
}

/// Builds a [`SqlRefreshStore`].
#[must_use]
pub struct SqlRefreshStoreBuilder {
    database: Database,
    per_client: u32,
    per_subject: u32,
}

/// More than a client that is not mistaken has.
const PER_CLIENT: u32 = 1_000_000;

/// More sessions than anybody has, so that one account cannot fill the database.
const PER_SUBJECT: u32 = 1000;

/// How often rows that are over are deleted, in seconds, and how many at once.
const PURGE: u64 = 60;

/// Rows are kept so much longer than the family, in seconds, because clocks differ.
const MARGIN: u64 = 300;

/// Families that are listed or ended in one statement.
const PAGE: i64 = 256;

/// Between two attempts after the connection broke.
const PAUSE: Duration = Duration::from_millis(20);

impl SqlRefreshStore {
    pub(crate) fn new(database: Database) -> Self {
        Self::builder(database).build()
    }

    /// Returns a builder for a store in this database.
    pub fn builder(database: Database) -> SqlRefreshStoreBuilder {
        SqlRefreshStoreBuilder {
            database,
            per_client: PER_CLIENT,
            per_subject: PER_SUBJECT,
        }
    }
}

impl SqlRefreshStoreBuilder {
    /// Sets how many families a client and a subject may have, 1 or more. With one more, those end that have not been
    /// used for longest, and the server reports it. The defaults are a million and a thousand. The bound of a client is
    /// looked at once a minute, because counting takes time. Families that are over do not count. The families that a client has for itself, where the subject is the client, count for the client
    /// only.
    pub fn max_families(mut self, per_client: u32, per_subject: u32) -> Self {
        self.per_client = per_client.max(1);
        self.per_subject = per_subject.max(1);
        self
    }

    /// Returns the store.
    pub fn build(self) -> SqlRefreshStore {
        SqlRefreshStore(Arc::new(Shared {
            database: self.database,
            per_client: self.per_client.into(),
            per_subject: self.per_subject.into(),
            purged_at: AtomicU64::new(0),
        }))
    }
}

/// Has something done, and done again where the connection broke before there was an answer: whatever is done here has
/// the same effect once or twice. Whoever asks has a deadline.
///
/// A macro, because the compiler does not see of a closure that its future can be sent.
macro_rules! keep_asking {
    ($connections:expr, $pool:ident => $body:expr) => {
        loop {
            match with_pool!($connections, $pool => $body) {
                Ok(answer) => break answer,
                Err(error) if is_broken(&error) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(StoreError::new(error)),
            }
        }
    };
}

impl Shared {
    async fn begin(&self, family: &RefreshFamily) -> Result<Vec<RefreshFamily>, StoreError> {
        const INSERT: &str = "INSERT INTO tower_bearer_families \
                              (id, client_id, subject, begun_at, over_at, revision, family) \
                              VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";
        let (json, grant) = (to_json(family)?, family.grant());
        let connections = self.database.connections()?;
        keep_asking!(&connections, pool => {
                let insert = sqlx::query(INSERT)
                    .bind(family.id())
                    .bind(grant.client_id())
                    .bind(grant.subject())
                    .bind(number(family.begun_at().as_secs()))
                    .bind(over_at(family))
                    .bind(revision(family))
                    .bind(&json);
                insert.execute(pool).await.map(drop)
        });
        let mut ended = Vec::new();
        if grant.subject() != grant.client_id() {
            let of = FamiliesOf::Subject(grant.subject().to_owned());
            ended.extend(self.end_beyond(&of, self.per_subject, family.id()).await?);
        }
        // What takes longer is done now and then.
        let (now, before) = (now(), self.purged_at.load(Ordering::Relaxed));
        let is_first = now >= before.saturating_add(PURGE)
            && self
                .purged_at
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_first {
            self.purge(now).await?;
            let of = FamiliesOf::Client(grant.client_id().to_owned());
            ended.extend(self.end_beyond(&of, self.per_client, family.id()).await?);
        }
        Ok(ended)
    }

    /// Ends those that have not been used for longest, beyond so many that are not over, but not the one that has just
    /// begun.
    async fn end_beyond(
        &self,
        of: &FamiliesOf,
        at_most: i64,
        begun: &str,
    ) -> Result<Vec<RefreshFamily>, StoreError> {
        // By the index alone, and no further than to the one that is too many.
        const BEYOND_CLIENT: &str = "DELETE FROM tower_bearer_families WHERE id IN \
            (SELECT id FROM tower_bearer_families WHERE client_id = $1 AND over_at > $2 AND id <> $5 \
             ORDER BY over_at DESC, id LIMIT $3 OFFSET $4) RETURNING family";
        const BEYOND_SUBJECT: &str = "DELETE FROM tower_bearer_families WHERE id IN \
            (SELECT id FROM tower_bearer_families WHERE subject = $1 AND over_at > $2 AND id <> $5 \
             ORDER BY over_at DESC, id LIMIT $3 OFFSET $4) RETURNING family";
        let (statement, name) = match of {
            FamiliesOf::Client(client_id) => (BEYOND_CLIENT, client_id),
            FamiliesOf::Subject(subject) => (BEYOND_SUBJECT, subject),
            _ => return Ok(Vec::new()),
        };
        let connections = self.database.connections()?;
        let rows: Vec<(String,)> = keep_asking!(&connections, pool => {
                    let select = sqlx::query_as(statement)
                        .bind(name)
                        .bind(number(now()))
                        .bind(PAGE)
                        .bind(at_most.saturating_sub(1))
                .bind(begun);
                    select.fetch_all(pool).await
        });
        rows.iter().map(|(json,)| from_json(json)).collect()
    }

    async fn read(&self, id: &str) -> Result<Option<RefreshFamily>, StoreError> {
        const SELECT: &str = "SELECT family FROM tower_bearer_families WHERE id = $1";
        let connections = self.database.connections()?;
        let row: Option<(String,)> = keep_asking!(&connections, pool => {
                    sqlx::query_as(SELECT).bind(id).fetch_optional(pool).await
        });
        row.map(|(json,)| from_json(&json)).transpose()
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        let mut before = rotation.found().clone();
        loop {
            let mut after = before.clone();
            let outcome = after.rotate(rotation);
            let done = match outcome {
                Rotated::Expired | Rotated::Reused { .. } => self.delete(&before).await?,
                _ if after.revision() == before.revision() => true,
                _ => self.write(&after, &before).await?,
            };
            if done {
                return Ok(outcome);
            }
            match self.read(rotation.family_id()).await? {
                Some(family) => before = family,
                None => return Ok(Rotated::Unknown),
            }
        }
    }

    /// Writes a family, if nobody has since it was read. If the answer is lost, that looks as if somebody had, and the
    /// family is read again: with this rotation in it, or not.
    async fn write(
        &self,
        after: &RefreshFamily,
        before: &RefreshFamily,
    ) -> Result<bool, StoreError> {
        const UPDATE: &str = "UPDATE tower_bearer_families SET family = $1, over_at = $2, revision = $3 \
                              WHERE id = $4 AND revision = $5";
        let json = to_json(after)?;
        let connections = self.database.connections()?;
        Ok(keep_asking!(&connections, pool => {
                let update = sqlx::query(UPDATE)
                    .bind(&json)
                    .bind(over_at(after))
                    .bind(revision(after))
                    .bind(before.id())
                    .bind(revision(before));
                update.execute(pool).await.map(|done| done.rows_affected() == 1)
        }))
    }

    /// Deletes a family, if nobody has written it since it was read.
    async fn delete(&self, family: &RefreshFamily) -> Result<bool, StoreError> {
        const DELETE: &str = "DELETE FROM tower_bearer_families WHERE id = $1 AND revision = $2";
        let connections = self.database.connections()?;
        Ok(keep_asking!(&connections, pool => {
                let delete = sqlx::query(DELETE).bind(family.id()).bind(revision(family));
                delete.execute(pool).await.map(|done| done.rows_affected() == 1)
        }))
    }

    async fn end(&self, id: &str) -> Result<Option<RefreshFamily>, StoreError> {
        const DELETE: &str = "DELETE FROM tower_bearer_families WHERE id = $1 RETURNING family";
        let connections = self.database.connections()?;
        let row: Option<(String,)> = keep_asking!(&connections, pool => {
                    sqlx::query_as(DELETE).bind(id).fetch_optional(pool).await
        });
        // One that cannot be read has ended all the same.
        Ok(row.and_then(|(json,)| from_json(&json).ok()))
    }

    async fn end_some(&self, of: &FamiliesOf) -> Result<Vec<RefreshFamily>, StoreError> {
        const OF_CLIENT: &str = "DELETE FROM tower_bearer_families WHERE id IN \
            (SELECT id FROM tower_bearer_families WHERE client_id = $1 LIMIT $2) RETURNING family";
        const OF_SUBJECT: &str = "DELETE FROM tower_bearer_families WHERE id IN \
            (SELECT id FROM tower_bearer_families WHERE subject = $1 LIMIT $2) RETURNING family";
        const OF_BOTH: &str = "DELETE FROM tower_bearer_families WHERE id IN \
            (SELECT id FROM tower_bearer_families WHERE subject = $1 AND client_id = $3 LIMIT $2) \
            RETURNING family";
        let connections = self.database.connections()?;
        loop {
            let rows: Vec<(String,)> = keep_asking!(&connections, pool => {
                            let delete = match of {
                                FamiliesOf::Client(client_id) => {
                                    sqlx::query_as(OF_CLIENT).bind(client_id).bind(PAGE)
                                }
                                FamiliesOf::Subject(subject) => {
                                    sqlx::query_as(OF_SUBJECT).bind(subject).bind(PAGE)
                                }
                                FamiliesOf::ClientAndSubject { client_id, subject } => {
                                    sqlx::query_as(OF_BOTH).bind(subject).bind(PAGE).bind(client_id)
                                }
                                _ => return Ok(Vec::new()),
                            };
                            delete.fetch_all(pool).await
            });
            let none = rows.is_empty();
            let ended: Vec<_> = rows
                .iter()
                .filter_map(|(json,)| from_json(json).ok())
                .collect();
            if none || !ended.is_empty() {
                return Ok(ended);
            }
        }
    }

    async fn list(&self, of: &FamiliesOf, after: &str) -> Result<FamilyPage, StoreError> {
        const OF_CLIENT: &str = "SELECT id, family FROM tower_bearer_families \
            WHERE client_id = $1 AND id > $2 ORDER BY id LIMIT $3";
        const OF_SUBJECT: &str = "SELECT id, family FROM tower_bearer_families \
            WHERE subject = $1 AND id > $2 ORDER BY id LIMIT $3";
        const OF_BOTH: &str = "SELECT id, family FROM tower_bearer_families \
            WHERE subject = $1 AND client_id = $4 AND id > $2 ORDER BY id LIMIT $3";
        let connections = self.database.connections()?;
        let rows: Vec<(String, String)> = keep_asking!(&connections, pool => {
                    let select = match of {
                        FamiliesOf::Client(client_id) => sqlx::query_as(OF_CLIENT).bind(client_id),
                        FamiliesOf::Subject(subject) => sqlx::query_as(OF_SUBJECT).bind(subject),
                        FamiliesOf::ClientAndSubject { subject, .. } => {
                            sqlx::query_as(OF_BOTH).bind(subject)
                        }
                        _ => return Ok(FamilyPage::default()),
                    };
                    let select = select.bind(after).bind(PAGE);
                    let select = match of {
                        FamiliesOf::ClientAndSubject { client_id, .. } => select.bind(client_id),
                        _ => select,
                    };
                    select.fetch_all(pool).await
        });
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == PAGE);
        let next = rows.last().filter(|_| is_full).map(|(id, _)| id.clone());
        let families = rows.iter().map(|(_, json)| from_json(json));
        Ok(FamilyPage::new(families.collect::<Result<_, _>>()?, next))
    }

    /// Deletes rows that are over.
    async fn purge(&self, now: u64) -> Result<(), StoreError> {
        const DELETE: &str = "DELETE FROM tower_bearer_families WHERE id IN \
            (SELECT id FROM tower_bearer_families WHERE over_at < $1 LIMIT 1000)";
        let connections = self.database.connections()?;
        let deleted = keep_asking!(&connections, pool => {
                    let delete = sqlx::query(DELETE).bind(number(now.saturating_sub(MARGIN)));
                    delete.execute(pool).await.map(|done| done.rows_affected())
        });
        // There are more, for the next one who comes.
        if deleted == 1000 {
            self.purged_at.store(0, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl RefreshStore for SqlRefreshStore {
    fn begin(&self, family: RefreshFamily) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.database.in_time(shared.begin(&family)).await })
    }

    fn find(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        let (shared, id) = (Arc::clone(&self.0), family_id.to_owned());
        Box::pin(async move { shared.database.in_time(shared.read(&id)).await })
    }

    fn rotate(&self, rotation: Rotation) -> BoxFuture<Result<Rotated, StoreError>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.database.in_time(shared.rotate(&rotation)).await })
    }

    fn end(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>> {
        let (shared, id) = (Arc::clone(&self.0), family_id.to_owned());
        Box::pin(async move { shared.database.in_time(shared.end(&id)).await })
    }

    fn end_some(&self, of: &FamiliesOf) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>> {
        let (shared, of) = (Arc::clone(&self.0), of.clone());
        Box::pin(async move { shared.database.in_time(shared.end_some(&of)).await })
    }

    fn list(
        &self,
        of: &FamiliesOf,
        after: Option<&str>,
    ) -> BoxFuture<Result<FamilyPage, StoreError>> {
        let (shared, of) = (Arc::clone(&self.0), of.clone());
        let after = after.unwrap_or_default().to_owned();
        Box::pin(async move { shared.database.in_time(shared.list(&of, &after)).await })
    }
}

/// Whether the connection broke, or there is none: whether the statement was executed is not known.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // The server is shutting down or starting up (PostgreSQL, classes 57P and 08), or had to give up one of two
        // transactions (40); SQLite is busy (5) or locked (6).
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["57P", "08", "40"]
                .iter()
                .any(|class| code.starts_with(class) && code.len() == 5)
                || ["5", "6", "261", "517"].contains(&&*code)
        }),
        _ => false,
    }
}

fn to_json(family: &RefreshFamily) -> Result<String, StoreError> {
    serde_json::to_string(family).map_err(StoreError::new)
}

fn from_json(json: &str) -> Result<RefreshFamily, StoreError> {
    // serde_json quotes parts of the row, which has seeds of tokens.
    serde_json::from_str(json).map_err(|_| {
        StoreError::new(
            "a family in the database cannot be read: was it written by a later version?",
        )
    })
}

fn number(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// When a family is over if it is not used before.
fn over_at(family: &RefreshFamily) -> i64 {
    number(family.ends_at().min(family.idle_until()).as_secs())
}

/// Compared alone, so that the sign does not matter.
fn revision(family: &RefreshFamily) -> i64 {
    family.revision().cast_signed()
}

/// In seconds. By it rows are deleted, and counted, and nothing else is decided.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

impl fmt::Debug for SqlRefreshStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlRefreshStore")
            .field("database", &self.0.database)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SqlRefreshStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlRefreshStoreBuilder")
            .field("database", &self.database)
            .field("per_client", &self.per_client)
            .field("per_subject", &self.per_subject)
            .finish()
    }
}
