//! [`Grant`]: what a client was granted, and may have tokens for.

use serde::{Deserialize, Serialize};

use crate::claims::Scopes;

/// What a client was granted: for whom, for what, and where its tokens are good.
///
/// It does not change for as long as its refresh tokens are rotated; a request may ask for less, never for
/// more (RFC 6749 §6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) scope: String,
    pub(super) audiences: Vec<String>,
}

impl Grant {
    /// One for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn of(client_id: &str, subject: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            subject: subject.to_owned(),
            scope: "read write".to_owned(),
            audiences: vec!["https://api.example.com".to_owned()],
        }
    }

    /// `client_id`: the client that tokens are issued to (RFC 9068 §2.2).
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// `sub`: whom the tokens speak of; where no user takes part, the client itself (RFC 9068 §2.2).
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `scope`: what the tokens allow.
    pub fn scopes(&self) -> Scopes<'_> {
        Scopes::new(&self.scope)
    }

    /// `aud`: whom the tokens are meant for; at least one.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.audiences.iter().map(String::as_str)
    }
}
