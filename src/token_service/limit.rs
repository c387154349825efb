//! [`FailureLimit`]: how often the authentication of clients may fail.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter, clock, middleware::NoOpMiddleware, nanos::Nanos,
    state::StateStore,
};
use quick_cache::unsync::Cache;

use crate::clock::{Clock, NumericDate};

/// Limits failures per client and peer, and per peer. Failures from one peer never stand in the way of another.
pub(super) struct FailureLimit {
    per_client: Limit,
    per_peer: Limit,
    hasher: RandomState,
    clock: Seconds,
}

/// Who tries.
#[derive(Clone, Copy, Default)]
pub(super) struct Attempt {
    client: u64,
    peer: u64,
}

/// There were too many failures; after so long there may be another attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyFailures {
    pub(super) retry_after: Duration,
}

impl FailureLimit {
    /// So many failures a minute, per client and peer, and per peer.
    pub(super) fn new(per_client: NonZeroU32, per_peer: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        let clock = Seconds {
            began: clock.now(),
            clock,
        };
        Self {
            per_client: Limit::new(per_client, &clock),
            per_peer: Limit::new(per_peer, &clock),
            hasher: RandomState::new(),
            clock,
        }
    }

    /// An attempt of a peer, in the name of a client, to be counted if it fails.
    pub(super) fn attempt(&self, client_id: &str, peer: Option<IpAddr>) -> Attempt {
        let peer = peer.map(network_of);
        Attempt {
            client: self.hasher.hash_one((client_id, peer)),
            peer: self.hasher.hash_one(peer),
        }
    }

    /// Whether another attempt may be made.
    pub(super) fn check(&self, attempt: &Attempt) -> Result<(), TooManyFailures> {
        let wait = |not_until: NotUntil<Duration>| TooManyFailures {
            retry_after: not_until.wait_time_from(clock::Clock::now(&self.clock)),
        };
        let client = self.per_client.look.check_key(&attempt.client);
        let peer = self.per_peer.look.check_key(&attempt.peer);
        client.and(peer).map_err(wait)
    }

    /// It has failed.
    pub(super) fn failed(&self, attempt: &Attempt) {
        // That there are too many is said to the next attempt.
        self.per_client.count.check_key(&attempt.client).ok();
        self.per_peer.count.check_key(&attempt.peer).ok();
    }
}

/// Who has one address of IPv6 has the whole network of it.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// One limit, by two limiters of the same state: one looks, the other counts.
struct Limit {
    look: Limiter<Look>,
    count: Limiter<Count>,
}

type Limiter<S> = RateLimiter<u64, S, Seconds, NoOpMiddleware<Duration>>;

impl Limit {
    fn new(a_minute: NonZeroU32, clock: &Seconds) -> Self {
        let quota = Quota::per_minute(a_minute);
        let states = Arc::new(Mutex::new(Cache::new(AT_MOST)));
        Self {
            look: RateLimiter::new(quota, Look(Arc::clone(&states)), clock.clone()),
            count: RateLimiter::new(quota, Count(states), clock.clone()),
        }
    }
}

/// So many peers are known, some megabytes; when there are more, those are forgotten that failed least lately.
const AT_MOST: usize = 100_000;

type States = Arc<Mutex<Cache<u64, Nanos>>>;

struct Look(States);

impl StateStore for Look {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(states.peek(key).copied()).map(|(outcome, _)| outcome)
    }
}

struct Count(States);

impl StateStore for Count {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, state) = f(states.get(key).copied())?;
        states.insert(*key, state);
        Ok(outcome)
    }
}

/// The clock of the authorization server, as the limiter reads it: seconds since the beginning.
#[derive(Clone)]
struct Seconds {
    clock: Arc<dyn Clock>,
    began: NumericDate,
}

impl clock::Clock for Seconds {
    type Instant = Duration;

    fn now(&self) -> Duration {
        // A century is not reached but by a clock that is wrong, whose nanoseconds would not fit.
        const CENTURY: u64 = 100 * 365 * 24 * 3600;
        let since = self
            .clock
            .now()
            .as_secs()
            .saturating_sub(self.began.as_secs());
        Duration::from_secs(since.min(CENTURY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const NOW: NumericDate = NumericDate::from_secs(1_800_000_000);

    fn limit(per_client: u32, per_peer: u32) -> (FailureLimit, ManualClock) {
        let clock = ManualClock::new(NOW);
        let number = |number| NonZeroU32::new(number).unwrap();
        let limit = FailureLimit::new(
            number(per_client),
            number(per_peer),
            Arc::new(clock.clone()),
        );
        (limit, clock)
    }

    fn peer(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    /// How many failures there can be in a row, up to 100.
    fn failures(limit: &FailureLimit, attempt: &Attempt) -> usize {
        (0..100)
            .take_while(|_| {
                let may = limit.check(attempt).is_ok();
                if may {
                    limit.failed(attempt);
                }
                may
            })
            .count()
    }

    #[test]
    fn a_client_from_a_peer_fails_so_often_and_others_are_not_touched() {
        let (limit, clock) = limit(10, 15);
        let of = |client, address| limit.attempt(client, peer(address));
        assert_eq!(failures(&limit, &of("svc", "10.0.0.1")), 10);
        let wait = limit.check(&of("svc", "10.0.0.1")).unwrap_err();
        assert_eq!(wait.retry_after, Duration::from_secs(6));
        // The same client from elsewhere; another client from there, until the peer has had enough.
        assert_eq!(limit.check(&of("svc", "10.0.0.2")), Ok(()));
        assert_eq!(failures(&limit, &of("other", "10.0.0.1")), 5);
        assert!(limit.check(&of("third", "10.0.0.1")).is_err());
        clock.advance(Duration::from_secs(60));
        assert_eq!(failures(&limit, &of("svc", "10.0.0.1")), 10);
    }

    #[test]
    fn to_look_is_not_to_count() {
        let (limit, _) = limit(1, 1);
        let attempt = limit.attempt("svc", None);
        for _ in 0..100 {
            assert_eq!(limit.check(&attempt), Ok(()));
        }
    }

    #[test]
    fn peers_of_one_network_are_one() {
        let (limit, _) = limit(1, 1);
        limit.failed(&limit.attempt("svc", peer("2001:db8::1")));
        assert!(
            limit
                .check(&limit.attempt("svc", peer("2001:db8::ffff:1")))
                .is_err()
        );
        assert!(
            limit
                .check(&limit.attempt("svc", peer("2001:db8:0:1::1")))
                .is_ok()
        );
        limit.failed(&limit.attempt("svc", peer("10.0.0.1")));
        assert!(
            limit
                .check(&limit.attempt("svc", peer("::ffff:10.0.0.1")))
                .is_err()
        );
        assert!(limit.check(&limit.attempt("svc", peer("10.0.0.2"))).is_ok());
    }

    #[test]
    fn a_flood_of_peers_takes_no_more_room_and_a_wrong_clock_does_not_panic() {
        let (limit, clock) = limit(10, 10);
        for n in 0..300_000_u32 {
            limit.failed(&limit.attempt("svc", Some(IpAddr::V4(n.into()))));
        }
        assert!(
            limit
                .per_client
                .count
                .into_state_store()
                .0
                .lock()
                .unwrap()
                .len()
                <= AT_MOST
        );
        clock.set(NumericDate::MAX);
        let (limit, clock) = self::limit(10, 10);
        clock.set(NumericDate::MAX);
        limit.failed(&limit.attempt("svc", None));
        clock.set(NumericDate::from_secs(0));
        limit.failed(&limit.attempt("svc", None));
    }
}
