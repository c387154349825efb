//! Real sockets on the loopback, plain and with TLS.

use std::{convert::Infallible, error::Error, net::SocketAddr, time::Instant};

use http::{Request, Response, StatusCode, header::LOCATION};
use http_body_util::{BodyExt, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto::CryptoProvider,
    pki_types::PrivateKeyDer,
    version::{TLS12, TLS13},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::*;

mod proxy;

/// Long enough for a machine that is busy with other tests.
const AMPLE: Duration = Duration::from_secs(30);

/// A certificate that nobody vouches for, and its key.
struct Identity {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Identity {
    fn of(name: &str) -> Self {
        Self::of_all(&[name])
    }

    fn of_all(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self {
            certificate: made.cert,
            key: made.signing_key,
        }
    }

    fn acceptor(&self, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(own_provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts it and nothing else.
    fn trusting_client(&self) -> HttpsClient {
        self.trusting_client_through(Proxies::none())
    }

    fn trusting_client_through(&self, proxies: Proxies) -> HttpsClient {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), own_provider());
        client(
            AMPLE,
            own_provider(),
            Ok(verifier.build().unwrap()),
            proxies,
        )
        .unwrap()
    }
}

/// A client on a machine that has no root certificates.
fn untrusting_client() -> HttpsClient {
    let none = rustls::Error::General("none found".to_owned());
    client(AMPLE, own_provider(), Err(none), Proxies::none()).unwrap()
}

/// A client that trusts what the platform does.
fn https(connect_timeout: Duration) -> HttpsClient {
    https_through(connect_timeout, Proxies::none())
}

fn https_through(connect_timeout: Duration, proxies: Proxies) -> HttpsClient {
    super::https(connect_timeout, own_provider(), proxies).unwrap()
}

async fn answer<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = match request.uri().path() {
        "/moved" => Response::builder()
            .status(StatusCode::FOUND)
            .header(LOCATION, "/keys"),
        _ => Response::builder(),
    };
    Ok(response.body(Full::from("keys")).unwrap())
}

async fn serve<S>(stream: S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
}

/// A server, and word of each of its connections when it ends.
async fn server(tls: Option<TlsAcceptor>) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ended, ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _): (TcpStream, _) = listener.accept().await.unwrap();
            let (tls, ended) = (tls.clone(), ended.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(stream).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream).await;
                        }
                    }
                }
                let _ = ended.send(());
            });
        }
    });
    (address, ends)
}

/// Status and body, or all that the error says.
async fn get(client: &HttpsClient, url: &str) -> Result<(StatusCode, Bytes), String> {
    let request = Request::get(url).body(Empty::new()).unwrap();
    let response = match client.clone().call(request).await {
        Ok(response) => response,
        Err(error) => {
            let mut said = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                said = format!("{said}: {error}");
                source = error.source();
            }
            return Err(said);
        }
    };
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Ok((status, body))
}

#[test]
fn it_can_be_shared() {
    fn hold<S>(_: &S)
    where
        S: Service<Request<Empty<Bytes>>, Future: Send> + Clone + Send + Sync + 'static,
    {
    }
    hold(&https(AMPLE));
    assert!(
        CryptoProvider::get_default().is_none(),
        "the provider of the process is not for a library to choose"
    );
}

#[tokio::test]
async fn plain_http_needs_no_certificates() {
    let (address, mut ends) = server(None).await;
    for client in [https(AMPLE), untrusting_client()] {
        let (status, body) = get(&client, &format!("http://{address}/keys"))
            .await
            .unwrap();
        assert_eq!((status, &*body), (StatusCode::OK, &b"keys"[..]));
        // The connection is not kept.
        tokio::time::timeout(AMPLE, ends.recv()).await.unwrap();
    }
    // Where it leads to is for the caller to see.
    let (status, _) = get(&untrusting_client(), &format!("http://{address}/moved"))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::FOUND);
}

#[tokio::test]
async fn both_versions_of_tls() {
    let identity = Identity::of("127.0.0.1");
    for version in [&TLS12, &TLS13] {
        let (address, mut ends) = server(Some(identity.acceptor(version))).await;
        let client = identity.trusting_client();
        for _ in 0..2 {
            let (status, body) = get(&client, &format!("https://{address}/keys"))
                .await
                .unwrap();
            assert_eq!((status, &*body), (StatusCode::OK, &b"keys"[..]));
            tokio::time::timeout(AMPLE, ends.recv()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (here, elsewhere) = (Identity::of("127.0.0.1"), Identity::of("example.com"));
    let (address, _) = server(Some(here.acceptor(&TLS13))).await;
    let url = format!("https://{address}/keys");

    // Nobody whom this client trusts; and nobody whom the platform does, whichever it is.
    let error = get(&elsewhere.trusting_client(), &url).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    let error = get(&https(AMPLE), &url).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");

    assert!(error.contains("SSL_CERT_FILE"), "{error}");

    // Vouched for, but as another host's.
    let (address, _) = server(Some(elsewhere.acceptor(&TLS13))).await;
    let error = get(
        &elsewhere.trusting_client(),
        &format!("https://{address}/keys"),
    )
    .await
    .unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn without_root_certificates_https_says_what_to_do() {
    let identity = Identity::of("127.0.0.1");
    let (address, _) = server(Some(identity.acceptor(&TLS13))).await;
    let error = get(&untrusting_client(), &format!("https://{address}/keys"))
        .await
        .unwrap_err();
    assert!(error.contains("none found"), "{error}");
    assert!(error.contains("ca-certificates"), "{error}");
}

/// A server that takes the connection and never says a word: the handshake counts.
#[tokio::test]
async fn the_time_limit_covers_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = https(Duration::from_millis(200));
    let begun = Instant::now();
    let url = format!("https://{address}/keys");
    let (error, held) = tokio::join!(get(&client, &url), listener.accept());
    drop(held);
    let error = error.unwrap_err();
    assert!(error.contains("no connection within 200ms"), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

/// A certificate as `openssl req -x509` makes it: of a CA, whether it is trusted or not.
#[tokio::test]
async fn a_certificate_of_a_ca_in_place_of_a_servers_says_what_to_do() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&key).unwrap();
    let identity = Identity { certificate, key };
    let (address, _) = server(Some(identity.acceptor(&TLS13))).await;
    let url = format!("https://{address}/keys");
    for client in [identity.trusting_client(), https(AMPLE)] {
        let error = get(&client, &url).await.unwrap_err();
        assert!(error.contains("CaUsedAsEndEntity"), "{error}");
        assert!(error.contains("CA:FALSE"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_says_what_to_do() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let certificate = parameters.self_signed(&key).unwrap();
    let identity = Identity { certificate, key };
    let (address, _) = server(Some(identity.acceptor(&TLS13))).await;
    let url = format!("https://{address}/keys");
    let error = get(&identity.trusting_client(), &url).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
    assert!(error.contains("clock"), "{error}");
}
