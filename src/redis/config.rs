//! [`RedisConfig`]: how Redis is deployed.

use std::{fmt, sync::Arc};

use super::{
    address::{Address, Place},
    own::RedisConnection,
    tls::Tls,
};
use crate::error::ConfigError;

/// How Redis is deployed: a server, a cluster, a primary that sentinels name, or a connection of your own; by TLS or not.
///
/// The stores take it by `RedisRefreshStore::with_config` (feature `token-service`) and
/// [`RedisRevocation::with_config`](crate::RedisRevocation::with_config).
///
/// ```
/// use tower_bearer::{RedisConfig, RedisRevocation};
///
/// let sentinels = ["redis://sentinel-1.internal:26379", "redis://sentinel-2.internal:26379"];
/// let config = RedisConfig::sentinel(sentinels, "mymaster")?.credentials(Some("login"), "password");
/// let revoked = RedisRevocation::with_config(config)?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// # URLs
/// | URL | what it is |
/// |---|---|
/// | `redis://user:password@host:port/database`, `valkey://` | TCP |
/// | `rediss://…`, `valkeys://` | TLS over TCP, see [`tls`](Self#tls) |
/// | `unix:///path?user=…&pass=…&db=…` | a Unix socket, for a single server |
///
/// # Sentinel
/// Each time a connection is made, the sentinels are asked in turn for the address of the primary, and the server is
/// asked whether it is one. When a server says that it has become a replica (`READONLY`), or the connection breaks, the
/// sentinels are asked again. The [timeout](crate::RedisRevocation::timeout) of a command should be longer than a
/// failover takes where clients are to notice nothing. Replication is asynchronous, so a failover may lose what was
/// written last: `min-replicas-to-write 1` on the servers bounds that.
///
/// # TLS
/// It takes the feature `client`, or `client-process-provider` where the application installs the crypto provider of
/// rustls. The certificates of servers are verified by the roots of the platform, or by a CA of your own. The name in
/// the certificate must be the one by which the server is reached. The nodes of a cluster, and the servers that
/// sentinels name, say themselves how they are reached: set `cluster-announce-hostname`, or `resolve-hostnames` and
/// `announce-hostnames` of Sentinel, or have addresses in the certificates.
///
/// # What was run
/// `scripts/redis_deployments.sh` runs both stores on Redis 7.0, and CI runs the script: a failover by three sentinels, a
/// replica that is promoted by hand, a Unix socket, a TLS server with a CA and client certificates of its own, a TLS
/// cluster, and a connection of one's own. All but TLS run on Valkey 9.1 as well, of which no build with TLS was to be
/// had. In both failovers every answer was 200. After the primary was killed, the next refresh took 2.3 seconds (with
/// `down-after-milliseconds 1000`); after the promotion by hand, 60 ms.
#[derive(Clone)]
pub struct RedisConfig {
    place: Place,
    wants_tls: bool,
    #[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
    tls: Option<super::tls::RedisTls>,
}

impl RedisConfig {
    fn new((place, wants_tls): (Place, bool)) -> Self {
        Self {
            place,
            wants_tls,
            #[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
            tls: None,
        }
    }

    /// A single server.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if the URL is not one of Redis.
    pub fn server(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        Place::server(url.as_ref()).map(Self::new)
    }

    /// The cluster to which the nodes at these URLs belong. One is enough; with more, the others may be down.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if there is no URL, if one is not a URL of Redis, or if they differ in user, password
    /// or TLS.
    pub fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        let urls: Vec<_> = urls.into_iter().collect();
        Place::cluster(urls.iter().map(AsRef::as_ref)).map(Self::new)
    }

    /// The primary that the sentinels at these URLs know by that name. User and password in the URLs are those of the
    /// sentinels; those of the servers are set by [`credentials`](Self::credentials).
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if there is no URL or no name, if one is not a URL of Redis, or if they differ in TLS.
    pub fn sentinel(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        name: &str,
    ) -> Result<Self, ConfigError> {
        let urls: Vec<_> = urls.into_iter().collect();
        Place::sentinel(urls.iter().map(AsRef::as_ref), name).map(Self::new)
    }

    /// A connection of your own.
    pub fn connection(connection: impl RedisConnection) -> Self {
        Self::new((Place::Own(Arc::new(connection)), false))
    }

    /// Sets user and password of the servers that sentinels name. For all else they are part of the URL.
    #[must_use]
    pub fn credentials(mut self, user: Option<&str>, password: &str) -> Self {
        if let Place::Sentinel { login, .. } = &mut self.place {
            let mut with = login.clone().set_password(password);
            if let Some(user) = user {
                with = with.set_username(user);
            }
            *login = with;
        }
        self
    }

    /// Sets the database at the servers that sentinels name. The default is 0. For all else it is part of the URL.
    #[must_use]
    pub fn database(mut self, number: u32) -> Self {
        if let Place::Sentinel { login, .. } = &mut self.place {
            *login = login.clone().set_db(number.into());
        }
        self
    }

    /// Sets whom TLS trusts, and the certificate of this client. The default trusts the roots of the platform. The URLs
    /// must be of `rediss://`.
    #[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
    #[must_use]
    pub fn tls(mut self, tls: super::tls::RedisTls) -> Self {
        self.tls = Some(tls);
        self
    }

    pub(super) fn address(self) -> Result<Address, ConfigError> {
        #[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
        let tls = match (self.wants_tls, self.tls) {
            (true, tls) => Some(Tls::new(tls.unwrap_or_default())?),
            (false, None) => None,
            (false, Some(_)) => {
                return Err(ConfigError::new(
                    "Redis has settings for TLS and a URL without it: write rediss:// in place of redis://",
                ));
            }
        };
        #[cfg(not(all(feature = "client-process-provider", feature = "_crypto")))]
        let tls = match self.wants_tls {
            true => Some(Tls::new()?),
            false => None,
        };
        Ok(Address {
            place: self.place,
            tls,
        })
    }
}

/// Without user and password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Address {
            place: self.place.clone(),
            tls: None,
        };
        let mut shown = f.debug_struct("RedisConfig");
        shown
            .field("at", &address)
            .field("tls", &self.wants_tls)
            .finish()
    }
}
