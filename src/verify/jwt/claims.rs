//! The payload of a JWT, and the registered claims in it.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{fault, invalid, rules::AtSight};
use crate::{
    clock::NumericDate,
    error::{AuthError, reason},
    json::{self, Names, Text},
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
    /// Reads a JSON object with unique members, nested no deeper than serde_json reads it, and stops at a
    /// claim that `at_sight` rejects: most rejected tokens are expired, and most of their claims stand
    /// behind `exp`.
    pub(super) fn parse(json: &'a str, at_sight: &AtSight<'_>) -> Result<Self, AuthError> {
        let malformed = || {
            fault::report_malformed(json);
            invalid(reason::CLAIMS_MALFORMED)
        };
        if !json::is_shallow(json) {
            return Err(malformed());
        }
        let mut payload = Self::default();
        let mut rejection = None;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let members = Members {
            claims: &mut payload,
            at_sight,
            rejection: &mut rejection,
        };
        let read = deserializer
            .deserialize_map(members)
            .and_then(|()| deserializer.end());
        match (rejection, read) {
            // What was left unread is an error too, but not the one that matters.
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(payload),
            (None, Err(_)) => Err(malformed()),
        }
    }
}

/// Fills in the claims where they are to be: they are many, and moving them takes its time.
struct Members<'p, 'a> {
    claims: &'p mut Payload<'a>,
    at_sight: &'p AtSight<'p>,
    rejection: &'p mut Option<AuthError>,
}

impl Members<'_, '_> {
    /// Whether a claim that was judged so is the last to be read.
    fn stops_at(&mut self, judgement: Result<(), AuthError>) -> bool {
        *self.rejection = judgement.err();
        self.rejection.is_some()
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
            match &*name {
                "iss" => {
                    let Text(issuer) = map.next_value()?;
                    let judgement = self.at_sight.issuer(&issuer);
                    self.claims.issuer = Some(issuer);
                    if self.stops_at(judgement) {
                        return Ok(());
                    }
                }
                "sub" => self.claims.subject = Some(map.next_value::<Text<'de>>()?.0),
                "aud" => {
                    let audience = map.next_value()?;
                    let judgement = self.at_sight.audience(&audience);
                    self.claims.audience = Some(audience);
                    if self.stops_at(judgement) {
                        return Ok(());
                    }
                }
                "client_id" => self.claims.client_id = Some(map.next_value::<Text<'de>>()?.0),
                "jti" => self.claims.id = Some(map.next_value::<Text<'de>>()?.0),
                "scope" => self.claims.scope = Some(map.next_value::<Texts<'de>>()?.scopes()?),
                "scp" => scp = Some(map.next_value::<Texts<'de>>()?.scopes()?),
                "exp" => {
                    let Date(expires_at) = map.next_value()?;
                    self.claims.expires_at = Some(expires_at);
                    if self.stops_at(self.at_sight.expires_at(expires_at)) {
                        return Ok(());
                    }
                }
                "nbf" => self.claims.not_before = Some(map.next_value::<Date>()?.0),
                "iat" => self.claims.issued_at = Some(map.next_value::<Date>()?.0),
                "cnf" => self.claims.confirmation = Some(map.next_value()?),
                // Its depth is known to be bounded.
                _ => {
                    map.next_value::<IgnoredAny>()?;
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
pub(super) struct Date(NumericDate);

impl Date {
    fn new<E: Error>(seconds: f64) -> Result<Self, E> {
        let seconds = seconds.ceil();
        let latest = NumericDate::MAX.as_secs() as f64;
        if (0.0..=latest).contains(&seconds) && !seconds.is_sign_negative() {
            Ok(Self(NumericDate::from_secs(seconds as u64)))
        } else {
            Err(E::custom("not a date between 1970 and 9999"))
        }
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Date;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Date, E> {
                Date::new(seconds as f64)
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Date, E> {
                Date::new(seconds as f64)
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Date, E> {
                Date::new(seconds)
            }
        }

        // Not `deserialize_any`: with `serde_json/arbitrary_precision`, which any crate of a tree may switch on,
        // that gives a number as a map.
        deserializer.deserialize_f64(Number)
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
    pub(super) fn scopes<E: Error>(self) -> Result<Self, E> {
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
