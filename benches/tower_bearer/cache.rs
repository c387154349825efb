//! A token seen before: hot, among ten thousand, and from two threads at once.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use criterion::{BatchSize, Criterion};
use http::StatusCode;
use tower::{Layer, service_fn};
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
        .map(|number| bearer(&numbered(&issuer, FUTURE, number)))
        .collect();
    for request in &many {
        assert_eq!(answer(&mut service, request.clone()).status(), 200);
    }
    let misses = cached.stats().misses;
    let next = Cell::new(0);
    group.bench_function("spread_over_10000", |bencher| {
        bencher.iter_batched(
            || {
                // In an order that no prefetcher guesses.
                next.set((next.get() + 7_919) % MANY);
                many[next.get()].clone()
            },
            |request| drop(answer(&mut service, request)),
            BatchSize::SmallInput,
        );
    });
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
