//! attacks.md 1 to 7: algorithm and key.

use serde_json::json;
use tower_bearer::{Algorithm, Key, KeySet, reason, testing::Issuer};

use crate::{ASYMMETRIC, Guard, SYMMETRIC, builder, claims_with, good_claims, issuer};

/// RFC 7518 §3.1, RFC 8037 §3.1.
#[test]
fn every_algorithm_verifies_its_own_tokens_and_no_other_key_s() {
    for algorithm in SYMMETRIC.into_iter().chain(ASYMMETRIC) {
        let guard = Guard::of(algorithm);
        let token = issuer(algorithm).token(&good_claims()).unwrap();
        guard.passes(&token);
        let stranger = Issuer::new(crate::ISSUER, algorithm);
        let stranger = stranger.unwrap().with_key_id(issuer(algorithm).key_id());
        let forged = stranger.token(&good_claims()).unwrap();
        guard.refuses(&forged, reason::SIGNATURE_INVALID);
    }
}

/// RFC 9864 §2.2: `Ed25519` is `EdDSA` with that curve.
#[test]
fn ed25519_is_another_name_of_eddsa() {
    let issuer = issuer(Algorithm::EdDSA);
    let header = json!({ "alg": "Ed25519", "kid": issuer.key_id() });
    let token = issuer.token_with_header(&header, &good_claims()).unwrap();
    Guard::of(Algorithm::EdDSA).passes(&token);
}

#[test]
fn attack_01_no_none_in_any_spelling() {
    let es256 = issuer(Algorithm::ES256);
    let guard = Guard::of(Algorithm::ES256);
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("noNE"),
        json!("nOnE"),
        json!("none "),
        json!(" none"),
        json!(""),
        json!("es256"),
        json!("ES256 "),
        json!("HS1"),
        json!("ES256K"),
    ] {
        let header = json!({ "alg": alg, "typ": "JWT", "kid": es256.key_id() });
        let signed = es256.token_with_header(&header, &good_claims()).unwrap();
        guard.refuses(&signed, reason::ALGORITHM_NOT_ALLOWED);
        let (unsigned, _) = signed.rsplit_once('.').unwrap();
        guard.refuses(&format!("{unsigned}."), reason::TOKEN_MALFORMED);
        guard.refuses(&format!("{unsigned}.AA"), reason::ALGORITHM_NOT_ALLOWED);
    }
    for alg in [
        json!(null),
        json!([]),
        json!(["none"]),
        json!(["ES256"]),
        json!({}),
        json!(0),
        json!(true),
    ] {
        let header = json!({ "alg": alg, "typ": "JWT", "kid": es256.key_id() });
        let token = es256.token_with_header(&header, &good_claims()).unwrap();
        guard.refuses(&token, reason::HEADER_MALFORMED);
    }
    let absent = es256
        .token_with_header(&json!({ "typ": "JWT" }), &good_claims())
        .unwrap();
    guard.refuses(&absent, reason::ALGORITHM_NOT_ALLOWED);
}

/// Nothing is looked up for an algorithm that is not allowed: the reason is not that of an unknown key.
#[test]
fn attack_01_the_algorithm_comes_before_the_key() {
    let es256 = issuer(Algorithm::ES256);
    let header = json!({ "alg": "none", "kid": "no such key" });
    let token = es256.token_with_header(&header, &good_claims()).unwrap();
    Guard::of(Algorithm::ES256).refuses(&token, reason::ALGORITHM_NOT_ALLOWED);
}

#[test]
fn attack_02_a_public_key_is_no_hmac_secret() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        let issuer = issuer(algorithm);
        let guard = Guard::of(algorithm);
        let set = issuer.public_key_set();
        let jwk = serde_json::from_str::<serde_json::Value>(&set).unwrap()["keys"][0].to_string();
        for secret in [set.into_bytes(), jwk.into_bytes()] {
            let forger = Issuer::from_secret(crate::ISSUER, Algorithm::HS256, &secret).unwrap();
            let forger = forger.with_key_id(issuer.key_id());
            let token = forger.token(&good_claims()).unwrap();
            guard.refuses(&token, reason::ALGORITHM_NOT_ALLOWED);
        }
    }
}

/// In whatever form the public key lies about: PEM, DER, or the text of its JWK.
#[test]
fn attack_02_a_pem_or_der_is_no_hmac_secret() {
    for (algorithm, pem) in [
        (Algorithm::RS256, include_str!("rsa2048.pem")),
        (Algorithm::ES256, include_str!("p256.pem")),
    ] {
        let key = Key::from_pem(algorithm, pem).unwrap();
        let verifier = tower_bearer::JwtVerifier::builder()
            .any_issuer()
            .any_audience()
            .key(key)
            .clock(crate::clock());
        let guard = Guard::new(verifier.build().unwrap());
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64_simd::STANDARD.decode_to_vec(base64).unwrap();
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &der] {
            for hmac in SYMMETRIC {
                let forger = Issuer::from_secret(crate::ISSUER, hmac, secret).unwrap();
                let forged = forger.token(&good_claims()).unwrap();
                guard.refuses(&forged, reason::ALGORITHM_NOT_ALLOWED);
            }
        }
    }
}

/// The same where HS256 is allowed, for another key: the key decides on the algorithm, not the token.
#[test]
fn attack_02_not_even_beside_a_key_that_is_one() {
    let rsa = issuer(Algorithm::RS256);
    let hmac = issuer(Algorithm::HS256);
    let guard = Guard::new(builder(rsa).key(hmac.key().unwrap()).build().unwrap());
    guard.passes(&hmac.token(&good_claims()).unwrap());
    guard.passes(&rsa.token(&good_claims()).unwrap());
    let set = rsa.public_key_set();
    let forger = Issuer::from_secret(crate::ISSUER, Algorithm::HS256, set.as_bytes()).unwrap();
    let forged = forger
        .with_key_id(rsa.key_id())
        .token(&good_claims())
        .unwrap();
    guard.refuses(&forged, reason::KEY_UNKNOWN);
}

#[test]
fn attack_03_a_token_does_not_bring_its_own_key() {
    let guard = Guard::of(Algorithm::ES256);
    let ours = issuer(Algorithm::ES256);
    let forger = Issuer::new(crate::ISSUER, Algorithm::ES256).unwrap();
    let set: serde_json::Value = serde_json::from_str(&forger.public_key_set()).unwrap();
    let jwk = &set["keys"][0];
    // Somebody who would notice a connection.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    for own in [
        json!({ "jwk": jwk }),
        json!({ "jku": url }),
        json!({ "x5u": url }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "jwk": jwk, "jku": url, "x5u": url, "x5c": ["MIIB"] }),
    ] {
        for kid in [Some(ours.key_id()), None] {
            let mut header = json!({ "alg": "ES256", "typ": "JWT" });
            if let Some(kid) = kid {
                header["kid"] = kid.into();
            }
            header
                .as_object_mut()
                .unwrap()
                .extend(own.as_object().unwrap().clone());
            let forged = forger.token_with_header(&header, &good_claims()).unwrap();
            guard.refuses(&forged, reason::SIGNATURE_INVALID);
            // Signed by the configured key it is only chatty.
            let token = ours.token_with_header(&header, &good_claims()).unwrap();
            guard.passes(&token);
        }
    }
    let connection = listener.accept().map_err(|error| error.kind());
    assert_eq!(connection.unwrap_err(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn attack_04_a_kid_is_compared_and_nothing_else() {
    let issuer = issuer(Algorithm::ES256);
    let guard = Guard::of(Algorithm::ES256);
    for kid in [
        "../../dev/null".to_owned(),
        "' OR 1=1 --".to_owned(),
        "key\0".to_owned(),
        format!("{}\0", issuer.key_id()),
        format!(" {}", issuer.key_id()),
        issuer.key_id().to_uppercase() + "X",
        String::new(),
        "k".repeat(5_000),
    ] {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": kid });
        let token = issuer.token_with_header(&header, &good_claims()).unwrap();
        guard.refuses(&token, reason::KEY_UNKNOWN);
    }
    let long = json!({ "alg": "ES256", "typ": "JWT", "kid": "k".repeat(10_240) });
    let token = issuer.token_with_header(&long, &good_claims()).unwrap();
    guard.refuses_somehow(&token);
    for kid in [json!(1), json!(["a"]), json!({}), json!(true), json!(null)] {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": kid });
        let token = issuer.token_with_header(&header, &good_claims()).unwrap();
        guard.refuses(&token, reason::HEADER_MALFORMED);
    }
}

#[test]
fn attack_04_a_token_without_kid_is_tried_with_the_keys_there_are() {
    let issuer = issuer(Algorithm::ES256);
    let header = json!({ "alg": "ES256", "typ": "JWT" });
    let token = issuer.token_with_header(&header, &good_claims()).unwrap();
    Guard::of(Algorithm::ES256).passes(&token);
}

/// Changes the signature of a token.
fn with_signature(token: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let base64 = base64_simd::URL_SAFE_NO_PAD;
    let signature = change(base64.decode_to_vec(signature).unwrap());
    format!("{signed}.{}", base64.encode_to_string(signature))
}

#[test]
fn attack_05_ecdsa_signatures_have_one_form() {
    // The orders of the curves (SEC 2 §2.4.2, §2.5.1, §2.6.1).
    let orders = [
        (
            Algorithm::ES256,
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        ),
        (
            Algorithm::ES384,
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ),
        (
            Algorithm::ES512,
            "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa\
             51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        ),
    ];
    for (algorithm, order) in orders {
        let order: Vec<u8> = (0..order.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&order[at..at + 2], 16).unwrap())
            .collect();
        let half = order.len();
        let guard = Guard::of(algorithm);
        let token = issuer(algorithm).token(&good_claims()).unwrap();
        guard.passes(&token);
        type Change<'a> = &'a dyn Fn(Vec<u8>) -> Vec<u8>;
        let changes: [(&str, Change<'_>); 11] = [
            ("r = s = 0", &|s| vec![0; s.len()]),
            ("r = 0", &|s| [vec![0; half], s[half..].to_vec()].concat()),
            ("s = 0", &|s| [s[..half].to_vec(), vec![0; half]].concat()),
            ("r = n", &|s| [order.clone(), s[half..].to_vec()].concat()),
            ("s = n", &|s| [s[..half].to_vec(), order.clone()].concat()),
            ("r = s = n", &|_| [order.clone(), order.clone()].concat()),
            ("all ones", &|s| vec![0xff; s.len()]),
            ("a byte less", &|s| s[..s.len() - 1].to_vec()),
            ("a byte more", &|s| [s, vec![0]].concat()),
            ("twice", &|s| [s.clone(), s].concat()),
            ("DER", &|s| der(&s[..half], &s[half..])),
        ];
        for (name, change) in changes {
            let forged = with_signature(&token, change);
            assert_eq!(
                guard.refuses_somehow(&forged),
                reason::SIGNATURE_INVALID,
                "{algorithm}: {name}"
            );
        }
    }
}

/// A SEQUENCE of two INTEGERs.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let mut content = vec![0];
        content.extend(number.iter().skip_while(|byte| **byte == 0));
        if content.get(1).is_some_and(|byte| byte & 0x80 == 0) {
            content.remove(0);
        }
        [vec![2, u8::try_from(content.len()).unwrap()], content].concat()
    };
    let both = [integer(r), integer(s)].concat();
    let length = u8::try_from(both.len()).unwrap();
    let length = if length < 0x80 {
        vec![length]
    } else {
        vec![0x81, length]
    };
    [vec![0x30], length, both].concat()
}

#[test]
fn attack_05_rsa_and_other_signatures_have_one_length() {
    for algorithm in SYMMETRIC.into_iter().chain(ASYMMETRIC) {
        let guard = Guard::of(algorithm);
        let token = issuer(algorithm).token(&good_claims()).unwrap();
        for forged in [
            with_signature(&token, |s| s[..s.len() - 1].to_vec()),
            with_signature(&token, |s| s[1..].to_vec()),
            with_signature(&token, |s| [s, vec![0]].concat()),
            with_signature(&token, |s| [vec![0], s].concat()),
            with_signature(&token, |s| vec![0; s.len()]),
            with_signature(&token, |_| vec![0]),
            with_signature(&token, |_| vec![0xff; 1024]),
            with_signature(&token, |_| vec![0xff; 1025]),
            with_signature(&token, |_| vec![0xff; 8_000]),
        ] {
            guard.refuses(&forged, reason::SIGNATURE_INVALID);
        }
    }
}

/// A key is used with one algorithm alone, also within its family (RFC 8725 §3.1).
#[test]
fn attack_06_one_key_one_algorithm() {
    let families = [
        vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
        vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        vec![Algorithm::ES256, Algorithm::ES384, Algorithm::ES512],
    ];
    for family in families {
        for of_key in &family {
            let ours = issuer(*of_key);
            for of_token in family.iter().filter(|other| *other != of_key) {
                // A verifier that knows both algorithms, but each for a key of its own.
                let other = issuer(*of_token);
                let guard = Guard::new(builder(ours).key(other.key().unwrap()).build().unwrap());
                let header = json!({ "alg": of_token.as_str(), "kid": ours.key_id() });
                let token = ours.token_with_header(&header, &good_claims()).unwrap();
                guard.refuses(&token, reason::KEY_UNKNOWN);
            }
        }
    }
}

/// RFC 7518 §3.3.
#[test]
fn attack_06_rsa_under_2048_bits_is_refused_when_it_is_built() {
    // 1024 bits, made for this test.
    let error = Key::from_pem(Algorithm::RS256, include_str!("rsa1024.pem")).unwrap_err();
    assert!(error.to_string().contains("2048"), "{error}");
}

#[test]
fn attack_07_short_hmac_secrets_are_refused_when_they_are_built() {
    for (algorithm, needed) in [
        (Algorithm::HS256, 32),
        (Algorithm::HS384, 48),
        (Algorithm::HS512, 64),
    ] {
        for length in [0, 1, needed - 1] {
            let error = Key::hmac(algorithm, vec![7; length]).unwrap_err();
            assert!(error.to_string().contains(&needed.to_string()), "{error}");
        }
        assert!(Key::hmac(algorithm, vec![7; needed]).is_ok());
    }
    let empty = r#"{"keys":[{"kty":"oct","k":"","alg":"HS256"}]}"#;
    assert!(KeySet::from_json(empty).is_err());
}

/// RFC 8725 §2.1: a public key that is configured as a secret is a key that everybody has.
#[test]
fn attack_07_a_pem_is_no_secret() {
    let pem = include_str!("rsa1024.pem");
    let error = Key::hmac(Algorithm::HS256, pem).unwrap_err();
    assert!(error.to_string().contains("from_pem"), "{error}");
}

#[test]
fn a_good_token_s_claims_are_read() {
    let issuer = issuer(Algorithm::ES256);
    let verifier = builder(issuer).build().unwrap();
    let claims = claims_with(json!({ "aud": ["https://other.example.com", crate::AUDIENCE] }));
    let claims = crate::verify(&verifier, &issuer.token(&claims).unwrap()).unwrap();
    let registered = claims.registered();
    assert_eq!(registered.issuer(), Some(crate::ISSUER));
    assert_eq!(registered.subject(), Some("alice"));
    assert_eq!(registered.client_id(), Some("svc"));
    assert_eq!(registered.id(), Some("1"));
    assert_eq!(
        registered.audiences().collect::<Vec<_>>(),
        ["https://other.example.com", crate::AUDIENCE]
    );
    assert_eq!(
        registered.scopes().iter().collect::<Vec<_>>(),
        ["read", "write"]
    );
    assert_eq!(registered.expires_at().unwrap().as_secs(), crate::NOW + 300);
    assert_eq!(registered.issued_at().unwrap().as_secs(), crate::NOW - 10);
    assert_eq!(registered.not_before(), None);
    assert_eq!(claims.valid_until().unwrap().as_secs(), crate::NOW + 360);
}
