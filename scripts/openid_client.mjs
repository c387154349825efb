// openid-client as a client of the axum example: finds it by discovery, gets a token, uses it, refreshes it, and
// revokes it. Takes the URL of the issuer, that of a resource server, and a file to leave a token in.
import { writeFileSync } from 'node:fs';
import * as client from 'openid-client';

const [issuer, resourceServer, file] = process.argv.slice(2);
let failures = 0;
const check = (name, ok, detail = '') => {
  console.log(ok ? 'ok  ' : 'FAIL', name, ok ? '' : JSON.stringify(detail));
  failures += !ok;
};
const refused = async (name, promise, error) => {
  try {
    await promise;
    check(name, false);
  } catch (thrown) {
    // Where the answer has a challenge, the client tells of that alone.
    const told = thrown.error ?? thrown.cause?.[0]?.scheme ?? String(thrown);
    check(name, told === error, told);
  }
};
const discover = (id, secret, method) =>
  client.discovery(new URL(issuer), id, undefined, method(secret),
    { algorithm: 'oauth2', execute: [client.allowInsecureRequests] });
const call = (config, token) =>
  client.fetchProtectedResource(config, token, new URL(resourceServer + '/jwt'), 'GET', undefined, undefined,
    { [client.customFetch]: fetch });

for (const [id, secret, method] of [
  ['svc', 'svc-secret', client.ClientSecretBasic],
  ['svc-post', 'svc-post-secret', client.ClientSecretPost],
]) {
  const config = await discover(id, secret, method);
  const tokens = await client.clientCredentialsGrant(config, { scope: 'read', resource: 'https://api.example.com' });
  check('client credentials', tokens.token_type === 'bearer' && tokens.scope === 'read' && !tokens.refresh_token,
    Object.keys(tokens));
  writeFileSync(file, tokens.access_token);
  let answer = await call(config, tokens.access_token);
  check('the resource server accepts it', answer.status === 200 && (await answer.json()).client_id === id);

  const more = async () => (await (await fetch(issuer + '/api/v2/auth/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ grant_type: 'client_credentials', client_id: id, client_secret: secret }),
  })).json()).refresh_token;
  const first = await more();
  const second = await client.refreshTokenGrant(config, first);
  check('a refresh token is rotated', second.refresh_token && second.refresh_token !== first);
  answer = await call(config, second.access_token);
  check('the new access token is accepted', answer.status === 200);
  await refused('a rotated token is refused', client.refreshTokenGrant(config, first), 'invalid_grant');

  const third = await more();
  await client.tokenRevocation(config, third);
  await refused('what was revoked is refused', client.refreshTokenGrant(config, third), 'invalid_grant');
}
const wrong = await discover('svc', 'wrong', client.ClientSecretBasic);
await refused('a wrong secret is refused, with a challenge for Basic', client.clientCredentialsGrant(wrong), 'basic');
process.exit(failures > 0 ? 1 : 0);
