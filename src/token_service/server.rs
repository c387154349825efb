//! [`AuthorizationServer`]: what all endpoints share, and how it is configured.

use std::{fmt, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use http::request::Parts;

use super::{
    answer::{Refusal, Voice},
    claims::{ExtraClaims, ExtraClaimsFn},
    client::{ClientStore, authentication::Authenticator},
    endpoint::{Endpoint, TokenService},
    grant::Grant,
    keys::{ServeKeySet, SigningKeys},
    lifetime,
    limit::FailureLimit,
    metadata::{ServeMetadata, absolute},
    refresh::{InMemoryRefreshStore, RefreshStore},
};
use crate::{
    clock::{Clock, SystemClock},
    error::ConfigError,
    reject::ProblemJson,
    revocation::Revocation,
    store::StoreError,
};

/// Issues what the rest of the crate verifies: access tokens of RFC 9068 for clients that authenticate, and refresh
/// tokens that are rotated.
///
/// It is not itself a service; its endpoints are, each a [`TokenService`] to be put where it belongs:
///
/// ```
/// use axum::Router;
/// use tower_bearer::token_service::{AuthorizationServer, Client, InMemoryClients, SecretHash, SigningKeys};
///
/// let (secret, hash) = SecretHash::generate()?;
/// let clients = InMemoryClients::new([
///     Client::builder("svc").secret(hash).scope("read write").build()?,
/// ])?;
/// let server = AuthorizationServer::builder()
///     .issuer("https://login.example.com")
///     .audience("https://api.example.com")
///     .signing_keys(SigningKeys::generate()?)
///     .clients(clients)
///     // From axum's `into_make_service_with_connect_info::<SocketAddr>()`.
///     .peer(|request| {
///         let axum::extract::ConnectInfo(address): &axum::extract::ConnectInfo<std::net::SocketAddr> =
///             request.extensions.get()?;
///         Some(address.ip())
///     })
///     .build()?;
///
/// let app: Router = Router::new()
///     .route_service("/api/v2/auth/token", server.token_endpoint())
///     .route_service("/api/v2/auth/refresh", server.refresh_endpoint())
///     .route_service("/oauth/token", server.oauth_endpoint())
///     .route_service("/.well-known/jwks.json", server.key_set());
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// # What is refused
/// | what went wrong | answer |
/// |---|---|
/// | the client is unknown, or its secret wrong | 401 `invalid_client`, `Invalid client credentials`: the same for both, in the same time |
/// | a refresh token is unknown, expired, rotated already, or another client's | 401 `invalid_grant`, `Invalid or expired refresh token`: the same for all; 400 where RFC 6749 is kept to |
/// | a parameter is missing or repeated, a grant type or scope unknown, two ways to authenticate | 400, with the `error` of RFC 6749 §5.2 |
/// | another method, media type, a body over 16 KiB or too slow | 405, 415, 413, 408 |
/// | too many failed authentications | 429 with `Retry-After` |
/// | a store cannot be reached | 503 with `Retry-After`; a refresh token is good as before, unless its rotation was under way |
///
/// All of them are problems of RFC 9457 with `error` and `error_description` as further members, so that both
/// readers of problems and OAuth clients find what they look for. They have the media type
/// `application/problem+json`, or `application/json` where the request accepts that alone, and always where RFC 6749
/// is kept to.
#[derive(Clone)]
pub struct AuthorizationServer(Arc<Server>);

impl AuthorizationServer {
    /// Begins a server. It needs an issuer, an audience, keys, clients, and to know who its peers are.
    pub fn builder() -> AuthorizationServerBuilder {
        AuthorizationServerBuilder::new()
    }

    /// The endpoint where clients get their first tokens: `grant_type=client_credentials`, with `client_id`,
    /// `client_secret`, and perhaps `scope` and `resource` (RFC 8707), in a form or in JSON. HTTP Basic will do as
    /// well. It answers with an access token and a refresh token.
    pub fn token_endpoint(&self) -> TokenService {
        TokenService::new(&self.0, Endpoint::Token)
    }

    /// The endpoint where a `refresh_token` is exchanged for new tokens, in a form or in JSON. The one sent stops
    /// working at once. The client need not authenticate; if it does, it must be the one that the token is of.
    pub fn refresh_endpoint(&self) -> TokenService {
        let endpoint = Endpoint::Refresh {
            status_of_rfc: false,
        };
        TokenService::new(&self.0, endpoint)
    }

    /// The token endpoint of RFC 6749 to the letter, for both grants: forms alone, clients always authenticate,
    /// every answer is `application/json`, a bad refresh token 400 `invalid_grant`, and client credentials give no
    /// refresh token (§4.4.3).
    pub fn oauth_endpoint(&self) -> TokenService {
        TokenService::new(&self.0, Endpoint::OAuth)
    }

    /// The revocation endpoint of RFC 7009: a client ends the family of one of its refresh tokens, or, where there is
    /// a [`Revocation`], one of its access tokens. A token that is unknown, or no longer good, is answered 200 too.
    pub fn revocation_endpoint(&self) -> TokenService {
        TokenService::new(&self.0, Endpoint::Revocation)
    }

    /// Publishes the keys.
    pub fn key_set(&self) -> ServeKeySet {
        ServeKeySet::new(self.0.keys.clone())
    }

    /// Publishes what clients can know of this server (RFC 8414), once it is told where its endpoints are.
    pub fn metadata(&self) -> ServeMetadata {
        ServeMetadata::new(&self.0.settings.issuer)
    }

    /// Ends all families of refresh tokens of a client, and says how many there were. Its access tokens are good
    /// until they expire, or are revoked by [`Revocation::revoke_client`].
    ///
    /// # Errors
    /// If the store cannot be reached; some may have ended then.
    pub async fn end_families(&self, client_id: &str) -> Result<usize, StoreError> {
        let store = &self.0.refresh_tokens;
        let mut ended = 0_usize;
        for family in store.of_client(client_id).await? {
            ended = ended.saturating_add(usize::from(store.end(family.id()).await?));
        }
        Ok(ended)
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthorizationServer").field(&self.0).finish()
    }
}

/// What the endpoints share.
pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) keys: SigningKeys,
    pub(super) clients: Authenticator,
    pub(super) refresh_tokens: Arc<dyn RefreshStore>,
    pub(super) revocation: Option<Arc<dyn Revocation>>,
    pub(super) voice: Voice,
    pub(super) peer: Arc<PeerFn>,
    pub(super) extra_claims: Option<Arc<ExtraClaimsFn>>,
    pub(super) clock: Arc<dyn Clock>,
}

type PeerFn = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

/// What of it is configured by numbers and names.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) access_token_lifetime: Duration,
    pub(super) refresh_token_idle_lifetime: Duration,
    pub(super) refresh_token_lifetime: Duration,
    pub(super) grace: Duration,
    pub(super) body_timeout: Duration,
    pub(super) store_timeout: Duration,
}

impl Server {
    /// What a store says, within the time that it has.
    pub(super) async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Refusal> {
        match tokio::time::timeout(self.settings.store_timeout, asked).await {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(_) => Err(StoreError::new("a store did not answer in time").into()),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("settings", &self.settings)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Builds an [`AuthorizationServer`].
#[must_use]
pub struct AuthorizationServerBuilder {
    settings: Settings,
    keys: Option<SigningKeys>,
    clients: Option<Arc<dyn ClientStore>>,
    refresh_tokens: Option<Arc<dyn RefreshStore>>,
    revocation: Option<Arc<dyn Revocation>>,
    problems: ProblemJson,
    realm: String,
    peer: Option<Arc<PeerFn>>,
    failures: Option<(u32, u32)>,
    extra_claims: Option<Arc<ExtraClaimsFn>>,
    clock: Arc<dyn Clock>,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl AuthorizationServerBuilder {
    fn new() -> Self {
        Self {
            settings: Settings {
                issuer: String::new(),
                audiences: Vec::new(),
                access_token_lifetime: 15 * MINUTE,
                refresh_token_idle_lifetime: 14 * DAY,
                refresh_token_lifetime: 90 * DAY,
                grace: Duration::ZERO,
                body_timeout: Duration::from_secs(10),
                store_timeout: Duration::from_secs(5),
            },
            keys: None,
            clients: None,
            refresh_tokens: None,
            revocation: None,
            problems: ProblemJson::new(),
            realm: "api".to_owned(),
            peer: None,
            failures: Some((10, 60)),
            extra_claims: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets who issues: the `iss` of the tokens, and the `issuer` of the metadata. A URL (RFC 8414 §2).
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.settings.issuer = issuer.into();
        self
    }

    /// Sets whom the tokens of clients without audiences of their own are meant for: their `aud`. May be called more
    /// than once; tokens then are for all of them, unless a request chooses by `resource` (RFC 8707).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.settings.audiences.push(audience.into());
        self
    }

    /// Sets the keys that access tokens are signed with.
    pub fn signing_keys(mut self, keys: SigningKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets where clients are kept.
    pub fn clients(mut self, store: impl ClientStore) -> Self {
        self.clients = Some(Arc::new(store));
        self
    }

    /// Sets where refresh tokens are kept. The default is in memory, for one process.
    pub fn refresh_tokens(mut self, store: impl RefreshStore) -> Self {
        self.refresh_tokens = Some(Arc::new(store));
        self
    }

    /// Sets where revoked access tokens are kept, for the
    /// [`revocation_endpoint`](AuthorizationServer::revocation_endpoint). Services refuse them by a
    /// [`RevocationList`](crate::RevocationList). Without one, access tokens cannot be revoked.
    pub fn revocation(mut self, revocation: impl Revocation) -> Self {
        self.revocation = Some(Arc::new(revocation));
        self
    }

    /// Sets how long access tokens are good, in whole seconds, 24 hours at most. The default is 15 minutes: what was
    /// withdrawn is used no longer than that by services without a list of revocations.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.access_token_lifetime = lifetime;
        self
    }

    /// Sets after how long without use refresh tokens expire, in whole seconds, a year at most. The default is 14
    /// days: a client that was away for a holiday need not authenticate anew.
    pub fn refresh_token_idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_token_idle_lifetime = lifetime;
        self
    }

    /// Sets after how long refresh tokens expire however often they are rotated, in whole seconds, a year at most. The
    /// default is 90 days.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_token_lifetime = lifetime;
        self
    }

    /// Sets for how long a refresh token that was rotated may be presented again, and gets the same successor once
    /// more: for clients whose connection broke before they had the answer. In whole seconds, 60 at most. The
    /// default is 0, which is never: for so long a thief could use a token unnoticed.
    pub fn refresh_token_grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Sets `type` base, trace ids and so on of the problems. The default is that of [`ProblemJson::new`].
    pub fn problems(mut self, problems: ProblemJson) -> Self {
        self.problems = problems;
        self
    }

    /// Sets the realm of the challenges (RFC 9110 §11.5). The default is `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Sets from which address a request comes, so that failures of one peer do not stand in the way of others. Behind
    /// a proxy that is the address that the proxy says, in a header that nobody else can set. Those for whom the
    /// function gives `None` are one peer together.
    pub fn peer<F>(mut self, f: F) -> Self
    where
        F: Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    {
        self.peer = Some(Arc::new(f));
        self
    }

    /// Sets how many authentications of clients may fail in a minute: from one peer for one client, and from one peer
    /// in all. More are answered 429, until there is room again. The default is 10 and 60, far from what a client
    /// with an old secret does by mistake, and too few to guess a secret.
    pub fn failures_a_minute(mut self, per_client: u32, per_peer: u32) -> Self {
        self.failures = Some((per_client, per_peer));
        self
    }

    /// Lets authentications fail without a limit: where something in front of this server sees to it.
    pub fn unlimited_failures(mut self) -> Self {
        self.failures = None;
        self
    }

    /// Adds claims of one's own to access tokens.
    ///
    /// ```
    /// use tower_bearer::token_service::AuthorizationServer;
    ///
    /// let server = AuthorizationServer::builder().extra_claims(|grant, claims| {
    ///     claims.set("tenant", grant.client_id().split('-').next());
    /// });
    /// ```
    pub fn extra_claims<F>(mut self, f: F) -> Self
    where
        F: Fn(&Grant, &mut ExtraClaims) + Send + Sync + 'static,
    {
        self.extra_claims = Some(Arc::new(f));
        self
    }

    /// Sets within which time the body of a request must have come. The default is 10 seconds.
    pub fn body_timeout(mut self, time: Duration) -> Self {
        self.settings.body_timeout = time;
        self
    }

    /// Sets how long a store may take for one operation. The default is 5 seconds.
    pub fn store_timeout(mut self, time: Duration) -> Self {
        self.settings.store_timeout = time;
        self
    }

    /// Sets the clock by which tokens are issued. The default is that of the system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The server.
    ///
    /// # Errors
    /// If there is no issuer, audience, key or client store; if the issuer is no URL; if it is not said who the peers
    /// are, nor that failures are not limited; if a lifetime, a limit, a timeout or the realm is out of bounds.
    pub fn build(self) -> Result<AuthorizationServer, ConfigError> {
        self.check()?;
        let missing =
            |what: &str| ConfigError::new(format!("the authorization server has no {what}"));
        let keys = self
            .keys
            .ok_or_else(|| missing("keys: set them by `signing_keys`"))?;
        let clients = self
            .clients
            .ok_or_else(|| missing("clients: set them by `clients`"))?;
        keys.expect_lifetime(self.settings.access_token_lifetime);
        let limit = match self.failures {
            None => None,
            Some((per_client, per_peer)) => {
                let number = |number| {
                    NonZeroU32::new(number).ok_or(ConfigError::new(
                        "a limit of 0 failures a minute lets nobody authenticate: use 1 or more",
                    ))
                };
                let clock = Arc::clone(&self.clock);
                Some(FailureLimit::new(
                    number(per_client)?,
                    number(per_peer)?,
                    clock,
                ))
            }
        };
        let peer = match (self.peer, &limit) {
            (Some(peer), _) => peer,
            (None, None) => Arc::new(|_: &Parts| None),
            (None, Some(_)) => {
                return Err(ConfigError::new(
                    "it is not known from whom failures come, so that those of one peer would lock out all: set \
                     `peer`, or write `unlimited_failures`",
                ));
            }
        };
        let refresh_tokens = self
            .refresh_tokens
            .unwrap_or_else(|| Arc::new(InMemoryRefreshStore::with_clock(Arc::clone(&self.clock))));
        Ok(AuthorizationServer(Arc::new(Server {
            clients: Authenticator::new(clients, limit, self.settings.store_timeout),
            voice: Voice::new(self.problems, &self.realm)?,
            settings: self.settings,
            keys,
            refresh_tokens,
            revocation: self.revocation,
            peer,
            extra_claims: self.extra_claims,
            clock: self.clock,
        })))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let settings = &self.settings;
        absolute(&settings.issuer)?;
        if settings.issuer.contains('?') {
            return Err(ConfigError::new("an issuer has no query (RFC 8414 §2)"));
        }
        if settings.audiences.is_empty() || settings.audiences.iter().any(String::is_empty) {
            return Err(ConfigError::new(
                "access tokens need to say whom they are meant for (RFC 9068 §2.2): set `audience`",
            ));
        }
        lifetime::check_access_token(Some(settings.access_token_lifetime))?;
        lifetime::check_refresh_token(Some(settings.refresh_token_idle_lifetime))?;
        lifetime::check_refresh_token(Some(settings.refresh_token_lifetime))?;
        if settings.grace > MINUTE {
            return Err(ConfigError::new(
                "the grace of refresh tokens is over 60 seconds: so long a thief could use one unnoticed",
            ));
        }
        let timeouts = [settings.body_timeout, settings.store_timeout];
        if timeouts.iter().any(|time| time.is_zero() || *time > MINUTE) {
            return Err(ConfigError::new(
                "`body_timeout` and `store_timeout` must be over 0, and not over a minute",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for AuthorizationServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServerBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
