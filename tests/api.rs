//! The public names and signatures that other code is written against. What is fixed here is fixed for
//! the compiler: a test that does not build is a change that users would notice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    convert::Infallible,
    fmt,
    future::{Future, IntoFuture, Ready, ready},
    ops::Deref,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower::{Layer, Service, service_fn};
use tower_bearer::{
    AuthError, AuthErrorKind, BearerAuth, BearerAuthLayer, BearerToken, BoxFuture, Check,
    CheckContext, Checked, Claims, ClaimsBuilder, ConfigError, Confirmation, Credentials, Epoch,
    NumericDate, OwnedToken, RegisteredClaims, Reject, RequireLayer, RequireScopes, ResponseBody,
    ResponseFuture, SharedVerifier, TokenSource, Verification, Verifier, VerifyAsyncFn, VerifyFn,
    grpc_response, is_grpc, verify_async_fn, verify_fn,
};

type Verdict<C> = Result<Claims<C>, AuthError>;

/// A verifier written out by hand, as a user does it.
#[derive(Clone)]
struct Own;

impl Verifier for Own {
    type Claims = u32;
    type Future = Ready<Verdict<u32>>;

    fn verify(&self, token: BearerToken<'_>) -> Verification<Self::Claims, Self::Future> {
        match token.as_str() {
            "later" => Verification::Pending(ready(Ok(Claims::new(2)))),
            "bad" => Verification::Ready(Err(AuthError::invalid_token("bad"))),
            _ => Verification::Ready(Ok(Claims::new(1))),
        }
    }
}

/// A check by hand: `confirms` may be left out.
struct Nothing;

impl<C> Check<C> for Nothing {
    fn check(&self, _: &CheckContext<'_, C>) -> Checked {
        Ok(()).into()
    }
}

struct Plain;

impl Reject for Plain {
    fn reject(&self, error: &AuthError, _: &Parts) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = error.kind().status();
        response
    }
}

/// What a context lends lives as long as the request, and not as the context.
fn lends<'a, C>(cx: &CheckContext<'a, C>) -> (&'a Claims<C>, &'a Parts, Option<Credentials<'a>>) {
    (cx.claims(), cx.request(), cx.credentials())
}

#[test]
fn verifiers() {
    fn is_future<F: IntoFuture<Output = Verdict<u32>>>(_: F) {}
    is_future(Own.verify(BearerToken::parse("later").unwrap()));

    let _: SharedVerifier<u32> = Own.shared();
    let _: SharedVerifier<String> = Own.map_claims(u32::to_string).shared();
    let _: SharedVerifier<u8> = Own
        .try_map_claims(|n: &u32| u8::try_from(*n).map_err(|_| AuthError::access_denied("large")))
        .shared();
    let _: VerifyFn<_> = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
    let _: VerifyAsyncFn<_> = verify_async_fn(|_: OwnedToken| async { Ok(Claims::new(())) });
    // A trait object too, where the future has a name.
    let object: Arc<dyn Verifier<Claims = u32, Future = Ready<Verdict<u32>>> + Send + Sync> =
        Arc::new(Own);
    fn is_verifier<V: Verifier<Claims = u32>>(_: &V) {}
    is_verifier(&object);
    is_verifier(&Arc::new(Arc::clone(&object)));
    let boxed: BoxFuture<Verdict<u32>> = Box::pin(async { Ok(Claims::new(3)) });
    is_future(boxed);
}

/// Readiness is told from lateness through a shared verifier, and each comes to its verdict.
#[tokio::test]
async fn a_shared_verifier_says_what_the_verifier_says() {
    let shared = Own.shared();
    for (token, at_once, expected) in [
        ("now", true, Ok(1)),
        ("later", false, Ok(2)),
        ("bad", true, Err("bad")),
    ] {
        let verification = shared.verify(BearerToken::parse(token).unwrap());
        assert_eq!(matches!(verification, Verification::Ready(_)), at_once);
        let verdict = verification.await;
        let verdict = verdict
            .map(|claims| *claims)
            .map_err(|error| error.reason());
        assert_eq!(verdict, expected);
    }
}

#[test]
fn claims() {
    fn is_claims<C, T: Clone + Deref<Target = C> + Send + Sync + 'static>(_: T) {}
    is_claims::<u32, _>(Claims::new(1_u32));
    is_claims::<(), Claims>(Claims::new(()));
    let _: fn(&Claims<u32>) -> &RegisteredClaims = Claims::registered;
    let _: fn(&Claims<u32>) -> Option<NumericDate> = Claims::valid_until;
    let _: fn(&Claims<u32>, NumericDate) -> bool = Claims::is_current;
    let _: fn() -> ClaimsBuilder = Claims::builder;

    let epoch: Epoch = Epoch::new();
    let date = NumericDate::from_secs(10);
    let confirmation = Confirmation::from_json("{\"kid\":\"1\"}").unwrap();
    let claims: Claims<&str> = Claims::builder()
        .issuer("i")
        .subject("s")
        .audience("a")
        .audience("b")
        .client_id("c")
        .id("j")
        .scope("read write")
        .expires_at(date)
        .not_before(date)
        .issued_at(date)
        .valid_until(NumericDate::from_secs(11))
        .confirmation(confirmation.clone())
        .epoch(epoch.clone())
        .epoch(Epoch::new())
        .epoch(Epoch::new())
        .build("own");
    let registered = claims.registered();
    assert_eq!(registered.issuer(), Some("i"));
    assert_eq!(registered.subject(), Some("s"));
    assert_eq!(registered.audiences().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(registered.client_id(), Some("c"));
    assert_eq!(registered.id(), Some("j"));
    assert_eq!(
        registered.scopes().iter().collect::<Vec<_>>(),
        ["read", "write"]
    );
    assert_eq!(registered.expires_at(), Some(date));
    assert_eq!(registered.not_before(), Some(date));
    assert_eq!(registered.issued_at(), Some(date));
    assert_eq!(registered.confirmation(), Some(&confirmation));
    assert_eq!(*claims, "own");
    assert!(claims.is_current(date));
    assert!(!claims.is_current(NumericDate::from_secs(11)));
    epoch.end();
    assert!(!epoch.is_current());
    assert!(!claims.is_current(date));
}

/// A verdict ends with any of its epochs, however many it rests on.
#[test]
fn each_epoch_ends_a_verdict() {
    for count in 1..=5 {
        for ending in 0..count {
            let epochs: Vec<Epoch> = (0..count).map(|_| Epoch::new()).collect();
            let claims = epochs
                .iter()
                .fold(Claims::builder(), |builder, epoch| {
                    builder.epoch(epoch.clone())
                })
                .build(());
            let now = NumericDate::from_secs(0);
            assert!(claims.is_current(now));
            epochs[ending].end();
            assert!(!claims.is_current(now), "{ending} of {count}");
        }
    }
}

#[test]
fn checks() {
    fn default_confirms_nothing<K: Check<u32>>(check: &K) {
        for method in ["jkt", "x5t#S256", "kid", ""] {
            assert!(!check.confirms(method));
        }
    }
    default_confirms_nothing(&Nothing);
    default_confirms_nothing(&RequireScopes::all_of(["read"]).unwrap());
    // Shared, and as an object.
    default_confirms_nothing(&(Arc::new(Nothing) as Arc<dyn Check<u32>>));
    let _: Checked = Err(AuthError::revoked_token()).into();
    let _: Checked = Checked::Pending(Box::pin(async { Ok(()) }));

    let layer = BearerAuthLayer::new(Own).check_fn(|cx: &CheckContext<'_, u32>| {
        let (claims, request, credentials) = lends(cx);
        let credentials = credentials.unwrap();
        assert_eq!((**claims, request.uri.path()), (1, "/"));
        assert_eq!(credentials.scheme(), "Bearer");
        assert_eq!(credentials.token().as_str(), "now");
        Ok(())
    });
    let request = Request::get("/").header("authorization", "Bearer now");
    assert_eq!(answer(&layer, request.body(()).unwrap()).status(), 200);
}

async fn inner(_: Request<()>) -> Result<Response<String>, Infallible> {
    Ok(Response::default())
}

fn answer<V: Verifier>(
    layer: &BearerAuthLayer<V>,
    request: Request<()>,
) -> Response<ResponseBody<String>> {
    let mut service = layer.layer(service_fn(inner));
    service.call(request).now_or_never().unwrap().unwrap()
}

#[test]
fn the_layer() {
    type L = BearerAuthLayer<Own>;
    type Predicate = fn(&Parts) -> bool;
    let _: fn(Own) -> L = L::new;
    let _: fn(L, &str) -> Result<L, ConfigError> = L::realm;
    let _: fn(L, &str) -> Result<L, ConfigError> = L::advertise_scope;
    let _: fn(L, &str) -> Result<L, ConfigError> = L::resource_metadata;
    let _: fn(L, Plain) -> L = L::reject;
    let _: fn(L) -> L = L::optional;
    let _: fn(L) -> L = L::remove_token;
    let _: fn(L, Predicate) -> L = L::exempt;
    let _: fn(L, TokenSource) -> L = L::token_source;
    let _: fn(L, RequireScopes) -> L = L::check;
    let _: fn(&L, RequireScopes) -> RequireLayer<u32> = L::require;
    let _: fn(&AuthError, &Parts) -> Response<Bytes> = grpc_response;
    let _: fn(&Parts) -> bool = is_grpc;

    let layer = L::new(Own).reject_fn(|error, _| {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = error.kind().status();
        response
    });
    let _: RequireLayer<u32> = layer.require_fn(|_: &CheckContext<'_, u32>| Ok(()));
}

/// Any service of requests, whose error stays what it is; the future has a name and no box.
#[test]
fn the_service() {
    fn is_service<S, V, B, T>()
    where
        S: Service<Request<B>, Response = Response<T>> + Clone,
        V: Verifier,
    {
        fn has_types<X, Q, R, E, F>()
        where
            X: Service<Q, Response = R, Error = E, Future = F>,
            F: Future<Output = Result<R, E>>,
        {
        }
        has_types::<
            BearerAuth<S, V>,
            Request<B>,
            Response<ResponseBody<T>>,
            S::Error,
            ResponseFuture<S, V, B>,
        >();
    }
    fn is_body<B>()
    where
        B: Body<Data = Bytes>,
        ResponseBody<B>: Body<Data = Bytes, Error = B::Error>,
    {
    }
    // Also where the body of the service is none.
    fn is_default<T: Default + fmt::Debug>() {}
    is_default::<ResponseBody<*const u8>>();
    is_body::<http_body_util::Full<Bytes>>();
    is_service::<tower::util::BoxCloneService<Request<u8>, Response<u16>, fmt::Error>, Own, u8, u16>(
    );

    let mut service = BearerAuthLayer::new(Own).layer(7);
    *service.get_mut() += 1;
    assert_eq!(*service.get_ref(), 8);
    assert_eq!(service.into_inner(), 8);
}

#[test]
fn tokens_and_errors() {
    fn is_copy<T: Copy + fmt::Debug + Send + Sync>(_: T) {}
    let token = BearerToken::parse("abc").unwrap();
    is_copy(token);
    let owned: OwnedToken = token.to_owned();
    assert_eq!((owned.as_str(), owned.as_token()), ("abc", token));

    fn is_error<E: std::error::Error + Clone + Send + Sync + 'static>(_: &E) {}
    let error = AuthError::unavailable("store").with_source("refused");
    is_error(&error);
    assert_eq!(error.kind(), AuthErrorKind::Unavailable);
    assert_eq!(error.reason(), "store");
    assert!(std::error::Error::source(&error).is_some());
}
