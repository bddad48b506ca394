/* SPDX-License-Identifier: MIT */
/* What a token's header and claims mean under one issuer's rules.  Reads JSON that was parsed
 * before and judges nothing else: no signature, no clock of its own.  Any thread. */
#ifndef FAIRSLOT_GATEWAY_CLAIMS_H
#define FAIRSLOT_GATEWAY_CLAIMS_H

#include <jansson.h>

#include "gateway/issuer.h"
#include "proto/words.h"

#define CLAIMS_SUBJECT_MAX 255 /* bytes of the subject (OpenID Connect Core 2) */

/* What claims grant. */
struct claims {
    struct span subject; /* borrowed from the JSON */
    struct span party;   /* the same: azp, else client_id; empty: it names none */
    enum assurance assurance;
    uint32_t roles; /* enum role */
    int64_t exp_us;
};

/* Does the header fit the rules that hold before any key is known?  Nothing critical, nothing
 * packed or nested, a kid, an algorithm of ours, the issuer's typ. */
bool claims_header_valid(const struct issuer_rules *issuer, const json_t *header);
/* 0, or TOKEN_INVALID or TOKEN_EXPIRED as enum reason. */
int claims_read(const struct issuer_rules *issuer, const json_t *claims, int64_t now_us,
                struct claims *ret_claims);

#endif
