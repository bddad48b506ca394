/* SPDX-License-Identifier: MIT */
/* A JWKS: which of its keys may be used, each with one algorithm.
 * Owns: the keys, as cjose holds them.
 *
 *   JSON without duplicate names -> each key: kid, kind, size, use, alg -> cjose -> print
 *
 * Happy path: a few keys, some milliseconds, on the thread that reads keys.
 * Fails: the whole set, by the reason; a set that fails replaces nothing (keyring.c).
 * Invariants: the algorithm comes from the key (its kind, narrowed by its own `alg`), never from a
 * token; RSA of 2048 bits or more, counted on the number itself; EC on P-256 or P-384 and on the
 * curve; a private or secret key is never used, whoever published it.
 * Roads not taken: refusing a whole JWKS for one odd key (real sets carry keys for encryption),
 * keys without kid (then every key would have to be tried), EdDSA (cjose has none). */
#include "gateway/keyset.h"

#include <cjose/cjose.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "gateway/issuer.h"

#define TEXT_SIZE     256
#define RSA_BITS_MIN  2048
#define RSA_TEXT_MAX  2048 /* characters of a modulus: 12,288 bits */
#define ES256_BYTES   64   /* r and s, 32 each (RFC 7518 3.4) */
#define ES384_BYTES   96
#define EC_TEXT_MAX   64   /* characters of a coordinate: 48 bytes */

bool keyset_kid_valid(const char *kid)
{
    size_t n = kid ? strlen(kid) : 0;
    for (size_t i = 0; i < n; i++) {
        if (base64_value((uint8_t)kid[i], BASE64_URL) < 0 && kid[i] != '.') {
            return false;
        }
    }
    return n > 0 && n <= KEYSET_KID_MAX;
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* The text of a member, "" when it is none. */
static const char *word_of(const json_t *value)
{
    return json_is_string(value) ? json_string_value(value) : "";
}

static bool array_has(const json_t *array, const char *text)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (strcmp(word_of(json_array_get(array, i)), text) == 0) {
            return true;
        }
    }
    return false;
}

/* Bits of the RSA modulus, 0 when the numbers are no RSA key.  By the number itself: cjose counts
 * bytes, so a short modulus behind zeros would look long. */
static size_t rsa_bits(const json_t *key)
{
    const char *n = text_of(key, "n"), *e = text_of(key, "e");
    uint8_t bytes[RSA_TEXT_MAX];
    size_t len;
    if (n == NULL || e == NULL || strlen(n) > sizeof bytes || strlen(e) > sizeof bytes ||
        !base64_decode_jose(span_of(e), bytes, &len) || len == 0 || len > 8) {
        return 0;
    }
    bool one = bytes[len - 1] == 1; /* e = 1 would make every text its own signature */
    for (size_t i = 0; i + 1 < len; i++) {
        one = one && bytes[i] == 0;
    }
    if (one || bytes[len - 1] % 2 == 0) {
        return 0;
    }
    if (!base64_decode_jose(span_of(n), bytes, &len)) {
        return 0;
    }
    size_t first = 0, bits;
    while (first < len && bytes[first] == 0) {
        first++;
    }
    bits = (len - first) * 8;
    for (unsigned top = first < len ? bytes[first] : 0x80; !(top & 0x80); top <<= 1) {
        bits--;
    }
    return bits;
}

/* A coordinate of so many bytes, in its one spelling. */
static bool ec_coordinate(const json_t *key, const char *name, size_t want)
{
    const char *text = text_of(key, name);
    uint8_t bytes[EC_TEXT_MAX];
    size_t len;
    return text && strlen(text) <= sizeof bytes &&
           base64_decode_jose(span_of(text), bytes, &len) && len == want;
}

/* The key's numbers alone, once they are known to be well spelled: libcjose asserts on base64 that
 * cannot be, and would look at members that nobody checked.  NULL: out of memory. */
static json_t *key_numbers(const json_t *key)
{
    static const char *const names[] = {"kty", "crv", "x", "y", "n", "e"};
    json_t *numbers = json_object();
    for (size_t i = 0; numbers && i < ARRAY_COUNT(names); i++) {
        json_t *value = json_object_get(key, names[i]);
        if (value && json_object_set(numbers, names[i], value)) {
            json_decref(numbers);
            return NULL;
        }
    }
    return numbers;
}

/* What the key's kind can do, and its signature's size; else why it cannot be used. */
static const char *key_kind(const json_t *key, uint32_t *ret_can, struct keyset_key *k)
{
    const char *kty = word_of(json_object_get(key, "kty"));
    if (strcmp(kty, "EC") == 0) {
        const char *crv = word_of(json_object_get(key, "crv"));
        bool is_384 = strcmp(crv, "P-384") == 0;
        *ret_can = is_384 ? ISSUER_ES384 : ISSUER_ES256;
        k->signature_bytes = is_384 ? ES384_BYTES : ES256_BYTES;
        if (!is_384 && strcmp(crv, "P-256") != 0) {
            return "an EC key must be on P-256 or P-384";
        }
        return ec_coordinate(key, "x", k->signature_bytes / 2) &&
               ec_coordinate(key, "y", k->signature_bytes / 2) ? NULL : "its numbers are not a key";
    }
    if (strcmp(kty, "RSA") == 0) {
        size_t bits = rsa_bits(key);
        *ret_can = ISSUER_RS256 | ISSUER_PS256;
        k->signature_bytes = (bits + 7) / 8;
        return bits == 0 ? "its numbers are not an RSA key"
                         : bits < RSA_BITS_MIN ? "an RSA key needs 2048 bits or more" : NULL;
    }
    return "only EC and RSA keys are used";
}

/* One algorithm out of what the key can, what it says and what the issuer may; 0: none. */
static uint32_t key_algorithm(const json_t *key, uint32_t can, uint32_t algorithms)
{
    const json_t *alg = json_object_get(key, "alg");
    uint32_t left = can & algorithms & (alg ? issuer_algorithm_of(word_of(alg)) : UINT32_MAX);
    return left & -left; /* the lowest: RS256 before PS256 when the key does not say */
}

/* What makes it this key: whatever else the issuer writes beside that may change. */
static int key_print(const json_t *key, struct keyset_key *k)
{
    static const char *const names[] = {"kid", "kty", "crv", "x", "y", "n", "e"};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
                EVP_DigestUpdate(ctx, &k->algorithm, sizeof k->algorithm);
    for (size_t i = 0; i < ARRAY_COUNT(names) && done; i++) {
        const char *text = word_of(json_object_get(key, names[i]));
        done = EVP_DigestUpdate(ctx, text, strlen(text) + 1); /* with its end */
    }
    done = done && EVP_DigestFinal_ex(ctx, k->print, NULL);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return done ? 0 : -1;
}

/* Fills *ret_key; else the reason why the key is left out. */
static const char *key_import(json_t *key, uint32_t algorithms, struct keyset_key *ret_key)
{
    struct keyset_key k = {0};
    uint32_t can;
    const char *kid = text_of(key, "kid");
    if (!keyset_kid_valid(kid)) {
        return "it needs a kid of 1 to 64 characters A-Z a-z 0-9 _ - .";
    }
    const char *why = key_kind(key, &can, &k);
    if (why) {
        return why;
    }
    const json_t *use = json_object_get(key, "use"), *ops = json_object_get(key, "key_ops");
    if ((use && strcmp(word_of(use), "sig") != 0) || (ops && !array_has(ops, "verify"))) {
        return "it is not for signatures";
    }
    k.algorithm = key_algorithm(key, can, algorithms);
    if (k.algorithm == 0) {
        return "its algorithm is none of those allowed for this issuer";
    }
    if (json_object_get(key, "d")) {
        return "it is a private key: publish public ones only";
    }
    cjose_err e;
    json_t *numbers = key_numbers(key);
    k.jwk = numbers ? cjose_jwk_import_json(numbers, &e) : NULL;
    json_decref(numbers);
    if (k.jwk == NULL || key_print(key, &k)) {
        ERR_clear_error();
        cjose_jwk_release(k.jwk);
        return "its numbers are not a key";
    }
    memcpy(k.kid, kid, strlen(kid));
    *ret_key = k;
    return NULL;
}

const struct keyset_key *keyset_find(const struct keyset *set, const char *kid)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->keys[i].kid, kid) == 0) {
            return &set->keys[i];
        }
    }
    return NULL;
}

/* Takes the usable keys of {"keys": [...]}. */
static int keys_take(struct keyset *set, json_t *json, uint32_t algorithms, char *ret_text)
{
    json_t *keys = json_object_get(json, "keys");
    if (!json_is_array(keys) || json_array_size(keys) == 0) {
        snprintf(ret_text, TEXT_SIZE, "the key set has no \"keys\"");
        return KEYSET_E_KEYS;
    }
    ret_text[0] = '\0';
    for (size_t i = 0; i < json_array_size(keys); i++) {
        struct keyset_key key;
        const char *why = key_import(json_array_get(keys, i), algorithms, &key);
        if (why) {
            snprintf(ret_text, TEXT_SIZE, "key %zu of the key set is not used: %s", i + 1, why);
            continue;
        }
        if (keyset_find(set, key.kid) || set->count == ISSUER_KEYS_MAX) {
            snprintf(ret_text, TEXT_SIZE, "key %zu of the key set: %s", i + 1,
                     keyset_find(set, key.kid) ? "an earlier one has its kid"
                                               : "there are too many");
            cjose_jwk_release(key.jwk);
            return KEYSET_E_KEYS;
        }
        set->keys[set->count++] = key;
    }
    return set->count > 0 ? 0 : KEYSET_E_KEYS;
}

int keyset_read(struct span jwks, uint32_t algorithms, struct keyset **ret_set, char *ret_text)
{
    json_error_t e;
    struct keyset *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return err_origin(-ENOMEM);
    }
    atomic_init(&set->holders, 1);
    json_t *json = json_loadb((const char *)jwks.ptr, jwks.len, JSON_REJECT_DUPLICATES, &e);
    int r = KEYSET_E_KEYS;
    if (json == NULL) {
        snprintf(ret_text, TEXT_SIZE, "the key set is not JSON: line %d: %.120s", e.line, e.text);
    } else {
        r = keys_take(set, json, algorithms, ret_text);
    }
    json_decref(json);
    if (r) {
        keyset_drop(set);
        return r;
    }
    *ret_set = set;
    return 0;
}

void keyset_hold(struct keyset *set)
{
    CHECK(atomic_fetch_add_explicit(&set->holders, 1, memory_order_relaxed) > 0);
}

void keyset_drop(struct keyset *set)
{
    if (set && atomic_fetch_sub_explicit(&set->holders, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; i < set->count; i++) {
            cjose_jwk_release(set->keys[i].jwk);
        }
        free(set);
    }
}
