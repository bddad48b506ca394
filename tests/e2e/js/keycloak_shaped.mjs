// SPDX-License-Identifier: MIT
// An issuer in Keycloak's shape: a realm's URL, RS256, a key for encryption beside the one for
// signatures, azp, several audiences, roles in realm_access, and a claim of its own (pid) for who
// somebody is.  It signs whatever its starter asks for.
// usage: node keycloak_shaped.mjs PORT
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { randomUUID } from 'node:crypto';

import { open } from './issuer_desk.mjs';

const REALM = '/realms/city';
const sign = await generateKeyPair('RS256', { extractable: true });
const encrypt = await generateKeyPair('RSA-OAEP', { extractable: true });
const keys = { keys: [
  { ...await exportJWK(encrypt.publicKey), kid: 'enc-1', use: 'enc', alg: 'RSA-OAEP' },
  { ...await exportJWK(sign.publicKey), kid: 'Gq3w_7-sig', use: 'sig', alg: 'RS256', x5t: 'abc' },
] };
let base;

// An access token as Keycloak 26 writes it, `more` over it.
async function mint({ subject, pid, acr = '1', roles = [], more = {}, header = {} }) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    exp: now + 300, iat: now, auth_time: now - 5, jti: `onrtac:${randomUUID()}`,
    iss: `${base}${REALM}`, aud: ['fairslot', 'account'], sub: subject, typ: 'Bearer',
    azp: 'booking', sid: randomUUID(), acr, 'allowed-origins': ['https://booking.example.org'],
    realm_access: { roles: ['offline_access', 'uma_authorization', ...roles] },
    resource_access: { account: { roles: ['manage-account', 'view-profile'] } },
    scope: 'openid profile email', email_verified: true, name: 'Anna Ärgernis', pid,
    preferred_username: 'anna', given_name: 'Anna', family_name: 'Ärgernis',
    email: 'anna@example.org', ...more,
  };
  for (const name of Object.keys(claims)) if (claims[name] === null) delete claims[name];
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: 'Gq3w_7-sig', ...header })
    .sign(sign.privateKey);
  return { token };
}

function handler(req, res) {
  const path = req.url.split('?')[0];
  const documents = {
    [`${REALM}/protocol/openid-connect/certs`]: keys,
    [`${REALM}/.well-known/openid-configuration`]: {
      issuer: `${base}${REALM}`, jwks_uri: `${base}${REALM}/protocol/openid-connect/certs`,
      token_endpoint: `${base}${REALM}/protocol/openid-connect/token`,
      id_token_signing_alg_values_supported: ['RS256'],
    },
  };
  const document = documents[path];
  res.writeHead(document ? 200 : 404, {
    'content-type': 'application/json;charset=UTF-8', 'cache-control': 'no-cache' });
  res.end(JSON.stringify(document ?? { error: 'no such page' }));
}

const desk = await open(Number(process.argv[2] || 0), {
  handler, keysPath: `${REALM}/protocol/openid-connect/certs`, keys: () => keys,
  commands: { mint },
});
base = desk.base;
desk.ready();
