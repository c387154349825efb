//! Tokens that were revoked before their expiry: [`Revocation`] knows them, [`RevocationList`] refuses them.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    check::{Check, CheckContext, Checked},
    claims::RegisteredClaims,
    clock::NumericDate,
    error::{AuthError, reason},
    store::StoreError,
    verify::BoxFuture,
};

mod memory;
#[cfg(feature = "redis")]
mod redis;

pub use memory::InMemoryRevocation;
#[cfg(feature = "redis")]
pub use redis::RedisRevocation;

/// Knows which tokens were revoked before their expiry: one by its `jti`, or all that a client or a subject had
/// up to some time.
///
/// [`InMemoryRevocation`] is for one process, `RedisRevocation` (feature `redis`) for several.
pub trait Revocation: Send + Sync + 'static {
    /// Whether the token with these claims was revoked.
    ///
    /// It is asked on every request, after every cache. A store that is far away keeps a copy near, and
    /// answers [`Ready`](Revoked::Ready).
    fn is_revoked(&self, claims: &RegisteredClaims) -> Revoked;

    /// Revokes the token of that `jti`. It may be forgotten once it has expired, at `expires_at` and the largest
    /// leeway, 5 minutes later.
    ///
    /// # Errors
    /// If the store cannot be reached, or is full: then the token is not revoked.
    fn revoke_token(&self, id: &str, expires_at: NumericDate) -> BoxFuture<Result<(), StoreError>>;

    /// Revokes all tokens of a client (`client_id`) that were issued up to then, that second included, and
    /// those that do not say when.
    ///
    /// It is forgotten once no access token from before can be good. While it is known, refresh tokens from before are
    /// rejected too; to end them for good use `AuthorizationServer::revoke_client`, which does both.
    ///
    /// # Errors
    /// If the store cannot be reached, or is full: then none is revoked.
    fn revoke_client(
        &self,
        client_id: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>>;

    /// Revokes all tokens of a subject (`sub`) that were issued up to then, that second included, and those
    /// that do not say when.
    ///
    /// It is forgotten once no access token from before can be good. While it is known, refresh tokens from before are
    /// rejected too; to end them for good use `AuthorizationServer::revoke_subject`, which does both.
    ///
    /// # Errors
    /// If the store cannot be reached, or is full: then none is revoked.
    fn revoke_subject(
        &self,
        subject: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>>;
}

impl<R: Revocation + ?Sized> Revocation for Arc<R> {
    fn is_revoked(&self, claims: &RegisteredClaims) -> Revoked {
        (**self).is_revoked(claims)
    }

    fn revoke_token(&self, id: &str, expires_at: NumericDate) -> BoxFuture<Result<(), StoreError>> {
        (**self).revoke_token(id, expires_at)
    }

    fn revoke_client(
        &self,
        client_id: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        (**self).revoke_client(client_id, issued_until)
    }

    fn revoke_subject(
        &self,
        subject: &str,
        issued_until: NumericDate,
    ) -> BoxFuture<Result<(), StoreError>> {
        (**self).revoke_subject(subject, issued_until)
    }
}

/// What a [`Revocation`] says: there at once, or a future.
#[must_use]
pub enum Revoked {
    /// Whether the token was revoked.
    Ready(Result<bool, StoreError>),
    /// The answer will come. It is awaited for as long as it takes: give it a timeout.
    Pending(BoxFuture<Result<bool, StoreError>>),
}

impl fmt::Debug for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}

/// A [`Check`] that refuses tokens that were revoked before their expiry: 401, with the problem type
/// `token-revoked`. While it cannot be found out, the answer is 503.
///
/// As every check it runs after the cache, so that a revocation is effective on the next request.
///
/// ```
/// use tower_bearer::{BearerAuthLayer, BearerToken, Claims, InMemoryRevocation, RevocationList, verify_fn};
///
/// # let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
/// let revoked = InMemoryRevocation::new();
/// let auth = BearerAuthLayer::new(verifier).check(RevocationList::new(revoked.clone()));
/// ```
pub struct RevocationList<R> {
    revocation: R,
    issuer: Option<String>,
}

impl<R: Revocation> RevocationList<R> {
    /// Refuses what `revocation` knows.
    pub fn new(revocation: R) -> Self {
        Self {
            revocation,
            issuer: None,
        }
    }

    /// Asks for tokens of this issuer alone, where there are several: a `jti` and a `sub` are unique to their
    /// issuer, and not beyond (RFC 7519 §4.1.2, §4.1.7).
    #[must_use]
    pub fn of_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }
}

impl<C: 'static, R: Revocation> Check<C> for RevocationList<R> {
    fn check(&self, cx: &CheckContext<'_, C>) -> Checked {
        let claims = cx.claims().registered();
        if self.issuer.is_some() && self.issuer.as_deref() != claims.issuer() {
            return Checked::Ready(Ok(()));
        }
        match self.revocation.is_revoked(claims) {
            Revoked::Ready(answer) => Checked::Ready(judge(answer)),
            Revoked::Pending(answer) => {
                Checked::Pending(Box::pin(async move { judge(answer.await) }))
            }
        }
    }
}

fn judge(answer: Result<bool, StoreError>) -> Result<(), AuthError> {
    match answer {
        Ok(false) => Ok(()),
        Ok(true) => Err(AuthError::revoked_token()),
        Err(error) => {
            Err(AuthError::unavailable(reason::REVOCATIONS_UNAVAILABLE).with_source(error))
        }
    }
}

impl<R> fmt::Debug for RevocationList<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// What was revoked, as stores keep it in memory: bounded by the life of tokens, and in number.
pub(crate) mod list;

/// For longer no token is good: until then a cut-off is kept. Access tokens live for minutes or hours.
pub(crate) const LONGEST_TOKEN: Duration = Duration::from_secs(24 * 3600);

/// What leeway verifiers may grant, on top of `exp`.
pub(crate) const LEEWAY: Duration = Duration::from_secs(300);
