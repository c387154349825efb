//! [`GrantType`]: the ways to get tokens at the endpoints.

/// A way in which a client gets tokens at the endpoints (RFC 6749 §1.3). See
/// [`ClientBuilder::grant_types`](super::ClientBuilder::grant_types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrantType {
    /// `client_credentials`: tokens for the client itself (RFC 6749 §4.4).
    ClientCredentials,
    /// `refresh_token`: new tokens for a refresh token (RFC 6749 §6).
    RefreshToken,
}

impl GrantType {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::ClientCredentials, Self::RefreshToken]
            .into_iter()
            .find(|one| one.name() == name)
    }
}
