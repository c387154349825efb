//! How keys are fetched: one GET, within limits that no client and no server can stretch.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{
        ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, ETAG,
        IF_NONE_MATCH, USER_AGENT,
    },
    response,
};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_service::Service;

use super::{Address, BoxError, Document, discovery::Discovery, status::KeySetError};
use crate::verify::BoxFuture;

/// For longer no connection takes that is worth waiting for.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Some hundred keys with their certificate chains.
const MAX_BYTES: usize = 256 * 1024;

pub(super) type JsonFuture = BoxFuture<Result<String, BoxError>>;
pub(super) type JsonFunction = Arc<dyn Fn() -> JsonFuture + Send + Sync>;

/// Sends a request, and collects the answer.
pub(super) type Transport =
    Arc<dyn Fn(Request<()>) -> BoxFuture<Result<Response<Document>, KeySetError>> + Send + Sync>;

/// Where keys come from.
pub(super) enum Source {
    Url(Address, Transport),
    Issuer(Discovery, Transport),
    Function(JsonFunction),
}

pub(super) struct Fetcher(pub(super) Source);

/// What was fetched.
pub(super) enum Fetched {
    /// The keys are those that were fetched before.
    NotModified { max_age: Option<Duration> },
    Keys {
        json: String,
        max_age: Option<Duration>,
        validator: Option<Validator>,
    },
}

/// By what a server tells whether its answer is still the same (RFC 9110 §8.8.3).
#[derive(Clone, Debug)]
pub(super) struct Validator {
    of: Uri,
    etag: HeaderValue,
}

impl Fetcher {
    pub(super) async fn fetch(&self, known: Option<&Validator>) -> Result<Fetched, KeySetError> {
        let (uri, transport) = match &self.0 {
            Source::Function(f) => {
                let json = f().await.map_err(|error| {
                    KeySetError::new("function_failed", format!("the function failed: {error}"))
                })?;
                if json.len() > MAX_BYTES {
                    return Err(too_large());
                }
                return Ok(Fetched::Keys {
                    json,
                    max_age: None,
                    validator: None,
                });
            }
            Source::Url(address, transport) => (address.uri.clone(), transport),
            Source::Issuer(discovery, transport) => {
                (discovery.jwks_uri(transport).await?, transport)
            }
        };
        let known = known.filter(|known| known.of == uri);
        let answer = get(transport, uri.clone(), known.map(|known| &known.etag)).await?;
        let max_age = max_age(&answer.headers);
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::NotModified { max_age });
        }
        let validator = answer.headers.get(ETAG).map(|etag| Validator {
            of: uri,
            etag: etag.clone(),
        });
        let json = String::from_utf8(answer.body.into())
            .map_err(|_| KeySetError::new("unreadable", "the answer is not UTF-8".to_owned()))?;
        Ok(Fetched::Keys {
            json,
            max_age,
            validator,
        })
    }
}

pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Document,
}

/// Gets a document; 200 alone is one, or 304 where it was asked for.
pub(super) async fn get(
    transport: &Transport,
    uri: Uri,
    etag: Option<&HeaderValue>,
) -> Result<Answer, KeySetError> {
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/jwk-set+json, application/json"),
    );
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("tower-bearer/", env!("CARGO_PKG_VERSION"))),
    );
    if let Some(etag) = etag {
        headers.insert(IF_NONE_MATCH, etag.clone());
    }
    let (parts, body) = transport(request).await?.into_parts();
    let response::Parts {
        status, headers, ..
    } = parts;
    if status == StatusCode::OK || (status == StatusCode::NOT_MODIFIED && etag.is_some()) {
        Ok(Answer {
            status,
            headers,
            body,
        })
    } else {
        Err(KeySetError::of_status(status))
    }
}

/// A client as [`Transport`].
pub(super) fn transport<S, B, T>(client: S) -> Transport
where
    S: Service<Request<B>, Response = Response<T>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Default + Send + 'static,
    T: Body + Send + 'static,
    T::Data: Send,
    T::Error: Into<BoxError>,
{
    // Clients need not be `Sync`.
    let client = Mutex::new(client);
    Arc::new(move |request| {
        let client = client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Box::pin(send(client, request.map(|()| B::default())))
    })
}

async fn send<S, B, T>(
    mut client: S,
    request: Request<B>,
) -> Result<Response<Document>, KeySetError>
where
    S: Service<Request<B>, Response = Response<T>>,
    S::Error: Into<BoxError>,
    T: Body,
    T::Error: Into<BoxError>,
{
    let unreachable = |error: S::Error| KeySetError::new("connection", chain(&*error.into()));
    let ready = poll_fn(|cx| client.poll_ready(cx));
    tokio::time::timeout(CONNECT_TIMEOUT, ready)
        .await
        .map_err(|_| KeySetError::new("timeout", "the client did not become ready".to_owned()))?
        .map_err(unreachable)?;
    let (parts, body) = client
        .call(request)
        .await
        .map_err(unreachable)?
        .into_parts();
    // What is no answer is not read: it may be endless.
    if parts.status != StatusCode::OK {
        return Ok(Response::from_parts(parts, Document::new()));
    }
    if parts
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(KeySetError::new(
            "content_encoding",
            "the answer has a content coding, though none was asked for".to_owned(),
        ));
    }
    let declared = parts.headers.get(CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > MAX_BYTES as u64) {
        return Err(too_large());
    }
    let body: Pin<Box<T>> = Box::pin(body);
    match Limited::new(body, MAX_BYTES).collect().await {
        Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(KeySetError::new("connection", chain(&*error))),
    }
}

fn too_large() -> KeySetError {
    KeySetError::new(
        "too_large",
        format!("the answer is larger than {MAX_BYTES} bytes"),
    )
}

/// An error with what is behind it: clients of HTTP say little in their own words.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    for _ in 0..4 {
        let Some(error) = source else { break };
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

/// For how long the answer says that it is fresh (RFC 9111 §4.2), from now on.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for line in headers.get_all(CACHE_CONTROL) {
        for directive in line.to_str().ok()?.split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Some(Duration::ZERO);
            }
            if name.eq_ignore_ascii_case("max-age") {
                let seconds = value.trim().trim_matches('"').parse::<u64>();
                found = Some(Duration::from_secs(seconds.unwrap_or(0)));
            }
        }
    }
    let age = headers
        .get(AGE)
        .and_then(|age| age.to_str().ok()?.parse().ok());
    found.map(|found| found.saturating_sub(Duration::from_secs(age.unwrap_or(0))))
}

/// The whole of a fetch, which comes to an end in time, and to no other than an error if it panics.
pub(super) async fn within<F>(time: Duration, fetch: F) -> Result<Fetched, KeySetError>
where
    F: Future<Output = Result<Fetched, KeySetError>>,
{
    let fetch = std::panic::AssertUnwindSafe(fetch);
    let fetch = futures_util::FutureExt::catch_unwind(fetch);
    match tokio::time::timeout(time, fetch).await {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(_)) => Err(KeySetError::new(
            "panic",
            "the client or the function panicked".to_owned(),
        )),
        Err(_) => Err(KeySetError::new(
            "timeout",
            format!("no answer within {time:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_read_as_rfc_9111_has_it() {
        for (cache_control, age, expected) in [
            (None, None, None),
            (Some("max-age=300"), None, Some(300)),
            (
                Some("public, Max-Age = 300 , must-revalidate"),
                None,
                Some(300),
            ),
            (Some("max-age=\"300\""), None, Some(300)),
            (Some("max-age=300"), Some("100"), Some(200)),
            (Some("max-age=300"), Some("1000"), Some(0)),
            (Some("s-maxage=300"), None, None),
            (Some("no-cache"), None, Some(0)),
            (Some("max-age=300, no-store"), None, Some(0)),
            (Some("max-age=-1"), None, Some(0)),
            (Some("max-age=99999999999999999999"), None, Some(0)),
            (Some("public"), None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = cache_control {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(text));
            }
            if let Some(text) = age {
                headers.insert(AGE, HeaderValue::from_static(text));
            }
            let expected = expected.map(Duration::from_secs);
            assert_eq!(max_age(&headers), expected, "{cache_control:?} {age:?}");
        }
    }
}
