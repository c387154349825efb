//! The revocation endpoint (RFC 7009).

use bytes::Bytes;
use http::Response;

use super::{
    answer,
    endpoint::{Asked, missing},
    refusal::Refusal,
    server::Server,
};
use crate::{
    claims::Claims,
    token::BearerToken,
    verify::{
        Verification, Verifier,
        jwt::{JwtVerifier, KeySet},
    },
};

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
            self.in_time(self.refresh_tokens.end(&family.id)).await?;
        } else if let Some(claims) = self.own_access_token(token) {
            let claims = claims.registered();
            if claims.client_id() != Some(client.id()) {
                return Err(Refusal::foreign_token());
            }
            let revocation = self.revocation.as_ref();
            let revocation = revocation.ok_or_else(Refusal::unsupported_token_type)?;
            if let (Some(id), Some(end)) = (claims.id(), claims.expires_at()) {
                self.in_time(revocation.revoke_token(id, end)).await?;
            }
        }
        // A token that is unknown, or good for nothing any longer, is as the client wants it (§2.2).
        Ok(answer::ok(Bytes::new()))
    }

    /// The claims of an access token that this server has issued, and that has not expired.
    fn own_access_token(&self, token: &str) -> Option<Claims> {
        let token = BearerToken::parse(token).ok()?;
        let keys = KeySet::from_json(&self.keys.public_key_set()).ok()?;
        let verifier = JwtVerifier::<()>::builder()
            .issuer(&self.settings.issuer)
            .any_audience()
            .key_set(keys)
            .algorithms(self.keys.algorithms())
            .clock(std::sync::Arc::clone(&self.clock))
            .build()
            .ok()?;
        match verifier.verify(token) {
            Verification::Ready(verdict) => verdict.ok(),
            Verification::Pending(_) => None,
        }
    }
}
