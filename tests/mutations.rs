//! Requests that nobody thought of: good ones, bent at random by a generator with a fixed seed.
//!
//! Whatever comes, nothing panics, no answer is a 5xx, the service is not called, and the refusal is one
//! that a client can read: lines 1 to 24 of attacks.md, between their rows.

#![cfg(all(feature = "testing", feature = "_crypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use serde_json::{Value, json};
use support::{Answer, Challenge, Text, members, send};
use tower_bearer::{
    Algorithm, BearerAuthLayer, JwtVerifier, ManualClock, NumericDate, StaticTokens, TokenSource,
    Verifier, testing::Issuer,
};

const NOW: u64 = 1_700_000_000;
const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";

/// SplitMix64 (Steele, Lea and Flood, 2014): the same requests in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Bytes that mean something somewhere, and any others.
    fn byte(&mut self) -> u8 {
        match self.below(3) {
            0 => *self.pick(b"\0\t\n\r \"%&'(),./:;<=>?@[\\]^`{|}~\x7f\x80\xc3\xff"),
            1 => *self.pick(b"AZaz09-_.~+/="),
            _ => self.next().to_le_bytes()[0],
        }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.byte()).collect()
    }

    /// Bends a text in one to four places.
    fn bend(&mut self, text: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut bent = text.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bent.len());
            match self.below(8) {
                0 if !bent.is_empty() => bent[at] = self.byte(),
                1 if !bent.is_empty() => bent[at] ^= 1 << self.below(8),
                2 => bent.insert(at, self.byte()),
                3 if !bent.is_empty() => drop(bent.remove(at)),
                4 => bent.truncate(at),
                // A part of it again, or of another.
                5 => {
                    let part = bent[at..].to_vec();
                    bent.extend(part);
                }
                6 => {
                    let other = self.pick(others);
                    let from = self.below(other.len());
                    bent.truncate(at);
                    bent.extend_from_slice(&other[from..]);
                }
                // Another signature, header or payload between the same dots.
                _ => {
                    let other = self.pick(others);
                    let mut parts: Vec<_> = bent.split(|byte| *byte == b'.').collect();
                    let theirs: Vec<_> = other.split(|byte| *byte == b'.').collect();
                    let at = self.below(parts.len());
                    parts[at] = *self.pick(&theirs);
                    bent = parts.join(&b'.');
                }
            }
        }
        bent
    }
}

/// By HMAC, which takes no time to sign thousands of tokens, whatever the backend.
fn issuer() -> Issuer {
    Issuer::new(ISSUER, Algorithm::HS256).unwrap()
}

fn claims(changes: &[(&str, Value)]) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 300, "scope": "read write",
    });
    for (name, value) in changes {
        claims[name] = value.clone();
    }
    claims
}

fn verifier(issuer: &Issuer) -> JwtVerifier {
    JwtVerifier::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer.key().unwrap())
        .clock(ManualClock::new(NumericDate::from_secs(NOW)))
        .build()
        .unwrap()
}

fn everywhere<V: Verifier>(verifier: V) -> BearerAuthLayer<V> {
    BearerAuthLayer::new(verifier)
        .token_source(TokenSource::header("x-auth-token").unwrap())
        .token_source(TokenSource::cookie("session").unwrap())
        .token_source(TokenSource::query("access_token").unwrap())
        .token_source(TokenSource::web_socket_protocol())
}

/// A request that was put together from what `random` chose; `None` if it cannot be one in `http` either.
fn request(random: &mut Random, token: &[u8]) -> Option<Request<Text>> {
    let mut target = b"/".to_vec();
    if random.one_in(3) {
        let bytes = random.bytes(24);
        target.extend(bytes);
    }
    let mut headers: Vec<(&str, Vec<u8>)> = Vec::new();
    for _ in 0..=usize::from(random.one_in(6)) {
        match random.below(8) {
            0 => headers.push(("x-auth-token", token.to_vec())),
            1 => headers.push(("cookie", [b"a=1; session=", token].concat())),
            2 => headers.push(("sec-websocket-protocol", [b"bearer, ", token].concat())),
            3 => {
                target.extend_from_slice(b"?access_token=");
                target.extend_from_slice(token);
            }
            _ => {
                let scheme =
                    *random.pick(&[&b"Bearer "[..], b"bearer   ", b"BEARER ", b"Bearer\t"]);
                headers.push(("authorization", [scheme, token].concat()));
            }
        }
    }
    for name in ["traceparent", "x-request-id", "origin", "cookie", "x-auth"] {
        if random.one_in(8) {
            let value = match name {
                "traceparent" => random.bend(support::TRACEPARENT.as_bytes(), &[token.to_vec()]),
                _ => random.bytes(160),
            };
            headers.push((name, value));
        }
    }
    if random.one_in(4) {
        headers.push(("content-type", b"application/grpc+proto".to_vec()));
    }
    let mut request = Request::new(Text::default());
    let methods = [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS];
    *request.method_mut() = random.pick(&methods).clone();
    *request.version_mut() = *random.pick(&[Version::HTTP_11, Version::HTTP_2]);
    *request.uri_mut() = Uri::try_from(target).ok()?;
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(&value).ok()?;
        let name = HeaderName::from_static(name);
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// That it is a refusal, and one that can be read.
#[track_caller]
fn assert_well_formed(answer: &Answer, method: &Method, of: &str) {
    let kind = answer.error.as_ref().expect(of).kind();
    let challenge = Challenge::parse(answer.challenge());
    assert_eq!(challenge.scheme, "Bearer", "{of}");
    assert_eq!(challenge.parameter("error"), kind.code(), "{of}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{of}");
    if let Some(status) = answer.header("grpc-status") {
        assert_eq!((answer.status.as_u16(), status), (200, "16"), "{of}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/grpc+proto"),
            "{of}"
        );
        assert_eq!((method, &*answer.body), (&Method::POST, ""), "{of}");
        return;
    }
    assert!(
        matches!(answer.status.as_u16(), 400 | 401),
        "{of}: {}",
        answer.status
    );
    assert_eq!(answer.status, kind.status(), "{of}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{of}"
    );
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    if *method == Method::HEAD {
        assert!(answer.body.is_empty() && length > 0, "{of}");
        return;
    }
    assert_eq!(answer.body.len(), length, "{of}");
    let members = members(&answer.body);
    let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["type", "title", "status", "detail", "instance", "traceId"];
    assert_eq!(names, expected, "{of}");
    assert_eq!(members[2].1, answer.status.as_u16(), "{of}");
    let instance = answer.member("instance");
    assert!(
        instance.starts_with('/') && instance.parse::<Uri>().is_ok(),
        "{of}: {instance}"
    );
    assert!(
        instance.bytes().all(|byte| byte.is_ascii_graphic()),
        "{of}: {instance}"
    );
    let trace_id = answer.member("traceId");
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(&byte);
    assert!(
        (1..=128).contains(&trace_id.len()) && trace_id.bytes().all(fit),
        "{of}: {trace_id}"
    );
}

/// Sends bent requests through a layer, until enough of them were requests at all.
async fn assault<V: Verifier>(
    seed: u64,
    layer: BearerAuthLayer<V>,
    good: &[Vec<u8>],
    others: &[Vec<u8>],
) {
    let mut random = Random(seed);
    let mut sent = 0;
    while sent < 4_000 {
        let token = random.pick(good);
        let bent = random.bend(token, others);
        let layer = match random.one_in(2) {
            true => layer.clone(),
            false => layer.clone().optional().remove_token(),
        };
        // What was bent back is good, and is not meant here.
        let whole = bent
            .split(|byte| b" ,;&\"%".contains(byte))
            .any(|part| good.iter().any(|good| good == part));
        let Some(request) = request(&mut random, &bent).filter(|_| !whole) else {
            continue;
        };
        sent += 1;
        let (method, of) = (request.method().clone(), format!("{request:?}"));
        let (answer, seen) = send(&layer, request).await;
        // In optional mode one that is not seen to hold a token is anonymous, and never somebody.
        if let Some(seen) = seen {
            assert_eq!(
                (seen.subject(), answer.status.as_u16()),
                (None, 200),
                "{of}"
            );
            continue;
        }
        assert_well_formed(&answer, &method, &of);
        let text = String::from_utf8_lossy(&bent);
        let told = text.len() >= 16
            && (answer.body.contains(&*text) || format!("{:?}", answer.error).contains(&*text));
        assert!(!told, "{of}: {}", answer.body);
    }
}

#[tokio::test]
async fn bent_jwts() {
    let issuer = issuer();
    let stranger = self::issuer().with_key_id(issuer.key_id());
    let token = |claims: &Value| issuer.token(claims).unwrap().into_bytes();
    let good = [
        token(&claims(&[])),
        token(&claims(&[("sub", json!("bob"))])),
    ];
    let others = [
        token(&claims(&[("exp", json!(NOW - 300))])),
        token(&claims(&[("aud", json!("https://other.example.com"))])),
        stranger.token(&claims(&[])).unwrap().into_bytes(),
        b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYWxsb3J5In0.".to_vec(),
    ];
    let layer = everywhere(verifier(&issuer));
    for good in &good {
        let token = std::str::from_utf8(good).unwrap();
        let line = format!("Bearer {token}");
        let (answer, _) = send(&layer, support::request(&[("authorization", &line)])).await;
        assert_eq!(answer.status, 200);
    }
    assault(1, layer, &good, &others).await;
    #[cfg(feature = "cache")]
    {
        // With the good ones in the cache, to be taken for them.
        let cached = tower_bearer::Cached::builder(verifier(&issuer))
            .clock(ManualClock::new(NumericDate::from_secs(NOW)))
            .build()
            .unwrap();
        let layer = everywhere(cached.clone());
        for good in &good {
            let line = format!("Bearer {}", std::str::from_utf8(good).unwrap());
            send(&layer, support::request(&[("authorization", &line)])).await;
        }
        assault(2, layer, &good, &others).await;
        assert_eq!((cached.stats().hits, cached.stats().entries), (0, 2));
    }
}

#[tokio::test]
async fn bent_api_tokens() {
    let good = [
        b"kT9vQ2mXw7Rz4bLs8HcN3pYd".to_vec(),
        b"w5JfA1sUe6GqZ0rVt9DxK2nB".to_vec(),
    ];
    let tokens = good.iter().fold(StaticTokens::builder(), |tokens, token| {
        let claims = tower_bearer::Claims::builder().subject("robot").build(());
        tokens.token(std::str::from_utf8(token).unwrap(), claims)
    });
    let others = [b"s-4Zk8WfTq1nYc7RvB".to_vec()];
    assault(3, everywhere(tokens.build().unwrap()), &good, &others).await;
}

/// Headers and payloads bent before they are signed: what the issuer's own key vouches for is still held
/// against every rule, and no such token is taken for another user's.
#[tokio::test]
async fn bent_and_signed() {
    let issuer = issuer();
    let layer = BearerAuthLayer::new(verifier(&issuer));
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": issuer.key_id() }).to_string();
    let payload = claims(&[]).to_string();
    let pieces = [
        b"\"exp\":1e999,\"exp\":-1,\"nbf\":null,\"aud\":[],\"iss\":{}".to_vec(),
        b"{\"a\":[[[[{\"b\":\"\\u0000\\ud800\"}]]]],\"crit\":[\"b64\"],\"b64\":false}".to_vec(),
        payload.clone().into_bytes(),
        header.clone().into_bytes(),
    ];
    let mut random = Random(4);
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..6_000 {
        let (mut header, mut payload) = (header.clone().into_bytes(), payload.clone().into_bytes());
        match random.one_in(3) {
            true => header = random.bend(&header, &pieces),
            false => payload = random.bend(&payload, &pieces),
        }
        let token = issuer.sign_raw(&header, &payload).unwrap();
        let line = format!("Bearer {token}");
        let (answer, seen) = send(&layer, support::request(&[("authorization", &line)])).await;
        let of = format!(
            "{} {}",
            String::from_utf8_lossy(&header),
            String::from_utf8_lossy(&payload)
        );
        let Some(seen) = seen else {
            assert_well_formed(&answer, &Method::GET, &of);
            refused += 1;
            continue;
        };
        // It was let in: then it is JSON by any other reader too, meant for us, and says so.
        let said: Value = serde_json::from_slice(&payload).expect(&of);
        let named: Value = serde_json::from_slice(&header).expect(&of);
        assert_eq!(
            (&said["iss"], &said["aud"]),
            (&json!(ISSUER), &json!(AUDIENCE)),
            "{of}"
        );
        assert!(said["exp"].as_f64().unwrap() + 60.0 > NOW as f64, "{of}");
        assert_eq!(named["alg"], "HS256", "{of}");
        assert!(
            named.get("crit").is_none() && named.get("zip").is_none(),
            "{of}"
        );
        assert_eq!(seen.subject().as_deref(), said["sub"].as_str(), "{of}");
        passed += 1;
    }
    assert!(passed > 100 && refused > 1_000, "{passed} {refused}");
}
