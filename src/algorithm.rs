//! [`Algorithm`]: the signature algorithms that a token may be signed with.

use std::{fmt, str::FromStr};

use crate::error::ConfigError;

/// An algorithm that a token is signed with: the `alg` of its header (RFC 7518 §3.1, RFC 8037 §3.1).
///
/// There is no `none` among them.
///
/// ```
/// use tower_bearer::Algorithm;
///
/// assert_eq!("RS256".parse::<Algorithm>()?, Algorithm::RS256);
/// assert_eq!(Algorithm::EdDSA.to_string(), "EdDSA");
/// assert!("none".parse::<Algorithm>().is_err());
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256. Whoever can verify can also sign: for an issuer and a service that are
    /// one.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256; the one that every JWT access token issuer can
    /// (RFC 9068 §2.1).
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes.
    PS256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes.
    PS384,
    /// RSASSA-PSS with SHA-512, MGF1 with SHA-512 and a salt of 64 bytes.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// EdDSA on Ed25519, also named `Ed25519` (RFC 9864 §2.2). Ed448 is not supported.
    EdDSA,
}

impl Algorithm {
    /// Every algorithm.
    pub(crate) const ALL: [Self; 13] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// The name, as in the `alg` of a header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Whether one secret both signs and verifies (HS256, HS384, HS512).
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }

    /// The algorithm of that name, which is case-sensitive (RFC 7515 §4.1.1).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::HS256,
            "HS384" => Self::HS384,
            "HS512" => Self::HS512,
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "ES512" => Self::ES512,
            // One algorithm with two names: `EdDSA` leaves the curve to the key, and Ed25519 is the
            // only one here.
            "EdDSA" | "Ed25519" => Self::EdDSA,
            _ => return None,
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads a name exactly as it is registered: `"rs256"` is none.
impl FromStr for Algorithm {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Self::from_name(name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            ConfigError::new(format!(
                "{name:?} is not a signature algorithm; use one of {known}, spelled so"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_round_trip() {
        for algorithm in Algorithm::ALL {
            assert_eq!(
                algorithm.to_string().parse::<Algorithm>().unwrap(),
                algorithm
            );
            assert_eq!(
                algorithm.is_symmetric(),
                algorithm.as_str().starts_with('H')
            );
        }
        assert_eq!("Ed25519".parse::<Algorithm>().unwrap(), Algorithm::EdDSA);
    }

    #[test]
    fn nothing_else_is_an_algorithm() {
        for name in [
            "", "none", "None", "NONE", "noNE", "rs256", "RS256 ", " RS256", "eddsa", "EDDSA",
            "Ed448", "ES256K", "RSA-OAEP", "HS1", "RS1", "dir",
        ] {
            let error = name.parse::<Algorithm>().unwrap_err().to_string();
            assert!(error.contains("ES256"), "{error}");
        }
    }
}
