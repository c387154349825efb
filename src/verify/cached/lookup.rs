//! One look-up, and all who wait for it.
//!
//! No task drives it. A waiter that is polled takes the future out, polls it, and puts it back; a wake-up
//! of the future wakes every waiter. A waiter may therefore leave at any moment: whoever is left was woken,
//! or will be. The future is dropped when it has ended or when the last waiter leaves.
//!
//! Everything that changes is behind one lock, and every change is one step under it. What belongs to
//! somebody else (the future, wakers, verdicts when they are dropped) is only called without the lock, and
//! a panic of it is a result like any other.
//!
//! `tests/loom` runs this file through all its interleavings.

use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use slab::Slab;

use super::{
    BoxFuture,
    sync::{
        Mutex, MutexGuard,
        thread::{self, ThreadId},
    },
};

/// A look-up, shared by its [`Waiter`]s and by the wakers of its future.
pub(super) struct Lookup<T, K> {
    state: Mutex<State<T, K>>,
    failed: fn(Failure) -> T,
}

/// What is done with a result before anybody hears of it. Dropped instead, if there is none.
pub(super) trait Keep<T> {
    fn keep(self, result: &T);
}

/// Why a look-up has no result of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The future panicked, when it was polled or dropped.
    Panicked,
    /// The future waits for this very look-up, which would never end.
    AwaitsItself,
}

struct State<T, K> {
    phase: Phase<T, K>,
    /// Whether the future has asked to be polled since it was last taken out.
    notified: bool,
    /// One place for each waiter, with its waker if it waits to be woken.
    waiters: Slab<Option<Waker>>,
}

enum Phase<T, K> {
    /// Nobody polls the future.
    Idle(Work<T, K>),
    /// A waiter has taken the future out and polls it, on this thread.
    Polled(ThreadId),
    /// The result, of which each waiter gets a clone.
    Done(T),
    /// Nobody waits any longer.
    Abandoned,
}

struct Work<T, K> {
    future: BoxFuture<T>,
    keep: K,
}

/// What a waiter that is polled has to do.
enum Turn<T, K> {
    Poll(Work<T, K>),
    Wait,
    Take(T),
    Fail(Failure),
}

/// The clones of `T` must not run anybody else's code: they are made under the lock.
impl<T: Clone + Send + 'static, K: Keep<T> + Send + 'static> Lookup<T, K> {
    /// Begins a look-up with its first waiter. `failed` makes the result where there is none.
    pub(super) fn begin(future: BoxFuture<T>, keep: K, failed: fn(Failure) -> T) -> Waiter<T, K> {
        let mut waiters = Slab::with_capacity(1);
        let place = waiters.insert(None);
        let state = State {
            phase: Phase::Idle(Work { future, keep }),
            // It has never been polled.
            notified: true,
            waiters,
        };
        let lookup = Arc::new(Self {
            state: Mutex::new(state),
            failed,
        });
        Waiter {
            lookup: Some(lookup),
            place,
        }
    }

    /// Another waiter, unless the last one has left already.
    pub(super) fn join(self: &Arc<Self>) -> Option<Waiter<T, K>> {
        let mut state = self.lock();
        if let Phase::Abandoned = state.phase {
            return None;
        }
        let place = state.waiters.insert(None);
        drop(state);
        Some(Waiter {
            lookup: Some(Arc::clone(self)),
            place,
        })
    }

    /// Polls the future on behalf of all. Gives the result, if there is one now.
    fn poll(self: &Arc<Self>, work: Work<T, K>, place: usize) -> Option<T> {
        let Work { mut future, keep } = work;
        let waker = Waker::from(Arc::clone(self));
        let polled = contain(|| future.as_mut().poll(&mut Context::from_waker(&waker)));
        if let Some(Poll::Pending) = polled {
            self.put_back(Work { future, keep });
            return None;
        }
        // Whether the future can be dropped, and the result kept, is part of the result.
        let dropped = contain(|| drop(future));
        let kept = match &polled {
            Some(Poll::Ready(result)) if dropped.is_some() => contain(|| keep.keep(result)),
            _ => contain(|| drop(keep)).and(None),
        };
        let result = match polled {
            Some(Poll::Ready(result)) if kept.is_some() => result,
            unusable => {
                contain(|| drop(unusable));
                (self.failed)(Failure::Panicked)
            }
        };
        self.finish(&result, place);
        Some(result)
    }

    fn put_back(&self, work: Work<T, K>) {
        let mut state = self.lock();
        state.phase = Phase::Idle(work);
        // It asked to be polled again while it was out. Whoever was polled meanwhile could do nothing, and
        // whoever put it back may leave before the next poll: so all are woken.
        let wakers = match state.notified {
            true => state.take_wakers(),
            false => Vec::new(),
        };
        drop(state);
        wake(wakers);
    }

    fn finish(&self, result: &T, place: usize) {
        let mut state = self.lock();
        state.phase = Phase::Done(result.clone());
        // The one that has the result need not be woken.
        let own = state.waiters.get_mut(place).and_then(Option::take);
        let wakers = state.take_wakers();
        drop(state);
        wake(wakers);
        contain(|| drop(own));
    }
}

impl<T, K> Lookup<T, K> {
    fn lock(&self) -> MutexGuard<'_, State<T, K>> {
        // Nothing panics under the lock; if something did, the state would still be a state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, K> State<T, K> {
    fn take_wakers(&mut self) -> Vec<Waker> {
        let waiters = self.waiters.iter_mut();
        waiters.filter_map(|(_, waker)| waker.take()).collect()
    }
}

impl<T: Clone, K> State<T, K> {
    /// Registers the waker of the waiter in this place, and says what the waiter has to do: both in one
    /// step, so that no wake-up can fall in between. The former waker is left in `waker`.
    fn turn(&mut self, place: usize, waker: &mut Option<Waker>) -> Turn<T, K> {
        if let Some(registered) = self.waiters.get_mut(place) {
            mem::swap(registered, waker);
        }
        match &self.phase {
            Phase::Idle(_) if self.notified => {}
            // It will wake all of us when there is something to do.
            Phase::Idle(_) => return Turn::Wait,
            Phase::Polled(by) if *by == thread::current().id() => {
                return Turn::Fail(Failure::AwaitsItself);
            }
            Phase::Polled(_) => return Turn::Wait,
            Phase::Done(result) => return Turn::Take(result.clone()),
            Phase::Abandoned => return Turn::Wait,
        }
        self.notified = false;
        match mem::replace(&mut self.phase, Phase::Polled(thread::current().id())) {
            Phase::Idle(work) => Turn::Poll(work),
            other => {
                self.phase = other;
                Turn::Wait
            }
        }
    }
}

/// The waker of the future. It keeps the look-up, but not for long: the last waiter to leave takes
/// everything out of it.
impl<T: Send + 'static, K: Send + 'static> Wake for Lookup<T, K> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        state.notified = true;
        let wakers = match state.phase {
            // Whoever polls it now sees that it asked, and wakes the others.
            Phase::Polled(_) => Vec::new(),
            _ => state.take_wakers(),
        };
        drop(state);
        wake(wakers);
    }
}

/// One of those who wait for a look-up. Ends with a clone of its result.
pub(super) struct Waiter<T, K> {
    // `None` once it has ended.
    lookup: Option<Arc<Lookup<T, K>>>,
    place: usize,
}

impl<T, K> Waiter<T, K> {
    /// The look-up, for others to join.
    pub(super) fn lookup(&self) -> Option<&Arc<Lookup<T, K>>> {
        self.lookup.as_ref()
    }

    fn leave(&mut self) {
        let Some(lookup) = self.lookup.take() else {
            return;
        };
        let mut state = lookup.lock();
        let waker = state.waiters.try_remove(self.place).flatten();
        let left = state
            .waiters
            .is_empty()
            .then(|| mem::replace(&mut state.phase, Phase::Abandoned));
        drop(state);
        contain(|| drop(waker));
        contain(|| drop(left));
    }
}

impl<T: Clone + Send + 'static, K: Keep<T> + Send + 'static> Future for Waiter<T, K> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let Some(lookup) = &this.lookup else {
            return Poll::Pending;
        };
        let mut waker = Some(context.waker().clone());
        let turn = lookup.lock().turn(this.place, &mut waker);
        drop(waker);
        let result = match turn {
            Turn::Wait => return Poll::Pending,
            Turn::Take(result) => result,
            Turn::Fail(failure) => (lookup.failed)(failure),
            Turn::Poll(work) => match lookup.poll(work, this.place) {
                Some(result) => result,
                None => return Poll::Pending,
            },
        };
        this.leave();
        Poll::Ready(result)
    }
}

impl<T, K> Drop for Waiter<T, K> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        // One that panics must not keep the others from being woken.
        contain(|| waker.wake());
    }
}

/// Calls somebody else's code. `None` if it panicked.
pub(super) fn contain<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(payload) => {
            // What was thrown is somebody else's as well. If it panics when it is dropped, what that
            // throws is leaked: there has to be an end.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            dropped.unwrap_or_else(mem::forget);
            None
        }
    }
}
