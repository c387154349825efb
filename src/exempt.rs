//! Ready-made exemptions, for [`BearerAuthLayer::exempt`](crate::BearerAuthLayer::exempt).
//!
//! ```
//! use tower_bearer::{BearerAuthLayer, BearerToken, Claims, exempt, verify_fn};
//!
//! # let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
//! let auth = BearerAuthLayer::new(verifier)
//!     .exempt(exempt::cors_preflight)
//!     .exempt(exempt::paths(&["/healthz", "/docs/*"])?);
//! # Ok::<(), tower_bearer::ConfigError>(())
//! ```
//!
//! # Paths that can be read in two ways
//! An exemption is safe only if the service behind it takes the path for what the exemption took it for.
//! Routers, proxies and file servers differ in how they read `/docs/%2e%2e/admin`. An exemption by path
//! therefore never applies to a path with
//!
//! * an empty, `.` or `..` segment, also with blanks beside the dots;
//! * a `\`, a `;`, or another character that a URI path may not hold, such as a non-ASCII one;
//! * a `%` that begins no escape, or an escape of `.`, `/`, `\`, `;`, `%`, `?`, `#`, a control character
//!   or a non-ASCII character.
//!
//! Such a request needs a token. To exempt it all the same, write a closure of your own.

use http::{
    Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN},
    request::Parts,
};

use crate::error::ConfigError;

/// A CORS preflight, which browsers send without credentials: OPTIONS with both `Origin` and
/// `Access-Control-Request-Method` (Fetch §3.2.2), for any path. Other OPTIONS requests are not exempt.
///
/// A CORS layer outside of this one answers preflights itself, and makes this unnecessary.
pub fn cors_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The methods of the gRPC health service: `Check`, `List` and `Watch` of `grpc.health.v1.Health`.
pub fn grpc_health(request: &Parts) -> bool {
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
    ]
    .contains(&request.uri.path())
}

/// The method of the gRPC reflection service: `ServerReflectionInfo` of
/// `grpc.reflection.v1.ServerReflection` and of its older version `v1alpha`.
pub fn grpc_reflection(request: &Parts) -> bool {
    [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ]
    .contains(&request.uri.path())
}

/// Exempts paths: each exactly as it is given or, if it ends in `/*`, everything below it.
///
/// The path of a request is compared byte by byte, as it came. Inside axum's `Router::nest` it lacks the
/// prefix of the nest. A path that can be [read in two ways](self#paths-that-can-be-read-in-two-ways)
/// is never exempt.
///
/// # Errors
/// If a path does not start with `/`, has a `*` that is not the whole last segment, or can itself be read
/// in two ways.
pub fn paths(
    paths: &[&str],
) -> Result<impl Fn(&Parts) -> bool + Clone + Send + Sync + use<>, ConfigError> {
    let mut exact = Vec::new();
    let mut below = Vec::new();
    for &path in paths {
        let (list, plain) = match path.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('/') => (&mut below, prefix),
            _ => (&mut exact, path),
        };
        let mend = if !plain.starts_with('/') {
            "must start with `/`"
        } else if plain.contains('*') {
            "`*` must be the whole last segment, as in `/docs/*`"
        } else if !is_unambiguous(plain) {
            "must be a plain path, without a query, `//`, `.` or `..` segments, `\\`, `;`, non-ASCII \
             characters, or escapes of these"
        } else {
            list.push(plain.to_owned());
            continue;
        };
        return Err(ConfigError::new(format!(
            "invalid exempt path `{}`: {mend}",
            path.escape_debug()
        )));
    }
    Ok(move |request: &Parts| {
        let path = request.uri.path();
        let listed = exact.iter().any(|exempt| exempt == path)
            || below.iter().any(|prefix| path.starts_with(prefix.as_str()));
        listed && is_unambiguous(path)
    })
}

/// Whether nobody between here and the service can take the path for another. The documentation of the
/// module lists what is ambiguous.
fn is_unambiguous(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return false;
    };
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        // The last segment of a path that ends with `/` is empty.
        let ends_path = segment.is_empty() && segments.peek().is_none();
        if !ends_path && !is_plain_segment(segment) {
            return false;
        }
    }
    true
}

fn is_plain_segment(segment: &str) -> bool {
    let (mut dots, mut others) = (0_usize, 0_usize);
    let mut rest = segment.as_bytes();
    while let [byte, after @ ..] = rest {
        let (byte, after) = match (*byte, after) {
            (b'%', [high, low, later @ ..]) => match escaped(*high, *low) {
                Some(byte) => (byte, later),
                None => return false,
            },
            (byte, after) if is_path_byte(byte) => (byte, after),
            _ => return false,
        };
        match byte {
            b'.' => dots = dots.saturating_add(1),
            // Windows and others take blanks away, so that `..%20` becomes `..`; some read `+` as one.
            b' ' | b'+' => {}
            _ => others = others.saturating_add(1),
        }
        rest = after;
    }
    others > 0 || dots > 2
}

/// The character of an escape, if it means the same whether it is decoded or not, once or twice.
fn escaped(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    (matches!(byte, b' '..=b'~') && !b"./\\;%?#".contains(&byte)).then_some(byte)
}

/// `pchar` of RFC 3986 §3.3, without escapes and `;`, which begins parameters for some.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}
