//! [`StaticTokens`]: a set of API tokens, known beforehand.

use std::{
    collections::HashMap,
    fmt,
    future::Ready,
    hash::{Hash, Hasher},
};

use super::{Verification, Verifier};
use crate::{
    claims::Claims,
    crypto,
    error::{AuthError, ConfigError, reason},
    token::BearerToken,
};

/// A verifier of a set of API tokens, each with its claims.
///
/// Only the SHA-256 hashes of the tokens are kept, and compared in constant time. What is looked up is
/// a hash too, by a table whose order depends on a random key, so that nobody learns from the time of
/// an answer how close a guess came.
///
/// ```
/// use tower_bearer::{Claims, StaticTokens};
///
/// let verifier = StaticTokens::builder()
///     .token("kT9vQ2mXw7Rz4bLs", Claims::builder().subject("ci").scope("deploy").build(()))
///     // The configuration holds only the hash of this one: `openssl rand -hex 16` made the token.
///     .token_sha256(
///         "4f3c2b03c0b431ccb5b2861b8b2105073603202d9fe7d3c3c04fed6c34558186",
///         Claims::builder().subject("monitor").build(()),
///     )
///     .build()?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// A hash protects a token only as well as the token resists guessing: make tokens of at least 128
/// random bits, such as by `openssl rand -hex 16`.
pub struct StaticTokens<C = ()> {
    claims: HashMap<Digest, Claims<C>>,
}

impl StaticTokens {
    /// Begins a set. The type of the claims is that of the first that are given.
    pub fn builder<C>() -> StaticTokensBuilder<C> {
        StaticTokensBuilder { tokens: Vec::new() }
    }
}

/// Builds [`StaticTokens`].
#[must_use]
pub struct StaticTokensBuilder<C> {
    tokens: Vec<Result<(Digest, Claims<C>), ConfigError>>,
}

impl<C> StaticTokensBuilder<C> {
    /// Adds a token. Only its hash is kept.
    pub fn token(mut self, token: &str, claims: Claims<C>) -> Self {
        self.tokens.push(match BearerToken::parse(token) {
            Ok(token) => Ok((Digest::of(token), claims)),
            Err(_) => Err(ConfigError::new(
                "a static token cannot be sent as a bearer token: use letters, digits and \
                 `-._~+/`, at most 16 KiB (RFC 6750 §2.1)",
            )),
        });
        self
    }

    /// Adds a token by its SHA-256 hash: 64 hexadecimal digits, such as
    /// `printf %s "$TOKEN" | sha256sum` prints.
    pub fn token_sha256(mut self, hash: &str, claims: Claims<C>) -> Self {
        self.tokens.push(match Digest::from_hex(hash) {
            Some(digest) => Ok((digest, claims)),
            None => Err(ConfigError::new(
                "the hash of a static token must be its SHA-256 in 64 hexadecimal digits",
            )),
        });
        self
    }

    /// The verifier.
    ///
    /// # Errors
    /// If there is no token, one that cannot be a bearer token, a hash that is none, or the same
    /// token twice.
    pub fn build(self) -> Result<StaticTokens<C>, ConfigError> {
        let mut claims = HashMap::with_capacity(self.tokens.len());
        for token in self.tokens {
            let (digest, of_token) = token?;
            if claims.insert(digest, of_token).is_some() {
                return Err(ConfigError::new(
                    "a static token stands twice in the set: give each its own",
                ));
            }
        }
        if claims.is_empty() {
            return Err(ConfigError::new(
                "there is no static token in the set, so that nobody could pass: add one by `token`",
            ));
        }
        Ok(StaticTokens { claims })
    }
}

impl<C: Send + Sync + 'static> Verifier for StaticTokens<C> {
    type Claims = C;
    type Future = Ready<Result<Claims<C>, AuthError>>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<C, Self::Future> {
        Verification::Ready(match self.claims.get(&Digest::of(token)) {
            Some(claims) => Ok(claims.clone()),
            None => Err(AuthError::invalid_token(reason::TOKEN_UNKNOWN)),
        })
    }
}

/// The SHA-256 hash of a token, compared in constant time.
struct Digest([u8; 32]);

impl Digest {
    fn of(token: BearerToken<'_>) -> Self {
        Self(crypto::sha256(token.as_bytes()))
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (index, byte) in digest.iter_mut().enumerate() {
            let at = index.checked_mul(2)?;
            *byte = u8::from_str_radix(text.get(at..at.checked_add(2)?)?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        crypto::fixed_time_eq(&self.0, &other.0)
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl<C> fmt::Debug for StaticTokens<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticTokens({} tokens)", self.claims.len())
    }
}

impl<C> fmt::Debug for StaticTokensBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticTokensBuilder({} tokens)", self.tokens.len())
    }
}
