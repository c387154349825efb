//! A count to which many threads add without waiting for each other.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const STRIPES: usize = 16;

/// Each thread adds to a stripe that few others use. The sum is made when it is asked for.
#[derive(Default)]
pub(super) struct Counter([Stripe; STRIPES]);

/// Aligned so that no cache line holds two.
#[derive(Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, more: u64) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
        }
        if let Some(Stripe(count)) = self.0.get(STRIPE.with(|stripe| *stripe)) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(super) fn sum(&self) -> u64 {
        self.0
            .iter()
            .map(|Stripe(count)| count.load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}
