//! Attack 29: tokens whose key is not there, and what they can make the verifier do.

use futures_util::future::join_all;

use super::*;

/// One fetch, which all of them wait for, and which serves them all.
#[tokio::test(start_paused = true)]
async fn an_unknown_kid_outside_the_cooldown_is_one_fetch_for_all() {
    let (source, verifier, old) = warm().await;
    seconds(31).await;
    let (new, never) = (signer("b"), signer("c"));
    let keys = set(&[&old, &new]);
    source.now(Does::GivesAfter(Duration::from_secs(1), keys));
    let tokens = [token(&new), token(&never)];
    let many = (0..100).map(|n| waits(&verifier, &tokens[n % 2]));
    for (n, verdict) in join_all(many).await.into_iter().enumerate() {
        let expected = [Said::In, UNKNOWN][n % 2];
        assert_eq!(Said::of(verdict), expected);
    }
    assert_eq!(source.count(), 2);
    // And from now on the key is there at once.
    assert_eq!(at_once(&verifier, &token(&new)), Said::In);
    assert_eq!(at_once(&verifier, &token(&never)), UNKNOWN);
    assert_eq!(source.count(), 2);
}

/// What an unknown kid gets within the cooldown, which begins with any attempt.
#[tokio::test(start_paused = true)]
async fn within_the_cooldown_there_is_none() {
    let (source, verifier, old) = warm().await;
    let new = signer("b");
    source.gives(&[&old, &new]);
    for _ in 0..29 {
        seconds(1).await;
        assert_eq!(at_once(&verifier, &token(&new)), UNKNOWN);
    }
    assert_eq!(source.count(), 1);
    seconds(1).await;
    assert_eq!(ask(&verifier, &token(&new)).await, Said::In);
    assert_eq!(source.count(), 2);

    // A failure begins one too, and then it cannot be known whether the key is there.
    seconds(30).await;
    source.now(Does::Fails);
    let newer = token(&signer("c"));
    assert_eq!(
        Said::of(waits(&verifier, &newer).await),
        Said::Unavailable(30)
    );
    for left in (1..30).rev() {
        seconds(1).await;
        let said = at_once(&verifier, &newer);
        assert_eq!(said, Said::Unavailable(left));
    }
    assert_eq!(source.count(), 3);
    // Known keys know nothing of it.
    assert_eq!(at_once(&verifier, &token(&new)), Said::In);
    // And the next step is twice as long.
    seconds(1).await;
    assert_eq!(
        Said::of(waits(&verifier, &newer).await),
        Said::Unavailable(60)
    );
    seconds(59).await;
    assert_eq!(at_once(&verifier, &newer), Said::Unavailable(1));
    assert_eq!(source.count(), 4);
    // A success resets it.
    source.gives(&[&old]);
    seconds(1).await;
    assert_eq!(Said::of(waits(&verifier, &newer).await), UNKNOWN);
    assert_eq!(at_once(&verifier, &newer), UNKNOWN);
}

#[tokio::test(start_paused = true)]
async fn the_cooldown_is_a_setting() {
    for cooldown in [1, 5, 120] {
        let (old, new) = (signer("a"), signer("b"));
        let source = Source::of(&[&old]);
        let keys = source.keys().cooldown(Duration::from_secs(cooldown));
        let keys = keys.build().unwrap();
        keys.ready().await.unwrap();
        let verifier = verifier(keys);
        source.gives(&[&new]);
        pass(Duration::from_millis(cooldown * 1000 - 50)).await;
        assert_eq!(at_once(&verifier, &token(&new)), UNKNOWN, "{cooldown}");
        pass(Duration::from_millis(100)).await;
        assert_eq!(ask(&verifier, &token(&new)).await, Said::In, "{cooldown}");
    }
}

/// Nothing but the missing key speaks against them.
#[tokio::test(start_paused = true)]
async fn attack_29_a_flood_of_unknown_kids_is_a_fetch_per_cooldown() {
    let (source, verifier, known) = warm().await;
    let token_of = |n: usize| token_of_kid(&format!("kid-{n}"));
    let known = token(&known);
    seconds(30).await;
    let before = source.count();
    for n in 0..10_000 {
        pass(Duration::from_millis(3)).await;
        assert_eq!(ask(&verifier, &token_of(n)).await, UNKNOWN);
    }
    // 30 seconds by the clock, and as much as its timers round up.
    let fetches = source.count() - before;
    assert!((1..=2).contains(&fetches), "{fetches} fetches");
    for interval in &source.intervals()[1..] {
        assert!(*interval >= Duration::from_secs(30), "{interval:?}");
    }

    // The same while it is down: a fetch per step of the back-off.
    source.now(Does::Fails);
    seconds(30).await;
    let before = source.count();
    for n in 0..10_000 {
        pass(Duration::from_millis(20)).await;
        let said = ask(&verifier, &token_of(n)).await;
        assert!(said.is_unavailable(), "{said:?}");
        if n % 100 == 0 {
            assert_eq!(at_once(&verifier, &known), Said::In);
        }
    }
    // In 200 s and more: at 0, 30, 90, 210.
    let fetches = source.count() - before;
    assert!((3..=4).contains(&fetches), "{fetches} fetches");
}

/// At once: they come in one moment, and wait together.
#[tokio::test(start_paused = true)]
async fn attack_29_a_burst_of_unknown_kids_is_one_fetch() {
    let (source, verifier, old) = warm().await;
    seconds(31).await;
    let keys = set(&[&old]);
    source.now(Does::GivesAfter(Duration::from_secs(1), keys));
    let many = (0..10_000).map(|n| waits(&verifier, &token_of_kid(&n.to_string())));
    for verdict in join_all(many).await {
        assert_eq!(Said::of(verdict), UNKNOWN);
    }
    assert_eq!(source.count(), 2);
}

/// What cannot be mended by other keys causes no fetch, at any time.
#[tokio::test(start_paused = true)]
async fn attack_29_what_no_key_can_mend_causes_no_fetch() {
    let (source, verifier, _) = warm().await;
    let with = |changes: Value, header: Value| {
        let mut claims = claims();
        claims["iss"] = ISSUER.into();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        signer("b").token_with_header(&header, &claims).unwrap()
    };
    let unknown = json!({ "alg": "EdDSA", "kid": "b" });
    seconds(60).await;
    for (of, token, expected) in [
        (
            "expired",
            with(json!({ "exp": NOW - 61 }), unknown.clone()),
            Said::Refused(reason::TOKEN_EXPIRED),
        ),
        (
            "of another issuer",
            with(json!({ "iss": "https://evil.example" }), unknown.clone()),
            Said::Refused(reason::ISSUER_MISMATCH),
        ),
        (
            "for another audience",
            with(json!({ "aud": "https://other.example" }), unknown.clone()),
            Said::Refused(reason::AUDIENCE_MISMATCH),
        ),
        (
            "by a secret",
            with(json!({}), json!({ "alg": "HS256", "kid": "b" })),
            Said::Refused(reason::ALGORITHM_NOT_ALLOWED),
        ),
        (
            "none",
            with(json!({}), json!({ "alg": "none", "kid": "b" })),
            Said::Refused(reason::ALGORITHM_NOT_ALLOWED),
        ),
        (
            "no string for a kid",
            with(json!({}), json!({ "alg": "EdDSA", "kid": 7 })),
            Said::Refused(reason::HEADER_MALFORMED),
        ),
    ] {
        assert_eq!(at_once(&verifier, &token), expected, "{of}");
    }
    seconds(1).await;
    assert_eq!(source.count(), 1);
}

/// A key that is published a cooldown before it is used is never refused.
#[tokio::test(start_paused = true)]
async fn rotation_by_the_book_refuses_nobody() {
    let (source, verifier, mut old) = warm().await;
    for n in 0..10 {
        let new = signer(&format!("key-{n}"));
        source.gives(&[&old, &new]);
        seconds(30).await;
        let tokens = [token(&new), token(&old)];
        for _ in 0..5 {
            seconds(11).await;
            for token in &tokens {
                assert_eq!(ask(&verifier, token).await, Said::In, "{n}");
            }
        }
        old = new;
    }
}
