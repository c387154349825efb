//! The endpoints of the authorization server, which can read what they have no use for.

use std::time::{Duration, Instant};

use axum::Router;
use bytes::Bytes;
use http::{Method, Request, Version};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::ServiceExt;
use tower_bearer::token_service::{
    AuthorizationServer, Client as OAuthClient, InMemoryClients, SecretHash, SigningKeys,
};

use crate::{raw::Client, server, support::Answer};

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// What the endpoints read beyond their use for it.
const BOUND: usize = 256 * 1024;

fn authorization_server() -> AuthorizationServer {
    let (_, hash) = SecretHash::generate().unwrap();
    let client = OAuthClient::builder("svc").secret(hash).scope("read");
    AuthorizationServer::builder()
        .issuer("https://login.example.com")
        .audience("https://api.example.com")
        .signing_keys(SigningKeys::generate().unwrap())
        .clients(InMemoryClients::new([client.build().unwrap()]).unwrap())
        .unlimited_failures()
        .body_timeout(Duration::from_millis(200))
        .build()
        .unwrap()
}

async fn serve() -> std::net::SocketAddr {
    let server = authorization_server();
    let app = Router::new()
        .route_service("/token", server.token_endpoint())
        .route_service("/refresh", server.refresh_endpoint())
        .route_service("/oauth", server.oauth_endpoint())
        .route_service("/revoke", server.revocation_endpoint())
        .route_service("/metadata", server.metadata())
        .route_service("/keys", server.key_set());
    server::serve_router(app).await
}

/// A request whose content is sent some time after its head, but without being asked for.
async fn send(client: &mut Client, request: &str, content: &[u8]) -> crate::raw::Head {
    client.send(request).await.unwrap();
    tokio::task::yield_now().await;
    // Whoever closes does not wait for the rest.
    let _ = client.send(content).await;
    let method = request.split(' ').next().unwrap();
    client.receive_to(method).await.unwrap()
}

fn head(method: &str, path: &str, headers: &str, size: usize) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {size}\r\n\r\n")
}

/// Up to the bound, content that nobody needs is read, and the connection is kept.
#[tokio::test]
async fn an_endpoint_reads_what_it_rejects_and_keeps_the_connection() {
    let address = serve().await;
    let mut client = Client::new(address);
    for path in ["/token", "/refresh", "/oauth", "/revoke"] {
        for (method, headers, size, status) in [
            ("PUT", FORM, 1_000, 405),
            ("GET", FORM, 100_000, 405),
            ("HEAD", FORM, 100_000, 405),
            ("POST", "content-type: text/plain\r\n", 100_000, 415),
            ("POST", FORM, 1_000, 400),
            ("POST", FORM, 100_000, 413),
            ("PUT", FORM, BOUND, 405),
        ] {
            for _ in 0..10 {
                let request = head(method, path, headers, size);
                let answer = send(&mut client, &request, &vec![b'x'; size]).await;
                assert_eq!(answer.status, status, "{method} {path} {size}");
                assert!(!answer.closes(), "{method} {path} {size}: {answer:?}");
                let good = client.get("/keys", "").await.unwrap();
                assert_eq!(good.status, 200, "{method} {path} {size}");
            }
        }
    }
    assert_eq!(client.connections, 1);
}

/// Beyond the bound, in bytes or in time, the connection ends, and the response says so.
#[tokio::test]
async fn an_endpoint_closes_the_connection_beyond_its_bounds() {
    let address = serve().await;
    let chunk = format!("{:x}\r\n{}\r\n", 70_000, "x".repeat(70_000));
    let chunked = "PUT /token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    for (request, content, waits) in [
        // Too much is declared, so nothing is read.
        (head("PUT", "/token", FORM, BOUND + 1), String::new(), false),
        (
            head("POST", "/token", FORM, 10_000_000),
            String::new(),
            false,
        ),
        // Too much comes.
        (chunked.to_owned(), chunk.repeat(4), false),
        // Nothing comes.
        (head("PUT", "/token", FORM, 1_000), String::new(), true),
        (chunked.to_owned(), chunk.clone(), true),
        // The body has had its time.
        (head("POST", "/token", FORM, 1_000), "x".to_owned(), false),
        // Content that the client first asks about is not asked for.
        (
            head("PUT", "/token", "expect: 100-continue\r\n", 1_000),
            String::new(),
            false,
        ),
    ] {
        let mut client = Client::new(address);
        let began = Instant::now();
        let answer = send(&mut client, &request, content.as_bytes()).await;
        assert!(answer.closes(), "{request}{answer:?}");
        let took = began.elapsed();
        assert_eq!(
            took > Duration::from_millis(1_900),
            waits,
            "{request}{took:?}"
        );
        let good = client.get("/keys", "").await.unwrap();
        assert_eq!(good.status, 200, "{request}");
        assert_eq!(client.connections, 2);
    }
}

/// The documents look at no body, so they go by what the headers say of it.
#[tokio::test]
async fn no_request_is_lost_after_a_document() {
    let address = serve().await;
    let mut client = Client::new(address);
    for path in ["/keys", "/metadata"] {
        for method in ["GET", "PUT"] {
            for size in [1_000, 100_000] {
                for _ in 0..50 {
                    client.send(head(method, path, "", size)).await.unwrap();
                    let answer = client.receive().await.unwrap();
                    assert!(answer.closes(), "{method} {path}");
                    let good = client.get(path, "").await.unwrap();
                    assert_eq!((good.status, good.closes()), (200, false));
                }
            }
        }
    }
}

type Frames = Vec<Result<Frame<Bytes>, &'static str>>;

/// Bodies that a server other than hyper may hand on.
#[tokio::test(start_paused = true)]
async fn an_endpoint_judges_the_body_and_not_the_headers() {
    let data = |size: usize| Ok(Frame::data(Bytes::from(vec![b'x'; size])));
    let trailers = || Ok(Frame::trailers(http::HeaderMap::new()));
    let rows: Vec<(&str, Frames, bool)> = vec![
        ("nothing", vec![], false),
        (
            "a little",
            vec![data(1), data(0), data(9), trailers()],
            false,
        ),
        ("the bound", vec![data(BOUND)], false),
        ("beyond it", vec![data(BOUND), data(1)], true),
        ("beyond it at once", vec![data(BOUND + 1)], true),
        ("a failure", vec![data(1), Err("failed")], true),
        ("a failure at once", vec![Err("failed")], true),
        // As many as there can be bytes, and one more.
        ("empty frames", (0..=BOUND).map(|_| data(0)).collect(), true),
    ];
    let server = authorization_server();
    for (of, frames, closes) in rows {
        let body = StreamBody::new(futures_util::stream::iter(frames));
        // Whatever the headers say.
        let request = Request::put("/token")
            .header("content-length", "0")
            .body(body)
            .unwrap();
        let response = server.token_endpoint().oneshot(request).await.unwrap();
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, 405, "{of}");
        assert_eq!(
            answer.header("connection"),
            closes.then_some("close"),
            "{of}"
        );
    }

    // Over HTTP/2 nothing is read, and nothing is said.
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let never = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, &str>>());
        let request = Request::put("/token").version(version).body(never).unwrap();
        let began = tokio::time::Instant::now();
        let response = server.token_endpoint().oneshot(request).await.unwrap();
        let (waited, closes) = match version {
            Version::HTTP_2 => (Duration::ZERO, None),
            _ => (Duration::from_secs(2), Some("close")),
        };
        assert_eq!(began.elapsed(), waited, "{version:?}");
        assert_eq!(Answer::of(response).await.header("connection"), closes);
    }

    // Documents.
    for (method, length, closes) in [
        (Method::GET, "5", true),
        (Method::GET, "0", false),
        (Method::HEAD, "5", true),
        (Method::POST, "5", true),
    ] {
        let request = Request::builder()
            .method(&method)
            .uri("/")
            .header("content-length", length);
        let request = request.body(()).unwrap();
        let response = server.key_set().oneshot(request).await.unwrap();
        let answer = Answer::of(response).await;
        assert_eq!(
            answer.header("connection"),
            closes.then_some("close"),
            "{method}"
        );
    }
}
