//! Where in a request a token is looked for, how it is marked there, and how it is taken out.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, COOKIE, Entry, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
    uri::PathAndQuery,
};

use super::BearerToken;
use crate::error::{AuthError, ConfigError, reason};

/// The subprotocol that announces that the next one is a token.
pub(crate) const WEB_SOCKET_PROTOCOL: &str = "bearer";

/// A further place where a token is looked for, beside the `Authorization` header, which always is
/// one (RFC 6750 §2.1).
///
/// All are off until they are asked for with
/// [`BearerAuthLayer::token_source`](crate::BearerAuthLayer::token_source). A request with a token in
/// two of its enabled places, or twice in one, is a 400 (RFC 6750 §2).
///
/// A token in a form body (RFC 6750 §2.2) is not offered: to find it the layer would have to hold
/// the whole body back from the service, whose size and pace the client decides on.
#[derive(Clone)]
pub struct TokenSource(Kind);

#[derive(Clone)]
enum Kind {
    Header(HeaderName),
    Cookie(String),
    Query(String),
    WebSocketProtocol,
    Function(Arc<Function>),
}

type Function = dyn Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync;

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
    /// A browser drops the connection unless the answer chooses one of the subprotocols: where the
    /// service's 101 (or its 2xx to an extended CONNECT) has chosen none, `bearer` is. The token is
    /// never echoed.
    pub const fn web_socket_protocol() -> Self {
        Self(Kind::WebSocketProtocol)
    }

    /// Whatever `function` finds in the request: `None` if there is no token, and a token or
    /// something that is none otherwise. It is not marked as sensitive, and not taken out by
    /// [`remove_token`](crate::BearerAuthLayer::remove_token): the crate cannot know where it was.
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

    fn header_name(&self) -> Option<&HeaderName> {
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

/// In which kind of place a token was found, as far as the answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Query,
    WebSocketProtocol,
}

/// What was found where a token may be. Its form is not looked at before it is asked for: RFC 6750 §2
/// counts places, not good tokens.
pub(crate) struct Presented<'a> {
    raw: Cow<'a, [u8]>,
    pub(crate) place: Place,
}

impl<'a> Presented<'a> {
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(crate) fn token(&self) -> Result<BearerToken<'_>, AuthError> {
        BearerToken::from_bytes(&self.raw)
    }

    pub(crate) fn into_raw(self) -> Cow<'a, [u8]> {
        self.raw
    }
}

#[derive(Default)]
struct Search<'a>(Option<Presented<'a>>);

impl<'a> Search<'a> {
    fn add(&mut self, raw: impl Into<Cow<'a, [u8]>>, place: Place) -> Result<(), AuthError> {
        match self.0 {
            None => {
                let raw = raw.into();
                self.0 = Some(Presented { raw, place });
                Ok(())
            }
            Some(_) => Err(repeated("The request holds more than one access token")),
        }
    }
}

fn repeated(detail: &'static str) -> AuthError {
    AuthError::invalid_request(reason::TOKEN_REPEATED, detail)
}

/// Finds the one place of a request that holds a token, or that there is none.
///
/// From a header it is borrowed; a query parameter may have to be decoded into a text of its own.
pub(crate) fn find<'a>(
    parts: &'a Parts,
    sources: &[TokenSource],
) -> Result<Option<Presented<'a>>, AuthError> {
    let mut search = Search::default();

    let mut lines = parts.headers.get_all(AUTHORIZATION).iter();
    if let Some(line) = lines.next() {
        // A singleton (RFC 9110 §5.3): two lines are two credentials, whatever their schemes.
        if lines.next().is_some() {
            return Err(repeated("More than one Authorization header"));
        }
        if let Some(credentials) = after_scheme(line.as_bytes()) {
            search.add(credentials, Place::Header)?;
        }
    }

    for source in sources {
        match &source.0 {
            Kind::Header(name) => {
                for line in parts.headers.get_all(name) {
                    let raw = line.as_bytes();
                    search.add(after_scheme(raw).unwrap_or(raw), Place::Header)?;
                }
            }
            Kind::Cookie(name) => {
                for pair in cookies(&parts.headers) {
                    if let Some(value) = cookie_value(pair, name) {
                        search.add(value, Place::Header)?;
                    }
                }
            }
            Kind::Query(name) => {
                for pair in query_pairs(&parts.uri) {
                    if let Some(value) = query_value(pair, name) {
                        let value = match value {
                            Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
                            Cow::Owned(value) => Cow::Owned(value.into_bytes()),
                        };
                        search.add(value, Place::Query)?;
                    }
                }
            }
            Kind::WebSocketProtocol => {
                let mut protocols = web_socket_protocols(&parts.headers);
                while let Some(protocol) = protocols.next() {
                    if protocol == WEB_SOCKET_PROTOCOL.as_bytes() {
                        let token = protocols.next().unwrap_or_default();
                        search.add(token, Place::WebSocketProtocol)?;
                    }
                }
            }
            Kind::Function(function) => {
                if let Some(found) = function(parts) {
                    let found = match found {
                        Cow::Borrowed(found) => Cow::Borrowed(found.as_bytes()),
                        Cow::Owned(found) => Cow::Owned(found.into_bytes()),
                    };
                    search.add(found, Place::Header)?;
                }
            }
        }
    }

    Ok(search.0)
}

/// What follows the scheme `Bearer`, in any case (RFC 9110 §11.1), and its spaces; `None` for any
/// other scheme.
fn after_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"Bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return None;
    }
    match rest {
        // The name goes on: another scheme.
        [next, ..] if next.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(next) => None,
        // Not the space that must follow, but what may be part of a token, such as `/`: no token.
        [next, ..] if *next != b' ' => Some(&[]),
        _ => {
            let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
            rest.get(spaces..)
        }
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    // HTTP/2 clients send a line for each cookie.
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
}

fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    match value {
        [b'"', quoted @ .., b'"'] => Some(quoted),
        _ => Some(value),
    }
}

fn query_pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().into_iter().flat_map(|query| query.split('&'))
}

fn query_value<'a>(pair: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
    (form_decode(found) == name).then(|| form_decode(value))
}

/// Decodes `application/x-www-form-urlencoded`. What is no escape stays as it is, to be refused as
/// part of a token.
fn form_decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let (byte, after) = match (byte, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, later @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, later),
                _ => (b'%', after),
            },
            _ => (*byte, after),
        };
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn web_socket_protocols(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// The subprotocols without `bearer` and the token behind it.
fn other_protocols(headers: &HeaderMap) -> Vec<&[u8]> {
    let mut others = Vec::new();
    let mut protocols = web_socket_protocols(headers);
    while let Some(protocol) = protocols.next() {
        if protocol == WEB_SOCKET_PROTOCOL.as_bytes() {
            protocols.next();
        } else {
            others.push(protocol);
        }
    }
    others
}

/// Marks whatever may hold the credential as sensitive: it is shown in no `Debug` of the headers,
/// and is never indexed when it is sent on by HTTP/2.
pub(crate) fn mark_sensitive(headers: &mut HeaderMap, sources: &[TokenSource]) {
    mark(headers, &AUTHORIZATION);
    for name in sources.iter().filter_map(TokenSource::header_name) {
        mark(headers, name);
    }
}

fn mark(headers: &mut HeaderMap, name: &HeaderName) {
    let Some(first) = headers.get_mut(name) else {
        return;
    };
    first.set_sensitive(true);
    // Only where some header has several lines can this one have them. An `Entry` reaches them all, but
    // is much dearer than a look at the first.
    if headers.len() > headers.keys_len()
        && let Entry::Occupied(mut lines) = headers.entry(name)
    {
        lines.iter_mut().for_each(|line| line.set_sensitive(true));
    }
}

/// Takes the token out of a request in which [`find`] has found one.
pub(crate) fn remove(parts: &mut Parts, sources: &[TokenSource]) {
    if let Some(line) = parts.headers.get(AUTHORIZATION)
        && after_scheme(line.as_bytes()).is_some()
    {
        parts.headers.remove(AUTHORIZATION);
    }
    for source in sources {
        match &source.0 {
            Kind::Header(name) => {
                parts.headers.remove(name);
            }
            // A place without the token stays as it is, to the byte.
            Kind::Cookie(name) => {
                let holds = |pair: &&[u8]| cookie_value(pair, name).is_some();
                if !cookies(&parts.headers).any(|pair| holds(&pair)) {
                    continue;
                }
                let others = cookies(&parts.headers)
                    .filter(|pair| !holds(pair))
                    .collect::<Vec<_>>()
                    .join(&b"; "[..]);
                replace(&mut parts.headers, COOKIE, &others);
            }
            Kind::Query(name) => remove_from_query(&mut parts.uri, name),
            Kind::WebSocketProtocol => {
                if !web_socket_protocols(&parts.headers)
                    .any(|name| name == WEB_SOCKET_PROTOCOL.as_bytes())
                {
                    continue;
                }
                let others = other_protocols(&parts.headers).join(&b", "[..]);
                replace(&mut parts.headers, SEC_WEBSOCKET_PROTOCOL, &others);
            }
            Kind::Function(_) => {}
        }
    }
}

/// Puts one line in the place of all of that name, or none if there is nothing left to say.
fn replace(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    match HeaderValue::from_bytes(value) {
        Ok(mut value) if !value.is_empty() => {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        _ => {
            headers.remove(name);
        }
    }
}

fn remove_from_query(uri: &mut Uri, name: &str) {
    if !query_pairs(uri).any(|pair| query_value(pair, name).is_some()) {
        return;
    }
    let others = query_pairs(uri)
        .filter(|pair| query_value(pair, name).is_none())
        .collect::<Vec<_>>()
        .join("&");
    let path = uri.path();
    let target = if others.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{others}")
    };
    let mut parts = std::mem::take(uri).into_parts();
    // Both are parts of a target that was one already; if they were not, the query goes entirely.
    parts.path_and_query = PathAndQuery::try_from(target)
        .ok()
        .or(Some(PathAndQuery::from_static("/")));
    *uri = Uri::from_parts(parts).unwrap_or_default();
}
