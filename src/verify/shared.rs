//! [`SharedVerifier`]: any verifier behind a type that names only its claims.

use std::{fmt, sync::Arc};

use super::{BoxFuture, Verification, Verifier};
use crate::{
    claims::Claims,
    error::AuthError,
    token::{BearerToken, RawToken},
};

/// Any verifier of claims `C`, made by [`Verifier::shared`]. A clone shares it.
pub struct SharedVerifier<C>(Arc<dyn Erased<C>>);

/// A verifier whose future is a box, so that it can be a trait object.
trait Erased<C>: Send + Sync {
    fn verify(&self, token: BearerToken<'_>) -> Verification<C, Boxed<C>>;
    fn verify_raw(&self, token: RawToken<'_>) -> Verification<C, Boxed<C>>;
}

type Boxed<C> = BoxFuture<Result<Claims<C>, AuthError>>;

impl<V> Erased<V::Claims> for V
where
    V: Verifier + Send + Sync,
    V::Future: Send + 'static,
{
    fn verify(&self, token: BearerToken<'_>) -> Verification<V::Claims, Boxed<V::Claims>> {
        boxed(Verifier::verify(self, token))
    }

    fn verify_raw(&self, token: RawToken<'_>) -> Verification<V::Claims, Boxed<V::Claims>> {
        boxed(Verifier::verify_raw(self, token))
    }
}

fn boxed<C, F>(verification: Verification<C, F>) -> Verification<C, Boxed<C>>
where
    F: Future<Output = Result<Claims<C>, AuthError>> + Send + 'static,
{
    match verification {
        Verification::Ready(verdict) => Verification::Ready(verdict),
        Verification::Pending(future) => Verification::Pending(Box::pin(future)),
    }
}

impl<C> SharedVerifier<C> {
    pub(super) fn new<V>(verifier: V) -> Self
    where
        V: Verifier<Claims = C> + Send + Sync + 'static,
        V::Future: Send + 'static,
    {
        Self(Arc::new(verifier))
    }
}

impl<C: Send + Sync + 'static> Verifier for SharedVerifier<C> {
    type Claims = C;
    type Future = Boxed<C>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future> {
        self.0.verify(token)
    }

    fn verify_raw(&self, token: RawToken<'_>) -> Verification<Self::Claims, Self::Future> {
        self.0.verify_raw(token)
    }
}

impl<C> Clone for SharedVerifier<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for SharedVerifier<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedVerifier").finish_non_exhaustive()
    }
}
