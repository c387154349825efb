//! The token service, black-box: the two endpoints of the contract, the endpoint of RFC 6749, revocation, and
//! lines 34 to 38 of attacks.md.

#![cfg(all(feature = "token-service", feature = "_crypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[cfg(feature = "redis")]
#[path = "../support/redis.rs"]
#[allow(dead_code)]
mod redis_server;
#[path = "../support/mod.rs"]
mod support;

mod assertions;
mod clients;
mod config;
mod contract;
#[cfg(all(feature = "redis", feature = "client"))]
mod deployments;
mod direct;
mod events;
mod faults;
mod hooks;
mod introspection;
mod lab;
mod logout;
#[cfg(feature = "metrics")]
mod observed;
mod public_clients;
mod published;
#[cfg(feature = "redis")]
mod redis;
mod refresh;
mod requests;
mod revocation;
mod rfc6749;
mod secrets;
mod shared_keys;
mod signing_keys;
