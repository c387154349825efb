//! [`ServeMetadata`]: what clients can know of the authorization server.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tower_service::Service;

use super::{client::assertion::ALGORITHMS, document::Document};
use crate::{body::ResponseBody, error::ConfigError, url};

/// Publishes the metadata of the authorization server (RFC 8414), for everybody: a service for
/// `/.well-known/oauth-authorization-server`, followed by the path of the issuer if it has one. Made by
/// [`AuthorizationServer::metadata`](super::AuthorizationServer::metadata).
///
/// The addresses in it are those that it was given, never those of a request.
#[derive(Clone)]
pub struct ServeMetadata {
    members: Arc<Map<String, Value>>,
    max_age: Duration,
}

impl ServeMetadata {
    pub(super) fn new(issuer: &str) -> Self {
        let mut members = Map::new();
        members.insert("issuer".into(), issuer.into());
        Self {
            members: Arc::new(members),
            max_age: Duration::from_secs(3600),
        }
    }

    /// Sets a member, or leaves it out if it has no elements (RFC 8414 §3.2).
    fn with(mut self, name: &str, value: Value) -> Self {
        let members = Arc::make_mut(&mut self.members);
        if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
            members.remove(name);
        } else {
            members.insert(name.to_owned(), value);
        }
        self
    }

    /// Sets any further member (RFC 8414 §2, or the registry of §7.1.2), in place of one of the same name. A value
    /// without elements removes the member (§3.2).
    ///
    /// Some clients require members that this server has no use for, because its users log in elsewhere: the SDKs of
    /// the Model Context Protocol and Authlib want `authorization_endpoint` and `response_types_supported`.
    ///
    /// ```
    /// # use tower_bearer::token_service::{AuthorizationServer, ServeMetadata};
    /// # fn of(server: &AuthorizationServer) -> Result<ServeMetadata, tower_bearer::ConfigError> {
    /// server
    ///     .metadata()
    ///     .token_endpoint("https://login.example.com/oauth/token")?
    ///     .member("authorization_endpoint", "https://login.example.com/authorize")?
    ///     .member("response_types_supported", ["code"])?
    ///     .member("code_challenge_methods_supported", ["S256"])
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the name is `issuer`, which the server sets itself, or JSON cannot hold the value.
    pub fn member(self, name: &str, value: impl Serialize) -> Result<Self, ConfigError> {
        if name == "issuer" {
            return Err(ConfigError::new(
                "the metadata has the `issuer` of the server: set it by `AuthorizationServerBuilder::issuer`",
            ));
        }
        let value = serde_json::to_value(value).map_err(|error| {
            ConfigError::new(format!(
                "the member {name:?} of the metadata is no JSON: {error}"
            ))
        })?;
        Ok(self.with(name, value))
    }

    fn with_url(self, name: &str, url: &str) -> Result<Self, ConfigError> {
        absolute(url)?;
        Ok(self.with(name, url.into()))
    }

    /// Says where the endpoint of RFC 6749 is, `token_endpoint`: for client credentials and refresh tokens.
    ///
    /// # Errors
    /// If it is no absolute URL.
    pub fn token_endpoint(self, url: &str) -> Result<Self, ConfigError> {
        self.with(
            "grant_types_supported",
            json!(["client_credentials", "refresh_token"]),
        )
        .with_auth_methods("token_endpoint", true)
        .with_url("token_endpoint", url)
    }

    /// Says where the keys are, `jwks_uri`.
    ///
    /// # Errors
    /// If it is no absolute URL.
    pub fn jwks_uri(self, url: &str) -> Result<Self, ConfigError> {
        self.with_url("jwks_uri", url)
    }

    /// Says where tokens are revoked, `revocation_endpoint` (RFC 7009).
    ///
    /// # Errors
    /// If it is no absolute URL.
    pub fn revocation_endpoint(self, url: &str) -> Result<Self, ConfigError> {
        self.with_auth_methods("revocation_endpoint", true)
            .with_url("revocation_endpoint", url)
    }

    /// Says where tokens are introspected, `introspection_endpoint` (RFC 7662).
    ///
    /// # Errors
    /// If it is no absolute URL.
    pub fn introspection_endpoint(self, url: &str) -> Result<Self, ConfigError> {
        self.with_auth_methods("introspection_endpoint", false)
            .with_url("introspection_endpoint", url)
    }

    /// How clients authenticate at an endpoint, by the names of the registry (RFC 7591 §2, RFC 8414 §7.1.2). `none`
    /// stands for public clients.
    fn with_auth_methods(self, endpoint: &str, public_clients: bool) -> Self {
        let mut methods = vec![
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        ];
        if public_clients {
            methods.push("none");
        }
        let algorithms: Vec<_> = ALGORITHMS
            .iter()
            .map(|algorithm| algorithm.as_str())
            .collect();
        self.with(
            &format!("{endpoint}_auth_methods_supported"),
            json!(methods),
        )
        .with(
            &format!("{endpoint}_auth_signing_alg_values_supported"),
            json!(algorithms),
        )
    }

    /// Says which scopes there are, `scopes_supported`.
    #[must_use]
    pub fn scopes<'a>(self, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let scopes: Vec<&str> = scopes.into_iter().collect();
        self.with("scopes_supported", json!(scopes))
    }

    /// Says where people read about it, `service_documentation`.
    ///
    /// # Errors
    /// If it is no absolute URL.
    pub fn service_documentation(self, url: &str) -> Result<Self, ConfigError> {
        self.with_url("service_documentation", url)
    }

    /// Sets for how long an answer may be kept (`Cache-Control: max-age`), in whole seconds. The default is an hour.
    #[must_use]
    pub fn max_age(mut self, time: Duration) -> Self {
        self.max_age = time;
        self
    }
}

/// Whether it is an absolute URL of http or https, without a fragment.
pub(super) fn absolute(address: &str) -> Result<(), ConfigError> {
    url::web(address).map(drop).map_err(|wrong| {
        ConfigError::new(format!(
            "the URL `{}` {wrong}; it must be an absolute URL, such as \
             https://login.example.com/oauth/token",
            url::shown(address)
        ))
    })
}

impl<B> Service<Request<B>> for ServeMetadata {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<ResponseBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let document = Document {
            media_type: "application/json",
            max_age: self.max_age,
            json: json!(*self.members).to_string(),
        };
        ready(Ok(document.answer(&request.into_parts().0)))
    }
}

impl fmt::Debug for ServeMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServeMetadata").field(&self.members).finish()
    }
}
