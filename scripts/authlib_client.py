"""Authlib as a client of the axum example: gets a token, uses it, refreshes it, and revokes it, with no special
case for this server. Takes the URL of the issuer and that of a resource server."""
import sys

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

issuer, resource_server = sys.argv[1:3]
failures = 0


def check(name, ok, detail=""):
    global failures
    print("ok  " if ok else "FAIL", name, "" if ok else repr(detail))
    failures += not ok


metadata = requests.get(issuer + "/.well-known/oauth-authorization-server", timeout=30).json()
check("the metadata is of this issuer", metadata["issuer"] == issuer, metadata)
for method, client_id, secret in [("client_secret_basic", "svc", "svc-secret"),
                                  ("client_secret_post", "svc-post", "svc-post-secret")]:
    check(method + " is supported", method in metadata["token_endpoint_auth_methods_supported"], metadata)
    session = OAuth2Session(client_id, secret, token_endpoint_auth_method=method, scope="read",
                            revocation_endpoint_auth_method=method, token_endpoint=metadata["token_endpoint"])
    token = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    check("client credentials give a bearer token for the scope", token["token_type"] == "Bearer"
          and token["scope"] == "read" and "refresh_token" not in token, token.keys())
    answer = session.get(resource_server + "/jwt")
    check("the resource server accepts it", answer.status_code == 200
          and answer.json()["client_id"] == client_id, answer.text)

    first = requests.post(issuer + "/api/v2/auth/token", timeout=30, json={
        "grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}).json()
    second = session.refresh_token(metadata["token_endpoint"], refresh_token=first["refresh_token"])
    check("a refresh token is rotated", second["refresh_token"] != first["refresh_token"])
    check("the new access token is accepted", session.get(resource_server + "/jwt").status_code == 200)
    try:
        session.refresh_token(metadata["token_endpoint"], refresh_token=first["refresh_token"])
        check("a rotated token is refused", False)
    except OAuthError as error:
        check("a rotated token is refused with invalid_grant", error.error == "invalid_grant", error.error)

    third = requests.post(issuer + "/api/v2/auth/token", timeout=30, json={
        "grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}).json()
    answer = session.revoke_token(metadata["revocation_endpoint"], third["refresh_token"],
                                  token_type_hint="refresh_token")
    check("a token is revoked", answer.status_code == 200, answer.text)
    answer = requests.post(issuer + "/api/v2/auth/refresh", timeout=30,
                           json={"refresh_token": third["refresh_token"]})
    check("what was revoked is refused", answer.status_code == 401
          and answer.json()["detail"] == "Invalid or expired refresh token", answer.text)

session = OAuth2Session("svc", "wrong", token_endpoint_auth_method="client_secret_basic")
try:
    session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    check("a wrong secret is refused", False)
except OAuthError as error:
    check("a wrong secret is refused with invalid_client", error.error == "invalid_client", error.error)
sys.exit(failures > 0)
