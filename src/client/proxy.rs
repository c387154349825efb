//! [`Proxies`]: through which proxy a URL is fetched; [`Route`]: connects to it.

use std::{
    ffi::OsString,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Uri, uri::Scheme};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::{
    legacy::connect::{
        Connected, Connection, HttpConnector,
        proxy::{SocksV5, Tunnel},
    },
    proxy::matcher::{Intercept, Matcher},
};
use rustls::ClientConfig;
use tower_service::Service;

use super::BoxError;
use crate::{error::ConfigError, url, verify::BoxFuture};

/// The proxies that the environment names, as curl and most others understand it.
#[derive(Debug)]
pub(crate) struct Proxies(Matcher);

impl Proxies {
    /// No proxy, whatever the environment says.
    pub(crate) fn none() -> Self {
        Self(Matcher::builder().build())
    }

    /// Those of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, each in upper or else in
    /// lower case.
    ///
    /// hyper-util would read them too, but would go without a proxy where it does not understand
    /// its URL.
    ///
    /// # Errors
    /// If one that is needed is not the URL of a proxy. The error does not show it, for it may
    /// hold a password.
    pub(crate) fn from_env(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let first = |names: &[&'static str]| {
            let set = names
                .iter()
                .filter_map(|name| Some((*name, variable(name)?)));
            set.into_iter().find(|(_, value)| !value.is_empty())
        };
        // A client of a CGI script sets HTTP_PROXY by its header field `Proxy`; where case does
        // not matter, in either case.
        let http: &[_] = match variable("REQUEST_METHOD") {
            None => &["HTTP_PROXY", "http_proxy"],
            Some(_) if cfg!(windows) => &[],
            Some(_) => &["http_proxy"],
        };
        let all = ["ALL_PROXY", "all_proxy"];
        let http = first(http).or_else(|| first(&all));
        let https = first(&["HTTPS_PROXY", "https_proxy"]).or_else(|| first(&all));

        let mut proxies = Matcher::builder();
        if let Some((name, value)) = http {
            proxies = proxies.http(proxy(name, &value)?);
        }
        if let Some((name, value)) = https {
            proxies = proxies.https(proxy(name, &value)?);
        }
        if let Some((name, value)) = first(&["NO_PROXY", "no_proxy"]) {
            let text = value.to_str().ok_or_else(|| {
                ConfigError::new(format!("the environment variable {name} is not UTF-8"))
            })?;
            // The library has it stand for names alone, and others for addresses too.
            if text.split(',').any(|entry| entry.trim() == "*") {
                return Ok(Self::none());
            }
            proxies = proxies.no(text);
        }
        Ok(Self(proxies.build()))
    }

    pub(super) fn of(&self, uri: &Uri) -> Option<Intercept> {
        self.0.intercept(uri)
    }

    /// The credentials that a proxy is to see in the request itself, which goes through it as it
    /// is.
    pub(super) fn credentials_in_request(&self, uri: &Uri) -> Option<HeaderValue> {
        let proxy = self.of(uri)?;
        let is_plain = uri.scheme() == Some(&Scheme::HTTP);
        proxy.basic_auth().filter(|_| is_plain).cloned()
    }

    /// Whether the proxy for that URL is reached by TLS.
    pub(super) fn is_tls(&self, uri: &Uri) -> bool {
        let proxy = self.of(uri);
        proxy.is_some_and(|proxy| proxy.uri().scheme() == Some(&Scheme::HTTPS))
    }
}

/// The URL of a proxy; without a scheme it is one of `http`.
fn proxy(name: &str, value: &OsString) -> Result<String, ConfigError> {
    let invalid = || {
        ConfigError::new(format!(
            "the environment variable {name} is not the URL of a proxy: write \
             `http://host:port`, `https://…` or `socks5h://…`, with user and password \
             percent-encoded if there are any; or ignore such variables by `no_proxy`"
        ))
    };
    let value = value.to_str().ok_or_else(invalid)?.trim();
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let known = ["http", "https", "socks5", "socks5h"].contains(&&*scheme);
    if !known || url::web(&format!("http://{host}/")).is_err() {
        return Err(invalid());
    }
    let url = format!("{scheme}://{authority}");
    // The library has the last word on what it understands.
    let understood = Matcher::builder().all(&url).build();
    match understood.intercept(&Uri::from_static("https://login.example.com/")) {
        Some(_) => Ok(url),
        None => Err(invalid()),
    }
}

/// Connects to where a URL leads, directly or through a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    direct: HttpConnector,
    /// The same, by TLS where the URL is that of a proxy of `https`.
    to_proxy: HttpsConnector<HttpConnector>,
    proxies: Arc<Proxies>,
}

impl Route {
    pub(super) fn new(
        connect_timeout: Duration,
        tls: Arc<ClientConfig>,
        proxies: Arc<Proxies>,
    ) -> Self {
        let mut direct = HttpConnector::new();
        // The scheme is looked at by the connectors around this one.
        direct.enforce_http(false);
        // Shared out among the addresses of a host, so that one that is dead leaves time for the
        // next.
        direct.set_connect_timeout(Some(connect_timeout));
        Self {
            to_proxy: HttpsConnector::from((direct.clone(), tls)),
            direct,
            proxies,
        }
    }

    /// Connects to the destination, or to a proxy that reads the request itself.
    fn through(&mut self, proxy: &Intercept, uri: Uri) -> Connecting {
        let address = proxy.uri().clone();
        let is_plain = uri.scheme() == Some(&Scheme::HTTP);
        if address
            .scheme_str()
            .is_some_and(|scheme| scheme.starts_with("socks"))
        {
            // The proxy looks the name up, also where the scheme would have it done here
            // (`socks5`): the library would hold up the runtime for it.
            let mut socks = SocksV5::new(address, self.direct.clone());
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            let connecting = socks.call(with_port(uri));
            return Box::pin(async move {
                Ok(Stream::tunnel(MaybeHttpsStream::Http(connecting.await?)))
            });
        }
        if is_plain {
            let connecting = self.to_proxy.call(address);
            return Box::pin(async move { Ok(Stream::to_proxy(connecting.await?)) });
        }
        let mut tunnel = Tunnel::new(address, self.to_proxy.clone());
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let connecting = tunnel.call(uri);
        Box::pin(async move { Ok(Stream::tunnel(connecting.await?)) })
    }
}

type Connecting = BoxFuture<Result<Stream, BoxError>>;

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let Some(proxy) = self.proxies.of(&uri) else {
            let connecting = self.direct.call(uri);
            return Box::pin(async move {
                Ok(Stream::tunnel(MaybeHttpsStream::Http(connecting.await?)))
            });
        };
        let connecting = self.through(&proxy, uri);
        Box::pin(async move {
            connecting.await.map_err(|error| {
                // This URL is without user and password.
                let text = format!("through the proxy {}: {error}", proxy.uri());
                BoxError::from(ThroughProxy { text, error })
            })
        })
    }
}

/// A URL with its port, which the library would take for 443.
fn with_port(uri: Uri) -> Uri {
    if uri.port().is_some() || uri.scheme() != Some(&Scheme::HTTP) {
        return uri;
    }
    let with = format!("http://{}:80/", uri.host().unwrap_or_default());
    with.parse().unwrap_or(uri)
}

/// An error, with the proxy at which it happened.
#[derive(Debug)]
struct ThroughProxy {
    text: String,
    error: BoxError,
}

impl std::fmt::Display for ThroughProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ThroughProxy {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}

type Tcp = <HttpConnector as Service<Uri>>::Response;

/// A connection to a destination, or to a proxy that reads the requests on it.
pub(crate) struct Stream {
    inner: MaybeHttpsStream<Tcp>,
    to_proxy: bool,
}

impl Stream {
    fn tunnel(inner: MaybeHttpsStream<Tcp>) -> Self {
        let to_proxy = false;
        Self { inner, to_proxy }
    }

    fn to_proxy(inner: MaybeHttpsStream<Tcp>) -> Self {
        let to_proxy = true;
        Self { inner, to_proxy }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        // The client then writes the whole URL into the request.
        self.inner.connected().proxy(self.to_proxy)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }
}
