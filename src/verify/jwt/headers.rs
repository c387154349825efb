//! Headers that were seen before: the tokens of one key have the same one, byte for byte.

use std::sync::OnceLock;

/// A small table from the encoded header of a token to the only key that it can mean.
///
/// It learns from tokens that verified alone, so that only who can sign can put anything in, and it
/// never forgets: it lives and dies with the keys. A header that is in it need not be decoded, read and
/// judged again. Reads take no lock.
#[derive(Default)]
pub(super) struct KnownHeaders([OnceLock<(Box<[u8]>, usize)>; Self::MOST]);

impl KnownHeaders {
    /// Issuers have a few keys at a time, each with a header or two (with and without a `typ`). Where
    /// they have more, or put into headers what differs from token to token, the others are read each
    /// time.
    const MOST: usize = 16;

    /// Longer ones hold a certificate chain, or the like, and are seldom repeated.
    const LONGEST: usize = 512;

    /// The place of the key that goes with this header.
    pub(super) fn key_of(&self, header: &[u8]) -> Option<usize> {
        self.0
            .iter()
            .map_while(OnceLock::get)
            .find(|(known, _)| **known == *header)
            .map(|(_, key)| *key)
    }

    /// Remembers the header of a token that verified, if there is room.
    pub(super) fn learn(&self, header: &[u8], key: usize) {
        if header.len() > Self::LONGEST {
            return;
        }
        for slot in &self.0 {
            let (known, _) = slot.get_or_init(|| (header.into(), key));
            if **known == *header {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_a_few_and_then_no_more() {
        let headers = KnownHeaders::default();
        assert_eq!(headers.key_of(b"a"), None);
        for n in 0..100 {
            let header = format!("header {n}");
            headers.learn(header.as_bytes(), n);
            headers.learn(header.as_bytes(), n + 1);
            let expected = Some(n).filter(|n| *n < KnownHeaders::MOST);
            assert_eq!(headers.key_of(header.as_bytes()), expected);
        }
        assert_eq!(headers.key_of(b"header 3"), Some(3));
        assert_eq!(headers.key_of(b"header"), None);
        assert_eq!(headers.key_of(b""), None);
        let headers = KnownHeaders::default();
        headers.learn(&[b'a'; 513], 1);
        assert_eq!(headers.key_of(&[b'a'; 513]), None);
    }
}
