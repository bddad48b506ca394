/* SPDX-License-Identifier: MIT */
/* Connections: bytes between sockets and wire.
 *
 *   socket -> gateway->read_buf -> (secure.c) -> wire_server_receive -> route.c
 *   answers -> wire -> gateway->send_buf -> (secure.c) -> uv_try_write -> (the rest) uv_write
 *
 * Owns: the socket, its wire, its TLS, a rest of at most SEND_BYTES while the socket is full.
 * Happy path: answers mark their connection dirty; once per turn of the loop each dirty connection
 * is flushed, so that a hundred replies are one write.  A connection whose calls are all answered
 * by the read that brought them (health) is flushed at once: waiting would gather nothing, and its
 * memory would leave the caches (measured: 4.3 us a call instead of 3.2).  Both buffers belong to
 * the loop, so an idle connection costs this struct and wire's state (measured: 14 KB).
 * Fails by closing: garbage, a peer that left, one that does not read (a rest not taken within
 * CONN_STALLS times the unread time), one that does not say what it came for (no preface and
 * SETTINGS, or half a header block, for CONN_HELLO_MS; one that greeted may stay idle, see keep.c),
 * one that holds most when memory runs out (guard.c), one whose network has had its share (gate.c:
 * reset before a byte is read).  Answers that clients do not read are bounded by wire on each
 * connection, and by OUTPUT_BYTES_MAX for all: what is beyond is refused (answer.c), not stored.
 * Invariants: wire is freed in conn_close() only, never inside its own callbacks; while a rest
 * waits nothing is taken from wire, so order is kept.
 * Not uv_write for everything: it allocates and needs another turn for what is one system call. */
#include "gateway/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/face.h"
#include "gateway/gate.h"
#include "gateway/inside.h"
#include "gateway/keep.h"
#include "gateway/route.h"
#include "gateway/secure.h"
#include "wire/wire.h"

#define CONN_STALLS   3     /* times the unread time: for a rest that the peer does not take */
#define CONN_HELLO_MS 10000 /* for a greeting or a header block, however many bytes it comes in */

/* What a socket did not take at once. */
struct conn_rest {
    uv_write_t req;
    size_t len;
    uint8_t bytes[];
};

static void conn_freed(uv_handle_t *handle)
{
    free(handle->data);
}

static unsigned conn_end(const struct conn *conn)
{
    return conn->end || conn->wire == NULL ? conn->end : wire_server_end(conn->wire);
}

static void conn_close(struct conn *conn)
{
    if (uv_is_closing((uv_handle_t *)&conn->tcp)) {
        return;
    }
    struct gateway *g = conn->gateway;
    METRIC_ADD1(connections_ended_total, end, conn_end(conn), 1);
    secure_end(conn);
    gate_leave(g->front->gate, conn->toll);
    wire_server_free(conn->wire); /* every call of it is gone after this */
    conn->wire = NULL;
    deadline_disarm(&g->deadlines, &conn->stall);
    deadline_disarm(&g->deadlines, &conn->hello);
    deadline_disarm(&g->deadlines, &conn->brake);
    deadline_disarm(&g->deadlines, &conn->keep);
    list_remove(&conn->stranger_link);
    list_remove(&conn->dirty_link);
    list_remove(&conn->link);
    CHECK(g->conns_count > 0);
    g->conns_count--;
    METRIC_ADD(connections, -1);
    atomic_fetch_sub_explicit(&g->front->conns_count, 1, memory_order_relaxed);
    g->admin_count -= conn->is_admin;
    uv_close((uv_handle_t *)&conn->tcp, conn_freed);
}

void conn_dirty(struct conn *conn)
{
    if (list_empty(&conn->dirty_link)) {
        list_push(&conn->gateway->dirty, &conn->dirty_link);
    }
}

void conn_fail(struct conn *conn)
{
    conn->has_failed = true;
    conn_dirty(conn);
}

bool conn_output_add(struct conn *conn, size_t n)
{
    struct gateway *g = conn->gateway;
    if (g->output_bytes + n > OUTPUT_BYTES_MAX / g->front->loops_count) {
        return false;
    }
    g->output_bytes += n;
    return true;
}

void conn_output_sub(struct conn *conn, size_t n)
{
    CHECK(conn->gateway->output_bytes >= n);
    conn->gateway->output_bytes -= n;
}

static void conn_arm_stall(struct conn *conn)
{
    struct gateway *g = conn->gateway;
    if (limit_is_on("stall")) {
        uint64_t ms = g->options->unread_ms > 0 ? (uint64_t)g->options->unread_ms : UNREAD_MS;
        deadline_arm(&g->deadlines, &conn->stall, uv_now(&g->loop) + CONN_STALLS * ms);
    }
}

static void conn_rest_written(uv_write_t *req, int status)
{
    struct conn_rest *rest = CONTAINER_OF(req, struct conn_rest, req);
    struct conn *conn = CONTAINER_OF(req->handle, struct conn, tcp);
    struct gateway *g = conn->gateway;
    CHECK(g->output_bytes >= rest->len);
    g->output_bytes -= rest->len;
    free(rest);
    CHECK(conn->rests_count > 0);
    conn->rests_count--;
    if (conn->wire == NULL) {
        return; /* closed meanwhile */
    }
    if (conn->rests_count > 0) {
        conn_arm_stall(conn);
        return; /* it reads; the rest of the rests follows */
    }
    deadline_disarm(&g->deadlines, &conn->stall);
    if (status < 0) {
        conn->has_failed = true;
    }
    conn_dirty(conn);
}

/* Keeps what the socket did not take; < 0: it cannot be kept. */
static int conn_write_rest(struct conn *conn, const uint8_t *bytes, size_t n)
{
    struct gateway *g = conn->gateway;
    if (g->output_bytes + n > OUTPUT_BYTES_MAX / g->front->loops_count) {
        return -ENOBUFS;
    }
    struct conn_rest *rest = malloc(sizeof *rest + n);
    if (rest == NULL) {
        return err_origin(-ENOMEM);
    }
    rest->len = n;
    memcpy(rest->bytes, bytes, n);
    uv_buf_t buf = uv_buf_init((char *)rest->bytes, (unsigned)n);
    int r = uv_write(&rest->req, (uv_stream_t *)&conn->tcp, &buf, 1, conn_rest_written);
    if (r < 0) {
        free(rest);
        return r;
    }
    g->output_bytes += n;
    conn->rests_count++;
    conn_arm_stall(conn);
    return 0;
}

int conn_put(struct conn *conn, struct span bytes)
{
    int sent = 0;
    if (conn->rests_count == 0) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.ptr, (unsigned)bytes.len);
        sent = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
        sent = sent == UV_EAGAIN ? 0 : sent;
    }
    if (sent < 0 || (size_t)sent == bytes.len) {
        return sent < 0 ? sent : 0;
    }
    if (conn->is_ending) {
        return -EPIPE; /* it does not read and is to be closed anyway */
    }
    return conn_write_rest(conn, bytes.ptr + sent, bytes.len - (size_t)sent);
}

/* One buffer full.  Returns the bytes that left or wait in libuv, 0: nothing to send, < 0: broken
 * off. */
static ssize_t conn_send_some(struct conn *conn)
{
    struct gateway *g = conn->gateway;
    struct span bytes;
    if (secure_is_shaking(conn)) {
        return secure_flush(conn);
    }
    ssize_t n = wire_server_send(conn->wire, g->send_buf, SEND_BYTES);
    if (n <= 0) {
        return n < 0 ? n : secure_flush(conn);
    }
    int r = secure_seal(conn, (struct span){g->send_buf, (size_t)n}, &bytes);
    if (r == 0) {
        r = conn_put(conn, bytes);
    }
    return r < 0 ? r : n;
}

/* It has nothing more to say, or wants nothing more to hear. */
static bool conn_is_over(const struct conn *conn)
{
    return conn->rests_count == 0 &&
           (conn->is_ending || wire_server_done(conn->wire) ||
            (conn->is_half_closed && conn->waiting_count == 0));
}

/* Its clock runs while it owes something, from when that began. */
static void conn_watch(struct conn *conn)
{
    struct gateway *g = conn->gateway;
    if (!wire_server_owed(conn->wire) && !secure_owes(conn)) {
        deadline_disarm(&g->deadlines, &conn->hello);
    } else if (conn->hello.place == 0 && limit_is_on("hello")) {
        int ms = g->options->hello_ms > 0 ? g->options->hello_ms : CONN_HELLO_MS;
        deadline_arm(&g->deadlines, &conn->hello, uv_now(&g->loop) + (uint64_t)ms);
    }
    if (wire_server_greeted(conn->wire)) {
        list_remove(&conn->stranger_link);
    }
}

static void conn_flush(struct conn *conn)
{
    ssize_t n = 1;
    while (n > 0 && !conn->has_failed && conn->rests_count == 0) {
        n = conn_send_some(conn);
    }
    conn_watch(conn); /* an answer may leave while the rest of its request is still owed */
    if (n < 0 || conn->has_failed) {
        conn_close(conn);
    } else if (conn_is_over(conn)) {
        secure_good_bye(conn);
        conn_close(conn);
    }
}

void conn_flush_all(struct gateway *g)
{
    struct list *link;
    while ((link = list_pull(&g->dirty))) {
        conn_flush(CONTAINER_OF(link, struct conn, dirty_link));
    }
}

void conn_expel(struct conn *conn)
{
    if (conn->rests_count > 0) {
        conn_stalled(conn, CONN_END_STALL); /* it does not even read what it was told */
        return;
    }
    wire_server_expel(conn->wire);
    conn->is_ending = true;
    uv_read_stop((uv_stream_t *)&conn->tcp);
    conn_dirty(conn);
}

void conn_stalled(struct conn *conn, enum conn_end why)
{
    conn->end = (uint8_t)why;
    conn_fail(conn);
}

bool conn_close_stranger(struct gateway *g)
{
    if (list_empty(&g->strangers)) {
        return false;
    }
    struct conn *oldest = CONTAINER_OF(g->strangers.next, struct conn, stranger_link);
    if (g->conns.prev == &oldest->link) {
        return false;
    }
    conn_close(oldest);
    return true;
}

static void conn_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct conn *conn = handle->data;
    /* Of no bytes: libuv leaves them in the socket, and comes again in the next turn. */
    *ret_buf = uv_buf_init((char *)conn->gateway->read_buf,
                           secure_must_wait(conn) ? 0 : READ_BYTES);
}

/* It sends no more: is there an answer that it may wait for?  TLS has a word of its own for it. */
static bool conn_may_half_close(const struct conn *conn)
{
    return !conn->cipher && (conn->waiting_count > 0 || conn->rests_count > 0) &&
           wire_server_may_half_close(conn->wire);
}

static void conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    if (n == UV_ENOBUFS) {
        return; /* conn_buffer() said so */
    }
    if (n == UV_EOF && conn_may_half_close(conn)) {
        conn->is_half_closed = true; /* closed once it has its answers: conn_is_over() */
        uv_read_stop(stream);
        return;
    }
    if (n < 0) {
        conn_close(conn);
        return;
    }
    if (n == 0) {
        return;
    }
    /* Deadlines of its calls begin now, not when this turn of a busy loop began. */
    uv_update_time(stream->loop);
    keep_heard(conn);
    wire_server_time(conn->wire, conn->heard_ms);
    struct span bytes = {(const uint8_t *)buf->base, (size_t)n};
    int verdict = conn->cipher ? secure_receive(conn, bytes)
                               : wire_server_receive(conn->wire, bytes.ptr, bytes.len);
    if (verdict < 0) {
        conn->has_failed = true;
    } else if (verdict > 0 || conn->is_half_closed) {
        conn->is_ending |= verdict > 0;
        uv_read_stop(stream);
    }
    conn_watch(conn);
    bool is_flushed = conn->waiting_count == 0 && conn->rests_count == 0 && !conn->has_failed;
    if (!is_flushed && secure_flush(conn) < 0) {
        conn->has_failed = true;
    }
    if (conn->waiting_count == 0) {
        list_remove(&conn->dirty_link);
        conn_flush(conn); /* no answer is left that could join; memory is still warm */
    } else {
        conn_dirty(conn);
    }
    gateway_breathe(conn->gateway);
}

void conn_pause(struct conn *conn)
{
    uv_read_stop((uv_stream_t *)&conn->tcp);
}

void conn_resume(struct conn *conn)
{
    if (!conn->is_ending && !conn->is_half_closed && !conn->has_failed &&
        uv_read_start((uv_stream_t *)&conn->tcp, conn_buffer, conn_read) < 0) {
        conn_fail(conn);
    }
}

static const struct wire_server_ops conn_ops = {
    .call_open = route_call_open,
    .call_message = route_call_message,
    .call_half_closed = route_call_half_closed,
    .call_closed = route_call_closed,
    .call_refused = route_call_refused,
    .path_facts = face_path_facts,
    .origin = face_origin,
    .error_json = face_error,
};

/* Its peer, and the group of addresses that it is of. */
static struct toll_group conn_group(const struct conn *conn, struct sockaddr_storage *ret_peer)
{
    int len = sizeof *ret_peer;
    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)ret_peer, &len) < 0) {
        return (struct toll_group){0};
    }
    bool is_v4 = ret_peer->ss_family == AF_INET;
    const uint8_t *address = is_v4
        ? (const uint8_t *)&((const struct sockaddr_in *)ret_peer)->sin_addr
        : (const uint8_t *)&((const struct sockaddr_in6 *)ret_peer)->sin6_addr;
    size_t size = is_v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    return cidr_holds(&conn->gateway->front->frontends, address, size)
        ? (struct toll_group){0} : toll_group_of(address, size);
}

/* A connection with nothing but a socket; NULL: out of memory. */
static struct conn *conn_new(struct gateway *g)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return NULL;
    }
    int r = uv_tcp_init(&g->loop, &conn->tcp);
    CHECK(r == 0); /* fails for bad flags only, and opens nothing yet */
    conn->tcp.data = conn;
    conn->gateway = g;
    conn->stall.owner = DEADLINE_CONN;
    conn->hello.owner = DEADLINE_HELLO;
    conn->brake.owner = DEADLINE_BRAKE;
    conn->keep.owner = DEADLINE_KEEP;
    list_init(&conn->handshake_link);
    list_init(&conn->stranger_link);
    list_init(&conn->dirty_link);
    list_push(&g->conns, &conn->link);
    g->conns_count++;
    METRIC_ADD(connections, 1);
    atomic_fetch_add_explicit(&g->front->conns_count, 1, memory_order_relaxed);
    return conn;
}

/* 0, or the gate's verdict. */
static int conn_pass_gate(struct conn *conn)
{
    struct sockaddr_storage peer = {0};
    conn->group = conn_group(conn, &peer);
    if (conn->group.value == 0) {
        return 0; /* a web frontend's, or it left before it came */
    }
    return gate_enter(conn->gateway->front->gate, (struct sockaddr *)&peer, &conn->toll);
}

/* Closes at once, with a reset: no time in TIME_WAIT, no byte that it would have to read. */
static void conn_reset(struct conn *conn)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&conn->tcp, &fd) == 0) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    conn_close(conn);
}

int conn_accept(struct gateway *g, uv_stream_t *listener)
{
    struct conn *conn = conn_new(g);
    if (conn == NULL) {
        return err_origin(-ENOMEM);
    }
    conn->is_admin = listener == (uv_stream_t *)&g->admin_listener;
    g->admin_count += conn->is_admin;
    int r = uv_accept(listener, (uv_stream_t *)&conn->tcp);
    if (r < 0) {
        goto close_conn;
    }
    r = conn_pass_gate(conn);
    if (r) {
        METRIC_ADD1(connections_rejected_total, toll, r - TOLL_E_RATE, 1);
        conn_reset(conn);
        return CONN_E_REJECTED;
    }
    METRIC_ADD(connections_accepted_total, 1);
    r = wire_server_new(&conn_ops, conn, &g->guard.limits, &conn->wire);
    if (r) {
        goto close_conn;
    }
    r = secure_begin(conn);
    if (r) {
        goto close_conn;
    }
    r = uv_read_start((uv_stream_t *)&conn->tcp, conn_buffer, conn_read);
    if (r < 0) {
        goto close_conn;
    }
    list_push(&g->strangers, &conn->stranger_link);
    keep_begin(conn);
    conn_watch(conn);
    secure_make_room(g);
    conn_dirty(conn); /* our SETTINGS */
    return 0;
close_conn:
    conn_close(conn);
    return err_fold(r);
}

void conn_refuse(struct gateway *g, uv_stream_t *listener)
{
    if (conn_accept(g, listener)) {
        return;
    }
    struct conn *conn = CONTAINER_OF(g->conns.prev, struct conn, link);
    log_event(LOG_CONNECTIONS_FULL, NULL, "gateway: %d connections: no more", CONNECTIONS_MAX);
    conn_turn_away(conn);
}

void conn_turn_away(struct conn *conn)
{
    METRIC_ADD(connections_refused_total, 1);
    if (conn->cipher) {
        conn_reset(conn); /* a good-bye in TLS costs a handshake */
        return;
    }
    wire_server_drain(conn->wire);
    wire_server_drain(conn->wire);
    conn->is_ending = true;
    uv_read_stop((uv_stream_t *)&conn->tcp);
}

void conn_drain_all(struct gateway *g)
{
    for (struct list *l = g->conns.next; l != &g->conns; l = l->next) {
        struct conn *conn = CONTAINER_OF(l, struct conn, link);
        bool is_last = conn->gateway->phase != GATEWAY_NOTICE;
        if (wire_server_drain(conn->wire) || (is_last && secure_is_shaking(conn))) {
            conn->has_failed = true;
        }
        conn_dirty(conn);
    }
}

void conn_close_all(struct gateway *g)
{
    while (!list_empty(&g->conns)) {
        conn_close(CONTAINER_OF(g->conns.next, struct conn, link));
    }
}
