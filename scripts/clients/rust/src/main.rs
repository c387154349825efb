//! The crate oauth2 as a client of the axum example, with both client authentications. Takes the URL of the issuer.

use std::error::Error;

use oauth2::{
    AuthType, ClientId, ClientSecret, RefreshToken, RequestTokenError, RevocationUrl, Scope,
    StandardRevocableToken, TokenResponse, TokenUrl, basic::BasicClient,
};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let issuer = std::env::args()
        .nth(1)
        .ok_or("the URL of the issuer is missing")?;
    let http = ureq::AgentBuilder::new().redirects(0).build();
    for (id, secret, style) in [
        ("svc", "svc-secret", AuthType::BasicAuth),
        ("svc-post", "svc-post-secret", AuthType::RequestBody),
    ] {
        let name = format!("oauth2, {style:?}:");
        let client = BasicClient::new(ClientId::new(id.to_owned()))
            .set_client_secret(ClientSecret::new(secret.to_owned()))
            .set_auth_type(style)
            .set_token_uri(TokenUrl::new(format!("{issuer}/oauth/token"))?)
            .set_revocation_url(RevocationUrl::new(format!("{issuer}/oauth/revoke"))?);
        let scope = Scope::new("read".to_owned());
        let token = client
            .exchange_client_credentials()
            .add_scope(scope)
            .request(&http)?;
        assert_eq!(
            token.scopes().map(|scopes| scopes[0].as_str()),
            Some("read")
        );
        println!("ok   {name} client credentials");

        let first: Value = ureq::post(&format!("{issuer}/api/v2/auth/token"))
            .send_json(json!({
                "grant_type": "client_credentials",
                "client_id": id,
                "client_secret": secret,
            }))?
            .into_json()?;
        let first = RefreshToken::new(first["refresh_token"].as_str().ok_or("none")?.to_owned());
        let second = client.exchange_refresh_token(&first).request(&http)?;
        let second = second.refresh_token().ok_or("no successor")?.clone();
        assert_ne!(second.secret(), first.secret());
        println!("ok   {name} a refresh token is rotated");

        // It speaks to no revocation endpoint without TLS.
        let revoked = client.revoke_token(StandardRevocableToken::RefreshToken(second.clone()));
        match revoked {
            Ok(request) => request.request(&http)?,
            Err(error) => {
                println!("     {name} {error}");
                ureq::post(&format!("{issuer}/oauth/revoke")).send_form(&[
                    ("token", second.secret()),
                    ("client_id", id),
                    ("client_secret", secret),
                ])?;
            }
        }
        // By this HTTP client a status of 400 is an error before its body is read.
        match client.exchange_refresh_token(&second).request(&http) {
            Err(RequestTokenError::ServerResponse(answer)) => {
                assert_eq!(answer.error().as_ref(), "invalid_grant");
            }
            Err(RequestTokenError::Request(error)) if format!("{error:?}").contains("400") => {}
            other => return Err(format!("{other:?}").into()),
        }
        println!("ok   {name} what was revoked is refused");
    }
    Ok(())
}
