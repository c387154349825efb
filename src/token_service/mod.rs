//! Issuing what the rest of the crate verifies: the token endpoint, the refresh endpoint, revocation, and the
//! published keys. [`AuthorizationServer`] is where to begin.
//!
//! A request comes in at `endpoint`, is read by `request`, its client judged by `client`, and goes on to `issue`,
//! `renew` or `revoke`; what is answered is in `answer`, and why there is nothing in `refusal`. Refresh tokens are kept by `refresh`, keys by `keys`.

mod answer;
mod builder;
mod claims;
mod client;
mod content;
mod direct;
mod document;
mod endpoint;
mod grant;
mod grant_type;
mod issue;
mod keys;
mod lifetime;
mod limit;
mod metadata;
mod observe;
mod refresh;
mod refusal;
mod renew;
mod request;
mod resource;
mod revoke;
mod server;

pub use builder::AuthorizationServerBuilder;
pub use claims::ExtraClaims;
pub use client::{Client, ClientBuilder, ClientStore, InMemoryClients, SecretHash};
pub use direct::{IssueError, IssueErrorKind, IssuedTokens};
pub use endpoint::{TokenFuture, TokenService};
pub use grant::Grant;
pub use grant_type::GrantType;
pub use keys::{
    PrivateKeyText, ScheduledKey, ServeKeySet, Signer, SigningKey, SigningKeyFile,
    SigningKeySource, SigningKeys, SigningKeysLoader,
};
pub use limit::FailureLimit;
pub use metadata::ServeMetadata;
#[cfg(feature = "redis")]
pub use refresh::RedisRefreshStore;
#[cfg(feature = "testing")]
pub use refresh::contract::check_refresh_store;
pub use refresh::{
    FamiliesOf, FamilyPage, InMemoryRefreshStore, IssuedToken, RefreshFamily, RefreshStore,
    Rotated, Rotation, Secret, TokenHash,
};
pub use server::AuthorizationServer;
