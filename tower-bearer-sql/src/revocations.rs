//! [`SqlRevocationStore`]: revoked access tokens of several processes. How the copy in memory is kept is in `copy`.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};
use tower_bearer::{
    BoxFuture, Clock, ConfigError, NumericDate, RegisteredClaims, Revocation, Revoked, StoreError,
    SystemClock,
};

use crate::Database;

mod copy;

use copy::{Copy, State};

/// Revoked access tokens in a database, for any number of processes. Each process keeps a copy in memory, so checking
/// a token costs no query. Clones are the same store, with one copy.
///
/// ```
/// # fn auth<V>(verifier: V) -> Result<(), tower_bearer::ConfigError>
/// # where V: tower_bearer::Verifier + Send + Sync + 'static {
/// use tower_bearer::{BearerAuthLayer, RevocationList};
/// use tower_bearer_sql::Database;
///
/// let database = Database::new("postgres://api:secret@db.internal/login")?;
/// let auth = BearerAuthLayer::new(verifier).check(RevocationList::new(database.revocations()));
/// # Ok(())
/// # }
/// ```
///
/// # How fresh the copy is
/// A revocation made by this process is effective here at once. The other processes read it within
/// [`max_stale`](SqlRevocationStoreBuilder::max_stale). A background task reads what is new three times in that time.
/// It starts with the first check or revocation, and ends when the last clone is dropped.
///
/// | state of the copy | answer to a check |
/// |---|---|
/// | it has the revocation | revoked, however old the copy is |
/// | it is fresh and does not have it | not revoked |
/// | it is older than `max_stale`, because the database cannot be reached | an error, and so 503 |
/// | it was never read | the check waits for the first attempt, as long as the timeout of the database |
///
/// Rows are kept until no token can be meant by them, and 5 minutes longer because clocks differ.
#[derive(Clone)]
pub struct SqlRevocationStore(Arc<Keeper>);

/// Owns the task that keeps the copy.
struct Keeper {
    copy: Arc<Copy>,
    task: Mutex<Option<AbortHandle>>,
}

/// Builds a [`SqlRevocationStore`].
#[must_use]
pub struct SqlRevocationStoreBuilder {
    database: Database,
    max_stale: Duration,
    access_token_lifetime: Duration,
    clock: Arc<dyn Clock>,
}

/// What leeway verifiers may grant after `exp`.
const LEEWAY: Duration = Duration::from_secs(300);

impl SqlRevocationStore {
    pub(crate) fn new(database: Database) -> Self {
        Self::builder(database).store()
    }

    /// Returns a builder for a store in this database.
    pub fn builder(database: Database) -> SqlRevocationStoreBuilder {
        SqlRevocationStoreBuilder {
            database,
            max_stale: Duration::from_secs(10),
            access_token_lifetime: Duration::from_secs(24 * 3600),
            clock: Arc::new(SystemClock),
        }
    }

    fn add(
        &self,
        kind: Kind,
        name: &str,
        until: NumericDate,
        kept_for: Duration,
    ) -> BoxFuture<Result<(), StoreError>> {
        let started = self.0.start();
        let copy = Arc::clone(&self.0.copy);
        let revocation = Row {
            kind,
            name: name.to_owned(),
            until,
            kept_until: until.saturating_add(kept_for).saturating_add(LEEWAY),
        };
        Box::pin(async move {
            started?;
            copy.add(revocation).await
        })
    }
}

impl SqlRevocationStoreBuilder {
    /// Sets how old the copy in memory may be, and so how long a revoked token may still be accepted by other
    /// processes. The default is 10 seconds. With less, the database is asked more often, and a shorter outage of it
    /// is one of the service.
    pub fn max_stale(mut self, time: Duration) -> Self {
        self.max_stale = time;
        self
    }

    /// Sets the longest lifetime of an access token. Revocations of a client or a subject are kept this long. The
    /// default is 24 hours, the longest that the authorization server issues.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = lifetime;
        self
    }

    /// Sets the clock by which revocations end. The default is the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the store.
    ///
    /// # Errors
    /// Returns an error if `max_stale` is under 30 milliseconds.
    pub fn build(self) -> Result<SqlRevocationStore, ConfigError> {
        if self.max_stale < Duration::from_millis(30) {
            return Err(ConfigError::new(
                "`max_stale` is too short for the database to be read three times: use 30 milliseconds or more",
            ));
        }
        Ok(self.store())
    }

    fn store(self) -> SqlRevocationStore {
        SqlRevocationStore(Arc::new(Keeper {
            copy: Arc::new(Copy::new(self)),
            task: Mutex::default(),
        }))
    }
}

/// What is revoked, as the column `kind` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Token = 0,
    Client = 1,
    Subject = 2,
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    kind: Kind,
    name: String,
    until: NumericDate,
    kept_until: NumericDate,
}

impl Revocation for SqlRevocationStore {
    fn is_revoked(&self, claims: &RegisteredClaims) -> Revoked {
        let copy = &self.0.copy;
        // In this order: what is read in between only counts as older than it is.
        let state = copy.state();
        if copy.revokes(claims) {
            return Revoked::Ready(Ok(true));
        }
        if state == State::Fresh {
            return Revoked::Ready(Ok(false));
        }
        if let Err(error) = self.0.start() {
            return Revoked::Ready(Err(error));
        }
        if state == State::Stale {
            return Revoked::Ready(Err(too_old()));
        }
        // The clone keeps the task for as long as somebody waits.
        let (this, claims) = (self.clone(), claims.clone());
        Revoked::Pending(Box::pin(async move {
            let copy = &this.0.copy;
            copy.attempt().await;
            match copy.state() {
                _ if copy.revokes(&claims) => Ok(true),
                State::Fresh => Ok(false),
                State::Stale | State::NeverRead => Err(too_old()),
            }
        }))
    }

    fn revoke_token(&self, id: &str, expires_at: NumericDate) -> BoxFuture<Result<(), StoreError>> {
        self.add(Kind::Token, id, expires_at, Duration::ZERO)
    }

    fn revoke_client(
        &self,
        client_id: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        let lifetime = self.0.copy.settings.access_token_lifetime;
        self.add(Kind::Client, client_id, issued_until, lifetime)
    }

    fn revoke_subject(
        &self,
        subject: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        let lifetime = self.0.copy.settings.access_token_lifetime;
        self.add(Kind::Subject, subject, issued_until, lifetime)
    }
}

fn too_old() -> StoreError {
    StoreError::new("the revocations could not be read from the database lately")
}

impl Keeper {
    /// Starts the task, unless it runs.
    fn start(&self) -> Result<(), StoreError> {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        let runtime = Handle::try_current()
            .map_err(|_| StoreError::new("there is no tokio runtime to read revocations on"))?;
        *task = Some(runtime.spawn(Arc::clone(&self.copy).keep()).abort_handle());
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.abort();
        }
    }
}

/// Shows nothing that was revoked.
impl fmt::Debug for SqlRevocationStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlRevocationStore")
            .field("database", &self.0.copy.settings.database)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SqlRevocationStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlRevocationStoreBuilder")
            .field("database", &self.database)
            .field("max_stale", &self.max_stale)
            .field("access_token_lifetime", &self.access_token_lifetime)
            .finish_non_exhaustive()
    }
}
