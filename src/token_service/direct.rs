//! Tokens for somebody whom the application has authenticated by itself: [`AuthorizationServer::issue`].

use std::{borrow::Cow, error::Error, fmt, time::Duration};

use http::Response;

use super::{
    answer::Tokens, grant::Grant, issue::narrowed_to, refusal::Refusal, server::AuthorizationServer,
};

impl AuthorizationServer {
    /// Issues an access token and a refresh token for somebody whom the application has authenticated by itself, such as
    /// a user with a password or a passkey. The refresh token is rotated at the endpoints like any other.
    ///
    /// `client_id` is the client by which the user came, a known one; `subject` becomes the `sub` of the tokens; `scope`
    /// is what they allow, separated by spaces, within what the client may have, and all of it if it is `None`.
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
    ///     match server.issue("web", &user_id, Some("read")).await {
    ///         Ok(tokens) => tokens.into_response().into_response(),
    ///         Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If the client is not known, may not have the scope, or a store cannot be reached.
    pub async fn issue(
        &self,
        client_id: &str,
        subject: &str,
        scope: Option<&str>,
    ) -> Result<IssuedTokens, IssueError> {
        let server = &*self.0;
        let client = server
            .clients
            .find(client_id)
            .await
            .map_err(Refusal::from)?;
        let client = client.ok_or(IssueError(Cow::Borrowed("the client is not known"), None))?;
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
        &self.0.access_token
    }

    /// For how long the access token is good.
    pub fn expires_in(&self) -> Duration {
        Duration::from_secs(self.0.expires_in)
    }

    /// The refresh token.
    pub fn refresh_token(&self) -> &str {
        self.0.refresh_token.as_deref().unwrap_or_default()
    }

    /// The answer that the token endpoint would give (RFC 6749 §5.1).
    pub fn into_response(self) -> Response<crate::ResponseBody> {
        self.0.into_response().map(crate::ResponseBody::refusal)
    }
}

impl fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedTokens")
            .field("expires_in", &self.expires_in())
            .finish_non_exhaustive()
    }
}

/// Why no tokens were issued. `Display` says it in words, for logs.
#[derive(Debug)]
pub struct IssueError(Cow<'static, str>, Option<Box<dyn Error + Send + Sync>>);

impl From<Refusal> for IssueError {
    fn from(refusal: Refusal) -> Self {
        let details = *refusal.0;
        Self(details.detail, details.source)
    }
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for IssueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.1.as_deref() {
            Some(source) => Some(source),
            None => None,
        }
    }
}
