//! [`Connection`]: to a server or a cluster, and the runtime that drives it.

use std::{future::pending, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, FromRedisValue, RedisError, RedisResult,
    aio::MultiplexedConnection, cluster::ClusterClientBuilder, cluster_async::ClusterConnection,
    cluster_routing::SingleNodeRoutingInfo,
};
use tokio::task::AbortHandle;

use super::{
    address::{Address, Place},
    own::RedisConnection,
    sentinel::primary,
    tls::Tls,
};

/// A connection that was made, and may have broken since.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) live: Live,
    // It ends with the runtime whose task reads and writes for this connection.
    runtime: AbortHandle,
}

/// What commands are sent by. Clones are the same connection.
#[derive(Clone)]
pub(super) enum Live {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
    #[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
    TlsCluster(ClusterConnection<super::tls::Node>),
    Own(Arc<dyn RedisConnection>),
}

/// A client for a cluster.
pub(super) fn cluster_client(
    nodes: impl Iterator<Item = ConnectionInfo>,
    timeout: Duration,
) -> ClusterClientBuilder {
    // What is tried again, and until when, is said by the call.
    ClusterClientBuilder::new(nodes)
        .retries(0)
        .connection_timeout(timeout)
        .response_timeout(timeout)
}

/// Connects to a single server.
pub(super) async fn to_server(
    server: &ConnectionInfo,
    tls: Option<&Tls>,
    within: Duration,
) -> RedisResult<MultiplexedConnection> {
    if let Some(tls) = tls {
        return tls.server(server, within).await;
    }
    // The whole of a call has a deadline, and each of its answers none.
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(within))
        .set_response_timeout(None);
    let client = Client::open(server.clone())?;
    client
        .get_multiplexed_async_connection_with_config(&settings)
        .await
}

impl Connection {
    pub(super) async fn to(address: &Address, number: u64, timeout: Duration) -> RedisResult<Self> {
        let tls = address.tls.as_ref();
        let live = match &address.place {
            Place::Server(server) => Live::Server(to_server(server, tls, timeout).await?),
            Place::Sentinel {
                sentinels,
                name,
                login,
            } => Live::Server(primary(sentinels, name, login, tls, timeout).await?),
            Place::Own(connection) => Live::Own(Arc::clone(connection)),
            Place::Cluster(nodes) => match tls {
                Some(tls) => tls.cluster(nodes, timeout).await?,
                None => {
                    let client = cluster_client(nodes.iter().cloned(), timeout).build()?;
                    Live::Cluster(client.get_async_connection().await?)
                }
            },
        };
        Ok(Self {
            number,
            live,
            runtime: tokio::spawn(pending::<()>()).abort_handle(),
        })
    }

    /// Whether there is a runtime yet that reads and writes.
    pub(super) fn is_driven(&self) -> bool {
        !self.runtime.is_finished()
    }

    /// Whether it connects anew by itself: a cluster's does, node by node, and those that work stay. One of the user's
    /// own is theirs to mend.
    pub(super) fn mends_itself(&self) -> bool {
        !matches!(self.live, Live::Server(_))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.runtime.abort();
    }
}

impl Live {
    pub(super) async fn send<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Server(server) => command.query_async(server).await,
            Self::Cluster(cluster) => command.query_async(cluster).await,
            #[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
            Self::TlsCluster(cluster) => command.query_async(cluster).await,
            Self::Own(own) => super::own::send(&**own, command).await,
        }
    }

    /// Sends it to the node that the error names: the slot is on its way there.
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        error: &RedisError,
        command: Cmd,
    ) -> RedisResult<T> {
        let node = error.redirect_node().and_then(|(node, _)| {
            let (host, port) = node.rsplit_once(':')?;
            Some((host.to_owned(), port.parse().ok()?))
        });
        let Some((host, port)) = node else {
            return Err(error.clone());
        };
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command);
        let node = SingleNodeRoutingInfo::ByAddress { host, port };
        let answers = match self {
            Self::Cluster(cluster) => cluster.route_pipeline(both, 0, 2, node).await?,
            #[cfg(all(feature = "client-process-provider", feature = "_crypto"))]
            Self::TlsCluster(cluster) => cluster.route_pipeline(both, 0, 2, node).await?,
            Self::Server(_) | Self::Own(_) => return Err(error.clone()),
        };
        let answer = answers.into_iter().next_back().unwrap_or(redis::Value::Nil);
        Ok(T::from_redis_value(answer.extract_error()?)?)
    }
}
