//! Bearer-token authentication for every tower stack.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod body;
mod check;
mod claims;
mod clock;
mod error;
pub mod exempt;
mod future;
mod json;
mod layer;
mod reject;
mod require;
mod service;
mod token;
mod verify;

#[cfg(feature = "axum")]
pub use claims::ClaimsRejection;
pub use body::ResponseBody;
pub use check::{Check, CheckContext, Checked, Credentials, RequireScopes};
pub use claims::{Claims, ClaimsBuilder, Confirmation, Epoch, RegisteredClaims, Scopes};
pub use clock::{Clock, ManualClock, NumericDate, SystemClock};
pub use error::{AuthError, AuthErrorKind, ConfigError, reason};
pub use future::ResponseFuture;
pub use layer::BearerAuthLayer;
pub use reject::{Problem, ProblemJson, Reject, grpc_response, is_grpc};
pub use require::{Require, RequireLayer};
pub use service::BearerAuth;
pub use token::{BearerToken, OwnedToken, TokenSource};
pub use verify::{
    BoxFuture, MapClaims, SharedVerifier, TryMapClaims, Verification, VerificationFuture, Verifier,
    VerifyAsyncFn, VerifyFn, verify_async_fn, verify_fn,
};
