//! [`BearerAuth`]: the whole story of a request, in one `call`.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower_service::Service;

use crate::{
    body::ResponseBody,
    check::{CheckContext, Checked},
    claims::Claims,
    error::{AuthError, reason},
    future::{After, ResponseFuture, Waiting},
    layer::Auth,
    observe,
    reject::Voice,
    token::{conceal, find},
    verify::{BoxFuture, Verification, Verifier},
};

/// A service behind a [`BearerAuthLayer`](crate::BearerAuthLayer).
pub struct BearerAuth<S, V: Verifier> {
    inner: S,
    auth: Arc<Auth<V>>,
}

impl<S, V: Verifier> BearerAuth<S, V> {
    pub(crate) fn new(inner: S, auth: Arc<Auth<V>>) -> Self {
        Self { inner, auth }
    }

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

impl<S, V, B, T> Service<Request<B>> for BearerAuth<S, V>
where
    S: Service<Request<B>, Response = Response<T>> + Clone,
    V: Verifier,
{
    type Response = Response<ResponseBody<T>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, V, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let auth = &*self.auth;
        let (mut parts, body) = request.into_parts();

        // Before anything that could show it sees the request.
        conceal::mark_sensitive(&mut parts.headers, &auth.sources);
        if auth.exemptions.iter().any(|exempt| exempt(&parts)) {
            observe::exempt();
            return self.call_anonymously(parts, body);
        }

        let (verification, after) = match find::find(&parts, &auth.sources) {
            Ok(Some(found)) => {
                let verification = match auth.verifier.recall(found.raw()) {
                    Some(claims) => Verification::Ready(Ok(claims)),
                    None => match found.token() {
                        Ok(token) => auth.verifier.verify(token),
                        Err(error) => return auth.refuse(error, &parts),
                    },
                };
                (verification, After::of(found.place, &parts.method))
            }
            Ok(None) if auth.optional => {
                observe::anonymous();
                return self.call_anonymously(parts, body);
            }
            Ok(None) => return auth.refuse(AuthError::missing_token(), &parts),
            Err(error) => return auth.refuse(error, &parts),
        };

        // The hot path: the verdict is there, and the service that was made ready is called.
        let verdict = match verification {
            Verification::Ready(verdict) => verdict,
            Verification::Pending(verdict) => {
                let waiting = Waiting::new(&mut self.inner, &self.auth, parts, body, after);
                return ResponseFuture::verifying(verdict, waiting);
            }
        };
        match auth.judge(verdict, &parts) {
            Judgement::Admitted(claims) => {
                auth.admit(claims, &mut parts);
                ResponseFuture::inner(self.inner.call(Request::from_parts(parts, body)), after)
            }
            Judgement::Refused(error) => auth.refuse(error, &parts),
            Judgement::Undecided(rest) => {
                let waiting = Waiting::new(&mut self.inner, &self.auth, parts, body, after);
                ResponseFuture::checking(rest, waiting)
            }
        }
    }
}

impl<S, V: Verifier> BearerAuth<S, V> {
    /// Calls the service without claims, and says so to whoever asks for them further in.
    fn call_anonymously<B, T>(&mut self, mut parts: Parts, body: B) -> ResponseFuture<S, V, B>
    where
        S: Service<Request<B>, Response = Response<T>>,
    {
        parts.extensions.insert(Anonymous {
            voice: Arc::clone(&self.auth.voice),
        });
        let response = self.inner.call(Request::from_parts(parts, body));
        ResponseFuture::inner(response, After::Nothing)
    }
}

/// What the layer has come to.
pub(crate) enum Judgement<C> {
    Admitted(Claims<C>),
    Refused(AuthError),
    /// A check needs time.
    Undecided(Undecided<C>),
}

/// A check that needs time, and where to go on after it.
pub(crate) struct Undecided<C> {
    pub(crate) answer: BoxFuture<Result<(), AuthError>>,
    pub(crate) claims: Claims<C>,
    next: usize,
}

impl<V: Verifier> Auth<V> {
    /// What a verdict comes to, for this request.
    pub(crate) fn judge(
        &self,
        verdict: Result<Claims<V::Claims>, AuthError>,
        parts: &Parts,
    ) -> Judgement<V::Claims> {
        let claims = match verdict {
            Ok(claims) => claims,
            Err(error) => return Judgement::Refused(error),
        };
        // A token that is bound to a key is worth nothing to whoever cannot prove to have the key.
        if let Some(confirmation) = claims.registered().confirmation()
            && !confirmation
                .methods()
                .all(|method| self.checks.iter().any(|check| check.confirms(method)))
        {
            return Judgement::Refused(AuthError::invalid_token(reason::TOKEN_BOUND));
        }
        self.check_from(0, claims, parts)
    }

    /// Goes on after a check that needed time.
    pub(crate) fn resume(
        &self,
        undecided: Undecided<V::Claims>,
        answer: Result<(), AuthError>,
        parts: &Parts,
    ) -> Judgement<V::Claims> {
        match answer {
            Ok(()) => self.check_from(undecided.next, undecided.claims, parts),
            Err(error) => Judgement::Refused(error),
        }
    }

    /// Asks the checks, from one of them on.
    pub(crate) fn check_from(
        &self,
        first: usize,
        claims: Claims<V::Claims>,
        parts: &Parts,
    ) -> Judgement<V::Claims> {
        let context = CheckContext::new(&claims, parts, &self.sources);
        for (index, check) in self.checks.iter().enumerate().skip(first) {
            match check.check(&context) {
                Checked::Ready(Ok(())) => {}
                Checked::Ready(Err(error)) => return Judgement::Refused(error),
                Checked::Pending(answer) => {
                    return Judgement::Undecided(Undecided {
                        answer,
                        claims,
                        next: index.saturating_add(1),
                    });
                }
            }
        }
        Judgement::Admitted(claims)
    }

    /// Makes a request ready for the service.
    pub(crate) fn admit(&self, claims: Claims<V::Claims>, parts: &mut Parts) {
        if self.further_in {
            // The claims are where they belong, and the request is counted.
            return;
        }
        observe::admitted();
        if self.remove_token {
            conceal::remove(parts, &self.sources);
        }
        parts.extensions.insert(claims);
    }

    pub(crate) fn refuse<S, B>(&self, error: AuthError, parts: &Parts) -> ResponseFuture<S, V, B>
    where
        S: Service<Request<B>>,
    {
        ResponseFuture::refused(self.voice.answer(error, parts))
    }
}

/// The mark of a request that a layer let pass without claims, and the voice in which to refuse it
/// where they are asked for all the same.
#[derive(Clone)]
pub(crate) struct Anonymous {
    pub(crate) voice: Arc<Voice>,
}

impl<S: Clone, V: Verifier> Clone for BearerAuth<S, V> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            auth: Arc::clone(&self.auth),
        }
    }
}

impl<S: fmt::Debug, V: Verifier> fmt::Debug for BearerAuth<S, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth")
            .field("inner", &self.inner)
            .field("auth", &self.auth)
            .finish()
    }
}
