/* SPDX-License-Identifier: MIT */
/* Sockets of the load generator.  Owns: descriptors, wire clients, the bytes a socket did not take.
 * happy path: touched connections are written once per step, then epoll, then every readable
 * connection is read once.  A connection that ends is closed and counted; its calls finish with
 * status 14 through wire.  Not libuv: a generator at 40,000/s on one core wants nothing between
 * it and the socket. */
#include "flood/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "ctl/client.h"
#include "ctl/value.h"

#define LOOP_BUFFER (64 * 1024)

/* "127.0.0.1" or "::1" as an address with its port; its length, 0: it is none. */
static socklen_t loop_address(const char *host, int port, struct sockaddr_storage *out)
{
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)out;
    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        return sizeof *six;
    }
    four->sin_family = AF_INET;
    four->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1",
                     &four->sin_addr) == 1 ? sizeof *four : 0;
}

static int loop_connect(const char *host, int port, uint32_t source)
{
    struct sockaddr_storage address;
    socklen_t len = loop_address(host, port, &address);
    if (len == 0) {
        return -EINVAL;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int r = channel_bind(fd, source);
    if (r == 0 && (connect(fd, (struct sockaddr *)&address, len) < 0 ||
                   fcntl(fd, F_SETFL, O_NONBLOCK) < 0)) {
        r = -errno;
    }
    if (r) {
        close(fd);
        return r;
    }
    return fd;
}

/* A socket, with TLS over it where the loop has keys; -errno.  Why TLS failed is told once. */
static int loop_dial(struct loop_conn *c, const char *target)
{
    char host[VALUE_HOST_MAX + 1], text[CHANNEL_TEXT] = "";
    int port;
    bool is_tls;
    if (!client_target(target, host, &port, &is_tls)) {
        return -EINVAL;
    }
    if (c->loop->keys == NULL) {
        return loop_connect(host, port, c->source);
    }
    errno = 0;
    const struct channel_ends ends = {.host = host, .port = port, .source = c->source};
    int r = channel_open_from(&ends, c->loop->keys, &c->channel, text);
    if (r) {
        int why = r < 0 ? -r : errno == EMFILE || errno == ENFILE ? errno : ECONNREFUSED;
        if (c->loop->failure == 0) {
            fprintf(stderr, "%s\n", text);
        }
        c->channel = NULL;
        return -why;
    }
    return channel_socket(c->channel);
}

static void loop_drop(struct loop_conn *c)
{
    if (c->fd >= 0) {
        if (c->channel) {
            channel_close(c->channel);
            c->channel = NULL;
        } else {
            close(c->fd);
        }
        c->fd = -1;
        list_remove(&c->pause);
        c->read_us = 0;
        c->loop->conns_open--;
        wire_client_free(c->client);
        c->client = NULL;
        free(c->pending);
        c->pending = NULL;
    }
}

int loop_reopen(struct loop_conn *c, const char *target, const struct wire_client_ops *ops)
{
    CHECK(c->fd < 0);
    int fd = loop_dial(c, target);
    if (fd < 0) {
        c->loop->failure = -fd;
        return LOOP_E_CONNECT;
    }
    int r = wire_client_new(ops, c, &c->client);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (r == 0 && epoll_ctl(c->loop->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
        r = err_origin(-errno);
        wire_client_free(c->client);
    }
    if (r) {
        if (c->channel) {
            channel_close(c->channel);
            c->channel = NULL;
        } else {
            close(fd);
        }
        return err_fold(r);
    }
    c->fd = fd;
    c->wants_write = c->has_heard = false;
    c->loop->conns_open++;
    loop_touch(c);
    return 0;
}

int loop_init(struct loop *l, size_t count)
{
    *l = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    list_init(&l->pauses);
    l->conns = calloc(count, sizeof *l->conns);
    if (l->epoll_fd < 0 || l->conns == NULL) {
        return err_origin(-ENOMEM);
    }
    l->conns_count = count;
    for (size_t i = 0; i < count; i++) {
        l->conns[i].fd = -1;
        l->conns[i].loop = l;
        list_init(&l->conns[i].pause);
    }
    return 0;
}

int loop_open(struct loop *l, const char *target, size_t count, const struct wire_client_ops *ops)
{
    return loop_open_tls(l, target, NULL, count, ops);
}

int loop_open_tls(struct loop *l, const char *target, struct channel_keys *keys, size_t count,
                  const struct wire_client_ops *ops)
{
    int r = loop_init(l, count);
    l->keys = keys;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = loop_reopen(&l->conns[i], target, ops);
        if (r == LOOP_E_CONNECT) {
            fprintf(stderr, "connection %zu to %s: %s\n", i, target, strerror(l->failure));
        }
    }
    return r;
}

void loop_close(struct loop *l)
{
    for (size_t i = 0; i < l->conns_count; i++) {
        loop_drop(&l->conns[i]);
    }
    free(l->conns);
    close(l->epoll_fd);
    *l = (struct loop){.epoll_fd = -1};
}

void loop_touch(struct loop_conn *c)
{
    if (!c->is_dirty && c->fd >= 0) {
        c->is_dirty = true;
        c->next_dirty = c->loop->dirty;
        c->loop->dirty = c;
    }
}

static void loop_watch(struct loop_conn *c)
{
    struct epoll_event e = {.events = (c->read_us ? 0u : EPOLLIN) |
                                      (c->wants_write ? EPOLLOUT : 0u), .data.ptr = c};
    CHECK(epoll_ctl(c->loop->epoll_fd, EPOLL_CTL_MOD, c->fd, &e) == 0);
}

static void loop_arm(struct loop_conn *c, bool wants_write)
{
    if (c->wants_write != wants_write) {
        c->wants_write = wants_write;
        loop_watch(c);
    }
}

/* -- slow readers ---------------------------------------------------------------------------- */

/* What came waits in the kernel, and the server meets a window that does not open. */
static void loop_pause(struct loop_conn *c)
{
    struct list *at = c->loop->pauses.prev;
    c->read_us = clock_mono_us() + c->unread_us;
    while (at != &c->loop->pauses &&
           CONTAINER_OF(at, struct loop_conn, pause)->read_us > c->read_us) {
        at = at->prev;
    }
    list_push(at->next, &c->pause); /* before the next, which is later */
    loop_watch(c);
}

static int loop_read(struct loop_conn *c);

/* Reads what has waited long enough. */
static int loop_unpause(struct loop *l)
{
    int r = 0;
    while (r == 0 && !list_empty(&l->pauses)) {
        struct loop_conn *c = CONTAINER_OF(l->pauses.next, struct loop_conn, pause);
        if (c->read_us > clock_mono_us()) {
            break;
        }
        list_remove(&c->pause);
        c->read_us = 0;
        loop_watch(c);
        r = loop_read(c);
    }
    return r;
}

static int64_t loop_sooner(const struct loop *l, int64_t timeout_us)
{
    if (list_empty(&l->pauses)) {
        return timeout_us;
    }
    const struct loop_conn *c = CONTAINER_OF(l->pauses.next, struct loop_conn, pause);
    int64_t left_us = c->read_us - clock_mono_us();
    return left_us < 0 ? 0 : left_us < timeout_us ? left_us : timeout_us;
}

/* -- bytes ------------------------------------------------------------------------------------ */

/* 0: not now; < 0: it is over. */
static ssize_t loop_some(struct loop_conn *c, uint8_t *bytes, size_t n, bool is_send)
{
    if (c->channel) {
        return is_send ? channel_send_some(c->channel, bytes, n)
                       : channel_receive_some(c->channel, bytes, n);
    }
    ssize_t done = is_send ? send(c->fd, bytes, n, MSG_NOSIGNAL) : recv(c->fd, bytes, n, 0);
    return done > 0 ? done : done < 0 && errno == EAGAIN ? 0 : -ECONNRESET;
}

/* Bytes the socket refused wait on the connection, and nothing is taken from wire meanwhile. */
static int loop_keep(struct loop_conn *c, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n);
    if (copy == NULL) {
        return err_origin(-ENOMEM);
    }
    memcpy(copy, bytes, n);
    free(c->pending);
    c->pending = copy;
    c->pending_len = n;
    loop_arm(c, true);
    return 0;
}

static int loop_flush(struct loop_conn *c)
{
    static uint8_t buffer[LOOP_BUFFER];
    for (;;) {
        uint8_t *bytes = c->pending ? c->pending : buffer;
        ssize_t n = c->pending ? (ssize_t)c->pending_len
                               : wire_client_send(c->client, buffer, sizeof buffer);
        if (n <= 0) {
            return n < 0 ? err_trace((int)n) : 0;
        }
        ssize_t sent = loop_some(c, bytes, (size_t)n, true);
        if (sent < 0) {
            loop_drop(c);
            return 0;
        }
        if (sent < n) {
            return err_trace(loop_keep(c, bytes + sent, (size_t)(n - sent)));
        }
        if (c->pending) {
            free(c->pending);
            c->pending = NULL;
            loop_arm(c, false);
        }
    }
}

static int loop_read(struct loop_conn *c)
{
    static uint8_t buffer[LOOP_BUFFER];
    ssize_t n = loop_some(c, buffer, sizeof buffer, false);
    if (n <= 0) {
        if (n < 0) {
            loop_drop(c);
        }
        return 0;
    }
    if (!c->has_heard) { /* a server begins with SETTINGS (RFC 9113 3.4) */
        c->has_heard = true;
        c->loop->garbage_count += n >= 4 && buffer[3] != 4;
    }
    int r = wire_client_receive(c->client, buffer, (size_t)n);
    if (r < 0) {
        return err_trace(r);
    }
    if (r > 0 || wire_client_done(c->client)) {
        loop_drop(c);
        return 0;
    }
    loop_touch(c);
    return 0;
}

/* Microseconds where the kernel can, else whole milliseconds. */
static int loop_wait(struct loop *l, struct epoll_event *events, int max, int64_t timeout_us)
{
    struct timespec wait = {.tv_sec = timeout_us / 1000000,
                            .tv_nsec = timeout_us % 1000000 * 1000};
    int n = epoll_pwait2(l->epoll_fd, events, max, &wait, NULL);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
        n = epoll_wait(l->epoll_fd, events, max, (int)(timeout_us / 1000));
    }
    return n;
}

int loop_step(struct loop *l, int timeout_ms)
{
    return loop_step_us(l, (int64_t)timeout_ms * 1000);
}

int loop_step_us(struct loop *l, int64_t timeout_us)
{
    int r = 0;
    while (l->dirty && r == 0) {
        struct loop_conn *c = l->dirty;
        l->dirty = c->next_dirty;
        c->is_dirty = false;
        r = c->fd >= 0 ? loop_flush(c) : 0;
    }
    struct epoll_event events[256];
    timeout_us = loop_sooner(l, timeout_us);
    int n = r == 0 ? loop_wait(l, events, ARRAY_COUNT(events), timeout_us) : 0;
    for (int i = 0; i < n && r == 0; i++) {
        struct loop_conn *c = events[i].data.ptr;
        if (c->fd >= 0 && (events[i].events & EPOLLOUT)) {
            loop_touch(c);
        }
        if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
            bool waits = c->unread_us && c->has_heard && c->read_us == 0;
            if (waits && (events[i].events & EPOLLIN)) {
                loop_pause(c);
            } else {
                r = loop_read(c);
            }
        }
    }
    return r ? err_trace(r) : err_trace(loop_unpause(l));
}
