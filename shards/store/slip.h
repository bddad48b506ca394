/* SPDX-License-Identifier: MIT */
/* Slips: small files that are whole or not there, each behind a checksum. */
#ifndef FAIRSLOT_STORE_SLIP_H
#define FAIRSLOT_STORE_SLIP_H

#include "base/types.h"

#define SLIP_MAX (8 * 1024) /* bytes of what stands on one */

enum {
    SLIP_E_NONE = 1,
    SLIP_E_DAMAGED = 2,
};

/* `dir`/`name`, durable when it returns 0.  0 or < 0. */
int slip_write(const char *dir, const char *name, struct span bytes);
/* Into `to` (SLIP_MAX bytes).  0, SLIP_E_NONE, SLIP_E_DAMAGED, < 0. */
int slip_read(const char *dir, const char *name, uint8_t *to, size_t *ret_len);

#endif
