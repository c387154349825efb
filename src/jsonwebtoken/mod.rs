//! Keep your jsonwebtoken set-up: its `DecodingKey`s and its `Validation`, behind this crate's layer.
//!
//! A service that verifies tokens by [jsonwebtoken] 11 moves to
//! [`BearerAuthLayer`](crate::BearerAuthLayer) without changing how its keys are loaded or what it validates:
//! [`JsonWebTokenVerifier`] takes both as they are. The call to `jsonwebtoken::decode`, the search for
//! the header and the hand-written 401 go away.
//!
//! ```
//! use jsonwebtoken::{Algorithm, DecodingKey, Validation};
//! use serde::Deserialize;
//! use tower_bearer::{BearerAuthLayer, jsonwebtoken::JsonWebTokenVerifier};
//!
//! #[derive(Deserialize)]
//! struct MyClaims {
//!     tenant: String,
//! }
//!
//! // These lines stay as they were.
//! let key = DecodingKey::from_secret(b"a secret of at least thirty-two bytes");
//! let mut validation = Validation::new(Algorithm::HS256);
//! validation.set_issuer(&["https://login.example.com"]);
//! validation.set_audience(&["https://api.example.com"]);
//!
//! // This line replaces `decode::<MyClaims>(token, &key, &validation)`.
//! let verifier = JsonWebTokenVerifier::<MyClaims>::builder(validation).key(key).build()?;
//! let auth = BearerAuthLayer::new(verifier);
//!
//! // A validation that can accept no token is an error when it is built, not a 401 later.
//! let nothing = Validation { algorithms: Vec::new(), ..Validation::default() };
//! let error = JsonWebTokenVerifier::<MyClaims>::builder(nothing)
//!     .key(DecodingKey::from_secret(b"a secret of at least thirty-two bytes"))
//!     .build()
//!     .unwrap_err();
//! assert!(error.to_string().contains("algorithms"));
//! # Ok::<(), tower_bearer::ConfigError>(())
//! ```
//!
//! # Which verifier to choose
//! * You have `DecodingKey`s and a `Validation` today, or another crate hands them to you:
//!   [`JsonWebTokenVerifier`].
//! * You start anew, or want RFC 9068 access tokens, several issuers or ES512: [`JwtVerifier`]
//!   with [`Key`](crate::Key).
//! * The issuer publishes its keys: [`JwtVerifier`] with `RemoteKeySet` (feature `jwks`).
//!
//! # What your `Validation` means here
//! | field | meaning here |
//! |---|---|
//! | `algorithms` | The allow-list. Each key is bound to one algorithm of it, see [Keys](#keys). An empty list is a [`ConfigError`](crate::ConfigError). |
//! | `leeway` | As in jsonwebtoken, in seconds. A token is rejected from `exp + leeway` on, at that second too (RFC 7519 §4.1.4). |
//! | `reject_tokens_expiring_in_less_than` | As in jsonwebtoken, in seconds. The verdict of a cache ends earlier too. |
//! | `validate_exp` | As in jsonwebtoken. If it is `false`, the claims never expire, and a cache keeps them for its time to live. |
//! | `validate_nbf` | An `nbf` in the token is always validated (RFC 7519 §4.1.5), whatever this says. |
//! | `validate_aud`, `aud` | As in jsonwebtoken, but a token without `aud` is rejected if `aud` names an audience. With neither, a token that has an `aud` is rejected. |
//! | `iss` | As in jsonwebtoken, but a token without `iss` is rejected if it names an issuer, and an `iss` that is an array is malformed. |
//! | `sub` | As in jsonwebtoken, but a token without `sub` is rejected if it names a subject. |
//! | `required_spec_claims` | As in jsonwebtoken: `exp`, `nbf`, `aud`, `iss` and `sub`; other names have no effect. |
//!
//! # What is added
//! What jsonwebtoken leaves open is decided as [`JwtVerifier`] decides it: the token
//! has at most 16 KiB and exactly three segments, no member of header or payload stands twice, `crit`
//! and `zip` are rejected, `typ` is `JWT`, `at+jwt` or absent (see
//! [`token_types`](JsonWebTokenVerifierBuilder::token_types)), and a registered claim of the wrong type
//! is malformed. [`Claims`](crate::Claims) carry the registered claims and scopes, and end at `exp` plus the
//! leeway, so a [`Cached`](crate::Verifier) verifier and long-lived connections know when.
//!
//! # Keys
//! A key is used with exactly one algorithm (RFC 8725 §3.1): an RSA key with RS256 if `algorithms` lists
//! it, else with the first RSA algorithm listed; an EC key with the algorithm of its curve; a secret
//! with the first HMAC algorithm listed. A key that fits none of them is a
//! [`ConfigError`](crate::ConfigError). So is a key that [`Key`](crate::Key) would not take either, such as a
//! secret shorter than its hash (RFC 7518 §3.2) or an RSA modulus under 2048 bits.
//!
//! A key that has a `kid` is used for tokens with this `kid` or with none. A key without is used for all
//! tokens.
//!
//! # What to mind in deployment
//! * Signatures are verified by this crate's own backend (`aws-lc-rs` or `rust-crypto`). jsonwebtoken's
//!   process-wide `CryptoProvider` is neither installed nor asked, so this feature switches on neither
//!   `jsonwebtoken/aws_lc_rs` nor `jsonwebtoken/rust_crypto`, and works whether you do or not.
//! * The feature is for jsonwebtoken 11. Its types stand in the signatures of this module and nowhere else.
//! * `from_rsa_pem` and its like need your own `jsonwebtoken` dependency to have its feature `use_pem`.
//!
//! [jsonwebtoken]: https://docs.rs/jsonwebtoken/11

use std::{fmt, sync::Arc};

use ::jsonwebtoken::Validation;
use serde::de::DeserializeOwned;

use crate::{
    token::BearerToken,
    verify::{Verification, Verifier, jwt::JwtVerifier},
};

mod builder;
mod key;
mod rules;

pub use builder::JsonWebTokenVerifierBuilder;

use rules::Rules;

/// Verifies JSON Web Tokens by the `DecodingKey`s and the `Validation` of jsonwebtoken.
///
/// The [module](self) says what each field of the `Validation` means here, and what is added to it.
/// `C` is the user's part of the claims, as in [`JwtVerifier`].
///
/// ```
/// use jsonwebtoken::{Algorithm, DecodingKey, Validation};
/// use tower_bearer::{BearerToken, Verification, Verifier, jsonwebtoken::JsonWebTokenVerifier, reason};
///
/// let mut validation = Validation::new(Algorithm::HS256);
/// validation.set_audience(&["https://api.example.com"]);
///
/// let verifier = JsonWebTokenVerifier::<()>::builder(validation)
///     .key_with_id("2026-01", DecodingKey::from_secret(&[1; 32]))
///     .key_with_id("2026-07", DecodingKey::from_secret(&[2; 32]))
///     .build()?;
///
/// let token = BearerToken::parse("not.a.jwt").unwrap();
/// let Verification::Ready(Err(error)) = verifier.verify(token) else { panic!() };
/// assert_eq!(error.reason(), reason::TOKEN_MALFORMED);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
pub struct JsonWebTokenVerifier<C = ()> {
    jwt: JwtVerifier<C>,
    rules: Arc<Rules>,
}

impl<C> JsonWebTokenVerifier<C> {
    /// Returns a builder for a verifier that validates claims as `validation` says.
    ///
    /// The builder needs at least one key.
    pub fn builder(validation: Validation) -> JsonWebTokenVerifierBuilder<C> {
        JsonWebTokenVerifierBuilder::new(validation)
    }
}

impl<C> Verifier for JsonWebTokenVerifier<C>
where
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Claims = C;
    type Future = <JwtVerifier<C> as Verifier>::Future;

    fn verify(&self, token: BearerToken<'_>) -> Verification<C, Self::Future> {
        match self.jwt.verify(token) {
            Verification::Ready(verdict) => Verification::Ready(self.rules.check(verdict)),
            Verification::Pending(verdict) => {
                let rules = Arc::clone(&self.rules);
                Verification::Pending(Box::pin(async move { rules.check(verdict.await) }))
            }
        }
    }
}

impl<C> Clone for JsonWebTokenVerifier<C> {
    fn clone(&self) -> Self {
        Self {
            jwt: self.jwt.clone(),
            rules: Arc::clone(&self.rules),
        }
    }
}

impl<C> fmt::Debug for JsonWebTokenVerifier<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonWebTokenVerifier")
            .field("jwt", &self.jwt)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
