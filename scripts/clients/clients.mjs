// simple-oauth2, and the MCP SDK for TypeScript, as clients of the axum example. Takes the URL of the issuer.
import { AuthorizationCode, ClientCredentials } from 'simple-oauth2';
import { discoverAuthorizationServerMetadata } from '@modelcontextprotocol/sdk/client/auth.js';

const issuer = process.argv[2];
let failures = 0;
const check = (name, ok, detail = '') => {
  console.log(ok ? 'ok  ' : 'FAIL', name, ok ? '' : JSON.stringify(detail));
  failures += !ok;
};

for (const [id, secret, authorizationMethod] of [
  ['svc', 'svc-secret', 'header'],
  ['svc-post', 'svc-post-secret', 'body'],
]) {
  const config = {
    client: { id, secret },
    auth: { tokenHost: issuer, tokenPath: '/oauth/token', revokePath: '/oauth/revoke' },
    options: { authorizationMethod },
  };
  const name = `simple-oauth2, ${authorizationMethod}:`;
  const access = await new ClientCredentials(config).getToken({ scope: 'read' });
  check(`${name} client credentials`, access.token.token_type === 'Bearer' && access.token.scope === 'read',
    Object.keys(access.token));
  // An answer without content is read as JSON.
  await access.revoke('access_token');
  check(`${name} an access token is revoked`, true);
  const first = await (await fetch(issuer + '/api/v2/auth/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ grant_type: 'client_credentials', client_id: id, client_secret: secret }),
  })).json();
  const token = new AuthorizationCode(config).createToken(first);
  const second = await token.refresh();
  check(`${name} a refresh token is rotated`, second.token.refresh_token !== first.refresh_token);
  await second.revokeAll();
  try {
    await second.refresh();
    check(`${name} what was revoked is refused`, false);
  } catch (error) {
    check(`${name} what was revoked is refused`, error.data?.payload?.error === 'invalid_grant', error.data?.payload);
  }
}

const metadata = await discoverAuthorizationServerMetadata(issuer);
check('the MCP SDK for TypeScript reads the metadata',
  metadata?.issuer === issuer && metadata.token_endpoint === issuer + '/oauth/token', metadata);
process.exit(failures > 0 ? 1 : 0);
