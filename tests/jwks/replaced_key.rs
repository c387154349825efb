//! Attack 29: signatures that keys which are here do not confirm. The issuer may have replaced a
//! key under its old name, or sign without naming a key; or somebody forges.

use tower_bearer::Cached;

use super::*;

/// The same key without its id.
fn without_kid(signer: &Issuer) -> Value {
    let mut jwk = jwk(signer);
    jwk.as_object_mut().unwrap().remove("kid");
    jwk
}

/// How an issuer may replace a key: the keys before and after, a token by each, and what is said
/// of the later one before the keys are fetched.
fn replacements() -> Vec<(&'static str, [Value; 2], [String; 2], Said)> {
    let [old, new] = [signer("a"), signer("a")];
    let other = Issuer::new(ISSUER, Algorithm::ES256).unwrap();
    let other = other.with_key_id("a");
    let tokens = [token(&old), token(&new)];
    let nameless = [token_without_kid(&old), token_without_kid(&new)];
    let mut renamed = jwk(&new);
    renamed["kid"] = "b".into();
    vec![
        (
            "the same kid",
            [jwk(&old), jwk(&new)],
            tokens.clone(),
            BAD_SIGNATURE,
        ),
        (
            "the same kid, another algorithm",
            [jwk(&old), jwk(&other)],
            [token(&old), token(&other)],
            UNKNOWN,
        ),
        (
            "no kid in the token",
            [jwk(&old), renamed],
            nameless.clone(),
            BAD_SIGNATURE,
        ),
        (
            "no kid at all",
            [without_kid(&old), without_kid(&new)],
            nameless,
            BAD_SIGNATURE,
        ),
        (
            "no kid in the set",
            [without_kid(&old), without_kid(&new)],
            tokens,
            BAD_SIGNATURE,
        ),
        (
            "no kid in the token, another algorithm",
            [jwk(&old), jwk(&other)],
            [token_without_kid(&old), token_without_kid(&other)],
            UNKNOWN,
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_replaced_under_its_name_is_back_within_the_cooldown() {
    for (of, [old, new], tokens, before) in replacements() {
        let [of_old, of_new] = tokens;
        let source = Source::new(Does::Gives(json!({ "keys": [old] }).to_string()));
        let verifier = verifier(source.keys().build().unwrap());
        let cached = Cached::builder(verifier.clone())
            .clock(clock())
            .build()
            .unwrap();
        assert_eq!(ask(&cached, &of_old).await, Said::In, "{of}");
        source.now(Does::Gives(json!({ "keys": [new] }).to_string()));

        // Within the cooldown of the first fetch there is no other.
        for _ in 0..29 {
            seconds(1).await;
            assert_eq!(at_once(&verifier, &of_new), before, "{of}");
        }
        assert_eq!(source.count(), 1, "{of}");
        // Then the first of them starts one, and does not wait for it.
        seconds(1).await;
        assert_eq!(at_once(&verifier, &of_new), before, "{of}");
        pass(Duration::from_millis(1)).await;
        assert_eq!(source.count(), 2, "{of}");
        // The later ones are served at once, and what rested on the old key has ended.
        assert_eq!(at_once(&verifier, &of_new), Said::In, "{of}");
        assert_ne!(at_once(&cached, &of_old), Said::In, "{of}");
        assert_eq!(at_once(&cached, &of_new), Said::In, "{of}");
        assert_eq!(source.count(), 2, "{of}");
    }
}

/// The failing request does not wait, nor do those whose key is known, though the source hangs. A
/// token of an unknown key waits for this very fetch.
#[tokio::test(start_paused = true)]
async fn a_bad_signature_waits_for_nothing_and_holds_up_nobody() {
    let (source, verifier, known) = warm().await;
    let (good, unknown) = (token(&known), token(&signer("b")));
    seconds(31).await;
    source.now(Does::Hangs);
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(at_once(&verifier, &forged(&good)), BAD_SIGNATURE);
        assert_eq!(at_once(&verifier, &good), Said::In);
    }
    seconds(2).await;
    let waiting = waits(&verifier, &unknown);
    assert_eq!(Said::of(waiting.await), Said::Unavailable(30));
    assert_about(begun.elapsed(), 5, "the one fetch");
    assert_eq!(source.count(), 2);
    // That it failed is nothing to a token whose key is here and says no.
    assert_eq!(at_once(&verifier, &forged(&good)), BAD_SIGNATURE);
    assert_eq!(at_once(&verifier, &good), Said::In);
}

#[tokio::test(start_paused = true)]
async fn attack_29_a_flood_of_bad_signatures_is_a_fetch_per_cooldown() {
    let (source, verifier, known) = warm().await;
    let good = token(&known);
    let bad = [
        forged(&good),
        token(&signer("a")),
        token_without_kid(&signer("b")),
        token_of_kid("b"),
    ];
    seconds(30).await;
    let before = source.count();
    for n in 0..400 {
        pass(Duration::from_millis(75)).await;
        let said = ask(&verifier, &bad[n % bad.len()]).await;
        assert!(matches!(said, Said::Refused(_)), "{said:?}");
    }
    // 30 seconds by the clock, and as much as its timers round up.
    let fetches = source.count() - before;
    assert!((1..=2).contains(&fetches), "{fetches} fetches");
    for interval in &source.intervals()[1..] {
        assert!(*interval >= Duration::from_secs(30), "{interval:?}");
    }

    // While it is down, a fetch per step of the back-off: at 0, 30, 90, 210 seconds.
    source.now(Does::Fails);
    seconds(30).await;
    let before = source.count();
    for n in 0..500 {
        pass(Duration::from_millis(400)).await;
        assert_eq!(at_once(&verifier, &bad[n % 3]), BAD_SIGNATURE);
        if n % 100 == 0 {
            assert_eq!(at_once(&verifier, &good), Said::In);
        }
    }
    let fetches = source.count() - before;
    assert!((3..=4).contains(&fetches), "{fetches} fetches");
}

/// One budget for both: after a fetch for the one there is none for the other.
#[tokio::test(start_paused = true)]
async fn bad_signatures_and_unknown_kids_share_one_budget() {
    let (source, verifier, known) = warm().await;
    let bad = forged(&token(&known));
    for round in 0..4 {
        seconds(31).await;
        let (first, second) = match round % 2 {
            0 => (bad.clone(), token_of_kid("b")),
            _ => (token_of_kid("b"), bad.clone()),
        };
        ask(&verifier, &first).await;
        pass(Duration::from_millis(1)).await;
        assert_eq!(source.count(), 2 + round);
        for _ in 0..29 {
            at_once(&verifier, &second);
            at_once(&verifier, &first);
            seconds(1).await;
        }
        assert_eq!(source.count(), 2 + round);
    }
}

/// The runtime on which the keys were fetched is gone: the next bad signature starts the task
/// where it is.
#[test]
fn a_bad_signature_where_there_is_no_runtime_is_no_more_than_that() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let keys = source.keys().cooldown(Duration::ZERO).build().unwrap();
    let verifier = verifier(keys.clone());
    let first = runtime();
    first.block_on(keys.ready()).unwrap();
    drop(first);
    let bad = forged(&token(&signer));
    assert_eq!(at_once(&verifier, &bad), BAD_SIGNATURE);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    assert_eq!(source.count(), 1);
    let second = runtime();
    second.block_on(async {
        assert_eq!(at_once(&verifier, &bad), BAD_SIGNATURE);
        while source.count() < 2 {
            tokio::task::yield_now().await;
        }
    });
}
