/* SPDX-License-Identifier: MIT */
/* Small files beside an environment: what a copy is, who the members are.
 *
 *   bytes | XXH3-64 of them, big-endian     written beside, renamed: folder_write()
 *
 * Owns nothing.  Fails: a slip that does not check is a verdict, the disk is < 0.
 * Why not a record in LMDB: the environment that a slip belongs to is another replica's file, and
 * its digest is known before it is opened. */
#include "store/slip.h"

#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "store/folder.h"

#define SUM_SIZE 8

int slip_write(const char *dir, const char *name, struct span bytes)
{
    uint8_t all[SLIP_MAX + SUM_SIZE];
    struct scribe w = scribe_of(all, sizeof all);
    CHECK(bytes.len <= SLIP_MAX);
    scribe_bytes(&w, bytes.ptr, bytes.len);
    scribe_u64(&w, XXH3_64bits(bytes.ptr, bytes.len));
    return err_trace(folder_write(dir, name, all, scribe_len(&w)));
}

int slip_read(const char *dir, const char *name, uint8_t *to, size_t *ret_len)
{
    uint8_t all[SLIP_MAX + SUM_SIZE + 1];
    size_t n;
    int r = folder_read(dir, name, all, sizeof all, &n);
    if (r < 0) {
        return err_trace(r);
    }
    if (n < SUM_SIZE || n > SLIP_MAX + SUM_SIZE) {
        return n == 0 ? SLIP_E_NONE : SLIP_E_DAMAGED;
    }
    size_t len = n - SUM_SIZE;
    struct reader sum = reader_of(all + len, SUM_SIZE);
    if (reader_u64(&sum) != XXH3_64bits(all, len)) {
        return SLIP_E_DAMAGED;
    }
    memcpy(to, all, len);
    *ret_len = len;
    return 0;
}
