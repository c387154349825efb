//! Who is measured, each set up as its documentation says: issuer and audience configured, keys at hand.

use std::{convert::Infallible, error::Error, future::Ready, sync::Arc};

use axum::body::Body;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{Layer, service_fn, util::ServiceFn};
use tower_bearer::{Algorithm, BearerAuthLayer, Cached, JwtVerifier};

use crate::{
    measure::Batch,
    tokens::{AUDIENCE, ISSUER, Profile, SECRET, Tokens},
};

mod axum_jwt_auth;
mod floor;
mod jsonwebtoken;
mod jwt_authorizer;
mod oauth_resource_server;
mod tower_jwt;
mod tower_oauth2_resource_server;

pub struct Contender {
    pub name: &'static str,
    pub service: Box<dyn Batch>,
    /// What nobody can be faster than; it judges nothing.
    pub floor: bool,
}

pub const CACHED: &str = "tower-bearer, cached";

type Made = Result<Option<Box<dyn Batch>>, Box<dyn Error>>;

/// All that can be set up for this algorithm.
pub async fn all(tokens: &Tokens) -> Result<Vec<Contender>, Box<dyn Error>> {
    let mut contenders = vec![
        Contender {
            name: "inner service",
            service: Box::new(inner()),
            floor: true,
        },
        Contender {
            name: "inner service and signature",
            service: floor::signature(tokens)?,
            floor: true,
        },
    ];
    let peers: [(&'static str, Made); 9] = [
        ("tower-bearer", ours(tokens)),
        (CACHED, ours_cached(tokens)),
        (
            "tower-bearer, by jsonwebtoken's types",
            jsonwebtoken::ours(tokens),
        ),
        ("jsonwebtoken, minimal layer", jsonwebtoken::layer(tokens)),
        ("tower-jwt", tower_jwt::layer(tokens)),
        ("jwt-authorizer", jwt_authorizer::layer(tokens).await),
        ("axum-jwt-auth", axum_jwt_auth::extractor(tokens)),
        (
            "tower-oauth2-resource-server",
            tower_oauth2_resource_server::layer(tokens).await,
        ),
        (
            "oauth-resource-server",
            oauth_resource_server::layer(tokens).await,
        ),
    ];
    for (name, made) in peers {
        if let Some(service) = made? {
            contenders.push(Contender {
                name,
                service,
                floor: false,
            });
        }
    }
    Ok(contenders)
}

type Inner = ServiceFn<fn(Request<Body>) -> Ready<Result<Response<Body>, Infallible>>>;

/// The service behind them all, the least that can answer.
fn inner() -> Inner {
    service_fn(|_| std::future::ready(Ok(Response::new(Body::empty()))))
}

fn verifier(tokens: &Tokens) -> Result<JwtVerifier<Profile>, tower_bearer::ConfigError> {
    JwtVerifier::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key(tokens.issuer.key()?)
        .build()
}

/// The response's body of tower-bearer is its own; here it is made that of the others.
fn boxed<S>(service: S) -> Box<dyn Batch>
where
    S: tower::Service<
            Request<Body>,
            Response = Response<tower_bearer::ResponseBody<Body>>,
            Error = Infallible,
        > + 'static,
{
    Box::new(tower::util::MapResponse::new(
        service,
        |response: Response<_>| response.map(|_| Body::empty()),
    ))
}

fn ours(tokens: &Tokens) -> Made {
    Ok(Some(boxed(
        BearerAuthLayer::new(verifier(tokens)?).layer(inner()),
    )))
}

fn ours_cached(tokens: &Tokens) -> Made {
    Ok(Some(boxed(
        BearerAuthLayer::new(Cached::new(verifier(tokens)?)).layer(inner()),
    )))
}

/// Serves the key set on the loopback, for those who must fetch it. It is up until the process ends.
async fn key_server(tokens: &Tokens) -> Result<String, Box<dyn Error>> {
    let keys = Arc::new(tokens.issuer.public_key_set());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/jwks", listener.local_addr()?);
    let app = axum::Router::new().route(
        "/jwks",
        axum::routing::get(move || {
            let keys = Arc::clone(&keys);
            async move { ([("content-type", "application/json")], keys.to_string()) }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}
