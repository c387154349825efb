//! The keys of one issuer as tokens are verified with them: [`Table`], made anew when they change.

use super::{Key, headers::KnownHeaders};
use crate::{algorithm::Algorithm, claims::Epoch, crypto::VerifyingKey};

#[cfg(feature = "jwks")]
use {super::super::jwks::RemoteKeySet, arc_swap::ArcSwap, std::sync::Arc};

/// Where the keys of an issuer are.
pub(super) enum Keys {
    Fixed(Box<Table>),
    #[cfg(feature = "jwks")]
    Remote(RemoteKeys),
}

/// The keys of an issuer, each with what it is used for, and the headers of tokens that they confirmed.
#[derive(Default)]
pub(super) struct Table {
    pub(super) candidates: Vec<Candidate>,
    pub(super) headers: KnownHeaders,
    /// Of which state of a remote set it was made.
    #[cfg(feature = "jwks")]
    pub(super) generation: u64,
    #[cfg(feature = "jwks")]
    usable_until: Option<tokio::time::Instant>,
    /// Of all keys of a remote set, also of those that are used with no algorithm.
    #[cfg(feature = "jwks")]
    key_ids: Vec<Box<str>>,
}

/// A key and one algorithm that it is used with.
pub(super) struct Candidate {
    pub(super) key_id: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    pub(super) key: VerifyingKey,
    pub(super) epoch: Epoch,
}

impl Table {
    /// Each key with each algorithm that `allowed` says it may be used with.
    pub(super) fn of<'k>(
        keys: impl IntoIterator<Item = &'k Key>,
        allowed: impl Fn(&Key, Algorithm) -> bool,
    ) -> Self {
        let mut table = Self::default();
        for key in keys {
            let entries = key.entries().iter();
            let entries = entries.filter(|(algorithm, _)| allowed(key, *algorithm));
            table
                .candidates
                .extend(entries.map(|(algorithm, verifying_key)| Candidate {
                    key_id: key.key_id().map(Into::into),
                    algorithm: *algorithm,
                    key: verifying_key.clone(),
                    epoch: key.epoch().clone(),
                }));
        }
        table
    }

    /// Whether there are keys, and not too old.
    #[cfg(feature = "jwks")]
    pub(super) fn is_usable(&self) -> bool {
        self.usable_until.is_some()
    }

    #[cfg(feature = "jwks")]
    pub(super) fn has_key_of_id(&self, key_id: &str) -> bool {
        self.key_ids.iter().any(|id| **id == *key_id)
    }

    /// The keys that a token may be signed with, by their place in the list.
    ///
    /// A key with an id is for tokens with this very `kid`, or with none; one without is for any.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> impl Iterator<Item = (usize, &Candidate)> {
        self.candidates
            .iter()
            .enumerate()
            .filter(move |(_, key)| key.algorithm == algorithm)
            .filter(move |(_, key)| match (key.key_id.as_deref(), key_id) {
                (Some(of_key), Some(of_token)) => of_key == of_token,
                _ => true,
            })
    }
}

/// A table in use.
pub(super) enum Loaded<'a> {
    Fixed(&'a Table),
    #[cfg(feature = "jwks")]
    Remote(arc_swap::Guard<Arc<Table>>),
    /// There are keys, but they are too old, or there are none yet.
    #[cfg(feature = "jwks")]
    Unusable(Box<Table>),
}

impl std::ops::Deref for Loaded<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        match self {
            Self::Fixed(table) => table,
            #[cfg(feature = "jwks")]
            Self::Remote(table) => table,
            #[cfg(feature = "jwks")]
            Self::Unusable(table) => table,
        }
    }
}

impl Keys {
    /// The keys as they are now. Waits for nobody.
    pub(super) fn load(&self, algorithms: Option<&[Algorithm]>) -> Loaded<'_> {
        #[cfg(not(feature = "jwks"))]
        let _ = algorithms;
        match self {
            Self::Fixed(table) => Loaded::Fixed(table),
            #[cfg(feature = "jwks")]
            Self::Remote(keys) => keys.load(algorithms),
        }
    }
}

/// Keys from the network, and the table that was made of them last.
#[cfg(feature = "jwks")]
pub(super) struct RemoteKeys {
    pub(super) set: RemoteKeySet,
    table: ArcSwap<Table>,
}

#[cfg(feature = "jwks")]
impl RemoteKeys {
    pub(super) fn new(set: RemoteKeySet) -> Self {
        Self {
            set,
            table: ArcSwap::default(),
        }
    }

    fn load(&self, algorithms: Option<&[Algorithm]>) -> Loaded<'_> {
        let mut table = self.table.load();
        if table.generation < self.set.generation() {
            // Whoever comes first after a refresh makes it; two that do make the same.
            self.keep(Arc::new(self.make(algorithms)));
            table = self.table.load();
        }
        match table.usable_until {
            Some(end) if tokio::time::Instant::now() < end => Loaded::Remote(table),
            _ => Loaded::Unusable(Box::new(Table {
                generation: table.generation,
                ..Table::default()
            })),
        }
    }

    /// Puts a table in the place of an older one. It may have taken long to make, and a newer one
    /// may be there.
    fn keep(&self, made: Arc<Table>) {
        self.table.rcu(|here| {
            let newest = match here.generation < made.generation {
                true => &made,
                false => here,
            };
            Arc::clone(newest)
        });
    }

    fn make(&self, algorithms: Option<&[Algorithm]>) -> Table {
        let current = self.set.current();
        let generation = current.number;
        let Some(snapshot) = &current.keys else {
            return Table {
                generation,
                ..Table::default()
            };
        };
        let allowed = |key: &Key, algorithm| match algorithms {
            Some(list) => list.contains(&algorithm),
            // A key of RSA that does not say: by the algorithm that every issuer can (RFC 9068 §2.1).
            None => key.entries().len() == 1 || algorithm == Algorithm::RS256,
        };
        Table {
            generation,
            usable_until: Some(snapshot.usable_until()),
            key_ids: snapshot.key_ids().map(Into::into).collect(),
            ..Table::of(snapshot.keys(), allowed)
        }
    }
}

#[cfg(all(test, feature = "jwks"))]
mod tests;
