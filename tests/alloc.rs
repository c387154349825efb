//! What a request allocates: exact numbers, so that one more is seen.
//!
//! Counted is the thread of the test alone, and only what happens within `call` and the future of the
//! response. To count anew, read the numbers that the failing assertions print.

#![cfg(all(feature = "testing", feature = "_crypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{convert::Infallible, sync::Arc};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Empty;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, Service, service_fn};
use tower_bearer::{
    Algorithm, BearerAuthLayer, BearerToken, Claims, JwtVerifier, JwtVerifierBuilder, ManualClock,
    NumericDate, RouteByShape, TokenSource, Verifier, testing::Issuer, verify_fn,
};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const NOW: u64 = 1_700_000_000;

async fn inner(_: Request<()>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}

fn request(token: Option<&str>) -> Request<()> {
    let mut request = Request::get("/elements");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(()).unwrap()
}

/// What the second of two such requests allocates: the first makes what is made once in a thread.
#[track_caller]
fn allocations<V: Verifier>(
    layer: &BearerAuthLayer<V>,
    request: &Request<()>,
    status: StatusCode,
) -> AllocationInfo {
    let mut service = layer.layer(service_fn(inner));
    let mut count = || {
        let request = request.clone();
        let mut response = None;
        let allocations =
            measure(|| response = service.call(request).now_or_never().and_then(Result::ok));
        assert_eq!(response.expect("nothing here waits").status(), status);
        allocations
    };
    count();
    count()
}

/// What it costs to put claims into extensions that were empty, and nothing else.
fn bare_insert<C: Send + Sync + 'static>(claims: &Claims<C>) -> AllocationInfo {
    let (mut request, claims) = (Request::new(()), claims.clone());
    measure(|| {
        request.extensions_mut().insert(claims);
    })
}

/// A layer whose verifier shares one set of claims among all who come.
fn shared_claims() -> (BearerAuthLayer<impl Verifier<Claims = ()>>, Claims) {
    let claims = Claims::builder().subject("alice").build(());
    let shared = claims.clone();
    let verifier = verify_fn(move |_: BearerToken<'_>| Ok(shared.clone()));
    (BearerAuthLayer::new(verifier), claims)
}

#[test]
fn a_token_let_in_costs_the_insert_alone() {
    let (layer, claims) = shared_claims();
    let request = request(Some(&"t".repeat(800)));
    let through = allocations(&layer, &request, StatusCode::OK);
    let bare = bare_insert(&claims);
    assert_eq!(
        (through.count_total, through.bytes_total),
        (bare.count_total, bare.bytes_total),
        "the layer allocates beside the insert"
    );
    assert_eq!(bare.count_total, 3, "an insert into empty extensions");
}

/// A verdict that is there at once stays unboxed through whatever stands around the verifier.
#[test]
fn wrappers_cost_nothing() {
    fn verifier(claims: &Claims) -> impl Verifier<Claims = (), Future: Send> + Send + Sync + use<> {
        let claims = claims.clone();
        verify_fn(move |_: BearerToken<'_>| Ok(claims.clone()))
    }
    let (_, claims) = shared_claims();
    let bare = bare_insert(&claims).count_total;
    let (jwt, opaque) = ("eyJ.x.y", "t");
    let both = RouteByShape::new(verifier(&claims), verifier(&claims));
    for (name, wrapped, token) in [
        ("shared", verifier(&claims).shared(), opaque),
        ("twice", verifier(&claims).shared().shared(), opaque),
        ("arc", Arc::new(verifier(&claims)).shared(), opaque),
        ("route", both.shared(), jwt),
        (
            "route",
            RouteByShape::new(verifier(&claims), verifier(&claims)).shared(),
            opaque,
        ),
    ] {
        let layer = BearerAuthLayer::new(wrapped);
        let through = allocations(&layer, &request(Some(token)), StatusCode::OK);
        assert_eq!(through.count_total, bare, "{name}");
    }
    // Claims of another type are new ones, with a copy of the texts, for others hold these too.
    let mapped = BearerAuthLayer::new(verifier(&claims).map_claims(|()| 7_u8));
    let through = allocations(&mapped, &request(Some("t")), StatusCode::OK);
    assert_eq!(through.count_total, bare + 2, "mapped");
    #[cfg(feature = "cache")]
    {
        let cached = tower_bearer::Cached::new(verifier(&claims)).shared();
        let layer = BearerAuthLayer::new(cached);
        let through = allocations(&layer, &request(Some("t")), StatusCode::OK);
        assert_eq!(through.count_total, bare, "cached");
    }
}

#[test]
fn a_token_in_the_query_costs_no_more_unless_it_is_escaped() {
    let (layer, claims) = shared_claims();
    let layer = layer.token_source(TokenSource::query("access_token").unwrap());
    let bare = bare_insert(&claims).count_total;
    for (query, beside, why) in [
        ("access_token=abcdef", 2, "`Cache-Control: private`"),
        ("access_token=abc%64ef", 4, "that, and the decoded token"),
    ] {
        let request = Request::get(format!("/elements?{query}")).body(()).unwrap();
        let through = allocations(&layer, &request, StatusCode::OK).count_total;
        assert_eq!(through - bare, beside, "{why}");
    }
}

#[test]
fn a_token_taken_out_of_the_header_costs_no_more() {
    let (layer, claims) = shared_claims();
    let layer = layer.remove_token();
    let through = allocations(&layer, &request(Some("t")), StatusCode::OK);
    assert_eq!(through.count_total, bare_insert(&claims).count_total);
}

#[test]
fn a_refusal_costs_six() {
    let layer = BearerAuthLayer::new(builder::<()>(&issuer()).build().unwrap());
    for (name, token, count) in [
        ("missing", None, 6),
        ("no base64url", Some("x.y.z".to_owned()), 6),
        ("opaque", Some("t".repeat(800)), 6),
        ("no b64token", Some("not a token".to_owned()), 6),
    ] {
        let refusal = allocations(&layer, &request(token.as_deref()), StatusCode::UNAUTHORIZED);
        assert_eq!(refusal.count_total, count, "{name}");
    }
}

/// The user's part of the claims: six allocations, three of them for the list.
#[derive(Deserialize)]
#[allow(dead_code, reason = "they are read from the token, and that is all")]
struct Profile {
    tenant: String,
    roles: Vec<String>,
    email: String,
    note: String,
}

fn issuer() -> Issuer {
    Issuer::new(ISSUER, Algorithm::ES256).unwrap()
}

fn builder<C>(issuer: &Issuer) -> JwtVerifierBuilder<C> {
    JwtVerifier::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer.key().unwrap())
        .clock(ManualClock::new(NumericDate::from_secs(NOW)))
}

fn claims(expires_at: u64) -> Value {
    json!({
        "iss": ISSUER,
        "sub": "user-0017",
        "aud": AUDIENCE,
        "exp": expires_at,
        "nbf": NOW,
        "iat": NOW,
        "jti": "7f3a9c",
        "client_id": "svc",
        "scope": "read write",
        "tenant": "acme",
        "roles": ["dev", "ops"],
        "email": "a@example.com",
        "note": "x".repeat(190),
    })
}

#[test]
fn a_jwt_first_seen() {
    let issuer = issuer();
    let token = issuer.token(&claims(NOW + 300)).unwrap();
    assert!((750..850).contains(&token.len()), "{}", token.len());
    let request = request(Some(&token));

    let registered = BearerAuthLayer::new(builder::<()>(&issuer).build().unwrap());
    let registered = allocations(&registered, &request, StatusCode::OK);
    // The texts, the claims; and the insert into empty extensions.
    assert_eq!(registered.count_total, 2 + 3, "registered claims alone");

    let typed = BearerAuthLayer::new(builder::<Profile>(&issuer).build().unwrap());
    let typed = allocations(&typed, &request, StatusCode::OK);
    assert_eq!(typed.count_total, 5 + 6, "with claims of the user's own");
}

/// A hit costs the insert alone, whatever the claims hold.
#[cfg(feature = "cache")]
#[test]
fn a_jwt_seen_before() {
    let issuer = issuer();
    let token = issuer.token(&claims(NOW + 300)).unwrap();
    let clock = ManualClock::new(NumericDate::from_secs(NOW));
    let cached = tower_bearer::Cached::builder(builder::<Profile>(&issuer).build().unwrap())
        .clock(clock)
        .build()
        .unwrap();
    let layer = BearerAuthLayer::new(cached.clone());
    let hit = allocations(&layer, &request(Some(&token)), StatusCode::OK);
    assert_eq!(cached.stats().hits, 1);
    assert_eq!(hit.count_total, 3);
}

#[test]
fn a_jwt_refused() {
    let issuer = issuer();
    let layer = BearerAuthLayer::new(builder::<Profile>(&issuer).build().unwrap());
    let valid = issuer.token(&claims(NOW + 300)).unwrap();
    let expired = issuer.token(&claims(NOW - 300)).unwrap();
    let (message, _) = valid.rsplit_once('.').unwrap();
    let (_, signature) = expired.rsplit_once('.').unwrap();
    let forged = format!("{message}.{signature}");
    let no_header = "Zm9v.Zm9v.Zm9v".to_owned();
    // That it is not read to its end comes on top of what other refusals cost.
    for (name, token, count) in [
        ("expired", expired, 7),
        ("forged", forged, 6),
        ("no header", no_header, 6),
    ] {
        let refusal = allocations(&layer, &request(Some(&token)), StatusCode::UNAUTHORIZED);
        assert_eq!(refusal.count_total, count, "{name}");
    }
}

#[test]
fn a_huge_token_is_refused_in_the_space_of_a_small_one() {
    let query = TokenSource::query("access_token").unwrap();
    let layer = BearerAuthLayer::new(builder::<()>(&issuer()).build().unwrap()).token_source(query);
    let small = allocations(&layer, &request(Some("x.y.z")), StatusCode::UNAUTHORIZED);
    for (name, token) in [
        ("a million dots", ".".repeat(1_000_000)),
        ("1 MiB", "a".repeat(1024 * 1024)),
        (
            "dots as many as are looked at",
            ".".repeat(BearerToken::MAX_LENGTH),
        ),
    ] {
        let huge = allocations(&layer, &request(Some(&token)), StatusCode::UNAUTHORIZED);
        assert_eq!(huge, small, "{name}");
    }
}
