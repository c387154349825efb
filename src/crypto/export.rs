//! Private keys, written: as PKCS#8 (RFC 5958) in PEM, and as a JWK (RFC 7517 §4).
//!
//! Both backends give the same numbers, and so the same text.

use pem_rfc7468::LineEnding;
use pkcs1::RsaPrivateKey;
use pkcs8::{PrivateKeyInfoRef, SecretDocument};
use sec1::{EcParameters, EcPrivateKey};
use serde::Serialize;
use spki::{
    AlgorithmIdentifierRef, ObjectIdentifier,
    der::{
        self, AnyRef, Encode,
        asn1::{OctetStringRef, UintRef},
    },
};
use zeroize::Zeroizing;

use super::{
    der::{EC, ED25519, RSA, name_of},
    signing::{Parts, PrivateParts},
};

/// The key in PEM, `PRIVATE KEY`; `None` if the parts do not belong together.
pub(crate) fn pem(private: &PrivateParts, public: &Parts) -> Option<Zeroizing<String>> {
    let document = pkcs8(private, public).ok()??;
    let pem = pem_rfc7468::encode_string("PRIVATE KEY", LineEnding::LF, document.as_bytes());
    pem.ok().map(Zeroizing::new)
}

fn pkcs8(private: &PrivateParts, public: &Parts) -> der::Result<Option<SecretDocument>> {
    let document = match (private, public) {
        (PrivateParts::Rsa([d, p, q, dp, dq, qi]), Parts::Rsa { n, e }) => {
            let key = SecretDocument::encode_msg(&RsaPrivateKey {
                modulus: UintRef::new(n)?,
                public_exponent: UintRef::new(e)?,
                private_exponent: UintRef::new(d)?,
                prime1: UintRef::new(p)?,
                prime2: UintRef::new(q)?,
                exponent1: UintRef::new(dp)?,
                exponent2: UintRef::new(dq)?,
                coefficient: UintRef::new(qi)?,
                other_prime_infos: None,
            })?;
            info(RSA, Some(AnyRef::NULL), key.as_bytes())?
        }
        (PrivateParts::Ec(scalar), Parts::Ec { curve, point }) => {
            let name = name_of(*curve);
            // The curve is said beside it already, and need not be said again (RFC 5958 §2).
            let key = SecretDocument::encode_msg(&EcPrivateKey {
                private_key: scalar,
                parameters: None::<EcParameters>,
                public_key: Some(point),
            })?;
            info(EC, Some(AnyRef::from(&name)), key.as_bytes())?
        }
        (PrivateParts::Ed25519(seed), Parts::Ed25519(_)) => {
            let seed = Zeroizing::new(OctetStringRef::new(seed)?.to_der()?);
            info(ED25519, None, &seed)?
        }
        _ => return Ok(None),
    };
    Ok(Some(document))
}

fn info(
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    key: &[u8],
) -> der::Result<SecretDocument> {
    let algorithm = AlgorithmIdentifierRef { oid, parameters };
    let key = OctetStringRef::new(key)?;
    SecretDocument::encode_msg(&PrivateKeyInfoRef::new(algorithm, key))
}

/// The members of a JWK that only a private key has (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2).
#[derive(Default, Serialize)]
pub(crate) struct PrivateMembers {
    d: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dp: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dq: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qi: Option<Text>,
}

/// In base64url.
#[derive(Default)]
struct Text(Zeroizing<String>);

impl Text {
    fn of(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(
            base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes),
        ))
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl PrivateMembers {
    pub(crate) fn of(private: &PrivateParts) -> Self {
        match private {
            PrivateParts::Ec(d) | PrivateParts::Ed25519(d) => Self {
                d: Text::of(d),
                ..Self::default()
            },
            PrivateParts::Rsa([d, p, q, dp, dq, qi]) => Self {
                d: Text::of(d),
                p: Some(Text::of(p)),
                q: Some(Text::of(q)),
                dp: Some(Text::of(dp)),
                dq: Some(Text::of(dq)),
                qi: Some(Text::of(qi)),
            },
        }
    }
}
