//! [`Claims`] as an axum extractor.

use std::fmt;

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use super::{Claims, claims_not_found};
use crate::{error::AuthError, service::Anonymous};

/// The claims that the layer has verified.
///
/// Where the layer let the request pass without claims (it is optional, or the request exempt), the
/// answer is 401 in the layer's voice; `Option<Claims<C>>` is `None` there. Where there is no layer, or
/// its verifier gave claims of another type, both answer 500 with a problem that names the mend.
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
        let response = match parts.extensions.get::<Anonymous>() {
            Some(anonymous) => anonymous.voice.answer(AuthError::missing_token(), parts),
            None => claims_not_found::<C>().into_response(),
        };
        Err(ClaimsRejection(Box::new(response.map(Body::from))))
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
        let response = claims_not_found::<C>().into_response();
        Err(ClaimsRejection(Box::new(response.map(Body::from))))
    }
}

/// The answer to a request whose handler asks for [`Claims`] that are not there.
pub struct ClaimsRejection(Box<Response>);

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
