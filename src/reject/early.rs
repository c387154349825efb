//! What a response needs that is sent before the content of its request was read.
//!
//! Over HTTP/1 the content that nobody read stands in the way of the next request. A server must read it
//! or close the connection (RFC 9112 §9.3), and hyper closes it in silence: a client or proxy that reuses
//! connections then loses the next request that it sends. `Connection: close` says so in time (§9.6).
//! Every response that this crate makes itself goes through [`finish`] or [`finish_having_read`].

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    request::Parts,
};

use super::grpc::is_grpc_type;

/// Fits a response to a request whose body nobody has looked at.
pub(crate) fn finish(response: &mut Response<Bytes>, request: &Parts) {
    finish_having_read(response, request, !has_content(request));
}

/// Fits a response to a request whose content was read to its end, or not: without a body to HEAD, and
/// with `Connection: close` if unread content would be taken for the next request.
pub(crate) fn finish_having_read(response: &mut Response<Bytes>, request: &Parts, all: bool) {
    leave_out_body(response, request);
    // HTTP/2 and later have a stream for each request, and forbid the header (RFC 9113 §8.2.2).
    if !all && request.version <= Version::HTTP_11 {
        close_connection(response.headers_mut());
    }
}

/// To a HEAD, answers with the length that a GET would have had, and without the body (RFC 9110 §9.3.2).
/// hyper leaves it out over HTTP/1 alone.
fn leave_out_body(response: &mut Response<Bytes>, request: &Parts) {
    if request.method == Method::HEAD {
        let body = std::mem::take(response.body_mut());
        // A 304 to GET has no body either, and its length would be that of the 200 (RFC 9110 §8.6).
        if response.status() != StatusCode::NOT_MODIFIED {
            response
                .headers_mut()
                .entry(CONTENT_LENGTH)
                .or_insert_with(|| HeaderValue::from(body.len()));
        }
    }
}

/// Whether a request over HTTP/1 has content (RFC 9112 §6.3).
///
/// A length that cannot be read counts as content: to close a connection in vain is harmless.
fn has_content(request: &Parts) -> bool {
    let headers = &request.headers;
    if headers.contains_key(TRANSFER_ENCODING) {
        return true;
    }
    if headers.contains_key(CONTENT_LENGTH) {
        return !elements(headers, &CONTENT_LENGTH).all(is_zero);
    }
    // A gRPC request always has content, but tonic's `GrpcWebLayer` removes its length.
    request.method == Method::POST && headers.get(CONTENT_TYPE).is_some_and(is_grpc_type)
}

fn is_zero(length: &[u8]) -> bool {
    !length.is_empty() && length.iter().all(|digit| *digit == b'0')
}

/// Announces that the connection ends with this response, whatever a `Reject` has written.
fn close_connection(headers: &mut HeaderMap) {
    let mut value = HeaderValue::from_static("close");
    if headers.contains_key(CONNECTION) {
        let replaced: [&[u8]; 3] = [b"", b"close", b"keep-alive"];
        let others = elements(headers, &CONNECTION).filter(|option| {
            !replaced
                .iter()
                .any(|other| option.eq_ignore_ascii_case(other))
        });
        // `close` comes first, because some clients look no further.
        let options: Vec<&[u8]> = std::iter::once(value.as_bytes()).chain(others).collect();
        if let Ok(options) = HeaderValue::from_bytes(&options.join(&b", "[..])) {
            value = options;
        }
    }
    headers.insert(CONNECTION, value);
}

/// The elements of a list in all lines of a header.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}
