//! The introspection endpoint (RFC 7662).

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};

use super::{
    answer,
    client::Client,
    endpoint::{Asked, missing},
    refresh::token::RefreshToken,
    refusal::Refusal,
    server::Server,
};
use crate::revocation::Revoked;

impl Server {
    /// Tells a client about a token.
    ///
    /// What a client may not know, and what is good for nothing, looks the same (§2.2).
    pub(super) async fn introspect(&self, asked: Asked<'_>) -> Result<Response<Bytes>, Refusal> {
        let token = asked.parameters.get("token");
        let token = token.ok_or_else(|| missing("token"))?;
        let client = self.authenticated(asked).await?;
        // A public client cannot show that it is the one (§2.1).
        if client.is_public() {
            return Err(Refusal::invalid_client());
        }
        self.introspections.count(client.id())?;
        // A hint only says where to look first, and there are but two places.
        let known = match self.of_refresh_token(&client, token).await? {
            Some(known) => Some(known),
            None => self.of_access_token(&client, token).await?,
        };
        let mut answer = Map::from_iter([("active".to_owned(), known.is_some().into())]);
        answer.extend(known.unwrap_or_default());
        Ok(answer::ok(Value::Object(answer).to_string().into()))
    }

    async fn of_refresh_token(
        &self,
        client: &Client,
        text: &str,
    ) -> Result<Option<Map<String, Value>>, Refusal> {
        let Some(token) = RefreshToken::parse(text) else {
            return Ok(None);
        };
        let Some(family) = self.family_of(text).await? else {
            return Ok(None);
        };
        let is_good = family.current == token.hash() && !family.is_over(self.clock.now());
        // It is nobody's business but its own client's.
        let is_own = family.grant.client_id == client.id();
        if !is_good || !is_own || self.is_withdrawn(&family).await? {
            return Ok(None);
        }
        let grant = &family.grant;
        let mut known = Map::new();
        if !grant.scope.is_empty() {
            known.insert("scope".to_owned(), json!(grant.scope));
        }
        for (name, value) in [
            ("client_id", json!(grant.client_id)),
            ("exp", json!(family.over_at())),
            ("iat", json!(family.begun_at)),
            ("sub", json!(grant.subject)),
            ("aud", json!(grant.audiences)),
            ("iss", json!(self.settings.issuer)),
        ] {
            known.insert(name.to_owned(), value);
        }
        Ok(Some(known))
    }

    async fn of_access_token(
        &self,
        client: &Client,
        text: &str,
    ) -> Result<Option<Map<String, Value>>, Refusal> {
        // By the clock that `exp` was written by, so that an expired token is never called active (§2.2).
        let claims = self.own_access_token::<Map<String, Value>>(text, Duration::ZERO);
        let Some(claims) = claims else {
            return Ok(None);
        };
        let registered = claims.registered();
        let may_know = client.may_introspect() || registered.client_id() == Some(client.id());
        if !may_know {
            return Ok(None);
        }
        if let Some(revocation) = &self.revocation {
            let revoked = match revocation.is_revoked(registered) {
                Revoked::Ready(answer) => answer?,
                Revoked::Pending(answer) => self.in_time(answer).await?,
            };
            if revoked {
                return Ok(None);
            }
        }
        let mut known = Map::clone(&claims);
        known.insert("token_type".to_owned(), json!("Bearer"));
        Ok(Some(known))
    }
}
