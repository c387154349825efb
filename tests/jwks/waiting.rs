//! Attack 30: the source of the keys hangs, and who waits for it.

use futures_util::{FutureExt, future::join_all};

use super::*;

#[tokio::test(start_paused = true)]
async fn attack_30_who_waits_fails_together_within_one_timeout() {
    for timeout in [5, 2, 30] {
        let (known, unknown) = (signer("a"), signer("b"));
        let source = Source::of(&[&known]);
        let keys = source.keys().timeout(Duration::from_secs(timeout));
        let keys = keys.build().unwrap();
        keys.ready().await.unwrap();
        let (verifier, health) = (verifier(keys.clone()), keys.health());
        seconds(31).await;
        source.now(Does::Hangs);

        // They come one after the other, and are all let go at the end of the one fetch.
        let begun = Instant::now();
        let (of_known, of_unknown) = (token(&known), token(&unknown));
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(waits(&verifier, &of_unknown));
            // Who has a known key waits for nobody.
            assert_eq!(at_once(&verifier, &of_known), Said::In);
            pass(Duration::from_millis(timeout * 45)).await;
        }
        for verdict in join_all(waiting).await {
            assert_eq!(Said::of(verdict), Said::Unavailable(30));
        }
        assert_about(begun.elapsed(), timeout, "the fetch");
        assert_eq!(source.count(), 2);
        let status = health.status();
        assert_eq!(status.last_error.unwrap().reason(), "timeout");
        // And none of the next waits.
        let said = at_once(&verifier, &token(&unknown));
        assert_eq!(said, Said::Unavailable(30));
    }
}

/// The same when there are no keys yet.
#[tokio::test(start_paused = true)]
async fn attack_30_the_first_requests_of_all_fail_together() {
    let source = Source::new(Does::Hangs);
    let verifier = verifier(source.keys().build().unwrap());
    let begun = Instant::now();
    let (one, none) = (token(&signer("a")), token_without_kid(&signer("a")));
    let many = (0..100).map(|n| waits(&verifier, [&one, &none][n % 2]));
    for verdict in join_all(many).await {
        assert!(Said::of(verdict).is_unavailable());
    }
    assert_about(begun.elapsed(), 5, "the fetch");
    assert_eq!(source.count(), 1);
}

/// A refresh ahead of time that hangs is nobody's business.
#[tokio::test(start_paused = true)]
async fn attack_30_a_refresh_that_hangs_delays_nobody() {
    let (source, verifier, known) = warm().await;
    source.now(Does::Hangs);
    let token = token(&known);
    for _ in 0..360 {
        seconds(10).await;
        assert_eq!(at_once(&verifier, &token), Said::In);
    }
    assert!(source.count() > 5);
}

#[tokio::test(start_paused = true)]
async fn attack_30_a_client_that_goes_away_cancels_it_for_nobody() {
    let signer = signer("a");
    let source = Source::new(Does::GivesAfter(Duration::from_secs(3), set(&[&signer])));
    let verifier = verifier(source.keys().build().unwrap());
    // The one for whom it began, before and after it was polled, and another.
    for polled in [false, true] {
        let mut gone = waits(&verifier, &token(&signer));
        assert!(!polled || (&mut gone).now_or_never().is_none());
        drop(gone);
    }
    let stays = waits(&verifier, &token(&signer));
    seconds(1).await;
    let goes = waits(&verifier, &token(&signer));
    drop(goes);
    assert_eq!(Said::of(stays.await), Said::In);
    assert_eq!(source.count(), 1);

    // Also if nobody stays: the next finds the keys there.
    let other = Source::new(Does::GivesAfter(Duration::from_secs(3), set(&[&signer])));
    let verifier = super::verifier(other.keys().build().unwrap());
    drop(waits(&verifier, &token(&signer)));
    seconds(4).await;
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    assert_eq!(other.count(), 1);
}

/// Whoever comes between the end of a fetch and the next is not told what the last one said.
#[tokio::test(start_paused = true)]
async fn who_comes_later_waits_for_the_next() {
    let signer = signer("a");
    let source = Source::new(Does::Hangs);
    let verifier = verifier(source.keys().build().unwrap());
    assert!(ask(&verifier, &token(&signer)).await.is_unavailable());
    let said = at_once(&verifier, &token(&signer));
    assert_eq!(said, Said::Unavailable(1));
    source.now(Does::GivesAfter(Duration::from_secs(2), set(&[&signer])));
    pass(Duration::from_millis(1100)).await;
    assert_eq!(Said::of(waits(&verifier, &token(&signer)).await), Said::In);
}

/// A source that panics is a source that fails.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_source_is_a_failure() {
    let (source, verifier, known) = warm().await;
    seconds(30).await;
    source.now(Does::Panics);
    let new = signer("b");
    let said = ask(&verifier, &token(&new)).await;
    assert_eq!(said, Said::Unavailable(30));
    assert_eq!(at_once(&verifier, &token(&known)), Said::In);
    source.gives(&[&new]);
    seconds(30).await;
    assert_eq!(ask(&verifier, &token(&new)).await, Said::In);
}

/// Through the layer, with the cache in between: requests with a known key go on at once.
#[tokio::test(start_paused = true)]
async fn attack_30_the_service_goes_on() {
    let (source, verifier, known) = warm().await;
    let cached = tower_bearer::Cached::builder(verifier)
        .clock(clock())
        .build()
        .unwrap();
    seconds(31).await;
    source.now(Does::Hangs);
    let unknown = token(&signer("b"));
    let mut waiting = Box::pin(answer(&cached, &unknown));
    assert!((&mut waiting).now_or_never().is_none());
    for n in 0..3 {
        let mut claims = claims();
        claims["jti"] = n.to_string().into();
        let token = known.token(&claims).unwrap();
        for _ in 0..2 {
            let answer = answer(&cached, &token).now_or_never();
            assert_eq!(answer.expect("does not wait").status, 200);
        }
    }
    let answer = waiting.await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.member("title"), "Service Unavailable");
}
