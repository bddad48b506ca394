/* SPDX-License-Identifier: MIT */
/* The development issuer: what it leaves in a directory, what it keeps, what it signs. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjose/cjose.h>
#include <jansson.h>

#include "ctl/issuer.h"
#include "ctl/keyfile.h"
#include "tests/lib/tap.h"

static char dir[64];
static char text[ISSUER_TEXT];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void fresh(void)
{
    strcpy(dir, "/tmp/fairslot-issuer-XXXXXX");
    OK(mkdtemp(dir) != NULL);
}

static void gone(void)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static char *slurp(const char *name, size_t *ret_len)
{
    char path[KEYFILE_PATH_MAX];
    char *bytes = NULL;
    OK(keyfile_path(path, dir, name));
    EQ(keyfile_read(path, 1 << 16, &bytes, ret_len), 0);
    return bytes;
}

static unsigned mode_of(const char *name)
{
    char path[KEYFILE_PATH_MAX];
    struct stat st;
    keyfile_path(path, dir, name);
    return stat(path, &st) == 0 ? st.st_mode & 0777 : 0;
}

static void test_modes_and_idempotent(void)
{
    static const char *names[] = {"issuer/es256.jwk", "issuer/rs256.jwk", "issuer/jwks.json",
                                  "tenant.key"};
    char *before[4];
    size_t len;
    fresh();
    EQ(issuer_init_dir(dir, text), 0);
    for (int n = 0; n < 4; n++) {
        EQ(mode_of(names[n]), 0600);
        before[n] = slurp(names[n], &len);
    }
    EQ(len, 32); /* the tenant key */
    EQ(mode_of("issuer"), 0700);
    EQ(issuer_init_dir(dir, text), 0);
    for (int n = 0; n < 4; n++) {
        char *after = slurp(names[n], &len);
        OK(memcmp(before[n], after, len) == 0);
        free(after);
        free(before[n]);
    }
    gone();
}

static void test_makes_parents(void)
{
    char deep[128];
    fresh();
    snprintf(deep, sizeof(deep), "%s/a b/c", dir);
    EQ(issuer_init_dir(deep, text), 0);
    EQ(mode_of("a b/c"), 0700);
    gone();
}

static void test_jwks_is_public(void)
{
    static const char *private_members[] = {"d", "p", "q", "dp", "dq", "qi", "k"};
    fresh();
    EQ(issuer_init_dir(dir, text), 0);
    char *set_text = slurp("issuer/jwks.json", NULL);
    json_t *set = json_loads(set_text, 0, NULL);
    json_t *keys = json_object_get(set, "keys");
    EQ(json_array_size(keys), 2);
    for (size_t n = 0; n < json_array_size(keys); n++) {
        json_t *key = json_array_get(keys, n);
        EQS(json_string_value(json_object_get(key, "alg")), n ? "RS256" : "ES256");
        OK(json_string_value(json_object_get(key, "kid")) != NULL);
        for (size_t m = 0; m < sizeof(private_members) / sizeof(*private_members); m++) {
            OK(json_object_get(key, private_members[m]) == NULL);
        }
    }
    json_decref(set);
    free(set_text);
    gone();
}

/* Verifies against jwks.json, as a gateway would. */
static json_t *verified(const char *token, const char *alg)
{
    cjose_err err;
    char *set_text = slurp("issuer/jwks.json", NULL);
    json_t *set = json_loads(set_text, 0, NULL);
    cjose_jws_t *jws = cjose_jws_import(token, strlen(token), &err);
    json_t *payload = NULL;
    OK(jws != NULL);
    cjose_header_t *header = cjose_jws_get_protected(jws);
    EQS(cjose_header_get(header, CJOSE_HDR_ALG, &err), alg);
    for (size_t n = 0; n < 2; n++) {
        json_t *entry = json_array_get(json_object_get(set, "keys"), n);
        if (strcmp(json_string_value(json_object_get(entry, "kid")),
                   cjose_header_get(header, CJOSE_HDR_KID, &err)) != 0) {
            continue;
        }
        uint8_t *plain;
        size_t len;
        cjose_jwk_t *key = cjose_jwk_import_json((cjose_header_t *)entry, &err);
        OK(key && cjose_jws_verify(jws, key, &err));
        OK(cjose_jws_get_plaintext(jws, &plain, &len, &err));
        payload = json_loadb((const char *)plain, len, 0, NULL);
        cjose_jwk_release(key);
    }
    cjose_jws_release(jws);
    json_decref(set);
    free(set_text);
    OK(payload != NULL);
    return payload;
}

static void test_mint(void)
{
    struct issuer *i;
    char *token;
    fresh();
    EQ(issuer_init_dir(dir, text), 0);
    EQ(issuer_open(dir, &i, text), 0);
    for (int rs256 = 0; rs256 < 2; rs256++) {
        struct issuer_claims claims = {.subject = "ada \"quoted\"", .assurance = "substantial",
                                       .ttl_s = 60, .rs256 = rs256};
        EQ(issuer_mint(i, &claims, &token), 0);
        json_t *payload = verified(token, rs256 ? "RS256" : "ES256");
        EQS(json_string_value(json_object_get(payload, "sub")), "ada \"quoted\"");
        EQS(json_string_value(json_object_get(payload, "iss")), ISSUER_NAME);
        EQS(json_string_value(json_object_get(payload, "aud")), ISSUER_AUDIENCE);
        EQS(json_string_value(json_object_get(payload, "assurance")), "substantial");
        OK(json_object_get(payload, "roles") == NULL);
        EQ(json_integer_value(json_object_get(payload, "exp")) -
               json_integer_value(json_object_get(payload, "iat")), 60);
        json_decref(payload);
        free(token);
    }
    issuer_close(i);
    gone();
}

static void test_operator_token(void)
{
    struct issuer *i;
    fresh();
    EQ(issuer_init_dir(dir, text), 0);
    EQ(issuer_open(dir, &i, text), 0);
    EQ(issuer_refresh_operator_token(i, dir, text), 0);
    EQ(mode_of("operator.token"), 0600);
    char *first = slurp("operator.token", NULL);
    first[strcspn(first, "\n")] = '\0';
    json_t *payload = verified(first, "ES256");
    EQS(json_string_value(json_array_get(json_object_get(payload, "roles"), 0)), "operator");
    json_decref(payload);
    EQ(issuer_refresh_operator_token(i, dir, text), 0); /* kept: good for weeks */
    char *second = slurp("operator.token", NULL);
    second[strcspn(second, "\n")] = '\0';
    EQS(second, first);
    free(second);
    /* Near its end, or garbage: made anew. */
    struct issuer_claims old = {.subject = "operator", .assurance = "high", .role = "operator",
                                .ttl_s = 2 * 86400};
    char *near_end;
    char path[KEYFILE_PATH_MAX];
    keyfile_path(path, dir, "operator.token");
    EQ(issuer_mint(i, &old, &near_end), 0);
    const char *bad[] = {near_end, "garbage", ""};
    for (int n = 0; n < 3; n++) {
        struct span bytes = {(const uint8_t *)bad[n], strlen(bad[n])};
        EQ(keyfile_replace(path, bytes, 0600), 0);
        EQ(issuer_refresh_operator_token(i, dir, text), 0);
        char *fresh_token = slurp("operator.token", NULL);
        OK(strcmp(fresh_token, bad[n]) != 0);
        fresh_token[strcspn(fresh_token, "\n")] = '\0';
        json_decref(verified(fresh_token, "ES256"));
        free(fresh_token);
    }
    free(near_end);
    free(first);
    issuer_close(i);
    gone();
}

static void test_errors_name_the_file(void)
{
    struct issuer *i;
    char path[KEYFILE_PATH_MAX];
    fresh();
    EQ(issuer_open(dir, &i, text), -ENOENT);
    OK(strstr(text, "es256.jwk") != NULL);
    EQ(issuer_init_dir(dir, text), 0);
    keyfile_path(path, dir, "issuer/rs256.jwk");
    EQ(keyfile_replace(path, (struct span){(const uint8_t *)"{}", 2}, 0600), 0);
    OK(issuer_init_dir(dir, text) < 0);
    OK(strstr(text, "rs256.jwk") != NULL);
    keyfile_path(path, dir, "plain");
    EQ(keyfile_replace(path, (struct span){(const uint8_t *)"x", 1}, 0600), 0);
    OK(issuer_init_dir(path, text) < 0);
    OK(strstr(text, "plain") != NULL);
    gone();
}

/* Four processes meet on one new directory: all leave with the same keys. */
static void test_race(void)
{
    fresh();
    pid_t children[4];
    for (int n = 0; n < 4; n++) {
        children[n] = fork();
        if (children[n] == 0) {
            char child_text[ISSUER_TEXT];
            _exit(issuer_init_dir(dir, child_text) == 0 ? 0 : 1);
        }
    }
    for (int n = 0; n < 4; n++) {
        int status;
        waitpid(children[n], &status, 0);
        EQ(status, 0);
    }
    struct issuer *i;
    char *token;
    struct issuer_claims claims = {.subject = "x", .assurance = "low", .ttl_s = 60};
    EQ(issuer_open(dir, &i, text), 0);
    EQ(issuer_mint(i, &claims, &token), 0);
    json_decref(verified(token, "ES256"));
    free(token);
    issuer_close(i);
    char folder[KEYFILE_PATH_MAX];
    keyfile_path(folder, dir, "issuer");
    DIR *d = opendir(folder);
    int count = 0;
    while (readdir(d)) {
        count++;
    }
    closedir(d);
    EQ(count, 2 + 3); /* no temporary file is left */
    gone();
}

int main(void)
{
    TAP_RUN(test_modes_and_idempotent);
    TAP_RUN(test_makes_parents);
    TAP_RUN(test_jwks_is_public);
    TAP_RUN(test_mint);
    TAP_RUN(test_operator_token);
    TAP_RUN(test_errors_name_the_file);
    TAP_RUN(test_race);
    return tap_done();
}
