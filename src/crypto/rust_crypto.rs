//! The backend in pure Rust: one crate for each family of algorithms.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

#[cfg(feature = "_signing")]
mod signing;
#[cfg(feature = "jwt")]
mod verifying;

#[cfg(feature = "_signing")]
pub(super) use signing::PrivateKey;
#[cfg(feature = "jwt")]
pub(super) use verifying::PublicKey;

pub(super) fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

pub(super) fn fixed_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
