//! Attack 31: the provider is down, from the start or later.

use super::*;

/// 503 with `Retry-After` until it is back; then it goes on by itself.
#[tokio::test(start_paused = true)]
async fn attack_31_down_from_the_start() {
    let signer = signer("a");
    let source = Source::new(Does::Fails);
    let verifier = verifier(source.keys().build().unwrap());
    for token in [token(&signer), token_without_kid(&signer)] {
        let first = answer(&verifier, &token).await;
        assert_eq!(first.status, 503);
        assert_eq!(first.header("retry-after"), Some("1"));
        assert_eq!(first.header("www-authenticate"), None);
        assert_eq!(
            first.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(first.reason(), reason::KEYS_UNAVAILABLE);
    }
    let mut at_most = 0;
    for _ in 0..100 {
        seconds(1).await;
        let Said::Unavailable(seconds) = ask(&verifier, &token(&signer)).await else {
            panic!("not 503");
        };
        assert!((1..=30).contains(&seconds), "{seconds}");
        at_most = at_most.max(seconds);
    }
    assert!(at_most > 20, "{at_most}");
    source.gives(&[&signer]);
    seconds(31).await;
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    assert_eq!(at_once(&verifier, &token_without_kid(&signer)), Said::In);
    assert_eq!(at_once(&verifier, &forged(&token(&signer))), BAD_SIGNATURE);
}

/// A client that does as it is told by `Retry-After` gets in with its first try after the recovery.
#[tokio::test(start_paused = true)]
async fn attack_31_retry_after_says_when() {
    let signer = signer("a");
    let source = Source::new(Does::Fails);
    let verifier = verifier(source.keys().build().unwrap());
    let mut waited = 0;
    let mut tries = 0;
    loop {
        match ask(&verifier, &token(&signer)).await {
            Said::Unavailable(after) => seconds(after).await,
            said => break assert_eq!(said, Said::In),
        }
        tries += 1;
        waited = waited.max(tries);
        if tries == 5 {
            source.gives(&[&signer]);
        }
        assert!(tries <= 6);
    }
    assert_eq!(source.count(), 6);
}

/// Only what a missing key could make good is 503.
#[tokio::test(start_paused = true)]
async fn attack_31_what_needs_no_key_to_refuse_is_401_all_the_same() {
    let signer = signer("a");
    let with = |changes: Value| {
        let mut claims = claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        signer.token(&claims).unwrap()
    };
    let header = |header: Value| signer.token_with_header(&header, &claims()).unwrap();
    let good = token(&signer);
    let source = Source::new(Does::Hangs);
    let verifier = verifier(source.keys().build().unwrap());
    let invalid = [
        (
            "expired",
            with(json!({ "exp": NOW - 61 })),
            reason::TOKEN_EXPIRED,
        ),
        (
            "not yet valid",
            with(json!({ "nbf": NOW + 61 })),
            reason::TOKEN_NOT_YET_VALID,
        ),
        (
            "wrong iss",
            with(json!({ "iss": "https://evil.example" })),
            reason::ISSUER_MISMATCH,
        ),
        (
            "wrong aud",
            with(json!({ "aud": "https://evil.example" })),
            reason::AUDIENCE_MISMATCH,
        ),
        (
            "no aud",
            with(json!({ "aud": [] })),
            reason::AUDIENCE_MISMATCH,
        ),
        (
            "exp of a wrong type",
            with(json!({ "exp": "soon" })),
            reason::CLAIMS_MALFORMED,
        ),
        (
            "alg none",
            header(json!({ "alg": "none" })),
            reason::ALGORITHM_NOT_ALLOWED,
        ),
        (
            "alg HS256",
            header(json!({ "alg": "HS256" })),
            reason::ALGORITHM_NOT_ALLOWED,
        ),
        (
            "crit",
            header(json!({ "alg": "EdDSA", "crit": ["x"] })),
            reason::HEADER_UNSUPPORTED,
        ),
        (
            "typ",
            header(json!({ "alg": "EdDSA", "typ": "dpop+jwt" })),
            reason::TYPE_MISMATCH,
        ),
        (
            "two segments",
            good[..good.rfind('.').unwrap()].to_owned(),
            reason::TOKEN_MALFORMED,
        ),
        ("no JWT", "opaque".to_owned(), reason::TOKEN_MALFORMED),
        (
            "no base64url",
            good.replacen('.', "~.", 1),
            reason::TOKEN_MALFORMED,
        ),
    ];
    let check = |state: &str| {
        for (of, token, expected) in &invalid {
            let said = at_once(&verifier, token);
            assert_eq!(said, Said::Refused(expected), "{of}, {state}");
        }
    };
    check("before the first fetch");
    assert_eq!(source.count(), 0, "a bad token began to fetch");
    let waiting = waits(&verifier, &good);
    check("while it is fetched");
    assert!(Said::of(waiting.await).is_unavailable());
    check("when that has failed");
    assert_eq!(at_once(&verifier, &good), Said::Unavailable(1));

    source.gives(&[&signer]);
    seconds(2).await;
    assert_eq!(at_once(&verifier, &good), Said::In);
    source.now(Does::Fails);
    seconds(3600 + 600 + 301).await;
    assert!(ask(&verifier, &good).await.is_unavailable());
    check("when the keys are too old");
}

/// The last good keys are used for so long, and no longer.
#[tokio::test(start_paused = true)]
async fn attack_31_stale_keys_are_used_up_to_the_maximum() {
    for (fresh, stale) in [(600, 3600), (600, 3500), (100, 50), (100, 0), (60, 7200)] {
        let signer = signer("a");
        let source = Source::of(&[&signer]);
        let keys = source.keys().fresh_for(Duration::from_secs(fresh));
        let keys = keys.max_stale(Duration::from_secs(stale)).build().unwrap();
        keys.ready().await.unwrap();
        let (verifier, health) = (verifier(keys.clone()), keys.health());
        let cached = tower_bearer::Cached::builder(verifier.clone())
            .clock(clock())
            .build()
            .unwrap();
        let (one, none) = (token(&signer), token_without_kid(&signer));
        source.now(Does::Fails);
        pass(Duration::from_millis(fresh * 1000 - 1)).await;
        assert!(!health.status().stale);
        pass(Duration::from_millis(stale * 1000)).await;
        assert_eq!(health.status().stale, stale > 0);
        for token in [&one, &none] {
            assert_eq!(at_once(&verifier, token), Said::In, "{fresh} {stale}");
            assert_eq!(at_once(&cached, token), Said::In, "{fresh} {stale}");
        }

        pass(Duration::from_millis(2)).await;
        for token in [&one, &none] {
            for said in [ask(&verifier, token).await, ask(&cached, token).await] {
                // However far the back-off of one that has keys had come.
                let soon = matches!(said, Said::Unavailable(1..=30));
                assert!(soon, "{fresh} {stale}: {said:?}");
            }
        }
        let status = health.status();
        assert!(!status.is_ready() && status.age.is_none());
        assert!(status.last_error.is_some());

        // Then it is asked as often as without keys, and it all comes back.
        let before = source.count();
        seconds(300).await;
        assert!(source.count() >= before + 9, "{}", source.count() - before);
        source.gives(&[&signer]);
        seconds(31).await;
        for token in [&one, &none] {
            assert_eq!(at_once(&verifier, token), Said::In, "{fresh} {stale}");
            assert_eq!(at_once(&cached, token), Said::In, "{fresh} {stale}");
        }
        assert!(health.status().last_error.is_none());
    }
}

/// Keys that end during a fetch that hangs are not used, nor is anything refused for good.
#[tokio::test(start_paused = true)]
async fn attack_31_keys_that_end_while_they_are_fetched() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let keys = source
        .keys()
        .max_stale(Duration::ZERO)
        .timeout(Duration::from_secs(60));
    let keys = keys
        .fresh_for(Duration::from_secs(100))
        .cooldown(Duration::from_secs(500));
    let keys = keys.build().unwrap();
    keys.ready().await.unwrap();
    let verifier = verifier(keys);
    source.now(Does::GivesAfter(Duration::from_secs(50), set(&[&signer])));
    seconds(99).await;
    assert_eq!(source.count(), 2);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    seconds(2).await;
    let waiting = waits(&verifier, &token(&signer));
    assert_eq!(Said::of(waiting.await), Said::In);
    assert_eq!(source.count(), 2);
}
