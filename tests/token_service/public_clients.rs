//! Clients without a secret, grants that a client may not use, and refreshing for clients that must authenticate.

use tower_bearer::token_service::{Client, GrantType};

use crate::{
    lab::{self, Lab, granted, post, post_as, text},
    support::Answer,
};

/// A lab with the public client `spa`.
fn lab() -> Lab {
    let lab = Lab::new();
    let spa = Client::public("spa").scope("read").build().unwrap();
    lab.clients.set(spa);
    lab
}

async fn first(lab: &Lab) -> String {
    let tokens = lab.server.issue("spa", "alice", None).await.unwrap();
    tokens.refresh_token().unwrap().to_owned()
}

#[track_caller]
fn assert_invalid_client(answer: &Answer) {
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert_eq!(answer.member("error"), "invalid_client");
}

/// RFC 6749 §6 and RFC 7009 §2.1: a public client refreshes and revokes by its `client_id`.
#[tokio::test]
async fn public_client_refreshes_and_revokes_by_its_id() {
    let lab = lab();
    let mut token = first(&lab).await;
    for service in [
        lab.server.oauth_endpoint(),
        lab.server.refresh_endpoint(),
        lab.server
            .refresh_endpoint()
            .require_client_authentication(),
    ] {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", "spa"),
            ("refresh_token", &*token),
        ];
        token = text(&granted(post(service, &pairs).await), "refresh_token");
    }
    // Some libraries name such a client in Basic, with an empty secret.
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", &*token)];
    let basic = lab::basic("spa", "");
    let answer = post_as(lab.server.oauth_endpoint(), &basic, &pairs).await;
    token = text(&granted(answer), "refresh_token");

    let pairs = [("client_id", "spa"), ("token", &*token)];
    let answer = post(lab.server.revocation_endpoint(), &pairs).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, ""));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(lab.refresh(&token).await.status, 401);
}

#[tokio::test]
async fn id_of_a_confidential_or_unknown_client_is_no_authentication() {
    let lab = lab();
    let token = lab.refresh_token().await;
    for id in ["gen", "nobody", ""] {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", id),
            ("refresh_token", &*token),
        ];
        assert_invalid_client(&post(lab.server.oauth_endpoint(), &pairs).await);
        let service = lab
            .server
            .refresh_endpoint()
            .require_client_authentication();
        assert_invalid_client(&post(service, &pairs).await);
        let pairs = [("client_id", id), ("token", &*token)];
        assert_invalid_client(&post(lab.server.revocation_endpoint(), &pairs).await);
    }
    granted(lab.refresh(&token).await);
}

/// RFC 6749 §6: a client with credentials must authenticate; without the switch the token alone is enough.
#[tokio::test]
async fn refresh_endpoint_requires_client_authentication_by_switch_alone() {
    let lab = lab();
    let token = lab.refresh_token().await;
    let service = || {
        lab.server
            .refresh_endpoint()
            .require_client_authentication()
    };
    let pairs = [("refresh_token", &*token)];
    assert_invalid_client(&post(service(), &pairs).await);
    assert_invalid_client(&post_as(service(), &lab::basic("gen", "wrong"), &pairs).await);
    // Another client's token is no reason to end the family.
    let answer = post_as(service(), &lab::basic("svc", "svc-secret"), &pairs).await;
    assert_eq!(answer.member("error"), "invalid_grant");
    let answer = post_as(service(), &lab.basic(), &pairs).await;
    let token = text(&granted(answer), "refresh_token");
    granted(lab.refresh(&token).await);
}

#[tokio::test]
async fn public_client_gets_no_tokens_by_client_credentials() {
    let lab = lab();
    for service in [lab.server.token_endpoint(), lab.server.oauth_endpoint()] {
        let pairs = [("grant_type", "client_credentials"), ("client_id", "spa")];
        let answer = post(service.clone(), &pairs).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.member("error"), "unauthorized_client");
        let pairs = [
            pairs[0],
            pairs[1],
            ("client_secret", "a-secret-that-it-does-not-have"),
        ];
        assert_invalid_client(&post(service, &pairs).await);
    }
}

/// A client by which users log in gets no tokens of its own; a client without refresh tokens can use none.
#[tokio::test]
async fn client_uses_the_grants_that_it_may_use_and_no_others() {
    let lab = lab();
    let set = |grants: &[GrantType]| {
        let client = Client::builder("svc").secret(lab::chosen()).scope("read");
        lab.clients
            .set(client.grant_types(grants.iter().copied()).build().unwrap());
    };
    let own = [
        ("grant_type", "client_credentials"),
        ("client_id", "svc"),
        ("client_secret", "svc-secret"),
    ];
    set(&[GrantType::RefreshToken]);
    for service in [lab.server.token_endpoint(), lab.server.oauth_endpoint()] {
        let answer = post(service, &own).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.member("error"), "unauthorized_client");
    }
    let tokens = lab.server.issue("svc", "alice", None).await.unwrap();
    let token = tokens.refresh_token().unwrap().to_owned();
    let token = text(&granted(lab.refresh(&token).await), "refresh_token");

    set(&[GrantType::ClientCredentials]);
    let answer = lab.refresh(&token).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.member("error"), "unauthorized_client");
    let tokens = granted(post(lab.server.token_endpoint(), &own).await);
    assert_eq!(tokens.get("refresh_token"), None);
}
