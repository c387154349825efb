//! Private keys as PKCS#8 (RFC 5958), taken apart before a backend sees them.
//!
//! Backends read such documents differently. So the document is read here, and a backend gets
//! numbers.

use pkcs8::PrivateKeyInfoRef;
use spki::{
    ObjectIdentifier,
    der::{
        self, AnyRef, Reader, SliceReader, TagMode, TagNumber,
        asn1::{BitStringRef, OctetStringRef, UintRef},
    },
};
use zeroize::Zeroizing;

use super::{
    Curve, Material,
    der::{EC, ED25519, RSA, curve_of},
    verifying::{bit_length, without_leading_zeros},
};
use crate::algorithm::Algorithm;

/// What a private key is made of.
pub(crate) enum PrivateMaterial<'a> {
    Rsa(RsaNumbers<'a>),
    Ec {
        curve: Curve,
        /// As long as a coordinate, big-endian.
        scalar: Zeroizing<Vec<u8>>,
        /// The public key, if the document has it, in any form of SEC 1 §2.3.3.
        point: Option<&'a [u8]>,
    },
    Ed25519 {
        seed: Zeroizing<[u8; 32]>,
        point: Option<&'a [u8]>,
    },
}

/// An RSA key of two primes (RFC 8017 §A.1.2), big-endian without leading zeros.
pub(crate) struct RsaNumbers<'a> {
    pub(crate) n: &'a [u8],
    pub(crate) e: &'a [u8],
    pub(crate) d: &'a [u8],
    pub(crate) p: &'a [u8],
    pub(crate) q: &'a [u8],
    /// d mod (p - 1).
    pub(crate) dp: &'a [u8],
    /// d mod (q - 1).
    pub(crate) dq: &'a [u8],
    /// 1/q mod p.
    pub(crate) qi: &'a [u8],
}

impl<'a> PrivateMaterial<'a> {
    /// Reads a document; `None` if it is no private key that an algorithm here uses.
    pub(crate) fn from_pkcs8(der: &'a [u8]) -> Option<Self> {
        let info = PrivateKeyInfoRef::try_from(der).ok()?;
        let private = info.private_key.as_bytes();
        let public = info.public_key.as_ref();
        match info.algorithm.oid {
            RSA if public.is_none() => {
                let parameters = info.algorithm.parameters;
                let usual = parameters.is_none_or(|parameters| parameters == AnyRef::NULL);
                RsaNumbers::read(private).filter(|_| usual).map(Self::Rsa)
            }
            EC if public.is_none() => {
                let curve = curve_of(&info.algorithm.parameters_oid().ok()?)?;
                ec(curve, private)
            }
            ED25519 if info.algorithm.parameters.is_none() => {
                let seed: &OctetStringRef = only(private)?;
                Some(Self::Ed25519 {
                    seed: Zeroizing::new(seed.as_bytes().try_into().ok()?),
                    point: match public {
                        Some(public) => Some(public.as_bytes()?),
                        None => None,
                    },
                })
            }
            _ => None,
        }
    }

    /// Whether the key is of the kind that the algorithm needs.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa(_) => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Self::Ec { curve, .. } => curve.algorithm() == algorithm,
            Self::Ed25519 { .. } => algorithm == EdDSA,
        }
    }

    /// The public key, where it need not be computed.
    pub(crate) fn public(&self) -> Option<Material<'a>> {
        match self {
            Self::Rsa(key) => Some(Material::Rsa { n: key.n, e: key.e }),
            Self::Ec { .. } | Self::Ed25519 { .. } => None,
        }
    }

    /// Whether the public key that the document names, if it does, is the one that was computed.
    pub(crate) fn belongs_to(&self, public: &Material<'_>) -> bool {
        match (self, *public) {
            (Self::Rsa(key), Material::Rsa { n, e }) => {
                key.n == without_leading_zeros(n) && key.e == without_leading_zeros(e)
            }
            (
                Self::Ec { curve, point, .. },
                Material::Ec {
                    curve: computed,
                    point: whole,
                },
            ) => *curve == computed && point.is_none_or(|point| is_form_of(point, whole)),
            (Self::Ed25519 { point, .. }, Material::Ed25519(computed)) => {
                point.is_none_or(|point| point == computed)
            }
            _ => false,
        }
    }
}

/// Whether a point, compressed or not, is the one that is given in the uncompressed form.
fn is_form_of(point: &[u8], whole: &[u8]) -> bool {
    let (Some((&form, x)), Some((_, rest))) = (point.split_first(), whole.split_first()) else {
        return false;
    };
    match form {
        4 => point == whole,
        2 | 3 => {
            let parity = rest.last().map(|last| last & 1);
            let (of_x, _) = rest.split_at(rest.len() / 2);
            x == of_x && parity == Some(form - 2)
        }
        _ => false,
    }
}

/// An ECPrivateKey (RFC 5915 §3).
fn ec<'a>(curve: Curve, der: &'a [u8]) -> Option<PrivateMaterial<'a>> {
    type Parts<'a> = (
        u8,
        &'a OctetStringRef,
        Option<ObjectIdentifier>,
        Option<BitStringRef<'a>>,
    );
    let mut reader = SliceReader::new(der).ok()?;
    let (version, scalar, named, point) = reader
        .sequence(|reader| -> der::Result<Parts<'a>> {
            Ok((
                reader.decode()?,
                reader.decode()?,
                reader.context_specific(TagNumber(0), TagMode::Explicit)?,
                reader.context_specific(TagNumber(1), TagMode::Explicit)?,
            ))
        })
        .ok()?;
    reader.finish().ok()?;
    let same = named.is_none_or(|named| curve_of(&named) == Some(curve));
    if version != 1 || !same {
        return None;
    }
    // It should be as long as a coordinate, but old programs leave out leading zeros.
    let missing = curve.field_length().checked_sub(scalar.as_bytes().len())?;
    let mut padded = Zeroizing::new(Vec::with_capacity(curve.field_length()));
    padded.resize(missing, 0);
    padded.extend(scalar.as_bytes());
    Some(PrivateMaterial::Ec {
        curve,
        scalar: padded,
        point: match point {
            Some(point) => Some(point.as_bytes()?),
            None => None,
        },
    })
}

impl<'a> RsaNumbers<'a> {
    /// Reads an RSAPrivateKey of two primes.
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut reader = SliceReader::new(der).ok()?;
        let (version, numbers) = reader
            .sequence(|reader| -> der::Result<(u8, [UintRef<'a>; 8])> {
                let version = reader.decode()?;
                let mut number = || reader.decode();
                Ok((
                    version,
                    [
                        number()?,
                        number()?,
                        number()?,
                        number()?,
                        number()?,
                        number()?,
                        number()?,
                        number()?,
                    ],
                ))
            })
            .ok()?;
        reader.finish().ok()?;
        let [n, e, d, p, q, dp, dq, qi] = numbers.map(|number| number.as_bytes());
        let numbers = Self {
            n,
            e,
            d,
            p,
            q,
            dp,
            dq,
            qi,
        };
        numbers.sound().filter(|_| version == 0)
    }

    /// The numbers without leading zeros, if they may be a key.
    ///
    /// What RFC 8017 §3.2 demands and one backend does not ask is asked here: d is less than n,
    /// and the primes are about as long as each other, as those of all generators are.
    pub(crate) fn sound(self) -> Option<Self> {
        let Self {
            n,
            e,
            d,
            p,
            q,
            dp,
            dq,
            qi,
        } = self;
        let [n, e, d, p, q, dp, dq, qi] = [n, e, d, p, q, dp, dq, qi].map(without_leading_zeros);
        let half = bit_length(n).div_ceil(2);
        let sound =
            (d.len(), d) < (n.len(), n) && bit_length(p) <= half && bit_length(q) <= half && p != q;
        sound.then_some(Self {
            n,
            e,
            d,
            p,
            q,
            dp,
            dq,
            qi,
        })
    }
}

/// The only value in a DER document.
fn only<'a, T: der::Decode<'a>>(der: &'a [u8]) -> Option<T> {
    let mut reader = SliceReader::new(der).ok()?;
    let value = reader.decode().ok()?;
    reader.finish().ok()?;
    Some(value)
}
