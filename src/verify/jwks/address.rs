//! [`Address`]: a URL that keys may be fetched from.

use http::{Uri, uri::Scheme};

use crate::error::ConfigError;

/// A URL of https, or of http on this machine or where that was allowed.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) uri: Uri,
    /// On which terms others that it names may be trusted.
    terms: Terms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terms {
    Https,
    Loopback,
    AnyHttp,
}

impl Address {
    pub(super) fn parse(url: &str, insecure_http: bool) -> Result<Self, ConfigError> {
        let terms = match (insecure_http, parse(url)) {
            (true, _) => Terms::AnyHttp,
            (false, Ok(uri)) if is_loopback(&uri) => Terms::Loopback,
            _ => Terms::Https,
        };
        let uri =
            allowed(url, terms).map_err(|wrong| ConfigError::new(format!("{url:?} {wrong}")))?;
        Ok(Self { uri, terms })
    }

    /// A URL that a document from here names: on the same terms, so that one from the network does not
    /// lead to this machine.
    pub(super) fn named_here(&self, url: &str) -> Result<Uri, &'static str> {
        allowed(url, self.terms)
    }
}

fn parse(url: &str) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is not a URL")?;
    if uri.scheme().is_none() || uri.host().is_none_or(str::is_empty) {
        return Err("is not an absolute URL");
    }
    if url.contains('#') {
        return Err("has a fragment, which is not sent: leave it out");
    }
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err("has user information in it, which would be shown in logs: leave it out");
    }
    Ok(uri)
}

fn allowed(url: &str, terms: Terms) -> Result<Uri, &'static str> {
    let uri = parse(url)?;
    if uri.scheme() == Some(&Scheme::HTTPS) {
        return Ok(uri);
    }
    if uri.scheme() != Some(&Scheme::HTTP) {
        return Err("is neither https nor http");
    }
    match terms {
        Terms::AnyHttp => Ok(uri),
        Terms::Loopback if is_loopback(&uri) => Ok(uri),
        _ => Err(
            "is not https: whoever can answer in its place can issue tokens; if there is nobody, \
             allow it by `allow_insecure_http`",
        ),
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_and_http_of_this_machine_are_allowed() {
        for (url, ok) in [
            ("https://login.example.com/jwks", true),
            ("https://login.example.com:8443", true),
            ("HTTPS://login.example.com/", true),
            ("http://127.0.0.1:4500/jwks", true),
            ("http://127.9.9.9/", true),
            ("http://localhost/jwks", true),
            ("http://[::1]:80/jwks", true),
            ("http://login.example.com/jwks", false),
            ("http://localhost.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://169.254.169.254/", false),
            ("https://user:password@login.example.com/", false),
            ("https://login.example.com/#keys", false),
            ("ftp://login.example.com/", false),
            ("file:///etc/passwd", false),
            ("/jwks", false),
            ("", false),
        ] {
            assert_eq!(Address::parse(url, false).is_ok(), ok, "{url}");
        }
        assert!(Address::parse("http://login.example.com/jwks", true).is_ok());
    }

    /// Attack 32: a document from the network does not lead to this machine.
    #[test]
    fn what_a_document_names_is_on_the_same_terms() {
        let here = Address::parse("https://login.example.com", false).unwrap();
        assert!(here.named_here("https://keys.example.com/jwks").is_ok());
        assert!(here.named_here("http://127.0.0.1/jwks").is_err());
        assert!(here.named_here("http://keys.example.com/jwks").is_err());
        let here = Address::parse("http://127.0.0.1:4500", false).unwrap();
        assert!(here.named_here("http://127.0.0.1:4501/jwks").is_ok());
        assert!(here.named_here("http://169.254.169.254/").is_err());
    }
}
