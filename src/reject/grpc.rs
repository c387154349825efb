//! Rejections in gRPC: a response of headers alone (gRPC over HTTP/2, "Trailers-Only").

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
/// All three are required, because a gRPC rejection has the HTTP status 200. If the content type were
/// enough, a plain client could turn its 401 into a 200, and pass by a proxy that looks at the status.
///
/// gRPC-Web is not included; see [`ProblemJson::grpc_web`](crate::ProblemJson::grpc_web).
pub fn is_grpc(request: &Parts) -> bool {
    request.version == Version::HTTP_2 && is_grpc_call(request, &[GRPC])
}

/// Whether a request is gRPC or gRPC-Web, over any version of HTTP. Inside of tonic's `GrpcWebLayer` a
/// gRPC-Web request over HTTP/1.1 has the content type of gRPC.
pub(super) fn is_grpc_or_web(request: &Parts) -> bool {
    is_grpc_call(
        request,
        &[GRPC, "application/grpc-web", "application/grpc-web-text"],
    )
}

/// Whether a content type is that of gRPC.
pub(super) fn is_grpc_type(content_type: &HeaderValue) -> bool {
    is_type(content_type, GRPC)
}

const GRPC: &str = "application/grpc";

fn is_grpc_call(request: &Parts, types: &[&str]) -> bool {
    request.method == Method::POST
        && request
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|content_type| types.iter().any(|name| is_type(content_type, name)))
}

/// Whether it is this type, or this type, `+` and a codec.
fn is_type(content_type: &HeaderValue, name: &str) -> bool {
    let essence = content_type
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    match essence.split_at_checked(name.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(name.as_bytes())
                && (rest.is_empty() || rest.first() == Some(&b'+'))
        }
        None => false,
    }
}

/// The rejection of a gRPC request: HTTP 200 with `grpc-status` 16 (UNAUTHENTICATED), 7
/// (PERMISSION_DENIED) or 14 (UNAVAILABLE), `grpc-message` with the error's
/// [`detail`](AuthError::detail), the request's own content type, and no body.
///
/// Use it in a [`Reject`](crate::Reject) of your own; [`ProblemJson`](crate::ProblemJson) does so
/// by itself. A malformed request is UNAUTHENTICATED too, because gRPC has no better code for it:
/// INVALID_ARGUMENT is about the message.
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
