//! Conceals the credential of a request: marks it as sensitive, or takes it out.

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, COOKIE, Entry, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
    uri::PathAndQuery,
};

use super::{
    find::{
        WEB_SOCKET_PROTOCOL, bearer_credentials, cookie_value, cookies, has_repeated_names,
        query_pairs, query_value, web_socket_protocols,
    },
    source::{Kind, TokenSource},
};

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
    // An `Entry` reaches all lines, but is much dearer than a look at the first.
    if has_repeated_names(headers)
        && let Entry::Occupied(mut lines) = headers.entry(name)
    {
        lines.iter_mut().for_each(|line| line.set_sensitive(true));
    }
}

/// Takes the token out of a request in which [`find`](super::find::find) has found one.
pub(crate) fn remove(parts: &mut Parts, sources: &[TokenSource]) {
    if let Some(line) = parts.headers.get(AUTHORIZATION)
        && bearer_credentials(line).is_some()
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
