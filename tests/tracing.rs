//! What is logged: an event for each refusal, with its reason, and without the token.

#![cfg(feature = "tracing")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Version};
use support::{Text, refusing, request};
use tower_bearer::{
    AuthError, BearerAuthLayer, Claims, OwnedToken, RequireScopes, Verifier, verify_async_fn,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry,
};

const SECRET: &str = "s3cr3t-t0k3n";

/// An event: where to, how loud, and its fields.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    target: String,
    level: Level,
    fields: BTreeMap<String, String>,
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Seen>>>);

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(Seen {
            target: event.metadata().target().to_owned(),
            level: *event.metadata().level(),
            fields: fields.0,
        });
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

/// What the sending of one request is logged with.
async fn logged<V: Verifier>(
    layer: &BearerAuthLayer<V>,
    headers: &[(&str, &str)],
) -> (support::Answer, Vec<Seen>) {
    logged_of(layer, request(headers)).await
}

async fn logged_of<V: Verifier>(
    layer: &BearerAuthLayer<V>,
    request: Request<Text>,
) -> (support::Answer, Vec<Seen>) {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(registry().with(log.clone()));
    let (answer, _) = support::send(layer, request).await;
    let seen = std::mem::take(&mut *log.0.lock().unwrap());
    (answer, seen)
}

fn refusal(level: Level, reason: &str, status: &str, source: Option<&str>) -> Seen {
    let fields = [
        ("message", Some("request refused")),
        ("error.type", Some(reason)),
        ("http.response.status_code", Some(status)),
        ("exception.message", source),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    Seen {
        target: "tower_bearer".to_owned(),
        level,
        fields: fields.collect(),
    }
}

/// Refuses every token with this error, at once and later.
async fn refused_with(error: &AuthError) -> Vec<Vec<Seen>> {
    let header = format!("Bearer {SECRET}");
    let headers = [("authorization", header.as_str())];
    let at_once = BearerAuthLayer::new(refusing(error.clone()));
    let error = error.clone();
    let later = BearerAuthLayer::new(verify_async_fn(move |_: OwnedToken| {
        let error = error.clone();
        async move { Err::<Claims, _>(error) }
    }));
    vec![
        logged(&at_once, &headers).await.1,
        logged(&later, &headers).await.1,
    ]
}

#[tokio::test]
async fn each_kind() {
    use AuthError as E;

    let broken = || io::Error::other("connection refused");
    let (debug, warn) = (Level::DEBUG, Level::WARN);
    for (error, level, status, source) in [
        (E::missing_token(), debug, "401", None),
        (E::invalid_token("forged"), debug, "401", None),
        (
            E::invalid_token("forged").with_source(broken()),
            debug,
            "401",
            Some("connection refused"),
        ),
        (E::revoked_token(), debug, "401", None),
        (E::insufficient_user_authentication(), debug, "401", None),
        (E::insufficient_scope("write"), debug, "403", None),
        (E::access_denied("tenant"), debug, "403", None),
        (E::invalid_request("odd", "It is odd"), debug, "400", None),
        (E::unavailable("store_down"), warn, "503", None),
        (
            E::unavailable("store_down").with_source(broken()),
            warn,
            "503",
            Some("connection refused"),
        ),
    ] {
        for seen in refused_with(&error).await {
            let expected = refusal(level, error.reason(), status, source);
            assert_eq!(seen, [expected], "{error}");
        }
    }
}

#[tokio::test]
async fn no_token_in_any_event() {
    let header = format!("Bearer {SECRET}");
    let malformed = format!("Bearer {SECRET} {SECRET}");
    let good = BearerAuthLayer::new(support::any_token());
    let bad = BearerAuthLayer::new(refusing(AuthError::invalid_token("forged")));
    let scopes =
        BearerAuthLayer::new(support::any_token()).check(RequireScopes::all_of(["write"]).unwrap());
    let header: &[_] = &[("authorization", &*header)];
    let malformed: &[_] = &[("authorization", &*malformed)];
    let twice = &[header[0], header[0]];
    for (name, (answer, seen)) in [
        ("admitted", logged(&good, header).await),
        ("bad", logged(&bad, header).await),
        ("scopes", logged(&scopes, header).await),
        ("malformed", logged(&good, malformed).await),
        ("twice", logged(&good, twice).await),
    ] {
        let refusals = usize::from(answer.error.is_some());
        assert_eq!(seen.len(), refusals, "{name}: {seen:?}");
        assert!(!format!("{seen:?}").contains(SECRET), "{name}: {seen:?}");
        assert_eq!(answer.error.is_none(), name == "admitted");
    }
}

/// The status is that of the answer, whoever makes it.
#[tokio::test]
async fn the_status_that_is_sent() {
    let mut grpc = request(&[("content-type", "application/grpc")]);
    *grpc.method_mut() = Method::POST;
    *grpc.version_mut() = Version::HTTP_2;
    let layer = BearerAuthLayer::new(support::good_token());
    let (answer, seen) = logged_of(&layer, grpc).await;
    assert_eq!(answer.status, 200);
    let expected = refusal(Level::DEBUG, "token_missing", "200", None);
    assert_eq!(seen, [expected]);

    let teapot = layer.reject_fn(|_, _| {
        let mut response = http::Response::new(bytes::Bytes::new());
        *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
        response
    });
    let (_, seen) = logged(&teapot, &[]).await;
    let expected = refusal(Level::DEBUG, "token_missing", "418", None);
    assert_eq!(seen, [expected]);
}
