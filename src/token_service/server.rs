//! [`AuthorizationServer`]: what all endpoints share. How it is configured is in `builder`.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use http::request::Parts;

use super::{
    answer::Voice,
    builder::AuthorizationServerBuilder,
    client::{ReplayStore, authentication::Authenticator},
    endpoint::{Endpoint, TokenService},
    hooks::{ExtraClaimsAsyncFn, ExtraClaimsFn, MayRefreshFn},
    keys::{ServeKeySet, SigningKeys},
    limit::RequestLimit,
    metadata::ServeMetadata,
    observe::{self, ObserverFn},
    refresh::{FamiliesOf, RefreshStore},
    unsettled::Unsettled,
};
use crate::{clock::Clock, revocation::Revocation, store::StoreError};

/// Issues what the rest of the crate verifies: access tokens of RFC 9068 for clients that authenticate, and refresh
/// tokens that are rotated.
///
/// It is not itself a service; its endpoints are, each a [`TokenService`] to be put where it belongs:
///
/// ```
/// use axum::Router;
/// use tower_bearer::{
///     Algorithm,
///     token_service::{AuthorizationServer, Client, InMemoryClients, SecretHash, SigningKey, SigningKeys},
/// };
///
/// // From where secrets are kept. A key that is made at each start is lost with the process, and all tokens with it.
/// # let pem = include_str!("../../tests/support/keys/p256.pem");
/// let key = SigningKey::from_pem(Algorithm::ES256, pem)?;
/// let (secret, hash) = SecretHash::generate()?;
/// let clients = InMemoryClients::new([
///     Client::builder("svc").secret(hash).scope("read write").build()?,
/// ])?;
/// let server = AuthorizationServer::builder()
///     .issuer("https://login.example.com")
///     .audience("https://api.example.com")
///     .signing_keys(SigningKeys::new(key))
///     .clients(clients)
///     // From axum's `into_make_service_with_connect_info::<SocketAddr>()`.
///     .peer(|request| {
///         let axum::extract::ConnectInfo(address): &axum::extract::ConnectInfo<std::net::SocketAddr> =
///             request.extensions.get()?;
///         Some(address.ip())
///     })
///     .build()?;
///
/// let app: Router = Router::new()
///     .route_service("/api/v2/auth/token", server.token_endpoint())
///     .route_service("/api/v2/auth/refresh", server.refresh_endpoint())
///     .route_service("/oauth/token", server.oauth_endpoint())
///     .route_service("/.well-known/jwks.json", server.key_set());
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// # What is refused
/// | what went wrong | answer |
/// |---|---|
/// | the client is unknown, or its secret wrong | 401 `invalid_client`, `Invalid client credentials`: the same for both, after the same number of hashes |
/// | a refresh token is unknown, expired, rotated already, or another client's | 401 `invalid_grant`, `Invalid or expired refresh token`: the same for all; 400 where RFC 6749 is kept to |
/// | a parameter is missing or repeated, a grant type or scope unknown, two ways to authenticate | 400, with the `error` of RFC 6749 §5.2 |
/// | another method, media type, a body over 16 KiB or too slow | 405, 415, 413, 408 |
/// | too many failed authentications | 429 with `Retry-After` |
/// | a store, or the signer of access tokens, cannot be reached | 503 with `Retry-After`; a refresh token is good as before, unless its rotation was under way |
///
/// All of them are problems of RFC 9457 with `error` and `error_description` as further members, so that both
/// readers of problems and OAuth clients find what they look for. They have the media type
/// `application/problem+json`, or `application/json` where the request accepts that alone, and always where RFC 6749
/// is kept to.
#[derive(Clone)]
pub struct AuthorizationServer(pub(super) Arc<Server>);

impl AuthorizationServer {
    /// Begins a server. It needs an issuer, an audience, keys, clients, and to know who its peers are.
    pub fn builder() -> AuthorizationServerBuilder {
        AuthorizationServerBuilder::new()
    }

    /// The endpoint where clients get their first tokens: `grant_type=client_credentials`, with `client_id`,
    /// `client_secret`, and perhaps `scope` and `resource` (RFC 8707), in a form or in JSON. HTTP Basic will do as
    /// well. It answers with an access token and a refresh token.
    pub fn token_endpoint(&self) -> TokenService {
        TokenService::new(&self.0, Endpoint::Token)
    }

    /// The endpoint where a `refresh_token` is exchanged for new tokens, in a form or in JSON. The one sent stops
    /// working at once. The client need not authenticate; if it does, it must be the one that the token is of.
    pub fn refresh_endpoint(&self) -> TokenService {
        let endpoint = Endpoint::Refresh {
            status_of_rfc: false,
            must_authenticate: false,
        };
        TokenService::new(&self.0, endpoint)
    }

    /// The token endpoint of RFC 6749 to the letter, for both grants: forms alone, clients always authenticate,
    /// every answer is `application/json`, a bad refresh token 400 `invalid_grant`, and client credentials give no
    /// refresh token (§4.4.3).
    pub fn oauth_endpoint(&self) -> TokenService {
        TokenService::new(&self.0, Endpoint::OAuth)
    }

    /// The revocation endpoint of RFC 7009: a client ends the family of one of its refresh tokens, or, where there is
    /// a [`Revocation`], one of its access tokens. A token that is unknown, or no longer good, is answered 200 too.
    pub fn revocation_endpoint(&self) -> TokenService {
        TokenService::new(&self.0, Endpoint::Revocation)
    }

    /// The introspection endpoint of RFC 7662: tells a client whether a token of this server is good, and what it is
    /// for.
    ///
    /// The client authenticates, by a secret or a key. It learns about its own tokens, and with
    /// [`may_introspect`](super::ClientBuilder::may_introspect) about the access tokens of all clients. To everything
    /// else the answer is `{"active":false}`: to what is unknown, expired or revoked, to refresh tokens that have been
    /// used, and to what the client may not know. A client may ask
    /// [6000 times a minute](super::AuthorizationServerBuilder::introspection_limit).
    ///
    /// Services that verify JWTs by themselves, with a [`RevocationList`](crate::RevocationList), need no such request
    /// for each of their own.
    pub fn introspection_endpoint(&self) -> TokenService {
        TokenService::new(&self.0, Endpoint::Introspection)
    }

    /// Publishes the keys.
    pub fn key_set(&self) -> ServeKeySet {
        ServeKeySet::new(self.0.keys.clone())
    }

    /// Publishes what clients can know of this server (RFC 8414), once it is told where its endpoints are.
    pub fn metadata(&self) -> ServeMetadata {
        ServeMetadata::new(&self.0.settings.issuer)
    }

    /// Logs a user out: ends the family of a refresh token, and revokes the access tokens that it has issued, where
    /// there is a [`Revocation`]. Returns whether there was such a family. A token that has been used before ends its
    /// family as well; a made-up one ends none.
    ///
    /// ```
    /// # async fn logout(
    /// #     server: tower_bearer::token_service::AuthorizationServer,
    /// #     refresh_token: String,
    /// # ) -> Result<(), tower_bearer::StoreError> {
    /// let was_logged_in = server.end(&refresh_token).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if a store cannot be reached. Call it again then.
    pub async fn end(&self, refresh_token: &str) -> Result<bool, StoreError> {
        let server = &self.0;
        match server.family_of(refresh_token).await? {
            Some(family) => {
                let ended = server.end_family(&family).await?;
                if ended {
                    observe::ended(server, &family, "ended");
                }
                Ok(ended)
            }
            None => Ok(false),
        }
    }

    /// Ends all families of refresh tokens of a client, and returns how many there were. The access tokens that they
    /// have issued are revoked, where there is a [`Revocation`]. Those that the client got without a refresh token are
    /// good until they expire, or until [`Revocation::revoke_client`].
    ///
    /// # Errors
    /// Returns an error if a store cannot be reached; some may have ended then. Call it again.
    pub async fn end_families(&self, client_id: &str) -> Result<usize, StoreError> {
        self.end_all(FamiliesOf::Client(client_id.to_owned())).await
    }

    /// Logs a user out of one client: ends the families of a subject by that client. Otherwise it is like
    /// [`end_families`](Self::end_families).
    ///
    /// # Errors
    /// Returns an error if a store cannot be reached; some may have ended then. Call it again.
    pub async fn end_families_of(
        &self,
        client_id: &str,
        subject: &str,
    ) -> Result<usize, StoreError> {
        let (client_id, subject) = (client_id.to_owned(), subject.to_owned());
        self.end_all(FamiliesOf::ClientAndSubject { client_id, subject })
            .await
    }

    /// Logs a user out everywhere: ends all families of a subject, whatever the client. Otherwise it is like
    /// [`end_families`](Self::end_families).
    ///
    /// # Errors
    /// Returns an error if a store cannot be reached; some may have ended then. Call it again.
    pub async fn end_families_of_subject(&self, subject: &str) -> Result<usize, StoreError> {
        self.end_all(FamiliesOf::Subject(subject.to_owned())).await
    }

    /// Takes all access from a user: revokes all access tokens of the subject that were issued up to now, whatever the
    /// client, where there is a [`Revocation`], and ends all its families of refresh tokens. Returns how many there were.
    /// Tokens that are issued afterwards are good.
    ///
    /// # Errors
    /// Returns an error if a store cannot be reached. Call it again then.
    pub async fn revoke_subject(&self, subject: &str) -> Result<usize, StoreError> {
        if let Some(revocation) = &self.0.revocation {
            let revoked = revocation.revoke_subject(subject, self.0.clock.now());
            self.0.in_time(revoked).await?;
        }
        self.end_families_of_subject(subject).await
    }

    /// Takes all access from a client, such as one whose secret was stolen: revokes all access tokens that were issued to
    /// it up to now, where there is a [`Revocation`], and ends all its families of refresh tokens. Returns how many
    /// there were. Tokens that it gets afterwards, by a new secret, are good; services answer the former ones 401, with
    /// the problem type `token-revoked`.
    ///
    /// # Errors
    /// Returns an error if a store cannot be reached. Call it again then.
    pub async fn revoke_client(&self, client_id: &str) -> Result<usize, StoreError> {
        if let Some(revocation) = &self.0.revocation {
            let revoked = revocation.revoke_client(client_id, self.0.clock.now());
            self.0.in_time(revoked).await?;
        }
        self.end_families(client_id).await
    }

    async fn end_all(&self, of: FamiliesOf) -> Result<usize, StoreError> {
        self.0.end_all(&of).await
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthorizationServer").field(&self.0).finish()
    }
}

/// What the endpoints share.
pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) keys: SigningKeys,
    pub(super) clients: Authenticator,
    pub(super) refresh_tokens: Arc<dyn RefreshStore>,
    pub(super) unsettled: Unsettled,
    pub(super) revocation: Option<Arc<dyn Revocation>>,
    pub(super) voice: Voice,
    pub(super) peer: Arc<PeerFn>,
    pub(super) extra_claims: Option<Arc<ExtraClaimsFn>>,
    pub(super) extra_claims_async: Option<Arc<ExtraClaimsAsyncFn>>,
    pub(super) may_refresh: Option<Arc<MayRefreshFn>>,
    pub(super) observer: Option<Arc<ObserverFn>>,
    /// Whom the assertions of clients may be for.
    pub(super) assertion_audiences: Vec<String>,
    pub(super) assertions: Arc<dyn ReplayStore>,
    pub(super) introspections: RequestLimit,
    pub(super) clock: Arc<dyn Clock>,
}

pub(super) type PeerFn = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

/// What of it is configured by numbers and names.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) access_token_lifetime: Duration,
    pub(super) refresh_token_idle_lifetime: Duration,
    pub(super) refresh_token_lifetime: Duration,
    pub(super) grace: Duration,
    pub(super) body_timeout: Duration,
    pub(super) store_timeout: Duration,
    pub(super) client_ids_as_subjects: bool,
    pub(super) revoke_at_rotation: bool,
}

impl Server {
    /// What a store says, within the time that it has.
    pub(super) async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.settings.store_timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new("a store did not answer in time")),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("settings", &self.settings)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
