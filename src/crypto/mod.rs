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
#[cfg(feature = "jwt")]
mod roca;
#[cfg(feature = "testing")]
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
#[cfg(feature = "testing")]
pub(crate) type SigningKey = signing::SigningKey<backend::PrivateKey>;

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
