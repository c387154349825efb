//! What is wrong with the claims of a token, for the log.
//!
//! The error that a token is rejected with holds no value of a claim, because it travels: to outer layers, into
//! `Debug`, to whatever the user does with it. Values are shown in one event at DEBUG alone, escaped and cut, and
//! what is looked for twice here is looked for only while somebody listens to that level.

use std::{error::Error, fmt};

use serde::Deserialize;

use super::{
    claims::{Date, Texts},
    invalid,
};
use crate::{
    error::{AuthError, reason},
    json::{self, Text},
    observe,
};

/// How many characters of a value are shown.
const SHOWN: usize = 100;

/// Reports why a payload could not be read.
pub(super) fn report_malformed(json: &str) {
    if !observe::hears_of_claims() {
        return;
    }
    let payload = |fault: &dyn fmt::Display| observe::claim_rejected("", fault);
    if !json::is_shallow(json) {
        return payload(&"the payload is nested deeper than 127 levels");
    }
    let members = match json::read_object(json) {
        Ok(members) => members,
        Err(error) => return payload(&format_args!("the payload is no claims set: {error}")),
    };
    for (name, value) in &members {
        if let Some(expected) = misread(name, value.get()) {
            let (kind, shown) = (kind(value.get()), Cut(value.get()));
            let fault = format_args!("`{name}` is {kind}, must be {expected}: {shown}");
            observe::claim_rejected(name, fault);
        }
    }
}

/// Reports that some name in the payload is one of serde_json's own.
pub(super) fn report_private_name() {
    observe::claim_rejected(
        "",
        "a member's name begins as those that serde_json keeps for itself",
    );
}

/// What a registered claim must be, if this is not it.
fn misread(name: &str, value: &str) -> Option<&'static str> {
    fn reads<'a, T: Deserialize<'a>>(value: &'a str) -> bool {
        serde_json::from_str::<T>(value).is_ok()
    }
    let (reads, expected) = match name {
        "iss" | "sub" | "client_id" | "jti" => (reads::<Text<'_>>(value), "a string"),
        "aud" => (reads::<Texts<'_>>(value), "a string or an array of strings"),
        "scope" | "scp" => (
            serde_json::from_str::<Texts<'_>>(value)
                .and_then(Texts::scopes)
                .is_ok(),
            "a string, or an array of strings without spaces",
        ),
        "exp" | "nbf" | "iat" => (
            reads::<Date>(value),
            "a number of seconds, from 1970 to 9999",
        ),
        _ => return None,
    };
    (!reads).then_some(expected)
}

fn kind(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Reports what serde says of the user's claims, and gives the error that the token is rejected with.
pub(super) fn misfit(json: &str, error: &serde_json::Error) -> AuthError {
    if observe::hears_of_claims() {
        observe::claim_rejected(&claim_at(json, error).unwrap_or_default(), error);
    }
    invalid(reason::CLAIMS_MALFORMED).with_source(Misfit {
        line: error.line(),
        column: error.column(),
    })
}

/// The claim in whose value an error was found. An error of a whole object, such as a missing member, is found at
/// its end.
fn claim_at(json: &str, error: &serde_json::Error) -> Option<String> {
    let start_of_line = match error.line().checked_sub(2) {
        None => 0,
        Some(breaks) => json.match_indices('\n').nth(breaks)?.0.saturating_add(1),
    };
    let place = start_of_line.saturating_add(error.column());
    let members = json::read_object(json).ok()?;
    let (name, _) = members.into_iter().find(|(_, value)| {
        let start = value
            .get()
            .as_ptr()
            .addr()
            .saturating_sub(json.as_ptr().addr());
        (start..=start.saturating_add(value.get().len())).contains(&place)
    })?;
    Some(name.into_owned())
}

/// The user's claims cannot be read from the payload. What serde says quotes it, and is not kept.
#[derive(Debug)]
struct Misfit {
    line: usize,
    column: usize,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column } = self;
        write!(
            f,
            "the payload cannot be read as the verifier's claims type (line {line}, column {column}); the event \
             `claim rejected` at DEBUG says why"
        )
    }
}

impl Error for Misfit {}

/// The beginning of a text.
struct Cut<'a>(&'a str);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{}…", self.0.get(..end).unwrap_or_default()),
            None => f.write_str(self.0),
        }
    }
}
