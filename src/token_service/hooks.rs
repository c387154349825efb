//! What an application has a say in: the claims of access tokens, and each refresh.

use std::fmt;

use super::{
    claims::ExtraClaims, grant::Grant, observe, refresh::RefreshFamily, refusal::Refusal,
    server::Server,
};
use crate::{
    claims::{Claims, RegisteredClaims},
    revocation::Revoked,
    store::StoreError,
    verify::BoxFuture,
};

pub(super) type ExtraClaimsFn = dyn Fn(&Grant, &mut ExtraClaims) + Send + Sync;

pub(super) type ExtraClaimsAsyncFn =
    dyn Fn(Grant, ExtraClaims) -> BoxFuture<Result<ExtraClaims, StoreError>> + Send + Sync;

pub(super) type MayRefreshFn =
    dyn Fn(Grant) -> BoxFuture<Result<RefreshDecision, StoreError>> + Send + Sync;

/// What an application says to a refresh. See
/// [`may_refresh`](super::AuthorizationServerBuilder::may_refresh).
pub struct RefreshDecision(pub(super) Decision);

pub(super) enum Decision {
    Allow(Box<Grant>),
    Deny,
    End,
}

impl RefreshDecision {
    /// Issues tokens for this grant: the one that the function was given, or that with other
    /// [session data](Grant::with_session), which is kept, or [fewer scopes](Grant::with_scopes), for this access
    /// token. Client, subject and audiences stay as they were. If none of the scopes is left, the refresh is
    /// [denied](Self::deny): a token without a scope would pass wherever no scope is asked for.
    pub fn allow(grant: Grant) -> Self {
        Self(Decision::Allow(Box::new(grant)))
    }

    /// Rejects this refresh as one with a bad token (`invalid_grant`). The refresh token is good as before: for an
    /// account that is locked and may be unlocked.
    pub fn deny() -> Self {
        Self(Decision::Deny)
    }

    /// Rejects this refresh in the same way, and ends the session: its refresh tokens, and the access tokens that it
    /// has issued.
    pub fn end() -> Self {
        Self(Decision::End)
    }
}

impl fmt::Debug for RefreshDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Decision::Allow(_) => "RefreshDecision::allow",
            Decision::Deny => "RefreshDecision::deny",
            Decision::End => "RefreshDecision::end",
        })
    }
}

impl Server {
    /// The claims that the application adds.
    pub(super) async fn extra_claims(&self, grant: &Grant) -> Result<ExtraClaims, StoreError> {
        let mut claims = ExtraClaims::default();
        if let Some(extra) = &self.extra_claims {
            extra(grant, &mut claims);
        }
        match &self.extra_claims_async {
            Some(extra) => self.in_time(extra(grant.clone(), claims)).await,
            None => Ok(claims),
        }
    }

    /// The grant of a family, if it still stands: nobody has withdrawn it, and the application has no objection.
    pub(super) async fn still_stands(
        &self,
        family: &RefreshFamily,
        invalid: impl Fn(&'static str) -> Refusal,
    ) -> Result<Grant, Refusal> {
        if self.is_withdrawn(family).await? {
            self.end_family(family).await?;
            observe::ended(self, family, "withdrawn");
            return Err(invalid("grant_revoked"));
        }
        let Some(may_refresh) = &self.may_refresh else {
            return Ok(family.grant.clone());
        };
        match self.in_time(may_refresh(family.grant.clone())).await?.0 {
            Decision::Allow(allowed) => {
                let grant = family.grant.clone().with_scopes(allowed.scopes().iter());
                if grant.scope.is_empty() && !family.grant.scope.is_empty() {
                    return Err(invalid("refresh_denied"));
                }
                let session = allowed.session;
                Ok(Grant { session, ..grant })
            }
            Decision::Deny => Err(invalid("refresh_denied")),
            Decision::End => {
                self.end_family(family).await?;
                observe::ended(self, family, "refresh_denied");
                Err(invalid("refresh_denied"))
            }
        }
    }

    /// Whether all tokens of its client or subject were revoked since the family began.
    pub(super) async fn is_withdrawn(&self, family: &RefreshFamily) -> Result<bool, StoreError> {
        let Some(revocation) = &self.revocation else {
            return Ok(false);
        };
        match revocation.is_revoked(&as_claims(family)) {
            Revoked::Ready(answer) => answer,
            Revoked::Pending(answer) => self.in_time(answer).await,
        }
    }
}

/// A family as an access token that was issued when it began.
fn as_claims(family: &RefreshFamily) -> RegisteredClaims {
    let claims = Claims::builder()
        .client_id(family.grant.client_id.as_str())
        .subject(family.grant.subject.as_str())
        .issued_at(family.begun_at());
    claims.build(()).registered().clone()
}
