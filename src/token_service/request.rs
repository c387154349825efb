//! What a request to an endpoint says: its parameters, out of a form or of JSON, and the client's credentials.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{client::assertion, content::Content, refusal::Refusal};
use crate::json;

/// More no request needs: the longest parameters are tokens.
pub(super) const LARGEST_BODY: usize = 16 * 1024;

/// In which form the parameters come.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Urlencoded,
    Json,
}

impl Form {
    /// What the headers say of the body.
    pub(super) fn of(headers: &HeaderMap, json: bool) -> Result<Self, Refusal> {
        let coded = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            // A list, whose empty elements are nothing (RFC 9110 §5.6.1).
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
        if coded {
            return Err(Refusal::unsupported_content_coding());
        }
        let mut lines = headers.get_all(CONTENT_TYPE).iter();
        let (line, more) = (lines.next(), lines.next());
        let line = line.and_then(|line| line.to_str().ok()).unwrap_or_default();
        let media_type = line.split(';').next().unwrap_or_default().trim();
        if more.is_some() {
            Err(Refusal::unsupported_media_type(json))
        } else if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Ok(Self::Urlencoded)
        } else if json && media_type.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else {
            Err(Refusal::unsupported_media_type(json))
        }
    }
}

/// Collects a body, up to a limit and within a time.
pub(super) async fn collect<B: Body>(
    headers: &HeaderMap,
    content: &mut Content<'_, B>,
    within: Duration,
) -> Result<Bytes, Refusal> {
    let declared = headers.get(CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > LARGEST_BODY as u64) {
        return Err(Refusal::content_too_large(LARGEST_BODY));
    }
    // Whatever is wrong with it, the client is told that it could not be read.
    let body = Limited::new(&mut *content, LARGEST_BODY);
    match timeout(within, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::content_too_large(LARGEST_BODY))
        }
        Ok(Err(_)) => Err(Refusal::invalid_request(
            "The body could not be read to its end",
        )),
        Err(_) => {
            content.give_up();
            Err(Refusal::request_timeout())
        }
    }
}

/// The parameters of a request. Those without a value are as if they were not there (RFC 6749 §3.2).
pub(super) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Of all parameters that are known, this alone may stand more than once (RFC 8707 §2).
const RESOURCE: &str = "resource";

/// What is looked at; of others only the names are.
const KNOWN: [&str; 11] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "refresh_token",
    "scope",
    RESOURCE,
    "token",
    "token_type_hint",
    "audience",
];

impl<'a> Parameters<'a> {
    pub(super) fn parse(form: Form, body: &'a [u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body)
            .map_err(|_| Refusal::invalid_request("The body is not UTF-8"))?;
        let parameters = match form {
            Form::Urlencoded => urlencoded(text)?,
            Form::Json => of_json(text)?,
        };
        let mut names: Vec<&str> = parameters
            .iter()
            .map(|(name, _)| &**name)
            .filter(|name| *name != RESOURCE)
            .collect();
        names.sort_unstable();
        if names
            .windows(2)
            .any(|pair| matches!(pair, [one, other] if one == other))
        {
            return Err(Refusal::invalid_request("A parameter is repeated"));
        }
        Ok(Self(parameters))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| &**value)
    }

    /// Where the tokens are to be used (RFC 8707 §2).
    pub(super) fn resources(&self) -> Vec<&str> {
        self.all(RESOURCE).collect()
    }
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn urlencoded(text: &str) -> Result<Pairs<'_>, Refusal> {
    // What is no UTF-8 once it is decoded would be replaced, and so mean something else.
    let mut bytes = text.as_bytes();
    while let [byte, rest @ ..] = bytes {
        if *byte == b'%'
            && !matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
        {
            return Err(Refusal::invalid_request("The body is no urlencoded form"));
        }
        bytes = rest;
    }
    let pairs: Pairs<'_> = form_urlencoded::parse(text.as_bytes()).collect();
    let replaced = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    if pairs
        .iter()
        .any(|(name, value)| replaced(name) || replaced(value))
    {
        return Err(Refusal::invalid_request(
            "The body is no urlencoded form in UTF-8",
        ));
    }
    Ok(pairs)
}

fn of_json(text: &str) -> Result<Pairs<'_>, Refusal> {
    let members = json::object(text).ok_or_else(|| {
        Refusal::invalid_request("The body is no JSON object with unique members")
    })?;
    let mut pairs = Vec::with_capacity(members.len());
    for (name, value) in members {
        if KNOWN.contains(&&*name) {
            for value in of_member(&name, value)? {
                pairs.push((name.clone(), value));
            }
        } else if json::is_shallow(value.get()) {
            pairs.push((name, Cow::Borrowed("")));
        } else {
            return Err(Refusal::invalid_request("The body is nested too deep"));
        }
    }
    Ok(pairs)
}

/// A text, or for `resource` a list of them.
fn of_member<'a>(name: &str, value: &'a RawValue) -> Result<Vec<Cow<'a, str>>, Refusal> {
    if value.get() == "null" {
        return Ok(Vec::new());
    }
    if let Ok(json::Text(text)) = serde_json::from_str(value.get()) {
        return Ok(vec![text]);
    }
    if name == RESOURCE
        && let Ok(list) = serde_json::from_str::<Vec<json::Text<'a>>>(value.get())
    {
        return Ok(list.into_iter().map(|text| text.0).collect());
    }
    Err(Refusal::invalid_request("A parameter is not a string"))
}

/// How a client says who it is.
pub(super) enum Credentials<'a> {
    None,
    /// An id alone.
    Id(Cow<'a, str>),
    Secret {
        id: Cow<'a, str>,
        secret: Cow<'a, str>,
    },
    /// A signed JWT, by the method `private_key_jwt`.
    Assertion {
        /// The parameter `client_id`, if it is there.
        id: Option<&'a str>,
        assertion: &'a str,
    },
    /// By a method that is not supported, or in a form that cannot be read.
    Unusable,
}

/// Whether the scheme `Basic` is used.
pub(super) fn is_basic(headers: &HeaderMap) -> bool {
    headers
        .get_all(AUTHORIZATION)
        .iter()
        .any(|line| basic(line.as_bytes()).is_some())
}

/// What follows the scheme `Basic`, which may be in any case (RFC 9110 §11.1). White space around the value is no
/// part of it, but servers of HTTP/2 hand it on (§5.5).
fn basic(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    let (scheme, rest) = line.split_first_chunk::<5>()?;
    let apart = rest.is_empty() || rest.starts_with(b" ");
    (scheme.eq_ignore_ascii_case(b"Basic") && apart).then(|| rest.trim_ascii())
}

/// Finds the one authentication of the client that there may be (RFC 6749 §2.3).
pub(super) fn credentials<'a>(
    headers: &HeaderMap,
    parameters: &'a Parameters<'_>,
) -> Result<Credentials<'a>, Refusal> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (line, more) = (lines.next(), lines.next());
    if more.is_some() {
        return Err(Refusal::invalid_request(
            "There is more than one Authorization header",
        ));
    }
    let basic = line.and_then(|line| basic(line.as_bytes()));
    let (id, secret) = (parameters.get("client_id"), parameters.get("client_secret"));
    let assertion = parameters.get("client_assertion");
    let assertion_type = parameters.get("client_assertion_type");
    let asserted = assertion.is_some() || assertion_type.is_some();
    let methods = [basic.is_some(), secret.is_some(), asserted];
    if methods.into_iter().filter(|used| *used).count() > 1 {
        return Err(Refusal::invalid_request(
            "The client authenticates in more than one way",
        ));
    }
    if asserted {
        return Ok(match (assertion, assertion_type) {
            (Some(assertion), Some(assertion::TYPE)) => Credentials::Assertion { id, assertion },
            _ => Credentials::Unusable,
        });
    }
    if let Some(basic) = basic {
        let Some((own, secret)) = id_and_secret(basic) else {
            return Ok(Credentials::Unusable);
        };
        if id.is_some_and(|id| id != own) {
            return Err(Refusal::invalid_request("There are two client ids"));
        }
        // That is how libraries name a client that has no secret.
        if secret.is_empty() {
            return Ok(Credentials::Id(own.into()));
        }
        return Ok(Credentials::Secret {
            id: own.into(),
            secret: secret.into(),
        });
    }
    Ok(match (id, secret) {
        (Some(id), Some(secret)) => Credentials::Secret {
            id: id.into(),
            secret: secret.into(),
        },
        (Some(id), None) => Credentials::Id(id.into()),
        (None, Some(_)) => Credentials::Unusable,
        (None, None) => Credentials::None,
    })
}

/// RFC 7617 §2, with both parts form-encoded (RFC 6749 §2.3.1).
fn id_and_secret(basic: &[u8]) -> Option<(String, String)> {
    let padded = base64_simd::STANDARD.decode_to_vec(basic);
    let decoded = padded
        .or_else(|_| base64_simd::STANDARD_NO_PAD.decode_to_vec(basic))
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // As a value without a name, in which `&` and `=`, which an encoder would have encoded, stay what they are.
    let value = format!("={}", text.replace('&', "%26"));
    let mut pairs = form_urlencoded::parse(value.as_bytes());
    pairs
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_secret_of_basic_are_form_decoded() {
        for (text, expected) in [
            ("svc:svc-secret", Some(("svc", "svc-secret"))),
            ("svc:a:b", Some(("svc", "a:b"))),
            ("a%3Ab:c%20d+e%25", Some(("a:b", "c d e%"))),
            ("svc:", Some(("svc", ""))),
            (":", Some(("", ""))),
            ("svc:a&b=c", Some(("svc", "a&b=c"))),
            ("svc:=", Some(("svc", "="))),
            ("svc", None),
        ] {
            let encoded = base64_simd::STANDARD.encode_to_string(text);
            let found = id_and_secret(encoded.as_bytes());
            let expected = expected.map(|(id, secret)| (id.to_owned(), secret.to_owned()));
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(id_and_secret(b"!"), None);
        assert_eq!(id_and_secret(b"c3Zj OnN2Yw=="), None);
        assert!(id_and_secret(b"c3ZjOnM").is_some(), "without its padding");
    }

    #[test]
    fn what_is_basic_and_what_is_not() {
        for (line, expected) in [
            ("Basic eDp5", Some("eDp5")),
            ("bAsIc   eDp5", Some("eDp5")),
            ("Basic", Some("")),
            (" Basic eDp5", Some("eDp5")),
            ("\tBasic eDp5 \t", Some("eDp5")),
            ("Basically eDp5", None),
            ("Bearer eDp5", None),
        ] {
            assert_eq!(
                basic(line.as_bytes()),
                expected.map(str::as_bytes),
                "{line}"
            );
        }
    }
}
