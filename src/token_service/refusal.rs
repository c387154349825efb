//! [`Refusal`]: why there are no tokens, by the error codes of RFC 6749 §5.2.

use std::{borrow::Cow, error::Error, time::Duration};

use http::{
    HeaderName, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, ALLOW},
};

use super::{client::authentication::Unauthenticated, limit::TooManyFailures};
use crate::store::StoreError;

/// Why there are no tokens.
pub(super) struct Refusal(pub(super) Box<Details>);

pub(super) struct Details {
    pub(super) status: StatusCode,
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    pub(super) detail: Cow<'static, str>,
    /// The error code of RFC 6749 §5.2.
    pub(super) error: &'static str,
    pub(super) retry_after: Option<Duration>,
    pub(super) header: Option<(HeaderName, &'static str)>,
    /// For the log: why, in a short constant, and what is behind it.
    reason: &'static str,
    pub(super) source: Option<Box<dyn Error + Send + Sync>>,
}

impl Refusal {
    fn new(
        status: StatusCode,
        (slug, title): (&'static str, &'static str),
        error: &'static str,
        detail: Cow<'static, str>,
        reason: &'static str,
    ) -> Self {
        Self(Box::new(Details {
            status,
            slug,
            title,
            detail,
            error,
            retry_after: None,
            header: None,
            reason,
            source: None,
        }))
    }

    fn bad_request(error: &'static str, detail: Cow<'static, str>, reason: &'static str) -> Self {
        let kind = ("bad-request", "Bad Request");
        Self::new(StatusCode::BAD_REQUEST, kind, error, detail, reason)
    }

    pub(super) fn invalid_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request("invalid_request", detail.into(), "invalid_request")
    }

    pub(super) fn unsupported_grant_type(accepted: &str) -> Self {
        let detail = format!("The grant type is not supported; {accepted}");
        Self::bad_request(
            "unsupported_grant_type",
            detail.into(),
            "unsupported_grant_type",
        )
    }

    pub(super) fn invalid_scope() -> Self {
        let detail = "The scope is malformed, unknown, or more than was granted";
        Self::bad_request("invalid_scope", detail.into(), "invalid_scope")
    }

    pub(super) fn invalid_target() -> Self {
        let detail = "The resource is malformed, unknown, or more than was granted";
        Self::bad_request("invalid_target", detail.into(), "invalid_target")
    }

    pub(super) fn unsupported_token_type() -> Self {
        let detail = "Tokens of this type cannot be revoked";
        Self::bad_request(
            "unsupported_token_type",
            detail.into(),
            "unsupported_token_type",
        )
    }

    pub(super) fn foreign_token() -> Self {
        let detail = "The token was issued to another client";
        Self::bad_request("unauthorized_client", detail.into(), "token_foreign")
    }

    pub(super) fn unauthorized_client() -> Self {
        let detail = "The client may not use this grant type";
        Self::bad_request("unauthorized_client", detail.into(), "unauthorized_client")
    }

    /// The client is unknown, its secret is wrong, or there is none.
    pub(super) fn invalid_client() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            ("unauthorized", "Unauthorized"),
            "invalid_client",
            Cow::Borrowed("Invalid client credentials"),
            "invalid_client",
        )
    }

    /// The refresh token is good for nothing. That is 401 by the contract of this crate, and 400 by RFC 6749.
    pub(super) fn invalid_grant(by_rfc: bool, reason: &'static str) -> Self {
        let detail = Cow::Borrowed("Invalid or expired refresh token");
        if by_rfc {
            return Self::bad_request("invalid_grant", detail, reason);
        }
        Self::new(
            StatusCode::UNAUTHORIZED,
            ("unauthorized", "Unauthorized"),
            "invalid_grant",
            detail,
            reason,
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        let mut refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ("method-not-allowed", "Method Not Allowed"),
            "invalid_request",
            Cow::Borrowed("Only POST is allowed"),
            "method_not_allowed",
        );
        refusal.0.header = Some((ALLOW, "POST"));
        refusal
    }

    pub(super) fn unsupported_media_type(json: bool) -> Self {
        let (detail, accepted) = if json {
            (
                "The body must be application/x-www-form-urlencoded or application/json",
                "application/x-www-form-urlencoded, application/json",
            )
        } else {
            (
                "The body must be application/x-www-form-urlencoded",
                "application/x-www-form-urlencoded",
            )
        };
        let mut refusal = Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ("unsupported-media-type", "Unsupported Media Type"),
            "invalid_request",
            Cow::Borrowed(detail),
            "unsupported_media_type",
        );
        refusal.0.header = Some((ACCEPT, accepted));
        refusal
    }

    pub(super) fn unsupported_content_coding() -> Self {
        let mut refusal = Self::unsupported_media_type(false);
        refusal.0.detail = Cow::Borrowed("The body must have no content coding");
        refusal.0.header = Some((ACCEPT_ENCODING, "identity"));
        refusal
    }

    pub(super) fn content_too_large(at_most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ("content-too-large", "Content Too Large"),
            "invalid_request",
            Cow::Owned(format!("The body must have at most {at_most} bytes")),
            "content_too_large",
        )
    }

    pub(super) fn request_timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            ("request-timeout", "Request Timeout"),
            "invalid_request",
            Cow::Borrowed("The body did not come in time, please try again"),
            "request_timeout",
        )
    }

    /// There were too many failures.
    fn too_many_requests(retry_after: Duration) -> Self {
        let mut refusal = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            ("too-many-requests", "Too Many Requests"),
            "temporarily_unavailable",
            Cow::Borrowed("Too many requests"),
            "too_many_failures",
        );
        refusal.0.retry_after = Some(retry_after);
        refusal
    }

    /// What is needed cannot be reached.
    pub(super) fn unavailable(
        reason: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let mut refusal = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ("service-unavailable", "Service Unavailable"),
            "temporarily_unavailable",
            Cow::Borrowed("The token service is temporarily unavailable, please try again"),
            reason,
        );
        refusal.0.retry_after = Some(COME_BACK_AFTER);
        refusal.0.source = Some(source.into());
        refusal
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(super) fn reason(&self) -> &'static str {
        self.0.reason
    }

    pub(super) fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }
}

/// As long as the layer asks clients to wait where keys are out of reach.
pub(super) const COME_BACK_AFTER: Duration = Duration::from_secs(5);

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::unavailable("store_unavailable", error)
    }
}

impl From<TooManyFailures> for Refusal {
    fn from(too_many: TooManyFailures) -> Self {
        Self::too_many_requests(too_many.retry_after)
    }
}

impl From<Unauthenticated> for Refusal {
    fn from(why: Unauthenticated) -> Self {
        match why {
            Unauthenticated::Refused => Self::invalid_client(),
            Unauthenticated::TooMany(too_many) => too_many.into(),
            Unauthenticated::Unavailable(error) => error.into(),
        }
    }
}
