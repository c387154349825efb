//! The decision on the credentials of a request: RFC 6750 §2 and §3.1, RFC 9110 §11, row by row.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use http::{HeaderValue, Method, Request};
use support::{Text, any_token, good_token, request, request_to, send};
use tower_bearer::{BearerAuthLayer, BearerToken, TokenSource, exempt, reason};

/// What comes of an `Authorization` line.
#[derive(Clone, Copy, Debug)]
enum Outcome<'a> {
    /// The service is called, with this token.
    Passes(&'a str),
    /// 401 without an error code: no bearer credentials.
    Missing,
    /// 401 `invalid_token`, because it is malformed.
    Malformed,
}
use Outcome::{Malformed, Missing, Passes};

async fn assert_outcome(line: &[u8], outcome: Outcome<'_>) {
    let mut request = request(&[]);
    let value = HeaderValue::from_bytes(line).unwrap();
    request.headers_mut().insert("authorization", value);
    let (answer, seen) = send(&BearerAuthLayer::new(any_token()), request).await;
    let of = format!("{:?}", String::from_utf8_lossy(line));
    match outcome {
        Passes(token) => {
            assert_eq!(answer.status, 200, "{of}");
            assert_eq!(seen.unwrap().subject().as_deref(), Some(token), "{of}");
        }
        Missing => {
            assert!(seen.is_none(), "{of}");
            answer.assert_missing(&of);
        }
        Malformed => {
            assert!(seen.is_none(), "{of}");
            answer.assert_invalid(reason::TOKEN_MALFORMED, &of);
        }
    }
}

#[tokio::test]
async fn authorization_lines() {
    let rows: &[(&[u8], Outcome<'_>)] = &[
        // RFC 6750 §2.1: `Bearer 1*SP b64token`.
        (b"Bearer abc", Passes("abc")),
        (b"Bearer a", Passes("a")),
        (b"Bearer    abc", Passes("abc")),
        (b"Bearer AZaz09-._~+/", Passes("AZaz09-._~+/")),
        (b"Bearer abc=", Passes("abc=")),
        (b"Bearer abc====", Passes("abc====")),
        (b"Bearer Bearer", Passes("Bearer")),
        // RFC 9110 §11.1: another scheme is no bearer credential.
        (b"", Missing),
        (b"abc", Missing),
        (b"Basic dXNlcjpwYXNz", Missing),
        (b"DPoP abc", Missing),
        (b"Bearerx abc", Missing),
        (b"Bearer1 abc", Missing),
        (b"Bearer-Token abc", Missing),
        (b"Bearer.abc", Missing),
        (b"Beare abc", Missing),
        (b"XBearer abc", Missing),
        // attacks.md 20: a second scheme behind the first is not looked at.
        (b"Basic x Bearer y", Missing),
        (b"Basic x, Bearer y", Missing),
        (b"Basic\tdXNlcjpwYXNz", Missing),
        // What cannot be read is not a line without credentials.
        (b"\xc3\xa9 abc", Malformed),
        (b"\xc2\xa0Bearer abc", Malformed),
        (b"\xef\xbb\xbfBearer abc", Malformed),
        (b"\"Bearer\" abc", Malformed),
        (b", Bearer abc", Malformed),
        (b"=", Malformed),
        // White space around a value is no part of it (attacks.md 41; RFC 9110 §5.5).
        (b" Bearer abc", Passes("abc")),
        (b"\tBearer abc", Passes("abc")),
        (b" \t \tBearer  abc", Passes("abc")),
        (b"Bearer abc ", Passes("abc")),
        (b"Bearer abc\t", Passes("abc")),
        (b"\t bearer abc= \t", Passes("abc=")),
        (b" ", Missing),
        (b"\t \t", Missing),
        (b" Basic dXNlcjpwYXNz\t", Missing),
        (b" Bearer", Malformed),
        (b"\tBearer\t", Malformed),
        (b" Bearer\tabc", Malformed),
        (b" Bearer a b\t", Malformed),
        // Nothing after the scheme.
        (b"Bearer", Malformed),
        (b"Bearer ", Malformed),
        (b"Bearer     ", Malformed),
        // Only spaces stand between the two, and at least one of them.
        (b"Bearer\tabc", Malformed),
        (b"Bearer \tabc", Malformed),
        (b"Bearer\t abc", Malformed),
        (b"Bearer/abc", Malformed),
        (b"Bearer,abc", Malformed),
        (b"Bearer=abc", Malformed),
        (b"Bearer:abc", Malformed),
        (b"Bearer\xa0abc", Malformed),
        // A second word, or a list (attacks.md 20).
        (b"Bearer a b", Malformed),
        (b"Bearer a, Bearer b", Malformed),
        (b"Bearer a,b", Malformed),
        (b"Bearer a, Basic b", Malformed),
        (b"Bearer a;b", Malformed),
        // Padding elsewhere than at the end, or alone.
        (b"Bearer =", Malformed),
        (b"Bearer ====", Malformed),
        (b"Bearer =abc", Malformed),
        (b"Bearer ab=c", Malformed),
        // Characters outside of b64token, non-ASCII among them.
        (b"Bearer \"abc\"", Malformed),
        (b"Bearer token=abc", Malformed),
        (b"Bearer a%20b", Malformed),
        (b"Bearer a\\b", Malformed),
        (b"Bearer ab\xc3\xa9", Malformed),
        (b"Bearer \xff\xfe", Malformed),
    ];
    for (line, outcome) in rows {
        assert_outcome(line, *outcome).await;
    }
}

/// RFC 9110 §11.1: the scheme is compared in any case.
#[tokio::test]
async fn the_scheme_in_every_case() {
    for mask in 0_u32..64 {
        let scheme: String = "bearer"
            .chars()
            .enumerate()
            .map(|(at, letter)| match mask >> at & 1 {
                1 => letter.to_ascii_uppercase(),
                _ => letter,
            })
            .collect();
        assert_outcome(format!("{scheme} abc").as_bytes(), Passes("abc")).await;
    }
}

/// RFC 6750 §2.1: of all bytes that a header can hold, those of b64token alone are part of a token.
#[tokio::test]
async fn every_byte_within_a_token() {
    for byte in (0..=u8::MAX).filter(|byte| HeaderValue::from_bytes(&[*byte]).is_ok()) {
        let line = [b"Bearer a", &[byte][..], b"b"].concat();
        if byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte) {
            let token = String::from_utf8(line[7..].to_vec()).unwrap();
            assert_outcome(&line, Passes(&token)).await;
        } else {
            assert_outcome(&line, Malformed).await;
        }
    }
}

#[tokio::test]
async fn the_longest_token() {
    assert_eq!(BearerToken::MAX_LENGTH, 16_384);
    let longest = "a".repeat(16_384);
    assert_outcome(format!("Bearer {longest}").as_bytes(), Passes(&longest)).await;
    assert_outcome(format!("Bearer  {longest}").as_bytes(), Passes(&longest)).await;

    // attacks.md 10: refused by its length alone, and so also where it is no token.
    for long in [
        "a".repeat(16_385),
        ".".repeat(1_000_000),
        " ,".repeat(10_000) + "x",
    ] {
        let request = request(&[("authorization", &format!("Bearer {long}"))]);
        let (answer, seen) = send(&BearerAuthLayer::new(any_token()), request).await;
        assert!(seen.is_none());
        answer.assert_invalid(reason::TOKEN_TOO_LARGE, &format!("{} bytes", long.len()));
    }
}

#[tokio::test]
async fn no_authorization_line() {
    let (answer, seen) = send(&BearerAuthLayer::new(any_token()), request(&[])).await;
    assert!(seen.is_none());
    answer.assert_missing("no line");
}

/// attacks.md 19: Authorization is a singleton (RFC 9110 §5.3), whatever the schemes.
#[tokio::test]
async fn two_authorization_lines() {
    for lines in [
        ["Bearer a", "Bearer a"],
        ["Bearer a", "Bearer b"],
        ["Bearer a", "Basic b"],
        ["Basic a", "Bearer b"],
        ["Basic a", "Basic b"],
        ["Bearer", "Bearer b"],
        ["", "Bearer b"],
        [" ", "Bearer b"],
        ["\tBearer b", " Bearer b "],
        [" ", "\t"],
    ] {
        for layer in [
            BearerAuthLayer::new(any_token()),
            BearerAuthLayer::new(any_token()).optional(),
        ] {
            let request = request(&lines.map(|line| ("authorization", line)));
            let (answer, seen) = send(&layer, request).await;
            let of = format!("{lines:?}");
            assert!(seen.is_none(), "{of}");
            answer.assert_repeated(&of);
            assert_eq!(
                answer.member("detail"),
                "More than one Authorization header"
            );
            assert_eq!(
                answer.challenge(),
                "Bearer realm=\"api\", error=\"invalid_request\", \
                 error_description=\"More than one Authorization header\""
            );
        }
    }
}

/// attacks.md 19, RFC 6750 §2: one method only.
#[tokio::test]
async fn a_token_in_two_enabled_places() {
    let plain = || BearerAuthLayer::new(any_token());
    let layer = plain()
        .token_source(TokenSource::query("access_token").unwrap())
        .token_source(TokenSource::cookie("session").unwrap());
    let query = "/?access_token=q";
    for (uri, headers) in [
        (query, &[("authorization", "Bearer a")][..]),
        (
            "/",
            &[("authorization", "Bearer a"), ("cookie", "session=c")],
        ),
        (query, &[("cookie", "session=c")]),
        (
            query,
            &[("authorization", "Bearer a"), ("cookie", "session=c")],
        ),
        // Places count, and not good tokens: nobody can choose which of two is looked at.
        (query, &[("authorization", "Bearer")]),
        (query, &[("authorization", "Bearer q")]),
        ("/?access_token=", &[("authorization", "Bearer a")]),
        (
            "/",
            &[("authorization", "Bearer a"), ("cookie", "session=")],
        ),
    ] {
        for layer in [layer.clone(), layer.clone().optional()] {
            let (answer, seen) = send(&layer, request_to(uri, headers)).await;
            let of = format!("{uri} {headers:?}");
            assert!(seen.is_none(), "{of}");
            answer.assert_repeated(&of);
            let detail = "The request holds more than one access token";
            assert_eq!(answer.member("detail"), detail, "{of}");
        }
        // Where the header alone is enabled, nothing else is looked at.
        let (answer, seen) = send(&plain(), request_to(uri, headers)).await;
        let token = match headers {
            [("authorization", line), ..] => line.strip_prefix("Bearer "),
            _ => None,
        };
        let subject = seen.and_then(|seen| seen.subject());
        assert_eq!(subject.as_deref(), token, "{uri} {headers:?}");
        let status = if token.is_some() { 200 } else { 401 };
        assert_eq!(answer.status.as_u16(), status, "{uri} {headers:?}");
    }
    // Another scheme is no token: the one in the query is the only one.
    let (_, seen) = send(&layer, request_to(query, &[("authorization", "Basic a")])).await;
    assert_eq!(seen.unwrap().subject().as_deref(), Some("q"));
}

/// attacks.md 23: an anonymous request passes without claims; a bad token is never anonymous.
#[tokio::test]
async fn optional_mode() {
    let layer = BearerAuthLayer::new(good_token()).optional();
    for headers in [
        &[][..],
        &[("authorization", "Basic dXNlcjpwYXNz")],
        &[("authorization", "")],
        &[("authorization", "Basic x Bearer good")],
    ] {
        let (answer, seen) = send(&layer, request(headers)).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.body),
            (200, "hello nobody"),
            "{headers:?}"
        );
        let seen = seen.unwrap();
        assert_eq!(seen.subject(), None);
        let lines: Vec<_> = headers.iter().map(|(_, line)| line.to_string()).collect();
        assert_eq!(seen.all("authorization"), lines);
    }

    let (answer, _) = send(&layer, request(&[("authorization", "Bearer good")])).await;
    assert_eq!(answer.body, "hello alice");

    for (line, reason) in [
        ("Bearer bad", reason::TOKEN_UNKNOWN),
        ("Bearer", reason::TOKEN_MALFORMED),
        ("Bearer good good", reason::TOKEN_MALFORMED),
        ("Bearer\tgood", reason::TOKEN_MALFORMED),
        ("Bearer/good", reason::TOKEN_MALFORMED),
        // attacks.md 41, and lines that cannot be read.
        (" Bearer bad", reason::TOKEN_UNKNOWN),
        ("\tBearer\t", reason::TOKEN_MALFORMED),
        ("\u{e9} good", reason::TOKEN_MALFORMED),
        ("\u{a0}Bearer good", reason::TOKEN_MALFORMED),
        ("Bearer \u{e9}", reason::TOKEN_MALFORMED),
    ] {
        let (answer, seen) = send(&layer, request(&[("authorization", line)])).await;
        assert!(seen.is_none(), "{line:?}");
        answer.assert_invalid(reason, line);
    }
}

/// An exempt request is not looked at: neither its header nor its body changes.
#[tokio::test]
async fn an_exempt_request_is_untouched() {
    let layer = BearerAuthLayer::new(good_token())
        .token_source(TokenSource::query("access_token").unwrap())
        .remove_token()
        .exempt(|parts| parts.uri.path() == "/open")
        .exempt(|parts| parts.method == Method::OPTIONS);
    for lines in [
        &[][..],
        &["Bearer good"],
        &["Bearer bad"],
        &["Bearer a, Bearer b"],
        &["Bearer a", "Basic b"],
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("authorization", *line)).collect();
        let sent = request_to("/open?access_token=x&a=b", &headers);
        let (answer, seen) = send(&layer, sent).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.body),
            (200, "hello nobody"),
            "{lines:?}"
        );
        assert_eq!(answer.headers.len(), 0, "{lines:?}");
        let seen = seen.unwrap();
        assert_eq!(seen.all("authorization"), lines);
        assert_eq!(seen.parts.headers.len(), lines.len());
        assert_eq!(seen.parts.uri, "/open?access_token=x&a=b");
        assert_eq!(seen.body, "sent");
        assert_eq!(seen.subject(), None);
    }
    // One `true` of several is enough, and without one the request is protected.
    let options = Request::options("/closed").body(Text::default()).unwrap();
    assert_eq!(send(&layer, options).await.0.status, 200);
    assert_eq!(send(&layer, request_to("/closed", &[])).await.0.status, 401);
}

/// attacks.md 23: a true CORS preflight alone (Fetch §3.2.2).
#[tokio::test]
async fn cors_preflight() {
    let layer = BearerAuthLayer::new(good_token()).exempt(exempt::cors_preflight);
    let origin = ("origin", "https://app.example.com");
    let method = ("access-control-request-method", "PUT");
    for (verb, headers, exempt) in [
        (Method::OPTIONS, &[origin, method][..], true),
        (Method::OPTIONS, &[origin], false),
        (Method::OPTIONS, &[method], false),
        (Method::OPTIONS, &[], false),
        (Method::GET, &[origin, method], false),
        (Method::POST, &[origin, method], false),
        (Method::HEAD, &[origin, method], false),
    ] {
        let mut request = request(headers);
        *request.method_mut() = verb.clone();
        let (answer, seen) = send(&layer, request).await;
        assert_eq!(seen.is_some(), exempt, "{verb} {headers:?}");
        assert_eq!(
            answer.status.as_u16(),
            if exempt { 200 } else { 401 },
            "{verb} {headers:?}"
        );
    }
}

/// Attack 45: a path that can be read in two ways is not exempt.
#[tokio::test]
async fn exempt_paths() {
    let paths = ["/healthz", "/docs/*", "/exact/"];
    let layer = BearerAuthLayer::new(good_token()).exempt(exempt::paths(&paths).unwrap());
    for (path, exempt) in [
        ("/healthz", true),
        ("/healthz?verbose", true),
        ("/docs/a", true),
        ("/docs/a/b.css", true),
        ("/docs/a%20b", true),
        ("/docs/..a/...", true),
        ("/docs/", true),
        ("/docs/a/", true),
        ("/docs/%41%7e%22", true),
        ("/docs/a+b,c=d:e@f!$&'()*", true),
        ("/exact/", true),
        ("/exact", false),
        ("/exact/a", false),
        ("/healthz/", false),
        ("/healthzz", false),
        ("/Healthz", false),
        ("/x/healthz", false),
        ("//healthz", false),
        ("/%68ealthz", false),
        ("/docs", false),
        ("/docsx/a", false),
        ("/Docs/a", false),
        ("/", false),
        // What a router, a proxy or a file server may read as another path lies below nothing.
        ("/docs/../admin", false),
        ("/docs/a/..", false),
        ("/docs/./admin", false),
        ("/docs/%2e%2e/admin", false),
        ("/docs/%2E%2E/admin", false),
        ("/docs/.%2e/admin", false),
        ("/docs/%2e/admin", false),
        ("/docs//admin", false),
        ("/docs/..%2Fadmin", false),
        ("/docs/a%2Fb", false),
        ("/docs/a%2fb", false),
        ("/docs/..%5cadmin", false),
        ("/docs/..%5Cadmin", false),
        ("/docs/..\\admin", false),
        ("/docs/..;/admin", false),
        ("/docs/a;b", false),
        ("/docs/..%3B/admin", false),
        ("/docs/%252e%252e/admin", false),
        // attacks.md 45.
        ("/docs/..;a=b/admin", false),
        ("/docs/;/admin", false),
        ("/docs/%c0%ae%c0%ae/admin", false),
        ("/docs/%e0%80%ae/admin", false),
        ("/docs/%u002e%u002e/admin", false),
        ("/docs/..%u2215admin", false),
        ("/docs/..%00/admin", false),
        ("/docs/..%00", false),
        ("/docs/..%0a/admin", false),
        ("/docs/..%0d%0a/admin", false),
        ("/docs/..%09/admin", false),
        ("/docs/..%7f/admin", false),
        ("/docs/..%20/admin", false),
        ("/docs/%20../admin", false),
        ("/docs/.%20./admin", false),
        ("/docs/.%20/admin", false),
        ("/docs/%20/admin", false),
        ("/docs/..+/admin", false),
        ("/docs/..%2b/admin", false),
        ("/docs/..%c2%a0/admin", false),
        ("/docs/%ef%bc%8e%ef%bc%8e/admin", false),
        ("/docs/..%e2%88%95admin", false),
        ("/docs/caf%c3%a9", false),
        ("/docs/caf\u{e9}", false),
        ("/docs/..\u{ff0f}admin", false),
        ("/docs/%", false),
        ("/docs/%a", false),
        ("/docs/%zz", false),
        ("/docs/%+1", false),
        ("/docs/a%25", false),
        ("/docs/%%32%65%%32%65/admin", false),
        ("/docs/a%3f", false),
        ("/docs/a%23", false),
        ("/docs//", false),
        ("/docs///", false),
        ("/docs/a\\b", false),
        ("/docs/a|b", false),
        ("/docs/\"", false),
        // Absolute form (RFC 9112 §3.2.2), as HTTP/2 always has it: the path decides.
        ("http://example.com/docs/a", true),
        ("http://example.com/healthz", true),
        ("http://example.com/docs/../admin", false),
        ("http://example.com//docs/a", false),
        ("http://example.com", false),
        ("http://docs/a", false),
        // Authority form and asterisk form have no path.
        ("example.com:80", false),
        ("docs:80", false),
        ("*", false),
    ] {
        let (answer, seen) = send(&layer, request_to(path, &[])).await;
        assert_eq!(seen.is_some(), exempt, "{path}");
        assert_eq!(
            answer.status.as_u16(),
            if exempt { 200 } else { 401 },
            "{path}"
        );
    }
}

/// Attack 45, for methods of gRPC: each is exempt by its exact path.
#[tokio::test]
async fn exempt_grpc_services() {
    let health = BearerAuthLayer::new(good_token()).exempt(exempt::grpc_health);
    let reflection = BearerAuthLayer::new(good_token()).exempt(exempt::grpc_reflection);
    for (path, by_health, by_reflection) in [
        ("/grpc.health.v1.Health/Check", true, false),
        ("/grpc.health.v1.Health/Watch", true, false),
        ("/grpc.health.v1.Health/List", true, false),
        (
            "http://example.com/grpc.health.v1.Health/Check",
            true,
            false,
        ),
        // attacks.md 45: what is not one of the methods is none of them.
        ("/grpc.health.v1.Health/Other", false, false),
        ("/grpc.health.v1.Health/check", false, false),
        ("/grpc.health.v1.Health/Check/", false, false),
        ("/grpc.health.v1.Health/Check;a", false, false),
        ("/grpc.health.v1.Health/Check%00", false, false),
        ("/grpc.health.v1.Health/%43heck", false, false),
        ("/grpc.health.v1.Health/", false, false),
        ("/grpc.health.v1.Health//Check", false, false),
        (
            "/grpc.health.v1.Health/../elements.Elements/List",
            false,
            false,
        ),
        (
            "/grpc.health.v1.Health/%2e%2e/elements.Elements/List",
            false,
            false,
        ),
        (
            "/grpc.health.v1.Health/..;/elements.Elements/List",
            false,
            false,
        ),
        ("/grpc.health.v1.HealthX/Check", false, false),
        ("/grpc.health.v1.Health", false, false),
        ("/x/grpc.health.v1.Health/Check", false, false),
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            false,
            true,
        ),
        (
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            false,
            true,
        ),
        (
            "/grpc.reflection.v2.ServerReflection/ServerReflectionInfo",
            false,
            false,
        ),
        ("/grpc.reflection.v1.ServerReflection/Other", false, false),
        (
            "/grpc.reflection.v1.ServerReflection/%2e%2e/ServerReflectionInfo",
            false,
            false,
        ),
        ("/elements.Elements/List", false, false),
    ] {
        let (_, seen) = send(&health, request_to(path, &[])).await;
        assert_eq!(seen.is_some(), by_health, "{path}");
        let (_, seen) = send(&reflection, request_to(path, &[])).await;
        assert_eq!(seen.is_some(), by_reflection, "{path}");
    }
}
