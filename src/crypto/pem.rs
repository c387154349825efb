//! Keys in PEM, by the lax grammar of RFC 7468 §3.
//!
//! What stands around and between the base64 characters is put in order here. The document in its
//! strict form is then read by a library, in constant time.

use memchr::memmem;

use crate::error::ConfigError;

/// A document: its label, such as `PUBLIC KEY`, and its contents in DER.
#[derive(Debug)]
pub(crate) struct Pem {
    pub(crate) label: String,
    pub(crate) contents: Vec<u8>,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// The length of a line in the strict form.
const LINE: usize = 64;

/// Whether the text holds a PEM document, sound or not.
pub(crate) fn is_like(text: &[u8]) -> bool {
    memmem::find(text, BEGIN).is_some()
}

/// Reads the only PEM document in a file, whose label should be `wanted`.
///
/// White space (also line breaks of any kind) may stand around the document, between any two
/// characters of its base64 text, or be missing. A byte order mark and text before and after the
/// document are ignored.
pub(crate) fn read(file: &[u8], wanted: &str) -> Result<Pem, ConfigError> {
    let (label, text) = only_document(file, wanted)?;
    let base64 = base64_of(text)?;
    let mut strict = format!("-----BEGIN {label}-----\n");
    for (place, character) in base64.chars().enumerate() {
        if place > 0 && place.is_multiple_of(LINE) {
            strict.push('\n');
        }
        strict.push(character);
    }
    strict.push_str(&format!("\n-----END {label}-----\n"));
    let (_, contents) = pem_rfc7468::decode_vec(strict.as_bytes())
        .map_err(|error| ConfigError::new(format!("not a sound PEM document: {error}")))?;
    Ok(Pem {
        label: label.to_owned(),
        contents,
    })
}

/// The label of the only document, and what stands between its boundaries.
fn only_document<'f>(file: &'f [u8], wanted: &str) -> Result<(&'f str, &'f [u8]), ConfigError> {
    let Some((_, rest)) = split(file, BEGIN) else {
        return Err(ConfigError::new(format!(
            "not a PEM document: {}. One begins with `-----BEGIN {wanted}-----`",
            what_else(file)
        )));
    };
    let (label, rest) = split(rest, DASHES)
        .and_then(|(label, rest)| Some((label_of(label)?, rest)))
        .ok_or_else(|| {
            ConfigError::new(format!(
                "not a sound PEM document: the line that begins it is not like \
                 `-----BEGIN {wanted}-----`"
            ))
        })?;
    let cut_off = || {
        ConfigError::new(format!(
            "not a sound PEM document: it has no end, `-----END {label}-----`; the file may be cut off"
        ))
    };
    let (text, rest) = split(rest, END).ok_or_else(cut_off)?;
    if is_like(text) {
        return Err(cut_off());
    }
    let (end, rest) = split(rest, DASHES).ok_or_else(cut_off)?;
    if end != label.as_bytes() {
        return Err(ConfigError::new(format!(
            "not a sound PEM document: what begins as {label:?} does not end as such"
        )));
    }
    if let Some((_, other)) = split(rest, BEGIN) {
        let other = split(other, DASHES).and_then(|(label, _)| label_of(label));
        return Err(ConfigError::new(format!(
            "more than one PEM document in one file ({label:?} and {:?}): leave only the \
             {wanted:?} in it",
            other.unwrap_or_default()
        )));
    }
    Ok((label, text))
}

/// What comes before and after the first occurrence.
fn split<'t>(text: &'t [u8], at: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let (before, rest) = text.split_at_checked(memmem::find(text, at)?)?;
    Some((before, rest.get(at.len()..)?))
}

/// A label is short and printable (RFC 7468 §3).
fn label_of(label: &[u8]) -> Option<&str> {
    let printable = label.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let fits = printable && label.len() <= LINE;
    std::str::from_utf8(label).ok().filter(|_| fits)
}

/// The base64 characters, padded.
fn base64_of(text: &[u8]) -> Result<String, ConfigError> {
    let unsound = |what: &str| {
        Err(ConfigError::new(format!(
            "not a sound PEM document: {what}"
        )))
    };
    if text.contains(&b':') {
        return unsound(
            "it has headers (RFC 1421), as keys that are encrypted in the old way have; write it \
             anew by `openssl pkey -in key.pem`",
        );
    }
    let mut base64 = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => {}
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => {
                base64.push(char::from(*byte));
            }
            b'\\' => {
                return unsound(
                    "its line breaks are spelled `\\n`, as in an environment variable; put line \
                     breaks or blanks in their place",
                );
            }
            _ => return unsound("there are characters in it that are not base64"),
        }
    }
    if base64.is_empty() {
        return unsound("it is empty");
    }
    if !base64.contains('=') {
        while !base64.len().is_multiple_of(4) {
            base64.push('=');
        }
    }
    Ok(base64)
}

/// Says what a file without a PEM document is.
fn what_else(file: &[u8]) -> &'static str {
    match file {
        [] => "the text is empty",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "the text is in UTF-16, as some editors save it; save it as UTF-8"
        }
        [0x30, ..] if std::str::from_utf8(file).is_err() => {
            "these are the bytes of DER; use `from_der`"
        }
        _ if file.trim_ascii_start().starts_with(b"{") => "the text is JSON, such as a JWK",
        _ => "there is no `-----BEGIN` in the text",
    }
}

#[cfg(test)]
mod tests;
