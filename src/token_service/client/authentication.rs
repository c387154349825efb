//! Whether a client is who it says, at the same cost for all who are not.

use std::{net::IpAddr, sync::Arc, thread, time::Duration};

use tokio::{sync::Semaphore, task, time::timeout};

use super::{Client, ClientStore, SecretHash};
use crate::{
    store::StoreError,
    token_service::limit::{Attempt, FailureLimit, TooManyFailures},
};

/// Authenticates clients, by the secrets that a store has the hashes of.
pub(in crate::token_service) struct Authenticator {
    store: Arc<dyn ClientStore>,
    limit: Option<Arc<FailureLimit>>,
    /// How long the store may take, and a turn at hashing.
    patience: Duration,
    // Slow hashes take memory: as many at a time as there are processors, and no more.
    turns: Arc<Semaphore>,
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
        limit: Option<FailureLimit>,
        patience: Duration,
    ) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            store,
            limit: limit.map(Arc::new),
            patience,
            turns: Arc::new(Semaphore::new(processors)),
        }
    }

    /// An attempt of a peer, in the name of a client.
    pub(in crate::token_service) fn attempt(
        &self,
        client_id: &str,
        peer: Option<IpAddr>,
    ) -> Attempt {
        let limit = self.limit.as_ref();
        limit.map_or_else(Attempt::default, |limit| limit.attempt(client_id, peer))
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
        self.check_limit(attempt)?;
        let client = self.find(client_id).await?;
        // The store may take its time, and others may have failed in it.
        self.check_limit(attempt)?;
        let secrets = client.as_deref().map_or(&[][..], |client| &client.secrets);
        let (slow, fast): (Vec<_>, Vec<_>) = secrets.iter().partition(|hash| hash.is_slow());
        let mut matches = fast
            .into_iter()
            .fold(false, |found, hash| found | hash.matches(secret));
        if !matches {
            let slow = slow.into_iter().cloned().collect();
            matches = self.match_slowly(slow, secret, attempt).await?;
        }
        match client {
            Some(client) if matches => Ok(client),
            _ => Err(Unauthenticated::Refused),
        }
    }

    /// A failure of which the client is not known.
    pub(in crate::token_service) fn fail(&self, attempt: &Attempt) -> Unauthenticated {
        if let Err(too_many) = self.check_limit(attempt) {
            return too_many.into();
        }
        count(self.limit.as_deref(), attempt);
        Unauthenticated::Refused
    }

    fn check_limit(&self, attempt: &Attempt) -> Result<(), TooManyFailures> {
        self.limit
            .as_ref()
            .map_or(Ok(()), |limit| limit.check(attempt))
    }

    /// Whether one of these slow hashes is that of the secret. If none is, as much time is spent as with the slowest,
    /// and the failure is counted.
    async fn match_slowly(
        &self,
        own: Vec<SecretHash>,
        secret: &str,
        attempt: &Attempt,
    ) -> Result<bool, Unauthenticated> {
        let slowest = self.store.slowest_secrets();
        if own.is_empty() && slowest.is_empty() {
            count(self.limit.as_deref(), attempt);
            return Ok(false);
        }
        let turn = timeout(self.patience, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(StoreError::new("too many client secrets are being compared").into());
        };
        // Whoever waited for a turn may have failed too often meanwhile. So no more guesses go beyond the limit than
        // there are turns.
        self.check_limit(attempt)?;
        let (secret, limit, attempt) = (secret.to_owned(), self.limit.clone(), *attempt);
        let compared = task::spawn_blocking(move || {
            let matches = own.iter().any(|hash| hash.matches(&secret));
            if !matches {
                spend_the_rest(&own, &slowest, &secret);
                count(limit.as_deref(), &attempt);
            }
            // Not before it is counted, and also if the client has gone away.
            drop(turn);
            matches
        });
        compared
            .await
            .map_err(|error| StoreError::new(error).into())
    }
}

/// Takes the time that the slowest secrets would have taken beyond these.
fn spend_the_rest(own: &[SecretHash], slowest: &[SecretHash], secret: &str) {
    let cost = |hashes: &[SecretHash]| hashes.iter().map(SecretHash::cost).sum::<u64>();
    let mut rest = cost(slowest).saturating_sub(cost(own));
    for hash in slowest {
        if rest == 0 {
            break;
        }
        rest = rest.saturating_sub(hash.cost());
        hash.matches(secret);
    }
}

fn count(limit: Option<&FailureLimit>, attempt: &Attempt) {
    if let Some(limit) = limit {
        limit.failed(attempt);
    }
}
