/* SPDX-License-Identifier: MIT */
/* All issuers with the keys that count at this moment.  Whoever reads keys (refresh.c) puts sets
 * in; whoever verifies takes them out.  Any thread; nothing here waits for anything but a short
 * lock. */
#ifndef FAIRSLOT_GATEWAY_KEYRING_H
#define FAIRSLOT_GATEWAY_KEYRING_H

#include "gateway/issuer.h"
#include "gateway/keyset.h"

#define KEYRING_TENANT_KEY 32 /* bytes; keys the pseudonyms */

struct keyring;

enum { KEYRING_E_OPTIONS = 1, KEYRING_E_KEYS = 2 };

/* No issuer has keys yet.  0, KEYRING_E_OPTIONS with `ret_text` (256 bytes), or < 0. */
int keyring_new(const struct issuer_options *options, size_t count, const uint8_t *tenant_key,
                struct keyring **ret_ring, char *ret_text);
void keyring_free(struct keyring *ring);

size_t keyring_count(const struct keyring *ring);
const struct issuer_rules *keyring_issuer(const struct keyring *ring, size_t number);
/* By exact iss; false: not one of ours. */
bool keyring_find(const struct keyring *ring, const char *iss, size_t *ret_number);
const uint8_t *keyring_tenant_key(const struct keyring *ring);

/* Reads a JWKS and makes it the issuer's keys.  0 with `ret_text` "" or a warning; KEYRING_E_KEYS
 * with the reason, and the keys stay as they were; or < 0.  Marks of keys that are no longer there
 * die at once; a key that stays keeps its mark. */
int keyring_put(struct keyring *ring, size_t number, struct span jwks, char *ret_text);
/* The issuer has no keys any more. */
void keyring_clear(struct keyring *ring, size_t number);
/* Its keys, held for the caller: keyset_drop() them.  NULL: none yet, or no more. */
struct keyset *keyring_take(struct keyring *ring, size_t number);
/* Does the key that gave this mark still count?  Some nanoseconds. */
bool keyring_is_live(const struct keyring *ring, struct key_mark mark);

#endif
