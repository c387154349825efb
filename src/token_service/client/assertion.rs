//! Clients that authenticate by a signed JWT: `private_key_jwt` (RFC 7523 §2.2, OpenID Connect Core §9).

use std::{fmt, sync::Arc, time::Duration};

use super::Client;
use crate::{
    algorithm::Algorithm,
    claims::RegisteredClaims,
    clock::{Clock, NumericDate},
    error::ConfigError,
    json,
    store::StoreError,
    token::BearerToken,
    verify::{
        Verification, Verifier,
        jwt::{JwtVerifier, JwtVerifierBuilder, KeySet},
    },
};

/// What `client_assertion_type` must be (RFC 7523 §2.2).
pub(in crate::token_service) const TYPE: &str =
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The `typ` that tells such a JWT from others; a JWT without a type, or of the type `JWT`, will do as well.
const OWN_TYPE: &str = "client-authentication+jwt";

/// A server holds on to a `jti` until then, so that assertions with a longer life are rejected (RFC 7523 §3). Some
/// libraries make them good for an hour.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);

/// How far the clocks of a client and the server may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// A secret that both sides know is no key of this method; that would be `client_secret_jwt`.
pub(in crate::token_service) const ALGORITHMS: [Algorithm; 10] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

/// By what the assertions of a client are verified.
#[derive(Clone)]
pub(super) enum AssertionKeys {
    /// A JWK Set, as it was given, and its keys.
    Set { json: String, keys: KeySet },
    #[cfg(feature = "jwks")]
    Remote(crate::verify::jwks::RemoteKeySet),
}

impl AssertionKeys {
    pub(super) fn of_json(json: String) -> Result<Self, ConfigError> {
        let keys = KeySet::from_json(&json)?;
        let keys = Self::Set { json, keys };
        // What no assertion can be verified by is a mistake of whoever configures it.
        keys.verifier("a").any_audience().build()?;
        Ok(keys)
    }

    fn verifier(&self, client_id: &str) -> JwtVerifierBuilder<()> {
        let builder = JwtVerifier::builder()
            .issuer(client_id)
            .algorithms(ALGORITHMS)
            .leeway(LEEWAY);
        match self {
            Self::Set { keys, .. } => builder.key_set(keys.clone()),
            #[cfg(feature = "jwks")]
            Self::Remote(keys) => builder.remote_keys(keys.clone()),
        }
    }
}

impl fmt::Debug for AssertionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { keys, .. } => write!(f, "{} keys", keys.keys().len()),
            #[cfg(feature = "jwks")]
            Self::Remote(keys) => keys.fmt(f),
        }
    }
}

/// The client that an assertion says it is of. Nothing is proven by that.
pub(in crate::token_service) fn named_client(assertion: &str) -> Option<String> {
    let payload = assertion.split('.').nth(1)?;
    let payload = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(payload).ok()?;
    let members = json::object(std::str::from_utf8(&payload).ok()?)?;
    let (_, issuer) = members.into_iter().find(|(name, _)| name == "iss")?;
    let json::Text(issuer) = serde_json::from_str(issuer.get()).ok()?;
    Some(issuer.into_owned())
}

/// What a good assertion says of itself: its `jti`, and when it expires.
pub(in crate::token_service) struct Assertion {
    pub(in crate::token_service) id: String,
    pub(in crate::token_service) expires_at: NumericDate,
}

/// Verifies an assertion; `None` if it is none of this client, for this server, now.
///
/// # Errors
/// If the keys of the client are out of reach.
pub(in crate::token_service) async fn verify(
    client: &Client,
    assertion: &str,
    audiences: &[String],
    clock: Arc<dyn Clock>,
) -> Result<Option<Assertion>, StoreError> {
    let (Some(keys), Ok(token)) = (&client.keys, BearerToken::parse(assertion)) else {
        return Ok(None);
    };
    let now = clock.now();
    let mut builder = keys.verifier(client.id()).clock(clock);
    for audience in audiences {
        builder = builder.audience(audience);
    }
    match token_type(assertion).as_deref() {
        Some(own) if own.eq_ignore_ascii_case(OWN_TYPE) => {
            builder = builder.token_types([OWN_TYPE])
        }
        // That of an access token, which may be in many hands.
        Some(other) if !other.eq_ignore_ascii_case("JWT") => return Ok(None),
        _ => {}
    }
    let verifier = builder.build().map_err(StoreError::new)?;
    let verdict = match verifier.verify(token) {
        Verification::Ready(verdict) => verdict,
        Verification::Pending(verdict) => verdict.await,
    };
    match verdict {
        Ok(claims) => Ok(of_claims(client, claims.registered(), audiences, now)),
        Err(error) if error.kind() == crate::error::AuthErrorKind::Unavailable => {
            Err(StoreError::new(error))
        }
        Err(_) => Ok(None),
    }
}

/// RFC 7523 §3: `iss` and `sub` are the client; there are `exp` and, so that it is used once, `jti`. Another server
/// among the audiences could use the assertion here.
fn of_claims(
    client: &Client,
    claims: &RegisteredClaims,
    audiences: &[String],
    now: NumericDate,
) -> Option<Assertion> {
    let expires_at = claims.expires_at()?;
    let latest = now.saturating_add(LONGEST_LIFE).saturating_add(LEEWAY);
    let is_ours = |audience: &str| audiences.iter().any(|own| own == audience);
    let is_own = claims.subject() == Some(client.id())
        && claims.audiences().all(is_ours)
        && expires_at <= latest;
    let id = claims.id().filter(|id| is_own && !id.is_empty())?;
    Some(Assertion {
        id: id.to_owned(),
        expires_at: expires_at.saturating_add(LEEWAY),
    })
}

fn token_type(assertion: &str) -> Option<String> {
    let header = assertion.split('.').next()?;
    let header = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(header).ok()?;
    let members = json::object(std::str::from_utf8(&header).ok()?)?;
    let (_, token_type) = members.into_iter().find(|(name, _)| name == "typ")?;
    let json::Text(token_type) = serde_json::from_str(token_type.get()).ok()?;
    let plain = token_type
        .strip_prefix("application/")
        .unwrap_or(&token_type);
    Some(plain.to_owned())
}
