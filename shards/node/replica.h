/* SPDX-License-Identifier: MIT */
/* The seam where replication stands: what is committed.  With one voter and no Raft, what is
 * durable is committed; a Raft group (DESIGN 6, reference raft) replaces replica.c and nothing
 * else. Writer thread only. */
#ifndef FAIRSLOT_NODE_REPLICA_H
#define FAIRSLOT_NODE_REPLICA_H

#include "store/store.h"

struct replica;

int replica_new(struct store *store, struct replica **ret_replica);
void replica_free(struct replica *r);

bool replica_is_leader(const struct replica *r);
/* Proposes one entry; *ret_index is where it stands if it is ever committed.
 * 0, REPLICA_E_NOT_LEADER, or < 0. */
enum { REPLICA_E_NOT_LEADER = 1, REPLICA_E_DAMAGED = 2 };
int replica_propose(struct replica *r, struct span entry, uint64_t *ret_index);
/* The term that entries proposed now carry. */
uint64_t replica_term(const struct replica *r);
/* Makes what was proposed durable (one fsync) and moves the commit index.  < 0: end the process. */
int replica_round(struct replica *r);
/* min(committed, locally durable): only this is ever applied. */
uint64_t replica_committed(const struct replica *r);
/* A committed entry, borrowed until the next call.  0, REPLICA_E_DAMAGED (also when it is not
 * there), or < 0. */
int replica_read(struct replica *r, uint64_t index, uint64_t *ret_term, struct span *ret_entry);

#endif
