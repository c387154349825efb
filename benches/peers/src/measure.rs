//! Measures all contenders at the same time: a short batch of each in turn, many times over.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Request, Response};
use tokio::runtime::Runtime;
use tower::{Service, ServiceExt};

use crate::{
    contenders::{CACHED, Contender},
    tokens::{Case, Tokens},
};

/// What one contender was measured with.
pub struct Row {
    pub name: &'static str,
    /// The median of the rounds, a request.
    pub nanoseconds: f64,
    pub allocations: f64,
    pub bytes: f64,
    /// The status that it answered, where it was not the one that it should have been.
    pub answered: Option<u16>,
}

/// Requests, each with the number of its token.
pub type Requests = Vec<(usize, Request<Body>)>;

/// A batch of requests to a service: how long it took, and the status of the last answer.
pub trait Batch {
    fn run(&mut self, requests: Requests) -> Pin<Box<dyn Future<Output = (Duration, u16)> + '_>>;
}

impl<S> Batch for S
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    fn run(&mut self, requests: Requests) -> Pin<Box<dyn Future<Output = (Duration, u16)> + '_>> {
        Box::pin(async move {
            let mut status = 0;
            let start = Instant::now();
            for (_, request) in requests {
                let response = match self.ready().await {
                    Ok(service) => service.call(request).await,
                    Err(never) => match never {},
                };
                match response {
                    // Dropped within the time, as a server does.
                    Ok(response) => status = response.status().as_u16(),
                    Err(never) => match never {},
                }
            }
            (start.elapsed(), status)
        })
    }
}

pub fn side_by_side(
    runtime: &Runtime,
    contenders: &mut [Contender],
    tokens: &Tokens,
    case: Case,
    quick: bool,
) -> Vec<Row> {
    let (rounds, batch) = if quick { (3, 20) } else { (101, 64) };
    let requests = |from: usize| {
        (from..from + batch)
            .map(|number| {
                let token = match case {
                    Case::Valid => number,
                    _ => 0,
                };
                (token, request(tokens.of(case, number)))
            })
            .collect::<Vec<_>>()
    };
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    let mut rows = Vec::new();
    for contender in contenders.iter_mut() {
        let sent = requests(0);
        let mut status = 0;
        // Once to get warm, and once to count.
        runtime.block_on(contender.service.run(requests(0)));
        let counted = allocation_counter::measure(|| {
            (_, status) = runtime.block_on(contender.service.run(sent));
        });
        let each = |total: u64| total as f64 / batch as f64;
        rows.push(Row {
            name: contender.name,
            nanoseconds: 0.0,
            allocations: each(counted.count_total).floor(),
            bytes: each(counted.bytes_total).floor(),
            answered: (status != case.status() && !contender.floor).then_some(status),
        });
    }
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let mut random = fastrand::Rng::with_seed(9457);
    for round in 0..rounds {
        // In another order each time, so that nobody always follows the same one, ...
        random.shuffle(&mut order);
        for index in &order {
            let service = &mut contenders[*index].service;
            let from = 2 * round * batch;
            // ... and not with whatever that one has left in the caches of the processor.
            runtime.block_on(service.run(requests(from + batch)));
            let (time, _) = runtime.block_on(service.run(requests(from)));
            times[*index].push(time.as_nanos() as f64 / batch as f64);
        }
    }
    for (row, times) in rows.iter_mut().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        row.nanoseconds = times[times.len() / 2];
    }
    // The tokens come round again, so that a cache has seen them all.
    rows.retain(|row| case != Case::Valid || row.name != CACHED);
    rows
}

/// A request with the headers that every client sends.
fn request(token: Option<&str>) -> Request<Body> {
    let request = Request::get("/api/v2/elements")
        .header("host", "api.example.com")
        .header("user-agent", "bench/1.0")
        .header("accept", "application/json");
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
    .body(Body::empty())
    .unwrap_or_default()
}
