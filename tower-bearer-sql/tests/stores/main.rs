//! The stores, on SQLite in a file and on a PostgreSQL that each test starts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod clients;
mod families;
mod lab;
mod processes;
mod revocations;

use std::time::Duration;

use tower_bearer_sql::Database;

/// A database of a test's own, which ends with it.
pub(crate) enum Kept {
    Sqlite { _folder: tempfile::TempDir },
    Postgres(lab::Postgres),
}

pub(crate) struct Lab {
    pub(crate) database: Database,
    pub(crate) url: String,
    pub(crate) kept: Kept,
}

impl Lab {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/login.db", folder.path().display());
        Self::migrated(url, Kept::Sqlite { _folder: folder }).await
    }

    pub(crate) async fn postgres() -> Self {
        let server = lab::Postgres::start();
        Self::migrated(server.url(), Kept::Postgres(server)).await
    }

    async fn migrated(url: String, kept: Kept) -> Self {
        let database = open(&url);
        database.migrate().await.unwrap();
        Self {
            database,
            url,
            kept,
        }
    }
}

/// With more time than the defaults have, for busy machines.
pub(crate) fn open(url: &str) -> Database {
    let builder = Database::builder(url).timeout(Duration::from_secs(20));
    builder.build().unwrap()
}

/// A test on both databases.
macro_rules! on_both {
    ($(#[$attribute:meta])* $name:ident => $test:path) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            $(#[$attribute])*
            async fn sqlite() {
                $test($crate::Lab::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            $(#[$attribute])*
            async fn postgres() {
                $test($crate::Lab::postgres().await).await;
            }
        }
    };
}
pub(crate) use on_both;

#[tokio::test]
async fn any_number_may_migrate_at_the_same_time() {
    for lab in [Lab::sqlite().await, Lab::postgres().await] {
        let databases: Vec<_> = (0..4).map(|_| open(&lab.url)).collect();
        let tasks = databases
            .into_iter()
            .map(|database| tokio::spawn(async move { database.migrate().await.unwrap() }));
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
}

#[test]
fn what_is_no_database_is_a_mistake_in_the_configuration() {
    for (url, hint) in [
        ("", "postgres://"),
        ("mysql://root@127.0.0.1/x", "postgres://"),
        (
            "postgres://user:hunter2@127.0.0.1:port/x",
            "percent-encoded",
        ),
        ("sqlite::memory:", "name a file"),
        ("sqlite://x.db?mode=nonsense", "SQLite"),
    ] {
        let error = Database::new(url).unwrap_err().to_string();
        assert!(error.contains(hint), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let none = Database::builder("sqlite://x.db")
        .max_connections(0)
        .build();
    assert!(none.unwrap_err().to_string().contains("max_connections"));
    let shown = format!(
        "{:?}",
        Database::new("postgres://user:hunter2@127.0.0.1/x").unwrap()
    );
    assert_eq!(shown, "Database(PostgreSQL)");
}

#[test]
fn without_a_runtime_it_fails_and_does_not_panic() {
    use tower_bearer::token_service::RefreshStore;

    let store = Database::new("sqlite://nowhere/x.db")
        .unwrap()
        .refresh_tokens();
    let mut found = std::pin::pin!(store.find("f"));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = found.as_mut().poll(&mut cx) else {
        panic!("it is not there at once");
    };
    assert!(error.to_string().contains("runtime"), "{error}");
}
