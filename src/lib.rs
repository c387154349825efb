//! Bearer-token authentication for every tower stack.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod algorithm;
mod body;
mod check;
mod claims;
mod clock;
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod crypto;
mod error;
pub mod exempt;
mod future;
mod json;
mod layer;
mod reject;
mod require;
mod service;
#[cfg(all(
    feature = "testing",
    any(feature = "aws-lc-rs", feature = "rust-crypto")
))]
pub mod testing;
mod token;
mod verify;

#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
pub use algorithm::Algorithm;
pub use body::ResponseBody;
pub use check::{Check, CheckContext, Checked, Credentials, RequireScopes};
#[cfg(feature = "axum")]
pub use claims::ClaimsRejection;
pub use claims::{Claims, ClaimsBuilder, Confirmation, Epoch, RegisteredClaims, Scopes};
pub use clock::{Clock, ManualClock, NumericDate, SystemClock};
pub use error::{AuthError, AuthErrorKind, ConfigError, reason};
pub use future::ResponseFuture;
pub use layer::BearerAuthLayer;
pub use reject::{Problem, ProblemJson, Reject, grpc_response, is_grpc};
pub use require::{Require, RequireLayer};
pub use service::BearerAuth;
pub use token::{BearerToken, OwnedToken, TokenSource};
#[cfg(all(feature = "jwt", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
pub use verify::jwt::{JwtVerifier, JwtVerifierBuilder, Key, KeySet, SkippedKey};
pub use verify::{
    BoxFuture, MapClaims, SharedVerifier, TryMapClaims, Verification, VerificationFuture, Verifier,
    VerifyAsyncFn, VerifyFn, verify_async_fn, verify_fn,
};
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
pub use verify::{StaticTokens, StaticTokensBuilder};
