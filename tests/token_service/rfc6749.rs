//! The endpoint that speaks RFC 6749 to the letter.

use serde_json::json;

use crate::lab::{self, FORM, Lab, form, granted, post, post_as, send, text};

#[tokio::test]
async fn client_credentials_give_no_refresh_token() {
    let lab = Lab::new();
    let pairs = [("grant_type", "client_credentials"), ("scope", "read")];
    let tokens = granted(post_as(lab.server.oauth_endpoint(), &lab.basic(), &pairs).await);
    assert_eq!(tokens["scope"], "read");
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens.get("refresh_token"), None);
}

#[tokio::test]
async fn a_refresh_token_is_rotated_for_its_client_which_must_authenticate() {
    let lab = Lab::new();
    let token = lab.refresh_token().await;
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", &*token)];
    for unauthenticated in [&pairs[..], &[pairs[0], pairs[1], ("client_id", "gen")]] {
        let answer = post(lab.server.oauth_endpoint(), unauthenticated).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.member("error"), "invalid_client");
        // Nobody tried Basic, whose challenge opens a dialog in browsers.
        assert_eq!(answer.challenge(), r#"Bearer realm="api""#);
    }
    let tokens = granted(post_as(lab.server.oauth_endpoint(), &lab.basic(), &pairs).await);
    assert_ne!(text(&tokens, "refresh_token"), token);
    let answer = post_as(lab.server.oauth_endpoint(), &lab.basic(), &pairs).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.member("error"), "invalid_grant");
    assert_eq!(answer.member("detail"), "Invalid or expired refresh token");
    assert_eq!(answer.header("www-authenticate"), None);
}

/// Whatever the client accepts, and whatever the answer is.
#[tokio::test]
async fn every_answer_is_application_json() {
    let lab = Lab::new();
    let basic = lab.basic();
    let ok = form(&[("grant_type", "client_credentials")]);
    for (body, authorization, media_type, status) in [
        (&*ok, &*basic, FORM, 200),
        (&ok, "Basic c3ZjOng=", FORM, 401),
        (&ok, "", FORM, 401),
        ("", &basic, FORM, 400),
        (&ok, &basic, "text/plain", 415),
    ] {
        for accept in ["application/problem+json", "text/html", "*/*"] {
            let headers = [
                ("accept", accept),
                ("authorization", authorization),
                ("content-type", media_type),
            ];
            let answer = send(lab.server.oauth_endpoint(), &headers, body.to_owned()).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("pragma"), Some("no-cache"));
            if status == 401 {
                let scheme = if authorization.is_empty() {
                    "Bearer"
                } else {
                    "Basic"
                };
                assert_eq!(answer.challenge(), format!(r#"{scheme} realm="api""#));
            }
        }
    }
}

/// Parameters are in the body and nowhere else (§2.3.1, §3.2).
#[tokio::test]
async fn parameters_in_the_query_are_not_looked_at() {
    let lab = Lab::new();
    let mut request = lab::request(
        http::Method::POST,
        &[("content-type", FORM), ("authorization", &lab.basic())],
        http_body_util::Full::new(bytes::Bytes::new()),
    );
    *request.uri_mut() = "/oauth/token?grant_type=client_credentials"
        .parse()
        .unwrap();
    let answer = lab::send_request(lab.server.oauth_endpoint(), request).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.member("error"), "invalid_request");
}

#[tokio::test]
async fn a_token_of_another_kind_is_no_refresh_token() {
    let lab = Lab::new();
    let access = text(&lab.tokens().await, "access_token");
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", &*access)];
    let answer = post_as(lab.server.oauth_endpoint(), &lab.basic(), &pairs).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.member("error"), "invalid_grant");
    assert_eq!(
        json!(answer.member("error_description")),
        json!(answer.member("detail"))
    );
}
