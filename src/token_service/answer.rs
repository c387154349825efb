//! What the endpoints answer: tokens (RFC 6749 §5.1), or a problem with `error` and `error_description` in it (§5.2).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
    },
    request::Parts,
};
use serde::Serialize;

use super::{
    endpoint::Endpoint,
    issue::SignedToken,
    refusal::{Details, Refusal},
};
use crate::{
    error::ConfigError,
    reject::{Challenges, ProblemJson, description},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The tokens that a client gets (RFC 6749 §5.1), in the order of the contract.
#[derive(Serialize)]
pub(super) struct Tokens {
    pub(super) access_token: SignedToken,
    pub(super) token_type: &'static str,
    /// In seconds.
    pub(super) expires_in: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
}

impl Tokens {
    pub(super) fn into_response(self) -> Response<Bytes> {
        // Strings and a number: nothing that could fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        ok(body.into())
    }
}

/// The 200 of JSON, not to be cached. An empty body has the same media type, because some OAuth clients reject any
/// other before they see that it is empty.
pub(super) fn ok(body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    let length = HeaderValue::from(response.body().len());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(PRAGMA, NO_CACHE);
    headers.insert(CONTENT_LENGTH, length);
    response
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
        let seconds = retry_after.map(|delay| {
            let whole = delay.as_secs();
            whole
                .saturating_add(u64::from(delay.subsec_nanos() > 0))
                .max(1)
        });
        let mut problem = self
            .problems
            .problem(status, slug, request)
            .title(title)
            .detail(detail);
        if status == StatusCode::TOO_MANY_REQUESTS
            && let Some(seconds) = seconds
        {
            problem = problem.extension("retryAfter", seconds);
        }
        let mut response = problem
            .extension("error", error)
            .extension("error_description", description)
            .into_response();
        let headers = response.headers_mut();
        headers.insert(PRAGMA, NO_CACHE);
        if endpoint.is_of_rfc() || accepts_json_alone(&request.headers) {
            headers.insert(CONTENT_TYPE, JSON);
        }
        if status == StatusCode::UNAUTHORIZED {
            // A challenge for Basic opens a dialog in browsers. RFC 6749 §5.2 asks for it only where the client has
            // used the header, and RFC 9110 §15.5.2 for some challenge in each 401.
            let challenge = if basic_was_tried {
                &self.basic
            } else {
                &self.bearer
            };
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
        if let Some(seconds) = seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
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
