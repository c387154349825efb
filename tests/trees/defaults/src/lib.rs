//! What tower-bearer does in a tree whose other crates have switched on whatever they have: the same as alone.
#![cfg(test)]

mod claims;
mod documents;
mod libraries;

use std::fmt::Debug;

use serde_json::{Value, json};
use tower_bearer::{
    Algorithm, AuthError, BearerToken, Claims, JwtVerifier, ManualClock, NumericDate, Verification, Verifier,
    testing::Issuer,
};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const NOW: u64 = 1_700_000_000;

fn issuer() -> Issuer {
    Issuer::from_secret(ISSUER, Algorithm::HS256, [7; 32]).unwrap()
}

fn verifier<C>(issuer: &Issuer) -> JwtVerifier<C> {
    JwtVerifier::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer.key().unwrap())
        .clock(ManualClock::new(NumericDate::from_secs(NOW)))
        .build()
        .unwrap()
}

/// A token of this payload, properly signed.
fn signed(payload: &str) -> String {
    let header = json!({ "alg": "HS256" }).to_string();
    issuer().sign_raw(header.as_bytes(), payload.as_bytes()).unwrap()
}

/// Good claims, with more behind them.
fn claims_and(more: &str) -> String {
    format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{},{more}}}"#, NOW + 300)
}

fn verify<V: Verifier>(verifier: &V, token: &str) -> Result<Claims<V::Claims>, AuthError>
where
    V::Claims: Debug,
{
    match verifier.verify(BearerToken::parse(token)?) {
        Verification::Ready(verdict) => verdict,
        Verification::Pending(_) => panic!("a verdict by known keys is there at once"),
    }
}

/// serde_json has these features here, or nothing of this is tested.
#[test]
fn the_features_are_on() {
    assert_eq!(serde_json::from_str::<Value>("1e999").unwrap().to_string(), "1e+999");
    assert_eq!(json!({ "b": 1, "a": 2 }).to_string(), r#"{"b":1,"a":2}"#);
    serde_json::Deserializer::from_str("1").disable_recursion_limit();
}
