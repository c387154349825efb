//! attacks.md 18: `typ`, and the access token profile of RFC 9068.

use serde_json::{Value, json};
use tower_bearer::{Algorithm, JwtVerifier, JwtVerifierBuilder, reason};

use crate::{AUDIENCE, Guard, NOW, builder, claims_with, clock, good_claims, issuer};

const ALGORITHM: Algorithm = Algorithm::ES256;

fn strict() -> Guard {
    let verifier = builder(issuer(ALGORITHM)).access_token_profile().build();
    Guard::new(verifier.unwrap())
}

fn token(typ: Value, claims: &Value) -> String {
    let issuer = issuer(ALGORITHM);
    let mut header = json!({ "alg": "ES256", "kid": issuer.key_id() });
    if !typ.is_null() {
        header["typ"] = typ;
    }
    issuer.token_with_header(&header, claims).unwrap()
}

/// RFC 7515 §4.1.9, RFC 9068 §4.
#[test]
fn typ_is_compared_in_any_case_and_with_application_or_without() {
    for (typ, usual, profile) in [
        (json!(null), true, false),
        (json!("JWT"), true, false),
        (json!("jwt"), true, false),
        (json!("application/jwt"), true, false),
        (json!("at+jwt"), true, true),
        (json!("AT+JWT"), true, true),
        (json!("application/at+jwt"), true, true),
        (json!("Application/At+Jwt"), true, true),
        (json!("application/application/at+jwt"), false, false),
        (json!("text/at+jwt"), false, false),
        (json!("at+jwt "), false, false),
        (json!("at+jw"), false, false),
        // As many characters as `application/` has, and one more or less.
        (json!("xxxxxxxxxxxxat+jwt"), false, false),
        (json!("application.at+jwt"), false, false),
        (json!("applicationxat+jwt"), false, false),
        (json!("x-application/at+jwt"), false, false),
        (json!("pplication/at+jwt"), false, false),
        (json!("xat+jwt"), false, false),
        (json!(""), false, false),
        (json!("JWS"), false, false),
    ] {
        let token = token(typ, &good_claims());
        for (guard, passes) in [(Guard::of(ALGORITHM), usual), (strict(), profile)] {
            if passes {
                guard.passes(&token);
            } else {
                guard.refuses(&token, reason::TYPE_MISMATCH);
            }
        }
    }
    for typ in [json!(1), json!(["at+jwt"]), json!({}), json!(false)] {
        let token = token(typ, &good_claims());
        Guard::of(ALGORITHM).refuses(&token, reason::HEADER_MALFORMED);
    }
}

#[test]
fn attack_18_other_tokens_of_the_same_issuer() {
    let guard = strict();
    // An ID token (OpenID Connect Core §2): no typ, or JWT, and no client_id or jti.
    let id_token = claims_with(json!({
        "client_id": null, "jti": null, "scope": null, "nonce": "n", "auth_time": NOW,
    }));
    for typ in [json!(null), json!("JWT")] {
        guard.refuses(&token(typ, &id_token), reason::TYPE_MISMATCH);
    }
    // Were the typ that of an access token, the claims would still not be.
    guard.refuses(&token(json!("at+jwt"), &id_token), reason::CLAIM_MISSING);
    // A DPoP proof, an introspection response, a logout token, a security event, a refresh token.
    for typ in [
        "dpop+jwt",
        "token-introspection+jwt",
        "logout+jwt",
        "secevent+jwt",
        "rt+jwt",
        "Refresh",
    ] {
        let token = token(json!(typ), &good_claims());
        guard.refuses(&token, reason::TYPE_MISMATCH);
        Guard::of(ALGORITHM).refuses(&token, reason::TYPE_MISMATCH);
    }
}

/// RFC 9068 §2.2.
#[test]
fn the_profile_needs_all_of_its_claims() {
    let guard = strict();
    guard.passes(&token(json!("at+jwt"), &good_claims()));
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let claims = claims_with(json!({ name: null }));
        let header = json!({ "alg": "ES256", "typ": "at+jwt" }).to_string();
        let token = issuer(ALGORITHM)
            .sign_raw(header.as_bytes(), claims.to_string().as_bytes())
            .unwrap();
        guard.refuses(&token, reason::CLAIM_MISSING);
    }
}

#[test]
fn types_of_one_s_own() {
    let verifier = builder(issuer(ALGORITHM)).token_types(["application/session+jwt", "other"]);
    let guard = Guard::new(verifier.build().unwrap());
    for typ in [
        "session+jwt",
        "application/session+jwt",
        "Session+JWT",
        "OTHER",
    ] {
        guard.passes(&token(json!(typ), &good_claims()));
    }
    for typ in [json!("JWT"), json!("at+jwt"), json!(null)] {
        guard.refuses(&token(typ, &good_claims()), reason::TYPE_MISMATCH);
    }
}

fn without_issuer(typ: &str) -> String {
    let header = json!({ "alg": "ES256", "typ": typ });
    let claims = claims_with(json!({ "iss": null }));
    issuer(ALGORITHM)
        .token_with_header(&header, &claims)
        .unwrap()
}

fn any_issuer() -> JwtVerifierBuilder<()> {
    JwtVerifier::builder()
        .any_issuer()
        .audience(AUDIENCE)
        .key(issuer(ALGORITHM).key().unwrap())
        .clock(clock())
}

#[test]
fn any_issuer_accepts_a_token_without_iss() {
    let guard = Guard::new(any_issuer().build().unwrap());
    guard.passes(&without_issuer("JWT"));
    guard.passes(&without_issuer("at+jwt"));
}

/// RFC 9068 §2.2: `iss` is required, whoever it is.
#[test]
fn the_profile_with_any_issuer_rejects_a_token_without_iss() {
    let guard = Guard::new(any_issuer().access_token_profile().build().unwrap());
    guard.refuses(&without_issuer("at+jwt"), reason::CLAIM_MISSING);
    let other = claims_with(json!({ "iss": "https://another.example" }));
    guard.passes(&token(json!("at+jwt"), &other));
}
