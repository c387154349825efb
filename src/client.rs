//! An HTTP and HTTPS client that needs no set-up, to fetch key sets with.
//!
//! It trusts what the platform trusts, follows no redirects, goes through the proxy that the
//! environment names (see `proxy`), and keeps no connections: one request every few minutes has no
//! use for them. Which URLs are fetched, and how much of an answer is read in what time, is for
//! the caller to say. What to do where TLS fails, says `advice`.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, header::PROXY_AUTHORIZATION, uri::Scheme};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{self, Client},
    rt::TokioExecutor,
};
#[cfg(all(feature = "client", feature = "aws-lc-rs"))]
use rustls::crypto::aws_lc_rs as backend;
#[cfg(all(feature = "client", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as backend;
use rustls::{
    ClientConfig, RootCertStore, client::danger::ServerCertVerifier, crypto::CryptoProvider,
};
use tower_service::Service;

use crate::{error::ConfigError, verify::BoxFuture};

mod advice;
mod proxy;
#[cfg(all(test, feature = "client"))]
mod tests;

pub(crate) use proxy::Proxies;
use proxy::Route;

/// The crypto provider of the feature `client`, which is no other's.
#[cfg(feature = "client")]
pub(crate) fn own_provider() -> Arc<CryptoProvider> {
    Arc::new(backend::default_provider())
}

/// The crypto provider that the application has installed for the process.
///
/// # Errors
/// If it has installed none. rustls would choose one itself, but panics where it has a choice.
pub(crate) fn process_provider() -> Result<Arc<CryptoProvider>, ConfigError> {
    CryptoProvider::get_default().cloned().ok_or_else(|| {
        ConfigError::new(
            "the process has no crypto provider for TLS: install one when it starts, such as by \
             `rustls::crypto::ring::default_provider().install_default()`",
        )
    })
}

/// A client whose connections stand within `connect_timeout`, with the name looked up and TLS
/// agreed on, or fail.
///
/// The roots of the platform are read now, and not again. A machine that has none gets a client
/// all the same, whose `http` works and whose `https` fails and says why: keys may come from a
/// neighbour on the loopback, and a service that could do without must not fail to start.
///
/// # Errors
/// If the crypto provider and the versions of TLS do not go together.
pub(crate) fn https(
    connect_timeout: Duration,
    provider: Arc<CryptoProvider>,
    proxies: Proxies,
) -> Result<HttpsClient, ConfigError> {
    let platform = rustls_platform_verifier::Verifier::new(Arc::clone(&provider));
    let platform = platform.map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>);
    client(connect_timeout, provider, platform, proxies)
}

/// As [`https`], with certificates judged by `verifier`, if there is one.
fn client(
    connect_timeout: Duration,
    provider: Arc<CryptoProvider>,
    verifier: Result<Arc<dyn ServerCertVerifier>, rustls::Error>,
    proxies: Proxies,
) -> Result<HttpsClient, ConfigError> {
    // The provider is named. Without a name, rustls would take that of the process, and panic if
    // there is none.
    let tls = ClientConfig::builder_with_provider(provider)
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
            Some(advice::untrusting(&error).into()),
        ),
    };
    // HTTP/1.1 alone: every server speaks it, and for one request h2 would be so much more code.
    let tls = Arc::new(tls.with_no_client_auth());
    let proxies = Arc::new(proxies);
    let route = Route::new(connect_timeout, Arc::clone(&tls), Arc::clone(&proxies));
    let connector = Connector {
        inner: HttpsConnector::from((route, tls)),
        timeout: connect_timeout,
        untrusting,
        proxies: Arc::clone(&proxies),
    };
    let inner = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    Ok(HttpsClient { inner, proxies })
}

/// A `Service<http::Request<Empty<Bytes>>>`. A clone shares its configuration.
#[derive(Clone, Debug)]
pub(crate) struct HttpsClient {
    inner: Client<Connector, Empty<Bytes>>,
    proxies: Arc<Proxies>,
}

impl Service<Request<Empty<Bytes>>> for HttpsClient {
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future = legacy::ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Empty<Bytes>>) -> Self::Future {
        // Through a tunnel the proxy is told beforehand, and the server must not see it.
        if let Some(credentials) = self.proxies.credentials_in_request(request.uri()) {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, credentials);
        }
        self.inner.call(request)
    }
}

/// Makes connections within one time limit for all that it takes.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    inner: HttpsConnector<Route>,
    timeout: Duration,
    /// Why no certificate can be verified.
    untrusting: Option<Arc<str>>,
    proxies: Arc<Proxies>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connection = <HttpsConnector<Route> as Service<Uri>>::Response;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = BoxFuture<Result<Connection, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Uri>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let takes_tls = uri.scheme() != Some(&Scheme::HTTP) || self.proxies.is_tls(&uri);
        if let Some(why) = self.untrusting.as_ref().filter(|_| takes_tls) {
            let error = io::Error::other(why.to_string());
            return Box::pin(async move { Err(error.into()) });
        }
        let connection = self.inner.call(uri);
        let timeout = self.timeout;
        // The time limit of `HttpConnector` covers neither the look-up of the name nor the
        // handshakes of TLS and with a proxy, and a server can hang in those as well.
        Box::pin(async move {
            match tokio::time::timeout(timeout, connection).await {
                Ok(connection) => connection.map_err(advice::explain),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no connection within {timeout:?}"),
                )
                .into()),
            }
        })
    }
}
