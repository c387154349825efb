//! A JWT of each algorithm, seen for the first time: valid, forged, expired.

use criterion::Criterion;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, service_fn};
use tower_bearer::{Algorithm, BearerAuthLayer, JwtVerifier, testing::Issuer};

use crate::{TOKEN_LENGTH, bearer, group, inner, measure};

pub(super) const ISSUER: &str = "https://login.example.com";
pub(super) const AUDIENCE: &str = "https://api.example.com";

// Long ago and far ahead, so that a token is the same in every run, by the clock of a server.
const PAST: u64 = 1_700_000_000;
pub(super) const FUTURE: u64 = 4_000_000_000;

const ALGORITHMS: [Algorithm; 13] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];

/// The user's part: four of the thirteen claims. The others are registered ones.
#[derive(Deserialize)]
#[allow(dead_code, reason = "they are read from the token, and that is all")]
pub(super) struct Profile {
    tenant: String,
    roles: Vec<String>,
    email: String,
    note: String,
}

pub(super) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "jwt");
    for algorithm in ALGORITHMS {
        let issuer = issuer(algorithm);
        let verifier = JwtVerifier::<Profile>::builder()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .key(issuer.key().unwrap())
            .build()
            .unwrap();
        let service = BearerAuthLayer::new(verifier).layer(service_fn(inner));

        let valid = token(&issuer, FUTURE);
        let expired = token(&issuer, PAST);
        for (name, token, status) in [
            ("valid", &valid, StatusCode::OK),
            (
                "bad_signature",
                &forged(&valid, &expired),
                StatusCode::UNAUTHORIZED,
            ),
            ("expired", &expired, StatusCode::UNAUTHORIZED),
        ] {
            measure(
                &mut group,
                &format!("{}/{name}", algorithm.as_str()),
                service.clone(),
                &bearer(token),
                status,
            );
        }
    }
    group.finish();
}

/// An issuer with a fresh key: by any key of its size the verification takes the same time.
pub(super) fn issuer(algorithm: Algorithm) -> Issuer {
    Issuer::new(ISSUER, algorithm)
        .unwrap()
        .with_key_id("2026-01")
}

/// A token of [`TOKEN_LENGTH`], whatever its signature takes of it.
pub(super) fn token(issuer: &Issuer, expires_at: u64) -> String {
    let short = issuer.token(&claims(expires_at, "")).unwrap();
    let missing = TOKEN_LENGTH.checked_sub(short.len()).unwrap();
    let note = "x".repeat(missing * 3 / 4);
    let token = issuer.token(&claims(expires_at, &note)).unwrap();
    assert!(token.len().abs_diff(TOKEN_LENGTH) < 4, "{}", token.len());
    token
}

/// One of many such tokens.
#[cfg(feature = "cache")]
pub(super) fn numbered(issuer: &Issuer, expires_at: u64, number: usize) -> String {
    let mut claims = claims(expires_at, &"x".repeat(180));
    claims["jti"] = format!("{number:06}").into();
    issuer.token(&claims).unwrap()
}

fn claims(expires_at: u64, note: &str) -> Value {
    json!({
        "iss": ISSUER,
        "sub": "user-0017",
        "aud": AUDIENCE,
        "exp": expires_at,
        "nbf": PAST,
        "iat": PAST,
        "jti": "7f3a9c",
        "client_id": "svc",
        "scope": "read write",
        "tenant": "acme",
        "roles": ["dev", "ops"],
        "email": "a@example.com",
        "note": note,
    })
}

/// A token with the signature of another: well-formed, so that it takes the whole computation to see
/// that it is wrong.
fn forged(token: &str, other: &str) -> String {
    let (message, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    format!("{message}.{signature}")
}
