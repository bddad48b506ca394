/* SPDX-License-Identifier: MIT */
/* The replica's log over the store.  The newest committed members stand in a file `members` beside
 * the log: the log forgets its oldest entries, and LMDB's log tree is entries without a gap. */
#ifndef FAIRSLOT_NODE_REPLICA_STORE_H
#define FAIRSLOT_NODE_REPLICA_STORE_H

#include "node/badge.h"
#include "node/replica.h"
#include "store/store.h"

struct replica_store;

/* Borrows store and dir.  0 or < 0. */
int replica_store_new(struct store *store, const char *dir, struct replica_store **ret_store);
/* Takes NULL. */
void replica_store_free(struct replica_store *s);
struct replica_log replica_store_log(struct replica_store *s);
struct replica_store_options {
    struct store *store; /* borrowed */
    const char *dir;     /* the store's */
    const struct badge *own;
    const struct replica_member *members; /* the first ones; count 0: alone, or joining */
    size_t members_count;
    uint32_t election_ms; /* 0: replica.h's own; a heartbeat is a sixth of it */
};

/* Opens a replica over a store.  A new log begins with the members given; none and not joining: a
 * voter alone, who leads when this returns.  0, REPLICA_E_STATE with `ret_text` (256 bytes) saying
 * what and what to do, or < 0.  What was made is set and the caller's to free. */
int replica_store_open(const struct replica_store_options *options,
                       struct replica_store **ret_store, struct replica **ret_replica,
                       char *ret_text);

#endif
