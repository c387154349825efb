//! A problem document (RFC 9457) and the response that carries it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

pub(super) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A problem document of RFC 9457, and a response by [`into_response`](Self::into_response).
///
/// The layer's own refusals look like this; a handler that makes its own with it answers in the same
/// voice. [`ProblemJson::problem`](crate::ProblemJson::problem) begins one with the `type`,
/// `instance` and `traceId` that the layer would use.
///
/// ```
/// use http::StatusCode;
/// use tower_bearer::Problem;
///
/// let problem = Problem::new(StatusCode::CONFLICT)
///     .type_uri("https://docs.example.com/docs/errors/out-of-stock")
///     .title("Out Of Stock")
///     .detail("Only 3 are left")
///     .instance("/orders/17")
///     .extension("left", 3);
///
/// assert_eq!(
///     problem.to_string(),
///     concat!(
///         r#"{"type":"https://docs.example.com/docs/errors/out-of-stock","title":"Out Of Stock","#,
///         r#""status":409,"detail":"Only 3 are left","instance":"/orders/17","left":3}"#,
///     )
/// );
/// let response = problem.into_response();
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Problem {
    status: StatusCode,
    type_uri: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    instance: Option<String>,
    trace_id: Option<String>,
    extensions: Vec<(String, Box<RawValue>)>,
}

/// The members that are written by their own methods.
const OWN_MEMBERS: [&str; 6] = ["type", "title", "status", "detail", "instance", "traceId"];

impl Problem {
    /// A problem of which the status says all: `type` is `about:blank` and `title` the status phrase
    /// (RFC 9457 §4.2.1).
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            type_uri: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
            detail: None,
            instance: None,
            trace_id: None,
            extensions: Vec::new(),
        }
    }

    /// `type`: the URI that names the kind of problem (RFC 9457 §3.1.1).
    pub fn type_uri(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.type_uri = uri.into();
        self
    }

    /// `title`: the kind of problem in a few words (RFC 9457 §3.1.3).
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = title.into();
        self
    }

    /// `detail`: what helps the client with this occurrence (RFC 9457 §3.1.4).
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// `instance`: a URI reference for this occurrence (RFC 9457 §3.1.5).
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// `traceId`: by what this occurrence is found in logs and traces.
    pub fn trace_id(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// Adds an extension member (RFC 9457 §3.2), after those before it. One of the same name is
    /// replaced.
    ///
    /// A name that the problem writes itself (`type`, `title`, `status`, `detail`, `instance`,
    /// `traceId`) is left out, and a value that JSON cannot hold, such as a map whose keys are no
    /// strings, becomes `null`.
    pub fn extension(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let name = name.into();
        if !OWN_MEMBERS.contains(&name.as_str()) {
            let value = serde_json::value::to_raw_value(&value)
                .unwrap_or_else(|_| RawValue::NULL.to_owned());
            self.extensions.retain(|(other, _)| *other != name);
            self.extensions.push((name, value));
        }
        self
    }

    /// The HTTP status, which the document repeats.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The response: `application/problem+json`, `Cache-Control: no-store` and the exact length.
    pub fn into_response(self) -> Response<Bytes> {
        let body = self.to_string();
        problem_response(self.status, body.into())
    }
}

/// The response around a document.
pub(super) fn problem_response(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let length = content_length(body.len());
    super::response(
        status,
        [
            (CONTENT_TYPE, PROBLEM_JSON),
            (CACHE_CONTROL, NO_STORE),
            (CONTENT_LENGTH, length),
        ],
        body,
    )
}

/// A length as a header. Problems have some hundred bytes, whose three digits are there already.
pub(super) fn content_length(length: usize) -> HeaderValue {
    static THREE_DIGITS: [[u8; 3]; 1000] = three_digits();
    match THREE_DIGITS
        .get(length)
        .map(|digits| std::str::from_utf8(digits))
    {
        Some(Ok(digits)) if length >= 100 => HeaderValue::from_static(digits),
        _ => HeaderValue::from(length),
    }
}

#[allow(clippy::indexing_slicing)] // Evaluated when it is compiled.
const fn three_digits() -> [[u8; 3]; 1000] {
    let mut all = [[b'0'; 3]; 1000];
    let mut number = 0;
    while number < all.len() {
        let [hundreds, tens, ones] = [number / 100, number / 10 % 10, number % 10];
        all[number] = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8];
        number += 1;
    }
    all
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &self.type_uri)?;
        map.serialize_entry("title", &self.title)?;
        map.serialize_entry("status", &self.status.as_u16())?;
        if let Some(detail) = &self.detail {
            map.serialize_entry("detail", detail)?;
        }
        if let Some(instance) = &self.instance {
            map.serialize_entry("instance", instance)?;
        }
        if let Some(trace_id) = &self.trace_id {
            map.serialize_entry("traceId", trace_id)?;
        }
        for (name, value) in &self.extensions {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The document in JSON.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl From<Problem> for Response<Bytes> {
    fn from(problem: Problem) -> Self {
        problem.into_response()
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Problem {
    fn into_response(self) -> axum_core::response::Response {
        Problem::into_response(self).map(axum_core::body::Body::from)
    }
}
