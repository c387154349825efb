//! Without the features that bring TLS: there is none.

use std::time::Duration;

use redis::{ConnectionInfo, RedisResult, aio::MultiplexedConnection};

use super::connection::Live;
use crate::error::ConfigError;

/// TLS, which does not exist here.
#[derive(Clone)]
pub(super) enum Tls {}

impl Tls {
    pub(super) fn new() -> Result<Self, ConfigError> {
        Err(ConfigError::new(
            "rediss:// needs TLS: switch on the feature `client` of tower-bearer, or `client-process-provider` where \
             the application installs the crypto provider of rustls, and a crypto backend",
        ))
    }

    pub(super) async fn server(
        &self,
        _: &ConnectionInfo,
        _: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        match *self {}
    }

    pub(super) async fn cluster(&self, _: &[ConnectionInfo], _: Duration) -> RedisResult<Live> {
        match *self {}
    }
}
