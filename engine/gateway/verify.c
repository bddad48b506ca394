/* SPDX-License-Identifier: MIT */
/* One compact JWS: real or not, and whose.
 * Owns: the issuer's usable keys and our own expectations, all immutable after verify_new().
 *
 *   size -> three strict base64url parts -> header -> iss aud exp nbf iat sub -> key by kid
 *        -> signature (cjose) -> assurance, roles -> pseudonym; every copy of ours is wiped
 *
 * happy path: about 5 us of parsing, then one signature check.
 * ways to fail: a verdict from the first check that does not hold.  Everything before the signature
 * is cheap, so junk costs us less than it costs its sender.  The issuer is judged before the key,
 * so that somebody else's good token is told ISSUER_UNKNOWN and not that it is damaged.
 * invariants: a key has one algorithm and it comes from the key's type, so neither `none` nor HS256
 * with a public key as the secret can be asked for; a token has one spelling (padding, unused bits,
 * a signature of another length are refused), so the cache cannot be filled with variants of one;
 * cjose digests exactly the bytes that we parsed, and its own laxer parsing decides nothing.
 * what is left behind: cjose and jansson free their pieces unwiped (payload as text and claims,
 * never joined with its signature); both lack a hook that would not also slow down all of OpenSSL.
 * roads not taken: jku, x5u and jwk in the header (the sender would choose the key), `typ` (issuers
 * do not agree on it), a verifier of our own over EVP (cjose is maintained and as fast), refusing a
 * whole JWKS for one odd key (real sets carry encryption keys). */
#include "gateway/verify.h"

#include <cjose/cjose.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define KID_MAX       64
#define TEXT_SIZE     256
#define RSA_BITS_MIN  2048
#define EC_TEXT       43                    /* characters of a coordinate: 32 bytes */
#define RSA_TEXT_MAX  2048                  /* characters of a modulus: 12,288 bits */
#define ES256_BYTES   64                    /* r and s, 32 each (RFC 7518 3.4) */
#define INSTANT_MAX   INT64_C(253402300799) /* the year 9999 in seconds: beyond is nonsense */

struct verify_key {
    char kid[KID_MAX + 1];
    const char *alg;        /* static; the only one this key may be used with */
    size_t signature_bytes; /* exactly */
    cjose_jwk_t *jwk;
};

struct verify {
    struct verify_key keys[ISSUER_KEYS_MAX];
    size_t keys_count;
    char *issuer;
    char *audience;
    char *assurance_claim;
    char *role_claim;
    uint8_t tenant_key[VERIFY_TENANT_KEY];
};

/* -- base64url without padding, one spelling only (RFC 4648 5 and 3.5) ------------------------- */

static int base64url_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Decodes into `out` (at least 3/4 of the input); false for anything but the canonical form. */
static bool base64url_decode(struct span in, uint8_t *out, size_t *ret_len)
{
    uint32_t bits = 0;
    unsigned held = 0; /* bits not yet written */
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        int value = base64url_value(in.ptr[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (uint8_t)(bits >> held);
        }
    }
    if (in.len % 4 == 1 || (bits & ((1u << held) - 1)) != 0) {
        return false;
    }
    *ret_len = n;
    return true;
}

/* -- the key set ------------------------------------------------------------------------------- */

static bool kid_valid(const char *kid)
{
    size_t n = kid ? strlen(kid) : 0;
    for (size_t i = 0; i < n; i++) {
        if (base64url_value((uint8_t)kid[i]) < 0 && kid[i] != '.') {
            return false;
        }
    }
    return n > 0 && n <= KID_MAX;
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool array_has(const json_t *array, const char *text)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *s = json_string_value(json_array_get(array, i));
        if (s && strcmp(s, text) == 0) {
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
        !base64url_decode(span_of(e), bytes, &len) || len == 0 || len > 8) {
        return 0;
    }
    bool one = bytes[len - 1] == 1; /* e = 1 would make every text its own signature */
    for (size_t i = 0; i + 1 < len; i++) {
        one = one && bytes[i] == 0;
    }
    if (one || bytes[len - 1] % 2 == 0) {
        return 0;
    }
    if (!base64url_decode(span_of(n), bytes, &len)) {
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

/* A coordinate of P-256, in its one spelling. */
static bool ec_coordinate(const json_t *key, const char *name)
{
    const char *text = text_of(key, name);
    uint8_t bytes[EC_TEXT];
    size_t len;
    return text && strlen(text) == sizeof bytes &&
           base64url_decode(span_of(text), bytes, &len) && len == ES256_BYTES / 2;
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

/* Algorithm and signature size by the key's type, or why it cannot be used. */
static const char *key_kind(const json_t *key, struct verify_key *k)
{
    const char *kty = text_of(key, "kty");
    if (kty && strcmp(kty, "EC") == 0) {
        const char *crv = text_of(key, "crv");
        k->alg = "ES256";
        k->signature_bytes = ES256_BYTES;
        if (crv == NULL || strcmp(crv, "P-256") != 0) {
            return "an EC key must be on P-256";
        }
        return ec_coordinate(key, "x") && ec_coordinate(key, "y") ? NULL
                                                                  : "its numbers are not a key";
    }
    if (kty && strcmp(kty, "RSA") == 0) {
        size_t bits = rsa_bits(key);
        k->alg = "RS256";
        k->signature_bytes = (bits + 7) / 8;
        return bits == 0 ? "its numbers are not an RSA key"
                         : bits < RSA_BITS_MIN ? "an RSA key needs 2048 bits or more" : NULL;
    }
    return "only EC and RSA keys are used";
}

/* Fills *ret_key; else the reason why the key is left out. */
static const char *key_import(json_t *key, struct verify_key *ret_key)
{
    struct verify_key k = {0};
    const char *kid = text_of(key, "kid");
    if (!kid_valid(kid)) {
        return "it needs a kid of 1 to 64 characters A-Z a-z 0-9 _ - .";
    }
    const char *why = key_kind(key, &k);
    if (why) {
        return why;
    }
    const json_t *use = json_object_get(key, "use");
    const json_t *ops = json_object_get(key, "key_ops");
    const json_t *alg = json_object_get(key, "alg");
    if ((use && strcmp(json_is_string(use) ? json_string_value(use) : "", "sig") != 0) ||
        (ops && !array_has(ops, "verify"))) {
        return "it is not for signatures";
    }
    if (alg && strcmp(json_is_string(alg) ? json_string_value(alg) : "", k.alg) != 0) {
        return "only ES256 and RS256 are used";
    }
    if (json_object_get(key, "d")) {
        return "it is a private key: publish public ones only";
    }
    cjose_err e;
    json_t *numbers = key_numbers(key);
    k.jwk = numbers ? cjose_jwk_import_json(numbers, &e) : NULL;
    json_decref(numbers);
    if (k.jwk == NULL) {
        ERR_clear_error();
        return "its numbers are not a key";
    }
    memcpy(k.kid, kid, strlen(kid));
    *ret_key = k;
    return NULL;
}

static const struct verify_key *key_find(const struct verify *v, const char *kid)
{
    for (size_t i = 0; i < v->keys_count; i++) {
        if (strcmp(v->keys[i].kid, kid) == 0) {
            return &v->keys[i];
        }
    }
    return NULL;
}

/* Takes the usable keys of {"keys": [...]}. */
static int keys_take(struct verify *v, json_t *set, char *ret_text)
{
    json_t *keys = json_object_get(set, "keys");
    if (!json_is_array(keys) || json_array_size(keys) == 0) {
        snprintf(ret_text, TEXT_SIZE, "the key set has no \"keys\"");
        return VERIFY_E_KEYS;
    }
    ret_text[0] = '\0';
    for (size_t i = 0; i < json_array_size(keys); i++) {
        struct verify_key key;
        const char *why = key_import(json_array_get(keys, i), &key);
        if (why) {
            snprintf(ret_text, TEXT_SIZE, "key %zu of the key set is not used: %s", i + 1, why);
            continue;
        }
        if (key_find(v, key.kid) || v->keys_count == ISSUER_KEYS_MAX) {
            snprintf(ret_text, TEXT_SIZE, "key %zu of the key set: %s", i + 1,
                     key_find(v, key.kid) ? "an earlier one has its kid" : "there are too many");
            cjose_jwk_release(key.jwk);
            return VERIFY_E_KEYS;
        }
        v->keys[v->keys_count++] = key;
    }
    return v->keys_count > 0 ? 0 : VERIFY_E_KEYS;
}

static int keys_load(struct verify *v, struct span jwks, char *ret_text)
{
    json_error_t e;
    json_t *set = json_loadb((const char *)jwks.ptr, jwks.len, JSON_REJECT_DUPLICATES, &e);
    if (set == NULL) {
        snprintf(ret_text, TEXT_SIZE, "the key set is not JSON: line %d: %.120s", e.line, e.text);
        return VERIFY_E_KEYS;
    }
    int r = keys_take(v, set, ret_text);
    json_decref(set);
    return r;
}

int verify_new(const struct verify_options *options, struct verify **ret_verify, char *ret_text)
{
    size_t issuer_len = options->issuer ? strlen(options->issuer) : 0;
    CHECK(options->tenant_key != NULL);
    if (issuer_len == 0 || issuer_len > VERIFY_ISSUER_MAX || options->audience == NULL ||
        options->audience[0] == '\0') {
        snprintf(ret_text, TEXT_SIZE, "an issuer of 1 to %d bytes and an audience are needed",
                 VERIFY_ISSUER_MAX);
        return VERIFY_E_OPTIONS;
    }
    struct verify *v = calloc(1, sizeof *v);
    if (v == NULL) {
        return err_origin(-ENOMEM);
    }
    v->issuer = strdup(options->issuer);
    v->audience = strdup(options->audience);
    v->assurance_claim = strdup(options->assurance_claim ? options->assurance_claim : "assurance");
    v->role_claim = strdup(options->role_claim ? options->role_claim : "role");
    memcpy(v->tenant_key, options->tenant_key, sizeof v->tenant_key);
    int r = v->issuer && v->audience && v->assurance_claim && v->role_claim
                ? keys_load(v, options->jwks, ret_text) : err_origin(-ENOMEM);
    if (r) {
        verify_free(v);
        return err_trace(r);
    }
    *ret_verify = v;
    return 0;
}

void verify_free(struct verify *v)
{
    if (v == NULL) {
        return;
    }
    for (size_t i = 0; i < v->keys_count; i++) {
        cjose_jwk_release(v->keys[i].jwk);
    }
    OPENSSL_cleanse(v->tenant_key, sizeof v->tenant_key);
    free(v->issuer);
    free(v->audience);
    free(v->assurance_claim);
    free(v->role_claim);
    free(v);
}

size_t verify_keys_count(const struct verify *v)
{
    return v->keys_count;
}

/* -- one token --------------------------------------------------------------------------------- */

enum { PART_HEADER, PART_PAYLOAD, PART_SIGNATURE, PARTS };

/* The three parts, decoded one after the other into `out` (TOKEN_MAX bytes). */
static bool parts_decode(struct span token, uint8_t *out, struct span ret_parts[PARTS])
{
    const uint8_t *at = token.ptr, *end = token.ptr + token.len;
    for (int i = 0; i < PARTS; i++) {
        const uint8_t *dot = i < PARTS - 1 ? memchr(at, '.', (size_t)(end - at)) : end;
        size_t len;
        if (dot == NULL || !base64url_decode((struct span){at, (size_t)(dot - at)}, out, &len) ||
            len == 0) {
            return false; /* a third dot is not in the alphabet either */
        }
        ret_parts[i] = (struct span){out, len};
        out += len;
        at = dot + 1;
    }
    return true;
}

/* NULL unless it is one JSON object without duplicate names. */
static json_t *object_parse(struct span text)
{
    json_t *j = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (j && !json_is_object(j)) {
        json_decref(j);
        j = NULL;
    }
    return j;
}

/* What the header says, as far as it may: one of our algorithms, a kid, nothing critical. */
static bool header_valid(const json_t *header)
{
    const char *alg = text_of(header, "alg");
    return alg && (strcmp(alg, "ES256") == 0 || strcmp(alg, "RS256") == 0) &&
           json_object_get(header, "crit") == NULL && kid_valid(text_of(header, "kid"));
}

/* An instant in whole seconds.  `missing` stands in for an absent claim; false for what is no sane
 * integer: issuers that write strings or fractions are not understood by guessing. */
static bool instant_us(const json_t *claim, int64_t missing, int64_t *ret_us)
{
    int64_t s = json_is_integer(claim) ? json_integer_value(claim) : -1;
    if (claim == NULL) {
        *ret_us = missing;
        return true;
    }
    if (s < 0 || s > INSTANT_MAX) {
        return false;
    }
    *ret_us = s * SECOND_US;
    return true;
}

/* Who, for whom and when; `sub` is judged here too, so that only signatures are left to check. */
static int claims_check(const struct verify *v, const json_t *claims, int64_t now_us,
                        int64_t *ret_exp_us)
{
    const json_t *aud = json_object_get(claims, "aud"), *sub = json_object_get(claims, "sub");
    const char *iss = text_of(claims, "iss");
    int64_t exp, nbf, iat;
    if (iss == NULL) {
        return REASON_TOKEN_INVALID;
    }
    if (strcmp(iss, v->issuer) != 0) {
        return REASON_ISSUER_UNKNOWN;
    }
    if (json_is_string(aud) ? strcmp(json_string_value(aud), v->audience) != 0
                            : !array_has(aud, v->audience)) {
        return REASON_TOKEN_INVALID;
    }
    if (!instant_us(json_object_get(claims, "exp"), 0, &exp) || exp == 0 ||
        !instant_us(json_object_get(claims, "nbf"), 0, &nbf) ||
        !instant_us(json_object_get(claims, "iat"), 0, &iat)) {
        return REASON_TOKEN_INVALID;
    }
    if (exp <= now_us) {
        return REASON_TOKEN_EXPIRED;
    }
    if (nbf > now_us + VERIFY_LEEWAY_US || iat > now_us + VERIFY_LEEWAY_US) {
        return REASON_TOKEN_INVALID;
    }
    size_t len = json_string_length(sub); /* 0 for what is no string */
    if (len == 0 || len > VERIFY_SUBJECT_MAX) {
        return REASON_TOKEN_INVALID;
    }
    *ret_exp_us = exp;
    return 0;
}

static bool signature_valid(const struct verify_key *key, struct span token)
{
    cjose_err e;
    bool valid = false;
    cjose_jws_t *jws = cjose_jws_import((const char *)token.ptr, token.len, &e);
    if (jws) {
        uint8_t *payload;
        size_t len;
        valid = cjose_jws_verify(jws, key->jwk, &e);
        if (cjose_jws_get_plaintext(jws, &payload, &len, &e)) {
            OPENSSL_cleanse(payload, len);
        }
        cjose_jws_release(jws);
    }
    ERR_clear_error();
    return valid;
}

/* Assurance and roles of a token that is real.  False for values that mean nothing here. */
static bool grants_read(const struct verify *v, const json_t *claims, struct verified *out)
{
    static const char *const names[] = {"low", "substantial", "high"};
    const json_t *assurance = json_object_get(claims, v->assurance_claim);
    const json_t *role = json_object_get(claims, v->role_claim);
    out->assurance = assurance ? ASSURANCE_NONE : ASSURANCE_LOW;
    for (size_t i = 0; json_is_string(assurance) && i < ARRAY_COUNT(names); i++) {
        if (strcmp(json_string_value(assurance), names[i]) == 0) {
            out->assurance = (enum assurance)(ASSURANCE_LOW + i);
        }
    }
    bool operator = json_is_string(role) ? strcmp(json_string_value(role), "operator") == 0
                                         : array_has(role, "operator");
    out->roles = operator ? ROLE_OPERATOR : 0;
    return out->assurance != ASSURANCE_NONE;
}

static int pseudonym(const struct verify *v, const json_t *sub, struct identity *ret_identity)
{
    uint8_t text[4 + VERIFY_ISSUER_MAX + VERIFY_SUBJECT_MAX], mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = sizeof mac;
    struct writer w = writer_of(text, sizeof text);
    writer_span16(&w, span_of(v->issuer));
    writer_span16(&w, (struct span){(const uint8_t *)json_string_value(sub),
                                    json_string_length(sub)});
    CHECK(!w.bad);
    bool done = HMAC(EVP_sha256(), v->tenant_key, sizeof v->tenant_key, text, writer_len(&w), mac,
                     &mac_len) != NULL;
    OPENSSL_cleanse(text, sizeof text);
    if (!done) {
        ERR_clear_error();
        return err_origin(-EIO);
    }
    memcpy(ret_identity->bytes, mac, sizeof ret_identity->bytes);
    return 0;
}

/* One token while it is being judged. */
struct token {
    struct span compact;        /* the caller's */
    struct span parts[PARTS];   /* decoded, in bytes */
    json_t *header;
    json_t *claims;
    uint8_t bytes[TOKEN_MAX];   /* 3/4 of the compact form at most */
};

/* Header and claims are objects; the order of the checks is that of the design head. */
static int token_judge(const struct verify *v, const struct token *t, int64_t now_us,
                       struct verified *ret_verified)
{
    struct verified out = {0};
    if (!header_valid(t->header)) {
        return REASON_TOKEN_INVALID;
    }
    int r = claims_check(v, t->claims, now_us, &out.exp_us);
    if (r) {
        return r;
    }
    const struct verify_key *key = key_find(v, text_of(t->header, "kid"));
    if (key == NULL || strcmp(key->alg, text_of(t->header, "alg")) != 0 ||
        t->parts[PART_SIGNATURE].len != key->signature_bytes ||
        !signature_valid(key, t->compact) || !grants_read(v, t->claims, &out)) {
        return REASON_TOKEN_INVALID;
    }
    r = pseudonym(v, json_object_get(t->claims, "sub"), &out.identity);
    if (r) {
        return err_trace(r);
    }
    *ret_verified = out;
    return 0;
}

int verify_token(const struct verify *v, struct span token, int64_t now_wall_us,
                 struct verified *ret_verified)
{
    struct token t;
    int r = REASON_TOKEN_INVALID;
    if (token.len == 0 || token.len > TOKEN_MAX) {
        return r;
    }
    t.compact = token;
    t.header = t.claims = NULL;
    if (parts_decode(token, t.bytes, t.parts)) {
        t.header = object_parse(t.parts[PART_HEADER]);
        t.claims = t.header ? object_parse(t.parts[PART_PAYLOAD]) : NULL;
        if (t.claims) {
            r = token_judge(v, &t, now_wall_us, ret_verified);
        }
    }
    json_decref(t.header);
    json_decref(t.claims);
    OPENSSL_cleanse(t.bytes, token.len);
    return r;
}
