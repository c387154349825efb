//! Signing keys: written and read, and those that are elsewhere.

use std::time::Duration;

use serde_json::{Value, json};
use tower_bearer::{
    Algorithm, BoxFuture, StoreError,
    token_service::{IssueErrorKind, Signer, SigningKey},
};

use crate::lab::Lab;

const P256: &str = include_str!("../support/keys/p256.pem");
const P384: &str = include_str!("../support/keys/p384.pem");
const P521: &str = include_str!("../support/keys/p521.pem");
const ED25519: &str = include_str!("../support/keys/ed25519.pem");
const RSA: &str = include_str!("../support/keys/rsa.pem");

const ALL: [(Algorithm, &str); 6] = [
    (Algorithm::ES256, P256),
    (Algorithm::ES384, P384),
    (Algorithm::ES512, P521),
    (Algorithm::EdDSA, ED25519),
    (Algorithm::RS256, RSA),
    (Algorithm::PS512, RSA),
];

fn jwk(algorithm: Algorithm, pem: &str) -> Value {
    let key = SigningKey::from_pem(algorithm, pem).unwrap();
    serde_json::from_str(key.to_jwk().unwrap().expose()).unwrap()
}

/// The files are of OpenSSL: what is written anew is byte for byte what it wrote.
#[test]
fn a_key_is_written_in_pem_as_openssl_writes_it() {
    for (algorithm, pem) in ALL {
        let key = SigningKey::from_pem(algorithm, pem).unwrap();
        assert_eq!(key.to_pem().unwrap().expose(), pem, "{algorithm}");
    }
}

#[test]
fn a_key_survives_a_jwk_with_its_algorithm_and_id() {
    for (algorithm, pem) in ALL {
        let key = SigningKey::from_pem(algorithm, pem).unwrap();
        let thumbprint = key.key_id().to_owned();
        for id in [&*thumbprint, "key \"1\""] {
            let key = SigningKey::from_pem(algorithm, pem).unwrap();
            let written = key.with_key_id(id).to_jwk().unwrap();
            let read = SigningKey::from_jwk(written.expose()).unwrap();
            assert_eq!((read.algorithm(), read.key_id()), (algorithm, id));
            assert_eq!(read.to_pem().unwrap().expose(), pem);
            assert_eq!(read.to_jwk().unwrap().expose(), written.expose());
        }
        let mut without = jwk(algorithm, pem);
        without.as_object_mut().unwrap().remove("kid");
        let read = SigningKey::from_jwk(&without.to_string()).unwrap();
        assert_eq!(read.key_id(), thumbprint);
    }
}

/// RFC 8037 §A.1 and §A.3, and RFC 7517 §A.2.
#[test]
fn keys_of_the_standards_are_read() {
    let ed25519 = r#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let key = SigningKey::from_jwk(ed25519).unwrap();
    assert_eq!(key.key_id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let p256 = r#"{"kty":"EC","crv":"P-256",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
        "use":"sig","kid":"1"}"#;
    assert_eq!(SigningKey::from_jwk(p256).unwrap().key_id(), "1");
}

#[test]
fn a_jwk_that_cannot_sign_says_why_and_shows_no_private_member() {
    let (rsa, p256, ed25519) = (
        jwk(Algorithm::RS256, RSA),
        jwk(Algorithm::ES256, P256),
        jwk(Algorithm::EdDSA, ED25519),
    );
    let other = SigningKey::generate(Algorithm::ES256).unwrap();
    let other: Value = serde_json::from_str(other.to_jwk().unwrap().expose()).unwrap();
    for (base, member, value, said) in [
        (&p256, "d", Value::Null, "no `d`"),
        (&p256, "d", json!("AQ"), "RFC 7518 §6.2.2.1"),
        (&p256, "d", json!(7), "`d` is not a string"),
        (&p256, "d", json!("%"), "base64url"),
        (&p256, "d", other["d"].clone(), "do not belong together"),
        (&p256, "x", Value::Null, "no `x`"),
        (&p256, "crv", json!("secp256k1"), "secp256k1"),
        (&p256, "alg", json!("ES384"), "ES384"),
        (&p256, "alg", json!("ES256K"), "ES256K"),
        (&p256, "use", json!("enc"), "`use`"),
        (&p256, "key_ops", json!(["verify"]), "without \"sign\""),
        (&p256, "kty", json!("oct"), "a secret"),
        (&p256, "kty", Value::Null, "no `kty`"),
        (&rsa, "alg", Value::Null, "\"alg\": \"RS256\""),
        (&rsa, "alg", json!("ES256"), "ES256"),
        (&rsa, "p", Value::Null, "no `p`"),
        (&rsa, "q", rsa["p"].clone(), "do not belong together"),
        (&rsa, "dp", rsa["dq"].clone(), "do not belong together"),
        (&rsa, "oth", json!([{}]), "more than two primes"),
        (&ed25519, "d", json!("AQ"), "32 bytes"),
        (&ed25519, "x", other["x"].clone(), "do not belong together"),
        (&ed25519, "crv", json!("Ed448"), "Ed448"),
    ] {
        let mut jwk = base.clone();
        jwk[member] = value;
        let error = SigningKey::from_jwk(&jwk.to_string())
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{member}: {error}");
        let secret = base["d"].as_str().unwrap();
        assert!(!error.contains(&secret[..8]), "{error}");
    }
    for (text, said) in [
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        (P256, "not a JSON object"),
        (r#"{"keys":[]}"#, "no `kty`"),
        (r#"{"kty":"EC","kty":"EC"}"#, "twice"),
    ] {
        let error = SigningKey::from_jwk(text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn nothing_that_debug_shows_is_secret() {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let (pem, jwk) = (key.to_pem().unwrap(), key.to_jwk().unwrap());
    let shown = format!("{key:?} {pem:?} {jwk:?}");
    let jwk: Value = serde_json::from_str(jwk.expose()).unwrap();
    assert!(!shown.contains(jwk["d"].as_str().unwrap()));
    assert!(
        !shown.contains("BEGIN") && !shown.contains("MIG"),
        "{shown}"
    );
}

/// A key management service that cannot be reached.
struct Down;

impl Signer for Down {
    fn sign(&self, _: &[u8]) -> BoxFuture<Result<Vec<u8>, StoreError>> {
        Box::pin(async { Err(StoreError::new("connection refused")) })
    }
}

#[tokio::test]
async fn where_nobody_signs_the_answer_is_503_and_the_refresh_token_is_good_as_before() {
    let lab = Lab::new();
    let refresh_token = lab.refresh_token().await;
    let public = SigningKey::generate(Algorithm::ES256)
        .unwrap()
        .to_jwk()
        .unwrap();
    let mut public: Value = serde_json::from_str(public.expose()).unwrap();
    public.as_object_mut().unwrap().remove("d");
    let down = SigningKey::from_signer(Algorithm::ES256, public.to_string(), Down).unwrap();
    let id = down.key_id().to_owned();
    lab.keys.rotate(down, Duration::ZERO).unwrap();

    let answer = lab.refresh(&refresh_token).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.body.contains("refused"), "{}", answer.body);
    let error = lab.server.issue("svc", "user", None).await.unwrap_err();
    assert_eq!(error.kind(), IssueErrorKind::Unavailable);
    // Its public key is published like any other.
    assert!(
        lab.keys
            .public_key_set()
            .contains(public["x"].as_str().unwrap())
    );

    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    lab.keys.rotate(key, Duration::ZERO).unwrap();
    lab.keys.withdraw(&id).unwrap();
    assert_eq!(lab.refresh(&refresh_token).await.status, 200);
}
