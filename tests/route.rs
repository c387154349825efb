//! `RouteByShape`: which verifier a token goes to, and that it goes to no other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use support::{Answer, Inner, request};
use tower::{Layer, ServiceExt};
use tower_bearer::{
    AuthError, BearerAuthLayer, BearerToken, Claims, OwnedToken, RouteByShape, Verification,
    Verifier, verify_async_fn, verify_fn,
};

/// The example of RFC 7515 §A.1, with a shorter payload: its header begins with `{"typ"`.
const JWT: &str =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r";
const OPAQUE: &str = "mF_9.B5f-4.1JqM";

fn token(text: &str) -> BearerToken<'_> {
    BearerToken::parse(text).unwrap()
}

/// Refuses what has `bad` in it, and else says who it is.
fn judge(who: &'static str, token: &str) -> Result<Claims<&'static str>, AuthError> {
    match token.contains("bad") {
        true => Err(AuthError::invalid_token(who)),
        false => Ok(Claims::builder().subject(who).build(who)),
    }
}

type Asked = Arc<AtomicUsize>;

/// Answers at once.
fn at_once(
    who: &'static str,
    asked: &Asked,
) -> impl Verifier<Claims = &'static str, Future: Send> + Clone + Send + Sync + use<> {
    let asked = Arc::clone(asked);
    verify_fn(move |token: BearerToken<'_>| {
        asked.fetch_add(1, Ordering::SeqCst);
        judge(who, token.as_str())
    })
}

/// Answers after the runtime has had a turn.
fn later(
    who: &'static str,
) -> impl Verifier<Claims = &'static str, Future: Send> + Clone + Send + Sync {
    verify_async_fn(move |token: OwnedToken| async move {
        tokio::task::yield_now().await;
        judge(who, token.as_str())
    })
}

#[test]
fn the_shape_says_who_judges() {
    let asked = Asked::default();
    let verifier = RouteByShape::new(at_once("jwt", &asked), at_once("opaque", &asked));
    for (text, who) in [
        // What issuers write: `{"`.
        (JWT, "jwt"),
        ("eyJ.e30.x", "jwt"),
        // `{}`, a brace and a line feed, and both ends of each range that `{` leaves.
        ("e30.e30.x", "jwt"),
        ("ewo.e30.x", "jwt"),
        ("ew.a.b", "jwt"),
        ("ez.a.b", "jwt"),
        ("e0.a.b", "jwt"),
        ("e9.a.b", "jwt"),
        ("e-.a.b", "jwt"),
        ("e_.a.b", "jwt"),
        // The same, with what no JWT holds: its verifier refuses it.
        ("eyJ.+/~.x=", "jwt"),
        // The example of RFC 6750.
        (OPAQUE, "opaque"),
        // A first part of something else than an object: an array, a string, a number.
        ("WzFd.e30.x", "opaque"),
        ("ImEi.e30.x", "opaque"),
        ("MTIz.e30.x", "opaque"),
        // `z` and `|` begin almost as `{` does.
        ("ev.a.b", "opaque"),
        ("eA.a.b", "opaque"),
        ("eZ.a.b", "opaque"),
        ("fA.a.b", "opaque"),
        ("EyJ.a.b", "opaque"),
        ("e+.a.b", "opaque"),
        ("e/.a.b", "opaque"),
        ("e.a.b", "opaque"),
        // White space before the brace.
        ("IHsi.e30.x", "opaque"),
        ("Cnsi.e30.x", "opaque"),
        // Another number of parts: JSON alone, a JWT that lacks one, an encrypted one.
        ("eyJ", "opaque"),
        ("eyJ.e30", "opaque"),
        ("eyJ.e30.x.y", "opaque"),
        ("eyJ.a.b.c.d", "opaque"),
        // An empty part.
        ("eyJ.e30.", "opaque"),
        ("eyJ..x", "opaque"),
        ("eyJ..", "opaque"),
        (".eyJ.x", "opaque"),
        ("..", "opaque"),
        // What opaque tokens look like.
        ("e", "opaque"),
        ("ey", "opaque"),
        ("kT9vQ2mXw7Rz4bLs", "opaque"),
        ("eyrie-7Rz4bLs", "opaque"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "opaque"),
    ] {
        let claims = verifier.verify(token(text)).into_future().now_or_never();
        assert_eq!(*claims.unwrap().unwrap(), who, "{text}");
    }
}

/// Every byte that may follow the `e`: those which follow it where the first byte is `{`, no others.
#[test]
fn the_first_byte_is_a_brace() {
    const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let asked = Asked::default();
    let verifier = RouteByShape::new(at_once("jwt", &asked), at_once("opaque", &asked));
    for (first, a) in BASE64URL.char_indices() {
        for (second, b) in BASE64URL.char_indices() {
            let who = match (first << 2) | (second >> 4) == usize::from(b'{') {
                true => "jwt",
                false => "opaque",
            };
            let text = format!("{a}{b}.x.y");
            let claims = verifier.verify(token(&text)).into_future().now_or_never();
            assert_eq!(*claims.unwrap().unwrap(), who, "{text}");
        }
    }
}

#[test]
fn what_is_refused_is_not_offered_to_the_other() {
    let (jwts, opaques) = (Asked::default(), Asked::default());
    let verifier = RouteByShape::new(at_once("jwt", &jwts), at_once("opaque", &opaques));
    for (text, who, counts) in [("eyJ.bad.x", "jwt", (1, 0)), ("bad", "opaque", (1, 1))] {
        let refused = verifier.verify(token(text)).into_future().now_or_never();
        assert_eq!(refused.unwrap().unwrap_err().reason(), who);
        assert_eq!(
            (jwts.load(Ordering::SeqCst), opaques.load(Ordering::SeqCst)),
            counts
        );
    }
}

/// Each side answers as it would alone.
#[tokio::test]
async fn what_is_there_at_once_stays_so() {
    async fn hold<J, O>(verifier: RouteByShape<J, O>, ready: [bool; 2])
    where
        J: Verifier<Claims = &'static str> + Clone,
        O: Verifier<Claims = &'static str> + Clone,
    {
        for (texts, who, ready) in [
            ([JWT, "eyJ.bad.x"], "jwt", ready[0]),
            ([OPAQUE, "bad"], "opaque", ready[1]),
        ] {
            let [good, bad] = texts.map(|text| {
                let verification = verifier.clone().verify(token(text));
                assert_eq!(
                    matches!(verification, Verification::Ready(_)),
                    ready,
                    "{text}"
                );
                verification
            });
            assert_eq!(*good.await.unwrap(), who);
            assert_eq!(bad.await.unwrap_err().reason(), who);
        }
    }
    let asked = Asked::default();
    let jwt = || at_once("jwt", &asked);
    let opaque = || at_once("opaque", &asked);
    hold(RouteByShape::new(jwt(), opaque()), [true, true]).await;
    hold(RouteByShape::new(jwt(), later("opaque")), [true, false]).await;
    hold(RouteByShape::new(later("jwt"), opaque()), [false, true]).await;
    hold(
        RouteByShape::new(later("jwt"), later("opaque")),
        [false, false],
    )
    .await;
}

#[test]
fn it_shows_what_it_is() {
    let of = |who| verify_fn(move |token: BearerToken<'_>| judge(who, token.as_str()));
    let verifier = RouteByShape::new(of("jwt"), of("opaque"));
    assert_eq!(
        format!("{verifier:?}"),
        "RouteByShape { jwt: VerifyFn { .. }, opaque: VerifyFn { .. } }"
    );
}

/// A verdict is found where it was kept, and the other is not asked.
#[cfg(feature = "cache")]
#[test]
fn a_kept_verdict_is_found_by_the_one_that_keeps_it() {
    use tower_bearer::{Cached, RawToken};

    let (jwts, opaques) = (Asked::default(), Asked::default());
    let jwt = Cached::new(at_once("jwt", &jwts));
    let opaque = Cached::new(at_once("opaque", &opaques));
    let verifier = RouteByShape::new(jwt.clone(), opaque.clone());
    for (text, who) in [(JWT, "jwt"), (OPAQUE, "opaque")] {
        let claims = verifier.verify(token(text)).into_future().now_or_never();
        assert_eq!(*claims.unwrap().unwrap(), who);
        let raw = RawToken::new(text.as_bytes());
        let claims = verifier.verify_raw(raw).into_future().now_or_never();
        assert_eq!(*claims.unwrap().unwrap(), who);
    }
    for cached in [jwt.stats(), opaque.stats()] {
        assert_eq!((cached.entries, cached.hits, cached.misses), (1, 1, 1));
    }
    for asked in [jwts, opaques] {
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

/// While sessions cannot be looked up, JWTs are judged as ever.
#[tokio::test]
async fn behind_the_layer() {
    let jwt = verify_fn(|token: BearerToken<'_>| judge("jwt", token.as_str())).map_claims(|_| ());
    let opaque = verify_async_fn(|token: OwnedToken| async move {
        match token.as_str() {
            OPAQUE => Ok(Claims::builder().subject("opaque").build(())),
            "down" => Err(AuthError::unavailable("session_store")),
            _ => Err(AuthError::invalid_token("unknown_session")),
        }
    });
    let service = BearerAuthLayer::new(RouteByShape::new(jwt, opaque)).layer(Inner::new());
    for (text, status, said) in [
        (JWT, 200, "hello jwt"),
        (OPAQUE, 200, "hello opaque"),
        ("eyJ.bad.x", 401, "jwt"),
        ("stale", 401, "unknown_session"),
        ("down", 503, "session_store"),
        (JWT, 200, "hello jwt"),
    ] {
        let request = request(&[("authorization", &format!("Bearer {text}"))]);
        let answer = Answer::of(service.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(answer.status, status, "{text}");
        match status {
            200 => assert_eq!(answer.body, said),
            _ => assert_eq!(answer.reason(), said),
        }
    }
}
