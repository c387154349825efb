//! [`SigningKey`]: one private key.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    jwk,
    signer::{Remote, Signer},
};
use crate::{
    algorithm::Algorithm,
    clock::NumericDate,
    crypto::{
        self, Parts, PrivateParts,
        export::{self, PrivateMembers},
        pem, sha256,
    },
    error::ConfigError,
    store::StoreError,
};

/// A private key that signs access tokens. Its `Debug` shows its id and algorithm alone.
///
/// A server that people rely on has a key that lives longer than the process. It is made once, and kept where secrets
/// are kept:
///
/// ```sh
/// openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signing-key.pem    # ES256
/// openssl genpkey -algorithm ed25519 -out signing-key.pem                                # EdDSA
/// openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out signing-key.pem      # RS256, PS256
/// ```
///
/// Or by this crate, as PEM or as a JWK:
///
/// ```
/// use tower_bearer::{Algorithm, token_service::SigningKey};
///
/// let key = SigningKey::generate(Algorithm::ES256)?;
/// let pem = key.to_pem()?;
/// assert!(pem.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
///
/// let again = SigningKey::from_pem(Algorithm::ES256, pem.expose())?;
/// assert_eq!(again.key_id(), key.key_id());
///
/// // A JWK also holds the algorithm and the id.
/// let again = SigningKey::from_jwk(key.with_key_id("2026-01").to_jwk()?.expose())?;
/// assert_eq!(again.key_id(), "2026-01");
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
pub struct SigningKey {
    key: Private,
    public: Arc<PublicKey>,
}

// There are few.
#[allow(clippy::large_enum_variant)]
enum Private {
    Here(crypto::SigningKey),
    Elsewhere(Remote),
}

/// What everybody may know of a signing key.
pub(super) struct PublicKey {
    algorithm: Algorithm,
    /// With the `kid`.
    jwk: Value,
    id: String,
    /// The header of its tokens, as it stands in them.
    header: String,
}

impl PublicKey {
    fn new(algorithm: Algorithm, mut jwk: Value, id: String) -> Self {
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".into(), id.as_str().into());
        }
        let header = header(algorithm, &id);
        Self {
            algorithm,
            jwk,
            id,
            header,
        }
    }

    /// The public half of a key, whose id is its thumbprint if it has no other.
    pub(super) fn of(
        algorithm: Algorithm,
        parts: &Parts,
        id: Option<String>,
    ) -> Result<Self, ConfigError> {
        Self::named(algorithm, parts.jwk(algorithm, None), id)
    }

    fn named(algorithm: Algorithm, jwk: Value, id: Option<String>) -> Result<Self, ConfigError> {
        let id = id.or_else(|| thumbprint(&jwk)).ok_or(ConfigError::new(
            "the public key of the signing key cannot be written",
        ))?;
        Ok(Self::new(algorithm, jwk, id))
    }

    /// As a JWK, with the time from which the key was used.
    pub(super) fn write_jwk(
        &self,
        use_from: NumericDate,
    ) -> Result<Zeroizing<String>, ConfigError> {
        jwk::write(&self.jwk, None, Some(use_from)).ok_or_else(not_written)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn jwk(&self) -> &Value {
        &self.jwk
    }
}

impl SigningKey {
    /// A fresh key: of ES256 or EdDSA in microseconds, of RSA in some tenths of a second, with 2048 bits.
    ///
    /// # Errors
    /// If the algorithm is one of HMAC, or the operating system gives no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, ConfigError> {
        asymmetric(algorithm)?;
        Self::of(crypto::SigningKey::generate(algorithm).map_err(|error| {
            ConfigError::new(format!("no key for {algorithm} can be made: {error}"))
        })?)
    }

    /// Reads a private key in PEM: `PRIVATE KEY` (PKCS#8, RFC 5958).
    ///
    /// White space is treated as by [`Key::from_pem`](crate::Key::from_pem).
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if the text is no PEM document or holds more than one, if the
    /// document is something else (the error says how to convert it), or if the key is not one
    /// for the algorithm.
    pub fn from_pem(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let pem = pem::read(pem.as_ref(), "PRIVATE KEY")?;
        match &*pem.label {
            "PRIVATE KEY" => Self::from_der(algorithm, &*Zeroizing::new(pem.contents)),
            label @ ("EC PRIVATE KEY" | "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY") => {
                Err(ConfigError::new(format!(
                    "PEM of the type {label:?}; write it anew as PKCS#8 by `openssl pkcs8 -topk8 -nocrypt -in \
                     key.pem`"
                )))
            }
            label => Err(ConfigError::new(format!(
                "PEM of the type {label:?}; `PRIVATE KEY` is wanted"
            ))),
        }
    }

    /// A private key in DER: PKCS#8 (RFC 5958).
    ///
    /// # Errors
    /// If it is something else, or not a key for the algorithm.
    pub fn from_der(algorithm: Algorithm, der: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        asymmetric(algorithm)?;
        let key = crypto::SigningKey::from_pkcs8_der(algorithm, der.as_ref())
            .map_err(|error| ConfigError::new(error.to_string()))?;
        Self::of(key)
    }

    /// Reads a private key from a JWK (RFC 7517, RFC 7518 §6, RFC 8037): of type `RSA` with two primes, `EC` or `OKP`.
    ///
    /// Its `alg` becomes the algorithm. A JWK of type `RSA` must have one; for the others it follows from the curve. Its
    /// `kid` becomes the id. Without `kid` the id is the thumbprint of the public key (RFC 7638).
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if the text is not a JWK, lacks the private members, is not meant for signing (`use`,
    /// `key_ops`, `alg`), or if its numbers contradict each other. The error shows no private member.
    pub fn from_jwk(json: &str) -> Result<Self, ConfigError> {
        jwk::read(json).map_err(|reason| ConfigError::new(format!("JWK not usable: {reason}")))
    }

    /// Writes the private key in PEM: `PRIVATE KEY` (PKCS#8, RFC 5958), as OpenSSL does.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if a [`Signer`] has the private key, or if the crypto backend fails.
    pub fn to_pem(&self) -> Result<PrivateKeyText, ConfigError> {
        let (private, public) = self.parts()?;
        let pem = export::pem(&private, public);
        pem.map(PrivateKeyText).ok_or_else(not_written)
    }

    /// Writes the private key as a JWK (RFC 7517 §4), with `use`, `alg` and `kid`.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if a [`Signer`] has the private key, or if the crypto backend fails.
    pub fn to_jwk(&self) -> Result<PrivateKeyText, ConfigError> {
        self.write_jwk(None).map(PrivateKeyText)
    }

    /// A key that a [`Signer`] signs with, such as a key management service.
    ///
    /// `public_key` is the public key as the service gives it: PEM (`PUBLIC KEY`), DER (SubjectPublicKeyInfo), or a JWK
    /// in JSON. Each signature is verified by it before a token is answered.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if the public key cannot be read, or is not one for the algorithm.
    pub fn from_signer(
        algorithm: Algorithm,
        public_key: impl AsRef<[u8]>,
        signer: impl Signer,
    ) -> Result<Self, ConfigError> {
        asymmetric(algorithm)?;
        let remote = Remote::new(algorithm, public_key.as_ref(), signer)?;
        let jwk = remote.public().jwk(algorithm, None);
        Self::with(Private::Elsewhere(remote), algorithm, jwk)
    }

    pub(super) fn of(key: crypto::SigningKey) -> Result<Self, ConfigError> {
        let (algorithm, jwk) = (key.algorithm(), key.public_jwk(None));
        Self::with(Private::Here(key), algorithm, jwk)
    }

    fn with(key: Private, algorithm: Algorithm, jwk: Value) -> Result<Self, ConfigError> {
        let public = PublicKey::named(algorithm, jwk, None)?;
        let public = Arc::new(public);
        Ok(Self { key, public })
    }

    /// Gives it another id than the thumbprint of its public key (RFC 7638).
    #[must_use]
    pub fn with_key_id(mut self, id: impl Into<String>) -> Self {
        let public = PublicKey::new(self.algorithm(), self.public.jwk.clone(), id.into());
        self.public = Arc::new(public);
        self
    }

    /// Its id: the `kid` of its tokens and of the published key.
    pub fn key_id(&self) -> &str {
        self.public.id()
    }

    /// The algorithm that it signs by.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// As a JWK with the time from which it is used, which is left out where there is none.
    pub(super) fn write_jwk(
        &self,
        use_from: Option<NumericDate>,
    ) -> Result<Zeroizing<String>, ConfigError> {
        let (private, _) = self.parts()?;
        let private = PrivateMembers::of(&private);
        jwk::write(&self.public.jwk, Some(&private), use_from).ok_or_else(not_written)
    }

    fn parts(&self) -> Result<(PrivateParts, &Parts), ConfigError> {
        match &self.key {
            Private::Here(key) => key.parts().ok_or_else(not_written),
            Private::Elsewhere(_) => Err(ConfigError::new(format!(
                "the signing key {:?} cannot be written: its signer has it, and not this process",
                self.key_id()
            ))),
        }
    }

    pub(super) fn public(&self) -> &Arc<PublicKey> {
        &self.public
    }

    /// A token with these claims. A signer elsewhere has so much time.
    pub(super) async fn sign(
        &self,
        claims: &Value,
        timeout: Duration,
    ) -> Result<String, StoreError> {
        let encode = |bytes: &[u8]| base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
        let mut token = format!(
            "{}.{}",
            self.public.header,
            encode(&serde_json::to_vec(claims).map_err(StoreError::new)?)
        );
        let signature = match &self.key {
            Private::Here(key) => key
                .sign(token.as_bytes())
                .map_err(|error| StoreError::new(error.to_string()))?,
            Private::Elsewhere(remote) => remote.sign(token.as_bytes(), timeout).await?,
        };
        token.push('.');
        token.push_str(&encode(&signature));
        Ok(token)
    }
}

fn not_written() -> ConfigError {
    ConfigError::new("the signing key cannot be written: the crypto backend failed")
}

/// A private key, written. `Debug` hides it, and its memory is zeroed when it is dropped.
pub struct PrivateKeyText(Zeroizing<String>);

impl PrivateKeyText {
    /// The text, to be kept where secrets are kept.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyText(…)")
    }
}

fn asymmetric(algorithm: Algorithm) -> Result<(), ConfigError> {
    if algorithm.is_symmetric() {
        return Err(ConfigError::new(format!(
            "{algorithm} has no public key that could be published: use ES256, EdDSA, RS256 or PS256"
        )));
    }
    Ok(())
}

fn header(algorithm: Algorithm, key_id: &str) -> String {
    let header = json!({ "typ": "at+jwt", "alg": algorithm.as_str(), "kid": key_id });
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(header.to_string())
}

/// RFC 7638 §3: the members that are required, in the order of their names.
fn thumbprint(jwk: &Value) -> Option<String> {
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut text = String::new();
    for name in members {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&format!("{:?}:{:?}", name, jwk.get(name)?.as_str()?));
    }
    text.push('}');
    Some(base64_simd::URL_SAFE_NO_PAD.encode_to_string(sha256(text.as_bytes())))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("key_id", &self.key_id())
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638_section_3_1() {
        let jwk = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP\
                  ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY3\
                  68QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4\
                  lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29",
        });
        let expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(thumbprint(&jwk).as_deref(), Some(expected));
    }

    #[test]
    fn a_key_that_cannot_be_published_is_refused() {
        let secret = SigningKey::generate(Algorithm::HS256).unwrap_err();
        assert!(secret.to_string().contains("ES256"), "{secret}");
        let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let public = SigningKey::from_pem(Algorithm::ES256, public).unwrap_err();
        assert!(public.to_string().contains("PRIVATE KEY"), "{public}");
        let old = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let old = SigningKey::from_pem(Algorithm::ES256, old).unwrap_err();
        assert!(old.to_string().contains("openssl pkcs8"), "{old}");
        assert!(SigningKey::from_der(Algorithm::ES256, b"").is_err());
    }
}
