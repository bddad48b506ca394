/* SPDX-License-Identifier: MIT */
/* A CSV file of slots, read and checked as a whole before anything is sent.
 * Columns by name in the first line: pool, date, start, duration_minutes, desk, time_zone (any
 * order; deploy/samples/README.md).  One thread (zone.h). */
#ifndef FAIRSLOT_CTL_IMPORT_H
#define FAIRSLOT_CTL_IMPORT_H

#include "base/types.h"

#define IMPORT_ERRORS_SHOWN 20
#define IMPORT_FILE_MAX     (256u << 20) /* bytes */

struct import_slot {
    const char *pool;     /* id; borrowed from the file's bytes or the caller's pool */
    const char *desk;     /* borrowed from the file's bytes */
    int64_t start_s;      /* UTC, seconds since the epoch */
    int64_t duration_s;
    unsigned line;        /* where it stands in the file */
    bool there;           /* the pool has it already (stock.c) */
};

struct import_error {
    unsigned line;
    char text[200];
};

struct import {
    struct import_slot *slots; /* by pool, start, line; malloc'ed */
    size_t count;
    size_t size;               /* slots there is room for */
    struct import_error errors[IMPORT_ERRORS_SHOWN]; /* the first ones, by line */
    size_t errors_count;       /* all, also those not kept */
};

/* bytes[len] must be writable, too; the bytes are changed and must outlive the import.
 * pool: every slot's pool when the file names none (and checked when it does), or NULL.
 * 0 (also when there are errors: look at errors_count), or < 0. */
int import_read(struct import *i, uint8_t *bytes, size_t len, const char *pool);
/* Index behind the slots of the pool that begins at `begin`. */
size_t import_pool_end(const struct import *i, size_t begin);
void import_fini(struct import *i);

#endif
