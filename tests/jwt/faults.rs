//! What the log says of a claim that a token was rejected for, and where its value appears besides: nowhere
//! (attack 44).

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tower_bearer::{Algorithm, JwtVerifier, TrustedIssuer};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    subscriber::set_default,
};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
    registry,
};

use crate::{AUDIENCE, ISSUER, NOW, claims_with, clock, issuer, verify};

const ALGORITHM: Algorithm = Algorithm::ES256;

/// The events as lines of text, with their level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let level = *event.metadata().level();
        self.0.lock().unwrap().push((level, line.0));
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

#[derive(Debug, Deserialize)]
struct Own {
    #[serde(default, rename = "tenant")]
    _tenant: Option<u8>,
    #[serde(default, rename = "address")]
    _address: Option<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    #[serde(rename = "city")]
    _city: String,
}

fn verifier() -> JwtVerifier<Own> {
    JwtVerifier::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer(ALGORITHM).key().unwrap())
        .clock(clock())
        .build()
        .unwrap()
}

/// A token whose claims are this text.
fn token_of(payload: &str) -> String {
    issuer(ALGORITHM)
        .sign_raw(br#"{"alg":"ES256"}"#, payload.as_bytes())
        .unwrap()
}

/// Lets the verifier reject the token, and gives the only event, if there is one.
#[track_caller]
fn logged(verifier: &JwtVerifier<Own>, token: &str, filter: LevelFilter) -> Option<String> {
    let log = Log::default();
    let error = {
        let _guard = set_default(registry().with(log.clone().with_filter(filter)));
        verify(verifier, token).unwrap_err()
    };
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let shown = format!("{error} {error:?} {source}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    let mut events = std::mem::take(&mut *log.0.lock().unwrap());
    let event = events.pop();
    assert!(events.is_empty(), "{events:?}");
    event.map(|(level, line)| {
        assert_eq!(level, Level::DEBUG, "{line}");
        assert!(!line.contains(['\n', '\r', '\u{2028}']), "{line}");
        line
    })
}

#[test]
fn the_log_names_the_claim_and_its_fault_at_debug_alone() {
    let long = format!("s3cr3t{}", "x".repeat(5000));
    for (changes, claim, fault) in [
        (
            json!({ "exp": "s3cr3t" }),
            "exp",
            "`exp` is a string, must be a number",
        ),
        (
            json!({ "exp": -1 }),
            "exp",
            "`exp` is a number, must be a number of seconds, from 1970 to 9999: -1",
        ),
        (
            json!({ "nbf": null, "iat": [1] }),
            "iat",
            "`iat` is an array",
        ),
        (
            json!({ "sub": 7 }),
            "sub",
            "`sub` is a number, must be a string: 7",
        ),
        (
            json!({ "jti": { "a": "s3cr3t" } }),
            "jti",
            "`jti` is an object",
        ),
        (
            json!({ "aud": [1] }),
            "aud",
            "`aud` is an array, must be a string or an array of strings",
        ),
        (json!({ "scope": ["a b"] }), "scope", "without spaces"),
        (json!({ "sub": true }), "sub", "`sub` is a boolean"),
        (json!({ "exp": long }), "exp", "xxx…"),
        (json!({ "exp": NOW - 60 }), "exp", "it is 1700000000"),
        (json!({ "nbf": NOW + 61 }), "nbf", "`nbf` is 1700000061"),
        (
            json!({ "iss": "s3cr3t\nline" }),
            "iss",
            r#"`iss` is "s3cr3t\nline", must be one of ["https://login.example.com"]"#,
        ),
        (
            json!({ "aud": ["s3cr3t", "other"] }),
            "aud",
            r#"`aud` must be or contain one of ["https://api.example.com"], is ["s3cr3t", "other"]"#,
        ),
        (json!({ "cnf": {} }), "cnf", "`cnf` must be a JSON object"),
        (
            json!({ "tenant": "s3cr3t\u{2028}\n" }),
            "tenant",
            "invalid type: string \"s3cr3t",
        ),
        (
            json!({ "address": { "city": ["s3cr3t"] } }),
            "address",
            "invalid type: sequence",
        ),
        (
            json!({ "address": { "street": "s3cr3t" } }),
            "address",
            "missing field `city`",
        ),
    ] {
        let token = token_of(&claims_with(changes.clone()).to_string());
        let line = logged(&verifier(), &token, LevelFilter::DEBUG).expect("an event");
        assert!(line.contains("message=claim rejected"), "{line}");
        assert!(
            line.contains(&format!("claim={claim} ")),
            "{changes}: {line}"
        );
        assert!(line.contains(fault), "{changes}: {line}");
        assert!(line.len() < 800, "{line}");
        assert_eq!(logged(&verifier(), &token, LevelFilter::INFO), None);
    }
    // `claims_with` takes a null for absence.
    let null = claims_with(json!({}))
        .to_string()
        .replace("\"alice\"", "null");
    let line = logged(&verifier(), &token_of(&null), LevelFilter::DEBUG).unwrap();
    assert!(line.contains("`sub` is null, must be a string"), "{line}");
    for claim in ["iss", "aud", "exp"] {
        let token = token_of(&claims_with(json!({ claim: null })).to_string());
        let line = logged(&verifier(), &token, LevelFilter::DEBUG).unwrap();
        assert!(line.contains(&format!("`{claim}` is missing")), "{line}");
    }
}

#[test]
fn the_log_says_why_a_payload_cannot_be_read() {
    let claims = claims_with(json!({})).to_string();
    let and = |more: &str| format!("{},{more}}}", claims.strip_suffix('}').unwrap());
    for (payload, fault) in [
        (and(r#""sub":"s3cr3t""#), "the member `sub` stands twice"),
        (and("\"s3cr3t"), "EOF while parsing"),
        (
            "[]".to_owned(),
            "invalid type: sequence, expected an object",
        ),
        (
            and(&format!(r#""x":{}0{}"#, "[".repeat(200), "]".repeat(200))),
            "nested deeper than 127",
        ),
        (
            and(r#""$serde_json::private::Number":"s3cr3t""#),
            "serde_json keeps for itself",
        ),
    ] {
        let line = logged(&verifier(), &token_of(&payload), LevelFilter::DEBUG).unwrap();
        assert!(line.contains(fault), "{payload}: {line}");
        assert!(!line.contains("s3cr3t"), "{line}");
    }
    // A payload of several lines: the claim is still found.
    let pretty = claims_with(json!({ "tenant": "s3cr3t" }));
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    let line = logged(&verifier(), &token_of(&pretty), LevelFilter::DEBUG).unwrap();
    assert!(line.contains("claim=tenant "), "{line}");
}

#[test]
fn of_several_issuers_the_log_names_all() {
    let trusted = |name: &str| {
        TrustedIssuer::new(name)
            .audience(AUDIENCE)
            .key(issuer(ALGORITHM).key().unwrap())
    };
    let verifier = JwtVerifier::<Own>::builder()
        .trust(trusted("https://b.example"))
        .trust(trusted("https://a.example"))
        .clock(clock())
        .build()
        .unwrap();
    let token = |iss: Value| token_of(&claims_with(json!({ "iss": iss })).to_string());
    let line = logged(
        &verifier,
        &token(json!("https://c.example")),
        LevelFilter::DEBUG,
    )
    .unwrap();
    let expected = r#"`iss` is "https://c.example", must be one of ["https://a.example", "https://b.example"]"#;
    assert!(line.contains(expected), "{line}");
    let line = logged(&verifier, &token(Value::Null), LevelFilter::DEBUG).unwrap();
    assert!(line.contains("`iss` is missing"), "{line}");
}
