//! Attack 40: two requests share a look-up and one of them is cancelled, at any moment. The other ends.
//!
//! A bounded number of pairs; for a million of them, in some minutes:
//!
//! ```text
//! CACHED_PAIRS=1000000 cargo test --release --features full --test cached stress
//! ```

use std::{env, hint, time::Duration};

use tokio::task::JoinHandle;
use tower_bearer::{
    AuthError, BearerToken, Cached, CachedFuture, Claims, OwnedToken, Verifier, verify_async_fn,
};

use crate::begin;

/// What a usual run takes: some seconds, without optimization.
const PAIRS: usize = 20_000;

/// How many pairs are on their way at a time.
const AT_A_TIME: usize = 32;

/// SplitMix64, for the moments at which things happen.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// The token says how often the look-up waits, and so for which kind of thing: for another thread, for its
/// own, or for the clock.
fn verifier() -> impl Verifier<Claims = usize, Future: Send> + Send + Sync {
    verify_async_fn(|token: OwnedToken| async move {
        for step in token.as_str().bytes() {
            match step {
                b's' => tokio::spawn(async {}).await.unwrap(),
                b'y' => tokio::task::yield_now().await,
                b't' => tokio::time::sleep(Duration::from_micros(1)).await,
                _ => {}
            }
        }
        Ok(Claims::new(token.as_str().len()))
    })
}

type Task = JoinHandle<Result<Claims<usize>, AuthError>>;

fn spawn(waiting: CachedFuture<usize>) -> Task {
    tokio::spawn(waiting)
}

#[test]
fn attack_40_the_other_of_a_pair_ends() {
    let pairs = env::var("CACHED_PAIRS").map_or(PAIRS, |pairs| pairs.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let cached = Cached::builder(verifier())
        .time_to_live(Duration::ZERO)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut random = Random(40);
        let mut done = 0;
        while done < pairs {
            let mut stay = Vec::new();
            for number in 0..AT_A_TIME.min(pairs - done) {
                // Unique among those on their way; at most three steps that wait.
                let steps: String = (0..random.below(4))
                    .map(|_| ['s', 's', 's', 'y', 'y', 't'][random.below(6) as usize])
                    .collect();
                let token = format!("{steps}.{number}");
                let (one, other) = (begin(&cached, &token), begin(&cached, &token));
                let (leaves, stays) = match random.below(2) {
                    0 => (spawn(one), spawn(other)),
                    _ => {
                        let stays = spawn(one);
                        (spawn(other), stays)
                    }
                };
                for _ in 0..random.below(3_000) {
                    hint::spin_loop();
                }
                leaves.abort();
                stay.push((token, stays));
            }
            done += stay.len();
            for (token, stays) in stay {
                let verdict = tokio::time::timeout(Duration::from_secs(60), stays).await;
                let verdict = verdict.unwrap_or_else(|_| panic!("{token}: nobody woke it"));
                assert_eq!(*verdict.unwrap().unwrap(), token.len());
            }
        }
    });
    let token = BearerToken::parse("after").unwrap();
    let tower_bearer::Verification::Pending(waiting) = cached.verify(token) else {
        panic!("there at once");
    };
    assert_eq!(*runtime.block_on(waiting).unwrap(), 5);
}
