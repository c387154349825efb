//! [`InMemoryRevocation`]: revocations of one process.

use std::{
    fmt,
    future::ready,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use super::{
    LEEWAY, LONGEST_TOKEN, Revocation, Revoked,
    list::{List, Subject},
};
use crate::{
    claims::RegisteredClaims,
    clock::{Clock, NumericDate, SystemClock},
    store::StoreError,
    verify::BoxFuture,
};

/// Revocations in memory, for one process; they are lost when it ends. Clones are the same.
///
/// A revoked token is kept until it has expired, and the revocation of a client or subject until no token from before
/// it can be good any longer. There is room for a million tokens, and apart from them for 100 000 clients and subjects;
/// what is more is an error.
#[derive(Clone)]
pub struct InMemoryRevocation(Arc<Shared>);

struct Shared {
    list: RwLock<List>,
    clock: Arc<dyn Clock>,
    longest_token: Duration,
    at_most: usize,
}

/// Some 100 MB.
const AT_MOST: usize = 1_000_000;

impl InMemoryRevocation {
    /// None is revoked yet. Tokens live for 24 hours at most.
    pub fn new() -> Self {
        Self::with_settings(SystemClock, LONGEST_TOKEN)
    }

    /// Another clock than that of the system, and how long a token may live at most: for so long a cut-off of a
    /// client or a subject is kept.
    pub fn with_settings(clock: impl Clock, longest_token: Duration) -> Self {
        Self(Arc::new(Shared {
            list: RwLock::default(),
            clock: Arc::new(clock),
            longest_token,
            at_most: AT_MOST,
        }))
    }

    fn add(
        &self,
        subject: Subject,
        issued_until: NumericDate,
        kept_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        // The clock is the user's, and is not asked with the lock held.
        let now = self.0.clock.now();
        let mut list = self.0.list.write().unwrap_or_else(PoisonError::into_inner);
        list.forget(now);
        // Tokens and cut-offs each have room of their own, so that whoever revokes tokens by the million does not
        // keep others from withdrawing a client.
        let (count, at_most) = match subject {
            Subject::Token(_) => (list.len().saturating_sub(list.cut_offs()), self.0.at_most),
            Subject::Client(_) | Subject::Owner(_) => (list.cut_offs(), self.0.at_most / 10),
        };
        let added = if count < at_most {
            list.add(subject, issued_until, kept_until);
            Ok(())
        } else {
            Err(StoreError::new("there is no room for another revocation"))
        };
        drop(list);
        Box::pin(ready(added))
    }

    fn cut_off(
        &self,
        subject: Subject,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        let last = issued_until
            .saturating_add(self.0.longest_token)
            .saturating_add(LEEWAY);
        self.add(subject, issued_until, last)
    }
}

impl Default for InMemoryRevocation {
    fn default() -> Self {
        Self::new()
    }
}

impl Revocation for InMemoryRevocation {
    fn is_revoked(&self, claims: &RegisteredClaims) -> Revoked {
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        Revoked::Ready(Ok(list.revokes(claims)))
    }

    fn revoke_token(&self, id: &str, expires_at: NumericDate) -> BoxFuture<Result<(), StoreError>> {
        self.add(
            Subject::Token(id.into()),
            expires_at,
            expires_at.saturating_add(LEEWAY),
        )
    }

    fn revoke_client(
        &self,
        client_id: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        self.cut_off(Subject::Client(client_id.into()), issued_until)
    }

    fn revoke_subject(
        &self,
        subject: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        self.cut_off(Subject::Owner(subject.into()), issued_until)
    }
}

impl fmt::Debug for InMemoryRevocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "InMemoryRevocation({} revocations)", list.len())
    }
}
