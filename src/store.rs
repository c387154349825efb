//! [`StoreError`]: a store of clients, refresh tokens or revocations that cannot be asked now.

use std::{error::Error, fmt};

/// A store, a source of signing keys or a signer could not be reached, or gave no answer that
/// makes sense. What depends on it is answered 503 with `Retry-After`, never 401: nobody is sent
/// to log in again because a database is down.
///
/// ```
/// use tower_bearer::StoreError;
///
/// let error = StoreError::new(std::io::Error::other("connection refused"));
/// assert_eq!(error.to_string(), "connection refused");
/// ```
#[derive(Debug)]
pub struct StoreError(Box<dyn Error + Send + Sync>);

impl StoreError {
    /// For the reason given. It is logged, and never shown to a client: it must hold no secret.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
