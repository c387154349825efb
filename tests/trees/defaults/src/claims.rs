//! Attack 39: claims are what serde_json reads, whatever its features.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use tower_bearer::reason;

use crate::*;

#[derive(Debug, PartialEq, Deserialize)]
struct Plain {
    name: String,
    age: Option<u8>,
    height: Option<f64>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Flat {
    #[serde(flatten)]
    all: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Numbers { age: i64 },
    Names { name: String },
    Any(BTreeMap<String, Value>),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "role")]
enum Tagged {
    Admin { age: Option<u8> },
    User { name: Option<String> },
}

#[derive(Debug, PartialEq, Default)]
struct Lenient(bool);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(bool::deserialize(deserializer).unwrap_or_default()))
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct LenientField {
    #[serde(default)]
    age: Lenient,
}

#[derive(Debug, PartialEq, Deserialize)]
struct IntegerKeys {
    name: Option<BTreeMap<u64, Value>>,
}

#[derive(Debug, Deserialize)]
struct Raw {
    age: Option<Box<RawValue>>,
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        let text = |raw: &Self| raw.age.as_ref().map(|raw| raw.get().to_owned());
        text(self) == text(other)
    }
}

fn assert_same<C>(verifier: &JwtVerifier<C>, payload: &str)
where
    C: DeserializeOwned + Debug + PartialEq + Send + Sync + 'static,
{
    let ours = verify(verifier, &signed(payload));
    match (ours, serde_json::from_str::<C>(payload)) {
        (Ok(ours), Ok(theirs)) => assert_eq!(*ours, theirs, "{payload}"),
        (Err(ours), Err(_)) => assert_eq!(ours.reason(), reason::CLAIMS_MALFORMED, "{payload}"),
        (ours, theirs) => panic!("{payload}\nours:   {ours:?}\ntheirs: {theirs:?}"),
    }
}

/// Members of a payload, all of them JSON, made from a seed.
struct Members(u64);

impl Members {
    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        all[(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % all.len()]
    }

    fn value(&mut self, depth: u32) -> String {
        match self.one_of(&["array", "object", "scalar", "scalar", "scalar"]) {
            "array" if depth > 0 => {
                let (one, other) = (self.value(depth - 1), self.value(depth - 1));
                format!("[{one}, {other}]")
            }
            "object" if depth > 0 => {
                let (name, value) = (self.one_of(&["1", "2", "a", "-7"]), self.value(depth - 1));
                format!(r#"{{"{name}":{value}}}"#)
            }
            _ => self
                .one_of(&[
                    "0", "-0", "7", "-1", "255", "256", "1.5", "1e3", "1E-400", "12345678901234567890123", "true",
                    "null", r#""Admin""#, r#""User""#, r#""a\nb""#, "0.1000000000000000055511151231257827",
                ])
                .to_owned(),
        }
    }

    fn text(&mut self) -> String {
        let members = ["name", "age", "height", "role", "x"].map(|name| {
            let there = self.one_of(&["", "there"]) == "there";
            there.then(|| format!(r#""{name}":{}"#, self.value(3)))
        });
        let members: Vec<String> = members.into_iter().flatten().collect();
        if members.is_empty() { r#""y":1"#.to_owned() } else { members.join(",") }
    }
}

#[test]
fn claims_are_what_serde_json_reads() {
    let issuer = issuer();
    let mut members = Members(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3_000 {
        let payload = claims_and(&members.text());
        assert_same::<Value>(&verifier(&issuer), &payload);
        assert_same::<Plain>(&verifier(&issuer), &payload);
        assert_same::<Flat>(&verifier(&issuer), &payload);
        assert_same::<Untagged>(&verifier(&issuer), &payload);
        assert_same::<Tagged>(&verifier(&issuer), &payload);
        assert_same::<LenientField>(&verifier(&issuer), &payload);
        assert_same::<IntegerKeys>(&verifier(&issuer), &payload);
        assert_same::<Raw>(&verifier(&issuer), &payload);
    }
}

/// Attack 14: dates are judged as without `arbitrary_precision`.
#[test]
fn dates_are_numbers() {
    let issuer = issuer();
    for (exp, passes) in [
        ("1700000300", true),
        ("1700000300.5", true),
        ("1.7000003e9", true),
        ("1e999", false),
        ("-1", false),
        ("-0", false),
        ("9223372036854775808", false),
        ("123456789012345678901234567890", false),
        ("\"1700000300\"", false),
        ("null", false),
        (r#"{"$serde_json::private::Number":"1700000300"}"#, false),
    ] {
        let payload = format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{exp}}}"#);
        let verdict = verify(&verifier::<()>(&issuer), &signed(&payload));
        assert_eq!(verdict.is_ok(), passes, "{exp}");
    }
}

/// Reads a value without the limit of serde_json, as `unbounded_depth` lets any type do.
#[derive(Debug)]
struct Unbounded;

impl<'de> Deserialize<'de> for Unbounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        let mut unbounded = serde_json::Deserializer::from_str(raw.get());
        unbounded.disable_recursion_limit();
        Value::deserialize(&mut unbounded).map_err(serde::de::Error::custom)?;
        Ok(Self)
    }
}

/// Attack 11, for a type that lifts the limit.
#[test]
fn depth_stays_bounded() {
    let issuer = issuer();
    for (depth, passes) in [(100, true), (126, true), (127, false), (5_000, false)] {
        let more = format!(r#""x":{}0{}"#, "[".repeat(depth), "]".repeat(depth));
        let token = signed(&claims_and(&more));
        assert_eq!(verify(&verifier::<Unbounded>(&issuer), &token).is_ok(), passes, "{depth}");
        assert_eq!(verify(&verifier::<()>(&issuer), &token).is_ok(), passes, "{depth}");
    }
    let mut nested = "[]".to_owned();
    for _ in 0..10 {
        nested = json!({ "$serde_json::private::RawValue": nested }).to_string();
    }
    let token = signed(&claims_and(&format!(r#""x":{nested}"#)));
    assert!(verify(&verifier::<Value>(&issuer), &token).is_err());
    let number = r#""x":{"$serde_json::private::Number":"1"}"#;
    assert!(verify(&verifier::<Value>(&issuer), &signed(&claims_and(number))).is_err());
}
