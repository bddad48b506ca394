/* SPDX-License-Identifier: MIT */
/* A whole tree of LMDB, read once, for damage.  Any one thread. */
#ifndef FAIRSLOT_STORE_WALK_H
#define FAIRSLOT_STORE_WALK_H

#include "store/env.h"

#define WALK_KEY_MAX 511 /* LMDB's own */

enum { WALK_E_DAMAGED = 1 };

/* Calls `each` for every record in key order, after these were found good: keys ascend, and a
 * search from the root finds the first and the last record of each page.  0, WALK_E_DAMAGED (its
 * own or of `each`), < 0. */
int walk_tree(MDB_txn *txn, MDB_dbi dbi, void *arg,
              int (*each)(void *arg, struct span key, struct span value));

/* Where a walk in parts stands.  All zero: at the beginning. */
struct walk_place {
    uint8_t key[WALK_KEY_MAX]; /* the last record that was read */
    size_t key_len;
    size_t records_max;        /* in one part */
    uint64_t bytes;            /* of keys and values, so far */
    bool is_end;               /* there is no record behind it */
};

/* Goes on behind the place: the same checks, each part in a transaction of its own.  As
 * walk_tree(); a record that is put or removed meanwhile is read or not. */
int walk_part(MDB_txn *txn, MDB_dbi dbi, struct walk_place *place, void *arg,
              int (*each)(void *arg, struct span key, struct span value));

#endif
