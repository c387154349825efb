//! Tables of keys from the network, made and kept by several at once.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use super::*;

/// A JWK Set whose one key has this id.
fn set_of(key_id: u64) -> String {
    format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{key_id}",
            "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#
    )
}

/// A set whose key has the id that the number says, and is fetched anew after a second.
fn remote(number: &Arc<AtomicU64>) -> RemoteKeySet {
    let number = Arc::clone(number);
    let function = move || {
        let json = set_of(number.load(Ordering::SeqCst));
        ready(Ok::<_, Infallible>(json))
    };
    let keys = RemoteKeySet::from_fn(function);
    let second = std::time::Duration::from_secs(1);
    keys.fresh_for(second).build().unwrap()
}

fn key_id(table: &Table) -> u64 {
    table.candidates[0]
        .key_id
        .as_deref()
        .unwrap()
        .parse()
        .unwrap()
}

/// Two requests come right after a refresh, and each makes a table. One takes so long that there
/// is another refresh before it is done.
#[tokio::test(start_paused = true)]
async fn a_table_that_took_long_to_make_does_not_replace_a_newer_one() {
    let number = Arc::new(AtomicU64::new(1));
    let set = remote(&number);
    set.ready().await.unwrap();
    let keys = RemoteKeys::new(set.clone());
    let late = Arc::new(keys.make(None));
    assert_eq!(key_id(&late), 1);

    number.store(2, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let newer = keys.load(None);
    assert_eq!(key_id(&newer), 2);
    keys.keep(late);
    assert!(keys.table.load().generation == newer.generation);
    assert_eq!(key_id(&keys.table.load()), 2);
    assert_eq!(key_id(&keys.load(None)), 2);
}

/// What a thread has seen once it never sees an older state of again, while the keys change all
/// the time.
#[test]
fn no_thread_sees_keys_that_are_older_than_those_it_has_seen() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let number = Arc::new(AtomicU64::new(1));
    let set = runtime.block_on(async {
        let set = remote(&number);
        set.ready().await.unwrap();
        set
    });
    let keys = RemoteKeys::new(set);
    let over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let look = || {
            let (mut last, mut times) = (0, 0_u64);
            while !over.load(Ordering::Relaxed) {
                let table = keys.table.load();
                // Without a clock, of which the test has a paused one in another thread.
                if table.generation < keys.set.generation() {
                    keys.keep(Arc::new(keys.make(None)));
                }
                let seen = key_id(&keys.table.load());
                assert!(seen >= last, "{seen} after {last}");
                times += u64::from(seen > last);
                last = seen;
            }
            times
        };
        keys.keep(Arc::new(keys.make(None)));
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(look)).collect();
        runtime.block_on(async {
            for next in 2..3000 {
                number.store(next, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        });
        over.store(true, Ordering::Relaxed);
        let threads = threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).sum::<u64>()
    });
    assert!(seen > 100, "{seen}");
}
