/* SPDX-License-Identifier: MIT */
/* Many gRPC connections on one thread: epoll under the client side of engine/wire.  Blocking
 * connect, non-blocking afterwards.  Callbacks of wire_client_ops run inside loop_step() and may
 * open new calls on any connection. */
#ifndef FAIRSLOT_FLOOD_LOOP_H
#define FAIRSLOT_FLOOD_LOOP_H

#include "base/list.h"
#include "base/types.h"
#include "ctl/channel.h"
#include "wire/wire.h"

struct loop_conn {
    struct wire_client *client;
    struct loop *loop;
    void *user;       /* the bench's own */
    uint8_t *pending; /* bytes the socket did not take; owned */
    size_t pending_len;
    struct channel *channel; /* over TLS; owned; NULL: plain */
    int fd;           /* -1: closed; the channel's over TLS */
    uint32_t source;  /* IPv4 address of this machine that it comes from; 0: the system's choice */
    int64_t unread_us; /* what comes stays unread this long: a slow reader; 0: read at once */
    int64_t read_us;  /* when it is read, on the monotonic clock; 0: nothing waits */
    struct list pause; /* on the loop's, while something waits */
    bool is_dirty;    /* on the loop's flush list */
    bool wants_write; /* EPOLLOUT is armed */
    bool has_heard;   /* bytes have come */
    struct loop_conn *next_dirty;
};

struct loop {
    int epoll_fd;
    struct loop_conn *conns; /* owned, conns_count */
    size_t conns_count;
    size_t conns_open;
    struct loop_conn *dirty; /* connections with something to send */
    struct channel_keys *keys; /* NULL: plain TCP; the caller's */
    struct list pauses;      /* connections that are not read yet, by read_us */
    size_t garbage_count;    /* connections whose first bytes were not HTTP/2's */
    int failure;             /* errno of the last connection that could not be made */
};

/* Connects `count` times to a target as client_target() reads it (numeric host or localhost, any
 * with keys).  0, LOOP_E_CONNECT, or < 0. */
enum { LOOP_E_CONNECT = 1 };
int loop_open(struct loop *l, const char *target, size_t count, const struct wire_client_ops *ops);
/* The same over TLS; the keys are borrowed for the loop's life.  NULL: plain. */
int loop_open_tls(struct loop *l, const char *target, struct channel_keys *keys, size_t count,
                  const struct wire_client_ops *ops);
/* Room for `count` connections, none of them made: loop_reopen() makes them.  0 or < 0. */
int loop_init(struct loop *l, size_t count);
/* A connection that is closed (fd < 0), again; never from a callback.  As loop_open(). */
int loop_reopen(struct loop_conn *c, const char *target, const struct wire_client_ops *ops);
void loop_close(struct loop *l);
/* Sends what is due, waits at most timeout_ms for bytes, feeds them.  0 or < 0. */
int loop_step(struct loop *l, int timeout_ms);
int loop_step_us(struct loop *l, int64_t timeout_us);
/* The connection has something to send: call after wire_client_call(). */
void loop_touch(struct loop_conn *c);

#endif
