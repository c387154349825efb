//! The challenge: `WWW-Authenticate: Bearer …` (RFC 6750 §3, RFC 9110 §11.6.1).

use std::fmt::Write;

use http::HeaderValue;

use crate::{
    error::{AuthError, AuthErrorKind, ConfigError},
    url,
};

/// The challenge of each kind, built once; only what an error brings of its own is built with it.
#[derive(Clone, Debug)]
pub(crate) struct Challenges {
    realm: String,
    scope: Option<String>,
    resource_metadata: Option<String>,
    plain: [HeaderValue; AuthErrorKind::ALL.len()],
}

/// The parameters that the challenge has of its own.
const OWN_PARAMETERS: [&str; 5] = [
    "realm",
    "error",
    "error_description",
    "scope",
    "resource_metadata",
];

impl Default for Challenges {
    fn default() -> Self {
        let mut challenges = Self {
            realm: "api".to_owned(),
            scope: None,
            resource_metadata: None,
            plain: [const { HeaderValue::from_static("Bearer") }; AuthErrorKind::ALL.len()],
        };
        challenges.rebuild();
        challenges
    }
}

impl Challenges {
    pub(crate) fn set_realm(&mut self, realm: &str) -> Result<(), ConfigError> {
        if realm.is_empty() || !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(ConfigError::new(format!(
                "the realm `{}` cannot be a header: use visible ASCII characters and spaces, at \
                 least one",
                realm.escape_debug()
            )));
        }
        self.realm = realm.to_owned();
        self.rebuild();
        Ok(())
    }

    pub(crate) fn set_scope(&mut self, scope: &str) -> Result<(), ConfigError> {
        self.scope = Some(scope_tokens(scope.split(' '))?);
        self.rebuild();
        Ok(())
    }

    pub(crate) fn set_resource_metadata(&mut self, address: &str) -> Result<(), ConfigError> {
        url::web(address).map_err(|wrong| {
            ConfigError::new(format!(
                "the resource metadata URL `{}` {wrong}; it must be absolute, such as \
                 https://api.example.com/.well-known/oauth-protected-resource (RFC 9728 §5.1)",
                url::shown(address)
            ))
        })?;
        self.resource_metadata = Some(address.to_owned());
        self.rebuild();
        Ok(())
    }

    /// The challenge for the scheme `Basic` (RFC 7617 §2), in the same realm.
    #[cfg(all(feature = "token-service", feature = "_crypto"))]
    pub(crate) fn basic(&self) -> HeaderValue {
        let mut challenge = Builder("Basic".to_owned());
        challenge.add("realm", &self.realm);
        challenge.finish()
    }

    /// The challenge that belongs to an error.
    pub(crate) fn of(&self, error: &AuthError) -> HeaderValue {
        match self.plain.get(error.kind().index()) {
            Some(plain) if error.has_plain_challenge() => plain.clone(),
            _ => self.build(error),
        }
    }

    fn rebuild(&mut self) {
        for kind in AuthErrorKind::ALL {
            let value = self.build(&AuthError::plain(kind));
            if let Some(plain) = self.plain.get_mut(kind.index()) {
                *plain = value;
            }
        }
    }

    fn build(&self, error: &AuthError) -> HeaderValue {
        let mut challenge = Builder("Bearer".to_owned());
        challenge.add("realm", &self.realm);
        if let Some(code) = error.kind().code() {
            challenge.add("error", code);
            challenge.add("error_description", &description(error.detail()));
        }
        let scope = match error.kind() {
            // What is needed here, and not what is asked for in general.
            AuthErrorKind::InsufficientScope | AuthErrorKind::AccessDenied => error.scope(),
            AuthErrorKind::InvalidRequest => None,
            _ => self.scope.as_deref(),
        };
        if let Some(scope) = scope {
            challenge.add("scope", &description(scope));
        }
        if let Some(url) = &self.resource_metadata {
            challenge.add("resource_metadata", url);
        }
        for (name, value) in error.challenge_parameters() {
            if is_token(name)
                && !OWN_PARAMETERS
                    .iter()
                    .any(|own| own.eq_ignore_ascii_case(name))
            {
                challenge.add(name, &description(value));
            }
        }
        challenge.finish()
    }
}

struct Builder(String);

impl Builder {
    fn add(&mut self, name: &str, value: &str) {
        let separator = if self.0.ends_with('"') { "," } else { "" };
        // Writing to a String does not fail.
        let _ = write!(self.0, "{separator} {name}=\"");
        for character in value.chars() {
            // A quoted-string (RFC 9110 §5.6.4).
            if matches!(character, '"' | '\\') {
                self.0.push('\\');
            }
            self.0.push(character);
        }
        self.0.push('"');
    }

    fn finish(self) -> HeaderValue {
        // Every part was checked or made to fit, so the other arm is for nobody.
        HeaderValue::try_from(self.0).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// `%x20-21 / %x23-5B / %x5D-7E`: what `error_description` may hold (RFC 6750 §3).
const fn is_description_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')
}

/// A text as `error_description` can say it.
///
/// Some clients search the whole header for `scope=` and `resource_metadata=`, so a description must
/// not seem to hold them.
pub(crate) fn description(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|character| match character {
            '"' => '\'',
            '\\' => '/',
            _ if u8::try_from(character).is_ok_and(is_description_byte) => character,
            _ if character.is_whitespace() || character.is_control() => ' ',
            _ => '?',
        })
        .collect();
    plain
        .replace("scope=", "scope:")
        .replace("resource_metadata=", "resource_metadata:")
}

/// Joins scopes by spaces, if each is one (`1*( %x21 / %x23-5B / %x5D-7E )`, RFC 6749 §3.3), and
/// there is one at all.
pub(crate) fn scope_tokens<'a>(
    scopes: impl IntoIterator<Item = &'a str>,
) -> Result<String, ConfigError> {
    let mut joined = String::new();
    for scope in scopes {
        if scope.is_empty()
            || !scope
                .bytes()
                .all(|byte| byte != b' ' && is_description_byte(byte))
        {
            return Err(ConfigError::new(format!(
                "`{}` cannot be a scope: use visible ASCII characters other than `\"` and `\\`, \
                 without spaces (RFC 6749 §3.3)",
                scope.escape_debug()
            )));
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(scope);
    }
    if joined.is_empty() {
        return Err(ConfigError::new(
            "there is no scope in the list: name at least one",
        ));
    }
    Ok(joined)
}

/// A token of RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
