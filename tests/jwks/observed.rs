//! What is told of fetching keys: events and a span of `tracing`, counts and gauges of `metrics`.

#[cfg(feature = "tracing")]
mod events {
    use std::fmt::{self, Write};

    use tracing::{
        Event, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id},
    };
    use tracing_subscriber::{
        layer::{Context, Layer, SubscriberExt},
        registry,
    };

    use super::super::*;

    /// Keeps what is logged, a line for each event and span.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl Log {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    impl<S: Subscriber> Layer<S> for Log {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }

        fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            let mut line = Line(format!("span {}", attributes.metadata().name()));
            attributes.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            match field.name() {
                "message" => write!(self.0, " {value:?}").unwrap(),
                name => write!(self.0, " {name}={value:?}").unwrap(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_life_with_its_faults() {
        share_events_among_tests();
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(registry().with(log.clone()));
        let (old, new) = (signer("a"), signer("b"));
        let mut odd = jwk(&signer("c"));
        odd["use"] = "enc".into();
        let source = Source::new(Does::Fails);
        let keys = source.keys().build().unwrap();
        let verifier = verifier(keys.clone());
        let span = "span fetch_keys key_set=\"function\"";
        let fetched = "DEBUG keys fetched key_set=\"function\"";
        let failed = "WARN keys not fetched key_set=\"function\" error.type=\"function_failed\" \
                      exception.message=the function failed: out of order";
        // The layer is not here, which logs the refusals.
        assert!(ask(&verifier, &token(&old)).await.is_unavailable());
        assert_eq!(log.take(), [span, failed]);

        let changed = |keys, withdrawn| {
            format!("INFO keys changed key_set=\"function\" keys={keys} withdrawn={withdrawn}")
        };
        let skipped = "INFO key cannot be used key_set=\"function\" \
                       key=key 1 (\"c\"): `use` is \"enc\", not \"sig\"";
        let set_of = |signer| json!({ "keys": [jwk(signer), odd] }).to_string();
        source.now(Does::Gives(set_of(&old)));
        keys.ready().await.unwrap();
        assert_eq!(log.take(), [span, fetched, &changed(1, 0), skipped]);

        // The same again is no news; others are.
        seconds(31).await;
        assert_eq!(ask(&verifier, &token(&new)).await, UNKNOWN);
        assert_eq!(log.take(), [span, fetched]);
        source.now(Does::Gives(set_of(&new)));
        seconds(31).await;
        assert_eq!(ask(&verifier, &token(&new)).await, Said::In);
        assert_eq!(log.take(), [span, fetched, &changed(1, 1), skipped]);

        source.now(Does::Fails);
        seconds(4201).await;
        let mut lines = log.take();
        lines.retain(|line| line != span && line != failed);
        assert_eq!(
            lines,
            ["ERROR keys too old to be used key_set=\"function\""]
        );
    }
}

#[cfg(feature = "metrics")]
mod counts {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::super::*;

    #[tokio::test(start_paused = true)]
    async fn fetches_and_the_age_of_the_keys() {
        let recorder = DebuggingRecorder::new();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let counts = || {
            let mut counts = Vec::new();
            for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
                let mut text = key.key().name().to_owned();
                for label in key.key().labels() {
                    text = format!("{text} {}={}", label.key(), label.value());
                }
                let name = text.strip_prefix("tower_bearer.key_set.");
                let Some(name) = name.map(|name| name.replace(" key_set=function", "")) else {
                    continue;
                };
                counts.push(match value {
                    DebugValue::Counter(count) => format!("{name}: {count}"),
                    DebugValue::Gauge(value) => format!("{name}: {value:.0}"),
                    DebugValue::Histogram(times) => {
                        let times: Vec<_> = times.iter().map(|time| time.round()).collect();
                        format!("{name}: {times:?}")
                    }
                });
            }
            counts.sort();
            counts
        };
        let signer = signer("a");
        let source = Source::new(Does::Hangs);
        let keys = source.keys().build().unwrap();
        keys.ready().await.unwrap_err();
        let failure = "outcome=failure error.type=timeout";
        let expected = [
            &format!("fetch.duration {failure}: [5.0]"),
            &format!("fetches {failure}: 1"),
            "keys: 0",
        ];
        assert_eq!(counts(), expected);

        source.gives(&[&signer]);
        keys.ready().await.unwrap();
        let seen = counts();
        for expected in ["age: 0", "fetches outcome=success: 1", "keys: 1"] {
            assert!(seen.contains(&expected.to_owned()), "{expected}: {seen:?}");
        }
        // Told anew every ten seconds.
        seconds(95).await;
        assert!(counts().contains(&"age: 90".to_owned()));
        source.now(Does::Fails);
        seconds(4201).await;
        let seen = counts();
        assert!(seen.contains(&"keys: 0".to_owned()), "{seen:?}");
    }
}

/// Each verification is timed once, whether its key is here, is waited for, or does not come.
#[cfg(feature = "metrics")]
mod times {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::super::*;

    /// How often each outcome of a verification was timed since the last time.
    fn timed(recorder: &DebuggingRecorder) -> Vec<String> {
        let mut times = Vec::new();
        for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
            let key = key.key();
            if key.name() != "tower_bearer.verification.duration" {
                continue;
            }
            let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
            match value {
                DebugValue::Histogram(times) if times.is_empty() => {}
                DebugValue::Histogram(all) => {
                    times.push(format!("{} {}", labels.join(" "), all.len()));
                }
                other => panic!("{other:?}"),
            }
        }
        times.sort();
        times
    }

    #[tokio::test(start_paused = true)]
    async fn each_verification_once() {
        let recorder = DebuggingRecorder::new();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let (old, new) = (signer("a"), signer("b"));
        let source = Source::of(&[&old]);
        let verifier = verifier(source.keys().build().unwrap());
        let (of_old, of_new) = (token(&old), token(&new));
        // Waited for: the first of all, and one whose key has come meanwhile.
        assert_eq!(answer(&verifier, &of_old).await.status, 200);
        assert_eq!(timed(&recorder), ["verified 1"]);
        // Here.
        assert_eq!(answer(&verifier, &of_old).await.status, 200);
        assert_eq!(timed(&recorder), ["verified 1"]);
        assert_eq!(answer(&verifier, &forged(&of_old)).await.status, 401);
        assert_eq!(timed(&recorder), ["refused signature_invalid 1"]);
        // Unknown within the cooldown, at once.
        assert_eq!(answer(&verifier, &of_new).await.status, 401);
        assert_eq!(timed(&recorder), ["refused key_unknown 1"]);
        // Unknown after it, and waited for in vain.
        seconds(31).await;
        assert_eq!(answer(&verifier, &of_new).await.status, 401);
        assert_eq!(timed(&recorder), ["refused key_unknown 1"]);
        source.gives(&[&old, &new]);
        seconds(31).await;
        assert_eq!(answer(&verifier, &of_new).await.status, 200);
        assert_eq!(timed(&recorder), ["verified 1"]);
        // It cannot be known, at once and after a while.
        source.now(Does::Fails);
        seconds(31).await;
        for _ in 0..2 {
            assert_eq!(answer(&verifier, &token_of_kid("c")).await.status, 503);
            assert_eq!(timed(&recorder), ["unavailable keys_unavailable 1"]);
        }
        // Refused before its signature is looked at, which is not timed.
        let expired = old.token(&json!({ "aud": AUDIENCE, "exp": 1 })).unwrap();
        assert_eq!(answer(&verifier, &expired).await.status, 401);
        assert!(timed(&recorder).is_empty());
    }
}
