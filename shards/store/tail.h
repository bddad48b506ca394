/* SPDX-License-Identifier: MIT */
/* The tail of the log: batches of records that are durable and in no commit of the log's tree yet.
 * One file of fixed size, written ahead of the tree and from its start again after each commit of
 * it.  The writer thread's, after tail_open() on it. */
#ifndef FAIRSLOT_STORE_TAIL_H
#define FAIRSLOT_STORE_TAIL_H

#include "base/types.h"

struct tail;

enum {
    TAIL_E_DAMAGED = 1, /* a batch that may have been acknowledged is not as it was written */
    TAIL_E_FULL = 2,    /* commit the tree instead */
};

#define TAIL_BYTES_MIN 4096

/* Makes `dir`/tail, `bytes` of zeros (a multiple of 4,096), durable, its name too, in place of one
 * that is there: all or nothing.  0 or < 0. */
int tail_make(const char *dir, size_t bytes);
/* Reads it whole.  `cluster_id` seeds the sums, so that another cluster's tail is damage.  `txn` is
 * the number of the tree's newest commit: batches that follow an older one count for nothing, and
 * those that follow a newer one are damage, for the tree has lost it.
 * 0, TAIL_E_DAMAGED (also: no such file, or of no such size), < 0. */
int tail_open(const char *dir, const uint8_t cluster_id[16], uint64_t txn, struct tail **ret_tail);
/* A batch that was not committed is gone.  Takes NULL. */
void tail_close(struct tail *t);

/* -- what was found at opening ----------------------------------------------------------------- */

/* Something of this turn, if only pieces of a torn batch: commit the tree before tail_restart(), so
 * that another turn begins. */
bool tail_was_used(const struct tail *t);
/* A sector is not as it was written where no batch of this turn was: nothing is lost, and the tail
 * is to be made anew. */
bool tail_was_spoiled(const struct tail *t);
size_t tail_bytes(const struct tail *t);
/* The next record, in the order of tail_add(); borrowed until tail_restart().  False: no more. */
bool tail_next(struct tail *t, struct span *ret_record);

/* -- writing ----------------------------------------------------------------------------------- */

/* The tree was committed as `txn`: nothing that stands in the tail counts any more, and the batch
 * being made is empty.  Writes nothing.  Call it before the first tail_add(), with a number that no
 * batch in the file has. */
void tail_restart(struct tail *t, uint64_t txn);
/* One record, `head` and `body` in a row, to the batch being made.  Copies.  0, or TAIL_E_FULL: the
 * batch no longer fits, and no other one is taken before tail_restart(). */
int tail_add(struct tail *t, struct span head, struct span body);
/* Writes the batch, durable when it returns 0; nothing added: 0 at once.  Not after TAIL_E_FULL.
 * < 0: end the process. */
int tail_commit(struct tail *t);
/* Bytes of the file that batches of this turn take. */
size_t tail_used(const struct tail *t);

#endif
