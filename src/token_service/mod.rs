//! Issuing what the rest of the crate verifies: the token endpoint, the refresh endpoint, revocation, and the
//! published keys.

mod grant;
mod refresh;

pub use grant::Grant;
#[cfg(feature = "redis")]
pub use refresh::RedisRefreshStore;
pub use refresh::{
    InMemoryRefreshStore, RefreshFamily, RefreshStore, Rotated, Rotation, Secret, TokenHash,
};
