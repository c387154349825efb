//! Signing with AWS-LC.

use aws_lc_rs::{
    agreement,
    encoding::{AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der},
    hmac, rand,
    rsa::{KeyPairComponents, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
        RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair, RsaPublicKeyComponents, RsaSignatureEncoding,
    },
};
use zeroize::Zeroizing;

use crate::{
    algorithm::Algorithm,
    crypto::{
        Curve, Material, der,
        private::PrivateMaterial,
        signing::{self, Parts, PrivateParts},
    },
};

// There is one for each issuer.
#[allow(clippy::large_enum_variant)]
pub(crate) enum PrivateKey {
    Hmac(hmac::Key),
    Rsa(RsaKeyPair, &'static RsaSignatureEncoding),
    Ec(EcdsaKeyPair, Curve),
    Ed25519(Ed25519KeyPair),
}

impl signing::PrivateKey for PrivateKey {
    fn random<const N: usize>() -> Option<[u8; N]> {
        let mut bytes = [0; N];
        rand::fill(&mut bytes).ok()?;
        Some(bytes)
    }

    fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        Some(Self::Hmac(hmac::Key::new(
            super::verifying::hmac_of(algorithm)?,
            secret,
        )))
    }

    fn generate(algorithm: Algorithm) -> Option<Self> {
        if let Some(encoding) = rsa_of(algorithm) {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
            return Some(Self::Rsa(pair, encoding));
        }
        if let Some((curve, of_curve)) = curve_of(algorithm) {
            return Some(Self::Ec(EcdsaKeyPair::generate(of_curve).ok()?, curve));
        }
        (algorithm == Algorithm::EdDSA)
            .then(|| Ed25519KeyPair::generate().ok())?
            .map(Self::Ed25519)
    }

    fn from_private(algorithm: Algorithm, private: &PrivateMaterial<'_>) -> Option<Self> {
        match private {
            PrivateMaterial::Rsa(key) => {
                let components = KeyPairComponents {
                    public_key: RsaPublicKeyComponents { n: key.n, e: key.e },
                    d: key.d,
                    p: key.p,
                    q: key.q,
                    dP: key.dp,
                    dQ: key.dq,
                    qInv: key.qi,
                };
                let pair = RsaKeyPair::from_components(&components).ok()?;
                Some(Self::Rsa(pair, rsa_of(algorithm)?))
            }
            PrivateMaterial::Ec { curve, scalar, .. } => {
                let (_, of_curve) = curve_of(algorithm)?;
                // The signing key wants its public key, which only the other kind of key computes.
                let agreement = match curve {
                    Curve::P256 => &agreement::ECDH_P256,
                    Curve::P384 => &agreement::ECDH_P384,
                    Curve::P521 => &agreement::ECDH_P521,
                };
                let private = agreement::PrivateKey::from_private_key(agreement, scalar).ok()?;
                let public = private.compute_public_key().ok()?;
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    of_curve,
                    scalar,
                    public.as_ref(),
                );
                Some(Self::Ec(pair.ok()?, *curve))
            }
            PrivateMaterial::Ed25519 { seed, .. } => {
                let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).ok()?;
                Some(Self::Ed25519(pair))
            }
        }
    }

    fn public(&self) -> Option<Parts> {
        match self {
            Self::Hmac(_) => None,
            Self::Rsa(pair, _) => match der::rsa_public_key(pair.public_key().as_ref())? {
                Material::Rsa { n, e } => Some(Parts::Rsa {
                    n: n.to_vec(),
                    e: e.to_vec(),
                }),
                _ => None,
            },
            Self::Ec(pair, curve) => Some(Parts::Ec {
                curve: *curve,
                point: pair.public_key().as_ref().to_vec(),
            }),
            Self::Ed25519(pair) => Some(Parts::Ed25519(pair.public_key().as_ref().to_vec())),
        }
    }

    fn private(&self) -> Option<PrivateParts> {
        match self {
            Self::Hmac(_) => None,
            Self::Rsa(pair, _) => {
                let document: Pkcs8V1Der<'static> = pair.as_der().ok()?;
                match PrivateMaterial::from_pkcs8(document.as_ref())? {
                    PrivateMaterial::Rsa(key) => Some(PrivateParts::Rsa(
                        [key.d, key.p, key.q, key.dp, key.dq, key.qi]
                            .map(|number| Zeroizing::new(number.to_vec())),
                    )),
                    _ => None,
                }
            }
            Self::Ec(pair, _) => {
                let scalar: EcPrivateKeyBin<'static> = pair.private_key().as_be_bytes().ok()?;
                Some(PrivateParts::Ec(Zeroizing::new(scalar.as_ref().to_vec())))
            }
            Self::Ed25519(pair) => {
                let seed: Curve25519SeedBin<'static> = pair.seed().ok()?.as_be_bytes().ok()?;
                Some(PrivateParts::Ed25519(Zeroizing::new(
                    seed.as_ref().to_vec(),
                )))
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = rand::SystemRandom::new();
        match self {
            Self::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .ok()?;
                Some(signature)
            }
            Self::Ec(pair, _) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }
}

fn rsa_of(algorithm: Algorithm) -> Option<&'static RsaSignatureEncoding> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_SHA512),
        _ => None,
    }
}

fn curve_of(algorithm: Algorithm) -> Option<(Curve, &'static EcdsaSigningAlgorithm)> {
    match algorithm {
        Algorithm::ES256 => Some((Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING)),
        Algorithm::ES384 => Some((Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING)),
        Algorithm::ES512 => Some((Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING)),
        _ => None,
    }
}
