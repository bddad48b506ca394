/* SPDX-License-Identifier: MIT */
/* Keepalive and age.
 *
 *   silence for keepalive_ms -> PING -> anything comes: alive | keepalive_timeout_ms: closed
 *   age_ms, give or take a tenth -> notice -> (a round trip) -> final GOAWAY -> age_grace_ms
 *     -> what is under way is refused with SHUTTING_DOWN (its streams, mostly) -> closed
 *
 * Owns nothing: the times stand in the connection.
 * Why pings: a client behind a network that went away sends no FIN, and a watcher that waits for
 * news says nothing for hours; each costs a descriptor.  Why an age: clients keep one connection,
 * so without it the gateway that was added last would stay empty, and an old key in use.
 * The tenth is drawn for each connection, because all that came in one minute must not come again
 * in one minute.
 * Reading costs no timer: keep_heard() stores a time, and the deadline looks at it when it fires.
 * HTTP/1.1 has no ping: without calls such a connection is just idle, and closed; with one under
 * way, the call's own clocks count.
 * Fails by closing. */
#include "gateway/keep.h"

#include "base/check.h"
#include "base/metrics.h"
#include "base/prng.h"
#include "gateway/answer.h"
#include "gateway/conn.h"
#include "gateway/inside.h"
#include "gateway/secure.h"
#include "wire/wire.h"

#define KEEP_NOTICE_MS 1000 /* between the two GOAWAYs: a round trip, also of a phone */
#define KEEP_END_MS    1000 /* for the last refusals to be read */

static uint64_t keep_now(const struct conn *conn)
{
    return uv_now(&conn->gateway->loop);
}

/* When a look at its silence is due; 0: never. */
static uint64_t keep_silence_ms(const struct conn *conn)
{
    const struct gateway_options *o = conn->gateway->options;
    if (o->keepalive_ms <= 0) {
        return 0;
    }
    return conn->pinged_ms ? conn->pinged_ms + (uint64_t)o->keepalive_timeout_ms
                           : conn->heard_ms + (uint64_t)o->keepalive_ms;
}

static void keep_arm(struct conn *conn)
{
    uint64_t silence_ms = keep_silence_ms(conn), at_ms = conn->age_ms;
    if (at_ms == 0 || (silence_ms > 0 && silence_ms < at_ms)) {
        at_ms = silence_ms;
    }
    if (at_ms > 0) {
        deadline_arm(&conn->gateway->deadlines, &conn->keep, at_ms);
    }
}

void keep_begin(struct conn *conn)
{
    struct gateway *g = conn->gateway;
    uint64_t now = keep_now(conn);
    conn->born_ms = conn->heard_ms = now;
    if (g->options->age_ms > 0) {
        uint64_t age_ms = (uint64_t)g->options->age_ms, tenth = age_ms / 10;
        conn->age_ms = now + age_ms - tenth + prng_below(&g->jitter, 2 * tenth + 1);
    }
    keep_arm(conn);
}

void keep_heard(struct conn *conn)
{
    conn->heard_ms = keep_now(conn);
    conn->pinged_ms = 0;
}

static void keep_silent(struct conn *conn, uint64_t now)
{
    if (!wire_server_greeted(conn->wire) || secure_is_shaking(conn)) {
        conn->heard_ms = now; /* another clock runs */
        return;
    }
    if (conn->pinged_ms) {
        METRIC_ADD(connections_silent_total, 1);
        conn_stalled(conn, CONN_END_SILENT);
        return;
    }
    int verdict = wire_server_ping(conn->wire);
    if (verdict < 0) {
        conn_fail(conn);
    } else if (verdict == 0) {
        conn->pinged_ms = now;
        conn_dirty(conn);
    } else if (wire_server_calls_count(conn->wire) == 0) {
        conn_fail(conn);
    } else {
        conn->heard_ms = now;
    }
}

static void keep_refuse(void *user, struct wire_call *wire)
{
    struct call *call = wire_call_user(wire);
    if (call && call->state != CALL_ANSWERED && call->state != CALL_GONE) {
        answer_reason(call, REASON_SHUTTING_DOWN, NULL);
    }
}

static void keep_older(struct conn *conn, uint64_t now)
{
    static const uint64_t rest_ms[] = {[KEEP_TOLD] = KEEP_NOTICE_MS, [KEEP_ENDED] = KEEP_END_MS};
    if (conn->age_step == KEEP_ENDED || secure_is_shaking(conn)) {
        conn_stalled(conn, CONN_END_AGED);
        return;
    }
    METRIC_ADD(connections_aged_total, conn->age_step == KEEP_YOUNG);
    conn->age_step++;
    if (conn->age_step == KEEP_ENDED) {
        wire_server_each(conn->wire, keep_refuse, NULL);
    } else if (wire_server_drain(conn->wire)) {
        conn_fail(conn);
    }
    conn->age_ms = now + (conn->age_step == KEEP_LAST
                              ? (uint64_t)conn->gateway->options->age_grace_ms
                              : rest_ms[conn->age_step]);
    conn_dirty(conn);
}

void keep_due(struct conn *conn)
{
    uint64_t now = keep_now(conn), silence_ms = keep_silence_ms(conn);
    if (conn->age_ms > 0 && now >= conn->age_ms) {
        keep_older(conn, now);
    }
    if (silence_ms > 0 && now >= silence_ms) {
        keep_silent(conn, now);
    }
    if (!conn->has_failed) {
        keep_arm(conn);
    }
}
