//! [`ProblemJson`]: refusals as problem documents, from parts that are built once.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode, request::Parts};

use super::{
    Reject, grpc,
    problem::{Problem, problem_response},
    trace_id::TraceId,
};
use crate::{
    error::{AuthError, AuthErrorKind, ConfigError},
    url,
};

/// The default answer to a refused request: a problem document of RFC 9457, or, where the request is
/// gRPC, an answer in gRPC (see [`is_grpc`](crate::is_grpc)).
///
/// ```
/// use tower_bearer::ProblemJson;
///
/// let problems = ProblemJson::new()
///     .type_base("https://docs.example.com/docs/errors/")?
///     .request_id_header("x-correlation-id")?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// An expired token is then answered, over HTTP, with the status 401 and
///
/// ```json
/// {
///   "type": "https://docs.example.com/docs/errors/unauthorized",
///   "title": "Unauthorized",
///   "status": 401,
///   "detail": "Invalid or expired authentication token",
///   "instance": "/api/v2/elements",
///   "traceId": "4bf92f3577b34da6a3ce929d0e0e4736"
/// }
/// ```
#[derive(Clone)]
pub struct ProblemJson {
    type_base: Option<String>,
    // The document of each kind up to `instance`, with which begins what differs from request to
    // request.
    heads: [String; AuthErrorKind::ALL.len()],
    request_id: HeaderName,
    trace_id: Option<Arc<TextOf>>,
    instance: Option<Arc<TextOf>>,
    grpc_web: bool,
}

type TextOf = dyn Fn(&Parts) -> Option<String> + Send + Sync;

impl Default for ProblemJson {
    fn default() -> Self {
        Self::new()
    }
}

impl ProblemJson {
    /// Without a base, so that the `type` is `about:blank` and the title the status phrase; the
    /// request id is taken from `x-request-id`.
    pub fn new() -> Self {
        let mut problems = Self {
            type_base: None,
            heads: Default::default(),
            request_id: HeaderName::from_static("x-request-id"),
            trace_id: None,
            instance: None,
            grpc_web: false,
        };
        problems.build_heads();
        problems
    }

    /// Sets the URI that each `type` begins with. The name of the problem (`unauthorized`,
    /// `token-revoked`, `access-denied`, `bad-request`, `service-unavailable`) is appended as it
    /// is: end the base with `/`, `#`, `=` or `:`.
    ///
    /// # Errors
    /// Returns an error if the base, or the base followed by such a name, is not a URI (RFC 3986).
    pub fn type_base(mut self, base: &str) -> Result<Self, ConfigError> {
        let invalid = |wrong: &str| {
            ConfigError::new(format!(
                "the type base `{}` {wrong}; write it as in `https://docs.example.com/errors/`",
                base.escape_debug()
            ))
        };
        url::check(base).map_err(invalid)?;
        for kind in AuthErrorKind::ALL {
            let whole = format!("{base}{}", kind.slug());
            if url::check(&whole).is_err() || !url::same_authority(base, &whole) {
                return Err(invalid("cannot be followed by the name of a problem"));
            }
        }
        self.type_base = Some(base.to_owned());
        self.build_heads();
        Ok(self)
    }

    /// Sets the header that an id of the request is taken from where it has no valid `traceparent`.
    /// The default is `x-request-id`, which tower-http's `SetRequestIdLayer` writes.
    ///
    /// # Errors
    /// If `name` cannot be a header name.
    pub fn request_id_header(mut self, name: &str) -> Result<Self, ConfigError> {
        self.request_id = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            ConfigError::new(format!(
                "`{}` cannot be a header name: use letters, digits and `-`",
                name.escape_debug()
            ))
        })?;
        Ok(self)
    }

    /// Answers gRPC-Web requests in gRPC too, as an answer of headers alone: HTTP 200, with `grpc-status` and
    /// `grpc-message`. By default they get the problem with its own status, which their clients understand: a refusal
    /// that looks like a 200 gets by a proxy that looks at the status. For clients of another origin, have the CORS
    /// layer expose these headers.
    #[must_use]
    pub fn grpc_web(mut self) -> Self {
        self.grpc_web = true;
        self
    }

    /// Takes the `traceId` from a function, such as one that asks the current span. Where it gives
    /// `None`, the headers are asked, and then an id is made.
    #[must_use]
    pub fn trace_id<F>(mut self, f: F) -> Self
    where
        F: Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    {
        self.trace_id = Some(Arc::new(f));
        self
    }

    /// Takes the `instance` from a function. Where it gives `None`, it is the path of the request.
    /// What a URI may not hold is percent-encoded in either.
    ///
    /// axum's `Router::nest` takes its prefix off the URI that an inner layer sees. The whole path
    /// is in an extension:
    ///
    /// ```
    /// use axum::extract::OriginalUri;
    /// use tower_bearer::ProblemJson;
    ///
    /// let problems = ProblemJson::new().instance(|request| {
    ///     let OriginalUri(uri) = request.extensions.get()?;
    ///     Some(uri.path().to_owned())
    /// });
    /// ```
    ///
    /// A query has no place in it: it may hold a token.
    #[must_use]
    pub fn instance<F>(mut self, f: F) -> Self
    where
        F: Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    {
        self.instance = Some(Arc::new(f));
        self
    }

    /// Begins a problem of one's own in this voice: its `type` is the base and `slug`, and its
    /// `instance` and `traceId` are those that a refusal of this request would have.
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use tower_bearer::ProblemJson;
    ///
    /// let problems = ProblemJson::new().type_base("https://docs.example.com/docs/errors/")?;
    /// let (request, _) = Request::get("/orders/17").body(()).unwrap().into_parts();
    ///
    /// let response = problems
    ///     .problem(StatusCode::NOT_FOUND, "unknown-order", &request)
    ///     .title("Unknown Order")
    ///     .into_response();
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn problem(&self, status: StatusCode, slug: &str, request: &Parts) -> Problem {
        let problem = match &self.type_base {
            Some(base) => Problem::new(status).type_uri(format!("{base}{slug}")),
            None => Problem::new(status),
        };
        let instance = self.instance.as_deref().and_then(|f| f(request));
        let trace_id = self.trace_id.as_deref().and_then(|f| f(request));
        problem
            .instance(match instance {
                Some(instance) => percent_encode(&instance, is_uri_byte),
                None => path_of(request),
            })
            .trace_id(
                trace_id
                    .unwrap_or_else(|| TraceId::of(&request.headers, &self.request_id).to_string()),
            )
    }

    /// The problem of an error as a whole, for what differs by more than `instance` and `traceId`.
    fn problem_of(&self, error: &AuthError, request: &Parts) -> Problem {
        let kind = error.kind();
        let problem = self
            .problem(kind.status(), kind.slug(), request)
            .detail(error.detail().to_owned());
        match self.type_base {
            Some(_) => problem.title(kind.title()),
            None => problem,
        }
    }

    /// The document of an error from parts that are there, if it differs by no more than `instance` and
    /// `traceId`.
    fn plain_document(&self, error: &AuthError, request: &Parts) -> Option<Bytes> {
        let path = request.uri.path();
        let plain = error.has_plain_detail()
            && self.instance.is_none()
            && self.trace_id.is_none()
            && is_uri_path(path);
        let head = self.heads.get(error.kind().index()).filter(|_| plain)?;
        let trace_id = TraceId::of(&request.headers, &self.request_id);
        let parts = [head.as_bytes(), path.as_bytes(), TRACE_ID, END];
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        // To the byte, so that the body takes the allocation over.
        let mut document = Vec::with_capacity(length + trace_id.len());
        document.extend_from_slice(head.as_bytes());
        document.extend_from_slice(path.as_bytes());
        document.extend_from_slice(TRACE_ID);
        trace_id.push_to(&mut document);
        document.extend_from_slice(END);
        Some(document.into())
    }

    fn speaks_grpc(&self, request: &Parts) -> bool {
        grpc::is_grpc(request) || (self.grpc_web && grpc::is_grpc_web(request))
    }

    fn build_heads(&mut self) {
        for kind in AuthErrorKind::ALL {
            let mut problem = Problem::new(kind.status()).detail(kind.detail());
            if let Some(base) = &self.type_base {
                problem = problem
                    .type_uri(format!("{base}{}", kind.slug()))
                    .title(kind.title());
            }
            let mut head = problem.to_string();
            head.pop();
            head.push_str(INSTANCE);
            if let Some(slot) = self.heads.get_mut(kind.index()) {
                *slot = head;
            }
        }
    }
}

const INSTANCE: &str = ",\"instance\":\"";
const TRACE_ID: &[u8] = b"\",\"traceId\":\"";
const END: &[u8] = b"\"}";

impl Reject for ProblemJson {
    fn reject(&self, error: &AuthError, request: &Parts) -> Response<Bytes> {
        if self.speaks_grpc(request) {
            return grpc::grpc_response(error, request);
        }
        match self.plain_document(error, request) {
            Some(document) => problem_response(error.kind().status(), document),
            None => self.problem_of(error, request).into_response(),
        }
    }

    fn problem_document(&self, error: &AuthError, request: &Parts) -> Option<Bytes> {
        if self.speaks_grpc(request) {
            return None;
        }
        self.plain_document(error, request)
    }
}

impl fmt::Debug for ProblemJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProblemJson")
            .field("type_base", &self.type_base)
            .field("request_id_header", &self.request_id)
            .field("trace_id", &self.trace_id.is_some())
            .field("instance", &self.instance.is_some())
            .field("grpc_web", &self.grpc_web)
            .finish_non_exhaustive()
    }
}

/// Whether a URI reference may hold it (RFC 3986 §2).
fn is_uri_byte(byte: u8) -> bool {
    is_path_byte(byte) || b"?#[]".contains(&byte)
}

/// Whether a path can be repeated as it is (RFC 3986 §3.3).
fn is_uri_path(path: &str) -> bool {
    const PLAIN: [bool; 256] = plain_bytes();
    !path.is_empty()
        && path
            .bytes()
            .all(|byte| PLAIN.get(usize::from(byte)) == Some(&true))
}

/// The bytes of a path that need not be looked at further, by their value.
#[allow(clippy::indexing_slicing)] // Evaluated when it is compiled.
const fn plain_bytes() -> [bool; 256] {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte] = is_path_byte(byte as u8) && byte as u8 != b'%';
        byte += 1;
    }
    plain
}

const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'-'
                | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'%'
        )
}

fn begins_with_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// The path of a request as a URI reference.
fn path_of(request: &Parts) -> String {
    match request.uri.path() {
        "" => "/".to_owned(),
        path => percent_encode(path, is_path_byte),
    }
}

/// Percent-encodes what may not stand there, and every `%` that begins no escape.
fn percent_encode(text: &str, may_stand: fn(u8) -> bool) -> String {
    let mut rest = text.as_bytes();
    let mut encoded = String::with_capacity(rest.len());
    while let [byte, after @ ..] = rest {
        if may_stand(*byte) && (*byte != b'%' || begins_with_escape(rest)) {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        rest = after;
    }
    encoded
}
