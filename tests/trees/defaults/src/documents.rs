//! What is written: the same bytes, whatever the order and the numbers of `serde_json::Value`.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    BearerAuthLayer, Cached, KeySet, ProblemJson,
    token_service::{AuthorizationServer, Client, InMemoryClients, SecretHash, SigningKeys},
};

use crate::*;

#[tokio::test]
async fn the_problem_has_its_members_in_order() {
    let layer = BearerAuthLayer::new(verifier::<()>(&issuer()))
        .reject(ProblemJson::new().type_base("https://docs.example.com/docs/errors/").unwrap());
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let request = Request::get("/api/v2/elements").header("x-request-id", "abc-123-def").body(()).unwrap();
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let expected = r#"{"type":"https://docs.example.com/docs/errors/unauthorized","title":"Unauthorized","status":401,"detail":"Invalid or expired authentication token","instance":"/api/v2/elements","traceId":"abc-123-def"}"#;
    assert_eq!(body, expected);
}

#[tokio::test]
async fn an_endpoint_issues_what_the_verifier_accepts() {
    let (secret, hash) = SecretHash::generate().unwrap();
    let client = Client::builder("svc").secret(hash).scope("read").build().unwrap();
    let server = AuthorizationServer::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .signing_keys(SigningKeys::generate().unwrap())
        .clients(InMemoryClients::new([client]).unwrap())
        .peer(|_| Some([127, 0, 0, 1].into()))
        .build()
        .unwrap();
    let body = json!({ "grant_type": "client_credentials", "client_id": "svc", "client_secret": secret });
    let request = Request::post("/token")
        .header("content-type", "application/json")
        .body(http_body_util::Full::new(Bytes::from(body.to_string())))
        .unwrap();
    let response = server.token_endpoint().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let names: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(names, ["access_token", "token_type", "expires_in", "scope", "refresh_token"]);

    let keys = server.key_set().oneshot(Request::get("/jwks").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let keys = keys.into_body().collect().await.unwrap().to_bytes();
    let keys = KeySet::from_json(std::str::from_utf8(&keys).unwrap()).unwrap();
    let verifier = JwtVerifier::<Value>::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key_set(keys)
        .access_token_profile()
        .build()
        .unwrap();
    let verifier = Cached::new(verifier);
    let token = answer["access_token"].as_str().unwrap();
    for _ in 0..2 {
        let claims = verify(&verifier, token).unwrap();
        assert_eq!(claims["client_id"], "svc");
    }
    assert_eq!(verifier.stats().hits, 1);
}

/// A key with odd members is read as without the features.
#[test]
fn key_sets_are_read_alike() {
    let set: Value = serde_json::from_str(&issuer().public_key_set()).unwrap();
    let mut key = set["keys"][0].clone();
    key["x"] = serde_json::from_str("[1e999, 123456789012345678901234567890]").unwrap();
    let set = json!({ "more": 1, "keys": [key, 7, { "kty": 1.5 }] });
    let set = KeySet::from_json(&set.to_string()).unwrap();
    assert_eq!((set.keys().len(), set.skipped().len()), (1, 2));
}
