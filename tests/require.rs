//! Further in than the layer: checks of a route alone, and the claims as an axum extractor.

#![cfg(feature = "axum")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::pin::pin;

use axum::{Router, body::Body, routing::get};
use futures_util::poll;
use http::{Method, Request};
use support::{Answer, BASE, INVALID, MISSING, TRACE_ID, TRACEPARENT, members};
use tokio::sync::oneshot;
use tower::ServiceExt;
use tower_bearer::{
    AuthError, BearerAuthLayer, BearerToken, Check, CheckContext, Checked, Claims, ProblemJson,
    RequireScopes, TokenSource, Verifier, reason, verify_fn,
};

/// `writer` holds `read write`, `reader` holds `read`.
fn auth() -> BearerAuthLayer<impl Verifier<Claims = (), Future: Send> + Send + Sync + 'static> {
    let verifier = verify_fn(|token: BearerToken<'_>| {
        let claims = Claims::builder().subject(token.as_str());
        match token.as_str() {
            "writer" => Ok(claims.scope("read write").build(())),
            "reader" => Ok(claims.scope("read").build(())),
            _ => Err(AuthError::invalid_token(reason::TOKEN_UNKNOWN)),
        }
    });
    let problems = ProblemJson::new().type_base(BASE).unwrap();
    BearerAuthLayer::new(verifier)
        .reject(problems)
        .realm("elements")
        .unwrap()
}

fn write() -> RequireScopes {
    RequireScopes::all_of(["write"]).unwrap()
}

async fn ask(app: &Router, uri: &str, token: Option<&str>) -> Answer {
    ask_by(Method::GET, app, uri, token).await
}

async fn ask_by(method: Method, app: &Router, uri: &str, token: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header("traceparent", TRACEPARENT);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn a_check_of_one_route() {
    let auth = auth();
    let app = Router::new()
        .route("/read", get(|| async { "read" }))
        .route(
            "/write",
            get(|| async { "written" }).layer(auth.require(write())),
        )
        .route(
            "/mine",
            get(|| async { "mine" }).layer(auth.require_fn(|cx: &CheckContext<'_, ()>| {
                match cx.claims().registered().subject() {
                    Some("reader") => Ok(()),
                    _ => Err(AuthError::access_denied("not_mine")),
                }
            })),
        )
        .layer(auth);
    for (path, token, status, reason) in [
        ("/read", "reader", 200, ""),
        ("/write", "writer", 200, ""),
        ("/write", "reader", 403, reason::INSUFFICIENT_SCOPE),
        ("/mine", "reader", 200, ""),
        ("/mine", "writer", 403, "not_mine"),
        ("/write", "other", 401, reason::TOKEN_UNKNOWN),
    ] {
        let answer = ask(&app, path, Some(token)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (status, reason),
            "{path} {token}"
        );
    }

    // In the voice of the layer: its realm, its type base, its trace id.
    let answer = ask(&app, "/write", Some("reader")).await;
    assert_eq!(
        answer.challenge(),
        "Bearer realm=\"elements\", error=\"insufficient_scope\", \
         error_description=\"Access denied\", scope=\"write\""
    );
    assert_eq!(
        answer.body,
        format!(
            "{{\"type\":\"{BASE}access-denied\",\"title\":\"Access Denied\",\"status\":403,\
             \"detail\":\"Access denied\",\"instance\":\"/write\",\"traceId\":\"{TRACE_ID}\"}}"
        )
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// An anonymous request is answered 401 where a check stands further in.
#[tokio::test]
async fn behind_a_layer_that_lets_anonymous_requests_pass() {
    let missing = MISSING.replace("api", "elements");
    let invalid = INVALID.replace("api", "elements");
    for auth in [
        auth().optional(),
        auth().exempt(|parts| !parts.headers.contains_key("authorization")),
    ] {
        let app = Router::new()
            .route(
                "/write",
                get(|| async { "written" }).layer(auth.require(write())),
            )
            .layer(auth);
        let answer = ask(&app, "/write", None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.challenge()),
            (401, &*missing)
        );
        assert_eq!(answer.reason(), reason::TOKEN_MISSING);
        assert_eq!(answer.member("type"), format!("{BASE}unauthorized"));
        let answer = ask(&app, "/write", Some("other")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.challenge()),
            (401, &*invalid)
        );
        assert_eq!(ask(&app, "/write", Some("writer")).await.body, "written");
        assert_eq!(ask(&app, "/write", Some("reader")).await.status, 403);
    }
}

/// That it is a 500 whose problem says what to put where.
#[track_caller]
fn assert_names_the_mend(answer: &Answer, claims: &str) {
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.header("www-authenticate"), None);
    let names: Vec<_> = members(&answer.body)
        .into_iter()
        .map(|member| member.0)
        .collect();
    assert_eq!(names, ["type", "title", "status", "detail"]);
    assert_eq!(answer.member("type"), "about:blank");
    assert_eq!(answer.member("title"), "Internal Server Error");
    let detail = answer.member("detail");
    assert!(detail.contains(claims), "{detail}");
    assert!(
        detail.contains("put a `BearerAuthLayer` around the route"),
        "{detail}"
    );
}

/// No layer further out, or one of other claims: the stack is put together wrongly.
#[tokio::test]
async fn without_the_layer() {
    struct Other;
    let other = BearerAuthLayer::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(Other))));

    let route = || get(|| async { "written" }).layer(auth().require(write()));
    let app = Router::new()
        .route("/bare", route())
        .route("/other", route().layer(other))
        .merge(
            Router::new()
                .route("/inside-out", get(|| async {}))
                .layer(auth())
                .layer(auth().require(write())),
        );
    for path in ["/bare", "/other", "/inside-out"] {
        assert_names_the_mend(&ask(&app, path, Some("writer")).await, "Claims");
    }
}

/// A check further in may need time too.
#[tokio::test]
async fn a_check_of_one_route_that_needs_time() {
    type Answers = std::sync::Mutex<Option<oneshot::Receiver<Result<(), AuthError>>>>;
    struct Slow(Answers);

    impl Check<()> for Slow {
        fn check(&self, _: &CheckContext<'_, ()>) -> Checked {
            let receiver = self.0.lock().unwrap().take().unwrap();
            Checked::Pending(Box::pin(async move { receiver.await.unwrap() }))
        }
    }

    for (answer, status) in [(Ok(()), 200), (Err(AuthError::revoked_token()), 401)] {
        let (sender, receiver) = oneshot::channel();
        let auth = auth();
        let slow = auth.require(Slow(std::sync::Mutex::new(Some(receiver))));
        let app = Router::new()
            .route("/slow", get(|| async { "slow" }).layer(slow))
            .layer(auth);
        let mut asked = pin!(ask(&app, "/slow", Some("reader")));
        assert!(poll!(&mut asked).is_pending());
        sender.send(answer).unwrap();
        let answer = asked.await;
        assert_eq!(answer.status.as_u16(), status);
    }
}

/// Credentials that the layer took out are not there further in.
#[tokio::test]
async fn credentials_further_in() {
    for (remove, expected) in [(false, Some("reader")), (true, None)] {
        let auth = auth().token_source(TokenSource::query("access_token").unwrap());
        let auth = if remove { auth.remove_token() } else { auth };
        let check = auth.require_fn(move |cx: &CheckContext<'_, ()>| {
            let credentials = cx.credentials();
            let token = credentials
                .as_ref()
                .map(|credentials| credentials.token().as_str());
            assert_eq!(token, expected);
            Ok(())
        });
        let app = Router::new()
            .route("/", get(|| async {}).layer(check))
            .layer(auth);
        assert_eq!(ask(&app, "/", Some("reader")).await.status, 200);
        assert_eq!(ask(&app, "/?access_token=reader", None).await.status, 200);
    }
}

struct Tenant(&'static str);

/// The rules of `Claims<C>` and `Option<Claims<C>>` as extractors.
#[tokio::test]
async fn extractors() {
    async fn claims(claims: Claims) -> String {
        claims.registered().subject().unwrap().to_owned()
    }
    async fn option(claims: Option<Claims>) -> String {
        claims.map_or("nobody".to_owned(), |claims| {
            claims.registered().subject().unwrap().to_owned()
        })
    }
    async fn other(claims: Claims<Tenant>) -> &'static str {
        claims.0
    }
    async fn other_option(claims: Option<Claims<Tenant>>) -> &'static str {
        claims.map_or("nobody", |claims| claims.0)
    }
    let routes = || {
        Router::new()
            .route("/claims", get(claims))
            .route("/option", get(option))
            .route("/other", get(other))
            .route("/other-option", get(other_option))
    };
    let strict = routes().layer(auth());
    let optional = routes().layer(auth().optional());
    let exempt = routes().layer(auth().exempt(|_| true));
    let bare = routes();
    let missing = MISSING.replace("api", "elements");

    for (app, path, token, expected) in [
        (&strict, "/claims", Some("reader"), Ok("reader")),
        (&strict, "/option", Some("reader"), Ok("reader")),
        (&strict, "/claims", None, Err(401)),
        (&strict, "/option", None, Err(401)),
        (&optional, "/claims", Some("reader"), Ok("reader")),
        (&optional, "/option", Some("reader"), Ok("reader")),
        (&optional, "/option", None, Ok("nobody")),
        (&optional, "/claims", None, Err(401)),
        (&exempt, "/option", Some("reader"), Ok("nobody")),
        (&exempt, "/claims", Some("reader"), Err(401)),
        // With no layer at all, or with claims of another type, the server is at fault.
        (&bare, "/claims", Some("reader"), Err(500)),
        (&bare, "/option", Some("reader"), Err(500)),
        (&bare, "/option", None, Err(500)),
        (&strict, "/other", Some("reader"), Err(500)),
        (&strict, "/other-option", Some("reader"), Err(500)),
    ] {
        let answer = ask(app, path, token).await;
        match expected {
            Ok(body) => {
                assert_eq!(
                    (answer.status.as_u16(), &*answer.body),
                    (200, body),
                    "{path} {token:?}"
                );
            }
            Err(401) => {
                assert_eq!(
                    (answer.status.as_u16(), answer.challenge()),
                    (401, &*missing)
                );
                assert_eq!(answer.reason(), reason::TOKEN_MISSING);
                assert_eq!(
                    answer.body,
                    format!(
                        "{{\"type\":\"{BASE}unauthorized\",\"title\":\"Unauthorized\",\"status\":401,\
                         \"detail\":\"Invalid or expired authentication token\",\
                         \"instance\":\"{path}\",\"traceId\":\"{TRACE_ID}\"}}"
                    )
                );
            }
            Err(_) => {
                let claims = if path.starts_with("/other") {
                    "Tenant"
                } else {
                    "Claims"
                };
                assert_names_the_mend(&answer, claims);
            }
        }
    }

    // To HEAD the extractor's refusal has the headers of a GET, and no body.
    let head = ask_by(Method::HEAD, &optional, "/claims", None).await;
    let whole = ask(&optional, "/claims", None).await;
    assert_eq!((head.status, &*head.body), (whole.status, ""));
    assert_eq!(head.headers, whole.headers);
}
