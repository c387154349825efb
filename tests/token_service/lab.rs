//! An authorization server to ask, its clock, and what asks it.

#![allow(unreachable_pub)]

use std::{net::IpAddr, sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use tower::ServiceExt;
use tower_bearer::{
    Algorithm, InMemoryRevocation, ManualClock, NumericDate, ProblemJson,
    token_service::{
        AuthorizationServer, AuthorizationServerBuilder, Client, FailureLimit, FamiliesOf,
        InMemoryClients, InMemoryRefreshStore, RefreshFamily, RefreshStore, SecretHash, SigningKey,
        SigningKeys, TokenService,
    },
};

use crate::support::{Answer, BASE, TRACEPARENT};

pub const ISSUER: &str = "https://login.example.com";
pub const AUDIENCE: &str = "https://api.example.com";
pub const NOW: NumericDate = NumericDate::from_secs(1_800_000_000);
pub const FORM: &str = "application/x-www-form-urlencoded";

pub const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// A server with the clients `svc` (`svc-secret`, which somebody chose) and `gen` (whose secret is generated).
pub struct Lab {
    pub server: AuthorizationServer,
    pub clock: ManualClock,
    pub keys: SigningKeys,
    pub clients: InMemoryClients,
    pub refresh_tokens: InMemoryRefreshStore,
    pub revocation: InMemoryRevocation,
    pub secret: String,
}

/// Hashed once: it is slow.
pub fn chosen() -> SecretHash {
    static HASH: OnceLock<SecretHash> = OnceLock::new();
    HASH.get_or_init(|| SecretHash::of_chosen("svc-secret").unwrap())
        .clone()
}

impl Lab {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub fn with(
        configure: impl FnOnce(AuthorizationServerBuilder) -> AuthorizationServerBuilder,
    ) -> Self {
        let clock = ManualClock::new(NOW);
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        let keys = SigningKeys::with_clock(key, clock.clone());
        let (secret, hash) = SecretHash::generate().unwrap();
        let client = |id, hash| {
            Client::builder(id)
                .secret(hash)
                .scope("read write")
                .build()
                .unwrap()
        };
        let clients = InMemoryClients::new([client("svc", chosen()), client("gen", hash)]).unwrap();
        let refresh_tokens = InMemoryRefreshStore::with_clock(clock.clone());
        let revocation = InMemoryRevocation::with_settings(clock.clone(), DAY);
        let builder = AuthorizationServer::builder()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .signing_keys(keys.clone())
            .clients(clients.clone())
            .refresh_tokens(refresh_tokens.clone())
            .revocation(revocation.clone())
            .problems(ProblemJson::new().type_base(BASE).unwrap())
            .peer(|request| request.extensions.get::<IpAddr>().copied())
            .failure_limit(FailureLimit {
                per_client: 1000,
                per_peer: 1000,
            })
            .clock(clock.clone());
        Self {
            server: configure(builder).build().unwrap(),
            clock,
            keys,
            clients,
            refresh_tokens,
            revocation,
            secret,
        }
    }

    /// What the client `gen` gets at the token endpoint.
    pub async fn tokens(&self) -> Value {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "gen"),
            ("client_secret", &self.secret),
        ];
        granted(post(self.server.token_endpoint(), &form).await)
    }

    /// The families of a client.
    pub async fn families_of(&self, client_id: &str) -> Vec<RefreshFamily> {
        let of = FamiliesOf::Client(client_id.to_owned());
        let page = self.refresh_tokens.list(&of, None).await.unwrap();
        assert_eq!(page.next, None);
        page.families
    }

    pub async fn refresh_token(&self) -> String {
        text(&self.tokens().await, "refresh_token")
    }

    /// Presents a refresh token at the refresh endpoint.
    pub async fn refresh(&self, token: &str) -> Answer {
        post(self.server.refresh_endpoint(), &[("refresh_token", token)]).await
    }

    pub fn clock_now(&self) -> NumericDate {
        tower_bearer::Clock::now(&self.clock)
    }

    /// The `Authorization` of the client `gen`.
    pub fn basic(&self) -> String {
        basic("gen", &self.secret)
    }
}

pub fn basic(id: &str, secret: &str) -> String {
    let text = format!("{id}:{secret}");
    format!("Basic {}", base64_simd::STANDARD.encode_to_string(text))
}

pub fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    form.finish()
}

/// Sends a form.
pub async fn post(service: TokenService, pairs: &[(&str, &str)]) -> Answer {
    send(service, &[("content-type", FORM)], form(pairs)).await
}

/// The same by a client that authenticates by HTTP Basic.
pub async fn post_as(service: TokenService, authorization: &str, pairs: &[(&str, &str)]) -> Answer {
    let headers = [("content-type", FORM), ("authorization", authorization)];
    send(service, &headers, form(pairs)).await
}

/// POSTs a body with these headers, and the traceparent of the tests.
pub async fn send(
    service: TokenService,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    send_request(
        service,
        request(Method::POST, headers, Full::new(body.into())),
    )
    .await
}

pub fn request<B>(method: Method, headers: &[(&str, &str)], body: B) -> Request<B> {
    let mut request = Request::builder()
        .method(method)
        .uri("/api/v2/auth/token?token=not-to-be-shown")
        .header("traceparent", TRACEPARENT);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

pub async fn send_request<B>(service: TokenService, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let response: Response<_> = service.oneshot(request).await.unwrap();
    Answer::of(response).await
}

/// The body of a 200 that gives tokens.
#[track_caller]
pub fn granted(answer: Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(&*length));
    serde_json::from_str(&answer.body).unwrap()
}

#[track_caller]
pub fn text(json: &Value, name: &str) -> String {
    json[name].as_str().expect(name).to_owned()
}

/// Header and claims of a JWT.
pub fn opened(token: &str) -> (Value, Value) {
    let mut segments = token.split('.').map(|segment| {
        let json = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(segment);
        serde_json::from_slice(&json.unwrap()).unwrap_or_default()
    });
    (segments.next().unwrap(), segments.next().unwrap())
}
