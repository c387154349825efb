//! Signing: keys made, read and published.

use std::fmt;

use serde_json::{Value, json};
use zeroize::Zeroizing;

#[cfg(feature = "token-service")]
use super::verifying::without_leading_zeros;
use super::{Curve, KeyError, Material, private::PrivateMaterial, verifying::checked};
use crate::algorithm::Algorithm;

/// What a backend does with a private key or an HMAC secret.
pub(crate) trait PrivateKey: Sized {
    /// Random bytes.
    fn random<const N: usize>() -> Option<[u8; N]>;
    /// A secret that is long enough.
    fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Option<Self>;
    /// A fresh key for an asymmetric algorithm; RSA with 2048 bits.
    fn generate(algorithm: Algorithm) -> Option<Self>;
    /// A key for an asymmetric algorithm; `None` if it is of another kind, or if its numbers
    /// contradict each other.
    fn from_private(algorithm: Algorithm, private: &PrivateMaterial<'_>) -> Option<Self>;
    /// The public part, if there is one.
    fn public(&self) -> Option<Parts>;
    /// The private part, to be written; `None` for a secret.
    #[cfg_attr(
        not(feature = "token-service"),
        allow(dead_code, reason = "others write no keys")
    )]
    fn private(&self) -> Option<PrivateParts>;
    /// A signature in the form of JWS (RFC 7518 §3).
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>>;
}

/// [`Material`] that is owned.
pub(crate) enum Parts {
    Secret(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ec { curve: Curve, point: Vec<u8> },
    Ed25519(Vec<u8>),
}

/// The private part of a key, as it is written. Its memory is zeroed when it is dropped.
#[cfg_attr(
    not(feature = "token-service"),
    allow(dead_code, reason = "others write no keys")
)]
pub(crate) enum PrivateParts {
    /// Big-endian: d, p, q, d mod (p - 1), d mod (q - 1), 1/q mod p.
    Rsa([Zeroizing<Vec<u8>>; 6]),
    /// As long as a coordinate, big-endian.
    Ec(Zeroizing<Vec<u8>>),
    /// The seed.
    Ed25519(Zeroizing<Vec<u8>>),
}

impl Parts {
    pub(crate) fn material(&self) -> Material<'_> {
        match self {
            Self::Secret(secret) => Material::Hmac(secret),
            Self::Rsa { n, e } => Material::Rsa { n, e },
            Self::Ec { curve, point } => Material::Ec {
                curve: *curve,
                point,
            },
            Self::Ed25519(point) => Material::Ed25519(point),
        }
    }
}

/// A key that signs by one algorithm.
pub(crate) struct SigningKey<K> {
    algorithm: Algorithm,
    parts: Parts,
    key: K,
}

impl<K: PrivateKey> SigningKey<K> {
    /// A fresh key.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        if algorithm.is_symmetric() {
            let secret = K::random::<64>().ok_or(KeyError::Backend)?;
            return Self::from_hmac(algorithm, &secret);
        }
        Self::with(algorithm, K::generate(algorithm).ok_or(KeyError::Backend)?)
    }

    /// A private key as PKCS#8 (RFC 5958).
    pub(crate) fn from_pkcs8_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let not_for = KeyError::Private(algorithm);
        let private = PrivateMaterial::from_pkcs8(der).ok_or(not_for)?;
        Self::from_private(algorithm, &private)
    }

    /// A private key by its numbers.
    pub(crate) fn from_private(
        algorithm: Algorithm,
        private: &PrivateMaterial<'_>,
    ) -> Result<Self, KeyError> {
        if !private.fits(algorithm) {
            return Err(KeyError::Private(algorithm));
        }
        // Before the backend, which may think otherwise, or take long.
        if let Some(public) = private.public() {
            checked(algorithm, &public)?;
        }
        let key = K::from_private(algorithm, private).ok_or(KeyError::Inconsistent)?;
        let this = Self::with(algorithm, key)?;
        if !private.belongs_to(&this.parts.material()) {
            return Err(KeyError::Inconsistent);
        }
        Ok(this)
    }

    /// A secret for HMAC.
    pub(crate) fn from_hmac(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        checked(algorithm, &Material::Hmac(secret))?;
        Ok(Self {
            algorithm,
            parts: Parts::Secret(secret.to_vec()),
            key: K::from_secret(algorithm, secret).ok_or(KeyError::Backend)?,
        })
    }

    fn with(algorithm: Algorithm, key: K) -> Result<Self, KeyError> {
        let parts = key.public().ok_or(KeyError::Private(algorithm))?;
        // What nobody could verify is not signed.
        checked(algorithm, &parts.material())?;
        Ok(Self {
            algorithm,
            parts,
            key,
        })
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The private and the public part, to be written by `export`.
    #[cfg(feature = "token-service")]
    pub(crate) fn parts(&self) -> Option<(PrivateParts, &Parts)> {
        Some((self.key.private()?, &self.parts))
    }

    /// A signature in the form of JWS (RFC 7518 §3).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key.sign(message).ok_or(KeyError::Backend)
    }

    /// What verifies the signatures: the public key, or the secret.
    #[cfg(test)]
    pub(crate) fn material(&self) -> Material<'_> {
        self.parts.material()
    }

    /// The same as a JWK (RFC 7517 §4).
    pub(crate) fn public_jwk(&self, key_id: Option<&str>) -> Value {
        self.parts.jwk(self.algorithm, key_id)
    }
}

impl Parts {
    /// What a public key is made of, to be kept.
    #[cfg(feature = "token-service")]
    pub(crate) fn of(material: &Material<'_>) -> Self {
        match *material {
            Material::Hmac(secret) => Self::Secret(secret.to_vec()),
            Material::Rsa { n, e } => Self::Rsa {
                n: without_leading_zeros(n).to_vec(),
                e: without_leading_zeros(e).to_vec(),
            },
            Material::Ec { curve, point } => Self::Ec {
                curve,
                point: point.to_vec(),
            },
            Material::Ed25519(point) => Self::Ed25519(point.to_vec()),
        }
    }

    /// As a JWK (RFC 7517 §4).
    pub(crate) fn jwk(&self, algorithm: Algorithm, key_id: Option<&str>) -> Value {
        let encode = |bytes: &[u8]| base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
        let mut jwk = match self {
            Parts::Secret(secret) => json!({ "kty": "oct", "k": encode(secret) }),
            Parts::Rsa { n, e } => json!({ "kty": "RSA", "n": encode(n), "e": encode(e) }),
            Parts::Ec { curve, point } => {
                let (x, y) = point
                    .get(1..)
                    .and_then(|point| point.split_at_checked(curve.field_length()))
                    .unwrap_or_default();
                json!({ "kty": "EC", "crv": curve.as_str(), "x": encode(x), "y": encode(y) })
            }
            Parts::Ed25519(point) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(point) }),
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), algorithm.as_str().into());
            if let Some(key_id) = key_id {
                members.insert("kid".into(), key_id.into());
            }
        }
        jwk
    }
}

impl<K> fmt::Debug for SigningKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm)
    }
}
