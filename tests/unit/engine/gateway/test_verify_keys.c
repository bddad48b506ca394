/* SPDX-License-Identifier: MIT */
/* Goal: a key set gives exactly the keys that may be used; the others are left out by name of the
 * reason, and a set that cannot be understood is refused. */
#include "gateway/verify.h"

#include "tests/lib/tap.h"
#include "tests/unit/engine/gateway/forge.h"

static EVP_PKEY *ec, *rsa;
static const uint8_t tenant_key[KEYRING_TENANT_KEY];
static char text[256]; /* what the last load said */
static uint32_t algorithms = ISSUER_ES256 | ISSUER_RS256;

#define EC_START  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"b\""
#define RSA_START "{\"kty\":\"RSA\",\"kid\":\"b\""

/* Loads exactly this text; the count of keys, or -verdict. */
static int load(const char *jwks)
{
    struct keyset *set = NULL;
    size_t len = strlen(jwks);
    char *copy = malloc(len ? len : 1); /* of the exact size */
    memcpy(copy, jwks, len);
    memset(text, 'x', sizeof text);
    int r = keyset_read((struct span){(const uint8_t *)copy, len}, algorithms, &set, text);
    free(copy);
    int count = r == 0 ? (int)set->count : -r;
    OK(memchr(text, '\0', sizeof text) != NULL);
    OK((r == 0) == (set != NULL));
    keyset_drop(set);
    return count;
}

/* A set of a good key and this one. */
static int load_beside(const char *jwk)
{
    return load(forge_text("{\"keys\":[%s,%s]}", forge_jwk(ec, "good", ""), jwk));
}

static void test_good_sets(void)
{
    EQ(load(forge_text("{\"keys\":[%s]}", forge_jwk(ec, "a", ""))), 1);
    EQS(text, "");
    EQ(load_beside(forge_jwk(rsa, "b", ",\"use\":\"sig\",\"alg\":\"RS256\"")), 2);
    EQS(text, "");
    EQ(load_beside(forge_jwk(ec, "b", ",\"key_ops\":[\"verify\"],\"x5t\":\"abc\"")), 2);
    EQS(text, "");
    EQ(load(forge_text("{\"keys\":[%s],\"more\":1}", forge_jwk(rsa, "A-z_0.9", ""))), 1);
    char kid[66];
    memset(kid, 'k', 65);
    kid[65] = '\0';
    EQ(load_beside(forge_jwk(ec, kid + 1, "")), 2); /* 64 characters */
    EQ(load_beside(forge_jwk(ec, kid, "")), 1);
    OK(strstr(text, "needs a kid") != NULL);
}

static void test_left_out(void)
{
    EVP_PKEY *p384 = EVP_EC_gen("P-384"), *p521 = EVP_EC_gen("P-521");
    EVP_PKEY *small = EVP_RSA_gen(1024);
    const char *x = forge_base64url("12345678901234567890123456789012", 32);
    const char *n = forge_number(small, OSSL_PKEY_PARAM_RSA_N);
    const char *big = forge_text("%s", forge_number(rsa, OSSL_PKEY_PARAM_RSA_N));
    const struct { const char *jwk; const char *why; } cases[] = {
        {forge_jwk(p384, "b", ""), "none of those allowed"},
        {forge_jwk(p521, "b", ""), "on P-256"},
        {forge_jwk(small, "b", ""), "2048 bits"},
        {forge_text("{\"kty\":\"oct\",\"kid\":\"b\",\"k\":\"%s\"}", x), "only EC and RSA"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"b\",\"x\":\"AAAA\"}", "only EC and RSA"},
        {"{\"kid\":\"b\"}", "only EC and RSA"},
        /* not a point of the curve */
        {forge_text(EC_START ",\"x\":\"%s\",\"y\":\"%s\"}", x, x), "not a key"},
        {forge_text(EC_START ",\"x\":\"%s\"}", x), "not a key"},
        /* 42 and 41 characters: libcjose 0.6 asserts on the latter (found by fuzz_jwks) */
        {forge_text(EC_START ",\"x\":\"%s\",\"y\":\"%.42s\"}", x, x), "not a key"},
        {forge_text(EC_START ",\"x\":\"%.41s\",\"y\":\"%s\"}", x, x), "not a key"},
        {forge_text(EC_START ",\"x\":\"%s=\",\"y\":\"%s\"}", x, x), "not a key"},
        {forge_text(EC_START ",\"x\":\"%.40s!!!\",\"y\":\"%s\"}", x, x), "not a key"},
        {forge_jwk(rsa, "b", ",\"use\":\"enc\""), "not for signatures"},
        {forge_jwk(rsa, "b", ",\"use\":1"), "not for signatures"},
        {forge_jwk(rsa, "b", ",\"key_ops\":[\"encrypt\"]"), "not for signatures"},
        {forge_jwk(rsa, "b", ",\"alg\":\"RS512\""), "none of those allowed"},
        {forge_jwk(ec, "b", ",\"alg\":\"RS256\""), "none of those allowed"},
        {forge_jwk(ec, "b", ",\"d\":\"AAAA\""), "private key"},
        {forge_jwk(ec, "", ""), "needs a kid"},
        {forge_jwk(ec, "a b", ""), "needs a kid"},
        {forge_text("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", big), "needs a kid"},
        {forge_text(RSA_START ",\"n\":\"%s\",\"e\":\"AQ\"}", big), "not an RSA"},
        {forge_text(RSA_START ",\"n\":\"%s\",\"e\":\"AAAB\"}", big), "not an RSA"},
        {forge_text(RSA_START ",\"n\":\"%s\",\"e\":\"AQAA\"}", big), "not an RSA"},
        {forge_text(RSA_START ",\"n\":\"%s\"}", big), "not an RSA"},
        {RSA_START ",\"n\":\"\",\"e\":\"AQAB\"}", "not an RSA"},
        {RSA_START ",\"n\":\"not base64!\",\"e\":\"AQAB\"}", "not an RSA"},
        {"7", "needs a kid"},
        {"null", "needs a kid"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        EQ(load_beside(cases[i].jwk), 1);
        if (strstr(text, cases[i].why) == NULL) {
            printf("# case %zu: \"%s\" does not say \"%s\"\n", i, text, cases[i].why);
            OK(!"the reason is named");
        }
        EQ(load(forge_text("{\"keys\":[%s]}", cases[i].jwk)), -KEYSET_E_KEYS); /* nothing is left */
        OK(strstr(text, cases[i].why) != NULL);
    }
    /* 1024 bits behind 128 zero bytes are still 1024 bits. */
    const char *zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    EQ(load_beside(forge_text(RSA_START ",\"n\":\"%sA%sA%sA%sA%s\",\"e\":\"AQAB\"}",
                             zeros, zeros, zeros, zeros, n)), 1);
    OK(strstr(text, "2048 bits") != NULL);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(p521);
    EVP_PKEY_free(small);
}

static void test_refused_sets(void)
{
    static const char *const bad[] = {"", "not JSON", "[]", "{}", "{\"keys\":[]}", "{\"keys\":{}}",
        "{\"keys\":null}", "7", "{\"keys\":[", "{\"keys\":[{\"kid\":\"a\",\"kid\":\"a\"}]}",
        "{\"keys\":[],\"keys\":[]}"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        EQ(load(bad[i]), -KEYSET_E_KEYS);
        OK(text[0] != '\0');
    }
    EQ(load_beside(forge_jwk(rsa, "good", "")), -KEYSET_E_KEYS);
    EQS(text, "key 2 of the key set: an earlier one has its kid");
    char jwks[16384];
    size_t n = (size_t)snprintf(jwks, sizeof jwks, "{\"keys\":[");
    for (int i = 0; i < ISSUER_KEYS_MAX; i++) {
        n += (size_t)snprintf(jwks + n, sizeof jwks - n, "%s%s", i ? "," : "",
                              forge_jwk(ec, forge_text("k%d", i), ""));
    }
    EQ(load(forge_text("%s]}", jwks)), ISSUER_KEYS_MAX);
    EQ(load(forge_text("%s,%s]}", jwks, forge_jwk(ec, "more", ""))), -KEYSET_E_KEYS);
    OK(strstr(text, "too many") != NULL);
}

static struct keyring *ring_of(const struct issuer_options *options, const char *jwks)
{
    struct keyring *ring = NULL;
    EQ(keyring_new(options, 1, tenant_key, &ring, text), 0);
    EQ(keyring_put(ring, 0, forge_span(jwks), text), 0);
    return ring;
}

static const struct issuer_options plain = {
    .name = "test", .jwks_file = "unread", .issuer = FORGE_ISSUER, .audience = FORGE_AUDIENCE};

static int judge(struct keyring *ring, const char *token, struct verified *out)
{
    size_t number;
    return verify_token(ring, forge_span(token), FORGE_NOW_US, out, &number);
}

/* A key that is left out checks nothing, even where its kid is asked for. */
static void test_left_out_key_is_not_used(void)
{
    EVP_PKEY *small = EVP_RSA_gen(1024);
    struct verified out;
    struct keyring *ring = ring_of(&plain, forge_text("{\"keys\":[%s,%s]}",
                                                      forge_jwk(ec, "good", ""),
                                                      forge_jwk(small, "small", "")));
    const char *t = forge_token(small, "{\"alg\":\"RS256\",\"kid\":\"small\"}",
                               forge_claims("anna", FORGE_NOW_S + 60, ""));
    EQ(judge(ring, t, &out), VERIFY_E_KID);
    keyring_free(ring);
    EVP_PKEY_free(small);
}

/* What the issuer may sign with decides, and what the key says of itself. */
static void test_algorithms_of_keys(void)
{
    static const struct { const char *alg; uint32_t may; bool taken; } cases[] = {
        {"", ISSUER_RS256, true}, {"", ISSUER_PS256, true}, {"", ISSUER_RS256 | ISSUER_PS256, true},
        {",\"alg\":\"PS256\"", ISSUER_PS256, true}, {",\"alg\":\"PS256\"", ISSUER_RS256, false},
        {",\"alg\":\"RS256\"", ISSUER_PS256, false}, {"", ISSUER_ES256 | ISSUER_ES384, false},
        {",\"alg\":\"RS512\"", UINT32_MAX, false}, {",\"alg\":\"ES256\"", UINT32_MAX, false},
        {",\"alg\":\"none\"", UINT32_MAX, false}, {",\"alg\":\"HS256\"", UINT32_MAX, false},
        {",\"alg\":7", UINT32_MAX, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        algorithms = cases[i].may;
        EQ(load(forge_text("{\"keys\":[%s]}", forge_jwk(rsa, "r", cases[i].alg))),
           cases[i].taken ? 1 : -KEYSET_E_KEYS);
    }
    EVP_PKEY *p384 = EVP_EC_gen("P-384");
    algorithms = ISSUER_ES384;
    EQ(load(forge_text("{\"keys\":[%s,%s]}", forge_jwk(p384, "big", ""),
                       forge_jwk(ec, "small", ""))), 1);
    algorithms = ISSUER_ES256 | ISSUER_RS256;
    EVP_PKEY_free(p384);
}

/* The operator names the claims as his issuer does. */
static void test_names_of_claims(void)
{
    struct verified out;
    struct issuer_options o = plain;
    o.assurance_claim = "loa";
    o.role_claim = "groups";
    struct keyring *ring = ring_of(&o, forge_text("{\"keys\":[%s]}", forge_jwk(ec, "a", "")));
    const char *t = forge_token(ec, "{\"alg\":\"ES256\",\"kid\":\"a\"}",
                               forge_claims("anna", FORGE_NOW_S + 60, ",\"loa\":\"substantial\","
                                           "\"groups\":[\"operator\"],\"assurance\":7"));
    EQ(judge(ring, t, &out), 0);
    EQ(out.assurance, ASSURANCE_SUBSTANTIAL);
    EQ(out.roles, ROLE_OPERATOR);
    keyring_free(ring);
    keyring_free(NULL);
}

int main(void)
{
    ec = EVP_EC_gen("P-256");
    rsa = EVP_RSA_gen(2048);
    TAP_RUN(test_good_sets);
    TAP_RUN(test_left_out);
    TAP_RUN(test_refused_sets);
    TAP_RUN(test_left_out_key_is_not_used);
    TAP_RUN(test_algorithms_of_keys);
    TAP_RUN(test_names_of_claims);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
    return tap_done();
}
