//! What it costs to issue a token, to refresh one in memory, and to look for one among the revoked. (On Redis it
//! depends on how many ask at once: see the bench `refresh_rate`.)

use bytes::Bytes;
use criterion::Criterion;
use futures_util::FutureExt;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    Algorithm, BearerAuthLayer, BearerToken, Claims, InMemoryRevocation, NumericDate, Revocation,
    RevocationList,
    token_service::{
        AuthorizationServer, Client, InMemoryClients, InMemoryRefreshStore, RefreshStore,
        SecretHash, SigningKey, SigningKeys, TokenService,
    },
    verify_fn,
};

use crate::{group, inner, measure, request};

pub(super) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut group = group(criterion, "token_service");
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
        let (server, credentials) = server(algorithm, InMemoryRefreshStore::new());
        let name = format!("issue/{algorithm}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(post(server.oauth_endpoint(), &credentials)));
        });
    }
    let (in_memory, credentials) = server(Algorithm::ES256, InMemoryRefreshStore::new());
    let mut token = runtime.block_on(refresh_token(&in_memory, &credentials));
    group.bench_function("refresh/in_memory", |bencher| {
        bencher.iter(|| token = runtime.block_on(refresh(in_memory.refresh_endpoint(), &token)));
    });
    // A hundred thousand are revoked; this one is not.
    let revocation = InMemoryRevocation::new();
    for number in 0..100_000 {
        let revoked = revocation.revoke_token(&format!("revoked-{number}"), NumericDate::MAX);
        revoked.now_or_never().unwrap().unwrap();
    }
    let claims = Claims::builder()
        .id("not-revoked")
        .client_id("svc")
        .subject("alice")
        .issued_at(NumericDate::from_secs(1_800_000_000))
        .build(());
    let verifier = verify_fn(move |_: BearerToken<'_>| Ok(claims.clone()));
    let layer = BearerAuthLayer::new(verifier);
    let bearer = request(Some("Bearer abc"));
    let without = layer.clone().layer(service_fn(inner));
    measure(
        &mut group,
        "without_revocations",
        without,
        &bearer,
        StatusCode::OK,
    );
    let with = layer
        .check(RevocationList::new(revocation))
        .layer(service_fn(inner));
    measure(
        &mut group,
        "with_100000_revocations",
        with,
        &bearer,
        StatusCode::OK,
    );
    group.finish();
}

fn server(algorithm: Algorithm, store: impl RefreshStore) -> (AuthorizationServer, String) {
    let (secret, hash) = SecretHash::generate().unwrap();
    let client = Client::builder("svc")
        .secret(hash)
        .scope("read write")
        .build()
        .unwrap();
    let server = AuthorizationServer::builder()
        .issuer("https://login.example.com")
        .audience("https://api.example.com")
        .signing_keys(SigningKeys::new(SigningKey::generate(algorithm).unwrap()))
        .clients(InMemoryClients::new([client]).unwrap())
        .refresh_tokens(store)
        .unlimited_failures()
        .build()
        .unwrap();
    let credentials = format!("grant_type=client_credentials&client_id=svc&client_secret={secret}");
    (server, credentials)
}

async fn post(service: TokenService, form: &str) -> Bytes {
    let request: Request<Full<Bytes>> = Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(form.to_owned()))
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap().to_bytes()
}

async fn refresh_token(server: &AuthorizationServer, credentials: &str) -> String {
    taken(&post(server.token_endpoint(), credentials).await)
}

async fn refresh(service: TokenService, token: &str) -> String {
    taken(&post(service, &format!("refresh_token={token}")).await)
}

fn taken(body: &[u8]) -> String {
    let tokens: Value = serde_json::from_slice(body).unwrap();
    tokens["refresh_token"].as_str().unwrap().to_owned()
}
