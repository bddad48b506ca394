/* SPDX-License-Identifier: MIT */
/* Is this token real, and whose is it?  One compact JWS (RFC 7515) of one issuer, checked against
 * keys that were given as a JWKS (RFC 7517).  No files, no clock, no threads of its own.
 *
 * Accepted: ES256 by an EC P-256 key, RS256 by an RSA key of 2048 bits or more.  The algorithm
 * belongs to the key; the header may only agree with it.
 * Kept of a token: struct verified and nothing else, no name, no claim, no token.
 * Threads: a struct verify never changes after verify_new(), so any number of threads may call
 * verify_token() on it at the same time. */
#ifndef FAIRSLOT_GATEWAY_VERIFY_H
#define FAIRSLOT_GATEWAY_VERIFY_H

#include "base/types.h"
#include "proto/words.h"

#define VERIFY_LEEWAY_US   (60 * SECOND_US) /* how far an issuer's clock may be ahead: nbf, iat */
#define VERIFY_TENANT_KEY  32               /* bytes */
#define VERIFY_SUBJECT_MAX 255              /* bytes of `sub` (OpenID Connect Core 2) */
#define VERIFY_ISSUER_MAX  255              /* bytes of `iss` */

struct verify;

/* Borrowed during verify_new() only. */
struct verify_options {
    struct span jwks;            /* JSON: {"keys": [...]} */
    const char *issuer;          /* exact `iss`, 1 to VERIFY_ISSUER_MAX bytes */
    const char *audience;        /* must be in `aud` */
    const uint8_t *tenant_key;   /* VERIFY_TENANT_KEY bytes; keys the pseudonyms */
    const char *assurance_claim; /* NULL: "assurance" */
    const char *role_claim;      /* NULL: "role" */
};

/* What remains of a token. */
struct verified {
    struct identity identity; /* first 16 bytes of HMAC-SHA256(tenant key, u16 length of iss, iss,
                               * u16 length of sub, sub), lengths big-endian */
    enum assurance assurance; /* LOW when the claim is missing */
    uint32_t roles;           /* enum role */
    int64_t exp_us;           /* valid before this instant */
};

enum { VERIFY_E_OPTIONS = 1, VERIFY_E_KEYS = 2 };

/* Returns 0, VERIFY_E_* with the reason in `ret_text` (256 bytes), or < 0.  A single key that can
 * not be used (encryption, another algorithm, too short, private, damaged) is left out, and on
 * success `ret_text` names the last one ("" when all are used).  No usable key, two of one kid, or
 * something that is no key set at all: VERIFY_E_KEYS. */
int verify_new(const struct verify_options *options, struct verify **ret_verify, char *ret_text);
void verify_free(struct verify *v);
size_t verify_keys_count(const struct verify *v);

/* 0 with *ret_verified; or as enum reason TOKEN_INVALID, TOKEN_EXPIRED, ISSUER_UNKNOWN; or < 0.
 * Cheap checks first, the signature (20 to 70 us) last.  Any thread. */
int verify_token(const struct verify *v, struct span token, int64_t now_wall_us,
                 struct verified *ret_verified);

#endif
