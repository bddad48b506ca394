/* SPDX-License-Identifier: MIT */
/* The gateway's loops: start, settle, drain, stop.
 *
 *   sleep in poll -> reads, answers of the shard, verified tokens, post of others -> settle -> ...
 *   settle: due deadlines -> pump the hop (first loop) -> flush every dirty connection
 *           -> hand over the post -> arm the one timer
 *
 * Owns: struct gateway with everything in it, one for each loop, and the threads of the others.
 * Happy path: what came in one turn of the loop is gathered; one batch leaves for the shard and one
 * write for each connection.  Nothing waits for a timer to be gathered: a lonely call leaves in the
 * turn that read it.
 * SIGTERM or SIGINT: OPEN -> NOTICE (no new connection, health NOT_SERVING, new calls refused,
 * GOAWAY notice) -> FINAL (final GOAWAY, streams ended) -> TOLD (drain_ms are nearly over: whoever
 * still waits for a silent shard is refused with SHUTTING_DOWN) -> CLOSING (every connection left,
 * or drain_ms are over) -> the loop is empty.  The notice stands for one round trip, so that no
 * call is lost between the two GOAWAYs.  The first loop hears the signal and tells the others; each
 * takes these steps by its own clock.  When another loop's last connection left, it posts
 * POST_LEAVE and ends with the first loop's answer to it, which is the last note between the two;
 * the first loop, which has queue and hop, ends last.
 * SIGHUP: reload.c; what is open stays open.
 * Fails at the start only, with a verdict and a text; from then on by refusing calls. */
#include "gateway/gateway.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway/answer.h"
#include "gateway/conn.h"
#include "gateway/errand.h"
#include "gateway/hop.h"
#include "gateway/inside.h"
#include "gateway/keep.h"
#include "gateway/listen.h"
#include "gateway/ops.h"
#include "gateway/queue.h"
#include "gateway/tally.h"

#define GATEWAY_DRAIN_MS  5000
#define GATEWAY_NOTICE_MS 200 /* between the two GOAWAYs: a round trip */
#define GATEWAY_TELL_MS   500 /* for the last refusals to be read, at most a quarter of drain_ms */
#define GATEWAY_READS     64  /* reads and accepts after which answers leave, turn or not */

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
    if (g->index == 0) {
        hop_close(g->front);
    }
    token_desk_close(g);
    watch_close(g);
    follow_close(g);
    events_close(g);
    export_close(g);
    post_close(&g->post);
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
    watch_end_all(g);
    follow_end_all(g);
    events_end_all(g);
    export_end_all(g);
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
        log_event(LOG_GATEWAY_CUT, NULL, "gateway: %zu connections did not end in time: cut",
                  g->conns_count);
        conn_close_all(g);
    }
}

static void gateway_drain(struct gateway *g)
{
    if (g->phase != GATEWAY_OPEN) {
        return;
    }
    int drain_ms = gateway_drain_ms(g);
    log_event(LOG_GATEWAY_STOPPING, NULL, "gateway: stopping, %zu calls under way",
              g->calls.live_count);
    g->phase = GATEWAY_NOTICE;
    g->drain_end_ms = uv_now(&g->loop) + (uint64_t)drain_ms;
    listen_close(g);
    health_set(&g->health, HEALTH_NOT_SERVING);
    conn_drain_all(g);
    int notice_ms = drain_ms / 4 < GATEWAY_NOTICE_MS ? drain_ms / 4 : GATEWAY_NOTICE_MS;
    deadline_arm(&g->deadlines, &g->drain, uv_now(&g->loop) + (uint64_t)notice_ms);
}

/* On the first loop. */
static void gateway_stop(uv_signal_t *signal, int number)
{
    struct gateway *g = signal->data;
    for (unsigned i = 1; i < g->front->loops_count && g->phase == GATEWAY_OPEN; i++) {
        struct gateway *other = g->front->loops[i];
        if (!other->has_left) {
            other->told.kind = POST_DRAIN;
            post_put(&g->post, i, &other->told);
        }
    }
    gateway_drain(g);
}

/* Somebody renewed a certificate, or a terminal was closed: neither may end the service. */
static void gateway_hangup(uv_signal_t *signal, int number)
{
    reload_begin(signal->data);
}

/* Notes of other loops. */
static void gateway_posted(uv_async_t *async)
{
    struct gateway *g = async->data;
    struct list notes, *link;
    list_init(&notes);
    post_take(&g->post, &notes);
    token_desk_turn(g);
    uv_update_time(&g->loop); /* deadlines that came are of now */
    while ((link = list_pull(&notes))) {
        struct post_note *note = CONTAINER_OF(link, struct post_note, link);
        if (note->kind == POST_DRAIN) {
            gateway_drain(g);
        } else if (note->kind != POST_LEAVE) {
            errand_post(g, note);
        } else if (g->index == 0) {
            struct gateway *other = CONTAINER_OF(note, struct gateway, told);
            other->has_left = true;
            g->front->others_count--;
            errand_drop_all(g->front, other->index);
            post_put(&g->post, other->index, note);
        } else {
            gateway_close(g);
        }
    }
}

static void gateway_flush_post(struct gateway *g)
{
    for (unsigned i = 0; g->index == 0 && i < g->front->loops_count; i++) {
        post_flush(&g->post, i, &g->front->loops[i]->post);
    }
    if (g->index > 0) {
        post_flush(&g->post, 0, &g->front->loops[0]->post);
    }
}

/* No connection is left and none will come. */
static void gateway_leave(struct gateway *g)
{
    if (g->index == 0) {
        if (g->front->others_count == 0) {
            gateway_close(g);
        }
    } else if (g->phase != GATEWAY_LEAVING) {
        g->phase = GATEWAY_LEAVING;
        deadline_disarm(&g->deadlines, &g->drain);
        g->told.kind = POST_LEAVE;
        post_put(&g->post, 0, &g->told);
    }
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
            conn_stalled(CONTAINER_OF(d, struct conn, stall), CONN_END_STALL);
            break;
        case DEADLINE_HELLO:
            conn_stalled(CONTAINER_OF(d, struct conn, hello), CONN_END_HELLO);
            break;
        case DEADLINE_KEEP:
            keep_due(CONTAINER_OF(d, struct conn, keep));
            break;
        case DEADLINE_BRAKE:
            brake_release(CONTAINER_OF(d, struct conn, brake));
            break;
        case DEADLINE_HOP:
            hop_tick(g->front);
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

/* What probes are told. */
static void gateway_tell_state(const struct gateway *g)
{
    if (g->options->state) {
        atomic_store(g->options->state, g->phase != GATEWAY_OPEN ? OPS_DRAINING
                                        : hop_is_gone(g->front)  ? OPS_SHARD_AWAY
                                                                 : OPS_READY);
    }
}

static void gateway_settle(struct gateway *g)
{
    if (g->phase == GATEWAY_CLOSING) {
        return;
    }
    g->reads_count = 0;
    gateway_deadlines(g);
    if (g->index == 0) {
        hop_pump(g->front);
        tally_queue(g->front);
        gateway_tell_state(g);
    }
    guard_settle(g);
    conn_flush_all(g);
    if (g->phase != GATEWAY_OPEN && g->conns_count == 0) {
        gateway_leave(g);
    }
    if (g->front->loops_count > 1) {
        gateway_flush_post(g);
    }
    if (g->phase != GATEWAY_CLOSING) {
        gateway_arm_timer(g);
    }
}

void gateway_breathe(struct gateway *g)
{
    g->reads_count++;
    if (g->reads_count < GATEWAY_READS || g->phase == GATEWAY_CLOSING) {
        return;
    }
    uv_update_time(&g->loop);
    if (g->index == 0) {
        hop_collect(g->front);
    }
    if (g->front->loops_count > 1) {
        gateway_posted(&g->post.async);
    }
    gateway_settle(g);
}

static void gateway_prepare(uv_prepare_t *prepare)
{
    ((struct gateway *)prepare->data)->handshakes_turn = 0;
    gateway_settle(prepare->data);
}

static void gateway_check(uv_check_t *check)
{
    gateway_settle(check->data);
}

/* Memory and tables; no handle yet. */
static int gateway_init(struct gateway *g, struct front *front, unsigned index)
{
    g->front = front;
    g->index = index;
    g->options = front->options;
    g->symbols = &front->symbols;
    g->drain.owner = DEADLINE_DRAIN;
    list_init(&g->conns);
    list_init(&g->dirty);
    list_init(&g->strangers);
    list_init(&g->handshakes);
    list_init(&g->reflections);
    guard_init(g);
    list_init(&g->told.link);
    uint64_t seed;
    clock_random(&seed, sizeof seed);
    prng_init(&g->jitter, seed);
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
    int r = token_desk_init(g);
    if (r) {
        return err_trace(r);
    }
    r = deadline_heap_init(&g->deadlines, CALLS_MAX + 5 * CONNECTIONS_MAX);
    if (r == 0) {
        r = call_pool_init(&g->calls);
    }
    if (r == 0) {
        r = face_init(&g->face, (struct span){api_descriptor_set, api_descriptor_set_len});
    }
    if (r == 0 && (front->tls || front->admin_tls)) {
        r = cipher_desk_init(&g->desk);
    }
    health_init(&g->health, g->symbols);
    return err_fold(r);
}

static void gateway_fini(struct gateway *g)
{
    post_fini(&g->post);
    face_fini(&g->face);
    token_desk_fini(g);
    guard_fini(g);
    call_pool_fini(&g->calls);
    deadline_heap_fini(&g->deadlines);
    arena_fini(&g->status);
    arena_fini(&g->scratch);
    cipher_desk_fini(&g->desk);
    free(g->send_buf);
    free(g->read_buf);
    free(g);
}

static int gateway_signals(struct gateway *g)
{
    const struct {
        uv_signal_t *handle;
        uv_signal_cb on_signal;
        int number;
    } signals[] = {{&g->sigterm, gateway_stop, SIGTERM},
                   {&g->sigint, gateway_stop, SIGINT},
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

static int gateway_handles(struct gateway *g)
{
    /* libuv: these fail for no reason but a programmer's. */
    uv_prepare_init(&g->loop, &g->prepare);
    uv_check_init(&g->loop, &g->check);
    uv_timer_init(&g->loop, &g->timer);
    g->prepare.data = g->check.data = g->timer.data = g;
    token_desk_open(g);
    uv_prepare_start(&g->prepare, gateway_prepare);
    uv_check_start(&g->check, gateway_check);
    events_open(g);
    export_open(g);
    int r = follow_open(g);
    r = r ? r : watch_open(g);
    if (r == 0) {
        r = post_open(&g->post, &g->loop, gateway_posted, g);
    }
    return r == 0 && g->index == 0 ? gateway_signals(g) : err_trace(r);
}

/* A loop in front->loops, with its handles but not listening; to be ended by gateway_end(). */
static int gateway_new(struct front *front, unsigned index)
{
    struct gateway *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = gateway_init(g, front, index);
    if (r == 0) {
        r = uv_loop_init(&g->loop);
    }
    if (r) {
        gateway_fini(g);
        return err_trace(r);
    }
    front->loops[index] = g;
    return err_trace(gateway_handles(g));
}

/* Its handles are closed, its loop ran to its end. */
static void gateway_end(struct front *front, unsigned index)
{
    struct gateway *g = front->loops[index];
    if (g) {
        CHECK(uv_loop_close(&g->loop) == 0);
        front->loops[index] = NULL;
        gateway_fini(g);
    }
}

/* What the first loop has besides. */
static int gateway_first(struct front *front, char *ret_text)
{
    int r = queue_init(front);
    if (r) {
        return err_trace(r);
    }
    r = reload_start(front, ret_text);
    if (r) {
        return r > 0 ? GATEWAY_E_KEYS : err_trace(r);
    }
    return err_trace(hop_open(front));
}

/* Everything up to the ready line but the threads. */
static int gateway_start(struct front *front, char *ret_text, int *ret_port)
{
    int port = front->options->listen_port, admin_port = front->options->admin_port;
    int r = front_open(front, ret_text);
    if (r) {
        return r == FRONT_E_TLS ? GATEWAY_E_TLS : r > 0 ? GATEWAY_E_GATE : err_trace(r);
    }
    for (unsigned i = 0; i < front->loops_count && r == 0; i++) {
        r = gateway_new(front, i);
    }
    if (r == 0) {
        r = gateway_first(front, ret_text);
    }
    if (r) {
        return r;
    }
    for (unsigned i = 0; i < front->loops_count; i++) {
        token_desk_turn(front->loops[i]);
        r = listen_open(front->loops[i], ret_text, &port);
        if (r) {
            return r > 0 ? GATEWAY_E_LISTEN : err_trace(r);
        }
    }
    if (front->options->admin_host) {
        r = listen_open_admin(front->loops[0], ret_text, &admin_port);
        front->admin_port = admin_port;
    }
    *ret_port = port;
    return r > 0 ? GATEWAY_E_LISTEN : err_trace(r);
}

static void gateway_thread(void *user)
{
    struct gateway *g = user;
    uv_run(&g->loop, UV_RUN_DEFAULT);
}

/* Starts the other loops; one that gets no thread is closed, and the rest does its work. */
static void gateway_threads(struct front *front)
{
    for (unsigned i = 1; i < front->loops_count; i++) {
        struct gateway *g = front->loops[i];
        g->has_thread = uv_thread_create(&g->thread, gateway_thread, g) == 0;
        if (g->has_thread) {
            front->others_count++;
        } else {
            log_event(LOG_GATEWAY_FEWER_LOOPS, NULL, "gateway: no thread for loop %u: it runs with "
                      "fewer", i + 1);
            g->has_left = true;
            gateway_close(g);
            gateway_thread(g);
        }
    }
}

int gateway_run(const struct gateway_options *options, char *ret_text)
{
    struct front *front;
    int port = 0;
    ret_text[0] = '\0';
    tally_names();
    signal(SIGPIPE, SIG_IGN); /* a peer that left is an error of one write */
    int r = front_new(options, &front, ret_text);
    if (r) {
        return r > 0 ? GATEWAY_E_OPTIONS : err_trace(r);
    }
    r = gateway_start(front, ret_text, &port);
    if (r == 0) {
        gateway_threads(front);
        if (options->ready) {
            options->ready(options->user, port, front->admin_port);
        }
    }
    for (unsigned i = 0; i < front->loops_count && r; i++) { /* half-built: nothing but closing */
        if (front->loops[i]) {
            gateway_close(front->loops[i]);
            gateway_thread(front->loops[i]);
        }
    }
    if (r == 0) {
        gateway_thread(front->loops[0]);
    }
    for (unsigned i = front->loops_count; i-- > 0;) {
        if (front->loops[i] && front->loops[i]->has_thread) {
            uv_thread_join(&front->loops[i]->thread);
        }
        gateway_end(front, i);
    }
    hop_free(front);
    queue_fini(front);
    front_free(front);
    return r;
}
