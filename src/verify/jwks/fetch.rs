//! How keys are fetched: one GET, within limits that no client and no server can stretch.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, IF_NONE_MATCH, USER_AGENT},
    response,
};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_service::Service;

use super::{Address, BoxError, Document, discovery::Discovery, freshness, status::KeySetError};
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
                    KeySetError::new(
                        "function_failed",
                        format_args!(
                            "the function failed: {}",
                            without_queries(&error.to_string())
                        ),
                    )
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
        let max_age = freshness::of(&answer.headers);
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::NotModified { max_age });
        }
        let validator = answer.headers.get(ETAG).map(|etag| Validator {
            of: uri,
            etag: etag.clone(),
        });
        let json = String::from_utf8(answer.body.into())
            .map_err(|_| KeySetError::new("unreadable", "the answer is not UTF-8"))?;
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
    let client = Spare(Mutex::new(Some(client)));
    Arc::new(move |request| match client.get() {
        Some(client) => Box::pin(send(client, request.map(|()| B::default()))),
        None => Box::pin(async {
            Err(KeySetError::new(
                "connection",
                "another fetch is making use of the client",
            ))
        }),
    })
}

/// A client to make clones of, which need not be `Sync`.
///
/// It is taken out to be cloned, and put back: its `clone` is foreign code, and is not called with
/// a lock held (Attack 43). There is one fetch at a time, so that nobody misses it meanwhile.
struct Spare<S>(Mutex<Option<S>>);

impl<S: Clone> Spare<S> {
    fn get(&self) -> Option<S> {
        /// Puts the client back, also if its `clone` panics.
        struct Taken<'a, S>(&'a Spare<S>, Option<S>);

        impl<S> Drop for Taken<'_, S> {
            fn drop(&mut self) {
                if self.1.is_some() {
                    self.1 = self.0.exchange(self.1.take());
                }
            }
        }

        let taken = Taken(self, self.exchange(None));
        taken.1.clone()
    }
}

impl<S> Spare<S> {
    fn exchange(&self, client: Option<S>) -> Option<S> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut place, client)
    }
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
        .map_err(|_| KeySetError::new("timeout", "the client did not become ready"))?
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
    if freshness::is_coded(&parts.headers) {
        return Err(KeySetError::new(
            "content_encoding",
            "the answer has a content coding, though none was asked for",
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
        format_args!("the answer is larger than {MAX_BYTES} bytes"),
    )
}

/// An error with what is behind it: clients of HTTP say little in their own words.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    for _ in 0..6 {
        let Some(error) = source else { break };
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    without_queries(&text)
}

/// The text of an error that others wrote, without the queries of the URLs in it, which may be
/// secrets (Attack 44): some clients name the URL that they could not reach.
fn without_queries(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        match word.split_once('?') {
            Some((before, query)) if before.contains('/') => {
                kept.push_str(before);
                // What stands around the URL is not part of it.
                let end = query.trim_end_matches(|character: char| {
                    character.is_whitespace()
                        || matches!(
                            character,
                            ')' | ']' | '>' | '"' | '\'' | ':' | ';' | ',' | '.'
                        )
                });
                kept.push_str(query.get(end.len()..).unwrap_or_default());
            }
            _ => kept.push_str(word),
        }
    }
    kept
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
            "the client or the function panicked",
        )),
        Err(_) => Err(KeySetError::new(
            "timeout",
            format_args!("no answer within {time:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack 44.
    #[test]
    fn an_error_of_a_client_is_told_without_queries() {
        for (text, expected) in [
            ("no route to host", "no route to host"),
            ("is it down?", "is it down?"),
            (
                "error for url (https://h/jwks?key=s3cret): timed out",
                "error for url (https://h/jwks): timed out",
            ),
            (
                "GET \"https://h/jwks?key=s3cret&a=b?c\" failed",
                "GET \"https://h/jwks\" failed",
            ),
            ("GET /jwks?key=s3cret\nand", "GET /jwks\nand"),
            ("https://h?key=s3cret", "https://h"),
        ] {
            assert_eq!(without_queries(text), expected);
        }
    }

    /// Attack 43: the client is not locked while it is cloned, and stays if that panics.
    #[test]
    fn a_client_is_cloned_without_a_lock() {
        struct Odd(Arc<Mutex<Option<std::sync::Weak<Spare<Odd>>>>>);

        impl Clone for Odd {
            fn clone(&self) -> Self {
                let spare = self.0.lock().unwrap().clone();
                let spare = spare.expect("as the test says").upgrade().unwrap();
                assert!(spare.get().is_none(), "it is taken");
                Self(Arc::clone(&self.0))
            }
        }

        let slot = Arc::default();
        let spare = Arc::new(Spare(Mutex::new(Some(Odd(Arc::clone(&slot))))));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| spare.get()));
        assert!(panicked.is_err());
        slot.clear_poison();
        *slot.lock().unwrap() = Some(Arc::downgrade(&spare));
        for _ in 0..3 {
            assert!(spare.get().is_some());
        }
    }
}
