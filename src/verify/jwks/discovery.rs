//! Where an issuer says that its keys are: OpenID Connect Discovery 1.0 §4, RFC 8414 §3.

use http::Uri;

use super::{
    address::Address,
    fetch::{self, Transport},
    status::KeySetError,
};
use crate::{error::ConfigError, json, url};

/// An issuer, and the addresses of its metadata.
pub(super) struct Discovery {
    issuer: String,
    documents: [Address; 2],
}

impl Discovery {
    pub(super) fn new(issuer: &str, insecure_http: bool) -> Result<Self, ConfigError> {
        let address = Address::parse(issuer, insecure_http)?;
        if address.uri.query().is_some() {
            return Err(ConfigError::new(format!(
                "the issuer `{}` has a query, which no issuer has (RFC 8414 §2): leave it out",
                url::shown(issuer)
            )));
        }
        // A slash at the end is part of the issuer's name, but not of the addresses.
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let path = address.uri.path();
        let path = path.strip_suffix('/').unwrap_or(path);
        let origin = base.strip_suffix(path).unwrap_or(base);
        let document = |url: String| Address::parse(&url, insecure_http);
        Ok(Self {
            issuer: issuer.to_owned(),
            documents: [
                document(format!("{base}/.well-known/openid-configuration"))?,
                document(format!(
                    "{origin}/.well-known/oauth-authorization-server{path}"
                ))?,
            ],
        })
    }

    /// Asks the issuer where its keys are.
    pub(super) async fn jwks_uri(&self, transport: &Transport) -> Result<Uri, KeySetError> {
        let [openid, oauth] = &self.documents;
        match self.ask(openid, transport).await {
            Err(error) if error.is_client_error() => self.ask(oauth, transport).await,
            answer => answer,
        }
    }

    async fn ask(&self, document: &Address, transport: &Transport) -> Result<Uri, KeySetError> {
        let answer = fetch::get(transport, document.uri.clone(), None).await?;
        let unreadable = |what: &str| {
            let uri = &document.uri;
            KeySetError::new(
                "metadata_unreadable",
                format_args!("the metadata at {uri} {what}"),
            )
        };
        let text = std::str::from_utf8(&answer.body).map_err(|_| unreadable("is not UTF-8"))?;
        let members = json::object(text)
            .ok_or_else(|| unreadable("is no JSON object with unique members"))?;
        let member = |name: &str| -> Option<String> {
            let (_, value) = members.iter().find(|(member, _)| member == name)?;
            serde_json::from_str(value.get()).ok()
        };
        // OpenID Connect Discovery §4.3, RFC 8414 §3.3.
        match member("issuer") {
            Some(issuer) if issuer == self.issuer => {}
            Some(_) => {
                return Err(KeySetError::new(
                    "issuer_mismatch",
                    format_args!(
                        "the metadata at {} is of another issuer than {:?}",
                        document.uri, self.issuer
                    ),
                ));
            }
            None => return Err(unreadable("names no `issuer`")),
        }
        let jwks_uri = member("jwks_uri").ok_or_else(|| unreadable("names no `jwks_uri`"))?;
        document
            .named_here(&jwks_uri)
            .map_err(|wrong| unreadable(&format!("names a `jwks_uri` that {wrong}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_goes_after_the_issuer_and_before_its_path() {
        for (issuer, openid, oauth) in [
            (
                "https://example.com",
                "https://example.com/.well-known/openid-configuration",
                "https://example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://example.com/",
                "https://example.com/.well-known/openid-configuration",
                "https://example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://example.com/realms/a",
                "https://example.com/realms/a/.well-known/openid-configuration",
                "https://example.com/.well-known/oauth-authorization-server/realms/a",
            ),
            (
                "http://127.0.0.1:4400/realms/a/",
                "http://127.0.0.1:4400/realms/a/.well-known/openid-configuration",
                "http://127.0.0.1:4400/.well-known/oauth-authorization-server/realms/a",
            ),
            (
                "https://example.com/a//",
                "https://example.com/a//.well-known/openid-configuration",
                "https://example.com/.well-known/oauth-authorization-server/a/",
            ),
        ] {
            let discovery = Discovery::new(issuer, false).unwrap();
            let found = discovery.documents.map(|address| address.uri.to_string());
            assert_eq!(found, [openid, oauth], "{issuer}");
        }
        for issuer in [
            "https://example.com?tenant=a",
            "http://example.com",
            "https://example.com:99999",
            "https://example.com/\u{fc}",
            "https://example.com/%zz",
        ] {
            assert!(Discovery::new(issuer, false).is_err(), "{issuer}");
        }
    }
}
