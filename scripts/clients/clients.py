"""requests-oauthlib with both client authentications, and the MCP SDK for Python, as clients of the axum example.
Takes the URL of the issuer."""
import os
import sys

import requests
from mcp.shared.auth import OAuthMetadata
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
issuer = sys.argv[1]
failures = 0


def check(name, ok, detail=""):
    global failures
    print("ok  " if ok else "FAIL", name, "" if ok else detail)
    failures += not ok


for client_id, secret, in_header in [("svc", "svc-secret", True), ("svc-post", "svc-post-secret", False)]:
    name = f"requests-oauthlib, {'header' if in_header else 'body'}:"
    session = OAuth2Session(client=BackendApplicationClient(client_id=client_id, scope="read"))
    auth = HTTPBasicAuth(client_id, secret) if in_header else None
    body = {} if in_header else {"client_id": client_id, "client_secret": secret}
    token = session.fetch_token(issuer + "/oauth/token", auth=auth, include_client_id=None if in_header else True,
                                client_secret=None if in_header else secret)
    check(f"{name} client credentials", token["token_type"] == "Bearer" and token["scope"] == ["read"], token)
    first = requests.post(issuer + "/api/v2/auth/token", json={
        "grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}).json()
    second = session.refresh_token(issuer + "/oauth/token", refresh_token=first["refresh_token"], auth=auth, **body)
    check(f"{name} a refresh token is rotated", second["refresh_token"] != first["refresh_token"])
    answer = requests.post(issuer + "/oauth/revoke", auth=auth, data={"token": second["refresh_token"], **body})
    check(f"{name} it is revoked", answer.status_code == 200, answer.text)
    try:
        session.refresh_token(issuer + "/oauth/token", refresh_token=second["refresh_token"], auth=auth, **body)
        check(f"{name} what was revoked is refused", False)
    except InvalidGrantError:
        check(f"{name} what was revoked is refused", True)

document = requests.get(issuer + "/.well-known/oauth-authorization-server").text
metadata = OAuthMetadata.model_validate_json(document)
check("the MCP SDK for Python reads the metadata", str(metadata.token_endpoint) == issuer + "/oauth/token", metadata)
sys.exit(1 if failures else 0)
