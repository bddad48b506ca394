/* SPDX-License-Identifier: MIT */
/* Checksums of all pages of a closed data file, beside it in "sums": between a clean stop and the
 * next start not a bit may change unseen.  Writer thread, while no environment is open there. */
#ifndef FAIRSLOT_STORE_SUMS_H
#define FAIRSLOT_STORE_SUMS_H

#include <stddef.h>
#include <stdint.h>

#define SUMS_MARK 1 /* of a page that changed */

enum {
    SUMS_E_DAMAGED = 1, /* a page is not as it was, or the sums are not: *ret_page says which */
};

/* Writes `dir`/sums for `dir`/data.mdb, synced and named last.  0 or < 0. */
int sums_write(const char *dir);
/* Compares.  No sums: 0, nothing is known.  0, SUMS_E_DAMAGED, < 0.
 * *ret_page: UINT64_MAX when the sums themselves or the file's length are wrong. */
int sums_check(const char *dir, uint64_t *ret_page);
/* Puts SUMS_MARK to those of `count` pages that changed.  No sums: 0, none is known to have.
 * 0, SUMS_E_DAMAGED (the sums themselves or the file's length are wrong), < 0. */
int sums_changed(const char *dir, uint8_t *marks, size_t count);
/* Removes them, durably: before anything is written.  Fine when there are none.  0 or < 0. */
int sums_forget(const char *dir);

#endif
