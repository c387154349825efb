//! The payload of a JWT, and the registered claims in it.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    invalid,
    rules::AtSight,
    tape::{Event, Tape},
};
use crate::{
    clock::NumericDate,
    error::{AuthError, reason},
    json::{Names, Text},
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
    /// expired token is the commonest refusal, and most of its claims stand behind its `exp`. All that is
    /// read is taken down on `tape`.
    pub(super) fn parse(
        json: &'a str,
        at_sight: &AtSight<'_>,
        tape: &mut Tape<'a>,
    ) -> Result<Self, AuthError> {
        let mut payload = Self::default();
        let mut refusal = None;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let members = Members {
            claims: &mut payload,
            tape,
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
    tape: &'p mut Tape<'a>,
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
        let (object, mut count) = (self.tape.begin(), 0_usize);
        while let Some(Text(name)) = map.next_key()? {
            let (claims, tape) = (&mut *self.claims, &mut *self.tape);
            tape.push_text(&name);
            match &*name {
                "iss" => {
                    let issuer = tape.text(map.next_value()?);
                    let judgement = self.at_sight.issuer(&issuer);
                    claims.issuer = Some(issuer);
                    if self.stops_at(judgement) {
                        return Ok(());
                    }
                }
                "sub" => claims.subject = Some(tape.text(map.next_value()?)),
                "aud" => {
                    let audience = tape.texts(map.next_value()?);
                    let judgement = self.at_sight.audience(&audience);
                    claims.audience = Some(audience);
                    if self.stops_at(judgement) {
                        return Ok(());
                    }
                }
                "client_id" => claims.client_id = Some(tape.text(map.next_value()?)),
                "jti" => claims.id = Some(tape.text(map.next_value()?)),
                "scope" => claims.scope = Some(tape.texts(map.next_value()?).scopes()?),
                "scp" => scp = Some(tape.texts(map.next_value()?).scopes()?),
                "exp" => {
                    let expires_at = tape.date(map.next_value()?);
                    claims.expires_at = Some(expires_at);
                    if self.stops_at(self.at_sight.expires_at(expires_at)) {
                        return Ok(());
                    }
                }
                "nbf" => claims.not_before = Some(tape.date(map.next_value()?)),
                "iat" => claims.issued_at = Some(tape.date(map.next_value()?)),
                "cnf" => {
                    claims.confirmation = Some(map.next_value()?);
                    tape.leave_out();
                }
                _ => map.next_value_seed(tape)?,
            }
            names.add::<A::Error>(name)?;
            count = count.saturating_add(1);
        }
        self.tape.end(object, Event::Object(count));
        if self.claims.scope.is_none() {
            self.claims.scope = scp;
        }
        Ok(())
    }
}

/// How the registered claims are taken down.
impl<'a> Tape<'a> {
    fn text(&mut self, Text(text): Text<'a>) -> Cow<'a, str> {
        self.push_text(&text);
        text
    }

    fn texts(&mut self, texts: Texts<'a>) -> Texts<'a> {
        match &texts {
            Texts::One(text) => self.push_text(text),
            Texts::Many(texts) => {
                self.push(Event::Array(texts.len()));
                texts.iter().for_each(|Text(text)| self.push_text(text));
            }
        }
        texts
    }

    fn date(&mut self, date: Date<'a>) -> NumericDate {
        self.push(date.spelled);
        date.at
    }
}

/// A NumericDate of RFC 7519 §2: a number, fractions allowed. A fraction is rounded up, which for a
/// clock of whole seconds changes neither when `exp` is reached nor when `nbf` is.
struct Date<'a> {
    at: NumericDate,
    spelled: Event<'a>,
}

impl Date<'_> {
    fn new<E: Error>(seconds: f64, spelled: Event<'static>) -> Result<Self, E> {
        let seconds = seconds.ceil();
        let latest = NumericDate::MAX.as_secs() as f64;
        if (0.0..=latest).contains(&seconds) && !seconds.is_sign_negative() {
            let at = NumericDate::from_secs(seconds as u64);
            Ok(Self { at, spelled })
        } else {
            Err(E::custom("no date between 1970 and 9999"))
        }
    }
}

impl<'de> Deserialize<'de> for Date<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl<'de> Visitor<'de> for Number {
            type Value = Date<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Date<'de>, E> {
                Date::new(seconds as f64, Event::Unsigned(seconds))
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Date<'de>, E> {
                Date::new(seconds as f64, Event::Signed(seconds))
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Date<'de>, E> {
                Date::new(seconds, Event::Float(seconds))
            }
        }

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
