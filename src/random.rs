//! Numbers that are different each time, and no secrets: ids, jitter.

use std::{
    cell::Cell,
    hash::{BuildHasher, Hasher, RandomState},
};

/// A fresh id: unique for all that it is used for.
pub(crate) fn id() -> u128 {
    thread_local! {
        // Two generators, seeded by the standard library's random hash keys, so that two threads,
        // and two processes, go different ways.
        static STATE: Cell<(u64, u64)> = Cell::new((seed(), seed()));
    }
    STATE.with(|state| {
        let (high, low) = state.get();
        let (high, low) = (high.wrapping_add(STEP), low.wrapping_add(STEP));
        state.set((high, low));
        // The standard of trace ids has no use for one of zeros alone.
        (u128::from(mix(high)) << 64 | u128::from(mix(low))).max(1)
    })
}

/// A number from 0 to 1, without the 1.
#[cfg(all(feature = "jwks", feature = "_crypto"))]
pub(crate) fn fraction() -> f64 {
    // As many bits as fit.
    (id() >> 75) as f64 / (1_u64 << 53) as f64
}

fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 (Steele, Lea and Flood, 2014).
const fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Random numbers that are the same in each run, for tests.
#[cfg(all(test, feature = "jwt", feature = "_crypto"))]
pub(crate) struct Seeded(u64);

#[cfg(all(test, feature = "jwt", feature = "_crypto"))]
impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(STEP)))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number under the bound, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_also_between_threads() {
        let there = std::thread::spawn(|| (0..1000).map(|_| id()).collect::<Vec<_>>());
        let mut ids: Vec<u128> = (0..1000).map(|_| id()).collect();
        ids.extend(there.join().unwrap());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 2000);
    }

    #[cfg(all(feature = "jwks", feature = "_crypto"))]
    #[test]
    fn fractions_fill_their_range() {
        let fractions: Vec<f64> = (0..1000).map(|_| fraction()).collect();
        assert!(fractions.iter().all(|one| (0.0..1.0).contains(one)));
        assert!(fractions.iter().any(|one| *one < 0.1));
        assert!(fractions.iter().any(|one| *one > 0.9));
    }
}
