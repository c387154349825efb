//! [`Decoy`]: what a failed authentication costs, so that its time does not tell which clients there are.

use arc_swap::ArcSwapOption;

use super::{Client, ClientStore, SecretHash, cost};

/// Knows the secrets that are slowest to compare.
#[derive(Default)]
pub(super) struct Decoy {
    /// The slowest secrets of all clients that the store has returned. `None` before the first one.
    seen: ArcSwapOption<Vec<SecretHash>>,
}

impl Decoy {
    /// Learns from a client that the store has returned.
    pub(super) fn learn(&self, client: &Client) {
        let slow = client.slow_secrets();
        let is_slower = |seen: &Vec<SecretHash>| cost(&slow) > cost(seen);
        if self.seen.load().as_ref().is_none_or(|seen| is_slower(seen)) {
            self.seen.rcu(|seen| match seen {
                Some(seen) if !is_slower(seen) => Some(std::sync::Arc::clone(seen)),
                _ => Some(slow.clone().into()),
            });
        }
    }

    /// The slowest secrets of a store: what it says, else what was seen, else one chosen secret.
    pub(super) fn slowest(&self, store: &dyn ClientStore) -> Vec<SecretHash> {
        if let Some(said) = store.slowest_secrets() {
            return said;
        }
        match &*self.seen.load() {
            Some(seen) => Vec::clone(seen),
            None => SUPPOSED.parse().into_iter().collect(),
        }
    }
}

/// A hash of nothing in particular, at the cost of [`SecretHash::of_chosen`].
const SUPPOSED: &str = "$argon2id$v=19$m=19456,t=2,p=1$dG93ZXItYmVhcmVyLTEyMw\
                        $Ko7UmVJ3bXbmAWkYzZ0bKmzDzQmJ0b1zJq6L0H5x3nE";

#[cfg(test)]
mod tests {
    use std::{future::ready, sync::Arc};

    use super::*;
    use crate::{store::StoreError, verify::BoxFuture};

    struct Silent;

    impl ClientStore for Silent {
        fn find(&self, _: &str) -> BoxFuture<Result<Option<Arc<Client>>, StoreError>> {
            Box::pin(ready(Ok(None)))
        }
    }

    fn client(secret: SecretHash) -> Client {
        Client::builder("a").secret(secret).build().unwrap()
    }

    #[test]
    fn cost_is_supposed_until_a_client_is_seen_and_never_goes_down() {
        let decoy = Decoy::default();
        let chosen = SecretHash::of_chosen("svc-secret").unwrap();
        let (_, generated) = SecretHash::generate().unwrap();
        assert_eq!(cost(&decoy.slowest(&Silent)), chosen.cost());
        decoy.learn(&client(generated.clone()));
        assert_eq!(cost(&decoy.slowest(&Silent)), 0);
        decoy.learn(&client(chosen.clone()));
        decoy.learn(&client(generated));
        assert_eq!(cost(&decoy.slowest(&Silent)), chosen.cost());
    }
}
