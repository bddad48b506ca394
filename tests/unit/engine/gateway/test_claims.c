/* SPDX-License-Identifier: MIT */
/* Goal: RFC 8725's list, rule by rule: the token that breaks it is refused, and its twin, the same
 * but for that, is accepted; so no check can pass for another's sake. */
#include "gateway/verify.h"

#include "tests/lib/tap.h"
#include "tests/unit/engine/gateway/forge.h"

#define SOON (FORGE_NOW_S + 3600)
#define OTHER_ISSUER "https://other.test/realms/city"

static EVP_PKEY *ec, *rsa, *p384, *other;
static struct keyring *ring;
static const uint8_t tenant_key[KEYRING_TENANT_KEY] = "thirty-two bytes of a tenant key";
static char text[256];

/* One issuer by these rules, with all our keys; the second has `other` alone. */
static void rules(struct issuer_options first)
{
    const struct issuer_options second = {.name = "second", .jwks_file = "unread",
                                          .issuer = OTHER_ISSUER, .audience = FORGE_AUDIENCE};
    first.name = "first";
    first.jwks_file = "unread";
    first.issuer = FORGE_ISSUER;
    first.audience = first.audience ? first.audience : FORGE_AUDIENCE;
    const struct issuer_options both[] = {first, second};
    keyring_free(ring);
    ring = NULL;
    EQ(keyring_new(both, 2, tenant_key, &ring, text), 0);
    EQ(keyring_put(ring, 0, forge_span(forge_text("{\"keys\":[%s,%s,%s]}", forge_jwk(ec, "e", ""),
                                                  forge_jwk(rsa, "r", ""),
                                                  forge_jwk(p384, "p", ""))), text), 0);
    EQ(keyring_put(ring, 1, forge_span(forge_text("{\"keys\":[%s]}", forge_jwk(other, "e", ""))),
                   text), 0);
}

static int judge_as(const char *token, struct verified *out)
{
    size_t number;
    struct verified unused;
    return verify_token(ring, forge_span(token), FORGE_NOW_US, out ? out : &unused, &number);
}

static int judge(const char *token)
{
    return judge_as(token, NULL);
}

static const char *es(const char *header_more, const char *claims)
{
    return forge_token(ec, forge_text("{\"alg\":\"ES256\",\"kid\":\"e\"%s}", header_more), claims);
}

static int with_header(const char *more)
{
    return judge(es(more, forge_claims("anna", SOON, "")));
}

static int with_claims(const char *more)
{
    return judge(es("", forge_claims("anna", SOON, more)));
}

static void test_typ(void)
{
    static const struct { const char *typ; bool any, jwt, access; } cases[] = {
        {"", true, false, false}, {",\"typ\":\"JWT\"", true, true, false},
        {",\"typ\":\"jwt\"", true, true, false},
        {",\"typ\":\"application/jwt\"", true, true, false},
        {",\"typ\":\"at+jwt\"", true, false, true}, {",\"typ\":\"AT+JWT\"", true, false, true},
        {",\"typ\":\"application/at+jwt\"", true, false, true},
        {",\"typ\":\"dpop+jwt\"", false, false, false}, {",\"typ\":\"ID\"", false, false, false},
        {",\"typ\":\"logout+jwt\"", false, false, false}, {",\"typ\":\"\"", false, false, false},
        {",\"typ\":\"secevent+jwt\"", false, false, false}, {",\"typ\":7", false, false, false},
        {",\"typ\":\"JWTX\"", false, false, false}, {",\"typ\":null", false, false, false},
        {",\"typ\":[\"JWT\"]", false, false, false}, {",\"typ\":\"JOSE\"", false, false, false},
    };
    static const char *const names[] = {"any", "JWT", "at+jwt"};
    for (int rule = 0; rule < 3; rule++) {
        rules((struct issuer_options){.typ = names[rule]});
        for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
            bool good = rule == 0 ? cases[i].any : rule == 1 ? cases[i].jwt : cases[i].access;
            EQ(with_header(cases[i].typ), good ? 0 : REASON_TOKEN_INVALID);
        }
    }
}

/* Tokens in tokens, packed ones, encrypted ones, and demands that nobody here understands. */
static void test_headers(void)
{
    static const char *const bad[] = {
        ",\"cty\":\"JWT\"", ",\"cty\":\"application/jwt\"", ",\"cty\":7", ",\"zip\":\"DEF\"",
        ",\"enc\":\"A256GCM\"", ",\"crit\":[\"exp\"]", ",\"crit\":\"exp\"", ",\"crit\":[]",
        ",\"b64\":false,\"crit\":[\"b64\"]"};
    static const char *const good[] = {"", ",\"cty\":\"json\"", ",\"x\":{\"zip\":1}",
        ",\"jku\":\"http://127.0.0.1:1/\",\"x5u\":\"http://127.0.0.1:1/\",\"x5c\":[\"AAAA\"]"};
    rules((struct issuer_options){0});
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        EQ(with_header(bad[i]), REASON_TOKEN_INVALID);
    }
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        EQ(with_header(good[i]), 0);
    }
    const char *inner = es("", forge_claims("anna", SOON, ""));
    EQ(judge(es("", inner)), REASON_TOKEN_INVALID); /* the payload is a token */
    EQ(judge(inner), 0);
}

/* A key is used with its one algorithm, and with none that its issuer may not use. */
static void test_algorithms(void)
{
    static const char *const names[] = {"ES256", "RS256", "PS256", "ES384", "none", "HS256",
                                        "RS512", "ES512", "EdDSA", "ES256K"};
    static const struct { const char *may; const char *rsa_with; bool ec, p384; } cases[] = {
        {"ES256, RS256, PS256, ES384", "RS256", true, true}, {"PS256, ES256", "PS256", true, false},
        {"RS256, ES384", "RS256", false, true}};
    char claims[512]; /* outlives the ring of texts */
    snprintf(claims, sizeof claims, "%s", forge_claims("anna", SOON, ""));
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        rules((struct issuer_options){.algorithms = cases[c].may});
        for (size_t a = 0; a < ARRAY_COUNT(names); a++) {
            const char *alg = names[a];
            const struct { EVP_PKEY *key; const char *kid; bool good; } keys[] = {
                {ec, "e", cases[c].ec && strcmp(alg, "ES256") == 0},
                {p384, "p", cases[c].p384 && strcmp(alg, "ES384") == 0},
                {rsa, "r", strcmp(alg, cases[c].rsa_with) == 0}};
            for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
                const char *header = forge_text("{\"alg\":\"%s\",\"kid\":\"%s\"}", alg,
                                               keys[k].kid);
                int r = judge(forge_token_as(keys[k].key, alg, header, claims));
                OK(keys[k].good ? r == 0 : r == REASON_TOKEN_INVALID || r == VERIFY_E_KID);
            }
        }
    }
    const char *header = "{\"alg\":\"RS256\",\"kid\":\"r\"}"; /* says one, is the other */
    EQ(judge(forge_token_as(rsa, "PS256", header, claims)), REASON_TOKEN_INVALID);
    EQ(judge(forge_token_as(rsa, "RS256", header, claims)), 0);
}

/* The same kid, two issuers: each is believed for itself alone. */
static void test_issuers_apart(void)
{
    const char *mine = forge_text("%s", forge_claims("anna", SOON, ""));
    const char *theirs = forge_text("{\"iss\":\"" OTHER_ISSUER "\",\"aud\":\"fairslot\","
                                   "\"exp\":%lld,\"sub\":\"anna\"}", (long long)SOON);
    const char *header = "{\"alg\":\"ES256\",\"kid\":\"e\"}";
    struct verified a, b;
    rules((struct issuer_options){0});
    EQ(judge_as(forge_token(ec, header, mine), &a), 0);
    EQ(judge_as(forge_token(other, header, theirs), &b), 0);
    OK(memcmp(&a.identity, &b.identity, sizeof a.identity) != 0); /* two annas */
    EQ(a.mark.issuer, 0);
    EQ(b.mark.issuer, 1);
    EQ(judge(forge_token(other, header, mine)), REASON_TOKEN_INVALID);
    EQ(judge(forge_token(ec, header, theirs)), REASON_TOKEN_INVALID);
    EQ(judge(forge_token(rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}", theirs)), VERIFY_E_KID);
    EQ(judge(forge_token(rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}", mine)), 0);
    keyring_clear(ring, 1);
    EQ(judge(forge_token(other, header, theirs)), VERIFY_E_KEYS);
    EQ(judge(forge_token(ec, header, mine)), 0);
}

static void test_times(void)
{
    rules((struct issuer_options){.leeway_ms = 10000});
    static const struct { const char *exp; int r; } ends[] = {
        {"1800000000", REASON_TOKEN_EXPIRED}, {"1800000001", 0}, {"1800000000.5", 0},
        {"1799999999.5", REASON_TOKEN_EXPIRED}, {"1800003600.25", 0}, {"1.8000036e9", 0},
        {"18000036E2", 0}, {"253402300799", 0}, {"253402300800", REASON_TOKEN_INVALID},
        {"0", REASON_TOKEN_INVALID}, {"-1", REASON_TOKEN_INVALID}, {"-0.0", REASON_TOKEN_INVALID},
        {"1e400", REASON_TOKEN_INVALID}, {"1e300", REASON_TOKEN_INVALID},
        {"\"1800003600\"", REASON_TOKEN_INVALID}, {"null", REASON_TOKEN_INVALID},
        {"true", REASON_TOKEN_INVALID}, {"01800003600", REASON_TOKEN_INVALID},
        {"99999999999999999999", REASON_TOKEN_INVALID}, {"NaN", REASON_TOKEN_INVALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        EQ(judge(es("", forge_text("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":\"fairslot\","
                                   "\"sub\":\"anna\",\"exp\":%s}", ends[i].exp))), ends[i].r);
    }
    static const char *const starts[] = {"nbf", "iat"};
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
        EQ(with_claims(forge_text(",\"%s\":1800000010", starts[i])), 0);
        EQ(with_claims(forge_text(",\"%s\":1800000010.5", starts[i])), REASON_TOKEN_INVALID);
        EQ(with_claims(forge_text(",\"%s\":1800000011", starts[i])), REASON_TOKEN_INVALID);
        EQ(with_claims(forge_text(",\"%s\":0", starts[i])), 0);
    }
    struct verified out;
    EQ(judge_as(es("", "{\"iss\":\"" FORGE_ISSUER "\",\"aud\":\"fairslot\",\"sub\":\"anna\","
                       "\"exp\":1800000000.5}"), &out), 0);
    EQ(out.exp_us, FORGE_NOW_US + 500000);
}

static void test_audience_and_party(void)
{
    rules((struct issuer_options){.audience = "one, two", .authorized_party = "shop, city-hall"});
    static const struct { const char *aud; const char *more; int r; } cases[] = {
        {"\"one\"", ",\"azp\":\"shop\"", 0}, {"[\"x\",\"two\"]", ",\"client_id\":\"city-hall\"", 0},
        {"\"one, two\"", ",\"azp\":\"shop\"", REASON_TOKEN_INVALID},
        {"\"three\"", ",\"azp\":\"shop\"", REASON_TOKEN_INVALID},
        {"[]", ",\"azp\":\"shop\"", REASON_TOKEN_INVALID},
        {"\"one\"", "", REASON_TOKEN_INVALID}, {"\"one\"", ",\"azp\":\"x\"", REASON_TOKEN_INVALID},
        {"\"one\"", ",\"azp\":[\"shop\"]", REASON_TOKEN_INVALID},
        {"\"one\"", ",\"azp\":\"x\",\"client_id\":\"shop\"", REASON_TOKEN_INVALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        EQ(judge(es("", forge_text("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":%s,\"sub\":\"anna\","
                                   "\"exp\":%lld%s}", cases[i].aud, (long long)SOON,
                                   cases[i].more))), cases[i].r);
    }
}

static int subject(const char *claims, struct verified *out)
{
    return judge_as(es("", forge_text("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":\"fairslot\","
                                     "\"exp\":%lld,%s}", (long long)SOON, claims)), out);
}

static void test_subject(void)
{
    static const struct { const char *claims; int r; } cases[] = {
        {"\"pid\":\"p\"", 0}, {"\"sub\":\"p\"", REASON_TOKEN_INVALID},
        {"\"sub\":\"s\",\"pid\":\"\"", REASON_TOKEN_INVALID},
        {"\"sub\":\"s\",\"pid\":7", REASON_TOKEN_INVALID},
        {"\"pid\":[\"p\"]", REASON_TOKEN_INVALID}, {"\"pid\":null", REASON_TOKEN_INVALID},
        {"\"pid\":\"a\\u0000b\"", REASON_TOKEN_INVALID}, {"\"pid\":\"a\\u0001b\"", 0},
        {"\"pid\":\"\\ud800\"", REASON_TOKEN_INVALID}, {"\"pid\":\"\xc3\"", REASON_TOKEN_INVALID},
        {"\"pid\":\"\xf0\x9f\x98\x80\"", 0}, {"\"pid\":\"p\",\"pid\":\"q\"", REASON_TOKEN_INVALID},
        {"\"pid\":\"p\",\"p\\u0069d\":\"q\"", REASON_TOKEN_INVALID},
    };
    rules((struct issuer_options){.subject_claim = "pid"});
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        EQ(subject(cases[i].claims, NULL), cases[i].r);
    }
    /* Bytes decide: an escape is the letter, another normal form is another person. */
    struct verified a, b, c;
    EQ(subject("\"pid\":\"\xc3\xa4\"", &a), 0);
    EQ(subject("\"pid\":\"\\u00e4\"", &b), 0);
    EQ(subject("\"pid\":\"a\xcc\x88\"", &c), 0);
    OK(memcmp(&a.identity, &b.identity, sizeof a.identity) == 0);
    OK(memcmp(&a.identity, &c.identity, sizeof a.identity) != 0);
    rules((struct issuer_options){.subject_claim = "person.id"});
    EQ(subject("\"person\":{\"id\":\"p\"}", &a), 0);
    EQ(subject("\"person.id\":\"p\"", &b), 0); /* the name as it stands comes first */
    OK(memcmp(&a.identity, &b.identity, sizeof a.identity) == 0);
    EQ(subject("\"person\":[{\"id\":\"p\"}]", NULL), REASON_TOKEN_INVALID);
    EQ(subject("\"person\":\"id\"", NULL), REASON_TOKEN_INVALID);
    EQ(subject("\"person\":{}", NULL), REASON_TOKEN_INVALID);
}

static void test_assurance_table(void)
{
    static const struct { const char *claim; enum assurance level; } cases[] = {
        {"", ASSURANCE_LOW}, {",\"acr\":\"http://eidas.europa.eu/LoA/substantial\"",
                              ASSURANCE_SUBSTANTIAL},
        {",\"acr\":\"http://eidas.europa.eu/LoA/high\"", ASSURANCE_HIGH},
        {",\"acr\":\"http://eidas.europa.eu/LoA/high \"", ASSURANCE_LOW},
        {",\"acr\":\"high\"", ASSURANCE_LOW}, {",\"acr\":\"a=b\"", ASSURANCE_HIGH},
        {",\"acr\":\"2\"", ASSURANCE_SUBSTANTIAL}, {",\"acr\":2", ASSURANCE_SUBSTANTIAL},
        {",\"acr\":2.0", ASSURANCE_LOW}, {",\"acr\":true", ASSURANCE_LOW},
        {",\"acr\":[\"2\"]", ASSURANCE_LOW}, {",\"acr\":null", ASSURANCE_LOW},
        {",\"acr\":\"\"", ASSURANCE_LOW}, {",\"assurance\":\"high\"", ASSURANCE_LOW},
    };
    rules((struct issuer_options){
        .assurance_claim = "acr",
        .assurance = "http://eidas.europa.eu/LoA/substantial = substantial, "
                     "http://eidas.europa.eu/LoA/high=high,a=b = high , 2=substantial"});
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct verified out;
        EQ(judge_as(es("", forge_claims("anna", SOON, cases[i].claim)), &out), 0);
        EQ(out.assurance, cases[i].level);
    }
}

static void test_roles_by_path(void)
{
    static const struct { const char *claims; uint32_t roles; } cases[] = {
        {",\"realm_access\":{\"roles\":[\"x\",\"slot-admin\"]}", ROLE_OPERATOR},
        {",\"realm_access\":{\"roles\":\"slot-admin\"}", ROLE_OPERATOR},
        {",\"realm_access\":{\"roles\":[\"operator\"]}", 0},
        {",\"realm_access\":{\"roles\":[[\"slot-admin\"]]}", 0},
        {",\"realm_access\":[\"slot-admin\"]", 0}, {",\"roles\":[\"slot-admin\"]", 0},
        {",\"realm_access\":{\"roles\":{\"slot-admin\":true}}", 0}, {"", 0},
    };
    rules((struct issuer_options){.role_claim = "realm_access.roles",
                                  .roles = "slot-admin = operator"});
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct verified out;
        EQ(judge_as(es("", forge_claims("anna", SOON, cases[i].claims)), &out), 0);
        EQ(out.roles, cases[i].roles);
    }
}

int main(void)
{
    ec = EVP_EC_gen("P-256");
    other = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    rsa = EVP_RSA_gen(2048);
    TAP_RUN(test_typ);
    TAP_RUN(test_headers);
    TAP_RUN(test_algorithms);
    TAP_RUN(test_issuers_apart);
    TAP_RUN(test_times);
    TAP_RUN(test_audience_and_party);
    TAP_RUN(test_subject);
    TAP_RUN(test_assurance_table);
    TAP_RUN(test_roles_by_path);
    keyring_free(ring);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(other);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(rsa);
    return tap_done();
}
