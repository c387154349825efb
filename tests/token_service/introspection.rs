//! The introspection endpoint (RFC 7662).

use std::time::Duration;

use serde_json::{Value, json};
use tower_bearer::{
    Revocation,
    token_service::{Client, SecretHash},
};

use crate::{
    lab::{self, DAY, ISSUER, Lab, MINUTE, chosen, granted, post, post_as, text},
    support::Answer,
};

async fn introspect(lab: &Lab, authorization: &str, token: &str) -> Value {
    let pairs = [("token", token)];
    let answer = post_as(lab.server.introspection_endpoint(), authorization, &pairs).await;
    granted(answer)
}

/// A client that may ask about the access tokens of all, and its credentials.
fn resource_server(lab: &Lab) -> String {
    let (secret, hash) = SecretHash::generate().unwrap();
    let api = Client::builder("api")
        .secret(hash)
        .may_introspect()
        .build()
        .unwrap();
    lab.clients.set(api);
    lab::basic("api", &secret)
}

#[tokio::test]
async fn an_access_token_is_described_to_its_client_and_to_resource_servers() {
    let lab = Lab::with(|builder| builder.extra_claims(|_, claims| claims.set("tenant", "acme")));
    let api = resource_server(&lab);
    let tokens = lab
        .server
        .issue("gen", "alice", Some("read"))
        .await
        .unwrap();
    let now = lab::NOW.as_secs();
    let expected = json!({
        "active": true,
        "iss": ISSUER,
        "sub": "alice",
        "aud": "https://api.example.com",
        "client_id": "gen",
        "scope": "read",
        "iat": now,
        "exp": now + 900,
        "jti": tokens.access_token_id(),
        "tenant": "acme",
        "token_type": "Bearer",
    });
    for credentials in [&lab.basic(), &api] {
        assert_eq!(
            introspect(&lab, credentials, tokens.access_token()).await,
            expected
        );
    }
    // Another client, which may not know.
    let other = lab::basic("svc", "svc-secret");
    let inactive = json!({ "active": false });
    assert_eq!(
        introspect(&lab, &other, tokens.access_token()).await,
        inactive
    );
}

#[tokio::test]
async fn a_refresh_token_is_described_to_its_client_alone_and_only_while_it_is_current() {
    let lab = Lab::new();
    let api = resource_server(&lab);
    let tokens = lab
        .server
        .issue("gen", "alice", Some("read"))
        .await
        .unwrap();
    let token = tokens.refresh_token().unwrap();
    let inactive = json!({ "active": false });
    let now = lab::NOW.as_secs();
    let expected = json!({
        "active": true,
        "scope": "read",
        "client_id": "gen",
        "exp": now + 14 * 24 * 3600,
        "iat": now,
        "sub": "alice",
        "aud": ["https://api.example.com"],
        "iss": ISSUER,
    });
    assert_eq!(introspect(&lab, &lab.basic(), token).await, expected);
    assert_eq!(introspect(&lab, &api, token).await, inactive);
    // It changes nothing, and so ends nothing.
    let next = text(&granted(lab.refresh(token).await), "refresh_token");
    assert_eq!(introspect(&lab, &lab.basic(), token).await, inactive);
    assert_eq!(introspect(&lab, &lab.basic(), &next).await["active"], true);
    lab.server.end(&next).await.unwrap();
    assert_eq!(introspect(&lab, &lab.basic(), &next).await, inactive);
}

/// RFC 7662 §2.2: whatever is good for nothing looks the same.
#[tokio::test]
async fn what_is_good_for_nothing_is_inactive() {
    let lab = Lab::new();
    let api = resource_server(&lab);
    let inactive = json!({ "active": false });
    let access = async || {
        let tokens = lab.server.issue("gen", "alice", None).await.unwrap();
        (
            tokens.access_token().to_owned(),
            tokens.refresh_token().unwrap().to_owned(),
        )
    };
    let forged = text(&Lab::new().tokens().await, "access_token");
    for token in ["nope", "a.b.c", &forged, &"x".repeat(5000)] {
        assert_eq!(introspect(&lab, &api, token).await, inactive, "{token}");
    }
    let (expired, idle) = access().await;
    // To the second, without the leeway that services grant for their clocks.
    lab.clock.advance(15 * MINUTE - Duration::from_secs(1));
    assert_eq!(introspect(&lab, &api, &expired).await["active"], true);
    lab.clock.advance(Duration::from_secs(1));
    assert_eq!(introspect(&lab, &api, &expired).await, inactive);
    lab.clock.advance(DAY);
    assert_eq!(introspect(&lab, &api, &expired).await, inactive);
    lab.clock.advance(14 * DAY);
    assert_eq!(introspect(&lab, &lab.basic(), &idle).await, inactive);

    let (revoked, refresh) = access().await;
    assert_eq!(introspect(&lab, &api, &revoked).await["active"], true);
    lab.server.end(&refresh).await.unwrap();
    assert_eq!(introspect(&lab, &api, &revoked).await, inactive);
    let (withdrawn, refresh) = access().await;
    lab.revocation
        .revoke_subject("alice", lab.clock_now())
        .await
        .unwrap();
    assert_eq!(introspect(&lab, &api, &withdrawn).await, inactive);
    assert_eq!(introspect(&lab, &lab.basic(), &refresh).await, inactive);
}

#[tokio::test]
async fn only_clients_that_authenticate_may_ask() {
    let lab = Lab::new();
    let spa = Client::public("spa").build().unwrap();
    lab.clients.set(spa);
    let token = lab.refresh_token().await;
    let ask = async |pairs: &[(&str, &str)]| -> Answer {
        post(lab.server.introspection_endpoint(), pairs).await
    };
    for pairs in [
        &[("token", &*token)][..],
        &[("token", &token), ("client_id", "spa")],
        &[("token", &token), ("client_id", "gen")],
        &[
            ("token", &token),
            ("client_id", "gen"),
            ("client_secret", "wrong"),
        ],
    ] {
        let answer = ask(pairs).await;
        assert_eq!(answer.status, 401, "{pairs:?}");
        assert_eq!(answer.member("error"), "invalid_client");
    }
    let answer = post_as(lab.server.introspection_endpoint(), &lab.basic(), &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.member("error")),
        (400, "invalid_request".into())
    );
    let public = Client::public("spa").may_introspect().build();
    assert!(public.unwrap_err().to_string().contains("may_introspect"));
}

#[tokio::test]
async fn a_client_asks_so_often_in_a_minute() {
    let lab = Lab::with(|builder| builder.introspection_limit(3));
    let ask = async |authorization: &str| {
        let pairs = [("token", "nope")];
        post_as(lab.server.introspection_endpoint(), authorization, &pairs).await
    };
    for _ in 0..3 {
        assert_eq!(ask(&lab.basic()).await.status, 200);
    }
    let answer = ask(&lab.basic()).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("20"));
    // Others are not held up.
    lab.clients
        .set(Client::builder("svc").secret(chosen()).build().unwrap());
    assert_eq!(ask(&lab::basic("svc", "svc-secret")).await.status, 200);
    lab.clock.advance(MINUTE);
    assert_eq!(ask(&lab.basic()).await.status, 200);
}
