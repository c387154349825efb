//! Bearer-token authentication for every tower stack: one layer finds the token, a [`Verifier`] judges
//! it, the service behind gets [`Claims`], and every refusal is the same problem document of RFC 9457
//! with the challenge of RFC 6750.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_bearer::{BearerAuthLayer, Claims, StaticTokens};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = StaticTokens::builder()
//!     .token("mF_9.B5f-4.1JqM", Claims::builder().subject("alice").scope("read").build(()))
//!     .build()?;
//! let service = BearerAuthLayer::new(verifier).layer(service_fn(|request: Request<()>| async move {
//!     let claims: &Claims = request.extensions().get().unwrap();
//!     assert_eq!(claims.registered().subject(), Some("alice"));
//!     Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
//! }));
//!
//! let good = Request::get("/").header("authorization", "Bearer mF_9.B5f-4.1JqM").body(()).unwrap();
//! assert_eq!(service.clone().oneshot(good).await?.status(), 200);
//!
//! let none = Request::get("/").body(()).unwrap();
//! let response = service.oneshot(none).await?;
//! assert_eq!(response.status(), 401);
//! assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="api""#);
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//! * What is configured: [`BearerAuthLayer`]. Where it stands in a stack is said there.
//! * Who judges a token: `JwtVerifier` (feature `jwt`; by keys from the network with `jwks`), `StaticTokens`, [`verify_fn`],
//!   [`verify_async_fn`], or a [`Verifier`] of one's own; [`RouteByShape`] where JWTs and opaque tokens
//!   come side by side.
//! * What depends on the request: [`Check`], [`RequireScopes`], and for one route
//!   [`BearerAuthLayer::require`].
//! * What handlers get: [`Claims`], out of the request's extensions or, with the feature `axum`, as an
//!   extractor.
//! * What clients get: [`ProblemJson`], or a [`Reject`] of one's own; [`Problem`] for answers of handlers
//!   in the same voice.
//! * Where the token is: the `Authorization` header, and each [`TokenSource`] that is asked for.
//! * What logs and metrics are told: [`observability`].
//! * Who issues tokens: `token_service` (feature `token-service`). What was revoked: [`RevocationList`].
//! * What goes by without a token: [`BearerAuthLayer::optional`] and [`exempt`].
//!
//! # How a token is decided on
//! | request | answer |
//! |---|---|
//! | no credentials, or another scheme | 401, a challenge without `error` (RFC 6750 §3.1) |
//! | `Bearer` in any case, one or more spaces, one b64token of at most 16 KiB | it is verified |
//! | `Bearer` and anything else, or a line that cannot be read | 401 `invalid_token` |
//! | two `Authorization` lines; a token in two enabled places, or twice in one | 400 `invalid_request` |
//! | an enabled query parameter or cookie that is empty | 401 `invalid_token` |
//! | optional, and no credentials | the service, without claims |
//! | optional, and a bad token | refused as above, never anonymous |
//! | exempt | the service, header and body untouched |
//!
//! Spaces and tabs around a header value, and around the name and value of a cookie, are ignored (RFC 9110
//! §5.5): HTTP/2 servers pass them on.
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `jwt` (default) | `JwtVerifier`, `Key`, `KeySet` |
//! | `aws-lc-rs` (default) | the crypto that `jwt` and `StaticTokens` need, by aws-lc-rs |
//! | `rust-crypto` | the same in pure Rust; with both on, aws-lc-rs is used |
//! | `jwks` | `RemoteKeySet`: keys from the network, kept fresh; needs tokio |
//! | `client` | an HTTPS client for them, by hyper and rustls, so that none has to be set; switches on a crypto provider of rustls, see `RemoteKeySet` |
//! | `client-process-provider` | the same client, by the provider that the application has installed; switches none on |
//! | `cache` | `Cached`: verdicts kept for as long as they hold |
//! | `axum` | [`Claims`] as an axum extractor, [`Problem`] as a response |
//! | `token-service` | `token_service`: endpoints that issue, refresh and revoke tokens, published keys; needs tokio |
//! | `redis` | `RedisRevocation`, and with `token-service` `RedisRefreshStore`: what several processes share, in Redis; needs tokio |
//! | `jsonwebtoken` | `JsonWebTokenVerifier`: verifies by the keys and the validation that you have for jsonwebtoken 11 |
//! | `tracing` | an event for each refusal, and what happens to keys from the network, see [`observability`] |
//! | `metrics` | counts and times, see [`observability`] |
//! | `testing` | an issuer to test against |
//! | `full` | all of these but `rust-crypto` |
//!
//! A feature adds API and never changes behaviour. Without any the layer stands alone: no JWT, no crypto,
//! no runtime.

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

#[cfg(all(feature = "jwt", feature = "_crypto"))]
mod algorithm;
mod body;
mod check;
mod claims;
#[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
mod client;
mod clock;
#[cfg(feature = "_crypto")]
mod crypto;
mod error;
pub mod exempt;
mod future;
mod json;
#[cfg(all(feature = "jsonwebtoken", feature = "_crypto"))]
pub mod jsonwebtoken;
mod layer;
pub mod observability;
mod observe;
mod random;
#[cfg(feature = "redis")]
mod redis;
mod reject;
mod require;
mod revocation;
mod service;
mod store;
#[cfg(all(feature = "testing", feature = "_crypto"))]
pub mod testing;
mod token;
#[cfg(all(feature = "token-service", feature = "_crypto"))]
pub mod token_service;
mod url;
mod verify;

#[cfg(all(feature = "jwt", feature = "_crypto"))]
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
#[cfg(feature = "metrics")]
pub use observability::describe_metrics;
#[cfg(all(
    feature = "redis",
    feature = "client-process-provider",
    feature = "_crypto"
))]
pub use redis::RedisTls;
#[cfg(feature = "redis")]
pub use redis::{RedisCheck, RedisConfig, RedisConnection, RedisReply};
pub use reject::{Problem, ProblemJson, Reject, grpc_response, is_grpc};
pub use require::{Require, RequireLayer};
#[cfg(feature = "redis")]
pub use revocation::RedisRevocation;
pub use revocation::{InMemoryRevocation, Revocation, RevocationList, Revoked};
pub use service::BearerAuth;
pub use store::StoreError;
pub use token::{BearerToken, OwnedToken, RawToken, TokenSource};
#[cfg(all(feature = "jwks", feature = "_crypto"))]
pub use verify::jwks::{
    KeySetError, KeySetHealth, KeySetStatus, RemoteKeySet, RemoteKeySetBuilder,
};
#[cfg(all(feature = "jwt", feature = "_crypto"))]
pub use verify::jwt::{JwtVerifier, JwtVerifierBuilder, Key, KeySet, SkippedKey, TrustedIssuer};
pub use verify::{
    BoxFuture, MapClaims, RouteByShape, SharedVerifier, TryMapClaims, Verification,
    VerificationFuture, Verifier, VerifyAsyncFn, VerifyFn, verify_async_fn, verify_fn,
};
#[cfg(feature = "cache")]
pub use verify::{CacheStats, Cached, CachedBuilder, CachedFuture};
#[cfg(feature = "_crypto")]
pub use verify::{StaticTokens, StaticTokensBuilder};

// The code in the README compiles.
#[cfg(all(
    doctest,
    feature = "axum",
    feature = "client",
    feature = "token-service",
    feature = "_crypto"
))]
#[doc = include_str!("../README.md")]
mod readme {}
