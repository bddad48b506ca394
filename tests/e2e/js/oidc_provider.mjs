// SPDX-License-Identifier: MIT
// A real OpenID provider for tests: npm's oidc-provider, with JWT access tokens (RFC 9068) signed
// by ES256 or RS256, whose keys can be changed while it serves.
// usage: node oidc_provider.mjs PORT       (0: any; the first line out is {"port": N})
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

import { open } from './issuer_desk.mjs';

const resource = (alg) => ({
  scope: 'book', audience: 'fairslot', accessTokenTTL: 600, accessTokenFormat: 'jwt',
  jwt: { sign: { alg } },
});
let keys = [], issuer, provider, number = 0;

async function newKey(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...await exportJWK(privateKey), alg, use: 'sig', kid: `key-${++number}` };
}

function build() {
  provider = new Provider(issuer, {
    clients: [{
      client_id: 'booking', token_endpoint_auth_method: 'none', redirect_uris: [`${issuer}/back`],
      application_type: 'native', id_token_signed_response_alg: 'ES256',
    }],
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
    claims: { openid: ['sub'] },
    extraTokenClaims: (ctx, token) => ({ acr: token.accountId.startsWith('ein-') ? 'gold' : 'tin' }),
    cookies: { keys: ['only for tests'] },
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (ctx, indicator) => resource(indicator.split(':').pop()),
      },
    },
  });
}

const publicKeys = () => ({ keys: keys.map(({ d, p, q, dp, dq, qi, ...rest }) => rest) });
const desk = await open(Number(process.argv[2] || 0), {
  handler: (req, res) => provider.callback()(req, res),
  keysPath: '/jwks',
  keys: publicKeys,
  commands: {
    // New keys before the old ones: the first of an algorithm signs.
    rotate: async ({ keep }) => {
      const fresh = [await newKey('ES256'), await newKey('RS256')];
      keys = keep ? [...fresh, ...keys] : fresh;
      build();
      return { kids: keys.map((key) => key.kid) };
    },
  },
});
console.log = console.warn = console.info = (...words) => console.error(...words);
issuer = desk.base;
keys = [await newKey('ES256'), await newKey('RS256')];
build();
desk.ready();
