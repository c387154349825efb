//! [`SigningKeys`]: the keys that access tokens are signed with, and their rotation. One key is in `key`; which key
//! signs when, in `schedule`; keys that are elsewhere, in
//! `signer`; those that processes share, in `source` and `file`; how they are published, in `publish`.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use crate::{
    algorithm::Algorithm,
    clock::{Clock, NumericDate, SystemClock},
    error::ConfigError,
    revocation::LEEWAY,
    store::StoreError,
};

mod file;
mod jwk;
mod key;
mod observe;
mod publish;
mod schedule;
mod signer;
mod source;

pub use file::SigningKeyFile;
pub use key::{PrivateKeyText, SigningKey};
pub use publish::ServeKeySet;
pub use signer::Signer;
pub use source::{ScheduledKey, SigningKeySource, SigningKeysLoader};

use schedule::Schedule;
use source::Origin;

/// How long former keys are published where nothing else is set: as long as an access token may be good at most.
const PUBLISHED_FOR: Duration = Duration::from_secs(24 * 3600);

/// The keys that access tokens are signed with: the one in use, the next ones, which are published before they are
/// used, and the former ones, which are published until the last token that they signed has expired.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{Algorithm, token_service::{SigningKey, SigningKeys}};
///
/// // From where secrets are kept. Made by
/// // openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signing-key.pem
/// # let pem = include_str!("../../../tests/support/keys/p256.pem");
/// let keys = SigningKeys::new(SigningKey::from_pem(Algorithm::ES256, pem)?);
///
/// // Every few weeks: published now, and used once everybody has had the time to fetch it.
/// keys.rotate(SigningKey::generate(Algorithm::ES256)?, Duration::from_secs(15 * 60))?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// Several servers that issue for the same issuer take their keys from one [source](Self::from_source), such as a
/// [`SigningKeyFile`]. Or each is given the same keys with the same times by [`publish`](Self::publish). Clones are the
/// same keys.
///
/// # How long a key is kept
/// | | signs | is published | its private half is in memory |
/// |---|---|---|---|
/// | before its time | no | yes | yes |
/// | from its time until that of the next key | yes | yes | yes |
/// | for 24 hours after that, or as [`publish_former_for`](Self::publish_former_for) says | no | yes | no |
/// | later, or [withdrawn](Self::withdraw) | no | no | no |
///
/// The private half is dropped by the first call after its time that signs, or asks for the published keys.
#[derive(Clone)]
pub struct SigningKeys(Arc<Shared>);

struct Shared {
    schedule: ArcSwap<Schedule>,
    /// Held by whoever changes the schedule, and only while no code of the user runs. The number of the last answer of
    /// the source that was taken.
    change: Mutex<u64>,
    clock: Arc<dyn Clock>,
    origin: Option<Origin>,
    /// How often the source was asked.
    asked: AtomicU64,
    /// In seconds.
    published_for: AtomicU64,
    /// The longest lifetime of an access token that was issued or configured, in seconds.
    longest_token: AtomicU64,
}

impl SigningKeys {
    /// Generates one key for ES256: small tokens, and an algorithm that most verifiers know.
    ///
    /// **The key is lost when the process ends.** After a restart nobody accepts the tokens that were issued before,
    /// and no other process can issue for the same issuer. This is for tests and for trying things out. A server that
    /// people rely on reads its key from where secrets are kept, by [`SigningKey::from_pem`].
    ///
    /// # Errors
    /// If no key can be made, because the operating system gives no randomness.
    pub fn generate() -> Result<Self, ConfigError> {
        Ok(Self::new(SigningKey::generate(Algorithm::ES256)?))
    }

    /// One key, used from now on.
    pub fn new(key: SigningKey) -> Self {
        Self::with_clock(key, SystemClock)
    }

    /// One key, used from now on, and another clock than that of the system.
    pub fn with_clock(key: SigningKey, clock: impl Clock) -> Self {
        let now = clock.now();
        Self::of(Schedule::first(key, now), Arc::new(clock), None)
    }

    /// Takes the keys from a source that several processes share, such as a [`SigningKeyFile`], so that all of them
    /// publish the same set and sign with the same key. They are changed at the source alone.
    ///
    /// Publish a key there before its time: at least as long before as the processes ask the source
    /// ([`reload_every`](SigningKeysLoader::reload_every)), and as verifiers may cache the published keys.
    pub fn from_source(source: impl SigningKeySource) -> SigningKeysLoader {
        SigningKeysLoader::new(source)
    }

    fn of(schedule: Schedule, clock: Arc<dyn Clock>, origin: Option<Origin>) -> Self {
        Self(Arc::new(Shared {
            schedule: ArcSwap::from_pointee(schedule),
            change: Mutex::default(),
            clock,
            origin,
            asked: AtomicU64::new(0),
            published_for: AtomicU64::new(PUBLISHED_FOR.as_secs()),
            longest_token: AtomicU64::new(0),
        }))
    }

    /// Sets how long a former key stays published after the next one has taken its place, in whole seconds. Five
    /// minutes are added, because verifiers may accept a token that long after its `exp`.
    ///
    /// The default is 24 hours, which is the longest lifetime that an access token can have. A shorter time must not
    /// be shorter than the lifetime of the access tokens, or the authorization server cannot be built. If a client
    /// has a longer lifetime of its own, keys that signed for it stay published for that time.
    #[must_use]
    pub fn publish_former_for(self, time: Duration) -> Self {
        self.0
            .published_for
            .store(time.as_secs(), Ordering::Relaxed);
        self
    }

    /// Publishes a key now and starts signing with it after `ahead`. Choose a delay at least as long as verifiers may
    /// cache the key set. 15 minutes are enough for most; this crate's verifier fetches a key that it does not know at
    /// once.
    ///
    /// # Errors
    /// If there is a published key of that id already, or the keys come from a source.
    pub fn rotate(&self, key: SigningKey, ahead: Duration) -> Result<(), ConfigError> {
        let now = self.0.clock.now();
        self.add(key, now.saturating_add(ahead), now)
    }

    /// Publishes a key now and signs with it from that time on. The key before it is a former one from then on. A key
    /// whose time has passed already takes its place among the former ones.
    ///
    /// # Errors
    /// If there is a published key of that id already, or the keys come from a source.
    pub fn publish(&self, key: SigningKey, use_from: NumericDate) -> Result<(), ConfigError> {
        self.add(key, use_from, self.0.clock.now())
    }

    /// Neither uses nor publishes a key any longer, such as one that has leaked. Verifiers reject its tokens as soon as
    /// they fetch the keys again. If the key is the one in use, the next one is used at once. A former key is never
    /// used again.
    ///
    /// # Errors
    /// If no published key has that id, if no other key can sign, or if the keys come from a source.
    pub fn withdraw(&self, key_id: &str) -> Result<(), ConfigError> {
        self.changed_here()?;
        self.change(self.0.clock.now(), |keys| keys.without(key_id))
    }

    /// Asks the source for the keys now, such as when it says that they have changed.
    ///
    /// # Errors
    /// If the source cannot be reached, or gives keys that cannot be used. The last good ones stay in use. Also if these
    /// keys do not come from a source.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let Some(origin) = &self.0.origin else {
            return Err(StoreError::new(
                "these signing keys do not come from a source",
            ));
        };
        let number = self
            .0
            .asked
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let schedule = origin.ask(&*self.0.clock).await?;
        let (now, published_for) = (self.0.clock.now(), self.published_for());
        let schedule = Arc::new(schedule.settled(now, published_for));
        // Dropped after the lock is released, whichever it is.
        let mut superfluous = schedule;
        {
            let mut taken = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
            // An answer that came late does not replace one to a later question.
            if *taken < number {
                *taken = number;
                superfluous = self.0.schedule.swap(superfluous);
            }
        }
        drop(superfluous);
        Ok(())
    }

    /// What is changed by hand does not come from a source, which would change it back.
    fn changed_here(&self) -> Result<(), ConfigError> {
        match &self.0.origin {
            None => Ok(()),
            Some(_) => Err(ConfigError::new(
                "these signing keys come from a source: change them there, and call `reload`",
            )),
        }
    }

    /// Adds a key to the schedule.
    fn add(&self, key: SigningKey, from: NumericDate, now: NumericDate) -> Result<(), ConfigError> {
        self.changed_here()?;
        // Kept until the lock is released: a key that is rejected may run code of the user when it is dropped.
        let key = Arc::new(key);
        self.change(now, |keys| keys.with(&key, from))
    }

    /// Makes another schedule of the one that there is now.
    fn change(
        &self,
        now: NumericDate,
        change: impl FnOnce(Schedule) -> Result<Schedule, ConfigError>,
    ) -> Result<(), ConfigError> {
        let published_for = self.published_for();
        // The keys in it are dropped after the lock is released.
        let replaced;
        {
            let _change = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
            let next = change(self.0.schedule.load().settled(now, published_for))?;
            let next = next.settled(now, published_for);
            replaced = self.0.schedule.swap(Arc::new(next));
        }
        drop(replaced);
        Ok(())
    }

    /// The published keys, as a JWK Set in JSON (RFC 7517 §5); [`ServeKeySet`] answers with it.
    ///
    /// A service that issues and verifies takes its keys from here:
    ///
    /// ```
    /// # #[cfg(feature = "jwks")] {
    /// use std::{convert::Infallible, future::ready};
    /// use tower_bearer::{RemoteKeySet, token_service::SigningKeys};
    ///
    /// let keys = SigningKeys::generate()?;
    /// let published = {
    ///     let keys = keys.clone();
    ///     RemoteKeySet::from_fn(move || ready(Ok::<_, Infallible>(keys.public_key_set()))).build()?
    /// };
    /// # }
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn public_key_set(&self) -> String {
        let keys = self.current();
        let keys: Vec<&Value> = keys.public_keys().map(|key| key.jwk()).collect();
        json!({ "keys": keys }).to_string()
    }

    /// The ids of the published keys, in the order in which they are used.
    pub fn key_ids(&self) -> Vec<String> {
        let keys = self.current();
        keys.public_keys().map(|key| key.id().to_owned()).collect()
    }

    /// The algorithms of the published keys, each once.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for key in self.current().public_keys() {
            if !algorithms.contains(&key.algorithm()) {
                algorithms.push(key.algorithm());
            }
        }
        algorithms
    }

    /// Says how long access tokens are good by default: former keys must be published that long at least.
    pub(super) fn expect_lifetime(&self, lifetime: Duration) -> Result<(), ConfigError> {
        let set = Duration::from_secs(self.0.published_for.load(Ordering::Relaxed));
        if set < lifetime {
            return Err(ConfigError::new(format!(
                "former signing keys are published for {} s, and access tokens are good for {} s: set a longer time by \
                 `SigningKeys::publish_former_for`, or leave it at 24 hours",
                set.as_secs(),
                lifetime.as_secs()
            )));
        }
        self.note_lifetime(lifetime);
        Ok(())
    }

    fn note_lifetime(&self, lifetime: Duration) {
        let seconds = lifetime.as_secs();
        // Most calls find a lifetime that is known, and need not write what other cores read.
        if self.0.longest_token.load(Ordering::Relaxed) < seconds {
            self.0.longest_token.fetch_max(seconds, Ordering::Relaxed);
        }
    }

    /// How long former keys are published, the leeway of verifiers included.
    fn published_for(&self) -> Duration {
        let set = self.0.published_for.load(Ordering::Relaxed);
        let needed = self.0.longest_token.load(Ordering::Relaxed);
        Duration::from_secs(set.max(needed)).saturating_add(LEEWAY)
    }

    /// An access token with these claims (RFC 9068 §2), good for so long. A [`Signer`] has so much time for it.
    pub(super) async fn sign(
        &self,
        claims: &Value,
        lifetime: Duration,
        timeout: Duration,
    ) -> Result<String, StoreError> {
        self.note_lifetime(lifetime);
        let now = self.0.clock.now();
        self.forget_former(now);
        let key = self.0.schedule.load().signer(now).map(Arc::clone);
        let key = key.ok_or_else(|| StoreError::new("there is no signing key"))?;
        key.sign(claims, timeout).await
    }

    /// The schedule, without what is over by now.
    fn current(&self) -> Arc<Schedule> {
        self.forget_former(self.0.clock.now());
        self.0.schedule.load_full()
    }

    fn forget_former(&self, now: NumericDate) {
        let settled = self.0.schedule.load().is_settled(now, self.published_for());
        if !settled {
            // Nothing else is changed, which cannot fail.
            let _ = self.change(now, Ok);
        }
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").field(&self.key_ids()).finish()
    }
}

#[cfg(test)]
mod tests;
