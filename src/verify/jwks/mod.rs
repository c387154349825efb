//! [`RemoteKeySet`]: the keys of an issuer, from the network, kept fresh.
//!
//! When keys are fetched is decided in `refresh`, asked for in `keeper`, and counted by `settings`; how is in
//! `fetch`, and what the headers of an answer say in `freshness`; where they are, in `discovery` and `address`;
//! what can be known of all that, in `status` and `observe`.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::error::ConfigError;

mod address;
mod discovery;
mod fetch;
mod freshness;
mod keeper;
mod observe;
mod refresh;
mod settings;
mod status;

pub(crate) use keeper::Demand;
pub use status::{KeySetError, KeySetHealth, KeySetStatus};

use address::Address;
use fetch::{Fetcher, Source};
use keeper::Keeper;
use refresh::Generation;
use settings::Settings;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The keys of an issuer, fetched from where it publishes them, and kept fresh in the background: the
/// key source of a [`JwtVerifier`](crate::JwtVerifier).
///
/// ```
/// # #[cfg(feature = "client")]
/// # fn main() -> Result<(), tower_bearer::ConfigError> {
/// use tower_bearer::{BearerAuthLayer, JwtVerifier, RemoteKeySet};
///
/// let keys = RemoteKeySet::discover("https://login.example.com").build()?;
/// let health = keys.health();
///
/// let verifier = JwtVerifier::<()>::builder()
///     .issuer("https://login.example.com")
///     .audience("https://api.example.com")
///     .remote_keys(keys)
///     .build()?;
/// let auth = BearerAuthLayer::new(verifier);
///
/// // For a health check. Asked within a runtime, it also starts the first fetch.
/// assert!(!health.status().is_ready());
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "client"))]
/// # fn main() {}
/// ```
///
/// # When keys are fetched
/// Nothing is fetched before the first token, or until [`ready`](Self::ready) or
/// [`health`](Self::health) is asked. From then on a task of its own does all the fetching, one fetch at
/// a time, whoever asks; a client that goes away does not cancel it. It ends when the last clone is
/// dropped, which the verifier holds.
///
/// | state | what happens |
/// |---|---|
/// | keys are fresh | tokens are verified without a lock and without waiting; the keys are fetched anew in the background once 80 % of their freshness are over |
/// | a token has a `kid` that is not among them | one fetch, which its request waits for, unless the last one was within the cooldown: then 401, or 503 if that one failed |
/// | a token has no `kid`, or a known one and a bad signature | 401, and no fetch |
/// | a fetch fails, while there are keys | they go on being used, until `max_stale` after their freshness; the next attempt is after the cooldown, twice that, and so on, 5 minutes at most |
/// | there are no keys, or only such that are too old | a request waits for the fetch that goes on, or gets 503 with `Retry-After`; attempts after 1, 2, 4 … 30 seconds |
///
/// What needs no key to refuse (its form, its header, `exp`, `nbf`, `iss`, `aud`) is 401 in every state.
///
/// When a key leaves the set, its [`Epoch`](crate::Epoch) ends: verdicts by it, wherever they are kept,
/// are refused from the next request on. Those by the others stay.
///
/// # What is accepted
/// A JWK Set (RFC 7517 §5) of at most 256 KiB and 100 keys, answered with 200, without a content coding,
/// within the timeout. Redirects are not followed. Keys that cannot be used (an unknown `kty`, `alg` or
/// `crv`, not for signatures, RSA under 2048 bits, private, symmetric or broken ones) are left out, and
/// named in the [`status`](KeySetHealth::status). An answer without one that can be used is a failure,
/// and never takes the place of keys that are there.
#[derive(Clone)]
pub struct RemoteKeySet(Arc<Keeper>);

impl RemoteKeySet {
    /// The keys at a URL of a JWK Set: the `jwks_uri` of an issuer.
    pub fn jwks_url(url: impl Into<String>) -> RemoteKeySetBuilder {
        RemoteKeySetBuilder::new(Origin::Url(url.into()))
    }

    /// The keys at the `jwks_uri` that the metadata of an issuer names: by OpenID Connect Discovery
    /// (`/.well-known/openid-configuration` after the issuer), and, where that is answered 4xx, by
    /// RFC 8414 (`/.well-known/oauth-authorization-server` before its path). The document must be of this
    /// very issuer. It is read anew before each fetch of the keys.
    pub fn discover(issuer: impl Into<String>) -> RemoteKeySetBuilder {
        RemoteKeySetBuilder::new(Origin::Issuer(issuer.into()))
    }

    /// The keys that a function gives: a JWK Set as JSON, out of a file, a vault, another protocol. It is
    /// called as often as a URL would be fetched.
    ///
    /// ```
    /// use tower_bearer::RemoteKeySet;
    ///
    /// let keys = RemoteKeySet::from_fn(|| async {
    ///     std::fs::read_to_string("/etc/issuer/jwks.json")
    /// })
    /// .build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn from_fn<F, Fut, E>(f: F) -> RemoteKeySetBuilder
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let f = move || -> fetch::JsonFuture {
            let json = f();
            Box::pin(async move { json.await.map_err(Into::into) })
        };
        RemoteKeySetBuilder::new(Origin::Function(Arc::new(f)))
    }

    /// Fetches the keys, unless they are there, and waits for it: for a start that is to fail if the
    /// issuer cannot be reached.
    ///
    /// # Errors
    /// If the attempt fails. The set goes on trying, and this may be called again.
    pub async fn ready(&self) -> Result<(), KeySetError> {
        self.0.ready().await
    }

    /// What can be known of the keys, for health checks. It does not keep the task alive that fetches
    /// them.
    pub fn health(&self) -> KeySetHealth {
        KeySetHealth::new(&self.0)
    }

    /// Changes whenever the keys may have.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation()
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        self.0.current()
    }

    /// Says that the keys of this generation did not confirm a signature that they should have.
    pub(crate) fn suspect(&self, generation: u64) {
        self.0.suspect(generation);
    }

    /// Says that a key is missing among those of this generation.
    pub(crate) fn demand(&self, generation: u64) -> Demand {
        self.0.demand(generation)
    }

    /// What is to be said of a token that waited for a fetch to which there was no end.
    pub(crate) fn no_answer() -> crate::AuthError {
        Keeper::no_end()
    }

    /// What is to be said of a token whose key did not come; `None` if the keys say no.
    pub(crate) fn refusal(&self) -> Option<crate::AuthError> {
        self.0.refusal()
    }
}

impl fmt::Debug for RemoteKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteKeySet").field(&self.0.name()).finish()
    }
}

/// Builds a [`RemoteKeySet`].
#[must_use]
pub struct RemoteKeySetBuilder {
    origin: Origin,
    client: HttpClient,
    settings: Settings,
    insecure_http: bool,
}

/// By what a URL is fetched.
#[derive(Default)]
struct HttpClient {
    given: Option<fetch::Transport>,
    #[cfg(feature = "client-process-provider")]
    process_provider: bool,
    #[cfg(feature = "client-process-provider")]
    no_proxy: bool,
}

enum Origin {
    Url(String),
    Issuer(String),
    Function(fetch::JsonFunction),
}

impl RemoteKeySetBuilder {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            client: HttpClient::default(),
            settings: Settings::default(),
            insecure_http: false,
        }
    }

    /// Sets the HTTP client: any tower service, such as hyper-util's client or reqwest's, with whatever
    /// middleware. With the feature `client` there is one without it.
    ///
    /// The limits of time, size and content coding are the set's own, whatever the client. It should not
    /// follow redirects: that one was followed cannot be seen from here.
    pub fn client<S, B, T>(mut self, client: S) -> Self
    where
        S: Service<Request<B>, Response = Response<T>> + Clone + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Future: Send + 'static,
        B: Default + Send + 'static,
        T: Body + Send + 'static,
        T::Data: Send,
        T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.client.given = Some(fetch::transport(client));
        self
    }

    /// Fetches by the ready-made client without a proxy, whatever the environment says.
    ///
    /// By default the client honours `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (or the same in lower
    /// case) as they are when the set is built: a proxy of `http`, `https` or SOCKS 5, with user and password if
    /// they are in its URL. In a CGI script `HTTP_PROXY` is ignored, because a client could set it. `NO_PROXY` is a
    /// list of host names, each with its subdomains, of addresses and of networks; addresses of this machine go
    /// through the proxy too unless they are on it.
    ///
    /// A client of your own does as it does.
    #[cfg(feature = "client-process-provider")]
    pub fn no_proxy(mut self) -> Self {
        self.client.no_proxy = true;
        self
    }

    /// Fetches by the ready-made client with the crypto provider that the application has installed for the process
    /// (`CryptoProvider::install_default` of rustls), in place of one of its own.
    ///
    /// It takes the feature `client-process-provider` alone, which switches on no provider of rustls. The feature
    /// `client` switches one on, and where another crate has switched on another, an application that has
    /// installed none panics at `ClientConfig::builder()`.
    ///
    /// A provider must be installed before [`build`](Self::build).
    #[cfg(feature = "client-process-provider")]
    pub fn process_crypto_provider(mut self) -> Self {
        self.client.process_provider = true;
        self
    }

    /// Sets for how long keys are fresh where the answer does not say it. The default is 10 minutes, as
    /// long as with most of those who do this (Envoy, jose: 10; Spring: 5; go-jwt-middleware: 15): a key
    /// that was withdrawn is trusted no longer than that.
    ///
    /// `Cache-Control: max-age` of the answer is honoured between 1 minute, lest a careless 0 makes a
    /// flood of fetches, and 24 hours.
    pub fn fresh_for(mut self, time: Duration) -> Self {
        self.settings.fresh_for = time;
        self
    }

    /// Sets how long after an attempt no token can cause another. The default is 30 seconds, as with jose
    /// and Nimbus: so long an issuer should publish a key before it signs with it, and no flood of made-up
    /// `kid`s becomes a flood of fetches. After a failure it is a second at least.
    pub fn cooldown(mut self, time: Duration) -> Self {
        self.settings.cooldown = time;
        self
    }

    /// Sets for how long after their freshness keys are used while the issuer cannot be reached. The
    /// default is 1 hour, as with .NET: the time to mend an issuer, against the time that a withdrawn key
    /// stays in use for whoever keeps the issuer from being reached.
    pub fn max_stale(mut self, time: Duration) -> Self {
        self.settings.max_stale = time;
        self
    }

    /// Sets how long a fetch may take in all, discovery included, and so for how long a request waits for
    /// it at most. The default is 5 seconds, as with jose; of these, connecting may take 2 with the client
    /// of the feature `client`, and becoming ready with others.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.settings.timeout = time;
        self
    }

    /// Allows `http` URLs of other machines. On the way, whoever can answer in the issuer's place can
    /// issue tokens. (Those of this machine, `127.0.0.1`, `[::1]` and `localhost`, need no permission.)
    pub fn allow_insecure_http(mut self) -> Self {
        self.insecure_http = true;
        self
    }

    /// The key set. Nothing is fetched yet. Built within a tokio runtime it fetches on that; otherwise, or
    /// when that is gone, on the one from which it is asked for. The runtime must have its timers enabled,
    /// as those of `#[tokio::main]` have, and its I/O for the client of the feature `client`.
    ///
    /// # Errors
    /// If the URL is none, is not https, has user information or a fragment; if there is no client; if a
    /// duration is out of bounds: `fresh_for` and `timeout` of 0, `timeout` over a minute, others over a
    /// year.
    pub fn build(self) -> Result<RemoteKeySet, ConfigError> {
        self.settings.check()?;
        let (name, source) = match self.origin {
            Origin::Function(f) => ("function".to_owned(), Source::Function(f)),
            Origin::Url(url) => {
                let address = Address::parse(&url, self.insecure_http)?;
                // It is shown in logs, as a label and in `Debug`, where its query may be a secret (Attack 44).
                let name = crate::url::without_query(&url).to_owned();
                (name, Source::Url(address, self.client.transport()?))
            }
            Origin::Issuer(issuer) => {
                let discovery = discovery::Discovery::new(&issuer, self.insecure_http)?;
                let transport = self.client.transport()?;
                (issuer, Source::Issuer(discovery, transport))
            }
        };
        let keeper = Keeper::new(name.into(), Fetcher(source), self.settings);
        Ok(RemoteKeySet(Arc::new(keeper)))
    }
}

impl HttpClient {
    #[cfg(feature = "client-process-provider")]
    fn transport(self) -> Result<fetch::Transport, ConfigError> {
        use crate::client::{self, Proxies};

        if let Some(given) = self.given {
            return Ok(given);
        }
        let provider = match self.process_provider {
            true => client::process_provider()?,
            #[cfg(feature = "client")]
            false => client::own_provider(),
            #[cfg(not(feature = "client"))]
            false => {
                return Err(ConfigError::new(
                    "no HTTP client: set one by `client`, or have the ready-made one use the crypto provider of the \
                     process by `process_crypto_provider`, or enable the feature `client`",
                ));
            }
        };
        let proxies = match self.no_proxy {
            true => Proxies::none(),
            false => Proxies::from_env(|name| std::env::var_os(name))?,
        };
        let client = client::https(fetch::CONNECT_TIMEOUT, provider, proxies)?;
        Ok(fetch::transport(client))
    }

    #[cfg(not(feature = "client-process-provider"))]
    fn transport(self) -> Result<fetch::Transport, ConfigError> {
        self.given.ok_or(ConfigError::new(
            "no HTTP client: set one by `client`, or enable the feature `client`",
        ))
    }
}

impl fmt::Debug for RemoteKeySetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeySetBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The body that a fetched document has come in.
type Document = Bytes;
