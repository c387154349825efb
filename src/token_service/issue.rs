//! Client credentials in, tokens out (RFC 6749 §4.4).

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use serde::{Serialize, Serializer};

use super::{
    answer::Tokens,
    claims::AccessToken,
    client::Client,
    endpoint::Asked,
    grant::Grant,
    grant_type::GrantType,
    observe,
    refresh::{IssuedToken, RefreshFamily, Version, token::RefreshToken},
    refusal::Refusal,
    request::{self, Credentials},
    resource,
    server::Server,
};
use crate::{clock::NumericDate, crypto, reject::scope_tokens};

impl Server {
    /// The client credentials grant.
    pub(super) async fn client_credentials(
        &self,
        asked: Asked<'_>,
        with_refresh_token: bool,
    ) -> Result<Response<Bytes>, Refusal> {
        let client = self.authenticated(asked).await?;
        if !client.may_use(GrantType::ClientCredentials) {
            return Err(Refusal::unauthorized_client());
        }
        let grant = narrowed(&self.whole_grant(&client), asked)?;
        let tokens = self.first_tokens(&client, grant, with_refresh_token);
        Ok(tokens.await?.into_response())
    }

    /// The tokens that a grant begins with.
    pub(super) async fn first_tokens(
        &self,
        client: &Client,
        grant: Grant,
        with_refresh_token: bool,
    ) -> Result<Tokens, Refusal> {
        let now = self.clock.now();
        let lifetime = self.access_token_lifetime(client);
        let access_token = self.access_token(&grant, now, lifetime).await?;
        let scope = grant.scope.clone();
        let refresh_token = if with_refresh_token && client.may_use(GrantType::RefreshToken) {
            let issued = access_token.issued();
            Some(self.first_refresh_token(client, grant, issued, now).await?)
        } else {
            None
        };
        Ok(Tokens {
            access_token,
            token_type: "Bearer",
            expires_in: lifetime.as_secs(),
            refresh_token,
            scope,
        })
    }

    /// The client that a request is from: one that has authenticated, or a public one, which gives its id.
    pub(super) async fn authenticated(&self, asked: Asked<'_>) -> Result<Arc<Client>, Refusal> {
        match self.authenticated_if_asked(asked).await? {
            Authenticated::Client(client) => Ok(client),
            Authenticated::Named(id) => match self.clients.find(&id).await? {
                Some(client) if client.is_public() => Ok(client),
                _ => Err(Refusal::invalid_client()),
            },
            Authenticated::Nobody => Err(Refusal::invalid_client()),
        }
    }

    /// The client that a request is from, if it says so.
    pub(super) async fn authenticated_if_asked<'a>(
        &self,
        asked: Asked<'a>,
    ) -> Result<Authenticated<'a>, Refusal> {
        let peer = || (self.peer)(asked.parts);
        match request::credentials(asked.headers(), asked.parameters)? {
            Credentials::Secret { id, secret } => {
                let attempt = self.clients.attempt(&id, peer());
                let client = self.clients.authenticate(&id, &secret, &attempt).await?;
                Ok(Authenticated::Client(client))
            }
            Credentials::Unusable => {
                let attempt = self.clients.attempt("", peer());
                Err(self.clients.fail(&attempt).into())
            }
            Credentials::Id(id) => Ok(Authenticated::Named(id)),
            Credentials::None => Ok(Authenticated::Nobody),
        }
    }

    /// All that a client may have.
    pub(super) fn whole_grant(&self, client: &Client) -> Grant {
        let audiences = match client.audiences() {
            [] => &self.settings.audiences[..],
            own => own,
        };
        Grant {
            client_id: client.id().to_owned(),
            subject: client.subject().to_owned(),
            scope: client.scope().to_owned(),
            audiences: audiences.to_vec(),
        }
    }

    pub(super) fn access_token_lifetime(&self, client: &Client) -> Duration {
        let own = client.access_token_lifetime();
        Duration::from_secs(own.unwrap_or(self.settings.access_token_lifetime).as_secs())
    }

    pub(super) fn refresh_token_idle_lifetime(&self, client: &Client) -> u64 {
        let own = client.refresh_token_idle_lifetime();
        own.unwrap_or(self.settings.refresh_token_idle_lifetime)
            .as_secs()
    }

    pub(super) async fn access_token(
        &self,
        grant: &Grant,
        now: NumericDate,
        lifetime: Duration,
    ) -> Result<SignedToken, Refusal> {
        let id: [u8; 16] = crypto::random().ok_or_else(no_crypto)?;
        let id = base64_simd::URL_SAFE_NO_PAD.encode_to_string(id);
        let expires_at = now.saturating_add(lifetime);
        let token = AccessToken {
            issuer: &self.settings.issuer,
            grant,
            id: &id,
            issued_at: now,
            expires_at,
        };
        let claims = token.claims(self.extra_claims.as_deref());
        let timeout = self.settings.store_timeout;
        let text = self.keys.sign(&claims, lifetime, timeout).await;
        let text = text.map_err(|error| Refusal::unavailable("signing_failed", error))?;
        Ok(SignedToken {
            text,
            id,
            expires_at,
        })
    }

    async fn first_refresh_token(
        &self,
        client: &Client,
        grant: Grant,
        issued: IssuedToken,
        now: NumericDate,
    ) -> Result<String, Refusal> {
        let (token, mark) = RefreshToken::first().ok_or_else(no_crypto)?;
        let lifetime = client.refresh_token_lifetime();
        let ends_at = now.saturating_add(lifetime.unwrap_or(self.settings.refresh_token_lifetime));
        let idle = self.refresh_token_idle_lifetime(client);
        let idle_until = now.saturating_add(Duration::from_secs(idle)).min(ends_at);
        let family = RefreshFamily {
            version: Version,
            id: token.family_id(),
            revision: 0,
            grant,
            mark,
            current: token.hash(),
            previous: Vec::new(),
            access_tokens: vec![issued],
            listed_until: 0,
            begun_at: now.as_secs(),
            ends_at: ends_at.as_secs(),
            idle_until: idle_until.as_secs(),
        };
        for ended in self.in_time(self.refresh_tokens.begin(family)).await? {
            observe::family_ended_for_room(&ended);
            self.revoke_access_tokens(&ended.access_tokens).await?;
        }
        Ok(token.to_text())
    }
}

/// An access token. Serde writes its text alone.
pub(super) struct SignedToken {
    pub(super) text: String,
    /// Its `jti`.
    pub(super) id: String,
    /// Its `exp`.
    pub(super) expires_at: NumericDate,
}

impl SignedToken {
    /// What its family keeps of it.
    pub(super) fn issued(&self) -> IssuedToken {
        IssuedToken {
            id: self.id.clone(),
            expires_at: self.expires_at.as_secs(),
        }
    }
}

impl Serialize for SignedToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// What is known of who sent a request.
pub(super) enum Authenticated<'a> {
    Client(Arc<Client>),
    /// It says that it is this client, and proves nothing.
    Named(Cow<'a, str>),
    Nobody,
}

/// No randomness, or no signature.
pub(super) fn no_crypto() -> Refusal {
    Refusal::unavailable("crypto_failed", "the crypto backend failed")
}

/// What of a grant a request asks for: all, or the `scope` and `resource` that it names.
pub(super) fn narrowed(whole: &Grant, asked: Asked<'_>) -> Result<Grant, Refusal> {
    narrowed_to(
        whole,
        asked.parameters.get("scope"),
        &asked.parameters.resources(),
    )
}

/// A grant of this scope and for these resources, or of all that are in it where none is named.
pub(super) fn narrowed_to(
    whole: &Grant,
    scope: Option<&str>,
    resources: &[&str],
) -> Result<Grant, Refusal> {
    let mut grant = whole.clone();
    if let Some(scope) = scope {
        // Each once, in the order in which they were asked for.
        let mut wanted: Vec<&str> = Vec::new();
        for scope in scope.split(' ') {
            if !wanted.contains(&scope) {
                wanted.push(scope);
            }
        }
        if !wanted.iter().all(|scope| whole.scopes().contains(scope)) {
            return Err(Refusal::invalid_scope());
        }
        grant.scope = scope_tokens(wanted).map_err(|_| Refusal::invalid_scope())?;
    }
    if !resources.is_empty() {
        // The tokens have the configured spelling, whatever the spelling of the request.
        grant.audiences =
            resource::named(&whole.audiences, resources).ok_or_else(Refusal::invalid_target)?;
    }
    Ok(grant)
}
