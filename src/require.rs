//! [`RequireLayer`]: a check further in than the layer, in the layer's voice.

use std::{
    fmt,
    future::Ready,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    body::ResponseBody,
    check::Check,
    claims::Claims,
    error::AuthError,
    future::{After, ResponseFuture, Waiting},
    layer::Auth,
    service::{Judgement, reject_without_claims},
    token::BearerToken,
    verify::{Verification, Verifier},
};

/// A check for the services behind it, made by
/// [`BearerAuthLayer::require`](crate::BearerAuthLayer::require), to be placed inside of that layer.
///
/// A request that the layer let pass without claims gets a 401. A request that did not pass through a
/// `BearerAuthLayer` with the same claims type gets a 500 whose detail explains how to fix the stack.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_bearer::{BearerAuthLayer, BearerToken, Claims, RequireScopes, verify_fn};
///
/// # let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
/// let auth = BearerAuthLayer::new(verifier);
/// let app: Router = Router::new()
///     .route("/elements", get(|| async { "read" }))
///     .route(
///         "/admin",
///         get(|| async { "administrate" }).layer(auth.require(RequireScopes::all_of(["admin"])?)),
///     )
///     .layer(auth);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
pub struct RequireLayer<C: Send + Sync + 'static> {
    auth: Arc<Auth<Verified<C>>>,
}

/// A service behind a [`RequireLayer`].
pub struct Require<S, C: Send + Sync + 'static> {
    inner: S,
    auth: Arc<Auth<Verified<C>>>,
}

impl<C: Send + Sync + 'static> RequireLayer<C> {
    pub(crate) fn new<V: Verifier<Claims = C>>(outer: &Auth<V>, check: Arc<dyn Check<C>>) -> Self {
        Self {
            auth: Arc::new(Auth {
                verifier: Arc::new(Verified(PhantomData)),
                voice: Arc::clone(&outer.voice),
                sources: Arc::clone(&outer.sources),
                checks: vec![check],
                exemptions: Vec::new(),
                optional: false,
                remove_token: false,
                further_in: true,
            }),
        }
    }
}

impl<S, C: Send + Sync + 'static> Layer<S> for RequireLayer<C> {
    type Service = Require<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Require {
            inner,
            auth: Arc::clone(&self.auth),
        }
    }
}

impl<S, C: Send + Sync + 'static> Require<S, C> {
    /// The service behind it.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind it, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind it, on its own.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, B, T> Service<Request<B>> for Require<S, C>
where
    S: Service<Request<B>, Response = Response<T>> + Clone,
    C: Send + Sync + 'static,
{
    type Response = Response<ResponseBody<T>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Verified<C>, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let Some(claims) = parts.extensions.get::<Claims<C>>() else {
            return ResponseFuture::refused(reject_without_claims::<C>(&parts));
        };
        match self.auth.check_from(0, claims.clone(), &parts) {
            Judgement::Admitted(_) => {
                let response = self.inner.call(Request::from_parts(parts, body));
                ResponseFuture::inner(response, After::Nothing)
            }
            Judgement::Refused(error) => self.auth.refuse(error, &parts),
            Judgement::Undecided(rest) => {
                let waiting =
                    Waiting::new(&mut self.inner, &self.auth, parts, body, After::Nothing);
                ResponseFuture::checking(rest, waiting)
            }
        }
    }
}

/// Stands in the type of [`Require`]'s future for the verifier, which was asked further out.
pub struct Verified<C>(PhantomData<fn() -> C>);

#[diagnostic::do_not_recommend]
impl<C: Send + Sync + 'static> Verifier for Verified<C> {
    type Claims = C;
    type Future = Ready<Result<Claims<C>, AuthError>>;

    /// No token comes this far in; if one did, it would be refused.
    fn verify(&self, _token: BearerToken<'_>) -> Verification<C, Self::Future> {
        Verification::Ready(Err(AuthError::missing_token()))
    }
}

impl<C: Send + Sync + 'static> Clone for RequireLayer<C> {
    fn clone(&self) -> Self {
        Self {
            auth: Arc::clone(&self.auth),
        }
    }
}

impl<S: Clone, C: Send + Sync + 'static> Clone for Require<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            auth: Arc::clone(&self.auth),
        }
    }
}

impl<C: Send + Sync + 'static> fmt::Debug for RequireLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLayer").finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, C: Send + Sync + 'static> fmt::Debug for Require<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Verified<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verified")
    }
}
