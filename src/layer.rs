//! [`BearerAuthLayer`]: what a user configures.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, request::Parts};
use tower_layer::Layer;

use crate::{
    check::{Check, CheckContext, CheckFn},
    error::{AuthError, ConfigError},
    reject::{ProblemJson, Reject, RejectFn, Voice},
    require::RequireLayer,
    service::BearerAuth,
    token::TokenSource,
    verify::Verifier,
};

/// Protects the services behind it: only requests with a bearer token that `V` confirms pass. All others
/// get the same problem with the right challenge.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_bearer::{BearerAuthLayer, Claims, ProblemJson, StaticTokens};
///
/// let verifier = StaticTokens::builder()
///     .token("kT9vQ2mXw7Rz4bLs", Claims::builder().subject("alice").build(()))
///     .build()?;
///
/// let auth = BearerAuthLayer::new(verifier)
///     .realm("elements")?
///     .reject(ProblemJson::new().type_base("https://docs.example.com/docs/errors/")?);
///
/// let service = ServiceBuilder::new()
///     .layer(auth)
///     .service(tower::service_fn(|request: http::Request<String>| async move {
///         let claims: &Claims = request.extensions().get().unwrap();
///         let subject = claims.registered().subject().unwrap_or("nobody");
///         Ok::<_, std::convert::Infallible>(http::Response::new(format!("hello {subject}")))
///     }));
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// # Where it stands
/// Request ids, tracing and CORS stand outside of it, so that they see its rejections too; then comes this
/// layer; then whatever only known callers may reach.
///
/// What stands outside sees the request before its credential is marked as sensitive. If a `TraceLayer` is
/// told to log headers, put tower-http's `SetSensitiveRequestHeadersLayer` outside of it. A
/// token in the query is seen by whoever logs URLs.
///
/// # CORS
/// Pages of another origin need a CORS layer outside of this one: without its headers a browser does not
/// show a 401 to the page that asked. The CORS layer must
///
/// * list `Authorization` by name in `Access-Control-Allow-Headers`, because `*` never covers it
///   (Fetch, "CORS non-wildcard request-header name");
/// * list `WWW-Authenticate` and `Retry-After` in `Access-Control-Expose-Headers`, so that a script can read
///   them, and with them every header that your checks add, such as `DPoP-Nonce`; for gRPC-Web also
///   `grpc-status` and `grpc-message`.
///
/// ```
/// use http::{Method, header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE}};
/// use tower_http::cors::CorsLayer;
///
/// let cors = CorsLayer::new()
///     .allow_origin(["https://app.example.com".parse()?])
///     .allow_methods([Method::GET, Method::POST])
///     .allow_headers([AUTHORIZATION, CONTENT_TYPE])
///     .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER]);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
///
/// # Requests with content
/// A rejected request has content that nobody reads. Over HTTP/1 it stands before the next request on the
/// connection, so a server must read it or close the connection (RFC 9112 §9.3). The layer does
/// not know the type of the body and cannot read it. It answers at once with `Connection: close`, which tells
/// clients and proxies not to send another request on the connection. Over HTTP/2 it does nothing of the sort.
///
/// It goes by the headers: a request has content if it has a `Transfer-Encoding`, or a `Content-Length`
/// above 0. A layer that removes these, such as tower-http's `RequestDecompressionLayer`, belongs inside of
/// this one.
///
/// A client that is still sending when the connection closes may see an error before it sees the
/// response. To keep connections instead, read the content outside of this layer, within a limit, and then
/// take the header away:
///
/// ```
/// use std::time::Duration;
///
/// use axum::{
///     Router,
///     body::{HttpBody, to_bytes},
///     extract::Request,
///     http::{StatusCode, header::CONNECTION},
///     middleware::{Next, from_fn},
///     response::{IntoResponse, Response},
///     routing::post,
/// };
/// use tokio::time::timeout;
/// use tower::ServiceExt;
/// # use tower_bearer::{BearerAuthLayer, BearerToken, Claims, verify_fn};
/// use tower_bearer::AuthError;
///
/// /// Content up to this size is read before the token is looked at.
/// const LIMIT: usize = 64 * 1024;
///
/// async fn read_small_content(request: Request, next: Next) -> Response {
///     let (parts, body) = request.into_parts();
///     if body.is_end_stream() || body.size_hint().upper().is_none_or(|size| size > LIMIT as u64) {
///         return next.run(Request::from_parts(parts, body)).await;
///     }
///     let content = match timeout(Duration::from_secs(10), to_bytes(body, LIMIT)).await {
///         Ok(Ok(content)) => content,
///         _ => return (StatusCode::REQUEST_TIMEOUT, [(CONNECTION, "close")]).into_response(),
///     };
///     let mut response = next.run(Request::from_parts(parts, content.into())).await;
///     // Nothing is left of the content, so nothing stands in the way of the next request.
///     if response.extensions().get::<AuthError>().is_some() {
///         response.headers_mut().remove(CONNECTION);
///     }
///     response
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let auth = BearerAuthLayer::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
/// let app: Router = Router::new()
///     .route("/elements", post(|content: String| async { content }))
///     .layer(auth)
///     .layer(from_fn(read_small_content));
///
/// # for (size, closes) in [(4, false), (100_000, true)] {
/// # let request = axum::http::Request::post("/elements").header("content-length", size);
/// # let request: Request = request.body("x".repeat(size).into())?;
/// # let response = app.clone().oneshot(request).await?;
/// # assert_eq!(response.status(), 401);
/// # assert_eq!(response.headers().contains_key(CONNECTION), closes);
/// # }
/// # Ok(())
/// # }
/// ```
///
/// # Types
/// Once built into a stack, `V` must be `Send + Sync + 'static` and its future `Send`, as servers require
/// of all their services.
///
/// To switch the layer off by configuration, do not wrap it in an `Option`, because the response bodies
/// would differ. Write `.exempt(move |_| off)`.
pub struct BearerAuthLayer<V: Verifier> {
    auth: Auth<V>,
}

/// Everything that the layer was told, as its services share it.
pub(crate) struct Auth<V: Verifier> {
    pub(crate) verifier: Arc<V>,
    pub(crate) voice: Arc<Voice>,
    pub(crate) sources: Arc<[TokenSource]>,
    pub(crate) checks: Vec<Arc<dyn Check<V::Claims>>>,
    pub(crate) exemptions: Vec<Arc<Exemption>>,
    pub(crate) optional: bool,
    pub(crate) remove_token: bool,
    /// Whether this is of a [`RequireLayer`], whose requests a layer further out has admitted.
    pub(crate) further_in: bool,
}

type Exemption = dyn Fn(&Parts) -> bool + Send + Sync;

impl<V: Verifier> BearerAuthLayer<V> {
    /// A layer that lets pass what `verifier` confirms: realm `api`, the token from the
    /// `Authorization` header alone, refusals by [`ProblemJson`] without a type base.
    pub fn new(verifier: V) -> Self {
        Self {
            auth: Auth {
                verifier: Arc::new(verifier),
                voice: Arc::new(Voice::new(ProblemJson::new())),
                sources: Arc::new([]),
                checks: Vec::new(),
                exemptions: Vec::new(),
                optional: false,
                remove_token: false,
                further_in: false,
            },
        }
    }

    /// Sets the realm of the challenge (RFC 9110 §11.5). The default is `api`.
    ///
    /// # Errors
    /// If it is empty, or holds what cannot stand in a header.
    pub fn realm(mut self, realm: &str) -> Result<Self, ConfigError> {
        self.voice()
            .set_challenges(|challenges| challenges.set_realm(realm))?;
        Ok(self)
    }

    /// Names in the challenge of every 401 the scopes to ask for, separated by spaces
    /// (RFC 6750 §3). That they are needed is for [`check`](Self::check) to say.
    ///
    /// # Errors
    /// If there is none, or one that cannot be a scope (RFC 6749 §3.3).
    pub fn advertise_scope(mut self, scope: &str) -> Result<Self, ConfigError> {
        self.voice()
            .set_challenges(|challenges| challenges.set_scope(scope))?;
        Ok(self)
    }

    /// Names in the challenge the URL of the protected resource's metadata (RFC 9728 §5.1), by which
    /// clients such as those of MCP find the authorization server.
    ///
    /// # Errors
    /// If it is no absolute URL.
    pub fn resource_metadata(mut self, url: &str) -> Result<Self, ConfigError> {
        self.voice()
            .set_challenges(|challenges| challenges.set_resource_metadata(url))?;
        Ok(self)
    }

    /// Sets who makes the answer to a refused request. The default is [`ProblemJson`].
    #[must_use]
    pub fn reject<R: Reject>(mut self, reject: R) -> Self {
        self.voice().set_reject(reject);
        self
    }

    /// Sets a closure as the one who makes the answer to a refused request. What it leaves out of the
    /// protocol the layer adds: see [`Reject`].
    #[must_use]
    pub fn reject_fn<F>(self, f: F) -> Self
    where
        F: Fn(&AuthError, &Parts) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.reject(RejectFn(f))
    }

    /// Lets requests without credentials pass too, without claims. One whose token is bad is refused
    /// all the same, and never taken for anonymous.
    ///
    /// A handler asks for `Option<Claims<C>>`; where it asks for `Claims<C>`, the anonymous request is
    /// answered 401, as if the layer had done it.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.auth.optional = true;
        self
    }

    /// Takes the token out of the request before the service sees it: out of the header, the cookie,
    /// the query or the WebSocket subprotocols. For services that pass requests on to others.
    ///
    /// What somebody further out has made a copy of, such as the `OriginalUri` of axum, still holds it.
    #[must_use]
    pub fn remove_token(mut self) -> Self {
        self.auth.remove_token = true;
        self
    }

    /// Lets requests pass untouched for which `f` says so: their credentials are neither looked at
    /// nor taken out. May be called more than once; one `true` is enough.
    ///
    /// Ready-made ones are in [`exempt`](crate::exempt).
    #[must_use]
    pub fn exempt<F>(mut self, f: F) -> Self
    where
        F: Fn(&Parts) -> bool + Send + Sync + 'static,
    {
        self.auth.exemptions.push(Arc::new(f));
        self
    }

    /// Looks for the token in a further place, beside the `Authorization` header. May be called more
    /// than once.
    #[must_use]
    pub fn token_source(mut self, source: TokenSource) -> Self {
        // Looked at twice, one token would be two.
        if !self.auth.sources.iter().any(|known| known.is_same(&source)) {
            self.auth.sources = self.auth.sources.iter().cloned().chain([source]).collect();
        }
        self
    }

    /// Adds a check that every request must pass once its token is verified.
    #[must_use]
    pub fn check<K: Check<V::Claims>>(mut self, check: K) -> Self {
        self.auth.checks.push(Arc::new(check));
        self
    }

    /// Adds a closure as a check.
    ///
    /// ```
    /// use tower_bearer::{AuthError, BearerAuthLayer, BearerToken, CheckContext, Claims, verify_fn};
    ///
    /// # let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
    /// let auth = BearerAuthLayer::new(verifier).check_fn(|cx: &CheckContext<'_, ()>| {
    ///     match cx.claims().registered().subject() {
    ///         Some("mallory") => Err(AuthError::access_denied("mallory")),
    ///         _ => Ok(()),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn check_fn<F>(self, f: F) -> Self
    where
        F: Fn(&CheckContext<'_, V::Claims>) -> Result<(), AuthError> + Send + Sync + 'static,
    {
        self.check(CheckFn(f))
    }

    /// A layer for one check, to stand further in than this one: on a route, or around a service. It
    /// refuses in this layer's voice, as it is configured now.
    pub fn require<K: Check<V::Claims>>(&self, check: K) -> RequireLayer<V::Claims> {
        RequireLayer::new(&self.auth, Arc::new(check))
    }

    /// A layer for one closure as a check, to stand further in than this one.
    pub fn require_fn<F>(&self, f: F) -> RequireLayer<V::Claims>
    where
        F: Fn(&CheckContext<'_, V::Claims>) -> Result<(), AuthError> + Send + Sync + 'static,
    {
        self.require(CheckFn(f))
    }

    /// The verifier.
    pub fn verifier(&self) -> &V {
        &self.auth.verifier
    }

    fn voice(&mut self) -> &mut Voice {
        Arc::make_mut(&mut self.auth.voice)
    }
}

impl<S, V: Verifier> Layer<S> for BearerAuthLayer<V> {
    type Service = BearerAuth<S, V>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerAuth::new(inner, Arc::new(self.auth.clone()))
    }
}

impl<V: Verifier> Clone for BearerAuthLayer<V> {
    fn clone(&self) -> Self {
        Self {
            auth: self.auth.clone(),
        }
    }
}

impl<V: Verifier> Clone for Auth<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: Arc::clone(&self.verifier),
            voice: Arc::clone(&self.voice),
            sources: Arc::clone(&self.sources),
            checks: self.checks.clone(),
            exemptions: self.exemptions.clone(),
            optional: self.optional,
            remove_token: self.remove_token,
            further_in: self.further_in,
        }
    }
}

impl<V: Verifier> fmt::Debug for Auth<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("voice", &self.voice)
            .field("sources", &self.sources)
            .field("checks", &self.checks.len())
            .field("exemptions", &self.exemptions.len())
            .field("optional", &self.optional)
            .field("remove_token", &self.remove_token)
            .finish_non_exhaustive()
    }
}

impl<V: Verifier> fmt::Debug for BearerAuthLayer<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BearerAuthLayer").field(&self.auth).finish()
    }
}
