/* SPDX-License-Identifier: MIT */
/* One compact JWS: real or not, and whose.
 * Owns: nothing; keys and rules are the keyring's.
 *
 *   size -> three strict base64url parts -> iss -> header -> aud azp exp nbf iat subject grants
 *        -> that issuer's key by kid -> signature (cjose) -> pseudonym; every copy of ours is wiped
 *
 * happy path: about 5 us of parsing, then one signature check.
 * ways to fail: a verdict from the first check that does not hold.  Everything before the signature
 * is cheap, so junk costs us less than it costs its sender.  The issuer is judged before the key,
 * so that somebody else's good token is told ISSUER_UNKNOWN and not that it is damaged.
 * invariants: a key is looked for among the keys of the token's own issuer and nowhere else, so no
 * issuer can speak for another; a key has one algorithm and it comes from the key, so neither
 * `none` nor HS256 with a public key as the secret can be asked for; a token has one spelling
 * (padding, unused bits, a signature of another length are refused), so the cache cannot be filled
 * with variants of one; cjose digests exactly the bytes that we parsed, and its own laxer parsing
 * decides nothing.
 * what is left behind: cjose and jansson free their pieces unwiped (payload as text and claims,
 * never joined with its signature); both lack a hook that would not also slow down all of OpenSSL.
 * roads not taken: jku, x5u and jwk in the header (the sender would choose the key), a verifier of
 * our own over EVP (cjose is maintained and as fast). */
#include "gateway/verify.h"

#include <cjose/cjose.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

enum { PART_HEADER, PART_PAYLOAD, PART_SIGNATURE, PARTS };

/* The three parts, decoded one after the other into `out` (TOKEN_MAX bytes). */
static bool parts_decode(struct span token, uint8_t *out, struct span ret_parts[PARTS])
{
    const uint8_t *at = token.ptr, *end = token.ptr + token.len;
    for (int i = 0; i < PARTS; i++) {
        const uint8_t *dot = i < PARTS - 1 ? memchr(at, '.', (size_t)(end - at)) : end;
        size_t len;
        if (dot == NULL || !base64_decode_jose((struct span){at, (size_t)(dot - at)}, out, &len) ||
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

static bool signature_valid(const struct keyset_key *key, struct span token)
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

/* HMAC over what the scribe has, which is wiped. */
static int keyed_hash(const struct keyring *ring, struct scribe *w, void *out, size_t len)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = sizeof mac;
    size_t text_len = scribe_len(w);
    CHECK(!w->bad);
    bool done = HMAC(EVP_sha256(), keyring_tenant_key(ring), KEYRING_TENANT_KEY, w->start,
                     text_len, mac, &mac_len) != NULL;
    OPENSSL_cleanse(w->start, text_len);
    if (!done) {
        ERR_clear_error();
        return err_origin(-EIO);
    }
    memcpy(out, mac, len);
    return 0;
}

static int pseudonym(const struct keyring *ring, const char *iss, struct span subject,
                     struct identity *ret_identity)
{
    uint8_t text[4 + VERIFY_ISSUER_MAX + VERIFY_SUBJECT_MAX];
    struct scribe w = scribe_of(text, sizeof text);
    scribe_span16(&w, span_of(iss));
    scribe_span16(&w, subject);
    return err_trace(keyed_hash(ring, &w, ret_identity->bytes, sizeof ret_identity->bytes));
}

/* The authorised party; a token that names none is of the issuer's one nameless client. */
static int client_of(const struct keyring *ring, const char *iss, const struct claims *claims,
                     struct verified *out)
{
    uint8_t text[6 + VERIFY_ISSUER_MAX + VERIFY_SUBJECT_MAX];
    struct scribe w = scribe_of(text, sizeof text);
    if (claims->party.len > VERIFY_SUBJECT_MAX) {
        return 0;
    }
    scribe_u16(&w, 0); /* no issuer's name is empty: no identity is made of the same bytes */
    scribe_span16(&w, span_of(iss));
    scribe_span16(&w, claims->party);
    int r = keyed_hash(ring, &w, &out->client, sizeof out->client);
    out->client += out->client == 0;
    out->is_client = claims->party.len && span_equal(claims->party, claims->subject);
    return err_trace(r);
}

/* One token while it is being judged. */
struct token {
    struct span compact;        /* the caller's */
    struct span parts[PARTS];   /* decoded, in bytes */
    json_t *header;
    json_t *claims;
    uint8_t bytes[TOKEN_MAX];   /* 3/4 of the compact form at most */
};

/* The key among the issuer's, and what it says of the signature.  0, a reason or VERIFY_E_*. */
static int signature_check(struct keyring *ring, size_t number, const struct token *t,
                           struct key_mark *ret_mark)
{
    const char *kid = json_string_value(json_object_get(t->header, "kid"));
    const char *alg = json_string_value(json_object_get(t->header, "alg"));
    struct keyset *set = keyring_take(ring, number);
    if (set == NULL) {
        return VERIFY_E_KEYS;
    }
    const struct keyset_key *key = keyset_find(set, kid);
    int r = VERIFY_E_KID;
    if (key) {
        r = key->algorithm == issuer_algorithm_of(alg) &&
            t->parts[PART_SIGNATURE].len == key->signature_bytes && signature_valid(key, t->compact)
                ? 0 : REASON_TOKEN_INVALID;
        *ret_mark = key->mark;
    }
    keyset_drop(set);
    return r;
}

/* Header and claims are objects; the order of the checks is that of the design head. */
static int token_judge(struct keyring *ring, const struct token *t, int64_t now_us,
                       struct verified *ret_verified, size_t *ret_issuer)
{
    struct verified out = {0};
    struct claims claims;
    size_t number;
    const char *iss = json_string_value(json_object_get(t->claims, "iss"));
    if (iss == NULL) {
        return REASON_TOKEN_INVALID;
    }
    if (!keyring_find(ring, iss, &number)) {
        return REASON_ISSUER_UNKNOWN;
    }
    *ret_issuer = number;
    const struct issuer_rules *issuer = keyring_issuer(ring, number);
    if (!claims_header_valid(issuer, t->header)) {
        return REASON_TOKEN_INVALID;
    }
    int r = claims_read(issuer, t->claims, now_us, &claims);
    r = r ? r : signature_check(ring, number, t, &out.mark);
    if (r) {
        return r;
    }
    r = pseudonym(ring, issuer->iss, claims.subject, &out.identity);
    r = r ? r : client_of(ring, issuer->iss, &claims, &out);
    if (r) {
        return err_trace(r);
    }
    out.assurance = claims.assurance;
    out.roles = claims.roles;
    out.exp_us = claims.exp_us;
    *ret_verified = out;
    return 0;
}

int verify_token(struct keyring *ring, struct span token, int64_t now_wall_us,
                 struct verified *ret_verified, size_t *ret_issuer)
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
            r = token_judge(ring, &t, now_wall_us, ret_verified, ret_issuer);
        }
    }
    json_decref(t.header);
    json_decref(t.claims);
    OPENSSL_cleanse(t.bytes, token.len);
    return r;
}
