/* SPDX-License-Identifier: MIT */
/* The gateway's loop: start, settle, drain, stop.
 *
 *   sleep in poll -> reads, answers of the shard, verified tokens -> settle -> sleep ...
 *   settle: due deadlines -> pump the hop -> flush every dirty connection -> arm the one timer
 *
 * Owns: struct gateway with everything in it.
 * Happy path: what came in one turn of the loop is gathered; one batch leaves for the shard and one
 * write for each connection.  Nothing waits for a timer to be gathered: a lonely call leaves in the
 * turn that read it.
 * SIGTERM or SIGINT: OPEN -> NOTICE (no new connection, health NOT_SERVING, new calls refused,
 * GOAWAY notice) -> FINAL (final GOAWAY, streams ended) -> TOLD (drain_ms are nearly over: whoever
 * still waits for a silent shard is refused with SHUTTING_DOWN) -> CLOSING (every connection left,
 * or drain_ms are over) -> the loop is empty.  The notice stands for one round trip, so that no
 * call is lost between the two GOAWAYs.
 * SIGHUP is logged and ignored.
 * Fails at the start only, with a verdict and a text; from then on by refusing calls. */
#include "gateway/gateway.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "gateway/answer.h"
#include "gateway/conn.h"
#include "gateway/hop.h"
#include "gateway/inside.h"
#include "gateway/listen.h"
#include "gateway/queue.h"
#include "gateway/route.h"

#define GATEWAY_DRAIN_MS  5000
#define GATEWAY_NOTICE_MS 200 /* between the two GOAWAYs: a round trip */
#define GATEWAY_TELL_MS   500 /* for the last refusals to be read, at most a quarter of drain_ms */
#define GATEWAY_TEXT      256

extern const unsigned char api_descriptor_set[];
extern const unsigned long api_descriptor_set_len;

static void gateway_close_handle(uv_handle_t *handle)
{
    if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* Lets go of everything that keeps the loop running.  Also for a half-built gateway. */
static void gateway_close(struct gateway *g)
{
    g->phase = GATEWAY_CLOSING;
    conn_close_all(g);
    deadline_disarm(&g->deadlines, &g->drain);
    listen_close(g);
    hop_close(g);
    gateway_close_handle((uv_handle_t *)&g->prepare);
    gateway_close_handle((uv_handle_t *)&g->check);
    gateway_close_handle((uv_handle_t *)&g->timer);
    gateway_close_handle((uv_handle_t *)&g->sigterm);
    gateway_close_handle((uv_handle_t *)&g->sigint);
    gateway_close_handle((uv_handle_t *)&g->sighup);
}

static int gateway_drain_ms(const struct gateway *g)
{
    return g->options->drain_ms > 0 ? g->options->drain_ms : GATEWAY_DRAIN_MS;
}

static void gateway_final(struct gateway *g)
{
    int tell_ms = gateway_drain_ms(g) / 4;
    tell_ms = tell_ms < GATEWAY_TELL_MS ? tell_ms : GATEWAY_TELL_MS;
    g->phase = GATEWAY_FINAL;
    health_end_watches(&g->health);
    while (!list_empty(&g->reflections)) {
        answer_reason(CONTAINER_OF(g->reflections.next, struct call, link), REASON_SHUTTING_DOWN,
                      NULL);
    }
    conn_drain_all(g);
    deadline_arm(&g->deadlines, &g->drain, g->drain_end_ms - (uint64_t)tell_ms);
}

static void gateway_drain_step(struct gateway *g)
{
    if (g->phase == GATEWAY_NOTICE) {
        gateway_final(g);
    } else if (g->phase == GATEWAY_FINAL) {
        g->phase = GATEWAY_TOLD;
        call_refuse_all(&g->calls);
        uint64_t soon = uv_now(&g->loop) + 1; /* a loop that is late still flushes before the cut */
        deadline_arm(&g->deadlines, &g->drain, g->drain_end_ms > soon ? g->drain_end_ms : soon);
    } else if (g->phase == GATEWAY_TOLD) {
        log_warn("gateway: %zu connections did not end in time: cut", g->conns_count);
        conn_close_all(g);
    }
}

static void gateway_drain(uv_signal_t *signal, int number)
{
    struct gateway *g = signal->data;
    if (g->phase != GATEWAY_OPEN) {
        return;
    }
    int drain_ms = gateway_drain_ms(g);
    log_info("gateway: stopping, %zu calls under way", g->calls.live_count);
    g->phase = GATEWAY_NOTICE;
    g->drain_end_ms = uv_now(&g->loop) + (uint64_t)drain_ms;
    listen_close(g);
    health_set(&g->health, HEALTH_NOT_SERVING);
    conn_drain_all(g);
    int notice_ms = drain_ms / 4 < GATEWAY_NOTICE_MS ? drain_ms / 4 : GATEWAY_NOTICE_MS;
    deadline_arm(&g->deadlines, &g->drain, uv_now(&g->loop) + (uint64_t)notice_ms);
}

/* A closed terminal, or somebody who expects a reload: neither may end the service. */
static void gateway_hangup(uv_signal_t *signal, int number)
{
    log_info("gateway: SIGHUP is ignored: restart to read keys and options again");
}

static void gateway_deadlines(struct gateway *g)
{
    struct deadline *d;
    while ((d = deadline_pull(&g->deadlines, uv_now(&g->loop)))) {
        switch (d->owner) {
        case DEADLINE_CALL:
            call_expired(CONTAINER_OF(d, struct call, deadline));
            break;
        case DEADLINE_CONN:
            conn_stalled(CONTAINER_OF(d, struct conn, stall));
            break;
        case DEADLINE_HELLO:
            conn_stalled(CONTAINER_OF(d, struct conn, hello));
            break;
        case DEADLINE_HOP:
            hop_tick(g);
            break;
        default:
            gateway_drain_step(g);
        }
    }
}

static void gateway_woken(uv_timer_t *timer)
{
    struct gateway *g = timer->data;
    g->timer_at_ms = 0; /* what is due is done when the loop settles, right after this */
}

static void gateway_arm_timer(struct gateway *g)
{
    uint64_t next = deadline_next_ms(&g->deadlines);
    if (next == g->timer_at_ms) {
        return;
    }
    g->timer_at_ms = next;
    if (next == 0) {
        uv_timer_stop(&g->timer);
        return;
    }
    uint64_t now = uv_now(&g->loop);
    uv_timer_start(&g->timer, gateway_woken, next > now ? next - now : 0, 0);
}

static void gateway_settle(struct gateway *g)
{
    if (g->phase == GATEWAY_CLOSING) {
        return;
    }
    gateway_deadlines(g);
    hop_pump(g);
    conn_flush_all(g);
    if (g->phase != GATEWAY_OPEN && g->conns_count == 0) {
        gateway_close(g);
        return;
    }
    gateway_arm_timer(g);
}

static void gateway_prepare(uv_prepare_t *prepare)
{
    gateway_settle(prepare->data);
}

static void gateway_check(uv_check_t *check)
{
    gateway_settle(check->data);
}

/* Memory and tables; no handle yet. */
static int gateway_init(struct gateway *g, const struct gateway_options *options)
{
    g->options = options;
    g->drain.owner = DEADLINE_DRAIN;
    list_init(&g->conns);
    list_init(&g->dirty);
    list_init(&g->strangers);
    list_init(&g->reflections);
    token_desk_init(&g->tokens);
    arena_init(&g->scratch, CALL_ARENA_MAX);
    arena_init(&g->status, MESSAGE_MAX);
    g->read_buf = malloc(READ_BYTES);
    g->send_buf = malloc(SEND_BYTES);
    /* The first block stays when an arena is reset: make it one that is never outgrown in peace. */
    if (g->read_buf == NULL || g->send_buf == NULL || !arena_alloc(&g->scratch, MESSAGE_MAX) ||
        !arena_alloc(&g->status, 4096)) {
        return err_origin(-ENOMEM);
    }
    arena_reset(&g->scratch);
    int r = deadline_heap_init(&g->deadlines, CALLS_MAX + 3 * CONNECTIONS_MAX);
    if (r == 0) {
        r = call_pool_init(&g->calls);
    }
    if (r == 0) {
        r = symbols_init(&g->symbols, (struct span){api_descriptor_set, api_descriptor_set_len});
    }
    symbols_keep_served(&g->symbols, route_is_served);
    health_init(&g->health, &g->symbols);
    return err_fold(r);
}

static void gateway_fini(struct gateway *g)
{
    hop_free(g);
    queue_fini(g);
    auth_free(g->auth);
    symbols_fini(&g->symbols);
    call_pool_fini(&g->calls);
    deadline_heap_fini(&g->deadlines);
    arena_fini(&g->status);
    arena_fini(&g->scratch);
    free(g->send_buf);
    free(g->read_buf);
    free(g);
}

static int gateway_handles(struct gateway *g)
{
    /* libuv: these fail for no reason but a programmer's. */
    uv_prepare_init(&g->loop, &g->prepare);
    uv_check_init(&g->loop, &g->check);
    uv_timer_init(&g->loop, &g->timer);
    g->prepare.data = g->check.data = g->timer.data = g;
    uv_prepare_start(&g->prepare, gateway_prepare);
    uv_check_start(&g->check, gateway_check);
    const struct {
        uv_signal_t *handle;
        uv_signal_cb on_signal;
        int number;
    } signals[] = {{&g->sigterm, gateway_drain, SIGTERM},
                   {&g->sigint, gateway_drain, SIGINT},
                   {&g->sighup, gateway_hangup, SIGHUP}};
    int r = 0;
    for (size_t i = 0; i < ARRAY_COUNT(signals) && r == 0; i++) {
        r = uv_signal_init(&g->loop, signals[i].handle);
        signals[i].handle->data = g;
        if (r == 0) {
            r = uv_signal_start(signals[i].handle, signals[i].on_signal, signals[i].number);
        }
    }
    return r < 0 ? err_origin(r) : 0;
}

/* Everything up to the ready line. */
static int gateway_start(struct gateway *g, char *ret_text)
{
    int port = 0;
    int r = gateway_handles(g);
    if (r) {
        return err_trace(r);
    }
    r = queue_init(g);
    if (r) {
        return err_trace(r);
    }
    r = token_desk_keys(g, ret_text);
    if (r) {
        return r > 0 ? GATEWAY_E_KEYS : err_trace(r);
    }
    r = hop_open(g);
    if (r) {
        return err_trace(r);
    }
    r = listen_open(g, ret_text, &port);
    if (r) {
        return r > 0 ? GATEWAY_E_LISTEN : err_trace(r);
    }
    if (g->options->ready) {
        g->options->ready(g->options->user, port);
    }
    return 0;
}

int gateway_run(const struct gateway_options *options, char *ret_text)
{
    ret_text[0] = '\0';
    struct gateway *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return err_origin(-ENOMEM);
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that left is an error of one write */
    int r = gateway_init(g, options);
    if (r) {
        goto fini;
    }
    r = uv_loop_init(&g->loop);
    if (r < 0) {
        r = err_origin(r);
        goto fini;
    }
    r = gateway_start(g, ret_text);
    if (r) {
        gateway_close(g);
    }
    uv_run(&g->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&g->loop) == 0);
fini:
    gateway_fini(g);
    return r;
}
