//! [`RedisConnection`]: a connection of the user's own.

use redis::{Cmd, FromRedisValue, RedisResult, Value};

use crate::{store::StoreError, verify::BoxFuture};

/// A connection to Redis of your own: by another client, a pool, or a login that a URL cannot express.
///
/// ```
/// use tower_bearer::{BoxFuture, RedisConfig, RedisConnection, RedisReply, RedisRevocation, StoreError};
///
/// struct Pool;
/// # impl Pool { async fn run(_: Vec<Vec<u8>>) -> std::io::Result<i64> { Ok(1) } }
///
/// impl RedisConnection for Pool {
///     fn send(&self, command: Vec<Vec<u8>>) -> BoxFuture<Result<RedisReply, StoreError>> {
///         Box::pin(async {
///             let reply = Self::run(command).await.map_err(StoreError::new)?;
///             Ok(RedisReply::Integer(reply))
///         })
///     }
/// }
///
/// let revoked = RedisRevocation::with_config(RedisConfig::connection(Pool))?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
pub trait RedisConnection: Send + Sync + 'static {
    /// Sends one command, whose words are given, and returns the reply. Many commands may be under way at the same
    /// time. All keys of a command are in one slot of a cluster; the connection chooses the node.
    ///
    /// # Errors
    /// If there is no reply. Nobody knows then whether the command was done, and it is sent again within the timeout
    /// of the store. An error that Redis replies is [`RedisReply::Error`].
    fn send(&self, command: Vec<Vec<u8>>) -> BoxFuture<Result<RedisReply, StoreError>>;
}

/// What Redis replies to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisReply {
    /// Nothing.
    Nil,
    /// A number.
    Integer(i64),
    /// A string, simple or bulk.
    Text(Vec<u8>),
    /// Several replies.
    Array(Vec<RedisReply>),
    /// An error, with its code as the first word: `NOSCRIPT No matching script.`
    Error(String),
}

impl RedisReply {
    fn into_value(self) -> RedisResult<Value> {
        Ok(match self {
            Self::Nil => Value::Nil,
            Self::Integer(number) => Value::Int(number),
            Self::Text(text) => Value::BulkString(text),
            Self::Array(replies) => {
                let values = replies.into_iter().map(Self::into_value);
                Value::Array(values.collect::<RedisResult<_>>()?)
            }
            Self::Error(text) => {
                // What the client makes of it, it makes of the line as Redis sends it.
                let text = text.replace(['\r', '\n'], " ");
                redis::parse_redis_value(format!("-{text}\r\n").as_bytes())?
            }
        })
    }
}

/// Sends a command by such a connection.
pub(super) async fn send<T: FromRedisValue>(
    connection: &dyn RedisConnection,
    command: &Cmd,
) -> RedisResult<T> {
    let words = command.args_iter().map(|word| match word {
        redis::Arg::Simple(bytes) => bytes.to_vec(),
        redis::Arg::Cursor => b"0".to_vec(),
        _ => Vec::new(),
    });
    let reply = connection.send(words.collect()).await;
    let reply = reply.map_err(|error| redis::RedisError::from(std::io::Error::other(error)))?;
    Ok(T::from_redis_value(reply.into_value()?.extract_error()?)?)
}
