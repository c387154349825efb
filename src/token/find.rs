//! Finds the one token of a request.
//!
//! SP and HTAB around a header value mean nothing (RFC 9110 §5.5). Servers strip them over HTTP/1, but
//! hand them on over HTTP/2, so everything here and in `conceal` reads values through functions
//! that trim first. A header value holds no other ASCII white space, which is why `trim_ascii` fits.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderValue, Uri,
    header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
};

use super::{
    BearerToken,
    source::{Kind, TokenSource},
};
use crate::error::{AuthError, reason};

/// The subprotocol that announces that the next one is a token.
pub(crate) const WEB_SOCKET_PROTOCOL: &str = "bearer";

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

    if let Some(line) = parts.headers.get(AUTHORIZATION) {
        // A singleton (RFC 9110 §5.3): two lines are two credentials, whatever their schemes.
        if has_repeated_names(&parts.headers)
            && parts.headers.get_all(AUTHORIZATION).iter().nth(1).is_some()
        {
            return Err(repeated("More than one Authorization header"));
        }
        if let Some(credentials) = bearer_credentials(line) {
            search.add(credentials, Place::Header)?;
        }
    }

    for source in sources {
        match &source.0 {
            Kind::Header(name) => {
                for line in parts.headers.get_all(name) {
                    let raw = line.as_bytes().trim_ascii();
                    search.add(after_bearer(raw).unwrap_or(raw), Place::Header)?;
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
                    search.add(trimmed(found), Place::Header)?;
                }
            }
        }
    }

    Ok(search.0)
}

/// What a function has found, which may be a header value as it came.
fn trimmed(found: Cow<'_, str>) -> Cow<'_, [u8]> {
    const BLANKS: [char; 2] = [' ', '\t'];
    match found {
        Cow::Borrowed(found) => Cow::Borrowed(found.trim_matches(BLANKS).as_bytes()),
        Cow::Owned(found) => match found.trim_matches(BLANKS) {
            token if token.len() < found.len() => Cow::Owned(token.as_bytes().to_vec()),
            _ => Cow::Owned(found.into_bytes()),
        },
    }
}

/// Whether some header has several lines. To ask this is cheaper than to look for the second of one.
pub(super) fn has_repeated_names(headers: &HeaderMap) -> bool {
    headers.len() > headers.keys_len()
}

/// The credentials in an `Authorization` line; `None` for those of another scheme.
///
/// A line that cannot be read is not a line without credentials: it yields an empty token, which is
/// rejected as malformed, also where anonymous requests may pass.
pub(super) fn bearer_credentials(line: &HeaderValue) -> Option<&[u8]> {
    let value = line.as_bytes().trim_ascii();
    after_bearer(value).or_else(|| {
        let scheme = value
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .next()
            .unwrap_or_default();
        (!scheme.iter().copied().all(is_token_byte)).then_some(&[][..])
    })
}

/// What follows the scheme `Bearer`, in any case (RFC 9110 §11.1), and its spaces; `None` if the value
/// does not begin with that scheme.
fn after_bearer(value: &[u8]) -> Option<&[u8]> {
    // As nearly everybody writes it.
    if let Some(rest @ [first, ..]) = value.strip_prefix(b"Bearer ")
        && *first != b' '
    {
        return Some(rest);
    }
    let (scheme, rest) = value.split_at_checked(b"Bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return None;
    }
    match rest {
        // The name goes on: another scheme.
        [next, ..] if is_token_byte(*next) => None,
        // A space must follow. Anything else, such as a tab or `/`, is not part of the token.
        [next, ..] if *next != b' ' => Some(&[]),
        _ => {
            let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
            rest.get(spaces..)
        }
    }
}

/// A character of a token of RFC 9110 §5.6.2, such as the name of a scheme.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    // HTTP/2 clients send a line for each cookie.
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
}

/// The value of a cookie, if it has this name.
pub(super) fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (found, value) = pair.split_at_checked(at)?;
    if found.trim_ascii() != name.as_bytes() {
        return None;
    }
    match value.strip_prefix(b"=")?.trim_ascii() {
        [b'"', quoted @ .., b'"'] => Some(quoted),
        value => Some(value),
    }
}

pub(super) fn query_pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().into_iter().flat_map(|query| query.split('&'))
}

pub(super) fn query_value<'a>(pair: &'a str, name: &str) -> Option<Cow<'a, str>> {
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

/// The subprotocols that are offered. An empty one stays, so that nothing else is taken for the token.
pub(super) fn web_socket_protocols(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}
