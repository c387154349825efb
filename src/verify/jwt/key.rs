//! [`Key`]: what verifies the signature of a token. Sets of them are in `set`, JWKs are read in
//! `jwk`.

use std::{fmt, sync::Arc};

use crate::{
    algorithm::Algorithm,
    claims::Epoch,
    crypto::{
        Material, VerifyingKey,
        der::{self, DerError},
        pem,
    },
    error::ConfigError,
};

pub(crate) mod jwk;
mod set;

#[cfg(feature = "jwks")]
pub(crate) use set::PublishedKeys;
pub use set::{KeySet, SkippedKey};

/// A key that verifies the signatures of tokens: a public key, or an HMAC secret.
///
/// A key is used with exactly one algorithm (RFC 8725 §3.1): the one that it is made for, or the
/// `alg` of a JWK. A JWK without `alg` may have several [`algorithms`](Self::algorithms). It is
/// bound to one of them when a verifier is built, as
/// [`JwtVerifierBuilder::algorithms`](crate::JwtVerifierBuilder::algorithms) says.
///
/// ```
/// use tower_bearer::{Algorithm, Key};
///
/// let key = Key::from_pem(
///     Algorithm::ES256,
///     "-----BEGIN PUBLIC KEY-----\n\
///      MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
///      6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n\
///      -----END PUBLIC KEY-----\n",
/// )?
/// .with_key_id("2026-01");
/// assert_eq!(key.key_id(), Some("2026-01"));
/// assert_eq!(key.algorithms().collect::<Vec<_>>(), [Algorithm::ES256]);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// It is cheap to clone, and `Debug` shows no byte of it.
#[derive(Clone)]
pub struct Key(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    key_id: Option<Box<str>>,
    entries: Vec<(Algorithm, VerifyingKey)>,
    epoch: Epoch,
}

impl Key {
    /// A secret for HS256, HS384 or HS512, as long as the algorithm's hash at least (32, 48 or 64
    /// bytes; RFC 7518 §3.2).
    ///
    /// It is taken as it is: a secret that was handed over in base64 or hex must be decoded first.
    ///
    /// # Errors
    /// If the algorithm is not one of these, the secret is too short, or is a PEM document: a
    /// public key as a secret is an old attack (RFC 8725 §2.1).
    pub fn hmac(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let secret = secret.as_ref();
        if !algorithm.is_symmetric() {
            return Err(ConfigError::new(format!(
                "{algorithm} verifies by a public key, not by a secret; use Key::from_pem, \
                 Key::from_der or Key::from_jwk"
            )));
        }
        if pem::is_like(secret) {
            return Err(ConfigError::new(format!(
                "a PEM document is no secret for {algorithm}: whoever has the public key could sign \
                 (RFC 8725 §2.1); use Key::from_pem with the algorithm of the key, such as RS256"
            )));
        }
        Self::of(algorithm, &Material::Hmac(secret))
    }

    /// Reads a public key in PEM: `PUBLIC KEY` (SubjectPublicKeyInfo, RFC 7468 §13) or
    /// `RSA PUBLIC KEY` (PKCS#1).
    ///
    /// The lax grammar of RFC 7468 §3 is accepted: white space and line breaks of any kind may
    /// stand around the document and within its base64 text, or be missing there. A byte order
    /// mark and text around the document are ignored.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if the text is no PEM document or holds more than one, if the
    /// document is something else, such as a private key or a certificate, or if the key is not
    /// one for the algorithm: RSA of 2048 to 8192 bits, P-256 for ES256, P-384 for ES384, P-521
    /// for ES512, Ed25519 for EdDSA.
    pub fn from_pem(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        no_secret_from(algorithm, "PEM")?;
        let pem = pem::read(pem.as_ref(), "PUBLIC KEY")?;
        match &*pem.label {
            "PUBLIC KEY" => Self::from_spki(algorithm, &pem.contents),
            "RSA PUBLIC KEY" => Self::from_pkcs1(algorithm, &pem.contents),
            "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => Err(ConfigError::new(
                "a certificate, of which only the public key is wanted; write it out by `openssl \
                 x509 -in certificate.pem -noout -pubkey`",
            )),
            label if label.ends_with("PRIVATE KEY") || label == "EC PARAMETERS" => {
                Err(ConfigError::new(
                    "a private key, which a verifier must not have; write out its public key by \
                     `openssl pkey -in private.pem -pubout`",
                ))
            }
            label => Err(ConfigError::new(format!(
                "PEM of the type {label:?}; `PUBLIC KEY` or `RSA PUBLIC KEY` is wanted"
            ))),
        }
    }

    /// A public key in DER: SubjectPublicKeyInfo (RFC 5280 §4.1), or for RSA also RSAPublicKey
    /// (PKCS#1).
    ///
    /// # Errors
    /// As those of [`from_pem`](Self::from_pem).
    pub fn from_der(algorithm: Algorithm, der: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        no_secret_from(algorithm, "DER")?;
        let der = der.as_ref();
        if pem::is_like(der) {
            return Err(ConfigError::new("PEM, not DER; use Key::from_pem"));
        }
        match der::rsa_public_key(der) {
            Some(material) => Self::of(algorithm, &material),
            None => Self::from_spki(algorithm, der),
        }
    }

    /// A JWK (RFC 7517): `RSA`, `EC` with `P-256`, `P-384` or `P-521`, `OKP` with `Ed25519`, or
    /// `oct`. Its `kid` becomes the [`key_id`](Self::key_id).
    ///
    /// # Errors
    /// If it is no JWK, is not meant for verifying signatures (`use`, `key_ops`, `alg`), has
    /// private members, or is not good enough.
    pub fn from_jwk(json: &str) -> Result<Self, ConfigError> {
        jwk::parse(json)
            .map_err(|unusable| ConfigError::new(format!("JWK not usable: {}", unusable.reason)))
    }

    /// Gives it a name, which the `kid` of a token selects it by.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).key_id = Some(key_id.into().into_boxed_str());
        self
    }

    /// Its name: the `kid` of the JWK, or what [`with_key_id`](Self::with_key_id) gave.
    pub fn key_id(&self) -> Option<&str> {
        self.0.key_id.as_deref()
    }

    /// Returns the algorithms that the key can be bound to, at least one. It is more than one
    /// only for a JWK of type `RSA` or `oct` that has no `alg`.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.0.entries.iter().map(|(algorithm, _)| *algorithm)
    }

    /// The same, each with what verifies by it.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> &[(Algorithm, VerifyingKey)] {
        &self.0.entries
    }

    /// Returns the one algorithm that the key is used with, and what verifies by it; `None` if the
    /// list names none that fits (RFC 8725 §3.1).
    ///
    /// Of several that fit it is RS256, which every issuer of JWT access tokens can sign by (RFC
    /// 9068 §2.1), else the first on the list. Without a list it is the usual one of the key's
    /// type.
    pub(crate) fn bind(&self, list: Option<&[Algorithm]>) -> Option<&(Algorithm, VerifyingKey)> {
        let entries = &self.0.entries;
        let Some(list) = list else {
            return entries.first();
        };
        let usual = list.iter().filter(|listed| **listed == Algorithm::RS256);
        usual
            .chain(list)
            .find_map(|listed| entries.iter().find(|(algorithm, _)| algorithm == listed))
    }

    /// Says why no algorithm of a list fits.
    #[cfg(feature = "jwks")]
    pub(super) fn misfit(&self) -> String {
        let own: Vec<_> = self.algorithms().map(Algorithm::as_str).collect();
        format!(
            "for {}, which no verifier has on its list of `algorithms`",
            own.join(" or ")
        )
    }

    /// Lasts as long as the key is trusted.
    pub(crate) fn epoch(&self) -> &Epoch {
        &self.0.epoch
    }

    fn from_spki(algorithm: Algorithm, der: &[u8]) -> Result<Self, ConfigError> {
        match der::public_key(der) {
            Ok(material) => Self::of(algorithm, &material),
            Err(DerError::Kind(kind)) => Err(ConfigError::new(format!(
                "not usable with {algorithm}: {kind}"
            ))),
            Err(DerError::Malformed) => Err(ConfigError::new(
                "not a public key in DER (SubjectPublicKeyInfo); write one out by `openssl pkey \
                 -in private.pem -pubout -outform DER`",
            )),
        }
    }

    fn from_pkcs1(algorithm: Algorithm, der: &[u8]) -> Result<Self, ConfigError> {
        let material = der::rsa_public_key(der)
            .ok_or_else(|| ConfigError::new("not an RSA public key (PKCS#1)"))?;
        Self::of(algorithm, &material)
    }

    pub(crate) fn of(algorithm: Algorithm, material: &Material<'_>) -> Result<Self, ConfigError> {
        let key = VerifyingKey::new(algorithm, material).map_err(|error| {
            ConfigError::new(format!("not usable as a key for {algorithm}: {error}"))
        })?;
        Ok(Self::assemble(None, vec![(algorithm, key)]))
    }

    fn assemble(key_id: Option<String>, entries: Vec<(Algorithm, VerifyingKey)>) -> Self {
        Self(Arc::new(Inner {
            key_id: key_id.map(String::into_boxed_str),
            entries,
            epoch: Epoch::new(),
        }))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("key_id", &self.key_id())
            .field("algorithms", &self.algorithms().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn no_secret_from(algorithm: Algorithm, form: &str) -> Result<(), ConfigError> {
    if algorithm.is_symmetric() {
        return Err(ConfigError::new(format!(
            "{algorithm} verifies by a secret, which is not in {form}; use Key::hmac for a secret, \
             or the algorithm of the public key, such as RS256"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
