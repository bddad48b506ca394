/* SPDX-License-Identifier: MIT */
/* The public keys of one issuer, from one JWKS (RFC 7517).  Immutable after keyset_read() but for
 * the marks that keyring gives before it shows the set to others; counted, so that a worker may
 * finish with a set that was replaced meanwhile.  Any thread. */
#ifndef FAIRSLOT_GATEWAY_KEYSET_H
#define FAIRSLOT_GATEWAY_KEYSET_H

#include <stdatomic.h>

#include "base/limits.h"
#include "base/types.h"

#define KEYSET_KID_MAX     64
#define KEYSET_PRINT_BYTES 32

struct _cjose_jwk_int;

/* Which key vouched for a token: keyring_is_live() says whether it still counts. */
struct key_mark {
    uint16_t issuer;     /* number in the keyring */
    uint16_t slot;       /* place among the issuer's keys */
    uint32_t generation; /* of that place: one higher whenever a key leaves it */
};

struct keyset_key {
    char kid[KEYSET_KID_MAX + 1];
    uint32_t algorithm;     /* enum issuer_algorithm; the only one that this key is used with */
    size_t signature_bytes; /* exactly */
    uint8_t print[KEYSET_PRINT_BYTES]; /* SHA-256 over kid, algorithm and numbers */
    struct _cjose_jwk_int *jwk;  /* owned; a cjose_jwk_t */
    struct key_mark mark;
};

struct keyset {
    atomic_uint holders;
    size_t count; /* at least 1 */
    struct keyset_key keys[ISSUER_KEYS_MAX];
};

enum { KEYSET_E_KEYS = 1 };

/* Reads {"keys": [...]}; `algorithms` are those the issuer may use.  0, KEYSET_E_KEYS with the
 * reason in `ret_text` (256 bytes), or < 0.  A single key that cannot be used (encryption, another
 * algorithm, too short, private, damaged) is left out, and on success `ret_text` names the last one
 * ("" when all are used).  No usable key, two of one kid, too many, or something that is no key set
 * at all: KEYSET_E_KEYS. */
int keyset_read(struct span jwks, uint32_t algorithms, struct keyset **ret_set, char *ret_text);
void keyset_hold(struct keyset *set);
/* The last one frees it.  Takes NULL. */
void keyset_drop(struct keyset *set);
/* NULL: none. */
const struct keyset_key *keyset_find(const struct keyset *set, const char *kid);
/* 1 to KEYSET_KID_MAX of A-Z a-z 0-9 _ - . ; takes NULL. */
bool keyset_kid_valid(const char *kid);

#endif
