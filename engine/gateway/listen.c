/* SPDX-License-Identifier: MIT */
/* Listening.  Owns: the listening socket.
 * Happy path: accept, hand over to conn.c.
 * Fails: an address that cannot be had is a verdict with a text; with CONNECTIONS_MAX connections a
 * new one gets HTTP/2's good-bye and is closed, so that its client knows to come back and does not
 * wait.  When descriptors run out (fewer than LISTEN_RESERVE are left), the log has a line and the
 * oldest connection that never greeted goes, so that silent ones cannot keep clients out; where all
 * have greeted, the new one is turned away, so that an operator still comes in.
 * Where all have greeted and none is left, libuv gives up the one it keeps in reserve for this,
 * accepts and closes (uv__emfile_trick, which tells nobody), so that the backlog does not spin the
 * loop.  The same for the operators' listener, which the first loop alone has. */
#include "gateway/listen.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limit.h"
#include "base/log.h"
#include "gateway/conn.h"
#include "gateway/inside.h"

#define LISTEN_BACKLOG 4096 /* a release begins for everybody at once; the kernel may cut it */
#define LISTEN_TEXT    256
#define LISTEN_RESERVE 16    /* descriptors that silent connections may not have */
#define LISTEN_SAY_MS  60000 /* between two lines about descriptors */

/* newest: accepted a moment ago, and alive; NULL: none was. */
static void listen_descriptors_low(struct gateway *g, struct conn *newest)
{
    uint64_t now = uv_now(&g->loop);
    if (g->descriptors_said_ms == 0 || now - g->descriptors_said_ms >= LISTEN_SAY_MS) {
        g->descriptors_said_ms = now;
        log_event(LOG_DESCRIPTORS_LOW, LOG_FIELDS(LOG_NUMBER("connections", g->conns_count)),
                  "gateway: descriptors run out with %zu connections: raise the limit (ulimit -n)",
                  g->conns_count);
    }
    if (!conn_close_stranger(g) && newest && !newest->is_admin) {
        conn_turn_away(newest); /* the last ones are for operators, the shard and files */
    }
}

/* Descriptors are given out lowest first, so the one that comes next tells how many are left (not
 * the newest: it may have filled a hole).  By the kernel's name for it, as libuv closes: TSan would
 * take one loop's number for another's. */
static void listen_count(struct gateway *g)
{
    struct conn *newest = CONTAINER_OF(g->conns.prev, struct conn, link);
    struct rlimit limit;
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&newest->tcp, &fd) || getrlimit(RLIMIT_NOFILE, &limit)) {
        return;
    }
    long next = syscall(SYS_dup, fd);
    if (next < 0 || (rlim_t)next + LISTEN_RESERVE >= limit.rlim_cur) {
        listen_descriptors_low(g, newest);
    }
    if (next >= 0) {
        syscall(SYS_close, next);
    }
}

static void listen_ready(uv_stream_t *listener, int status)
{
    struct gateway *g = listener->data;
    if (status == UV_EMFILE || status == UV_ENFILE) {
        listen_descriptors_low(g, NULL);
        return;
    }
    if (status < 0) {
        log_event(LOG_ACCEPT_FAILED, NULL, "gateway: cannot accept: %s", uv_strerror(status));
        return;
    }
    size_t count = atomic_load_explicit(&g->front->conns_count, memory_order_relaxed);
    size_t most = g->options->connections_max ? g->options->connections_max : CONNECTIONS_MAX;
    bool is_full = count >= most && limit_is_on("connections");
    if (listener == (uv_stream_t *)&g->admin_listener) {
        is_full = g->admin_count >= ADMIN_CONNECTIONS_MAX && limit_is_on("admin_connections");
    }
    if (is_full) {
        conn_refuse(g, listener);
        return;
    }
    int r = conn_accept(g, listener);
    if (r < 0) {
        err_print(stderr);
    } else if (r == 0) {
        listen_count(g);
    }
    gateway_breathe(g);
}

static int listen_address(const char *host, int port, struct sockaddr_storage *ret_address)
{
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)ret_address) == 0) {
        return 0;
    }
    return uv_ip6_addr(host, port, (struct sockaddr_in6 *)ret_address);
}

/* Answers are gathered by conn.c, the kernel need not (TCP_NODELAY): asked of the listener, as what
 * Linux accepts from it has its options. */
static int listen_begin(uv_tcp_t *listener)
{
    int r = uv_tcp_nodelay(listener, 1);
    return r == 0 ? uv_listen((uv_stream_t *)listener, LISTEN_BACKLOG, listen_ready) : r;
}

/* Others may listen on the same port.  The kernel then deals connections out to all. */
static int listen_share(struct gateway *g)
{
    uv_os_fd_t fd;
    int one = 1;
    int r = uv_fileno((uv_handle_t *)&g->listener, &fd);
    if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) {
        r = -errno;
    }
    return r;
}

/* The first loop binds alone, so that a port of another process is an error, and shares the port
 * only afterwards; the others must want to share before they bind. */
static int listen_bind(struct gateway *g, const struct sockaddr_storage *address)
{
    bool is_shared = g->front->loops_count > 1;
    int r = uv_tcp_init_ex(&g->loop, &g->listener, address->ss_family);
    if (r < 0) {
        return r;
    }
    g->listener.data = g;
    if (is_shared && g->index > 0) {
        r = listen_share(g);
    }
    if (r == 0) {
        r = uv_tcp_bind(&g->listener, (const struct sockaddr *)address, 0);
    }
    if (r == 0 && is_shared && g->index == 0) {
        r = listen_share(g);
    }
    return r == 0 ? listen_begin(&g->listener) : r;
}

/* The verdict of a bind that failed, in words; else the port that the socket got. */
static int listen_result(int r, const char *host, uv_tcp_t *listener, char *ret_text, int *port)
{
    if (r < 0) {
        snprintf(ret_text, LISTEN_TEXT, "cannot listen on %s:%d: %s", host, *port, uv_strerror(r));
        return LISTEN_E_ADDRESS;
    }
    struct sockaddr_storage address = {0};
    int len = sizeof address;
    r = uv_tcp_getsockname(listener, (struct sockaddr *)&address, &len);
    if (r < 0) {
        return err_origin(r);
    }
    /* The port stands at the same place in both families. */
    *port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    return 0;
}

int listen_open(struct gateway *g, char *ret_text, int *port)
{
    const char *host = g->options->listen_host;
    struct sockaddr_storage address = {0};
    int r = listen_address(host, *port, &address);
    if (r == 0) {
        r = listen_bind(g, &address);
    }
    return listen_result(r, host, &g->listener, ret_text, port);
}

int listen_open_admin(struct gateway *g, char *ret_text, int *port)
{
    const char *host = g->options->admin_host;
    struct sockaddr_storage address = {0};
    int r = listen_address(host, *port, &address);
    if (r == 0) {
        r = uv_tcp_init(&g->loop, &g->admin_listener);
    }
    if (r == 0) {
        g->admin_listener.data = g;
        r = uv_tcp_bind(&g->admin_listener, (struct sockaddr *)&address, 0);
    }
    if (r == 0) {
        r = listen_begin(&g->admin_listener);
    }
    return listen_result(r, host, &g->admin_listener, ret_text, port);
}

static void listen_close_one(uv_tcp_t *listener)
{
    uv_handle_t *handle = (uv_handle_t *)listener;
    if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void listen_close(struct gateway *g)
{
    listen_close_one(&g->listener);
    listen_close_one(&g->admin_listener);
}
