//! How much memory the verdicts take: never more than was allowed, as counted by the allocator.

use std::sync::Arc;

use allocation_counter::measure;
use tower_bearer::{BearerToken, Cached, Claims, Verifier, verify_fn};

use crate::{counting, verify};

#[test]
fn memory_is_bounded_as_stats_count_it() {
    let asked = Arc::default();
    let limit = 256 * 1024;
    let cached = Cached::builder(counting(&asked))
        .max_bytes(limit)
        .build()
        .unwrap();
    for n in 0..10_000 {
        verify(&cached, &format!("good-{n:0>500}")).unwrap();
        assert!(cached.stats().bytes <= limit);
    }
    let stats = cached.stats();
    assert!(stats.entries > 50, "{stats:?}");
    assert_eq!(stats.evictions + stats.entries, 10_000, "{stats:?}");
}

/// Fills a cache with more than it may hold, and returns what it takes and what it may take.
fn filled<V: Verifier>(cached: &Cached<V>, limit: u64, tokens: impl Fn(usize) -> String) -> u64
where
    V::Future: Send + 'static,
{
    let mut n = 0;
    let taken = measure(|| {
        while cached.stats().evictions < 100 {
            verify(cached, &tokens(n)).unwrap();
            n += 1;
            assert!(n < 1_000_000, "it is never full");
        }
    });
    let stats = cached.stats();
    assert!(stats.bytes <= limit, "{stats:?}");
    assert!(stats.bytes > limit / 10 * 8, "{stats:?}");
    u64::try_from(taken.bytes_current).unwrap()
}

#[test]
fn the_allocator_counts_no_more_than_max_bytes() {
    const LIMIT: u64 = 4 * 1024 * 1024;
    for length in [1, 40, 800, 8_000] {
        let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
        let cached = Cached::builder(verifier).max_bytes(LIMIT).build().unwrap();
        let taken = filled(&cached, LIMIT, |n| format!("{n:0>length$}"));
        assert!(taken <= LIMIT, "{length}: {taken}");
        assert!(taken > LIMIT / 3, "{length}: {taken}");
    }
}

/// The claims hold a hundred times what the token has, which only the user knows.
#[test]
fn claims_are_weighed_as_the_user_says() {
    const LIMIT: u64 = 4 * 1024 * 1024;
    let cached = Cached::builder(verify_fn(|_: BearerToken<'_>| {
        Ok(Claims::new(vec![0_u8; 10_000]))
    }))
    .max_bytes(LIMIT)
    .weigh(|bytes: &Claims<Vec<u8>>| bytes.capacity())
    .build()
    .unwrap();
    let taken = filled(&cached, LIMIT, |n| format!("{n:0>100}"));
    assert!(taken <= LIMIT, "{taken}");
    assert!(taken > LIMIT / 10 * 8, "{taken}");
    assert!((350..420).contains(&cached.stats().entries));
}

/// A verdict that would take all the room by itself is not kept, and evicts nobody.
#[test]
fn a_verdict_that_does_not_fit_is_not_kept() {
    let cached = Cached::builder(verify_fn(|token: BearerToken<'_>| {
        Ok(Claims::new(token.as_str().len()))
    }))
    .weigh(|length: &Claims<usize>| if **length > 100 { 10_000_000 } else { 0 })
    .max_bytes(1024 * 1024)
    .build()
    .unwrap();
    verify(&cached, "small").unwrap();
    for _ in 0..3 {
        verify(&cached, &"l".repeat(101)).unwrap();
    }
    let stats = cached.stats();
    assert_eq!((stats.entries, stats.evictions, stats.misses), (1, 0, 4));
}
