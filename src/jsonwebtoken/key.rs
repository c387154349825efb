//! The material of a `DecodingKey`, bound to one algorithm.

use ::jsonwebtoken::{Algorithm as Listed, AlgorithmFamily, DecodingKey, DecodingKeyKind};

use crate::{
    algorithm::Algorithm,
    crypto::{
        Curve, Material,
        der::{self, DerError},
    },
    error::ConfigError,
    verify::jwt::Key,
};

/// Turns a key of jsonwebtoken into one of this crate, for the first of `allowed` that fits it.
pub(super) fn bind(key: &DecodingKey, allowed: &[Algorithm]) -> Result<Key, ConfigError> {
    let material = material(key)?;
    let fits = |algorithm: &Algorithm| match (&material, algorithm) {
        (Material::Hmac(_), algorithm) => algorithm.is_symmetric(),
        (Material::Rsa { .. }, algorithm) => is_rsa(*algorithm),
        (Material::Ec { curve, .. }, algorithm) => curve.algorithm() == *algorithm,
        (Material::Ed25519(_), algorithm) => *algorithm == Algorithm::EdDSA,
    };
    // Every issuer of JWT access tokens can sign by RS256 (RFC 9068 §2.1), so it comes first.
    let usual = Some(&Algorithm::RS256).filter(|usual| fits(usual) && allowed.contains(usual));
    match usual.or_else(|| allowed.iter().find(|listed| fits(listed))) {
        Some(algorithm) => Key::of(*algorithm, &material),
        None => Err(ConfigError::new(format!(
            "{} fits none of the `algorithms` of the validation: add its own there, or leave the \
             key out",
            kind(&material)
        ))),
    }
}

/// This crate's name for an algorithm of jsonwebtoken.
pub(super) fn algorithm(listed: Listed) -> Result<Algorithm, ConfigError> {
    Ok(match listed {
        Listed::HS256 => Algorithm::HS256,
        Listed::HS384 => Algorithm::HS384,
        Listed::HS512 => Algorithm::HS512,
        Listed::RS256 => Algorithm::RS256,
        Listed::RS384 => Algorithm::RS384,
        Listed::RS512 => Algorithm::RS512,
        Listed::PS256 => Algorithm::PS256,
        Listed::PS384 => Algorithm::PS384,
        Listed::PS512 => Algorithm::PS512,
        Listed::ES256 => Algorithm::ES256,
        Listed::ES384 => Algorithm::ES384,
        Listed::EdDSA => Algorithm::EdDSA,
        other => {
            return Err(ConfigError::new(format!(
                "the algorithm {other:?} is not supported: leave it out of the `algorithms` of the \
                 validation"
            )));
        }
    })
}

fn is_rsa(algorithm: Algorithm) -> bool {
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512)
}

/// Finds out what the bytes of a key are: raw as jsonwebtoken keeps what it has read from PEM and JWK,
/// or the DER that the user has handed over.
fn material(key: &DecodingKey) -> Result<Material<'_>, ConfigError> {
    let bytes = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => return Ok(Material::Rsa { n, e }),
        DecodingKeyKind::SecretOrDer(bytes) => bytes.as_slice(),
    };
    match key.family() {
        AlgorithmFamily::Hmac => Ok(Material::Hmac(bytes)),
        AlgorithmFamily::Rsa => match der::rsa_public_key(bytes) {
            Some(material) => Ok(material),
            None => public_key(bytes),
        },
        AlgorithmFamily::Ec => match (bytes.len(), bytes.first()) {
            (65, Some(4)) => Ok(point(Curve::P256, bytes)),
            (97, Some(4)) => Ok(point(Curve::P384, bytes)),
            (133, Some(4)) => Ok(point(Curve::P521, bytes)),
            _ => public_key(bytes),
        },
        AlgorithmFamily::Ed if bytes.len() == 32 => Ok(Material::Ed25519(bytes)),
        AlgorithmFamily::Ed => public_key(bytes),
    }
}

fn point(curve: Curve, point: &[u8]) -> Material<'_> {
    Material::Ec { curve, point }
}

fn public_key(der: &[u8]) -> Result<Material<'_>, ConfigError> {
    der::public_key(der).map_err(|error| {
        ConfigError::new(match error {
            DerError::Kind(kind) => format!("the `DecodingKey` is {kind}"),
            DerError::Malformed => {
                "the `DecodingKey` is not a public key in DER or raw form: make it \
                                    from the public key of the issuer, not from a private key or a \
                                    certificate"
                    .to_owned()
            }
        })
    })
}

const fn kind(material: &Material<'_>) -> &'static str {
    match material {
        Material::Hmac(_) => "the secret",
        Material::Rsa { .. } => "the RSA key",
        Material::Ec { .. } => "the EC key",
        Material::Ed25519(_) => "the Ed25519 key",
    }
}
