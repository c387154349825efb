//! The compact form of a JWS (RFC 7515 §7.1): three segments of base64url, and the header in the first.

use std::{borrow::Cow, fmt, mem::MaybeUninit};

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::json::{self, Names, Text};

/// The segments of a token, not yet decoded.
pub(super) struct Compact<'a> {
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
    /// The header, the dot and the payload: what is signed.
    pub(super) signed: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Splits a token that has exactly three segments, none of them empty. A million dots cost no
    /// more than three.
    pub(super) fn split(token: &'a [u8]) -> Option<Self> {
        let first = memchr::memchr(b'.', token)?;
        let (header, rest) = token.split_at_checked(first)?;
        let rest = rest.get(1..)?;
        let second = memchr::memchr(b'.', rest)?;
        let (payload, signature) = rest.split_at_checked(second)?;
        let signature = signature.get(1..)?;
        let empty = header.is_empty() || payload.is_empty() || signature.is_empty();
        if empty || memchr::memchr(b'.', signature).is_some() {
            return None;
        }
        Some(Self {
            header,
            payload,
            signature,
            signed: token.get(..first.checked_add(1)?.checked_add(second)?)?,
        })
    }
}

/// Room for a segment: most need no more than there is on the stack, which is not zeroed for each.
pub(super) struct Buffer {
    usual: [MaybeUninit<u8>; 2048],
    longer: Vec<u8>,
}

impl Buffer {
    pub(super) const fn new() -> Self {
        Self {
            usual: [MaybeUninit::uninit(); 2048],
            longer: Vec::new(),
        }
    }

    /// Decodes base64url without padding, white space or stray bits (RFC 7515 §2); `None` if it is none.
    pub(super) fn decode(&mut self, segment: &[u8]) -> Option<&[u8]> {
        if URL_SAFE_NO_PAD.estimated_decoded_length(segment.len()) <= self.usual.len() {
            let decoded = URL_SAFE_NO_PAD
                .decode(segment, self.usual.as_mut_slice().as_out())
                .ok()?;
            Some(decoded)
        } else {
            self.longer = URL_SAFE_NO_PAD.decode_to_vec(segment).ok()?;
            Some(&self.longer)
        }
    }
}

/// The JOSE header, as far as it is used. What a token says of its own key (`jwk`, `jku`, `x5c`,
/// `x5u`) is not (RFC 8725 §3.10).
#[derive(Default)]
pub(super) struct Header<'a> {
    pub(super) algorithm: Option<Cow<'a, str>>,
    pub(super) key_id: Option<Cow<'a, str>>,
    pub(super) token_type: Option<Cow<'a, str>>,
    /// It asks for something that is not done here: `crit` (whatever it lists, no extension is
    /// understood, RFC 7515 §4.1.11), `b64: false` (RFC 7797 §7), `zip`.
    pub(super) unsupported: bool,
}

impl<'a> Header<'a> {
    /// Reads a JSON object with unique members, nested no deeper than serde_json reads it.
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        // Garbage is told without an error of serde_json, which costs more than all before it.
        if !json.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let json = std::str::from_utf8(json).ok()?;
        if !json::is_shallow(json) {
            return None;
        }
        serde_json::from_str(json).ok()
    }
}

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Header<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JOSE header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header<'de>, A::Error> {
                let mut header = Header::default();
                let mut names = Names::default();
                while let Some(Text(name)) = map.next_key()? {
                    match &*name {
                        "alg" => header.algorithm = Some(map.next_value::<Text<'de>>()?.0),
                        "kid" => header.key_id = Some(map.next_value::<Text<'de>>()?.0),
                        "typ" => header.token_type = Some(map.next_value::<Text<'de>>()?.0),
                        "b64" => header.unsupported |= !map.next_value::<bool>()?,
                        "crit" | "zip" => {
                            map.next_value::<IgnoredAny>()?;
                            header.unsupported = true;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                    names.add::<A::Error>(name)?;
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_three_segments() {
        let split = |token: &'static str| Compact::split(token.as_bytes());
        let compact = split("aa.bb.cc").unwrap();
        assert_eq!(compact.header, b"aa");
        assert_eq!(compact.payload, b"bb");
        assert_eq!(compact.signature, b"cc");
        assert_eq!(compact.signed, b"aa.bb");
        for token in [
            "",
            ".",
            "..",
            "...",
            "aa",
            "aa.bb",
            "aa.bb.",
            ".bb.cc",
            "aa..cc",
            "aa.bb.cc.",
            ".aa.bb.cc",
            "aa.bb.cc.dd",
            "aa..bb.cc",
            "aa.bb.cc.dd.ee",
        ] {
            assert!(split(token).is_none(), "{token}");
        }
    }

    #[test]
    fn base64url_has_one_spelling() {
        let mut buffer = Buffer::new();
        assert_eq!(buffer.decode(b"_-8"), Some(&[0xff, 0xef][..]));
        for text in ["_-8=", "/+8", "_-9", "_", "_-8\n", " _-8", "_ -8"] {
            assert_eq!(buffer.decode(text.as_bytes()), None, "{text:?}");
            let longer = format!("{}{text}", "A".repeat(4000));
            assert_eq!(buffer.decode(longer.as_bytes()), None, "{text:?}, longer");
        }
        for length in [4, 684, 2728, 2732, 2736, 10_000] {
            let decoded = buffer.decode(&vec![b'A'; length]).map(<[u8]>::len);
            assert_eq!(decoded, Some(length / 4 * 3));
        }
    }
}
