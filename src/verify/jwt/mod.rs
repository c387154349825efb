//! [`JwtVerifier`]: JSON Web Tokens, by the letter of RFC 7515, 7519, 8725 and, if asked, 9068.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use arc_swap::ArcSwap;
use serde::de::DeserializeOwned;

use super::{BoxFuture, Verification, Verifier};
use crate::{
    algorithm::Algorithm,
    claims::{Claims, Confirmation, RegisteredClaims},
    clock::Clock,
    error::{AuthError, ConfigError, reason},
    json,
    observe::{self, Timer},
    token::BearerToken,
};

mod builder;
mod claims;
mod compact;
mod custom;
mod fault;
mod headers;
mod heap;
mod issuer;
mod issuers;
#[cfg(feature = "jwks")]
mod jwks;
mod key;
mod keys;
mod names;
mod rules;

pub use builder::JwtVerifierBuilder;
pub use issuer::TrustedIssuer;
#[cfg(feature = "jwks")]
pub(crate) use key::PublishedKeys;
#[cfg(feature = "token-service")]
pub(crate) use key::jwk;
pub use key::{Key, KeySet, SkippedKey};
#[cfg(feature = "token-service")]
pub(crate) use names::check_name;

use claims::Payload;
use compact::{Buffer, Compact, Header};
use issuers::Issuers;
use keys::{Candidate, Loaded};
use rules::{AtSight, Issuer, Times};

/// Verifies JSON Web Tokens, with keys that it was given or, with the feature `jwks`, with those that
/// their issuer publishes (`RemoteKeySet`).
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
/// apart. What costs little is looked at first: an expired token is refused as soon as its `exp` is read, so
/// the reason of one that is forged too, or malformed further on, is `token_expired`.
pub struct JwtVerifier<C = ()> {
    rules: Arc<Rules>,
    claims: PhantomData<fn() -> C>,
}

/// What tokens must comply with.
struct Rules {
    issuers: ArcSwap<Issuers>,
    times: Times,
    clock: Arc<dyn Clock>,
}

/// How many signatures are computed for one token, where several keys might be the one.
const MAX_SIGNATURE_CHECKS: usize = 4;

impl<C> JwtVerifier<C> {
    /// Begins a verifier. It needs a key, an issuer and an audience, at least.
    pub fn builder() -> JwtVerifierBuilder<C> {
        JwtVerifierBuilder::new()
    }

    /// Trusts another issuer from now on, for all clones of this verifier. One with the same name is
    /// replaced: verdicts on its tokens end, wherever they are kept.
    ///
    /// # Errors
    /// As those of [`JwtVerifierBuilder::build`]; and if the verifier accepts any issuer.
    pub fn trust(&self, issuer: TrustedIssuer) -> Result<(), ConfigError> {
        let issuers = self.rules.issuers.load();
        if issuers.only().is_some_and(|issuer| issuer.names.is_empty()) {
            return Err(ConfigError::new(
                "the verifier accepts any issuer: name those that it shall trust when it is built",
            ));
        }
        let issuer = Arc::new(issuer.build()?);
        self.rules.replace_issuers(|issuers| issuers.with(&issuer));
        Ok(())
    }

    /// No longer trusts the issuer of that name (one of its names is enough): its tokens are refused from
    /// now on, and verdicts on them end, wherever they are kept. Says whether there was one.
    pub fn distrust(&self, issuer: &str) -> bool {
        let issuers = self.rules.issuers.load();
        let known = match &**issuers {
            Issuers::One(only) => only.names.iter().any(|name| name == issuer),
            Issuers::Many(by_name) => by_name.contains_key(issuer),
        };
        if known {
            self.rules
                .replace_issuers(|issuers| issuers.without(issuer));
        }
        known
    }
}

impl<C> Verifier for JwtVerifier<C>
where
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Claims = C;
    type Future = BoxFuture<Result<Claims<C>, AuthError>>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<C, Self::Future> {
        match self.rules.verify(token.as_bytes(), Timed::Here) {
            Ok(claims) => Verification::Ready(Ok(claims)),
            Err(Failure::Refused(error)) => Verification::Ready(Err(error)),
            #[cfg(feature = "jwks")]
            Err(Failure::NoKey(missing)) => self.rules.look_for_key(missing, token),
        }
    }
}

const fn invalid(reason: &'static str) -> AuthError {
    AuthError::invalid_token(reason)
}

/// Why a token was not verified.
enum Failure {
    Refused(AuthError),
    /// It is as it must be, but for its signature, whose key may be one that is not here yet.
    #[cfg(feature = "jwks")]
    NoKey(jwks::MissingKey),
}

/// Who takes the time of a verification, so that each is counted once.
#[derive(Clone, Copy)]
enum Timed {
    Here,
    #[cfg(feature = "jwks")]
    Elsewhere,
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::Refused(error)
    }
}

impl Rules {
    fn verify<C: DeserializeOwned>(
        &self,
        token: &[u8],
        timed: Timed,
    ) -> Result<Claims<C>, Failure> {
        let compact = Compact::split(token).ok_or(invalid(reason::TOKEN_MALFORMED))?;
        let issuers = self.issuers.load();

        // The header is cheap to refuse by. Of several issuers, though, the payload says who it is.
        let mut buffer = None;
        let mut chosen = match issuers.only() {
            Some(issuer) => Some(Chosen::by(&compact, issuer, &mut buffer)?),
            None => None,
        };

        let mut room = Buffer::new();
        let payload = room
            .decode(compact.payload)
            .ok_or(invalid(reason::TOKEN_MALFORMED))?;
        let json = std::str::from_utf8(payload).map_err(|_| invalid(reason::CLAIMS_MALFORMED))?;
        let now = self.clock.now();
        let at_sight = AtSight {
            issuer: issuers.only(),
            now,
            times: self.times,
        };
        let payload = Payload::parse(json, &at_sight)?;

        let issuer = issuers.of(&payload)?;
        let chosen = match chosen.take() {
            Some(chosen) => chosen,
            None => Chosen::by(&compact, issuer, &mut buffer)?,
        };
        let valid_until = issuer.check_claims(&payload, now, self.times)?;

        // What was refused up to here took less than to look at the clock.
        let timer = match timed {
            Timed::Here => Some(Timer::start()),
            #[cfg(feature = "jwks")]
            Timed::Elsewhere => None,
        };
        let mut confirmed = chosen.check_signature(&compact, issuer).and_then(|key| {
            let registered = registered(&payload, json.len())?;
            if json::has_private_names(json) {
                fault::report_private_name();
                return Err(invalid(reason::CLAIMS_MALFORMED).into());
            }
            let custom = custom::read(json).map_err(|error| fault::misfit(json, &error))?;
            let epochs = [key.epoch.clone(), issuer.trusted.clone()];
            let custom = (custom, heap::of::<C>(json));
            Ok(Claims::from_parts(registered, valid_until, epochs, custom))
        });
        match (&mut confirmed, timer) {
            (Ok(_), Some(timer)) => timer.verified(Ok(())),
            (Err(Failure::Refused(error)), Some(timer)) => timer.verified(Err::<(), _>(error)),
            #[cfg(feature = "jwks")]
            (Err(Failure::NoKey(missing)), timer) => missing.timer = timer,
            (_, None) => {}
        }
        confirmed
    }

    fn replace_issuers(&self, f: impl FnMut(&Issuers) -> Issuers) {
        let mut f = f;
        let former = self.issuers.rcu(|issuers| f(issuers));
        former.end_unless_in(&self.issuers.load());
    }
}

/// The keys of an issuer, and by what the one of a token is chosen.
struct Chosen<'i, 'h> {
    keys: Loaded<'i>,
    by: By<'h>,
}

enum By<'h> {
    /// A header that was seen before, for which there is but the key in this place.
    Known(usize),
    Header(Algorithm, Option<Cow<'h, str>>),
}

impl<'i, 'h> Chosen<'i, 'h> {
    fn by(
        compact: &Compact<'_>,
        issuer: &'i Issuer,
        buffer: &'h mut Option<Buffer>,
    ) -> Result<Self, AuthError> {
        let keys = issuer.keys();
        let by = match keys.headers.key_of(compact.header) {
            Some(place) => By::Known(place),
            None => {
                let header = buffer
                    .insert(Buffer::new())
                    .decode(compact.header)
                    .ok_or(invalid(reason::TOKEN_MALFORMED))?;
                let header = Header::parse(header).ok_or(invalid(reason::HEADER_MALFORMED))?;
                By::Header(issuer.check_header(&header, &keys)?, header.key_id)
            }
        };
        Ok(Self { keys, by })
    }

    /// Finds the key that confirms the signature.
    fn check_signature(
        &self,
        compact: &Compact<'_>,
        issuer: &Issuer,
    ) -> Result<&Candidate, Failure> {
        let mut buffer = Buffer::new();
        let signature = buffer
            .decode(compact.signature)
            .ok_or(invalid(reason::SIGNATURE_INVALID))?;
        let confirms = |candidate: &Candidate| candidate.key.verify(compact.signed, signature);
        let (algorithm, key_id) = match &self.by {
            By::Known(place) => {
                let known = self.keys.candidates.get(*place);
                if let Some(key) = known.filter(|key| confirms(key)) {
                    return Ok(key);
                }
                #[cfg(feature = "jwks")]
                jwks::suspect(issuer, &self.keys);
                return Err(invalid(reason::SIGNATURE_INVALID).into());
            }
            By::Header(algorithm, key_id) => (*algorithm, key_id.as_deref()),
        };
        let mut candidates = self
            .keys
            .candidates(algorithm, key_id)
            .take(MAX_SIGNATURE_CHECKS)
            .peekable();
        let mut failure = reason::KEY_UNKNOWN;
        let mut first = true;
        while let Some((place, candidate)) = candidates.next() {
            if confirms(candidate) {
                if first && candidates.peek().is_none() {
                    self.keys.headers.learn(compact.header, place);
                }
                return Ok(candidate);
            }
            failure = reason::SIGNATURE_INVALID;
            first = false;
        }
        #[cfg(feature = "jwks")]
        if let Some(missing) = jwks::MissingKey::of(issuer, &self.keys, key_id, failure) {
            return Err(Failure::NoKey(missing));
        }
        #[cfg(feature = "jwks")]
        jwks::suspect(issuer, &self.keys);
        #[cfg(not(feature = "jwks"))]
        let _ = issuer;
        Err(invalid(failure).into())
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
        let confirmation = Confirmation::from_json(json.get()).map_err(|error| {
            observe::claim_rejected("cnf", &error);
            invalid(reason::CLAIMS_MALFORMED).with_source(error)
        })?;
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
            .field("issuers", &self.rules.issuers.load().names())
            .field("leeway", &self.rules.times.leeway)
            .finish_non_exhaustive()
    }
}
