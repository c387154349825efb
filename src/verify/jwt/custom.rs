//! The user's part of the claims, as serde_json reads it from the text of the payload.

use std::cell::Cell;

use serde::{
    Deserializer,
    de::{DeserializeOwned, Visitor},
};

/// Reads `C` from `json` exactly as `serde_json::from_str` does, end included.
///
/// The exception is a `C` that is `()` or a unit struct: it asks for nothing of the payload, and is given for any
/// object. So `json` must have been read as an object before.
pub(super) fn read<C: DeserializeOwned>(json: &str) -> serde_json::Result<C> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let was_unit = Cell::new(false);
    let custom = C::deserialize(OrUnit {
        inner: &mut deserializer,
        was_unit: &was_unit,
    })?;
    if !was_unit.get() {
        deserializer.end()?;
    }
    Ok(custom)
}

/// serde_json's deserializer, except that it gives a unit where one is asked for.
struct OrUnit<'a, D> {
    inner: D,
    was_unit: &'a Cell<bool>,
}

impl<'de, D: Deserializer<'de>> OrUnit<'_, D> {
    fn unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.was_unit.set(true);
        visitor.visit_unit()
    }
}

/// Hands a method on as it is: serde_json alone decides what a hint means.
macro_rules! hand_on {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            self.inner.$method($($argument,)* visitor)
        }
    )* };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for OrUnit<'_, D> {
    type Error = D::Error;

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.unit(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.unit(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }

    hand_on! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_seq();
        deserialize_map();
        deserialize_identifier();
        deserialize_ignored_any();
        deserialize_newtype_struct(name: &'static str);
        deserialize_tuple(length: usize);
        deserialize_tuple_struct(name: &'static str, length: usize);
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
    }
}

#[cfg(test)]
mod tests;
