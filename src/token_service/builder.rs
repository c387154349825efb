//! Builds an [`AuthorizationServer`], or says what is missing.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use http::request::Parts;

use super::{
    answer::Voice,
    claims::ExtraClaims,
    client::{ClientStore, InMemoryReplayStore, ReplayStore, authentication::Authenticator},
    event::TokenEvent,
    grant::Grant,
    hooks::{ExtraClaimsAsyncFn, ExtraClaimsFn, MayRefreshFn, RefreshDecision},
    keys::SigningKeys,
    lifetime,
    limit::{FailureLimit, Limits, RequestLimit},
    metadata::absolute,
    observe::ObserverFn,
    refresh::{InMemoryRefreshStore, RefreshStore},
    server::{AuthorizationServer, PeerFn, Server, Settings},
    unsettled::Unsettled,
};
use crate::{
    clock::{Clock, SystemClock},
    error::ConfigError,
    reject::ProblemJson,
    revocation::Revocation,
    store::StoreError,
    verify::jwt::check_name,
};

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
    failure_limit: Option<FailureLimit>,
    extra_claims: Option<Arc<ExtraClaimsFn>>,
    extra_claims_async: Option<Arc<ExtraClaimsAsyncFn>>,
    may_refresh: Option<Arc<MayRefreshFn>>,
    observer: Option<Arc<ObserverFn>>,
    assertion_audiences: Vec<String>,
    assertions: Option<Arc<dyn ReplayStore>>,
    introspection_limit: u32,
    clock: Arc<dyn Clock>,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl AuthorizationServerBuilder {
    pub(super) fn new() -> Self {
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
                client_ids_as_subjects: false,
                revoke_at_rotation: false,
            },
            keys: None,
            clients: None,
            refresh_tokens: None,
            revocation: None,
            problems: ProblemJson::new(),
            realm: "api".to_owned(),
            peer: None,
            failure_limit: Some(FailureLimit::default()),
            extra_claims: None,
            extra_claims_async: None,
            may_refresh: None,
            observer: None,
            assertion_audiences: Vec::new(),
            assertions: None,
            introspection_limit: 6000,
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

    /// Sets the keys that access tokens are signed with. They should outlive the process: see [`SigningKeys`].
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
    /// default is 0, which is never: for so long a thief could use a token unnoticed. If it was the store that did not
    /// answer, or the client went away before it did, the next attempt at this process succeeds without a grace.
    pub fn refresh_token_grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Revokes the earlier access tokens of a family at each refresh, so that each session has one access token that
    /// works. It needs a [`revocation`](Self::revocation). The default is that they work until they expire, because
    /// requests may be under way with them.
    pub fn revoke_access_tokens_at_refresh(mut self) -> Self {
        self.settings.revoke_at_rotation = true;
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

    /// Sets how many authentications of clients may fail in a minute. More are answered 429, until there is room
    /// again. See [`FailureLimit`] for the defaults, and for who is never held up.
    pub fn failure_limit(mut self, limit: FailureLimit) -> Self {
        self.failure_limit = Some(limit);
        self
    }

    /// Lets authentications fail without a limit, where something in front of this server limits them.
    pub fn unlimited_failures(mut self) -> Self {
        self.failure_limit = None;
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

    /// Adds claims that have to be looked up. The function gets the grant, and the claims that
    /// [`extra_claims`](Self::extra_claims) has set; what it returns is written to the token.
    ///
    /// It has the [`store_timeout`](Self::store_timeout). If it fails or takes longer, the request is answered 503, and
    /// a refresh token is good as before.
    ///
    /// ```
    /// use tower_bearer::{StoreError, token_service::AuthorizationServer};
    ///
    /// # async fn roles_of(_: &str) -> std::io::Result<Vec<String>> { Ok(Vec::new()) }
    /// let server = AuthorizationServer::builder().extra_claims_async(async |grant, mut claims| {
    ///     claims.set("roles", roles_of(grant.subject()).await.map_err(StoreError::new)?);
    ///     Ok(claims)
    /// });
    /// ```
    pub fn extra_claims_async<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(Grant, ExtraClaims) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ExtraClaims, StoreError>> + Send + 'static,
    {
        self.extra_claims_async = Some(Arc::new(move |grant, claims| Box::pin(f(grant, claims))));
        self
    }

    /// Sets a function that is asked at each refresh, before the token is rotated: whether the account is still there,
    /// with which scopes, and with which session data. The default is that nobody is asked.
    ///
    /// It has the [`store_timeout`](Self::store_timeout). If it fails or takes longer, the request is answered 503, and
    /// the refresh token is good as before.
    ///
    /// ```
    /// use tower_bearer::{StoreError, token_service::{AuthorizationServer, RefreshDecision}};
    ///
    /// # struct Account { is_locked: bool, scopes: Vec<String> }
    /// # async fn account(_: &str) -> std::io::Result<Option<Account>> { Ok(None) }
    /// let server = AuthorizationServer::builder().may_refresh(async |grant| {
    ///     let account = account(grant.subject()).await.map_err(StoreError::new)?;
    ///     Ok(match account {
    ///         None => RefreshDecision::end(),
    ///         Some(account) if account.is_locked => RefreshDecision::deny(),
    ///         Some(account) => {
    ///             let scopes = account.scopes.iter().map(String::as_str);
    ///             RefreshDecision::allow(grant.with_scopes(scopes))
    ///         }
    ///     })
    /// });
    /// ```
    pub fn may_refresh<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(Grant) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<RefreshDecision, StoreError>> + Send + 'static,
    {
        self.may_refresh = Some(Arc::new(move |grant| Box::pin(f(grant))));
        self
    }

    /// Adds whom the assertions of clients that have [keys](super::ClientBuilder::jwks) may be for, beside the issuer.
    /// Many clients write the URL of the token endpoint; newer ones the issuer, which is safer where a client has
    /// several servers.
    pub fn client_assertion_audience(mut self, url: impl Into<String>) -> Self {
        self.assertion_audiences.push(url.into());
        self
    }

    /// Sets where it is remembered which client assertions have been used. The default is in memory, for one process.
    pub fn client_assertions(mut self, store: impl ReplayStore) -> Self {
        self.assertions = Some(Arc::new(store));
        self
    }

    /// Sets how often a client may ask the
    /// [`introspection_endpoint`](AuthorizationServer::introspection_endpoint) in a minute. More is answered 429. The
    /// default is 6000, which is 100 a second: enough for a service behind a cache, and too little for scanning tokens
    /// (RFC 7662 §4).
    pub fn introspection_limit(mut self, a_minute: u32) -> Self {
        self.introspection_limit = a_minute;
        self
    }

    /// Sets a function that is told what happens to tokens, such as for an audit log. It is called on the task of the
    /// request, so it must not block: hand on what takes time.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use tower_bearer::token_service::{AuthorizationServer, TokenEventKind};
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let server = AuthorizationServer::builder().observer(move |event| {
    ///     if event.kind == TokenEventKind::Reused {
    ///         let subject = event.subject.unwrap_or_default();
    ///         sender.send(format!("a token of {subject:?} may be stolen")).ok();
    ///     }
    /// });
    /// ```
    ///
    /// The same is told to `tracing` and counted by `metrics`, see [`observability`](crate::observability).
    pub fn observer<F>(mut self, f: F) -> Self
    where
        F: Fn(&TokenEvent<'_>) + Send + Sync + 'static,
    {
        self.observer = Some(Arc::new(f));
        self
    }

    /// Sets within which time the body of a request must have come. The default is 10 seconds.
    pub fn body_timeout(mut self, time: Duration) -> Self {
        self.settings.body_timeout = time;
        self
    }

    /// Sets how long a store or a [`Signer`](super::Signer) may take for one operation. The default is 5 seconds.
    pub fn store_timeout(mut self, time: Duration) -> Self {
        self.settings.store_timeout = time;
        self
    }

    /// Lets [`issue`](AuthorizationServer::issue) write tokens for users whose `sub` is the id of a client. It rejects
    /// them by default: a service that tells clients by their `sub` would take the user for the client
    /// (RFC 9700 §4.15). Use this only where every service looks at `client_id` as well.
    pub fn allow_client_ids_as_subjects(mut self) -> Self {
        self.settings.client_ids_as_subjects = true;
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
        keys.expect_lifetime(self.settings.access_token_lifetime)?;
        let limits = match self.failure_limit {
            None => None,
            Some(limit) => Some(Limits::new(limit, Arc::clone(&self.clock))?),
        };
        let peer = match (self.peer, &limits) {
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
        let assertions = self
            .assertions
            .unwrap_or_else(|| Arc::new(InMemoryReplayStore::with_clock(Arc::clone(&self.clock))));
        let introspections = RequestLimit::new(self.introspection_limit, Arc::clone(&self.clock))?;
        let mut assertion_audiences = self.assertion_audiences;
        assertion_audiences.push(self.settings.issuer.clone());
        Ok(AuthorizationServer(Arc::new(Server {
            clients: Authenticator::new(clients, limits, self.settings.store_timeout)?,
            voice: Voice::new(self.problems, &self.realm)?,
            settings: self.settings,
            keys,
            refresh_tokens,
            unsettled: Unsettled::new(),
            revocation: self.revocation,
            peer,
            extra_claims: self.extra_claims,
            extra_claims_async: self.extra_claims_async,
            may_refresh: self.may_refresh,
            observer: self.observer,
            assertion_audiences,
            assertions,
            introspections,
            clock: self.clock,
        })))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let settings = &self.settings;
        check_name("issuer", &settings.issuer)?;
        absolute(&settings.issuer)?;
        if settings.issuer.contains('?') {
            return Err(ConfigError::new("an issuer has no query (RFC 8414 §2)"));
        }
        if settings.audiences.is_empty() || settings.audiences.iter().any(String::is_empty) {
            return Err(ConfigError::new(
                "access tokens need to say whom they are meant for (RFC 9068 §2.2): set `audience`",
            ));
        }
        let mut audiences = settings.audiences.iter().chain(&self.assertion_audiences);
        audiences.try_for_each(|audience| check_name("audience", audience))?;
        lifetime::check_access_token(Some(settings.access_token_lifetime))?;
        lifetime::check_refresh_token(Some(settings.refresh_token_idle_lifetime))?;
        lifetime::check_refresh_token(Some(settings.refresh_token_lifetime))?;
        if settings.grace > MINUTE {
            return Err(ConfigError::new(
                "the grace of refresh tokens is over 60 seconds: so long a thief could use one unnoticed",
            ));
        }
        if settings.revoke_at_rotation && self.revocation.is_none() {
            return Err(ConfigError::new(
                "`revoke_access_tokens_at_refresh` has nothing to revoke them by: set `revocation`, or leave it out",
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
