/* SPDX-License-Identifier: MIT */
/* One voter: what is durable is committed.  Owns nothing but a commit index; the log is the
 * store's.  A Raft group takes the place of this file and of nothing else.
 * happy path: propose appends, round commits the log environment (one fsync), committed follows.
 * Fails: < 0 from the store, the process must end; never REPLICA_E_NOT_LEADER, who else would lead.
 * Invariant: committed never passes what store_log_commit() has made durable, so nothing that is
 * applied or answered can be lost or truncated.
 * All entries carry term 1: a group that grows out of this log starts its elections at 2. */
#include "node/replica.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

#define REPLICA_TERM 1

struct replica {
    struct store *store;
    uint64_t committed;
};

int replica_new(struct store *store, struct replica **ret_replica)
{
    CHECK(store != NULL);
    struct replica *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_origin(-ENOMEM);
    }
    r->store = store;
    r->committed = store_log_last(store); /* what a fresh open shows has been fsync'ed */
    *ret_replica = r;
    return 0;
}

void replica_free(struct replica *r)
{
    free(r);
}

bool replica_is_leader(const struct replica *r)
{
    return r != NULL;
}

int replica_propose(struct replica *r, struct span entry, uint64_t *ret_index)
{
    int s = store_log_append(r->store, REPLICA_TERM, entry);
    if (s) {
        return err_fold(s);
    }
    *ret_index = store_log_last(r->store);
    CHECK(*ret_index > r->committed);
    return 0;
}

uint64_t replica_term(const struct replica *r)
{
    CHECK(r != NULL);
    return REPLICA_TERM;
}

int replica_round(struct replica *r)
{
    int s = store_log_commit(r->store);
    if (s) {
        return err_fold(s);
    }
    r->committed = store_log_last(r->store);
    return 0;
}

uint64_t replica_committed(const struct replica *r)
{
    return r->committed;
}

int replica_read(struct replica *r, uint64_t index, uint64_t *ret_term, struct span *ret_entry)
{
    CHECK(index <= r->committed);
    int s = store_log_read(r->store, index, ret_term, ret_entry);
    return s > 0 ? REPLICA_E_DAMAGED : err_trace(s);
}
