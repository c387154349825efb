//! Who may authenticate, how often it may fail, and what a failure tells: attacks.md 36.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use http_body_util::Full;
use tower_bearer::{
    BoxFuture, StoreError,
    token_service::{Client, ClientStore, FailureLimit, SecretHash},
};

use crate::{
    lab::{self, FORM, Lab, form, granted, opened, post, post_as, text},
    support::{Answer, members},
};

async fn ask(lab: &Lab, id: &str, secret: &str, peer: &str) -> Answer {
    let body = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
    ]);
    let mut request = lab::request(Method::POST, &[("content-type", FORM)], Full::from(body));
    request
        .extensions_mut()
        .insert::<IpAddr>(peer.parse().unwrap());
    lab::send_request(lab.server.token_endpoint(), request).await
}

/// attacks.md 36: same status, same bytes. (The trace id is that of the request.)
#[tokio::test]
async fn an_unknown_client_and_a_wrong_secret_look_alike() {
    let lab = Lab::new();
    let mut answers = Vec::new();
    for (id, secret) in [
        ("svc", "wrong"),
        ("gen", "wrong"),
        ("nobody", "svc-secret"),
        ("nobody", ""),
    ] {
        let answer = ask(&lab, id, secret, "10.0.0.1").await;
        assert_eq!(answer.status, 401);
        answers.push((format!("{:?}", answer.headers), answer.body));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

/// Two secrets are valid at once, so that one can be replaced by the other; then the old one is not.
#[tokio::test]
async fn secrets_are_rotated() {
    let lab = Lab::new();
    let (new, hash) = SecretHash::generate().unwrap();
    let client = |secrets: &[SecretHash]| {
        let client = Client::builder("svc").scope("read");
        secrets
            .iter()
            .cloned()
            .fold(client, |client, secret| client.secret(secret))
            .build()
            .unwrap()
    };
    let status = async |secret: &str| ask(&lab, "svc", secret, "10.0.0.1").await.status.as_u16();
    assert_eq!([status("svc-secret").await, status(&new).await], [200, 401]);
    lab.clients.set(client(&[lab::chosen(), hash.clone()]));
    assert_eq!([status("svc-secret").await, status(&new).await], [200, 200]);
    lab.clients.set(client(&[hash]));
    assert_eq!([status("svc-secret").await, status(&new).await], [401, 200]);
}

#[tokio::test]
async fn id_and_secret_in_basic_are_form_encoded() {
    let lab = Lab::new();
    let (id, secret) = ("a client: with & odd + id", "its %secret= \u{7e}&?/");
    let hash = SecretHash::of_chosen(secret).unwrap();
    lab.clients
        .set(Client::builder(id).secret(hash).build().unwrap());
    let encode = |text: &str| form(&[("", text)])[1..].to_owned();
    let authorization = lab::basic(&encode(id), &encode(secret));
    let pairs = [("grant_type", "client_credentials")];
    let tokens = granted(post_as(lab.server.oauth_endpoint(), &authorization, &pairs).await);
    let (_, claims) = opened(&text(&tokens, "access_token"));
    assert_eq!(claims["client_id"], id);
    // Without scopes there is no such member.
    assert_eq!((tokens.get("scope"), claims.get("scope")), (None, None));
}

#[tokio::test]
async fn failures_are_limited_per_client_and_peer_and_never_block_another_peer() {
    let lab = Lab::with(|builder| {
        builder.failure_limit(FailureLimit {
            per_client: 5,
            per_peer: 8,
        })
    });
    let secret = lab.secret.clone();
    for _ in 0..5 {
        assert_eq!(ask(&lab, "gen", "wrong", "10.0.0.1").await.status, 401);
    }
    let answer = ask(&lab, "gen", "wrong", "10.0.0.1").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("12"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.member("title"), "Too Many Requests");
    assert_eq!(answer.member("detail"), "Too many requests");
    let all = members(&answer.body);
    let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
    assert_eq!(
        names[5..],
        ["traceId", "retryAfter", "error", "error_description"]
    );
    assert_eq!(all[6].1, 12);
    assert!(answer.member("type").ends_with("/too-many-requests"));
    // A generated secret cannot be guessed: whoever knows it is let in, whatever others behind the address do.
    granted(ask(&lab, "gen", &secret, "10.0.0.1").await);
    // Another client from there, and the same from elsewhere.
    granted(ask(&lab, "svc", "svc-secret", "10.0.0.1").await);
    granted(ask(&lab, "gen", &secret, "10.0.0.2").await);
    // In all, a peer fails 8 times, whatever the clients.
    for id in ["a", "b", "c"] {
        assert_eq!(ask(&lab, id, "wrong", "10.0.0.1").await.status, 401);
    }
    assert_eq!(ask(&lab, "d", "wrong", "10.0.0.1").await.status, 429);
    // A chosen secret that was right before costs nothing either; one that is first seen takes a slow comparison.
    granted(ask(&lab, "svc", "svc-secret", "10.0.0.1").await);
    let late = Client::builder("late").secret(SecretHash::of_chosen("late-secret").unwrap());
    lab.clients.set(late.build().unwrap());
    assert_eq!(
        ask(&lab, "late", "late-secret", "10.0.0.1").await.status,
        429
    );
    lab.clock.advance(Duration::from_secs(12));
    granted(ask(&lab, "late", "late-secret", "10.0.0.1").await);
}

/// A flood of wrong secrets from a shared address does not lock out those behind it whose secret is right.
#[tokio::test]
async fn right_secrets_are_accepted_during_a_flood_from_the_same_address() {
    let lab = Lab::with(|builder| {
        builder.failure_limit(FailureLimit {
            per_client: 2,
            per_peer: 2,
        })
    });
    granted(ask(&lab, "svc", "svc-secret", "10.0.0.1").await);
    for _ in 0..50 {
        for id in ["svc", "gen", "nobody"] {
            let status = ask(&lab, id, "wrong", "10.0.0.1").await.status.as_u16();
            assert!([401, 429].contains(&status), "{status}");
        }
        granted(ask(&lab, "svc", "svc-secret", "10.0.0.1").await);
        granted(ask(&lab, "gen", &lab.secret, "10.0.0.1").await);
    }
}

/// A secret that is replaced is not remembered.
#[tokio::test]
async fn replaced_secret_is_rejected_although_it_was_right_before() {
    let lab = Lab::new();
    granted(ask(&lab, "svc", "svc-secret", "10.0.0.1").await);
    granted(ask(&lab, "svc", "svc-secret", "10.0.0.1").await);
    let other = SecretHash::of_chosen("another-secret").unwrap();
    lab.clients
        .set(Client::builder("svc").secret(other).build().unwrap());
    assert_eq!(ask(&lab, "svc", "svc-secret", "10.0.0.1").await.status, 401);
    granted(ask(&lab, "svc", "another-secret", "10.0.0.1").await);
}

#[tokio::test]
async fn successes_are_not_limited() {
    let lab = Lab::with(|builder| {
        builder.failure_limit(FailureLimit {
            per_client: 1,
            per_peer: 1,
        })
    });
    for _ in 0..50 {
        granted(ask(&lab, "gen", &lab.secret, "10.0.0.1").await);
    }
}

/// Guesses that are made at the same time are limited like those that are made one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_guesses_is_limited_too() {
    let lab = Arc::new(Lab::with(|builder| {
        builder.failure_limit(FailureLimit {
            per_client: 5,
            per_peer: 5,
        })
    }));
    let guesses: Vec<_> = (0..40)
        .map(|_| {
            let lab = Arc::clone(&lab);
            tokio::spawn(async move { ask(&lab, "svc", "wrong", "10.0.0.1").await.status.as_u16() })
        })
        .collect();
    let mut failed = 0;
    for guess in guesses {
        match guess.await.unwrap() {
            401 => failed += 1,
            status => assert_eq!(status, 429),
        }
    }
    // What is under way at a time goes beyond it, which is as much as there are processors.
    let processors = std::thread::available_parallelism().unwrap().get();
    assert!((5..5 + processors).contains(&failed), "{failed}");
}

/// A client has lifetimes, audiences and a subject of its own.
#[tokio::test]
async fn a_client_has_settings_of_its_own() {
    let lab = Lab::new();
    let (secret, hash) = SecretHash::generate().unwrap();
    let client = Client::builder("own")
        .secret(hash)
        .subject("service-account-7")
        .scope("a b")
        .audience("https://one.example")
        .audience("https://two.example")
        .access_token_lifetime(Duration::from_secs(60))
        .refresh_token_idle_lifetime(Duration::from_secs(100))
        .refresh_token_lifetime(Duration::from_secs(150));
    lab.clients.set(client.build().unwrap());
    let tokens = granted(ask(&lab, "own", &secret, "10.0.0.1").await);
    assert_eq!(tokens["expires_in"], 60);
    let (_, claims) = opened(&text(&tokens, "access_token"));
    assert_eq!(claims["sub"], "service-account-7");
    assert_eq!(
        claims["aud"],
        serde_json::json!(["https://one.example", "https://two.example"])
    );
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        60
    );

    // RFC 8707: one of them alone; the refresh token is still for both.
    let pairs = [
        ("refresh_token", &*text(&tokens, "refresh_token")),
        ("resource", "https://two.example"),
    ];
    let tokens = granted(post(lab.server.refresh_endpoint(), &pairs).await);
    let (_, claims) = opened(&text(&tokens, "access_token"));
    assert_eq!(claims["aud"], "https://two.example");
    lab.clock.advance(Duration::from_secs(99));
    let tokens = granted(lab.refresh(&text(&tokens, "refresh_token")).await);
    lab.clock.advance(Duration::from_secs(51));
    assert_eq!(
        lab.refresh(&text(&tokens, "refresh_token")).await.status,
        401
    );
}

/// A store of one's own, which counts who is asked for.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<Vec<String>>>);

impl ClientStore for Database {
    fn find(&self, client_id: &str) -> BoxFuture<Result<Option<Arc<Client>>, StoreError>> {
        self.0.lock().unwrap().push(client_id.to_owned());
        let found = (client_id == "svc").then(|| {
            let hash: SecretHash = lab::chosen().to_string().parse().unwrap();
            Arc::new(
                Client::builder("svc")
                    .secret(hash)
                    .scope("read")
                    .build()
                    .unwrap(),
            )
        });
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(found)
        })
    }
}

#[tokio::test]
async fn a_store_of_ones_own_is_asked() {
    let database = Database::default();
    let lab = Lab::with(|builder| builder.clients(database.clone()));
    granted(ask(&lab, "svc", "svc-secret", "10.0.0.1").await);
    assert_eq!(ask(&lab, "svc", "wrong", "10.0.0.1").await.status, 401);
    assert_eq!(ask(&lab, "nobody", "wrong", "10.0.0.1").await.status, 401);
    assert_eq!(*database.0.lock().unwrap(), ["svc", "svc", "nobody"]);
}
