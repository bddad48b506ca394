/* SPDX-License-Identifier: MIT */
/* The guard: nobody takes the house from the others by holding on to it.
 *
 *   memory of connections and calls: 0 ------------ 6/8 ----------- 7/8 ----------- 8/8
 *                                    |  all welcome  |  hogs expelled | + no new call | lost
 *   answers not read, all:           0 ------------ 4/8 ------------ 8/8
 *                                    |  all welcome  |  hogs expelled | refused
 *
 * Owns: the cap on memory, the list of mutes (calls whose message is awaited).
 * Happy path: a comparison when a connection or call opens, two list moves a call.
 * A hog is the connection that holds most, never one below HOG_BYTES: so an attack that holds much
 * goes first, and honest clients, who hold little, are never asked.  One at a time, looked for
 * every HOG_MS at most, because looking is a walk over all connections.
 * Mutes: a call without its message costs its client nothing and us a place in the pool.  When
 * there are MUTES_MAX, a connection that has more than MUTES_PER_CONNECTION refuses its own
 * newest; else the oldest of all goes, as an honest client's message is on its way with the
 * headers.
 * Fails: by refusing with GATEWAY_FULL and a retry time; where even that finds no memory, by losing
 * the connection (wire).
 * Not a shorter deadline: an honest client on a bad line needs it, as long as there is room. */
#include "gateway/guard.h"

#include "base/limit.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/conn.h"
#include "gateway/front.h"
#include "gateway/inside.h"

#define HOG_EIGHTHS    6            /* of memory: from here on hogs go */
#define FULL_EIGHTHS   7            /* ... and nothing new comes in */
#define HOG_BYTES      (256 * 1024) /* a connection below holds nothing worth having */
#define HOG_MS         10           /* between two walks */

void guard_init(struct gateway *g)
{
    size_t bytes = g->options->memory_bytes ? g->options->memory_bytes : MEMORY_BYTES;
    g->guard = (struct guard){
        .memory = {.max = bytes / g->front->loops_count},
        .limits = {
            .streams_max = STREAMS_PER_CONNECTION,
            .header_bytes = 32 * 1024, /* a token over TOKEN_MAX gets its own reason */
            .message_bytes = MESSAGE_MAX,
            .queued_bytes = ANSWER_MAX,
            .reset_burst = 1000, /* work per identity is capped by the queue */
            .reset_rate = 200,
            .ping_ms = (uint32_t)g->options->ping_ms,
            .memory = &g->guard.memory,
        },
    };
    list_init(&g->guard.mutes);
}

void guard_fini(struct gateway *g)
{
    CHECK(g->guard.memory.used == 0);
    CHECK(g->guard.mutes_count == 0);
}

bool guard_has_room(const struct gateway *g)
{
    return !memcap_is_over(&g->guard.memory, FULL_EIGHTHS) || !limit_is_on("memory");
}

/* -- mutes ------------------------------------------------------------------------------------- */

bool guard_await(struct call *call)
{
    struct guard *guard = &call_gateway(call)->guard;
    if (guard->mutes_count >= MUTES_MAX && limit_is_on("mutes")) {
        if (call->conn->mutes_count >= MUTES_PER_CONNECTION) {
            answer_reason(call, REASON_GATEWAY_FULL, "too many calls of this connection wait for "
                                                     "their message");
            return false;
        }
        answer_reason(CONTAINER_OF(guard->mutes.next, struct call, mute_link), REASON_GATEWAY_FULL,
                      "the message did not come while there was room to wait");
    }
    list_push(&guard->mutes, &call->mute_link);
    guard->mutes_count++;
    call->conn->mutes_count++;
    return true;
}

void guard_heard(struct call *call)
{
    struct guard *guard = &call_gateway(call)->guard;
    if (list_empty(&call->mute_link)) {
        return;
    }
    list_remove(&call->mute_link);
    CHECK(guard->mutes_count > 0);
    guard->mutes_count--;
    call->conn->mutes_count--;
}

/* -- memory ------------------------------------------------------------------------------------ */

bool guard_take(struct call *call, size_t n)
{
    struct memcap *memory = &call_gateway(call)->guard.memory;
    if (!limit_is_on("memory")) {
        return true;
    }
    if (!memcap_take(memory, n)) {
        return false;
    }
    call->kept_bytes += (uint32_t)n;
    return true;
}

void guard_give(struct call *call)
{
    memcap_give(&call_gateway(call)->guard.memory, call->kept_bytes);
    call->kept_bytes = 0;
}

static size_t guard_held(const struct conn *conn, bool is_unread)
{
    return is_unread ? wire_server_queued_bytes(conn->wire) : wire_server_memory(conn->wire);
}

/* The connection that holds most, of memory or of answers not read; NULL: none holds much. */
static struct conn *guard_hog(struct gateway *g, bool is_unread)
{
    struct conn *hog = NULL;
    size_t most = HOG_BYTES;
    for (struct list *l = g->conns.next; l != &g->conns; l = l->next) {
        struct conn *conn = CONTAINER_OF(l, struct conn, link);
        size_t held = conn->is_ending ? 0 : guard_held(conn, is_unread);
        if (held >= most) {
            most = held;
            hog = conn;
        }
    }
    return hog;
}

void guard_settle(struct gateway *g)
{
    METRIC_SET(memory_held_bytes, g->guard.memory.used);
    bool is_unread = g->output_bytes > OUTPUT_BYTES_MAX / g->front->loops_count / 2;
    if ((!is_unread && !memcap_is_over(&g->guard.memory, HOG_EIGHTHS)) || !limit_is_on("hog") ||
        uv_now(&g->loop) < g->guard.relieved_ms + HOG_MS) {
        return;
    }
    g->guard.relieved_ms = uv_now(&g->loop);
    struct conn *hog = guard_hog(g, is_unread);
    if (hog) {
        conn_expel(hog);
    }
}
