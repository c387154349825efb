//! What the headers of an answer say of it: how long it is fresh (RFC 9111), and whether it is
//! coded.
//!
//! This reader is our own because the known libraries do not keep the standard: `headers` gives
//! the last of several `max-age`, none at all where one is too large, and knows names in lower
//! case alone; `http-cache-semantics` splits quoted strings at their commas, and adds heuristics
//! for answers that say nothing.

use std::time::Duration;

use http::{
    HeaderMap,
    header::{AGE, CACHE_CONTROL, CONTENT_ENCODING},
};

/// How long an answer is fresh from now on, if it says so (RFC 9111 §4.2). The cache of keys is a
/// private one, so that `s-maxage` is not for it.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age = None;
    for (name, argument) in headers
        .get_all(CACHE_CONTROL)
        .iter()
        .flat_map(|line| Directives(line.as_bytes()))
    {
        if name.eq_ignore_ascii_case(b"no-store") {
            return Some(Duration::ZERO);
        }
        // With an argument it is about the header fields that the argument names (§5.2.2.4).
        if name.eq_ignore_ascii_case(b"no-cache") && argument.is_none() {
            return Some(Duration::ZERO);
        }
        // Of several the first counts, and an invalid one is stale (§4.2.1).
        if name.eq_ignore_ascii_case(b"max-age") && max_age.is_none() {
            let seconds = argument.and_then(|argument| delta_seconds(&argument));
            max_age = Some(seconds.unwrap_or(Duration::ZERO));
        }
    }
    max_age.map(|max_age| max_age.saturating_sub(age(headers)))
}

/// For how long the answer was in caches on the way. Of a list the first counts, and an invalid
/// one is ignored (RFC 9111 §5.1).
fn age(headers: &HeaderMap) -> Duration {
    let first = headers.get(AGE).map(|value| value.as_bytes());
    let first = first.and_then(|value| value.split(|byte| *byte == b',').next());
    first
        .and_then(|value| delta_seconds(value.trim_ascii()))
        .unwrap_or(Duration::ZERO)
}

/// Digits alone; a number that is too large counts as 2^31 (RFC 9111 §1.2.2).
fn delta_seconds(text: &[u8]) -> Option<Duration> {
    const MOST: u64 = 1 << 31;
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = std::str::from_utf8(text).ok()?.parse::<u64>();
    Some(Duration::from_secs(seconds.unwrap_or(MOST).min(MOST)))
}

/// Whether the content has a coding (RFC 9110 §8.4). Empty elements of the list are nothing
/// (§5.6.1.2), and `identity` is no coding (§12.5.3).
pub(super) fn is_coded(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// The directives of a line, each with its argument, if it has one: `token [ "=" ( token /
/// quoted-string ) ]`, separated by commas (RFC 9111 §5.2). A comma in a quoted string separates
/// nothing.
struct Directives<'a>(&'a [u8]);

impl<'a> Iterator for Directives<'a> {
    type Item = (&'a [u8], Option<Vec<u8>>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let end = self.0.iter().position(|byte| matches!(byte, b',' | b'='));
            let (name, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len()))?;
            let name = name.trim_ascii();
            let (separator, rest) = rest.split_first().unwrap_or((&b',', &[]));
            self.0 = rest;
            if *separator == b'=' {
                return Some((name, Some(self.argument())));
            }
            if !name.is_empty() {
                return Some((name, None));
            }
        }
    }
}

impl Directives<'_> {
    /// Reads an argument and the comma after it. What stands between the end of a quoted string
    /// and the comma belongs to the argument, which is then no number.
    fn argument(&mut self) -> Vec<u8> {
        let mut argument = Vec::new();
        let mut quoted = false;
        let mut bytes = self.0.trim_ascii_start().iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => quoted = !quoted,
                b'\\' if quoted => argument.extend(bytes.next()),
                b',' if !quoted => break,
                other => argument.push(*other),
            }
        }
        self.0 = bytes.as_slice();
        if !quoted {
            argument.truncate(argument.trim_ascii_end().len());
        }
        argument
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[(http::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(name.clone(), value);
        }
        headers
    }

    /// Attack 48.
    #[test]
    fn freshness_is_read_as_rfc_9111_has_it() {
        const MOST: u64 = 1 << 31;
        for (lines, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["max-age=300"], Some(300)),
            (&["public, Max-Age = 300 , must-revalidate"], Some(300)),
            (&["MAX-AGE=300"], Some(300)),
            (&["max-age=\"300\""], Some(300)),
            (&["max-age=\"3\\00\""], Some(300)),
            (&["max-age=0300"], Some(300)),
            (&[", ,max-age=300,,"], Some(300)),
            (&["public\t,\tmax-age=300"], Some(300)),
            // The first of several.
            (&["max-age=300, max-age=60"], Some(300)),
            (&["max-age=60, max-age=300"], Some(60)),
            (&["max-age=300", "max-age=60"], Some(300)),
            (&["public", "max-age=60"], Some(60)),
            (&["max-age=x, max-age=300"], Some(0)),
            // Of no use.
            (&["max-age"], Some(0)),
            (&["max-age="], Some(0)),
            (&["max-age=\"\""], Some(0)),
            (&["max-age=-1"], Some(0)),
            (&["max-age=+1"], Some(0)),
            (&["max-age=1.5"], Some(0)),
            (&["max-age=3 00"], Some(0)),
            (&["max-age=\"300\"0x"], Some(0)),
            (&["max-age='300'"], Some(0)),
            // Too large.
            (&["max-age=2147483649"], Some(MOST)),
            (&["max-age=99999999999999999999999"], Some(MOST)),
            // Not to be kept, whatever else there is and in whatever order.
            (&["no-store"], Some(0)),
            (&["max-age=300, No-Store"], Some(0)),
            (&["max-age=300", "no-cache"], Some(0)),
            (&["no-cache, max-age=300"], Some(0)),
            // About header fields alone.
            (&["no-cache=\"set-cookie\", max-age=300"], Some(300)),
            (
                &["no-cache=\"set-cookie, no-store\", max-age=300"],
                Some(300),
            ),
            (&["no-cache=set-cookie, max-age=300"], Some(300)),
            (&["private=\"a, max-age=1\", max-age=300"], Some(300)),
            (&["ext=\"a\\\", max-age=1\", max-age=300"], Some(300)),
            // A quoted string without an end goes on to the end of the line, and not to the next.
            (&["ext=\"a, max-age=1", "max-age=300"], Some(300)),
            // For others.
            (&["s-maxage=300"], None),
            (&["s-maxage=60, max-age=300"], Some(300)),
            (&["x-max-age=60, public, private"], None),
            (&["=300, max-age=60"], Some(60)),
            // Bytes that are no ASCII are in no directive of ours.
            (&["ext=\u{fc}, max-age=300"], Some(300)),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (CACHE_CONTROL, *line)).collect();
            let expected = expected.map(Duration::from_secs);
            assert_eq!(of(&headers(&lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_time_in_caches_on_the_way_is_taken_off() {
        for (ages, expected) in [
            (&["100"][..], 200),
            (&["1000"], 0),
            (&["99999999999999999999999"], 0),
            (&["100, 200"], 200),
            (&["100", "200"], 200),
            (&["-1"], 300),
            (&["x"], 300),
            (&[""], 300),
        ] {
            let mut lines = vec![(CACHE_CONTROL, "max-age=300")];
            lines.extend(ages.iter().map(|age| (AGE, *age)));
            let expected = Some(Duration::from_secs(expected));
            assert_eq!(of(&headers(&lines)), expected, "{ages:?}");
        }
        assert_eq!(of(&headers(&[(AGE, "100")])), None);
    }

    /// Attack 48.
    #[test]
    fn empty_elements_and_identity_are_no_coding() {
        for (lines, expected) in [
            (&[][..], false),
            (&[""], false),
            (&[" \t "], false),
            (&[",", ", ,"], false),
            (&["identity"], false),
            (&["Identity, ,", "", "IDENTITY"], false),
            (&["gzip"], true),
            (&["identity, gzip"], true),
            (&["", "br"], true),
            (&["identity;q=1"], true),
            (&["x-identity"], true),
            (&["\"identity\""], true),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (CONTENT_ENCODING, *line)).collect();
            assert_eq!(is_coded(&headers(&lines)), expected, "{lines:?}");
        }
    }

    /// Whatever a server writes, it is read to its end, and what is quoted says nothing.
    #[test]
    fn any_bytes_are_read_to_their_end() {
        let parts = [
            "max-age", "=", "\"", "\\", ",", " ", "60", "no-store", "no-cache", "\u{fc}", "a",
        ];
        let mut state = 20_260_101_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize
        };
        for _ in 0..100_000 {
            let line: String = (0..next() % 12)
                .map(|_| parts[next() % parts.len()])
                .collect();
            let lines = [(CACHE_CONTROL, line.as_str())];
            let found = of(&headers(&lines));
            let bytes = line.len();
            assert!(Directives(line.as_bytes()).count() <= bytes, "{line:?}");
            assert!(
                found.is_none_or(|found| found <= Duration::from_secs(1 << 31)),
                "{line:?}"
            );
            // In a quoted string it is nothing, and what follows the string counts.
            let quoted = line.replace(['"', '\\'], "");
            let lines = format!("ext=\"{quoted}\", max-age=7");
            let found = of(&headers(&[(CACHE_CONTROL, &lines)]));
            assert_eq!(found, Some(Duration::from_secs(7)), "{lines:?}");
        }
    }
}
