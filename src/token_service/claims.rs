//! The claims of an access token (RFC 9068 §2.2), and those that a user adds.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::grant::Grant;
use crate::clock::NumericDate;

/// Claims of one's own, to stand beside those of RFC 9068: see
/// [`extra_claims`](super::AuthorizationServerBuilder::extra_claims).
#[derive(Default)]
pub struct ExtraClaims(Map<String, Value>);

/// What is written by the authorization server alone: what the tokens rest on.
const OWN: [&str; 12] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "scp",
    "cnf",
    "act",
];

impl ExtraClaims {
    /// Sets a claim; one of the same name is replaced.
    ///
    /// A name that the token has of its own (`iss`, `sub`, `aud`, `exp`, `nbf`, `iat`, `jti`, `client_id`, `scope`,
    /// `scp`, `cnf`, `act`) is left out, and so is a value that JSON cannot hold.
    pub fn set(&mut self, name: impl Into<String>, value: impl Serialize) {
        let name = name.into();
        if let Ok(value) = serde_json::to_value(value)
            && !OWN.contains(&name.as_str())
        {
            self.0.insert(name, value);
        }
    }
}

impl fmt::Debug for ExtraClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What an access token says.
pub(super) struct AccessToken<'a> {
    pub(super) issuer: &'a str,
    /// What was granted, or less.
    pub(super) grant: &'a Grant,
    pub(super) id: &'a str,
    pub(super) issued_at: NumericDate,
    pub(super) expires_at: NumericDate,
}

impl AccessToken<'_> {
    pub(super) fn claims(&self, extra: ExtraClaims) -> Value {
        let mut claims = extra.0;
        let grant = self.grant;
        let audience = match grant.audiences.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("sub", json!(grant.subject)),
            ("aud", audience),
            ("client_id", json!(grant.client_id)),
            ("iat", json!(self.issued_at.as_secs())),
            ("exp", json!(self.expires_at.as_secs())),
            ("jti", json!(self.id)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        if !grant.scope.is_empty() {
            claims.insert("scope".to_owned(), json!(grant.scope));
        }
        Value::Object(claims)
    }
}
