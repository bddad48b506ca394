/* SPDX-License-Identifier: MIT */
/* Makes keys and tokens, good and bad, for the tests of auth and verify.  By OpenSSL alone and byte
 * by byte, so that the verifier (cjose) is not checked against itself, and so that headers can be
 * made that no library would sign.  Texts live in a ring of static buffers. */
#ifndef FAIRSLOT_TESTS_FORGE_H
#define FAIRSLOT_TESTS_FORGE_H

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/types.h"

#define FORGE_ISSUER   "https://issuer.test/realms/city"
#define FORGE_AUDIENCE "fairslot"
#define FORGE_NOW_S    INT64_C(1800000000)
#define FORGE_NOW_US   (FORGE_NOW_S * SECOND_US)

enum { FORGE_TEXTS = 256, FORGE_TEXT_SIZE = 16384 };

/* printf into the next buffer of the ring. */
__attribute__((format(printf, 1, 2))) static inline char *forge_text(const char *format, ...)
{
    static char texts[FORGE_TEXTS][FORGE_TEXT_SIZE];
    static unsigned at;
    char *out = texts[at++ % FORGE_TEXTS];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, FORGE_TEXT_SIZE, format, args);
    va_end(args);
    CHECK(n >= 0 && n < FORGE_TEXT_SIZE);
    return out;
}

static inline char *forge_base64url(const void *bytes, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-_";
    const uint8_t *p = bytes;
    char *out = forge_text("%s", "");
    size_t n = 0;
    uint32_t bits = 0;
    int held = 0;
    CHECK(len * 4 / 3 + 2 < FORGE_TEXT_SIZE);
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | p[i];
        for (held += 8; held >= 6; held -= 6) {
            out[n++] = letters[bits >> (held - 6) & 63];
        }
    }
    if (held > 0) {
        out[n++] = letters[bits << (6 - held) & 63];
    }
    out[n] = '\0';
    return out;
}

/* ECDSA's DER as r and s, each of the curve's size. */
static inline size_t forge_raw(EVP_PKEY *key, const uint8_t *der, size_t len, uint8_t *out)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    int half = (EVP_PKEY_get_bits(key) + 7) / 8;
    CHECK(sig != NULL);
    CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, half) == half);
    CHECK(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, half) == half);
    ECDSA_SIG_free(sig);
    return (size_t)half * 2;
}

/* A signature over `text` as JWS wants it; `out` takes 1,024 bytes. */
static inline size_t forge_sign(EVP_PKEY *key, const char *text, uint8_t *out)
{
    uint8_t der[1024];
    size_t len = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
    CHECK(EVP_DigestSign(ctx, der, &len, (const uint8_t *)text, strlen(text)) == 1);
    EVP_MD_CTX_free(ctx);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        memcpy(out, der, len);
        return len;
    }
    return forge_raw(key, der, len, out);
}

/* The same with another hash or padding than the usual of the key: PS256, ES384. */
static inline size_t forge_sign_as(EVP_PKEY *key, const char *alg, const char *text, uint8_t *out)
{
    uint8_t der[1024];
    size_t len = sizeof der;
    EVP_PKEY_CTX *key_ctx;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = strcmp(alg, "ES384") == 0 ? EVP_sha384() : EVP_sha256();
    CHECK(EVP_DigestSignInit(ctx, &key_ctx, md, NULL, key) == 1);
    if (strcmp(alg, "PS256") == 0 && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        CHECK(EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING) == 1);
        CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
    }
    CHECK(EVP_DigestSign(ctx, der, &len, (const uint8_t *)text, strlen(text)) == 1);
    EVP_MD_CTX_free(ctx);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        memcpy(out, der, len);
        return len;
    }
    return forge_raw(key, der, len, out);
}

/* A compact JWS of exactly these texts, signed as `alg` does where the key can. */
static inline char *forge_token_as(EVP_PKEY *key, const char *alg, const char *header,
                                   const char *payload)
{
    uint8_t signature[1024];
    const char *h = forge_base64url(header, strlen(header));
    const char *p = forge_base64url(payload, strlen(payload));
    const char *input = forge_text("%s.%s", h, p);
    size_t n = forge_sign_as(key, alg, input, signature);
    return forge_text("%s.%s", input, forge_base64url(signature, n));
}

/* A compact JWS of exactly these texts. */
static inline char *forge_token(EVP_PKEY *key, const char *header, const char *payload)
{
    uint8_t signature[1024];
    const char *h = forge_base64url(header, strlen(header));
    const char *p = forge_base64url(payload, strlen(payload));
    const char *input = forge_text("%s.%s", h, p);
    size_t n = forge_sign(key, input, signature);
    return forge_text("%s.%s", input, forge_base64url(signature, n));
}

/* The same with HMAC-SHA256. */
static inline char *forge_token_hmac(struct span secret, const char *header, const char *payload)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len;
    const char *h = forge_base64url(header, strlen(header));
    const char *p = forge_base64url(payload, strlen(payload));
    const char *input = forge_text("%s.%s", h, p);
    CHECK(HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const uint8_t *)input, strlen(input),
               mac, &mac_len) != NULL);
    return forge_text("%s.%s", input, forge_base64url(mac, mac_len));
}

static inline char *forge_number(EVP_PKEY *key, const char *name)
{
    BIGNUM *n = NULL;
    uint8_t bytes[1024];
    CHECK(EVP_PKEY_get_bn_param(key, name, &n) == 1);
    int len = BN_bn2bin(n, bytes);
    BN_free(n);
    return forge_base64url(bytes, (size_t)len);
}

/* The public key as a JWK; `more` goes in behind the kid, e.g. ",\"use\":\"sig\"". */
static inline char *forge_jwk(EVP_PKEY *key, const char *kid, const char *more)
{
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        return forge_text("{\"kty\":\"RSA\",\"kid\":\"%s\"%s,\"n\":\"%s\",\"e\":\"%s\"}", kid, more,
                          forge_number(key, OSSL_PKEY_PARAM_RSA_N),
                          forge_number(key, OSSL_PKEY_PARAM_RSA_E));
    }
    uint8_t point[256];
    size_t len;
    CHECK(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len));
    size_t half = (len - 1) / 2;
    return forge_text("{\"kty\":\"EC\",\"crv\":\"P-%d\",\"kid\":\"%s\"%s,\"x\":\"%s\",\"y\":"
                      "\"%s\"}", EVP_PKEY_get_bits(key), kid, more,
                      forge_base64url(point + 1, half), forge_base64url(point + 1 + half, half));
}

/* {"iss", "aud", "exp", "sub"} as they should be, then `more`. */
static inline char *forge_claims(const char *subject, int64_t exp_s, const char *more)
{
    return forge_text("{\"iss\":\"" FORGE_ISSUER "\",\"aud\":\"" FORGE_AUDIENCE "\",\"exp\":%lld,"
                      "\"sub\":\"%s\"%s}", (long long)exp_s, subject, more);
}

static inline struct span forge_span(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

#endif
