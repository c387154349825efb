//! attacks.md 17 and 26 where several issuers are trusted: each has its own keys and rules, and who is
//! trusted no longer takes along what is kept of them.

use serde_json::json;
use tower_bearer::{Algorithm, JwtVerifier, Key, TrustedIssuer, reason, testing::Issuer};

use crate::{AUDIENCE, Guard, ISSUER, claims_with, clock, good_claims, issuer, verify};

const ALGORITHM: Algorithm = Algorithm::EdDSA;
const OTHER: &str = "https://login.example.com/other";

/// Another tenant: its own key, by the same name as ours.
fn other() -> Issuer {
    let other = Issuer::new(OTHER, ALGORITHM).unwrap();
    other.with_key_id(issuer(ALGORITHM).key_id())
}

fn trusted(name: &str, key: Key) -> TrustedIssuer {
    TrustedIssuer::new(name).audience(AUDIENCE).key(key)
}

fn both(other: &Issuer) -> JwtVerifier {
    JwtVerifier::builder()
        .trust(trusted(ISSUER, issuer(ALGORITHM).key().unwrap()))
        .trust(trusted(OTHER, other.key().unwrap()))
        .clock(clock())
        .build()
        .unwrap()
}

/// A token that names one issuer and is signed by another.
fn token(by: &Issuer, of: &str) -> String {
    by.token(&claims_with(json!({ "iss": of }))).unwrap()
}

#[test]
fn attack_17_a_key_of_one_issuer_verifies_no_token_of_another() {
    let (ours, other) = (issuer(ALGORITHM), other());
    let guard = Guard::new(both(&other));
    // In this order, so that each header is known from a token that verified before it is misused.
    for _ in 0..2 {
        guard.passes(&token(ours, ISSUER));
        guard.passes(&token(&other, OTHER));
        guard.refuses(&token(&other, ISSUER), reason::SIGNATURE_INVALID);
        guard.refuses(&token(ours, OTHER), reason::SIGNATURE_INVALID);
    }
    for nobody in [
        "",
        "https://login.example.com/",
        "https://login.example.com/o",
    ] {
        guard.refuses(&token(ours, nobody), reason::ISSUER_MISMATCH);
    }
    let header = json!({ "alg": "EdDSA", "kid": ours.key_id() }).to_string();
    let none = claims_with(json!({ "iss": null })).to_string();
    let none = ours.sign_raw(header.as_bytes(), none.as_bytes()).unwrap();
    guard.refuses(&none, reason::CLAIM_MISSING);
}

/// The rules of one are not those of another.
#[test]
fn each_issuer_has_rules_of_its_own() {
    let (ours, other) = (issuer(ALGORITHM), other());
    let verifier = JwtVerifier::builder()
        .trust(trusted(ISSUER, ours.key().unwrap()).access_token_profile())
        .trust(
            TrustedIssuer::new(OTHER)
                .also_named("urn:other")
                .audience("urn:api")
                .key(other.key().unwrap())
                .expiry_optional()
                .token_types(["other+jwt"]),
        )
        .clock(clock())
        .build();
    let guard = Guard::new(verifier.unwrap());
    let typed = |issuer: &Issuer, typ: &str, changes| {
        let header = json!({ "alg": "EdDSA", "typ": typ, "kid": issuer.key_id() }).to_string();
        let claims = claims_with(changes).to_string();
        issuer
            .sign_raw(header.as_bytes(), claims.as_bytes())
            .unwrap()
    };
    guard.passes(&typed(ours, "at+jwt", json!({})));
    guard.refuses(&typed(ours, "other+jwt", json!({})), reason::TYPE_MISMATCH);
    guard.refuses(
        &typed(ours, "at+jwt", json!({ "exp": null })),
        reason::CLAIM_MISSING,
    );
    guard.refuses(
        &typed(ours, "at+jwt", json!({ "aud": "urn:api" })),
        reason::AUDIENCE_MISMATCH,
    );
    for name in [OTHER, "urn:other"] {
        let theirs = json!({ "iss": name, "aud": "urn:api", "exp": null });
        guard.passes(&typed(&other, "other+jwt", theirs.clone()));
        guard.refuses(&typed(&other, "at+jwt", theirs), reason::TYPE_MISMATCH);
        let ours = json!({ "iss": name });
        guard.refuses(&typed(&other, "other+jwt", ours), reason::AUDIENCE_MISMATCH);
    }
}

/// Added, replaced and removed while it is in use, for all clones.
#[test]
fn issuers_come_and_go() {
    let (ours, other) = (issuer(ALGORITHM), other());
    let verifier = both(&other);
    let guard = Guard::new(verifier.clone());
    assert!(!verifier.distrust("https://nobody.example.com"));
    assert!(verifier.distrust(OTHER));
    assert!(!verifier.distrust(OTHER));
    guard.refuses(&token(&other, OTHER), reason::ISSUER_MISMATCH);
    guard.passes(&token(ours, ISSUER));

    verifier
        .trust(trusted(OTHER, other.key().unwrap()))
        .unwrap();
    guard.passes(&token(&other, OTHER));
    // Replaced: its former key is none any longer.
    let successor = self::other();
    verifier
        .trust(trusted(OTHER, successor.key().unwrap()))
        .unwrap();
    guard.passes(&token(&successor, OTHER));
    guard.refuses(&token(&other, OTHER), reason::SIGNATURE_INVALID);

    assert!(verifier.distrust(OTHER) && verifier.distrust(ISSUER));
    guard.refuses(&token(ours, ISSUER), reason::ISSUER_MISMATCH);
    let incomplete = TrustedIssuer::new(OTHER).key(other.key().unwrap());
    let error = verifier.trust(incomplete).unwrap_err().to_string();
    assert!(error.contains("audience"), "{error}");

    // One who takes any issuer cannot take one more.
    let any = JwtVerifier::<()>::builder()
        .any_issuer()
        .audience(AUDIENCE)
        .key(ours.key().unwrap());
    let error = any
        .build()
        .unwrap()
        .trust(trusted(OTHER, other.key().unwrap()));
    assert!(error.unwrap_err().to_string().contains("any issuer"));
}

/// Who is trusted no longer takes along what is kept of their tokens, and nothing of others.
#[cfg(feature = "cache")]
#[test]
fn attack_26_cached_tokens_of_an_issuer_that_is_trusted_no_longer() {
    use tower_bearer::Cached;

    let (ours, other) = (issuer(ALGORITHM), other());
    let verifier = both(&other);
    let cached = Cached::builder(verifier.clone())
        .clock(clock())
        .build()
        .unwrap();
    let (our_token, their_token) = (ours.token(&good_claims()).unwrap(), token(&other, OTHER));
    for _ in 0..2 {
        assert!(verify(&cached, &our_token).is_ok());
        assert!(verify(&cached, &their_token).is_ok());
    }
    assert_eq!(cached.stats().hits, 2);

    // Replaced by one with the same key, whose rules may be others: looked at anew.
    verifier
        .trust(trusted(OTHER, other.key().unwrap()))
        .unwrap();
    assert!(verify(&cached, &their_token).is_ok());
    assert_eq!(cached.stats().hits, 2);

    assert!(verifier.distrust(OTHER));
    let refused = verify(&cached, &their_token).unwrap_err();
    assert_eq!(refused.reason(), reason::ISSUER_MISMATCH);
    assert!(verify(&cached, &our_token).is_ok());
    assert_eq!(cached.stats().hits, 3);
}
