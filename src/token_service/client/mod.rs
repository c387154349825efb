//! [`Client`]: who may ask for tokens, and [`ClientStore`]: where clients are kept.
//!
//! How their secrets are kept is in `secret`, how a client proves who it is in `authentication`.

use std::{
    collections::HashMap,
    fmt,
    future::ready,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    error::ConfigError,
    reject::scope_tokens,
    store::StoreError,
    verify::{BoxFuture, jwt::check_name},
};

pub(super) mod assertion;
pub(super) mod authentication;
mod decoy;
mod replay;
mod secret;
mod slow;
mod stored;
mod verified;

pub use replay::{InMemoryReplayStore, ReplayStore};
pub use secret::SecretHash;

use assertion::AssertionKeys;

use super::{grant_type::GrantType, lifetime};

/// A client: a program that may ask for tokens (RFC 6749 §2).
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::token_service::{Client, SecretHash};
///
/// let (secret, hash) = SecretHash::generate()?;
/// let client = Client::builder("reporting")
///     .secret(hash)
///     .scope("read write")
///     .access_token_lifetime(Duration::from_secs(600))
///     .build()?;
/// assert_eq!(client.id(), "reporting");
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// Serde writes and reads it, for stores of your own: with the hashes of its secrets, and a version. What could not be
/// built is not read.
#[derive(Clone, Debug)]
pub struct Client {
    id: String,
    secrets: Vec<SecretHash>,
    /// By what its assertions are verified, and the JWK Set before it is read.
    keys: Option<AssertionKeys>,
    jwks: Option<String>,
    may_introspect: bool,
    public: bool,
    grant_types: Option<Vec<GrantType>>,
    subject: Option<String>,
    scope: String,
    audiences: Vec<String>,
    access_token_lifetime: Option<Duration>,
    refresh_token_idle_lifetime: Option<Duration>,
    refresh_token_lifetime: Option<Duration>,
}

impl Client {
    /// Returns a builder for a confidential client, which authenticates (RFC 6749 §2.1), with its `client_id`.
    pub fn builder(id: impl Into<String>) -> ClientBuilder {
        ClientBuilder(Self {
            id: id.into(),
            secrets: Vec::new(),
            keys: None,
            jwks: None,
            may_introspect: false,
            public: false,
            grant_types: None,
            subject: None,
            scope: String::new(),
            audiences: Vec::new(),
            access_token_lifetime: None,
            refresh_token_idle_lifetime: None,
            refresh_token_lifetime: None,
        })
    }

    /// Returns a builder for a public client (RFC 6749 §2.1), such as an app on a phone or in a browser, which can
    /// keep no secret.
    ///
    /// It gets its first tokens by [`AuthorizationServer::issue`](super::AuthorizationServer::issue) alone, and
    /// refreshes and revokes them by its `client_id` (RFC 6749 §6, RFC 7009 §2.1). It never gets tokens by client
    /// credentials.
    ///
    /// ```
    /// use tower_bearer::token_service::Client;
    ///
    /// let app = Client::public("spa").scope("read").build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn public(id: impl Into<String>) -> ClientBuilder {
        let mut builder = Self::builder(id);
        builder.0.public = true;
        builder
    }

    /// Its `client_id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it has nothing to authenticate with.
    pub(super) fn is_public(&self) -> bool {
        self.public
    }

    /// Whether it may use a grant.
    pub(super) fn may_use(&self, grant_type: GrantType) -> bool {
        match &self.grant_types {
            Some(allowed) => allowed.contains(&grant_type),
            None => !self.public || grant_type != GrantType::ClientCredentials,
        }
    }

    /// Whether it may ask for access tokens of other clients.
    pub(super) fn may_introspect(&self) -> bool {
        self.may_introspect
    }

    fn slow_secrets(&self) -> Vec<SecretHash> {
        let secrets = self.secrets.iter();
        secrets.filter(|secret| secret.is_slow()).cloned().collect()
    }

    pub(super) fn subject(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.id)
    }

    pub(super) fn scope(&self) -> &str {
        &self.scope
    }

    pub(super) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    pub(super) fn access_token_lifetime(&self) -> Option<Duration> {
        self.access_token_lifetime
    }

    pub(super) fn refresh_token_idle_lifetime(&self) -> Option<Duration> {
        self.refresh_token_idle_lifetime
    }

    pub(super) fn refresh_token_lifetime(&self) -> Option<Duration> {
        self.refresh_token_lifetime
    }
}

/// A client has at most this many secrets: one, and another while it is replaced.
const MOST_SECRETS: usize = 2;

/// The cost of comparing a secret with all of these.
fn cost(secrets: &[SecretHash]) -> u64 {
    secrets.iter().map(SecretHash::cost).sum()
}

/// Builds a [`Client`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder(Client);

impl ClientBuilder {
    /// Adds a secret. Two are valid at once, so that a new one can be handed out before the old one is taken away.
    pub fn secret(mut self, secret: SecretHash) -> Self {
        self.0.secrets.push(secret);
        self
    }

    /// Sets the public keys of a client that authenticates by a signed JWT, `private_key_jwt` (RFC 7523 §2.2): a JWK Set
    /// in JSON (RFC 7517 §5), as the member `jwks` of RFC 7591 §2 has it. No secret is shared then. A client may have keys
    /// and secrets, while one is replaced by the other.
    ///
    /// The JWT has the client's id as `iss` and `sub`; as `aud` the issuer of the server, or one of
    /// [`client_assertion_audience`](super::AuthorizationServerBuilder::client_assertion_audience), and nobody else, who
    /// could use it here; an `exp` within an hour; and a `jti`, which is good once. It is signed by an asymmetric algorithm.
    ///
    /// ```
    /// use tower_bearer::token_service::Client;
    ///
    /// let client = Client::builder("reporting")
    ///     .jwks(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#)
    ///     .scope("read")
    ///     .build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn jwks(mut self, json: impl Into<String>) -> Self {
        self.0.jwks = Some(json.into());
        self
    }

    /// Sets where the keys for [`jwks`](Self::jwks) are published, so that the client can rotate them by itself. Such a
    /// client cannot be written by serde: keep its URL, and one `RemoteKeySet` for it.
    #[cfg(feature = "jwks")]
    pub fn remote_keys(mut self, keys: crate::RemoteKeySet) -> Self {
        self.0.keys = Some(AssertionKeys::Remote(keys));
        self
    }

    /// Lets the client ask the
    /// [`introspection_endpoint`](super::AuthorizationServer::introspection_endpoint) about the access tokens of all
    /// clients. That is for resource servers. Without this a client learns only about its own tokens, because a token
    /// tells much about a user (RFC 7662 §5).
    pub fn may_introspect(mut self) -> Self {
        self.0.may_introspect = true;
        self
    }

    /// Sets which grants the client may use. The default is all of them, and for a
    /// [public](Client::public) client all but client credentials.
    ///
    /// A client by which users log in, and which needs no tokens of its own, is limited to
    /// [`GrantType::RefreshToken`]. Without that one it gets no refresh tokens. Other requests are answered 400
    /// `unauthorized_client`.
    ///
    /// ```
    /// use tower_bearer::token_service::{Client, GrantType, SecretHash};
    ///
    /// let (secret, hash) = SecretHash::generate()?;
    /// let web = Client::builder("web").secret(hash).grant_types([GrantType::RefreshToken]).build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn grant_types(mut self, grant_types: impl IntoIterator<Item = GrantType>) -> Self {
        self.0.grant_types = Some(grant_types.into_iter().collect());
        self
    }

    /// Sets the `sub` of the tokens that the client gets for itself. The default is its id (RFC 9068 §2.2).
    ///
    /// The subject must be no user's: a service tells users and clients apart by it (RFC 9700 §4.15).
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// Sets which scopes it may have, separated by spaces. A request that names none is granted all of them. The
    /// default is none.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.0.scope = scope.into();
        self
    }

    /// Sets whom its tokens are meant for, in place of the default of the authorization server. May be called more
    /// than once; a request chooses among them by `resource` (RFC 8707), or gets all.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.0.audiences.push(audience.into());
        self
    }

    /// Sets how long its access tokens are good, in whole seconds, in place of the default of the authorization
    /// server.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.0.access_token_lifetime = Some(lifetime);
        self
    }

    /// Sets after how long without use its refresh tokens expire, in place of the default of the authorization
    /// server.
    pub fn refresh_token_idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.0.refresh_token_idle_lifetime = Some(lifetime);
        self
    }

    /// Sets after how long its refresh tokens expire however often they are rotated, in place of the default of the
    /// authorization server.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.0.refresh_token_lifetime = Some(lifetime);
        self
    }

    /// The client.
    ///
    /// # Errors
    /// If its id is empty or not of visible ASCII and spaces (RFC 6749 §A.1), a confidential client has neither
    /// secret nor keys or more than two secrets, a public client has any or may use client credentials, something is no scope, an audience
    /// or the subject is empty, or a lifetime is out of bounds.
    pub fn build(self) -> Result<Client, ConfigError> {
        let mut client = self.0;
        let printable =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let wrong = |what: &str| {
            Err(ConfigError::new(format!(
                "the client {:?} {what}",
                client.id
            )))
        };
        if !printable(&client.id) {
            return wrong("needs an id of visible ASCII characters (RFC 6749 §A.1)");
        }
        let remote = client.keys.is_some();
        if remote && client.jwks.is_some() {
            return wrong(
                "has keys both given and from the network: leave out `jwks` or `remote_keys`",
            );
        }
        if let Some(json) = &client.jwks {
            match AssertionKeys::of_json(json.clone()) {
                Ok(keys) => client.keys = Some(keys),
                Err(error) => return wrong(&format!("has keys that cannot be used: {error}")),
            }
        }
        if client.public {
            if !client.secrets.is_empty() || client.keys.is_some() {
                return wrong(
                    "is public and has a secret or keys: leave them out, or use Client::builder",
                );
            }
            if client.may_introspect {
                return wrong(
                    "is public, and so cannot introspect tokens: leave `may_introspect` out",
                );
            }
            if client.may_use(GrantType::ClientCredentials) {
                return wrong(
                    "is public, and so cannot use client credentials: leave the grant type out, or give the \
                     client a secret",
                );
            }
        } else if client.secrets.len() > MOST_SECRETS
            || (client.secrets.is_empty() && client.keys.is_none())
        {
            return wrong(
                "needs a secret, or two while one is replaced by the other, or keys. Without any it is public: use \
                 Client::public",
            );
        }
        if client.subject.as_deref() == Some("") || client.audiences.iter().any(String::is_empty) {
            return wrong("has an empty subject or audience: leave it out");
        }
        let mut audiences = client.audiences.iter();
        if let Err(error) = audiences.try_for_each(|audience| check_name("audience", audience)) {
            return wrong(&format!("has an audience that cannot be used: {error}"));
        }
        if !client.scope.is_empty() {
            client.scope = scope_tokens(client.scope.split(' '))?;
        }
        lifetime::check_access_token(client.access_token_lifetime)?;
        lifetime::check_refresh_token(client.refresh_token_idle_lifetime)?;
        lifetime::check_refresh_token(client.refresh_token_lifetime)?;
        Ok(client)
    }
}

/// Where clients are kept: [`InMemoryClients`], or a store of one's own.
///
/// What a client sent is not compared by the store, but by the authorization server, in constant time.
///
/// ```
/// use std::sync::Arc;
/// use tower_bearer::{BoxFuture, StoreError, token_service::{Client, ClientStore, SecretHash}};
///
/// # #[derive(Clone)] struct Pool;
/// # struct Row { secret_hash: String, scope: String }
/// # impl Pool { async fn client(&self, _: &str) -> Result<Option<Row>, std::io::Error> { Ok(None) } }
/// struct Database(Pool);
///
/// impl ClientStore for Database {
///     fn find(&self, client_id: &str) -> BoxFuture<Result<Option<Arc<Client>>, StoreError>> {
///         let (pool, id) = (self.0.clone(), client_id.to_owned());
///         Box::pin(async move {
///             let Some(row) = pool.client(&id).await.map_err(StoreError::new)? else {
///                 return Ok(None);
///             };
///             let secret: SecretHash = row.secret_hash.parse().map_err(StoreError::new)?;
///             let client = Client::builder(id).secret(secret).scope(row.scope).build();
///             client.map(|client| Some(Arc::new(client))).map_err(StoreError::new)
///         })
///     }
/// }
/// ```
pub trait ClientStore: Send + Sync + 'static {
    /// The client of that id; `None` if there is none.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn find(&self, client_id: &str) -> BoxFuture<Result<Option<Arc<Client>>, StoreError>>;

    /// Returns the secrets of the client whose authentication takes longest. Only their cost is used: a failure
    /// takes as long as a failure of that client would, so its time does not tell which clients there are.
    ///
    /// A store of generated secrets alone returns `Some` of an empty list. The default is `None`: the server then
    /// learns the cost from the clients that it finds, and assumes one [chosen](SecretHash::of_chosen) secret
    /// until it has found the first one.
    fn slowest_secrets(&self) -> Option<Vec<SecretHash>> {
        None
    }
}

/// Clients in memory. Clones are the same store.
///
/// ```
/// use tower_bearer::token_service::{Client, InMemoryClients, SecretHash};
///
/// let client = Client::builder("svc").secret(SecretHash::of_chosen("svc-secret")?).build()?;
/// let clients = InMemoryClients::new([client])?;
///
/// // While it is in use:
/// let (new_secret, hash) = SecretHash::generate()?;
/// let client = Client::builder("svc").secret(SecretHash::of_chosen("svc-secret")?).secret(hash);
/// clients.set(client.build()?);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct InMemoryClients(Arc<RwLock<Clients>>);

#[derive(Default)]
struct Clients {
    by_id: HashMap<String, Arc<Client>>,
    slowest: Vec<SecretHash>,
}

impl InMemoryClients {
    /// A store of these clients.
    ///
    /// # Errors
    /// If two have the same id.
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Result<Self, ConfigError> {
        let mut known = Clients::default();
        for client in clients {
            let id = client.id.clone();
            if known.by_id.insert(id.clone(), Arc::new(client)).is_some() {
                return Err(ConfigError::new(format!(
                    "the client {id:?} is there twice: leave one out"
                )));
            }
        }
        known.find_slowest();
        Ok(Self(Arc::new(RwLock::new(known))))
    }

    /// Adds a client, or puts it in the place of the one with its id.
    pub fn set(&self, client: Client) {
        self.change(|clients| {
            clients.insert(client.id.clone(), Arc::new(client));
        });
    }

    /// Removes a client. It gets no tokens any more, nor do its refresh tokens.
    pub fn remove(&self, client_id: &str) {
        self.change(|clients| {
            clients.remove(client_id);
        });
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<String, Arc<Client>>)) {
        let mut clients = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut clients.by_id);
        clients.find_slowest();
    }
}

impl Clients {
    fn find_slowest(&mut self) {
        let clients = self.by_id.values().map(|client| client.slow_secrets());
        self.slowest = clients
            .max_by_key(|secrets| cost(secrets))
            .unwrap_or_default();
    }
}

impl ClientStore for InMemoryClients {
    fn find(&self, client_id: &str) -> BoxFuture<Result<Option<Arc<Client>>, StoreError>> {
        let clients = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Box::pin(ready(Ok(clients.by_id.get(client_id).cloned())))
    }

    fn slowest_secrets(&self) -> Option<Vec<SecretHash>> {
        let clients = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(clients.slowest.clone())
    }
}

impl fmt::Debug for InMemoryClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.0.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "InMemoryClients({} clients)", clients.by_id.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_memory_clients_know_their_slowest_secrets() {
        let slowest = |store: &InMemoryClients| cost(&store.slowest_secrets().unwrap());
        let chosen = SecretHash::of_chosen("svc-secret").unwrap();
        let (_, generated) = SecretHash::generate().unwrap();
        let client = |id: &str, secrets: &[&SecretHash]| {
            let client = Client::builder(id);
            let client = secrets
                .iter()
                .fold(client, |client, secret| client.secret((*secret).clone()));
            client.build().unwrap()
        };
        let clients = InMemoryClients::new([client("a", &[&generated])]).unwrap();
        assert_eq!(slowest(&clients), 0);
        clients.set(client("b", &[&chosen, &chosen]));
        clients.set(client("c", &[&chosen, &generated]));
        assert_eq!(slowest(&clients), 2 * chosen.cost());
        clients.remove("b");
        assert_eq!(slowest(&clients), chosen.cost());
    }
}
