//! Small helpers that the integration tests share.

#![allow(dead_code, unreachable_pub)]

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde::de::{Deserializer, MapAccess, Visitor};
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{AuthError, BearerAuthLayer, BearerToken, Claims, Verifier, reason, verify_fn};

/// The body of requests and responses.
pub type Text = Full<Bytes>;

pub const BASE: &str = "https://docs.example.com/docs/errors/";
pub const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The challenge of a request without credentials, with nothing configured.
pub const MISSING: &str = r#"Bearer realm="api""#;
/// The challenge of a token that does not hold, with nothing configured.
pub const INVALID: &str = "Bearer realm=\"api\", error=\"invalid_token\", \
                           error_description=\"Invalid or expired authentication token\"";

/// Lets every well-formed token pass, whose subject it then is: what was found can be seen.
pub fn any_token() -> impl Verifier<Claims = (), Future: Send> + Clone + Send + Sync + 'static {
    verify_fn(|token: BearerToken<'_>| Ok(Claims::builder().subject(token.as_str()).build(())))
}

/// Lets `good` pass, as alice.
pub fn good_token() -> impl Verifier<Claims = (), Future: Send> + Clone + Send + Sync + 'static {
    verify_fn(|token: BearerToken<'_>| match token.as_str() {
        "good" => Ok(Claims::builder().subject("alice").build(())),
        _ => Err(AuthError::invalid_token(reason::TOKEN_UNKNOWN)),
    })
}

/// Refuses every token with one error.
pub fn refusing(
    error: AuthError,
) -> impl Verifier<Claims = (), Future: Send> + Clone + Send + Sync + 'static {
    verify_fn(move |_: BearerToken<'_>| Err::<Claims, _>(error.clone()))
}

/// A GET of `/api/v2/elements` with these headers.
pub fn request(headers: &[(&str, &str)]) -> Request<Text> {
    request_to("/api/v2/elements", headers)
}

/// A GET with these headers.
pub fn request_to(uri: &str, headers: &[(&str, &str)]) -> Request<Text> {
    let mut builder = Request::get(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Text::from("sent")).unwrap()
}

/// What the service behind the layer saw.
pub struct Seen {
    pub parts: Parts,
    pub body: Bytes,
}

impl Seen {
    pub fn subject(&self) -> Option<String> {
        let claims: &Claims = self.parts.extensions.get()?;
        Some(claims.registered().subject()?.to_owned())
    }

    /// The values of every line of a header.
    pub fn all(&self, name: &str) -> Vec<String> {
        all(&self.parts.headers, name)
    }
}

type Respond = dyn Fn(&Parts) -> Response<Text> + Send + Sync;

/// The service behind the layer: keeps what it sees and answers `hello <subject>`.
#[derive(Clone)]
pub struct Inner {
    seen: Arc<Mutex<Vec<Seen>>>,
    respond: Arc<Respond>,
}

impl Inner {
    pub fn new() -> Self {
        Self::answering(|parts| {
            let subject = parts
                .extensions
                .get::<Claims>()
                .and_then(|claims| claims.registered().subject())
                .unwrap_or("nobody");
            Response::new(Text::from(format!("hello {subject}")))
        })
    }

    pub fn answering(f: impl Fn(&Parts) -> Response<Text> + Send + Sync + 'static) -> Self {
        Self {
            seen: Arc::default(),
            respond: Arc::new(f),
        }
    }

    /// What it has seen since this was asked last.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Service<Request<Text>> for Inner {
    type Response = Response<Text>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Text>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let (parts, mut body) = request.into_parts();
        let response = (self.respond)(&parts);
        // A `Full` has its one frame at once.
        let body = futures_util::FutureExt::now_or_never(body.frame())
            .flatten()
            .and_then(|frame| frame.unwrap().into_data().ok())
            .unwrap_or_default();
        self.seen.lock().unwrap().push(Seen { parts, body });
        ready(Ok(response))
    }
}

/// A response that has come to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    pub error: Option<AuthError>,
}

impl Answer {
    pub async fn of<B>(response: Response<B>) -> Self
    where
        B: Body,
        B::Error: fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .unwrap_or_else(|_| panic!("the body broke off"));
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_bytes().to_vec()).unwrap(),
            error: parts.extensions.get::<AuthError>().cloned(),
        }
    }

    /// The value of a header that stands there once; `None` if it does not.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.get_all(name).iter();
        let line = lines.next()?;
        assert!(lines.next().is_none(), "{name} stands there more than once");
        Some(line.to_str().unwrap())
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        all(&self.headers, name)
    }

    #[track_caller]
    pub fn challenge(&self) -> &str {
        self.header("www-authenticate").expect("a challenge")
    }

    /// The reason of the error in the extensions, or the empty string.
    pub fn reason(&self) -> &str {
        self.error.as_ref().map_or("", AuthError::reason)
    }

    /// A member of the problem that is a string.
    #[track_caller]
    pub fn member(&self, name: &str) -> String {
        let members = members(&self.body);
        let (_, value) = members.iter().find(|member| member.0 == name).expect(name);
        value.as_str().unwrap().to_owned()
    }

    /// That this is a 401 without an `error`, as for a request without credentials.
    #[track_caller]
    pub fn assert_missing(&self, of: &str) {
        assert_eq!(self.status, 401, "{of}");
        assert_eq!(self.challenge(), MISSING, "{of}");
        assert_eq!(self.reason(), reason::TOKEN_MISSING, "{of}");
    }

    /// That this is a 401 `invalid_token`.
    #[track_caller]
    pub fn assert_invalid(&self, reason: &str, of: &str) {
        assert_eq!(self.status, 401, "{of}");
        assert_eq!(self.challenge(), INVALID, "{of}");
        assert_eq!(self.reason(), reason, "{of}");
    }

    /// That this is a 400 `invalid_request`, for more than one credential.
    #[track_caller]
    pub fn assert_repeated(&self, of: &str) {
        assert_eq!(self.status, 400, "{of}");
        let challenge = Challenge::parse(self.challenge());
        assert_eq!(
            challenge.parameter("error"),
            Some("invalid_request"),
            "{of}"
        );
        assert_eq!(self.reason(), reason::TOKEN_REPEATED, "{of}");
    }
}

pub fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).iter();
    lines
        .map(|line| line.to_str().unwrap().to_owned())
        .collect()
}

/// Sends a request through the layer: the answer, and what the service behind saw, if it was called.
pub async fn send<V>(layer: &BearerAuthLayer<V>, request: Request<Text>) -> (Answer, Option<Seen>)
where
    V: Verifier,
{
    send_to(Inner::new(), layer, request).await
}

/// The same, to a service of one's own.
pub async fn send_to<V>(
    inner: Inner,
    layer: &BearerAuthLayer<V>,
    request: Request<Text>,
) -> (Answer, Option<Seen>)
where
    V: Verifier,
{
    let response = layer.layer(inner.clone()).oneshot(request).await.unwrap();
    let mut seen = inner.take();
    assert!(seen.len() <= 1, "the service was called more than once");
    (Answer::of(response).await, seen.pop())
}

/// A challenge by RFC 9110 §11.6.1: a scheme and parameters, here all of them quoted strings.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: String,
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Panics where the text is no such challenge, or names a parameter twice (RFC 9110 §11.2).
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let (scheme, mut rest) = text.split_once(' ').expect("a scheme and parameters");
        let mut parameters: Vec<(String, String)> = Vec::new();
        loop {
            let (name, quoted) = rest.split_once("=\"").expect("a quoted parameter");
            assert!(
                HeaderName::from_bytes(name.as_bytes()).is_ok(),
                "{name:?} is no token"
            );
            let repeated = parameters
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name));
            assert!(!repeated, "{name} stands there twice: {text}");
            let mut value = String::new();
            let mut characters = quoted.char_indices();
            let end = loop {
                match characters.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') => value.push(characters.next().unwrap().1),
                    (_, character) => value.push(character),
                }
            };
            parameters.push((name.to_owned(), value));
            match quoted.get(end + 1..).unwrap() {
                "" => break,
                more => rest = more.strip_prefix(", ").expect("a comma between parameters"),
            }
        }
        Self {
            scheme: scheme.to_owned(),
            parameters,
        }
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(other, _)| other == name)?;
        Some(&found.1)
    }
}

/// The members of a JSON object, in the order in which they stand there.
#[track_caller]
pub fn members(json: &str) -> Vec<(String, serde_json::Value)> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, serde_json::Value)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(json);
    let members = (&mut deserializer).deserialize_map(Members).expect(json);
    deserializer.end().expect(json);
    members
}
