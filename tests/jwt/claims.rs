//! attacks.md 14 to 17, and 33: the registered claims; and the user's own.

use serde::Deserialize;
use serde_json::json;
use tower_bearer::{Algorithm, JwtVerifier, NumericDate, reason, testing::Issuer};

use crate::{
    AUDIENCE, Guard, ISSUER, NOW, builder, claims_with, clock, good_claims, issuer, verify,
};

const ALGORITHM: Algorithm = Algorithm::ES256;

fn token(changes: serde_json::Value) -> String {
    issuer(ALGORITHM).token(&claims_with(changes)).unwrap()
}

/// A token whose payload is spelled as JSON that serde_json would not write.
fn raw_token(member: &str) -> String {
    let issuer = issuer(ALGORITHM);
    let (name, _) = member.split_once(':').unwrap();
    let name = name.trim_matches('"');
    let claims = claims_with(json!({ name: null })).to_string();
    let payload = format!("{},{member}}}", claims.strip_suffix('}').unwrap());
    let header = json!({ "alg": "ES256", "kid": issuer.key_id() }).to_string();
    issuer
        .sign_raw(header.as_bytes(), payload.as_bytes())
        .unwrap()
}

#[test]
fn attack_14_a_date_is_a_number_and_never_taken_for_absent() {
    let guard = Guard::of(ALGORITHM);
    for name in ["exp", "nbf", "iat"] {
        for value in [
            "\"1700000100\"",
            "true",
            "false",
            "null",
            "[]",
            "[1700000100]",
            "{}",
            "1e999",
            "-1e999",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "-0.5",
            "1e30",
            "1700000100000",
        ] {
            guard.refuses(
                &raw_token(&format!("\"{name}\":{value}")),
                reason::CLAIMS_MALFORMED,
            );
        }
    }
    for name in ["nbf", "iat"] {
        for value in [
            "0",
            "1699999990",
            "1699999990.5",
            "1.69999999e9",
            "169999999E1",
        ] {
            guard.passes(&raw_token(&format!("\"{name}\":{value}")));
        }
    }
    for value in ["1700000100.25", "1.7000001e9", "9999999999", "253402300799"] {
        guard.passes(&raw_token(&format!("\"exp\":{value}")));
    }
}

/// RFC 7519 §4.1.4: not "on or after"; §4.1.5: not "before".
#[test]
fn attack_15_the_edges_of_exp_and_nbf() {
    let issuer = issuer(ALGORITHM);
    for leeway in [0, 1, 60, 300] {
        let clock = clock();
        let verifier = builder(issuer)
            .clock(clock.clone())
            .leeway(std::time::Duration::from_secs(leeway))
            .build()
            .unwrap();
        let guard = Guard::new(verifier);
        for (exp, end) in [(json!(NOW), NOW), (json!(NOW as f64 + 0.5), NOW + 1)] {
            let token = token(json!({ "exp": exp }));
            clock.set(NumericDate::from_secs(end + leeway - 1));
            guard.passes(&token);
            for late in [end + leeway, end + leeway + 1, u64::MAX] {
                clock.set(NumericDate::from_secs(late));
                guard.refuses(&token, reason::TOKEN_EXPIRED);
            }
        }
        for (nbf, start) in [(json!(NOW), NOW), (json!(NOW as f64 + 0.5), NOW + 1)] {
            let token = token(json!({ "nbf": nbf, "exp": NOW + 1000 }));
            clock.set(NumericDate::from_secs(start - leeway - 1));
            guard.refuses(&token, reason::TOKEN_NOT_YET_VALID);
            clock.set(NumericDate::from_secs(start - leeway));
            guard.passes(&token);
        }
    }
}

/// The last date there is, and the first.
#[test]
fn attack_15_the_leeway_does_not_overflow() {
    let guard = Guard::of(ALGORITHM);
    guard.passes(&token(json!({ "exp": NumericDate::MAX.as_secs() })));
    guard.passes(&token(json!({ "nbf": 0 })));
    guard.refuses(&token(json!({ "exp": 0 })), reason::TOKEN_EXPIRED);
    guard.refuses(
        &token(json!({ "nbf": NumericDate::MAX.as_secs() })),
        reason::TOKEN_NOT_YET_VALID,
    );
}

#[test]
fn exp_is_needed_unless_it_is_said_to_be_optional() {
    let token = token(json!({ "exp": null }));
    Guard::of(ALGORITHM).refuses(&token, reason::CLAIM_MISSING);
    let lenient = builder(issuer(ALGORITHM))
        .expiry_optional()
        .build()
        .unwrap();
    assert_eq!(verify(&lenient, &token).unwrap().valid_until(), None);
    // Where it is there, it counts.
    Guard::new(lenient).refuses(
        &self::token(json!({ "exp": NOW - 3600 })),
        reason::TOKEN_EXPIRED,
    );
}

#[test]
fn attack_16_the_audience_is_there_and_equal() {
    let guard = Guard::of(ALGORITHM);
    guard.refuses(&token(json!({ "aud": null })), reason::CLAIM_MISSING);
    for aud in [
        json!([]),
        json!(""),
        json!([""]),
        json!("https://api.example.co"),
        json!("https://api.example.com/"),
        json!("https://api.example.com.evil.test"),
        json!("HTTPS://API.EXAMPLE.COM"),
        json!(" https://api.example.com"),
        json!("https://api.example.com https://other.test"),
        json!("*"),
        json!(["https://other.test", "https://api.example.com/"]),
    ] {
        guard.refuses(&token(json!({ "aud": aud })), reason::AUDIENCE_MISMATCH);
    }
    for aud in [
        "[1]",
        "1",
        "true",
        "{}",
        "null",
        "[null]",
        "[[\"https://api.example.com\"]]",
    ] {
        guard.refuses(
            &raw_token(&format!("\"aud\":{aud}")),
            reason::CLAIMS_MALFORMED,
        );
    }
    let mixed = format!("\"aud\":[\"{AUDIENCE}\",1]");
    guard.refuses(&raw_token(&mixed), reason::CLAIMS_MALFORMED);
    for aud in [
        json!(AUDIENCE),
        json!([AUDIENCE]),
        json!(["https://other.test", AUDIENCE, "https://third.test"]),
    ] {
        guard.passes(&token(json!({ "aud": aud })));
    }
}

/// A claim that refuses the token is the last that is read; what stands before it is read as ever.
#[test]
fn what_is_refused_at_sight_is_read_no_further() {
    let guard = Guard::of(ALGORITHM);
    let issuer = issuer(ALGORITHM);
    let header = json!({ "alg": "ES256", "kid": issuer.key_id() }).to_string();
    for (member, reason) in [
        ("\"exp\":1", reason::TOKEN_EXPIRED),
        ("\"iss\":\"https://other.test\"", reason::ISSUER_MISMATCH),
        (
            "\"aud\":[\"https://other.test\"]",
            reason::AUDIENCE_MISMATCH,
        ),
    ] {
        for (payload, reason) in [
            (format!("{{{member}}}"), reason),
            (format!("{{{member},\"sub\":1}}"), reason),
            (format!("{{{member},{member}}}"), reason),
            (format!("{{{member}"), reason),
            (format!("{{{member},["), reason),
            (format!("{{{member}}} x"), reason),
            (format!("{{\"sub\":1,{member}}}"), reason::CLAIMS_MALFORMED),
            (
                format!("{{\"a\":1,\"a\":1,{member}}}"),
                reason::CLAIMS_MALFORMED,
            ),
            // Within something else it is not a claim.
            (format!("{{\"a\":{{{member}}}}}"), reason::CLAIM_MISSING),
        ] {
            let token = issuer.sign_raw(header.as_bytes(), payload.as_bytes());
            guard.refuses(&token.unwrap(), reason);
        }
    }
}

#[test]
fn one_of_several_audiences_is_enough() {
    let verifier = builder(issuer(ALGORITHM))
        .audience("https://second.test")
        .build();
    let guard = Guard::new(verifier.unwrap());
    guard.passes(&token(json!({ "aud": "https://second.test" })));
    guard.passes(&token(json!({ "aud": AUDIENCE })));
    guard.refuses(
        &token(json!({ "aud": "https://third.test" })),
        reason::AUDIENCE_MISMATCH,
    );
}

#[test]
fn attack_17_the_issuer_is_there_and_equal() {
    let guard = Guard::of(ALGORITHM);
    let issuer = issuer(ALGORITHM);
    // `token` puts the issuer in where there is none; this one is signed as it is.
    let header = json!({ "alg": "ES256", "kid": issuer.key_id() }).to_string();
    let none = claims_with(json!({ "iss": null })).to_string();
    let none = issuer.sign_raw(header.as_bytes(), none.as_bytes()).unwrap();
    guard.refuses(&none, reason::CLAIM_MISSING);
    for iss in [
        "",
        "https://login.example.co",
        "https://login.example.com/",
        "https://login.example.com.evil.test",
        "HTTPS://LOGIN.EXAMPLE.COM",
        "https://login.example.com ",
        "login.example.com",
    ] {
        guard.refuses(&token(json!({ "iss": iss })), reason::ISSUER_MISMATCH);
    }
    for iss in ["null", "1", "[\"https://login.example.com\"]", "{}"] {
        guard.refuses(
            &raw_token(&format!("\"iss\":{iss}")),
            reason::CLAIMS_MALFORMED,
        );
    }
}

#[test]
fn attack_17_another_tenant_with_its_own_key_and_the_same_kid() {
    let ours = issuer(ALGORITHM);
    let guard = Guard::of(ALGORITHM);
    let tenant = Issuer::new("https://login.example.com/other", ALGORITHM).unwrap();
    let tenant = tenant.with_key_id(ours.key_id());
    let theirs = claims_with(json!({ "iss": tenant.issuer() }));
    guard.refuses(&tenant.token(&theirs).unwrap(), reason::ISSUER_MISMATCH);
    guard.refuses(
        &tenant.token(&good_claims()).unwrap(),
        reason::SIGNATURE_INVALID,
    );
}

#[test]
fn any_issuer_and_any_audience_are_what_they_say() {
    let verifier = JwtVerifier::builder()
        .any_issuer()
        .any_audience()
        .key(issuer(ALGORITHM).key().unwrap())
        .clock(clock());
    let guard = Guard::new(verifier.build().unwrap());
    guard.passes(&token(
        json!({ "iss": "https://anybody.test", "aud": null }),
    ));
    guard.passes(&token(json!({ "aud": "https://anybody.test" })));
    // Claims of a wrong type stay wrong.
    guard.refuses(&raw_token("\"aud\":1"), reason::CLAIMS_MALFORMED);
    guard.refuses(&raw_token("\"iss\":1"), reason::CLAIMS_MALFORMED);
}

#[test]
fn texts_are_strings() {
    let guard = Guard::of(ALGORITHM);
    for name in ["sub", "jti", "client_id"] {
        for value in ["1", "null", "[]", "{}", "true"] {
            let token = raw_token(&format!("\"{name}\":{value}"));
            guard.refuses(&token, reason::CLAIMS_MALFORMED);
        }
    }
}

/// RFC 8693 §4.2 (`scope`, a string), and what providers write instead: `scp`, a string or an array.
#[test]
fn scopes_come_from_scope_or_scp() {
    let verifier = builder(issuer(ALGORITHM)).build().unwrap();
    for (changes, expected) in [
        (json!({ "scope": "read write" }), vec!["read", "write"]),
        (json!({ "scope": "" }), vec![]),
        (json!({ "scope": null }), vec![]),
        (json!({ "scope": " read  write " }), vec!["read", "write"]),
        (json!({ "scope": "read\twrite" }), vec!["read\twrite"]),
        (json!({ "scope": ["read", "write"] }), vec!["read", "write"]),
        (
            json!({ "scope": null, "scp": "read write" }),
            vec!["read", "write"],
        ),
        (
            json!({ "scope": null, "scp": ["read", "write"] }),
            vec!["read", "write"],
        ),
        (json!({ "scope": null, "scp": [] }), vec![]),
        (json!({ "scope": "read", "scp": ["admin"] }), vec!["read"]),
        (json!({ "scp": "admin" }), vec!["read", "write"]),
    ] {
        let claims = verify(&verifier, &token(changes.clone())).unwrap();
        let scopes: Vec<_> = claims.registered().scopes().iter().collect();
        assert_eq!(scopes, expected, "{changes}");
    }
    let guard = Guard::new(verifier);
    for name in ["scope", "scp"] {
        // An array's element must not fall into two scopes.
        for value in ["1", "null", "{}", "[1]", "[\"read admin\"]", "[\"\"]"] {
            let token = raw_token(&format!("\"{name}\":{value}"));
            guard.refuses(&token, reason::CLAIMS_MALFORMED);
        }
    }
}

/// RFC 7800 §3.1, and the `cnf` half of attack 33.
#[test]
fn attack_33_a_bound_token_is_refused_where_nothing_confirms_it() {
    let guard = Guard::of(ALGORITHM);
    let hash = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    for cnf in [
        json!({ "jkt": hash }),
        json!({ "x5t#S256": hash }),
        json!({ "jwk": { "kty": "EC" } }),
        json!({ "kid": "1" }),
        json!({ "unheard-of": true }),
    ] {
        guard.refuses(&token(json!({ "cnf": cnf })), reason::TOKEN_BOUND);
    }
    for cnf in [
        "null",
        "1",
        "\"x\"",
        "[]",
        "{}",
        "{\"jkt\":1}",
        "{\"jkt\":\"short\"}",
        "{\"jkt\":null}",
        "{\"x5t#S256\":\"\"}",
        "{\"kid\":\"1\",\"kid\":\"1\"}",
    ] {
        let token = raw_token(&format!("\"cnf\":{cnf}"));
        guard.refuses(&token, reason::CLAIMS_MALFORMED);
    }
}

#[derive(Debug, Deserialize)]
struct Own {
    sub: String,
    tenant: String,
    #[serde(default)]
    roles: Vec<String>,
}

#[test]
fn the_user_s_type_is_read_from_the_same_object() {
    let issuer = issuer(ALGORITHM);
    let verifier = JwtVerifier::<Own>::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer.key().unwrap())
        .clock(clock())
        .build()
        .unwrap();
    let claims = verify(
        &verifier,
        &token(json!({ "tenant": "t", "roles": ["a", "b"] })),
    )
    .unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.tenant.as_str()),
        ("alice", "t")
    );
    assert_eq!(claims.roles, ["a", "b"]);
    let error = verify(&verifier, &token(json!({}))).unwrap_err();
    assert_eq!(error.reason(), reason::CLAIMS_MALFORMED);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("line 1, column"), "{source}");
}

/// Whatever serde can read from an object, and nothing at all.
#[test]
fn the_user_s_type_may_be_of_any_kind() {
    #[derive(Deserialize)]
    struct Unit;
    #[derive(Deserialize)]
    struct Newtype(Own);
    #[derive(Deserialize)]
    struct Flat {
        #[serde(flatten)]
        all: serde_json::Map<String, serde_json::Value>,
    }
    #[derive(Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Robot { serial: u32 },
    }

    fn read<C>() -> tower_bearer::Claims<C>
    where
        C: serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        let verifier = JwtVerifier::<C>::builder()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .key(issuer(ALGORITHM).key().unwrap())
            .clock(clock());
        let token = token(json!({ "tenant": "t", "kind": "Robot", "serial": 7 }));
        verify(&verifier.build().unwrap(), &token).unwrap()
    }

    let Unit = *read::<Unit>();
    let () = *read::<()>();
    assert_eq!(read::<Newtype>().0.tenant, "t");
    assert_eq!(read::<Option<Own>>().as_ref().unwrap().tenant, "t");
    assert_eq!(read::<Flat>().all["kind"], "Robot");
    assert_eq!(read::<serde_json::Value>()["kind"], "Robot");
    assert!(
        read::<Box<serde_json::value::RawValue>>()
            .get()
            .contains("Robot")
    );
    let Tagged::Robot { serial } = *read::<Tagged>();
    assert_eq!(serial, 7);
}

/// serde_json has names of its own for what a `Value` is read from: with one of them, 11 KB of a signed token nest
/// 1 320 deep, past its limit, and a string is taken for a number. No type of a user sees them (attack 39).
#[test]
fn names_that_serde_json_keeps_for_itself_are_malformed() {
    let verifier = JwtVerifier::<serde_json::Value>::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer(ALGORITHM).key().unwrap())
        .clock(clock())
        .build()
        .unwrap();
    let mut nested = "[]".to_owned();
    for _ in 0..10 {
        nested = json!({ "$serde_json::private::RawValue": nested }).to_string();
    }
    for more in [
        format!("\"x\":{nested}"),
        r#""x":{"$serde_json::private::Number":"1"}"#.to_owned(),
        r#""x":[[{"a":1,"\u0024serde_json::private::RawValue":"{}"}]]"#.to_owned(),
        r#""x":{"$serde_json\u003a:private::Number":"1"}"#.to_owned(),
        r#""$serde_json::private::RawValue":"{}""#.to_owned(),
        r#""$serde_json::private::anything":1"#.to_owned(),
        r#""cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","$serde_json::private::Number":"1"}"#
            .to_owned(),
    ] {
        let token = raw_token(&more);
        let error = verify(&verifier, &token).expect_err(&more);
        assert_eq!(error.reason(), reason::CLAIMS_MALFORMED, "{more}");
        Guard::of(ALGORITHM).refuses(&token, reason::CLAIMS_MALFORMED);
    }
    // In a value, or with other letters, they are names like others.
    for more in [
        r#""x":"$serde_json::private::RawValue""#,
        r#""x":{"serde_json::private::RawValue":"{}"}"#,
        r#""x":{"\u00e4":"\ud83d\ude00"}"#,
    ] {
        assert!(verify(&verifier, &raw_token(more)).is_ok(), "{more}");
    }
}
