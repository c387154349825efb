//! Who judges a token: [`Verifier`], its [`Verification`], and closures in its place.

use std::{
    fmt,
    future::{Future, IntoFuture, Ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    claims::Claims,
    error::AuthError,
    token::{BearerToken, OwnedToken, RawToken},
};

#[cfg(feature = "cache")]
mod cached;
mod map;
mod route;
mod shared;

#[cfg(all(feature = "jwks", feature = "_crypto"))]
pub(crate) mod jwks;
#[cfg(all(feature = "jwt", feature = "_crypto"))]
pub(crate) mod jwt;
#[cfg(feature = "_crypto")]
mod static_tokens;

#[cfg(feature = "cache")]
pub use cached::{CacheStats, Cached, CachedBuilder, CachedFuture};
pub use map::{MapClaims, TryMapClaims};
pub use route::RouteByShape;
pub use shared::SharedVerifier;
#[cfg(feature = "_crypto")]
pub use static_tokens::{StaticTokens, StaticTokensBuilder};

/// A boxed future.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Judges a bearer token.
///
/// It sees the token alone, so that its verdict holds for the token wherever it is presented, and
/// may be cached. What depends on the request (a scope that a route needs, a proof of possession, a
/// tenant) is a [`Check`](crate::Check).
///
/// The verdict may be there at once, [`Verification::Ready`], or be a future. The first is the hot
/// path: the layer then calls the service within its own `call`, without a box and without a clone of
/// the service.
///
/// Most verifiers of one's own are a closure: see [`verify_fn`] and [`verify_async_fn`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Verifier`",
    label = "cannot judge a bearer token",
    note = "implement `Verifier`, or wrap a closure: `verify_fn(|token: BearerToken<'_>| \
            Ok(Claims::new(..)))` if it answers at once, `verify_async_fn(|token: OwnedToken| async \
            move {{ Ok(Claims::new(..)) }})` if not",
    note = "the type of the closure's argument must be written out, unless the closure stands in the \
            call itself"
)]
pub trait Verifier {
    /// The user's part of the claims.
    type Claims: Send + Sync + 'static;

    /// The future of a verdict that is not there at once. A verifier that always answers at once
    /// writes [`std::future::Ready`].
    type Future: Future<Output = Result<Claims<Self::Claims>, AuthError>>;

    /// Judges `token`.
    fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future>;

    /// Judges credentials whose form nobody has checked yet. The layer calls this method and no other.
    ///
    /// The default checks the form and calls [`verify`](Self::verify), which is right for every verifier.
    /// A verifier that keeps verdicts, as `Cached` does, implements it to find a token that it knows
    /// without checking the form again, and a verifier around another one passes it on.
    fn verify_raw(&self, token: RawToken<'_>) -> Verification<Self::Claims, Self::Future> {
        match token.parse() {
            Ok(token) => self.verify(token),
            Err(error) => Verification::Ready(Err(error)),
        }
    }

    /// Turns the user's part of the claims into another; the rest of the verdict stays as it is.
    ///
    /// ```
    /// use tower_bearer::{BearerToken, Claims, Verifier, verify_fn};
    ///
    /// struct User(String);
    ///
    /// let verifier = verify_fn(|token: BearerToken<'_>| Ok(Claims::new(token.as_str().len())))
    ///     .map_claims(|length: &usize| User(format!("user {length}")));
    /// ```
    fn map_claims<F, D>(self, f: F) -> MapClaims<Self, F>
    where
        Self: Sized,
        F: Fn(&Self::Claims) -> D,
        D: Send + Sync + 'static,
    {
        MapClaims::new(self, f)
    }

    /// Turns the user's part of the claims into another, or refuses the token.
    fn try_map_claims<F, D>(self, f: F) -> TryMapClaims<Self, F>
    where
        Self: Sized,
        F: Fn(&Self::Claims) -> Result<D, AuthError>,
        D: Send + Sync + 'static,
    {
        TryMapClaims::new(self, f)
    }

    /// The verifier behind a type that names only its claims, for where one of several is chosen at
    /// run time. Verdicts that are there at once stay so; only a pending one is boxed.
    fn shared(self) -> SharedVerifier<Self::Claims>
    where
        Self: Sized + Send + Sync + 'static,
        Self::Future: Send + 'static,
    {
        SharedVerifier::new(self)
    }
}

impl<V: Verifier + ?Sized> Verifier for Arc<V> {
    type Claims = V::Claims;
    type Future = V::Future;

    fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future> {
        (**self).verify(token)
    }

    fn verify_raw(&self, token: RawToken<'_>) -> Verification<Self::Claims, Self::Future> {
        (**self).verify_raw(token)
    }
}

/// A verdict, or the future of one. It can be awaited.
#[derive(Debug)]
#[must_use = "a verification that is not looked at verifies nothing"]
pub enum Verification<C, F> {
    /// The verdict.
    Ready(Result<Claims<C>, AuthError>),
    /// The verdict will come.
    Pending(F),
}

impl<C, F> IntoFuture for Verification<C, F>
where
    F: Future<Output = Result<Claims<C>, AuthError>>,
{
    type Output = Result<Claims<C>, AuthError>;
    type IntoFuture = VerificationFuture<C, F>;

    fn into_future(self) -> Self::IntoFuture {
        VerificationFuture {
            state: match self {
                Self::Ready(verdict) => State::Ready {
                    verdict: Some(verdict),
                },
                Self::Pending(future) => State::Pending { future },
            },
        }
    }
}

pin_project! {
    /// A [`Verification`] that is being awaited.
    pub struct VerificationFuture<C, F> {
        #[pin]
        state: State<C, F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<C, F> {
        Ready { verdict: Option<Result<Claims<C>, AuthError>> },
        Pending { #[pin] future: F },
    }
}

impl<C, F> Future for VerificationFuture<C, F>
where
    F: Future<Output = Result<Claims<C>, AuthError>>,
{
    type Output = Result<Claims<C>, AuthError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Pending { future } => future.poll(cx),
            StateProj::Ready { verdict } => match verdict.take() {
                Some(verdict) => Poll::Ready(verdict),
                // Polled after it was done, which the contract of futures leaves open.
                None => Poll::Pending,
            },
        }
    }
}

impl<C, F> fmt::Debug for VerificationFuture<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationFuture").finish_non_exhaustive()
    }
}

/// A closure as a verifier that answers at once, such as a look-up in memory.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, RwLock}};
///
/// use tower_bearer::{AuthError, BearerToken, Claims, verify_fn};
///
/// struct Session {
///     user: String,
/// }
/// let sessions: Arc<RwLock<HashMap<String, Arc<Session>>>> = Arc::default();
///
/// let verifier = verify_fn(move |token: BearerToken<'_>| {
///     let sessions = sessions.read().map_err(|_| AuthError::unavailable("sessions"))?;
///     match sessions.get(token.as_str()) {
///         Some(session) => Ok(Claims::new(Arc::clone(session))),
///         None => Err(AuthError::invalid_token("unknown_session")),
///     }
/// });
/// ```
///
/// Do not compare the token with a secret by `==` or `match`: the time that it takes tells how much of a guess
/// is right. `StaticTokens` compares in constant time.
pub fn verify_fn<F, C>(f: F) -> VerifyFn<F>
where
    F: Fn(BearerToken<'_>) -> Result<Claims<C>, AuthError>,
{
    VerifyFn(f)
}

/// A closure as a verifier whose verdict is a future, such as a look-up in a store.
///
/// ```
/// use tower_bearer::{AuthError, Claims, OwnedToken, verify_async_fn};
///
/// struct Session {
///     user: String,
/// }
/// # async fn find_session(token: &str) -> Result<Option<Session>, std::io::Error> { Ok(None) }
///
/// let verifier = verify_async_fn(|token: OwnedToken| async move {
///     match find_session(token.as_str()).await {
///         Ok(Some(session)) => Ok(Claims::new(session)),
///         Ok(None) => Err(AuthError::invalid_token("unknown_session")),
///         // The store is down, and the token is not at fault: 503, not 401.
///         Err(error) => Err(AuthError::unavailable("session_store").with_source(error)),
///     }
/// });
/// ```
///
/// The verdict is awaited for as long as it takes: give the look-up a timeout.
pub fn verify_async_fn<F, Fut, C>(f: F) -> VerifyAsyncFn<F>
where
    F: Fn(OwnedToken) -> Fut,
    Fut: Future<Output = Result<Claims<C>, AuthError>>,
{
    VerifyAsyncFn(f)
}

/// A closure as a verifier, made by [`verify_fn`].
#[derive(Clone, Copy)]
pub struct VerifyFn<F>(F);

impl<F, C> Verifier for VerifyFn<F>
where
    F: Fn(BearerToken<'_>) -> Result<Claims<C>, AuthError>,
    C: Send + Sync + 'static,
{
    type Claims = C;
    type Future = Ready<Result<Claims<C>, AuthError>>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future> {
        Verification::Ready((self.0)(token))
    }
}

/// A closure as a verifier, made by [`verify_async_fn`].
#[derive(Clone, Copy)]
pub struct VerifyAsyncFn<F>(F);

impl<F, Fut, C> Verifier for VerifyAsyncFn<F>
where
    F: Fn(OwnedToken) -> Fut,
    Fut: Future<Output = Result<Claims<C>, AuthError>>,
    C: Send + Sync + 'static,
{
    type Claims = C;
    type Future = Fut;

    fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future> {
        Verification::Pending((self.0)(token.to_owned()))
    }
}

impl<F> fmt::Debug for VerifyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyFn").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for VerifyAsyncFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyAsyncFn").finish_non_exhaustive()
    }
}
