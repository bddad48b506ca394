/* SPDX-License-Identifier: MIT */
/* Goal: a good token gives its person, assurance and role; every kind of bad one is refused with
 * its reason, and changes nothing. */
#include "gateway/verify.h"

#include <openssl/crypto.h>

#include "tests/lib/tap.h"
#include "tests/unit/engine/gateway/forge.h"

static EVP_PKEY *ec, *rsa, *stranger;
static struct keyring *ring;
static const uint8_t tenant_key[KEYRING_TENANT_KEY] = "thirty-two bytes of a tenant key";

#define ES_HEADER "{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"typ\":\"JWT\"}"
#define RS_HEADER "{\"alg\":\"RS256\",\"kid\":\"rsa.1_A\"}"
#define SOON      (FORGE_NOW_S + 3600)

static int verify_at(const char *token, int64_t now_us, struct verified *out)
{
    /* A copy of the exact size, so that a read beyond the end is seen. */
    size_t len = strlen(token);
    char *copy = malloc(len ? len : 1);
    memcpy(copy, token, len);
    struct verified before = {.exp_us = 77}, after = before;
    size_t number = 0;
    int r = verify_token(ring, (struct span){(const uint8_t *)copy, len}, now_us, &after, &number);
    OK(r == 0 || memcmp(&before, &after, sizeof before) == 0);
    free(copy);
    if (out) {
        *out = after;
    }
    return r;
}

static int verify_text(const char *token)
{
    return verify_at(token, FORGE_NOW_US, NULL);
}

static int verify_es(const char *payload)
{
    return verify_text(forge_token(ec, ES_HEADER, payload));
}

static int verify_header(const char *header)
{
    return verify_text(forge_token(ec, header, forge_claims("anna", SOON, "")));
}

static void test_good(void)
{
    struct verified a, b, c;
    EQ(verify_at(forge_token(ec, ES_HEADER, forge_claims("anna", SOON, "")), FORGE_NOW_US, &a), 0);
    EQ(a.assurance, ASSURANCE_LOW);
    EQ(a.roles, 0);
    EQ(a.exp_us, SOON * SECOND_US);
    EQ(verify_at(forge_token(rsa, RS_HEADER,
                            forge_claims("anna", SOON + 5, ",\"assurance\":\"high\"")),
                 FORGE_NOW_US, &b), 0);
    EQ(b.assurance, ASSURANCE_HIGH);
    OK(memcmp(&a.identity, &b.identity, sizeof a.identity) == 0); /* another key, one person */
    EQ(verify_at(forge_token(ec, ES_HEADER, forge_claims("berta", SOON, "")), FORGE_NOW_US, &c), 0);
    OK(memcmp(&a.identity, &c.identity, sizeof a.identity) != 0);
}

static void test_identity_is_the_documented_hmac(void)
{
    struct verified a;
    uint8_t text[600], mac[32];
    size_t iss = strlen(FORGE_ISSUER), n = 0;
    text[n++] = (uint8_t)(iss >> 8);
    text[n++] = (uint8_t)iss;
    memcpy(text + n, FORGE_ISSUER, iss);
    n += iss;
    memcpy(text + n, "\0\4anna", 6);
    HMAC(EVP_sha256(), tenant_key, sizeof tenant_key, text, n + 6, mac, NULL);
    EQ(verify_at(forge_token(ec, ES_HEADER, forge_claims("anna", SOON, "")), FORGE_NOW_US, &a), 0);
    OK(memcmp(a.identity.bytes, mac, 16) == 0);
}

static void test_grants(void)
{
    static const struct {
        const char *claims;
        int r;
        enum assurance assurance;
        uint32_t roles;
    } cases[] = {
        {",\"assurance\":\"low\"", 0, ASSURANCE_LOW, 0},
        {",\"assurance\":\"substantial\"", 0, ASSURANCE_SUBSTANTIAL, 0},
        {",\"assurance\":\"high\",\"roles\":\"operator\"", 0, ASSURANCE_HIGH, ROLE_OPERATOR},
        {",\"roles\":[\"clerk\",\"operator\"]", 0, ASSURANCE_LOW, ROLE_OPERATOR},
        {",\"roles\":[\"clerk\",1,null]", 0, ASSURANCE_LOW, 0},
        {",\"roles\":\"operator \"", 0, ASSURANCE_LOW, 0},
        {",\"roles\":{\"operator\":true}", 0, ASSURANCE_LOW, 0},
        {",\"assurance\":\"High\"", REASON_TOKEN_INVALID, 0, 0},
        {",\"assurance\":\"\"", REASON_TOKEN_INVALID, 0, 0},
        {",\"assurance\":3", REASON_TOKEN_INVALID, 0, 0},
        {",\"assurance\":[\"high\"]", REASON_TOKEN_INVALID, 0, 0},
        {",\"assurance\":null", REASON_TOKEN_INVALID, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct verified out;
        const char *payload = forge_claims("anna", SOON, cases[i].claims);
        EQ(verify_at(forge_token(ec, ES_HEADER, payload), FORGE_NOW_US, &out), cases[i].r);
        if (cases[i].r == 0) {
            EQ(out.assurance, cases[i].assurance);
            EQ(out.roles, cases[i].roles);
        }
    }
}

static void test_time(void)
{
    const char *t = forge_token(ec, ES_HEADER, forge_claims("anna", FORGE_NOW_S, ""));
    EQ(verify_at(t, FORGE_NOW_US, NULL), REASON_TOKEN_EXPIRED); /* valid before exp, not at it */
    EQ(verify_at(t, FORGE_NOW_US - 1, NULL), 0);
    EQ(verify_at(t, FORGE_NOW_US + DAY_US, NULL), REASON_TOKEN_EXPIRED);
    static const char *const names[] = {"nbf", "iat"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const char *more = forge_text(",\"%s\":%lld", names[i], (long long)FORGE_NOW_S + 60);
        t = forge_token(ec, ES_HEADER, forge_claims("anna", SOON, more));
        EQ(verify_at(t, FORGE_NOW_US, NULL), 0);
        EQ(verify_at(t, FORGE_NOW_US - 1, NULL), REASON_TOKEN_INVALID);
    }
}

static void test_bad_instants(void)
{
    static const char *const values[] = {"\"1800003600\"", "-0.5", "1e300", "1e999", "true", "null",
        "[1800003600]", "-1", "-9223372036854775808", "9223372036854775807", "253402300800",
        "99999999999999999999999"};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        EQ(verify_es(forge_text("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":\"fairslot\","
                                "\"sub\":\"anna\",\"exp\":%s}", values[i])), REASON_TOKEN_INVALID);
        EQ(verify_es(forge_claims("anna", SOON, forge_text(",\"nbf\":%s", values[i]))),
           REASON_TOKEN_INVALID);
        EQ(verify_es(forge_claims("anna", SOON, forge_text(",\"iat\":%s", values[i]))),
           REASON_TOKEN_INVALID);
    }
    EQ(verify_es("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":\"fairslot\",\"sub\":\"anna\"}"),
       REASON_TOKEN_INVALID);
    EQ(verify_es(forge_claims("anna", 0, "")), REASON_TOKEN_INVALID);
}

static void test_issuer(void)
{
    static const char *const others[] = {"https://issuer.test/realms/city/", "", "x",
                                         "HTTPS://issuer.test/realms/city"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        const char *payload = forge_text("{\"iss\":\"%s\",\"aud\":\"fairslot\",\"exp\":1800003600,"
                                        "\"sub\":\"anna\"}", others[i]);
        EQ(verify_es(payload), REASON_ISSUER_UNKNOWN);
        /* Somebody else's good token, by a key that we do not know. */
        EQ(verify_text(forge_token(stranger, "{\"alg\":\"ES256\",\"kid\":\"theirs\"}", payload)),
           REASON_ISSUER_UNKNOWN);
    }
    EQ(verify_es("{\"aud\":\"fairslot\",\"exp\":1800003600,\"sub\":\"anna\"}"),
       REASON_TOKEN_INVALID);
    EQ(verify_es("{\"iss\":7,\"aud\":\"fairslot\",\"exp\":1800003600,\"sub\":\"anna\"}"),
       REASON_TOKEN_INVALID);
}

static void test_audience(void)
{
    static const struct { const char *aud; int r; } cases[] = {
        {"\"fairslot\"", 0}, {"[\"other\",\"fairslot\"]", 0},
        {"\"fairslot2\"", REASON_TOKEN_INVALID}, {"\"Fairslot\"", REASON_TOKEN_INVALID},
        {"[]", REASON_TOKEN_INVALID}, {"[\"other\"]", REASON_TOKEN_INVALID},
        {"[[\"fairslot\"]]", REASON_TOKEN_INVALID}, {"null", REASON_TOKEN_INVALID},
        {"{\"fairslot\":1}", REASON_TOKEN_INVALID}, {"\"\"", REASON_TOKEN_INVALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        EQ(verify_es(forge_text("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":%s,\"exp\":1800003600,"
                               "\"sub\":\"anna\"}", cases[i].aud)), cases[i].r);
    }
    EQ(verify_es("{\"iss\":\"" FORGE_ISSUER "\",\"exp\":1800003600,\"sub\":\"anna\"}"),
       REASON_TOKEN_INVALID);
}

static void test_subject(void)
{
    char name[VERIFY_SUBJECT_MAX + 2];
    memset(name, 'n', sizeof name);
    name[VERIFY_SUBJECT_MAX] = '\0';
    EQ(verify_es(forge_claims(name, SOON, "")), 0);
    name[VERIFY_SUBJECT_MAX] = 'n';
    name[VERIFY_SUBJECT_MAX + 1] = '\0';
    EQ(verify_es(forge_claims(name, SOON, "")), REASON_TOKEN_INVALID);
    EQ(verify_es(forge_claims("", SOON, "")), REASON_TOKEN_INVALID);
    EQ(verify_es(forge_claims("a\\u0000b", SOON, "")), REASON_TOKEN_INVALID);
    EQ(verify_es(forge_claims("a\xff", SOON, "")), REASON_TOKEN_INVALID); /* not UTF-8 */
    EQ(verify_es("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":\"fairslot\",\"exp\":1800003600,"
                 "\"sub\":4711}"), REASON_TOKEN_INVALID);
    EQ(verify_es("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":\"fairslot\",\"exp\":1800003600}"),
       REASON_TOKEN_INVALID);
}

static void test_algorithms(void)
{
    const char *claims = forge_text("%s", forge_claims("anna", SOON, ",\"roles\":\"operator\""));
    const char *none = forge_text("%s.%s.", forge_base64url("{\"alg\":\"none\"}", 14),
                                 forge_base64url(claims, strlen(claims)));
    EQ(verify_text(none), REASON_TOKEN_INVALID);
    EQ(verify_header("{\"alg\":\"none\",\"kid\":\"ec-1\"}"), REASON_TOKEN_INVALID);
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    CHECK(PEM_write_bio_PUBKEY(bio, rsa) == 1);
    struct span secret = {.len = (size_t)BIO_get_mem_data(bio, &pem)};
    secret.ptr = (const uint8_t *)pem;
    EQ(verify_text(forge_token_hmac(secret,
                                   "{\"alg\":\"HS256\",\"kid\":\"rsa.1_A\"}", claims)),
       REASON_TOKEN_INVALID);
    EQ(verify_text(forge_token_hmac(secret, RS_HEADER, claims)),
       REASON_TOKEN_INVALID);
    BIO_free(bio);
    EQ(verify_header("{\"alg\":\"RS256\",\"kid\":\"ec-1\"}"), REASON_TOKEN_INVALID);
    EQ(verify_text(forge_token(rsa, "{\"alg\":\"RS256\",\"kid\":\"ec-1\"}", claims)),
       REASON_TOKEN_INVALID);
    EQ(verify_text(forge_token(rsa, "{\"alg\":\"ES256\",\"kid\":\"rsa.1_A\"}", claims)),
       REASON_TOKEN_INVALID);
    static const char *const others[] = {"RS384", "RS512", "PS256", "ES384", "ES512", "EdDSA",
                                         "es256", "ES256 ", ""};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        EQ(verify_header(forge_text("{\"alg\":\"%s\",\"kid\":\"ec-1\"}", others[i])),
           REASON_TOKEN_INVALID);
    }
}

static void test_headers(void)
{
    char kid[66];
    memset(kid, 'k', 65);
    kid[65] = '\0';
    static const char *const bad[] = {
        "{\"alg\":\"ES256\"}",                                       /* no kid */
        "{\"alg\":\"ES256\",\"kid\":\"\"}",
        "{\"alg\":\"ES256\",\"kid\":1}",
        "{\"alg\":\"ES256\",\"kid\":\"ec-1 \"}",
        "{\"alg\":\"ES256\",\"kid\":\"ec-1/../x\"}",
        "{\"kid\":\"ec-1\"}",                                        /* no alg */
        "{\"alg\":256,\"kid\":\"ec-1\"}",
        "{\"alg\":[\"ES256\"],\"kid\":\"ec-1\"}",
        "{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"crit\":[\"b64\"],\"b64\":false}",
        "{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"crit\":[]}",
        "{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"crit\":null}",
        "{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"ec-1\"}",     /* twice */
        "{\"alg\":\"ES256\",\"kid\":\"ec-2\",\"kid\":\"ec-1\"}",
        "[\"ES256\",\"ec-1\"]", "\"ES256\"", "null", "7", "{", "{}", "{}x", "not JSON",
        "{\"alg\":\"ES256\",\"kid\":\"ec-1\"}{\"alg\":\"ES256\",\"kid\":\"ec-1\"}",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        EQ(verify_header(bad[i]), REASON_TOKEN_INVALID);
    }
    EQ(verify_header(forge_text("{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid)), REASON_TOKEN_INVALID);
    EQ(verify_header("{\"alg\":\"ES256\",\"kid\":\"ec-2\"}"), VERIFY_E_KID);
    /* Invitations to take the sender's key are not followed: ours decides. */
    const char *theirs = forge_jwk(stranger, "ec-1", "");
    const char *header = forge_text("{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"jku\":\"http://x/\","
                                   "\"x5u\":\"http://x/\",\"jwk\":%s}", theirs);
    EQ(verify_header(header), 0);
    EQ(verify_text(forge_token(stranger, header, forge_claims("anna", SOON, ""))),
       REASON_TOKEN_INVALID);
}

static void test_payloads(void)
{
    EQ(verify_es(forge_claims("anna", SOON, ",\"sub\":\"berta\"")), REASON_TOKEN_INVALID);
    EQ(verify_es(forge_claims("anna", SOON, ",\"x\":{\"a\":1,\"a\":2}")), REASON_TOKEN_INVALID);
    EQ(verify_es(forge_claims("anna", SOON, ",\"x\":{\"a\":1,\"b\":2}")), 0);
    EQ(verify_es("not JSON"), REASON_TOKEN_INVALID);
    EQ(verify_es("[1]"), REASON_TOKEN_INVALID);
    EQ(verify_es("\"text\""), REASON_TOKEN_INVALID);
    EQ(verify_es(forge_text("%s ,", forge_claims("anna", SOON, ""))), REASON_TOKEN_INVALID);
    char deep[5901];
    memset(deep, '[', 5900);
    deep[5900] = '\0';
    EQ(verify_es(deep), REASON_TOKEN_INVALID);
}

static void test_tampered(void)
{
    static EVP_PKEY **const keys[] = {&ec, &rsa};
    static const char *const headers[] = {ES_HEADER, RS_HEADER};
    for (int k = 0; k < 2; k++) {
        char good[4096];
        snprintf(good, sizeof good, "%s",
                 forge_token(*keys[k], headers[k], forge_claims("anna", SOON, "")));
        EQ(verify_text(good), 0);
        size_t len = strlen(good);
        for (size_t i = 0; i < len; i++) { /* one letter, anywhere */
            char was = good[i];
            good[i] = was == 'A' ? 'B' : 'A';
            OK(verify_text(good) != 0);
            good[i] = was;
        }
        for (size_t n = 0; n < len; n++) { /* cut off, anywhere */
            char was = good[n];
            good[n] = '\0';
            EQ(verify_text(good), REASON_TOKEN_INVALID);
            good[n] = was;
        }
        EQ(verify_text(good), 0);
        const char *other = forge_token(*keys[k], headers[k], forge_claims("berta", SOON, ""));
        const char *dot = strchr(strchr(good, '.') + 1, '.');
        EQ(verify_text(forge_text("%.*s%s", (int)(dot - good), good, strrchr(other, '.'))),
           REASON_TOKEN_INVALID);
    }
}

/* One token has one spelling. */
static void test_spellings(void)
{
    const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char good[4096], s[4200];
    snprintf(good, sizeof good, "%s", forge_token(ec, ES_HEADER, forge_claims("anna", SOON, "")));
    size_t len = strlen(good);
    static const struct { const char *before; const char *after; } around[] = {
        {"", "="}, {"", "=="}, {"", "."}, {"", ".."}, {"", ".AAAA"}, {"", ".AAAA.AAAA"}, {" ", ""},
        {"", " "}, {"", "\n"}, {".", ""}, {"", "AA"}, {"", "AAAA"}, {"", "+"}, {"", "/"}};
    for (size_t i = 0; i < ARRAY_COUNT(around); i++) {
        EQ(verify_text(forge_text("%s%s%s", around[i].before, good, around[i].after)),
           REASON_TOKEN_INVALID);
    }
    /* 64 bytes leave four unused bits in the last letter: only zeros are the token. */
    size_t last = (size_t)(strchr(letters, good[len - 1]) - letters);
    EQ(last % 16, 0);
    for (size_t i = 1; i < 16; i++) {
        memcpy(s, good, len + 1);
        s[len - 1] = letters[last + i];
        EQ(verify_text(s), REASON_TOKEN_INVALID);
    }
    /* r and s with a zero before each: the same numbers, another length. */
    uint8_t raw[64], padded[66] = {0};
    size_t dot = (size_t)(strrchr(good, '.') - good);
    size_t n = forge_sign(ec, forge_text("%.*s", (int)dot, good), raw);
    EQ(n, 64);
    EQ(verify_text(forge_text("%.*s.%s", (int)dot, good, forge_base64url(raw, 64))), 0);
    memcpy(padded + 1, raw, 32);
    memcpy(padded + 34, raw + 32, 32);
    EQ(verify_text(forge_text("%.*s.%s", (int)dot, good, forge_base64url(padded, 66))),
       REASON_TOKEN_INVALID);
    EQ(verify_text(""), REASON_TOKEN_INVALID);
    EQ(verify_text("."), REASON_TOKEN_INVALID);
    EQ(verify_text(".."), REASON_TOKEN_INVALID);
    EQ(verify_text("AAAA..AAAA"), REASON_TOKEN_INVALID);
    EQ(verify_text("AAAA"), REASON_TOKEN_INVALID);
    EQ(verify_text("AAAA.AAAA"), REASON_TOKEN_INVALID);
}

static void test_size(void)
{
    static char filler[TOKEN_MAX];
    int sizes[2] = {0}; /* met below the limit, and above it */
    for (size_t n = 5500; n < 6200; n += 3) {
        memset(filler, 'f', n);
        filler[n] = '\0';
        const char *t = forge_token(ec, ES_HEADER,
                                   forge_claims("anna", SOON, forge_text(",\"f\":\"%s\"", filler)));
        bool fits = strlen(t) <= TOKEN_MAX;
        EQ(verify_text(t), fits ? 0 : REASON_TOKEN_INVALID);
        sizes[!fits]++;
    }
    OK(sizes[0] > 50 && sizes[1] > 50);
}

int main(void)
{
    char text[256], jwks[8192];
    ec = EVP_EC_gen("P-256");
    stranger = EVP_EC_gen("P-256");
    rsa = EVP_RSA_gen(2048);
    snprintf(jwks, sizeof jwks, "{\"keys\":[%s,%s]}", forge_jwk(ec, "ec-1", ",\"use\":\"sig\""),
             forge_jwk(rsa, "rsa.1_A", ",\"alg\":\"RS256\""));
    struct issuer_options o = {.name = "test", .jwks_file = "unread", .issuer = FORGE_ISSUER,
                               .audience = FORGE_AUDIENCE};
    if (keyring_new(&o, 1, tenant_key, &ring, text) != 0 ||
        keyring_put(ring, 0, forge_span(jwks), text) != 0) {
        printf("Bail out! %s\n", text);
        return EXIT_FAILURE;
    }
    TAP_RUN(test_good);
    TAP_RUN(test_identity_is_the_documented_hmac);
    TAP_RUN(test_grants);
    TAP_RUN(test_time);
    TAP_RUN(test_bad_instants);
    TAP_RUN(test_issuer);
    TAP_RUN(test_audience);
    TAP_RUN(test_subject);
    TAP_RUN(test_algorithms);
    TAP_RUN(test_headers);
    TAP_RUN(test_payloads);
    TAP_RUN(test_tampered);
    TAP_RUN(test_spellings);
    TAP_RUN(test_size);
    keyring_free(ring);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(stranger);
    return tap_done();
}
