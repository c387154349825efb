//! The request after a rejected one (Attack 47; RFC 9112 §9.3, §9.6): a rejection leaves the content of its
//! request unread, so it must say that the connection ends, or the next request is lost.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "axum")]
mod drained;
#[cfg(all(feature = "token-service", feature = "axum", feature = "_crypto"))]
mod endpoints;
mod headers;
mod pooled;
mod proxy;
mod raw;
mod server;
