//! [`SlowHashes`]: bounds the memory and the threads of slow comparisons.
//!
//! Each comparison fills 19 MiB. An allocator that keeps freed memory by thread, as that of glibc does, would keep
//! so much for each thread that has ever compared. So there are few turns, and each uses a buffer that is kept.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use argon2::{Block, Params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SecretHash;

/// The blocks (1 KiB each) of one turn: what a comparison takes by default.
const BLOCKS_OF_A_TURN: usize = Params::DEFAULT_M_COST as usize;

/// The most turns at a time, which is about 200 comparisons a second in 76 MiB.
const MOST_TURNS: u32 = 4;

/// Buffers above this size go back to the operating system when they are freed: it is the largest value of
/// glibc's threshold for mapping an allocation. Smaller ones are kept.
const BLOCKS_MAPPED: usize = 32 * 1024;

/// The turns of slow comparisons, and their buffers.
pub(super) struct SlowHashes {
    turns: u32,
    all: Arc<Semaphore>,
    /// All turns but one: the last one is kept for peers that have not failed.
    of_failed_peers: Arc<Semaphore>,
    idle: Mutex<Vec<Vec<Block>>>,
}

/// Permission to compare. It ends when it is dropped.
pub(super) struct Turn {
    _all: OwnedSemaphorePermit,
    _of_failed_peers: Option<OwnedSemaphorePermit>,
}

impl SlowHashes {
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        // At least two, so that one can be kept for peers that have not failed.
        let turns =
            u32::try_from(processors).map_or(MOST_TURNS, |turns| turns.clamp(2, MOST_TURNS));
        Self {
            turns,
            all: Arc::new(Semaphore::new(turns as usize)),
            of_failed_peers: Arc::new(Semaphore::new(turns as usize - 1)),
            idle: Mutex::default(),
        }
    }

    /// Waits for a turn that is large enough for these secrets. One that takes the memory of several turns waits
    /// for so many, or for all.
    pub(super) async fn turn(
        &self,
        secrets: &[&SecretHash],
        peer_has_failed: bool,
    ) -> Option<Turn> {
        let blocks = largest(secrets);
        let turns = u32::try_from(blocks.div_ceil(BLOCKS_OF_A_TURN))
            .ok()?
            .max(1);
        let of_failed_peers = if peer_has_failed {
            let turns = turns.min(self.turns - 1);
            let share = Arc::clone(&self.of_failed_peers);
            Some(share.acquire_many_owned(turns).await.ok()?)
        } else {
            None
        };
        let all = Arc::clone(&self.all);
        Some(Turn {
            _all: all.acquire_many_owned(turns.min(self.turns)).await.ok()?,
            _of_failed_peers: of_failed_peers,
        })
    }

    /// A buffer that is large enough for these secrets; `None` if there is no memory.
    pub(super) fn buffer(&self, secrets: &[&SecretHash]) -> Option<Vec<Block>> {
        let blocks = largest(secrets);
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = idle.iter().position(|buffer| buffer.len() >= blocks) {
                return Some(idle.swap_remove(at));
            }
            // Those are too small, and would be kept beside the new one.
            idle.clear();
        }
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(blocks).ok()?;
        buffer.resize(blocks, Block::new());
        Some(buffer)
    }

    /// Takes a buffer back.
    pub(super) fn give_back(&self, buffer: Vec<Block>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() <= BLOCKS_MAPPED && idle.len() < self.turns as usize {
            idle.push(buffer);
        }
    }
}

fn largest(secrets: &[&SecretHash]) -> usize {
    let blocks = secrets.iter().map(|secret| secret.blocks());
    blocks.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn secret(kibibytes: u32) -> SecretHash {
        format!("$argon2id$v=19$m={kibibytes},t=1,p=1$c2FsdHNhbHQ$DqGbLnXb2G7tLxlHKLHDbFHGgfCv2HkFtJU0GgQxPXs")
            .parse()
            .unwrap()
    }

    #[test]
    fn last_turn_is_kept_for_peers_that_have_not_failed() {
        let (slow, secret) = (SlowHashes::new(), secret(19_456));
        let turn = |failed| slow.turn(&[&secret], failed).now_or_never().flatten();
        let failed: Vec<_> = std::iter::from_fn(|| turn(true)).collect();
        assert_eq!(failed.len(), slow.turns as usize - 1);
        let last = turn(false).expect("a turn of its own");
        assert!(turn(false).is_none());
        drop(last);
        assert!(turn(true).is_none());
        assert!(turn(false).is_some());
        drop(failed);
        assert!(turn(true).is_some());
    }

    #[test]
    fn large_hash_takes_several_turns_and_its_buffer_is_not_kept() {
        let (slow, large) = (SlowHashes::new(), secret(256 * 1024));
        for failed in [true, false] {
            let turn = slow.turn(&[&large], failed).now_or_never().flatten();
            assert!(turn.is_some());
            assert!(slow.turn(&[&large], false).now_or_never().is_none());
        }
        slow.give_back(slow.buffer(&[&large]).unwrap());
        assert!(slow.idle.lock().unwrap().is_empty());
    }

    #[test]
    fn buffers_are_used_again_and_never_more_than_turns() {
        let (slow, secret) = (SlowHashes::new(), secret(64));
        let all: Vec<_> = (0..100).map(|_| slow.buffer(&[&secret]).unwrap()).collect();
        all.into_iter().for_each(|buffer| slow.give_back(buffer));
        assert_eq!(slow.idle.lock().unwrap().len(), slow.turns as usize);
        let buffer = slow.buffer(&[&secret]).unwrap();
        assert_eq!(slow.idle.lock().unwrap().len(), slow.turns as usize - 1);
        slow.give_back(buffer);
    }
}
