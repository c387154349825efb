//! JSON as tokens need it: objects whose members are unique, nested no deeper than the stack bears.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of a JSON object in their order; `None` if it is none, or has one twice.
pub(crate) fn object(json: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

    impl<'de> Deserialize<'de> for Object<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Members;

            impl<'de> Visitor<'de> for Members {
                type Value = Object<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                    let mut names = Names::default();
                    let mut members = Vec::new();
                    while let Some(Text(name)) = map.next_key()? {
                        names.add(name.clone())?;
                        members.push((name, map.next_value()?));
                    }
                    Ok(Object(members))
                }
            }

            deserializer.deserialize_map(Members)
        }
    }

    serde_json::from_str::<Object<'_>>(json)
        .ok()
        .map(|object| object.0)
}

/// A string, borrowed where it is spelled without escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Any value, read and thrown away.
///
/// Unlike `serde::de::IgnoredAny`, which `serde_json` skips without recursion and so without its
/// limit, this one refuses what is nested deeper than 128 levels.
pub(crate) struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Skip;

        impl<'de> Visitor<'de> for Skip {
            type Value = Skipped;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_unit<E>(self) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Skipped, A::Error> {
                while seq.next_element::<Skipped>()?.is_some() {}
                Ok(Skipped)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skipped, A::Error> {
                while map.next_entry::<Skipped, Skipped>()?.is_some() {}
                Ok(Skipped)
            }
        }

        deserializer.deserialize_any(Skip)
    }
}

/// How many names are kept without an allocation: tokens seldom have more members.
const FIRST: usize = 24;

/// The names of an object's members so far, which must be unique (RFC 7515 §4, RFC 7519 §4).
pub(crate) struct Names<'a> {
    first: [&'a str; FIRST],
    count: usize,
    // One bit for each kind of name there was: most names are seen to be new by it.
    seen: u64,
    // What is more, and what is spelled with escapes: a set with a keyed hash, so that a thousand names
    // do not take a million comparisons.
    others: Option<HashSet<Cow<'a, str>>>,
}

impl Default for Names<'_> {
    fn default() -> Self {
        Self {
            first: [""; FIRST],
            count: 0,
            seen: 0,
            others: None,
        }
    }
}

impl<'a> Names<'a> {
    pub(crate) fn add<E: Error>(&mut self, name: Cow<'a, str>) -> Result<(), E> {
        let bit = bit_of(&name);
        let maybe_seen = self.seen & bit != 0;
        self.seen |= bit;
        let others = self.others.as_ref();
        if maybe_seen
            && (self.first.iter().take(self.count).any(|seen| *seen == name)
                || others.is_some_and(|others| others.contains(&name)))
        {
            return Err(E::custom("a member stands twice"));
        }
        match (name, self.first.get_mut(self.count)) {
            (Cow::Borrowed(name), Some(slot)) => {
                *slot = name;
                self.count = self.count.saturating_add(1);
            }
            (name, _) => {
                self.others.get_or_insert_default().insert(name);
            }
        }
        Ok(())
    }
}

fn bit_of(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let first = bytes.first().copied().unwrap_or_default();
    let last = bytes.last().copied().unwrap_or_default();
    let mix = u32::from(first)
        .wrapping_add(u32::from(last).wrapping_mul(7))
        .wrapping_add((bytes.len() as u32).wrapping_mul(13));
    1 << (mix % 64)
}
