//! jsonwebtoken's `decode` under the least layer that can be: what users write by hand. And the same key and
//! validation behind tower-bearer.

use std::sync::Arc;

use ::jsonwebtoken::{DecodingKey, Validation, decode, jwk::Jwk};
use tower_bearer::jsonwebtoken::JsonWebTokenVerifier;

use super::*;

fn key_and_validation(tokens: &Tokens) -> Result<(DecodingKey, Validation), Box<dyn Error>> {
    let (key, algorithm) = match tokens.algorithm() {
        Algorithm::HS256 => (
            DecodingKey::from_secret(SECRET.as_bytes()),
            ::jsonwebtoken::Algorithm::HS256,
        ),
        other => {
            let jwk: Jwk = serde_json::from_value(tokens.jwk()?)?;
            let algorithm: ::jsonwebtoken::Algorithm = other.as_str().parse()?;
            (DecodingKey::from_jwk(&jwk)?, algorithm)
        }
    };
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    Ok((key, validation))
}

pub fn ours(tokens: &Tokens) -> Made {
    let (key, validation) = key_and_validation(tokens)?;
    let verifier = JsonWebTokenVerifier::<Profile>::builder(validation)
        .key(key)
        .build()?;
    Ok(Some(boxed(BearerAuthLayer::new(verifier).layer(inner()))))
}

pub fn layer(tokens: &Tokens) -> Made {
    let shared = Arc::new(key_and_validation(tokens)?);
    Ok(Some(Box::new(service_fn(
        move |mut request: Request<Body>| {
            let (key, validation) = &*shared;
            let token = request
                .headers()
                .get(AUTHORIZATION)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.strip_prefix("Bearer "));
            let claims = token.and_then(|token| decode::<Profile>(token, key, validation).ok());
            let mut response = Response::new(Body::empty());
            match claims {
                Some(claims) => {
                    request.extensions_mut().insert(Arc::new(claims.claims));
                }
                None => *response.status_mut() = StatusCode::UNAUTHORIZED,
            }
            drop(request);
            std::future::ready(Ok(response))
        },
    ))))
}
