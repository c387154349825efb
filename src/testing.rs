//! What tests need: an issuer to test against, and a check of what every store of refresh tokens must do.
//!
//! [`Issuer`] makes a key of its own and signs what a test asks for. It is for tests only: it checks nothing of what it
//! signs, and its key lives as long as the process.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    algorithm::Algorithm,
    crypto::{KeyError, SigningKey, sha256},
    error::ConfigError,
    verify::jwt::Key,
};

#[cfg(feature = "token-service")]
pub use crate::token_service::check_refresh_store;

/// An issuer with one key, for tests: of services that use this crate, and of the crate itself.
///
/// ```
/// use serde_json::json;
/// use tower_bearer::{Algorithm, KeySet, testing::Issuer};
///
/// let issuer = Issuer::new("https://issuer.example", Algorithm::ES256)?;
/// let token = issuer.token(&json!({ "sub": "user-1", "aud": "https://api.example" }))?;
/// assert_eq!(token.split('.').count(), 3);
///
/// // What the service under test is given.
/// let keys = KeySet::from_json(&issuer.public_key_set())?;
/// assert_eq!(keys.keys()[0].key_id(), Some(issuer.key_id()));
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// Every issuer has a fresh key. Those of ES256 and EdDSA take microseconds to make; those of RSA
/// take long, above all with the `rust-crypto` backend in a build without optimization.
pub struct Issuer {
    issuer: String,
    key_id: String,
    key: SigningKey,
}

impl Issuer {
    /// An issuer of that name (the `iss` of its tokens), which signs by that algorithm.
    ///
    /// # Errors
    /// If no key can be made, because the operating system gives no randomness.
    pub fn new(issuer: &str, algorithm: Algorithm) -> Result<Self, ConfigError> {
        let key = SigningKey::generate(algorithm).map_err(config_error)?;
        Ok(Self::with_signing_key(issuer, key))
    }

    /// An issuer with a private key in DER (PKCS#8), for what must be the same in every run.
    ///
    /// # Errors
    /// If it is not a private key for the algorithm.
    pub fn from_pkcs8_der(
        issuer: &str,
        algorithm: Algorithm,
        der: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        let key = SigningKey::from_pkcs8_der(algorithm, der.as_ref()).map_err(config_error)?;
        Ok(Self::with_signing_key(issuer, key))
    }

    /// An issuer that signs with a secret by HMAC.
    ///
    /// # Errors
    /// If the algorithm is not one of HMAC, or the secret is too short for it.
    pub fn from_secret(
        issuer: &str,
        algorithm: Algorithm,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        let key = SigningKey::from_hmac(algorithm, secret.as_ref()).map_err(config_error)?;
        Ok(Self::with_signing_key(issuer, key))
    }

    fn with_signing_key(issuer: &str, key: SigningKey) -> Self {
        // Different for different keys, so that two issuers in a test are told apart.
        let hash = sha256(key.public_jwk(None).to_string().as_bytes());
        Self {
            issuer: issuer.to_owned(),
            key_id: encode(&hash),
            key,
        }
    }

    /// Gives the key another name than the one that was made up for it.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = key_id.into();
        self
    }

    /// The name: the `iss` of the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The algorithm that it signs by.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// The name of the key: the `kid` of the tokens and of the key set.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key that verifies its tokens.
    ///
    /// # Errors
    /// None is expected: a key that can sign can verify.
    pub fn key(&self) -> Result<Key, ConfigError> {
        Key::from_jwk(&self.public_jwk().to_string())
    }

    /// The same as a JWK Set (RFC 7517 §5), as an issuer publishes it. Of an issuer by HMAC it holds
    /// the secret.
    pub fn public_key_set(&self) -> String {
        json!({ "keys": [self.public_jwk()] }).to_string()
    }

    fn public_jwk(&self) -> Value {
        self.key.public_jwk(Some(&self.key_id))
    }

    /// A token with these claims, of the type `at+jwt` (RFC 9068 §2.1). `iss` is added if it is not
    /// among them, and nothing else: not `exp`, not `aud`.
    ///
    /// # Errors
    /// If the claims are not a JSON object.
    pub fn token(&self, claims: &impl Serialize) -> Result<String, ConfigError> {
        let header = json!({
            "alg": self.algorithm().as_str(),
            "typ": "at+jwt",
            "kid": self.key_id,
        });
        let mut claims = serde_json::to_value(claims).map_err(not_json)?;
        claims
            .as_object_mut()
            .ok_or_else(|| ConfigError::new("the claims of a token are a JSON object"))?
            .entry("iss")
            .or_insert_with(|| self.issuer.as_str().into());
        self.token_with_header(&header, &claims)
    }

    /// A token with exactly this header and these claims.
    ///
    /// # Errors
    /// If either cannot be written as JSON.
    pub fn token_with_header(
        &self,
        header: &impl Serialize,
        claims: &impl Serialize,
    ) -> Result<String, ConfigError> {
        let header = serde_json::to_vec(header).map_err(not_json)?;
        let claims = serde_json::to_vec(claims).map_err(not_json)?;
        self.sign_raw(&header, &claims)
    }

    /// Signs these bytes, whatever they are: JSON as a test wants it spelled, or none.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn sign_raw(&self, header: &[u8], payload: &[u8]) -> Result<String, ConfigError> {
        self.sign_segments(&encode(header), &encode(payload))
    }

    /// Signs these segments, whatever they are: base64url as a test wants it spelled, or none.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn sign_segments(&self, header: &str, payload: &str) -> Result<String, ConfigError> {
        let message = format!("{header}.{payload}");
        let signature = self.key.sign(message.as_bytes()).map_err(config_error)?;
        Ok(format!("{message}.{}", encode(&signature)))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("issuer", &self.issuer)
            .field("algorithm", &self.algorithm())
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

fn encode(bytes: &[u8]) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes)
}

fn config_error(error: KeyError) -> ConfigError {
    ConfigError::new(error.to_string())
}

fn not_json(error: serde_json::Error) -> ConfigError {
    ConfigError::new(format!("cannot be written as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;

    /// Header and claims, if the key holds for the token.
    fn opened(issuer: &Issuer, token: &str) -> (Value, Value) {
        let decode = |text: &str| base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let key = issuer.key().unwrap();
        let [(algorithm, verifying)] = key.entries() else {
            unreachable!()
        };
        assert_eq!(*algorithm, issuer.algorithm());
        assert_eq!(key.key_id(), Some(issuer.key_id()));
        assert!(verifying.verify(message.as_bytes(), &decode(signature)));
        let (header, claims) = message.split_once('.').unwrap();
        let json = |text| serde_json::from_slice(&decode(text)).unwrap();
        (json(header), json(claims))
    }

    #[test]
    fn signs_what_its_key_verifies() {
        for algorithm in [
            Algorithm::HS256,
            Algorithm::HS384,
            Algorithm::HS512,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::ES512,
            Algorithm::EdDSA,
        ] {
            let issuer = Issuer::new("https://issuer.example", algorithm).unwrap();
            let token = issuer.token(&json!({ "sub": "someone" })).unwrap();
            let (header, claims) = opened(&issuer, &token);
            let name = algorithm.as_str();
            assert_eq!(
                header,
                json!({ "alg": name, "typ": "at+jwt", "kid": issuer.key_id() })
            );
            assert_eq!(
                claims,
                json!({ "iss": "https://issuer.example", "sub": "someone" })
            );
        }
    }

    #[test]
    fn spells_what_a_test_asks_for() {
        let issuer = Issuer::new("a", Algorithm::EdDSA).unwrap().with_key_id("b");
        let (_, claims) = opened(&issuer, &issuer.token(&json!({ "iss": null })).unwrap());
        assert_eq!(claims, json!({ "iss": null }));
        let token = issuer.token_with_header(&json!({ "alg": "none" }), &json!([7]));
        let (header, claims) = opened(&issuer, &token.unwrap());
        assert_eq!((header, claims), (json!({ "alg": "none" }), json!([7])));
        let (_, claims) = opened(&issuer, &issuer.sign_raw(b"{}", b"{ }").unwrap());
        assert_eq!(claims, json!({}));
        let token = issuer.sign_segments("!", "").unwrap();
        assert!(token.starts_with("!.."));
        assert!(issuer.token(&json!([])).is_err());
        assert!(issuer.token(&f64::NAN).is_err());
    }

    #[test]
    fn keys_and_names_are_fresh() {
        let [one, two] = [(); 2].map(|()| Issuer::new("a", Algorithm::ES256).unwrap());
        assert_ne!(one.key_id(), two.key_id());
        assert_ne!(one.public_key_set(), two.public_key_set());
        assert!(Issuer::from_pkcs8_der("a", Algorithm::ES256, b"").is_err());
    }

    #[test]
    fn debug_shows_no_key() {
        let issuer = Issuer::new("a", Algorithm::HS256).unwrap().with_key_id("b");
        assert_eq!(
            format!("{issuer:?}"),
            r#"Issuer { issuer: "a", algorithm: HS256, key_id: "b", .. }"#
        );
    }
}
