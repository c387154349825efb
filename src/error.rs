//! Why a request was refused ([`AuthError`]) and why a configuration was ([`ConfigError`]).

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};

pub mod reason;

/// Why a request was refused.
///
/// It has a [`kind`](Self::kind), which alone decides on the answer (status, RFC 6750 error code,
/// problem type), and a [`reason`](Self::reason), which is for logs and metrics and never reaches
/// the client: an answer that says which check failed helps whoever forges tokens.
///
/// A verifier or a [`Check`](crate::Check) makes one by kind:
///
/// ```
/// use tower_bearer::{AuthError, AuthErrorKind};
///
/// let error = AuthError::invalid_token("unknown_session");
/// assert_eq!(error.kind(), AuthErrorKind::InvalidToken);
/// assert_eq!(error.reason(), "unknown_session");
/// assert_eq!(error.kind().status(), 401);
/// ```
///
/// The layer puts the error into the extensions of the response that it answers with, where outer
/// layers (logs, metrics) find it. It is small and cheap to clone.
#[derive(Clone)]
pub struct AuthError {
    kind: AuthErrorKind,
    reason: &'static str,
    // Everything that most refusals do not have, so that they allocate nothing.
    more: Option<Arc<More>>,
}

#[derive(Clone, Default)]
struct More {
    detail: Option<Cow<'static, str>>,
    scope: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    parameters: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What kind of refusal it is; decides on the status, the error code and the problem type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthErrorKind {
    /// No credentials, or those of another scheme: 401, and a challenge without `error`
    /// (RFC 6750 §3.1).
    MissingToken,
    /// A token that is malformed, expired, forged or not for this service: 401 `invalid_token`.
    InvalidToken,
    /// A token that was revoked before its expiry: 401 `invalid_token`, problem type
    /// `token-revoked`.
    RevokedToken,
    /// A good token, but the user must authenticate anew or more strongly: 401
    /// `insufficient_user_authentication` (RFC 9470 §3).
    InsufficientUserAuthentication,
    /// A good token without a scope that is needed: 403 `insufficient_scope`.
    InsufficientScope,
    /// A good token, refused for a reason other than its scope: 403 `insufficient_scope` (the only
    /// code that RFC 6750 §3.1 has for a 403), without a `scope` parameter.
    AccessDenied,
    /// The request itself is wrong, such as two tokens in it: 400 `invalid_request`.
    InvalidRequest,
    /// Whether the token is good cannot be found out now, because keys or a store are out of
    /// reach: 503 with `Retry-After`, and no challenge, for the client's token is not at fault.
    Unavailable,
}

impl AuthErrorKind {
    /// The HTTP status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MissingToken
            | Self::InvalidToken
            | Self::RevokedToken
            | Self::InsufficientUserAuthentication => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope | Self::AccessDenied => StatusCode::FORBIDDEN,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The `error` code of the challenge (RFC 6750 §3.1, RFC 9470 §3); `None` where the challenge
    /// has none, or where there is no challenge.
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::MissingToken | Self::Unavailable => None,
            Self::InvalidToken | Self::RevokedToken => Some("invalid_token"),
            Self::InsufficientUserAuthentication => Some("insufficient_user_authentication"),
            Self::InsufficientScope | Self::AccessDenied => Some("insufficient_scope"),
            Self::InvalidRequest => Some("invalid_request"),
        }
    }

    /// The last part of the problem's `type`, which follows the base URI.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::MissingToken | Self::InvalidToken | Self::InsufficientUserAuthentication => {
                "unauthorized"
            }
            Self::RevokedToken => "token-revoked",
            Self::InsufficientScope | Self::AccessDenied => "access-denied",
            Self::InvalidRequest => "bad-request",
            Self::Unavailable => "service-unavailable",
        }
    }

    /// The `title` of the problem where it has a `type` of its own.
    pub const fn title(self) -> &'static str {
        match self {
            Self::MissingToken
            | Self::InvalidToken
            | Self::RevokedToken
            | Self::InsufficientUserAuthentication => "Unauthorized",
            Self::InsufficientScope | Self::AccessDenied => "Access Denied",
            Self::InvalidRequest => "Bad Request",
            Self::Unavailable => "Service Unavailable",
        }
    }

    /// The `detail` of the problem, unless the error brings its own.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::MissingToken | Self::InvalidToken => "Invalid or expired authentication token",
            Self::RevokedToken => "Authentication token has been revoked",
            Self::InsufficientUserAuthentication => "A different authentication level is required",
            Self::InsufficientScope | Self::AccessDenied => "Access denied",
            Self::InvalidRequest => "The request is malformed",
            Self::Unavailable => {
                "The authentication service is temporarily unavailable, please try again"
            }
        }
    }

    /// Every kind, in the order of [`index`](Self::index).
    pub(crate) const ALL: [Self; 8] = [
        Self::MissingToken,
        Self::InvalidToken,
        Self::RevokedToken,
        Self::InsufficientUserAuthentication,
        Self::InsufficientScope,
        Self::AccessDenied,
        Self::InvalidRequest,
        Self::Unavailable,
    ];

    /// Where this kind stands in a table of what is built once for each.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    const fn name(self) -> &'static str {
        match self {
            Self::MissingToken => "missing token",
            Self::InvalidToken => "invalid token",
            Self::RevokedToken => "revoked token",
            Self::InsufficientUserAuthentication => "insufficient user authentication",
            Self::InsufficientScope => "insufficient scope",
            Self::AccessDenied => "access denied",
            Self::InvalidRequest => "invalid request",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How long a client is asked to wait where the error does not say: long enough that a crowd of
/// clients does not hammer, short enough that a hiccup is not felt.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl AuthError {
    /// No token in the request.
    pub const fn missing_token() -> Self {
        Self::of(AuthErrorKind::MissingToken, reason::TOKEN_MISSING)
    }

    /// A token that does not hold. `reason` is for logs and metrics: a short constant, see
    /// [`reason`].
    pub const fn invalid_token(reason: &'static str) -> Self {
        Self::of(AuthErrorKind::InvalidToken, reason)
    }

    /// A token that was revoked before its expiry.
    pub const fn revoked_token() -> Self {
        Self::of(AuthErrorKind::RevokedToken, reason::TOKEN_REVOKED)
    }

    /// A good token of a user who must authenticate anew or more strongly (RFC 9470). Say how by
    /// [`with_challenge_parameter`](Self::with_challenge_parameter): `acr_values`, `max_age`.
    pub const fn insufficient_user_authentication() -> Self {
        Self::of(
            AuthErrorKind::InsufficientUserAuthentication,
            reason::INSUFFICIENT_USER_AUTHENTICATION,
        )
    }

    /// A good token that lacks a scope. `scope` is what the request needs, space-separated: the
    /// challenge names it, so that a client knows what to ask for (RFC 6750 §3.1).
    pub fn insufficient_scope(scope: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::of(AuthErrorKind::InsufficientScope, reason::INSUFFICIENT_SCOPE);
        error.more().scope = Some(scope.into());
        error
    }

    /// A good token, refused for another reason than its scope.
    pub const fn access_denied(reason: &'static str) -> Self {
        Self::of(AuthErrorKind::AccessDenied, reason)
    }

    /// A malformed request. `detail` is shown to the client; it says what is malformed.
    pub fn invalid_request(reason: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::of(AuthErrorKind::InvalidRequest, reason);
        error.more().detail = Some(detail.into());
        error
    }

    /// Whether the token is good cannot be found out now. The client is told to come back after
    /// 5 seconds, or as [`with_retry_after`](Self::with_retry_after) says.
    pub const fn unavailable(reason: &'static str) -> Self {
        Self::of(AuthErrorKind::Unavailable, reason)
    }

    const fn of(kind: AuthErrorKind, reason: &'static str) -> Self {
        Self {
            kind,
            reason,
            more: None,
        }
    }

    /// An error of that kind of which nothing else is known.
    pub(crate) const fn plain(kind: AuthErrorKind) -> Self {
        Self::of(kind, "")
    }

    fn more(&mut self) -> &mut More {
        Arc::make_mut(self.more.get_or_insert_default())
    }

    /// Keeps the error behind this one, for [`source`](Error::source). It is never shown to the
    /// client, but it is logged: it must not hold the token.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.more().source = Some(Arc::from(source.into()));
        self
    }

    /// After how long the client may try again. Sent in whole seconds, rounded up, at least 1.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.more().retry_after = Some(delay);
        self
    }

    /// Adds a parameter to the challenge, such as `acr_values` of RFC 9470 §3. One of the same name
    /// is replaced (RFC 9110 §11.2).
    ///
    /// The value is sent as a quoted string, with characters that it may not hold replaced. A name
    /// that is no token of RFC 9110 §5.6.2, or that the layer writes itself (`realm`, `error`,
    /// `error_description`, `scope`, `resource_metadata`), is left out.
    #[must_use]
    pub fn with_challenge_parameter(
        mut self,
        name: &'static str,
        value: impl Into<String>,
    ) -> Self {
        let parameters = &mut self.more().parameters;
        parameters.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        parameters.push((name, value.into()));
        self
    }

    /// Adds a header to the response, such as `DPoP-Nonce` of RFC 9449 §8.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more().headers.push((name, value));
        self
    }

    /// What kind of refusal it is.
    pub const fn kind(&self) -> AuthErrorKind {
        self.kind
    }

    /// Why, in a short constant for logs and metrics, such as `token_expired`. The ones that the
    /// crate uses are listed in [`reason`]; a verifier of your own brings its own.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// What the client is told: the text of the kind, or what the error was made with.
    pub fn detail(&self) -> &str {
        match self.more.as_deref() {
            Some(More {
                detail: Some(detail),
                ..
            }) => detail,
            _ => self.kind.detail(),
        }
    }

    /// The scope that the request needs, if that is what is missing.
    pub fn scope(&self) -> Option<&str> {
        self.more.as_deref()?.scope.as_deref()
    }

    /// After how long the client may try again; `None` unless the kind is
    /// [`Unavailable`](AuthErrorKind::Unavailable) or the error says it.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.more.as_deref().and_then(|more| more.retry_after) {
            None if matches!(self.kind, AuthErrorKind::Unavailable) => Some(RETRY_AFTER),
            said => said,
        }
    }

    /// Further parameters of the challenge.
    pub fn challenge_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.more
            .iter()
            .flat_map(|more| &more.parameters)
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// Further headers of the response.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.more
            .iter()
            .flat_map(|more| &more.headers)
            .map(|(name, value)| (name, value))
    }

    /// Whether the challenge of this error is that of its kind alone.
    pub(crate) fn has_plain_challenge(&self) -> bool {
        self.has_plain_detail()
            && self
                .more
                .as_deref()
                .is_none_or(|more| more.scope.is_none() && more.parameters.is_empty())
    }

    /// Whether it is answered as all of its kind are, headers included.
    pub(crate) fn is_plain(&self) -> bool {
        self.has_plain_challenge()
            && self
                .more
                .as_deref()
                .is_none_or(|more| more.retry_after.is_none() && more.headers.is_empty())
    }

    /// Whether the client is told what is told to all of this kind.
    pub(crate) fn has_plain_detail(&self) -> bool {
        self.more
            .as_deref()
            .is_none_or(|more| more.detail.is_none())
    }
}

impl fmt::Debug for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthError")
            .field("kind", &self.kind)
            .field("reason", &self.reason)
            .field("source", &self.source().map(ToString::to_string))
            .finish_non_exhaustive()
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.reason)
    }
}

impl Error for AuthError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.more.as_deref()?.source.as_deref() {
            Some(source) => Some(source),
            None => None,
        }
    }
}

/// A mistake in the configuration, found where it is made. Its message names the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    message: Cow<'static, str>,
}

impl ConfigError {
    /// Returns an error with this message, for the configuration of verifiers, checks and stores of your own. The message
    /// says what is wrong, and then how to fix it. It holds no secret, because it is logged when a service does not
    /// start.
    ///
    /// ```
    /// use tower_bearer::ConfigError;
    ///
    /// let error = ConfigError::new("`interval` is 0: use a second or more");
    /// assert_eq!(error.to_string(), "`interval` is 0: use a second or more");
    /// ```
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConfigError {}
