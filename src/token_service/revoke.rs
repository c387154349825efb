//! The revocation endpoint (RFC 7009).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;

use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;

use super::{
    answer,
    endpoint::{Asked, missing},
    event::TokenEventKind,
    observe,
    refresh::{FamiliesOf, IssuedToken, RefreshFamily},
    refusal::Refusal,
    server::Server,
};
use crate::{
    claims::Claims,
    revocation::LEEWAY,
    store::StoreError,
    token::BearerToken,
    verify::{
        Verification, Verifier,
        jwt::{JwtVerifier, KeySet},
    },
};

/// Services accept a token for so long after its `exp`, if they keep to the default of the verifier.
const TOKEN_LEEWAY: Duration = Duration::from_secs(60);

impl Server {
    /// Revokes a token of the client that asks for it.
    pub(super) async fn revoke(&self, asked: Asked<'_>) -> Result<Response<Bytes>, Refusal> {
        let token = asked
            .parameters
            .get("token")
            .ok_or_else(|| missing("token"))?;
        let client = self.authenticated(asked).await?;
        // A hint only says where to look first, and there are but two places (§2.1).
        if let Some(family) = self.family_of(token).await? {
            if family.grant.client_id != client.id() {
                return Err(Refusal::foreign_token());
            }
            asked.trail.family(&family);
            if self.end_family(&family).await? {
                asked.trail.leads_to(TokenEventKind::Revoked);
            }
        } else if let Some(claims) = self.own_access_token::<()>(token, TOKEN_LEEWAY) {
            let claims = claims.registered();
            if claims.client_id() != Some(client.id()) {
                return Err(Refusal::foreign_token());
            }
            if let Some(subject) = claims.subject() {
                asked.trail.subject(subject);
            }
            let revocation = self.revocation.as_ref();
            let revocation = revocation.ok_or_else(Refusal::unsupported_token_type)?;
            if let (Some(id), Some(end)) = (claims.id(), claims.expires_at()) {
                self.in_time(revocation.revoke_token(id, end)).await?;
                asked.trail.leads_to(TokenEventKind::Revoked);
            }
        }
        // A token that is unknown, or good for nothing any longer, is as the client wants it (§2.2).
        Ok(answer::ok(Bytes::new()))
    }

    /// Ends a family, with the access tokens that it has issued (RFC 7009 §2.1).
    ///
    /// First those that are known already: if they cannot be revoked, the request can be repeated.
    pub(super) async fn end_family(&self, family: &RefreshFamily) -> Result<bool, StoreError> {
        self.revoke_access_tokens(&family.access_tokens).await?;
        let ended = self.in_time(self.refresh_tokens.end(&family.id)).await?;
        let Some(ended) = ended else {
            return Ok(false);
        };
        let known = &family.access_tokens;
        let since = ended.access_tokens.into_iter();
        let since: Vec<_> = since.filter(|token| !known.contains(token)).collect();
        self.revoke_access_tokens(&since).await?;
        Ok(true)
    }

    /// Ends all of these families, some hundred at a time, and says how many there were.
    pub(super) async fn end_all(&self, of: &FamiliesOf) -> Result<usize, StoreError> {
        let mut count = 0_usize;
        loop {
            let ended = self.in_time(self.refresh_tokens.end_some(of)).await?;
            if ended.is_empty() {
                return Ok(count);
            }
            count = count.saturating_add(ended.len());
            for family in &ended {
                observe::ended(self, family, "ended");
            }
            let tokens = ended.into_iter().flat_map(|family| family.access_tokens);
            self.revoke_access_tokens(&tokens.collect::<Vec<_>>())
                .await?;
        }
    }

    /// Revokes those access tokens that have not expired, where there is a list of revocations.
    pub(super) async fn revoke_access_tokens(
        &self,
        tokens: &[IssuedToken],
    ) -> Result<(), StoreError> {
        let Some(revocation) = &self.revocation else {
            return Ok(());
        };
        let now = self.clock.now().saturating_sub(LEEWAY);
        let tokens = tokens.iter().filter(|token| now < token.expires_at());
        let revoked = tokens.map(|token| revocation.revoke_token(token.id(), token.expires_at()));
        self.in_time(try_join_all(revoked)).await.map(drop)
    }

    /// The claims of an access token that this server has issued, and that has not expired, or not so long ago.
    pub(super) fn own_access_token<C>(&self, token: &str, leeway: Duration) -> Option<Claims<C>>
    where
        C: DeserializeOwned + Send + Sync + 'static,
    {
        let token = BearerToken::parse(token).ok()?;
        let keys = KeySet::from_json(&self.keys.public_key_set()).ok()?;
        let verifier = JwtVerifier::<C>::builder()
            .issuer(&self.settings.issuer)
            .any_audience()
            .key_set(keys)
            .algorithms(self.keys.algorithms())
            .leeway(leeway)
            .clock(Arc::clone(&self.clock))
            .build()
            .ok()?;
        match verifier.verify(token) {
            Verification::Ready(verdict) => verdict.ok(),
            Verification::Pending(_) => None,
        }
    }
}
