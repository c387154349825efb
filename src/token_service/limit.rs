//! [`FailureLimit`]: how often the authentication of clients may fail. [`Limits`] counts.

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

use crate::{
    clock::{Clock, NumericDate},
    error::ConfigError,
};

/// How many authentications of clients may fail in a minute, before more are answered 429.
///
/// Only failures count, and only comparisons with slow hashes are held back: a secret that was
/// [generated](super::SecretHash::generate) is accepted whatever others behind the same address do, and so is a
/// [chosen](super::SecretHash::of_chosen) one that the server has accepted before.
///
/// Over all peers, a client may fail 10 times as often as from one peer: one peer alone never gets there, and a
/// secret that a person chose cannot be guessed from many addresses.
///
/// ```
/// use tower_bearer::token_service::{AuthorizationServer, FailureLimit};
///
/// let server = AuthorizationServer::builder().failure_limit(FailureLimit { per_client: 5, per_peer: 30 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "two numbers that users write by name"
)]
pub struct FailureLimit {
    /// Failures a minute of one client from one peer. The default is 10: more than a client with an old secret
    /// makes by mistake, and too few to guess one.
    pub per_client: u32,
    /// Failures a minute of one peer, whatever the client. The default is 60.
    pub per_peer: u32,
}

impl Default for FailureLimit {
    fn default() -> Self {
        Self {
            per_client: 10,
            per_peer: 60,
        }
    }
}

/// So many peers may make a client fail as often as each may.
const PEERS_OF_A_CLIENT: u32 = 10;

/// Counts failures: per client and peer, per peer, and per client.
pub(super) struct Limits {
    client_and_peer: Limit,
    peer: Limit,
    client: Limit,
    hasher: RandomState,
    clock: Seconds,
}

/// Who tries.
#[derive(Clone, Copy, Default)]
pub(super) struct Attempt {
    client_and_peer: u64,
    peer: u64,
    client: u64,
}

/// There were too many failures; after so long there may be another attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyFailures {
    pub(super) retry_after: Duration,
}

impl Limits {
    pub(super) fn new(limit: FailureLimit, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let number = |number| {
            NonZeroU32::new(number).ok_or(ConfigError::new(
                "a failure limit of 0 lets nobody authenticate: use 1 or more",
            ))
        };
        let (per_client, per_peer) = (number(limit.per_client)?, number(limit.per_peer)?);
        let clock = Seconds {
            began: clock.now(),
            clock,
        };
        let over_all_peers = per_client.saturating_mul(number(PEERS_OF_A_CLIENT)?);
        Ok(Self {
            client_and_peer: Limit::new(per_client, &clock),
            peer: Limit::new(per_peer, &clock),
            client: Limit::new(over_all_peers, &clock),
            hasher: RandomState::new(),
            clock,
        })
    }

    /// An attempt of a peer, in the name of a client, to be counted if it fails.
    pub(super) fn attempt(&self, client_id: &str, peer: Option<IpAddr>) -> Attempt {
        let peer = peer.map(network_of);
        Attempt {
            client_and_peer: self.hasher.hash_one((client_id, peer)),
            peer: self.hasher.hash_one(peer),
            client: self.hasher.hash_one(client_id),
        }
    }

    /// Whether another attempt may be made.
    pub(super) fn check(&self, attempt: &Attempt) -> Result<(), TooManyFailures> {
        let wait = |not_until: NotUntil<Duration>| TooManyFailures {
            retry_after: not_until.wait_time_from(clock::Clock::now(&self.clock)),
        };
        for (limit, key) in self.by_key(attempt) {
            limit.look.check_key(key).map_err(wait)?;
        }
        Ok(())
    }

    /// The attempt has failed.
    pub(super) fn failed(&self, attempt: &Attempt) {
        for (limit, key) in self.by_key(attempt) {
            // That there are too many is said to the next attempt.
            limit.count.check_key(key).ok();
        }
    }

    /// Whether failures of the peer still count against it.
    pub(super) fn peer_has_failed(&self, attempt: &Attempt) -> bool {
        let now = Nanos::from(clock::Clock::now(&self.clock));
        let states = self
            .peer
            .states
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        states
            .peek(&attempt.peer)
            .is_some_and(|free_at| *free_at > now)
    }

    fn by_key<'a>(&'a self, attempt: &'a Attempt) -> [(&'a Limit, &'a u64); 3] {
        [
            (&self.client_and_peer, &attempt.client_and_peer),
            (&self.peer, &attempt.peer),
            (&self.client, &attempt.client),
        ]
    }
}

/// Counts requests of a client, whether they fail or not.
pub(super) struct RequestLimit {
    clients: Limit,
    hasher: RandomState,
    clock: Seconds,
}

impl RequestLimit {
    pub(super) fn new(a_minute: u32, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let a_minute = NonZeroU32::new(a_minute).ok_or(ConfigError::new(
            "an introspection limit of 0 lets nobody ask: use 1 or more",
        ))?;
        let clock = Seconds {
            began: clock.now(),
            clock,
        };
        Ok(Self {
            clients: Limit::new(a_minute, &clock),
            hasher: RandomState::new(),
            clock,
        })
    }

    /// Counts a request, unless there were too many.
    pub(super) fn count(&self, client_id: &str) -> Result<(), TooManyFailures> {
        let key = self.hasher.hash_one(client_id);
        let counted = self.clients.count.check_key(&key);
        counted.map_err(|not_until| TooManyFailures {
            retry_after: not_until.wait_time_from(clock::Clock::now(&self.clock)),
        })
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
    states: States,
}

type Limiter<S> = RateLimiter<u64, S, Seconds, NoOpMiddleware<Duration>>;

impl Limit {
    fn new(a_minute: NonZeroU32, clock: &Seconds) -> Self {
        let quota = Quota::per_minute(a_minute);
        let states = Arc::new(Mutex::new(Cache::new(AT_MOST)));
        Self {
            look: RateLimiter::new(quota, Look(Arc::clone(&states)), clock.clone()),
            count: RateLimiter::new(quota, Count(Arc::clone(&states)), clock.clone()),
            states,
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

    fn limit(per_client: u32, per_peer: u32) -> (Limits, ManualClock) {
        let clock = ManualClock::new(NOW);
        let limit = FailureLimit {
            per_client,
            per_peer,
        };
        (Limits::new(limit, Arc::new(clock.clone())).unwrap(), clock)
    }

    fn peer(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    /// How many failures there can be in a row, up to 100.
    fn failures(limit: &Limits, attempt: &Attempt) -> usize {
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

    /// A client that fails from many addresses is limited over all of them, so that its secret cannot be guessed;
    /// one address alone never exhausts that limit.
    #[test]
    fn client_is_limited_over_all_peers() {
        let (limit, clock) = limit(2, 1000);
        let of = |n: u32| limit.attempt("svc", Some(IpAddr::V4(n.into())));
        assert_eq!(
            (0..100).map(|n| failures(&limit, &of(n))).sum::<usize>(),
            20
        );
        assert!(limit.check(&of(1000)).is_err());
        assert!(
            limit
                .check(&limit.attempt("other", peer("10.0.0.1")))
                .is_ok()
        );
        clock.advance(Duration::from_secs(60));
        assert_eq!(failures(&limit, &of(1000)), 2);
        assert!(limit.check(&of(1001)).is_ok());
    }

    #[test]
    fn failures_of_a_peer_count_against_it_for_a_while() {
        let (limit, clock) = limit(10, 60);
        let attempt = limit.attempt("svc", peer("10.0.0.1"));
        assert!(!limit.peer_has_failed(&attempt));
        limit.failed(&attempt);
        assert!(limit.peer_has_failed(&attempt));
        assert!(!limit.peer_has_failed(&limit.attempt("svc", peer("10.0.0.2"))));
        clock.advance(Duration::from_secs(2));
        assert!(!limit.peer_has_failed(&attempt));
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
        assert!(limit.client_and_peer.states.lock().unwrap().len() <= AT_MOST);
        clock.set(NumericDate::MAX);
        let (limit, clock) = self::limit(10, 10);
        clock.set(NumericDate::MAX);
        limit.failed(&limit.attempt("svc", None));
        clock.set(NumericDate::from_secs(0));
        limit.failed(&limit.attempt("svc", None));
    }
}
