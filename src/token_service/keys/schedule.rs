//! [`Schedule`]: which key signs when, and how long each is published.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    key::{PublicKey, SigningKey},
    source::{Half, ScheduledKey},
};
use crate::{clock::NumericDate, error::ConfigError};

/// Keys in the order in which they are used. A schedule never changes; changes make another one.
#[derive(Clone)]
pub(super) struct Schedule(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    public: Arc<PublicKey>,
    /// `None` once another key has taken its place: a key that no longer signs is forgotten.
    private: Option<Arc<SigningKey>>,
    from: NumericDate,
    /// When another key took its place, once that has happened.
    superseded: Option<NumericDate>,
}

impl Schedule {
    /// One key, used from that time on.
    pub(super) fn first(key: SigningKey, from: NumericDate) -> Self {
        Self(vec![Entry::from(ScheduledKey::new(key, from))])
    }

    /// The keys of a source, at this time.
    pub(super) fn of(keys: Vec<ScheduledKey>, now: NumericDate) -> Result<Self, ConfigError> {
        let mut entries: Vec<_> = keys.into_iter().map(Entry::from).collect();
        entries.sort_by_key(|entry| entry.from);
        let mut ids = HashSet::new();
        if let Some(twice) = entries.iter().find(|entry| !ids.insert(entry.public.id())) {
            let id = twice.public.id();
            return Err(ConfigError::new(format!(
                "two signing keys have the id {id:?}: give each its own"
            )));
        }
        for (earlier, later) in entries.iter().zip(entries.iter().skip(1)) {
            if earlier.from == later.from {
                return Err(ConfigError::new(format!(
                    "the signing keys {:?} and {:?} are used from the same time on: give each its own",
                    earlier.public.id(),
                    later.public.id()
                )));
            }
        }
        let able = |entry: &&Entry| entry.private.is_some();
        if !entries.iter().any(|entry| able(&entry)) {
            return Err(ConfigError::new(
                "there is no signing key with its private half: add one",
            ));
        }
        let signing = entries.iter().filter(able).rfind(|entry| entry.from <= now);
        // A former key may be there without its private half, and no other.
        let is_former = |entry: &Entry| signing.is_some_and(|signing| entry.from < signing.from);
        let mut unable = entries.iter().filter(|entry| entry.private.is_none());
        if let Some(unable) = unable.find(|entry| !is_former(entry)) {
            return Err(ConfigError::new(format!(
                "the signing key {:?} has no private half, and no other one has taken its place yet: add its \
                 private half, or leave it out",
                unable.public.id()
            )));
        }
        Ok(Self(entries))
    }

    /// Adds a key that signs from that time on.
    pub(super) fn with(
        mut self,
        key: &Arc<SigningKey>,
        from: NumericDate,
    ) -> Result<Self, ConfigError> {
        if self.0.iter().any(|known| known.public.id() == key.key_id()) {
            return Err(ConfigError::new(format!(
                "there is a signing key of the id {:?} already: give the new one another by `with_key_id`",
                key.key_id()
            )));
        }
        self.0.push(Entry {
            public: Arc::clone(key.public()),
            private: Some(Arc::clone(key)),
            from,
            superseded: None,
        });
        self.0.sort_by_key(|entry| entry.from);
        Ok(self)
    }

    /// Removes a published key.
    pub(super) fn without(mut self, key_id: &str) -> Result<Self, ConfigError> {
        let before = self.0.len();
        self.0.retain(|entry| entry.public.id() != key_id);
        if self.0.len() == before {
            return Err(ConfigError::new(format!(
                "there is no signing key of the id {key_id:?}"
            )));
        }
        if self.0.iter().all(|entry| entry.private.is_none()) {
            return Err(ConfigError::new(format!(
                "{key_id:?} is the only key that can sign: publish another one first"
            )));
        }
        Ok(self)
    }

    /// The key that signs now. Where none is due yet, it is the next one: whatever the clock says, one signs.
    pub(super) fn signer(&self, now: NumericDate) -> Option<&Arc<SigningKey>> {
        let able = || self.0.iter().filter(|entry| entry.private.is_some());
        let due = able().rfind(|entry| entry.from <= now);
        due.or_else(|| able().next())?.private.as_ref()
    }

    /// When another key took the place of this one, if that has happened. A key may be published later than others
    /// whose time comes after its own, so that an earlier time may come to light.
    fn superseded(&self, place: usize, now: NumericDate) -> Option<NumericDate> {
        let mut later = self.0.iter().skip(place);
        let entry = later.next()?;
        let successor = later.next().map(|next| next.from);
        let from = successor.filter(|from| *from <= now);
        from.into_iter().chain(entry.superseded).min()
    }

    /// Whether [`settled`](Self::settled) would change nothing.
    pub(super) fn is_settled(&self, now: NumericDate, published_for: Duration) -> bool {
        self.0.iter().enumerate().all(|(place, entry)| {
            let superseded = self.superseded(place, now);
            superseded == entry.superseded && !is_over(superseded, now, published_for)
        })
    }

    /// The schedule as it is now: a key whose place another one has taken has no private half any more, and is left
    /// out once it has been published for so long after that.
    pub(super) fn settled(&self, now: NumericDate, published_for: Duration) -> Self {
        let mut entries = Vec::new();
        for (place, entry) in self.0.iter().enumerate() {
            let superseded = self.superseded(place, now);
            if !is_over(superseded, now, published_for) {
                entries.push(Entry {
                    public: Arc::clone(&entry.public),
                    private: entry.private.clone().filter(|_| superseded.is_none()),
                    from: entry.from,
                    superseded,
                });
            }
        }
        Self(entries)
    }

    /// All keys, each with its private half if it has one, and with the time from which it is used.
    pub(super) fn keys(
        &self,
    ) -> impl Iterator<Item = (&PublicKey, Option<&SigningKey>, NumericDate)> {
        let keys = self.0.iter();
        keys.map(|entry| (&*entry.public, entry.private.as_deref(), entry.from))
    }

    /// The published keys.
    pub(super) fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().map(|entry| &*entry.public)
    }
}

impl Entry {
    fn from(scheduled: ScheduledKey) -> Self {
        let ScheduledKey { half, use_from } = scheduled;
        let (public, private) = match half {
            Half::Private(key) => (Arc::clone(key.public()), Some(Arc::new(*key))),
            Half::Public(public) => (Arc::new(public), None),
        };
        Self {
            public,
            private,
            from: use_from,
            superseded: None,
        }
    }
}

fn is_over(superseded: Option<NumericDate>, now: NumericDate, published_for: Duration) -> bool {
    superseded.is_some_and(|at| now > at.saturating_add(published_for))
}
