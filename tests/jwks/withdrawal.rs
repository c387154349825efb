//! Attack 26: a key leaves the set, and takes the verdicts by it along.

use tower_bearer::{Cached, SharedVerifier};

use super::*;

/// Refreshes by a token of an unknown key.
async fn refresh<V: Verifier>(verifier: &V) {
    seconds(31).await;
    ask(verifier, &token(&signer("nobody"))).await;
}

#[tokio::test(start_paused = true)]
async fn attack_26_the_verdicts_of_a_withdrawn_key_end_with_the_refresh() {
    let (one, two) = (signer("a"), signer("b"));
    let source = Source::of(&[&one, &two]);
    let keys = source.keys().build().unwrap();
    let cached = Cached::builder(verifier(keys))
        .clock(clock())
        .build()
        .unwrap();
    let shared: SharedVerifier<()> = cached.clone().shared();
    for _ in 0..2 {
        for signer in [&one, &two] {
            assert_eq!(ask(&shared, &token(signer)).await, Said::In);
        }
    }
    assert_eq!((cached.stats().hits, cached.stats().entries), (2, 2));

    // Until the keys are fetched anew nothing is known of it.
    source.gives(&[&two]);
    assert_eq!(at_once(&shared, &token(&one)), Said::In);
    assert_eq!(cached.stats().hits, 3);

    refresh(&shared).await;
    assert_eq!(at_once(&shared, &token(&one)), UNKNOWN);
    assert_eq!(at_once(&shared, &token(&two)), Said::In);
    assert_eq!(cached.stats().hits, 4, "of the key that stayed");
    assert_eq!(cached.stats().entries, 1);

    // It is back: a new verdict, not the old one.
    source.gives(&[&one, &two]);
    refresh(&shared).await;
    assert_eq!(at_once(&shared, &token(&one)), Said::In);
    assert_eq!(cached.stats().hits, 4);
}

/// The same with the claims that somebody holds, as a WebSocket does.
#[tokio::test(start_paused = true)]
async fn attack_26_claims_in_use_end_too() {
    let (one, two) = (signer("a"), signer("b"));
    let source = Source::of(&[&one, &two]);
    let verifier = verifier(source.keys().build().unwrap());
    let mut claims = Vec::new();
    for signer in [&one, &two] {
        let token = token(signer);
        let verdict = verifier.verify(BearerToken::parse(&token).unwrap()).await;
        claims.push(verdict.unwrap());
    }
    let now = NumericDate::from_secs(NOW);
    assert!(claims.iter().all(|claims| claims.is_current(now)));
    source.gives(&[&two]);
    refresh(&verifier).await;
    assert!(!claims[0].is_current(now));
    assert!(claims[1].is_current(now));
}

/// What makes a key another one, and what does not.
#[tokio::test(start_paused = true)]
async fn attack_26_what_a_key_is_known_by() {
    let (signer, other) = (signer("a"), signer("b"));
    let with = |changes: Value| {
        let mut key = jwk(&signer);
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    };
    let mut short = jwk(&signer);
    short.as_object_mut().unwrap().remove("alg");
    for (of, keys, hits, said) in [
        ("the same", vec![jwk(&signer)], 1, Said::In),
        (
            "elsewhere in the list",
            vec![jwk(&other), jwk(&signer)],
            1,
            Said::In,
        ),
        (
            "with a certificate",
            vec![with(json!({ "x5c": ["abc"] }))],
            1,
            Said::In,
        ),
        ("without its algorithm", vec![short], 0, Said::In),
        (
            "of another id",
            vec![with(json!({ "kid": "c" }))],
            0,
            UNKNOWN,
        ),
        (
            "another of its id",
            vec![jwk(&super::signer("a"))],
            0,
            BAD_SIGNATURE,
        ),
        (
            "for encryption now",
            vec![with(json!({ "use": "enc" })), jwk(&other)],
            0,
            UNKNOWN,
        ),
        (
            "private by mistake",
            vec![with(json!({ "d": "AAAA" })), jwk(&other)],
            0,
            UNKNOWN,
        ),
    ] {
        let source = Source::of(&[&signer]);
        let cached = Cached::builder(verifier(source.keys().build().unwrap()))
            .clock(clock())
            .build()
            .unwrap();
        assert_eq!(ask(&cached, &token(&signer)).await, Said::In);
        source.now(Does::Gives(json!({ "keys": keys }).to_string()));
        refresh(&cached).await;
        let before = cached.stats().hits;
        assert_eq!(at_once(&cached, &token(&signer)), said, "{of}");
        assert_eq!(cached.stats().hits - before, hits, "{of}");
    }
}

/// A refresh that fails withdraws nothing.
#[tokio::test(start_paused = true)]
async fn attack_26_a_failure_withdraws_nothing() {
    let (source, verifier, signer) = warm().await;
    let cached = Cached::builder(verifier).clock(clock()).build().unwrap();
    assert_eq!(ask(&cached, &token(&signer)).await, Said::In);
    for does in [
        Does::Fails,
        Does::Hangs,
        Does::Gives("{\"keys\":[]}".to_owned()),
    ] {
        source.now(does);
        seconds(300).await;
        refresh(&cached).await;
        let before = cached.stats().hits;
        assert_eq!(at_once(&cached, &token(&signer)), Said::In);
        assert_eq!(cached.stats().hits, before + 1);
    }
}
