//! How a family is written in Redis: as bytes, because a hash of texts takes twice the memory.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version |
//! | 8 | revision |
//! | 8 each | `begun_at`, `ends_at`, `idle_until`, and until when the indexes list it |
//! | 32 each | mark, hash of the current token |
//! | 1, then 41 or 73 each | previous tokens: hash, time of rotation, whether there is a seed, the seed |
//! | 1, then each | access tokens: length of the `jti`, the `jti`, `exp` |
//! | the rest | the grant, as JSON |
//!
//! Numbers are big-endian.

use crate::{
    store::StoreError,
    token_service::refresh::{
        IssuedToken, Previous, RefreshFamily, Secret, TokenHash,
        family::{VERSION, Version},
    },
};

/// Version and revision: what a writer compares.
pub(super) const HEAD: usize = 9;

pub(super) fn head(revision: u64) -> [u8; HEAD] {
    let mut head = [VERSION; HEAD];
    if let Some(rest) = head.last_chunk_mut::<8>() {
        *rest = revision.to_be_bytes();
    }
    head
}

pub(super) fn write(family: &RefreshFamily) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend(head(family.revision));
    for number in [
        family.begun_at,
        family.ends_at,
        family.idle_until,
        family.listed_until,
    ] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(family.mark.0);
    bytes.extend(family.current.0);
    bytes.push(count(family.previous.len())?);
    for previous in &family.previous {
        bytes.extend(previous.hash.0);
        bytes.extend(previous.rotated_at.to_be_bytes());
        bytes.push(u8::from(previous.seed.is_some()));
        bytes.extend(previous.seed.iter().flat_map(|seed| seed.0));
    }
    bytes.push(count(family.access_tokens.len())?);
    for token in &family.access_tokens {
        bytes.push(count(token.id.len())?);
        bytes.extend(token.id.as_bytes());
        bytes.extend(token.expires_at.to_be_bytes());
    }
    serde_json::to_writer(&mut bytes, &family.grant).map_err(StoreError::new)?;
    Ok(bytes)
}

fn count(length: usize) -> Result<u8, StoreError> {
    u8::try_from(length).map_err(|_| StoreError::new("a refresh family is too large to be written"))
}

/// Reads a family.
pub(super) fn read(id: &str, bytes: &[u8]) -> Result<RefreshFamily, StoreError> {
    match bytes.first() {
        Some(&VERSION) => parse(id, bytes).ok_or_else(|| unreadable(id)),
        Some(other) => Err(StoreError::new(format!(
            "the refresh family {id:?} in Redis has the version {other}, and only {VERSION} can be read"
        ))),
        None => Err(unreadable(id)),
    }
}

/// The id is no secret.
pub(super) fn unreadable(id: &str) -> StoreError {
    StoreError::new(format!("the refresh family {id:?} in Redis cannot be read"))
}

fn parse(id: &str, bytes: &[u8]) -> Option<RefreshFamily> {
    let mut rest = Reader(bytes.get(1..)?);
    let revision = rest.number()?;
    let (begun_at, ends_at, idle_until) = (rest.number()?, rest.number()?, rest.number()?);
    let listed_until = rest.number()?;
    let (mark, current) = (Secret(rest.take()?), TokenHash(rest.take()?));
    let mut previous = Vec::new();
    for _ in 0..rest.byte()? {
        previous.push(Previous {
            hash: TokenHash(rest.take()?),
            rotated_at: rest.number()?,
            seed: match rest.byte()? {
                0 => None,
                _ => Some(Secret(rest.take()?)),
            },
        });
    }
    let mut access_tokens = Vec::new();
    for _ in 0..rest.byte()? {
        let length = rest.byte()?;
        access_tokens.push(IssuedToken {
            id: String::from_utf8(rest.bytes(length.into())?.to_vec()).ok()?,
            expires_at: rest.number()?,
        });
    }
    Some(RefreshFamily {
        version: Version,
        id: id.to_owned(),
        revision,
        grant: serde_json::from_slice(rest.0).ok()?,
        mark,
        current,
        previous,
        access_tokens,
        begun_at,
        ends_at,
        idle_until,
        listed_until,
    })
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
