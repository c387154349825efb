//! [`Address`]: a URL that keys may be fetched from.

use http::{Uri, uri::Scheme};

use crate::{error::ConfigError, url};

/// A URL of https, or of http on this machine or where that was allowed.
pub(super) struct Address {
    pub(super) uri: Uri,
    /// Which URLs a document that was fetched from here may name.
    terms: Terms,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Terms {
    Https,
    Loopback,
    AnyHttp,
}

impl Address {
    pub(super) fn parse(text: &str, insecure_http: bool) -> Result<Self, ConfigError> {
        let invalid =
            |wrong: &str| ConfigError::new(format!("the URL `{}` {wrong}", url::shown(text)));
        let uri = url::web(text).map_err(invalid)?;
        let terms = match insecure_http {
            true => Terms::AnyHttp,
            false if is_loopback(&uri) => Terms::Loopback,
            false => Terms::Https,
        };
        check_scheme(&uri, terms).map_err(invalid)?;
        Ok(Self { uri, terms })
    }

    /// Reads a URL that a document from here names. It is held to the same terms, so that a
    /// document from the network does not lead to this machine.
    pub(super) fn named_here(&self, text: &str) -> Result<Uri, &'static str> {
        let uri = url::web(text)?;
        check_scheme(&uri, self.terms)?;
        Ok(uri)
    }
}

fn check_scheme(uri: &Uri, terms: Terms) -> Result<(), &'static str> {
    let allowed = uri.scheme() == Some(&Scheme::HTTPS)
        || match terms {
            Terms::AnyHttp => true,
            Terms::Loopback => is_loopback(uri),
            Terms::Https => false,
        };
    if allowed {
        return Ok(());
    }
    Err(
        "is not https, so that anybody between here and there could issue tokens; if there is \
         nobody, allow it by `allow_insecure_http`",
    )
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
            ("https://login.example.com:99999/", false),
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
        assert!(here.named_here("https://keys.example.com:99999/").is_err());
        let here = Address::parse("http://127.0.0.1:4500", false).unwrap();
        assert!(here.named_here("http://127.0.0.1:4501/jwks").is_ok());
        assert!(here.named_here("http://169.254.169.254/").is_err());
    }

    /// Attack 44.
    #[test]
    fn an_error_shows_no_secret_of_the_url() {
        for url in [
            "http://login.example.com/jwks?code=s3cret",
            "https://user:s3cret@login.example.com/jwks",
            "https://login.example.com:99999/?code=s3cret",
        ] {
            let error = Address::parse(url, false).err().unwrap().to_string();
            assert!(!error.contains("s3cret"), "{error}");
            assert!(error.contains("login.example.com"), "{error}");
        }
    }
}
