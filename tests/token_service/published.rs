//! The keys and the metadata, as others read them; and a token from the issuer to the service that accepts it.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use serde_json::{Value, json};
use tower::{Service, ServiceExt};
use tower_bearer::{
    Algorithm,
    token_service::{ServeKeySet, SigningKey},
};

use crate::{
    lab::{self, ISSUER, Lab, MINUTE, granted, opened, post, text},
    support::Answer,
};

async fn ask<S, T>(service: S, method: Method, headers: &[(&str, &str)]) -> Answer
where
    S: Service<Request<Empty<Bytes>>, Response = http::Response<T>, Error = Infallible>,
    T: http_body::Body<Error = Infallible>,
{
    let request = lab::request(method, headers, Empty::new());
    Answer::of(service.oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn the_key_set_is_public_and_nothing_else_is() {
    let lab = Lab::new();
    let answer = ask(lab.server.key_set(), Method::GET, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/jwk-set+json")
    );
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let set: Value = serde_json::from_str(&answer.body).unwrap();
    let key = set["keys"][0].as_object().unwrap();
    let mut names: Vec<&str> = key.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);

    let etag = answer.header("etag").unwrap();
    for (tags, status) in [
        (etag.to_owned(), 304),
        (format!("W/{etag}"), 304),
        (format!("\"a\", {etag}"), 304),
        ("*".to_owned(), 304),
        ("\"a\"".to_owned(), 200),
    ] {
        let again = ask(
            lab.server.key_set(),
            Method::GET,
            &[("if-none-match", &tags)],
        )
        .await;
        assert_eq!(again.status, status, "{tags}");
        assert_eq!(again.header("etag"), Some(etag));
        assert_eq!(again.body.is_empty(), status == 304);
    }
    let head = ask(lab.server.key_set(), Method::HEAD, &[]).await;
    assert_eq!((head.status.as_u16(), &*head.body), (200, ""));
    assert_eq!(
        head.header("content-length"),
        answer.header("content-length")
    );
    let post = ask(lab.server.key_set(), Method::POST, &[]).await;
    assert_eq!(post.status, 405);
    assert_eq!(post.header("allow"), Some("GET, HEAD"));

    lab.keys
        .rotate(SigningKey::generate(Algorithm::EdDSA).unwrap(), 15 * MINUTE)
        .unwrap();
    let service = ServeKeySet::new(lab.keys.clone()).max_age(Duration::from_secs(60));
    let two = ask(service, Method::GET, &[("if-none-match", etag)]).await;
    assert_eq!(two.status, 200);
    assert_eq!(two.header("cache-control"), Some("public, max-age=60"));
    let set: Value = serde_json::from_str(&two.body).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_metadata_is_that_of_rfc_8414() {
    let lab = Lab::new();
    let metadata = lab
        .server
        .metadata()
        .token_endpoint("https://login.example.com/oauth/token")
        .unwrap()
        .revocation_endpoint("https://login.example.com/oauth/revoke")
        .unwrap()
        .jwks_uri("https://login.example.com/.well-known/jwks.json")
        .unwrap()
        .scopes(["read", "write"]);
    let answer = ask(metadata, Method::GET, &[("host", "evil.example")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let methods = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "none",
    ];
    let algorithms = [
        "ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512",
    ];
    assert_eq!(
        document,
        json!({
            "issuer": ISSUER,
            "token_endpoint": "https://login.example.com/oauth/token",
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "grant_types_supported": ["client_credentials", "refresh_token"],
            "revocation_endpoint": "https://login.example.com/oauth/revoke",
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "jwks_uri": "https://login.example.com/.well-known/jwks.json",
            "scopes_supported": ["read", "write"],
        })
    );
    assert!(lab.server.metadata().jwks_uri("/jwks.json").is_err());
}

/// RFC 8414 §3.2: members of zero elements are left out. The SDKs of MCP and Authlib want further members.
#[tokio::test]
async fn metadata_takes_further_members_and_leaves_out_those_without_elements() {
    let lab = Lab::new();
    let none: [&str; 0] = [];
    let metadata = lab
        .server
        .metadata()
        .scopes([])
        .member(
            "authorization_endpoint",
            "https://login.example.com/authorize",
        )
        .and_then(|metadata| metadata.member("response_types_supported", ["code"]))
        .and_then(|metadata| metadata.member("code_challenge_methods_supported", none))
        .and_then(|metadata| metadata.member("op_policy_uri", None::<&str>))
        .unwrap();
    let answer = ask(metadata, Method::GET, &[]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&answer.body).unwrap(),
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example.com/authorize",
            "response_types_supported": ["code"],
        })
    );
    assert!(
        lab.server
            .metadata()
            .member("issuer", "https://evil.example")
            .is_err()
    );
}

#[tokio::test]
async fn claims_of_ones_own_stand_beside_those_of_rfc_9068_and_replace_none() {
    let lab = Lab::with(|builder| {
        builder.extra_claims(|grant, claims| {
            claims.set("tenant", grant.client_id());
            claims.set("roles", ["a", "b"]);
            claims.set("roles", ["c"]);
            for own in [
                "iss",
                "sub",
                "aud",
                "exp",
                "nbf",
                "iat",
                "jti",
                "client_id",
                "scope",
                "cnf",
            ] {
                claims.set(own, "forged");
            }
        })
    });
    let (_, claims) = opened(&text(&lab.tokens().await, "access_token"));
    assert_eq!(claims["tenant"], "gen");
    assert_eq!(claims["roles"], json!(["c"]));
    assert!(!claims.to_string().contains("forged"));
}

/// Every algorithm that is to be had, from the private key in PEM to the verified token.
#[tokio::test]
async fn tokens_of_each_algorithm_are_verified_by_the_published_key() {
    use tower_bearer::{BearerToken, JwtVerifier, KeySet, Verification, Verifier};

    let rsa = include_str!("../support/keys/rsa.pem");
    for (algorithm, pem) in [
        (Algorithm::RS256, rsa),
        (Algorithm::RS384, rsa),
        (Algorithm::RS512, rsa),
        (Algorithm::PS256, rsa),
        (Algorithm::PS384, rsa),
        (Algorithm::PS512, rsa),
        (Algorithm::ES256, include_str!("../support/keys/p256.pem")),
        (Algorithm::ES384, include_str!("../support/keys/p384.pem")),
        (Algorithm::ES512, include_str!("../support/keys/p521.pem")),
        (
            Algorithm::EdDSA,
            include_str!("../support/keys/ed25519.pem"),
        ),
    ] {
        let key = SigningKey::from_pem(algorithm, pem).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        // The id is made of the public key: it is the same at each start, however the file is
        // laid out.
        let spaced = format!("\u{feff}\n{}\n \n", pem.replace('\n', " \r\n"));
        let again = SigningKey::from_pem(algorithm, spaced).unwrap();
        assert_eq!(again.key_id(), key.key_id());
        let id = key.key_id().to_owned();
        let lab = Lab::new();
        lab.keys.rotate(key, Duration::ZERO).unwrap();
        let token = text(&lab.tokens().await, "access_token");
        let (header, _) = opened(&token);
        assert_eq!(header["alg"], algorithm.as_str());
        assert_eq!(header["kid"], id);
        let verifier = JwtVerifier::<()>::builder()
            .issuer(ISSUER)
            .audience(lab::AUDIENCE)
            .key_set(KeySet::from_json(&lab.keys.public_key_set()).unwrap())
            .access_token_profile()
            .clock(lab.clock.clone())
            .build()
            .unwrap();
        let Verification::Ready(verdict) = verifier.verify(BearerToken::parse(&token).unwrap())
        else {
            panic!("static keys are there at once");
        };
        assert_eq!(verdict.unwrap().registered().client_id(), Some("gen"));
    }
}

/// The whole round on a socket: an issuer with its metadata, and a service that finds the keys by it.
#[cfg(all(feature = "client", feature = "axum"))]
#[tokio::test]
async fn an_issued_token_is_verified_by_the_keys_from_the_network_also_after_rotation() {
    use axum::{Router, routing::get};
    use tower_bearer::{BearerAuthLayer, Claims, JwtVerifier, RemoteKeySet, token_service::*};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (secret, hash) = SecretHash::generate().unwrap();
    let client = Client::builder("gen")
        .secret(hash)
        .scope("read")
        .build()
        .unwrap();
    let keys = SigningKeys::generate().unwrap();
    let server = AuthorizationServer::builder()
        .issuer(&url)
        .audience(lab::AUDIENCE)
        .signing_keys(keys.clone())
        .clients(InMemoryClients::new([client]).unwrap())
        .unlimited_failures()
        .build()
        .unwrap();
    let metadata = server.metadata().jwks_uri(&format!("{url}/jwks")).unwrap();
    let verifier = JwtVerifier::<()>::builder()
        .issuer(&url)
        .audience(lab::AUDIENCE)
        .remote_keys(
            RemoteKeySet::discover(&url)
                .cooldown(Duration::ZERO)
                .build()
                .unwrap(),
        )
        .access_token_profile()
        .build()
        .unwrap();
    let whoami = |claims: Claims| async move { claims.registered().subject().unwrap().to_owned() };
    let app = Router::new()
        .route("/whoami", get(whoami).layer(BearerAuthLayer::new(verifier)))
        .route_service("/token", server.token_endpoint())
        .route_service("/jwks", server.key_set())
        .route_service("/.well-known/oauth-authorization-server", metadata);
    let router = app.clone();
    let task = tokio::spawn(async move { axum::serve(listener, app).await });

    let mut kids = Vec::new();
    for _ in 0..2 {
        let pairs = [
            ("grant_type", "client_credentials"),
            ("client_id", "gen"),
            ("client_secret", &*secret),
        ];
        let tokens = granted(post(server.token_endpoint(), &pairs).await);
        let token = text(&tokens, "access_token");
        kids.push(text(&opened(&token).0, "kid"));
        let request = Request::get("/whoami").header("authorization", format!("Bearer {token}"));
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answer = Answer::of(router.clone().oneshot(request).await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, "gen"));
        // The next token is signed by a key that nobody has seen.
        keys.rotate(
            SigningKey::generate(Algorithm::ES256).unwrap(),
            Duration::ZERO,
        )
        .unwrap();
    }
    assert_ne!(kids[0], kids[1]);
    task.abort();
}

/// Attack 48: what is no private key in PKCS#8 says so.
#[test]
fn attack_48_other_files_than_one_private_key_say_what_to_do() {
    let p256 = include_str!("../support/keys/p256.pem");
    let sec1 = include_str!("../support/keys/p256_sec1.pem");
    let pkcs1 = include_str!("../support/keys/rsa_pkcs1.pem");
    for (algorithm, pem, said) in [
        (Algorithm::ES256, sec1.to_owned(), "openssl pkcs8"),
        (Algorithm::RS256, pkcs1.to_owned(), "openssl pkcs8"),
        (
            Algorithm::ES256,
            format!("{p256}{p256}"),
            "more than one PEM document",
        ),
        (
            Algorithm::ES256,
            format!("{p256}\n\n{sec1}"),
            "more than one PEM document",
        ),
        (
            Algorithm::ES256,
            "signing-key.pem".to_owned(),
            "no `-----BEGIN`",
        ),
        (Algorithm::ES256, String::new(), "empty"),
        (Algorithm::ES256, p256.replace('\n', "\\n"), "spelled `\\n`"),
        (Algorithm::ES384, p256.to_owned(), "P-384"),
        (Algorithm::RS256, p256.to_owned(), "an RSA key"),
        (Algorithm::EdDSA, p256.to_owned(), "Ed25519"),
        (Algorithm::HS256, p256.to_owned(), "ES256"),
    ] {
        let error = SigningKey::from_pem(algorithm, &pem)
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{algorithm}: {error}");
        assert!(!error.contains("MIG") && !error.contains("MHc"), "{error}");
    }
}
