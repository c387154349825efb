//! Signing in pure Rust.

use hmac::{Hmac, KeyInit, Mac};
use p256::{ecdsa::signature::Signer, elliptic_curve::Generate};
use rsa::{
    BoxedUint, Pkcs1v15Sign, Pss,
    traits::{PrivateKeyParts, PublicKeyParts},
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::{
    algorithm::Algorithm,
    crypto::{
        Curve,
        private::{PrivateMaterial, RsaNumbers},
        signing::{self, Parts, PrivateParts},
        verifying::without_leading_zeros,
    },
};

// There is one for each issuer.
#[allow(clippy::large_enum_variant)]
pub(crate) enum PrivateKey {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
    Rsa(rsa::PrivateKey, Algorithm),
    Es256(p256::ecdsa::SigningKey),
    Es384(p384::ecdsa::SigningKey),
    Es512(p521::ecdsa::SigningKey),
    EdDsa(ed25519_dalek::SigningKey),
}

impl signing::PrivateKey for PrivateKey {
    fn random<const N: usize>() -> Option<[u8; N]> {
        Generate::try_generate().ok()
    }

    fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::HS256 => Hmac::new_from_slice(secret).ok().map(Self::Hs256),
            Algorithm::HS384 => Hmac::new_from_slice(secret).ok().map(Self::Hs384),
            Algorithm::HS512 => Hmac::new_from_slice(secret).ok().map(Self::Hs512),
            _ => None,
        }
    }

    fn generate(algorithm: Algorithm) -> Option<Self> {
        use Algorithm::*;
        match algorithm {
            HS256 | HS384 | HS512 => None,
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => {
                Some(Self::Rsa(rsa::PrivateKey::try_generate().ok()?, algorithm))
            }
            ES256 => Generate::try_generate().ok().map(Self::Es256),
            ES384 => Generate::try_generate().ok().map(Self::Es384),
            ES512 => Generate::try_generate().ok().map(Self::Es512),
            EdDSA => {
                let seed = Self::random()?;
                Some(Self::EdDsa(ed25519_dalek::SigningKey::from_bytes(&seed)))
            }
        }
    }

    fn from_private(algorithm: Algorithm, private: &PrivateMaterial<'_>) -> Option<Self> {
        match private {
            PrivateMaterial::Rsa(key) => Some(Self::Rsa(rsa_key(key)?, algorithm)),
            PrivateMaterial::Ec { curve, scalar, .. } => match curve {
                Curve::P256 => p256::ecdsa::SigningKey::from_slice(scalar)
                    .ok()
                    .map(Self::Es256),
                Curve::P384 => p384::ecdsa::SigningKey::from_slice(scalar)
                    .ok()
                    .map(Self::Es384),
                Curve::P521 => p521::ecdsa::SigningKey::from_slice(scalar)
                    .ok()
                    .map(Self::Es512),
            },
            PrivateMaterial::Ed25519 { seed, .. } => {
                Some(Self::EdDsa(ed25519_dalek::SigningKey::from_bytes(seed)))
            }
        }
    }

    fn public(&self) -> Option<Parts> {
        let (curve, point) = match self {
            Self::Hs256(_) | Self::Hs384(_) | Self::Hs512(_) => return None,
            Self::Rsa(key, _) => {
                return Some(Parts::Rsa {
                    n: key.n_bytes().into_vec(),
                    e: key.e_bytes().into_vec(),
                });
            }
            Self::EdDsa(key) => {
                return Some(Parts::Ed25519(key.verifying_key().to_bytes().to_vec()));
            }
            Self::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                (Curve::P256, point.as_bytes().to_vec())
            }
            Self::Es384(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                (Curve::P384, point.as_bytes().to_vec())
            }
            Self::Es512(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                (Curve::P521, point.as_bytes().to_vec())
            }
        };
        Some(Parts::Ec { curve, point })
    }

    fn private(&self) -> Option<PrivateParts> {
        let scalar = |bytes: &[u8]| PrivateParts::Ec(Zeroizing::new(bytes.to_vec()));
        Some(match self {
            Self::Hs256(_) | Self::Hs384(_) | Self::Hs512(_) => return None,
            Self::Rsa(key, _) => {
                let number = |number: &BoxedUint| {
                    let bytes = Zeroizing::new(number.to_be_bytes());
                    Zeroizing::new(without_leading_zeros(&bytes).to_vec())
                };
                let [p, q] = key.primes() else {
                    return None;
                };
                PrivateParts::Rsa([
                    number(key.d()),
                    number(p),
                    number(q),
                    number(key.dp()?),
                    number(key.dq()?),
                    number(&key.crt_coefficient()?),
                ])
            }
            Self::Es256(key) => scalar(&Zeroizing::new(key.to_bytes())),
            Self::Es384(key) => scalar(&Zeroizing::new(key.to_bytes())),
            Self::Es512(key) => scalar(&Zeroizing::new(key.to_bytes())),
            Self::EdDsa(key) => PrivateParts::Ed25519(Zeroizing::new(key.to_bytes().to_vec())),
        })
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hs256(mac) => Some(mac_of(mac, message)),
            Self::Hs384(mac) => Some(mac_of(mac, message)),
            Self::Hs512(mac) => Some(mac_of(mac, message)),
            Self::Rsa(key, algorithm) => sign_rsa(key, *algorithm, message),
            Self::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(signature.to_bytes().to_vec())
            }
            Self::Es384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(signature.to_bytes().to_vec())
            }
            Self::Es512(key) => {
                let signature: p521::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(signature.to_bytes().to_vec())
            }
            Self::EdDsa(key) => Some(key.try_sign(message).ok()?.to_bytes().to_vec()),
        }
    }
}

/// A key whose numbers belong together. The library computes the last three itself, and does not
/// look at what the document says of them.
fn rsa_key(numbers: &RsaNumbers<'_>) -> Option<rsa::PrivateKey> {
    let uint = BoxedUint::from_be_slice_vartime;
    let primes = vec![uint(numbers.p), uint(numbers.q)];
    let (n, e, d) = (uint(numbers.n), uint(numbers.e), uint(numbers.d));
    let key = rsa::PrivateKey::from_components(n, e, d, primes).ok()?;
    let is =
        |number: &BoxedUint, given: &[u8]| without_leading_zeros(&number.to_be_bytes()) == given;
    let consistent = is(key.dp()?, numbers.dp)
        && is(key.dq()?, numbers.dq)
        && is(&key.crt_coefficient()?, numbers.qi);
    consistent.then_some(key)
}

fn mac_of<M: Mac + Clone>(keyed: &M, message: &[u8]) -> Vec<u8> {
    let tag = keyed.clone().chain_update(message).finalize();
    tag.into_bytes().to_vec()
}

// Blinded by randomness of the operating system.
fn sign_rsa(key: &rsa::PrivateKey, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        Algorithm::RS256 => key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)),
        Algorithm::RS384 => key.sign(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message)),
        Algorithm::RS512 => key.sign(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message)),
        Algorithm::PS256 => key.sign(Pss::<Sha256>::new(), &Sha256::digest(message)),
        Algorithm::PS384 => key.sign(Pss::<Sha384>::new(), &Sha384::digest(message)),
        Algorithm::PS512 => key.sign(Pss::<Sha512>::new(), &Sha512::digest(message)),
        _ => return None,
    }
    .ok()
}
