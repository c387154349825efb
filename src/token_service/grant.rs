//! [`Grant`]: what a client was granted, and may have tokens for.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::session::Session;
use crate::{claims::Scopes, store::StoreError};

/// What a client was granted: for whom, for what, and where its tokens are good.
///
/// It does not change for as long as its refresh tokens are rotated; a request may ask for less, never for
/// more (RFC 6749 §6). Only its [session](Self::session) may, by
/// [`may_refresh`](super::AuthorizationServerBuilder::may_refresh).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) scope: String,
    pub(super) audiences: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Session>,
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
            session: None,
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

    /// Returns the data of the application that was given when the tokens were issued, by
    /// [`IssueRequest::session`](super::IssueRequest::session). `None` if there was none.
    ///
    /// It outlives deployments, for as long as the refresh tokens do. So add fields with `#[serde(default)]`, or give
    /// the type a version: an enum with a variant each.
    ///
    /// # Errors
    /// Returns an error if the data is not of this type.
    pub fn session<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        self.session.as_ref().map(Session::read).transpose()
    }

    /// Replaces the data of the application. After a refresh it is what the next one finds.
    ///
    /// # Errors
    /// Returns an error if it cannot be written as JSON, or is longer than 4096 bytes then.
    pub fn with_session(mut self, session: &impl Serialize) -> Result<Self, StoreError> {
        self.session = Some(Session::of(session)?);
        Ok(self)
    }

    /// Keeps only these scopes, of those that were granted.
    #[must_use]
    pub fn with_scopes<'a>(mut self, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let kept: Vec<&str> = scopes.into_iter().collect();
        let scopes = self.scopes().iter().filter(|scope| kept.contains(scope));
        self.scope = scopes.collect::<Vec<_>>().join(" ");
        self
    }
}

/// Shows whether there is session data, and not what it is.
impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("client_id", &self.client_id)
            .field("subject", &self.subject)
            .field("scope", &self.scope)
            .field("audiences", &self.audiences)
            .field("has_session", &self.session.is_some())
            .finish()
    }
}
