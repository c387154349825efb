//! Tokens for somebody whom the application has authenticated by itself: [`AuthorizationServer::issue`].

use std::{borrow::Cow, error::Error, fmt, time::Duration};

use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};

use super::{
    answer::Tokens,
    grant::Grant,
    issue::narrowed_to,
    refusal::{COME_BACK_AFTER, Refusal},
    server::AuthorizationServer,
};
use crate::{body::ResponseBody, clock::NumericDate, reject::Problem};

impl AuthorizationServer {
    /// Issues an access token, and a refresh token, for somebody whom the application has authenticated by itself,
    /// such as a user with a password or a passkey. The refresh token is rotated at the endpoints like any other. A
    /// client that may not use [`GrantType::RefreshToken`](super::GrantType::RefreshToken) gets none.
    ///
    /// `client_id` is the known client by which the user came, which may be [public](super::Client::public).
    /// `subject` becomes the `sub` of the tokens. `scope` is what they allow, separated by spaces, within what the
    /// client may have; `None` stands for all of it.
    ///
    /// The subject must not be the id of a client, because a service that tells clients by their `sub` would take the
    /// user for the client (RFC 9700 §4.15). Ids of users that the users do not choose, such as UUIDs, never are. See
    /// [`allow_client_ids_as_subjects`](super::AuthorizationServerBuilder::allow_client_ids_as_subjects).
    ///
    /// ```
    /// use axum::{Form, extract::State, http::StatusCode, response::{IntoResponse, Response}};
    /// use serde::Deserialize;
    /// use tower_bearer::token_service::AuthorizationServer;
    ///
    /// #[derive(Deserialize)]
    /// struct Login {
    ///     name: String,
    ///     password: String,
    /// }
    ///
    /// async fn login(State(server): State<AuthorizationServer>, Form(login): Form<Login>) -> Response {
    ///     # async fn check(_: &str, _: &str) -> Option<String> { None }
    ///     let Some(user_id) = check(&login.name, &login.password).await else {
    ///         return StatusCode::UNAUTHORIZED.into_response();
    ///     };
    ///     // With the feature `axum`, both sides are responses by themselves.
    ///     match server.issue("web", &user_id, Some("read")).await {
    ///         Ok(tokens) => tokens.into_response().into_response(),
    ///         Err(error) => error.to_response().into_response(),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If the client is not known, may not have the scope, the subject is empty or a client's id, or a store cannot
    /// be reached. [`IssueError::kind`] tells which.
    pub async fn issue(
        &self,
        client_id: &str,
        subject: &str,
        scope: Option<&str>,
    ) -> Result<IssuedTokens, IssueError> {
        let server = &*self.0;
        let find = async |id: &str| server.clients.find(id).await.map_err(Refusal::from);
        let client = find(client_id).await?.ok_or_else(|| {
            IssueError::new(IssueErrorKind::UnknownClient, "the client is not known")
        })?;
        let invalid = |text| IssueError::new(IssueErrorKind::InvalidSubject, text);
        if subject.is_empty() {
            return Err(invalid("the subject is empty"));
        }
        if !server.settings.client_ids_as_subjects && find(subject).await?.is_some() {
            return Err(invalid(
                "the subject is the id of a client, and services could take the one for the other",
            ));
        }
        let whole = Grant {
            subject: subject.to_owned(),
            ..server.whole_grant(&client)
        };
        let grant = narrowed_to(&whole, scope, &[])?;
        let tokens = server.first_tokens(&client, grant, true).await?;
        Ok(IssuedTokens(tokens))
    }
}

/// Tokens that were issued. Its `Debug` shows neither.
pub struct IssuedTokens(Tokens);

impl IssuedTokens {
    /// The access token.
    pub fn access_token(&self) -> &str {
        &self.0.access_token.text
    }

    /// The `jti` of the access token, by which [`Revocation::revoke_token`](crate::Revocation::revoke_token) revokes
    /// it.
    pub fn access_token_id(&self) -> &str {
        &self.0.access_token.id
    }

    /// The `exp` of the access token.
    pub fn expires_at(&self) -> NumericDate {
        self.0.access_token.expires_at
    }

    /// For how long the access token is good.
    pub fn expires_in(&self) -> Duration {
        Duration::from_secs(self.0.expires_in)
    }

    /// The refresh token, unless the client may not have one.
    pub fn refresh_token(&self) -> Option<&str> {
        self.0.refresh_token.as_deref()
    }

    /// The response that the token endpoint would give (RFC 6749 §5.1).
    pub fn into_response(self) -> Response<ResponseBody> {
        self.0.into_response().map(ResponseBody::refusal)
    }
}

impl fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedTokens")
            .field("access_token_id", &self.access_token_id())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

/// Why no tokens were issued. `Display` says it in words, for logs.
#[derive(Debug)]
pub struct IssueError {
    kind: IssueErrorKind,
    text: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What kind of [`IssueError`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssueErrorKind {
    /// The client is not in the store of clients.
    UnknownClient,
    /// The subject is empty, or the id of a client.
    InvalidSubject,
    /// The scope is malformed, or more than the client may have.
    InvalidScope,
    /// A store or the crypto backend failed. The same call may succeed later.
    Unavailable,
}

impl IssueError {
    fn new(kind: IssueErrorKind, text: &'static str) -> Self {
        Self {
            kind,
            text: Cow::Borrowed(text),
            source: None,
        }
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> IssueErrorKind {
        self.kind
    }

    /// A response to the user: 503 with `Retry-After` for [`IssueErrorKind::Unavailable`], and 403 for the others. It
    /// is a problem document (RFC 9457) that does not say which check failed.
    pub fn to_response(&self) -> Response<ResponseBody> {
        let (status, detail) = match self.kind {
            IssueErrorKind::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The token service is temporarily unavailable, please try again",
            ),
            _ => (StatusCode::FORBIDDEN, "Access denied"),
        };
        let mut response = Problem::new(status).detail(detail).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let delay = HeaderValue::from(COME_BACK_AFTER.as_secs());
            response.headers_mut().insert(RETRY_AFTER, delay);
        }
        response.map(ResponseBody::refusal)
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for IssueError {
    fn into_response(self) -> axum_core::response::Response {
        self.to_response().map(axum_core::body::Body::new)
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for IssuedTokens {
    fn into_response(self) -> axum_core::response::Response {
        IssuedTokens::into_response(self).map(axum_core::body::Body::new)
    }
}

impl From<Refusal> for IssueError {
    fn from(refusal: Refusal) -> Self {
        let details = *refusal.0;
        let kind = if details.status == StatusCode::SERVICE_UNAVAILABLE {
            IssueErrorKind::Unavailable
        } else {
            // Nothing else of a grant is asked for.
            IssueErrorKind::InvalidScope
        };
        Self {
            kind,
            text: details.detail,
            source: details.source,
        }
    }
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for IssueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.source.as_deref() {
            Some(source) => Some(source),
            None => None,
        }
    }
}
