//! [`TokenService`]: one endpoint, from the request to the answer.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    content::Content,
    event::Trail,
    observe,
    refusal::Refusal,
    request::{self, Form, Parameters},
    server::Server,
};
use crate::{body::ResponseBody, reject::finish_having_read, token::conceal, verify::BoxFuture};

/// One endpoint of an [`AuthorizationServer`](super::AuthorizationServer), as a tower service for requests of any
/// body: to be put on a route of axum by `route_service`, or behind hyper.
///
/// Which it is, and what it accepts and answers, says the method that makes it:
/// [`token_endpoint`](super::AuthorizationServer::token_endpoint),
/// [`refresh_endpoint`](super::AuthorizationServer::refresh_endpoint),
/// [`oauth_endpoint`](super::AuthorizationServer::oauth_endpoint),
/// [`revocation_endpoint`](super::AuthorizationServer::revocation_endpoint),
/// [`introspection_endpoint`](super::AuthorizationServer::introspection_endpoint).
#[derive(Clone)]
pub struct TokenService {
    server: Arc<Server>,
    endpoint: Endpoint,
}

/// What an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Client credentials in, access and refresh token out.
    Token,
    /// A refresh token in, access and refresh token out.
    Refresh {
        /// A refresh token that is good for nothing is 400, as RFC 6749 has it, and not 401.
        status_of_rfc: bool,
        /// Clients that have a secret or a key must authenticate, and others give their id.
        must_authenticate: bool,
    },
    /// RFC 6749, to the letter.
    OAuth,
    /// RFC 7009.
    Revocation,
    /// RFC 7662.
    Introspection,
}

impl Endpoint {
    /// Whether forms are accepted alone, and answers are `application/json` in any case.
    pub(super) const fn is_of_rfc(self) -> bool {
        matches!(self, Self::OAuth | Self::Revocation | Self::Introspection)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Refresh { .. } => "refresh",
            Self::OAuth => "oauth",
            Self::Revocation => "revocation",
            Self::Introspection => "introspection",
        }
    }
}

impl TokenService {
    pub(super) fn new(server: &Arc<Server>, endpoint: Endpoint) -> Self {
        Self {
            server: Arc::clone(server),
            endpoint,
        }
    }

    /// Answers a refresh token that is good for nothing with 400, as RFC 6749 §5.2 has it, in place of the 401 that
    /// is the contract of this crate. The body is the same but for its `type`, `title` and `status`. For a
    /// [`refresh_endpoint`](super::AuthorizationServer::refresh_endpoint); the others keep to it anyway.
    #[must_use]
    pub fn rfc_status(mut self) -> Self {
        if let Endpoint::Refresh { status_of_rfc, .. } = &mut self.endpoint {
            *status_of_rfc = true;
        }
        self
    }

    /// Requires the client of a [`refresh_endpoint`](super::AuthorizationServer::refresh_endpoint) to authenticate,
    /// as RFC 6749 §6 does for clients with credentials. A [public](super::Client::public) client sends its
    /// `client_id`. Other requests are answered 401 `invalid_client`.
    ///
    /// This is off by default because the refresh token alone is the contract of this endpoint. The other endpoints
    /// always require it.
    ///
    /// ```
    /// # fn routes(server: &tower_bearer::token_service::AuthorizationServer) -> axum::Router {
    /// let refresh = server.refresh_endpoint().require_client_authentication();
    /// axum::Router::new().route_service("/api/v2/auth/refresh", refresh)
    /// # }
    /// ```
    #[must_use]
    pub fn require_client_authentication(mut self) -> Self {
        if let Endpoint::Refresh {
            must_authenticate, ..
        } = &mut self.endpoint
        {
            *must_authenticate = true;
        }
        self
    }
}

impl<B> Service<Request<B>> for TokenService
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = TokenFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> TokenFuture {
        let Self { server, endpoint } = self.clone();
        let (mut parts, body) = request.into_parts();
        // Before functions of the user see the request.
        conceal::mark_sensitive(&mut parts.headers, &[]);
        TokenFuture(Box::pin(async move {
            let basic_was_tried = request::is_basic(&parts.headers);
            let body = pin!(body);
            let mut content = Content::new(body);
            let trail = Trail::default();
            let outcome = answer(&server, endpoint, &parts, &mut content, &trail).await;
            let peer = (server.peer)(&parts);
            observe::answered(&server, endpoint, peer, &trail, outcome.as_ref().map(drop));
            let mut response = match outcome {
                Ok(response) => response,
                Err(refusal) => server
                    .voice
                    .refuse(refusal, &parts, endpoint, basic_was_tried),
            };
            let all = content.drain(&parts).await;
            finish_having_read(&mut response, &parts, all);
            response.map(ResponseBody::refusal)
        }))
    }
}

/// The whole story of a request: what costs little is looked at first.
async fn answer<B: Body>(
    server: &Server,
    endpoint: Endpoint,
    parts: &Parts,
    content: &mut Content<'_, B>,
    trail: &Trail,
) -> Result<Response<Bytes>, Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    let form = Form::of(&parts.headers, !endpoint.is_of_rfc())?;
    let body = request::collect(&parts.headers, content, server.settings.body_timeout).await?;
    let parameters = Parameters::parse(form, &body)?;
    let asked = Asked {
        parts,
        parameters: &parameters,
        trail,
    };
    match endpoint {
        Endpoint::Token => match parameters.get("grant_type") {
            Some("client_credentials") => server.client_credentials(asked, true).await,
            Some(_) => Err(Refusal::unsupported_grant_type(
                "it must be client_credentials",
            )),
            None => Err(missing("grant_type")),
        },
        Endpoint::Refresh {
            status_of_rfc,
            must_authenticate,
        } => match parameters.get("grant_type") {
            Some("refresh_token") | None => {
                server
                    .refresh(asked, status_of_rfc, must_authenticate)
                    .await
            }
            Some(_) => Err(Refusal::unsupported_grant_type("it must be refresh_token")),
        },
        Endpoint::OAuth => match parameters.get("grant_type") {
            Some("client_credentials") => server.client_credentials(asked, false).await,
            Some("refresh_token") => server.refresh(asked, true, true).await,
            Some(_) => Err(Refusal::unsupported_grant_type(
                "it must be client_credentials or refresh_token",
            )),
            None => Err(missing("grant_type")),
        },
        Endpoint::Revocation => server.revoke(asked).await,
        Endpoint::Introspection => server.introspect(asked).await,
    }
}

/// A request whose parameters have been read.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) parts: &'a Parts,
    pub(super) parameters: &'a Parameters<'a>,
    pub(super) trail: &'a Trail,
}

impl Asked<'_> {
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }
}

pub(super) fn missing(parameter: &str) -> Refusal {
    Refusal::invalid_request(format!("The parameter {parameter} is missing"))
}

/// The future of a [`TokenService`].
#[must_use = "futures do nothing unless polled"]
pub struct TokenFuture(BoxFuture<Response<ResponseBody>>);

impl Future for TokenFuture {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for TokenFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFuture").finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenService")
            .field("endpoint", &self.endpoint)
            .field("server", &self.server)
            .finish()
    }
}
