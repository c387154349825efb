//! Stores of [`tower_bearer`]'s authorization server in PostgreSQL or SQLite: refresh tokens, revocations and clients.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_bearer::token_service::{AuthorizationServer, SigningKeys};
//! use tower_bearer_sql::Database;
//!
//! let database = Database::new("postgres://login:secret@db.internal/login")?;
//! database.migrate().await?;
//!
//! let server = AuthorizationServer::builder()
//!     .issuer("https://login.example.com")
//!     .audience("https://api.example.com")
//!     .signing_keys(SigningKeys::generate()?)
//!     .clients(database.clients())
//!     .refresh_tokens(database.refresh_tokens())
//!     .revocation(database.revocations());
//! # Ok(())
//! # }
//! ```
//!
//! # Which store to take
//! | your service | take |
//! |---|---|
//! | one process, and users may log in again when it restarts | the stores in memory of [`tower_bearer`] |
//! | one machine | this crate with SQLite: nothing to operate |
//! | several machines, and a PostgreSQL that is there anyway | this crate with PostgreSQL: sessions are in the same backup and the same transaction log as the rest |
//! | several machines, and thousands of refreshes a second | `RedisRefreshStore` and `RedisRevocation` of [`tower_bearer`], with the durability that their docs require |
//!
//! # What is kept
//! Four tables: `tower_bearer_families`, `tower_bearer_revocations`, `tower_bearer_clients` and
//! `tower_bearer_assertions`. None holds a token or
//! a secret, only hashes. Rows that are over are deleted in the background, some thousands at a time.
//! `tower_bearer_migrations` says which migrations were made.
//!
//! # What is atomic
//! A rotation reads the family, applies the rule of
//! [`RefreshFamily::rotate`](tower_bearer::token_service::RefreshFamily::rotate), and writes it back only if nobody
//! else has written it since. Otherwise it reads again. So of any number of presentations of a token, from any number
//! of processes, one finds it current. If the connection breaks before the answer, the rotation is repeated within the
//! timeout, which is safe because the same successor is presented again.
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `postgres` (default) | PostgreSQL |
//! | `sqlite` (default) | SQLite, built and linked statically. A crate of your tree that links another SQLite excludes it |
//! | `tls-aws-lc-rs`, `tls-ring`, `tls-native` | TLS to PostgreSQL, by rustls with that provider, or by the system |

mod assertions;
mod clients;
mod database;
mod families;
mod revocations;

pub use assertions::SqlReplayStore;
pub use clients::SqlClientStore;
pub use database::{Database, DatabaseBuilder};
pub use families::{SqlRefreshStore, SqlRefreshStoreBuilder};
pub use revocations::{SqlRevocationStore, SqlRevocationStoreBuilder};
