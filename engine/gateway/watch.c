/* SPDX-License-Identifier: MIT */
/* Watchers of one loop.
 *
 *   board's async, or the tick -> each watcher: an edition under way? go on : take the newest
 *                              -> parts, while less than WATCH_QUEUED waits on his stream
 *
 * Owns: the watchers; a seat of the board and the edition under way belong to each.
 * Happy path: one part a second, the same for everybody.  Who reads slowly gets the next edition
 * when he is through with this one, and with it everything that changed since: editions in between
 * are skipped, nothing is missed.
 * Bounded: a stream that is not read holds WATCH_QUEUED and one part, and after WATCH_SLOW_MS
 * without a byte taken it ends with READER_TOO_SLOW.
 * Without a change an empty message says every WATCH_BEAT_MS that the stream lives.  When the board
 * has had nothing new for WATCH_STALE_US the stream ends with NO_LEADER: old news are no news.
 * Fails by refusing or ending the call, always with a reason. */
#include "gateway/watch.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"
#include "gateway/answer.h"
#include "gateway/board.h"
#include "gateway/call.h"
#include "gateway/edition.h"
#include "gateway/inside.h"
#include "wire/wire.h"

#define WATCH_TICK_MS  50
#define WATCH_BEAT_MS  15000
#define WATCH_SLOW_MS  30000
#define WATCH_STALE_US (6 * SECOND_US) /* as many snapshots, or two pages that did not come */
#define WATCH_QUEUED   (64 * 1024) /* bytes that wait on a stream before it gets no more */

struct watcher {
    struct list link;          /* in the loop's watchers */
    struct call *call;         /* whose stream this is */
    struct edition *edition;   /* under way, held; NULL: through with the last one */
    uint64_t seen;             /* number of the last one that is through */
    size_t at;                 /* in the one under way */
    size_t queued;             /* bytes that waited when last looked */
    uint64_t read_ms;          /* when fewer waited than before, or none */
    uint64_t said_ms;          /* the last message */
    int64_t begun_us;          /* monotonic */
    unsigned seat;             /* of the board */
};

/* -- one watcher ------------------------------------------------------------------------------- */

/* Takes the newest edition if there is anything new in it; false: the stream has ended. */
static bool watch_take(struct gateway *g, struct watcher *w)
{
    struct edition *e = board_look(g->front->board, w->seat);
    int64_t age_us = clock_mono_us() - (e ? e->made_us : w->begun_us);
    bool is_ended = true;
    if (e && e->reason != REASON_OK) {
        answer_reason(w->call, e->reason, NULL);
    } else if (age_us > WATCH_STALE_US) {
        answer_reason(w->call, REASON_NO_LEADER, "there was no snapshot for too long");
    } else {
        bool is_beat = uv_now(&g->loop) - w->said_ms >= WATCH_BEAT_MS;
        is_ended = false;
        if (e && e->number != w->seen && (is_beat || edition_has(e, w->seen))) {
            edition_hold(e);
            w->edition = e;
            w->at = 0;
        } else if (e) {
            w->seen = e->number; /* nothing in it for him */
        }
    }
    edition_drop(e);
    return !is_ended;
}

/* The next part of what is under way; false: the stream has ended. */
static bool watch_part(struct gateway *g, struct watcher *w)
{
    struct call *call = w->call;
    uint8_t *buffer = arena_alloc(&g->scratch, EDITION_BUFFER);
    if (buffer == NULL) {
        answer_reason(call, REASON_RATE_LIMITED, "this gateway is out of memory");
        return false;
    }
    bool is_complete;
    struct span part = edition_part(w->edition, w->seen, &w->at, buffer, &is_complete);
    if (is_complete) {
        w->seen = w->edition->number;
        edition_drop(w->edition);
        w->edition = NULL;
    }
    w->said_ms = uv_now(&g->loop);
    answer_part(call, part); /* may end the call, and the watcher with it */
    arena_reset(&g->scratch);
    return call->watcher == w;
}

/* Too slow?  Then the stream ends: false. */
static bool watch_reads(struct gateway *g, struct watcher *w)
{
    struct call *call = w->call;
    size_t queued = wire_call_queued_bytes(call->wire);
    uint64_t now = uv_now(&g->loop);
    if (queued == 0 || queued < w->queued) {
        w->read_ms = now;
    }
    w->queued = queued;
    if (now - w->read_ms <= WATCH_SLOW_MS) {
        return true;
    }
    answer_reason(call, REASON_READER_TOO_SLOW, NULL);
    call_linger(call);
    return false;
}

static void watch_serve(struct gateway *g, struct watcher *w)
{
    struct call *call = w->call;
    if (!watch_reads(g, w)) {
        return;
    }
    while (wire_call_queued_bytes(call->wire) < WATCH_QUEUED) {
        if (w->edition == NULL && (!watch_take(g, w) || w->edition == NULL)) {
            break;
        }
        if (!watch_part(g, w)) {
            return;
        }
    }
    if (call->watcher == w) {
        w->queued = wire_call_queued_bytes(call->wire);
    }
}

/* -- all of a loop ----------------------------------------------------------------------------- */

static void watch_serve_all(struct gateway *g)
{
    struct list *next;
    for (struct list *l = g->watch.watchers.next; l != &g->watch.watchers; l = next) {
        next = l->next; /* one that ends leaves the list */
        watch_serve(g, CONTAINER_OF(l, struct watcher, link));
    }
}

static void watch_news(uv_async_t *async)
{
    watch_serve_all(async->data);
}

static void watch_tick(uv_timer_t *timer)
{
    struct gateway *g = timer->data;
    watch_serve_all(g);
    if (list_empty(&g->watch.watchers)) {
        uv_timer_stop(&g->watch.timer);
        g->watch.is_timing = false;
    }
}

int watch_open(struct gateway *g)
{
    list_init(&g->watch.watchers);
    int r = uv_async_init(&g->loop, &g->watch.async, watch_news);
    if (r < 0) {
        return err_origin(r);
    }
    uv_timer_init(&g->loop, &g->watch.timer);
    g->watch.async.data = g->watch.timer.data = g;
    g->watch.is_open = true;
    board_join_loop(g->front->board, g->index, &g->watch.async);
    return 0;
}

void watch_close(struct gateway *g)
{
    if (g->watch.is_open) {
        CHECK(list_empty(&g->watch.watchers));
        g->watch.is_open = false;
        board_leave_loop(g->front->board, g->index);
        uv_close((uv_handle_t *)&g->watch.async, NULL);
        uv_close((uv_handle_t *)&g->watch.timer, NULL);
    }
}

void watch_end_all(struct gateway *g)
{
    while (!list_empty(&g->watch.watchers)) {
        struct watcher *w = CONTAINER_OF(g->watch.watchers.next, struct watcher, link);
        answer_reason(w->call, REASON_SHUTTING_DOWN, NULL);
    }
}

void watch_begin(struct call *call, struct span pool)
{
    struct gateway *g = call_gateway(call);
    const char *detail;
    struct watcher *w = calloc(1, sizeof *w);
    if (w == NULL) {
        answer_reason(call, REASON_RATE_LIMITED, "this gateway is out of memory");
        return;
    }
    enum reason reason = board_join(g->front->board, &call->identity, pool, &w->seat, &detail);
    if (reason != REASON_OK) {
        free(w);
        answer_reason(call, reason, detail);
        return;
    }
    if (!call->has_own_deadline) {
        deadline_disarm(&g->deadlines, &call->deadline);
    }
    call_move(call, CALL_STREAM);
    w->call = call;
    w->read_ms = w->said_ms = uv_now(&g->loop);
    w->begun_us = clock_mono_us();
    call->watcher = w;
    METRIC_ADD(watch_streams, 1);
    list_push(&g->watch.watchers, &w->link);
    if (!g->watch.is_timing) {
        g->watch.is_timing = true;
        uv_timer_start(&g->watch.timer, watch_tick, WATCH_TICK_MS, WATCH_TICK_MS);
    }
}

void watch_leave(struct call *call)
{
    struct gateway *g = call_gateway(call);
    struct watcher *w = call->watcher;
    call->watcher = NULL;
    METRIC_ADD(watch_streams, -1);
    list_remove(&w->link);
    edition_drop(w->edition);
    board_leave(g->front->board, w->seat);
    free(w);
}
