//! A token seen before: hot, of any length, among ten thousand, and from two threads at once. And what a
//! token costs that was not seen before: refused at once, and looked up for one request or for many.

use std::{
    cell::Cell,
    convert::Infallible,
    future::IntoFuture,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use criterion::{BatchSize, BenchmarkGroup, Criterion, measurement::WallTime};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, service_fn};
use tower_bearer::{
    Algorithm, AuthError, BearerAuthLayer, BearerToken, Cached, Claims, JwtVerifier, OwnedToken,
    Verifier, verify_async_fn, verify_fn,
};

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
    // Room for all of them, as evenly as they may fall into the shards.
    let cached = Cached::builder(verifier).max_bytes(128 * 1024 * 1024);
    let cached = cached.build().unwrap();
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

    lengths(&mut group);
    miss(&mut group);
    look_ups(&mut group);
    group.finish();
}

/// A hit, by the length of the token.
fn lengths(group: &mut BenchmarkGroup<'_, WallTime>) {
    let claims = Claims::builder().subject("alice").build(());
    let verifier = verify_fn(move |_: BearerToken<'_>| Ok(claims.clone()));
    let cached = Cached::new(verifier);
    let service = BearerAuthLayer::new(cached.clone()).layer(service_fn(inner));
    for length in [40, 800, 4_096, 16_384] {
        let request = bearer(&"t".repeat(length));
        let name = format!("hot/{length}_bytes");
        measure(group, &name, service.clone(), &request, StatusCode::OK);
    }
    assert_eq!(cached.stats().misses, 4, "all but the first were hits");
}

/// A token that is refused at once, and so never kept.
fn miss(group: &mut BenchmarkGroup<'_, WallTime>) {
    let verifier =
        verify_fn(|_: BearerToken<'_>| Err::<Claims, _>(AuthError::invalid_token("unknown")));
    let request = bearer(&"t".repeat(800));
    for (name, layer) in [
        ("miss", BearerAuthLayer::new(Cached::new(verifier).shared())),
        ("miss/uncached", BearerAuthLayer::new(verifier.shared())),
    ] {
        let service = layer.layer(service_fn(inner));
        measure(group, name, service, &request, StatusCode::UNAUTHORIZED);
    }
}

/// A look-up that is pending once: for one who waits, and for a hundred.
fn look_ups(group: &mut BenchmarkGroup<'_, WallTime>) {
    let claims = Claims::builder().subject("alice").build(());
    let verifier = verify_async_fn(move |_: OwnedToken| {
        let claims = claims.clone();
        let mut pending = true;
        std::future::poll_fn(move |context| {
            if std::mem::take(&mut pending) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(claims.clone()))
        })
    });
    let cached = Cached::builder(verifier)
        .time_to_live(Duration::ZERO)
        .build()
        .unwrap();
    let text = "t".repeat(800);
    let token = BearerToken::parse(&text).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    group.bench_function("look_up", |bencher| {
        bencher.iter(|| {
            let mut verdict = pin!(cached.verify(token).into_future());
            assert!(verdict.as_mut().poll(&mut context).is_pending());
            assert!(verdict.poll(&mut context).is_ready());
        });
    });
    group.bench_function("look_up_for_100", |bencher| {
        bencher.iter(|| {
            let mut verdicts: Vec<_> = (0..100)
                .map(|_| Box::pin(cached.verify(token).into_future()))
                .collect();
            while !verdicts.is_empty() {
                verdicts.retain_mut(|verdict| verdict.as_mut().poll(&mut context).is_pending());
            }
        });
    });
    assert_eq!(cached.stats().entries, 0);
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
