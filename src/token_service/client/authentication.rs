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
    pub(in crate::token_service) store: Arc<dyn ClientStore>,
    pub(in crate::token_service) limit: Option<FailureLimit>,
    /// How long the store may take, and a turn at hashing.
    pub(in crate::token_service) patience: Duration,
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
            limit,
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
        let secrets = client.as_deref().map_or(&[][..], |client| &client.secrets);
        let fast = secrets.iter().filter(|hash| !hash.is_slow());
        let mut matches = fast.fold(false, |found, hash| found | hash.matches(secret));
        if !matches {
            let own: Vec<_> = secrets
                .iter()
                .filter(|hash| hash.is_slow())
                .cloned()
                .collect();
            let slowest = self.store.slowest_secrets();
            if !own.is_empty() || !slowest.is_empty() {
                matches = self.match_slowly(own, slowest, secret, attempt).await?;
            }
        }
        match client {
            Some(client) if matches => Ok(client),
            _ => {
                if let Some(limit) = &self.limit {
                    limit.failed(attempt);
                }
                Err(Unauthenticated::Refused)
            }
        }
    }

    /// A failure of which the client is not known.
    pub(in crate::token_service) fn fail(&self, attempt: &Attempt) -> Unauthenticated {
        if let Err(too_many) = self.check_limit(attempt) {
            return too_many.into();
        }
        if let Some(limit) = &self.limit {
            limit.failed(attempt);
        }
        Unauthenticated::Refused
    }

    fn check_limit(&self, attempt: &Attempt) -> Result<(), TooManyFailures> {
        self.limit
            .as_ref()
            .map_or(Ok(()), |limit| limit.check(attempt))
    }

    async fn match_slowly(
        &self,
        own: Vec<SecretHash>,
        slowest: Vec<SecretHash>,
        secret: &str,
        attempt: &Attempt,
    ) -> Result<bool, Unauthenticated> {
        let turn = timeout(self.patience, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(StoreError::new("too many client secrets are being compared").into());
        };
        // Whoever waited for a turn may have failed too often meanwhile: what is under way at a time is as much as
        // there are turns, and so is what goes beyond the limit.
        self.check_limit(attempt)?;
        let secret = secret.to_owned();
        let compared = task::spawn_blocking(move || {
            // Held until it is done, also if the client goes away.
            let _turn = turn;
            let matches = own.iter().any(|hash| hash.matches(&secret));
            if !matches {
                // What a client with all of the slowest would have taken, and this one did not.
                let cost: u64 = own.iter().map(SecretHash::cost).sum();
                let mut rest = slowest.iter().map(SecretHash::cost).sum::<u64>();
                rest = rest.saturating_sub(cost);
                for hash in &slowest {
                    if rest == 0 {
                        break;
                    }
                    rest = rest.saturating_sub(hash.cost());
                    hash.matches(&secret);
                }
            }
            matches
        });
        compared
            .await
            .map_err(|error| StoreError::new(error).into())
    }
}
