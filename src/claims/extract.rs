//! [`Claims`] as an axum extractor.

use std::fmt;

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use super::Claims;
use crate::service::{Anonymous, reject_without_claims};

/// The claims that the layer has verified.
///
/// If the layer let the request pass without claims (it is optional, or the request is exempt), `Claims<C>`
/// rejects with the layer's 401, and `Option<Claims<C>>` is `None`. If there is no layer, or its
/// verifier yields another claims type, both reject with a 500 whose detail explains how to fix the stack.
impl<S, C> FromRequestParts<S> for Claims<C>
where
    S: Sync,
    C: Send + Sync + 'static,
{
    type Rejection = ClaimsRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ClaimsRejection> {
        if let Some(claims) = parts.extensions.get::<Self>() {
            return Ok(claims.clone());
        }
        Err(ClaimsRejection::new::<C>(parts))
    }
}

impl<S, C> OptionalFromRequestParts<S> for Claims<C>
where
    S: Sync,
    C: Send + Sync + 'static,
{
    type Rejection = ClaimsRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, ClaimsRejection> {
        if let Some(claims) = parts.extensions.get::<Self>() {
            return Ok(Some(claims.clone()));
        }
        if parts.extensions.get::<Anonymous>().is_some() {
            return Ok(None);
        }
        Err(ClaimsRejection::new::<C>(parts))
    }
}

/// The response to a request whose handler asks for [`Claims`] that are not there.
pub struct ClaimsRejection(Box<Response>);

impl ClaimsRejection {
    fn new<C>(parts: &Parts) -> Self {
        Self(Box::new(reject_without_claims::<C>(parts).map(Body::from)))
    }
}

impl IntoResponse for ClaimsRejection {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl fmt::Debug for ClaimsRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClaimsRejection")
            .field(&self.0.status())
            .finish()
    }
}

impl fmt::Display for ClaimsRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no claims in the request: answered {}", self.0.status())
    }
}

impl std::error::Error for ClaimsRejection {}
