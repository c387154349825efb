//! oauth-resource-server, with the key set fetched once from the loopback. It takes no HMAC.

use ::oauth_resource_server::{KeyNaming, OAuthConfig, OAuthValidator, http_layer::HttpAuthLayer};

use super::*;

pub async fn layer(tokens: &Tokens) -> Made {
    if tokens.algorithm().is_symmetric() {
        return Ok(None);
    }
    let config = OAuthConfig {
        enabled: true,
        issuer: ISSUER.into(),
        jwks_uri: Some(key_server(tokens).await?),
        audience: AUDIENCE.into(),
        resource: AUDIENCE.into(),
        algorithms: vec![tokens.algorithm().as_str().to_owned()],
        allow_unscoped_tokens: true,
        allow_insecure_http: true,
        ..OAuthConfig::default()
    };
    let config = config
        .resolve(KeyNaming::Dotted("oauth"))?
        .ok_or("not enabled")?;
    let validator = Arc::new(OAuthValidator::new(&config)?);
    validator.refresh_now().await?;
    let layer = HttpAuthLayer::builder().oauth(validator).build()?;
    Ok(Some(Box::new(layer.layer(inner()))))
}
