//! Which documents are keys, and what is said of those that are none.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

use super::*;

mod conformance;
mod pem;

const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const N: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZ\
     QHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd\
     1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mz\
     SnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
/// 32, 48 and 64 bytes.
const K32: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
const K48: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
const K64: &str =
    "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBw";

/// A JWK with the constants above put in.
fn jwk(text: &str) -> String {
    [
        ("$X", X),
        ("$Y", Y),
        ("$ED", ED25519),
        ("$N", N),
        ("$K32", K32),
        ("$K48", K48),
        ("$K64", K64),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

fn names(key: &Key) -> Vec<&'static str> {
    key.algorithms().map(Algorithm::as_str).collect()
}

#[test]
fn a_jwk_has_its_own_algorithm_or_those_of_its_type() {
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for (text, algorithms) in [
        (
            r#"{"kty":"EC","crv":"P-256","x":"$X","y":"$Y"}"#,
            &["ES256"][..],
        ),
        (
            r#"{"kty":"EC","crv":"P-256","x":"$X","y":"$Y","alg":"ES256"}"#,
            &["ES256"],
        ),
        (r#"{"kty":"OKP","crv":"Ed25519","x":"$ED"}"#, &["EdDSA"]),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","alg":"EdDSA"}"#,
            &["EdDSA"],
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","alg":"Ed25519"}"#,
            &["EdDSA"],
        ),
        (r#"{"kty":"RSA","n":"$N","e":"AQAB"}"#, &rsa),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","alg":"PS384"}"#,
            &["PS384"],
        ),
        (r#"{"kty":"oct","k":"$K32"}"#, &["HS256"]),
        (r#"{"kty":"oct","k":"$K48"}"#, &["HS256", "HS384"]),
        (r#"{"kty":"oct","k":"$K64"}"#, &["HS256", "HS384", "HS512"]),
        (r#"{"kty":"oct","k":"$K64","alg":"HS384"}"#, &["HS384"]),
        // For signatures, in so many words.
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","use":"sig"}"#,
            &["EdDSA"],
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","key_ops":["sign","verify"]}"#,
            &["EdDSA"],
        ),
        // Members that nobody knows, and certificates, are not looked at.
        (
            r#" {"x5c":["MII"],"x5t":7,"kty":"OKP","new":{"kty":[null]},"crv":"Ed25519","x":"$ED"} "#,
            &["EdDSA"],
        ),
        // Names may be spelled with escapes.
        (
            r#"{"\u006bty":"OKP","crv":"Ed\u00325519","x":"$ED"}"#,
            &["EdDSA"],
        ),
        // `null` is as good as absent (Attack 48).
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","alg":null,"kid":null,"use":null,"key_ops":null,
                "x5c":null,"x5t":null,"d":null,"p":null,"k":null,"oth":null,"y":null,"exp":null}"#,
            &["EdDSA"],
        ),
        (r#"{"kty":"RSA","n":"$N","e":"AQAB","alg":null}"#, &rsa),
        // A byte order mark before it.
        (
            "\u{feff}{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"$ED\"}",
            &["EdDSA"],
        ),
        // A leading zero, which RFC 7518 §6.3.1.1 forbids and old issuers write.
        (
            r#"{"kty":"RSA","n":"$N","e":"AAEAAQ","alg":"RS256"}"#,
            &["RS256"],
        ),
    ] {
        let key = Key::from_jwk(&jwk(text)).unwrap_or_else(|error| panic_with(text, &error));
        assert_eq!(names(&key), algorithms, "{text}");
        assert_eq!(key.key_id(), None);
    }
}

#[allow(clippy::panic)]
fn panic_with(what: &str, error: &ConfigError) -> ! {
    panic!("{what}: {error}")
}

#[test]
fn a_leading_zero_of_the_modulus_is_no_part_of_it() {
    let n = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(N).unwrap();
    let padded = base64_simd::URL_SAFE_NO_PAD.encode_to_string([&[0][..], &n].concat());
    let key = Key::from_jwk(&format!(r#"{{"kty":"RSA","n":"{padded}","e":"AQAB"}}"#)).unwrap();
    assert_eq!(key.algorithms().count(), 6);
}

#[test]
fn a_jwk_that_cannot_be_used_says_why() {
    for (text, reason) in [
        // No JWK.
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        (r#""jwk""#, "not a JSON object"),
        (r#"{"kty":"RSA""#, "not a JSON object"),
        (r#"{"kty":"oct","k":"$K32"} {}"#, "not a JSON object"),
        (r#"{"kty":"oct","k":"$K32","kty":"oct"}"#, "member twice"),
        (r#"{"kty":"oct","k":"$K32","x":1,"x":1}"#, "member twice"),
        (r#"{"keys":[]}"#, "KeySet::from_json"),
        ("{}", "no `kty`"),
        // Another type, algorithm, curve.
        (r#"{"kty":"rsa","n":"$N","e":"AQAB"}"#, "`kty` is \"rsa\""),
        (
            r#"{"kty":"AKP","alg":"ML-DSA-44","pub":""}"#,
            "`alg` is \"ML-DSA-44\"",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","alg":"RSA-OAEP"}"#,
            "`alg` is \"RSA-OAEP\"",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","alg":"none"}"#,
            "`alg` is \"none\"",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","alg":"rs256"}"#,
            "`alg` is \"rs256\"",
        ),
        (
            r#"{"kty":"EC","crv":"secp256k1","x":"$X","y":"$Y"}"#,
            "`crv` is \"secp256k1\"",
        ),
        (
            r#"{"kty":"EC","crv":"p-256","x":"$X","y":"$Y"}"#,
            "`crv` is \"p-256\"",
        ),
        (
            r#"{"kty":"OKP","crv":"X25519","x":"$ED"}"#,
            "`crv` is \"X25519\"",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed448","x":"$ED"}"#,
            "`crv` is \"Ed448\"",
        ),
        // One that does not go with the other.
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","alg":"ES256"}"#,
            "ES256 needs a key on the curve P-256",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","alg":"HS256"}"#,
            "HS256 needs a secret",
        ),
        (
            r#"{"kty":"EC","crv":"P-256","x":"$X","y":"$Y","alg":"ES384"}"#,
            "ES384 needs a key",
        ),
        (
            r#"{"kty":"EC","crv":"P-256","x":"$X","y":"$Y","alg":"EdDSA"}"#,
            "EdDSA needs an Ed25519 key",
        ),
        (
            r#"{"kty":"oct","k":"$K32","alg":"RS256"}"#,
            "RS256 needs an RSA key",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","alg":"ES256"}"#,
            "ES256 needs a key",
        ),
        // For another end.
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","use":"enc"}"#,
            "`use` is \"enc\"",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","use":"SIG"}"#,
            "`use` is \"SIG\"",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","key_ops":["sign"]}"#,
            "`key_ops` is without",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","key_ops":[]}"#,
            "`key_ops` is without",
        ),
        // Private.
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","d":"$ED"}"#,
            "`d` of a private key",
        ),
        (
            r#"{"kty":"EC","crv":"P-256","x":"$X","y":"$Y","d":"$X"}"#,
            "`d` of a private key",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","d":"AQAB"}"#,
            "`d` of a private key",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","p":"AQAB"}"#,
            "`p` of a private key",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","oth":[]}"#,
            "`oth` of a private key",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB","k":"$K32"}"#,
            "`k` of a private key",
        ),
        // Of the wrong type.
        (
            r#"{"kty":["RSA"],"n":"$N","e":"AQAB"}"#,
            "`kty` is not a string",
        ),
        (r#"{"kty":"RSA","n":7,"e":"AQAB"}"#, "`n` is not a string"),
        (r#"{"kty":"RSA","n":"$N","e":65537}"#, "`e` is not a string"),
        (
            r#"{"kty":"oct","k":"$K32","kid":7}"#,
            "`kid` is not a string",
        ),
        (r#"{"kty":null,"k":"$K32"}"#, "no `kty`"),
        (r#"{"kty":"oct","k":null}"#, "no `k`"),
        // Also a member that is `null` stands once.
        (
            r#"{"kty":"oct","k":"$K32","alg":null,"alg":"HS256"}"#,
            "member twice",
        ),
        (
            r#"{"kty":"oct","k":"$K32","use":["sig"]}"#,
            "`use` is not a string",
        ),
        (
            r#"{"kty":"oct","k":"$K32","key_ops":"verify"}"#,
            "`key_ops` is not an array",
        ),
        (
            r#"{"kty":"oct","k":"$K32","key_ops":["verify",1]}"#,
            "`key_ops` is not an array",
        ),
        // Missing.
        (r#"{"kty":"RSA","e":"AQAB"}"#, "no `n`"),
        (r#"{"kty":"RSA","n":"$N"}"#, "no `e`"),
        (r#"{"kty":"EC","x":"$X","y":"$Y"}"#, "no `crv`"),
        (r#"{"kty":"EC","crv":"P-256","x":"$X"}"#, "no `y`"),
        (r#"{"kty":"OKP","crv":"Ed25519"}"#, "no `x`"),
        (r#"{"kty":"oct"}"#, "no `k`"),
        // Broken base64url: padded, of the other alphabet, with spaces, of an impossible length, with
        // bits that stand for nothing.
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB="}"#,
            "`e` is not base64url",
        ),
        (
            r#"{"kty":"RSA","n":"$N==","e":"AQAB"}"#,
            "`n` is not base64url",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQ AB"}"#,
            "`e` is not base64url",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQAB\n"}"#,
            "`e` is not base64url",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQABA"}"#,
            "`e` is not base64url",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"A+/B"}"#,
            "`e` is not base64url",
        ),
        (
            r#"{"kty":"RSA","n":"$N","e":"AQABAx"}"#,
            "`e` is not base64url",
        ),
        (r#"{"kty":"oct","k":"$K32é"}"#, "`k` is not base64url"),
        (
            r#"{"kty":"oct","k":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd"}"#,
            "`k` is not base64url",
        ),
        // Not good enough.
        (r#"{"kty":"oct","k":""}"#, "HMAC secret of 0 bytes"),
        (
            r#"{"kty":"oct","k":"BwcH"}"#,
            "HMAC secret of 3 bytes; HS256 needs at least 32",
        ),
        (
            r#"{"kty":"oct","k":"$K32","alg":"HS512"}"#,
            "HS512 needs at least 64",
        ),
        (
            r#"{"kty":"RSA","n":"$X","e":"AQAB"}"#,
            "RSA modulus of 255 bits",
        ),
        (
            r#"{"kty":"RSA","n":"","e":"AQAB"}"#,
            "RSA modulus of 0 bits",
        ),
        (r#"{"kty":"RSA","n":"$N","e":"AQ"}"#, "RSA public exponent"),
        (r#"{"kty":"RSA","n":"$N","e":"$N"}"#, "RSA public exponent"),
        (
            r#"{"kty":"EC","crv":"P-256","x":"$X","y":"$X"}"#,
            "not an uncompressed point",
        ),
        (
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"$Y"}"#,
            "`x` of 1 bytes; those of P-256 have 32",
        ),
        (
            r#"{"kty":"EC","crv":"P-384","x":"$X","y":"$Y"}"#,
            "`x` of 32 bytes; those of P-384 have 48",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#,
            "not a point of Ed25519",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
            "low order",
        ),
    ] {
        let error = Key::from_jwk(&jwk(text)).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
        for secret in ["BwcH", "f83O", "n4EP", "11qY", "x_FE"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

#[test]
fn a_set_keeps_what_it_can() {
    let text = jwk(r#"{"keys": [
            {"kty":"OKP","crv":"Ed25519","x":"$ED","kid":"a"},
            {"kty":"RSA","n":"$N","e":"AQAB","alg":"RSA-OAEP","kid":"b"},
            {"kty":"new"},
            7,
            {"kty":"oct","k":"$K32","kid":"c"},
            {"kty":"RSA","n":"$N","e":"AQAB","kid":""}
        ], "more": [1]}"#);
    let set = KeySet::from_json(&text).unwrap();
    let ids: Vec<_> = set.keys().iter().map(Key::key_id).collect();
    assert_eq!(ids, [Some("a"), Some("c"), Some("")]);
    let skipped: Vec<_> = set.skipped().iter().map(ToString::to_string).collect();
    assert_eq!(
        skipped,
        [
            r#"key 1 ("b"): `alg` is "RSA-OAEP", which is not supported"#,
            r#"key 2: `kty` is "new", which is not supported"#,
            "key 3: not a JSON object, or one with a member twice",
        ]
    );
    assert_eq!(set.skipped()[0].index(), 1);
    assert_eq!(set.skipped()[0].key_id(), Some("b"));
    assert!(set.skipped()[0].reason().starts_with("`alg`"));
}

#[test]
fn what_is_no_set_says_why() {
    let many = format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 257].join(","));
    for (text, reason) in [
        ("", "not a JWK Set"),
        ("[]", "not a JWK Set"),
        ("{}", "no member `keys`"),
        (r#"{"keys":{}}"#, "`keys` is not an array"),
        (r#"{"keys":null}"#, "`keys` is not an array"),
        (r#"{"keys":[],"keys":[]}"#, "`keys` twice"),
        (r#"{"kty":"oct","k":"AAAA"}"#, "Key::from_jwk"),
        (r#"{"keys":[]}"#, "without a key that can be used"),
        (
            r#"{"keys":[{"kty":"x","kid":"a\nb"},{}]}"#,
            r#"used: key 0 ("a\nb"): `kty` is "x", which is not supported; key 1: no `kty`"#,
        ),
        (
            r#"{"keys":[{},{},{},{},{},{},{},{}]}"#,
            "key 4: no `kty`; …",
        ),
        (&many, "at most 256"),
    ] {
        let error = KeySet::from_json(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

/// Attack 32, Attack 48: whatever one member of one key is, and whatever the set has besides, the
/// other keys stay usable.
#[test]
fn one_odd_member_does_not_lose_the_set() {
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    let objects = r#"{"a":"#.repeat(50_000) + "1" + &"}".repeat(50_000);
    let values = [
        "null",
        "true",
        "7",
        "-0",
        "1e999999999",
        "1e-999999999",
        "[]",
        "{}",
        "\"\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "[null]",
        "[7]",
        "[[]]",
        "{\"a\":1,\"a\":2}",
        "123456789012345678901234567890",
        &deep,
        &objects,
    ];
    let names = [
        "kty",
        "kid",
        "alg",
        "use",
        "key_ops",
        "x5c",
        "x5t",
        "x5t#S256",
        "x5u",
        "crv",
        "x",
        "y",
        "n",
        "e",
        "d",
        "k",
        "oth",
        "ext",
        "iat",
        "unheard-of",
        "",
        "\\ud800",
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
    ];
    let good = jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"$ED","kid":"good"}"#);
    let mut sets = Vec::new();
    for name in names {
        for value in values {
            // Beside the members of a key, in their place, and twice.
            let odd = jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"$ED"}"#);
            let (_, rest) = odd.split_once('{').unwrap();
            sets.push(format!(r#"{{"keys":[{{"{name}":{value},{rest},{good}]}}"#));
            sets.push(format!(r#"{{"keys":[{good},{{"{name}":{value}}}]}}"#));
            sets.push(format!(
                r#"{{"keys":[{good},{{"{name}":{value},"{name}":{value},{rest}]}}"#
            ));
            // As members of the set, once and twice.
            if name != "keys" {
                sets.push(format!(r#"{{"{name}":{value},"keys":[{good}]}}"#));
                sets.push(format!(
                    r#"{{"{name}":{value},"keys":[{good}],"{name}":{value}}}"#
                ));
            }
        }
    }
    for value in values {
        sets.push(format!(r#"{{"keys":[{value},{good},{value}]}}"#));
        sets.push(format!("\u{feff}{{\"keys\":[{good},{value}]}}"));
    }
    for text in sets {
        let shown: String = text.chars().take(200).collect();
        let set = KeySet::from_json(&text).unwrap_or_else(|error| panic_with(&shown, &error));
        let good = set.keys().iter().any(|key| key.key_id() == Some("good"));
        assert!(good, "{shown}");
        for skipped in set.skipped() {
            let said = skipped.to_string();
            assert!(
                said.len() < 300 && !said.contains(char::is_control),
                "{said}"
            );
        }
        #[cfg(feature = "jwks")]
        {
            let published = PublishedKeys::parse(&text, &PublishedKeys::default()).unwrap();
            assert!(
                published.keys().any(|key| key.key_id() == Some("good")),
                "{shown}"
            );
        }
    }
}

/// RFC 8725 §3.1: a key is bound to one algorithm.
#[test]
fn a_key_is_bound_to_its_own_algorithm_or_rs256_or_the_first_that_is_listed() {
    use Algorithm::*;
    let rsa = r#"{"kty":"RSA","n":"$N","e":"AQAB"}"#;
    let ps256 = r#"{"kty":"RSA","n":"$N","e":"AQAB","alg":"PS256"}"#;
    let ec = r#"{"kty":"EC","crv":"P-256","x":"$X","y":"$Y"}"#;
    let short = r#"{"kty":"oct","k":"$K32"}"#;
    let long = r#"{"kty":"oct","k":"$K64"}"#;
    for (text, list, bound) in [
        (rsa, None, Some(RS256)),
        (rsa, Some(&[RS256, PS256][..]), Some(RS256)),
        (rsa, Some(&[PS256, RS256]), Some(RS256)),
        (rsa, Some(&[ES256, PS384, RS512]), Some(PS384)),
        (rsa, Some(&[RS512, PS384]), Some(RS512)),
        (rsa, Some(&[ES256, HS256]), None),
        (rsa, Some(&[]), None),
        (ps256, None, Some(PS256)),
        (ps256, Some(&[RS256, PS256]), Some(PS256)),
        (ps256, Some(&[RS256, PS384]), None),
        (ec, None, Some(ES256)),
        (ec, Some(&[ES384, ES256, RS256]), Some(ES256)),
        (ec, Some(&[ES384]), None),
        (short, None, Some(HS256)),
        (short, Some(&[HS512, HS256]), Some(HS256)),
        (short, Some(&[HS512]), None),
        (long, None, Some(HS256)),
        (long, Some(&[HS512, HS256]), Some(HS512)),
    ] {
        let key = Key::from_jwk(&jwk(text)).unwrap();
        let found = key.bind(list).map(|(algorithm, _)| *algorithm);
        assert_eq!(found, bound, "{text} {list:?}");
    }
}

#[test]
fn what_others_wrote_is_shown_short() {
    let long = "é".repeat(1000);
    let error = Key::from_jwk(&format!(r#"{{"kty":"{long}"}}"#)).unwrap_err();
    assert!(error.to_string().len() < 250, "{error}");
}

#[test]
fn pem_and_der_give_the_same_key() {
    use Algorithm::*;
    for (algorithm, text) in [
        (RS256, pem::RSA),
        (RS384, pem::RSA),
        (RS512, pem::RSA),
        (PS256, pem::RSA),
        (PS384, pem::RSA),
        (PS512, pem::PKCS1_RSA),
        (RS256, pem::PKCS1_RSA),
        (ES256, pem::P256),
        (ES384, pem::P384),
        (ES512, pem::P521),
        (EdDSA, pem::ED25519),
    ] {
        let key = Key::from_pem(algorithm, text).unwrap();
        assert_eq!(key.algorithms().collect::<Vec<_>>(), [algorithm]);
        let (_, der) = pem_rfc7468::decode_vec(text.as_bytes()).unwrap();
        let key = Key::from_der(algorithm, &der).unwrap();
        assert_eq!(key.algorithms().collect::<Vec<_>>(), [algorithm]);
        // Nothing may follow, and nothing be missing.
        assert!(Key::from_der(algorithm, [&der[..], &[0]].concat()).is_err());
        for length in 0..der.len() {
            assert!(
                Key::from_der(algorithm, &der[..length]).is_err(),
                "{length}"
            );
        }
    }
    // Windows' line ends, one long line, text around it; more is in the tests of `crypto::pem`.
    for text in [
        pem::P256.replace('\n', "\r\n"),
        pem::P256.replace("V7\n", "V7"),
        format!("subject=issuer\n{}", pem::P256),
        pem::P256.trim().to_owned(),
    ] {
        Key::from_pem(ES256, &text).unwrap_or_else(|error| panic_with(&text, &error));
    }
}

#[test]
fn other_documents_say_what_to_do() {
    use Algorithm::*;
    let labelled = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
    let private = "openssl pkey -in private.pem -pubout";
    for (algorithm, text, reason) in [
        (RS256, labelled("PRIVATE KEY"), private),
        (RS256, labelled("RSA PRIVATE KEY"), private),
        (ES256, labelled("EC PRIVATE KEY"), private),
        (ES256, labelled("EC PARAMETERS"), private),
        (RS256, labelled("ENCRYPTED PRIVATE KEY"), private),
        (EdDSA, labelled("OPENSSH PRIVATE KEY"), private),
        (
            RS256,
            labelled("CERTIFICATE"),
            "openssl x509 -in certificate.pem -noout -pubkey",
        ),
        (
            RS256,
            labelled("PGP MESSAGE"),
            "`PUBLIC KEY` or `RSA PUBLIC KEY`",
        ),
        (RS256, labelled("PUBLIC KEY"), "not a public key in DER"),
        (RS256, labelled("RSA PUBLIC KEY"), "not an RSA public key"),
        (RS256, String::new(), "the text is empty"),
        (RS256, [pem::RSA, pem::RSA].concat(), "more than one PEM"),
        (RS256, pem::RSA.replace('\n', "\\n"), "line breaks"),
        (
            RS256,
            pem::RSA.replace("MIIB", "M!IB"),
            "not a sound PEM document",
        ),
        (
            RS256,
            pem::RSA_1024.into(),
            "RSA modulus of 1024 bits; at least 2048",
        ),
        (PS256, pem::RSA_PSS.into(), "plain RSA key"),
        (ES256, pem::SECP256K1.into(), "a curve other than P-256"),
        (EdDSA, pem::X25519.into(), "not RSA, EC or Ed25519"),
        (
            ES256,
            pem::P256_COMPRESSED.into(),
            "-ec_conv_form uncompressed",
        ),
        // The wrong algorithm.
        (
            ES256,
            pem::RSA.into(),
            "ES256 needs a key on the curve P-256",
        ),
        (
            ES256,
            pem::PKCS1_RSA.into(),
            "ES256 needs a key on the curve P-256",
        ),
        (
            ES256,
            pem::P384.into(),
            "ES256 needs a key on the curve P-256",
        ),
        (RS256, pem::ED25519.into(), "RS256 needs an RSA key"),
        (HS256, pem::RSA.into(), "use Key::hmac"),
    ] {
        let error = Key::from_pem(algorithm, &text)
            .expect_err(&text)
            .to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let error = Key::from_der(RS256, pem::RSA).unwrap_err().to_string();
    assert!(error.contains("Key::from_pem"), "{error}");
    let error = Key::from_der(HS256, b"").unwrap_err().to_string();
    assert!(error.contains("Key::hmac"), "{error}");
}

#[test]
fn a_public_key_is_no_secret() {
    for text in [
        pem::RSA,
        pem::P256,
        "\n -----BEGIN CERTIFICATE-----\n 0123456789012345678901",
    ] {
        let error = Key::hmac(Algorithm::HS256, text).unwrap_err().to_string();
        assert!(error.contains("RFC 8725 §2.1"), "{error}");
        assert!(error.contains("Key::from_pem"), "{error}");
    }
    let error = Key::hmac(Algorithm::RS256, [7; 64])
        .unwrap_err()
        .to_string();
    assert!(error.contains("Key::from_pem"), "{error}");
    let error = Key::hmac(Algorithm::HS256, "secret")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("HMAC secret of 6 bytes; HS256 needs at least 32"),
        "{error}"
    );
    assert!(Key::hmac(Algorithm::HS256, [7; 32]).is_ok());
}

#[test]
fn a_key_shows_its_name_and_no_more() {
    let key = Key::hmac(Algorithm::HS256, [65; 32])
        .unwrap()
        .with_key_id("name");
    let shown = r#"Key { key_id: Some("name"), algorithms: [HS256], .. }"#;
    assert_eq!(format!("{key:?}"), shown);
    let set = KeySet::new().with_key(key);
    assert_eq!(
        format!("{set:?}"),
        format!("KeySet {{ keys: [{shown}], skipped: [] }}")
    );
}

#[test]
fn a_name_is_given_to_one_key_alone() {
    let key = Key::hmac(Algorithm::HS256, [65; 32]).unwrap();
    let named = key.clone().with_key_id("name");
    assert_eq!((key.key_id(), named.key_id()), (None, Some("name")));
}
