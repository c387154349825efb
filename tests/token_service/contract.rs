//! What the system that is matched answers: the two endpoints, and the rows of the contract (design.md).

use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    lab::{self, AUDIENCE, FORM, ISSUER, Lab, NOW, granted, opened, post, send, text},
    support::{TRACE_ID, members},
};

/// The six members of the contract in their order, then the two of RFC 6749 §5.2.
fn document(detail: &str, error: &str) -> Vec<(String, Value)> {
    [
        (
            "type",
            json!("https://docs.example.com/docs/errors/unauthorized"),
        ),
        ("title", json!("Unauthorized")),
        ("status", json!(401)),
        ("detail", json!(detail)),
        ("instance", json!("/api/v2/auth/token")),
        ("traceId", json!(TRACE_ID)),
        ("error", json!(error)),
        ("error_description", json!(detail)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

#[tokio::test]
async fn client_credentials_in_a_form_or_json_or_basic_give_both_tokens() {
    let lab = Lab::new();
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "svc"),
        ("client_secret", "svc-secret"),
    ];
    let json = json!({
        "grant_type": "client_credentials", "client_id": "svc", "client_secret": "svc-secret",
        "audience": null, "more": [1, { "and": "more" }],
    });
    let basic = lab::basic("svc", "svc-secret");
    let answers = [
        post(lab.server.token_endpoint(), &pairs).await,
        send(
            lab.server.token_endpoint(),
            &[("content-type", "application/json; charset=utf-8")],
            json.to_string(),
        )
        .await,
        // Beside Basic, the same id in the body is allowed.
        lab::post_as(lab.server.token_endpoint(), &basic, &pairs[..2]).await,
    ];
    for answer in answers {
        let order: Vec<String> = members(&answer.body)
            .into_iter()
            .map(|member| member.0)
            .collect();
        assert_eq!(
            order,
            [
                "access_token",
                "token_type",
                "expires_in",
                "scope",
                "refresh_token"
            ]
        );
        let tokens = granted(answer);
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["expires_in"], 900);
        assert_eq!(tokens["scope"], "read write");
        // RFC 9068 §2.1, §2.2.
        let (header, claims) = opened(&text(&tokens, "access_token"));
        assert_eq!(header["typ"], "at+jwt");
        assert_eq!(header["alg"], "ES256");
        assert_eq!(header["kid"], lab.keys.key_ids()[0]);
        let id = text(&claims, "jti");
        assert_eq!(id.len(), 22);
        let now = NOW.as_secs();
        let expected = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "svc", "client_id": "svc", "scope": "read write",
            "iat": now, "exp": now + 900, "jti": id,
        });
        assert_eq!(claims, expected);
    }
}

#[tokio::test]
async fn a_refresh_token_gives_both_tokens_anew_in_a_form_or_json() {
    let lab = Lab::new();
    let first = lab.tokens().await;
    let second = granted(lab.refresh(&text(&first, "refresh_token")).await);
    let json = json!({ "refresh_token": second["refresh_token"] }).to_string();
    let headers = [("content-type", "application/json")];
    let third = granted(send(lab.server.refresh_endpoint(), &headers, json).await);
    let of = |name| [&first, &second, &third].map(|tokens| text(tokens, name));
    for name in ["access_token", "refresh_token"] {
        let mut all = of(name).to_vec();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 3, "{name}");
    }
    assert_eq!(of("scope"), ["read write"; 3]);
    assert_eq!(of("token_type"), ["Bearer"; 3]);
}

#[tokio::test]
async fn a_rejected_client_is_401_with_the_document_of_the_contract() {
    let lab = Lab::new();
    for pairs in [
        &[("client_id", "svc"), ("client_secret", "wrong")][..],
        &[("client_id", "nobody"), ("client_secret", "svc-secret")],
        &[("client_id", "svc"), ("client_secret", "")],
        &[("client_id", "svc")],
        &[("client_secret", "svc-secret")],
        &[
            ("client_id", "\u{0}\u{7f}\u{fc}"),
            ("client_secret", "\"\\\r\n"),
        ],
        &[],
    ] {
        let pairs = [&[("grant_type", "client_credentials")], pairs].concat();
        let answer = post(lab.server.token_endpoint(), &pairs).await;
        assert_eq!(answer.status, 401, "{pairs:?}");
        assert_eq!(
            members(&answer.body),
            document("Invalid client credentials", "invalid_client"),
            "{pairs:?}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("pragma"), Some("no-cache"));
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(&*length));
        // Basic would open a dialog in browsers.
        assert_eq!(answer.challenge(), r#"Bearer realm="api""#);
    }
}

#[tokio::test]
async fn a_rejected_refresh_token_is_401_with_the_document_of_the_contract() {
    let lab = Lab::new();
    let rotated = lab.refresh_token().await;
    granted(lab.refresh(&rotated).await);
    let expired = lab.refresh_token().await;
    lab.clock.advance(15 * lab::DAY);
    let long = "a".repeat(10_000);
    for token in ["nope", &*rotated, &*expired, "a.b.c", "%00", "=", &long] {
        let answer = lab.refresh(token).await;
        assert_eq!(answer.status, 401, "{token}");
        assert_eq!(
            members(&answer.body),
            document("Invalid or expired refresh token", "invalid_grant"),
            "{token}"
        );
        assert_eq!(answer.challenge(), r#"Bearer realm="api""#);
    }
    // By the switch, the status of RFC 6749 §5.2.
    let answer = post(
        lab.server.refresh_endpoint().rfc_status(),
        &[("refresh_token", "nope")],
    )
    .await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.member("error"), "invalid_grant");
    assert_eq!(answer.member("title"), "Bad Request");
    assert_eq!(answer.header("www-authenticate"), None);
}

#[tokio::test]
async fn where_basic_was_tried_the_challenge_is_basic() {
    let lab = Lab::new();
    let pairs = [("grant_type", "client_credentials")];
    for authorization in [
        &*lab::basic("svc", "wrong"),
        &lab::basic("svc", "wrong").replace("Basic", "bAsIc"),
        "Basic",
        "Basic !",
        "Basic c3Zj",
    ] {
        let answer = lab::post_as(lab.server.token_endpoint(), authorization, &pairs).await;
        assert_eq!(answer.status, 401, "{authorization}");
        assert_eq!(answer.challenge(), r#"Basic realm="api""#);
        assert_eq!(answer.member("detail"), "Invalid client credentials");
    }
    let answer = lab::post_as(
        lab.server.refresh_endpoint(),
        &lab.basic(),
        &[("refresh_token", "nope")],
    )
    .await;
    assert_eq!(answer.challenge(), r#"Basic realm="api""#);
}

#[tokio::test]
async fn whoever_accepts_json_alone_gets_the_same_bytes_as_json() {
    let lab = Lab::new();
    let body = lab::form(&[("refresh_token", "nope")]);
    let mut bodies = Vec::new();
    for (accept, expected) in [
        ("application/json", "application/json"),
        ("*/*", "application/problem+json"),
        ("application/json, */*", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
    ] {
        let headers = [("content-type", FORM), ("accept", accept)];
        let answer = send(lab.server.refresh_endpoint(), &headers, body.clone()).await;
        assert_eq!(answer.header("content-type"), Some(expected), "{accept}");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
}

/// A HEAD is no POST; its answer has the length, and no body (RFC 9110 §9.3.2).
#[tokio::test]
async fn other_methods_are_405_and_head_has_no_body() {
    let lab = Lab::new();
    let mut lengths = Vec::new();
    for method in [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::OPTIONS,
        Method::DELETE,
    ] {
        for service in [
            lab.server.token_endpoint(),
            lab.server.refresh_endpoint(),
            lab.server.oauth_endpoint(),
            lab.server.revocation_endpoint(),
        ] {
            let request = lab::request(method.clone(), &[], Full::new(bytes::Bytes::new()));
            let answer = lab::send_request(service, request).await;
            assert_eq!(answer.status, 405, "{method}");
            assert_eq!(answer.header("allow"), Some("POST"));
            assert_eq!(answer.header("www-authenticate"), None);
            if method == Method::HEAD {
                assert_eq!(answer.body, "");
            } else {
                assert_eq!(answer.member("error"), "invalid_request");
                assert_eq!(answer.member("title"), "Method Not Allowed");
            }
            lengths.push(answer.header("content-length").unwrap().to_owned());
        }
    }
    lengths.dedup();
    assert_eq!(lengths.len(), 1, "{lengths:?}");
}
