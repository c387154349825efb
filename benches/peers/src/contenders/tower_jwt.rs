//! tower-jwt. It lets a request without a token through, and leaves the refusal to the handler.

use ::tower_jwt::{DecodingKey, JwtLayer, Validation};

use super::*;

pub fn layer(tokens: &Tokens) -> Made {
    let jwk = tokens.jwk()?;
    let text = |name: &str| jwk[name].as_str().unwrap_or_default();
    let (key, algorithm) = match tokens.algorithm() {
        Algorithm::HS256 => (DecodingKey::from_secret(SECRET.as_bytes()), "HS256"),
        Algorithm::RS256 => (
            DecodingKey::from_rsa_components(text("n"), text("e"))?,
            "RS256",
        ),
        Algorithm::ES256 => (
            DecodingKey::from_ec_components(text("x"), text("y"))?,
            "ES256",
        ),
        _ => (DecodingKey::from_ed_components(text("x"))?, "EdDSA"),
    };
    let mut validation = Validation::new(algorithm.parse()?);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    Ok(Some(Box::new(
        JwtLayer::<Profile>::new(validation, key).layer(inner()),
    )))
}
