/* SPDX-License-Identifier: MIT */
/* The development issuer: what a city's OIDC provider is to the real system.
 *
 *   issuer_init_dir   DIR/tenant.key (tenant.h) -> DIR/issuer/{es256,rs256}.jwk (made once, 0600)
 *                     -> DIR/issuer/jwks.json
 *   issuer_open       both private keys in memory
 *   issuer_mint       claims -> compact JWS, header {alg, typ, kid}
 *
 * Owns the private keys between open and close.  Happy path: the directory is there, two small
 * reads, one signature a token.  Fails with -errno and a sentence that names the file.
 * Invariants: a private key file is written once and never replaced (keyfile_create), so tokens
 * outlive restarts; jwks.json is derived from the key files, so it may be rewritten at any time;
 * it never holds a private member.  A kid names its algorithm's key: one key, one algorithm.
 * Not taken: one key for both algorithms (a key is bound to one), HS256 (a shared secret would make
 * every gateway an issuer), keys on the command line (argv is public). */
#include "ctl/issuer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjose/cjose.h>
#include <jansson.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "ctl/keyfile.h"
#include "ctl/tenant.h"

#define ISSUER_RSA_BITS      2048
#define ISSUER_FILE_MAX      16384
#define ISSUER_OPERATOR_DAYS 30
#define ISSUER_DAY_S         86400

struct issuer {
    cjose_jwk_t *es256; /* private, with kid */
    cjose_jwk_t *rs256; /* private, with kid */
};

/* A text for people, and the error to pass up. */
static int issuer_fail(int r, char *ret_text, const char *what, const char *path)
{
    snprintf(ret_text, ISSUER_TEXT, "%s %.160s: %s", what, path, strerror(-r));
    return err_trace(r);
}

static cjose_jwk_t *issuer_make_key(bool rs256)
{
    static const uint8_t exponent[] = {1, 0, 1};
    cjose_err err;
    uint8_t random[8];
    char kid[32];
    clock_random(random, sizeof(random));
    int n = snprintf(kid, sizeof(kid), "%s-", rs256 ? "rs256" : "es256");
    for (size_t i = 0; i < sizeof(random); i++) {
        n += snprintf(kid + n, sizeof(kid) - (size_t)n, "%02x", random[i]);
    }
    cjose_jwk_t *key = rs256 ? cjose_jwk_create_RSA_random(ISSUER_RSA_BITS, exponent, 3, &err)
                             : cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &err);
    if (key && !cjose_jwk_set_kid(key, kid, (size_t)n, &err)) {
        cjose_jwk_release(key);
        key = NULL;
    }
    return key;
}

static int issuer_read_key(const char *path, cjose_jwk_t **ret_key)
{
    char *text;
    size_t len;
    cjose_err err;
    int r = keyfile_read(path, ISSUER_FILE_MAX, &text, &len);
    if (r == KEYFILE_E_MISSING) {
        return err_origin(-ENOENT);
    }
    if (r != 0) {
        return err_fold(r);
    }
    cjose_jwk_t *key = cjose_jwk_import(text, len, &err);
    explicit_bzero(text, len);
    free(text);
    if (!key || !cjose_jwk_get_kid(key, &err)) {
        cjose_jwk_release(key);
        return err_origin(-EBADMSG);
    }
    *ret_key = key;
    return 0;
}

/* Makes the key file when there is none; whoever came first wins. */
static int issuer_ensure_key(const char *path, bool rs256)
{
    cjose_jwk_t *key;
    int r = issuer_read_key(path, &key);
    if (r != -ENOENT) {
        if (r == 0) {
            cjose_jwk_release(key);
        }
        return err_trace(r);
    }
    cjose_err err;
    key = issuer_make_key(rs256);
    char *text = key ? cjose_jwk_to_json(key, true, &err) : NULL;
    cjose_jwk_release(key);
    if (!text) {
        return err_origin(-ENOMEM);
    }
    size_t len = strlen(text);
    r = keyfile_create(path, (struct span){(const uint8_t *)text, len}, 0600);
    explicit_bzero(text, len);
    cjose_get_dealloc()(text);
    return r == KEYFILE_E_EXISTS ? 0 : err_fold(r);
}

/* One entry of the key set: public members, kid, and the one algorithm it may be used with. */
static json_t *issuer_public_key(const cjose_jwk_t *key, const char *alg)
{
    cjose_err err;
    char *text = cjose_jwk_to_json(key, false, &err);
    json_t *entry = text ? json_loads(text, 0, NULL) : NULL;
    cjose_get_dealloc()(text);
    if (entry) {
        json_object_set_new(entry, "alg", json_string(alg));
        json_object_set_new(entry, "use", json_string("sig"));
    }
    return entry;
}

static int issuer_write_jwks(const struct issuer *i, const char *path)
{
    json_t *es256 = issuer_public_key(i->es256, "ES256");
    json_t *rs256 = issuer_public_key(i->rs256, "RS256");
    json_t *set = json_pack("{s:[o,o]}", "keys", es256, rs256); /* takes both, NULL fails */
    char *text = set ? json_dumps(set, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(set);
    if (!text) {
        return err_origin(-ENOMEM);
    }
    char *kept;
    bool same = false;
    int r = keyfile_read(path, ISSUER_FILE_MAX, &kept, NULL);
    if (r == 0) {
        same = strcmp(kept, text) == 0;
        free(kept);
    }
    /* A file that is right stays: a full disk must not stop a start. */
    r = same ? 0 : keyfile_replace(path, (struct span){(const uint8_t *)text, strlen(text)}, 0600);
    free(text);
    return err_trace(r);
}

int issuer_init_dir(const char *dir, char *ret_text)
{
    char folder[KEYFILE_PATH_MAX], path[KEYFILE_PATH_MAX];
    ret_text[0] = '\0';
    if (!keyfile_path(folder, dir, "issuer")) {
        return issuer_fail(err_origin(-ENAMETOOLONG), ret_text, "cannot make", dir);
    }
    int r = keyfile_make_dir(folder);
    if (r < 0) {
        return issuer_fail(r, ret_text, "cannot make", folder);
    }
    r = tenant_ensure(dir, ret_text);
    if (r != 0) {
        return r > 0 ? ISSUER_E_TENANT : err_trace(r);
    }
    static const char *names[] = {"es256.jwk", "rs256.jwk"};
    for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
        r = keyfile_path(path, folder, names[n]) ? issuer_ensure_key(path, n == 1)
                                                 : err_origin(-ENAMETOOLONG);
        if (r < 0) {
            return issuer_fail(r, ret_text, "cannot make or read the key", path);
        }
    }
    struct issuer *i;
    r = issuer_open(dir, &i, ret_text);
    if (r < 0) {
        return err_trace(r);
    }
    r = keyfile_path(path, folder, "jwks.json") ? issuer_write_jwks(i, path)
                                                : err_origin(-ENAMETOOLONG);
    issuer_close(i);
    return r < 0 ? issuer_fail(r, ret_text, "cannot write", path) : 0;
}

int issuer_open(const char *dir, struct issuer **ret_issuer, char *ret_text)
{
    char path[KEYFILE_PATH_MAX];
    struct issuer *i = calloc(1, sizeof(*i));
    if (!i) {
        return issuer_fail(err_origin(-ENOMEM), ret_text, "cannot open", dir);
    }
    static const char *names[] = {"issuer/es256.jwk", "issuer/rs256.jwk"};
    cjose_jwk_t **keys[] = {&i->es256, &i->rs256};
    for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
        int r = keyfile_path(path, dir, names[n]) ? issuer_read_key(path, keys[n])
                                                  : err_origin(-ENAMETOOLONG);
        if (r < 0) {
            issuer_close(i);
            return issuer_fail(r, ret_text, "cannot read the key", path);
        }
    }
    *ret_issuer = i;
    return 0;
}

void issuer_close(struct issuer *i)
{
    if (!i) {
        return;
    }
    cjose_jwk_release(i->es256);
    cjose_jwk_release(i->rs256);
    free(i);
}

static json_t *issuer_payload(const struct issuer_claims *claims)
{
    int64_t now_s = clock_wall_us() / SECOND_US;
    json_t *payload = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "iss", ISSUER_NAME, "aud",
                                ISSUER_AUDIENCE, "sub", claims->subject, "iat",
                                (json_int_t)now_s, "nbf", (json_int_t)now_s, "exp",
                                (json_int_t)(now_s + claims->ttl_s));
    if (payload && claims->assurance) {
        json_object_set_new(payload, "assurance", json_string(claims->assurance));
    }
    if (payload && claims->role) {
        json_object_set_new(payload, "roles", json_pack("[s]", claims->role));
    }
    return payload;
}

static json_t *issuer_header(const cjose_jwk_t *key, bool rs256)
{
    cjose_err err;
    return json_pack("{s:s, s:s, s:s}", CJOSE_HDR_ALG,
                     rs256 ? CJOSE_HDR_ALG_RS256 : CJOSE_HDR_ALG_ES256, "typ", "JWT", CJOSE_HDR_KID,
                     cjose_jwk_get_kid(key, &err));
}

int issuer_mint(struct issuer *i, const struct issuer_claims *claims, char **ret_token)
{
    CHECK(claims->subject);
    CHECK(claims->ttl_s > 0);
    int r = err_origin(-ENOMEM);
    cjose_err err;
    const char *compact;
    cjose_jws_t *jws = NULL;
    cjose_jwk_t *key = claims->rs256 ? i->rs256 : i->es256;
    json_t *payload = issuer_payload(claims);
    char *text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
    json_t *header = issuer_header(key, claims->rs256);
    if (text && header) {
        jws = cjose_jws_sign(key, (cjose_header_t *)header, (const uint8_t *)text, strlen(text),
                             &err);
    }
    if (jws && cjose_jws_export(jws, &compact, &err)) {
        char *token = strdup(compact);
        if (token) {
            *ret_token = token;
            r = 0;
        }
    }
    cjose_jws_release(jws);
    json_decref(header);
    free(text);
    json_decref(payload);
    return r;
}

/* Signed with our key and good for long enough. */
static bool issuer_token_good(const struct issuer *i, const char *token, int64_t until_s)
{
    cjose_err err;
    uint8_t *plain;
    size_t len;
    bool good = false;
    cjose_jws_t *jws = cjose_jws_import(token, strcspn(token, "\r\n"), &err);
    if (jws && cjose_jws_verify(jws, i->es256, &err) &&
        cjose_jws_get_plaintext(jws, &plain, &len, &err)) {
        json_t *payload = json_loadb((const char *)plain, len, 0, NULL);
        good = json_integer_value(json_object_get(payload, "exp")) > until_s;
        json_decref(payload);
    }
    cjose_jws_release(jws);
    return good;
}

int issuer_refresh_operator_token(struct issuer *i, const char *dir, char *ret_text)
{
    char path[KEYFILE_PATH_MAX];
    char *token;
    int64_t ttl_s = ISSUER_OPERATOR_DAYS * ISSUER_DAY_S;
    if (!keyfile_path(path, dir, "operator.token")) {
        return issuer_fail(err_origin(-ENAMETOOLONG), ret_text, "cannot write", dir);
    }
    int r = keyfile_read(path, ISSUER_FILE_MAX, &token, NULL);
    if (r == 0) {
        bool good = issuer_token_good(i, token, clock_wall_us() / SECOND_US + ttl_s / 10);
        free(token);
        if (good) {
            return 0;
        }
    }
    struct issuer_claims claims = {
        .subject = "operator", .assurance = "high", .role = "operator", .ttl_s = ttl_s};
    r = issuer_mint(i, &claims, &token);
    if (r < 0) {
        return issuer_fail(r, ret_text, "cannot sign", path);
    }
    char *line = NULL;
    int n = asprintf(&line, "%s\n", token);
    free(token);
    if (n < 0) {
        return issuer_fail(err_origin(-ENOMEM), ret_text, "cannot write", path);
    }
    r = keyfile_replace(path, (struct span){(const uint8_t *)line, (size_t)n}, 0600);
    free(line);
    return r < 0 ? issuer_fail(r, ret_text, "cannot write", path) : 0;
}
