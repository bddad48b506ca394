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
#include "base/err.h"

#define LOOP_BUFFER (64 * 1024)

static int loop_connect(const char *target)
{
    char host[64];
    const char *colon = strrchr(target, ':');
    if (colon == NULL || (size_t)(colon - target) >= sizeof host) {
        return -EINVAL;
    }
    memcpy(host, target, (size_t)(colon - target));
    host[colon - target] = 0;
    if (strcmp(host, "localhost") == 0) {
        strcpy(host, "127.0.0.1");
    }
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    if (inet_pton(AF_INET, host, &addr.sin_addr) != 1) {
        return -EINVAL;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static void loop_drop(struct loop_conn *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
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
    int fd = loop_connect(target);
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
        close(fd);
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
    l->conns = calloc(count, sizeof *l->conns);
    if (l->epoll_fd < 0 || l->conns == NULL) {
        return err_origin(-ENOMEM);
    }
    l->conns_count = count;
    for (size_t i = 0; i < count; i++) {
        l->conns[i].fd = -1;
        l->conns[i].loop = l;
    }
    return 0;
}

int loop_open(struct loop *l, const char *target, size_t count, const struct wire_client_ops *ops)
{
    int r = loop_init(l, count);
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

static void loop_arm(struct loop_conn *c, bool wants_write)
{
    if (c->wants_write != wants_write) {
        c->wants_write = wants_write;
        struct epoll_event e = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0u), .data.ptr = c};
        CHECK(epoll_ctl(c->loop->epoll_fd, EPOLL_CTL_MOD, c->fd, &e) == 0);
    }
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
        ssize_t sent = send(c->fd, bytes, (size_t)n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            loop_drop(c);
            return 0;
        }
        sent = sent < 0 ? 0 : sent;
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
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n <= 0) {
        loop_drop(c);
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
    int n = r == 0 ? loop_wait(l, events, ARRAY_COUNT(events), timeout_us) : 0;
    for (int i = 0; i < n && r == 0; i++) {
        struct loop_conn *c = events[i].data.ptr;
        if (c->fd >= 0 && (events[i].events & EPOLLOUT)) {
            loop_touch(c);
        }
        if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
            r = loop_read(c);
        }
    }
    return err_trace(r);
}
