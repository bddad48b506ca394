/* SPDX-License-Identifier: MIT */
/* The replica's log over the store.  The newest committed members stand in a file `members` beside
 * the log: the log forgets its oldest entries, and LMDB's log tree is entries without a gap. */
#ifndef FAIRSLOT_NODE_REPLICA_STORE_H
#define FAIRSLOT_NODE_REPLICA_STORE_H

#include "node/replica.h"
#include "store/store.h"

struct replica_store;

/* Borrows store and dir.  0 or < 0. */
int replica_store_new(struct store *store, const char *dir, struct replica_store **ret_store);
/* Takes NULL. */
void replica_store_free(struct replica_store *s);
struct replica_log replica_store_log(struct replica_store *s);
/* Opens a voter alone over a store, and lets it lead.  0, REPLICA_E_STATE with `ret_text` (256
 * bytes) saying what and what to do, or < 0.  What was made is set and the caller's to free. */
int replica_store_open(struct store *store, const char *dir, struct replica_store **ret_store,
                       struct replica **ret_replica, char *ret_text);

#endif
