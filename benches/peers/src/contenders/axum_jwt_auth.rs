//! axum-jwt-auth, which is an extractor: in the least service that calls it.

use ::axum_jwt_auth::{Claims, Decoder, LocalDecoder};
use axum::{extract::FromRequestParts, response::IntoResponse};
use jsonwebtoken_10::{DecodingKey, Validation, jwk::Jwk};

use super::*;

pub fn extractor(tokens: &Tokens) -> Made {
    let (key, algorithm) = match tokens.algorithm() {
        Algorithm::HS256 => (DecodingKey::from_secret(SECRET.as_bytes()), "HS256"),
        other => {
            let jwk: Jwk = serde_json::from_value(tokens.jwk()?)?;
            (DecodingKey::from_jwk(&jwk)?, other.as_str())
        }
    };
    let mut validation = Validation::new(algorithm.parse()?);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    let decoder = LocalDecoder::builder()
        .keys(vec![key])
        .validation(validation)
        .build()?;
    let decoder: Decoder<Profile> = Arc::new(decoder);
    Ok(Some(Box::new(service_fn(move |request: Request<Body>| {
        let decoder = Arc::clone(&decoder);
        async move {
            let (mut parts, _) = request.into_parts();
            Ok(
                match Claims::<Profile>::from_request_parts(&mut parts, &decoder).await {
                    Ok(claims) => {
                        drop(claims);
                        Response::new(Body::empty())
                    }
                    Err(refused) => refused.into_response(),
                },
            )
        }
    }))))
}
