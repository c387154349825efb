//! The keys and the validation of jsonwebtoken, behind the layer.
//!
//! [`Guard::send`](crate::Guard) sends every token of this suite that is for the usual verifier to one
//! made of jsonwebtoken's types too, which must decide alike. Here is what only the second has.

use std::collections::HashSet;

use jsonwebtoken::{Algorithm as Listed, DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};
use tower_bearer::{
    Algorithm, Cached, NumericDate, jsonwebtoken::JsonWebTokenVerifier, reason, testing::Issuer,
};

use crate::{
    ASYMMETRIC, AUDIENCE, ISSUER, NOW, SYMMETRIC, claims_with, clock, good_claims, issuer, verify,
};

/// The name that jsonwebtoken has for an algorithm; it knows no ES512.
fn listed(algorithm: Algorithm) -> Option<Listed> {
    algorithm.as_str().parse().ok()
}

/// As a JWK, which is how the suite's issuers show their keys.
fn decoding_key(issuer: &Issuer) -> DecodingKey {
    let keys: JwkSet = serde_json::from_str(&issuer.public_key_set()).unwrap();
    DecodingKey::from_jwk(&keys.keys[0]).unwrap()
}

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(listed(algorithm).unwrap());
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation
}

/// What is to decide as `JwtVerifier` does: the same key, issuer, audience and leeway.
pub(crate) fn verifier(issuer: &Issuer) -> Option<JsonWebTokenVerifier> {
    listed(issuer.algorithm())?;
    let builder = JsonWebTokenVerifier::builder(validation(issuer.algorithm()))
        .key_with_id(issuer.key_id(), decoding_key(issuer))
        .clock(clock());
    Some(builder.build().unwrap())
}

fn es256() -> &'static Issuer {
    issuer(Algorithm::ES256)
}

/// A verifier by ES256 with a validation of which some is changed.
fn validating(change: impl FnOnce(&mut Validation)) -> JsonWebTokenVerifier {
    let mut validation = validation(Algorithm::ES256);
    change(&mut validation);
    JsonWebTokenVerifier::builder(validation)
        .key(decoding_key(es256()))
        .clock(clock())
        .build()
        .unwrap()
}

/// The reason for which claims are rejected, or that they are accepted.
#[track_caller]
fn assert_verdict(verifier: &JsonWebTokenVerifier, changes: Value, expected: Result<(), &str>) {
    // Not `Issuer::token`, which adds an `iss` where there is none.
    let token = es256()
        .token_with_header(&json!({ "alg": "ES256" }), &claims_with(changes.clone()))
        .unwrap();
    let verdict = verify(verifier, &token).map(drop);
    assert_eq!(
        verdict.as_ref().map_err(|e| e.reason()),
        expected.as_ref().map_err(|e| *e),
        "{changes}"
    );
}

#[test]
fn every_algorithm_of_jsonwebtoken_verifies() {
    let mut seen = 0;
    for algorithm in SYMMETRIC.iter().chain(&ASYMMETRIC) {
        let issuer = issuer(*algorithm);
        let Some(verifier) = verifier(issuer) else {
            assert_eq!(*algorithm, Algorithm::ES512);
            continue;
        };
        let claims = verify(&verifier, &issuer.token(&good_claims()).unwrap()).unwrap();
        assert_eq!(claims.registered().subject(), Some("alice"));
        assert!(claims.registered().scopes().contains("write"));
        assert_eq!(
            claims.valid_until(),
            Some(NumericDate::from_secs(NOW + 300 + 60))
        );
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn keys_in_pem_der_and_raw_form_are_read() {
    const RSA: &[u8] = include_bytes!("rsa2048.pem");
    const P256: &[u8] = include_bytes!("p256.pem");
    const ED25519: &[u8] = include_bytes!("ed25519.pem");
    let der = |pem: &[u8]| {
        let text = std::str::from_utf8(pem).unwrap();
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        base64_simd::STANDARD.decode_to_vec(base64).unwrap()
    };
    for (key, algorithm) in [
        (DecodingKey::from_rsa_pem(RSA).unwrap(), Listed::PS384),
        (DecodingKey::from_rsa_der(&der(RSA)), Listed::RS256),
        (DecodingKey::from_rsa_der(&der(RSA)[24..]), Listed::RS512),
        (DecodingKey::from_ec_pem(P256).unwrap(), Listed::ES256),
        (DecodingKey::from_ec_der(&der(P256)), Listed::ES256),
        (DecodingKey::from_ec_der(&der(P256)[26..]), Listed::ES256),
        (DecodingKey::from_ed_pem(ED25519).unwrap(), Listed::EdDSA),
        (DecodingKey::from_ed_der(&der(ED25519)), Listed::EdDSA),
        (DecodingKey::from_ed_der(&der(ED25519)[12..]), Listed::EdDSA),
        (DecodingKey::from_secret(&[7; 64]), Listed::HS512),
        (
            DecodingKey::from_base64_secret(&"AAAA".repeat(16)).unwrap(),
            Listed::HS384,
        ),
    ] {
        let built = JsonWebTokenVerifier::<()>::builder(Validation::new(algorithm))
            .key(key.clone())
            .build();
        assert!(built.is_ok(), "{algorithm:?} {key:?}: {:?}", built.err());
    }
}

/// BCP 225 §3.1: a key is used with exactly one algorithm.
#[test]
fn a_key_is_bound_to_one_algorithm_of_the_list() {
    use Algorithm::{PS256, RS256, RS512};
    for (list, bound) in [
        (vec![RS256], RS256),
        (vec![PS256, RS256], RS256),
        (vec![PS256, RS512], PS256),
        (vec![RS512, PS256], RS512),
    ] {
        let mut validation = validation(RS256);
        validation.algorithms = list.iter().map(|one| listed(*one).unwrap()).collect();
        // The key is that of the issuer whose tokens are to pass.
        for algorithm in [RS256, PS256, RS512] {
            let issuer = issuer(algorithm);
            let verifier = JsonWebTokenVerifier::<()>::builder(validation.clone())
                .key(decoding_key(issuer))
                .clock(clock())
                .build()
                .unwrap();
            let verdict = verify(&verifier, &issuer.token(&good_claims()).unwrap());
            assert_eq!(
                verdict.is_ok(),
                algorithm == bound,
                "{algorithm} of {list:?}"
            );
        }
    }
}

#[test]
fn claims_that_the_validation_names_must_be_there() {
    let usual = validating(|_| {});
    for claim in ["iss", "aud", "exp"] {
        assert_verdict(&usual, json!({ claim: null }), Err(reason::CLAIM_MISSING));
    }
    assert_verdict(&usual, json!({ "sub": null, "nbf": null }), Ok(()));
    assert_verdict(
        &usual,
        json!({ "iss": "https://other.example" }),
        Err(reason::ISSUER_MISMATCH),
    );
    assert_verdict(
        &usual,
        json!({ "aud": ["other"] }),
        Err(reason::AUDIENCE_MISMATCH),
    );
    assert_verdict(&usual, json!({ "aud": ["other", AUDIENCE] }), Ok(()));

    for claim in ["exp", "nbf", "aud", "iss", "sub"] {
        let strict = validating(|v| {
            v.aud = None;
            v.validate_aud = false;
            v.iss = None;
            v.set_required_spec_claims(&[claim, "made-up"]);
        });
        assert_verdict(&strict, json!({ "nbf": NOW }), Ok(()));
        let without = json!({ "nbf": if claim == "nbf" { Value::Null } else { json!(NOW) } });
        let mut without = without;
        without[claim] = Value::Null;
        assert_verdict(&strict, without, Err(reason::CLAIM_MISSING));
    }
    let lax = validating(|v| v.required_spec_claims = HashSet::new());
    assert_verdict(&lax, json!({ "exp": null }), Ok(()));
}

#[test]
fn a_subject_must_be_there_and_equal() {
    let verifier = validating(|v| v.sub = Some("alice".to_owned()));
    assert_verdict(&verifier, json!({}), Ok(()));
    assert_verdict(
        &verifier,
        json!({ "sub": "Alice" }),
        Err(reason::SUBJECT_MISMATCH),
    );
    assert_verdict(
        &verifier,
        json!({ "sub": null }),
        Err(reason::CLAIM_MISSING),
    );
}

#[test]
fn without_an_audience_of_ours_a_token_for_somebody_is_rejected() {
    let none = validating(|v| v.aud = None);
    assert_verdict(&none, json!({ "aud": null }), Ok(()));
    for aud in [json!(AUDIENCE), json!([AUDIENCE]), json!([]), json!("")] {
        assert_verdict(&none, json!({ "aud": aud }), Err(reason::AUDIENCE_MISMATCH));
    }
    let any = validating(|v| v.validate_aud = false);
    assert_verdict(&any, json!({ "aud": "somebody else" }), Ok(()));
    assert_verdict(&any, json!({ "aud": null }), Ok(()));
}

#[test]
fn an_issuer_that_is_not_named_may_be_any() {
    let any = validating(|v| v.iss = None);
    assert_verdict(&any, json!({ "iss": "https://other.example" }), Ok(()));
    assert_verdict(&any, json!({ "iss": null }), Ok(()));
}

/// RFC 7519 §4.1.4 and §4.1.5, by the validation's own numbers.
#[test]
fn times_are_held_against_leeway_and_margin() {
    for (leeway, margin, exp, passes) in [
        (60, 0, NOW - 59, true),
        (60, 0, NOW - 60, false),
        (0, 0, NOW + 1, true),
        (0, 0, NOW, false),
        (3600, 0, NOW - 3599, true),
        (3600, 0, NOW - 3600, false),
        (0, 30, NOW + 31, true),
        (0, 30, NOW + 30, false),
        (60, 30, NOW - 29, true),
        (60, 30, NOW - 30, false),
        (u64::MAX, 0, 0, true),
        (0, u64::MAX, NOW + 300, false),
    ] {
        let verifier = validating(|v| {
            v.leeway = leeway;
            v.reject_tokens_expiring_in_less_than = margin;
        });
        let expected = if passes {
            Ok(())
        } else {
            Err(reason::TOKEN_EXPIRED)
        };
        assert_verdict(&verifier, json!({ "exp": exp }), expected);
    }
    // Whether `validate_nbf` says so or not.
    for validate_nbf in [false, true] {
        let verifier = validating(|v| v.validate_nbf = validate_nbf);
        assert_verdict(&verifier, json!({ "nbf": NOW + 60 }), Ok(()));
        assert_verdict(
            &verifier,
            json!({ "nbf": NOW + 61 }),
            Err(reason::TOKEN_NOT_YET_VALID),
        );
    }
    let forever = validating(|v| v.validate_exp = false);
    assert_verdict(&forever, json!({ "exp": 1 }), Ok(()));
    assert_verdict(&forever, json!({ "exp": null }), Err(reason::CLAIM_MISSING));
    let claims = verify(&forever, &es256().token(&good_claims()).unwrap()).unwrap();
    assert_eq!(claims.valid_until(), None);
}

/// Attack 25, with a margin: a cached verdict ends in the second in which the token is rejected.
#[cfg(feature = "cache")]
#[test]
fn a_cached_verdict_ends_at_exp_plus_leeway_minus_margin() {
    let mut validation = validation(Algorithm::ES256);
    validation.reject_tokens_expiring_in_less_than = 90;
    let clock = clock();
    let verifier = JsonWebTokenVerifier::<()>::builder(validation)
        .key(decoding_key(es256()))
        .clock(clock.clone())
        .build()
        .unwrap();
    let cached = Cached::builder(verifier)
        .clock(clock.clone())
        .build()
        .unwrap();
    let token = es256().token(&good_claims()).unwrap();
    for (now, passes) in [(NOW, true), (NOW + 269, true), (NOW + 270, false)] {
        clock.set(NumericDate::from_secs(now));
        assert_eq!(verify(&cached, &token).is_ok(), passes, "{now}");
    }
}

#[test]
fn kids_choose_among_keys() {
    let [one, other] = ["one", "other"].map(|kid| {
        Issuer::new(ISSUER, Algorithm::ES256)
            .unwrap()
            .with_key_id(kid)
    });
    let verifier = JsonWebTokenVerifier::<()>::builder(validation(Algorithm::ES256))
        .key_with_id("one", decoding_key(&one))
        .key_with_id("other", decoding_key(&other))
        .clock(clock())
        .build()
        .unwrap();
    assert!(verify(&verifier, &one.token(&good_claims()).unwrap()).is_ok());
    assert!(verify(&verifier, &other.token(&good_claims()).unwrap()).is_ok());
    let swapped = one.with_key_id("other").token(&good_claims()).unwrap();
    assert_eq!(
        verify(&verifier, &swapped).unwrap_err().reason(),
        reason::SIGNATURE_INVALID
    );
    let unknown = other.with_key_id("third").token(&good_claims()).unwrap();
    assert_eq!(
        verify(&verifier, &unknown).unwrap_err().reason(),
        reason::KEY_UNKNOWN
    );
}

#[test]
fn typ_may_be_set() {
    let verifier = JsonWebTokenVerifier::<()>::builder(validation(Algorithm::ES256))
        .key(decoding_key(es256()))
        .token_types(["at+jwt"])
        .clock(clock())
        .build()
        .unwrap();
    for (typ, passes) in [
        ("at+jwt", true),
        ("JWT", false),
        ("xxxxxxxxxxxxat+jwt", false),
    ] {
        let token = es256()
            .token_with_header(&json!({ "alg": "ES256", "typ": typ }), &good_claims())
            .unwrap();
        assert_eq!(verify(&verifier, &token).is_ok(), passes, "{typ}");
    }
}

#[test]
fn a_set_up_that_can_accept_nothing_or_is_weak_is_a_config_error() {
    let secret = || DecodingKey::from_secret(&[7; 32]);
    let rsa1024 = DecodingKey::from_rsa_pem(include_bytes!("rsa1024.pem")).unwrap();
    let hs256 = || Validation::new(Listed::HS256);
    let with = |change: fn(&mut Validation)| {
        let mut validation = hs256();
        change(&mut validation);
        validation
    };
    let point = [&[4_u8][..], &[0; 64]].concat();
    for (validation, key, hint) in [
        (hs256(), None, "add one by `key`"),
        (
            with(|v| v.algorithms.clear()),
            Some(secret()),
            "`algorithms`",
        ),
        (
            with(|v| v.set_audience::<&str>(&[])),
            Some(secret()),
            "`aud`",
        ),
        (with(|v| v.set_issuer::<&str>(&[])), Some(secret()), "`iss`"),
        (with(|v| v.set_issuer(&[""])), Some(secret()), "issuer"),
        (
            Validation::new(Listed::RS256),
            Some(secret()),
            "fits none of the `algorithms`",
        ),
        (
            hs256(),
            Some(rsa1024.clone()),
            "fits none of the `algorithms`",
        ),
        (
            Validation::new(Listed::RS256),
            Some(rsa1024),
            "at least 2048",
        ),
        (
            hs256(),
            Some(DecodingKey::from_secret(b"short")),
            "at least 32",
        ),
        (hs256(), Some(DecodingKey::from_secret(b"")), "at least 32"),
        (
            Validation::new(Listed::ES256),
            Some(DecodingKey::from_ec_der(&point)),
            "ES256",
        ),
        (
            Validation::new(Listed::ES256),
            Some(DecodingKey::from_ec_der(b"no key")),
            "DER or raw form",
        ),
        (
            Validation::new(Listed::ES384),
            Some(DecodingKey::from_ec_pem(include_bytes!("p256.pem")).unwrap()),
            "fits none of the `algorithms`",
        ),
        (
            Validation::new(Listed::EdDSA),
            Some(DecodingKey::from_ed_der(&[0; 32])),
            "EdDSA",
        ),
    ] {
        let mut builder = JsonWebTokenVerifier::<()>::builder(validation);
        if let Some(key) = key {
            builder = builder.key(key);
        }
        let error = builder.build().expect_err(hint).to_string();
        assert!(error.contains(hint), "{error}");
    }
}

/// A probe of jsonwebtoken's provider would install one, which can be done once in a process.
#[test]
fn the_process_wide_provider_is_left_alone() {
    use jsonwebtoken::crypto::{CryptoProvider, KeyUtils};

    static OURS: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| unreachable!(),
        verifier_factory: |_, _| unreachable!(),
        key_utils: KeyUtils::new_unimplemented(),
    };
    let verifier = validating(|_| {});
    assert!(verify(&verifier, &es256().token(&good_claims()).unwrap()).is_ok());
    assert!(OURS.install_default().is_ok(), "somebody has installed one");
    assert!(verify(&verifier, &es256().token(&good_claims()).unwrap()).is_ok());
}

#[test]
fn debug_shows_no_key() {
    let builder = JsonWebTokenVerifier::<()>::builder(Validation::new(Listed::HS256))
        .key(DecodingKey::from_secret(&[65; 32]));
    let shown = format!("{builder:?}");
    let shown = shown + &format!("{:?}", builder.build().unwrap());
    assert!(
        !shown.contains("AAA") && !shown.contains("65, 65"),
        "{shown}"
    );
}
