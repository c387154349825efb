//! [`Database`]: PostgreSQL or SQLite, connected to when it is first needed.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Pool, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    pool::PoolOptions,
};
use tokio::runtime::Handle;
use tower_bearer::{ConfigError, StoreError};

use crate::{SqlClientStore, SqlRefreshStore, SqlReplayStore, SqlRevocationStore};

/// A PostgreSQL or SQLite database, in which the stores keep their tables. Clones share a pool of connections.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer_sql::Database;
///
/// let database = Database::new("postgres://login:secret@db.internal/login")?;
/// // Creates the tables, or brings them up to date. Any number of processes may do it at the same time.
/// database.migrate().await?;
///
/// let refresh_tokens = database.refresh_tokens();
/// let revocations = database.revocations();
/// let clients = database.clients();
/// # Ok(())
/// # }
/// ```
///
/// # URLs
/// | URL | database |
/// |---|---|
/// | `postgres://user:password@host:5432/database` | PostgreSQL. `?sslmode=verify-full&sslrootcert=ca.pem` requires TLS (features `tls-*`), `?host=/run/postgresql` connects to a Unix socket |
/// | `sqlite://path/to/file.db` | SQLite, in a file that is created if it is missing; `sqlite:///absolute/path` |
///
/// SQLite runs in write-ahead mode with `synchronous=FULL`: what it has answered survives a crash of the machine. It
/// is for processes on one machine, and the file must not be on a network file system.
///
/// Connections to PostgreSQL set `statement_timeout` to the [timeout](DatabaseBuilder::timeout), so that the server gives up
/// what nobody waits for any longer. PgBouncer has to let that pass: `ignore_startup_parameters = options`, and
/// `max_prepared_statements` above 0 in transaction mode. Keep `synchronous_commit` on: with `off` a crash may bring a
/// rotated token back, and the client has to log in again.
#[derive(Clone)]
pub struct Database(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    address: Address,
    /// Made when it is first needed, because it needs a runtime.
    connections: OnceLock<Connections>,
    max_connections: u32,
    pub(crate) timeout: Duration,
}

#[derive(Clone)]
enum Address {
    #[cfg(feature = "postgres")]
    Postgres(Box<sqlx::postgres::PgConnectOptions>),
    #[cfg(feature = "sqlite")]
    Sqlite(Box<sqlx::sqlite::SqliteConnectOptions>),
}

/// A pool of connections.
#[derive(Clone)]
pub(crate) enum Connections {
    #[cfg(feature = "postgres")]
    Postgres(Pool<sqlx::Postgres>),
    #[cfg(feature = "sqlite")]
    Sqlite(Pool<sqlx::Sqlite>),
}

/// Evaluates an expression with the pool, whichever it is. The text of a statement is the same for both databases.
macro_rules! with_pool {
    ($connections:expr, $pool:ident => $body:expr) => {
        match $connections {
            #[cfg(feature = "postgres")]
            $crate::database::Connections::Postgres($pool) => $body,
            #[cfg(feature = "sqlite")]
            $crate::database::Connections::Sqlite($pool) => $body,
        }
    };
}
pub(crate) use with_pool;

/// A database answers within milliseconds. What takes longer is waited for by a client.
const TIMEOUT: Duration = Duration::from_secs(2);

const MAX_CONNECTIONS: u32 = 10;

/// Not sqlx's own default, so that the migrations of an application stand beside these.
const MIGRATIONS: &str = "tower_bearer_migrations";

impl Database {
    /// Returns the database at a URL, with the defaults of [`builder`](Self::builder). Nothing is connected to yet.
    ///
    /// # Errors
    /// Returns an error if the URL is not one of PostgreSQL or SQLite, or if the feature for it is off.
    pub fn new(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }

    /// Returns a builder for the database at a URL.
    pub fn builder(url: impl AsRef<str>) -> DatabaseBuilder {
        DatabaseBuilder {
            url: url.as_ref().to_owned(),
            max_connections: MAX_CONNECTIONS,
            timeout: TIMEOUT,
        }
    }

    /// Creates the tables, or brings them up to date. Call it when the application starts.
    ///
    /// Any number of processes may call it at the same time: one migrates and the others wait. Which migrations were
    /// made is kept in the table `tower_bearer_migrations`.
    ///
    /// # Errors
    /// Returns an error if the database cannot be reached, or if the user may not create tables.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let migrator = |sql: &'static str| {
            let migration = Migration::new(
                1,
                "begin".into(),
                MigrationType::Simple,
                sql.into_sql_str(),
                false,
            );
            let mut migrator = Migrator::with_migrations(vec![migration]);
            migrator.dangerous_set_table_name(MIGRATIONS);
            // One of a later version of this crate is there already while processes are replaced one by one.
            migrator.set_ignore_missing(true);
            migrator
        };
        let migrated = match self.connections()? {
            #[cfg(feature = "postgres")]
            Connections::Postgres(pool) => {
                let migrator = migrator(include_str!("../migrations/postgres/1_begin.sql"));
                migrator.run(&pool).await
            }
            #[cfg(feature = "sqlite")]
            Connections::Sqlite(pool) => {
                let migrator = migrator(include_str!("../migrations/sqlite/1_begin.sql"));
                migrator.run(&pool).await
            }
        };
        migrated.map_err(StoreError::new)
    }

    /// Returns the store of refresh tokens.
    pub fn refresh_tokens(&self) -> SqlRefreshStore {
        SqlRefreshStore::new(self.clone())
    }

    /// Returns the store of revoked access tokens.
    pub fn revocations(&self) -> SqlRevocationStore {
        SqlRevocationStore::new(self.clone())
    }

    /// Returns the store of clients.
    pub fn clients(&self) -> SqlClientStore {
        SqlClientStore::new(self.clone())
    }

    /// Returns the store of used client assertions (`private_key_jwt`).
    pub fn client_assertions(&self) -> SqlReplayStore {
        SqlReplayStore::new(self.clone())
    }

    pub(crate) fn connections(&self) -> Result<Connections, StoreError> {
        has_runtime()?;
        let shared = &self.0;
        let connections = shared.connections.get_or_init(|| match &shared.address {
            #[cfg(feature = "postgres")]
            Address::Postgres(options) => Connections::Postgres(shared.pool(&**options)),
            #[cfg(feature = "sqlite")]
            Address::Sqlite(options) => Connections::Sqlite(shared.pool(&**options)),
        });
        Ok(connections.clone())
    }

    /// What comes of asking the database, within the timeout.
    pub(crate) async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // Without a runtime there are no deadlines either.
        has_runtime()?;
        match tokio::time::timeout(self.0.timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new("the database did not answer in time")),
        }
    }
}

fn has_runtime() -> Result<(), StoreError> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(StoreError::new(
            "there is no tokio runtime to reach the database from",
        )),
    }
}

impl Shared {
    fn pool<DB: sqlx::Database>(
        &self,
        options: &<DB::Connection as sqlx::Connection>::Options,
    ) -> Pool<DB> {
        PoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.timeout)
            .connect_lazy_with(options.clone())
    }
}

/// Builds a [`Database`].
#[must_use]
pub struct DatabaseBuilder {
    url: String,
    max_connections: u32,
    timeout: Duration,
}

impl DatabaseBuilder {
    /// Sets how many connections are open at most. The default is 10: each serves some thousand rotations a second.
    pub fn max_connections(mut self, number: u32) -> Self {
        self.max_connections = number;
        self
    }

    /// Sets how long a store may take for one operation in all, with connecting and further attempts. The default is
    /// 2 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the database. Nothing is connected to yet.
    ///
    /// # Errors
    /// Returns an error if the URL is not one of PostgreSQL or SQLite, if the feature for it is off, or if a number is
    /// 0.
    pub fn build(self) -> Result<Database, ConfigError> {
        if self.max_connections == 0 || self.timeout.is_zero() {
            return Err(ConfigError::new(
                "a database without connections or time: set `max_connections` and `timeout` to more than 0",
            ));
        }
        Ok(Database(Arc::new(Shared {
            address: address(&self.url, self.timeout)?,
            connections: OnceLock::new(),
            max_connections: self.max_connections,
            timeout: self.timeout,
        })))
    }
}

fn address(url: &str, timeout: Duration) -> Result<Address, ConfigError> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let options = sqlx::postgres::PgConnectOptions::from_str(url)
                .map_err(|_| unreadable("PostgreSQL", "postgres://user:password@host/database"))?;
            // It also ends there what nobody waits for any longer.
            let limit = timeout.as_millis().to_string();
            let options = options
                .options([("statement_timeout", limit)])
                .disable_statement_logging();
            Ok(Address::Postgres(Box::new(options)))
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

            let options = SqliteConnectOptions::from_str(url)
                .map_err(|_| unreadable("SQLite", "sqlite://path/to/file.db"))?;
            if options
                .get_filename()
                .to_string_lossy()
                .contains("sqlx-in-memory")
            {
                return Err(ConfigError::new(
                    "SQLite in memory is lost with its connection: name a file, or use the stores of \
                     tower-bearer that are in memory",
                ));
            }
            let options = options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(timeout)
                .disable_statement_logging();
            Ok(Address::Sqlite(Box::new(options)))
        }
        _ => Err(ConfigError::new(format!(
            "no database for the scheme {scheme:?}: use `postgres://` (feature `postgres`) or `sqlite://` (feature \
             `sqlite`)"
        ))),
    }
}

/// The URL may hold a password, and is not shown.
fn unreadable(database: &str, example: &str) -> ConfigError {
    ConfigError::new(format!(
        "the URL of {database} cannot be read: write it like `{example}`, with user and password percent-encoded"
    ))
}

/// Shows neither user nor password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.address {
            #[cfg(feature = "postgres")]
            Address::Postgres(_) => "PostgreSQL",
            #[cfg(feature = "sqlite")]
            Address::Sqlite(_) => "SQLite",
        };
        write!(f, "Database({kind})")
    }
}

impl fmt::Debug for DatabaseBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseBuilder").finish_non_exhaustive()
    }
}
