//! A token whose key is not here: whether to wait for it, and what to say if it does not come.

use serde::de::DeserializeOwned;

use super::{Failure, Rules, invalid, keys::Table, rules::Issuer};
use crate::{
    claims::Claims,
    error::AuthError,
    token::BearerToken,
    verify::{
        BoxFuture, Verification,
        jwks::{Demand, RemoteKeySet},
    },
};

/// A key that may come yet.
pub(super) struct MissingKey {
    keys: RemoteKeySet,
    // What was looked through for it.
    generation: u64,
    // What the token is refused for if it does not come.
    reason: &'static str,
}

impl MissingKey {
    /// Whether a key that did not confirm the signature may come: one of that id, or, where there are
    /// no keys, any. A key that is here and does not confirm it is the wrong one, and a token without
    /// an id does not say that it means another.
    pub(super) fn of(
        issuer: &Issuer,
        known: &Table,
        key_id: Option<&str>,
        reason: &'static str,
    ) -> Option<Self> {
        let keys = issuer.remote_keys()?;
        let may_come = !known.is_usable() || key_id.is_some_and(|id| !known.has_key_of_id(id));
        may_come.then(|| Self {
            keys: keys.clone(),
            generation: known.generation,
            reason,
        })
    }
}

type Verdict<C> = Result<Claims<C>, AuthError>;

impl Rules {
    /// Goes on with a token whose key is missing: waits for the key, if it may come now.
    pub(super) fn look_for_key<C>(
        self: &std::sync::Arc<Self>,
        missing: MissingKey,
        token: BearerToken<'_>,
    ) -> Verification<C, BoxFuture<Verdict<C>>>
    where
        C: DeserializeOwned + Send + Sync + 'static,
    {
        match missing.keys.demand(missing.generation) {
            Demand::Refused(error) => {
                Verification::Ready(Err(error.unwrap_or(invalid(missing.reason))))
            }
            // It came in this moment.
            Demand::Changed => Verification::Ready(self.verify_with_what_is_here(token.as_bytes())),
            Demand::Wait(arrival) => {
                let rules = std::sync::Arc::clone(self);
                let token = token.to_owned();
                Verification::Pending(Box::pin(async move {
                    if !arrival.wait().await {
                        return Err(RemoteKeySet::no_answer());
                    }
                    rules.verify_with_what_is_here(token.as_token().as_bytes())
                }))
            }
        }
    }

    /// Verifies a token, and waits for no key.
    fn verify_with_what_is_here<C: DeserializeOwned>(&self, token: &[u8]) -> Verdict<C> {
        match self.verify(token) {
            Ok(claims) => Ok(claims),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::NoKey(missing)) => {
                Err(missing.keys.refusal().unwrap_or(invalid(missing.reason)))
            }
        }
    }
}
