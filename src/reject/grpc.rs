//! Refusals in gRPC: an answer of headers alone (gRPC over HTTP/2, "Trailers-Only").

use std::fmt::Write;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Response, Version, header::CONTENT_TYPE, request::Parts,
};

use crate::error::{AuthError, AuthErrorKind};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request is gRPC: a POST over HTTP/2 with the content type `application/grpc`, or
/// `application/grpc+` and a codec.
///
/// All three, because a gRPC refusal has the HTTP status 200: were the content type enough, a plain
/// client could turn its 401 into a 200, and pass by a proxy that looks at the status.
///
/// gRPC-Web is not: its clients understand a 401. To have them answered in gRPC all the same, see
/// [`ProblemJson::grpc_web`](crate::ProblemJson::grpc_web).
pub fn is_grpc(request: &Parts) -> bool {
    request.version == Version::HTTP_2
        && request.method == Method::POST
        && request
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|content_type| is_grpc_type(content_type.as_bytes()))
}

/// Whether a request is gRPC-Web: a POST over any version of HTTP with the content type
/// `application/grpc-web` or `application/grpc-web-text`, with a codec or without.
pub(super) fn is_grpc_web(request: &Parts) -> bool {
    request.method == Method::POST
        && request
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|content_type| {
                is_type(content_type.as_bytes(), b"application/grpc-web")
                    || is_type(content_type.as_bytes(), b"application/grpc-web-text")
            })
}

fn is_grpc_type(content_type: &[u8]) -> bool {
    is_type(content_type, b"application/grpc")
}

/// Whether it is this type, or this type, `+` and a codec.
fn is_type(content_type: &[u8], name: &[u8]) -> bool {
    let essence = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    match essence.split_at_checked(name.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(name) && (rest.is_empty() || rest.first() == Some(&b'+'))
        }
        None => false,
    }
}

/// The refusal of a gRPC request: HTTP 200 with `grpc-status` 16 (UNAUTHENTICATED), 7
/// (PERMISSION_DENIED) or 14 (UNAVAILABLE), `grpc-message` with the error's
/// [`detail`](AuthError::detail), the request's own content type, and no body.
///
/// For a [`Reject`](crate::Reject) of one's own; [`ProblemJson`](crate::ProblemJson) does this of
/// itself. A malformed request is UNAUTHENTICATED too: gRPC has no better code for it, and
/// INVALID_ARGUMENT speaks of the message.
pub fn grpc_response(error: &AuthError, request: &Parts) -> Response<Bytes> {
    let status = match error.kind() {
        AuthErrorKind::InsufficientScope | AuthErrorKind::AccessDenied => "7",
        AuthErrorKind::Unavailable => "14",
        _ => "16",
    };
    let content_type = request
        .headers
        .get(CONTENT_TYPE)
        .cloned()
        .unwrap_or(HeaderValue::from_static("application/grpc"));
    let message = HeaderValue::try_from(percent_encode(error.detail()))
        .unwrap_or(HeaderValue::from_static("Unauthenticated"));
    super::response(
        http::StatusCode::OK,
        [
            (CONTENT_TYPE, content_type),
            (GRPC_STATUS, HeaderValue::from_static(status)),
            (GRPC_MESSAGE, message),
        ],
        Bytes::new(),
    )
}

/// Percent-encodes all but `%x20-24` and `%x26-7E` of the UTF-8, as the gRPC specification has it.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            _ => {
                // Writing to a String does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
