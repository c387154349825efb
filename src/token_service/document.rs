//! A document that everybody may read and keep for a while.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH,
    },
    request::Parts,
};

use crate::{
    body::ResponseBody,
    crypto::sha256,
    reject::{Problem, finish},
};

pub(super) struct Document {
    pub(super) media_type: &'static str,
    pub(super) max_age: Duration,
    pub(super) json: String,
}

impl Document {
    /// The response to a GET or HEAD; to others, which methods there are.
    pub(super) fn answer(self, request: &Parts) -> Response<ResponseBody> {
        let mut response = self.of(&request.method, &request.headers);
        finish(&mut response, request);
        response.map(ResponseBody::refusal)
    }

    fn of(self, method: &Method, headers: &HeaderMap) -> Response<Bytes> {
        if method != Method::GET && method != Method::HEAD {
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED);
            let mut response = problem
                .detail("Only GET and HEAD are allowed")
                .into_response();
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allow);
            return response;
        }
        let hash = sha256(self.json.as_bytes());
        let hash = hash.first_chunk::<16>().map_or(&[][..], |hash| &hash[..]);
        let etag = format!(
            "\"{}\"",
            base64_simd::URL_SAFE_NO_PAD.encode_to_string(hash)
        );
        let known = headers.get_all(IF_NONE_MATCH).iter().any(|line| {
            let mut tags = line.to_str().unwrap_or_default().split(',').map(str::trim);
            tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
        });
        let mut response = Response::new(Bytes::new());
        let max_age = self.max_age.as_secs();
        let head = response.headers_mut();
        if let Ok(etag) = HeaderValue::try_from(etag) {
            head.insert(ETAG, etag);
        }
        if let Ok(value) = HeaderValue::try_from(format!("public, max-age={max_age}")) {
            head.insert(CACHE_CONTROL, value);
        }
        // There is nothing in it that a page of another origin must not see.
        head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        head.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        head.insert(CONTENT_LENGTH, HeaderValue::from(self.json.len()));
        *response.body_mut() = self.json.into();
        response
    }
}
