//! Each function by itself: what it tells the recorder is described, and documented.

use std::time::Duration;

use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::{Timer, fetched, key_set_age, key_set_keys};
use crate::error::AuthError;

const SOURCE: &str = "https://login.example.com/keys";

/// What was seen while `f` ran, and that all of it has its unit and stands in the documentation.
fn seen(f: impl FnOnce()) -> Vec<(String, DebugValue)> {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        crate::describe_metrics();
        f();
    });
    let mut seen = Vec::new();
    for (key, unit, description, value) in recorder.snapshotter().snapshot().into_vec() {
        let name = key.key().name();
        let row = include_str!("../observability.rs")
            .lines()
            .find(|line| line.contains(&format!("metric `{name}`")))
            .expect(name);
        let expected = match unit {
            Some(Unit::Seconds) => ", s |",
            Some(Unit::Count) => ", 1 |",
            _ => panic!("{name} has the unit {unit:?}"),
        };
        assert!(row.contains(expected), "{name}: {row}");
        assert!(description.is_some(), "{name}");
        seen.push((key.key().to_string(), value));
    }
    seen.sort_by(|(a, _), (b, _)| a.cmp(b));
    seen
}

#[test]
fn key_sets() {
    let seen = seen(|| {
        fetched(SOURCE, Ok(()), Duration::from_millis(250));
        fetched(SOURCE, Err("timeout"), Duration::from_secs(5));
        key_set_age(SOURCE, Duration::from_millis(1500));
        key_set_keys(SOURCE, 3);
    });

    let key = |name: &str, labels: &str| {
        format!("Key(tower_bearer.key_set.{name}, [key_set = {SOURCE}{labels}])")
    };
    let histogram = |seconds: f64| DebugValue::Histogram(vec![seconds.into()]);
    let gauge = |value: f64| DebugValue::Gauge(value.into());
    let failure = ", outcome = failure, error.type = timeout";
    let success = ", outcome = success";
    assert_eq!(
        seen,
        [
            (key("age", ""), gauge(1.5)),
            (key("fetch.duration", failure), histogram(5.0)),
            (key("fetch.duration", success), histogram(0.25)),
            (key("fetches", failure), DebugValue::Counter(1)),
            (key("fetches", success), DebugValue::Counter(1)),
            (key("keys", ""), gauge(3.0)),
        ]
    );
}

#[test]
fn requests() {
    let seen = seen(|| {
        super::admitted();
        super::anonymous();
        super::exempt();
        let error = AuthError::unavailable("store_down");
        super::refused(&error, error.kind().status());
    });
    let key = |labels: &str| format!("Key(tower_bearer.requests, [outcome = {labels}])");
    let one = || DebugValue::Counter(1);
    assert_eq!(
        seen,
        [
            (key("admitted"), one()),
            (key("anonymous"), one()),
            (key("exempt"), one()),
            (key("refused, error.type = store_down"), one()),
        ]
    );
}

#[test]
fn verdicts() {
    let seen = seen(|| {
        Timer::start().verified(Ok(()));
        Timer::start().verified::<()>(Err(&AuthError::invalid_token("forged")));
        Timer::start().verified::<()>(Err(&AuthError::unavailable("store_down")));
    });
    let keys: Vec<_> = seen.iter().map(|(key, _)| key.as_str()).collect();
    let key =
        |labels: &str| format!("Key(tower_bearer.verification.duration, [outcome = {labels}])");
    assert_eq!(
        keys,
        [
            key("refused, error.type = forged"),
            key("unavailable, error.type = store_down"),
            key("verified"),
        ]
    );
}

#[cfg(feature = "cache")]
#[test]
fn cache() {
    let seen = seen(|| {
        super::cache_hit();
        super::cache_miss();
        super::cache_evicted(3);
    });
    let key = |rest: &str| format!("Key(tower_bearer.cache.{rest})");
    assert_eq!(
        seen,
        [
            (key("evictions"), DebugValue::Counter(3)),
            (key("lookups, [result = hit]"), DebugValue::Counter(1)),
            (key("lookups, [result = miss]"), DebugValue::Counter(1)),
        ]
    );
}

/// However many reasons there are, each is counted by its own, also beyond those that are kept.
#[test]
fn reasons_beyond_number() {
    let recorder = DebuggingRecorder::new();
    let reasons: Vec<&'static str> = (0..2 * super::meter::KEPT)
        .map(|number| &*Box::leak(format!("reason-{number}").into_boxed_str()))
        .collect();
    metrics::with_local_recorder(&recorder, || {
        for _ in 0..2 {
            for reason in &reasons {
                let error = AuthError::invalid_token(reason);
                super::refused(&error, error.kind().status());
            }
        }
    });
    let seen = recorder.snapshotter().snapshot().into_vec();
    assert_eq!(seen.len(), reasons.len());
    for (_, _, _, value) in seen {
        assert_eq!(value, DebugValue::Counter(2));
    }
}
