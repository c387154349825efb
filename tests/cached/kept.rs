//! attacks.md 25 to 28: what is kept, for how long, and that it is the verdict on this very token.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tower_bearer::{
    AuthError, BearerToken, Cached, Claims, Epoch, NumericDate, OwnedToken, reason,
    verify_async_fn, verify_fn,
};

use crate::{NOW, begin, clock, counting, verify};

#[test]
fn what_was_verified_is_not_verified_again() {
    let asked = Arc::default();
    let cached = Cached::new(counting(&asked));
    for _ in 0..3 {
        assert_eq!(*verify(&cached, "good-1").unwrap(), "good-1");
        assert_eq!(*verify(&cached.clone(), "good-2").unwrap(), "good-2");
        assert_eq!(verify(&cached, "bad").unwrap_err().reason(), "bad");
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2 + 3,
        "bad tokens are not kept"
    );
    let stats = cached.stats();
    assert_eq!((stats.hits, stats.misses), (4, 5));
    assert_eq!((stats.entries, stats.evictions), (2, 0));
    assert!(stats.bytes > 0);
    cached.clear();
    assert!(verify(&cached, "good-1").is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 6);
}

/// A hash finds the token, and all of it is compared.
#[test]
fn attack_27_the_whole_token_is_compared() {
    let asked = Arc::default();
    let cached = Cached::new(counting(&asked));
    let tail = "x".repeat(64);
    let good = format!("good{tail}");
    assert!(verify(&cached, &good).is_ok());
    for other in [
        format!("goof{tail}"),
        format!("bad-{tail}"),
        tail.clone(),
        format!("a{good}"),
    ] {
        assert!(verify(&cached, &other).is_err(), "{other}");
    }
    assert!(verify(&cached, &good).is_ok());
    assert_eq!(cached.stats().hits, 1);
}

#[test]
fn a_verdict_is_used_no_longer_than_its_time_to_live() {
    let (asked, clock) = (Arc::default(), clock());
    let cached = Cached::builder(counting(&asked))
        .time_to_live(Duration::from_secs(30))
        .clock(clock.clone())
        .build()
        .unwrap();
    let ask = |after: i64| {
        clock.set(NumericDate::from_secs(
            NOW.checked_add_signed(after).unwrap(),
        ));
        let before = asked.load(Ordering::SeqCst);
        verify(&cached, "good").unwrap();
        asked.load(Ordering::SeqCst) > before
    };
    assert!(ask(0));
    assert!(!ask(0));
    assert!(!ask(29));
    assert!(ask(30), "over");
    assert!(!ask(59));
    assert!(ask(60));
    assert!(
        ask(10),
        "a clock that was set back makes no verdict live longer"
    );
    assert!(!ask(39));
}

#[test]
fn attack_25_with_a_time_to_live_of_0_nothing_is_kept() {
    let asked = Arc::default();
    let cached = Cached::builder(counting(&asked))
        .time_to_live(Duration::ZERO)
        .build()
        .unwrap();
    for n in 1..4 {
        assert!(verify(&cached, "good").is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), n);
    }
    assert_eq!(cached.stats().entries, 0);
}

/// An epoch that ends takes its verdicts with it, on the next request, and no others.
#[test]
fn attack_26_a_withdrawn_key_takes_its_verdicts_with_it() {
    let keys = [Epoch::new(), Epoch::new()];
    let of_verifier = keys.clone();
    let cached = Cached::new(verify_fn(move |token: BearerToken<'_>| {
        let key = &of_verifier[token.as_str().len() % 2];
        match key.is_current() {
            true => Ok(Claims::builder().epoch(key.clone()).build(())),
            false => Err(AuthError::invalid_token(reason::KEY_UNKNOWN)),
        }
    }));
    for token in ["a", "bb", "ccc"] {
        verify(&cached, token).unwrap();
        verify(&cached, token).unwrap();
    }
    assert_eq!(cached.stats().hits, 3);
    keys[1].end();
    for token in ["a", "ccc"] {
        let error = verify(&cached, token).unwrap_err();
        assert_eq!(error.reason(), reason::KEY_UNKNOWN);
    }
    assert!(verify(&cached, "bb").is_ok());
    assert_eq!(cached.stats().hits, 4);
    assert_eq!(
        cached.stats().entries,
        1,
        "what has ended makes room at once"
    );
}

/// Each cache belongs to one verifier: what one has confirmed says nothing about another.
#[test]
fn attack_27_one_verifier_s_verdict_is_not_another_s() {
    let audience = |ours: &'static str| {
        Cached::new(verify_fn(move |token: BearerToken<'_>| {
            match token.as_str().starts_with(ours) {
                true => Ok(Claims::new(())),
                false => Err(AuthError::invalid_token(reason::AUDIENCE_MISMATCH)),
            }
        }))
    };
    let (one, two) = (audience("one"), audience("two"));
    for _ in 0..2 {
        assert!(verify(&one, "one-token").is_ok());
        assert!(verify(&two, "one-token").is_err());
    }
}

/// Nothing of a million bad tokens is kept, nor does it drive out what is good.
#[test]
fn attack_28_a_million_bad_tokens_leave_no_trace() {
    let asked = Arc::default();
    let cached = Cached::builder(counting(&asked))
        .max_bytes(1024 * 1024)
        .build()
        .unwrap();
    for n in 0..100 {
        verify(&cached, &format!("good-{n}")).unwrap();
    }
    let before = (cached.stats().entries, cached.stats().bytes);
    // Counted in this thread alone, whatever the other tests of the process do.
    let memory = allocation_counter::measure(|| {
        let mut token = String::new();
        for n in 0..1_000_000 {
            use std::fmt::Write;
            token.clear();
            write!(token, "{n:0>300}").unwrap();
            assert!(verify(&cached, &token).is_err());
        }
    });
    assert_eq!((cached.stats().entries, cached.stats().bytes), before);
    assert!(memory.bytes_max < 64 * 1024, "{memory:?}");
    assert!(memory.bytes_current <= 0, "{memory:?}");
    let hits = cached.stats().hits;
    for n in 0..100 {
        verify(&cached, &format!("good-{n}")).unwrap();
    }
    assert_eq!(cached.stats().hits, hits + 100);
}

/// Nor where each takes its time, and many of them are on their way at once.
#[test]
fn attack_28_bad_tokens_that_take_time_leave_no_trace() {
    let verifier = verify_async_fn(|token: OwnedToken| async move {
        tokio::task::yield_now().await;
        match token.as_str().starts_with("good") {
            true => Ok(Claims::new(())),
            false => Err(AuthError::invalid_token("bad")),
        }
    });
    let cached = Cached::new(verifier);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    runtime.block_on(begin(&cached, "good")).unwrap();
    let before = (cached.stats().entries, cached.stats().bytes);
    let flood = async |from: usize| {
        for batch in from..from + 500 {
            let tokens = (0..100).map(|n| format!("{:0>300}", batch * 100 + n));
            let verdicts = tokens.map(|token| begin(&cached, &token));
            for verdict in join_all(verdicts).await {
                assert!(verdict.is_err());
            }
        }
    };
    // What is made once is made by the first.
    runtime.block_on(flood(0));
    // Counted in this thread alone, whatever the other tests of the process do.
    let memory = allocation_counter::measure(|| runtime.block_on(flood(500)));
    assert_eq!((cached.stats().entries, cached.stats().bytes), before);
    assert!(memory.bytes_max < 1024 * 1024, "{memory:?}");
    assert!(memory.bytes_current <= 0, "{memory:?}");
    assert!(verify(&cached, "good").is_ok());
}

/// A miss is counted once, whether the layer asks or somebody else.
#[test]
fn a_miss_is_counted_once() {
    use std::convert::Infallible;

    use futures_util::FutureExt;
    use http::{Request, Response};
    use tower::{Layer, ServiceExt, service_fn};
    use tower_bearer::{BearerAuthLayer, RawToken, Verification, Verifier};

    let cached = Cached::new(counting(&Arc::default()));
    let service = BearerAuthLayer::new(cached.clone()).layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(()))
    }));
    let send = |token: &str| {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let response = service.clone().oneshot(request.body(()).unwrap());
        response.now_or_never().unwrap().unwrap().status().as_u16()
    };
    let counts = || (cached.stats().hits, cached.stats().misses);
    assert_eq!((send("good"), counts()), (200, (0, 1)));
    assert_eq!((send("good"), counts()), (200, (1, 1)));
    assert_eq!((send("bad"), counts()), (401, (1, 2)));
    assert_eq!((send("no token"), counts()), (401, (1, 2)), "no look-up");
    assert_eq!((send(&"x".repeat(16_385)), counts()), (401, (1, 2)));
    assert!(verify(&cached, "good-2").is_ok());
    assert!(verify(&cached, "good-2").is_ok());
    assert_eq!(counts(), (2, 3));
    for (raw, holds) in [(&b"good"[..], true), (b"bad", false), (b"\xff", false)] {
        let raw = RawToken::new(raw);
        let Verification::Ready(verdict) = cached.verify_raw(raw) else {
            panic!("not there at once");
        };
        assert_eq!(verdict.is_ok(), holds, "{raw:?}");
    }
    assert_eq!(counts(), (3, 4));
}

#[test]
fn an_invalidated_verdict_is_asked_for_again() {
    let asked = Arc::default();
    let cached = Cached::new(counting(&asked));
    for token in ["good-1", "good-2"] {
        verify(&cached, token).unwrap();
    }
    assert!(cached.invalidate("good-1"));
    assert!(!cached.invalidate("good-1"), "it is gone");
    assert!(!cached.invalidate("never seen"));
    assert!(!cached.invalidate(""));
    for token in ["good-1", "good-2"] {
        verify(&cached, token).unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert_eq!((cached.stats().hits, cached.stats().evictions), (1, 0));
}
