//! A refresh token in, tokens out (RFC 6749 §6).

use bytes::Bytes;
use http::Response;

use super::{
    answer::Tokens,
    endpoint::{Asked, missing},
    event::TokenEventKind,
    grant::Grant,
    grant_type::GrantType,
    issue::{Authenticated, narrowed, no_crypto},
    observe,
    refresh::{RefreshFamily, Rotated, Rotation, token::RefreshToken},
    refusal::Refusal,
    server::Server,
};
use crate::store::StoreError;

impl Server {
    /// The refresh token grant.
    ///
    /// Whatever can fail comes before the rotation, so that a client whose request fails can use its token again.
    pub(super) async fn refresh(
        &self,
        asked: Asked<'_>,
        status_of_rfc: bool,
        must_authenticate: bool,
    ) -> Result<Response<Bytes>, Refusal> {
        let invalid = |reason| Refusal::invalid_grant(status_of_rfc, reason);
        let presented = asked.parameters.get("refresh_token");
        let presented = presented.ok_or_else(|| missing("refresh_token"))?;
        let authenticated = if must_authenticate {
            Authenticated::Client(self.authenticated(asked).await?)
        } else {
            self.authenticated_if_asked(asked).await?
        };
        let client_id = match &authenticated {
            Authenticated::Client(client) => Some(client.id()),
            Authenticated::Named(id) => Some(&**id),
            Authenticated::Nobody => None,
        };

        let token = RefreshToken::parse(presented).ok_or_else(|| invalid("token_malformed"))?;
        let family = self
            .in_time(self.refresh_tokens.find(&token.family_id()))
            .await?;
        let family = family.filter(|family| token.is_of(family));
        let family = family.ok_or_else(|| invalid("token_unknown"))?;
        asked.trail.family(&family);
        asked.trail.leads_to(TokenEventKind::Refreshed);
        // Another client's: the family lives, for it is not its own client that has lost the token out of its hands.
        if client_id.is_some_and(|id| id != family.grant.client_id) {
            return Err(invalid("token_foreign"));
        }
        let client = match authenticated {
            Authenticated::Client(client) => client,
            _ => match self.clients.find(&family.grant.client_id).await? {
                Some(client) => client,
                None => return Err(invalid("client_unknown")),
            },
        };

        if !client.may_use(GrantType::RefreshToken) {
            return Err(Refusal::unauthorized_client());
        }

        let now = self.clock.now();
        let presented = token.hash();
        let successor = match self.unsettled.take(&presented, now) {
            Some(successor) => successor,
            None => token
                .successor(&family, !self.settings.grace.is_zero())
                .ok_or_else(no_crypto)?,
        };
        // If this fails, or the client goes away meanwhile, its next attempt is the same rotation.
        let attempt = self.unsettled.begin(&presented, &successor, now);
        let mut rotation = Rotation {
            found: family.clone(),
            presented,
            successor: successor.0.hash(),
            seed: successor.1.clone(),
            issued: None,
            session: None,
            now,
            idle_for: self.refresh_token_idle_lifetime(&client),
            grace: self.settings.grace.as_secs(),
        };
        let lifetime = self.access_token_lifetime(&client);
        // One that was used before is not asked what it is for.
        let outcome = family.weigh(&rotation);
        let tokens = match outcome {
            Rotated::Rotated { .. } | Rotated::Again { .. } => {
                let stands = self.still_stands(&family, invalid).await?;
                let still = still_granted(&stands, &self.whole_grant(&client));
                let grant = narrowed(&still.ok_or_else(|| invalid("grant_withdrawn"))?, asked)?;
                let access_token = self.access_token(&grant, now, lifetime).await?;
                rotation.issued = Some(access_token.issued());
                rotation.session = grant.session.clone();
                if self.settings.revoke_at_rotation && matches!(outcome, Rotated::Rotated { .. }) {
                    self.revoke_access_tokens(&family.access_tokens).await?;
                }
                Some((access_token, grant.scope))
            }
            _ => None,
        };

        let rotated = self.in_time(self.refresh_tokens.rotate(rotation)).await?;
        let (successor, _) = successor;
        let successor = match rotated {
            Rotated::Rotated { earlier } => {
                if self.settings.revoke_at_rotation {
                    // Those that were issued since the family was read.
                    let known = &family.access_tokens;
                    let since = earlier.into_iter().filter(|token| !known.contains(token));
                    self.revoke_access_tokens(&since.collect::<Vec<_>>())
                        .await?;
                }
                successor
            }
            Rotated::Again { seed } => token.successor_by(&family, &seed).ok_or_else(no_crypto)?,
            Rotated::Expired => return Err(invalid("token_expired")),
            Rotated::Unknown => return Err(invalid("token_unknown")),
            Rotated::Reused { issued } => {
                // The family has ended in any case. While its access tokens cannot be revoked, that is what the
                // answer says; the theft is told now, because the next use finds no family.
                if let Err(error) = self.revoke_access_tokens(&issued).await {
                    observe::reused(self, &family);
                    return Err(error.into());
                }
                return Err(invalid("token_reused"));
            }
        };
        let Some((access_token, scope)) = tokens else {
            // The store is of another mind than a moment ago, which only a clock that goes back can bring about.
            return Err(invalid("token_unknown"));
        };
        attempt.settle();
        Ok(Tokens {
            access_token,
            token_type: "Bearer",
            expires_in: lifetime.as_secs(),
            refresh_token: Some(successor.to_text()),
            scope,
        }
        .into_response())
    }

    /// The family of a refresh token, if it is one.
    pub(super) async fn family_of(&self, text: &str) -> Result<Option<RefreshFamily>, StoreError> {
        let Some(token) = RefreshToken::parse(text) else {
            return Ok(None);
        };
        let family = self
            .in_time(self.refresh_tokens.find(&token.family_id()))
            .await?;
        Ok(family.filter(|family| token.is_of(family)))
    }
}

/// What is left of a grant if the client may have less by now; `None` if nothing that makes sense is.
fn still_granted(granted: &Grant, allowed: &Grant) -> Option<Grant> {
    let scopes = granted
        .scopes()
        .iter()
        .filter(|scope| allowed.scopes().contains(scope));
    let scope = scopes.collect::<Vec<_>>().join(" ");
    let audiences = granted
        .audiences
        .iter()
        .filter(|known| allowed.audiences.contains(known));
    let grant = Grant {
        scope,
        audiences: audiences.cloned().collect(),
        ..granted.clone()
    };
    let lost = grant.audiences.is_empty() || (grant.scope.is_empty() && !granted.scope.is_empty());
    (!lost).then_some(grant)
}
