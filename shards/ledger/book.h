/* SPDX-License-Identifier: MIT */
/* The ledger's view of the state: ordered records, key -> value.  Two makers: shards/store
 * (overlay over a frozen overlay over an LMDB snapshot) and tests/lib/membook.c (memory).
 *
 * Key: routing key (space, position: 16 bytes big-endian), then a table tag, then a suffix.  So
 * bytes compare as (space, position, tag, suffix), a range of routing keys is one interval of
 * records, and what one command touches lies together.
 * One thread (the shard's writer) calls all of this. */
#ifndef FAIRSLOT_LEDGER_BOOK_H
#define FAIRSLOT_LEDGER_BOOK_H

#include "base/types.h"

#define BOOK_KEY_MAX   96   /* bytes */
#define BOOK_VALUE_MAX 6400 /* bytes: an account with 16 holds of 8 slots and the longest names; few
                               are over 2 KiB, where LMDB's overflow pages begin */

struct book {
    void *self;
    /* 0: found, *ret_value borrowed until the next put or del through this book, or the next
     * round; 1: no such record; < 0: the store is damaged or unreadable, the shard must stop. */
    int (*get)(void *self, struct span key, struct span *ret_value);
    /* Copies both.  Replaces.  0 or < 0 (out of memory: the shard must stop). */
    int (*put)(void *self, struct span key, struct span value);
    /* Removing what is not there is fine.  0 or < 0. */
    int (*del)(void *self, struct span key);
    /* The first record with key >= `from` (exclusive: key > `from`); borrowed as get().
     * 0: found; 1: no more; < 0. */
    int (*next)(void *self, struct span from, bool exclusive, struct span *ret_key,
                struct span *ret_value);
    /* That record will be asked for soon: what takes its time may begin.  May be NULL. */
    void (*hint)(void *self, struct span key);
};

#endif
