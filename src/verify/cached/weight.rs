//! What a verdict weighs: an estimate of the memory that it takes, in bytes, which is too high rather than
//! too low.

use std::{mem, sync::Arc};

use crate::claims::Claims;

/// How many bytes the user's part of some claims takes on the heap.
pub(super) type Weigh<C> = Arc<dyn Fn(&Claims<C>) -> usize + Send + Sync>;

/// What a verdict on a JWT of 800 bytes weighs, about.
pub(super) const USUAL: u64 = 3_000;

/// What the table takes for an entry: its place, of which there may be twice as many as are used, and one
/// more for every two, by which an evicted token is remembered.
const PLACE: usize = 256;

/// What an allocator takes for a piece of memory, beside the piece.
const PIECE: usize = 16;

/// What it takes to keep the verdict on a token of so many bytes.
pub(super) fn of<C>(token: usize, claims: &Claims<C>, weigh: Option<&Weigh<C>>) -> u64 {
    let custom = match weigh {
        Some(weigh) => weigh(claims),
        // What need not be dropped has nothing on the heap.
        None if !mem::needs_drop::<C>() => 0,
        None => claims.custom_bytes().unwrap_or(token),
    };
    let bytes = [PLACE, PIECE, token, PIECE, claims.own_bytes(), custom]
        .into_iter()
        .fold(0, usize::saturating_add);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
