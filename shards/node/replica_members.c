/* SPDX-License-Identifier: MIT */
/* Membership: one change at a time, and leadership handed over.
 * Owns nothing.  A change is an entry like any other; it holds from the moment it is in the log.
 * happy path: add a learner -> it catches up (replica_match) -> promote -> later remove.
 * Fails: verdicts of replica.h; refused are a change while another one is under way, one before
 * this term has committed anything (G3), and one that leaves one voter of several (G2). */
#include "node/replica_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

static const struct raft_server *find(const struct replica *r, uint64_t id)
{
    for (unsigned i = 0; i < r->raft.configuration.n; i++) {
        if (r->raft.configuration.servers[i].id == id) {
            return &r->raft.configuration.servers[i];
        }
    }
    return NULL;
}

static int may_change(struct replica *r)
{
    if (!replica_is_leader(r) || raft_transferee(&r->raft) != 0) {
        return REPLICA_E_NOT_LEADER;
    }
#ifndef PLANT_NO_G3
    if (r->barrier_index == 0 || replica_committed(r) < r->barrier_index) {
        return REPLICA_E_BUSY;
    }
#endif
    return r->changes_count > 0 || r->raft.configuration_uncommitted_index != 0 ? REPLICA_E_BUSY
                                                                                : 0;
}

/* The members as they are, but with `id` in another role; role < 0: without it.  `added` or NULL
 * stands at the end. */
static int submit(struct replica *r, uint64_t id, int role, const struct replica_member *added)
{
    struct raft_configuration next;
    struct raft_buffer buffer = {0};
    raft_configuration_init(&next);
    int rv = 0;
    for (unsigned i = 0; i < r->raft.configuration.n && rv == 0; i++) {
        const struct raft_server *s = &r->raft.configuration.servers[i];
        if (s->id != id || role >= 0) {
            rv = raft_configuration_add(&next, s->id, s->address, s->id == id ? role : s->role);
        }
    }
    if (added && rv == 0) {
        rv = raft_configuration_add(&next, added->id, added->address, RAFT_STANDBY);
    }
    int v = rv == 0 ? 0 : rv == RAFT_NOMEM ? err_origin(-ENOMEM) : REPLICA_E_MEMBER;
    if (v == 0 && !replica_guards_change_allowed(r, &next)) {
        v = REPLICA_E_MEMBER;
    }
    if (v == 0) {
        rv = raft_configuration_encode(&next, &buffer);
        v = rv ? err_fold(replica_error(rv)) : 0;
    }
    if (v == 0) {
        uint64_t index;
        v = replica_submit(r, RAFT_CHANGE, (struct span){buffer.base, buffer.len}, &index);
        raft_free(buffer.base);
    }
    raft_configuration_close(&next);
    return v;
}

int replica_add(struct replica *r, const struct replica_member *learner)
{
    int v = may_change(r);
    if (v) {
        return v;
    }
    size_t len = strnlen(learner->address, REPLICA_ADDRESS_MAX);
    if (learner->id == 0 || find(r, learner->id) || len == 0 || len == REPLICA_ADDRESS_MAX ||
        r->raft.configuration.n >= REPLICA_MEMBERS_MAX) {
        return REPLICA_E_MEMBER;
    }
    return submit(r, 0, -1, learner);
}

int replica_promote(struct replica *r, uint64_t id)
{
    int v = may_change(r);
    const struct raft_server *s = find(r, id);
    if (v == 0 && (s == NULL || s->role == RAFT_VOTER)) {
        v = REPLICA_E_MEMBER;
    }
    return v ? v : submit(r, id, RAFT_VOTER, NULL);
}

int replica_remove(struct replica *r, uint64_t id)
{
    int v = may_change(r);
    if (v == 0 && find(r, id) == NULL) {
        v = REPLICA_E_MEMBER;
    }
    return v ? v : submit(r, id, -1, NULL);
}

int replica_transfer(struct replica *r, uint64_t id)
{
    const struct raft_server *s = find(r, id);
    if (!replica_is_leader(r) || raft_transferee(&r->raft) != 0) {
        return REPLICA_E_NOT_LEADER;
    }
    if (s == NULL || id == r->id || s->role != RAFT_VOTER) {
        return REPLICA_E_MEMBER;
    }
    struct raft_event event = {.type = RAFT_TRANSFER, .transfer = {.server_id = id}};
    return replica_step(r, &event);
}

size_t replica_members(const struct replica *r, struct replica_member out[REPLICA_MEMBERS_MAX])
{
    size_t count = r->raft.configuration.n;
    CHECK(count <= REPLICA_MEMBERS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct raft_server *s = &r->raft.configuration.servers[i];
        size_t len = strnlen(s->address, sizeof out[i].address - 1); /* asked for in every round */
        memset(&out[i], 0, sizeof out[i]); /* between fields, too: callers compare bytes */
        out[i].id = s->id;
        out[i].role = s->role == RAFT_VOTER ? REPLICA_VOTER : REPLICA_LEARNER;
        memcpy(out[i].address, s->address, len);
    }
    return count;
}

uint64_t replica_changing(const struct replica *r)
{
    uint64_t index = r->raft.configuration_uncommitted_index;
    return index > replica_committed(r) ? index : 0;
}

uint64_t replica_match(const struct replica *r, uint64_t id)
{
    raft_index index;
    return raft_match_index(&r->raft, id, &index) == 0 ? index : 0;
}
