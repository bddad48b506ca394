/* SPDX-License-Identifier: MIT */
/* Tests: an issuer of one ES256 key; its key set goes to a file, its tokens to callers. */
#ifndef FAIRSLOT_TESTS_MINT_H
#define FAIRSLOT_TESTS_MINT_H

#include <cjose/cjose.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MINT_ISSUER   "https://issuer.test"
#define MINT_AUDIENCE "fairslot"

static cjose_jwk_t *mint_key;

/* Writes the public half to `path`. */
static inline int mint_init(const char *path)
{
    cjose_err err;
    mint_key = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &err);
    if (mint_key == NULL || !cjose_jwk_set_kid(mint_key, "k1", 2, &err)) {
        return -1;
    }
    char *json = cjose_jwk_to_json(mint_key, false, &err);
    FILE *f = fopen(path, "w");
    if (json == NULL || f == NULL) {
        return -1;
    }
    fprintf(f, "{\"keys\":[%s]}", json);
    fclose(f);
    free(json);
    return 0;
}

/* "Bearer TOKEN", to be freed.  role may be NULL; ttl_s may be negative. */
static inline char *mint_token(const char *subject, const char *role, int ttl_s)
{
    cjose_err err;
    char claims[512];
    long now = (long)time(NULL);
    snprintf(claims, sizeof claims,
             "{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"%s\",\"iat\":%ld,\"nbf\":%ld,\"exp\":%ld,"
             "\"assurance\":\"high\"%s%s%s}",
             MINT_ISSUER, MINT_AUDIENCE, subject, now - 4000, now - 4000, now + ttl_s,
             role ? ",\"roles\":[\"" : "", role ? role : "", role ? "\"]" : "");
    cjose_header_t *header = cjose_header_new(&err);
    cjose_header_set(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ES256, &err);
    cjose_header_set(header, CJOSE_HDR_KID, "k1", &err);
    cjose_jws_t *jws =
        cjose_jws_sign(mint_key, header, (const uint8_t *)claims, strlen(claims), &err);
    const char *compact = NULL;
    char *bearer = NULL;
    if (jws && cjose_jws_export(jws, &compact, &err)) {
        size_t n = strlen(compact) + 8;
        bearer = malloc(n);
        snprintf(bearer, n, "Bearer %s", compact);
    }
    cjose_jws_release(jws);
    cjose_header_release(header);
    return bearer;
}

static inline void mint_fini(void)
{
    cjose_jwk_release(mint_key);
}

#endif
