//! URLs: every place that takes one reads it here.
//!
//! `iri-string` decides what a URI of RFC 3986 is. `http::Uri` alone is not enough: it accepts a
//! raw `ü`, `%zz` and a port of 99999, and a client then connects to another place than the one
//! that was written.

use http::{Uri, uri::Scheme};
use iri_string::types::UriStr;

const NOT_A_URI: &str = "is not a URI of RFC 3986: percent-encode in UTF-8 what a URI may not \
                         hold (`%20` for a space), and write international names as `xn--…`";

/// Reads an absolute URL of `http` or `https` (RFC 9110 §4.2) that a client can connect to.
///
/// # Errors
/// Says what is wrong with the URL and how to fix it, in words that follow the URL.
pub(crate) fn web(url: &str) -> Result<Uri, &'static str> {
    let parsed = UriStr::new(url).map_err(|_| match UriStr::new(url.trim()) {
        Ok(_) if url.trim() != url => "has white space around it: leave it out",
        _ => NOT_A_URI,
    })?;
    if !is_web(parsed) {
        return Err("is not an absolute URL of https or http");
    }
    check_authority(parsed)?;
    if parsed.fragment_str().is_some() {
        return Err("has a fragment, which is never sent: leave it out");
    }
    // This is narrower than RFC 3986 in the host alone, and a client can use nothing else.
    url.parse()
        .map_err(|_| "has a host that no client can look up: write it without percent-encoding")
}

/// Whether a text is a URI of any scheme, which may have a fragment. One of `http` or `https` must
/// also have a host that can be connected to.
///
/// # Errors
/// Says what is wrong with the URI and how to fix it, in words that follow the URI.
pub(crate) fn check(uri: &str) -> Result<(), &'static str> {
    let parsed = UriStr::new(uri).map_err(|_| NOT_A_URI)?;
    if is_web(parsed) {
        check_authority(parsed)?;
    }
    Ok(())
}

/// Whether two URIs have the same host and port, or none.
pub(crate) fn same_authority(one: &str, other: &str) -> bool {
    let authority = |uri| Some(UriStr::new(uri).ok()?.authority_str());
    authority(one) == authority(other)
}

fn is_web(uri: &UriStr) -> bool {
    let scheme = uri.scheme_str();
    [Scheme::HTTP, Scheme::HTTPS]
        .iter()
        .any(|web| scheme.eq_ignore_ascii_case(web.as_str()))
}

/// RFC 9110 §4.2.1 and §4.2.4.
fn check_authority(uri: &UriStr) -> Result<(), &'static str> {
    let authority = uri
        .authority_components()
        .filter(|authority| !authority.host().is_empty())
        .ok_or("has no host")?;
    if authority.userinfo().is_some() {
        return Err("has user information in it, which would be shown to others: leave it out");
    }
    let port = authority.port().filter(|port| !port.is_empty());
    let exists = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    if !port.is_none_or(exists) {
        return Err("has a port that does not exist: choose one from 1 to 65535, or leave it out");
    }
    Ok(())
}

/// A URL that [`web`] has read, without its query, which may hold a secret (Attack 44).
#[cfg(all(feature = "jwks", feature = "_crypto"))]
pub(crate) fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// How many characters of a URL an error shows.
const LONGEST: usize = 200;

/// Any text that was configured as a URL, as an error may show it: escaped and cut, without what
/// may be a secret, which is the query and the user information (Attack 44).
pub(crate) fn shown(url: &str) -> String {
    let public = url.split(['?', '#']).next().unwrap_or_default();
    let authority = UriStr::new(public)
        .ok()
        .and_then(|uri| Some((uri.scheme_str(), uri.authority_str()?)));
    let (scheme, rest) = match (authority, public.rsplit_once('@')) {
        (Some((scheme, authority)), Some(_)) if authority.contains('@') => {
            (Some(scheme), public.split_once('@').map(|(_, rest)| rest))
        }
        (Some(_), _) | (None, None) => (None, None),
        // A text that is no URL has no place where user information ends but the last `@`.
        (None, Some((_, rest))) => (None, Some(rest)),
    };
    let mut shown = scheme.map_or(String::new(), |scheme| format!("{scheme}://"));
    shown.push_str(if rest.is_some() { "…@" } else { "" });
    let mut characters = rest.unwrap_or(public).chars();
    for character in characters.by_ref().take(LONGEST) {
        shown.extend(character.escape_debug());
    }
    if characters.next().is_some() || public.len() < url.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
