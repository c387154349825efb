//! The contract of the rejection: body, headers and challenge of every kind, to the byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use support::{
    Answer, BASE, Challenge, INVALID, MISSING, TRACE_ID, TRACEPARENT, members, refusing, request,
    send,
};
use tower_bearer::{AuthError, AuthErrorKind, BearerAuthLayer, ProblemJson, reason};

/// The problem document of a GET of `/api/v2/elements`, members in the order of the contract.
fn document(type_uri: &str, title: &str, status: u16, detail: &str) -> String {
    format!(
        "{{\"type\":\"{type_uri}\",\"title\":\"{title}\",\"status\":{status},\"detail\":\"{detail}\",\
         \"instance\":\"/api/v2/elements\",\"traceId\":\"{TRACE_ID}\"}}"
    )
}

struct Row {
    error: AuthError,
    kind: AuthErrorKind,
    status: u16,
    phrase: &'static str,
    slug: &'static str,
    title: &'static str,
    detail: &'static str,
    challenge: Option<&'static str>,
    retry_after: Option<&'static str>,
}

fn rows() -> [Row; 8] {
    let unauthorized = |error: AuthError, kind, challenge| Row {
        error,
        kind,
        status: 401,
        phrase: "Unauthorized",
        slug: "unauthorized",
        title: "Unauthorized",
        detail: "Invalid or expired authentication token",
        challenge: Some(challenge),
        retry_after: None,
    };
    let denied = |error: AuthError, kind, challenge| Row {
        status: 403,
        phrase: "Forbidden",
        slug: "access-denied",
        title: "Access Denied",
        detail: "Access denied",
        ..unauthorized(error, kind, challenge)
    };
    [
        unauthorized(
            AuthError::missing_token(),
            AuthErrorKind::MissingToken,
            MISSING,
        ),
        unauthorized(
            AuthError::invalid_token(reason::TOKEN_EXPIRED),
            AuthErrorKind::InvalidToken,
            INVALID,
        ),
        Row {
            slug: "token-revoked",
            detail: "Authentication token has been revoked",
            ..unauthorized(
                AuthError::revoked_token(),
                AuthErrorKind::RevokedToken,
                "Bearer realm=\"api\", error=\"invalid_token\", \
                 error_description=\"Authentication token has been revoked\"",
            )
        },
        Row {
            detail: "A different authentication level is required",
            // RFC 9470 §3.
            ..unauthorized(
                AuthError::insufficient_user_authentication(),
                AuthErrorKind::InsufficientUserAuthentication,
                "Bearer realm=\"api\", error=\"insufficient_user_authentication\", \
                 error_description=\"A different authentication level is required\"",
            )
        },
        denied(
            AuthError::insufficient_scope("read write"),
            AuthErrorKind::InsufficientScope,
            "Bearer realm=\"api\", error=\"insufficient_scope\", \
             error_description=\"Access denied\", scope=\"read write\"",
        ),
        denied(
            AuthError::access_denied("other_tenant"),
            AuthErrorKind::AccessDenied,
            "Bearer realm=\"api\", error=\"insufficient_scope\", error_description=\"Access denied\"",
        ),
        Row {
            error: AuthError::invalid_request(reason::TOKEN_REPEATED, "Two of them"),
            kind: AuthErrorKind::InvalidRequest,
            status: 400,
            phrase: "Bad Request",
            slug: "bad-request",
            title: "Bad Request",
            detail: "Two of them",
            challenge: Some(
                "Bearer realm=\"api\", error=\"invalid_request\", \
                 error_description=\"Two of them\"",
            ),
            retry_after: None,
        },
        Row {
            error: AuthError::unavailable("key_set"),
            kind: AuthErrorKind::Unavailable,
            status: 503,
            phrase: "Service Unavailable",
            slug: "service-unavailable",
            title: "Service Unavailable",
            detail: "The authentication service is temporarily unavailable, please try again",
            challenge: None,
            retry_after: Some("5"),
        },
    ]
}

fn with_base() -> ProblemJson {
    ProblemJson::new().type_base(BASE).unwrap()
}

/// A request with a token and a known trace id.
fn known(method: Method) -> http::Request<support::Text> {
    let headers = [
        ("authorization", "Bearer abc"),
        ("traceparent", TRACEPARENT),
    ];
    let mut request = request(&headers);
    *request.method_mut() = method;
    request
}

async fn refuse(error: AuthError) -> Answer {
    let (answer, seen) = send(&BearerAuthLayer::new(refusing(error)), known(Method::GET)).await;
    assert!(seen.is_none());
    answer
}

#[tokio::test]
async fn every_kind() {
    for row in rows() {
        assert_eq!(row.error.kind(), row.kind);
        let based = BearerAuthLayer::new(refusing(row.error.clone())).reject(with_base());
        let plain = BearerAuthLayer::new(refusing(row.error.clone()));
        let type_uri = format!("{BASE}{}", row.slug);
        for (layer, expected) in [
            (
                based,
                document(&type_uri, row.title, row.status, row.detail),
            ),
            // RFC 9457 §4.2.1: without a base the title is the status phrase.
            (
                plain,
                document("about:blank", row.phrase, row.status, row.detail),
            ),
        ] {
            let of = format!("{:?}", row.kind);
            let (answer, seen) = send(&layer, known(Method::GET)).await;
            assert!(seen.is_none(), "{of}");
            assert_eq!(answer.status.as_u16(), row.status, "{of}");
            assert_eq!(answer.body, expected, "{of}");
            let length = expected.len().to_string();
            let mut headers = vec![
                ("content-type", "application/problem+json"),
                ("cache-control", "no-store"),
                ("content-length", &length),
            ];
            headers.extend(
                row.challenge
                    .map(|challenge| ("www-authenticate", challenge)),
            );
            headers.extend(row.retry_after.map(|seconds| ("retry-after", seconds)));
            for (name, value) in &headers {
                assert_eq!(answer.header(name), Some(*value), "{of} {name}");
            }
            assert_eq!(
                answer.headers.len(),
                headers.len(),
                "{of} {:?}",
                answer.headers
            );

            let error = answer.error.unwrap();
            assert_eq!(
                (error.kind(), error.reason()),
                (row.kind, row.error.reason()),
                "{of}"
            );

            // RFC 9110 §9.3.2: to HEAD the same headers, that length included, and no body.
            let (head, _) = send(&layer, known(Method::HEAD)).await;
            assert_eq!(head.status.as_u16(), row.status, "{of}");
            assert_eq!(head.headers, answer.headers, "{of}");
            assert_eq!(head.body, "", "{of}");
            assert_eq!(head.error.unwrap().kind(), row.kind, "{of}");
        }
    }
}

/// The reference document of the contract, read member by member.
#[tokio::test]
async fn the_reference_document() {
    let layer = BearerAuthLayer::new(refusing(AuthError::missing_token())).reject(with_base());
    let without = request(&[("x-request-id", "abc-123-def")]);
    let (answer, _) = send(&layer, without).await;
    assert_eq!(answer.challenge(), MISSING);
    let text = |text: &str| serde_json::Value::from(text);
    assert_eq!(
        members(&answer.body),
        [
            (
                "type",
                text("https://docs.example.com/docs/errors/unauthorized")
            ),
            ("title", text("Unauthorized")),
            ("status", 401.into()),
            ("detail", text("Invalid or expired authentication token")),
            ("instance", text("/api/v2/elements")),
            ("traceId", text("abc-123-def")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    );
}

/// `detail` never says which check failed: the reason is for logs alone.
#[tokio::test]
async fn every_reason_is_answered_alike() {
    let expected = refuse(AuthError::invalid_token("one")).await;
    for error in [
        AuthError::invalid_token(reason::SIGNATURE_INVALID),
        AuthError::invalid_token(reason::AUDIENCE_MISMATCH).with_source("aud was [\"x\"]"),
        AuthError::invalid_token(""),
    ] {
        let answer = refuse(error).await;
        assert_eq!(
            (answer.body, answer.headers),
            (expected.body.clone(), expected.headers.clone())
        );
    }
}

/// Base and slug are concatenated as given.
#[tokio::test]
async fn type_bases() {
    for base in [
        "urn:problem:",
        "https://example.com/errors#",
        "tag:example.com,2026:e-",
        "about:x",
    ] {
        let problems = ProblemJson::new().type_base(base).unwrap();
        let layer = BearerAuthLayer::new(refusing(AuthError::revoked_token())).reject(problems);
        let (answer, _) = send(&layer, known(Method::GET)).await;
        assert_eq!(answer.member("type"), format!("{base}token-revoked"));
    }
}

#[tokio::test]
async fn retry_after() {
    let after = |delay| AuthError::unavailable("store").with_retry_after(delay);
    for (error, expected) in [
        (AuthError::unavailable("store"), Some("5")),
        (after(Duration::from_secs(30)), Some("30")),
        // Whole seconds, rounded up, at least 1.
        (after(Duration::from_millis(30_001)), Some("31")),
        (after(Duration::from_millis(1)), Some("1")),
        (after(Duration::from_nanos(1)), Some("1")),
        (after(Duration::ZERO), Some("1")),
        (after(Duration::MAX), Some("18446744073709551615")),
        // Another kind only where it says so.
        (AuthError::invalid_token("x"), None),
        (
            AuthError::invalid_token("x").with_retry_after(Duration::from_secs(2)),
            Some("2"),
        ),
    ] {
        let of = format!("{error:?} {:?}", error.retry_after());
        assert_eq!(refuse(error).await.header("retry-after"), expected, "{of}");
    }
}

#[tokio::test]
async fn realm_scope_and_resource_metadata() {
    let metadata = "https://api.example.com/.well-known/oauth-protected-resource?a=b";
    let layer = |error| {
        BearerAuthLayer::new(refusing(error))
            .realm("elements of \"all\" kinds\\")
            .and_then(|layer| layer.advertise_scope("read write"))
            .and_then(|layer| layer.resource_metadata(metadata))
            .unwrap()
    };
    let realm = r#"Bearer realm="elements of \"all\" kinds\\""#;
    let metadata = format!("resource_metadata=\"{metadata}\"");
    for (error, middle) in [
        (AuthError::missing_token(), "scope=\"read write\", "),
        (
            AuthError::invalid_token("x"),
            "error=\"invalid_token\", \
             error_description=\"Invalid or expired authentication token\", scope=\"read write\", ",
        ),
        // A 403 names what is needed here (RFC 6750 §3.1), and not what is asked for in general.
        (
            AuthError::insufficient_scope("admin"),
            "error=\"insufficient_scope\", error_description=\"Access denied\", scope=\"admin\", ",
        ),
        (
            AuthError::access_denied("x"),
            "error=\"insufficient_scope\", error_description=\"Access denied\", ",
        ),
        (
            AuthError::invalid_request("x", "No"),
            "error=\"invalid_request\", error_description=\"No\", ",
        ),
    ] {
        let (answer, _) = send(&layer(error), known(Method::GET)).await;
        assert_eq!(answer.challenge(), format!("{realm}, {middle}{metadata}"));
        let challenge = Challenge::parse(answer.challenge());
        assert_eq!(challenge.scheme, "Bearer");
        assert_eq!(
            challenge.parameter("realm"),
            Some("elements of \"all\" kinds\\")
        );
    }
    let (answer, _) = send(&layer(AuthError::unavailable("x")), known(Method::GET)).await;
    assert_eq!(answer.header("www-authenticate"), None);
}

/// attacks.md 21; RFC 6750 §3: `error_description` keeps to `%x20-21 / %x23-5B / %x5D-7E`, and clients
/// that search the header for `scope=` or `resource_metadata=` find none there.
#[tokio::test]
async fn error_descriptions_keep_to_their_characters() {
    for (detail, described) in [
        ("say \"x\" or \\", "say 'x' or /"),
        ("one\r\nSet-Cookie: a=b", "one  Set-Cookie: a=b"),
        ("tab\tnul\0del\u{7f}", "tab nul del "),
        ("caf\u{e9} \u{1f600}", "caf? ?"),
        ("line\u{2028}separator", "line separator"),
        ("scope=admin", "scope:admin"),
        ("say \"scope=\" twice: scope=", "say 'scope:' twice: scope:"),
        (
            "resource_metadata=https://evil.example",
            "resource_metadata:https://evil.example",
        ),
        ("scopescope==", "scopescope:="),
        ("", ""),
    ] {
        let answer = refuse(AuthError::invalid_request("test", detail)).await;
        assert_eq!(answer.status, 400);
        let challenge = Challenge::parse(answer.challenge());
        assert_eq!(
            challenge.parameter("error_description"),
            Some(described),
            "{detail:?}"
        );
        assert!(!answer.challenge().contains("scope="), "{detail:?}");
        assert!(
            !answer.challenge().contains("resource_metadata="),
            "{detail:?}"
        );
        // The body says it as it is.
        assert_eq!(answer.member("detail"), detail);
    }
}

/// RFC 9470 §3: `acr_values`, `max_age`; RFC 9449 §8: `DPoP-Nonce`.
#[tokio::test]
async fn parameters_and_headers_that_an_error_carries() {
    let error = AuthError::insufficient_user_authentication()
        .with_challenge_parameter("acr_values", "level-2 \"gold\"")
        .with_challenge_parameter("max_age", "5\r\n")
        // The layer writes these itself, and these are no names.
        .with_challenge_parameter("realm", "evil")
        .with_challenge_parameter("Scope", "evil")
        .with_challenge_parameter("error", "evil")
        .with_challenge_parameter("error_description", "evil")
        .with_challenge_parameter("resource_metadata", "evil")
        .with_challenge_parameter("", "evil")
        .with_challenge_parameter("a b", "evil")
        .with_challenge_parameter("a=\"b\", c", "evil")
        .with_header(
            HeaderName::from_static("dpop-nonce"),
            HeaderValue::from_static("n-1"),
        )
        .with_header(
            HeaderName::from_static("www-authenticate"),
            HeaderValue::from_static("DPoP algs=\"ES256\""),
        );
    let answer = refuse(error).await;
    assert_eq!(
        answer.all("www-authenticate"),
        [
            "Bearer realm=\"api\", error=\"insufficient_user_authentication\", \
             error_description=\"A different authentication level is required\", \
             acr_values=\"level-2 'gold'\", max_age=\"5  \"",
            "DPoP algs=\"ES256\"",
        ]
    );
    assert_eq!(answer.header("dpop-nonce"), Some("n-1"));
    let error = answer.error.unwrap();
    assert!(
        error
            .challenge_parameters()
            .any(|parameter| parameter == ("acr_values", "level-2 \"gold\""))
    );
    assert_eq!(error.headers().count(), 2);
}

/// RFC 9110 §11.2: a parameter stands in a challenge once. The last value counts.
#[tokio::test]
async fn a_parameter_that_an_error_is_given_twice() {
    let error = AuthError::insufficient_user_authentication()
        .with_challenge_parameter("max_age", "60")
        .with_challenge_parameter("acr_values", "gold")
        .with_challenge_parameter("Max_Age", "5");
    let answer = refuse(error).await;
    let challenge = Challenge::parse(answer.challenge());
    assert_eq!(challenge.parameters.len(), 5);
    assert_eq!(challenge.parameter("Max_Age"), Some("5"));
}

/// The error rides in the extensions as it was made, its source included.
#[tokio::test]
async fn the_error_in_the_extensions() {
    let error = AuthError::unavailable("store").with_source(std::io::Error::other("refused"));
    let found = refuse(error).await.error.unwrap();
    assert_eq!(found.to_string(), "unavailable: store");
    let source = std::error::Error::source(&found).unwrap();
    assert!(source.downcast_ref::<std::io::Error>().is_some());
    assert_eq!(source.to_string(), "refused");
}
