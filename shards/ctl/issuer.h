/* SPDX-License-Identifier: MIT */
/* The development issuer: keys in a data directory, tokens signed with them.  For `serve --dev`,
 * `fairslot token` and the load tests; a city uses its own OIDC issuer.
 *   DIR/issuer/jwks.json     public keys, ES256 and RS256 (what the gateway reads)
 *   DIR/issuer/es256.jwk, DIR/issuer/rs256.jwk  private keys, mode 0600
 *   DIR/tenant.key           keys the pseudonyms (ctl/tenant.h)
 *   DIR/operator.token       a token with the operator role, mode 0600 */
#ifndef FAIRSLOT_CTL_ISSUER_H
#define FAIRSLOT_CTL_ISSUER_H

#include "base/types.h"

#define ISSUER_NAME     "https://issuer.fairslot.localhost"
#define ISSUER_AUDIENCE "fairslot"

struct issuer;

#define ISSUER_TEXT 256 /* bytes of every ret_text */

/* Makes whatever is missing (directory, keys, tenant key), keeps what is there; safe when two
 * processes do it at once.  0, ISSUER_E_TENANT (the tenant key was lost) or < 0, with `ret_text`
 * (256 bytes) set on failure. */
enum { ISSUER_E_TENANT = 1 };
int issuer_init_dir(const char *dir, char *ret_text);
/* Opens the private keys of a directory made by issuer_init_dir(). */
int issuer_open(const char *dir, struct issuer **ret_issuer, char *ret_text);
void issuer_close(struct issuer *i);

struct issuer_claims {
    const char *subject;
    const char *assurance; /* "low", "substantial", "high" */
    const char *role;      /* "operator" or NULL */
    int64_t ttl_s;
    bool rs256; /* else ES256 */
};
/* A compact JWS, terminated, to be freed with free().  0 or < 0.
 * Claims: iss, aud, sub, iat, nbf, exp, assurance, and roles ["operator"] when there is a role. */
int issuer_mint(struct issuer *i, const struct issuer_claims *claims, char **ret_token);

/* Makes DIR/operator.token when it is missing, was signed with other keys, or has less than a
 * tenth of its 30 days left; keeps it otherwise.  0 or < 0, as issuer_init_dir(). */
int issuer_refresh_operator_token(struct issuer *i, const char *dir, char *ret_text);

#endif
