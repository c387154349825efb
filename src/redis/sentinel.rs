//! The primary that sentinels name.

use std::{io, time::Duration};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::time::timeout;

use super::{connection::to_server, tls::Tls};

/// Connects to the primary of that name.
pub(super) async fn primary(
    sentinels: &[ConnectionInfo],
    name: &str,
    login: &RedisConnectionInfo,
    tls: Option<&Tls>,
    within: Duration,
) -> RedisResult<MultiplexedConnection> {
    // So that one that is silent leaves time for the others, and for the server.
    let parts = u32::try_from(sentinels.len())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let share = within / parts.max(2);
    let mut failure = None;
    for sentinel in sentinels {
        let asked = timeout(share, address(sentinel, name, tls, share)).await;
        match asked.unwrap_or_else(|_| Err(failed("a sentinel did not answer in time"))) {
            Ok(Some((host, port))) => {
                let server = ConnectionAddr::Tcp(host, port).into_connection_info()?;
                let server = server.set_redis_settings(login.clone());
                return checked(to_server(&server, tls, share).await?).await;
            }
            Ok(None) => failure = Some(failed("the sentinels know no primary of that name")),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| failed("there is no sentinel")))
}

async fn address(
    sentinel: &ConnectionInfo,
    name: &str,
    tls: Option<&Tls>,
    within: Duration,
) -> RedisResult<Option<(String, u16)>> {
    let mut connection = to_server(sentinel, tls, within).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    question.query_async(&mut connection).await
}

/// A server that was a primary until now may not know yet that it is none any more, and another that it is one.
async fn checked(mut connection: MultiplexedConnection) -> RedisResult<MultiplexedConnection> {
    let role: RedisResult<Vec<Value>> = redis::cmd("ROLE").query_async(&mut connection).await;
    // Where the user may not ask, a write will say it.
    let Ok(role) = role else {
        return Ok(connection);
    };
    match role.first() {
        Some(Value::BulkString(role)) if role != b"master" => Err(failed(
            "the server that the sentinels name is not a primary yet",
        )),
        _ => Ok(connection),
    }
}

/// It may be otherwise in a moment.
fn failed(what: &'static str) -> RedisError {
    io::Error::other(what).into()
}
