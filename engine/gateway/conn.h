/* SPDX-License-Identifier: MIT */
/* One connection: a socket and its wire.  Freed by the loop after conn_close().  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_CONN_H
#define FAIRSLOT_GATEWAY_CONN_H

#include <uv.h>

#include "base/list.h"
#include "base/types.h"
#include "gateway/deadline.h"
#include "wire/wire.h"
#include "gateway/toll.h"

struct cipher;
struct gateway;
struct verified;

/* What ends a connection besides wire (enum wire_end); with it, label `end` of the metrics. */
enum conn_end {
    CONN_END_HELLO = WIRE_END_COUNT,
    CONN_END_STALL,
    CONN_END_SILENT,     /* no echo of our ping */
    CONN_END_AGED,       /* its last calls took longer than its age allows */
    CONN_END_HANDSHAKES, /* too many at once, and it was the oldest */
    CONN_END_COUNT
};

struct conn {
    uv_tcp_t tcp;             /* first: a handle is its connection */
    struct gateway *gateway;
    struct wire_server *wire; /* owned; NULL once closing */
    struct toll_group group; /* of its peer's address; none: a web frontend's, or unknown */
    struct cipher *cipher;    /* owned; NULL: without TLS */
    struct verified *peer;    /* owned: who showed a certificate to the admin listener; or NULL */
    struct list link;         /* in gateway->conns */
    struct list dirty_link;   /* in gateway->dirty, or alone */
    struct list stranger_link; /* in gateway->strangers, or alone */
    struct list handshake_link; /* in gateway->handshakes, or alone */
    struct deadline stall;    /* armed while a rest is being written */
    struct deadline brake;    /* armed while it is left unread */
    struct deadline hello;    /* armed while it owes its greeting or the rest of a header block */
    uint32_t mutes_count;     /* calls in guard's mutes */
    uint32_t opened_count;    /* calls since it was last left unread */
    uint32_t overs_count;     /* of these, refused for a full queue */
    uint32_t waiting_count;   /* calls not answered yet: whose answers may join a write */
    int32_t token_score;      /* bad tokens less good ones, never under 0 (token.c) */
    uint8_t end;              /* enum conn_end, when the gateway ends it itself */
    struct deadline keep;     /* see keep.h */
    uint64_t born_ms;         /* loop's clock */
    uint64_t heard_ms;        /* when its last bytes came */
    uint64_t pinged_ms;       /* of the ping whose echo is awaited; 0: none is */
    uint64_t age_ms;          /* when its age asks for the next step; 0: never */
    struct toll_group toll;   /* where it comes from, counted by the gate; none: exempt */
    uint32_t rests_count;     /* rests with libuv: while there is one, nothing is taken from wire */
    uint8_t age_step;         /* enum keep_step */
    bool is_admin;            /* came by the operators' listener */
    bool is_half_closed;      /* it sends no more, and waits for its answers */
    bool is_ending;           /* wire wants it closed after what there is to send */
    bool has_failed;          /* close it at the next flush */
};

/* Takes the next connection from the listener; 0, CONN_E_REJECTED (its network has had its share:
 * it was reset), or < 0. */
enum { CONN_E_REJECTED = 1 };
int conn_accept(struct gateway *g, uv_stream_t *listener);
/* Says good-bye in HTTP/2 and closes: there are enough. */
void conn_refuse(struct gateway *g, uv_stream_t *listener);
/* The same to one that was accepted a moment ago. */
void conn_turn_away(struct conn *conn);
/* It has something to send: flushed once, before the loop sleeps. */
void conn_dirty(struct conn *conn);
/* Closed at the next flush.  Allowed inside wire's callbacks. */
void conn_fail(struct conn *conn);
/* Sends what every dirty connection has. */
void conn_flush_all(struct gateway *g);
/* Nothing more is read from it until conn_resume(); what is to be sent leaves. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
/* Closes the connection that has owed its greeting for longest, but not the newest connection;
 * false: there is none. */
bool conn_close_stranger(struct gateway *g);
/* Writes bytes, behind what waits: at once as far as the socket takes them, the rest later.  0, or
 * < 0: neither can be. */
int conn_put(struct conn *conn, struct span bytes);
/* Ends it with HTTP/2's ENHANCE_YOUR_CALM: it holds more than its part. */
void conn_expel(struct conn *conn);
/* A rest was not taken in time (CONN_END_STALL), or what it owes did not come (CONN_END_HELLO). */
void conn_stalled(struct conn *conn, enum conn_end why);
/* One step of HTTP/2's good-bye on every connection: the notice, then the end. */
void conn_drain_all(struct gateway *g);
/* Cuts every connection. */
void conn_close_all(struct gateway *g);

/* Room for an answer of n bytes, over all connections?  Then it is counted, until
 * conn_output_sub(). */
bool conn_output_add(struct conn *conn, size_t n);
void conn_output_sub(struct conn *conn, size_t n);

#endif
