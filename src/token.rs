//! The bearer token itself: what one may look like, and how it is carried about unseen.
//!
//! Where one may be is in `source`, how it is found in `find`, and how it is kept from sight in
//! `conceal`.

use std::fmt;

use crate::error::{AuthError, reason};

pub(crate) mod conceal;
pub(crate) mod find;
mod raw;
mod source;

pub use raw::RawToken;
pub use source::TokenSource;

/// A bearer token, borrowed from the request: one b64token of RFC 6750 §2.1, of at most
/// [`MAX_LENGTH`](Self::MAX_LENGTH) bytes.
///
/// Only its form has been checked; a [`Verifier`](crate::Verifier) decides whether it is valid. Its
/// `Debug` does not show it.
///
/// Tokens cannot be compared with `==`, because the time that such a comparison takes tells an attacker
/// how many bytes of a guess are right. To accept a fixed set of tokens, use `StaticTokens`, which
/// compares hashes in constant time.
///
/// ```
/// use tower_bearer::BearerToken;
///
/// // A token that came some other way, such as in the first message of a WebSocket.
/// let token = BearerToken::parse("mF_9.B5f-4.1JqM")?;
/// assert_eq!(token.as_str(), "mF_9.B5f-4.1JqM");
/// assert_eq!(format!("{token:?}"), "BearerToken(15 bytes)");
///
/// assert!(BearerToken::parse("two words").is_err());
/// # Ok::<(), tower_bearer::AuthError>(())
/// ```
#[derive(Clone, Copy)]
// ASCII, which the scan of its form has proved.
pub struct BearerToken<'a>(&'a [u8]);

impl<'a> BearerToken<'a> {
    /// The longest token that is looked at, in bytes: 16 KiB. Servers commonly take no more than
    /// that in all headers together, and the largest tokens in use (with a certificate chain in
    /// them) have a few KiB.
    pub const MAX_LENGTH: usize = 16 * 1024;

    /// Takes a token from text: one b64token, with nothing around it.
    ///
    /// # Errors
    /// [`InvalidToken`](crate::AuthErrorKind::InvalidToken) if it is none, or too long.
    pub fn parse(text: &'a str) -> Result<Self, AuthError> {
        Self::from_bytes(text.as_bytes())
    }

    /// As [`parse`](Self::parse), from the bytes of a header.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Result<Self, AuthError> {
        if bytes.len() > Self::MAX_LENGTH {
            return Err(AuthError::invalid_token(reason::TOKEN_TOO_LARGE));
        }
        if is_b64token(bytes) {
            Ok(Self(bytes))
        } else {
            Err(AuthError::invalid_token(reason::TOKEN_MALFORMED))
        }
    }

    /// A token from bytes that were one already.
    pub(crate) const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The token's text. It is a secret: whoever has it can use it.
    pub const fn as_str(self) -> &'a str {
        match std::str::from_utf8(self.0) {
            Ok(text) => text,
            // For nobody: the bytes are ASCII. Without unsafe code it must be said all the same.
            Err(_) => "",
        }
    }

    /// The bytes of that text, which cost nothing to have.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// A copy that owns its text, for a verification that goes on after the call.
    pub fn to_owned(self) -> OwnedToken {
        OwnedToken(self.as_str().into())
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken({} bytes)", self.0.len())
    }
}

/// A [`BearerToken`] that owns its text. Its `Debug` does not show it, and it cannot be compared with `==`.
#[derive(Clone)]
pub struct OwnedToken(Box<str>);

impl OwnedToken {
    /// The token's text. It is a secret: whoever has it can use it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The token, borrowed.
    pub fn as_token(&self) -> BearerToken<'_> {
        BearerToken(self.0.as_bytes())
    }
}

impl fmt::Debug for OwnedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedToken({} bytes)", self.0.len())
    }
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1).
fn is_b64token(bytes: &[u8]) -> bool {
    let body = match bytes.iter().rposition(|byte| *byte != b'=') {
        Some(last) => bytes.get(..=last).unwrap_or_default(),
        None => return false,
    };
    // Without a branch in the loop, so that the compiler can make it look at many bytes at a time.
    body.iter()
        .fold(0, |strange, byte| strange | strangeness(*byte))
        == 0
}

/// How far a byte is from the nearest that may be part of a token: 0 if it is one itself. Processors
/// compute that for many bytes at a time in fewer steps than a yes or no.
const fn strangeness(byte: u8) -> u8 {
    let letter = (byte | 0x20).wrapping_sub(b'a').saturating_sub(25);
    // `-`, `.`, `/` and the digits stand side by side.
    let digit = byte.wrapping_sub(b'-').saturating_sub(b'9' - b'-');
    let others = min(byte ^ b'_', min(byte ^ b'~', byte ^ b'+'));
    min(min(letter, digit), others)
}

const fn min(one: u8, other: u8) -> u8 {
    if one < other { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_as_rfc_6750_section_2_1_says() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(strangeness(byte) == 0, expected, "{byte:#x}");
        }
    }

    #[test]
    fn padding_stands_at_the_end_alone_and_not_alone() {
        for (text, expected) in [
            ("a", true),
            ("a=", true),
            ("a===", true),
            ("", false),
            ("=", false),
            ("=a", false),
            ("a=b", false),
            ("a b", false),
            ("a,b", false),
        ] {
            assert_eq!(is_b64token(text.as_bytes()), expected, "{text:?}");
        }
    }
}
