//! Schedules of keys on a clock that the tests move.

use futures_util::FutureExt;

use super::*;
use crate::clock::ManualClock;

const MINUTE: Duration = Duration::from_secs(60);

fn key(id: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256)
        .unwrap()
        .with_key_id(id)
}

fn signer(keys: &SigningKeys) -> String {
    let token = keys.sign(&json!({}), MINUTE, MINUTE).now_or_never();
    let token = token.unwrap().unwrap();
    let header = token.split('.').next().unwrap();
    let header = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

fn at(minutes: u64) -> NumericDate {
    NumericDate::from_secs(1_800_000_000 + minutes * 60)
}

const DAY: u64 = 24 * 60;

#[test]
fn a_key_is_published_before_it_is_used_and_for_as_long_as_is_set_after() {
    // In minutes, without the leeway of 5: what is set, how long tokens are good, how long the key is published.
    for (set, lifetime, published) in [
        (None, 10, DAY as u32),
        // Tokens of a client may be good for longer than those of others.
        (Some(10), 10, 10),
        (Some(10), 30, 30),
        (Some(2 * DAY as u32), 10, 2 * DAY as u32),
    ] {
        let clock = ManualClock::new(at(0));
        let mut keys = SigningKeys::with_clock(key("a"), clock.clone());
        if let Some(minutes) = set {
            keys = keys.publish_former_for(MINUTE * minutes);
        }
        keys.rotate(key("b"), 15 * MINUTE).unwrap();
        let last = 15 + u64::from(published) + 5;
        for (minutes, signing, ids) in [
            (0, "a", &["a", "b"][..]),
            (14, "a", &["a", "b"]),
            (15, "b", &["a", "b"]),
            (last, "b", &["a", "b"]),
            (last + 1, "b", &["b"]),
        ] {
            clock.set(at(minutes));
            keys.note_lifetime(MINUTE * lifetime);
            assert_eq!(signer(&keys), signing, "{set:?} {minutes}");
            assert_eq!(keys.key_ids(), ids, "{set:?} {minutes}");
        }
    }
}

#[test]
fn former_keys_published_for_less_than_tokens_are_good_are_a_config_error() {
    let keys = SigningKeys::new(key("a")).publish_former_for(10 * MINUTE);
    keys.expect_lifetime(10 * MINUTE).unwrap();
    let error = keys.expect_lifetime(11 * MINUTE).unwrap_err().to_string();
    assert!(error.contains("publish_former_for"), "{error}");
    let longest = Duration::from_secs(24 * 3600);
    SigningKeys::new(key("a")).expect_lifetime(longest).unwrap();
}

#[test]
fn a_former_key_never_signs_again_and_its_private_half_is_dropped() {
    let clock = ManualClock::new(at(0));
    let keys = SigningKeys::with_clock(key("a"), clock.clone());
    let private = Arc::downgrade(keys.0.schedule.load().signer(at(0)).unwrap());
    keys.rotate(key("b"), MINUTE).unwrap();
    assert!(private.upgrade().is_some());
    clock.set(at(1));
    // Asking is enough.
    assert_eq!(keys.key_ids(), ["a", "b"]);
    assert!(private.upgrade().is_none());
    // Neither a clock that goes back nor the end of its successor brings it back.
    clock.set(at(0));
    assert_eq!(signer(&keys), "b");
    let error = keys.withdraw("b").unwrap_err().to_string();
    assert!(error.contains("publish another"), "{error}");
    keys.rotate(key("c"), 15 * MINUTE).unwrap();
    keys.withdraw("b").unwrap();
    assert_eq!(signer(&keys), "c");
    assert_eq!(keys.key_ids(), ["a", "c"]);
    // A year later it is no longer there at all.
    clock.set(at(365 * DAY));
    assert!(keys.withdraw("c").is_err());
    assert!(keys.withdraw("a").is_err());
    assert_eq!(keys.key_ids(), ["c"]);
}

#[test]
fn replicas_that_publish_the_same_schedule_late_or_early_agree() {
    let ids = |order: &[usize], now| {
        let clock = ManualClock::new(now);
        let keys = SigningKeys::with_clock(key("0"), ManualClock::new(at(0)));
        let keys = keys.0.schedule.load_full();
        let keys = SigningKeys::of(Schedule::clone(&keys), Arc::new(clock), None);
        for place in order {
            let from = at(DAY * *place as u64);
            keys.publish(key(&place.to_string()), from).unwrap();
        }
        (signer(&keys), keys.key_ids())
    };
    for now in [at(0), at(DAY + 1), at(2 * DAY + 1), at(3 * DAY - 1)] {
        assert_eq!(ids(&[1, 2, 3], now), ids(&[3, 2, 1], now), "{now}");
    }
}

#[test]
fn the_clock_is_asked_without_a_lock() {
    struct Asking(
        std::sync::OnceLock<SigningKeys>,
        std::sync::atomic::AtomicBool,
    );
    impl Clock for Asking {
        fn now(&self) -> NumericDate {
            if self.1.swap(false, Ordering::SeqCst) {
                assert!(self.0.get().unwrap().withdraw("nobody").is_err());
            }
            at(0)
        }
    }
    let clock = Arc::new(Asking(Default::default(), Default::default()));
    let keys = SigningKeys::with_clock(key("a"), Arc::clone(&clock));
    let _ = clock.0.set(keys.clone());
    for ask in [
        |keys: &SigningKeys| keys.publish(key("b"), at(1)).unwrap(),
        |keys: &SigningKeys| keys.rotate(key("c"), MINUTE).unwrap(),
        |keys: &SigningKeys| keys.withdraw("c").unwrap(),
        |keys: &SigningKeys| drop(keys.public_key_set()),
        |keys: &SigningKeys| drop(signer(keys)),
    ] {
        clock.1.store(true, Ordering::SeqCst);
        ask(&keys);
        assert!(!clock.1.load(Ordering::SeqCst));
    }
}

#[test]
fn a_withdrawn_key_is_gone_at_once_but_never_the_last() {
    let keys = SigningKeys::new(key("a"));
    assert!(keys.withdraw("a").is_err());
    assert!(keys.withdraw("b").is_err());
    assert!(keys.rotate(key("a"), MINUTE).is_err());
    keys.rotate(key("b"), MINUTE).unwrap();
    keys.withdraw("a").unwrap();
    assert_eq!(keys.key_ids(), ["b"]);
    assert_eq!(signer(&keys), "b");
}
