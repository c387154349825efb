//! What a request costs: behind the layer alone ([`layer`]), with a JWT ([`jwt`]), with one that is
//! cached ([`cache`]), and what it costs to issue one ([`token_service`]).
//!
//! `cargo bench --features full`; a group or a case by its name: `cargo bench --features full -- layer/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[cfg(feature = "cache")]
mod cache;
mod jwt;
mod layer;
#[cfg(feature = "token-service")]
mod token_service;

use std::{
    convert::Infallible,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use futures_util::FutureExt;
use http::{
    Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT},
};
use http_body_util::Empty;
use tower::Service;

/// The usual length of a JWT, and so that of whatever stands in its place.
const TOKEN_LENGTH: usize = 800;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    layer::bench(&mut criterion);
    jwt::bench(&mut criterion);
    #[cfg(feature = "cache")]
    cache::bench(&mut criterion);
    #[cfg(feature = "token-service")]
    token_service::bench(&mut criterion);
    criterion.final_summary();
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .throughput(Throughput::Elements(1))
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group
}

/// The inner service: the least that can answer.
async fn inner(_: Request<()>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}

/// A request with the headers that every client sends.
fn request(authorization: Option<&str>) -> Request<()> {
    let request = Request::get("/api/v2/elements")
        .header(HOST, "api.example.com")
        .header(USER_AGENT, "bench/1.0")
        .header(ACCEPT, "application/json");
    match authorization {
        Some(credentials) => request.header(AUTHORIZATION, credentials),
        None => request,
    }
    .body(())
    .unwrap()
}

fn bearer(token: &str) -> Request<()> {
    request(Some(&format!("Bearer {token}")))
}

/// Measures one request, once it is sure that it is answered as it should be.
fn measure<S, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut service: S,
    request: &Request<()>,
    status: StatusCode,
) where
    S: Service<Request<()>, Response = Response<T>, Error = Infallible>,
{
    let response = answer(&mut service, request.clone());
    assert_eq!(response.status(), status, "{name}");
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || request.clone(),
            // The response goes within the time too, for what it took it also gives back; were they
            // kept, each would be made in memory that is cold.
            |request| drop(answer(&mut service, request)),
            BatchSize::NumIterations(64),
        );
    });
}

/// The response to a request, which must be there at once.
fn answer<S, T>(service: &mut S, request: Request<()>) -> Response<T>
where
    S: Service<Request<()>, Response = Response<T>, Error = Infallible>,
{
    match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => {}
        Poll::Pending => panic!("the inner service is always ready"),
    }
    match service.call(request).now_or_never() {
        Some(Ok(response)) => response,
        None => panic!("nothing here waits"),
    }
}
