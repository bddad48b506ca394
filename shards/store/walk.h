/* SPDX-License-Identifier: MIT */
/* A whole tree of LMDB, read once, for damage.  Any one thread. */
#ifndef FAIRSLOT_STORE_WALK_H
#define FAIRSLOT_STORE_WALK_H

#include "store/env.h"

enum { WALK_E_DAMAGED = 1 };

/* Calls `each` for every record in key order, after these were found good: keys ascend, and a
 * search from the root finds the first and the last record of each page.  0, WALK_E_DAMAGED (its
 * own or of `each`), < 0. */
int walk_tree(MDB_txn *txn, MDB_dbi dbi, void *arg,
              int (*each)(void *arg, struct span key, struct span value));

#endif
