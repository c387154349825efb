//! attacks.md 8 to 13: the form of a token.

use serde_json::json;
use tower_bearer::{Algorithm, BearerToken, reason};

use crate::{Guard, NOW, good_claims, issuer};

const ALGORITHM: Algorithm = Algorithm::EdDSA;

fn guard() -> Guard {
    Guard::of(ALGORITHM)
}

fn good_token() -> String {
    issuer(ALGORITHM).token(&good_claims()).unwrap()
}

/// The header of a good token, as text.
fn good_header() -> String {
    let kid = issuer(ALGORITHM).key_id();
    format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#)
}

/// A token of this payload, properly signed.
fn signed(header: &str, payload: &str) -> String {
    issuer(ALGORITHM)
        .sign_raw(header.as_bytes(), payload.as_bytes())
        .unwrap()
}

/// The good claims as text, with more behind them.
fn claims_and(more: &str) -> String {
    let claims = good_claims().to_string();
    format!("{}{more}}}", claims.strip_suffix('}').unwrap())
}

#[test]
fn attack_08_three_segments_and_no_other_form() {
    let guard = guard();
    let token = good_token();
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("{token}")
    };
    for bad in [
        format!("{header}.{payload}"),
        header.to_owned(),
        format!("{token}.{signature}"),
        format!("{token}.{signature}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        "..".to_owned(),
        ".".to_owned(),
        format!(".{token}"),
        format!("{token}."),
        format!("{header}..{payload}.{signature}"),
        format!("{header}.{payload}..{signature}"),
    ] {
        guard.refuses(&bad, reason::TOKEN_MALFORMED);
    }
    // The JSON serialization (RFC 7515 §7.2) is not even a b64token.
    let json =
        format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#);
    guard.refuses(&json, reason::TOKEN_MALFORMED);
}

#[test]
fn attack_09_base64url_has_one_spelling() {
    let guard = guard();
    let token = good_token();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for bad in [
        format!("{token}="),
        format!("{token}=="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}. {signature}"),
        format!("{header}.{payload} .{signature}"),
        format!("{header}.{payload}+.{signature}"),
        format!("{header}.{payload}/.{signature}"),
        format!("{header}.{payload}.{signature}A"),
        format!("{header}.A{payload}.{signature}"),
        token.replace('_', "/").replace('-', "+") + "+",
    ] {
        let refused = guard.refuses_somehow(&bad);
        assert!(
            [
                reason::TOKEN_MALFORMED,
                reason::SIGNATURE_INVALID,
                reason::CLAIMS_MALFORMED,
                reason::HEADER_MALFORMED
            ]
            .contains(&refused),
            "{refused}: {bad}"
        );
    }
}

/// RFC 4648 §3.5: the bits after the last byte are zero, or the token has a second spelling.
#[test]
fn attack_09_no_stray_bits() {
    let guard = guard();
    let token = good_token();
    // 64 bytes of signature leave 4 bits of the last character unused.
    let last = token.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(last).unwrap();
    assert_eq!(value % 16, 0);
    for stray in 1..16 {
        let other = &alphabet[value + stray..=value + stray];
        guard.refuses(
            &format!("{}{other}", &token[..token.len() - 1]),
            reason::SIGNATURE_INVALID,
        );
    }
}

#[test]
fn attack_09_every_change_of_one_character_is_noticed() {
    let guard = guard();
    let token = good_token();
    guard.passes(&token);
    for at in 0..token.len() {
        for other in ["A", "z", "-", "_", ".", "~", "+", "/", "="] {
            if &token[at..=at] != other {
                let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                guard.refuses_somehow(&changed);
            }
        }
        guard.refuses_somehow(&format!("{}{}", &token[..at], &token[at + 1..]));
    }
}

#[test]
fn attack_10_size_is_looked_at_first() {
    let guard = guard();
    guard.refuses(&"a".repeat(1024 * 1024), reason::TOKEN_TOO_LARGE);
    guard.refuses(&".".repeat(1_000_000), reason::TOKEN_TOO_LARGE);
    guard.refuses(
        &".".repeat(BearerToken::MAX_LENGTH),
        reason::TOKEN_MALFORMED,
    );
    guard.refuses(
        &"a.".repeat(BearerToken::MAX_LENGTH / 2),
        reason::TOKEN_MALFORMED,
    );
}

#[test]
fn attack_11_deep_nesting_is_refused_without_a_stack_overflow() {
    let guard = guard();
    for depth in [200, 4_000, 6_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            let payload = claims_and(&format!(",\"deep\":{deep}"));
            let token = signed(&good_header(), &payload);
            if token.len() <= BearerToken::MAX_LENGTH {
                guard.refuses(&token, reason::CLAIMS_MALFORMED);
            }
            let header = good_header().replace('}', &format!(",\"deep\":{deep}}}"));
            let token = signed(&header, &good_claims().to_string());
            if token.len() <= BearerToken::MAX_LENGTH {
                guard.refuses(&token, reason::HEADER_MALFORMED);
            }
            for name in ["aud", "scope", "cnf", "exp", "iss"] {
                let payload = format!("{{\"{name}\":{deep}}}");
                let token = signed(&good_header(), &payload);
                if token.len() <= BearerToken::MAX_LENGTH {
                    guard.refuses_somehow(&token);
                }
            }
        }
    }
    // On a stack as small as a runtime's thread may have, and unclosed, at the size limit.
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(|| {
            let guard = Guard::of(ALGORITHM);
            for text in ["[".repeat(10_000), "{\"a\":".repeat(2_000)] {
                guard.refuses_somehow(&signed(&good_header(), &text));
                guard.refuses_somehow(&signed(&text, &good_claims().to_string()));
                let inside = claims_and(&format!(",\"deep\":{text}"));
                guard.refuses_somehow(&signed(&good_header(), &inside));
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

/// RFC 7515 §4, RFC 7519 §4.
#[test]
fn attack_12_members_are_unique_however_they_are_spelled() {
    let guard = guard();
    let kid = issuer(ALGORITHM).key_id();
    for header in [
        format!(r#"{{"alg":"EdDSA","alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","\u0061lg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","x":1,"x":1}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","x":1,"\u0078":1}}"#),
    ] {
        guard.refuses(
            &signed(&header, &good_claims().to_string()),
            reason::HEADER_MALFORMED,
        );
    }
    for more in [
        r#","sub":"alice""#,
        r#","sub":"mallory""#,
        r#","\u0073ub":"mallory""#,
        r#","\u0065xp":9999999999"#,
        r#","scope":"admin""#,
        r#","own":1,"own":1"#,
        r#","own":1,"o\u0077n":2"#,
        r#","":1,"":1"#,
    ] {
        guard.refuses(
            &signed(&good_header(), &claims_and(more)),
            reason::CLAIMS_MALFORMED,
        );
    }
}

/// However many there are: the names are compared in no more than linear time, and all of them.
#[test]
fn attack_12_also_among_a_thousand_members() {
    let guard = guard();
    let many = |last: &str| {
        let members: String = (0..1000).map(|n| format!(",\"m{n}\":0")).collect();
        signed(
            &good_header(),
            &claims_and(&format!("{members},\"{last}\":0")),
        )
    };
    guard.passes(&many("m1000"));
    for again in ["m0", "m23", "m24", "m500", "m999", "sub"] {
        guard.refuses(&many(again), reason::CLAIMS_MALFORMED);
    }
}

#[test]
fn attack_12_names_are_compared_in_their_case_and_escapes_are_otherwise_accepted() {
    let guard = guard();
    let claims = good_claims().to_string();
    guard.refuses(
        &signed(&good_header(), &claims.replace("\"iss\"", "\"ISS\"")),
        reason::CLAIM_MISSING,
    );
    guard.refuses(
        &signed(&good_header(), &claims.replace("\"exp\"", "\"Exp\"")),
        reason::CLAIM_MISSING,
    );
    guard.passes(&signed(
        &good_header(),
        &claims.replace("\"iss\"", "\"\\u0069ss\""),
    ));
    guard.passes(&signed(
        &good_header(),
        &claims.replace("https://login", "https:\\/\\/\\u006cogin"),
    ));
    guard.passes(&signed(
        &good_header().replace("EdDSA", "Ed\\u0044SA"),
        &claims,
    ));
}

/// RFC 7515 §4.1.11, RFC 7797 §7: no extension is understood.
#[test]
fn attack_13_nothing_critical_is_understood() {
    let guard = guard();
    let good = good_header();
    let with = |more: &str| {
        let header = good.replacen('{', &format!("{{{more},"), 1);
        signed(&header, &good_claims().to_string())
    };
    for crit in [
        r#""crit":["exp-x"],"exp-x":1"#,
        r#""crit":[]"#,
        r#""crit":["alg"]"#,
        r#""crit":["exp"]"#,
        r#""crit":["b64"],"b64":true"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":["exp-x","exp-x"],"exp-x":1"#,
        r#""crit":"exp-x""#,
        r#""crit":null"#,
        r#""crit":{}"#,
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""zip":null"#,
    ] {
        guard.refuses(&with(crit), reason::HEADER_UNSUPPORTED);
    }
    guard.refuses(&with(r#""b64":"false""#), reason::HEADER_MALFORMED);
    guard.refuses(&with(r#""b64":0"#), reason::HEADER_MALFORMED);
    // What is not critical is ignored (RFC 7515 §4).
    guard.passes(&with(r#""exp-x":1,"cty":"x","x5t":"y""#));
}

/// RFC 7519 §7.2: UTF-8, and a JSON object, with nothing behind it.
#[test]
fn header_and_payload_are_one_json_object_in_utf_8() {
    let guard = guard();
    let good = good_claims().to_string();
    for bad in [
        "",
        "[]",
        "hello",
        "null",
        "1",
        "\"{}\"",
        "{",
        "{}}",
        "{} {}",
        "{}x",
        "{'iss':1}",
        "{\"a\":1,}",
        "[{\"iss\":1}]",
    ] {
        let refused = guard.refuses_somehow(&signed(&good_header(), bad));
        assert!(
            [reason::CLAIMS_MALFORMED, reason::TOKEN_MALFORMED].contains(&refused),
            "{bad}"
        );
        let refused = guard.refuses_somehow(&signed(bad, &good));
        assert!(
            [reason::HEADER_MALFORMED, reason::TOKEN_MALFORMED].contains(&refused),
            "{bad}"
        );
    }
    guard.refuses(&signed(&good_header(), "{}"), reason::CLAIM_MISSING);
    guard.refuses(&signed("{}", &good), reason::ALGORITHM_NOT_ALLOWED);
    guard.refuses(&signed("[\"EdDSA\"]", &good), reason::HEADER_MALFORMED);
    let issuer = issuer(ALGORITHM);
    for bytes in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80"] {
        let payload = [b"{\"x\":\"", bytes, b"\",", &good.as_bytes()[1..]].concat();
        let token = issuer.sign_raw(good_header().as_bytes(), &payload).unwrap();
        guard.refuses(&token, reason::CLAIMS_MALFORMED);
        let header = [b"{\"x\":\"", bytes, b"\",", &good_header().as_bytes()[1..]].concat();
        let token = issuer.sign_raw(&header, good.as_bytes()).unwrap();
        guard.refuses(&token, reason::HEADER_MALFORMED);
    }
    let bom = format!("\u{feff}{good}");
    guard.refuses(&signed(&good_header(), &bom), reason::CLAIMS_MALFORMED);
}

/// A header longer than is usual, and more claims than are usual, pass all the same.
#[test]
fn long_tokens_pass_up_to_the_limit() {
    let guard = guard();
    let header = good_header().replacen('{', &format!("{{\"x5c\":[\"{}\"],", "A".repeat(3_000)), 1);
    let payload = json!({ "exp": NOW + 1 }).to_string();
    guard.refuses(&signed(&header, &payload), reason::CLAIM_MISSING);
    guard.passes(&signed(
        &header,
        &claims_and(&format!(",\"x\":\"{}\"", "y".repeat(6_000))),
    ));
}
