//! What a payload was found to say: [`Tape`], so that its text need not be read once more for the user's
//! part of the claims.

use std::{borrow::Cow, fmt};

use arrayvec::ArrayVec;
use serde::{
    Deserializer,
    de::{
        DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::Result;

/// Enough for what tokens usually hold, and little enough for the stack.
const LENGTH: usize = 64;

/// One thing after the other, as they stand in the text.
pub(super) struct Tape<'a> {
    events: ArrayVec<Event<'a>, LENGTH>,
    /// Whether nothing is missing: text that is spelled with escapes cannot be kept without a copy, and is
    /// left to a second reading, as is what is too long.
    whole: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Event<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
    /// An array of so many elements.
    Array(usize),
    /// An object of so many members, each of them a name and a value.
    Object(usize),
}

impl Default for Tape<'_> {
    fn default() -> Self {
        Self {
            events: ArrayVec::new(),
            whole: true,
        }
    }
}

impl<'a> Tape<'a> {
    pub(super) fn push(&mut self, event: Event<'a>) {
        if self.events.try_push(event).is_err() {
            self.leave_out();
        }
    }

    /// Something is not taken down.
    pub(super) fn leave_out(&mut self) {
        self.whole = false;
    }

    #[allow(
        clippy::ptr_arg,
        reason = "what is not borrowed from the text cannot be kept"
    )]
    pub(super) fn push_text(&mut self, text: &Cow<'a, str>) {
        match text {
            Cow::Borrowed(text) => self.push(Event::Text(text)),
            Cow::Owned(_) => self.leave_out(),
        }
    }

    /// Begins an array or object, whose size is said when it is known.
    pub(super) fn begin(&mut self) -> usize {
        let place = self.events.len();
        self.push(Event::Null);
        place
    }

    pub(super) fn end(&mut self, place: usize, event: Event<'a>) {
        if let Some(slot) = self.events.get_mut(place) {
            *slot = event;
        }
    }

    /// What is on it, if nothing is missing.
    pub(super) fn replay(&self) -> Option<Replay<'_, 'a>> {
        self.whole.then_some(Replay {
            events: &self.events,
        })
    }
}

/// Takes down any value. It recurses, and so keeps the limit of `serde_json`, which its own way of ignoring
/// a value does not.
impl<'de> DeserializeSeed<'de> for &mut Tape<'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Tape<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        self.push(Event::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<(), E> {
        self.push(Event::Bool(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<(), E> {
        self.push(Event::Unsigned(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<(), E> {
        self.push(Event::Signed(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<(), E> {
        self.push(Event::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<(), E> {
        self.push(Event::Text(text));
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<(), E> {
        self.leave_out();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        let (place, mut count) = (self.begin(), 0_usize);
        while seq.next_element_seed(&mut *self)?.is_some() {
            count = count.saturating_add(1);
        }
        self.end(place, Event::Array(count));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let (place, mut count) = (self.begin(), 0_usize);
        while map.next_key_seed(&mut *self)?.is_some() {
            map.next_value_seed(&mut *self)?;
            count = count.saturating_add(1);
        }
        self.end(place, Event::Object(count));
        Ok(())
    }
}

/// Reads from a tape. Whoever asks for something that is not on it, such as the JSON itself, gets an error,
/// and is to read the text.
pub(super) struct Replay<'t, 'a> {
    events: &'t [Event<'a>],
}

impl<'t, 'a> Replay<'t, 'a> {
    fn next(&mut self) -> Result<Event<'a>> {
        let (first, rest) = self.events.split_first().ok_or_else(not_there)?;
        self.events = rest;
        Ok(*first)
    }

    fn peek(&self) -> Option<Event<'a>> {
        self.events.first().copied()
    }

    /// Gives so many elements, or members, all of which must be taken.
    fn give<T>(
        &mut self,
        count: usize,
        take: impl FnOnce(&mut Elements<'_, 't, 'a>) -> Result<T>,
    ) -> Result<T> {
        let mut elements = Elements {
            replay: self,
            left: count,
        };
        let taken = take(&mut elements)?;
        match elements.left {
            0 => Ok(taken),
            _ => Err(not_there()),
        }
    }
}

#[cold]
fn not_there() -> serde_json::Error {
    Error::custom("not on the tape")
}

impl<'de> Deserializer<'de> for &mut Replay<'_, 'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next()? {
            Event::Null => visitor.visit_unit(),
            Event::Bool(value) => visitor.visit_bool(value),
            Event::Unsigned(value) => visitor.visit_u64(value),
            Event::Signed(value) => visitor.visit_i64(value),
            Event::Float(value) => visitor.visit_f64(value),
            Event::Text(text) => visitor.visit_borrowed_str(text),
            Event::Array(count) => self.give(count, |elements| visitor.visit_seq(elements)),
            Event::Object(count) => self.give(count, |members| visitor.visit_map(members)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(Event::Null) => self.deserialize_any(visitor),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match name {
            // serde_json's raw values are a newtype of this name.
            "$serde_json::private::RawValue" => Err(not_there()),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.next()? {
            Event::Text(text) => visitor.visit_enum(text.into_deserializer()),
            Event::Object(count) => self.give(count, |members| {
                visitor.visit_enum(MapAccessDeserializer::new(members))
            }),
            _ => Err(not_there()),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// What an array or object holds.
struct Elements<'r, 't, 'a> {
    replay: &'r mut Replay<'t, 'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, '_, 'de> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.replay).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Elements<'_, '_, 'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.replay)
    }
}

#[cfg(test)]
mod tests;
