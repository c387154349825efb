//! By what hash a token is found.
//!
//! The hash is of the whole token: whatever part of it one leaves out, there is a format in which all
//! tokens differ in that part alone. It is foldhash, which reads 800 bytes in some 20 ns; SipHash would take
//! twenty times as long, as long as all the rest of a hit.
//!
//! foldhash is no cryptographic hash. It takes its strength from its seeds: who does not know them cannot
//! compute tokens that collide, and no set of tokens collides under all seeds. So the seeds are made of
//! 128 bits from the operating system (foldhash itself would take addresses and the time), each cache has
//! its own, and no hash ever leaves the process. What is kept was verified before, so that only an issuer
//! could choose the tokens at all.

use std::{
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use foldhash::{SharedSeed, quality::SeedableRandomState};

/// Makes hashes, with a seed of its own.
pub(super) type Seed = SeedableRandomState;

/// A seed that nobody can guess.
pub(super) fn random() -> Seed {
    static SHARED: OnceLock<SharedSeed> = OnceLock::new();
    let shared = SHARED.get_or_init(|| SharedSeed::from_u64(random_bits()));
    SeedableRandomState::with_seed(random_bits(), shared)
}

/// 64 bits of the standard library's SipHash, whose keys come from the operating system.
fn random_bits() -> u64 {
    RandomState::new().hash_one(())
}
