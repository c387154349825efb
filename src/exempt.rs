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

use http::{
    Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN},
    request::Parts,
};

use crate::error::ConfigError;

/// A CORS preflight, which browsers send without credentials: OPTIONS with both `Origin` and
/// `Access-Control-Request-Method` (Fetch §3.2.2). Any other OPTIONS is not exempt.
///
/// A CORS layer outside of this one answers preflights itself, and makes this needless.
pub fn cors_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The gRPC health service: `grpc.health.v1.Health`.
pub fn grpc_health(request: &Parts) -> bool {
    request.uri.path().starts_with("/grpc.health.v1.Health/")
}

/// The gRPC reflection service, of both versions: `grpc.reflection.v1` and `v1alpha`.
pub fn grpc_reflection(request: &Parts) -> bool {
    let path = request.uri.path();
    path.starts_with("/grpc.reflection.v1.ServerReflection/")
        || path.starts_with("/grpc.reflection.v1alpha.ServerReflection/")
}

/// Paths: each as it is, or, where it ends in `/*`, whatever lies below it.
///
/// They are compared to the path as it came, byte by byte. One that routers, proxies and file servers
/// may read in more than one way (with an empty, `.` or `..` segment, a `\` or `;`, or one of these,
/// `/` or `%` percent-encoded) lies below nothing. Inside axum's `Router::nest` the path is without the
/// prefix of the nest.
///
/// # Errors
/// If a path does not begin with `/`, or has `*` anywhere but in a last segment of its own.
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
        if !plain.starts_with('/') || plain.contains('*') {
            return Err(ConfigError::new(format!(
                "`{}` is no path to exempt: begin it with `/`, and write `*` only as its last segment",
                path.escape_debug()
            )));
        }
        list.push(plain.to_owned());
    }
    Ok(move |request: &Parts| {
        let path = request.uri.path();
        exact.iter().any(|exempt| exempt == path)
            || (below.iter().any(|prefix| path.starts_with(prefix.as_str()))
                && is_unambiguous(path))
    })
}

/// Whether nobody between here and the service can take the path for another.
fn is_unambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    // Encoded: `.`, `/`, `\`, `;`, `%`.
    let encoded = ["%2e", "%2f", "%5c", "%3b", "%25"];
    !path.contains(['\\', ';'])
        && !encoded.iter().any(|escape| lower.contains(escape))
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
}
