//! An HTTP and HTTPS client that needs no set-up, to fetch key sets with.
//!
//! It trusts what the platform trusts, follows no redirects, knows no proxy, and keeps no connections:
//! one request every few minutes has no use for them. Which URLs are fetched, and how much of an answer
//! is read in what time, is for the caller to say.

use std::{
    error::Error,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Uri, uri::Scheme};
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as backend;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as backend;
use rustls::{ClientConfig, RootCertStore, client::danger::ServerCertVerifier};
use tower_service::Service;

use crate::{error::ConfigError, verify::BoxFuture};

#[cfg(test)]
mod tests;

/// A `Service<http::Request<Empty<Bytes>>>`. A clone shares its configuration.
pub(crate) type HttpsClient = Client<Connector, Empty<Bytes>>;

/// A client whose connections stand within `connect_timeout`, with the name looked up and TLS agreed
/// on, or fail.
///
/// The roots of the platform are read now, and not again. A machine that has none gets a client all
/// the same, whose `http` works and whose `https` fails and says why: keys may come from a neighbour on
/// the loopback, and a service that could do without must not fail to start.
///
/// # Errors
/// If the crypto provider and the versions of TLS do not go together.
pub(crate) fn https(connect_timeout: Duration) -> Result<HttpsClient, ConfigError> {
    let platform = rustls_platform_verifier::Verifier::new(Arc::new(backend::default_provider()));
    client(
        connect_timeout,
        platform.map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>),
    )
}

/// As [`https`], with certificates judged by `verifier`, if there is one.
fn client(
    connect_timeout: Duration,
    verifier: Result<Arc<dyn ServerCertVerifier>, rustls::Error>,
) -> Result<HttpsClient, ConfigError> {
    // The provider is named: that of the process is the application's to choose, and if it has not
    // chosen, to ask for it is to panic.
    let tls = ClientConfig::builder_with_provider(Arc::new(backend::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            ConfigError::new(format!(
                "the HTTPS client cannot be made ({error}): give one of your own"
            ))
        })?;
    let (tls, untrusting) = match verifier {
        // Every verifier but that of rustls itself is "dangerous". This is the platform's.
        Ok(verifier) => (
            tls.dangerous().with_custom_certificate_verifier(verifier),
            None,
        ),
        Err(error) => (
            tls.with_root_certificates(RootCertStore::empty()),
            Some(untrusting(&error).into()),
        ),
    };

    let mut http = HttpConnector::new();
    // The scheme is looked at by the connector around this one.
    http.enforce_http(false);
    // Shared out among the addresses of a host, so that one that is dead leaves time for the next.
    http.set_connect_timeout(Some(connect_timeout));
    let connector = Connector {
        // HTTP/1.1 alone: every server speaks it, and for one request h2 would be so much more code.
        inner: HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http),
        timeout: connect_timeout,
        untrusting,
    };
    Ok(Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector))
}

/// What `https` fails with where there is nothing to verify a certificate by.
fn untrusting(error: &rustls::Error) -> String {
    format!(
        "the root certificates of this machine could not be read when the service started ({error}): \
         install them (the package `ca-certificates` of most Linux distributions and images), or \
         name a file of them in SSL_CERT_FILE"
    )
}

/// Makes connections within one time limit for all that it takes.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    timeout: Duration,
    /// Why no certificate can be verified.
    untrusting: Option<Arc<str>>,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Connection = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = BoxFuture<Result<Connection, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Uri>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Some(why) = &self.untrusting
            && uri.scheme() != Some(&Scheme::HTTP)
        {
            let error = io::Error::other(why.to_string());
            return Box::pin(async move { Err(error.into()) });
        }
        let connection = self.inner.call(uri);
        let timeout = self.timeout;
        // The time limit of `HttpConnector` covers neither the look-up of the name nor the handshake of
        // TLS, and a server can hang in that as well.
        Box::pin(async move {
            match tokio::time::timeout(timeout, connection).await {
                Ok(connection) => connection,
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no connection within {timeout:?}"),
                )
                .into()),
            }
        })
    }
}
