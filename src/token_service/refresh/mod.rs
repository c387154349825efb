//! [`RefreshStore`]: where refresh tokens are kept.
//!
//! What is kept, and the one rule by which tokens are rotated, is in `family`; what a token looks like, in `token`; the
//! store in memory, in `memory`; the one in Redis, in `redis`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{store::StoreError, verify::BoxFuture};

#[cfg(any(test, feature = "testing"))]
pub(crate) mod contract;
mod family;
mod memory;
#[cfg(feature = "redis")]
mod redis;
pub(super) mod token;

#[cfg(any(feature = "redis", test, feature = "testing"))]
pub(crate) use family::Previous;
pub(crate) use family::Version;
pub use family::{IssuedToken, RefreshFamily, Rotation};
pub use memory::InMemoryRefreshStore;
#[cfg(feature = "redis")]
pub use redis::RedisRefreshStore;

/// Where refresh tokens are kept: [`InMemoryRefreshStore`], `RedisRefreshStore` (feature `redis`), those of the crate
/// tower-bearer-sql, or one of your own.
///
/// A refresh token is used once, and then replaced by its successor. All tokens that descend from one grant are a
/// [`RefreshFamily`], and the family is what is kept, with hashes of its tokens and never a token.
///
/// # A store of your own
/// [`rotate`](Self::rotate) must be one atomic operation. Of all presentations of a token, on any number of machines,
/// each finds what the one before it has left. This is done by compare and set on the
/// [`revision`](RefreshFamily::revision) of the family:
///
/// 1. Take the family that the server has found, [`Rotation::found`].
/// 2. Apply [`RefreshFamily::rotate`] to a clone of it.
/// 3. Write the clone, or delete the family after [`Expired`](Rotated::Expired) and [`Reused`](Rotated::Reused), on
///    condition that the stored revision is still that of step 1.
/// 4. If it is not, read the family and go on with step 2. If there is none, the answer is
///    [`Unknown`](Rotated::Unknown).
///
/// All operations may be repeated. If a connection breaks before its answer, wait for a new one and ask again:
/// `RefreshFamily::rotate` knows a rotation that it has already done by its successor, and answers
/// [`Rotated`](Rotated::Rotated) once more.
///
/// Return from every operation within a few seconds: the server gives up after
/// [`store_timeout`](super::AuthorizationServerBuilder::store_timeout), and answers 503.
pub trait RefreshStore: Send + Sync + 'static {
    /// Keeps a new family until it is [over](RefreshFamily::is_over). Returns the families that were ended to make
    /// room for it, usually none.
    ///
    /// # Errors
    /// Returns an error if the store cannot be reached, or is full.
    fn begin(&self, family: RefreshFamily) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>>;

    /// Returns the family with this id, or `None` if there is none, or no longer.
    ///
    /// # Errors
    /// Returns an error if the store cannot be reached.
    fn find(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>>;

    /// Presents a token of a family, by the rule of [`RefreshFamily::rotate`], as one atomic operation. A family that
    /// this ends is kept no longer.
    ///
    /// # Errors
    /// Returns an error if the store cannot be reached. The token may have been rotated all the same.
    fn rotate(&self, rotation: Rotation) -> BoxFuture<Result<Rotated, StoreError>>;

    /// Ends a family: none of its tokens is good for anything from now on. Returns it, or `None` if there was none.
    ///
    /// # Errors
    /// Returns an error if the store cannot be reached.
    fn end(&self, family_id: &str) -> BoxFuture<Result<Option<RefreshFamily>, StoreError>>;

    /// Ends some of the families, a few hundred at most, and returns them. Returns an empty list if there are none
    /// left.
    ///
    /// # Errors
    /// Returns an error if the store cannot be reached. Some may have ended then.
    fn end_some(&self, of: &FamiliesOf) -> BoxFuture<Result<Vec<RefreshFamily>, StoreError>>;

    /// Returns a page of the families, in no particular order. `after` is [`FamilyPage::next`] of the page before. A
    /// family that is rotated meanwhile may be returned twice.
    ///
    /// # Errors
    /// Returns an error if the store cannot be reached.
    fn list(
        &self,
        of: &FamiliesOf,
        after: Option<&str>,
    ) -> BoxFuture<Result<FamilyPage, StoreError>>;
}

/// Which families are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FamiliesOf {
    /// Those of a client, by its `client_id`.
    Client(String),
    /// Those of a subject, by its `sub`, whatever the client.
    Subject(String),
    /// Those of a subject by one client.
    ClientAndSubject {
        /// The `client_id`.
        client_id: String,
        /// The `sub`.
        subject: String,
    },
}

impl FamiliesOf {
    /// Returns whether a family is one of these.
    pub fn contains(&self, family: &RefreshFamily) -> bool {
        let grant = &family.grant;
        match self {
            Self::Client(client_id) => grant.client_id == *client_id,
            Self::Subject(subject) => grant.subject == *subject,
            Self::ClientAndSubject { client_id, subject } => {
                grant.client_id == *client_id && grant.subject == *subject
            }
        }
    }
}

/// Some of the families of a [`RefreshStore`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FamilyPage {
    /// The families of this page. It may be empty although more follow.
    pub families: Vec<RefreshFamily>,
    /// Where the next page begins. `None` if this is the last.
    pub next: Option<String>,
}

impl FamilyPage {
    /// Returns a page, for stores of your own.
    pub fn new(families: Vec<RefreshFamily>, next: Option<String>) -> Self {
        Self { families, next }
    }
}

/// What comes of presenting a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotated {
    /// It was current, and its successor is now.
    Rotated {
        /// Access tokens that the family has issued before and that have not expired.
        earlier: Vec<IssuedToken>,
    },
    /// It was rotated so short a time ago that this is taken for a retry of the same request, whose response was
    /// lost: the successor is the same.
    Again {
        /// From this and the token presented, the successor can be made.
        seed: Secret,
    },
    /// The family is over.
    Expired,
    /// It was rotated before, and the family has ended for it.
    Reused {
        /// Access tokens that the family has issued and that have not expired. Whoever used the token may have them.
        issued: Vec<IssuedToken>,
    },
    /// There is no such family, or no longer.
    Unknown,
}

/// The SHA-256 hash of a refresh token. Serde writes it in base64url, `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash(pub(crate) [u8; 32]);

/// 32 random bytes. Serde writes them in base64url, `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) [u8; 32]);

macro_rules! written_in_base64url {
    ($name:ident) => {
        impl $name {
            pub(crate) fn to_text(&self) -> String {
                base64_simd::URL_SAFE_NO_PAD.encode_to_string(self.0)
            }

            pub(crate) fn parse(text: &str) -> Option<Self> {
                let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
                Some(Self(bytes.try_into().ok()?))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.to_text())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| D::Error::custom("not 32 bytes in base64url"))
            }
        }
    };
}

written_in_base64url!(TokenHash);
written_in_base64url!(Secret);
