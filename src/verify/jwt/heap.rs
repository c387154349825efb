//! How much memory the user's part of some claims may take, for a cache that is bounded in bytes.

use std::mem;

use serde_json::Value;

/// The heap that a `C` read from `json` takes, in bytes: rather too much than too little.
///
/// serde_json can make far more of a text than its length: of seven bytes, `{"":0},`, it makes the node of a tree
/// with room for eleven members. So it is the structure that is counted, as if each object became such a map and
/// each array a vector of values. A type of one's own takes less, unless it has large structs in a list.
///
/// What stands inside of strings is counted as if it stood outside, which is too much, but needs no parser: the
/// compiler looks at sixteen bytes at a time, and a payload of 500 bytes takes 50 ns.
pub(super) fn of<C>(json: &str) -> usize {
    // What need not be dropped has nothing on the heap.
    if !cfg!(feature = "cache") || !mem::needs_drop::<C>() {
        return 0;
    }
    let counts = Counts::of(json.as_bytes());
    let values = counts.objects + counts.arrays + counts.commas;
    [
        counts.objects.saturating_mul(OBJECT),
        counts.arrays.saturating_mul(ARRAY),
        values.saturating_mul(VALUE),
        counts.colons.saturating_sub(MEMBERS).saturating_mul(MEMBER),
        (counts.quotes / 2).saturating_mul(STRING),
        json.len(),
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

/// 32 bytes, or 72 where another crate of the tree has switched on `preserve_order` of serde_json.
const SLOT: usize = size_of::<Value>();

/// A map is one node, of this size, with room for eleven members.
const OBJECT: usize = 11 * (size_of::<String>() + SLOT) + 40;

/// A vector begins with room for four.
const ARRAY: usize = 4 * SLOT;

/// Each value has a place, and a vector has at most twice as many as it needs.
const VALUE: usize = 2 * SLOT;

/// What each member of a large map takes beyond that: nodes are filled by half, and so are hash tables. It is
/// counted from the ninth on, for with the twelfth there are three nodes.
const MEMBER: usize = 46 + 2 * SLOT;
const MEMBERS: usize = 8;

/// What an allocator takes for a text beside the text.
const STRING: usize = 16;

#[derive(Default)]
struct Counts {
    objects: usize,
    arrays: usize,
    commas: usize,
    colons: usize,
    quotes: usize,
}

impl Counts {
    fn of(json: &[u8]) -> Self {
        let mut counts = Self::default();
        // So short that a byte can count what is in it.
        for chunk in json.chunks(192) {
            let count = |wanted: u8| {
                let found = chunk.iter().map(|byte| u8::from(*byte == wanted));
                usize::from(found.fold(0, u8::wrapping_add))
            };
            counts.objects = counts.objects.saturating_add(count(b'{'));
            counts.arrays = counts.arrays.saturating_add(count(b'['));
            counts.commas = counts.commas.saturating_add(count(b','));
            counts.colons = counts.colons.saturating_add(count(b':'));
            counts.quotes = counts.quotes.saturating_add(count(b'"'));
        }
        counts
    }
}

#[cfg(all(test, feature = "cache"))]
mod tests;
