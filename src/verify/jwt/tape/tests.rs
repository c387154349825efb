//! A tape says what its text says, or nothing.

use std::{collections::BTreeMap, fmt::Debug};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::*;

fn taken_down(json: &str) -> Tape<'_> {
    let mut tape = Tape::default();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    tape.deserialize(&mut deserializer).unwrap();
    tape
}

/// Whether the tape was enough.
#[track_caller]
fn agrees<C: DeserializeOwned + Debug>(json: &str) -> bool {
    let from_text = serde_json::from_str::<C>(json);
    let tape = taken_down(json);
    let Some(mut replay) = tape.replay() else {
        return false;
    };
    match (C::deserialize(&mut replay), from_text) {
        (Ok(from_tape), Ok(from_text)) => {
            assert_eq!(format!("{from_tape:?}"), format!("{from_text:?}"), "{json}");
            assert!(replay.events.is_empty(), "{json}");
            true
        }
        (Ok(from_tape), Err(error)) => panic!("{json}: {from_tape:?}, but by its text {error}"),
        (Err(_), _) => false,
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum Plan {
    Free,
    Paid(u8),
    Shared { with: Vec<String> },
    Pair(u8, u8),
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Name(String);

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct User {
    name: Name,
    plan: Plan,
    age: Option<u8>,
    #[serde(default)]
    since: f64,
    #[serde(default)]
    home: (i32, i32),
    #[serde(default)]
    roles: BTreeMap<String, Vec<Name>>,
    #[serde(default)]
    nothing: (),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Strict {
    name: String,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Open {
    name: Option<Name>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[allow(dead_code)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

const OBJECTS: [&str; 22] = [
    r#"{}"#,
    r#"{"name":"alice","plan":"free"}"#,
    r#"{"name":"alice","plan":"free","age":7,"since":1.5,"home":[1,-2],"nothing":null}"#,
    r#"{"name":"alice","plan":{"paid":9},"age":null,"since":1700000000}"#,
    r#"{"name":"alice","plan":{"shared":{"with":["bob","eve"]}},"roles":{"app":["a","b"],"none":[]}}"#,
    r#"{"name":"alice","plan":{"pair":[1,2]}}"#,
    r#"{"name":"alice","plan":{"pair":[1,2,3]}}"#,
    r#"{"name":"alice","plan":{"pair":[1]}}"#,
    r#"{"name":"alice","plan":{"paid":9,"free":null}}"#,
    r#"{"name":"alice","plan":{}}"#,
    r#"{"name":"alice","plan":{"free":null}}"#,
    r#"{"name":"alice","plan":"paid"}"#,
    r#"{"name":"alice","plan":"gold"}"#,
    r#"{"name":"alice","plan":"free","home":[1,2,3]}"#,
    r#"{"name":"alice","plan":"free","age":256}"#,
    r#"{"name":"alice","plan":"free","age":"7"}"#,
    r#"{"name":null,"plan":null}"#,
    r#"{"name":["alice"],"plan":["free"]}"#,
    r#"{"name":{"name":"alice"},"more":{"deep":[[{"er":[true,false,null]}],[]]}}"#,
    r#"{"a":-1,"b":-0.0,"c":0,"d":18446744073709551615,"e":18446744073709551616,"f":1e300}"#,
    r#"{"name":"al\u0069ce","plan":"free"}"#,
    r#"{"n\u0061me":"alice","plan":"free"}"#,
];

#[test]
fn it_never_says_anything_else_than_its_text() {
    for json in OBJECTS {
        agrees::<Value>(json);
        agrees::<User>(json);
        agrees::<Option<User>>(json);
        agrees::<Strict>(json);
        agrees::<Open>(json);
        agrees::<BTreeMap<String, Value>>(json);
        agrees::<BTreeMap<Name, OneOrMany>>(json);
        agrees::<BTreeMap<String, u128>>(json);
        agrees::<BTreeMap<String, i128>>(json);
        agrees::<BTreeMap<String, f32>>(json);
        agrees::<BTreeMap<char, Option<i64>>>(json);
        agrees::<BTreeMap<String, Box<RawValue>>>(json);
        agrees::<BTreeMap<String, Vec<u8>>>(json);
    }
}

#[test]
fn it_is_enough_for_what_tokens_hold() {
    for json in &OBJECTS[1..6] {
        assert!(agrees::<User>(json), "{json}");
        assert!(agrees::<Open>(json), "{json}");
    }
}

#[test]
fn it_knows_what_it_has_not() {
    for json in [
        r#"{"name":"al\u0069ce"}"#,
        r#"{"n\u0061me":"alice"}"#,
        r#"{"name":["alice",["b\n"]]}"#,
    ] {
        assert!(taken_down(json).replay().is_none(), "{json}");
    }
    for (length, enough) in [(LENGTH - 1, true), (LENGTH, false), (1000, false)] {
        let list = serde_json::to_string(&vec![1; length]).unwrap();
        assert_eq!(agrees::<Vec<u8>>(&list), enough, "{length}");
    }
}
