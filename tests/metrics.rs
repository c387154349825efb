//! What is counted and timed: each decision once.

#![cfg(feature = "metrics")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use futures_util::FutureExt;
use http::Request;
use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshot};
use support::{Inner, Text, refusing, request, request_to};
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{
    AuthError, BearerAuthLayer, BearerToken, CheckContext, Checked, Claims, OwnedToken,
    RequireScopes, TokenSource, Verifier, describe_metrics, exempt, reason, verify_async_fn,
    verify_fn,
};

const GOOD: &[(&str, &str)] = &[("authorization", "Bearer good")];
const BAD: &[(&str, &str)] = &[("authorization", "Bearer bad")];
const MALFORMED: &[(&str, &str)] = &[("authorization", "Bearer two words")];
const TWICE: &[(&str, &str)] = &[
    ("authorization", "Bearer good"),
    ("authorization", "Bearer good"),
];
const NONE: &[(&str, &str)] = &[];

/// What was counted while `f` ran, on this thread: the metric with its labels, and how often. Of a
/// histogram it is the number of its values.
fn counted(f: impl FnOnce()) -> Vec<(String, u64)> {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, f);
    counts(recorder.snapshotter().snapshot())
}

fn counts(snapshot: Snapshot) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = snapshot
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let mut text = key.key().name().to_owned();
            for label in key.key().labels() {
                text = format!("{text} {}={}", label.key(), label.value());
            }
            let count = match value {
                DebugValue::Counter(count) => count,
                DebugValue::Histogram(values) => {
                    assert!(
                        values
                            .iter()
                            .all(|seconds| (0.0..60.0).contains(&**seconds))
                    );
                    values.len() as u64
                }
                DebugValue::Gauge(_) => panic!("{text} is a gauge"),
            };
            (text, count)
        })
        .collect();
    counts.sort();
    counts
}

#[track_caller]
fn assert_counted(of: &str, f: impl FnOnce(), expected: &[&str]) {
    let counted = counted(f);
    let mut expected: Vec<_> = expected
        .iter()
        .map(|metric| (format!("tower_bearer.{metric}"), 1))
        .collect();
    expected.sort();
    assert_eq!(counted, expected, "{of}");
}

/// Calls the service, which must not need a second poll.
fn call<S: Service<Request<Text>> + Clone>(service: S, request: Request<Text>) {
    let response = service.oneshot(request).now_or_never();
    assert!(response.expect("nothing here waits").is_ok());
}

/// Lets `good` pass, at once; cannot know of `unknowable`.
fn at_once() -> impl Verifier<Claims = (), Future: Send> + Clone + Send + Sync + 'static {
    verify_fn(|token: BearerToken<'_>| verdict(token.as_str()))
}

/// The same, but it takes time to know.
fn later() -> impl Verifier<Claims = (), Future: Send> + Clone + Send + Sync + 'static {
    verify_async_fn(|token: OwnedToken| async move { verdict(token.as_str()) })
}

fn verdict(token: &str) -> Result<Claims, AuthError> {
    match token {
        "good" => Ok(Claims::builder().subject("alice").scope("read").build(())),
        "unknowable" => Err(AuthError::unavailable("store_down")),
        _ => Err(AuthError::invalid_token(reason::TOKEN_UNKNOWN)),
    }
}

fn requests(outcome: &str) -> String {
    format!("requests outcome={outcome}")
}

fn refused(reason: &str) -> String {
    format!("requests outcome=refused error.type={reason}")
}

#[test]
fn each_request_once() {
    let query = TokenSource::query("access_token").unwrap();
    let strict = || BearerAuthLayer::new(at_once());
    let optional = || strict().optional();
    let exempt = || strict().exempt(exempt::paths(&["/api/v2/elements"]).unwrap());
    let no = |_: &CheckContext<'_, ()>| Err(AuthError::access_denied("not_today"));
    let unavailable = BearerAuthLayer::new(refusing(AuthError::unavailable("store_down")));
    let in_two = request_to("/?access_token=good", GOOD);

    let table = [
        ("good", strict(), request(GOOD), requests("admitted")),
        ("bad", strict(), request(BAD), refused("token_unknown")),
        ("none", strict(), request(NONE), refused("token_missing")),
        (
            "malformed",
            strict(),
            request(MALFORMED),
            refused("token_malformed"),
        ),
        ("twice", strict(), request(TWICE), refused("token_repeated")),
        (
            "in two places",
            strict().token_source(query),
            in_two,
            refused("token_repeated"),
        ),
        (
            "a check",
            strict().check_fn(no),
            request(GOOD),
            refused("not_today"),
        ),
        (
            "optional, none",
            optional(),
            request(NONE),
            requests("anonymous"),
        ),
        (
            "optional, good",
            optional(),
            request(GOOD),
            requests("admitted"),
        ),
        (
            "optional, bad",
            optional(),
            request(BAD),
            refused("token_unknown"),
        ),
        ("exempt", exempt(), request(BAD), requests("exempt")),
        (
            "exempt and optional",
            exempt().optional(),
            request(NONE),
            requests("exempt"),
        ),
    ];
    for (name, layer, request, expected) in table {
        let send = || call(layer.layer(Inner::new()), request);
        assert_counted(name, send, &[&expected]);
    }
    let send = || call(unavailable.layer(Inner::new()), request(GOOD));
    assert_counted("unavailable", send, &[&refused("store_down")]);
}

/// Only what takes time is timed.
#[test]
fn each_pending_verdict_is_timed() {
    let layer = BearerAuthLayer::new(later());
    for (token, outcome, request_outcome) in [
        ("good", "verified".to_owned(), requests("admitted")),
        (
            "bad",
            "refused error.type=token_unknown".to_owned(),
            refused("token_unknown"),
        ),
        (
            "unknowable",
            "unavailable error.type=store_down".to_owned(),
            refused("store_down"),
        ),
    ] {
        let send = || {
            let header = format!("Bearer {token}");
            let request = request(&[("authorization", &header)]);
            call(layer.layer(Inner::new()), request);
        };
        let timed = format!("verification.duration outcome={outcome}");
        assert_counted(token, send, &[&request_outcome, &timed]);
    }
}

/// The time is that from the request to the verdict, in seconds.
#[tokio::test]
async fn the_time_is_in_seconds() {
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let slow = verify_async_fn(|_: OwnedToken| async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok(Claims::new(()))
    });
    support::send(&BearerAuthLayer::new(slow), request(GOOD)).await;
    let snapshot = recorder.snapshotter().snapshot().into_vec();
    let times: Vec<_> = snapshot
        .iter()
        .filter_map(|(_, _, _, value)| match value {
            DebugValue::Histogram(times) => Some(times),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(times.len(), 1);
    assert!((0.029..10.0).contains(&**times[0]), "{times:?}");
}

/// A verdict that nobody waits for any longer is none, and the request was neither let in nor refused.
#[test]
fn a_client_that_went_away_is_not_counted() {
    let layer = BearerAuthLayer::new(verify_async_fn(|_: OwnedToken| {
        std::future::pending::<Result<Claims, AuthError>>()
    }));
    let send = || {
        let waiting = layer.layer(Inner::new()).oneshot(request(GOOD));
        assert!(waiting.now_or_never().is_none());
    };
    assert_counted("went away", send, &[]);
}

#[test]
fn a_check_that_takes_time() {
    struct Slow(Result<(), AuthError>);

    impl tower_bearer::Check<()> for Slow {
        fn check(&self, _: &CheckContext<'_, ()>) -> Checked {
            let answer = self.0.clone();
            Checked::Pending(Box::pin(async move { answer }))
        }
    }

    for (answer, expected) in [
        (Ok(()), requests("admitted")),
        (Err(AuthError::access_denied("late")), refused("late")),
    ] {
        let layer = BearerAuthLayer::new(at_once()).check(Slow(answer.clone()));
        let send = || call(layer.layer(Inner::new()), request(GOOD));
        assert_counted("in the layer", send, &[&expected]);

        // Further in it admits nobody a second time.
        let layer = BearerAuthLayer::new(at_once());
        let service = layer.layer(layer.require(Slow(answer.clone())).layer(Inner::new()));
        let mut further_in = vec![requests("admitted")];
        further_in.extend(answer.is_err().then_some(expected));
        let further_in: Vec<_> = further_in.iter().map(String::as_str).collect();
        assert_counted("further in", || call(service, request(GOOD)), &further_in);
    }
}

/// What a layer let pass and a `require` further in refuses is counted by both.
#[test]
fn further_in() {
    let layer = BearerAuthLayer::new(at_once()).optional();
    let scope = |scope| {
        let require = layer.require(RequireScopes::all_of([scope]).unwrap());
        layer.layer(require.layer(Inner::new()))
    };
    let (admitted, anonymous) = (requests("admitted"), requests("anonymous"));
    let (scope_missing, token_missing) = (refused("insufficient_scope"), refused("token_missing"));
    for (needed, headers, expected) in [
        ("read", GOOD, &[&*admitted][..]),
        ("write", GOOD, &[&*admitted, &*scope_missing]),
        ("read", NONE, &[&*anonymous, &*token_missing]),
    ] {
        let send = || call(scope(needed), request(headers));
        assert_counted(needed, send, expected);
    }

    // Nobody was refused: the stack is wrong.
    let alone = layer.require_fn(|_| Ok(())).layer(Inner::new());
    assert_counted("alone", || call(alone, request(GOOD)), &[]);
}

/// An extractor that finds no claims refuses what the layer let pass.
#[cfg(feature = "axum")]
#[test]
fn the_extractor() {
    use axum::{Router, body::Body, routing::get};

    let app = |optional: bool| {
        let layer = BearerAuthLayer::new(at_once()).optional();
        match optional {
            true => Router::new().route("/", get(|_: Option<Claims>| async {})),
            false => Router::new().route("/", get(|_: Claims| async {})),
        }
        .layer(layer)
    };
    for (optional, expected) in [
        (true, &[&*requests("anonymous")][..]),
        (
            false,
            &[&*requests("anonymous"), &*refused("token_missing")],
        ),
    ] {
        let send = || {
            let request = Request::get("/").body(Body::empty()).unwrap();
            let response = app(optional).oneshot(request).now_or_never();
            response.expect("nothing here waits").unwrap();
        };
        assert_counted(&format!("optional: {optional}"), send, expected);
    }
}

/// The same as by `Cached::stats`, which knows of one cache alone.
#[cfg(feature = "cache")]
#[test]
fn the_cache() {
    use tower_bearer::{Cached, Verification};

    let cached = Cached::builder(at_once())
        .max_bytes(65_536)
        .build()
        .unwrap();
    let layer = BearerAuthLayer::new(cached.clone());
    for (of, expected) in [
        ("first", &["cache.lookups result=miss"][..]),
        ("again", &["cache.lookups result=hit"]),
    ] {
        let send = || call(layer.layer(Inner::new()), request(GOOD));
        let admitted = requests("admitted");
        let expected: Vec<_> = expected.iter().copied().chain([&*admitted]).collect();
        assert_counted(of, send, &expected);
    }

    // A verdict that takes time is timed when it is worked out, and not when it was kept.
    let slow = BearerAuthLayer::new(Cached::new(later()));
    let service = slow.layer(Inner::new());
    let seen = counted(|| {
        for _ in 0..3 {
            call(service.clone(), request(GOOD));
        }
    });
    let expected = [
        ("tower_bearer.cache.lookups result=hit", 2),
        ("tower_bearer.cache.lookups result=miss", 1),
        ("tower_bearer.requests outcome=admitted", 3),
        ("tower_bearer.verification.duration outcome=verified", 1),
    ];
    assert_eq!(seen, expected.map(|(name, count)| (name.to_owned(), count)));

    // Tokens enough to drive each other out.
    let small = Cached::builder(support::any_token())
        .max_bytes(65_536)
        .build()
        .unwrap();
    let seen = counted(|| {
        for number in 0..400 {
            let token = format!("token-{number}");
            let verdict = small.verify(BearerToken::parse(&token).unwrap());
            assert!(matches!(verdict, Verification::Ready(Ok(_))));
        }
    });
    let stats = small.stats();
    assert!(stats.evictions > 0, "{stats:?}");
    let expected = [
        ("tower_bearer.cache.evictions", stats.evictions),
        ("tower_bearer.cache.lookups result=miss", 400),
    ];
    assert_eq!(seen, expected.map(|(name, count)| (name.to_owned(), count)));
}

/// Descriptions reach a recorder that is there when they are told.
#[test]
fn what_is_counted_is_described() {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        describe_metrics();
        call(
            BearerAuthLayer::new(later()).layer(Inner::new()),
            request(GOOD),
        );
    });
    let seen = recorder.snapshotter().snapshot().into_vec();
    assert_eq!(seen.len(), 2);
    for (key, unit, description, _) in seen {
        let name = key.key().name().to_owned();
        let seconds = name.ends_with("duration");
        let expected = if seconds { Unit::Seconds } else { Unit::Count };
        assert_eq!(unit, Some(expected), "{name}");
        assert!(description.is_some_and(|text| !text.is_empty()), "{name}");
    }
}
