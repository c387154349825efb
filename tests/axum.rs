//! The layer in axum, on real sockets: every place that it can stand in, the extractors, nested routers
//! and streams.
#![cfg(feature = "axum")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{FromRequestParts, OriginalUri, Path, State},
    response::sse::{Event, Sse},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tower_bearer::{
    AuthError, AuthErrorKind, BearerAuthLayer, BearerToken, Claims, OwnedToken, ProblemJson,
    RequireScopes, Verifier, exempt, verify_async_fn, verify_fn,
};

/// What a handler reads from the token, beside what the standards name.
struct User {
    name: String,
}

fn judge(token: &str) -> Result<Claims<User>, AuthError> {
    let (scope, name) = match token {
        "good" => ("read", "Alice"),
        "admin" => ("read admin", "Ada"),
        _ => return Err(AuthError::invalid_token("unknown")),
    };
    Ok(Claims::builder().scope(scope).build(User {
        name: name.to_owned(),
    }))
}

fn verifier() -> impl Verifier<Claims = User, Future: Send> + Send + Sync + 'static {
    verify_fn(|token: BearerToken<'_>| judge(token.as_str()))
}

fn auth() -> BearerAuthLayer<impl Verifier<Claims = User, Future: Send> + Send + Sync + 'static> {
    let problems = ProblemJson::new()
        .type_base("https://docs.example.com/docs/errors/")
        .unwrap();
    BearerAuthLayer::new(verifier())
        .realm("elements")
        .unwrap()
        .reject(problems)
}

/// A router on a port of its own.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
) -> Response<Incoming> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .body(Empty::<Bytes>::new())
        .unwrap();
    if let Some(token) = token {
        let credentials = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        request.headers_mut().insert(AUTHORIZATION, credentials);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    in_time(client.request(request)).await.unwrap()
}

/// What hangs fails.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("hangs")
}

async fn ask(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    let response = send(address, Method::GET, path, token).await;
    let status = response.status().as_u16();
    (status, text(response).await)
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn status(address: SocketAddr, method: Method, path: &str, token: Option<&str>) -> u16 {
    send(address, method, path, token).await.status().as_u16()
}

/// The document of a problem, and its challenge.
async fn problem(response: Response<Incoming>) -> (Value, Option<String>) {
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let challenge = response.headers().get(WWW_AUTHENTICATE);
    let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let problem: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(problem["status"], status);
    (problem, challenge)
}

/// The refusal of a request without a token, as the layer says it.
async fn assert_refused_by_the_layer(response: Response<Incoming>, instance: &str) {
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(
        response.headers()[WWW_AUTHENTICATE],
        r#"Bearer realm="elements""#
    );
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let length = response.headers()[CONTENT_LENGTH].clone();
    let document = text(response).await;
    assert_eq!(
        document,
        format!(
            concat!(
                r#"{{"type":"https://docs.example.com/docs/errors/unauthorized","title":"Unauthorized","#,
                r#""status":401,"detail":"Invalid or expired authentication token","#,
                r#""instance":"{}","traceId":"4bf92f3577b34da6a3ce929d0e0e4736"}}"#,
            ),
            instance
        )
    );
    assert_eq!(length, document.len().to_string());
}

async fn name(user: Claims<User>) -> String {
    user.name.clone()
}

/// `Router::layer` stands around everything, what is not found included.
#[tokio::test]
async fn around_a_router() {
    let app = Router::new().route("/name", get(name)).layer(auth());
    let address = serve(app).await;

    assert_eq!(
        ask(address, "/name", Some("good")).await,
        (200, "Alice".into())
    );
    assert_refused_by_the_layer(send(address, Method::GET, "/name", None).await, "/name").await;
    assert_eq!(ask(address, "/name", Some("bad")).await.0, 401);
    assert_eq!(ask(address, "/nothing", None).await.0, 401);
    assert_eq!(ask(address, "/nothing", Some("good")).await.0, 404);
    assert_eq!(status(address, Method::POST, "/name", None).await, 401);
    assert_eq!(
        status(address, Method::POST, "/name", Some("good")).await,
        405
    );
}

/// Routes that are added after `Router::layer` are not behind it.
#[tokio::test]
async fn routes_added_later_are_open() {
    let app = Router::new()
        .route("/name", get(name))
        .layer(auth())
        .route("/healthz", get(|| async { "ok" }));
    let address = serve(app).await;
    assert_eq!(ask(address, "/name", None).await.0, 401);
    assert_eq!(ask(address, "/healthz", None).await, (200, "ok".into()));
}

/// `Router::route_layer` stands around the routes alone: what is not found needs no token.
#[tokio::test]
async fn around_the_routes_of_a_router() {
    let app = Router::new().route("/name", get(name)).route_layer(auth());
    let address = serve(app).await;

    assert_eq!(
        ask(address, "/name", Some("good")).await,
        (200, "Alice".into())
    );
    assert_refused_by_the_layer(send(address, Method::GET, "/name", None).await, "/name").await;
    assert_eq!(ask(address, "/nothing", None).await.0, 404);
    assert_eq!(status(address, Method::POST, "/name", None).await, 401);
}

/// `MethodRouter::layer` stands around one route, and around those methods alone that it is laid on.
#[tokio::test]
async fn around_a_route() {
    let app = Router::new()
        .route("/open", get(|| async { "open" }))
        .route("/name", get(name).layer(auth()))
        .route(
            "/written",
            get(|| async { "read" }).merge(axum::routing::post(name).route_layer(auth())),
        );
    let address = serve(app).await;

    assert_eq!(ask(address, "/open", None).await, (200, "open".into()));
    assert_eq!(
        ask(address, "/name", Some("good")).await,
        (200, "Alice".into())
    );
    assert_refused_by_the_layer(send(address, Method::GET, "/name", None).await, "/name").await;
    assert_eq!(ask(address, "/nothing", None).await.0, 404);

    assert_eq!(ask(address, "/written", None).await, (200, "read".into()));
    assert_eq!(status(address, Method::POST, "/written", None).await, 401);
    assert_eq!(
        status(address, Method::POST, "/written", Some("good")).await,
        200
    );
    assert_eq!(status(address, Method::DELETE, "/written", None).await, 405);
}

/// axum answers HEAD by the route of GET.
#[tokio::test]
async fn head_is_answered_like_get_but_for_the_body() {
    let address = serve(Router::new().route("/name", get(name)).layer(auth())).await;
    for token in [Some("good"), Some("bad"), None] {
        let mut get = send(address, Method::GET, "/name", token).await;
        let mut head = send(address, Method::HEAD, "/name", token).await;
        assert_eq!(head.status(), get.status());
        head.headers_mut().remove("date");
        get.headers_mut().remove("date");
        assert_eq!(head.headers(), get.headers());
        let length: usize = head.headers()[CONTENT_LENGTH]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(text(get).await.len(), length);
        assert_eq!(text(head).await, "");
    }
}

/// Handlers with state and other extractors, and a verdict that takes time.
#[tokio::test]
async fn beside_state_and_other_extractors() {
    async fn greet(
        State(greeting): State<&'static str>,
        Path(whom): Path<String>,
        user: Claims<User>,
        body: String,
    ) -> String {
        format!("{greeting} {whom}, says {}{body}", user.name)
    }
    let verifier = verify_async_fn(|token: OwnedToken| async move {
        tokio::task::yield_now().await;
        judge(token.as_str())
    });
    let app = Router::new()
        .route("/greet/{whom}", get(greet))
        .layer(BearerAuthLayer::new(verifier))
        .with_state("hello");
    let address = serve(app).await;
    let hello = "hello bob, says Alice".to_owned();
    assert_eq!(ask(address, "/greet/bob", Some("good")).await, (200, hello));
    assert_eq!(ask(address, "/greet/bob", Some("bad")).await.0, 401);
}

async fn greeting(user: Option<Claims<User>>) -> String {
    user.map_or("hello stranger".to_owned(), |user| {
        format!("hello {}", user.name)
    })
}

#[tokio::test]
async fn claims_where_the_layer_is_optional() {
    let app = Router::new()
        .route("/", get(greeting))
        .route("/name", get(name))
        .layer(auth().optional());
    let address = serve(app).await;

    assert_eq!(
        ask(address, "/", None).await,
        (200, "hello stranger".into())
    );
    assert_eq!(
        ask(address, "/", Some("good")).await,
        (200, "hello Alice".into())
    );
    assert_eq!(
        ask(address, "/name", Some("good")).await,
        (200, "Alice".into())
    );
    // The handler insists: the layer's own answer.
    assert_refused_by_the_layer(send(address, Method::GET, "/name", None).await, "/name").await;
    // A bad token is never taken for none.
    for path in ["/", "/name"] {
        let (_, challenge) = problem(send(address, Method::GET, path, Some("bad")).await).await;
        assert!(challenge.unwrap().contains(r#"error="invalid_token""#));
    }
}

#[tokio::test]
async fn claims_where_the_request_is_exempt() {
    let app = Router::new()
        .route("/", get(greeting))
        .route("/name", get(name))
        .layer(auth().exempt(exempt::paths(&["/", "/name"]).unwrap()));
    let address = serve(app).await;

    // Whatever token it has is not looked at.
    for token in [None, Some("good"), Some("bad")] {
        let stranger = (200, "hello stranger".into());
        assert_eq!(ask(address, "/", token).await, stranger);
        assert_refused_by_the_layer(send(address, Method::GET, "/name", token).await, "/name")
            .await;
    }
}

/// Mistakes of whoever put the stack together are answered 500, and the problem names the mend.
#[tokio::test]
async fn claims_where_there_is_no_layer_or_another_one() {
    struct Other;
    async fn other(_: Claims<Other>) {}
    async fn perhaps_other(_: Option<Claims<Other>>) {}

    let insisting = auth();
    let app = Router::new()
        .route("/other", get(other))
        .route("/perhaps-other", get(perhaps_other))
        .route("/other/optional", get(other).layer(auth().optional()))
        .layer(insisting.clone())
        .route("/name", get(name))
        .route("/greeting", get(greeting))
        .route(
            "/required",
            get(|| async {}).layer(insisting.require(RequireScopes::all_of(["read"]).unwrap())),
        );
    let address = serve(app).await;

    for (path, claims) in [
        ("/other", "Other"),
        ("/perhaps-other", "Other"),
        ("/other/optional", "Other"),
        ("/name", "User"),
        ("/greeting", "User"),
        ("/required", "User"),
    ] {
        let response = send(address, Method::GET, path, Some("good")).await;
        assert_eq!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{path}"
        );
        let (problem, challenge) = problem(response).await;
        assert_eq!(challenge, None);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("::{claims}>`")), "{detail}");
        assert!(
            detail.contains("put a `BearerAuthLayer` around the route"),
            "{detail}"
        );
    }
}

/// A rejection can be looked at by an extractor that asks for claims itself.
#[tokio::test]
async fn the_rejection_within_another_extractor() {
    struct Name(String);

    impl<S: Sync> FromRequestParts<S> for Name {
        type Rejection = tower_bearer::ClaimsRejection;

        async fn from_request_parts(
            parts: &mut http::request::Parts,
            state: &S,
        ) -> Result<Self, Self::Rejection> {
            let user = Claims::<User>::from_request_parts(parts, state).await?;
            Ok(Self(user.name.clone()))
        }
    }

    let handler = |Name(name): Name| async move { name };
    let app = Router::new()
        .route("/", get(handler))
        .layer(auth().optional());
    let address = serve(app).await;
    assert_eq!(ask(address, "/", Some("good")).await, (200, "Alice".into()));
    assert_refused_by_the_layer(send(address, Method::GET, "/", None).await, "/").await;
}

/// A check on one route speaks in the voice of the layer around it.
#[tokio::test]
async fn a_check_on_one_route() {
    let optional = auth().optional();
    let admin = optional.require(RequireScopes::all_of(["admin"]).unwrap());
    let app = Router::new()
        .route("/", get(greeting))
        .route("/admin", get(name).layer(admin))
        .layer(optional);
    let address = serve(app).await;

    assert_eq!(ask(address, "/", Some("good")).await.0, 200);
    assert_eq!(
        ask(address, "/admin", Some("admin")).await,
        (200, "Ada".into())
    );
    assert_refused_by_the_layer(send(address, Method::GET, "/admin", None).await, "/admin").await;

    let response = send(address, Method::GET, "/admin", Some("good")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let (problem, challenge) = problem(response).await;
    assert_eq!(
        problem["type"],
        "https://docs.example.com/docs/errors/access-denied"
    );
    assert_eq!(problem["instance"], "/admin");
    let challenge = challenge.unwrap();
    assert!(challenge.starts_with(r#"Bearer realm="elements", error="insufficient_scope""#));
    assert!(challenge.ends_with(r#"scope="admin""#));
}

/// A nested router takes its prefix off the path. `OriginalUri` still has it, without the query.
#[tokio::test]
async fn the_instance_in_a_nested_router() {
    let whole = ProblemJson::new().instance(|request| {
        let OriginalUri(uri) = request.extensions.get()?;
        Some(uri.path().to_owned())
    });
    let api = || Router::new().route("/elements", get(name));
    let required = auth().reject(whole.clone()).optional();
    let scope = required.require(RequireScopes::all_of(["admin"]).unwrap());
    let nested = Router::new()
        .nest("/whole", api().layer(auth().reject(whole.clone())))
        .nest("/routes", api().route_layer(auth().reject(whole)))
        .nest("/insists", api().layer(scope).layer(required))
        .nest("/without", api().layer(auth()));
    let address = serve(Router::new().nest("/api/v2", nested)).await;

    for (prefix, instance) in [
        ("/api/v2/whole", "/api/v2/whole/elements"),
        ("/api/v2/routes", "/api/v2/routes/elements"),
        ("/api/v2/insists", "/api/v2/insists/elements"),
        ("/api/v2/without", "/elements"),
    ] {
        let path = format!("{prefix}/elements");
        let response = send(address, Method::GET, &format!("{path}?a=b"), None).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(problem(response).await.0["instance"], instance);
        assert_eq!(
            ask(address, &path, Some("admin")).await,
            (200, "Ada".into())
        );
    }
}

/// The reason of a refusal reaches middleware that stands outside of the layer.
#[tokio::test]
async fn the_reason_reaches_middleware_further_out() {
    let app =
        Router::new()
            .route("/", get(name))
            .layer(auth())
            .layer(axum::middleware::map_response(
                |mut response: axum::response::Response| async {
                    if let Some(error) = response.extensions().get::<AuthError>() {
                        assert_eq!(error.kind(), AuthErrorKind::InvalidToken);
                        let reason = HeaderValue::from_static(error.reason());
                        response.headers_mut().insert("x-reason", reason);
                    }
                    response
                },
            ));
    let address = serve(app).await;
    let refused = send(address, Method::GET, "/", Some("bad")).await;
    assert_eq!(refused.headers()["x-reason"], "unknown");
    let good = send(address, Method::GET, "/", Some("good")).await;
    assert_eq!(good.headers().get("x-reason"), None);
}

/// The second event is sent only once the client has the first.
#[tokio::test]
async fn server_sent_events_are_not_buffered() {
    let (feed, events) = mpsc::unbounded_channel::<&'static str>();
    let events = std::sync::Arc::new(std::sync::Mutex::new(Some(events)));
    let handler = |_: Claims<User>| async move {
        let mut events = events.lock().unwrap().take().expect("asked for once");
        let events = stream::poll_fn(move |cx| events.poll_recv(cx));
        Sse::new(futures_util::StreamExt::map(events, |data| {
            Ok::<_, Infallible>(Event::default().data(data))
        }))
    };
    let address = serve(Router::new().route("/events", get(handler)).layer(auth())).await;

    let response = send(address, Method::GET, "/events", Some("good")).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    for data in ["one", "two", "three"] {
        feed.send(data).unwrap();
        let frame = in_time(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("data: {data}\n\n"));
    }
    drop(feed);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "");
}
