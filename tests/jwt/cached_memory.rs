//! What a cache of JWTs takes: never more than `max_bytes`, whatever serde_json makes of the claims.
#![cfg(feature = "cache")]

use std::sync::Arc;

use allocation_counter::measure;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tower_bearer::{
    Algorithm, AuthError, BearerToken, Cached, Claims, JwtVerifier, RouteByShape, Verifier,
    verify_fn,
};

use crate::{AUDIENCE, ISSUER, claims_with, clock, issuer, verify};

const LIMIT: u64 = 2 * 1024 * 1024;

/// Fills a cache until it evicts. Returns what it takes on the heap, and how many verdicts it keeps.
fn fill<V>(verifier: V, extra: &Value) -> (u64, u64)
where
    V: Verifier,
    V::Future: Send + 'static,
{
    let token = |n: usize| {
        let claims = claims_with(json!({ "jti": n.to_string(), "extra": extra }));
        issuer(Algorithm::HS256).token(&claims).unwrap()
    };
    // What is made once is made by the first.
    verify(&verifier, &token(0)).unwrap();
    let cached = Cached::builder(verifier)
        .max_bytes(LIMIT)
        .clock(clock())
        .build()
        .unwrap();
    let mut taken = 0;
    let mut n = 0;
    while cached.stats().evictions < 20 {
        let token = token(n);
        let more = measure(|| drop(verify(&cached, &token).unwrap()));
        taken += more.bytes_current;
        n += 1;
        assert!(n < 20_000, "it is never full: {:?}", cached.stats());
    }
    let stats = cached.stats();
    assert!(stats.bytes <= LIMIT, "{stats:?}");
    (u64::try_from(taken).unwrap(), stats.entries)
}

fn jwt<C: DeserializeOwned + Send + Sync + 'static>() -> JwtVerifier<C> {
    JwtVerifier::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer(Algorithm::HS256).key().unwrap())
        .clock(clock())
        .build()
        .unwrap()
}

/// Payloads of some KB that become a hundred times as much, or nearly so.
fn heavy() -> Vec<(&'static str, Value)> {
    vec![
        ("objects", json!(vec![json!({ "": 0 }); 1_000])),
        ("arrays", json!(vec![json!([0]); 1_500])),
        ("numbers", json!(vec![0; 3_000])),
        ("texts", json!(vec!["a"; 2_000])),
        (
            "members",
            (0..700).map(|n| (format!("{n}"), json!(0))).collect(),
        ),
        ("nothing", json!(null)),
        ("one text", json!("x".repeat(8_000))),
    ]
}

#[test]
fn a_cache_of_json_values_takes_no_more_than_it_may() {
    for (name, extra) in heavy() {
        let (taken, _) = fill(jwt::<Value>(), &extra);
        assert!(taken <= LIMIT, "{name}: {taken}");
        assert!(taken >= LIMIT / 5, "{name}: {taken}");
    }
}

/// Whatever stands around the verifier, the cache hears of it.
#[test]
fn what_stands_in_between_keeps_the_weight() {
    let (_, extra) = heavy().swap_remove(0);
    let opaque =
        verify_fn(|_: BearerToken<'_>| Err::<Claims<Value>, _>(AuthError::invalid_token("opaque")));
    let (_, direct) = fill(jwt::<Value>(), &extra);
    let kept = [
        fill(jwt::<Value>().shared(), &extra),
        fill(Arc::new(jwt::<Value>()), &extra),
        fill(RouteByShape::new(jwt::<Value>(), opaque), &extra),
        fill(jwt::<Value>().map_claims(Value::clone), &extra),
        fill(
            jwt::<Value>().try_map_claims(|value: &Value| Ok(Box::new(value.clone()))),
            &extra,
        ),
    ];
    for (taken, entries) in kept {
        assert!(taken <= LIMIT, "{taken}");
        assert!(entries.abs_diff(direct) <= 1, "{entries}, not {direct}");
    }
}

/// Usual tokens are kept by the thousand.
#[test]
fn usual_tokens_count_little() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Extra {
        extra: Option<String>,
    }

    let extra = json!("x".repeat(100));
    let (taken, registered) = fill(jwt::<()>(), &extra);
    assert!(taken >= LIMIT / 2, "{taken}");
    assert!(registered > 1_000, "{registered}");
    let (_, own) = fill(jwt::<Extra>(), &extra);
    assert!(own > 400, "{own}");
}
