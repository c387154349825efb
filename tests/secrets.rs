//! attacks.md 24: the token appears in no log line at TRACE, no `Debug`, no `Display`, no problem body,
//! no header of a response, and no error chain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{
    error::Error,
    io,
    sync::{Arc, Mutex},
};

use support::{Answer, Inner, Text};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_bearer::{
    AuthError, BearerAuthLayer, BearerToken, CheckContext, Checked, Claims, OwnedToken,
    TokenSource, Verifier, reason, verify_async_fn, verify_fn,
};
use tower_http::{
    LatencyUnit,
    trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, TraceLayer},
};
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

const SECRET: &str = "s3cr3t-t0k3n";

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Every place for a token: with the URI, and with whether the URI shows it of itself.
fn places() -> Vec<(String, Vec<(&'static str, String)>)> {
    let plain = || "/elements".to_owned();
    vec![
        (plain(), vec![("authorization", format!("Bearer {SECRET}"))]),
        (
            plain(),
            vec![("authorization", format!("Bearer {SECRET} {SECRET}"))],
        ),
        (
            plain(),
            vec![("authorization", format!("Bearer {SECRET}")); 2],
        ),
        (plain(), vec![("authorization", format!("Basic {SECRET}"))]),
        (plain(), vec![("x-auth-token", SECRET.to_owned())]),
        (plain(), vec![("cookie", format!("a=1; session={SECRET}"))]),
        (
            plain(),
            vec![("sec-websocket-protocol", format!("bearer, {SECRET}"))],
        ),
        (format!("/elements?access_token={SECRET}"), vec![]),
    ]
}

fn sources<V: Verifier>(layer: BearerAuthLayer<V>) -> BearerAuthLayer<V> {
    layer
        .token_source(TokenSource::header("x-auth-token").unwrap())
        .token_source(TokenSource::cookie("session").unwrap())
        .token_source(TokenSource::query("access_token").unwrap())
        .token_source(TokenSource::web_socket_protocol())
}

#[track_caller]
fn assert_silent(shown: &str, of: &str) {
    assert!(!shown.contains(SECRET), "{of}: {shown}");
}

/// A trace layer further in logs the request as the layer marked it, headers and all; one further out
/// logs the responses, refusals among them. (Further out the request's headers are not marked yet.)
#[tokio::test]
async fn logs_and_responses() {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(logged.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let trace = || {
        TraceLayer::new_for_http()
            .make_span_with(
                DefaultMakeSpan::new()
                    .level(Level::TRACE)
                    .include_headers(true),
            )
            .on_request(DefaultOnRequest::new().level(Level::TRACE))
            .on_response(
                DefaultOnResponse::new()
                    .level(Level::TRACE)
                    .latency_unit(LatencyUnit::Nanos)
                    .include_headers(true),
            )
    };
    for passes in [true, false] {
        for (uri, headers) in places() {
            let of = format!("{uri} {headers:?} {passes}");
            let auth = sources(BearerAuthLayer::new(verify_fn(
                move |_: BearerToken<'_>| match passes {
                    true => Ok(Claims::new(())),
                    false => Err(AuthError::invalid_token(reason::TOKEN_UNKNOWN)),
                },
            )));
            let in_uri = uri.contains(SECRET);
            let auth = if in_uri { auth.remove_token() } else { auth };
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, &**value))
                .collect();
            let inner = Inner::answering(|_| {
                let mut response = http::Response::new(Text::from("served"));
                *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
                response
            });
            let service = ServiceBuilder::new()
                .layer(
                    trace().make_span_with(|_: &http::Request<Text>| tracing::trace_span!("out")),
                )
                .layer(auth)
                .layer(trace())
                .service(inner);
            let request = support::request_to(&uri, &headers);
            let answer = Answer::of(service.oneshot(request).await.unwrap()).await;
            assert_silent(&answer.body, &of);
            assert_silent(&format!("{:?}", answer.headers), &of);
            for value in answer.headers.values() {
                assert_silent(value.to_str().unwrap(), &of);
            }
            if let Some(error) = &answer.error {
                assert_silent(&format!("{error} {error:?}"), &of);
            }
        }
    }
    let lines = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    // The trace layer has been heard, headers and all.
    assert!(lines.contains("Sensitive"), "{lines}");
    assert!(lines.contains("finished processing request"), "{lines}");
    assert_silent(&lines, "the log");
}

/// Everything public that has touched a token, and can be shown.
#[tokio::test]
async fn debug_and_display() {
    let token = BearerToken::parse(SECRET).unwrap();
    assert_eq!(format!("{token:?}"), "BearerToken(12 bytes)");
    assert_eq!(format!("{:?}", token.to_owned()), "OwnedToken(12 bytes)");
    assert_silent(&format!("{:#?} {:#?}", token, token.to_owned()), "tokens");

    let malformed = BearerToken::parse("s3cr3t-t0k3n s3cr3t-t0k3n").unwrap_err();
    let mut shown = format!("{malformed} {malformed:?} {malformed:#?}");
    let mut next: Option<&dyn Error> = malformed.source();
    while let Some(error) = next {
        shown.push_str(&format!("{error} {error:?}"));
        next = error.source();
    }
    assert_silent(&shown, "the error chain");

    let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
    assert_silent(
        &format!("{:?} {verifier:?}", verifier.verify(token)),
        "a verification",
    );
    let slow = verify_async_fn(|token: OwnedToken| async move {
        std::future::pending::<()>().await;
        drop(token);
        Ok(Claims::new(()))
    });
    let shared = slow.shared();
    let pending = shared.verify(token).into_future();
    assert_silent(
        &format!("{slow:?} {shared:?} {pending:?}"),
        "a pending verification",
    );

    let seen = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&seen);
    let layer = sources(BearerAuthLayer::new(shared)).check_fn(|_: &CheckContext<'_, ()>| Ok(()));
    let ready =
        sources(BearerAuthLayer::new(verifier)).check_fn(move |cx: &CheckContext<'_, ()>| {
            let credentials = cx.credentials().unwrap();
            let checked: Checked = Err(AuthError::access_denied("x")).into();
            log.lock().unwrap().push_str(&format!(
                "{cx:#?} {credentials:#?} {:#?} {checked:?} {:?}",
                credentials.token(),
                cx.request().headers
            ));
            Ok(())
        });
    for (uri, headers) in places() {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let mut service = layer.layer(Inner::new());
        let future = tower::Service::call(&mut service, support::request_to(&uri, &headers));
        assert_silent(&format!("{future:#?} {layer:#?}"), &uri);
        support::send(&ready, support::request_to(&uri, &headers)).await;
    }
    let seen = seen.lock().unwrap();
    // Five of the places hold a good token.
    assert_eq!(seen.matches("CheckContext").count(), 5, "{seen}");
    assert_silent(&seen, "a check");
}
