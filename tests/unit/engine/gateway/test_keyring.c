/* SPDX-License-Identifier: MIT */
/* Goal: keys come and go: a key that stays keeps the tokens it vouched for, one that goes takes
 * them along at once and for good, a broken set changes nothing; and the words of an issuer's
 * section are understood or refused by name. */
#include "gateway/auth.h"

#include <pthread.h>
#include <unistd.h>

#include "tests/lib/tap.h"
#include "tests/unit/engine/gateway/forge.h"

static EVP_PKEY *keys[4];
static struct keyring *ring;
static char text[256];
static const uint8_t tenant_key[KEYRING_TENANT_KEY];

static const struct issuer_options plain = {
    .name = "one", .jwks_file = "unread", .issuer = FORGE_ISSUER, .audience = FORGE_AUDIENCE};

/* A JWKS of the keys whose numbers stand in `which`; the kid is the number. */
static const char *jwks(const char *which)
{
    char *all = forge_text("{\"keys\":[");
    for (const char *c = which; *c; c++) {
        all = forge_text("%s%s%s", all, c == which ? "" : ",",
                         forge_jwk(keys[*c - '0'], forge_text("%c", *c), ""));
    }
    return forge_text("%s]}", all);
}

static int put(const char *which)
{
    return keyring_put(ring, 0, forge_span(jwks(which)), text);
}

static struct key_mark mark_of(const char *kid)
{
    struct keyset *set = keyring_take(ring, 0);
    const struct keyset_key *key = keyset_find(set, kid);
    CHECK(key != NULL);
    struct key_mark mark = key->mark;
    keyset_drop(set);
    return mark;
}

static void ring_new(void)
{
    keyring_free(ring);
    EQ(keyring_new(&plain, 1, tenant_key, &ring, text), 0);
    OK(keyring_take(ring, 0) == NULL);
}

static void test_marks(void)
{
    ring_new();
    EQ(put("01"), 0);
    struct key_mark zero = mark_of("0"), one = mark_of("1");
    OK(keyring_is_live(ring, zero) && keyring_is_live(ring, one));
    EQ(put("10"), 0); /* another order is the same set */
    OK(keyring_is_live(ring, zero) && keyring_is_live(ring, one));
    EQ(put("12"), 0);
    struct key_mark two = mark_of("2");
    OK(!keyring_is_live(ring, zero));
    OK(keyring_is_live(ring, one) && keyring_is_live(ring, two));
    EQ(put("012"), 0); /* it is back: what it vouched for before is not */
    OK(!keyring_is_live(ring, zero));
    OK(keyring_is_live(ring, mark_of("0")));
    keyring_clear(ring, 0);
    OK(keyring_take(ring, 0) == NULL);
    OK(!keyring_is_live(ring, one) && !keyring_is_live(ring, two));
    OK(!keyring_is_live(ring, (struct key_mark){.issuer = 1}));
    OK(!keyring_is_live(ring, (struct key_mark){.slot = ISSUER_KEYS_MAX}));
}

/* Another key under the same kid is another key. */
static void test_kid_of_another(void)
{
    ring_new();
    EQ(put("0"), 0);
    struct key_mark zero = mark_of("0");
    EVP_PKEY *first = keys[0];
    keys[0] = keys[3];
    EQ(put("0"), 0);
    OK(!keyring_is_live(ring, zero));
    keys[0] = first;
    EQ(put("0"), 0);
    OK(!keyring_is_live(ring, zero));
    zero = mark_of("0");
    EQ(keyring_put(ring, 0, forge_span(forge_text("{\"keys\":[%s]}", forge_jwk(
        keys[0], "0", ",\"use\":\"sig\",\"x5t\":\"changes\""))), text), 0);
    OK(keyring_is_live(ring, zero)); /* what stands beside the numbers does not matter */
}

static void test_broken_set_changes_nothing(void)
{
    static const char *const broken[] = {"", "{}", "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"oct\"}]}",
                                         "<html>", "{\"keys\":[", "null"};
    ring_new();
    EQ(put("01"), 0);
    struct key_mark zero = mark_of("0");
    for (size_t i = 0; i < ARRAY_COUNT(broken); i++) {
        EQ(keyring_put(ring, 0, forge_span(broken[i]), text), KEYRING_E_KEYS);
        OK(text[0] != '\0');
        OK(keyring_is_live(ring, zero));
    }
    EQ(keyring_put(ring, 0, forge_span(forge_text("{\"keys\":[%s,%s]}", forge_jwk(keys[2], "2", ""),
                                                  forge_jwk(keys[3], "2", ""))), text),
       KEYRING_E_KEYS);
    OK(keyring_is_live(ring, zero));
}

/* Slots are used again, thousands of times, and no old mark comes to life. */
static void test_many_rotations(void)
{
    static const char *const sets[] = {"01", "12", "20", "3"};
    struct key_mark old[200];
    size_t count = 0;
    ring_new();
    for (size_t i = 0; i < 200; i++) {
        EQ(put(sets[i % 4]), 0);
        for (size_t n = 0; n < count; n++) {
            OK(!keyring_is_live(ring, old[n]) || i - n <= 2);
        }
        old[count++] = mark_of((const char[]){sets[i % 4][0], '\0'});
        OK(keyring_is_live(ring, old[count - 1]));
    }
}

/* -- a token that is remembered ---------------------------------------------------------------- */

static char path[] = "test_keyring_jwks_XXXXXX";

static void file_is(const char *content)
{
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fputs(content, f) >= 0);
    fclose(f);
}

/* auth_lookup() until it says r, at most five seconds. */
static bool lookup_becomes(struct auth *a, const char *token, int r)
{
    struct verified out;
    const char *header = forge_text("Bearer %s", token);
    for (int i = 0; i < 500; i++) {
        if (auth_lookup(a, forge_span(header), FORGE_NOW_US, &out) == r) {
            return true;
        }
        usleep(10000);
    }
    return false;
}

static void test_withdrawn_key_takes_its_tokens(void)
{
    struct issuer_options o = plain;
    struct auth *a = NULL;
    struct verified out;
    struct auth_trouble trouble;
    o.jwks_file = path;
    file_is(jwks("01"));
    const struct auth_options options = {.issuers = &o, .issuers_count = 1};
    EQ(auth_new(&options, &a, text), 0);
    const char *claims = forge_text("%s", forge_claims("anna", FORGE_NOW_S + 600, ""));
    const char *by[2];
    for (int k = 0; k < 2; k++) {
        by[k] = forge_token(keys[k], forge_text("{\"alg\":\"ES256\",\"kid\":\"%d\"}", k), claims);
        EQ(auth_verify(a, forge_span(by[k]), FORGE_NOW_US, &out, &trouble), 0);
        EQ(auth_remember(a, forge_span(by[k]), &out, FORGE_NOW_US), 0);
        OK(lookup_becomes(a, by[k], 0));
    }
    file_is("{\"keys\":");
    auth_refresh(a);
    usleep(50000);
    OK(lookup_becomes(a, by[0], 0));
    file_is(jwks("12"));
    OK(lookup_becomes(a, by[0], AUTH_E_UNKNOWN)); /* by itself: the file is looked at */
    OK(lookup_becomes(a, by[1], 0));
    EQ(auth_verify(a, forge_span(by[0]), FORGE_NOW_US, &out, &trouble), REASON_TOKEN_INVALID);
    struct refresh_state state;
    auth_issuer_state(a, 0, &state);
    EQ(state.keys_count, 2);
    OK(!state.is_stale && state.failed_count > 0 && state.age_us >= 0);
    auth_drop(a);
}

static void *rotate(void *unused)
{
    for (int i = 0; i < 300; i++) {
        EQ(put(i % 2 ? "01" : "02"), 0);
    }
    return unused;
}

/* Workers verify while keys change under them. */
static void test_threads(void)
{
    pthread_t thread;
    struct verified out;
    size_t number;
    ring_new();
    EQ(put("01"), 0);
    char token[2048];
    snprintf(token, sizeof token, "%s",
             forge_token(keys[0], "{\"alg\":\"ES256\",\"kid\":\"0\"}",
                         forge_claims("anna", FORGE_NOW_S + 600, "")));
    CHECK(pthread_create(&thread, NULL, rotate, NULL) == 0);
    for (int i = 0; i < 1000; i++) {
        OK(verify_token(ring, forge_span(token), FORGE_NOW_US, &out, &number) == 0);
        OK(keyring_is_live(ring, out.mark)); /* this key is in every set */
    }
    pthread_join(thread, NULL);
}

/* -- words ------------------------------------------------------------------------------------- */

static const char *wrong(struct issuer_options o)
{
    struct issuer_rules *rules = NULL;
    text[0] = '\0';
    int r = issuer_new(&o, &rules, text);
    OK(r == 0 || r == ISSUER_E_OPTIONS);
    OK((r == 0) == (text[0] == '\0'));
    issuer_free(rules);
    return text;
}

static void test_words(void)
{
    struct issuer_options o = plain;
    EQS(wrong(o), "");
#define SAYS(change, words) do { o = plain; change; \
        if (strstr(wrong(o), words) == NULL) { printf("# \"%s\", not \"%s\"\n", text, words); \
            OK(!#change); } } while (0)
    SAYS(o.name = "Munich", "its name");
    SAYS(o.issuer = "", "issuer needs");
    SAYS(o.audience = "", "audience is needed");
    SAYS(o.audience = "a,,b", "an item needs");
    SAYS(o.audience = "a, b , a", "stands there twice");
    SAYS(o.jwks_url = "https://a/", "one of jwks_file");
    SAYS(o.jwks_file = NULL, "one of jwks_file");
    SAYS(o.algorithms = "ES256, none", "'none' is none of");
    SAYS(o.algorithms = "HS256", "'HS256' is none of");
    SAYS(o.typ = "jwt", "typ must be");
    SAYS(o.assurance = "a = low, b", "write VALUE = MEANING");
    SAYS(o.assurance = "a = Low", "means nothing here");
    SAYS(o.roles = "a = admin", "means nothing here");
    SAYS(o.leeway_ms = 400000, "leeway must be 1 to 300");
    SAYS(o.refresh_ms = 100, "refresh must be");
    char long_name[ISSUER_TEXT_MAX + 2];
    memset(long_name, 'i', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    SAYS(o.issuer = long_name, "issuer needs");
    SAYS(o.audience = long_name, "an item needs");
    SAYS(o.subject_claim = "", "subject_claim needs");
    o = plain;
    o.audience = "a, b";
    o.assurance = "x=low";
    EQS(wrong(o), "");
}

static void test_urls(void)
{
    static const char *const good[] = {"https://a.example/keys", "https://a:8443/x?y=z",
        "http://127.0.0.1:1/", "http://127.9.9.9/", "http://localhost:80", "http://[::1]:8/x",
        "https://[2001:db8::1]/"};
    static const char *const bad[] = {"http://a.example/", "http://10.0.0.1/", "ftp://127.0.0.1/",
        "file:///etc/passwd", "https://", "https:///x", "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/", "https://u:p@a.example/", "http://localhost.evil/",
        "http://[::1].evil/", "http://[::2]/", "http://127.1/", "http://0x7f000001/",
        "https://a.example/#x", "https://a example/", "https://a.example\\@b/", "HTTPS://a/",
        "http://127.0.0.1\n/", "", "x", "http://2130706433/"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        OK(issuer_url_wrong(good[i]) == NULL);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (issuer_url_wrong(bad[i]) == NULL) {
            printf("# %s\n", bad[i]);
            OK(!"refused");
        }
    }
}

static void test_rings(void)
{
    struct keyring *r = NULL;
    struct issuer_options two[2] = {plain, plain};
    EQ(keyring_new(two, 0, tenant_key, &r, text), KEYRING_E_OPTIONS);
    EQ(keyring_new(two, 2, tenant_key, &r, text), KEYRING_E_OPTIONS);
    OK(strstr(text, "another issuer has its") != NULL);
    two[1].name = "two";
    EQ(keyring_new(two, 2, tenant_key, &r, text), KEYRING_E_OPTIONS);
    two[1].issuer = "https://two.test";
    EQ(keyring_new(two, 2, tenant_key, &r, text), 0);
    EQ(keyring_count(r), 2);
    keyring_free(r);
}

int main(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        keys[i] = EVP_EC_gen("P-256");
    }
    close(mkstemp(path));
    TAP_RUN(test_marks);
    TAP_RUN(test_kid_of_another);
    TAP_RUN(test_broken_set_changes_nothing);
    TAP_RUN(test_many_rotations);
    TAP_RUN(test_withdrawn_key_takes_its_tokens);
    TAP_RUN(test_threads);
    TAP_RUN(test_words);
    TAP_RUN(test_urls);
    TAP_RUN(test_rings);
    unlink(path);
    keyring_free(ring);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        EVP_PKEY_free(keys[i]);
    }
    return tap_done();
}
