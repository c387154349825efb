//! [`RawToken`]: what stands where a token should, before anybody has looked at its form.

use std::fmt;

use super::BearerToken;
use crate::error::AuthError;

/// The credentials of a request, before their form is checked.
///
/// The layer gives them to [`Verifier::verify_raw`](crate::Verifier::verify_raw). They may be anything that
/// a header can hold, of any length. The `Debug` output does not show them.
#[derive(Clone, Copy)]
pub struct RawToken<'a>(&'a [u8]);

impl<'a> RawToken<'a> {
    /// Wraps credentials, without looking at them.
    pub const fn new(credentials: &'a [u8]) -> Self {
        Self(credentials)
    }

    /// Returns the bytes as they came. They may hold a secret.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Checks the form of the credentials.
    ///
    /// # Errors
    /// As [`BearerToken::parse`]: if they are no b64token of RFC 6750 §2.1, or too long.
    pub fn parse(self) -> Result<BearerToken<'a>, AuthError> {
        BearerToken::from_bytes(self.0)
    }
}

impl fmt::Debug for RawToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawToken({} bytes)", self.0.len())
    }
}
