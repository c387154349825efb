//! [`Connection`]: to a server or a cluster, and the runtime that drives it.

use std::{future::pending, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, RedisResult,
    aio::MultiplexedConnection, cluster::ClusterClientBuilder, cluster_async::ClusterConnection,
    cluster_routing::SingleNodeRoutingInfo,
};
use tokio::task::AbortHandle;

use super::address::Address;

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
}

impl Connection {
    pub(super) async fn to(address: &Address, number: u64, timeout: Duration) -> RedisResult<Self> {
        let live = match address {
            Address::Server(server) => {
                // The whole of a call has a deadline, and each of its answers none.
                let settings = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(timeout))
                    .set_response_timeout(None);
                let client = Client::open(server.clone())?;
                let connection = client.get_multiplexed_async_connection_with_config(&settings);
                Live::Server(connection.await?)
            }
            Address::Cluster(nodes) => {
                // Its own retries do not ask whether something may be done twice.
                let client = ClusterClientBuilder::new(nodes.iter().cloned())
                    .retries(0)
                    .connection_timeout(timeout)
                    .response_timeout(timeout)
                    .build()?;
                Live::Cluster(client.get_async_connection().await?)
            }
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

    /// Whether it connects anew by itself: a cluster's does, node by node, and those that work stay.
    pub(super) fn mends_itself(&self) -> bool {
        matches!(self.live, Live::Cluster(_))
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
        let (Self::Cluster(cluster), Some((host, port))) = (self, node) else {
            return Err(error.clone());
        };
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command);
        let node = SingleNodeRoutingInfo::ByAddress { host, port };
        let answers = cluster.route_pipeline(both, 0, 2, node).await?;
        let answer = answers.into_iter().next_back().unwrap_or(redis::Value::Nil);
        Ok(T::from_redis_value(answer.extract_error()?)?)
    }
}
