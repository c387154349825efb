//! A token whose key is not here: whether to wait for it, and what to say if it does not come.

use serde::de::DeserializeOwned;

use super::{Failure, Rules, Timed, invalid, keys::Table, rules::Issuer};
use crate::{
    claims::Claims,
    error::AuthError,
    observe::Timer,
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
    /// Began when the signature was looked at.
    pub(super) timer: Option<Timer>,
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
            timer: None,
        })
    }

    fn refuse(&self, error: Option<AuthError>) -> AuthError {
        let error = error.unwrap_or(invalid(self.reason));
        if let Some(timer) = self.timer {
            timer.verified(Err::<(), _>(&error));
        }
        error
    }
}

/// Says that keys that are here did not confirm a signature: the issuer may have replaced one of
/// them under its old name, or sign without naming the key.
pub(super) fn suspect(issuer: &Issuer, known: &Table) {
    if let Some(keys) = issuer.remote_keys() {
        keys.suspect(known.generation);
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
            Demand::Refused(error) => Verification::Ready(Err(missing.refuse(error))),
            // It came in this moment.
            Demand::Changed => {
                Verification::Ready(self.verify_with_what_is_here(token.as_bytes(), Timed::Here))
            }
            Demand::Wait(arrival) => {
                let rules = std::sync::Arc::clone(self);
                let token = token.to_owned();
                Verification::Pending(Box::pin(async move {
                    if !arrival.wait().await {
                        return Err(RemoteKeySet::no_answer());
                    }
                    // The layer takes the time of a verdict that is waited for.
                    rules.verify_with_what_is_here(token.as_token().as_bytes(), Timed::Elsewhere)
                }))
            }
        }
    }

    /// Verifies a token, and waits for no key.
    fn verify_with_what_is_here<C: DeserializeOwned>(
        &self,
        token: &[u8],
        timed: Timed,
    ) -> Verdict<C> {
        match self.verify(token, timed) {
            Ok(claims) => Ok(claims),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::NoKey(missing)) => Err(missing.refuse(missing.keys.refusal())),
        }
    }
}
