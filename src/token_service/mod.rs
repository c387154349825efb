//! Issuing what the rest of the crate verifies: the token endpoint, the refresh endpoint, revocation, and the
//! published keys.

mod grant;
mod refresh;

pub use grant::Grant;
pub use refresh::{
    InMemoryRefreshStore, RefreshFamily, RefreshStore, Rotated, Rotation, Secret, TokenHash,
};
