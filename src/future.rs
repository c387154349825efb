//! [`ResponseFuture`]: a response on its way, or a request that waits for its verdict.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    body::ResponseBody,
    layer::Auth,
    observe::Timer,
    service::{Judgement, Undecided},
    token::find::{Place, WEB_SOCKET_PROTOCOL},
    verify::Verifier,
};

pin_project! {
    /// The response of a [`BearerAuth`](crate::BearerAuth).
    pub struct ResponseFuture<S, V, B>
    where
        S: Service<Request<B>>,
        V: Verifier,
    {
        #[pin]
        state: State<S, V, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, V, B>
    where
        S: Service<Request<B>>,
        V: Verifier,
    {
        Verifying {
            #[pin]
            verdict: V::Future,
            timer: Timer,
            waiting: Option<Box<Waiting<S, V, B>>>,
        },
        Checking { rest: Option<Undecided<V::Claims>>, waiting: Option<Box<Waiting<S, V, B>>> },
        Readying { waiting: Option<Box<Waiting<S, V, B>>> },
        Inner { #[pin] response: S::Future, after: After },
        Refused { response: Option<Response<Bytes>> },
    }
}

/// A request that waits, and all that it takes to go on with it.
pub(crate) struct Waiting<S, V: Verifier, B> {
    auth: Arc<Auth<V>>,
    service: S,
    parts: Parts,
    body: B,
    after: After,
}

impl<S: Clone, V: Verifier, B> Waiting<S, V, B> {
    /// Puts a request aside.
    ///
    /// The service that was made ready is dropped, and with it whatever it has reserved, such as a
    /// permit of a concurrency limit: a slow verdict must not hold the capacity of the service behind
    /// it. One clone takes its place, and another goes with the request, to be made ready when the
    /// verdict has come.
    pub(crate) fn new(
        ready: &mut S,
        auth: &Arc<Auth<V>>,
        parts: Parts,
        body: B,
        after: After,
    ) -> Box<Self> {
        let service = ready.clone();
        *ready = service.clone();
        let auth = Arc::clone(auth);
        Box::new(Self {
            auth,
            service,
            parts,
            body,
            after,
        })
    }
}

impl<S, V, B> ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Verifier,
{
    pub(crate) fn verifying(verdict: V::Future, waiting: Box<Waiting<S, V, B>>) -> Self {
        State::Verifying {
            verdict,
            timer: Timer::start(),
            waiting: Some(waiting),
        }
        .into()
    }

    pub(crate) fn checking(rest: Undecided<V::Claims>, waiting: Box<Waiting<S, V, B>>) -> Self {
        let (rest, waiting) = (Some(rest), Some(waiting));
        State::Checking { rest, waiting }.into()
    }

    pub(crate) fn inner(response: S::Future, after: After) -> Self {
        State::Inner { response, after }.into()
    }

    pub(crate) fn refused(response: Response<Bytes>) -> Self {
        let response = Some(response);
        State::Refused { response }.into()
    }
}

impl<S, V, B> From<State<S, V, B>> for ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Verifier,
{
    fn from(state: State<S, V, B>) -> Self {
        Self { state }
    }
}

impl<S, V, B, T> Future for ResponseFuture<S, V, B>
where
    S: Service<Request<B>, Response = Response<T>>,
    V: Verifier,
{
    type Output = Result<Response<ResponseBody<T>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProj::Inner { response, after } => {
                    let mut response = ready!(response.poll(cx))?;
                    after.apply(&mut response);
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Refused { response } => match response.take() {
                    Some(response) => {
                        return Poll::Ready(Ok(response.map(ResponseBody::refusal)));
                    }
                    None => None,
                },
                StateProj::Verifying {
                    verdict,
                    timer,
                    waiting,
                } => {
                    let verdict = ready!(verdict.poll(cx));
                    waiting.take().map(|waiting| {
                        timer.verified(verdict.as_ref());
                        let judgement = waiting.auth.judge(verdict, &waiting.parts);
                        waiting.go_on(judgement)
                    })
                }
                StateProj::Checking { rest, waiting } => {
                    let answer = match rest {
                        Some(rest) => ready!(rest.answer.as_mut().poll(cx)),
                        None => return Poll::Pending,
                    };
                    rest.take().zip(waiting.take()).map(|(rest, waiting)| {
                        let judgement = waiting.auth.resume(rest, answer, &waiting.parts);
                        waiting.go_on(judgement)
                    })
                }
                StateProj::Readying { waiting } => {
                    match waiting {
                        Some(waiting) => ready!(waiting.service.poll_ready(cx))?,
                        None => return Poll::Pending,
                    }
                    waiting.take().map(|waiting| (*waiting).call())
                }
            };
            match next {
                Some(next) => self.as_mut().project().state.set(next),
                // Polled after it was done, which the contract of futures leaves open.
                None => return Poll::Pending,
            }
        }
    }
}

impl<S, V, B> Waiting<S, V, B>
where
    S: Service<Request<B>>,
    V: Verifier,
{
    fn go_on(mut self: Box<Self>, judgement: Judgement<V::Claims>) -> State<S, V, B> {
        match judgement {
            Judgement::Admitted(claims) => {
                self.auth.admit(claims, &mut self.parts);
                State::Readying {
                    waiting: Some(self),
                }
            }
            Judgement::Refused(error) => State::Refused {
                response: Some(self.auth.voice.answer(error, &self.parts)),
            },
            Judgement::Undecided(rest) => State::Checking {
                rest: Some(rest),
                waiting: Some(self),
            },
        }
    }

    fn call(mut self) -> State<S, V, B> {
        let request = Request::from_parts(self.parts, self.body);
        State::Inner {
            response: self.service.call(request),
            after: self.after,
        }
    }
}

/// What the place of the token asks of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    /// The token was in the URL: the answer is not for shared caches (RFC 6750 §2.3).
    Query,
    /// The token was a WebSocket subprotocol: one must be chosen by the response that opens the WebSocket.
    WebSocket {
        /// Whether the request was an extended CONNECT.
        connect: bool,
    },
}

impl After {
    pub(crate) fn of(place: Place, method: &Method) -> Self {
        match place {
            Place::Header => Self::Nothing,
            Place::Query => Self::Query,
            Place::WebSocketProtocol => Self::WebSocket {
                connect: *method == Method::CONNECT,
            },
        }
    }

    fn apply<T>(self, response: &mut Response<T>) {
        let status = response.status();
        let (applies, name, value) = match self {
            Self::Nothing => return,
            Self::Query => (status.is_success(), CACHE_CONTROL, "private"),
            // RFC 8441 §5: a 2xx takes the place of the 101.
            Self::WebSocket { connect } => {
                let opens = match connect {
                    true => status.is_success(),
                    false => status == StatusCode::SWITCHING_PROTOCOLS,
                };
                (opens, SEC_WEBSOCKET_PROTOCOL, WEB_SOCKET_PROTOCOL)
            }
        };
        if !applies {
            return;
        }
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

impl<S, V, B> fmt::Debug for ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Verifier,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Verifying { .. } => "verifying",
            State::Checking { .. } => "checking",
            State::Readying { .. } => "readying",
            State::Inner { .. } => "inner",
            State::Refused { .. } => "refused",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
