//! [`SecretHash`]: the secret of a client, as it is kept.

use std::{fmt, str::FromStr};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHasher, Version,
    password_hash::phc::{self, PasswordHash},
};

use crate::{crypto, error::ConfigError};

/// The hash of a client's secret. The secret itself is stored nowhere.
///
/// There are two kinds. Which one is right depends on where the secret comes from:
///
/// * [`generate`](Self::generate) and [`of_generated`](Self::of_generated) are for secrets that a machine made of
///   128 random bits or more. They use HMAC-SHA-256 with a salt, which takes a microsecond. Nobody can guess such
///   a secret, so a slow hash would protect nothing, and comparisons are never limited.
/// * [`of_chosen`](Self::of_chosen) is for secrets that a person chose, or that are short. It uses Argon2id
///   (RFC 9106) with a salt, 19 MiB of memory and two passes, which takes about 20 ms on a thread of its own. An
///   attacker who steals the hashes can try only few secrets a second. The server runs few of these comparisons
///   at a time, in buffers that it uses again. It remembers a keyed hash of the last secret that matched, in
///   memory only, so a client that has authenticated once does not wait for Argon2id again.
///
/// ```
/// use tower_bearer::token_service::SecretHash;
///
/// // To be shown to the owner of the client, once.
/// let (secret, hash) = SecretHash::generate()?;
/// assert_eq!(secret.len(), 43);
///
/// // To be written down, such as in a database, and read again.
/// let written = hash.to_string();
/// assert_eq!(written.parse::<SecretHash>()?, hash);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// `Display` and `FromStr` write and read it; `Debug` shows of which kind it is.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Fast { salt: [u8; 32], hash: [u8; 32] },
    Slow(Box<PasswordHash>),
}

/// How the fast hash is written: as PHC strings are.
const FAST: &str = "$hmac-sha256$";

/// As many characters of base64 as 128 bits have.
const SHORTEST_GENERATED: usize = 22;

/// What a hash may cost, in KiB and passes: what is more is a mistake that would bring the service down.
const MOST_MEMORY: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;

impl SecretHash {
    /// A fresh secret of 256 random bits, and its hash.
    ///
    /// # Errors
    /// If the operating system gives no randomness.
    pub fn generate() -> Result<(String, Self), ConfigError> {
        let secret: [u8; 32] = crypto::random().ok_or_else(no_randomness)?;
        let secret = base64_simd::URL_SAFE_NO_PAD.encode_to_string(secret);
        let hash = Self::of_generated(&secret)?;
        Ok((secret, hash))
    }

    /// The hash of a secret that a machine made of at least 128 random bits.
    ///
    /// # Errors
    /// If it is shorter than 22 characters, and so cannot be one; or if the operating system gives no randomness.
    pub fn of_generated(secret: &str) -> Result<Self, ConfigError> {
        if secret.len() < SHORTEST_GENERATED {
            return Err(ConfigError::new(
                "a client secret under 22 characters has less than 128 random bits: use \
                 SecretHash::of_chosen, or a longer secret",
            ));
        }
        let salt = crypto::random().ok_or_else(no_randomness)?;
        let hash = crypto::hmac_sha256(&salt, secret.as_bytes()).ok_or_else(no_randomness)?;
        Ok(Self(Kind::Fast { salt, hash }))
    }

    /// Hashes a secret that a person chose, or that is short. This takes about 20 ms.
    ///
    /// # Errors
    /// If the secret is empty, or the operating system gives no randomness.
    pub fn of_chosen(secret: &str) -> Result<Self, ConfigError> {
        if secret.is_empty() {
            return Err(ConfigError::new(
                "a client secret is empty: give one, or leave the client without",
            ));
        }
        let salt: [u8; 16] = crypto::random().ok_or_else(no_randomness)?;
        let hash = Argon2::default().hash_password_with_salt(secret.as_bytes(), &salt);
        match hash {
            Ok(hash) => Ok(Self(Kind::Slow(Box::new(hash)))),
            Err(error) => Err(ConfigError::new(format!(
                "the client secret cannot be hashed: {error}"
            ))),
        }
    }

    /// Whether a fast hash is that of the secret. `None` for a slow hash.
    pub(super) fn matches_fast(&self, secret: &str) -> Option<bool> {
        match &self.0 {
            Kind::Fast { salt, hash } => Some(
                crypto::hmac_sha256(salt, secret.as_bytes())
                    .is_some_and(|computed| crypto::fixed_time_eq(&computed, hash)),
            ),
            Kind::Slow(_) => None,
        }
    }

    /// Whether a slow hash is that of the secret, computed in `memory`, which holds at least
    /// [`blocks`](Self::blocks) blocks. `false` for a fast hash.
    pub(super) fn matches_slow(&self, secret: &str, memory: &mut [Block]) -> bool {
        let Kind::Slow(hash) = &self.0 else {
            return false;
        };
        let (Some(params), Some(salt), Some(expected)) = (self.params(), &hash.salt, &hash.hash)
        else {
            return false;
        };
        let version = hash
            .version
            .map_or(Ok(Version::default()), Version::try_from);
        let Ok(version) = version else {
            return false;
        };
        let mut output = [0; phc::Output::MAX_LENGTH];
        let Some(output) = output.get_mut(..expected.len()) else {
            return false;
        };
        Argon2::new(Algorithm::Argon2id, version, params)
            .hash_password_into_with_memory(secret.as_bytes(), salt, output, memory)
            .is_ok()
            && crypto::fixed_time_eq(output, expected.as_bytes())
    }

    pub(super) fn is_slow(&self) -> bool {
        matches!(self.0, Kind::Slow(_))
    }

    fn params(&self) -> Option<Params> {
        match &self.0 {
            Kind::Fast { .. } => None,
            Kind::Slow(hash) => Params::try_from(&**hash).ok(),
        }
    }

    /// How many blocks of memory (1 KiB each) a comparison takes.
    pub(super) fn blocks(&self) -> usize {
        self.params().map_or(0, |params| params.block_count())
    }

    /// The salt and the output of a slow hash, which stand for it.
    pub(super) fn identity(&self) -> Option<Vec<u8>> {
        match &self.0 {
            Kind::Fast { .. } => None,
            Kind::Slow(hash) => {
                let (salt, output) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
                Some([&**salt, output.as_bytes()].concat())
            }
        }
    }

    /// The cost of a comparison, to be compared with that of others.
    pub(super) fn cost(&self) -> u64 {
        self.params().map_or(0, |params| {
            u64::from(params.m_cost()).saturating_mul(params.t_cost().into())
        })
    }

    #[cfg(test)]
    pub(super) fn matches(&self, secret: &str) -> bool {
        let mut memory = vec![Block::new(); self.blocks()];
        self.matches_fast(secret)
            .unwrap_or_else(|| self.matches_slow(secret, &mut memory))
    }
}

fn no_randomness() -> ConfigError {
    ConfigError::new("the operating system gives no randomness, without which there are no secrets")
}

/// Writes it as a PHC string: `$argon2id$…` or `$hmac-sha256$…`.
impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Fast { salt, hash } => {
                let encode = |bytes: &[u8]| base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
                write!(f, "{FAST}{}${}", encode(salt), encode(hash))
            }
            Kind::Slow(hash) => hash.fmt(f),
        }
    }
}

/// Reads what `Display` writes, and Argon2id hashes of others in the same form.
impl FromStr for SecretHash {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let malformed = || {
            ConfigError::new(
                "not the hash of a client secret: it begins with `$argon2id$` or `$hmac-sha256$`, as \
                 SecretHash writes it",
            )
        };
        if let Some(rest) = text.strip_prefix(FAST) {
            let (salt, hash) = rest.split_once('$').ok_or_else(malformed)?;
            let decode = |text: &str| {
                let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
                bytes.try_into().ok()
            };
            return Ok(Self(Kind::Fast {
                salt: decode(salt).ok_or_else(malformed)?,
                hash: decode(hash).ok_or_else(malformed)?,
            }));
        }
        let hash = phc::PasswordHash::new(text).map_err(|_| malformed())?;
        let complete = hash.salt.is_some() && hash.hash.is_some();
        if hash.algorithm.as_str() != "argon2id" || !complete {
            return Err(malformed());
        }
        let known = hash
            .version
            .is_none_or(|version| Version::try_from(version).is_ok());
        if !known
            || hash
                .salt
                .as_ref()
                .is_some_and(|salt| salt.len() < argon2::MIN_SALT_LEN)
        {
            return Err(malformed());
        }
        let params = Params::try_from(&hash).map_err(|_| malformed())?;
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
            return Err(ConfigError::new(format!(
                "the hash of a client secret takes more than {MOST_MEMORY} KiB or {MOST_PASSES} passes, each \
                 time that it is compared: hash it anew by SecretHash::of_chosen"
            )));
        }
        Ok(Self(Kind::Slow(Box::new(hash))))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Fast { .. } => "SecretHash(hmac-sha256)",
            Kind::Slow(_) => "SecretHash(argon2id)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_match_their_secret_and_no_other_and_round_trip() {
        let (secret, generated) = SecretHash::generate().unwrap();
        let chosen = SecretHash::of_chosen("svc-secret").unwrap();
        for (secret, hash) in [(secret.as_str(), generated), ("svc-secret", chosen)] {
            let read: SecretHash = hash.to_string().parse().unwrap();
            assert_eq!(read, hash);
            for wrong in ["", "x", &secret[1..], &format!("{secret} ")] {
                assert!(!read.matches(wrong), "{wrong:?}");
            }
            assert!(read.matches(secret));
        }
    }

    #[test]
    fn two_hashes_of_one_secret_differ() {
        let [one, other] =
            [(); 2].map(|()| SecretHash::of_generated("a-secret-that-a-machine-made").unwrap());
        assert_ne!(one, other);
    }

    #[test]
    fn what_is_no_hash_or_too_dear_is_refused() {
        for wrong in [
            "",
            "svc-secret",
            "$hmac-sha256$",
            "$hmac-sha256$AAAA$AAAA",
            "$argon2id$",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ",
            "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$DqGbLnXb2G7tLxlHKLHDbFHGgfCv2HkFtJU0GgQxPXs",
            "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$DqGbLnXb2G7tLxlHKLHDbFHGgfCv2HkFtJU0GgQxPXs",
            "$argon2id$v=19$m=19456,t=1000,p=1$c2FsdHNhbHQ$DqGbLnXb2G7tLxlHKLHDbFHGgfCv2HkFtJU0GgQxPXs",
        ] {
            assert!(wrong.parse::<SecretHash>().is_err(), "{wrong}");
        }
        assert!(SecretHash::of_generated("svc-secret").is_err());
        assert!(SecretHash::of_chosen("").is_err());
    }

    #[test]
    fn debug_shows_no_hash() {
        let hash = SecretHash::of_chosen("svc-secret").unwrap();
        assert_eq!(format!("{hash:?}"), "SecretHash(argon2id)");
    }
}
