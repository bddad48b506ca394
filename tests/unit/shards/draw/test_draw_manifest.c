/* SPDX-License-Identifier: MIT */
/* Goal: a manifest has one text, every changed byte of it is found and its line named; trustees'
 * parts are unique signatures of sound keys and nothing else. */
#include "draw/manifest.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/bytes.h"
#include "tests/lib/tap.h"

static struct draw_manifest example(void)
{
    struct draw_manifest m = {.pool = span_of("passports"),
                              .release = span_of("2031-03"),
                              .serving = DRAW_BY_PREFERENCE,
                              .entry_open_us = 1930000000000000,
                              .entry_close_us = 1930000060000000,
                              .entry_grace_us = 10000000,
                              .close_us = 0,
                              .cohort_us = 5000000,
                              .accept_us = 600000000,
                              .parts_wait_us = 30000000,
                              .slots_count = 1000,
                              .max_live = 1,
                              .min_assurance = 2,
                              .trustees_count = 2,
                              .beacon = span_of("drand quicknet round 4711")};
    memset(&m.slots_hash, 0xa5, sizeof m.slots_hash);
    memset(&m.trustees[1], 0x0f, sizeof m.trustees[1]);
    return m;
}

static void test_there_and_back(void)
{
    char text[DRAW_MANIFEST_MAX], again[DRAW_MANIFEST_MAX];
    struct draw_manifest m = example(), back;
    unsigned line = 0;
    size_t n = draw_manifest_text(&m, text);
    OK(n > 0);
    OK(draw_manifest_read((struct span){(uint8_t *)text, n}, &back, &line));
    EQ(draw_manifest_text(&back, again), n);
    OK(memcmp(text, again, n) == 0);
    EQ(back.trustees_count, 2);
    EQ(back.slots_count, 1000);
    OK(span_equal(back.pool, m.pool) && span_equal(back.release, m.release));
    OK(span_equal(back.beacon, m.beacon));
    m.beacon.len = 0;
    m.trustees_count = 0;
    n = draw_manifest_text(&m, text);
    OK(draw_manifest_read((struct span){(uint8_t *)text, n}, &back, &line));
    EQ(back.beacon.len, 0);
}

/* Either refused, or another manifest: never the same one from other bytes. */
static void test_every_byte_counts(void)
{
    char text[DRAW_MANIFEST_MAX], again[DRAW_MANIFEST_MAX];
    struct draw_manifest m = example(), back;
    size_t n = draw_manifest_text(&m, text);
    for (size_t i = 0; i < n; i++) {
        for (int flip = 1; flip < 256; flip <<= 1) {
            unsigned line = 0;
            text[i] = (char)(text[i] ^ flip);
            struct span changed = {(uint8_t *)text, n};
            if (draw_manifest_read(changed, &back, &line)) {
                EQ(draw_manifest_text(&back, again), n);
                OK(memcmp(text, again, n) == 0);
            } else {
                OK(line >= 1 && line <= 21);
            }
            text[i] = (char)(text[i] ^ flip);
        }
    }
}

static bool refused_at(const char *text, unsigned want)
{
    struct draw_manifest back;
    unsigned line = 0;
    return !draw_manifest_read(span_of(text), &back, &line) && line == want;
}

static void test_refusals_name_the_line(void)
{
    char text[DRAW_MANIFEST_MAX], with[DRAW_MANIFEST_MAX + 16];
    struct draw_manifest m = example(), back;
    unsigned line = 0;
    size_t n = draw_manifest_text(&m, text);
    OK(refused_at("", 1));
    OK(refused_at("fairslot-manifest: 2\n", 1));
    OK(refused_at("fairslot-manifest: 1\nrelease: pools/a/releases\n", 2));
    OK(refused_at("fairslot-manifest: 1\nrelease: pools/a/releases/b\nserving: fair\n", 3));
    for (size_t cut = 0; cut < n; cut++) {
        OK(!draw_manifest_read((struct span){(uint8_t *)text, cut}, &back, &line));
    }
    memcpy(with, text, n);
    memcpy(with + n, "more: 1\n", 8);
    OK(!draw_manifest_read((struct span){(uint8_t *)with, n + 8}, &back, &line));
    m.beacon = span_of("two\nlines");
    EQ(draw_manifest_text(&m, text), 0);
}

static EVP_PKEY *key_new(int bits, uint8_t *der, size_t *ret_len)
{
    EVP_PKEY *key = EVP_RSA_gen((unsigned)bits);
    uint8_t *at = der;
    *ret_len = (size_t)i2d_PUBKEY(key, &at);
    return key;
}

static void test_parts(void)
{
    uint8_t der[1024], message[DRAW_PART_MESSAGE_MAX], part[DRAW_PART_MAX];
    struct draw_hash manifest = {{1}}, root = {{2}};
    size_t der_len, part_len = sizeof part;
    EVP_PKEY *key = key_new(2048, der, &der_len);
    struct span m = {message, draw_part_message(&manifest, &root, 7, message)};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    OK(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
    OK(EVP_DigestSign(ctx, part, &part_len, m.ptr, m.len) == 1);
    struct span k = {der, der_len}, p = {part, part_len};
    OK(draw_trustee_key_ok(k));
    OK(draw_part_ok(k, m, p));
    message[m.len - 1] ^= 1;
    OK(!draw_part_ok(k, m, p));
    message[m.len - 1] ^= 1;
    part[17] ^= 1;
    OK(!draw_part_ok(k, m, p));
    part[17] ^= 1;
    OK(!draw_part_ok(k, m, (struct span){part, part_len - 1}));
    OK(!draw_part_ok(k, m, (struct span){part, 0}));
    OK(!draw_part_ok((struct span){der, der_len - 1}, m, p));
    OK(draw_part_ok(k, m, p));
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static void test_keys_that_do_not_sign_uniquely(void)
{
    uint8_t der[1024];
    size_t len;
    EVP_PKEY *key = key_new(1024, der, &len);
    OK(!draw_trustee_key_ok((struct span){der, len}));
    EVP_PKEY_free(key);
    key = EVP_EC_gen("P-256");
    uint8_t *at = der;
    len = (size_t)i2d_PUBKEY(key, &at);
    OK(!draw_trustee_key_ok((struct span){der, len}));
    EVP_PKEY_free(key);
    OK(!draw_trustee_key_ok((struct span){der, 0}));
    OK(!draw_trustee_key_ok(span_of("no key at all")));
}

static void test_nonces_and_commitments_differ(void)
{
    uint8_t key[32] = {9}, one[16], two[16];
    struct draw_mac mac;
    struct ticket_id id = {{3}};
    struct draw_hash a, b, list = {{0}}, other = {{0}};
    draw_mac_init(&mac, key);
    draw_nonce(&mac, &id, 1, one);
    draw_nonce(&mac, &id, 2, two);
    OK(memcmp(one, two, 16) != 0);
    draw_commit_operator(key, &a);
    draw_commit_release_key(key, &b);
    OK(memcmp(&a, &b, 32) != 0);
    draw_slots_hash(&list, 900, 1, span_of("a"));
    draw_slots_hash(&other, 900, 1, span_of("b"));
    OK(memcmp(&list, &other, 32) != 0);
}

int main(void)
{
    TAP_RUN(test_there_and_back);
    TAP_RUN(test_every_byte_counts);
    TAP_RUN(test_refusals_name_the_line);
    TAP_RUN(test_parts);
    TAP_RUN(test_keys_that_do_not_sign_uniquely);
    TAP_RUN(test_nonces_and_commitments_differ);
    return tap_done();
}
