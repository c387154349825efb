//! What the endpoints answer: tokens (RFC 6749 §5.1), or a problem with `error` and `error_description` in it (§5.2).

use std::{borrow::Cow, error::Error, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, PRAGMA,
        RETRY_AFTER, WWW_AUTHENTICATE,
    },
    request::Parts,
};
use serde::Serialize;

use super::{client::authentication::Unauthenticated, endpoint::Endpoint};
use crate::{
    error::ConfigError,
    reject::{Challenges, ProblemJson, description},
    store::StoreError,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The tokens that a client gets (RFC 6749 §5.1), in the order of that section.
#[derive(Serialize)]
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) token_type: &'static str,
    /// In seconds.
    pub(super) expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) scope: String,
}

impl Tokens {
    pub(super) fn into_response(self) -> Response<Bytes> {
        // Strings and a number: nothing that could fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        ok(body.into(), Some(JSON))
    }
}

/// 200, not to be kept.
pub(super) fn ok(body: Bytes, media_type: Option<HeaderValue>) -> Response<Bytes> {
    let mut response = Response::new(body);
    let length = HeaderValue::from(response.body().len());
    let headers = response.headers_mut();
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, media_type);
    }
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(PRAGMA, NO_CACHE);
    headers.insert(CONTENT_LENGTH, length);
    response
}

/// Why there are no tokens.
pub(super) struct Refusal(Box<Details>);

struct Details {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    /// The error code of RFC 6749 §5.2.
    error: &'static str,
    retry_after: Option<Duration>,
    header: Option<(HeaderName, &'static str)>,
    /// For the log: why, in a short constant, and what is behind it.
    reason: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
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
            Cow::Borrowed("Too many failed attempts, please try again later"),
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

    #[cfg_attr(
        not(feature = "tracing"),
        allow(dead_code, reason = "asked by events alone")
    )]
    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(super) fn reason(&self) -> &'static str {
        self.0.reason
    }

    #[cfg_attr(
        not(feature = "tracing"),
        allow(dead_code, reason = "asked by events alone")
    )]
    pub(super) fn source(&self) -> Option<&(dyn Error + Send + Sync)> {
        self.0.source.as_deref()
    }
}

/// As long as the layer asks clients to wait where keys are out of reach.
const COME_BACK_AFTER: Duration = Duration::from_secs(5);

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::unavailable("store_unavailable", error)
    }
}

impl From<Unauthenticated> for Refusal {
    fn from(why: Unauthenticated) -> Self {
        match why {
            Unauthenticated::Refused => Self::invalid_client(),
            Unauthenticated::TooMany(too_many) => Self::too_many_requests(too_many.retry_after),
            Unauthenticated::Unavailable(error) => error.into(),
        }
    }
}

/// The voice of an authorization server.
pub(super) struct Voice {
    pub(super) problems: ProblemJson,
    bearer: HeaderValue,
    basic: HeaderValue,
}

impl Voice {
    pub(super) fn new(problems: ProblemJson, realm: &str) -> Result<Self, ConfigError> {
        let mut challenges = Challenges::default();
        challenges.set_realm(realm)?;
        Ok(Self {
            problems,
            bearer: challenges.of(&crate::AuthError::missing_token()),
            basic: challenges.basic(),
        })
    }

    /// The answer to a request that is refused.
    pub(super) fn refuse(
        &self,
        refusal: Refusal,
        request: &Parts,
        endpoint: Endpoint,
        basic_was_tried: bool,
    ) -> Response<Bytes> {
        let Details {
            status,
            slug,
            title,
            detail,
            error,
            retry_after,
            header,
            ..
        } = *refusal.0;
        let description = description(&detail);
        let mut response = self
            .problems
            .problem(status, slug, request)
            .title(title)
            .detail(detail)
            .extension("error", error)
            .extension("error_description", description)
            .into_response();
        let headers = response.headers_mut();
        headers.insert(PRAGMA, NO_CACHE);
        if endpoint.is_of_rfc() || accepts_json_alone(&request.headers) {
            headers.insert(CONTENT_TYPE, JSON);
        }
        if status == StatusCode::UNAUTHORIZED {
            // A challenge for Basic opens a dialog in browsers: where nobody tried it, it is the letter of RFC 6749
            // that asks for it, and nothing else.
            let challenge = if basic_was_tried || endpoint.is_of_rfc() {
                &self.basic
            } else {
                &self.bearer
            };
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
        if let Some(delay) = retry_after {
            let seconds = delay
                .as_secs()
                .saturating_add(u64::from(delay.subsec_nanos() > 0));
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some((name, value)) = header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Whether the client takes `application/json`, and does not say that it takes problems as such.
fn accepts_json_alone(headers: &HeaderMap) -> bool {
    let mut json = false;
    for line in headers.get_all(ACCEPT) {
        for range in line.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or_default();
                name.trim().eq_ignore_ascii_case("q")
                    && value
                        .trim()
                        .parse::<f32>()
                        .is_ok_and(|quality| quality <= 0.0)
            });
            if refused {
                continue;
            }
            if name.eq_ignore_ascii_case("application/json") {
                json = true;
            } else if ["application/problem+json", "application/*", "*/*"]
                .iter()
                .any(|other| name.eq_ignore_ascii_case(other))
            {
                return false;
            }
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_alone_is_accepted_where_nothing_else_that_fits_is() {
        for (accept, expected) in [
            (&[][..], false),
            (&["application/json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/json, text/plain"], true),
            (&["application/json, text/plain, */*"], false),
            (&["application/json", "*/*;q=0.1"], false),
            (&["application/json, */*;q=0"], true),
            (&["application/json;q=0"], false),
            (&["application/json, application/problem+json"], false),
            (&["application/problem+json"], false),
            (&["*/*"], false),
            (&["text/html"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in accept {
                headers.append(ACCEPT, HeaderValue::from_static(line));
            }
            assert_eq!(accepts_json_alone(&headers), expected, "{accept:?}");
        }
    }
}
