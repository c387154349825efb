//! [`Address`]: where a Redis server or cluster is, and how one logs in there.

use std::fmt;

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, cluster::ClusterClientBuilder,
};

use crate::error::ConfigError;

/// A server, or some nodes of a cluster.
pub(super) enum Address {
    Server(ConnectionInfo),
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    pub(super) fn server(url: &str) -> Result<Self, ConfigError> {
        parse(url).map(Self::Server)
    }

    pub(super) fn cluster<'a>(urls: impl Iterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let nodes: Vec<_> = urls.map(parse).collect::<Result<_, _>>()?;
        // Such as nodes with different passwords, or none at all.
        ClusterClientBuilder::new(nodes.iter().cloned())
            .build()
            .map_err(|error| of_no_use(&error))?;
        Ok(Self::Cluster(nodes))
    }
}

fn parse(url: &str) -> Result<ConnectionInfo, ConfigError> {
    let scheme = url.split(':').next().unwrap_or_default();
    let of_tls = ["rediss", "valkeys"];
    if of_tls.iter().any(|tls| scheme.eq_ignore_ascii_case(tls)) {
        return Err(tls());
    }
    let parsed = url.into_connection_info();
    let server = parsed.map_err(|error| of_no_use(&error))?;
    // The scheme may be written in more ways than one.
    if let ConnectionAddr::TcpTls { .. } = server.addr() {
        return Err(tls());
    }
    Ok(server)
}

/// The client would use the crypto provider of the process, and whether there is one depends on the features of
/// other crates. So it is refused even where those have turned TLS on.
fn tls() -> ConfigError {
    ConfigError::new(
        "Redis over TLS is not supported: connect with redis:// to a proxy beside this process, such as \
         stunnel, that speaks TLS to Redis",
    )
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
        let nodes = match self {
            Self::Server(server) => std::slice::from_ref(server),
            Self::Cluster(nodes) => nodes,
        };
        f.debug_list()
            .entries(nodes.iter().map(|node| format!("{}", node.addr())))
            .finish()
    }
}
