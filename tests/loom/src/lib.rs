//! All interleavings of those who wait for one look-up of `Cached`, by loom (Attack 40).
//!
//! ```text
//! cargo test --manifest-path tests/loom/Cargo.toml --target-dir target/loom
//! ```
//!
//! The file under test is that of the crate, with loom's lock and threads in place of the standard library's.
//! loom fails where all threads sleep and nobody is left to wake one: that is the lost wake-up. It is a
//! crate of its own, for with `--cfg loom`, as is usual, half of the dependencies would have to be built so.
//! The number of preemptions is bounded to three, which takes seconds; `LOOM_MAX_PREEMPTIONS` sets another.
#![cfg(test)]

use std::{future::Future, pin::Pin};

#[path = "../../../src/verify/cached/lookup.rs"]
mod lookup;

/// What the file finds in its parent module.
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
mod sync {
    pub(super) use loom::{
        sync::{Mutex, MutexGuard},
        thread,
    };
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use lookup::{Failure, Keep};
use loom::{future::block_on, model::Builder, thread};

type Verdict = Result<u32, Failure>;
type Lookup = lookup::Lookup<Verdict, Nothing>;
type Waiter = lookup::Waiter<Verdict, Nothing>;

/// What is done with the result.
struct Nothing;

impl Keep<Verdict> for Nothing {
    fn keep(self, _: &Verdict) {}
}

fn check(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    // What the environment says (`LOOM_MAX_PREEMPTIONS`), or a number that is done in seconds.
    builder.preemption_bound.get_or_insert(3);
    builder.check(f);
}

fn check_both(f: fn(bool)) {
    check(move || f(false));
    check(move || f(true));
}

/// What the look-up waits for. It wakes the last waker that it was given, and no other.
#[derive(Default)]
struct Gate(loom::sync::Mutex<(bool, Option<Waker>)>);

impl Gate {
    fn open(&self) {
        let waker = {
            let mut gate = self.0.lock().unwrap();
            gate.0 = true;
            gate.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1 = Some(waker.clone());
        Poll::Pending
    }
}

/// A look-up that ends with `42` when the gate is open, and counts its end in `dropped`.
struct Gated {
    gate: Arc<Gate>,
    dropped: Arc<AtomicUsize>,
    panics: bool,
}

impl Future for Gated {
    type Output = Verdict;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Verdict> {
        match self.gate.poll(context.waker()) {
            // Without the hook, which would print it for each interleaving.
            Poll::Ready(()) if self.panics => std::panic::resume_unwind(Box::new("the verifier")),
            Poll::Ready(()) => Poll::Ready(Ok(42)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Default, Clone)]
struct Lab {
    gate: Arc<Gate>,
    dropped: Arc<AtomicUsize>,
}

impl Lab {
    fn begin(&self) -> Waiter {
        self.begin_that(false)
    }

    fn begin_that(&self, panics: bool) -> Waiter {
        let future = Gated {
            gate: Arc::clone(&self.gate),
            dropped: Arc::clone(&self.dropped),
            panics,
        };
        Lookup::begin(Box::pin(future), Nothing, Err)
    }

    fn open_later(&self) -> thread::JoinHandle<()> {
        let gate = Arc::clone(&self.gate);
        thread::spawn(move || gate.open())
    }

    #[track_caller]
    fn assert_dropped(&self) {
        assert_eq!(self.dropped.load(Ordering::SeqCst), 1, "the future, once");
    }
}

fn join(waiter: &Waiter) -> Waiter {
    waiter.lookup().unwrap().join().unwrap()
}

/// One that stays, and one that leaves.
fn two(first: Waiter, first_leaves: bool) -> (Waiter, Waiter) {
    let second = join(&first);
    match first_leaves {
        true => (second, first),
        false => (first, second),
    }
}

fn poll_once(waiter: &mut Waiter) -> Poll<Verdict> {
    Pin::new(waiter).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn all_who_wait_are_woken() {
    check(|| {
        let lab = Lab::default();
        let one = lab.begin();
        let other = join(&one);
        let opener = lab.open_later();
        let there = thread::spawn(move || assert_eq!(block_on(other), Ok(42)));
        assert_eq!(block_on(one), Ok(42));
        there.join().unwrap();
        opener.join().unwrap();
        lab.assert_dropped();
    });
}

/// Whoever has polled the future last leaves without a word: the one that came first, or the other.
#[test]
fn one_who_leaves_takes_no_wake_up_along() {
    check_both(|first_leaves| {
        let lab = Lab::default();
        let (stays, mut leaves) = two(lab.begin(), first_leaves);
        let opener = lab.open_later();
        let there = thread::spawn(move || {
            let _ = poll_once(&mut leaves);
            drop(leaves);
        });
        assert_eq!(block_on(stays), Ok(42));
        there.join().unwrap();
        opener.join().unwrap();
        lab.assert_dropped();
    });
}

/// A future that wakes itself while it is polled, by one who then leaves.
#[test]
fn a_wake_up_during_a_poll_is_not_lost() {
    check_both(|first_leaves| {
        let mut polls = 0;
        let future = std::future::poll_fn(move |context| {
            polls += 1;
            if polls < 3 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(42))
        });
        let waiter = Lookup::begin(Box::pin(future), Nothing, Err);
        let (stays, mut leaves) = two(waiter, first_leaves);
        let there = thread::spawn(move || {
            let _ = poll_once(&mut leaves);
            drop(leaves);
        });
        assert_eq!(block_on(stays), Ok(42));
        there.join().unwrap();
    });
}

#[test]
fn one_joins_while_the_last_leaves() {
    check(|| {
        let lab = Lab::default();
        let mut leaves = lab.begin();
        let lookup = Arc::clone(leaves.lookup().unwrap());
        let opener = lab.open_later();
        let there = thread::spawn(move || {
            let _ = poll_once(&mut leaves);
            drop(leaves);
        });
        if let Some(joined) = lookup.join() {
            assert_eq!(block_on(joined), Ok(42));
        }
        there.join().unwrap();
        opener.join().unwrap();
        lab.assert_dropped();
        assert!(lookup.join().is_none());
    });
}

#[test]
fn all_leave_and_the_future_goes_with_the_last() {
    check(|| {
        let lab = Lab::default();
        let mut one = lab.begin();
        let mut other = join(&one);
        let opener = lab.open_later();
        let there = thread::spawn(move || {
            let _ = poll_once(&mut other);
            drop(other);
        });
        let _ = poll_once(&mut one);
        drop(one);
        there.join().unwrap();
        lab.assert_dropped();
        opener.join().unwrap();
    });
}

#[test]
fn a_panic_reaches_all_who_wait() {
    check(|| {
        let lab = Lab::default();
        let one = lab.begin_that(true);
        let other = join(&one);
        let opener = lab.open_later();
        let there = thread::spawn(move || assert_eq!(block_on(other), Err(Failure::Panicked)));
        assert_eq!(block_on(one), Err(Failure::Panicked));
        there.join().unwrap();
        opener.join().unwrap();
        lab.assert_dropped();
    });
}
