//! Whether a client is who it says it is, at the same cost for everyone who is not.
//!
//! Fast comparisons come first, and are never limited: a secret that they match cannot be guessed, or has been
//! compared slowly before. Only failures and slow comparisons are limited.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{task, time::timeout};

use super::{
    Client, ClientStore, MOST_SECRETS, SecretHash, cost, decoy::Decoy, slow::SlowHashes,
    verified::Verified,
};
use crate::{
    error::ConfigError,
    store::StoreError,
    token_service::limit::{Attempt, Limits, TooManyFailures},
};

/// Authenticates clients, by the secrets that a store has the hashes of.
pub(in crate::token_service) struct Authenticator {
    store: Arc<dyn ClientStore>,
    limits: Option<Arc<Limits>>,
    /// How long the store may take, and the wait for a turn at slow comparisons.
    patience: Duration,
    slow: Arc<SlowHashes>,
    verified: Arc<Verified>,
    decoy: Decoy,
}

/// Why a client was not authenticated.
pub(in crate::token_service) enum Unauthenticated {
    /// It is unknown, or the secret is wrong.
    Refused,
    /// There were too many failures.
    TooMany(TooManyFailures),
    /// It cannot be found out.
    Unavailable(StoreError),
}

impl From<TooManyFailures> for Unauthenticated {
    fn from(too_many: TooManyFailures) -> Self {
        Self::TooMany(too_many)
    }
}

impl From<StoreError> for Unauthenticated {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

impl Authenticator {
    pub(in crate::token_service) fn new(
        store: Arc<dyn ClientStore>,
        limits: Option<Limits>,
        patience: Duration,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            store,
            limits: limits.map(Arc::new),
            patience,
            slow: Arc::new(SlowHashes::new()),
            verified: Arc::new(Verified::new()?),
            decoy: Decoy::default(),
        })
    }

    /// An attempt of a peer, in the name of a client.
    pub(in crate::token_service) fn attempt(
        &self,
        client_id: &str,
        peer: Option<IpAddr>,
    ) -> Attempt {
        let limits = self.limits.as_ref();
        limits.map_or_else(Attempt::default, |limits| limits.attempt(client_id, peer))
    }

    /// The client of that id.
    pub(in crate::token_service) async fn find(
        &self,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        match timeout(self.patience, self.store.find(client_id)).await {
            Ok(found) => found,
            Err(_) => Err(StoreError::new(
                "the store of clients did not answer in time",
            )),
        }
    }

    /// The client of that id, if the secret is one of its own.
    pub(in crate::token_service) async fn authenticate(
        &self,
        client_id: &str,
        secret: &str,
        attempt: &Attempt,
    ) -> Result<Arc<Client>, Unauthenticated> {
        let client = self.find(client_id).await?;
        if let Some(client) = &client {
            self.decoy.learn(client);
        }
        let secrets = client.as_deref().map_or(&[][..], |client| &client.secrets);
        let matches = self.matches_fast(secrets, secret)
            || self.matches_slow(secrets, secret, attempt).await?;
        match client {
            Some(client) if matches => Ok(client),
            _ => Err(Unauthenticated::Refused),
        }
    }

    /// A failure for which no comparison was needed.
    pub(in crate::token_service) fn fail(&self, attempt: &Attempt) -> Unauthenticated {
        match self.check_limits(attempt) {
            Ok(()) => {
                count(self.limits.as_deref(), attempt);
                Unauthenticated::Refused
            }
            Err(too_many) => too_many.into(),
        }
    }

    fn check_limits(&self, attempt: &Attempt) -> Result<(), TooManyFailures> {
        let limits = self.limits.as_ref();
        limits.map_or(Ok(()), |limits| limits.check(attempt))
    }

    /// Whether a fast hash is that of the secret, or a slow one that has matched it before. The number of fast
    /// hashes is always the same, whatever secrets there are.
    fn matches_fast(&self, secrets: &[SecretHash], secret: &str) -> bool {
        (0..MOST_SECRETS).fold(false, |found, at| {
            let hash = secrets.get(at);
            let fast = hash.and_then(|hash| hash.matches_fast(secret));
            found | fast.unwrap_or_else(|| self.verified.knows(hash, secret))
        })
    }

    /// Whether one of the slow hashes is that of the secret. If none is, the failure is counted, and costs as much as
    /// with the slowest secrets of all.
    async fn matches_slow(
        &self,
        secrets: &[SecretHash],
        secret: &str,
        attempt: &Attempt,
    ) -> Result<bool, Unauthenticated> {
        self.check_limits(attempt)?;
        let own: Vec<SecretHash> = secrets
            .iter()
            .filter(|hash| hash.is_slow())
            .cloned()
            .collect();
        let rest = the_rest(&own, self.decoy.slowest(&*self.store));
        if own.is_empty() && rest.is_empty() {
            count(self.limits.as_deref(), attempt);
            return Ok(false);
        }
        let has_failed = self
            .limits
            .as_ref()
            .is_some_and(|limits| limits.peer_has_failed(attempt));
        let all: Vec<&SecretHash> = own.iter().chain(&rest).collect();
        let turn = timeout(self.patience, self.slow.turn(&all, has_failed)).await;
        let Ok(Some(turn)) = turn else {
            return Err(StoreError::new("too many client secrets are being compared").into());
        };
        // The peer may have failed too often while it waited for its turn. So no more guesses go beyond the limit
        // than there are turns.
        self.check_limits(attempt)?;
        let (slow, verified) = (Arc::clone(&self.slow), Arc::clone(&self.verified));
        let (secret, limits, attempt) = (secret.to_owned(), self.limits.clone(), *attempt);
        let compared = task::spawn_blocking(move || {
            let all: Vec<&SecretHash> = own.iter().chain(&rest).collect();
            let mut buffer = slow.buffer(&all)?;
            let found = own
                .iter()
                .find(|hash| hash.matches_slow(&secret, &mut buffer));
            if let Some(hash) = found {
                verified.remember(hash, &secret);
            } else {
                for hash in &rest {
                    hash.matches_slow(&secret, &mut buffer);
                }
                count(limits.as_deref(), &attempt);
            }
            slow.give_back(buffer);
            // Not before the failure is counted, and also if the client has gone away.
            drop(turn);
            Some(found.is_some())
        });
        match compared.await {
            Ok(Some(matches)) => Ok(matches),
            Ok(None) => Err(StoreError::new("there is no memory to compare secrets in").into()),
            Err(error) => Err(StoreError::new(error).into()),
        }
    }
}

/// Those of the slowest secrets that cost as much as a client's own ones lack.
fn the_rest(own: &[SecretHash], slowest: Vec<SecretHash>) -> Vec<SecretHash> {
    let mut lack = cost(&slowest).saturating_sub(cost(own));
    let lacking = slowest.into_iter().take_while(|hash| {
        let takes = lack > 0;
        lack = lack.saturating_sub(hash.cost());
        takes
    });
    lacking.collect()
}

fn count(limits: Option<&Limits>, attempt: &Attempt) {
    if let Some(limits) = limits {
        limits.failed(attempt);
    }
}
