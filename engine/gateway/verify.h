/* SPDX-License-Identifier: MIT */
/* Is this token real, and whose is it?  One compact JWS (RFC 7515) of one of the configured
 * issuers, checked against the keys that this issuer has at the moment.  No files, no clock, no
 * threads.
 *
 * The algorithm belongs to the key; the header may only agree with it.
 * Kept of a token: struct verified and nothing else, no name, no claim, no token.
 * Any number of threads may call verify_token() at the same time. */
#ifndef FAIRSLOT_GATEWAY_VERIFY_H
#define FAIRSLOT_GATEWAY_VERIFY_H

#include "base/types.h"
#include "gateway/claims.h"
#include "gateway/keyring.h"
#include "proto/words.h"

#define VERIFY_SUBJECT_MAX CLAIMS_SUBJECT_MAX
#define VERIFY_ISSUER_MAX  ISSUER_TEXT_MAX

/* What remains of a token. */
struct verified {
    struct identity identity; /* first 16 bytes of HMAC-SHA256(tenant key, u16 length of iss, iss,
                               * u16 length of subject, subject), lengths big-endian */
    enum assurance assurance; /* LOW when the claim is missing */
    uint64_t client;          /* the same of u16 0, iss and the authorised party: 8 bytes; 0: the
                               * party's name is too long to be one */
    bool is_client;           /* the subject is the party: the client's own token */
    uint32_t roles;           /* enum role */
    int64_t exp_us;           /* valid before this instant */
    struct key_mark mark;     /* whose signature it was: it counts while the key does */
};

/* Above every enum reason; *ret_issuer says whose. */
enum {
    VERIFY_E_KID = 1001,  /* all is well but for a kid that its issuer's keys do not have */
    VERIFY_E_KEYS = 1002, /* its issuer has no keys at the moment */
};

/* 0 with *ret_verified; as enum reason TOKEN_INVALID, TOKEN_EXPIRED, ISSUER_UNKNOWN; VERIFY_E_*; or
 * < 0.  Cheap checks first, the signature (20 to 70 us) last. */
int verify_token(struct keyring *ring, struct span token, int64_t now_wall_us,
                 struct verified *ret_verified, size_t *ret_issuer);

#endif
