//! How long keys are fresh, and when they are fetched anew without anybody asking.

use http::{Request, Response, header};
use http_body_util::Full;

use super::*;

/// An issuer by HTTP on the paused clock: what it answers with, and what it was asked with.
#[derive(Clone, Default)]
struct Http {
    answers: Arc<Mutex<Vec<Response<String>>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Asked = (Instant, Request<()>);

impl Http {
    /// Answers so, each answer once and the last for ever.
    fn new(answers: Vec<Response<String>>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers)),
            asked: Arc::default(),
        }
    }

    fn keys(&self) -> RemoteKeySetBuilder {
        let http = self.clone();
        let client = tower::service_fn(move |request: Request<()>| {
            let now = Instant::now();
            http.asked.lock().unwrap().push((now, request));
            let mut answers = http.answers.lock().unwrap();
            let answer = match answers.len() {
                1 => answers[0].clone(),
                _ => answers.remove(0),
            };
            async { Ok::<_, std::io::Error>(answer.map(Full::<bytes::Bytes>::from)) }
        });
        RemoteKeySet::jwks_url("https://login.example.com/jwks").client(client)
    }

    fn intervals(&self) -> Vec<Duration> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }
}

fn ok(headers: &[(&str, &str)], json: String) -> Response<String> {
    let mut response = Response::builder();
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(json).unwrap()
}

const SLACK: f64 = 0.1;

/// Holds that it lies between 75 and 85 % of `fresh`.
#[track_caller]
fn assert_ahead(interval: Duration, fresh: u64, of: &str) {
    let (interval, fresh) = (interval.as_secs_f64(), fresh as f64);
    let range = fresh * 0.75 - SLACK..fresh * 0.85 + SLACK;
    assert!(range.contains(&interval), "{of}: {interval} of {fresh}");
}

/// The same of all of these, which are also not all the same.
#[track_caller]
fn assert_all_ahead(intervals: &[Duration], fresh: u64, of: &str) {
    for interval in intervals {
        assert_ahead(*interval, fresh, of);
    }
    let differs = |one: &Duration| one.abs_diff(intervals[0]).as_secs_f64() > SLACK;
    assert!(intervals.iter().any(differs), "{of}: {intervals:?}");
}

/// Ahead of the end of their freshness, by a jitter: no request waits, and no crowd asks together.
#[tokio::test(start_paused = true)]
async fn keys_are_fetched_anew_ahead_of_time() {
    let (source, verifier, signer) = warm().await;
    for _ in 0..100 {
        seconds(60).await;
        assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    }
    let intervals = source.intervals();
    assert!(intervals.len() >= 10, "{intervals:?}");
    assert_all_ahead(&intervals, 600, "by default");
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_says_is_honoured_within_bounds() {
    let signer = signer("a");
    let (minute, hour, day) = (60, 3600, 24 * 3600);
    for (cache_control, fresh) in [
        ("max-age=300", 300),
        ("public, max-age=3600, must-revalidate", hour),
        ("max-age=0", minute),
        ("max-age=59", minute),
        ("no-store", minute),
        ("max-age=86400", day),
        ("max-age=31536000", day),
        ("max-age=nonsense", minute),
        ("max-age=300, max-age=3600", 300),
        ("no-cache=\"set-cookie\", max-age=300", 300),
        ("no-cache, max-age=3600", minute),
        ("s-maxage=60, max-age=300", 300),
        ("max-age=99999999999999999999", day),
        ("public", 100),
    ] {
        let header = [(header::CACHE_CONTROL.as_str(), cache_control)];
        let http = Http::new(vec![ok(&header, set(&[&signer]))]);
        let keys = http.keys().fresh_for(Duration::from_secs(100));
        let keys = keys.build().unwrap();
        keys.ready().await.unwrap();
        seconds(8 * fresh).await;
        let intervals = http.intervals();
        assert!((8..=11).contains(&intervals.len()), "{cache_control}");
        assert_all_ahead(&intervals, fresh, cache_control);
    }
}

/// What was fetched before is asked for by its ETag, and a 304 makes it fresh again.
#[tokio::test(start_paused = true)]
async fn keys_that_have_not_changed_are_not_sent_again() {
    let (one, two) = (signer("a"), signer("b"));
    let not_modified = Response::builder().status(304).body(String::new()).unwrap();
    let http = Http::new(vec![
        ok(&[("etag", "\"1\"")], set(&[&one])),
        not_modified.clone(),
        not_modified,
        ok(&[("etag", "W/\"2\"")], set(&[&two])),
        // Without an ETag, so that there is none to ask by.
        ok(&[], set(&[&two])),
    ]);
    let keys = http.keys().build().unwrap();
    let (verifier, health) = (verifier(keys.clone()), keys.health());
    assert_eq!(ask(&verifier, &token(&one)).await, Said::In);
    seconds(2 * 520).await;
    let status = health.status();
    assert_eq!((status.attempts, status.failures), (3, 0), "{status:?}");
    assert!(status.age.unwrap() < Duration::from_secs(600));
    assert_eq!(at_once(&verifier, &token(&one)), Said::In);
    seconds(3 * 520).await;
    assert_eq!(at_once(&verifier, &token(&two)), Said::In);
    assert_eq!(ask(&verifier, &token(&one)).await, UNKNOWN);

    let asked = http.asked.lock().unwrap();
    let by: Vec<_> = asked
        .iter()
        .map(|(_, request)| request.headers().get(header::IF_NONE_MATCH))
        .map(|etag| etag.map(|etag| etag.to_str().unwrap()))
        .collect();
    let expected = [
        None,
        Some("\"1\""),
        Some("\"1\""),
        Some("\"1\""),
        Some("W/\"2\""),
        None,
    ];
    assert_eq!(by[..6], expected);
    for (_, request) in asked.iter() {
        assert_eq!(request.headers()[header::ACCEPT_ENCODING], "identity");
        assert!(!request.headers().contains_key(header::AUTHORIZATION));
    }
}

/// A 304 that nobody asked for says nothing.
#[tokio::test(start_paused = true)]
async fn a_304_to_a_first_request_is_a_failure() {
    let not_modified = Response::builder().status(304).body(String::new()).unwrap();
    let keys = Http::new(vec![not_modified]).keys().build().unwrap();
    assert_eq!(keys.ready().await.unwrap_err().reason(), "status");
}

/// Attack 31: a provider that is down while there are keys.
#[tokio::test(start_paused = true)]
async fn attack_31_failures_while_there_are_keys_back_off_to_5_minutes() {
    let (source, verifier, signer) = warm().await;
    source.now(Does::Fails);
    // The first at 80 %, and then until the keys are too old.
    seconds(3600).await;
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    let intervals = source.intervals();
    assert_ahead(intervals[0], 600, "the first");
    for (interval, expected) in intervals[1..].iter().zip([30, 60, 120, 240, 300, 300, 300]) {
        assert_about(*interval, expected, &format!("{intervals:?}"));
    }
    assert!(intervals.len() >= 8, "{intervals:?}");

    // Success begins anew: 80 % of the freshness, and then the first step again.
    source.gives(&[&signer]);
    seconds(300).await;
    source.now(Does::Fails);
    let before = source.count();
    seconds(650).await;
    let intervals = &source.intervals()[before - 1..];
    assert_ahead(intervals[0], 600, "after success");
    assert_about(intervals[1], 30, "after success");
}

/// What a token has asked for in vain does not bring the refresh forward.
#[tokio::test(start_paused = true)]
async fn a_failure_ahead_of_time_leaves_the_plan_as_it_was() {
    let (source, verifier, _) = warm().await;
    source.now(Does::Fails);
    seconds(31).await;
    let unknown = token(&signer("b"));
    assert_eq!(ask(&verifier, &unknown).await, Said::Unavailable(30));
    seconds(600).await;
    let intervals = source.intervals();
    assert_about(intervals[0], 31, "by the token");
    assert_ahead(intervals[0] + intervals[1], 600, "as planned");
}

/// Attack 31: with no keys, sooner, for requests are refused.
#[tokio::test(start_paused = true)]
async fn attack_31_failures_without_keys_back_off_to_30_seconds() {
    let source = Source::new(Does::Fails);
    let keys = source.keys().build().unwrap();
    keys.health().status();
    seconds(200).await;
    let intervals = source.intervals();
    for (interval, expected) in intervals.iter().zip([1, 2, 4, 8, 16, 30, 30, 30, 30]) {
        assert_about(*interval, expected, &format!("{intervals:?}"));
    }
    assert_eq!(intervals.len(), 10, "{intervals:?}");
}

/// A cooldown of 0 is no licence to ask without end.
#[tokio::test(start_paused = true)]
async fn without_a_cooldown_failures_still_back_off() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let keys = source.keys().cooldown(Duration::ZERO).build().unwrap();
    keys.ready().await.unwrap();
    source.now(Does::Fails);
    seconds(600).await;
    let intervals = source.intervals();
    for (interval, expected) in intervals[1..].iter().zip([1, 2, 4, 8, 16, 32]) {
        assert_about(*interval, expected, &format!("{intervals:?}"));
    }
}
