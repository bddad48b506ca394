/* SPDX-License-Identifier: MIT */
/* Queue: the gateway's side of engine/fair.
 * Owns: the fair queue.  Its entries are the calls.
 * Happy path: push, and pull when the shard has credit.  Fails: an identity's own cap, or more
 * waiting identities than there are calls, which cannot be: both are refused with a retry time.
 * Invariant: an entry is in the queue exactly while its call is in CALL_QUEUED, except between
 * queue_pull() and the call_move() that follows it at once.
 * Weights: with everything backlogged, of 15 calls 8 end or confirm holds, 4 make them, 2 read
 * one's own and 1 browses; a class that has nothing waiting leaves its share to the others. */
#include "gateway/queue.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/inside.h"

_Static_assert(WAITING_PER_IDENTITY * 100 <= CALLS_MAX, "nobody takes the pool from the others");

int queue_init(struct gateway *g)
{
    struct fairq_options options = {
        .weights = {[FAIRQ_CONTROL] = 8, [FAIRQ_RESERVE] = 4, [FAIRQ_READ] = 2, [FAIRQ_SEARCH] = 1},
        .waiting_per_identity = WAITING_PER_IDENTITY,
        .identities_max = CALLS_MAX,
    };
    clock_random(options.secret, sizeof options.secret);
    return err_fold(fairq_new(&options, &g->queue));
}

void queue_fini(struct gateway *g)
{
    fairq_free(g->queue);
    g->queue = NULL;
}

enum fairq_class queue_class(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_CONFIRM_HOLD:
    case COMMAND_DROP_HOLD:
    case COMMAND_CANCEL_RESERVATION:
        return FAIRQ_CONTROL;
    case COMMAND_LIST_POOLS:
    case COMMAND_GET_POOL:
    case COMMAND_LIST_SLOTS:
        return FAIRQ_SEARCH;
    case COMMAND_GET_HOLD:
    case COMMAND_GET_RESERVATION:
    case COMMAND_LIST_RESERVATIONS:
        return FAIRQ_READ;
    default:
        return FAIRQ_RESERVE; /* holds are made here, and operators' commands */
    }
}

void queue_push(struct gateway *g, struct call *call)
{
    CHECK(call->is_packed);
    CHECK(call->is_verified);
    call->entry = (struct fairq_entry){.class = queue_class(call->method->kind)};
    list_init(&call->entry.link);
    int verdict = fairq_push(g->queue, &call->identity, &call->entry);
    if (verdict == 0) {
        call_move(call, CALL_QUEUED);
    } else if (verdict == FAIRQ_E_FULL_IDENTITY) {
        answer_reason(call, REASON_QUEUE_FULL, NULL);
    } else {
        answer_reason(call, REASON_RATE_LIMITED, "too many identities wait here");
    }
}

struct call *queue_pull(struct gateway *g)
{
    struct fairq_entry *entry;
    if (fairq_pull(g->queue, &entry, 1) == 0) {
        return NULL;
    }
    struct call *call = CONTAINER_OF(entry, struct call, entry);
    CHECK(call->state == CALL_QUEUED);
    return call;
}

void queue_remove(struct gateway *g, struct call *call)
{
    fairq_remove(g->queue, &call->entry);
}

size_t queue_waiting(const struct gateway *g)
{
    return fairq_waiting(g->queue);
}

size_t queue_waiting_identities(const struct gateway *g)
{
    return fairq_waiting_identities(g->queue);
}
