//! [`ServeKeySet`]: publishes the keys.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tower_service::Service;

use super::SigningKeys;
use crate::{body::ResponseBody, token_service::document::Document};

/// Publishes the [`SigningKeys`] as a JWK Set (RFC 7517 §5), for everybody: a service for the `jwks_uri`, such as
/// `/.well-known/jwks.json`.
///
/// It answers GET and HEAD with `application/jwk-set+json`, says for how long it may be kept (5 minutes by
/// default), and answers 304 to whoever has it still.
///
/// ```
/// use axum::Router;
/// use tower_bearer::token_service::{ServeKeySet, SigningKeys};
///
/// let keys = SigningKeys::generate()?;
/// let app: Router = Router::new().route_service("/.well-known/jwks.json", ServeKeySet::new(keys));
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ServeKeySet {
    keys: SigningKeys,
    max_age: Duration,
}

impl ServeKeySet {
    /// Publishes these keys, as they are whenever they are asked for.
    pub fn new(keys: SigningKeys) -> Self {
        Self {
            keys,
            max_age: Duration::from_secs(300),
        }
    }

    /// Sets for how long an answer may be kept (`Cache-Control: max-age`), in whole seconds. It should be well under
    /// the time for which a key is published before it is used.
    #[must_use]
    pub fn max_age(mut self, time: Duration) -> Self {
        self.max_age = time;
        self
    }
}

impl<B> Service<Request<B>> for ServeKeySet {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<ResponseBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let document = Document {
            media_type: "application/jwk-set+json",
            max_age: self.max_age,
            json: self.keys.public_key_set(),
        };
        ready(Ok(document.answer(&request.into_parts().0)))
    }
}

impl fmt::Debug for ServeKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServeKeySet").field(&self.keys).finish()
    }
}
