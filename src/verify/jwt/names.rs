//! Which issuers and audiences are configuration mistakes, because no token has them.

use crate::error::ConfigError;

/// Refuses a name (an issuer or audience) that no token can have: `iss` and `aud` are compared to
/// the letter, so that a line break out of an environment file would let no token pass.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), ConfigError> {
    let Some(fault) = fault(name) else {
        return Ok(());
    };
    Err(ConfigError::new(format!(
        "the {what} {} {fault}: no token names it so; set the name alone",
        shown(name)
    )))
}

fn fault(name: &str) -> Option<&'static str> {
    let (first, last) = (name.chars().next()?, name.chars().next_back()?);
    if name.contains(['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}']) {
        return Some("has a line break, as files of environment variables leave it");
    }
    if name.contains('\u{feff}') {
        return Some("has a byte order mark, as some editors put it before a file");
    }
    if first.is_whitespace() || last.is_whitespace() {
        return Some("has white space around it");
    }
    if name.contains(char::is_control) {
        return Some("has a control character");
    }
    if name.contains(is_invisible) {
        return Some("has a character that cannot be seen");
    }
    let quotes = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('“', '”'),
        ('‘', '’'),
        ('<', '>'),
    ];
    if quotes.contains(&(first, last)) || [first, last].contains(&'"') {
        return Some("has quotes around it");
    }
    None
}

/// Marks of direction and joining, which come along when text is copied out of a document.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}')
}

/// The name, escaped and not long.
fn shown(name: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = name.chars().take(LONGEST).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    format!("\"{}\"", shown.escape_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack 48.
    #[test]
    fn attack_48_a_name_that_no_token_has_is_a_mistake() {
        for (name, fault) in [
            ("https://a.example\n", "line break"),
            ("https://a.example\r\n", "line break"),
            ("\nhttps://a.example", "line break"),
            ("https://a\nhttps://b", "line break"),
            ("https://a\u{2028}b", "line break"),
            ("\u{feff}https://a.example", "byte order mark"),
            ("https://a.example\u{feff}", "byte order mark"),
            (" https://a.example", "white space"),
            ("https://a.example ", "white space"),
            ("https://a.example\t", "white space"),
            ("\u{a0}https://a.example", "white space"),
            (" ", "white space"),
            ("https://a\0.example", "control"),
            ("https://a\t.example", "control"),
            ("a\u{7f}b", "control"),
            ("https://a.example\u{200b}", "cannot be seen"),
            ("\"https://a.example\"", "quotes"),
            ("\"https://a.example", "quotes"),
            ("https://a.example\"", "quotes"),
            ("'https://a.example'", "quotes"),
            ("`https://a.example`", "quotes"),
            ("“https://a.example”", "quotes"),
            ("<https://a.example>", "quotes"),
        ] {
            let error = check_name("issuer", name).unwrap_err().to_string();
            assert!(error.contains(fault), "{name:?}: {error}");
            assert!(error.starts_with("the issuer \""), "{error}");
            assert!(
                !error.contains(|c: char| c.is_control() || c == '\u{feff}'),
                "{error:?}"
            );
        }
        let long = format!("{}\n", "a".repeat(100_000));
        assert!(check_name("issuer", &long).unwrap_err().to_string().len() < 300);
    }

    /// RFC 7519 §2: a StringOrURI may hold nearly anything.
    #[test]
    fn other_names_are_accepted() {
        for name in [
            "https://login.example.com/",
            "https://login.example.com/a?b=c#d",
            "accounts.google.com",
            "urn:example:api",
            "my api",
            "Bob's API",
            "the boys'",
            "{\"a\":1}",
            "müller",
            "日本",
            "a",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(check_name("audience", name).is_ok(), "{name}");
        }
    }
}
