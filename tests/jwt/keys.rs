//! Keys and configuration: what can be built, what cannot, and which key is tried for which token.

use serde_json::{Value, json};
use tower_bearer::{
    Algorithm, JwtVerifier, JwtVerifierBuilder, Key, KeySet, TrustedIssuer, reason, testing::Issuer,
};

use crate::{AUDIENCE, Guard, ISSUER, builder, clock, good_claims, issuer};

fn jwk(issuer: &Issuer) -> Value {
    let set: Value = serde_json::from_str(&issuer.public_key_set()).unwrap();
    set["keys"][0].clone()
}

fn set_of(keys: &[Value]) -> KeySet {
    KeySet::from_json(&json!({ "keys": keys }).to_string()).unwrap()
}

fn empty_builder() -> JwtVerifierBuilder<()> {
    JwtVerifier::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .clock(clock())
}

#[test]
fn keys_are_read_from_pem() {
    for (algorithm, pem) in [
        (Algorithm::RS256, include_str!("rsa2048.pem")),
        (Algorithm::PS512, include_str!("rsa2048.pem")),
        (Algorithm::ES256, include_str!("p256.pem")),
        (Algorithm::EdDSA, include_str!("ed25519.pem")),
    ] {
        let key = Key::from_pem(algorithm, pem).unwrap();
        assert_eq!(key.algorithms().collect::<Vec<_>>(), [algorithm]);
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64_simd::STANDARD.decode_to_vec(base64).unwrap();
        Key::from_der(algorithm, &der).unwrap();
        for wrong in [Algorithm::HS256, Algorithm::ES384, Algorithm::ES512] {
            let error = Key::from_pem(wrong, pem).unwrap_err();
            assert!(!error.to_string().is_empty());
        }
    }
    for text in [
        "",
        "hello",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        assert!(Key::from_pem(Algorithm::ES256, text).is_err(), "{text}");
        assert!(
            Key::from_der(Algorithm::ES256, text.as_bytes()).is_err(),
            "{text}"
        );
    }
}

#[test]
fn what_is_missing_or_contradicts_itself_is_said_when_it_is_built() {
    let key = || issuer(Algorithm::ES256).key().unwrap();
    let bare = || JwtVerifier::<()>::builder();
    let leeway = std::time::Duration::from_secs(301);
    for (builder, mend) in [
        (bare().issuer("i").audience("a"), "`key`"),
        (bare().audience("a").key(key()), "`any_issuer`"),
        (bare().issuer("i").key(key()), "`any_audience`"),
        (
            bare().issuer("").audience("a").key(key()),
            "issuer is empty",
        ),
        (
            bare().issuer("i").audience("").key(key()),
            "audience is empty",
        ),
        (
            bare().issuer("i").any_issuer().audience("a").key(key()),
            "leave one out",
        ),
        (
            bare().issuer("i").any_audience().audience("a").key(key()),
            "leave one out",
        ),
        (
            bare().issuer("i").audience("a").key(key()).leeway(leeway),
            "300 seconds",
        ),
        (
            bare()
                .issuer("i")
                .audience("a")
                .key(key())
                .algorithms([Algorithm::RS256]),
            "`algorithms`",
        ),
        (
            bare().issuer("i").audience("a").key(key()).algorithms([]),
            "`algorithms`",
        ),
        (
            bare()
                .issuer("i")
                .audience("a")
                .key(key())
                .access_token_profile()
                .token_types(["JWT"]),
            "`token_types`",
        ),
    ] {
        let message = builder.build().unwrap_err().to_string();
        assert!(message.contains(mend), "{message}");
    }
}

/// RFC 7517 §4.4, RFC 8725 §3.1: a JWK is used with one algorithm, also if it names none and
/// several are listed.
#[test]
fn a_jwk_without_alg_is_bound_to_one_algorithm() {
    use Algorithm::{ES256, PS256, PS512, RS256, RS512};
    // One key, by whatever algorithm a token is signed.
    let signers = [RS256, RS512, PS256, PS512].map(|algorithm| {
        let pem = include_str!("../support/keys/rsa.pem");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64_simd::STANDARD.decode_to_vec(base64).unwrap();
        let signer = Issuer::from_pkcs8_der(ISSUER, algorithm, der).unwrap();
        signer.with_key_id("rsa")
    });
    let mut key = jwk(&signers[0]);
    key.as_object_mut().unwrap().remove("alg");
    let build = |key: &Value, list: Option<&[Algorithm]>, as_set: bool| {
        let mut verifier = match as_set {
            true => empty_builder().key_set(set_of(std::slice::from_ref(key))),
            false => empty_builder().key(Key::from_jwk(&key.to_string()).unwrap()),
        };
        if let Some(list) = list {
            verifier = verifier.algorithms(list.iter().copied());
        }
        verifier.build()
    };
    for (alg, list, bound) in [
        (Value::Null, None, RS256),
        (Value::Null, Some(&[RS256, PS256][..]), RS256),
        (Value::Null, Some(&[PS256, RS256]), RS256),
        (Value::Null, Some(&[ES256, PS512, RS512]), PS512),
        (Value::Null, Some(&[RS512, PS512]), RS512),
        (json!("PS256"), None, PS256),
        (json!("PS256"), Some(&[RS256, PS256]), PS256),
    ] {
        key["alg"] = alg;
        for as_set in [false, true] {
            let guard = Guard::new(build(&key, list, as_set).unwrap());
            for signer in &signers {
                let named = signer.token(&good_claims()).unwrap();
                let header = json!({ "alg": signer.algorithm().as_str() });
                let unnamed = signer.token_with_header(&header, &good_claims()).unwrap();
                // Twice, because headers that were seen are known.
                for token in [&named, &unnamed, &named, &unnamed] {
                    match signer.algorithm() {
                        algorithm if algorithm == bound => guard.passes(token),
                        _ => guard.refuses(token, reason::ALGORITHM_NOT_ALLOWED),
                    }
                }
            }
        }
    }
    for (alg, list) in [
        (Value::Null, &[ES256][..]),
        (json!("PS256"), &[RS256, RS512]),
        (json!("PS256"), &[]),
    ] {
        key["alg"] = alg;
        for as_set in [false, true] {
            let message = build(&key, Some(list), as_set).unwrap_err().to_string();
            assert!(message.contains("`algorithms`"), "{message}");
        }
    }
}

/// Attack 48: `iss` and `aud` are compared to the letter, so that no token has such a name.
#[test]
fn attack_48_names_that_no_token_has_are_refused_when_it_is_built() {
    let key = || issuer(Algorithm::ES256).key().unwrap();
    let verifier = empty_builder().key(key()).build().unwrap();
    for name in [
        "https://a.example\n",
        "https://a.example\r\n",
        "\u{feff}https://a.example",
        " https://a.example",
        "https://a.example ",
        "\"https://a.example\"",
        "'https://a.example'",
        "https://a.example\0",
        "",
        " ",
    ] {
        let bare = || JwtVerifier::<()>::builder().key(key());
        let trusted =
            |issuer: &str, audience: &str| TrustedIssuer::new(issuer).audience(audience).key(key());
        for (what, error) in [
            (
                "issuer",
                bare().issuer(name).audience("a").build().unwrap_err(),
            ),
            (
                "issuer",
                bare()
                    .issuer("i")
                    .issuer(name)
                    .audience("a")
                    .build()
                    .unwrap_err(),
            ),
            (
                "audience",
                bare().issuer("i").audience(name).build().unwrap_err(),
            ),
            (
                "audience",
                bare()
                    .issuer("i")
                    .audience("a")
                    .audience(name)
                    .build()
                    .unwrap_err(),
            ),
            (
                "issuer",
                JwtVerifier::<()>::builder()
                    .trust(trusted(name, "a"))
                    .build()
                    .unwrap_err(),
            ),
            (
                "audience",
                JwtVerifier::<()>::builder()
                    .trust(trusted("i", name))
                    .build()
                    .unwrap_err(),
            ),
            ("issuer", verifier.trust(trusted(name, "a")).unwrap_err()),
            (
                "issuer",
                verifier
                    .trust(trusted("i", "a").also_named(name))
                    .unwrap_err(),
            ),
            ("audience", verifier.trust(trusted("i", name)).unwrap_err()),
        ] {
            let message = error.to_string();
            assert!(
                message.starts_with(&format!("the {what} ")),
                "{name:?}: {message}"
            );
            assert!(
                !message.contains(['\n', '\r', '\0', '\u{feff}']),
                "{message:?}"
            );
        }
    }
    // What was refused has changed nothing.
    Guard::new(verifier).passes(&issuer(Algorithm::ES256).token(&good_claims()).unwrap());
}

/// RFC 7517 §5: one odd key does not lose the set.
#[test]
fn what_is_odd_in_a_set_is_skipped_and_said() {
    let good = jwk(issuer(Algorithm::ES256));
    let with = |changes: Value| {
        let mut key = good.clone();
        key.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        key
    };
    let odd = [
        json!({ "kty": "FOO", "kid": "future", "bar": 1 }),
        json!({ "kid": "no kty" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": good["x"], "y": good["y"] }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": good["x"], "y": good["x"] }),
        with(json!({ "use": "enc" })),
        with(json!({ "key_ops": ["deriveKey"] })),
        with(json!({ "alg": "ECDH-ES" })),
        with(json!({ "alg": "ES384" })),
        with(json!({ "alg": "RS256" })),
        with(json!({ "d": "AAAA" })),
        with(json!({ "kid": 7 })),
        with(json!({ "x": format!("{}=", good["x"].as_str().unwrap()) })),
        json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "RS256" }),
        json!("not an object"),
    ];
    let mut keys = odd.to_vec();
    keys.insert(3, good.clone());
    let set = set_of(&keys);
    assert_eq!(set.keys().len(), 1, "{:?}", set.keys());
    assert_eq!(set.skipped().len(), odd.len(), "{:?}", set.skipped());
    let token = issuer(Algorithm::ES256).token(&good_claims()).unwrap();
    Guard::new(empty_builder().key_set(set).build().unwrap()).passes(&token);

    for key in &odd {
        assert!(Key::from_jwk(&key.to_string()).is_err(), "{key}");
        assert!(
            KeySet::from_json(&json!({ "keys": [key] }).to_string()).is_err(),
            "{key}"
        );
    }
    for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}", "<html>"] {
        assert!(KeySet::from_json(text).is_err(), "{text}");
    }
    // RFC 7517 §4.2, §4.3: these two are fine.
    let fine = with(json!({ "use": "sig", "key_ops": ["sign", "verify"], "unheard-of": [1] }));
    assert!(Key::from_jwk(&fine.to_string()).is_ok());
}

#[test]
fn the_list_of_algorithms_narrows_a_set() {
    let keys = [jwk(issuer(Algorithm::ES256)), jwk(issuer(Algorithm::EdDSA))];
    let verifier = empty_builder()
        .key_set(set_of(&keys))
        .algorithms([Algorithm::EdDSA]);
    let guard = Guard::new(verifier.build().unwrap());
    guard.passes(&issuer(Algorithm::EdDSA).token(&good_claims()).unwrap());
    let other = issuer(Algorithm::ES256).token(&good_claims()).unwrap();
    guard.refuses(&other, reason::ALGORITHM_NOT_ALLOWED);
    let none = empty_builder()
        .key_set(set_of(&keys))
        .algorithms([Algorithm::RS256]);
    assert!(none.build().is_err());
}

/// A kid chooses among keys; where it is missing on either side, all that fit are tried, four at most.
#[test]
fn which_key_is_tried_for_which_token() {
    const ALGORITHM: Algorithm = Algorithm::EdDSA;
    let issuers: Vec<Issuer> = (0..6)
        .map(|n| {
            Issuer::new(ISSUER, ALGORITHM)
                .unwrap()
                .with_key_id(format!("k{n}"))
        })
        .collect();
    let anonymous = json!({ "alg": "EdDSA" });
    let with_ids = |count: usize| {
        let keys: Vec<Value> = issuers.iter().take(count).map(jwk).collect();
        Guard::new(empty_builder().key_set(set_of(&keys)).build().unwrap())
    };
    let without_ids = |count: usize| {
        let keys: Vec<Value> = issuers
            .iter()
            .take(count)
            .map(|issuer| {
                let mut key = jwk(issuer);
                key.as_object_mut().unwrap().remove("kid");
                key
            })
            .collect();
        Guard::new(empty_builder().key_set(set_of(&keys)).build().unwrap())
    };
    for (n, issuer) in issuers.iter().enumerate() {
        let named = issuer.token(&good_claims()).unwrap();
        let unnamed = issuer
            .token_with_header(&anonymous, &good_claims())
            .unwrap();
        with_ids(6).passes(&named);
        if n < 4 {
            with_ids(6).passes(&unnamed);
            without_ids(6).passes(&named);
            without_ids(6).passes(&unnamed);
        } else {
            with_ids(6).refuses(&unnamed, reason::SIGNATURE_INVALID);
            without_ids(6).refuses(&named, reason::SIGNATURE_INVALID);
        }
    }
    // Two keys with one id, as while one is being replaced: either will do.
    let twins = [jwk(&issuers[0]), {
        let mut twin = jwk(&issuers[1]);
        twin["kid"] = "k0".into();
        twin
    }];
    let guard = Guard::new(empty_builder().key_set(set_of(&twins)).build().unwrap());
    guard.passes(&issuers[0].token(&good_claims()).unwrap());
    let header = json!({ "alg": "EdDSA", "kid": "k0" });
    guard.passes(
        &issuers[1]
            .token_with_header(&header, &good_claims())
            .unwrap(),
    );
    guard.refuses(
        &issuers[1].token(&good_claims()).unwrap(),
        reason::KEY_UNKNOWN,
    );
}

/// Neither a key nor a secret, whoever prints them.
#[test]
fn nothing_prints_a_key() {
    let secret = "0123456789abcdefghijklmnopqrstuv";
    let encoded = base64_simd::URL_SAFE_NO_PAD.encode_to_string(secret);
    let key = Key::hmac(Algorithm::HS256, secret)
        .unwrap()
        .with_key_id("k");
    let issuer = Issuer::from_secret(ISSUER, Algorithm::HS256, secret.as_bytes()).unwrap();
    let verifier = builder(&issuer).key(key.clone());
    let of_builder = format!("{verifier:?}");
    let shown = format!(
        "{key:?} {issuer:?} {of_builder} {:?}",
        verifier.build().unwrap()
    );
    assert!(
        !shown.contains(secret) && !shown.contains(&encoded),
        "{shown}"
    );
    assert!(!shown.contains("48, 49, 50"), "{shown}");
    assert!(
        shown.contains("HS256") && shown.contains("\"k\""),
        "{shown}"
    );
}
