//! Through proxies on the loopback: of HTTP, by `CONNECT`, over TLS, of SOCKS 5.

use std::{
    collections::HashMap,
    ffi::OsString,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};

use super::*;

/// What the environment says.
fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ConfigError> {
    let variables: HashMap<_, _> = variables
        .iter()
        .map(|(name, value)| (*name, OsString::from(value)))
        .collect();
    Proxies::from_env(|name| variables.get(name).cloned())
}

/// A proxy that goes to one place wherever it is asked to go, and what it was asked.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Socks,
    Refuses,
    /// Takes the connection and says nothing.
    Hangs,
}

impl Proxy {
    async fn new(kind: Kind, to: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let of_task = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, asked) = (tls.clone(), Arc::clone(&of_task));
                tokio::spawn(async move {
                    // How it ends is the client's affair.
                    match tls {
                        None => serve(kind, stream, to, &asked).await.ok(),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(kind, stream, to, &asked).await.ok(),
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    kind: Kind,
    mut stream: S,
    to: SocketAddr,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    match kind {
        Kind::Hangs => {
            stream.read_u8().await?;
            std::future::pending::<()>().await;
        }
        Kind::Socks => {
            // RFC 1928 §3 to §6, RFC 1929 §2: a name, and user and password.
            let count = (stream.read_u16().await? & 0xff) as usize;
            let mut methods = vec![0; count];
            stream.read_exact(&mut methods).await?;
            let method = methods[0];
            stream.write_all(&[5, method]).await?;
            let mut seen = String::new();
            if method == 2 {
                stream.read_u8().await?;
                for _ in 0..2 {
                    let mut text = vec![0; stream.read_u8().await?.into()];
                    stream.read_exact(&mut text).await?;
                    seen.push_str(&format!("{} ", String::from_utf8(text).unwrap()));
                }
                stream.write_all(&[1, 0]).await?;
            }
            assert_eq!(stream.read_u32().await?, 0x0501_0003, "connect to a name");
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            let (name, port) = (String::from_utf8(name).unwrap(), stream.read_u16().await?);
            asked.lock().unwrap().push(format!("{seen}{name}:{port}"));
            stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1]).await?;
        }
        Kind::Http | Kind::Refuses => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let head = String::from_utf8(head).unwrap();
            asked.lock().unwrap().push(head.to_ascii_lowercase());
            if kind == Kind::Refuses {
                let refusal =
                    b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
                return stream.write_all(refusal).await;
            }
            if !head.starts_with("CONNECT ") {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nkeys";
                return stream.write_all(answer).await;
            }
            stream
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
        }
    }
    let mut server = TcpStream::connect(to).await?;
    copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}

const NAME: &str = "keys.example.com";

/// A server of that name, and a proxy that leads to it.
async fn behind(kind: Kind, tls_proxy: bool) -> (Identity, Proxy) {
    let identity = Identity::of_all(&[NAME, "127.0.0.1"]);
    let (address, _) = server(Some(identity.acceptor(&TLS13))).await;
    let acceptor = tls_proxy.then(|| identity.acceptor(&TLS13));
    let proxy = Proxy::new(kind, address, acceptor).await;
    (identity, proxy)
}

const KEYS: (StatusCode, Bytes) = (StatusCode::OK, Bytes::from_static(b"keys"));

/// RFC 9110 §9.3.6: the server sees nothing of the credentials, and the proxy nothing of the
/// request.
#[tokio::test]
async fn https_goes_through_a_tunnel() {
    for tls in [false, true] {
        let (identity, proxy) = behind(Kind::Http, tls).await;
        let scheme = if tls { "https" } else { "http" };
        let by = format!("{scheme}://us%65r:p%40ss@{}", proxy.address);
        let client = identity.trusting_client_through(proxies(&[("HTTPS_PROXY", &by)]).unwrap());
        let url = format!("https://{NAME}/keys?secret=1");
        assert_eq!(get(&client, &url).await, Ok(KEYS), "{by}");
        let asked = proxy.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(
            asked[0].starts_with("connect keys.example.com:443 http/1.1\r\n"),
            "{asked:?}"
        );
        // `user:p@ss`.
        let credentials = "\r\nproxy-authorization: basic dxnlcjpwqhnz\r\n";
        assert!(asked[0].contains(credentials), "{asked:?}");
        assert!(!asked[0].contains("secret"), "{asked:?}");
    }
}

/// RFC 9112 §3.2.2: the whole URL stands in the request.
#[tokio::test]
async fn http_is_read_by_the_proxy() {
    for tls in [false, true] {
        let (identity, proxy) = behind(Kind::Http, tls).await;
        let scheme = if tls { "https" } else { "http" };
        let by = format!("{scheme}://user:pass@{}", proxy.address);
        let client = identity.trusting_client_through(proxies(&[("HTTP_PROXY", &by)]).unwrap());
        let url = format!("http://{NAME}:81/keys?a=1");
        assert_eq!(get(&client, &url).await, Ok(KEYS));
        let asked = proxy.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(
            asked[0].starts_with("get http://keys.example.com:81/keys?a=1 http/1.1\r\n"),
            "{asked:?}"
        );
        assert!(
            asked[0].contains("\r\nhost: keys.example.com:81\r\n"),
            "{asked:?}"
        );
        assert!(
            asked[0].contains("\r\nproxy-authorization: basic dxnlcjpwyxnz\r\n"),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn socks_5_looks_the_name_up() {
    for (by, url, expected) in [
        (
            "socks5h://",
            "https://keys.example.com/keys",
            "keys.example.com:443",
        ),
        (
            "socks5://",
            "https://keys.example.com:444/keys",
            "keys.example.com:444",
        ),
        (
            "SOCKS5h://user:p%40ss@",
            "https://keys.example.com/keys",
            "user p@ss keys.example.com:443",
        ),
    ] {
        let (identity, proxy) = behind(Kind::Socks, false).await;
        let by = format!("{by}{}", proxy.address);
        let client = identity.trusting_client_through(proxies(&[("all_proxy", &by)]).unwrap());
        assert_eq!(get(&client, url).await, Ok(KEYS), "{by}");
        assert_eq!(proxy.asked(), [expected]);
    }
    let (address, _) = server(None).await;
    let proxy = Proxy::new(Kind::Socks, address, None).await;
    let by = format!("socks5h://{}", proxy.address);
    let client = https_through(AMPLE, proxies(&[("ALL_PROXY", &by)]).unwrap());
    assert_eq!(get(&client, "http://keys.example.com/keys").await, Ok(KEYS));
    assert_eq!(proxy.asked(), ["keys.example.com:80"]);
}

/// The server behind the proxy gets a request like any other.
#[tokio::test]
async fn what_is_listed_in_no_proxy_is_reached_directly() {
    let identity = Identity::of("127.0.0.1");
    let (address, _) = server(Some(identity.acceptor(&TLS13))).await;
    let proxy = Proxy::new(Kind::Http, address, None).await;
    let by = format!("http://user:pass@{}", proxy.address);
    let url = format!("https://{address}/keys");
    for (no, through) in [
        ("", true),
        ("localhost", true),
        ("127.0.0.2", true),
        ("127.0.0.1", false),
        ("example.com, 127.0.0.0/8", false),
        ("*", false),
    ] {
        let proxies = proxies(&[("HTTPS_PROXY", &by), ("NO_PROXY", no)]).unwrap();
        let client = identity.trusting_client_through(proxies);
        assert_eq!(get(&client, &url).await, Ok(KEYS), "{no}");
        assert_eq!(!proxy.asked().is_empty(), through, "{no}");
    }
}

/// The error names the proxy, and neither its user nor its password.
#[tokio::test]
async fn a_proxy_that_fails_is_named_without_its_credentials() {
    let identity = Identity::of("127.0.0.1");
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = nowhere.local_addr().unwrap();
    drop(nowhere);
    let refuses = Proxy::new(Kind::Refuses, closed, None).await;
    let hangs = Proxy::new(Kind::Hangs, closed, None).await;
    let acceptor = identity.acceptor(&TLS13);
    let unknown = Proxy::new(Kind::Http, closed, Some(acceptor)).await;
    for (scheme, at, timeout, expected) in [
        (
            "http",
            refuses.address,
            AMPLE,
            "proxy authorization required",
        ),
        ("http", closed, AMPLE, "refused"),
        (
            "http",
            hangs.address,
            Duration::from_millis(200),
            "no connection within",
        ),
        (
            "https",
            hangs.address,
            Duration::from_millis(200),
            "no connection within",
        ),
        (
            "socks5h",
            hangs.address,
            Duration::from_millis(200),
            "no connection within",
        ),
        ("https", unknown.address, AMPLE, "SSL_CERT_FILE"),
    ] {
        let by = format!("{scheme}://us3r:s3cret@{at}");
        let client = https_through(timeout, proxies(&[("HTTPS_PROXY", &by)]).unwrap());
        let error = get(&client, "https://keys.example.com/keys")
            .await
            .unwrap_err();
        assert!(error.contains(expected), "{by}: {error}");
        let named = error.contains(&format!("through the proxy {scheme}://{at}"));
        assert_eq!(named, timeout == AMPLE, "{error}");
        let shown = format!("{error}{client:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("us3r"),
            "{shown}"
        );
        // Nor in base64.
        assert!(!shown.contains("dXMzcjpzM2NyZXQ"), "{shown}");
    }
}

/// Which variable counts, for which URL.
#[test]
fn the_environment_is_read_as_others_do() {
    for (variables, http, https) in [
        (&[][..], None, None),
        (&[("HTTP_PROXY", "http://a:1")], Some("http://a:1/"), None),
        (&[("http_proxy", "http://a:1")], Some("http://a:1/"), None),
        (
            &[("HTTPS_PROXY", "https://a:1/x")],
            None,
            Some("https://a:1/"),
        ),
        (&[("https_proxy", "a:1")], None, Some("http://a:1/")),
        (&[("HTTPS_PROXY", "a")], None, Some("http://a/")),
        (
            &[("HTTPS_PROXY", " http://a:1 ")],
            None,
            Some("http://a:1/"),
        ),
        (
            &[("HTTPS_PROXY", "http://[::1]:1")],
            None,
            Some("http://[::1]:1/"),
        ),
        (
            &[("HTTPS_PROXY", "HTTP://u:p@a:1")],
            None,
            Some("http://a:1/"),
        ),
        (
            &[("ALL_PROXY", "socks5h://a:1")],
            Some("socks5h://a:1/"),
            Some("socks5h://a:1/"),
        ),
        (
            &[("all_proxy", "http://a:1"), ("HTTPS_PROXY", "http://b:2")],
            Some("http://a:1/"),
            Some("http://b:2/"),
        ),
        (
            &[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2")],
            None,
            Some("http://a:1/"),
        ),
        // One that is set and empty is none.
        (
            &[("HTTPS_PROXY", ""), ("https_proxy", "http://b:2")],
            None,
            Some("http://b:2/"),
        ),
        // A variable that is not needed need not be right.
        (
            &[
                ("HTTP_PROXY", "a:1"),
                ("HTTPS_PROXY", "a:1"),
                ("ALL_PROXY", "socks4://a:1"),
            ],
            Some("http://a:1/"),
            Some("http://a:1/"),
        ),
        // httpoxy: a CGI script, whose clients set HTTP_PROXY by a header field.
        (
            &[("HTTP_PROXY", "http://evil:1"), ("REQUEST_METHOD", "GET")],
            None,
            None,
        ),
        (
            &[
                ("HTTP_PROXY", "http://evil:1"),
                ("HTTPS_PROXY", "http://b:2"),
                ("REQUEST_METHOD", "GET"),
            ],
            None,
            Some("http://b:2/"),
        ),
        (
            &[("HTTPS_PROXY", "http://a:1"), ("NO_PROXY", "example.com")],
            None,
            None,
        ),
        (
            &[("HTTPS_PROXY", "http://a:1"), ("no_proxy", ".example.com")],
            None,
            None,
        ),
        (
            &[
                ("HTTPS_PROXY", "http://a:1"),
                ("NO_PROXY", "ample.com, other.example.com"),
            ],
            None,
            Some("http://a:1/"),
        ),
    ] {
        let proxies = proxies(variables).unwrap();
        for (scheme, expected) in [("http", http), ("https", https)] {
            let uri: Uri = format!("{scheme}://keys.example.com/").parse().unwrap();
            let proxy = proxies.of(&uri).map(|proxy| proxy.uri().to_string());
            assert_eq!(proxy.as_deref(), expected, "{variables:?} {scheme}");
        }
    }
    let uri: Uri = "https://keys.example.com/".parse().unwrap();
    assert!(Proxies::none().of(&uri).is_none());
}

/// A proxy that is meant and not understood is not passed by in silence.
#[test]
fn what_is_no_proxy_is_a_mistake_in_the_configuration() {
    for value in [
        "http://",
        "://",
        "http://us3r:s3cret@",
        "http://us3r:s3cret@a:99999",
        "http://us3r:s3/cret@a:1",
        "http://a:0",
        "http://a b:1",
        "ftp://us3r:s3cret@a:1",
        "socks4://us3r:s3cret@a:1",
        "direct://",
        "ü",
        "a:b:c",
    ] {
        for name in ["HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
            let error = proxies(&[(name, value)]).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("no_proxy"),
                "{error}"
            );
            assert!(!error.contains("s3") && !error.contains("us3r"), "{error}");
        }
    }
}
