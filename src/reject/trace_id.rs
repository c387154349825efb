//! The `traceId` of a problem: the caller's, if it is fit to be repeated, or a fresh one.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::random;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest id that is repeated, in bytes.
const MAX_LENGTH: usize = 128;

/// Up to so many headers are looked through one after the other.
const FEW: usize = 12;

/// Where a trace id came from.
pub(super) enum TraceId<'a> {
    Callers(&'a str),
    /// In hexadecimal digits.
    Fresh([u8; 32]),
}

impl<'a> TraceId<'a> {
    /// The trace id of a valid `traceparent`, else the id in `header` if it can be repeated, else a
    /// fresh one.
    pub(super) fn of(headers: &'a HeaderMap, header: &HeaderName) -> Self {
        if let Some(id) = traceparent(headers).or_else(|| request_id(headers, header)) {
            Self::Callers(id)
        } else {
            Self::Fresh(digits(random::id()))
        }
    }

    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Callers(id) => id.len(),
            Self::Fresh(_) => 32,
        }
    }

    /// Writes it out, in ASCII.
    pub(super) fn push_to(&self, text: &mut Vec<u8>) {
        match self {
            Self::Callers(id) => text.extend_from_slice(id.as_bytes()),
            Self::Fresh(digits) => text.extend_from_slice(digits),
        }
    }
}

impl fmt::Display for TraceId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callers(id) => f.write_str(id),
            Self::Fresh(digits) => f.write_str(str::from_utf8(digits).unwrap_or_default()),
        }
    }
}

/// Makes a hexadecimal digit of each half of a byte, of sixteen bytes at a time: first the lower halves,
/// then the upper ones, for at random one order is as good as another.
fn digits(random: u128) -> [u8; 32] {
    const EACH: u128 = u128::MAX / 0xff;
    let digits = |values: u128| {
        let values = values & (EACH * 0xf);
        // The letters stand 39 behind where the digits would go on; no byte overflows into the next.
        let letters = ((values + EACH * 6) >> 4) & EACH;
        (values + EACH * 0x30 + letters * 39).to_be_bytes()
    };
    let mut text = [0; 32];
    let (lower, upper) = text.split_at_mut(16);
    lower.copy_from_slice(&digits(random));
    upper.copy_from_slice(&digits(random >> 4));
    text
}

/// The trace id of the one `traceparent` (W3C Trace Context §3.2): version 00 has exactly 55
/// characters, later ones the same first 55 and more only behind a `-`.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let line = first(headers, &TRACEPARENT)?.as_bytes();
    if headers.get_all(TRACEPARENT).iter().nth(1).is_some() {
        return None;
    }
    let (known, more) = line.split_first_chunk::<55>()?;
    let (version, known) = known.split_first_chunk::<3>()?;
    let (trace_id, known) = known.split_first_chunk::<33>()?;
    let (parent_id, flags) = known.split_first_chunk::<17>()?;
    let ([.., b'-'], [.., b'-'], [.., b'-']) = (version, trace_id, parent_id) else {
        return None;
    };
    let [version, trace_id, parent_id] = [&version[..2], &trace_id[..32], &parent_id[..16]];
    let valid = [version, trace_id, parent_id, flags]
        .into_iter()
        .all(is_lower_hex)
        && version != b"ff"
        && !is_zero(trace_id)
        && !is_zero(parent_id)
        && (more.is_empty() || (version != b"00" && more.starts_with(b"-")));
    std::str::from_utf8(trace_id).ok().filter(|_| valid)
}

/// The first line of a header. Among few, that is found by its name faster than by its hash.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    if headers.len() > FEW {
        return headers.get(name);
    }
    let line = headers.iter().find(|(found, _)| *found == name);
    line.map(|(_, value)| value)
}

fn is_lower_hex(text: &[u8]) -> bool {
    text.iter().fold(true, |hex, byte| {
        hex & matches!(byte, b'0'..=b'9' | b'a'..=b'f')
    })
}

fn is_zero(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'0')
}

fn request_id<'a>(headers: &'a HeaderMap, header: &HeaderName) -> Option<&'a str> {
    let id = std::str::from_utf8(first(headers, header)?.as_bytes()).ok()?;
    let repeatable = !id.is_empty()
        && id.len() <= MAX_LENGTH
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(&byte));
    repeatable.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_is_32_lower_hex_digits() {
        let id = TraceId::Fresh(digits(0x0123_4567_89ab_cdef << 64 | 0xf7f6_f5f4_f3f2_f1f0));
        let text = id.to_string();
        assert_eq!(text, "13579bdf7654321002468aceffffffff");
        assert_eq!(text.len(), id.len());
    }

    #[test]
    fn the_callers_id_is_found_among_few_headers_and_among_many() {
        let header = HeaderName::from_static("x-request-id");
        for others in [0, FEW - 1, FEW, 5 * FEW] {
            let mut headers = HeaderMap::new();
            for number in 0..others {
                let name = format!("x-other-{number}").parse::<HeaderName>().unwrap();
                headers.insert(name, HeaderValue::from_static("other"));
            }
            headers.append(&header, HeaderValue::from_static("first"));
            headers.append(&header, HeaderValue::from_static("second"));
            let id = TraceId::of(&headers, &header).to_string();
            assert_eq!(id, "first", "{others} others");

            let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            headers.append(TRACEPARENT, HeaderValue::from_static(traceparent));
            let id = TraceId::of(&headers, &header).to_string();
            assert_eq!(id, "4bf92f3577b34da6a3ce929d0e0e4736", "{others} others");
        }
    }
}
