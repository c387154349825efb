//! [`SqlClientStore`]: clients.

use std::{fmt, sync::Arc};

use tower_bearer::{
    BoxFuture, StoreError,
    token_service::{Client, ClientStore},
};

use crate::{Database, database::with_pool};

/// Clients in a database. Clones are the same store.
///
/// ```no_run
/// # async fn f(database: tower_bearer_sql::Database) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::token_service::{Client, SecretHash};
///
/// let (secret, hash) = SecretHash::generate()?;
/// let client = Client::builder("reporting").secret(hash).scope("read").build()?;
/// database.clients().set(&client).await?;
/// // Show the secret to the owner of the client. Only its hash is kept.
/// # Ok(())
/// # }
/// ```
///
/// The server asks for a client at each request to an endpoint, so that a client that was changed or removed is so from
/// its next request on.
#[derive(Clone)]
pub struct SqlClientStore {
    database: Database,
}

impl SqlClientStore {
    pub(crate) const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Adds a client, or replaces the one with its id.
    ///
    /// # Errors
    /// Returns an error if the database cannot be reached.
    pub async fn set(&self, client: &Client) -> Result<(), StoreError> {
        const UPSERT: &str = "INSERT INTO tower_bearer_clients (id, client) VALUES ($1, $2) \
                              ON CONFLICT (id) DO UPDATE SET client = excluded.client";
        let json = serde_json::to_string(client).map_err(StoreError::new)?;
        let set = async {
            with_pool!(self.database.connections()?, pool => {
                let upsert = sqlx::query(UPSERT).bind(client.id()).bind(&json);
                upsert.execute(&pool).await.map_err(StoreError::new)?;
            });
            Ok(())
        };
        self.database.in_time(set).await
    }

    /// Removes a client, and returns whether there was one. Neither it nor its refresh tokens get access tokens from
    /// then on.
    ///
    /// # Errors
    /// Returns an error if the database cannot be reached.
    pub async fn remove(&self, client_id: &str) -> Result<bool, StoreError> {
        const DELETE: &str = "DELETE FROM tower_bearer_clients WHERE id = $1";
        let removed = async {
            let rows = with_pool!(self.database.connections()?, pool => {
                let delete = sqlx::query(DELETE).bind(client_id);
                delete.execute(&pool).await.map_err(StoreError::new)?.rows_affected()
            });
            Ok(rows > 0)
        };
        self.database.in_time(removed).await
    }

    /// Returns the ids of the clients that follow `after` in the order of their ids, `limit` at most. The first page
    /// follows the empty text.
    ///
    /// # Errors
    /// Returns an error if the database cannot be reached.
    pub async fn ids(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        const SELECT: &str =
            "SELECT id FROM tower_bearer_clients WHERE id > $1 ORDER BY id LIMIT $2";
        let ids = async {
            let rows: Vec<(String,)> = with_pool!(self.database.connections()?, pool => {
                let select = sqlx::query_as(SELECT).bind(after).bind(i64::from(limit));
                select.fetch_all(&pool).await.map_err(StoreError::new)?
            });
            Ok(rows.into_iter().map(|(id,)| id).collect())
        };
        self.database.in_time(ids).await
    }
}

impl ClientStore for SqlClientStore {
    fn find(&self, client_id: &str) -> BoxFuture<Result<Option<Arc<Client>>, StoreError>> {
        const SELECT: &str = "SELECT client FROM tower_bearer_clients WHERE id = $1";
        let (database, id) = (self.database.clone(), client_id.to_owned());
        Box::pin(async move {
            // No id has a NUL (RFC 6749 §A.1), and PostgreSQL has no text with one.
            if id.contains('\0') {
                return Ok(None);
            }
            let find = async {
                let row: Option<(String,)> = with_pool!(database.connections()?, pool => {
                    let select = sqlx::query_as(SELECT).bind(&id);
                    select.fetch_optional(&pool).await.map_err(StoreError::new)?
                });
                Ok(row)
            };
            let Some((json,)) = database.in_time(find).await? else {
                return Ok(None);
            };
            // serde_json quotes parts of the row, which has hashes of secrets.
            let client = serde_json::from_str::<Client>(&json).map_err(|_| {
                StoreError::new(format!("the client {id:?} in the database cannot be read"))
            })?;
            Ok(Some(Arc::new(client)))
        })
    }
}

impl fmt::Debug for SqlClientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlClientStore")
            .field("database", &self.database)
            .finish()
    }
}
