//! Public keys as DER: SubjectPublicKeyInfo (RFC 5280 §4.1) and RSAPublicKey (RFC 8017 §A.1.1).

use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Reader, SliceReader, asn1::UintRef},
};

use super::{Curve, Material};

pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// Why DER is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DerError {
    /// Not this structure at all.
    Malformed,
    /// A key of a kind that no algorithm here uses, and what to do about it.
    Kind(&'static str),
}

/// The key in a SubjectPublicKeyInfo.
pub(crate) fn public_key(der: &[u8]) -> Result<Material<'_>, DerError> {
    let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| DerError::Malformed)?;
    let key = info
        .subject_public_key
        .as_bytes()
        .ok_or(DerError::Malformed)?;
    match info.algorithm.oid {
        RSA => rsa_public_key(key).ok_or(DerError::Malformed),
        RSA_PSS => Err(DerError::Kind(
            "an RSA key that is marked for PSS alone; publish it as a plain RSA key, which PS256, \
             PS384 and PS512 take",
        )),
        EC => {
            let named = info.algorithm.parameters_oid().ok();
            let curve = named
                .and_then(|named| curve_of(&named))
                .ok_or(DerError::Kind(
                    "a key on a curve other than P-256, P-384 and P-521",
                ))?;
            if let Some(2 | 3) = key.first() {
                return Err(DerError::Kind(
                    "a compressed point; write it out by `openssl pkey -pubin -in key.pem \
                     -ec_conv_form uncompressed -pubout`",
                ));
            }
            Ok(Material::Ec { curve, point: key })
        }
        ED25519 => Ok(Material::Ed25519(key)),
        _ => Err(DerError::Kind("a key that is not RSA, EC or Ed25519")),
    }
}

/// The curve of that name (RFC 5480 §2.1.1.1).
pub(super) fn curve_of(name: &ObjectIdentifier) -> Option<Curve> {
    match *name {
        P256 => Some(Curve::P256),
        P384 => Some(Curve::P384),
        P521 => Some(Curve::P521),
        _ => None,
    }
}

/// The name of a curve.
#[cfg(feature = "token-service")]
pub(super) const fn name_of(curve: Curve) -> ObjectIdentifier {
    match curve {
        Curve::P256 => P256,
        Curve::P384 => P384,
        Curve::P521 => P521,
    }
}

/// The key in an RSAPublicKey.
pub(crate) fn rsa_public_key(der: &[u8]) -> Option<Material<'_>> {
    let mut reader = SliceReader::new(der).ok()?;
    let (n, e) = reader
        .sequence(|inner| {
            let (n, e): (UintRef<'_>, UintRef<'_>) = (inner.decode()?, inner.decode()?);
            Ok::<_, spki::der::Error>((n, e))
        })
        .ok()?;
    reader.finish().ok()?;
    Some(Material::Rsa {
        n: n.as_bytes(),
        e: e.as_bytes(),
    })
}

/// A signature in DER (RFC 3279 §2.2.3), in the form of JWS (RFC 7518 §3.4).
#[cfg(feature = "token-service")]
pub(crate) fn ecdsa_signature(der: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(der).ok()?;
    let (r, s) = reader
        .sequence(|inner| {
            let (r, s): (UintRef<'_>, UintRef<'_>) = (inner.decode()?, inner.decode()?);
            Ok::<_, spki::der::Error>((r, s))
        })
        .ok()?;
    reader.finish().ok()?;
    let mut signature = Vec::with_capacity(curve.field_length().saturating_mul(2));
    for number in [r, s] {
        let missing = curve.field_length().checked_sub(number.as_bytes().len())?;
        signature.resize(signature.len().saturating_add(missing), 0);
        signature.extend(number.as_bytes());
    }
    Some(signature)
}
