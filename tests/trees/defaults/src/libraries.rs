//! Libraries whose features are one for the whole process.

use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use tower_bearer::{RemoteKeySet, StaticTokens, jsonwebtoken::JsonWebTokenVerifier};

use crate::*;

/// The order of the group of Ed25519, little-endian (RFC 8032 §5.1).
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// RFC 8032 §5.1.7: `s + l` is no second spelling of a signature, whatever `legacy_compatibility` would let pass.
#[test]
fn a_signature_of_ed25519_has_one_spelling() {
    let issuer = Issuer::new(ISSUER, Algorithm::EdDSA).unwrap();
    let verifier = verifier::<()>(&issuer);
    for n in 0..20 {
        let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 300, "jti": n.to_string() });
        let token = issuer.token(&claims).unwrap();
        assert!(verify(&verifier, &token).is_ok());
        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut signature = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(signature).unwrap();
        let mut carry = 0;
        for (byte, l) in signature[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(l) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert_eq!(carry, 0);
        let signature = base64_simd::URL_SAFE_NO_PAD.encode_to_string(&signature);
        assert!(verify(&verifier, &format!("{message}.{signature}")).is_err());
    }
}

/// `quick_cache` has its own default lock here.
#[tokio::test]
async fn a_cache_serves_many_threads() {
    let cache = quick_cache::sync::Cache::<u32, u32>::new(10);
    cache.insert(1, 2);
    assert_eq!(cache.get(&1), Some(2));

    let issuer = issuer();
    let verifier = tower_bearer::Cached::new(verifier::<Value>(&issuer));
    let token = signed(&claims_and(r#""x":1"#));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (verifier, token) = (verifier.clone(), token.clone());
            std::thread::spawn(move || (0..100).all(|_| verify(&verifier, &token).is_ok()))
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

/// jsonwebtoken has a backend of its own here, by which the application signs.
#[test]
fn jsonwebtoken_signs_and_its_key_verifies() {
    let claims = json!({ "sub": "alice", "exp": 4_000_000_000_u64 });
    let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(&[7; 32])).unwrap();
    let verifier = JsonWebTokenVerifier::<Value>::builder(Validation::default())
        .key(DecodingKey::from_secret(&[7; 32]))
        .build()
        .unwrap();
    assert_eq!(verify(&verifier, &token).unwrap().registered().subject(), Some("alice"));
}

/// rustls has two providers here, and none installed: the ready-made client names its own.
#[tokio::test]
async fn the_https_client_names_its_provider() {
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let keys = RemoteKeySet::jwks_url("https://127.0.0.1:9/jwks").build().unwrap();
    assert!(keys.ready().await.is_err());
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[test]
fn static_tokens_are_hashed() {
    let verifier = StaticTokens::builder()
        .token("kT9vQ2mXw7Rz4bLs8HcN3pYd", Claims::new(()))
        .build()
        .unwrap();
    assert!(verify(&verifier, "kT9vQ2mXw7Rz4bLs8HcN3pYd").is_ok());
    assert!(verify(&verifier, "kT9vQ2mXw7Rz4bLs8HcN3pYe").is_err());
}
