/* SPDX-License-Identifier: MIT */
/* Calls: the pool, and the life of one call.
 *
 *   GONE -> OPEN -> AUTH -> OPEN -> AWAY -> ANSWERED -> GONE
 *            |
 *            +-> STREAM -> ANSWERED                     any live state -> ANSWERED
 *                                                       any live state -> GONE
 *
 * Owns: the calls, and the bytes that one holds.  Does not own: wire's calls, connections.
 * Happy path: admit.c opens it and sends its errand (errand.c), answer.c answers it, wire says that
 * the last byte left, and it is back in the pool.
 * Fails by an empty pool only.  A deadline is refused with a reason that tells whether the call
 * ever left this house.
 * Invariants: outside its state a call is on no list; a call in ANSWERED or GONE holds no bytes and
 * has no errand out; a number names one life of a slot. */
#include "gateway/call.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/metrics.h"
#include "gateway/answer.h"
#include "gateway/conn.h"
#include "gateway/errand.h"
#include "gateway/inside.h"
#include "gateway/tally.h"
#include "wire/wire.h"

#define CALL_SLOT_BITS 16

_Static_assert(CALLS_MAX <= 1 << CALL_SLOT_BITS, "a slot fits its half of the number");

#define TO(state) (1u << CALL_##state)

static const uint32_t call_moves[CALL_STATES] = {
    [CALL_GONE] = TO(OPEN),
    [CALL_OPEN] = TO(AUTH) | TO(AWAY) | TO(STREAM) | TO(ANSWERED) | TO(GONE),
    [CALL_AUTH] = TO(OPEN) | TO(ANSWERED) | TO(GONE),
    [CALL_AWAY] = TO(ANSWERED) | TO(GONE),
    [CALL_STREAM] = TO(ANSWERED) | TO(GONE),
    [CALL_ANSWERED] = TO(GONE),
};

struct gateway *call_gateway(const struct call *call)
{
    return call->conn->gateway;
}

int call_pool_init(struct call_pool *pool)
{
    struct call *slots = calloc(CALLS_MAX, sizeof *slots);
    if (slots == NULL) {
        return err_origin(-ENOMEM);
    }
    *pool = (struct call_pool){.slots = slots};
    list_init(&pool->free);
    return 0;
}

void call_pool_fini(struct call_pool *pool)
{
    CHECK(pool->live_count == 0);
    free(pool->slots);
    *pool = (struct call_pool){0};
}

struct call *call_new(struct call_pool *pool, struct conn *conn, struct wire_call *wire)
{
    struct list *link = list_pull(&pool->free);
    struct call *call;
    if (link) {
        call = CONTAINER_OF(link, struct call, link);
    } else if (pool->used_count < CALLS_MAX) {
        call = &pool->slots[pool->used_count];
        call->number = (uint32_t)pool->used_count;
        pool->used_count++;
    } else {
        return NULL;
    }
    CHECK(call->state == CALL_GONE);
    *call = (struct call){.wire = wire, .conn = conn, .number = call->number,
                          .deadline = {.owner = DEADLINE_CALL}, .state = CALL_OPEN};
    list_init(&call->link);
    list_init(&call->mute_link);
    pool->live_count++;
    conn->opened_count++;
    conn->waiting_count++;
    tally_open(call);
    return call;
}

struct call *call_find(struct call_pool *pool, uint32_t number)
{
    size_t slot = number & ((1u << CALL_SLOT_BITS) - 1);
    if (slot >= pool->used_count) {
        return NULL;
    }
    struct call *call = &pool->slots[slot];
    return call->number == number && call->state != CALL_GONE ? call : NULL;
}

bool call_may_move(enum call_state from, enum call_state to)
{
    return (call_moves[from] >> to & 1) != 0;
}

void call_drop_bytes(struct call *call)
{
    if (call->bytes) {
        call_gateway(call)->held_bytes -= call->bytes_len;
        free(call->bytes);
        call->bytes = NULL;
        call->bytes_len = 0;
    }
    errand_free(call->errand);
    call->errand = NULL;
    guard_give(call);
}

static void call_release(struct call *call)
{
    struct gateway *g = call_gateway(call);
    deadline_disarm(&g->deadlines, &call->deadline);
    conn_output_sub(call->conn, call->answer_bytes);
    call->number += 1u << CALL_SLOT_BITS;
    call->wire = NULL;
    CHECK(g->calls.live_count > 0);
    g->calls.live_count--;
    list_push(g->calls.free.next, &call->link); /* in front */
}

static uint64_t call_unread_ms(const struct gateway *g)
{
    return g->options->unread_ms > 0 ? (uint64_t)g->options->unread_ms : UNREAD_MS;
}

void call_linger(struct call *call)
{
    struct gateway *g = call_gateway(call);
    call->is_lingering = true;
    call->unread_bytes = (uint32_t)wire_call_queued_bytes(call->wire);
    deadline_arm(&g->deadlines, &call->deadline, uv_now(&g->loop) + call_unread_ms(g));
}

/* Answered: whoever has a lot of time left, or a stream without end, has to take it now. */
static void call_hurry(struct call *call)
{
    struct gateway *g = call_gateway(call);
    if (call->deadline.place == 0 ||
        call->deadline.at_ms > uv_now(&g->loop) + call_unread_ms(g) + DEADLINE_MS) {
        call_linger(call);
    }
}

void call_move(struct call *call, enum call_state to)
{
    CHECK(call_may_move(call->state, to));
    struct gateway *g = call_gateway(call);
    list_remove(&call->link);
    if (call->is_away) {
        errand_cancel(call);
    }
    if (call->watcher) {
        watch_leave(call);
    }
    if (call->follower) {
        follow_leave(call);
    }
    if (call->listener) {
        events_leave(call);
    }
    if (call->exporter) {
        export_leave(call);
    }
    if (call->is_watching) {
        g->health.watchers_count--;
        call->is_watching = false;
    }
    if (call->state != CALL_ANSWERED && (to == CALL_ANSWERED || to == CALL_GONE)) {
        call->conn->waiting_count--;
    }
    if (call->state != CALL_ANSWERED && to == CALL_GONE) {
        tally_answer(call, REASON_CANCELLED);
    }
    call->state = (uint8_t)to;
    if (to == CALL_ANSWERED || to == CALL_GONE) {
        call_drop_bytes(call);
        guard_heard(call);
    }
    if (to == CALL_ANSWERED) {
        call_hurry(call);
    }
    if (to == CALL_GONE) {
        call_release(call);
    }
}

/* Its client did not take the answer.  Others need the call: its stream goes, and where even that
 * cannot be said, the connection. */
static void call_cut(struct call *call)
{
    size_t unread = wire_call_queued_bytes(call->wire);
    if (unread + UNREAD_PROGRESS <= call->unread_bytes || !limit_is_on("unread")) {
        call_linger(call);
    } else if (call->is_cut) {
        conn_stalled(call->conn, CONN_END_STALL);
    } else {
        call->is_cut = true;
        METRIC_ADD(calls_cut_total, 1);
        call_linger(call);
        wire_call_cut(call->wire);
        conn_dirty(call->conn);
    }
}

void call_expired(struct call *call)
{
    if (call->is_away) {
        errand_expire(call); /* call_linger() follows with its answer */
    } else if (call->state != CALL_ANSWERED && !limit_is_on("deadline")) {
        call_linger(call);
    } else if (call->state != CALL_ANSWERED) {
        answer_reason(call, REASON_DEADLINE_EXCEEDED, NULL);
        call_linger(call);
    } else if (!call->is_lingering) {
        call_linger(call);
    } else {
        call_cut(call);
    }
}

void call_refuse_all(struct call_pool *pool)
{
    for (size_t i = 0; i < pool->used_count; i++) {
        struct call *call = &pool->slots[i];
        if (call->state != CALL_GONE && call->state != CALL_ANSWERED) {
            answer_reason(call, REASON_SHUTTING_DOWN, NULL);
        }
    }
}
