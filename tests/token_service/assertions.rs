//! Clients that authenticate by a signed JWT: `private_key_jwt` (RFC 7523 §2.2).

use serde_json::{Value, json};
use tower_bearer::{
    Algorithm,
    testing::Issuer,
    token_service::{Client, SecretHash},
};

use crate::{
    lab::{self, DAY, ISSUER, Lab, MINUTE, granted, post, post_as, text},
    support::Answer,
};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ENDPOINT: &str = "https://login.example.com/oauth/token";

/// A server with the client `keyed`, and what signs its assertions.
fn keyed(algorithm: Algorithm) -> (Lab, Issuer) {
    let lab = Lab::with(|builder| builder.client_assertion_audience(ENDPOINT));
    let signer = Issuer::new("keyed", algorithm).unwrap();
    let client = Client::builder("keyed")
        .jwks(signer.public_key_set())
        .scope("read");
    lab.clients.set(client.build().unwrap());
    (lab, signer)
}

/// A JWT of that type.
fn typed(signer: &Issuer, typ: &str, claims: &Value) -> String {
    let header = json!({ "alg": signer.algorithm().as_str(), "kid": signer.key_id(), "typ": typ });
    signer.token_with_header(&header, claims).unwrap()
}

fn sign(signer: &Issuer, claims: &Value) -> String {
    typed(signer, "JWT", claims)
}

/// The claims of a good assertion, with that `jti`.
fn claims(jti: &str) -> Value {
    let now = lab::NOW.as_secs();
    json!({ "iss": "keyed", "sub": "keyed", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": jti })
}

async fn authenticate(lab: &Lab, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    pairs.extend(more);
    post(lab.server.oauth_endpoint(), &pairs).await
}

#[tokio::test]
async fn a_client_authenticates_by_any_asymmetric_algorithm_at_every_endpoint() {
    for algorithm in [
        Algorithm::ES256,
        Algorithm::EdDSA,
        Algorithm::RS256,
        Algorithm::PS256,
    ] {
        let (lab, signer) = keyed(algorithm);
        let assertion = |jti: &str| sign(&signer, &claims(jti));
        let tokens = granted(authenticate(&lab, &assertion("1"), &[]).await);
        assert_eq!(tokens["scope"], "read", "{algorithm}");
        let access = text(&tokens, "access_token");
        let of = |assertion: &str| {
            let pairs = [
                ("token", &*access),
                ("client_assertion_type", TYPE),
                ("client_assertion", assertion),
            ];
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        for (endpoint, jti) in [
            (lab.server.introspection_endpoint(), "2"),
            (lab.server.revocation_endpoint(), "3"),
        ] {
            let pairs = of(&assertion(jti));
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            assert_eq!(post(endpoint, &pairs).await.status, 200, "{algorithm}");
        }
        // In JSON too, where that is read.
        let body = json!({
            "grant_type": "client_credentials",
            "client_assertion_type": TYPE,
            "client_assertion": assertion("4"),
        });
        let headers = [("content-type", "application/json")];
        granted(lab::send(lab.server.token_endpoint(), &headers, body.to_string()).await);
    }
}

#[tokio::test]
async fn audience_type_and_client_id_as_clients_write_them() {
    let (lab, signer) = keyed(Algorithm::ES256);
    let mut number = 0;
    let mut good = |change: Value| {
        number += 1;
        let mut claims = claims(&number.to_string());
        claims
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        sign(&signer, &claims)
    };
    for change in [
        json!({}),
        json!({ "aud": ENDPOINT }),
        json!({ "aud": [ENDPOINT] }),
        json!({ "aud": [ISSUER, ENDPOINT] }),
        json!({ "exp": lab::NOW.as_secs() + 3600 }),
        json!({ "nbf": lab::NOW.as_secs() }),
    ] {
        let answer = authenticate(&lab, &good(change.clone()), &[]).await;
        assert_eq!(answer.status, 200, "{change}");
    }
    granted(authenticate(&lab, &good(json!({})), &[("client_id", "keyed")]).await);
    let own = typed(&signer, "client-authentication+jwt", &claims("own"));
    granted(authenticate(&lab, &own, &[]).await);
}

/// RFC 7523 §3; each of these is answered as a wrong secret is.
#[tokio::test]
async fn what_is_no_assertion_of_the_client_for_this_server_now_is_refused() {
    let (lab, signer) = keyed(Algorithm::ES256);
    let now = lab::NOW.as_secs();
    let changed = |change: Value| {
        let mut claims = claims("1");
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        sign(&signer, &claims)
    };
    let wrong_secret = [
        ("grant_type", "client_credentials"),
        ("client_id", "gen"),
        ("client_secret", "x"),
    ];
    let expected = post(lab.server.oauth_endpoint(), &wrong_secret).await;
    let other = Issuer::new("keyed", Algorithm::ES256).unwrap();
    let of_other_key = sign(&other, &claims("1"));
    let good = sign(&signer, &claims("good"));

    for (what, assertion) in [
        (
            "another client",
            changed(json!({ "iss": "gen", "sub": "gen" })),
        ),
        (
            "an unknown client",
            changed(json!({ "iss": "nobody", "sub": "nobody" })),
        ),
        ("iss and sub differ", changed(json!({ "sub": "gen" }))),
        ("no sub", changed(json!({ "sub": null }))),
        ("no iss", changed(json!({ "iss": null }))),
        (
            "for another server",
            changed(json!({ "aud": "https://other.example" })),
        ),
        (
            "for another server as well",
            changed(json!({ "aud": [ISSUER, "https://other.example"] })),
        ),
        ("for nobody", changed(json!({ "aud": null }))),
        ("no exp", changed(json!({ "exp": null }))),
        ("expired", changed(json!({ "exp": now - 31 }))),
        (
            "good for too long",
            changed(json!({ "exp": now + 3600 + 31 })),
        ),
        ("not yet good", changed(json!({ "nbf": now + 31 }))),
        ("no jti", changed(json!({ "jti": null }))),
        ("an empty jti", changed(json!({ "jti": "" }))),
        ("a jti that is a number", changed(json!({ "jti": 1 }))),
        ("by another key", of_other_key),
        ("an access token", typed(&signer, "at+jwt", &claims("1"))),
        ("another type", typed(&signer, "dpop+jwt", &claims("1"))),
        ("no JWT", "nope".to_owned()),
        ("cut short", good[..good.len() - 4].to_owned()),
        ("empty", "..".to_owned()),
    ] {
        let answer = authenticate(&lab, &assertion, &[]).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body),
            (401, &expected.body),
            "{what}"
        );
    }
    for more in [&[("client_id", "gen")][..], &[("client_id", "nobody")]] {
        assert_eq!(
            authenticate(&lab, &good, more).await.status,
            401,
            "{more:?}"
        );
    }
    for (name, value) in [
        ("client_assertion_type", "jwt-bearer"),
        ("client_assertion_type", ""),
    ] {
        let pairs = [
            ("grant_type", "client_credentials"),
            (name, value),
            ("client_assertion", &good),
        ];
        assert_eq!(
            post(lab.server.oauth_endpoint(), &pairs).await.status,
            401,
            "{value:?}"
        );
    }
    // Two ways at once.
    let answer = authenticate(&lab, &good, &[("client_secret", "x")]).await;
    assert_eq!(answer.status, 400);
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", &*good),
    ];
    assert_eq!(
        post_as(lab.server.oauth_endpoint(), &lab.basic(), &pairs)
            .await
            .status,
        400
    );
    // None of this has used it up.
    granted(authenticate(&lab, &good, &[]).await);
}

/// RFC 7523 §3: of any number of uses one is good, until it has expired, and then none.
#[tokio::test]
async fn an_assertion_is_good_once() {
    let (lab, signer) = keyed(Algorithm::ES256);
    let assertion = sign(&signer, &claims("1"));
    let uses = (0..20).map(|_| authenticate(&lab, &assertion, &[]));
    let answers = futures_util::future::join_all(uses).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1);
    for _ in 0..4 {
        lab.clock.advance(MINUTE / 2);
        assert_eq!(authenticate(&lab, &assertion, &[]).await.status, 401);
    }
    // The same jti of another client is another.
    let client = Client::builder("other")
        .jwks(signer.public_key_set())
        .build()
        .unwrap();
    lab.clients.set(client);
    lab.clock.set(lab::NOW);
    let mut of_other = claims("1");
    (of_other["iss"], of_other["sub"]) = ("other".into(), "other".into());
    granted(authenticate(&lab, &sign(&signer, &of_other), &[]).await);
}

/// Failures count as those of secrets do.
#[tokio::test]
async fn wrong_assertions_are_limited_and_right_ones_are_not() {
    use tower_bearer::token_service::FailureLimit;

    let signer = Issuer::new("keyed", Algorithm::ES256).unwrap();
    let lab = Lab::with(|builder| {
        builder.failure_limit(FailureLimit {
            per_client: 3,
            per_peer: 3,
        })
    });
    let client = Client::builder("keyed")
        .jwks(signer.public_key_set())
        .build()
        .unwrap();
    lab.clients.set(client);
    let other = Issuer::new("keyed", Algorithm::ES256).unwrap();
    let mut statuses = Vec::new();
    for number in 0..5 {
        let wrong = sign(&other, &claims(&number.to_string()));
        statuses.push(authenticate(&lab, &wrong, &[]).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    granted(authenticate(&lab, &sign(&signer, &claims("good")), &[]).await);
}

#[test]
fn keys_that_cannot_be_used_are_a_mistake_in_the_configuration() {
    let signer = Issuer::new("keyed", Algorithm::ES256).unwrap();
    let hmac = r#"{"keys":[{"kty":"oct","alg":"HS256","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
    for (builder, hint) in [
        (
            Client::builder("a").jwks("nope"),
            "keys that cannot be used",
        ),
        (
            Client::builder("a").jwks(r#"{"keys":[]}"#),
            "keys that cannot be used",
        ),
        (Client::builder("a").jwks(hmac), "keys that cannot be used"),
        (
            Client::public("a").jwks(signer.public_key_set()),
            "is public",
        ),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
    // A secret beside them, while one is replaced by the other.
    let (_, hash) = SecretHash::generate().unwrap();
    let both = Client::builder("a")
        .jwks(signer.public_key_set())
        .secret(hash);
    assert!(both.build().is_ok());
}

/// Keys that the client publishes.
#[cfg(feature = "jwks")]
#[tokio::test]
async fn keys_from_the_network_are_the_clients_as_well() {
    use std::{convert::Infallible, future::ready};

    let signer = Issuer::new("keyed", Algorithm::ES256).unwrap();
    let lab = Lab::new();
    let set = signer.public_key_set();
    let keys = tower_bearer::RemoteKeySet::from_fn(move || ready(Ok::<_, Infallible>(set.clone())));
    let client = Client::builder("keyed")
        .remote_keys(keys.build().unwrap())
        .build()
        .unwrap();
    assert!(serde_json::to_string(&client).is_err());
    lab.clients.set(client);
    granted(authenticate(&lab, &sign(&signer, &claims("1")), &[]).await);
    lab.clock.advance(DAY);
}
