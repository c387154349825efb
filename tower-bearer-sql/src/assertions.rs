//! [`SqlReplayStore`]: used client assertions.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tower_bearer::{
    BoxFuture, Clock, NumericDate, StoreError, SystemClock, token_service::ReplayStore,
};

use crate::{Database, database::with_pool};

/// Used client assertions (`private_key_jwt`) in a database, for any number of processes. Clones are the same store.
///
/// ```
/// use tower_bearer::token_service::AuthorizationServer;
/// use tower_bearer_sql::Database;
///
/// let database = Database::new("sqlite://login.db")?;
/// let server = AuthorizationServer::builder().client_assertions(database.client_assertions());
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SqlReplayStore {
    database: Database,
    /// When rows were last deleted, in seconds.
    purged_at: Arc<AtomicU64>,
}

/// How often rows that are over are deleted, in seconds. They are kept so much longer, because clocks differ.
const PURGE: u64 = 300;

impl SqlReplayStore {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            purged_at: Arc::default(),
        }
    }

    async fn is_first(&self, id: &str, expires_at: NumericDate) -> Result<bool, StoreError> {
        const INSERT: &str = "INSERT INTO tower_bearer_assertions (id, used_by, expires_at) \
                              VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
        const SELECT: &str = "SELECT used_by FROM tower_bearer_assertions WHERE id = $1";
        let (this, end) = (this_use(), number(expires_at.as_secs()));
        let user: Option<(String,)> = with_pool!(self.database.connections()?, pool => {
            let insert = sqlx::query(INSERT).bind(id).bind(&this).bind(end);
            insert.execute(&pool).await.map_err(StoreError::new)?;
            let select = sqlx::query_as(SELECT).bind(id);
            select.fetch_optional(&pool).await.map_err(StoreError::new)?
        });
        self.purge().await?;
        Ok(user.is_some_and(|(user,)| user == this))
    }

    async fn purge(&self) -> Result<(), StoreError> {
        const DELETE: &str = "DELETE FROM tower_bearer_assertions WHERE id IN \
                              (SELECT id FROM tower_bearer_assertions WHERE expires_at < $1 LIMIT 10000)";
        let now = SystemClock.now().as_secs();
        let before = self.purged_at.load(Ordering::Relaxed);
        if now < before.saturating_add(PURGE) {
            return Ok(());
        }
        self.purged_at.store(now, Ordering::Relaxed);
        with_pool!(self.database.connections()?, pool => {
            let delete = sqlx::query(DELETE).bind(number(now.saturating_sub(PURGE)));
            delete.execute(&pool).await.map_err(StoreError::new)?;
        });
        Ok(())
    }
}

impl ReplayStore for SqlReplayStore {
    fn is_first_use(
        &self,
        id: &str,
        expires_at: NumericDate,
    ) -> BoxFuture<Result<bool, StoreError>> {
        let (store, id) = (self.clone(), id.to_owned());
        Box::pin(async move {
            store
                .database
                .in_time(store.is_first(&id, expires_at))
                .await
        })
    }
}

/// Unlike any other, and no secret: 128 random bits.
fn this_use() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

fn number(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

impl fmt::Debug for SqlReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlReplayStore")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
