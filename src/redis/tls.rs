//! [`RedisTls`]: whom TLS to Redis trusts; and connections by it, with a crypto provider that is named.
//!
//! The TLS of the Redis client takes the crypto provider of the process, and panics where there is a choice. So
//! connections are made here, and the client is given the stream.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::Connect,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::time::timeout;
use tower_service::Service;

use super::connection::{Live, cluster_client};
use crate::{client, error::ConfigError};

/// Whom TLS to Redis trusts, and the certificate of this client.
///
/// ```no_run
/// use tower_bearer::{RedisConfig, RedisRevocation, RedisTls};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = RedisTls::new()
///     .ca_pem(std::fs::read("redis-ca.pem")?)?
///     .client_certificate_pem(std::fs::read("client.pem")?, std::fs::read("client-key.pem")?)?;
/// let config = RedisConfig::server("rediss://redis.internal:6379")?.tls(tls);
/// let revoked = RedisRevocation::with_config(config)?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct RedisTls {
    roots: Vec<CertificateDer<'static>>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    process_provider: bool,
}

impl RedisTls {
    /// The roots of the platform, and no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the CA certificates in a PEM file, and the roots of the platform no longer. May be called more than once.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if the text has no certificate, or one that cannot be read.
    pub fn ca_pem(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.roots.extend(certificates(pem.as_ref())?);
        Ok(self)
    }

    /// Presents a certificate to the server (mutual TLS): the chain in PEM, the certificate of the client first, and its
    /// private key in PEM.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if one of them cannot be read.
    pub fn client_certificate_pem(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        let chain = certificates(chain.as_ref())?;
        // What is wrong with it is not repeated, for it is a private key.
        let key = PrivateKeyDer::from_pem_slice(key.as_ref()).map_err(|_| {
            ConfigError::new("the private key for TLS to Redis is not a sound `PRIVATE KEY` in PEM")
        })?;
        self.client = Some((chain, key));
        Ok(self)
    }

    /// Uses the crypto provider of rustls that the application has installed for the process, in place of that of the
    /// feature `client`. Without the feature `client` it is always used.
    #[must_use]
    pub fn process_crypto_provider(mut self) -> Self {
        self.process_provider = true;
        self
    }

    fn config(self) -> Result<ClientConfig, ConfigError> {
        #[cfg(feature = "client")]
        let provider = match self.process_provider {
            true => client::process_provider()?,
            false => client::own_provider(),
        };
        #[cfg(not(feature = "client"))]
        let provider = client::process_provider()?;
        let unusable = |error: &dyn fmt::Display| {
            ConfigError::new(format!("TLS to Redis is not possible: {error}"))
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = if self.roots.is_empty() {
            let platform = rustls_platform_verifier::Verifier::new(provider);
            let platform = platform.map_err(|error| {
                unusable(&format!(
                    "{error}: give the CA of the server by `RedisTls::ca_pem`"
                ))
            })?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(platform))
        } else {
            let mut roots = RootCertStore::empty();
            for root in self.roots {
                roots.add(root).map_err(|error| unusable(&error))?;
            }
            builder.with_root_certificates(roots)
        };
        match self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(&error)),
        }
    }
}

impl Clone for RedisTls {
    fn clone(&self) -> Self {
        let client = self.client.as_ref();
        Self {
            roots: self.roots.clone(),
            client: client.map(|(chain, key)| (chain.clone(), key.clone_key())),
            process_provider: self.process_provider,
        }
    }
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls")
            .field("roots", &self.roots.len())
            .field("client_certificate", &self.client.is_some())
            .finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(ConfigError::new(
            "there is no `CERTIFICATE` in the PEM for TLS to Redis",
        )),
        Err(error) => Err(ConfigError::new(format!(
            "the certificates for TLS to Redis cannot be read: {error}"
        ))),
    }
}

/// How TLS is spoken. Clones are the same.
#[derive(Clone)]
pub(super) struct Tls(Arc<Spoken>);

struct Spoken {
    number: u64,
    connector: HttpsConnector<HttpConnector>,
}

impl Tls {
    pub(super) fn new(settings: RedisTls) -> Result<Self, ConfigError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let mut tcp = HttpConnector::new();
        // Commands are short, and wait for their answers.
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let spoken = Arc::new(Spoken {
            number: MADE.fetch_add(1, Ordering::Relaxed),
            connector: HttpsConnector::from((tcp, Arc::new(settings.config()?))),
        });
        known().insert(spoken.number, Arc::downgrade(&spoken));
        Ok(Self(spoken))
    }

    /// Connects to a single server.
    pub(super) async fn server(
        &self,
        server: &ConnectionInfo,
        within: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        // The whole of a call has a deadline, and each of its answers none.
        let settings = AsyncConnectionConfig::new().set_response_timeout(None);
        self.connect(server, settings, within).await
    }

    async fn connect(
        &self,
        server: &ConnectionInfo,
        settings: AsyncConnectionConfig,
        within: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        let connected = timeout(within, self.connect_at_leisure(server, settings)).await;
        connected.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS connection in time").into())
        })
    }

    async fn connect_at_leisure(
        &self,
        server: &ConnectionInfo,
        settings: AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let ConnectionAddr::Tcp(host, port) = server.addr() else {
            return Err(misused("TLS to an address that is not of TCP"));
        };
        // The connector is made for HTTP, of which nothing is spoken here.
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        let uri = format!("https://{host}:{port}").parse();
        let uri: Uri = uri.map_err(|_| misused("TLS to a host that has no name"))?;
        let stream = self.0.connector.clone().call(uri).await;
        let stream = TokioIo::new(stream.map_err(io::Error::other)?);
        let login = server.redis_settings();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(login, stream, settings).await?;
        // It ends when the last clone of the connection is dropped.
        tokio::spawn(driver);
        Ok(connection)
    }

    /// Connects to a cluster.
    pub(super) async fn cluster(
        &self,
        nodes: &[ConnectionInfo],
        within: Duration,
    ) -> RedisResult<Live> {
        let nodes = nodes.iter().map(|node| {
            let login = node.redis_settings().clone();
            let user = Key::of(self, within, login.username()).to_string();
            node.clone().set_redis_settings(login.set_username(user))
        });
        let client = cluster_client(nodes, within).build()?;
        Ok(Live::TlsCluster(
            client.get_async_generic_connection().await?,
        ))
    }
}

fn misused(what: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, what).into()
}

/// The client makes the connections to the nodes of a cluster by a type ([`Node`]), which has no place for settings, and
/// passes on nothing of ours but the login. So the name of the user has in front which settings are meant, and they
/// are found here. Nothing of that is sent to a server.
static KNOWN: LazyLock<Mutex<HashMap<u64, Weak<Spoken>>>> = LazyLock::new(Mutex::default);

fn known() -> MutexGuard<'static, HashMap<u64, Weak<Spoken>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Spoken {
    fn drop(&mut self) {
        known().remove(&self.number);
    }
}

/// What stands in front of the name of a user, and the name.
struct Key<'a> {
    number: u64,
    within: Duration,
    user: Option<&'a str>,
}

impl<'a> Key<'a> {
    fn of(tls: &Tls, within: Duration, user: Option<&'a str>) -> Self {
        Self {
            number: tls.0.number,
            within,
            user,
        }
    }

    fn parse(text: &'a str) -> Option<Self> {
        let (number, rest) = text.split_once(' ')?;
        let (millis, user) = rest.split_once(' ')?;
        Some(Self {
            number: number.parse().ok()?,
            within: Duration::from_millis(millis.parse().ok()?),
            user: user.strip_prefix('@'),
        })
    }

    fn tls(&self) -> Option<Tls> {
        known().get(&self.number).and_then(Weak::upgrade).map(Tls)
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.number, self.within.as_millis())?;
        match self.user {
            Some(user) => write!(f, "@{user}"),
            None => Ok(()),
        }
    }
}

/// The connection to a node of a cluster, by TLS.
#[derive(Clone)]
pub(super) struct Node(MultiplexedConnection);

impl Connect for Node {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        Box::pin(async move {
            let info = info.into_connection_info()?;
            let login = info.redis_settings().clone();
            let gone = || misused("the settings of TLS are gone");
            let key = login.username().and_then(Key::parse).ok_or_else(gone)?;
            let tls = key.tls().ok_or_else(gone)?;
            // A login without the name of a user is made anew, for a name cannot be taken out.
            let mut own = redis::RedisConnectionInfo::default()
                .set_db(login.db())
                .set_protocol(login.protocol());
            if let Some(password) = login.password() {
                own = own.set_password(password);
            }
            if let Some(user) = key.user {
                own = own.set_username(user);
            }
            let info = info.set_redis_settings(own);
            tls.connect(&info, config, key.within).await.map(Self)
        })
    }
}

impl ConnectionLike for Node {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
