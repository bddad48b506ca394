/* SPDX-License-Identifier: MIT */
/* Headroom: how near maps and disk are to being full, judged before anything goes to the log. */
#ifndef FAIRSLOT_STORE_ROOM_H
#define FAIRSLOT_STORE_ROOM_H

#include "store/env.h"
#include "store/logenv.h"
#include "store/overlay.h"
#include "store/stateenv.h"
#include "store/store.h"

/* What was measured, and what waits in memory for the state environment. */
struct room_figures {
    struct env_usage log;
    struct env_usage state;
    uint64_t disk_free_bytes;
    uint64_t disk_reserve_bytes;
    uint64_t live_pages;   /* that the flush of the live overlay may need */
    uint64_t frozen_pages; /* the same of the frozen one, which has not given anything back yet */
};

/* Pure. */
/* The worst that an overlay may need: a removal may merge its leaf with the one beside it, a big
 * value may have a page for itself.  NULL: nothing. */
uint64_t room_pending_pages(const struct overlay *o, uint64_t leaf_pages);
enum store_room room_judge(const struct room_figures *f);
/* Pages that one flush of so many records may have to write: a copy of every touched leaf, and
 * half-filled new ones.  0 for no records.  Pure. */
uint64_t room_flush_pages(uint64_t records, uint64_t bytes, uint64_t leaf_pages);
/* Bytes free for this process on the disk of `path`.  0 or < 0. */
int room_disk_free(const char *path, uint64_t *ret_bytes);

/* Fills in the figures of both maps and of the disk, for the operator too.  Writer thread. */
int room_measure(struct stateenv *state, struct logenv *log, const char *dir,
                 struct room_figures *f);

#endif
