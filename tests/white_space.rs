//! White space around header values and the names of cookies means nothing (Attack 41; RFC 9110 §5.5):
//! HTTP/1 servers strip it, and HTTP/2 servers hand it on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, request::Parts};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Text, any_token, good_token, send};
use tower::{Layer, service_fn};
use tower_bearer::{BearerAuthLayer, CheckContext, Claims, TokenSource, Verifier};

/// SplitMix64 (Steele, Lea and Flood, 2014): the same requests in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    /// Mostly some white space, and sometimes none.
    fn blanks(&mut self) -> &'static str {
        self.pick(&["", " ", "\t", "  ", " \t", "\t \t"])
    }
}

/// A text with marks where white space means nothing.
const MARK: char = '\u{1}';

fn marked(line: &str) -> String {
    format!("{MARK}{line}{MARK}")
}

fn plain(line: &str) -> String {
    line.replace(MARK, "")
}

/// With white space at each mark.
fn spaced(line: &str, random: &mut Random) -> String {
    let mut parts = line.split(MARK);
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |line, part| line + random.blanks() + part)
}

/// A credential that is good, bad, or none. Each good one is another, and may be a token or a scheme.
fn credential(random: &mut Random) -> String {
    let token = format!("s3cr3t{:09}", random.below(1_000_000_000));
    let form = random.pick(&["#", "#", "#", "#.#=", "# #", "#,", "=", "", "\u{e9}"]);
    form.replace('#', &token)
}

fn cookie(random: &mut Random) -> String {
    let name = random.pick(&["session", "session", "session", "other", "xsession"]);
    let quote = random.pick(&["", "", "\""]);
    let value = credential(random);
    format!("{MARK}{name}{MARK}={MARK}{quote}{value}{quote}{MARK}")
}

/// The lines of a request, most of them with a credential in one of the places.
fn lines(random: &mut Random) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for _ in 0..=random.below(2) {
        let scheme = random.pick(&[
            "Bearer ",
            "Bearer ",
            "bearer   ",
            "Bearer",
            "Bearer\t",
            "Basic ",
            "\u{e9} ",
            "",
        ]);
        let line = match random.below(5) {
            0 => (
                "authorization",
                marked(&format!("{scheme}{}", credential(random))),
            ),
            1 => {
                let scheme = random.pick(&["", "", "Bearer "]);
                (
                    "x-auth-token",
                    marked(&format!("{scheme}{}", credential(random))),
                )
            }
            2 => {
                let cookies: Vec<_> = (0..=random.below(2)).map(|_| cookie(random)).collect();
                ("cookie", cookies.join(";"))
            }
            3 => {
                let credential = credential(random);
                let protocols = match random.below(3) {
                    0 => vec!["bearer", &credential, "chat"],
                    1 => vec!["chat", "bearer", &credential],
                    _ => vec!["chat", &credential],
                };
                let protocols: Vec<_> = protocols.into_iter().map(marked).collect();
                ("sec-websocket-protocol", protocols.join(","))
            }
            _ => ("x-function", marked(&credential(random))),
        };
        lines.push(line);
    }
    lines
}

fn request(lines: &[(&'static str, String)]) -> Request<Text> {
    let mut headers = HeaderMap::new();
    for (name, line) in lines {
        headers.append(*name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let mut request = Request::new(Text::default());
    *request.headers_mut() = headers;
    request
}

fn by_function(parts: &Parts) -> Option<Cow<'_, str>> {
    let line = parts.headers.get("x-function")?;
    let text = std::str::from_utf8(line.as_bytes()).unwrap();
    match text.len() % 2 {
        0 => Some(Cow::Borrowed(text)),
        _ => Some(Cow::Owned(text.to_owned())),
    }
}

fn layer() -> BearerAuthLayer<impl Verifier<Claims = (), Future: Send>> {
    BearerAuthLayer::new(any_token())
        .token_source(TokenSource::header("x-auth-token").unwrap())
        .token_source(TokenSource::cookie("session").unwrap())
        .token_source(TokenSource::web_socket_protocol())
        .token_source(TokenSource::from_fn(by_function))
        // What a check finds is what the layer has found.
        .check_fn(|cx: &CheckContext<'_, ()>| {
            let credentials = cx.credentials().unwrap();
            let subject = cx.claims().registered().subject();
            assert_eq!(Some(credentials.token().as_str()), subject);
            Ok(())
        })
}

/// What the layer decides, and what is left for the service: without white space, and without the places
/// that nobody can take a token out of.
#[derive(Debug, PartialEq, Eq)]
struct Decision {
    status: u16,
    reason: String,
    subject: Option<String>,
    left: Vec<(String, String)>,
}

async fn decide<V: Verifier>(layer: &BearerAuthLayer<V>, request: Request<Text>) -> Decision {
    let (answer, seen) = send(layer, request).await;
    let mut left = Vec::new();
    if let Some(seen) = &seen {
        for (name, value) in &seen.parts.headers {
            let is_place = name != "x-function";
            assert!(!is_place || value.is_sensitive(), "{name}");
            let text = String::from_utf8(value.as_bytes().to_vec()).unwrap();
            left.push((name.to_string(), text.replace([' ', '\t'], "")));
        }
    }
    Decision {
        status: answer.status.as_u16(),
        reason: answer.reason().to_owned(),
        subject: seen.and_then(|seen| seen.subject()),
        left,
    }
}

/// The same request with and without white space: the same decision, the same token, and the same rest.
#[tokio::test]
async fn white_space_changes_no_decision() {
    let mut random = Random(41);
    let layers = [
        (layer(), false),
        (layer().optional(), false),
        (layer().remove_token(), true),
        (layer().optional().remove_token(), true),
    ];
    let mut admitted = 0;
    for _ in 0..10_000 {
        let lines = lines(&mut random);
        let without = lines
            .iter()
            .map(|(name, line)| (*name, plain(line)))
            .collect::<Vec<_>>();
        let with = lines
            .iter()
            .map(|(name, line)| (*name, spaced(line, &mut random)));
        let with = with.collect::<Vec<_>>();
        for (layer, removes) in &layers {
            let expected = decide(layer, request(&without)).await;
            let found = decide(layer, request(&with)).await;
            assert_eq!(found, expected, "{with:?}");
            let Some(subject) = found.subject.filter(|_| *removes) else {
                continue;
            };
            admitted += 1;
            for (name, text) in &found.left {
                assert!(
                    name == "x-function" || !text.contains(&subject),
                    "{name} still holds the token: {with:?}"
                );
            }
        }
    }
    assert!(admitted > 1_000, "only {admitted} requests were let in");
}

/// A server and a client over HTTP/2 (h2 hands values on as they are), each place by itself.
#[tokio::test]
async fn white_space_over_http2_is_as_if_it_were_not_there() {
    let layer = BearerAuthLayer::new(good_token())
        .token_source(TokenSource::header("x-auth-token").unwrap())
        .token_source(TokenSource::cookie("session").unwrap())
        .optional()
        .remove_token();
    let service = layer.layer(service_fn(
        |request: Request<hyper::body::Incoming>| async move {
            let claims: Option<&Claims> = request.extensions().get();
            let subject = claims.and_then(|claims| claims.registered().subject());
            let rest: Vec<_> = request
                .headers()
                .values()
                .map(HeaderValue::as_bytes)
                .collect();
            let body = [subject.unwrap_or("nobody").as_bytes(), b"|", &rest.concat()].concat();
            Ok::<_, std::convert::Infallible>(http::Response::new(Text::from(Bytes::from(body))))
        },
    ));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(service);
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
    });
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);

    for (lines, expected) in [
        (&[("authorization", "Bearer good")][..], Ok("alice|")),
        (&[("authorization", " Bearer good")], Ok("alice|")),
        (&[("authorization", "\tBearer good")], Ok("alice|")),
        (&[("authorization", "Bearer good \t")], Ok("alice|")),
        (&[("authorization", " \t")], Ok("nobody| \t")),
        (&[("authorization", " Bearer bad")], Err(401)),
        (&[("authorization", "\tBearer")], Err(401)),
        (&[("authorization", " Bearer\tgood")], Err(401)),
        (
            &[("authorization", "Bearer good"), ("authorization", " ")],
            Err(400),
        ),
        (&[("x-auth-token", "\tgood ")], Ok("alice|")),
        (&[("x-auth-token", " Bearer good\t")], Ok("alice|")),
        (&[("cookie", "session =good")], Ok("alice|")),
        (
            &[("cookie", "a=1; session\t= good ;b=2")],
            Ok("alice|a=1; b=2"),
        ),
        (&[("cookie", " session = \"good\" ")], Ok("alice|")),
        (&[("cookie", "session =bad")], Err(401)),
        (
            &[
                ("authorization", " Bearer good"),
                ("cookie", "session =good"),
            ],
            Err(400),
        ),
        (&[("cookie", "session=good; session =good")], Err(400)),
    ] {
        let mut request = Request::get(format!("http://{address}/"));
        for (name, line) in lines {
            request = request.header(*name, *line);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = client.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        match expected {
            Ok(body_of) => assert_eq!((status, &*body), (200, body_of.as_bytes()), "{lines:?}"),
            Err(expected) => assert_eq!(status, expected, "{lines:?}"),
        }
    }
}
