//! tower-oauth2-resource-server, with the key set as text. It takes no HMAC.

use ::tower_oauth2_resource_server::{
    server::OAuth2ResourceServer, tenant::TenantConfiguration, validation::ClaimsValidationSpec,
};

use super::*;

pub async fn layer(tokens: &Tokens) -> Made {
    if tokens.algorithm().is_symmetric() {
        return Ok(None);
    }
    let audiences = vec![AUDIENCE.to_owned()];
    let tenant = TenantConfiguration::static_builder(tokens.issuer.public_key_set())
        .audiences(&audiences)
        .claims_validation(
            ClaimsValidationSpec::new()
                .iss(ISSUER)
                .exp(true)
                .aud(&audiences),
        )
        .allowed_algorithms(&[tokens.algorithm().as_str().parse()?])
        .build()?;
    let server = OAuth2ResourceServer::<Profile>::builder()
        .add_tenant(tenant)
        .build()
        .await?;
    Ok(Some(Box::new(server.into_layer().layer(inner()))))
}
