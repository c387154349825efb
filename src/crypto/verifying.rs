//! Keys that verify: which are good enough, and which length their signatures have.
//!
//! What may differ between backends is decided here. A backend sees only keys that fit their algorithm
//! and signatures of the right length.

use std::{fmt, sync::Arc};

use super::{ed25519, roca};
use crate::algorithm::Algorithm;

/// What a verification key is made of.
#[derive(Clone, Copy)]
pub(crate) enum Material<'a> {
    /// A secret.
    Hmac(&'a [u8]),
    /// Modulus and public exponent, big-endian.
    Rsa { n: &'a [u8], e: &'a [u8] },
    /// A point in the uncompressed form of SEC 1 §2.3.3: `04`, x, y.
    Ec { curve: Curve, point: &'a [u8] },
    /// A point in the form of RFC 8032 §5.1.2.
    Ed25519(&'a [u8]),
}

/// A curve for ECDSA (RFC 7518 §6.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// The `crv` of a JWK.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The length of a coordinate, and that of one half of a signature.
    pub(crate) const fn field_length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The one algorithm that uses it (RFC 7518 §3.4).
    pub(crate) const fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
            Self::P521 => Algorithm::ES512,
        }
    }
}

/// Why a key cannot be used. Never shows a byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// The algorithm needs another kind of key.
    Mismatch(Algorithm),
    /// An HMAC secret of so many bytes.
    SecretTooShort { algorithm: Algorithm, bytes: usize },
    /// An RSA modulus of so many bits.
    ModulusTooSmall(usize),
    /// An RSA modulus of so many bits.
    ModulusTooLarge(usize),
    /// An RSA modulus that is even, and so no product of two large primes.
    EvenModulus,
    /// An RSA modulus whose factors can be computed from it.
    WeakModulus,
    /// An RSA exponent that is even, 1, or longer than 33 bits.
    Exponent,
    /// Not a point of the curve, or not in the uncompressed form.
    Point(Curve),
    /// Not a point of Ed25519, or one of the few with which a signature proves nothing.
    Ed25519Point,
    /// Not a private key for the algorithm.
    #[cfg(feature = "_signing")]
    Private(Algorithm),
    /// The numbers of a private key contradict each other, or are out of their range.
    #[cfg(feature = "_signing")]
    Inconsistent,
    /// The operating system gave no randomness, or the backend failed.
    #[cfg(feature = "_signing")]
    Backend,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Mismatch(algorithm) => {
                write!(f, "{algorithm} needs {}", kind_of_key(algorithm))
            }
            Self::SecretTooShort { algorithm, bytes } => write!(
                f,
                "HMAC secret of {bytes} bytes; {algorithm} needs at least {} (RFC 7518 §3.2)",
                shortest_secret(algorithm).unwrap_or_default()
            ),
            Self::ModulusTooSmall(bits) => write!(
                f,
                "RSA modulus of {bits} bits; at least {MIN_MODULUS_BITS} are needed (RFC 7518 §3.3)"
            ),
            Self::ModulusTooLarge(bits) => write!(
                f,
                "RSA modulus of {bits} bits; at most {MAX_MODULUS_BITS} are accepted, for larger ones \
                 are slow enough to be an attack"
            ),
            Self::EvenModulus => f.write_str("RSA modulus that is even"),
            Self::WeakModulus => f.write_str(
                "RSA modulus with the ROCA weakness (CVE-2017-15361): its private key can be computed",
            ),
            Self::Exponent => write!(
                f,
                "RSA public exponent that is not an odd number from 3 to 2^{MAX_EXPONENT_BITS}; 65537 \
                 is usual"
            ),
            Self::Point(curve) => write!(
                f,
                "not an uncompressed point of the curve {}",
                curve.as_str()
            ),
            Self::Ed25519Point => {
                f.write_str("not a point of Ed25519 (32 bytes), or one of low order")
            }
            #[cfg(feature = "_signing")]
            Self::Inconsistent => {
                f.write_str("private key whose parts do not belong together: it may be damaged")
            }
            #[cfg(feature = "_signing")]
            Self::Private(algorithm) => write!(
                f,
                "not a PKCS#8 private key for {algorithm}, which needs {}",
                kind_of_key(algorithm)
            ),
            #[cfg(feature = "_signing")]
            Self::Backend => f.write_str("no randomness, or a failure of the crypto backend"),
        }
    }
}

const MIN_MODULUS_BITS: usize = 2048;
/// Verification takes a time that grows with the square of it.
const MAX_MODULUS_BITS: usize = 8192;
/// What both backends accept. An exponent as long as the modulus makes a verification as slow as
/// hundreds.
const MAX_EXPONENT_BITS: usize = 33;

fn kind_of_key(algorithm: Algorithm) -> &'static str {
    use Algorithm::*;
    match algorithm {
        HS256 | HS384 | HS512 => "a secret",
        RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => "an RSA key",
        ES256 => "a key on the curve P-256",
        ES384 => "a key on the curve P-384",
        ES512 => "a key on the curve P-521",
        EdDSA => "an Ed25519 key",
    }
}

/// The length of the hash, which a secret must have at least (RFC 7518 §3.2); `None` for what is
/// not HMAC.
pub(crate) const fn shortest_secret(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::HS256 => Some(32),
        Algorithm::HS384 => Some(48),
        Algorithm::HS512 => Some(64),
        _ => None,
    }
}

/// What a backend does with a public key or an HMAC secret.
pub(crate) trait PublicKey: Sized {
    /// Whatever can be done once for a key. `None` if the backend finds a point off its curve.
    fn new(algorithm: Algorithm, material: &Material<'_>) -> Option<Self>;

    /// The signature has the right length.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool;
}

/// See [`VerifyingKey`](super::VerifyingKey); generic so that tests have one for each backend.
pub(crate) struct Verifying<K> {
    algorithm: Algorithm,
    signature_length: usize,
    key: Arc<K>,
}

impl<K: PublicKey> Verifying<K> {
    pub(crate) fn new(algorithm: Algorithm, material: &Material<'_>) -> Result<Self, KeyError> {
        let (material, signature_length) = checked(algorithm, material)?;
        let refused = match material {
            Material::Ec { curve, .. } => KeyError::Point(curve),
            Material::Ed25519(_) => KeyError::Ed25519Point,
            Material::Hmac(_) | Material::Rsa { .. } => KeyError::Mismatch(algorithm),
        };
        Ok(Self {
            algorithm,
            signature_length,
            key: Arc::new(K::new(algorithm, &material).ok_or(refused)?),
        })
    }

    /// Whether `signature`, in the form of JWS (RFC 7518 §3), is one of `message` by this key.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == self.signature_length
            && (self.algorithm != Algorithm::EdDSA || ed25519::is_plain_signature(signature))
            && self.key.verify(message, signature)
    }
}

impl<K> Clone for Verifying<K> {
    fn clone(&self) -> Self {
        Self {
            algorithm: self.algorithm,
            signature_length: self.signature_length,
            key: Arc::clone(&self.key),
        }
    }
}

impl<K> fmt::Debug for Verifying<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm)
    }
}

/// The material without leading zeros, and how long a signature is, if the key fits the algorithm
/// and is good enough.
pub(super) fn checked<'a>(
    algorithm: Algorithm,
    material: &Material<'a>,
) -> Result<(Material<'a>, usize), KeyError> {
    use Algorithm::*;
    match (algorithm, *material) {
        (HS256 | HS384 | HS512, Material::Hmac(secret)) => {
            let length = shortest_secret(algorithm).ok_or(KeyError::Mismatch(algorithm))?;
            if secret.len() < length {
                return Err(KeyError::SecretTooShort {
                    algorithm,
                    bytes: secret.len(),
                });
            }
            Ok((Material::Hmac(secret), length))
        }
        (RS256 | RS384 | RS512 | PS256 | PS384 | PS512, Material::Rsa { n, e }) => {
            let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
            let bits = bit_length(n);
            if bits < MIN_MODULUS_BITS {
                return Err(KeyError::ModulusTooSmall(bits));
            }
            if bits > MAX_MODULUS_BITS {
                return Err(KeyError::ModulusTooLarge(bits));
            }
            if !is_odd(n) {
                return Err(KeyError::EvenModulus);
            }
            if roca::is_weak(n) {
                return Err(KeyError::WeakModulus);
            }
            if !is_odd(e) || !(2..=MAX_EXPONENT_BITS).contains(&bit_length(e)) {
                return Err(KeyError::Exponent);
            }
            Ok((Material::Rsa { n, e }, n.len()))
        }
        (ES256 | ES384 | ES512, Material::Ec { curve, point }) => {
            if curve.algorithm() != algorithm {
                return Err(KeyError::Mismatch(algorithm));
            }
            let length = 2 * curve.field_length();
            if point.len() != length + 1 || point.first() != Some(&4) {
                return Err(KeyError::Point(curve));
            }
            Ok((Material::Ec { curve, point }, length))
        }
        (EdDSA, Material::Ed25519(point)) => match point.try_into() {
            Ok(encoded) if ed25519::is_key(encoded) => Ok((Material::Ed25519(point), 64)),
            _ => Err(KeyError::Ed25519Point),
        },
        _ => Err(KeyError::Mismatch(algorithm)),
    }
}

pub(super) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The bits of a big-endian number without leading zeros.
pub(super) fn bit_length(number: &[u8]) -> usize {
    number
        .first()
        .map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}
