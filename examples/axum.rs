//! The whole round: an axum service that issues tokens, rotates refresh tokens, publishes its keys, and protects a
//! JSON API by the layer.
//!
//! ```text
//! cargo run --features full --example axum
//! ```
//!
//! It needs no set-up. It listens on `ADDR` (default 127.0.0.1:3000), prints tokens and `curl` lines that are ready
//! to paste, one for each row of the contract, and stops on Ctrl-C or SIGTERM.
//!
//! | route | what it is |
//! |---|---|
//! | `/api/v2/elements` | the API, for whoever has a token; POST needs the scope `write` |
//! | `/api/v2/admin` | needs the scope `admin`, which nobody has |
//! | `/api/v2/auth/token`, `/api/v2/auth/refresh` | the token endpoint and the refresh endpoint, for JSON and forms |
//! | `/oauth/token`, `/oauth/revoke`, `/oauth/introspect` | the same by the letter of RFC 6749, RFC 7009 and RFC 7662 |
//! | `/.well-known/jwks.json`, `/.well-known/oauth-authorization-server` | the keys and the metadata |
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `ADDR` | where it listens | `127.0.0.1:3000` |
//! | `ISSUER` | the `iss` of its tokens | `http://` and the address |
//! | `SIGNING_KEY` | a file with the private key in PEM, for ES256 | see below |
//! | `SIGNING_KEY_FILE` | a file with all keys and their times (`SigningKeyFile`), made if there is none | see below |
//! | `GENERATED_SECRET` | the secret, made by a machine, of a further client, `generated` | no such client |
//! | `REDIS_URL` | where refresh tokens and revocations are kept | in memory |
//!
//! Without `SIGNING_KEY` and `SIGNING_KEY_FILE` the signing key is made at each start and lost at the end, and all tokens
//! with it. The example says so when it starts.
//!
//! With the same `REDIS_URL`, `ISSUER` and `SIGNING_KEY` or `SIGNING_KEY_FILE`, several of them are one.
#![allow(clippy::print_stdout)]

use std::{
    convert::Infallible, env, error::Error, fs, future::IntoFuture, future::ready, io,
    net::SocketAddr, sync::Arc, time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, OriginalUri},
    http::{
        HeaderName, Method, Request,
        header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::IntoResponse,
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, signal};
use tower::ServiceExt;
use tower_bearer::{
    Algorithm, BearerAuthLayer, Cached, Claims, InMemoryRevocation, JwtVerifier, ProblemJson,
    RedisRevocation, RemoteKeySet, RequireScopes, Revocation, RevocationList,
    token_service::{
        AuthorizationServer, Client, FailureLimit, InMemoryClients, RedisRefreshStore, SecretHash,
        SigningKey, SigningKeyFile, SigningKeys, TokenService,
    },
};
use tower_http::{
    cors::{self, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};

type AnyError = Box<dyn Error + Send + Sync>;

const AUDIENCE: &str = "https://api.example.com";

/// How long requests have to finish once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What this service reads from a token, beside the claims that the standards name.
#[derive(Deserialize)]
struct User {
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let (stop, grace_begins) = (stopped()?, stopped()?);
    let url = format!("http://{}", listener.local_addr()?);
    let issuer = env::var("ISSUER").unwrap_or_else(|_| url.clone());

    let keys = signing_keys().await?;
    let revocation: Arc<dyn Revocation> = match env::var("REDIS_URL") {
        Ok(redis) => Arc::new(RedisRevocation::new(&redis)?),
        Err(_) => Arc::new(InMemoryRevocation::new()),
    };
    let problems = ProblemJson::new()
        .type_base("https://docs.example.com/docs/errors/")?
        // A router below is nested, which takes the prefix off the path that the layer sees.
        .instance(|request| Some(request.extensions.get::<OriginalUri>()?.path().to_owned()));

    let server = authorization_server(&issuer, &keys, &revocation, &problems)?;
    let auth = BearerAuthLayer::new(verifier(&issuer, &keys)?)
        .check(RevocationList::new(revocation))
        .reject(problems);

    let writers = auth.require(RequireScopes::all_of(["write"])?);
    let admins = auth.require(RequireScopes::all_of(["admin"])?);
    let api = Router::new()
        .route("/elements", get(elements))
        .route("/elements", axum::routing::post(add_element).layer(writers))
        .route("/admin", get(|| async { "you may\n" }).layer(admins))
        .layer(auth);

    let metadata = server
        .metadata()
        .token_endpoint(&format!("{issuer}/oauth/token"))?
        .revocation_endpoint(&format!("{issuer}/oauth/revoke"))?
        .introspection_endpoint(&format!("{issuer}/oauth/introspect"))?
        .jwks_uri(&format!("{issuer}/.well-known/jwks.json"))?
        // Where users of yours would log in. Some clients, such as the SDKs of MCP, read no metadata without these two.
        .member("authorization_endpoint", format!("{issuer}/login"))?
        .member("response_types_supported", ["code"])?
        .scopes(["read", "write"]);
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .nest("/api/v2", api)
        .route_service("/api/v2/auth/token", server.token_endpoint())
        .route_service("/api/v2/auth/refresh", server.refresh_endpoint())
        .route_service("/oauth/token", server.oauth_endpoint())
        .route_service("/oauth/revoke", server.revocation_endpoint())
        .route_service("/oauth/introspect", server.introspection_endpoint())
        .route_service("/.well-known/jwks.json", server.key_set())
        .route_service("/.well-known/oauth-authorization-server", metadata)
        // Outside of the layer, so that a rejection has a request id, is traced, and is shown to a page.
        .layer(cors())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(TraceLayer::new_for_http())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid));

    println!("listening on {url}");
    print_what_to_paste(&url, server.token_endpoint()).await?;

    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(stop);
    tokio::select! {
        result = server.into_future() => result?,
        // Requests are finished, but a client that does not hang up is not waited for.
        () = async { grace_begins.await; tokio::time::sleep(GRACE).await } => {}
    }
    Ok(())
}

/// What pages of other origins may send and read. No cookie is looked at, so any origin may ask.
fn cors() -> CorsLayer {
    let request_id = HeaderName::from_static("x-request-id");
    CorsLayer::new()
        .allow_origin(cors::Any)
        .allow_methods([Method::GET, Method::POST])
        // By name: `*` never covers `Authorization` (Fetch, "CORS non-wildcard request-header name").
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            HeaderName::from_static("traceparent"),
            request_id.clone(),
        ])
        // Without this a page sees the status of a rejection, but not what to do about it.
        .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER, request_id])
}

/// The keys that tokens are signed with.
async fn signing_keys() -> Result<SigningKeys, AnyError> {
    if let Ok(path) = env::var("SIGNING_KEY_FILE") {
        let file = SigningKeyFile::new(&path);
        if !fs::exists(&path)? {
            let key = SigningKey::generate(Algorithm::ES256)?;
            file.rotate(key, Duration::ZERO).await?;
        }
        return Ok(SigningKeys::from_source(file).load().await?);
    }
    if let Ok(path) = env::var("SIGNING_KEY") {
        let key = SigningKey::from_pem(Algorithm::ES256, fs::read(path)?)?;
        return Ok(SigningKeys::new(key));
    }
    println!(
        "WARNING: the signing key is lost when this process ends, and nobody accepts its tokens then. Set SIGNING_KEY \
         or SIGNING_KEY_FILE to keep it."
    );
    Ok(SigningKeys::generate()?)
}

/// Who issues tokens, and to whom.
fn authorization_server(
    issuer: &str,
    keys: &SigningKeys,
    revocation: &Arc<dyn Revocation>,
    problems: &ProblemJson,
) -> Result<AuthorizationServer, AnyError> {
    // Secrets that somebody thought of. One that a machine made is better, and faster: SecretHash::generate().
    let client = |id: &str, secret: &str| {
        Client::builder(id)
            .secret(SecretHash::of_chosen(secret)?)
            .scope("read write")
            .build()
    };
    let mut clients = vec![
        client("svc", "svc-secret")?,
        client("svc-post", "svc-post-secret")?,
    ];
    if let Ok(secret) = env::var("GENERATED_SECRET") {
        let generated = Client::builder("generated").secret(SecretHash::of_generated(&secret)?);
        clients.push(generated.scope("read write").build()?);
    }
    let server = AuthorizationServer::builder()
        .issuer(issuer)
        .audience(AUDIENCE)
        .signing_keys(keys.clone())
        .clients(InMemoryClients::new(clients)?)
        .revocation(Arc::clone(revocation))
        .extra_claims(|grant, claims| {
            claims.set("name", format!("the client {}", grant.client_id()))
        })
        .problems(problems.clone())
        .peer(|request| {
            let ConnectInfo(peer) = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(peer.ip())
        })
        // More than a service on the open network should allow, for whoever tries things out.
        .failure_limit(FailureLimit {
            per_client: 60,
            per_peer: 120,
        });
    let server = match env::var("REDIS_URL") {
        Ok(redis) => server.refresh_tokens(RedisRefreshStore::new(&redis)?),
        Err(_) => server,
    };
    Ok(server.build()?)
}

/// Who judges them. A service elsewhere has the URL of the keys in place of the keys.
fn verifier(issuer: &str, keys: &SigningKeys) -> Result<Cached<JwtVerifier<User>>, AnyError> {
    let keys = keys.clone();
    let keys = RemoteKeySet::from_fn(move || ready(Ok::<_, Infallible>(keys.public_key_set())));
    let verifier = JwtVerifier::<User>::builder()
        .issuer(issuer)
        .audience(AUDIENCE)
        .remote_keys(keys.build()?)
        .access_token_profile()
        .build()?;
    Ok(Cached::new(verifier))
}

async fn elements(user: Claims<User>) -> impl IntoResponse {
    let claims = user.registered();
    Json(json!({
        "elements": ["earth", "water", "air", "fire"],
        "for": user.name,
        "subject": claims.subject(),
        "scopes": claims.scopes().iter().collect::<Vec<_>>(),
    }))
}

async fn add_element(user: Claims<User>, element: String) -> String {
    format!("{} adds {element}\n", user.name)
}

/// Gets tokens as a client would, and shows what can be done with them.
async fn print_what_to_paste(url: &str, token_endpoint: TokenService) -> Result<(), AnyError> {
    let [tokens, session, revoked] = [
        some_tokens(token_endpoint.clone()).await?,
        some_tokens(token_endpoint.clone()).await?,
        some_tokens(token_endpoint).await?,
    ];
    let text = |tokens: &Value, name: &str| tokens[name].as_str().unwrap_or_default().to_owned();
    println!("\ntokens, good for a quarter of an hour, and one to refresh them:\n");
    println!("TOKEN={}", text(&tokens, "access_token"));
    // Of another session, because whoever uses a refresh token twice ends the session, with its access tokens.
    println!("REFRESH={}", text(&session, "refresh_token"));
    println!("REVOKED={}\n", text(&revoked, "access_token"));

    const BEARER: &str = "-H \"Authorization: Bearer $TOKEN\"";
    let elements = format!("{url}/api/v2/elements");
    let auth = format!("{url}/api/v2/auth");
    let oauth = format!("{url}/oauth");
    let json = "-H \"Content-Type: application/json\"";
    let client = "\"grant_type\":\"client_credentials\",\"client_id\":\"svc\"";
    for (what, curl) in [
        (
            "200, and what the token says",
            format!("{elements} {BEARER}"),
        ),
        (
            "401, and a challenge without `error`: there is no token",
            elements.clone(),
        ),
        (
            "401 invalid_token",
            format!("{elements} -H \"Authorization: Bearer ${{TOKEN}}x\""),
        ),
        (
            "403 insufficient_scope: the token is good, but not for this",
            format!("{url}/api/v2/admin {BEARER}"),
        ),
        (
            "400 invalid_request: two tokens",
            format!("{elements} {BEARER} {BEARER}"),
        ),
        (
            "200: an access token and a refresh token, for client credentials in JSON",
            format!("{auth}/token {json} -d '{{{client},\"client_secret\":\"svc-secret\"}}'"),
        ),
        (
            "401 invalid_client: a wrong secret",
            format!("{auth}/token {json} -d '{{{client},\"client_secret\":\"wrong\"}}'"),
        ),
        (
            "400 invalid_request: nothing that could be read",
            format!("{auth}/token {json} -d '{{'"),
        ),
        (
            "415: no such media type",
            format!("{auth}/token -H \"Content-Type: text/plain\" -d hello"),
        ),
        (
            "405, and which methods there are",
            format!("{auth}/token -X GET"),
        ),
        (
            "200: new tokens for a refresh token",
            format!("{auth}/refresh -d \"refresh_token=$REFRESH\""),
        ),
        (
            "401 invalid_grant: the same once more, which also ends the new one",
            format!("{auth}/refresh -d \"refresh_token=$REFRESH\""),
        ),
        (
            "200: by the letter of RFC 6749, where client credentials give no refresh token",
            format!(
                "{oauth}/token -u svc:svc-secret -d grant_type=client_credentials -d scope=read"
            ),
        ),
        (
            "200: a token is revoked (RFC 7009)",
            format!("{oauth}/revoke -u svc:svc-secret -d \"token=$REVOKED\""),
        ),
        (
            "401, of the type token-revoked: what became of it",
            format!("{elements} -H \"Authorization: Bearer $REVOKED\""),
        ),
        (
            "200: the keys that tokens are verified with",
            format!("{url}/.well-known/jwks.json"),
        ),
        (
            "401: the trace id of the caller comes back in the problem",
            format!(
                "{elements} -H \"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\""
            ),
        ),
    ] {
        println!("# {what}\ncurl -i {curl}\n");
    }
    println!("ready");
    Ok(())
}

async fn some_tokens(token_endpoint: TokenService) -> Result<Value, AnyError> {
    let request = Request::post("/api/v2/auth/token")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(
            "grant_type=client_credentials&client_id=svc&client_secret=svc-secret",
        ))?;
    let response = token_endpoint.oneshot(request).await?.into_response();
    Ok(serde_json::from_slice(
        &to_bytes(response.into_body(), 1 << 20).await?,
    )?)
}

/// Listens for Ctrl-C and SIGTERM from now on, and is done when one of them has come.
#[cfg(unix)]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    use signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Done when Ctrl-C has come.
#[cfg(not(unix))]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
