//! Verifiers whose claims are turned into others: [`MapClaims`] and [`TryMapClaims`].

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Verification, Verifier};
use crate::{
    claims::Claims,
    error::AuthError,
    token::{BearerToken, RawToken},
};

/// A verifier with other claims, made by [`Verifier::map_claims`].
pub struct MapClaims<V, F> {
    verifier: V,
    f: Arc<F>,
}

/// A verifier with other claims, made by [`Verifier::try_map_claims`].
pub struct TryMapClaims<V, F> {
    verifier: V,
    f: Arc<F>,
}

pin_project! {
    /// The future of [`MapClaims`].
    pub struct MapClaimsFuture<V: Verifier, F> {
        #[pin]
        verdict: V::Future,
        f: Arc<F>,
    }
}

pin_project! {
    /// The future of [`TryMapClaims`].
    pub struct TryMapClaimsFuture<V: Verifier, F> {
        #[pin]
        verdict: V::Future,
        f: Arc<F>,
    }
}

macro_rules! mapped {
    ($Name:ident, $Future:ident, $Output:ty, |$f:ident, $custom:ident| $apply:expr) => {
        impl<V, F> $Name<V, F> {
            pub(super) fn new(verifier: V, f: F) -> Self {
                let f = Arc::new(f);
                Self { verifier, f }
            }
        }

        impl<V: Clone, F> Clone for $Name<V, F> {
            fn clone(&self) -> Self {
                Self {
                    verifier: self.verifier.clone(),
                    f: Arc::clone(&self.f),
                }
            }
        }

        impl<V: fmt::Debug, F> fmt::Debug for $Name<V, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Name))
                    .field("verifier", &self.verifier)
                    .finish_non_exhaustive()
            }
        }

        impl<V, F, D> Verifier for $Name<V, F>
        where
            V: Verifier,
            F: Fn(&V::Claims) -> $Output,
            D: Send + Sync + 'static,
        {
            type Claims = D;
            type Future = $Future<V, F>;

            fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future> {
                self.map(self.verifier.verify(token))
            }

            fn verify_raw(&self, token: RawToken<'_>) -> Verification<Self::Claims, Self::Future> {
                self.map(self.verifier.verify_raw(token))
            }
        }

        impl<V, F, D> $Name<V, F>
        where
            V: Verifier,
            F: Fn(&V::Claims) -> $Output,
        {
            fn map(
                &self,
                verification: Verification<V::Claims, V::Future>,
            ) -> Verification<D, $Future<V, F>> {
                match verification {
                    Verification::Ready(verdict) => {
                        let $f = &*self.f;
                        Verification::Ready(
                            verdict.and_then(|claims| claims.try_map(|$custom| $apply)),
                        )
                    }
                    Verification::Pending(verdict) => Verification::Pending($Future {
                        verdict,
                        f: Arc::clone(&self.f),
                    }),
                }
            }
        }

        impl<V, F, D> Future for $Future<V, F>
        where
            V: Verifier,
            F: Fn(&V::Claims) -> $Output,
        {
            type Output = Result<Claims<D>, AuthError>;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let this = self.project();
                let $f = &**this.f;
                this.verdict
                    .poll(cx)
                    .map(|verdict| verdict.and_then(|claims| claims.try_map(|$custom| $apply)))
            }
        }

        impl<V: Verifier, F> fmt::Debug for $Future<V, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Future)).finish_non_exhaustive()
            }
        }
    };
}

mapped!(MapClaims, MapClaimsFuture, D, |f, custom| Ok(f(custom)));
mapped!(TryMapClaims, TryMapClaimsFuture, Result<D, AuthError>, |f, custom| f(custom));
