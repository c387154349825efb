//! The payload of a JWT: the registered claims, read in one pass, and the user's own.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

use super::{invalid, rules::AtSight};
use crate::{
    clock::NumericDate,
    error::{AuthError, reason},
    json::{Names, Skipped, Text},
};

/// The claims that the verifier looks at. One that is there is of the right type, or the payload is
/// not read at all: a wrong type is never taken for absence.
#[derive(Default)]
pub(super) struct Payload<'a> {
    pub(super) issuer: Option<Cow<'a, str>>,
    pub(super) subject: Option<Cow<'a, str>>,
    pub(super) audience: Option<Texts<'a>>,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) scope: Option<Texts<'a>>,
    pub(super) expires_at: Option<NumericDate>,
    pub(super) not_before: Option<NumericDate>,
    pub(super) issued_at: Option<NumericDate>,
    pub(super) confirmation: Option<&'a RawValue>,
}

impl<'a> Payload<'a> {
    /// Reads a JSON object with unique members, but no further than to a claim that `at_sight` refuses: an
    /// expired token is the commonest refusal, and most of its claims stand behind its `exp`.
    pub(super) fn parse(json: &'a str, at_sight: &AtSight<'_>) -> Result<Self, AuthError> {
        let mut payload = Self::default();
        let mut refusal = None;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let members = Members {
            claims: &mut payload,
            at_sight,
            refusal: &mut refusal,
        };
        let read = deserializer
            .deserialize_map(members)
            .and_then(|()| deserializer.end());
        match (refusal, read) {
            // What was left unread is an error too, but not the one that matters.
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(payload),
            (None, Err(_)) => Err(invalid(reason::CLAIMS_MALFORMED)),
        }
    }
}

/// Fills in the claims where they are to be: they are many, and moving them takes its time.
struct Members<'p, 'a> {
    claims: &'p mut Payload<'a>,
    at_sight: &'p AtSight<'p>,
    refusal: &'p mut Option<AuthError>,
}

impl Members<'_, '_> {
    /// Whether a claim that was judged so is the last to be read.
    fn stops_at(&mut self, judgement: Result<(), AuthError>) -> bool {
        *self.refusal = judgement.err();
        self.refusal.is_some()
    }
}

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claims set")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut scp = None;
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            let claims = &mut *self.claims;
            match &*name {
                "iss" => {
                    let Text(issuer) = map.next_value()?;
                    let judgement = self.at_sight.issuer(&issuer);
                    claims.issuer = Some(issuer);
                    if self.stops_at(judgement) {
                        return Ok(());
                    }
                }
                "sub" => claims.subject = Some(map.next_value::<Text<'de>>()?.0),
                "aud" => {
                    let audience = map.next_value()?;
                    let judgement = self.at_sight.audience(&audience);
                    claims.audience = Some(audience);
                    if self.stops_at(judgement) {
                        return Ok(());
                    }
                }
                "client_id" => claims.client_id = Some(map.next_value::<Text<'de>>()?.0),
                "jti" => claims.id = Some(map.next_value::<Text<'de>>()?.0),
                "scope" => claims.scope = Some(map.next_value::<Texts<'de>>()?.scopes()?),
                "scp" => scp = Some(map.next_value::<Texts<'de>>()?.scopes()?),
                "exp" => {
                    let Date(expires_at) = map.next_value()?;
                    claims.expires_at = Some(expires_at);
                    if self.stops_at(self.at_sight.expires_at(expires_at)) {
                        return Ok(());
                    }
                }
                "nbf" => claims.not_before = Some(map.next_value::<Date>()?.0),
                "iat" => claims.issued_at = Some(map.next_value::<Date>()?.0),
                "cnf" => claims.confirmation = Some(map.next_value()?),
                _ => {
                    map.next_value::<Skipped>()?;
                }
            }
            names.add::<A::Error>(name)?;
        }
        if self.claims.scope.is_none() {
            self.claims.scope = scp;
        }
        Ok(())
    }
}

/// A NumericDate of RFC 7519 §2: a number, fractions allowed. A fraction is rounded up, which for a
/// clock of whole seconds changes neither when `exp` is reached nor when `nbf` is.
struct Date(NumericDate);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?.ceil();
        let latest = NumericDate::MAX.as_secs() as f64;
        if (0.0..=latest).contains(&seconds) && !seconds.is_sign_negative() {
            Ok(Self(NumericDate::from_secs(seconds as u64)))
        } else {
            Err(D::Error::custom("no date between 1970 and 9999"))
        }
    }
}

/// A string, or an array of strings.
pub(super) enum Texts<'a> {
    One(Cow<'a, str>),
    Many(Vec<Text<'a>>),
}

impl<'a> Texts<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self {
            Self::One(text) => (Some(&**text), [].as_slice()),
            Self::Many(texts) => (None, texts.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|text| &*text.0))
    }

    /// An array of scopes may hold none that would fall into two, or into nothing, when they are
    /// joined by spaces.
    fn scopes<E: Error>(self) -> Result<Self, E> {
        match &self {
            Self::Many(scopes) if scopes.iter().any(|Text(s)| s.is_empty() || s.contains(' ')) => {
                Err(E::custom("a scope in an array is empty or holds a space"))
            }
            _ => Ok(self),
        }
    }
}

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Texts<'de>, E> {
                Ok(Texts::One(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts<'de>, E> {
                Ok(Texts::One(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts<'de>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(Texts::Many(texts))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// Reads the user's part of the claims from the same object, once [`Payload::parse`] has read it.
pub(super) fn custom<C: DeserializeOwned>(json: &str) -> serde_json::Result<C> {
    C::deserialize(Custom(&mut serde_json::Deserializer::from_str(json)))
}

/// A deserializer that gives `()` for an object, where nothing of it is asked for.
struct Custom<'a, 'de>(&'a mut serde_json::Deserializer<serde_json::de::StrRead<'de>>);

impl<'de> Deserializer<'de> for Custom<'_, 'de> {
    type Error = serde_json::Error;

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> serde_json::Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> serde_json::Result<V::Value> {
        // serde_json's raw values are a newtype of this name, which only it can read.
        if name == "$serde_json::private::RawValue" {
            self.0.deserialize_newtype_struct(name, visitor)
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> serde_json::Result<V::Value> {
        self.0.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> serde_json::Result<V::Value> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq tuple
        tuple_struct map identifier
    }
}
