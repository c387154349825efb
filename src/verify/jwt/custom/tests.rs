//! Attack 39: the user's claims are what serde_json gives for the same text and type, error or value.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::read;

#[derive(Debug, PartialEq, Deserialize)]
struct Plain {
    name: String,
    age: Option<u8>,
    #[serde(default)]
    admin: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    name: Option<String>,
    age: Option<f64>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Flat {
    age: Option<i64>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Numbers { age: i64 },
    Names { name: String, role: Option<String> },
    Any(BTreeMap<String, Value>),
}

#[derive(Debug, PartialEq, Deserialize)]
enum Role {
    Admin,
    User,
    Other(u8),
    Named { name: String },
}

#[derive(Debug, PartialEq, Deserialize)]
struct External {
    role: Role,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "role")]
enum Internal {
    Admin { age: Option<u8> },
    User { name: Option<String> },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "role", content = "name")]
enum Adjacent {
    Admin(u8),
    User { name: Option<String> },
}

/// A field that takes whatever comes, and leaves the text where the error was found.
#[derive(Debug, PartialEq, Default)]
struct Lenient<T>(T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(T::deserialize(deserializer).unwrap_or_default()))
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct LenientFields {
    #[serde(default)]
    age: Lenient<u8>,
    #[serde(default)]
    admin: Lenient<bool>,
    #[serde(default)]
    role: Lenient<String>,
}

/// Says by a hint what it wants, and takes also what it did not ask for, as UUIDs and byte strings do.
#[derive(Debug, PartialEq)]
struct Hinted(String);

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Hinted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Hinted, E> {
        Ok(Hinted(format!("text {text}")))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Hinted, E> {
        Ok(Hinted(format!("bytes {bytes:?}")))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Hinted, E> {
        Ok(Hinted(format!("number {number}")))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Hinted, E> {
        Ok(Hinted(format!("bool {value}")))
    }

    fn visit_unit<E: Error>(self) -> Result<Hinted, E> {
        Ok(Hinted("unit".to_owned()))
    }
}

macro_rules! hinted {
    ($($function:ident by $method:ident;)*) => { $(
        fn $function<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hinted, D::Error> {
            deserializer.$method(Anything)
        }
    )* };
}

hinted! {
    by_str by deserialize_str;
    by_bytes by deserialize_bytes;
    by_number by deserialize_u64;
    by_unit by deserialize_unit;
}

#[derive(Debug, PartialEq, Deserialize)]
struct HintedFields {
    #[serde(default = "nothing", deserialize_with = "by_str")]
    name: Hinted,
    #[serde(default = "nothing", deserialize_with = "by_bytes")]
    role: Hinted,
    #[serde(default = "nothing", deserialize_with = "by_number")]
    age: Hinted,
    #[serde(default = "nothing", deserialize_with = "by_unit")]
    admin: Hinted,
}

fn nothing() -> Hinted {
    Hinted(String::new())
}

#[derive(Debug, Deserialize)]
struct Raw {
    name: Option<Box<RawValue>>,
    age: Option<Box<RawValue>>,
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        let texts = |raw: &Self| {
            [&raw.name, &raw.age].map(|raw| raw.as_ref().map(|raw| raw.get().to_owned()))
        };
        texts(self) == texts(other)
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct IntegerKeys {
    name: Option<BTreeMap<u64, Value>>,
    age: Option<BTreeMap<i8, bool>>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Wide {
    age: Option<i128>,
    name: Option<(u128, char)>,
}

#[track_caller]
fn assert_same<C: DeserializeOwned + fmt::Debug + PartialEq>(json: &str) {
    match (read::<C>(json), serde_json::from_str::<C>(json)) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{json}"),
        (Err(ours), Err(theirs)) => assert_eq!(ours.to_string(), theirs.to_string(), "{json}"),
        (ours, theirs) => panic!("{json}\nours:   {ours:?}\ntheirs: {theirs:?}"),
    }
}

fn assert_same_as_every_type(json: &str) {
    assert_same::<Value>(json);
    assert_same::<Plain>(json);
    assert_same::<Strict>(json);
    assert_same::<Flat>(json);
    assert_same::<Untagged>(json);
    assert_same::<External>(json);
    assert_same::<Internal>(json);
    assert_same::<Adjacent>(json);
    assert_same::<LenientFields>(json);
    assert_same::<Lenient<BTreeMap<String, u8>>>(json);
    assert_same::<HintedFields>(json);
    assert_same::<Raw>(json);
    assert_same::<IntegerKeys>(json);
    assert_same::<BTreeMap<u64, Value>>(json);
    assert_same::<Wide>(json);
    assert_same::<Option<Plain>>(json);
}

/// Makes texts of JSON and of what nearly is, from a seed.
struct Texts(u64);

impl Texts {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }

    fn space(&mut self, to: &mut String) {
        if self.below(8) == 0 {
            to.push_str(self.one_of(&[" ", "\n", "\t", "  \r\n"]));
        }
    }

    fn name(&mut self, to: &mut String) {
        to.push_str(self.one_of(&[
            r#""name""#,
            r#""age""#,
            r#""admin""#,
            r#""role""#,
            r#""n\u0061me""#,
            r#""1""#,
            r#""-7""#,
            r#""18446744073709551615""#,
            r#""x""#,
            r#""""#,
            r#""Admin""#,
            r#""Named""#,
            r#""é""#,
        ]));
    }

    fn scalar(&mut self, to: &mut String) {
        to.push_str(self.one_of(&[
            "0",
            "-0",
            "7",
            "-1",
            "255",
            "256",
            "1.5",
            "1e3",
            "1e999",
            "-1E-400",
            "9223372036854775808",
            "18446744073709551616",
            "170141183460469231731687303715884105728",
            "01",
            "1.",
            "+1",
            "NaN",
            "true",
            "false",
            "null",
            "nul",
            r#""""#,
            r#""Admin""#,
            r#""User""#,
            r#""Other""#,
            r#""admin""#,
            r#""\u0041dmin""#,
            r#""\ud800""#,
            r#""\ud83d\ude00""#,
            r#""a\nb""#,
            r#""7""#,
            "\"\u{1}\"",
            r#""67e55044-10b1-426f-9247-bb680e5fe0c8""#,
            "'a'",
            "",
        ]));
    }

    fn value(&mut self, depth: u64, to: &mut String) {
        self.space(to);
        match self.below(10) {
            0 | 1 if depth > 0 => {
                to.push('[');
                for n in 0..self.below(4) {
                    if n > 0 {
                        to.push(',');
                    }
                    self.value(depth - 1, to);
                }
                to.push(']');
            }
            2 | 3 if depth > 0 => self.object(depth - 1, to),
            _ => self.scalar(to),
        }
        self.space(to);
    }

    fn object(&mut self, depth: u64, to: &mut String) {
        to.push('{');
        for n in 0..self.below(5) {
            if n > 0 {
                to.push(',');
            }
            self.space(to);
            self.name(to);
            self.space(to);
            to.push(':');
            self.value(depth, to);
        }
        to.push('}');
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        self.object(3, &mut text);
        match self.below(20) {
            0 => text.push_str(self.one_of(&["}", " {}", "1", ",", "\0", " "])),
            1 => drop(text.pop()),
            2 => text.insert_str(0, self.one_of(&["\u{feff}", "[", " "])),
            _ => {}
        }
        text
    }
}

/// 100 000 texts, or as many as `DIFFERENTIAL_TEXTS` says; `scripts/fuzz.sh` runs ten million.
#[test]
fn attack_39_claims_are_what_serde_json_reads() {
    let count = std::env::var("DIFFERENTIAL_TEXTS").map_or(100_000, |count| count.parse().unwrap());
    let mut texts = Texts(0x9e37_79b9_7f4a_7c15);
    let mut read = 0_u32;
    for _ in 0..count {
        let text = texts.text();
        assert_same_as_every_type(&text);
        read += u32::from(serde_json::from_str::<Value>(&text).is_ok());
    }
    // They are not all broken.
    assert!(u64::from(read) > count / 5, "{read} of {count}");
}

#[test]
fn attack_39_the_reported_cases() {
    for json in [
        r#"{"age":["admin",true,"x"],"name":"a"}"#,
        r#"{"role":0}"#,
        r#"{"name":{"1":true,"2":[]}}"#,
        r#"{"name":1}{}"#,
        r#"{"name":"a"} x"#,
        r#"{"age":{"a":1}}"#,
    ] {
        assert_same_as_every_type(json);
    }
}

#[test]
fn a_unit_asks_for_nothing_of_the_payload() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(transparent)]
    struct Transparent(());

    for json in ["{}", r#"{"name":"a"}"#] {
        assert!(read::<()>(json).is_ok());
        assert_eq!(read::<Unit>(json).unwrap(), Unit);
        assert_eq!(read::<Transparent>(json).unwrap(), Transparent(()));
        // Inside of another type it is what serde_json says.
        assert_same::<Option<()>>(json);
        assert_same::<BTreeMap<String, ()>>(json);
    }
    assert!(read::<serde::de::IgnoredAny>("{} x").is_err());
}
