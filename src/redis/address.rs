//! [`Address`]: where a Redis server or cluster is, and how one logs in there.

use std::{fmt, sync::Arc};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    cluster::ClusterClientBuilder,
};

use super::{own::RedisConnection, tls::Tls};
use crate::error::ConfigError;

/// Where Redis is, and how it is reached.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) place: Place,
    /// For URLs of `rediss://`.
    pub(super) tls: Option<Tls>,
}

#[derive(Clone)]
pub(super) enum Place {
    Server(ConnectionInfo),
    /// Some nodes of a cluster.
    Cluster(Vec<ConnectionInfo>),
    /// Sentinels, and how one logs in at the server that they name.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        login: RedisConnectionInfo,
    },
    Own(Arc<dyn RedisConnection>),
}

impl Place {
    /// A server, and whether it is reached by TLS.
    pub(super) fn server(url: &str) -> Result<(Self, bool), ConfigError> {
        let (server, tls) = parse(url)?;
        Ok((Self::Server(server), tls))
    }

    /// A cluster, and whether it is reached by TLS.
    pub(super) fn cluster<'a>(
        urls: impl Iterator<Item = &'a str>,
    ) -> Result<(Self, bool), ConfigError> {
        let (nodes, tls) = parse_all(urls)?;
        // Such as nodes with different passwords, or none at all.
        ClusterClientBuilder::new(nodes.iter().cloned())
            .build()
            .map_err(|error| of_no_use(&error))?;
        Ok((Self::Cluster(nodes), tls))
    }

    /// The primary of that name by what sentinels say, and whether all are reached by TLS.
    pub(super) fn sentinel<'a>(
        urls: impl Iterator<Item = &'a str>,
        name: &str,
    ) -> Result<(Self, bool), ConfigError> {
        let (sentinels, tls) = parse_all(urls)?;
        if sentinels.is_empty() || name.is_empty() {
            return Err(ConfigError::new(
                "Redis Sentinel needs the URL of one sentinel at least, and the name of the primary, such as mymaster",
            ));
        }
        if sentinels.iter().any(|one| one.redis_settings().db() != 0) {
            return Err(ConfigError::new(
                "a sentinel has no databases: set that of the servers by `RedisConfig::database`",
            ));
        }
        let place = Self::Sentinel {
            sentinels,
            name: name.to_owned(),
            login: RedisConnectionInfo::default(),
        };
        Ok((place, tls))
    }
}

fn parse_all<'a>(
    urls: impl Iterator<Item = &'a str>,
) -> Result<(Vec<ConnectionInfo>, bool), ConfigError> {
    let parsed: Vec<_> = urls.map(parse).collect::<Result<_, _>>()?;
    let by_tls = parsed.iter().filter(|(_, tls)| *tls).count();
    if by_tls != 0 && by_tls != parsed.len() {
        return Err(ConfigError::new(
            "some Redis URLs are of rediss:// and others are not: all must be alike",
        ));
    }
    let nodes = parsed.into_iter().map(|(node, _)| node).collect();
    Ok((nodes, by_tls != 0))
}

/// A server, and whether it is reached by TLS. That is not left to the client, which would use the crypto provider of
/// the process: whether there is one depends on the features of other crates.
fn parse(url: &str) -> Result<(ConnectionInfo, bool), ConfigError> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let plain = ["rediss", "valkeys"]
        .into_iter()
        .find(|tls| scheme.eq_ignore_ascii_case(tls))
        .map(|_| format!("redis:{rest}"));
    if plain.is_some() && rest.contains('#') {
        return Err(ConfigError::new(
            "a Redis URL has a fragment, such as #insecure, which is not supported: trust a CA of your own by \
             `RedisTls::ca_pem`",
        ));
    }
    let tls = plain.is_some();
    let parsed = plain.as_deref().unwrap_or(url).into_connection_info();
    let server = parsed.map_err(|error| of_no_use(&error))?;
    match server.addr() {
        ConnectionAddr::Tcp(..) => Ok((server, tls)),
        ConnectionAddr::Unix(_) if !tls => Ok((server, false)),
        _ => Err(ConfigError::new(
            "a Redis URL of this scheme is not supported: use redis://, rediss:// or unix://",
        )),
    }
}

/// Words of the client, which hold nothing of the user or the password.
fn of_no_use(error: &RedisError) -> ConfigError {
    ConfigError::new(format!(
        "a Redis URL has the form redis://user:password@host:port/database, and a cluster the same user and \
         password for each node: {error}"
    ))
}

/// Without user and password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = match &self.place {
            Place::Server(server) => std::slice::from_ref(server),
            Place::Cluster(nodes) => nodes,
            Place::Sentinel { sentinels, .. } => sentinels,
            Place::Own(_) => return f.write_str("RedisConnection"),
        };
        f.debug_list()
            .entries(nodes.iter().map(|node| format!("{}", node.addr())))
            .finish()
    }
}
