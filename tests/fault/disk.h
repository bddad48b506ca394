/* SPDX-License-Identifier: MIT */
/* A model of what a disk may hold: files, names, and what of both is not synced yet.
 * Fed with the journal; images come out as directories.  One thread. */
#ifndef FAIRSLOT_TESTS_DISK_H
#define FAIRSLOT_TESTS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"
#include "journal.h"

/* How an image treats what is pending. */
enum disk_mode {
    DISK_NONE,    /* nothing of it is there */
    DISK_ALL,     /* all of it: a killed process */
    DISK_SUBSET,  /* writes whole or not, by the bits of `subset` */
    DISK_ANY,     /* any sectors of any write, any first part of the changes of names */
};

/* Nothing on it. */
void disk_reset(void);
/* `bytes` stay where they are.  False: a call that cannot be seen through. */
bool disk_take(const struct journal_record *r, const uint8_t *bytes);
/* Writes and changes of names that are pending. */
unsigned disk_pending_count(void);
/* Makes the image below `dir`, which is this module's alone.  False: it is the same as one that
 * was made before with the same `promises`. */
bool disk_image(const char *dir, enum disk_mode mode, uint64_t subset, uint64_t promises,
                struct prng *random);

#endif
