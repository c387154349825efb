//! What cannot be seen from outside: how many tokens a look-up compares, and how often it looks.

use std::{cell::Cell, sync::Arc, time::Duration};

use super::store::Store;
use crate::{
    claims::Claims,
    clock::SystemClock,
    verify::{BearerToken, Cached, RawToken, Verifier, verify_fn},
};

thread_local! {
    static COMPARED: Cell<usize> = const { Cell::new(0) };
    static PROBED: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn count_comparison() {
    COMPARED.set(COMPARED.get() + 1);
}

pub(super) fn count_probe() {
    PROBED.set(PROBED.get() + 1);
}

const TOKENS: usize = 20_000;

/// Tokens of 800 bytes that differ in a few bytes, which stand there.
fn tokens(at: usize) -> Vec<String> {
    let common = "ey".repeat(400);
    (0..TOKENS)
        .map(|n| {
            let mut token = common.clone();
            token.replace_range(at..at + 8, &format!("{n:0>8}"));
            token
        })
        .collect()
}

/// Whatever tokens have in common, each is found as soon as others are.
#[test]
fn attack_42_tokens_that_have_all_but_eight_bytes_in_common_are_told_apart_by_their_hash() {
    let mut compared = Vec::new();
    for at in [0, 32, 97, 395, 700, 792] {
        let store = Store::new(1 << 30, Duration::MAX, Arc::new(SystemClock), None);
        let tokens = tokens(at);
        for token in &tokens {
            let probe = store.probe(token.as_bytes());
            store.insert(probe.to_key(), &Claims::new(()), store.stamp(&probe));
        }
        assert_eq!(store.stats().entries, TOKENS as u64);
        COMPARED.set(0);
        for token in &tokens {
            assert!(store.get(&store.probe(token.as_bytes())).is_some());
        }
        compared.push(COMPARED.get());
        // One of the tokens, and of some others seven bits of the hash that are the same by chance.
        assert!(COMPARED.get() < TOKENS * 5 / 4, "{at}: {compared:?}");
        COMPARED.set(0);
        let other = "x".repeat(800);
        assert!(store.get(&store.probe(other.as_bytes())).is_none());
        assert!(COMPARED.get() < 10, "{at}: a miss");
    }
}

/// Two caches find the same token by different hashes.
#[test]
fn attack_42_each_cache_has_a_seed_of_its_own() {
    let store = || Store::<()>::new(1 << 20, Duration::MAX, Arc::new(SystemClock), None);
    let (one, other) = (store(), store());
    let token = b"token".repeat(100);
    assert!(one.probe(&token) == one.probe(&token));
    assert!(one.probe(&token) != other.probe(&token));
}

#[test]
fn a_token_is_looked_for_once() {
    let cached = Cached::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
    let token = BearerToken::parse("token").unwrap();
    PROBED.set(0);
    for expected in 1..=3 {
        drop(cached.verify(token));
        assert_eq!(PROBED.get(), expected);
    }
    cached.clear();
    for expected in 4..=6 {
        drop(cached.verify_raw(RawToken::new(b"token")));
        assert_eq!(PROBED.get(), expected);
    }
}
