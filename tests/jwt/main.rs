//! The JWT verifier behind the layer: lines 1 to 18 of attacks.md, by number, and what must pass.
//!
//! "→ 401" in an attack means the 401 problem with `invalid_token`, and the service not called:
//! [`Guard::refuses`] holds all of it.
#![cfg(all(feature = "testing", feature = "_crypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod algorithm;
#[cfg(feature = "jsonwebtoken")]
mod bridge;
mod cached;
mod cached_memory;
mod claims;
#[cfg(feature = "tracing")]
mod faults;
mod form;
mod issuers;
mod keys;
mod profile;

use std::{
    convert::Infallible,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use http::{Request, Response, header};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
#[cfg(feature = "jsonwebtoken")]
use tower_bearer::jsonwebtoken::JsonWebTokenVerifier;
use tower_bearer::{
    Algorithm, AuthError, BearerAuthLayer, BearerToken, Claims, JwtVerifier, JwtVerifierBuilder,
    ManualClock, NumericDate, Verification, Verifier, testing::Issuer,
};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const NOW: u64 = 1_700_000_000;

/// The algorithms of asymmetric keys.
const ASYMMETRIC: [Algorithm; 10] = [
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

const SYMMETRIC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// An issuer whose key is made once, for keys of RSA take their time.
fn issuer(algorithm: Algorithm) -> &'static Issuer {
    static ISSUERS: LazyLock<Vec<Issuer>> = LazyLock::new(|| {
        SYMMETRIC
            .iter()
            .chain(&ASYMMETRIC)
            .map(|algorithm| Issuer::new(ISSUER, *algorithm).unwrap())
            .collect()
    });
    ISSUERS
        .iter()
        .find(|issuer| issuer.algorithm() == algorithm)
        .unwrap()
}

/// The claims of a token that is good at [`NOW`].
fn good_claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "client_id": "svc",
        "jti": "1",
        "iat": NOW - 10,
        "exp": NOW + 300,
        "scope": "read write",
    })
}

/// Those claims with some changed; a null takes one out.
fn claims_with(changes: Value) -> Value {
    let mut claims = good_claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn clock() -> ManualClock {
    ManualClock::new(NumericDate::from_secs(NOW))
}

fn builder(issuer: &Issuer) -> JwtVerifierBuilder<()> {
    JwtVerifier::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer.key().unwrap())
        .clock(clock())
}

/// The verdict of a verifier, which must be there at once.
fn verify<V: Verifier>(verifier: &V, token: &str) -> Result<Claims<V::Claims>, AuthError> {
    match verifier.verify(BearerToken::parse(token)?) {
        Verification::Ready(verdict) => verdict,
        Verification::Pending(_) => panic!("a verdict by known keys is there at once"),
    }
}

/// A service behind the layer, and how often it was called.
struct Guard {
    layer: BearerAuthLayer<JwtVerifier>,
    /// The same by the keys and the validation of jsonwebtoken, where it can say the same.
    #[cfg(feature = "jsonwebtoken")]
    bridge: Option<BearerAuthLayer<JsonWebTokenVerifier>>,
    calls: Arc<AtomicUsize>,
}

impl Guard {
    fn new(verifier: JwtVerifier) -> Self {
        Self {
            layer: BearerAuthLayer::new(verifier),
            #[cfg(feature = "jsonwebtoken")]
            bridge: None,
            calls: Arc::default(),
        }
    }

    /// A guard that trusts one issuer.
    fn of(algorithm: Algorithm) -> Self {
        let guard = Self::new(builder(issuer(algorithm)).build().unwrap());
        #[cfg(feature = "jsonwebtoken")]
        let guard = Self {
            bridge: bridge::verifier(issuer(algorithm)).map(BearerAuthLayer::new),
            ..guard
        };
        guard
    }

    /// Sends the token to the verifier, and to the one by jsonwebtoken's types, which must agree.
    fn send(&self, token: &str) -> Response<String> {
        let response = self.send_to(&self.layer, token);
        #[cfg(feature = "jsonwebtoken")]
        if let Some(bridge) = &self.bridge {
            let calls = self.calls.load(Ordering::SeqCst);
            let bridged = self.send_to(bridge, token);
            self.calls.store(calls, Ordering::SeqCst);
            let reason = |response: &Response<String>| {
                let error = response.extensions().get::<AuthError>();
                error.map(AuthError::reason)
            };
            assert_eq!(bridged.status(), response.status(), "{token}");
            assert_eq!(reason(&bridged), reason(&response), "{token}");
        }
        response
    }

    fn send_to<V>(&self, layer: &BearerAuthLayer<V>, token: &str) -> Response<String>
    where
        V: Verifier<Claims = ()> + Send + Sync + 'static,
        V::Future: Send,
    {
        let calls = Arc::clone(&self.calls);
        let inner = service_fn(move |_: Request<()>| {
            calls.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, Infallible>(Response::new(http_body_util::Empty::new())) }
        });
        let request = Request::get("/elements")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(())
            .unwrap();
        let response = layer
            .layer(inner)
            .oneshot(request)
            .now_or_never()
            .expect("nothing here waits")
            .unwrap();
        let (parts, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body)
            .now_or_never()
            .unwrap()
            .unwrap()
            .to_bytes();
        Response::from_parts(parts, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Holds that the token is let in.
    #[track_caller]
    fn passes(&self, token: &str) {
        let before = self.calls.load(Ordering::SeqCst);
        let response = self.send(token);
        let reason = response
            .extensions()
            .get::<AuthError>()
            .map(AuthError::reason);
        assert_eq!(response.status(), 200, "{reason:?}: {token}");
        assert_eq!(self.calls.load(Ordering::SeqCst), before + 1);
    }

    /// Holds that the token is refused with the 401 problem, for this reason, and nothing more said.
    #[track_caller]
    fn refuses(&self, token: &str, reason: &str) {
        let found = self.refuses_somehow(token);
        assert_eq!(found, reason, "{token}");
    }

    /// As [`Self::refuses`], for whatever reason, which it gives.
    #[track_caller]
    fn refuses_somehow(&self, token: &str) -> &'static str {
        let before = self.calls.load(Ordering::SeqCst);
        let response = self.send(token);
        assert_eq!(response.status(), 401, "{token}");
        assert_eq!(
            response.headers()[header::WWW_AUTHENTICATE],
            "Bearer realm=\"api\", error=\"invalid_token\", \
             error_description=\"Invalid or expired authentication token\"",
            "{token}"
        );
        assert!(
            response.body().starts_with(
                "{\"type\":\"about:blank\",\"title\":\"Unauthorized\",\"status\":401,\
                 \"detail\":\"Invalid or expired authentication token\",\"instance\":\"/elements\","
            ),
            "{}",
            response.body()
        );
        assert_eq!(
            self.calls.load(Ordering::SeqCst),
            before,
            "the service was called with {token}"
        );
        let error = response.extensions().get::<AuthError>().unwrap();
        for shown in [format!("{error}"), format!("{error:?}")] {
            assert!(token.len() < 16 || !shown.contains(token), "{shown}");
        }
        error.reason()
    }
}
