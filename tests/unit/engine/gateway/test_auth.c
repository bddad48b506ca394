/* SPDX-License-Identifier: MIT */
/* Goal: from the header to the person; a remembered token gives its own person and nobody else's,
 * until its time; and any number of threads may verify.  Costs are printed, not judged. */
#include "gateway/auth.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/tap.h"
#include "tests/unit/engine/gateway/forge.h"

static EVP_PKEY *ec, *rsa;
static char path[] = "test_auth_jwks_XXXXXX";
static char text[256];

static struct issuer_options issuer; /* of the options made last */

static struct auth_options options_of(const char *jwks_path)
{
    issuer = (struct issuer_options){.name = "test", .jwks_file = jwks_path, .issuer = FORGE_ISSUER,
                                     .audience = FORGE_AUDIENCE};
    return (struct auth_options){.issuers = &issuer, .issuers_count = 1, .tenant_key = {1, 2, 3}};
}

static int verify(struct auth *a, struct span token, int64_t now_us, struct verified *out)
{
    struct auth_trouble trouble;
    return auth_verify(a, token, now_us, out, &trouble);
}

static void write_file(const char *content, size_t len)
{
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    CHECK(fwrite(content, 1, len, f) == len);
    fclose(f);
}

static struct auth *auth_good(void)
{
    struct auth *a = NULL;
    const char *jwks = forge_text("{\"keys\":[%s,%s]}", forge_jwk(ec, "e", ""),
                                 forge_jwk(rsa, "r", ""));
    write_file(jwks, strlen(jwks));
    struct auth_options o = options_of(path);
    EQ(auth_new(&o, &a, text), 0);
    EQS(text, "");
    CHECK(a != NULL);
    return a;
}

static int lookup(struct auth *a, const char *token, int64_t now_us, struct verified *out)
{
    return auth_lookup(a, forge_span(forge_text("Bearer %s", token)), now_us, out);
}

static void test_bearer(void)
{
    static const struct { const char *header; int r; const char *token; } cases[] = {
        {"Bearer abc", 0, "abc"}, {"bearer abc", 0, "abc"}, {"BEARER   abc", 0, "abc"},
        {"", REASON_TOKEN_MISSING, ""}, {"Bearer", REASON_TOKEN_MISSING, ""},
        {"Bearer ", REASON_TOKEN_MISSING, ""}, {"Bearer    ", REASON_TOKEN_MISSING, ""},
        {"Basic abc", REASON_TOKEN_MISSING, ""}, {"abc", REASON_TOKEN_MISSING, ""},
        {"Bearerabc", REASON_TOKEN_MISSING, ""}, {"Bearer\tabc", REASON_TOKEN_MISSING, ""},
        {" Bearer abc", REASON_TOKEN_MISSING, ""}, {"Bear", REASON_TOKEN_MISSING, ""},
    };
    struct auth *a = auth_good();
    struct verified out;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span token = {0};
        EQ(auth_bearer(forge_span(cases[i].header), &token), cases[i].r);
        EQS(forge_text("%.*s", (int)token.len, token.len ? (const char *)token.ptr : ""),
            cases[i].token);
        EQ(auth_lookup(a, forge_span(cases[i].header), FORGE_NOW_US, &out),
           cases[i].r ? cases[i].r : AUTH_E_UNKNOWN);
    }
    EQ(auth_lookup(a, (struct span){0}, FORGE_NOW_US, &out), REASON_TOKEN_MISSING);
    char big[7 + TOKEN_MAX + 2];
    struct span token;
    memset(big, 'a', sizeof big);
    memcpy(big, "Bearer ", 7);
    EQ(auth_bearer((struct span){(uint8_t *)big, 7 + TOKEN_MAX}, &token), 0);
    EQ(token.len, TOKEN_MAX);
    EQ(auth_bearer((struct span){(uint8_t *)big, 7 + TOKEN_MAX + 1}, &token),
       REASON_TOKEN_INVALID);
    auth_drop(a);
    auth_drop(NULL);
}

static void test_key_files(void)
{
    struct auth *a = NULL;
    struct auth_options o = options_of("no/such/file.json");
    EQ(auth_new(&o, &a, text), AUTH_E_KEYS);
    EQS(text, "key set no/such/file.json: No such file or directory");
    issuer.jwks_file = ".";
    EQ(auth_new(&o, &a, text), AUTH_E_KEYS);
    EQS(text, "key set .: Is a directory");
    issuer.jwks_file = path;
    write_file("", 0);
    EQ(auth_new(&o, &a, text), AUTH_E_KEYS);
    OK(strstr(text, "not JSON") != NULL);
    static char spaces[JWKS_BYTES_MAX + 1];
    memset(spaces, ' ', sizeof spaces);
    memcpy(spaces, "{}", 2);
    write_file(spaces, sizeof spaces - 1);
    EQ(auth_new(&o, &a, text), AUTH_E_KEYS);
    OK(strstr(text, "no \"keys\"") != NULL);
    write_file(spaces, sizeof spaces);
    EQ(auth_new(&o, &a, text), AUTH_E_KEYS);
    OK(strstr(text, "larger than") != NULL);
    OK(a == NULL);
    const char *jwks = forge_text("{\"keys\":[%s,{\"kty\":\"oct\",\"kid\":\"s\",\"k\":\"AAAA\"}]}",
                                 forge_jwk(ec, "e", ""));
    write_file(jwks, strlen(jwks));
    issuer.audience = "";
    EQ(auth_new(&o, &a, text), AUTH_E_OPTIONS);
    issuer.audience = FORGE_AUDIENCE;
    EQ(auth_new(&o, &a, text), 0);
    EQS(text, "key 2 of the key set is not used: only EC and RSA keys are used");
    auth_drop(a);
}

static void test_way_of_a_token(void)
{
    struct auth *a = auth_good();
    struct verified out, again;
    int64_t exp_s = FORGE_NOW_S + 3600;
    const char *t = forge_token(ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}",
                               forge_claims("anna", exp_s, ",\"assurance\":\"high\""));
    EQ(lookup(a, t, FORGE_NOW_US, &out), AUTH_E_UNKNOWN);
    EQ(verify(a, forge_span(t), FORGE_NOW_US, &out), 0);
    EQ(auth_remember(a, forge_span(t), &out, FORGE_NOW_US), 0);
    EQ(lookup(a, t, FORGE_NOW_US + 1, &again), 0);
    OK(memcmp(&out, &again, sizeof out) == 0);
    EQ(again.assurance, ASSURANCE_HIGH);
    EQ(lookup(a, forge_text("%sA", t), FORGE_NOW_US, &again), AUTH_E_UNKNOWN);
    EQ(lookup(a, forge_text("%.*s", (int)strlen(t) - 1, t), FORGE_NOW_US, &again), AUTH_E_UNKNOWN);
    EQ(verify(a, forge_span(forge_text("%sAAAA", t)), FORGE_NOW_US, &again),
       REASON_TOKEN_INVALID);
    auth_drop(a);
}

static void test_end_of_memory(void)
{
    struct auth *a = auth_good();
    int64_t life = TOKEN_CACHE_S * SECOND_US, now = FORGE_NOW_US;
    struct verified out, long_lived = {.identity = {"long"}, .exp_us = now + DAY_US};
    struct verified brief = {.identity = {"brief"}, .exp_us = now + 10 * SECOND_US};
    EQ(auth_remember(a, forge_span("long"), &long_lived, now), 0);
    EQ(auth_remember(a, forge_span("brief"), &brief, now), 0);
    EQ(lookup(a, "brief", now + 10 * SECOND_US - 1, &out), 0);
    EQ(lookup(a, "brief", now + 10 * SECOND_US, &out), REASON_TOKEN_EXPIRED);
    EQ(lookup(a, "long", now + life - 1, &out), 0);
    EQ(lookup(a, "long", now + life, &out), AUTH_E_UNKNOWN); /* look at the signature again */
    EQ(auth_remember(a, forge_span("long"), &long_lived, now + life), 0);
    EQ(lookup(a, "long", now + 2 * life - 1, &out), 0);
    EQ(lookup(a, "long", now + 2 * life, &out), AUTH_E_UNKNOWN);
    EQ(lookup(a, "long", now + DAY_US, &out), REASON_TOKEN_EXPIRED);
    auth_drop(a);
}

static struct verified verified_of(uint32_t n)
{
    struct verified v = {.assurance = ASSURANCE_LOW, .exp_us = FORGE_NOW_US + DAY_US};
    memcpy(v.identity.bytes, &n, sizeof n);
    return v;
}

static int remember(struct auth *a, const char *token, uint32_t n)
{
    struct verified v = verified_of(n);
    return auth_remember(a, forge_span(token), &v, FORGE_NOW_US);
}

/* More than the index has places is remembered, one after the other: the newest TOKEN_CACHE_MAX are
 * there, each with its own identity, the others are gone. */
static void test_oldest_makes_room(void)
{
    enum { ALL = 3 * TOKEN_CACHE_MAX + 77, GONE = ALL - TOKEN_CACHE_MAX };
    struct auth *a = auth_good();
    struct verified out;
    char token[40];
    for (uint32_t n = 0; n < ALL; n++) {
        snprintf(token, sizeof token, "token-%u", n);
        OK(remember(a, token, n) == 0);
    }
    for (uint32_t n = GONE - 1000; n < ALL + 100; n++) {
        snprintf(token, sizeof token, "bearer token-%u", n);
        int r = auth_lookup(a, forge_span(token), FORGE_NOW_US, &out);
        OK(r == (n >= GONE && n < ALL ? 0 : AUTH_E_UNKNOWN));
        OK(r != 0 || memcmp(out.identity.bytes, &n, sizeof n) == 0);
    }
    auth_drop(a);
}

/* The oldest makes room for one that falls on its very place of the index. */
static void test_newest_falls_on_oldest(void)
{
    struct auth *a = auth_good();
    struct verified out;
    char token[40];
    uint8_t oldest[32], hash[32];
    uint32_t n;
    for (n = 0; n < TOKEN_CACHE_MAX; n++) {
        snprintf(token, sizeof token, "token-%u", n);
        OK(remember(a, token, n) == 0);
    }
    CHECK(EVP_Digest("token-0", 7, oldest, NULL, EVP_sha256(), NULL) == 1);
    for (int same = 0; !same; n++) { /* 19 bits alike, in the order of this machine's numbers */
        snprintf(token, sizeof token, "token-%u", n);
        CHECK(EVP_Digest(token, strlen(token), hash, NULL, EVP_sha256(), NULL) == 1);
        same = hash[0] == oldest[0] && hash[1] == oldest[1] && (hash[2] & 7) == (oldest[2] & 7);
    }
    OK(remember(a, token, n) == 0);
    EQ(lookup(a, token, FORGE_NOW_US, &out), 0);
    OK(memcmp(out.identity.bytes, &n, sizeof n) == 0);
    EQ(lookup(a, "token-0", FORGE_NOW_US, &out), AUTH_E_UNKNOWN);
    EQ(lookup(a, "token-1", FORGE_NOW_US, &out), 0);
    auth_drop(a);
}

/* -- threads and costs ---------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct worker {
    pthread_t thread;
    struct auth *auth;
    const char *tokens[2];
    int good;
};

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 200; i++) {
        struct verified out;
        const char *t = w->tokens[i % 2];
        w->good += verify(w->auth, forge_span(t), FORGE_NOW_US, &out) == 0;
        w->good += verify(w->auth, (struct span){(const uint8_t *)t, strlen(t) - 4},
                               FORGE_NOW_US, &out) == REASON_TOKEN_INVALID;
    }
    return NULL;
}

static void test_threads(void)
{
    struct auth *a = auth_good();
    struct worker workers[4];
    const char *claims = forge_text("%s", forge_claims("anna", FORGE_NOW_S + 60, ""));
    char es[2048], rs[2048];
    snprintf(es, sizeof es, "%s", forge_token(ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}", claims));
    snprintf(rs, sizeof rs, "%s", forge_token(rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}", claims));
    for (size_t i = 0; i < ARRAY_COUNT(workers); i++) {
        workers[i] = (struct worker){.auth = a, .tokens = {es, rs}};
        CHECK(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0);
    }
    for (uint32_t n = 0; n < 20000; n++) { /* the loop goes on meanwhile */
        struct verified v = verified_of(n), out;
        const char *t = forge_text("other-%u", n % 500);
        OK(auth_remember(a, forge_span(t), &v, FORGE_NOW_US) == 0);
        OK(lookup(a, t, FORGE_NOW_US, &out) == 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(workers); i++) {
        pthread_join(workers[i].thread, NULL);
        EQ(workers[i].good, 400);
    }
    auth_drop(a);
}

static double verify_us(struct auth *a, const char *token)
{
    enum { ROUNDS = 2000 };
    struct verified out;
    double start = now_s();
    for (int i = 0; i < ROUNDS; i++) {
        OK(verify(a, forge_span(token), FORGE_NOW_US, &out) == 0);
    }
    return (now_s() - start) * 1e6 / ROUNDS;
}

static void test_costs(void)
{
    enum { HITS = 500000 };
    struct auth *a = auth_good();
    struct verified out;
    const char *claims = forge_text("%s", forge_claims("3f1c9c52-4f1b-4b7e-9b0c-0c6a5a1f2e3d",
                                                     FORGE_NOW_S + 60,
                                                     ",\"iat\":1800000000,\"assurance\":\"high\","
                                                     "\"jti\":\"0123456789abcdef\""));
    const char *es = forge_token(ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}", claims);
    const char *rs = forge_token(rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}", claims);
    struct verified late;
    double start = now_s();
    for (int i = 0; i < HITS / 50; i++) { /* refused before the signature */
        OK(verify(a, forge_span(rs), FORGE_NOW_US + DAY_US, &late) == REASON_TOKEN_EXPIRED);
    }
    double cheap_us = (now_s() - start) * 1e6 / (HITS / 50);
    printf("# verify: ES256 %.1f us, RS256 %.1f us, refused before the signature %.1f us\n",
           verify_us(a, es), verify_us(a, rs), cheap_us);
    EQ(verify(a, forge_span(rs), FORGE_NOW_US, &out), 0);
    EQ(auth_remember(a, forge_span(rs), &out, FORGE_NOW_US), 0);
    struct span header = forge_span(forge_text("Bearer %s", rs));
    start = now_s();
    for (int i = 0; i < HITS; i++) {
        OK(auth_lookup(a, header, FORGE_NOW_US, &out) == 0);
    }
    printf("# remembered token of %zu bytes: %.0f ns\n", header.len - 7,
           (now_s() - start) * 1e9 / HITS);
    auth_drop(a);
}

int main(void)
{
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    ec = EVP_EC_gen("P-256");
    rsa = EVP_RSA_gen(2048);
    TAP_RUN(test_bearer);
    TAP_RUN(test_key_files);
    TAP_RUN(test_way_of_a_token);
    TAP_RUN(test_end_of_memory);
    TAP_RUN(test_oldest_makes_room);
    TAP_RUN(test_newest_falls_on_oldest);
    TAP_RUN(test_threads);
    TAP_RUN(test_costs);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
    unlink(path);
    return tap_done();
}
