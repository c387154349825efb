//! attacks.md 25 and 27 with real tokens: `Cached<JwtVerifier>` refuses what `JwtVerifier` refuses.
#![cfg(feature = "cache")]

use serde_json::json;
use tower_bearer::{
    Algorithm, AuthError, BearerAuthLayer, Cached, CheckContext, NumericDate, Verifier, reason,
};

use crate::{NOW, builder, claims_with, clock, good_claims, issuer, verify};

const ALGORITHM: Algorithm = Algorithm::ES256;

/// The same second, with or without `iat`, whatever the clock does.
#[test]
fn attack_25_a_cached_token_ends_when_an_uncached_one_does() {
    let clock = clock();
    let plain = builder(issuer(ALGORITHM))
        .clock(clock.clone())
        .build()
        .unwrap();
    let cached = Cached::builder(plain.clone())
        .clock(clock.clone())
        .build()
        .unwrap();
    for iat in [json!(NOW - 10), json!(null)] {
        for exp in [json!(NOW + 30), json!(NOW as f64 + 30.25)] {
            clock.set(NumericDate::from_secs(NOW));
            let claims = claims_with(json!({ "iat": iat, "exp": exp }));
            let token = issuer(ALGORITHM).token(&claims).unwrap();
            assert!(verify(&cached, &token).is_ok());
            let hits = cached.stats().hits;
            let end = NOW + 90;
            // Forwards, over the edge, back again, and far away.
            for now in [
                NOW + 29,
                end - 1,
                end,
                end + 1,
                end - 1,
                end,
                NOW,
                end + 100_000,
                end - 1,
            ] {
                clock.set(NumericDate::from_secs(now));
                let expected = verify(&plain, &token).map_err(|error| error.reason());
                let found = verify(&cached, &token).map_err(|error| error.reason());
                assert_eq!(found.is_ok(), expected.is_ok(), "{now}");
                assert_eq!(found.err(), expected.err(), "{now}");
            }
            assert!(cached.stats().hits > hits, "it was cached at all");
        }
    }
}

/// Checks come after the cache, on every request.
#[test]
fn attack_27_a_hit_skips_no_check() {
    use futures_util::FutureExt;
    use tower::{Layer, ServiceExt, service_fn};

    let verifier = builder(issuer(ALGORITHM)).build().unwrap();
    let cached = Cached::builder(verifier).clock(clock()).build().unwrap();
    let layer =
        BearerAuthLayer::new(cached.clone()).check_fn(|cx: &CheckContext<'_, ()>| {
            match cx.request().uri.path() {
                "/open" => Ok(()),
                _ => Err(AuthError::access_denied("closed")),
            }
        });
    let service = layer.layer(service_fn(|_: http::Request<()>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(()))
    }));
    let token = issuer(ALGORITHM).token(&good_claims()).unwrap();
    for (path, status) in [
        ("/open", 200),
        ("/closed", 403),
        ("/open", 200),
        ("/closed", 403),
    ] {
        let request = http::Request::get(path)
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap();
        let response = service
            .clone()
            .oneshot(request)
            .now_or_never()
            .unwrap()
            .unwrap();
        assert_eq!(response.status(), status);
    }
    assert_eq!(cached.stats().hits, 3);
}

/// Two audiences, one issuer, one token: each verifier has its own verdicts.
#[test]
fn attack_27_a_cache_knows_one_audience() {
    let ours = Cached::builder(builder(issuer(ALGORITHM)).build().unwrap())
        .clock(clock())
        .build()
        .unwrap();
    let theirs = tower_bearer::JwtVerifier::<()>::builder()
        .issuer(crate::ISSUER)
        .audience("https://other.example.com")
        .key(issuer(ALGORITHM).key().unwrap())
        .clock(clock());
    let theirs = Cached::builder(theirs.build().unwrap())
        .clock(clock())
        .build()
        .unwrap();
    let token = issuer(ALGORITHM).token(&good_claims()).unwrap();
    for _ in 0..2 {
        assert!(verify(&ours, &token).is_ok());
        let refused = verify(&theirs, &token).unwrap_err();
        assert_eq!(refused.reason(), reason::AUDIENCE_MISMATCH);
    }
}

/// Sync all the way: `Ready` for hits and misses, also through the adapters.
#[test]
fn a_jwt_is_ready_cached_or_not() {
    let verifier = builder(issuer(ALGORITHM)).build().unwrap();
    let cached = Cached::builder(verifier)
        .clock(clock())
        .build()
        .unwrap()
        .map_claims(|()| 7)
        .shared();
    let token = issuer(ALGORITHM).token(&good_claims()).unwrap();
    for _ in 0..2 {
        assert_eq!(*verify(&cached, &token).unwrap(), 7);
        assert!(verify(&cached, "a.b.c").is_err());
    }
}
