//! [`JwtVerifier`]: JSON Web Tokens, by the letter of RFC 7515, 7519, 8725 and, if asked, 9068.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use serde::de::DeserializeOwned;

use super::{BoxFuture, Verification, Verifier};
use crate::{
    algorithm::Algorithm,
    claims::{Claims, Confirmation, Epoch, RegisteredClaims},
    clock::{Clock, NumericDate},
    crypto::VerifyingKey,
    error::{AuthError, reason},
    token::BearerToken,
};

mod builder;
mod claims;
mod compact;
mod headers;
mod key;

pub use builder::JwtVerifierBuilder;
pub use key::{Key, KeySet, SkippedKey};

use claims::Payload;
use compact::{Buffer, Compact, Header};
use headers::KnownHeaders;

/// Verifies JSON Web Tokens with keys that it was given.
///
/// `C` is the user's part of the claims, anything that serde can read from the payload; `()` if the
/// [registered ones](crate::RegisteredClaims) are enough.
///
/// ```
/// use serde::Deserialize;
/// use tower_bearer::{Algorithm, BearerAuthLayer, JwtVerifier, Key};
///
/// #[derive(Deserialize)]
/// struct MyClaims {
///     tenant: String,
/// }
///
/// # let public_key_pem = "-----BEGIN PUBLIC KEY-----
/// # MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A
/// # iTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==
/// # -----END PUBLIC KEY-----";
/// let verifier = JwtVerifier::<MyClaims>::builder()
///     .issuer("https://login.example.com")
///     .audience("https://api.example.com")
///     .key(Key::from_pem(Algorithm::ES256, public_key_pem)?)
///     .build()?;
///
/// let layer = BearerAuthLayer::new(verifier);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// # What it refuses
/// * any form but three segments of base64url without padding, white space or stray bits
///   (RFC 7515 §2, §7.1), so also JWE;
/// * a header or payload that is no JSON object, has a member twice, however it is spelled, or is
///   nested deeper than 128 levels (RFC 7515 §4, RFC 7519 §4);
/// * an `alg` that none of the keys is for, `none` in any spelling among them (RFC 8725 §3.1);
/// * `crit`, `zip` and `b64: false` (RFC 7515 §4.1.11, RFC 7797 §7); a token's own `jwk`, `jku`, `x5u`
///   and `x5c` are not looked at (RFC 8725 §3.10);
/// * a `typ` other than `JWT` or `at+jwt`, where there is one, so that a logout token or a DPoP
///   proof is not taken for an access token (RFC 8725 §3.11);
/// * a missing or wrong `iss`, `aud` or `exp`, an `nbf` to come, and any registered claim of a wrong type;
/// * claims that `C` cannot be read from.
///
/// All of these are 401 `invalid_token`, and look alike to the client; [`AuthError::reason`] tells them
/// apart. What costs little is looked at first: an expired token is refused before its signature is
/// computed, so the reason of a forged one that is expired too is `token_expired`.
pub struct JwtVerifier<C = ()> {
    rules: Arc<Rules>,
    claims: PhantomData<fn() -> C>,
}

/// What a token must comply with.
struct Rules {
    keys: Vec<Candidate>,
    // Empty: any will do.
    issuers: Vec<String>,
    audiences: Vec<String>,
    // Empty: none, `JWT` or `at+jwt`.
    token_types: Vec<String>,
    leeway: std::time::Duration,
    expiry_optional: bool,
    access_token_profile: bool,
    clock: Arc<dyn Clock>,
    headers: KnownHeaders,
}

/// A key and one algorithm that it is used with.
struct Candidate {
    key_id: Option<Box<str>>,
    algorithm: Algorithm,
    key: VerifyingKey,
    epoch: Epoch,
}

/// How many signatures are computed for one token, where several keys might be the one.
const MAX_SIGNATURE_CHECKS: usize = 4;

impl<C> JwtVerifier<C> {
    /// Begins a verifier. It needs a key, an issuer and an audience, at least.
    pub fn builder() -> JwtVerifierBuilder<C> {
        JwtVerifierBuilder::new()
    }
}

impl<C> Verifier for JwtVerifier<C>
where
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Claims = C;
    type Future = BoxFuture<Result<Claims<C>, AuthError>>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<C, Self::Future> {
        Verification::Ready(self.rules.verify(token.as_bytes()))
    }
}

const fn invalid(reason: &'static str) -> AuthError {
    AuthError::invalid_token(reason)
}

impl Rules {
    fn verify<C: DeserializeOwned>(&self, token: &[u8]) -> Result<Claims<C>, AuthError> {
        let compact = Compact::split(token).ok_or(invalid(reason::TOKEN_MALFORMED))?;

        let mut buffer;
        let key = match self.headers.key_of(compact.header) {
            Some(index) => {
                Selected::Known(self.keys.get(index).ok_or(invalid(reason::KEY_UNKNOWN))?)
            }
            None => {
                buffer = Buffer::new();
                let header = buffer
                    .decode(compact.header)
                    .ok_or(invalid(reason::TOKEN_MALFORMED))?;
                let header = Header::parse(header).ok_or(invalid(reason::HEADER_MALFORMED))?;
                Selected::By(self.check_header(&header)?, header.key_id)
            }
        };

        let payload =
            compact::decode_to_vec(compact.payload).ok_or(invalid(reason::TOKEN_MALFORMED))?;
        let json = std::str::from_utf8(&payload).map_err(|_| invalid(reason::CLAIMS_MALFORMED))?;
        let payload = Payload::parse(json).map_err(|_| invalid(reason::CLAIMS_MALFORMED))?;
        let valid_until = self.check_claims(&payload, self.clock.now())?;

        let mut buffer = Buffer::new();
        let signature = buffer
            .decode(compact.signature)
            .ok_or(invalid(reason::SIGNATURE_INVALID))?;
        let key = match key {
            Selected::Known(key) if key.key.verify(compact.signed, signature) => key,
            Selected::Known(_) => return Err(invalid(reason::SIGNATURE_INVALID)),
            Selected::By(algorithm, key_id) => {
                let candidates = self.candidates(algorithm, key_id.as_deref());
                self.check_signature(candidates, &compact, signature)?
            }
        };

        let registered = registered(&payload, json.len())?;
        match claims::custom(json) {
            Ok(custom) => Ok(Claims::from_parts(
                registered,
                valid_until,
                key.epoch.clone(),
                custom,
            )),
            Err(error) => Err(invalid(reason::CLAIMS_MALFORMED).with_source(error)),
        }
    }

    /// Whether the header asks for nothing that is not done here, and by which algorithm it says the
    /// token is signed.
    fn check_header(&self, header: &Header<'_>) -> Result<Algorithm, AuthError> {
        if header.unsupported {
            return Err(invalid(reason::HEADER_UNSUPPORTED));
        }
        let algorithm = header
            .algorithm
            .as_deref()
            .and_then(Algorithm::from_name)
            .filter(|algorithm| self.keys.iter().any(|key| key.algorithm == *algorithm))
            .ok_or(invalid(reason::ALGORITHM_NOT_ALLOWED))?;
        if !self.allows_type(header.token_type.as_deref()) {
            return Err(invalid(reason::TYPE_MISMATCH));
        }
        Ok(algorithm)
    }

    /// Compares `typ` in any case, and with `application/` or without (RFC 7515 §4.1.9).
    fn allows_type(&self, token_type: Option<&str>) -> bool {
        let Some(token_type) = token_type else {
            return self.token_types.is_empty();
        };
        let token_type = subtype(token_type);
        if self.token_types.is_empty() {
            ["JWT", "at+jwt"]
                .iter()
                .any(|allowed| token_type.eq_ignore_ascii_case(allowed))
        } else {
            self.token_types
                .iter()
                .any(|allowed| token_type.eq_ignore_ascii_case(subtype(allowed)))
        }
    }

    /// Whether the claims are those of a token for us, now; gives when that ends.
    fn check_claims(
        &self,
        claims: &Payload<'_>,
        now: NumericDate,
    ) -> Result<Option<NumericDate>, AuthError> {
        let valid_until = match claims.expires_at {
            Some(expires_at) => Some(expires_at.saturating_add(self.leeway)),
            None if self.expiry_optional => None,
            None => return Err(invalid(reason::CLAIM_MISSING)),
        };
        // "On or after" is too late (RFC 7519 §4.1.4), "before" is too early (§4.1.5).
        if valid_until.is_some_and(|end| now >= end) {
            return Err(invalid(reason::TOKEN_EXPIRED));
        }
        if claims
            .not_before
            .is_some_and(|start| now < start.saturating_sub(self.leeway))
        {
            return Err(invalid(reason::TOKEN_NOT_YET_VALID));
        }
        if !self.issuers.is_empty() {
            match claims.issuer.as_deref() {
                None => return Err(invalid(reason::CLAIM_MISSING)),
                Some(issuer) if self.issuers.iter().any(|ours| ours == issuer) => {}
                Some(_) => return Err(invalid(reason::ISSUER_MISMATCH)),
            }
        }
        if !self.audiences.is_empty() {
            match &claims.audience {
                None => return Err(invalid(reason::CLAIM_MISSING)),
                Some(audience)
                    if audience
                        .iter()
                        .any(|one| self.audiences.iter().any(|ours| ours == one)) => {}
                Some(_) => return Err(invalid(reason::AUDIENCE_MISMATCH)),
            }
        }
        // RFC 9068 §2.2.
        if self.access_token_profile
            && (claims.issuer.is_none()
                || claims.audience.is_none()
                || claims.expires_at.is_none()
                || claims.subject.is_none()
                || claims.client_id.is_none()
                || claims.issued_at.is_none()
                || claims.id.is_none())
        {
            return Err(invalid(reason::CLAIM_MISSING));
        }
        Ok(valid_until)
    }

    /// The keys that a token may be signed with, by their place in the list.
    ///
    /// A key with an id is for tokens with this very `kid`, or with none; one without is for any.
    fn candidates(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> impl Iterator<Item = (usize, &Candidate)> {
        self.keys
            .iter()
            .enumerate()
            .filter(move |(_, key)| key.algorithm == algorithm)
            .filter(move |(_, key)| match (key.key_id.as_deref(), key_id) {
                (Some(of_key), Some(of_token)) => of_key == of_token,
                _ => true,
            })
            .take(MAX_SIGNATURE_CHECKS)
    }

    /// Finds the key that confirms the signature.
    fn check_signature<'a>(
        &self,
        mut candidates: impl Iterator<Item = (usize, &'a Candidate)>,
        compact: &Compact<'_>,
        signature: &[u8],
    ) -> Result<&'a Candidate, AuthError> {
        let (index, first) = candidates.next().ok_or(invalid(reason::KEY_UNKNOWN))?;
        let mut others = candidates.peekable();
        if first.key.verify(compact.signed, signature) {
            if others.peek().is_none() {
                self.headers.learn(compact.header, index);
            }
            return Ok(first);
        }
        others
            .map(|(_, other)| other)
            .find(|other| other.key.verify(compact.signed, signature))
            .ok_or(invalid(reason::SIGNATURE_INVALID))
    }
}

/// By what the key of a token is chosen.
enum Selected<'a, 'h> {
    /// A header that was seen before, for which there is but this key.
    Known(&'a Candidate),
    By(Algorithm, Option<Cow<'h, str>>),
}

/// A media type without its `application/`, which `typ` may leave out.
fn subtype(media_type: &str) -> &str {
    const APPLICATION: &str = "application/";
    match media_type.split_at_checked(APPLICATION.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(APPLICATION) && !rest.contains('/') => {
            rest
        }
        _ => media_type,
    }
}

/// The registered claims, to be kept; `capacity` bytes hold all their texts.
fn registered(payload: &Payload<'_>, capacity: usize) -> Result<RegisteredClaims, AuthError> {
    let mut claims = RegisteredClaims::with_capacity(capacity);
    if let Some(issuer) = &payload.issuer {
        claims.set_issuer(issuer);
    }
    if let Some(subject) = &payload.subject {
        claims.set_subject(subject);
    }
    for audience in payload.audience.iter().flat_map(claims::Texts::iter) {
        claims.add_audience(audience);
    }
    if let Some(client_id) = &payload.client_id {
        claims.set_client_id(client_id);
    }
    if let Some(id) = &payload.id {
        claims.set_id(id);
    }
    if let Some(scope) = &payload.scope {
        claims.set_scope(scope.iter());
    }
    claims.expires_at = payload.expires_at;
    claims.not_before = payload.not_before;
    claims.issued_at = payload.issued_at;
    if let Some(json) = payload.confirmation {
        let confirmation = Confirmation::from_json(json.get())
            .map_err(|error| invalid(reason::CLAIMS_MALFORMED).with_source(error))?;
        claims.confirmation = Some(Box::new(confirmation));
    }
    Ok(claims)
}

impl<C> Clone for JwtVerifier<C> {
    fn clone(&self) -> Self {
        Self {
            rules: Arc::clone(&self.rules),
            claims: PhantomData,
        }
    }
}

impl<C> fmt::Debug for JwtVerifier<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifier")
            .field("issuers", &self.rules.issuers)
            .field("audiences", &self.rules.audiences)
            .field("keys", &self.rules.keys.len())
            .field("leeway", &self.rules.leeway)
            .finish_non_exhaustive()
    }
}
