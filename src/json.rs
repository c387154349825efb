//! JSON as tokens need it: objects whose members are unique, nested no deeper than the stack bears.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of an object in their order.
pub(crate) type MembersOf<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The members of a JSON object in their order; `None` if it is none, or has one twice.
pub(crate) fn object(json: &str) -> Option<MembersOf<'_>> {
    read_object(json).ok()
}

/// As [`object`], with the reason why it is none. That quotes no value, but may quote the name of a member.
pub(crate) fn read_object(json: &str) -> serde_json::Result<MembersOf<'_>> {
    struct Object<'a>(MembersOf<'a>);

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

    serde_json::from_str::<Object<'_>>(json).map(|object| object.0)
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

/// The text of a document without the byte order mark that some editors and servers put before
/// it, which may be ignored (RFC 8259 §8.1).
#[cfg(all(feature = "jwt", feature = "_crypto"))]
pub(crate) fn without_bom(document: &str) -> &str {
    document.strip_prefix('\u{feff}').unwrap_or(document)
}

/// How deep arrays and objects may be nested in each other: as deep as serde_json reads them into values.
const MAX_DEPTH: usize = 127;

/// Whether arrays and objects are nested no deeper than serde_json reads them.
///
/// Where serde_json skips a value, it does not count, and a feature of it that any crate of a tree may switch on
/// lets the user's own types lift its limit. So the count is taken here, of the text as it came.
pub(crate) fn is_shallow(json: &str) -> bool {
    // Most texts hold so few brackets that where they stand does not matter.
    opening_brackets(json.as_bytes()) <= MAX_DEPTH || depth(json) <= MAX_DEPTH
}

/// Counts `[` and `{`, in chunks so small that a byte can count them, because the compiler then compares sixteen
/// bytes at a time: 560 bytes take 20 ns, and one by one 140.
fn opening_brackets(json: &[u8]) -> usize {
    // The two differ in one bit.
    let opens = |byte: &u8| u8::from(byte & !0x20 == b'[');
    let chunks = json.chunks(128);
    let counts = chunks.map(|chunk| chunk.iter().map(opens).fold(0, u8::wrapping_add));
    counts.map(usize::from).sum()
}

/// How deep the brackets outside of strings are nested.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(all(feature = "jwt", feature = "_crypto"))]
/// What the names begin with by which serde_json knows its own types.
const PRIVATE: &str = "$serde_json::private::";

#[cfg(all(feature = "jwt", feature = "_crypto"))]
/// Whether some object in this JSON text, at any depth, has a member whose name begins as serde_json's private names
/// do. With such a name the author of the text, not the user's type, says how a value is read.
pub(crate) fn has_private_names(json: &str) -> bool {
    // Neither their first character nor an escape of it stands in most texts, which is found out in a tenth of
    // the time.
    let plain = memchr::memchr2(b'$', b'\\', json.as_bytes()).is_none();
    // No other escape can spell a character of theirs.
    let suspicious = !plain && (json.contains(PRIVATE) || json.contains("\\u"));
    suspicious && names_privately(json.trim_ascii_start())
}

#[cfg(all(feature = "jwt", feature = "_crypto"))]
fn names_privately(value: &str) -> bool {
    if !value.starts_with(['{', '[']) {
        return false;
    }
    match serde_json::from_str::<Children<'_>>(value) {
        Ok(children) => {
            children.private
                || children
                    .values
                    .iter()
                    .any(|child| names_privately(child.get()))
        }
        Err(_) => true,
    }
}

#[cfg(all(feature = "jwt", feature = "_crypto"))]
/// What an array or object holds.
#[derive(Default)]
struct Children<'a> {
    private: bool,
    values: Vec<&'a RawValue>,
}

#[cfg(all(feature = "jwt", feature = "_crypto"))]
impl<'de> Deserialize<'de> for Children<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Children<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array or object")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Children<'de>, A::Error> {
                let mut children = Children::default();
                while let Some(value) = seq.next_element()? {
                    children.values.push(value);
                }
                Ok(children)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Children<'de>, A::Error> {
                let mut children = Children::default();
                while let Some(Text(name)) = map.next_key()? {
                    children.private |= name.starts_with(PRIVATE);
                    children.values.push(map.next_value()?);
                }
                Ok(children)
            }
        }

        deserializer.deserialize_any(Collect)
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
            return Err(E::custom(format_args!("the member `{name}` stands twice")));
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

#[cfg(test)]
mod tests;
