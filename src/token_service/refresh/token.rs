//! [`RefreshToken`]: what a refresh token looks like, and how it is known for one.
//!
//! It is 64 bytes in base64url: the id of its family (16), randomness (32), and a mark (16). The store has the
//! hash of the randomness of the current token. The mark tells that the token was issued at some time: only such
//! a one ends its family when it is not the current one, and no made-up one.

use super::{RefreshFamily, Secret, TokenHash};
use crate::crypto;

const ID: usize = 16;
const RANDOM: usize = 32;
const MARK: usize = 16;

/// A refresh token, as a client presents it or gets it.
#[derive(Clone)]
pub(crate) struct RefreshToken {
    id: [u8; ID],
    random: [u8; RANDOM],
    mark: [u8; MARK],
}

impl RefreshToken {
    /// The first token of a family, and the parts by which the family knows its tokens; `None` if there is no
    /// randomness.
    pub(crate) fn first() -> Option<(Self, Secret)> {
        let mark = Secret(crypto::random()?);
        let token = Self::marked(crypto::random()?, crypto::random()?, &mark)?;
        Some((token, mark))
    }

    fn marked(id: [u8; ID], random: [u8; RANDOM], mark: &Secret) -> Option<Self> {
        let mark = *crypto::hmac_sha256(&mark.0, &random)?.first_chunk()?;
        Some(Self { id, random, mark })
    }

    /// The token that follows this one, and what it can be made from once more if that is asked for.
    pub(crate) fn successor(
        &self,
        family: &RefreshFamily,
        repeatable: bool,
    ) -> Option<(Self, Option<Secret>)> {
        let seed = Secret(crypto::random()?);
        if repeatable {
            Some((self.successor_by(family, &seed)?, Some(seed)))
        } else {
            Some((Self::marked(self.id, seed.0, &family.mark)?, None))
        }
    }

    /// The token that followed this one, made from the same seed.
    pub(crate) fn successor_by(&self, family: &RefreshFamily, seed: &Secret) -> Option<Self> {
        // Who has the seed alone, or the token alone, cannot make it.
        let random = crypto::hmac_sha256(&seed.0, &self.random)?;
        Self::marked(self.id, random, &family.mark)
    }

    /// Reads a token; `None` if it cannot be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != (ID + RANDOM + MARK).div_ceil(3) * 4 - 2 {
            return None;
        }
        let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
        let (id, rest) = bytes.split_first_chunk()?;
        let (random, mark) = rest.split_first_chunk()?;
        Some(Self {
            id: *id,
            random: *random,
            mark: mark.try_into().ok()?,
        })
    }

    /// Whether it was issued for this family, at some time.
    pub(crate) fn is_of(&self, family: &RefreshFamily) -> bool {
        self.family_id() == family.id
            && crypto::hmac_sha256(&family.mark.0, &self.random).is_some_and(|mark| {
                mark.first_chunk::<MARK>()
                    .is_some_and(|mark| crypto::fixed_time_eq(mark, &self.mark))
            })
    }

    pub(crate) fn family_id(&self) -> String {
        base64_simd::URL_SAFE_NO_PAD.encode_to_string(self.id)
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(crypto::sha256(&self.random))
    }

    /// What the client gets.
    pub(crate) fn to_text(&self) -> String {
        let bytes = [&self.id[..], &self.random, &self.mark].concat();
        base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes)
    }
}
