//! Tokens for somebody whom the application has authenticated by itself: [`AuthorizationServer::issue`].

use std::{borrow::Cow, error::Error, fmt, time::Duration};

use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};

use serde::Serialize;

use super::{
    answer::Tokens,
    event::{TokenEventKind, Trail},
    grant::Grant,
    issue::narrowed_to,
    observe,
    refusal::{COME_BACK_AFTER, Refusal},
    server::{AuthorizationServer, Server},
    session::Session,
};
use crate::{body::ResponseBody, clock::NumericDate, reject::Problem, store::StoreError};

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
        let mut request = IssueRequest::new(client_id, subject);
        request.scope = scope.map(str::to_owned);
        self.issue_for(request).await
    }

    /// Issues tokens as [`issue`](Self::issue) does, with more said: which resources they are for, and what the
    /// application wants to know of the session at each refresh.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use tower_bearer::token_service::{AuthorizationServer, IssueError, IssueRequest};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Session {
    ///     sid: String,
    ///     auth_time: u64,
    /// }
    ///
    /// # async fn f(server: AuthorizationServer) -> Result<(), IssueError> {
    /// let session = Session { sid: "s-1".to_owned(), auth_time: 1_800_000_000 };
    /// let request = IssueRequest::new("web", "user-1").scope("read").session(&session);
    /// let tokens = server.issue_for(request).await?;
    /// # Ok(())
    /// # }
    ///
    /// // Into each access token, now and after each refresh:
    /// let builder = AuthorizationServer::builder().extra_claims(|grant, claims| {
    ///     if let Ok(Some(session)) = grant.session::<Session>() {
    ///         claims.set("sid", session.sid);
    ///         claims.set("auth_time", session.auth_time);
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of [`issue`](Self::issue), and [`IssueErrorKind::InvalidResource`] and
    /// [`IssueErrorKind::InvalidSession`].
    pub async fn issue_for(&self, request: IssueRequest) -> Result<IssuedTokens, IssueError> {
        let (server, trail) = (&*self.0, Trail::default());
        trail.leads_to(TokenEventKind::Issued);
        trail.client(&request.client_id);
        let outcome = tokens_for(server, request, &trail).await;
        let reason = outcome
            .as_ref()
            .map(drop)
            .map_err(|error| error.kind.reason());
        let source = outcome
            .as_ref()
            .err()
            .and_then(|error| error.source.as_deref());
        observe::issued(server, &trail, reason, source);
        outcome.map(IssuedTokens)
    }
}

async fn tokens_for(
    server: &Server,
    request: IssueRequest,
    trail: &Trail,
) -> Result<Tokens, IssueError> {
    let find = async |id: &str| server.clients.find(id).await.map_err(Refusal::from);
    let client = find(&request.client_id).await?;
    let client = client
        .ok_or_else(|| IssueError::new(IssueErrorKind::UnknownClient, "the client is not known"))?;
    let invalid = |text| IssueError::new(IssueErrorKind::InvalidSubject, text);
    if request.subject.is_empty() {
        return Err(invalid("the subject is empty"));
    }
    if !server.settings.client_ids_as_subjects && find(&request.subject).await?.is_some() {
        return Err(invalid(
            "the subject is the id of a client, and services could take the one for the other",
        ));
    }
    let whole = Grant {
        subject: request.subject,
        session: request
            .session
            .transpose()
            .map_err(IssueError::of_session)?,
        ..server.whole_grant(&client)
    };
    trail.grant(&whole);
    let resources: Vec<&str> = request.resources.iter().map(String::as_str).collect();
    let grant = narrowed_to(&whole, request.scope.as_deref(), &resources)?;
    Ok(server.first_tokens(&client, grant, true, trail).await?)
}

/// For whom tokens are issued, and for what. See [`AuthorizationServer::issue_for`].
#[must_use]
pub struct IssueRequest {
    client_id: String,
    subject: String,
    scope: Option<String>,
    resources: Vec<String>,
    session: Option<Result<Session, StoreError>>,
}

impl IssueRequest {
    /// Returns a request for tokens of a user, `subject`, who has come by this client.
    pub fn new(client_id: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            subject: subject.into(),
            scope: None,
            resources: Vec::new(),
            session: None,
        }
    }

    /// Sets what the tokens allow, separated by spaces, within what the client may have. The default is all of it.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Adds a resource that the tokens are for, within the audiences of the client (RFC 8707). The default is all of
    /// them.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// Sets what the application wants to know of the session at each refresh, such as `sid`, `auth_time`, `acr` or a
    /// tenant: a value of a type of its own, 4096 bytes of JSON at most. [`Grant::session`] returns it. Clients never see
    /// it, unless it is written into claims.
    pub fn session(mut self, session: &impl Serialize) -> Self {
        self.session = Some(Session::of(session));
        self
    }
}

/// Shows whether there is session data, and not what it is.
impl fmt::Debug for IssueRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueRequest")
            .field("client_id", &self.client_id)
            .field("subject", &self.subject)
            .field("scope", &self.scope)
            .field("resources", &self.resources)
            .field("has_session", &self.session.is_some())
            .finish()
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
    /// The resource is none of the client's audiences.
    InvalidResource,
    /// The session data cannot be written as JSON, or is too long.
    InvalidSession,
    /// A store or the crypto backend failed. The same call may succeed later.
    Unavailable,
}

impl IssueErrorKind {
    /// For events.
    const fn reason(self) -> &'static str {
        match self {
            Self::UnknownClient => "client_unknown",
            Self::InvalidSubject => "invalid_subject",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidResource => "invalid_target",
            Self::InvalidSession => "invalid_session",
            Self::Unavailable => "unavailable",
        }
    }
}

impl IssueError {
    fn of_session(error: StoreError) -> Self {
        Self {
            kind: IssueErrorKind::InvalidSession,
            text: error.to_string().into(),
            source: None,
        }
    }

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
        } else if details.error == "invalid_target" {
            IssueErrorKind::InvalidResource
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
