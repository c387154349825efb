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

/// The keys of an issuer, each bound to its algorithm, and the headers of tokens that they
/// confirmed.
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

/// A key, and the one algorithm that it is bound to.
pub(super) struct Candidate {
    pub(super) key_id: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    pub(super) key: VerifyingKey,
    pub(super) epoch: Epoch,
}

impl Table {
    /// Binds each key to its algorithm, and leaves out those that fit none on the list.
    pub(super) fn of<'k>(
        keys: impl IntoIterator<Item = &'k Key>,
        algorithms: Option<&[Algorithm]>,
    ) -> Self {
        let bind = |key: &'k Key| {
            let (algorithm, verifying_key) = key.bind(algorithms)?;
            Some(Candidate {
                key_id: key.key_id().map(Into::into),
                algorithm: *algorithm,
                key: verifying_key.clone(),
                epoch: key.epoch().clone(),
            })
        };
        Self {
            candidates: keys.into_iter().filter_map(bind).collect(),
            ..Self::default()
        }
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
    pub(super) fn load(&self) -> Loaded<'_> {
        match self {
            Self::Fixed(table) => Loaded::Fixed(table),
            #[cfg(feature = "jwks")]
            Self::Remote(keys) => keys.load(),
        }
    }
}

/// Keys from the network, and the table that was made of them last.
#[cfg(feature = "jwks")]
pub(super) struct RemoteKeys {
    pub(super) set: RemoteKeySet,
    /// What the keys are bound to. The set knows it too, for as long as this lives.
    pub(super) algorithms: Arc<Option<Vec<Algorithm>>>,
    table: ArcSwap<Table>,
}

#[cfg(feature = "jwks")]
impl RemoteKeys {
    pub(super) fn new(set: RemoteKeySet, algorithms: Option<Vec<Algorithm>>) -> Self {
        let algorithms = Arc::new(algorithms);
        set.used_with(&algorithms);
        Self {
            set,
            algorithms,
            table: ArcSwap::default(),
        }
    }

    fn load(&self) -> Loaded<'_> {
        let mut table = self.table.load();
        if table.generation < self.set.generation() {
            // Whoever comes first after a refresh makes it; two that do make the same.
            self.keep(Arc::new(self.make()));
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

    fn make(&self) -> Table {
        let current = self.set.current();
        let generation = current.number;
        let Some(snapshot) = &current.keys else {
            return Table {
                generation,
                ..Table::default()
            };
        };
        Table {
            generation,
            usable_until: Some(snapshot.usable_until()),
            key_ids: snapshot.key_ids().map(Into::into).collect(),
            ..Table::of(snapshot.keys(), self.algorithms.as_deref())
        }
    }
}

#[cfg(all(test, feature = "jwks"))]
mod tests;
