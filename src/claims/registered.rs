//! The claims that the standards name, kept together in one text.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{clock::NumericDate, error::ConfigError};

/// The claims that the standards name: RFC 7519 §4.1, RFC 9068 §2.2, RFC 7800 §3.1.
#[derive(Clone, Default)]
#[repr(C)]
pub struct RegisteredClaims {
    // First, for it is asked for at each use; see `claims::Inner`.
    pub(crate) confirmation: Option<Box<Confirmation>>,
    // All texts one after the other: one allocation, and one copy when it is cloned.
    text: String,
    issuer: Option<Span>,
    subject: Option<Span>,
    client_id: Option<Span>,
    id: Option<Span>,
    scope: Option<Span>,
    audience: Option<Span>,
    more_audiences: Vec<Span>,
    pub(crate) expires_at: Option<NumericDate>,
    pub(crate) not_before: Option<NumericDate>,
    pub(crate) issued_at: Option<NumericDate>,
}

/// A part of the text, from byte to byte.
#[derive(Clone, Copy)]
struct Span(usize, usize);

impl RegisteredClaims {
    /// `iss`: who issued the token (RFC 7519 §4.1.1).
    pub fn issuer(&self) -> Option<&str> {
        self.get(self.issuer)
    }

    /// `sub`: whom the token speaks of (RFC 7519 §4.1.2).
    pub fn subject(&self) -> Option<&str> {
        self.get(self.subject)
    }

    /// `aud`: whom the token is meant for (RFC 7519 §4.1.3).
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.audience
            .iter()
            .chain(&self.more_audiences)
            .filter_map(|span| self.get(Some(*span)))
    }

    /// `client_id`: the client that the token was issued to (RFC 8693 §4.3).
    pub fn client_id(&self) -> Option<&str> {
        self.get(self.client_id)
    }

    /// `jti`: the token's own identifier (RFC 7519 §4.1.7).
    pub fn id(&self) -> Option<&str> {
        self.get(self.id)
    }

    /// `scope` (or `scp`): what the token allows. Without the claim there are none.
    pub fn scopes(&self) -> Scopes<'_> {
        Scopes(self.get(self.scope).unwrap_or_default())
    }

    /// `exp`: when the token expires (RFC 7519 §4.1.4). With the leeway on top it is
    /// [`Claims::valid_until`](crate::Claims::valid_until).
    pub fn expires_at(&self) -> Option<NumericDate> {
        self.expires_at
    }

    /// `nbf`: before when the token is not to be used (RFC 7519 §4.1.5).
    pub fn not_before(&self) -> Option<NumericDate> {
        self.not_before
    }

    /// `iat`: when the token was issued (RFC 7519 §4.1.6).
    pub fn issued_at(&self) -> Option<NumericDate> {
        self.issued_at
    }

    /// `cnf`: the key that the token is bound to (RFC 7800 §3.1).
    pub fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_deref()
    }

    /// What the texts take on the heap, in bytes.
    #[cfg(feature = "cache")]
    pub(super) fn heap_bytes(&self) -> usize {
        let confirmation = self.confirmation.as_deref().map_or(0, |confirmation| {
            let hash = |hash: &Option<String>| hash.as_ref().map_or(0, String::capacity);
            size_of::<Confirmation>()
                .saturating_add(confirmation.json.capacity())
                .saturating_add(hash(&confirmation.jwk_thumbprint))
                .saturating_add(hash(&confirmation.certificate_thumbprint))
        });
        self.text
            .capacity()
            .saturating_add(
                self.more_audiences
                    .capacity()
                    .saturating_mul(size_of::<Span>()),
            )
            .saturating_add(confirmation)
    }

    fn get(&self, span: Option<Span>) -> Option<&str> {
        let Span(from, to) = span?;
        self.text.get(from..to)
    }

    fn push(&mut self, text: &str) -> Span {
        let from = self.text.len();
        self.text.push_str(text);
        Span(from, self.text.len())
    }

    #[cfg(all(feature = "jwt", feature = "_crypto"))]
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ..Self::default()
        }
    }

    pub(crate) fn set_issuer(&mut self, issuer: &str) {
        self.issuer = Some(self.push(issuer));
    }

    pub(crate) fn set_subject(&mut self, subject: &str) {
        self.subject = Some(self.push(subject));
    }

    pub(crate) fn set_client_id(&mut self, client_id: &str) {
        self.client_id = Some(self.push(client_id));
    }

    pub(crate) fn set_id(&mut self, id: &str) {
        self.id = Some(self.push(id));
    }

    pub(crate) fn set_scope<'a>(&mut self, scopes: impl Iterator<Item = &'a str>) {
        let from = self.text.len();
        for scope in scopes {
            if self.text.len() > from {
                self.text.push(' ');
            }
            self.text.push_str(scope);
        }
        self.scope = Some(Span(from, self.text.len()));
    }

    pub(crate) fn add_audience(&mut self, audience: &str) {
        let span = self.push(audience);
        if self.audience.is_none() {
            self.audience = Some(span);
        } else {
            self.more_audiences.push(span);
        }
    }
}

impl fmt::Debug for RegisteredClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredClaims")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("audiences", &self.audiences().collect::<Vec<_>>())
            .field("client_id", &self.client_id())
            .field("id", &self.id())
            .field("scopes", &self.scopes())
            .field("expires_at", &self.expires_at)
            .field("not_before", &self.not_before)
            .field("issued_at", &self.issued_at)
            .field("confirmation", &self.confirmation)
            .finish()
    }
}

/// What a token allows: scopes, compared exactly, in letter and case (RFC 6749 §3.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes<'a>(&'a str);

impl<'a> Scopes<'a> {
    #[cfg(all(feature = "token-service", feature = "_crypto"))]
    pub(crate) const fn new(scope: &'a str) -> Self {
        Self(scope)
    }

    /// Whether `scope` is among them.
    pub fn contains(self, scope: &str) -> bool {
        self.iter().any(|held| held == scope)
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        // Scopes are split on SP alone, and nothing else separates them.
        self.0.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// As the claim spells them, separated by spaces.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Scopes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The key that a token is bound to: the claim `cnf` (RFC 7800 §3.1).
///
/// The client that presents such a token must prove that it holds the key. Each member names a
/// [method](Self::methods) to prove it, and the layer lets the token pass only if its checks
/// [confirm](crate::Check::confirms) each of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Confirmation {
    json: String,
    methods: Vec<String>,
    jwk_thumbprint: Option<String>,
    certificate_thumbprint: Option<String>,
}

impl Confirmation {
    /// Reads the JSON object that is the value of `cnf`.
    ///
    /// # Errors
    /// If it is no object, is empty, holds a member twice, or a `jkt` or `x5t#S256` that is not the
    /// base64url of a SHA-256 hash.
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        let malformed = || {
            ConfigError::new(
                "`cnf` must be a JSON object with at least one member, each of them once, where \
                 `jkt` and `x5t#S256` are base64url SHA-256 hashes",
            )
        };
        let members = crate::json::object(json).ok_or_else(malformed)?;
        if members.is_empty() || !crate::json::is_shallow(json) {
            return Err(malformed());
        }
        let thumbprint = |name: &str| match members.iter().find(|member| member.0 == name) {
            None => Ok(None),
            Some((_, value)) => serde_json::from_str::<String>(value.get())
                .ok()
                .filter(|hash| is_sha256(hash))
                .map(Some)
                .ok_or_else(malformed),
        };
        Ok(Self {
            jwk_thumbprint: thumbprint("jkt")?,
            certificate_thumbprint: thumbprint("x5t#S256")?,
            methods: members.iter().map(|(name, _)| name.to_string()).collect(),
            json: json.to_owned(),
        })
    }

    /// Returns the names of all members, at least one: `jkt`, `x5t#S256`, and others that are
    /// registered as JWT confirmation methods (RFC 7800 §6.2), or unknown.
    ///
    /// ```
    /// use tower_bearer::Confirmation;
    ///
    /// let bound = Confirmation::from_json(
    ///     r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","kid":"1"}"#,
    /// )?;
    /// assert_eq!(bound.methods().collect::<Vec<_>>(), ["jkt", "kid"]);
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(String::as_str)
    }

    /// `jkt`: the SHA-256 thumbprint of the key of a DPoP proof, in base64url (RFC 9449 §6.1).
    pub fn jwk_thumbprint(&self) -> Option<&str> {
        self.jwk_thumbprint.as_deref()
    }

    /// `x5t#S256`: the SHA-256 thumbprint of a client certificate, in base64url (RFC 8705 §3.1).
    pub fn certificate_thumbprint(&self) -> Option<&str> {
        self.certificate_thumbprint.as_deref()
    }

    /// Any other member, by its name; `None` if it is not there, or no `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let members = crate::json::object(&self.json)?;
        let (_, value) = members.iter().find(|member| member.0 == name)?;
        serde_json::from_str(value.get()).ok()
    }
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation")
            .field("jwk_thumbprint", &self.jwk_thumbprint)
            .field("certificate_thumbprint", &self.certificate_thumbprint)
            .finish_non_exhaustive()
    }
}

/// 43 characters of base64url are 32 bytes.
fn is_sha256(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
