//! Verifiers and their adapters: closures, shared ones, mapped claims, and the lives of verdicts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    future::IntoFuture,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use futures_util::FutureExt;
use tower_bearer::{
    AuthError, BearerToken, Claims, Clock, Epoch, ManualClock, NumericDate, OwnedToken,
    SharedVerifier, SystemClock, Verification, Verifier, verify_async_fn, verify_fn,
};

fn token(text: &str) -> BearerToken<'_> {
    BearerToken::parse(text).unwrap()
}

/// The verdict, and whether it was there at once.
fn verdict<V: Verifier>(verifier: &V, text: &str) -> (Result<Claims<V::Claims>, AuthError>, bool) {
    let verification = verifier.verify(token(text));
    let at_once = matches!(verification, Verification::Ready(_));
    let verdict = Box::pin(verification.into_future())
        .now_or_never()
        .expect("nothing here waits");
    (verdict, at_once)
}

fn length(token: &str) -> Result<Claims<usize>, AuthError> {
    match token {
        "bad" => Err(AuthError::invalid_token("bad")),
        _ => Ok(Claims::builder().subject(token).build(token.len())),
    }
}

fn at_once() -> impl Verifier<Claims = usize, Future: Send> + Clone + Send + Sync + 'static {
    verify_fn(|token: BearerToken<'_>| length(token.as_str()))
}

#[test]
fn closures_answer_at_once_or_later() {
    let (claims, ready) = verdict(&at_once(), "alice");
    assert!(ready);
    assert_eq!(*claims.unwrap(), 5);

    let later = verify_async_fn(|token: OwnedToken| async move { length(token.as_str()) });
    let (claims, ready) = verdict(&later, "alice");
    assert!(!ready);
    assert_eq!(claims.unwrap().registered().subject(), Some("alice"));
    let (refused, _) = verdict(&later, "bad");
    assert_eq!(refused.unwrap_err().reason(), "bad");
}

/// Readiness survives every wrapper.
#[test]
fn what_is_there_at_once_stays_so() {
    let later = verify_async_fn(|token: OwnedToken| async move { length(token.as_str()) });
    let wrapped: [(SharedVerifier<usize>, bool); 5] = [
        (at_once().shared(), true),
        (Arc::new(at_once()).shared(), true),
        (at_once().shared().shared(), true),
        (at_once().map_claims(|n: &usize| n + 1).shared(), true),
        (later.shared(), false),
    ];
    for (verifier, ready) in wrapped {
        let (claims, at_once) = verdict(&verifier.clone(), "alice");
        assert_eq!(at_once, ready);
        assert!([5, 6].contains(&*claims.unwrap()));
        assert_eq!(verdict(&verifier, "bad").0.unwrap_err().reason(), "bad");
    }
}

#[test]
fn mapped_claims_keep_the_rest_of_the_verdict() {
    let epoch = Epoch::new();
    let of_key = epoch.clone();
    let end = NumericDate::from_secs(100);
    let verifier = verify_fn(move |token: BearerToken<'_>| {
        let claims = Claims::builder()
            .subject(token.as_str())
            .scope("read")
            .audience("one")
            .audience("two")
            .valid_until(end)
            .epoch(of_key.clone())
            .epoch(Epoch::new());
        Ok(claims.build(token.as_str().len()))
    });
    let later = {
        let verifier = verifier.clone();
        verify_async_fn(move |token: OwnedToken| {
            let verifier = verifier.clone();
            async move { verifier.verify(token.as_token()).await }
        })
    };
    fn hold<V: Verifier<Claims = usize>>(verifier: V) -> Claims<String> {
        let mapped = verifier.map_claims(|n: &usize| format!("{n} bytes"));
        let claims = verdict(&mapped, "alice").0.unwrap();
        assert_eq!(*claims, "5 bytes");
        assert_eq!(claims.registered().subject(), Some("alice"));
        assert!(claims.registered().scopes().contains("read"));
        assert_eq!(
            claims.registered().audiences().collect::<Vec<_>>(),
            ["one", "two"]
        );
        assert_eq!(claims.valid_until(), Some(NumericDate::from_secs(100)));
        claims
    }
    let both = [hold(verifier), hold(later)];
    for claims in &both {
        assert!(claims.is_current(NumericDate::from_secs(99)));
        assert!(!claims.is_current(NumericDate::from_secs(100)));
    }
    epoch.end();
    for claims in &both {
        assert!(!claims.is_current(NumericDate::from_secs(0)));
    }
}

/// Claims that somebody else holds too, as a cache does, are not taken from them.
#[test]
fn shared_claims_are_mapped_without_harm() {
    let kept = Claims::builder().subject("alice").build(7_usize);
    let verifier = {
        let kept = kept.clone();
        verify_fn(move |_: BearerToken<'_>| Ok(kept.clone()))
    };
    let mapped = verifier.map_claims(|n: &usize| n.to_string());
    for _ in 0..2 {
        let claims = verdict(&mapped, "x").0.unwrap();
        assert_eq!(
            (claims.as_str(), claims.registered().subject()),
            ("7", Some("alice"))
        );
    }
    assert_eq!((*kept, kept.registered().subject()), (7, Some("alice")));
}

#[test]
fn a_mapping_may_refuse() {
    let even = at_once().try_map_claims(|n: &usize| match n % 2 {
        0 => Ok(n / 2),
        _ => Err(AuthError::access_denied("odd")),
    });
    assert_eq!(*verdict(&even, "ab").0.unwrap(), 1);
    assert_eq!(verdict(&even, "abc").0.unwrap_err().reason(), "odd");
    // What was refused before is refused as before.
    assert_eq!(verdict(&even, "bad").0.unwrap_err().reason(), "bad");
}

/// No date lies before 1970 or after 9999, and no arithmetic leads there.
#[test]
fn dates() {
    let (date, seconds) = (NumericDate::from_secs, Duration::from_secs);
    assert_eq!(NumericDate::MAX.as_secs(), 253_402_300_799);
    for late in [253_402_300_799, 253_402_300_800, u64::MAX] {
        assert_eq!(date(late), NumericDate::MAX);
    }
    assert_eq!(
        NumericDate::MAX.saturating_add(seconds(1)),
        NumericDate::MAX
    );
    assert_eq!(date(1).saturating_add(Duration::MAX), NumericDate::MAX);
    assert_eq!(
        date(1).saturating_add(Duration::from_millis(1_999)),
        date(2)
    );
    assert_eq!(date(1).saturating_sub(seconds(2)), date(0));
    assert_eq!(NumericDate::from(UNIX_EPOCH + seconds(7)), date(7));
    // With a clock so wrong, tokens are to expire and not to live.
    assert_eq!(NumericDate::from(UNIX_EPOCH - seconds(1)), NumericDate::MAX);
    let clock = ManualClock::new(date(10));
    let shared = clock.clone();
    clock.advance(seconds(5));
    assert_eq!(Arc::new(shared.clone()).now(), date(15));
    clock.set(date(3));
    assert_eq!(shared.now(), date(3));
    assert!(SystemClock.now() > date(1_700_000_000) && SystemClock.now() < NumericDate::MAX);
}

/// `exp` is the end unless another is named.
#[test]
fn the_end_of_a_verdict() {
    let date = NumericDate::from_secs;
    let forever = Claims::new(());
    assert_eq!(forever.valid_until(), None);
    assert!(forever.is_current(NumericDate::MAX));
    let claims = Claims::builder().expires_at(date(10)).build(());
    assert_eq!(claims.valid_until(), Some(date(10)));
    let claims = Claims::builder()
        .expires_at(date(10))
        .valid_until(date(70))
        .build(());
    assert_eq!(claims.valid_until(), Some(date(70)));
    assert_eq!(claims.registered().expires_at(), Some(date(10)));
}

#[cfg(feature = "_crypto")]
mod static_tokens {
    use tower_bearer::{Claims, StaticTokens, reason};

    use super::verdict;

    /// The SHA-256 of `abc` (FIPS 180-4, example).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_token_is_known_as_a_whole_or_not() {
        let tokens = StaticTokens::builder()
            .token("secret-one", Claims::builder().subject("one").build(1))
            .token("secret-two", Claims::builder().subject("two").build(2))
            .token_sha256(ABC, Claims::builder().subject("abc").build(3))
            .build()
            .unwrap();
        for (token, subject, number) in [
            ("secret-one", "one", 1),
            ("secret-two", "two", 2),
            ("abc", "abc", 3),
        ] {
            let (claims, at_once) = verdict(&tokens, token);
            let claims = claims.unwrap();
            assert!(at_once);
            assert_eq!(
                (claims.registered().subject(), *claims),
                (Some(subject), number)
            );
        }
        for unknown in ["secret-on", "secret-one1", "Secret-one", "secret", "x", ABC] {
            let (refused, _) = verdict(&tokens, unknown);
            assert_eq!(refused.unwrap_err().reason(), reason::TOKEN_UNKNOWN);
        }
    }

    #[test]
    fn what_cannot_be_a_set_is_said_when_it_is_built() {
        let claims = || Claims::new(());
        for (builder, mend) in [
            (StaticTokens::builder::<()>(), "add one by `token`"),
            (
                StaticTokens::builder().token("", claims()),
                "letters, digits",
            ),
            (
                StaticTokens::builder().token("two words", claims()),
                "letters, digits",
            ),
            (
                StaticTokens::builder()
                    .token("a", claims())
                    .token("a", claims()),
                "twice",
            ),
            (
                StaticTokens::builder()
                    .token("abc", claims())
                    .token_sha256(ABC, claims()),
                "twice",
            ),
            (
                StaticTokens::builder().token_sha256("abc", claims()),
                "64 hexadecimal",
            ),
            (
                StaticTokens::builder().token_sha256(&ABC.replace('b', "g"), claims()),
                "64 hexadecimal",
            ),
            (
                StaticTokens::builder().token_sha256(&"é".repeat(32), claims()),
                "64 hexadecimal",
            ),
        ] {
            let message = builder.build().unwrap_err().to_string();
            assert!(message.contains(mend), "{message}");
        }
    }

    #[test]
    fn nothing_prints_a_token() {
        let builder = StaticTokens::builder().token("secret-one", Claims::new("claims"));
        let shown = format!("{builder:?}");
        let shown = format!("{shown} {:?}", builder.build().unwrap());
        assert_eq!(
            shown,
            "StaticTokensBuilder(1 tokens) StaticTokens(1 tokens)"
        );
    }
}
