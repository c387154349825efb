//! How a refusal is said: [`Reject`] makes the answer, the layer's voice makes it keep the protocol.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, Entry, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};

use crate::{
    error::{AuthError, AuthErrorKind, ConfigError},
    observe,
};

mod challenge;
mod early;
mod grpc;
mod heads;
mod problem;
mod problem_json;
mod trace_id;

#[cfg(all(feature = "token-service", feature = "_crypto"))]
pub(crate) use challenge::description;
pub(crate) use challenge::{Challenges, scope_tokens};
pub(crate) use early::finish;
#[cfg(all(feature = "token-service", feature = "_crypto"))]
pub(crate) use early::finish_having_read;
pub use grpc::{grpc_response, is_grpc};
pub use problem::Problem;
pub use problem_json::ProblemJson;

use heads::Heads;

/// Makes the response to a request that is rejected.
///
/// The default is [`ProblemJson`]. Whatever an implementation returns, the layer takes care of the rest
/// of the protocol:
///
/// * It adds the challenge, `Cache-Control: no-store`, `Retry-After` and the headers of the error.
/// * It removes the body of a response to HEAD (RFC 9110 §9.3.2).
/// * It adds `Connection: close` over HTTP/1 if the request has content, which nobody will read
///   (RFC 9112 §9.3). See [`BearerAuthLayer`](crate::BearerAuthLayer) for what that means.
/// * It puts the [`AuthError`] into the extensions of the response.
///
/// The request comes without its body. Its credential is marked as sensitive, so that the `Debug` of its
/// headers does not show it.
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, request::Parts};
/// use tower_bearer::{AuthError, Reject};
///
/// struct Plain;
///
/// impl Reject for Plain {
///     fn reject(&self, error: &AuthError, _request: &Parts) -> Response<Bytes> {
///         let mut response = Response::new(Bytes::from(error.detail().to_owned()));
///         *response.status_mut() = error.kind().status();
///         response
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot make the answer to a refused request",
    label = "not a `Reject`",
    note = "implement `Reject`, or pass a closure to `reject_fn`: \
            `.reject_fn(|error: &AuthError, request: &Parts| Response<Bytes>)`"
)]
pub trait Reject: Send + Sync + 'static {
    /// The answer to `request`, which was refused because of `error`.
    fn reject(&self, error: &AuthError, request: &Parts) -> Response<Bytes>;

    /// The body of the same answer, where all else of it is as [`Problem::into_response`] makes it for
    /// this kind of error: the layer has those headers ready, with its own.
    #[doc(hidden)]
    fn problem_document(&self, error: &AuthError, request: &Parts) -> Option<Bytes> {
        let _ = (error, request);
        None
    }
}

impl<R: Reject + ?Sized> Reject for Arc<R> {
    fn reject(&self, error: &AuthError, request: &Parts) -> Response<Bytes> {
        (**self).reject(error, request)
    }

    fn problem_document(&self, error: &AuthError, request: &Parts) -> Option<Bytes> {
        (**self).problem_document(error, request)
    }
}

/// A closure as [`Reject`], by [`BearerAuthLayer::reject_fn`](crate::BearerAuthLayer::reject_fn).
pub(crate) struct RejectFn<F>(pub(crate) F);

impl<F> Reject for RejectFn<F>
where
    F: Fn(&AuthError, &Parts) -> Response<Bytes> + Send + Sync + 'static,
{
    fn reject(&self, error: &AuthError, request: &Parts) -> Response<Bytes> {
        (self.0)(error, request)
    }
}

/// The voice of a layer: a [`Reject`], and the protocol that is the same for all of them.
///
/// The layer, what it lays further in ([`RequireLayer`](crate::RequireLayer)) and the extractor of a
/// request that it let through anonymously all speak with it: here is where refusals are observed.
#[derive(Clone)]
pub(crate) struct Voice {
    reject: Arc<dyn Reject>,
    challenges: Challenges,
    heads: Heads,
}

impl Voice {
    pub(crate) fn new(reject: impl Reject) -> Self {
        let challenges = Challenges::default();
        Self {
            reject: Arc::new(reject),
            heads: Heads::of(&challenges),
            challenges,
        }
    }

    pub(crate) fn set_reject(&mut self, reject: impl Reject) {
        self.reject = Arc::new(reject);
    }

    /// Changes the challenges, and what is made of them.
    pub(crate) fn set_challenges(
        &mut self,
        set: impl FnOnce(&mut Challenges) -> Result<(), ConfigError>,
    ) -> Result<(), ConfigError> {
        set(&mut self.challenges)?;
        self.heads = Heads::of(&self.challenges);
        Ok(())
    }

    pub(crate) fn answer(&self, error: AuthError, request: &Parts) -> Response<Bytes> {
        let document = match error.is_plain() {
            true => self.reject.problem_document(&error, request),
            false => None,
        };
        let mut response = match document {
            Some(document) => self.heads.response(error.kind(), document),
            None => {
                let mut response = self.reject.reject(&error, request);
                complete(&mut response, &error, &self.challenges);
                response
            }
        };
        finish(&mut response, request);
        observe::refused(&error, response.status());
        response.extensions_mut().insert(error);
        response
    }
}

/// Adds to an answer the headers that the protocol asks for.
fn complete(response: &mut Response<Bytes>, error: &AuthError, challenges: &Challenges) {
    let challenged = error.kind().code().is_some() || response.status() == StatusCode::UNAUTHORIZED;
    if challenged || matches!(error.kind(), AuthErrorKind::MissingToken) {
        add_challenge(response, challenges.of(error));
    }
    let headers = response.headers_mut();
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Some(delay) = error.retry_after() {
        let seconds = delay
            .as_secs()
            .saturating_add(u64::from(delay.subsec_nanos() > 0));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    for (name, value) in error.headers() {
        headers.append(name, value.clone());
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voice")
            .field("challenges", &self.challenges)
            .finish_non_exhaustive()
    }
}

/// Puts the layer's challenge first (some clients read no further), and behind it whatever the
/// `Reject` has put there for other schemes.
fn add_challenge(response: &mut Response<Bytes>, challenge: HeaderValue) {
    match response.headers_mut().entry(WWW_AUTHENTICATE) {
        Entry::Vacant(entry) => {
            entry.insert(challenge);
        }
        Entry::Occupied(mut entry) => {
            let others: Vec<_> = entry
                .iter()
                .filter(|line| !is_bearer(line))
                .cloned()
                .collect();
            entry.insert(challenge);
            for other in others {
                entry.append(other);
            }
        }
    }
}

fn is_bearer(challenge: &HeaderValue) -> bool {
    // The whole name: another scheme may begin alike.
    let scheme = challenge
        .as_bytes()
        .split(|byte| matches!(byte, b' ' | b','))
        .next()
        .unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"Bearer")
}

/// A response of a few headers, in the room that they will need with those of the layer.
fn response(
    status: StatusCode,
    headers: [(HeaderName, HeaderValue); 3],
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let map = response.headers_mut();
    map.reserve(headers.len() + 3);
    for (name, value) in headers {
        map.insert(name, value);
    }
    response
}
