/* SPDX-License-Identifier: MIT */
/* The key of a data directory's pseudonyms, and the proof that it is still the same one.
 *   DIR/tenant.key    32 random bytes, mode 0600; made once, by the development issuer
 *   DIR/tenant.check  HMAC-SHA256(key, "fairslot/tenant/v1") in hex, mode 0600; made at first use
 * With another key every person would be a stranger: nobody finds their reservations, and limits
 * per identity begin anew.  So a lost or changed key is refused, never replaced. */
#ifndef FAIRSLOT_CTL_TENANT_H
#define FAIRSLOT_CTL_TENANT_H

#include "base/types.h"

#define TENANT_KEY_BYTES 32
#define TENANT_TEXT      256 /* bytes of every ret_text */

enum { TENANT_E_REFUSED = 1 }; /* the key is lost, damaged or another one */

/* Makes DIR/tenant.key where nothing was ever kept under one, leaves one that is there.  Call it
 * before the issuer's keys are made: they tell a new directory from one that lost its key.
 * 0, TENANT_E_REFUSED or < 0; `ret_text` is set on failure. */
int tenant_ensure(const char *dir, char *ret_text);
/* Is `key` the one that DIR was first used with?  The first use is remembered.
 * 0, TENANT_E_REFUSED or < 0; `ret_text` is set on failure. */
int tenant_check(const char *dir, const uint8_t key[TENANT_KEY_BYTES], char *ret_text);
/* Says what to do about TENANT_E_REFUSED; returns VERB_PRECONDITION. */
int tenant_tell_next(void);

#endif
