//! Issuing what the rest of the crate verifies: the token endpoint, the refresh endpoint, revocation, and the
//! published keys. [`AuthorizationServer`] is where to begin.
//!
//! A request comes in at `endpoint`, is read by `request`, its client authenticated by `client`, and goes on to `issue`,
//! `renew`, `revoke` or `introspect`. What is answered is in `answer`, and why a request is rejected, in `refusal`. Refresh
//! tokens are kept by `refresh`, keys by `keys`. Where the application has a say is in `hooks`, what it is told, in
//! `event`, and what it may call by itself, in `direct` and `server`.

mod answer;
mod builder;
mod claims;
mod client;
mod content;
mod direct;
mod document;
mod endpoint;
mod event;
mod grant;
mod grant_type;
mod hooks;
mod introspect;
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
mod session;
mod unsettled;

pub use builder::AuthorizationServerBuilder;
pub use claims::ExtraClaims;
pub use client::{
    Client, ClientBuilder, ClientStore, InMemoryClients, InMemoryReplayStore, ReplayStore,
    SecretHash,
};
pub use direct::{IssueError, IssueErrorKind, IssueRequest, IssuedTokens};
pub use endpoint::{TokenFuture, TokenService};
pub use event::{TokenEvent, TokenEventKind};
pub use grant::Grant;
pub use grant_type::GrantType;
pub use hooks::RefreshDecision;
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
