//! A token seen before: hot, among ten thousand, and from two threads at once.

use std::{
    cell::Cell,
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use criterion::{BatchSize, BenchmarkGroup, Criterion, measurement::WallTime};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, service_fn};
use tower_bearer::{Algorithm, BearerAuthLayer, Cached, JwtVerifier};

use crate::{
    answer, bearer, group, inner,
    jwt::{AUDIENCE, FUTURE, ISSUER, Profile, issuer, numbered, token},
    measure,
};

const MANY: usize = 10_000;

pub(super) fn bench(criterion: &mut Criterion) {
    let issuer = issuer(Algorithm::ES256);
    let verifier = JwtVerifier::<Profile>::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(issuer.key().unwrap())
        .build()
        .unwrap();
    let cached = Cached::new(verifier);
    let mut service = BearerAuthLayer::new(cached.clone()).layer(service_fn(inner));
    let mut group = group(criterion, "cache");

    let hot = bearer(&token(&issuer, FUTURE));
    measure(&mut group, "hot", service.clone(), &hot, StatusCode::OK);

    let many: Vec<_> = (0..MANY)
        .map(|number| numbered(&issuer, FUTURE, number))
        .collect();
    for token in &many {
        assert_eq!(answer(&mut service, bearer(token)).status(), 200);
    }
    let misses = cached.stats().misses;
    spread(
        &mut group,
        "spread_over_10000/inner",
        service_fn(inner),
        &many,
    );
    spread(&mut group, "spread_over_10000", service.clone(), &many);
    assert_eq!(cached.stats().misses, misses, "all of them were kept");

    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (mut other, request) = (service.clone(), &hot);
        let over = &over;
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                drop(answer(&mut other, request.clone()));
            }
        });
        measure(
            &mut group,
            "hot_from_two_threads",
            service.clone(),
            &hot,
            StatusCode::OK,
        );
        over.store(true, Ordering::Relaxed);
    });
    group.finish();
}

/// Measures requests with one token of many, in an order that no prefetcher guesses. Each is made anew
/// and soon used, as one that was just read from a socket: what may be cold is the cache, not the request.
fn spread<S, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut service: S,
    tokens: &[String],
) where
    S: Service<Request<()>, Response = Response<T>, Error = Infallible>,
{
    let next = Cell::new(0);
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || {
                next.set((next.get() + 7_919) % tokens.len());
                bearer(&tokens[next.get()])
            },
            |request| drop(answer(&mut service, request)),
            BatchSize::NumIterations(16),
        );
    });
}
