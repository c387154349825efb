//! Hashes and signatures: the rules for keys in `verifying`, and the backend that does the arithmetic.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
// Tests compare the two.
#[cfg(all(feature = "rust-crypto", any(test, not(feature = "aws-lc-rs"))))]
mod rust_crypto;

#[cfg(feature = "jwt")]
pub(crate) mod der;
#[cfg(feature = "jwt")]
mod ed25519;
#[cfg(feature = "token-service")]
pub(crate) mod export;
#[cfg(feature = "jwt")]
pub(crate) mod pem;
#[cfg(feature = "_signing")]
pub(crate) mod private;
#[cfg(feature = "jwt")]
mod roca;
#[cfg(feature = "_signing")]
mod signing;
#[cfg(feature = "jwt")]
mod verifying;

#[cfg(feature = "aws-lc-rs")]
use aws_lc as backend;
#[cfg(not(feature = "aws-lc-rs"))]
use rust_crypto as backend;

#[cfg(feature = "jwt")]
pub(crate) use verifying::{Curve, KeyError, Material, shortest_secret};

/// A key that verifies signatures of one algorithm.
#[cfg(feature = "jwt")]
pub(crate) type VerifyingKey = verifying::Verifying<backend::PublicKey>;

/// A key that makes them.
#[cfg(feature = "_signing")]
pub(crate) type SigningKey = signing::SigningKey<backend::PrivateKey>;

#[cfg(feature = "token-service")]
pub(crate) use signing::{Parts, PrivateParts};

/// Random bytes, fit for secrets; `None` if the operating system gives none.
#[cfg(feature = "token-service")]
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    <backend::PrivateKey as signing::PrivateKey>::random()
}

/// HMAC with SHA-256 (RFC 2104).
#[cfg(feature = "token-service")]
pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> Option<[u8; 32]> {
    let key = SigningKey::from_hmac(crate::algorithm::Algorithm::HS256, key).ok()?;
    key.sign(message).ok()?.try_into().ok()
}

/// SHA-256 of `data`.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    backend::sha256(data)
}

/// Whether the two are equal, in a time that depends on their lengths alone.
pub(crate) fn fixed_time_eq(a: &[u8], b: &[u8]) -> bool {
    backend::fixed_time_eq(a, b)
}

#[cfg(all(test, feature = "jwt"))]
mod tests;
