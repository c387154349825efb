//! [`TokenSource`]: a further place where a token may be.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
};

use crate::error::ConfigError;

/// A further place where a token is looked for, beside the `Authorization` header, which always is one
/// (RFC 6750 §2.1).
///
/// All are off until [`BearerAuthLayer::token_source`](crate::BearerAuthLayer::token_source) adds them. A
/// request with a token in two of its enabled places, or twice in one, is rejected with 400 (RFC 6750 §2).
///
/// Spaces and tabs around a header value, around the name and value of a cookie, and around a subprotocol
/// are ignored, because HTTP/2 servers pass them on (RFC 9110 §5.5).
///
/// A token in a form body (RFC 6750 §2.2) is not supported. To find it, the layer would have to hold the
/// whole body back from the service, and the client decides on its size and pace.
#[derive(Clone)]
pub struct TokenSource(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    Header(HeaderName),
    Cookie(String),
    Query(String),
    WebSocketProtocol,
    Function(Arc<Function>),
}

pub(super) type Function = dyn Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync;

impl TokenSource {
    /// A header of another name, whose value is the token alone, or `Bearer` and the token.
    ///
    /// # Errors
    /// If `name` cannot be a header name, or is `authorization`, which is looked at anyway.
    pub fn header(name: &str) -> Result<Self, ConfigError> {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if name == AUTHORIZATION => Err(ConfigError::new(
                "the authorization header is always a token source: leave it out",
            )),
            Ok(name) => Ok(Self(Kind::Header(name))),
            Err(_) => Err(ConfigError::new(format!(
                "`{}` cannot be a header name: use letters, digits and `-`",
                name.escape_debug()
            ))),
        }
    }

    /// A cookie. Its name is compared exactly.
    ///
    /// Browsers send cookies on their own, also with requests that another site has made them send:
    /// set it `SameSite`, or add protection against request forgery.
    ///
    /// # Errors
    /// If `name` cannot be the name of a cookie (RFC 6265 §4.1.1).
    pub fn cookie(name: &str) -> Result<Self, ConfigError> {
        match HeaderName::from_bytes(name.as_bytes()) {
            // A cookie's name is a token, as a header's is.
            Ok(_) => Ok(Self(Kind::Cookie(name.to_owned()))),
            Err(_) => Err(ConfigError::new(format!(
                "`{}` cannot be a cookie's name: use letters, digits, `-` and `_`",
                name.escape_debug()
            ))),
        }
    }

    /// A query parameter, `access_token` by RFC 6750 §2.3. Its name is compared exactly, once both
    /// name and value are form-decoded.
    ///
    /// URLs end up in logs and histories, so this is for clients that cannot send a header, and for
    /// tokens of a short life. A 2xx answer to such a request gets `Cache-Control: private`, unless
    /// the service has set another.
    ///
    /// # Errors
    /// If `name` is empty.
    pub fn query(name: &str) -> Result<Self, ConfigError> {
        if name.is_empty() {
            return Err(ConfigError::new(
                "the query parameter has no name: RFC 6750 calls it `access_token`",
            ));
        }
        Ok(Self(Kind::Query(name.to_owned())))
    }

    /// The WebSocket subprotocol after `bearer`, as browsers can send it, whose `WebSocket` has no
    /// other way: `new WebSocket(url, ["bearer", token])`.
    ///
    /// A browser drops the connection unless the response chooses one of the subprotocols. If the service's
    /// 101 (or its 2xx to an extended CONNECT, RFC 8441 §5) chooses none, the layer chooses `bearer`. The
    /// token is never echoed.
    pub const fn web_socket_protocol() -> Self {
        Self(Kind::WebSocketProtocol)
    }

    /// Whatever `function` finds in the request. It returns `None` if there is no token. Anything else is
    /// taken for a token, without the spaces and tabs around it, and rejected if it is malformed: return
    /// an empty text for a place that is there but cannot be read.
    ///
    /// The token is not marked as sensitive, and [`remove_token`](crate::BearerAuthLayer::remove_token) does
    /// not remove it, because the crate does not know where it was.
    pub fn from_fn<F>(function: F) -> Self
    where
        F: Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync + 'static,
    {
        Self(Kind::Function(Arc::new(function)))
    }

    /// Whether both look at the same place. Two functions are never known to.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Header(one), Kind::Header(two)) => one == two,
            (Kind::Cookie(one), Kind::Cookie(two)) | (Kind::Query(one), Kind::Query(two)) => {
                one == two
            }
            (Kind::WebSocketProtocol, Kind::WebSocketProtocol) => true,
            _ => false,
        }
    }

    pub(super) fn header_name(&self) -> Option<&HeaderName> {
        match &self.0 {
            Kind::Header(name) => Some(name),
            Kind::Cookie(_) => Some(&COOKIE),
            Kind::WebSocketProtocol => Some(&SEC_WEBSOCKET_PROTOCOL),
            Kind::Query(_) | Kind::Function(_) => None,
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Header(name) => write!(f, "TokenSource::header({name})"),
            Kind::Cookie(name) => write!(f, "TokenSource::cookie({name})"),
            Kind::Query(name) => write!(f, "TokenSource::query({name})"),
            Kind::WebSocketProtocol => f.write_str("TokenSource::web_socket_protocol"),
            Kind::Function(_) => f.write_str("TokenSource::from_fn"),
        }
    }
}
