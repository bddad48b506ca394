/* SPDX-License-Identifier: MIT */
/* Queue: the gateway's side of engine/fair.
 * Owns: the fair queue.  Its entries are the calls' errands, of all loops.
 * Happy path: push, and pull when the shard has credit.  Fails: an identity's own cap, or more
 * waiting identities than there are calls, which cannot be: both are refused with a retry time.
 * Invariant: an entry is in the queue exactly while its errand is in ERRAND_QUEUED, except between
 * queue_pull() and what the hop does with it at once.
 * Weights: with everything backlogged, of 15 calls 8 end or confirm holds, 4 make them, 2 read
 * one's own and 1 browses; a class that has nothing waiting leaves its share to the others. */
#include "gateway/queue.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gateway/call.h"
#include "gateway/conn.h"
#include "gateway/errand.h"
#include "gateway/front.h"
#include "gateway/inside.h"

_Static_assert(WAITING_PER_IDENTITY * 100 <= CALLS_MAX, "nobody takes the pool from the others");

int queue_init(struct front *front)
{
    struct fairq_options options = {
        .weights = {[FAIRQ_CONTROL] = 8, [FAIRQ_RESERVE] = 4, [FAIRQ_READ] = 2, [FAIRQ_SEARCH] = 1},
        .waiting_per_identity = WAITING_PER_IDENTITY,
        .identities_max = CALLS_MAX * front->loops_count,
    };
    clock_random(options.secret, sizeof options.secret);
    return err_fold(fairq_new(&options, &front->queue));
}

void queue_fini(struct front *front)
{
    fairq_free(front->queue);
    front->queue = NULL;
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
    case COMMAND_GET_TICKET:
    case COMMAND_GET_PROOF:
    case COMMAND_WATCH_TICKET:
    case COMMAND_LIST_EVENTS:
    case COMMAND_WATCH_EVENTS:
    case COMMAND_EXPORT_RELEASE:
        return FAIRQ_READ;
    default:
        return FAIRQ_RESERVE; /* holds are made here, and operators' commands */
    }
}

struct fairq_place queue_place(const struct call *call)
{
    struct fairq_place place = {.identity = call->identity};
    uint64_t group = call->conn->group.value;
    if (call->assurance == ASSURANCE_LOW && group && !call->is_anonymous) {
        place.is_grouped = true;
        memcpy(place.group.bytes, &group, sizeof group);
    }
    return place;
}

void queue_push(struct front *front, struct errand *e)
{
    list_init(&e->entry.link);
    int verdict = fairq_push(front->queue, &e->place, &e->entry);
    if (verdict == 0) {
        e->state = ERRAND_QUEUED;
        e->queued_us = clock_mono_us();
    } else if (verdict == FAIRQ_E_FULL_IDENTITY) {
        e->hold_ms = brake_press(&front->brake, &e->place.identity, uv_now(&front->loops[0]->loop));
        errand_refuse(front, e, REASON_QUEUE_FULL, NULL);
    } else {
        errand_refuse(front, e, REASON_RATE_LIMITED, "too many identities wait here");
    }
}

struct errand *queue_pull(struct front *front)
{
    struct fairq_entry *entry;
    if (fairq_pull(front->queue, &entry, 1) == 0) {
        return NULL;
    }
    struct errand *e = CONTAINER_OF(entry, struct errand, entry);
    CHECK(e->state == ERRAND_QUEUED);
    return e;
}

void queue_remove(struct front *front, struct errand *e)
{
    fairq_remove(front->queue, &e->entry);
}

size_t queue_waiting(const struct front *front)
{
    return fairq_waiting(front->queue);
}

size_t queue_waiting_identities(const struct front *front)
{
    return fairq_waiting_identities(front->queue);
}
