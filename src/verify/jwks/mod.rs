//! [`RemoteKeySet`]: the keys of an issuer, from the network, kept fresh.
//!
//! When keys are fetched is decided in `refresh`, asked for in `keeper`, and counted by
//! `settings`; how is in `fetch`, and what the headers of an answer say in `freshness`; where they
//! are, in `discovery` and `address`; what can be known of all that, in `status` and `observe`.

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
/// Nothing is fetched before the first token arrives, or [`ready`](Self::ready) or
/// [`health`](Self::health) is called. From then on a background task does all the fetching, one
/// fetch at a time; a client that disconnects does not cancel a fetch. The task ends when the last
/// clone of the set is dropped. The verifier holds one.
///
/// | state | what happens |
/// |---|---|
/// | the keys are fresh | Tokens are verified without a lock and without waiting. The keys are fetched anew in the background after 75 to 85 % of their freshness. |
/// | a token has a `kid` that is not in the set | One fetch, which its request waits for. Within the cooldown of the last attempt there is none: 401, or 503 if that attempt failed. |
/// | the signature of a token is bad, or no key fits it, and it has a known `kid` or none | 401 at once. If no attempt was made within the cooldown, a fetch starts in the background, so that an issuer that replaces a key under its old `kid`, or uses none, is accepted again after one cooldown. No request waits for it. |
/// | a fetch fails, while there are keys | The keys stay in use until `max_stale` after the end of their freshness. The next attempts follow after the cooldown, twice that, and so on, up to 5 minutes. |
/// | there are no keys, or they are too old | Requests wait for the fetch in progress, or get 503 with `Retry-After`. The next attempts follow after 1, 2, 4 … 30 seconds. |
///
/// Unknown keys and bad signatures share one budget: however many such tokens arrive, and in
/// whatever mixture, they cause at most one fetch per cooldown, or per step of the back-off while
/// fetches fail. Tokens of known keys never wait. A token that fails for another reason (its form,
/// its header, `exp`, `nbf`, `iss`, `aud`) gets 401 in every state and causes no fetch.
///
/// When a key leaves the set, its [`Epoch`](crate::Epoch) ends: verdicts that rest on it are
/// rejected from the next request on, in caches too. Verdicts that rest on other keys stay valid.
///
/// # What is accepted
/// A JWK Set (RFC 7517 §5) of at most 256 KiB and 100 keys, in a response of status 200 without a
/// content coding, within the timeout. Redirects are not followed. Keys that cannot be used (an
/// unknown `kty`, `alg` or `crv`, not for signatures, RSA under 2048 bits, private, symmetric or
/// broken) are left out and named in the [`status`](KeySetHealth::status). A response without any
/// usable key is a failure, and never replaces keys that are there.
///
/// # What is a setting and what is fixed
/// [`fresh_for`](RemoteKeySetBuilder::fresh_for), [`cooldown`](RemoteKeySetBuilder::cooldown),
/// [`max_stale`](RemoteKeySetBuilder::max_stale) and [`timeout`](RemoteKeySetBuilder::timeout) are
/// settings, each with its default and the reason for it. Fixed are the 256 KiB and 100 keys, the
/// bounds of `max-age` (1 minute and 24 hours), the longest back-off (5 minutes with keys, 30
/// seconds without), and the 2 seconds for a connection.
///
/// # URLs
/// A URL must be a URI of RFC 3986 with a host and a port from 1 to 65535, of `https` unless it is
/// of this machine, without user information and fragment; so must a `jwks_uri` that is found by
/// discovery. Logs, metrics, errors and `Debug` show it without its query, which may hold a
/// secret.
///
/// # The ready-made client
/// With the feature `client` no HTTP client need be set. The ready-made one verifies certificates
/// by the roots of the platform, honours the proxy variables of the environment (see
#[cfg_attr(
    feature = "client-process-provider",
    doc = "[`no_proxy`](RemoteKeySetBuilder::no_proxy)),"
)]
#[cfg_attr(
    not(feature = "client-process-provider"),
    doc = "`RemoteKeySetBuilder::no_proxy`),"
)]
/// and keeps no connections.
///
/// It brings a crypto provider of rustls: aws-lc-rs, or ring where `rust-crypto` is the only
/// backend. Features of rustls are shared by the whole application. If another crate enables the
/// other provider, rustls cannot choose, and `ClientConfig::builder()` in the application panics
/// unless a provider was installed by `CryptoProvider::install_default`. The feature
/// `client-process-provider` avoids this: it has the same client, by
#[cfg_attr(
    feature = "client-process-provider",
    doc = "[`process_crypto_provider`](RemoteKeySetBuilder::process_crypto_provider),"
)]
#[cfg_attr(
    not(feature = "client-process-provider"),
    doc = "`RemoteKeySetBuilder::process_crypto_provider`,"
)]
/// on the provider that the application has installed, and enables none.
#[derive(Clone)]
pub struct RemoteKeySet(Arc<Keeper>);

impl RemoteKeySet {
    /// Takes the keys from a URL of a JWK Set: the `jwks_uri` of an issuer.
    pub fn jwks_url(url: impl Into<String>) -> RemoteKeySetBuilder {
        RemoteKeySetBuilder::new(Origin::Url(url.into()))
    }

    /// Takes the keys from the `jwks_uri` that the metadata of an issuer names: by OpenID Connect
    /// Discovery (`/.well-known/openid-configuration` after the issuer), and, where the answer is
    /// 4xx, by RFC 8414 (`/.well-known/oauth-authorization-server` before its path). The document
    /// must name this very issuer. It is read anew before each fetch of the keys.
    pub fn discover(issuer: impl Into<String>) -> RemoteKeySetBuilder {
        RemoteKeySetBuilder::new(Origin::Issuer(issuer.into()))
    }

    /// Takes the keys from a function that returns a JWK Set as JSON: out of a file, a vault, or
    /// by another protocol. It is called as often as a URL would be fetched.
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

    /// Waits until the keys are there, or until an attempt to fetch them has failed. A service
    /// that must not start without keys calls it first.
    ///
    /// # Errors
    /// Returns the error of the attempt. The set keeps trying, and this may be called again.
    pub async fn ready(&self) -> Result<(), KeySetError> {
        self.0.ready().await
    }

    /// Returns a handle that tells the state of the keys, for health checks. The handle does not
    /// keep the background task alive.
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

    /// Sets the HTTP client: any tower service, such as hyper-util's client or reqwest's, with
    /// whatever middleware. With the feature `client` there is a ready-made one.
    ///
    /// The limits of time, size and content coding hold with any client. The client must not
    /// follow redirects itself, because the set could not see that it did.
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
    /// By default the client honours `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (or
    /// the same in lower case) as they are when the set is built: a proxy of `http`, `https` or
    /// SOCKS 5, with user and password if they are in its URL. In a CGI script `HTTP_PROXY` is
    /// ignored, because a client could set it. `NO_PROXY` is a list of host names, each with its
    /// subdomains, of addresses and of networks; addresses of this machine go through the proxy
    /// too unless they are on it.
    ///
    /// A client of your own does as it does.
    #[cfg(feature = "client-process-provider")]
    pub fn no_proxy(mut self) -> Self {
        self.client.no_proxy = true;
        self
    }

    /// Fetches by the ready-made client with the crypto provider that the application has
    /// installed for the process (`CryptoProvider::install_default` of rustls), in place of one of
    /// its own.
    ///
    /// It takes the feature `client-process-provider` alone, which switches on no provider of
    /// rustls. The feature `client` switches one on, and where another crate has switched on
    /// another, an application that has installed none panics at `ClientConfig::builder()`.
    ///
    /// A provider must be installed before [`build`](Self::build).
    #[cfg(feature = "client-process-provider")]
    pub fn process_crypto_provider(mut self) -> Self {
        self.client.process_provider = true;
        self
    }

    /// Sets how long keys are fresh if the response does not say it. The default is 10 minutes, as
    /// in Envoy and jose (Spring has 5, go-jwt-middleware 15): a withdrawn key is trusted no
    /// longer than that.
    ///
    /// `Cache-Control: max-age` of the response is honoured (RFC 9111 §4.2.1), but not below 1
    /// minute, so that a careless 0 causes no flood of fetches, and not above 24 hours. An invalid
    /// `max-age`, `no-store` and `no-cache` count as 0.
    pub fn fresh_for(mut self, time: Duration) -> Self {
        self.settings.fresh_for = time;
        self
    }

    /// Sets how long after an attempt no token can cause another one. The default is 30 seconds,
    /// as in jose and Nimbus. An issuer should publish a key at least this long before it signs
    /// with it. After a failed attempt the cooldown is at least 1 second.
    pub fn cooldown(mut self, time: Duration) -> Self {
        self.settings.cooldown = time;
        self
    }

    /// Sets how long keys stay in use after their freshness while the issuer cannot be reached.
    /// The default is 1 hour, as in .NET. A longer time bridges longer outages of the issuer; it
    /// is also how long somebody who keeps the issuer from being reached can keep a withdrawn key
    /// in use.
    pub fn max_stale(mut self, time: Duration) -> Self {
        self.settings.max_stale = time;
        self
    }

    /// Sets how long a fetch may take in all, discovery included. A request waits for a fetch no
    /// longer than this. The default is 5 seconds, as in jose. Of these, 2 may pass until the
    /// connection stands with the ready-made client, or until a client of your own is ready.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.settings.timeout = time;
        self
    }

    /// Allows `http` URLs of other machines. Anybody on the way who can answer in the issuer's
    /// place can then issue tokens. (URLs of this machine, `127.0.0.1`, `[::1]` and `localhost`,
    /// are always allowed.)
    pub fn allow_insecure_http(mut self) -> Self {
        self.insecure_http = true;
        self
    }

    /// Builds the key set. Nothing is fetched yet.
    ///
    /// A set that is built within a tokio runtime fetches on that runtime; otherwise, or when that
    /// runtime is gone, it fetches on the runtime of the caller that needs the keys. The runtime
    /// must have its timers enabled, as that of `#[tokio::main]` has, and its I/O for the
    /// ready-made client.
    ///
    /// # Errors
    /// Returns an error if the URL is not valid, is not `https`, or has user information or a
    /// fragment; if there is no HTTP client; if a proxy variable of the environment is not the URL
    /// of a proxy; or if a duration is out of bounds: `fresh_for` and `timeout` of 0, `timeout`
    /// over a minute, others over a year.
    pub fn build(self) -> Result<RemoteKeySet, ConfigError> {
        self.settings.check()?;
        let (name, source) = match self.origin {
            Origin::Function(f) => ("function".to_owned(), Source::Function(f)),
            Origin::Url(url) => {
                let address = Address::parse(&url, self.insecure_http)?;
                // It is shown in logs, as a label and in `Debug`, where its query may be a secret
                // (Attack 44).
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
                    "no HTTP client: set one by `client`, or have the ready-made one use the \
                     crypto provider of the process by `process_crypto_provider`, or enable the \
                     feature `client`",
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
