//! The settings of a cache, and what it does not accept.

use std::{sync::Arc, time::Duration};

use tower_bearer::{BearerToken, Cached, Claims, verify_fn};

use crate::{counting, verify};

#[test]
fn a_setting_that_cannot_work_is_rejected_and_the_error_says_what_to_do() {
    let builder = || Cached::builder(counting(&Arc::default()));
    for (built, says) in [
        (builder().max_bytes(0), "at least 65536"),
        (builder().max_bytes(65_535), "at least 65536"),
        (builder().max_bytes(u64::MAX), "no process has so much"),
        (
            builder().time_to_live(Duration::from_millis(999)),
            "must be whole seconds, or 0",
        ),
    ] {
        let error = built.build().err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains("of a cache"), "{error}");
    }
    for built in [
        builder().max_bytes(65_536),
        builder().max_bytes(i64::MAX as u64),
        builder().time_to_live(Duration::ZERO),
        builder().time_to_live(Duration::MAX),
    ] {
        let cached = built.build().unwrap();
        assert!(verify(&cached, "good").is_ok());
    }
}

/// The cache starts as small as its contents, whatever its limit.
#[test]
fn a_limit_takes_no_memory() {
    let limit = 1 << 40;
    let made = allocation_counter::measure(|| {
        let cached = Cached::builder(counting(&Arc::default())).max_bytes(limit);
        drop(cached.build().unwrap());
    });
    assert!(made.bytes_total < 256 * 1024, "{made:?}");
}

#[test]
fn a_clone_shares_the_verdicts() {
    let cached = Cached::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
    verify(&cached.clone(), "token").unwrap();
    verify(&cached, "token").unwrap();
    assert_eq!((cached.stats().hits, cached.clone().stats().hits), (1, 1));
}

#[test]
fn debug_shows_settings_and_counts_and_no_token() {
    let cached = Cached::builder(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
    let shown = format!("{cached:?}");
    assert!(shown.contains("max_bytes: 33554432"), "{shown}");
    let cached = cached.build().unwrap();
    verify(&cached, "s3cr3t").unwrap();
    let shown = format!("{cached:?}");
    assert!(shown.contains("entries: 1"), "{shown}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
