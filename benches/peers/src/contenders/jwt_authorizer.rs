//! jwt-authorizer, with the key set as text.

use ::jwt_authorizer::{IntoLayer, JwtAuthorizer, Validation};

use super::*;

pub async fn layer(tokens: &Tokens) -> Made {
    let validation = Validation::new().iss(&[ISSUER]).aud(&[AUDIENCE]);
    let builder = match tokens.algorithm() {
        Algorithm::HS256 => JwtAuthorizer::<Profile>::from_secret(SECRET),
        _ => JwtAuthorizer::<Profile>::from_jwks_text(&tokens.issuer.public_key_set()),
    };
    let authorizer = builder.validation(validation).build().await?;
    // Its refusals have the body of axum 0.7, so the service behind it has too.
    let inner = service_fn(|_: Request<Body>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(
            axum_07::body::Body::empty(),
        )))
    });
    let service = authorizer.into_layer().layer(inner);
    Ok(Some(Box::new(tower::util::MapResponse::new(
        service,
        |response: Response<axum_07::body::Body>| response.map(|_| Body::empty()),
    ))))
}
