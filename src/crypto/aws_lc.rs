//! The backend of AWS-LC, called directly: no provider is installed for the process.

use aws_lc_rs::{constant_time, digest};

#[cfg(feature = "_signing")]
mod signing;
#[cfg(feature = "jwt")]
mod verifying;

#[cfg(feature = "_signing")]
pub(super) use signing::PrivateKey;
#[cfg(feature = "jwt")]
pub(super) use verifying::PublicKey;

pub(super) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    hash
}

pub(super) fn fixed_time_eq(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}
