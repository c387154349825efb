//! The layer behind hyper, on real sockets: HTTP/1.1 and HTTP/2, by a verdict that is there at once and
//! by one that takes time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::{Body, Frame, Incoming},
    client::conn::http2,
    header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderValue},
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower::{ServiceBuilder, service_fn};
use tower_bearer::{
    AuthError, BearerAuthLayer, BearerToken, Claims, OwnedToken, ProblemJson, SharedVerifier,
    Verifier, verify_async_fn, verify_fn,
};

const GOOD: &str = "Bearer good";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PROBLEM: &str = concat!(
    r#"{"type":"https://docs.example.com/docs/errors/unauthorized","title":"Unauthorized","status":401,"#,
    r#""detail":"Invalid or expired authentication token","instance":"/hello","#,
    r#""traceId":"4bf92f3577b34da6a3ce929d0e0e4736"}"#,
);

type Error = Box<dyn std::error::Error + Send + Sync>;
type Frames = mpsc::UnboundedReceiver<Frame<Bytes>>;
type AnyBody = BoxBody<Bytes, Error>;

/// What the service behind the layer streams to whoever asks for `/stream`.
type ToStream = Arc<Mutex<Option<Frames>>>;

fn judge(token: &str) -> Result<Claims, AuthError> {
    match token {
        "good" => Ok(Claims::builder().subject("alice").build(())),
        _ => Err(AuthError::invalid_token("unknown")),
    }
}

/// One that answers at once, and one that takes its time: it is polled more than once.
fn verifiers() -> [SharedVerifier<()>; 2] {
    let at_once = verify_fn(|token: BearerToken<'_>| judge(token.as_str()));
    let later = verify_async_fn(|token: OwnedToken| async move {
        tokio::task::yield_now().await;
        judge(token.as_str())
    });
    [at_once.shared(), later.shared()]
}

/// The service behind the layer. `/stream` is asked for once.
async fn behind(
    request: Request<Incoming>,
    to_stream: ToStream,
) -> Result<Response<AnyBody>, Error> {
    let claims: &Claims = request.extensions().get().ok_or("no claims")?;
    assert_eq!(claims.registered().subject(), Some("alice"));
    let response = match (request.method(), request.uri().path()) {
        // A service answers HEAD itself: over HTTP/2 hyper does not take the body out.
        (&Method::HEAD, "/hello") => Response::builder()
            .header(CONTENT_LENGTH, "hello alice".len())
            .body(full("")),
        (_, "/hello") => Response::builder().body(full("hello alice")),
        (_, "/stream") => {
            let frames = to_stream.lock().unwrap().take().ok_or("asked for twice")?;
            Response::builder().body(streamed(frames))
        }
        (_, "/length") => {
            let body = request.into_body().collect().await?;
            Response::builder()
                .header("x-length", body.to_bytes().len())
                .body(full(""))
        }
        (_, "/echo") => Response::builder()
            .header("trailer", "x-checksum")
            .body(request.into_body().map_err(Into::into).boxed()),
        _ => panic!("asked for {}", request.uri()),
    };
    Ok(response?)
}

fn full(text: &'static str) -> AnyBody {
    Full::from(text).map_err(|never| match never {}).boxed()
}

/// A body of the frames that come out of a channel, as they come.
fn streamed(mut frames: Frames) -> AnyBody {
    let frames = stream::poll_fn(move |cx| frames.poll_recv(cx));
    let frames = futures_util::StreamExt::map(frames, Ok::<_, Infallible>);
    BodyExt::map_err(StreamBody::new(frames), |never| match never {}).boxed()
}

/// A server on a port of its own, and what feeds its `/stream`.
async fn serve(verifier: SharedVerifier<()>) -> (SocketAddr, mpsc::UnboundedSender<Frame<Bytes>>) {
    let problems = ProblemJson::new()
        .type_base("https://docs.example.com/docs/errors/")
        .unwrap();
    let auth = BearerAuthLayer::new(verifier).reject(problems);
    let (feed, frames) = mpsc::unbounded_channel();
    let frames = Arc::new(Mutex::new(Some(frames)));
    let service = ServiceBuilder::new()
        .layer(auth)
        .service(service_fn(move |request| {
            behind(request, Arc::clone(&frames))
        }));
    let service = TowerToHyperService::new(service);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
        }
    });
    (address, feed)
}

fn request(address: SocketAddr, method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header("traceparent", TRACEPARENT)
}

fn empty() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

async fn send(version: Version, request: Request<AnyBody>) -> Response<Incoming> {
    let response = Client::builder(TokioExecutor::new())
        .http2_only(version == Version::HTTP_2)
        .build_http()
        .request(request)
        .await
        .unwrap();
    assert_eq!(response.version(), version);
    response
}

/// Runs a test with each verifier over each protocol. What hangs fails.
async fn each<F: Future<Output = ()>>(test: impl Fn(SharedVerifier<()>, Version) -> F) {
    for verifier in verifiers() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            in_time(test(verifier.clone(), version)).await;
        }
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("hangs")
}

/// The headers, but for the time of day.
fn headers<T>(response: &Response<T>) -> HeaderMap {
    let mut headers = response.headers().clone();
    headers.remove("date").expect("hyper says the time");
    headers
}

#[tokio::test]
async fn a_good_token_comes_in_and_no_other() {
    each(|verifier, version| async move {
        let (address, _feed) = serve(verifier).await;
        let get = || request(address, Method::GET, "/hello");

        let good = get().header(AUTHORIZATION, GOOD).body(empty()).unwrap();
        let response = send(version, good).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "hello alice");

        for (credentials, challenge) in [
            (None, r#"Bearer realm="api""#),
            (
                Some("Bearer bad"),
                concat!(
                    r#"Bearer realm="api", error="invalid_token", "#,
                    r#"error_description="Invalid or expired authentication token""#,
                ),
            ),
        ] {
            let mut request = get().body(empty()).unwrap();
            if let Some(credentials) = credentials {
                let credentials = HeaderValue::from_static(credentials);
                request.headers_mut().insert(AUTHORIZATION, credentials);
            }
            let response = send(version, request).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            let expected: HeaderMap = [
                ("content-type", "application/problem+json"),
                ("cache-control", "no-store"),
                ("content-length", &PROBLEM.len().to_string()),
                ("www-authenticate", challenge),
            ]
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
            assert_eq!(headers(&response), expected);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, PROBLEM);
        }
    })
    .await;
}

/// RFC 9110 §9.3.2: the headers of a GET, and no content.
#[tokio::test]
async fn head_is_answered_like_get_but_for_the_body() {
    each(|verifier, version| async move {
        let (address, _feed) = serve(verifier).await;
        for (credentials, length) in [
            (GOOD, "hello alice".len()),
            ("Bearer bad", PROBLEM.len()),
            ("Basic YTpi", PROBLEM.len()),
        ] {
            let [get, head] = [Method::GET, Method::HEAD].map(|method| {
                request(address, method, "/hello")
                    .header(AUTHORIZATION, credentials)
                    .body(empty())
                    .unwrap()
            });
            let get = send(version, get).await;
            let head = send(version, head).await;
            assert_eq!(head.status(), get.status());
            assert_eq!(headers(&head), headers(&get));
            assert_eq!(head.headers()[CONTENT_LENGTH], length.to_string());
            assert!(head.body().is_end_stream());
            let body = get.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), length);
        }
    })
    .await;
}

/// Sends `text` over HTTP/1.1, and reads until the server hangs up or has said `end`.
async fn raw_http1(stream: &mut TcpStream, text: &str, end: Option<&str>) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while end.is_none_or(|end| !answer.ends_with(end.as_bytes()))
        && stream.read_buf(&mut answer).await.unwrap() > 0
    {}
    String::from_utf8(answer).unwrap()
}

/// The head of the refusal of [`PROBLEM`], as hyper writes it.
fn refusal(challenge: &str) -> String {
    format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\n\
         cache-control: no-store\r\ncontent-length: {}\r\nwww-authenticate: {challenge}\r\n\r\n",
        PROBLEM.len(),
    )
}

#[tokio::test]
async fn a_refusal_byte_for_byte_over_http1() {
    for verifier in verifiers() {
        let (address, _feed) = serve(verifier).await;
        // Two on one connection: after a HEAD the next answer begins at once.
        let requests = format!(
            "HEAD /hello HTTP/1.1\r\nhost: x\r\ntraceparent: {TRACEPARENT}\r\n\r\n\
             GET /hello HTTP/1.1\r\nhost: x\r\ntraceparent: {TRACEPARENT}\r\nconnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answers = in_time(raw_http1(&mut stream, &requests, None)).await;
        let answers: String = answers
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("date: "))
            .collect();

        let head = refusal(r#"Bearer realm="api""#);
        let last = head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        assert_eq!(answers, format!("{head}{last}{PROBLEM}"));
    }
}

/// A frame of HTTP/2: its type, its flags and its stream (RFC 9113 §4.1).
#[derive(Debug, PartialEq, Eq)]
struct RawFrame {
    kind: u8,
    flags: u8,
    stream: u32,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn write_frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    to.extend_from_slice(&length[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// The frames that are whole in `bytes`.
fn frames(mut bytes: &[u8]) -> Vec<RawFrame> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, flags, d, e, f, g, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]);
        let Some(rest) = rest.get(usize::try_from(length).unwrap()..) else {
            break;
        };
        frames.push(RawFrame {
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes([*d, *e, *f, *g]),
        });
        bytes = rest;
    }
    frames
}

/// Sends one request over HTTP/2, hangs up once it is answered, and gives every frame of its stream.
async fn raw_http2(address: SocketAddr, headers: &[(&str, &str)]) -> Vec<RawFrame> {
    let mut block = Vec::new();
    for (name, value) in headers {
        // A literal that is not indexed (RFC 7541 §6.2.2).
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "the length is written in one byte");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    write_frame(&mut bytes, SETTINGS, 0, 0, &[]);
    write_frame(&mut bytes, HEADERS, END_STREAM | END_HEADERS, 1, &block);

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let is_last = |frame: &RawFrame| frame.stream == 1 && frame.flags & END_STREAM != 0;
    while !frames(&answer).iter().any(is_last) {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "hung up");
    }
    stream.shutdown().await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();

    let mut frames = frames(&answer);
    frames.retain(|frame| frame.stream == 1);
    frames
}

#[tokio::test]
async fn a_refused_head_has_no_data_frame_over_http2() {
    for verifier in verifiers() {
        let (address, _feed) = serve(verifier).await;
        let host = address.to_string();
        let ask = async |method| {
            let request = [
                (":method", method),
                (":scheme", "http"),
                (":authority", host.as_str()),
                (":path", "/hello"),
                ("authorization", "Bearer bad"),
            ];
            in_time(raw_http2(address, &request)).await
        };

        let head = RawFrame {
            kind: HEADERS,
            flags: END_HEADERS | END_STREAM,
            stream: 1,
        };
        assert_eq!(ask("HEAD").await, [head]);

        let get = ask("GET").await;
        assert_eq!((get[0].kind, get[0].flags), (HEADERS, END_HEADERS));
        assert!(get[1..].iter().all(|frame| frame.kind == DATA));
        assert_eq!(get.last().unwrap().flags, END_STREAM);
    }
}

async fn next_data(body: &mut Incoming) -> Bytes {
    let frame = body.frame().await.expect("there is more").unwrap();
    frame.into_data().expect("data")
}

/// The second chunk is made only once the client has the first.
#[tokio::test]
async fn a_response_body_is_not_buffered() {
    each(|verifier, version| async move {
        let (address, feed) = serve(verifier).await;
        let request = request(address, Method::GET, "/stream")
            .header(AUTHORIZATION, GOOD)
            .body(empty())
            .unwrap();
        let response = send(version, request).await;
        assert_eq!(response.headers().get(CONTENT_LENGTH), None);
        let mut body = response.into_body();
        for chunk in ["one", "two", "three"] {
            feed.send(Frame::data(Bytes::from(chunk))).unwrap();
            assert_eq!(next_data(&mut body).await, chunk);
        }
        drop(feed);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "");
    })
    .await;
}

/// A request with a body that is fed as it goes, and with trailers (RFC 9110 §6.5).
fn upload(address: SocketAddr, frames: Frames) -> Request<AnyBody> {
    request(address, Method::POST, "/echo")
        .header(AUTHORIZATION, GOOD)
        .header("te", "trailers")
        .header("trailer", "x-checksum")
        .body(streamed(frames))
        .unwrap()
}

/// The service has the first chunk, and answers with it, before the second is sent.
#[tokio::test]
async fn a_request_body_is_not_buffered() {
    each(|verifier, version| async move {
        let (address, _feed) = serve(verifier).await;
        let (body, frames) = mpsc::unbounded_channel();
        let response = send(version, upload(address, frames)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let mut echo = response.into_body();
        for chunk in ["one", "two", "three"] {
            body.send(Frame::data(Bytes::from(chunk))).unwrap();
            assert_eq!(next_data(&mut echo).await, chunk);
        }
        drop(body);
        assert_eq!(echo.collect().await.unwrap().to_bytes(), "");
    })
    .await;
}

#[tokio::test]
async fn a_large_request_body_is_untouched() {
    let chunks: Vec<Bytes> = (0..64_u8).map(|n| vec![n; 40_000].into()).collect();
    let trailers: HeaderMap = [(
        "x-checksum".parse().unwrap(),
        HeaderValue::from_static("17"),
    )]
    .into_iter()
    .collect();

    each(|verifier, version| {
        let (chunks, trailers) = (&chunks, &trailers);
        async move {
            let (address, _feed) = serve(verifier).await;
            let (body, frames) = mpsc::unbounded_channel();
            for chunk in chunks {
                body.send(Frame::data(chunk.clone())).unwrap();
            }
            body.send(Frame::trailers(trailers.clone())).unwrap();
            drop(body);

            let response = send(version, upload(address, frames)).await;
            let echo = response.into_body().collect().await.unwrap();
            assert_eq!(echo.trailers(), Some(trailers));
            assert!(echo.to_bytes() == chunks.concat(), "other bytes came back");
        }
    })
    .await;
}

/// RFC 9112 §9.6: the response announces that the connection ends, and then it does. What becomes of the
/// next request is in `tests/connection`.
#[tokio::test]
async fn a_rejection_of_a_request_with_content_ends_the_connection_and_says_so() {
    for verifier in verifiers() {
        let (address, _feed) = serve(verifier).await;
        for (content, ends) in [("", false), ("content-length: 11\r\n", true)] {
            // Of the content nothing comes: all at once, hyper would read it by the way.
            let request = format!(
                "POST /hello HTTP/1.1\r\nhost: x\r\ntraceparent: {TRACEPARENT}\r\n{content}\r\n"
            );
            let mut stream = TcpStream::connect(address).await.unwrap();
            let answer = in_time(raw_http1(&mut stream, &request, Some(PROBLEM))).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            assert_eq!(answer.contains("connection: close\r\n"), ends, "{answer}");
            let good =
                format!("GET /hello HTTP/1.1\r\n{HOST}: x\r\n{AUTHORIZATION}: {GOOD}\r\n\r\n");
            if ends {
                let rest = in_time(stream.read(&mut [0])).await.unwrap();
                assert_eq!(rest, 0, "the connection goes on");
            } else {
                let answer = in_time(raw_http1(&mut stream, &good, Some("hello alice"))).await;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
        }
    }
}

/// RFC 9113 §8.2.2: `Connection` is an error over HTTP/2, where a stream ends alone.
#[tokio::test]
async fn a_rejection_over_http2_leaves_the_connection_alone() {
    for verifier in verifiers() {
        let (address, _feed) = serve(verifier).await;
        let body = Full::from("small body!").map_err(|never| match never {});
        let request = request(address, Method::POST, "/hello")
            .body(AnyBody::new(body))
            .unwrap();
        let response = in_time(send(Version::HTTP_2, request)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers().get("connection"), None);
    }
}

/// RFC 9110 §9.3, §15.5: a refusal need not wait for content that nobody will read.
#[tokio::test]
async fn a_refusal_does_not_wait_for_the_request_body() {
    each(|verifier, version| async move {
        let (address, _feed) = serve(verifier).await;
        let (body, frames) = mpsc::unbounded_channel();
        body.send(Frame::data(Bytes::from("a beginning"))).unwrap();
        let mut request = upload(address, frames);
        request.headers_mut().remove(AUTHORIZATION);
        let response = send(version, request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let problem = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            problem.len(),
            PROBLEM.len() - "/hello".len() + "/echo".len()
        );
        // Not before: the upload went on for as long as the refusal took.
        drop(body);
    })
    .await;
}

/// What is refused gives back its share of the connection's flow control (RFC 9113 §5.2): many uploads
/// of far more than the window leave room for one more.
#[tokio::test]
async fn refused_uploads_do_not_use_up_an_http2_connection() {
    let chunk = Bytes::from(vec![7; 300_000]);
    for verifier in verifiers() {
        let (address, _feed) = serve(verifier).await;
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut ask = async |credentials| {
            let body = Full::new(chunk.clone()).map_err(|never| match never {});
            let request = request(address, Method::POST, "/length")
                .header(AUTHORIZATION, credentials)
                .body(AnyBody::new(body))
                .unwrap();
            in_time(sender.send_request(request)).await.unwrap()
        };
        for _ in 0..20 {
            let refused = ask("Bearer bad").await;
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
            let body = in_time(refused.into_body().collect()).await.unwrap();
            assert!(!body.to_bytes().is_empty());
        }
        let good = ask(GOOD).await;
        assert_eq!(good.status(), StatusCode::OK);
        assert_eq!(good.headers()["x-length"], "300000");
    }
}

/// RFC 9110 §10.1.1: who asks first whether to send a body hears the refusal instead of a 100.
#[tokio::test]
async fn a_refused_body_is_not_asked_for() {
    for verifier in verifiers() {
        let (address, _feed) = serve(verifier).await;
        let request = |credentials| {
            format!(
                "POST /length HTTP/1.1\r\nhost: x\r\nauthorization: {credentials}\r\n\
                 connection: close\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
            )
        };
        let mut stream = TcpStream::connect(address).await.unwrap();
        let refused = in_time(raw_http1(&mut stream, &request("Bearer bad"), None)).await;
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");

        // The service is let in, and asks.
        let mut stream = TcpStream::connect(address).await.unwrap();
        let end = Some("\r\n\r\n");
        let asked = in_time(raw_http1(&mut stream, &request(GOOD), end)).await;
        assert_eq!(asked, "HTTP/1.1 100 Continue\r\n\r\n");
        let answer = in_time(raw_http1(&mut stream, "body", None)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("x-length: 4\r\n"), "{answer}");
    }
}
