//! Verifying in pure Rust.

use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::{Verifier, hazmat::PrehashVerifier};
use rsa::{BoxedUint, pkcs1v15, pss};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::algorithm::Algorithm;
use crate::crypto::{Material, verifying};

// It lives in an `Arc`, one for each key.
#[allow(clippy::large_enum_variant)]
pub(crate) enum PublicKey {
    // The state after the inner pad, to start from.
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
    Rs256(pkcs1v15::VerifyingKey<Sha256>),
    Rs384(pkcs1v15::VerifyingKey<Sha384>),
    Rs512(pkcs1v15::VerifyingKey<Sha512>),
    Ps256(pss::VerifyingKey<Sha256>),
    Ps384(pss::VerifyingKey<Sha384>),
    Ps512(pss::VerifyingKey<Sha512>),
    Es256(p256::ecdsa::VerifyingKey),
    Es384(p384::ecdsa::VerifyingKey),
    Es512(p521::ecdsa::VerifyingKey),
    EdDsa(ed25519_dalek::VerifyingKey),
}

impl verifying::PublicKey for PublicKey {
    fn new(algorithm: Algorithm, material: &Material<'_>) -> Option<Self> {
        Some(match (algorithm, *material) {
            (Algorithm::HS256, Material::Hmac(secret)) => {
                Self::Hs256(Hmac::new_from_slice(secret).ok()?)
            }
            (Algorithm::HS384, Material::Hmac(secret)) => {
                Self::Hs384(Hmac::new_from_slice(secret).ok()?)
            }
            (Algorithm::HS512, Material::Hmac(secret)) => {
                Self::Hs512(Hmac::new_from_slice(secret).ok()?)
            }
            (_, Material::Rsa { n, e }) => {
                let key = rsa::PublicKey::new(
                    BoxedUint::from_be_slice_vartime(n),
                    BoxedUint::from_be_slice_vartime(e),
                )
                .ok()?;
                match algorithm {
                    Algorithm::RS256 => Self::Rs256(pkcs1v15::VerifyingKey::new(key)),
                    Algorithm::RS384 => Self::Rs384(pkcs1v15::VerifyingKey::new(key)),
                    Algorithm::RS512 => Self::Rs512(pkcs1v15::VerifyingKey::new(key)),
                    // The salt is as long as the hash, as RFC 7518 §3.5 has it.
                    Algorithm::PS256 => Self::Ps256(pss::VerifyingKey::new(key)),
                    Algorithm::PS384 => Self::Ps384(pss::VerifyingKey::new(key)),
                    Algorithm::PS512 => Self::Ps512(pss::VerifyingKey::new(key)),
                    _ => return None,
                }
            }
            (Algorithm::ES256, Material::Ec { point, .. }) => {
                Self::Es256(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?)
            }
            (Algorithm::ES384, Material::Ec { point, .. }) => {
                Self::Es384(p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?)
            }
            (Algorithm::ES512, Material::Ec { point, .. }) => {
                Self::Es512(p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?)
            }
            (Algorithm::EdDSA, Material::Ed25519(point)) => {
                Self::EdDsa(ed25519_dalek::VerifyingKey::try_from(point).ok()?)
            }
            _ => return None,
        })
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(mac) => is_mac(mac, message, signature),
            Self::Hs384(mac) => is_mac(mac, message, signature),
            Self::Hs512(mac) => is_mac(mac, message, signature),
            Self::Rs256(key) => is_pkcs1(key, message, signature),
            Self::Rs384(key) => is_pkcs1(key, message, signature),
            Self::Rs512(key) => is_pkcs1(key, message, signature),
            Self::Ps256(key) => is_pss(key, message, signature),
            Self::Ps384(key) => is_pss(key, message, signature),
            Self::Ps512(key) => is_pss(key, message, signature),
            // An s in the upper half of its range is as good as one in the lower: JWS does not ask
            // for the smaller, and neither do these curves' crates.
            Self::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::Es384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::Es512(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

fn is_mac<M: Mac + Clone>(keyed: &M, message: &[u8], tag: &[u8]) -> bool {
    keyed
        .clone()
        .chain_update(message)
        .verify_slice(tag)
        .is_ok()
}

// The hash apart, because `verify` of a message would copy the key's prefix each time.
fn is_pkcs1<D: Digest>(key: &pkcs1v15::VerifyingKey<D>, message: &[u8], signature: &[u8]) -> bool {
    pkcs1v15::Signature::try_from(signature)
        .is_ok_and(|signature| key.verify_prehash(&D::digest(message), &signature).is_ok())
}

fn is_pss<D>(key: &pss::VerifyingKey<D>, message: &[u8], signature: &[u8]) -> bool
where
    D: Digest,
    pss::VerifyingKey<D>: PrehashVerifier<pss::Signature>,
{
    pss::Signature::try_from(signature)
        .is_ok_and(|signature| key.verify_prehash(&D::digest(message), &signature).is_ok())
}
