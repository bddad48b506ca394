/* SPDX-License-Identifier: MIT */
/* One RPC, from its headers until the connection forgot it.  Calls come from a pool of CALLS_MAX;
 * a call's state says which list it is on, and call_move() alone changes it.  Loop thread only. */
#ifndef FAIRSLOT_GATEWAY_CALL_H
#define FAIRSLOT_GATEWAY_CALL_H

#include "base/list.h"
#include "base/trace.h"
#include "base/types.h"
#include "gateway/deadline.h"

struct codec_method;
struct conn;
struct errand;
struct exporter;
struct follower;
struct gateway;
struct listener;
struct route;
struct watcher;
struct wire_call;

enum call_state {
    CALL_GONE,     /* in the pool */
    CALL_OPEN,     /* its message is awaited */
    CALL_AUTH,     /* its token is being verified; on the token's list */
    CALL_AWAY,     /* its errand is out: in the queue or at the shard */
    CALL_STREAM,   /* answered piece by piece; on the watchers' list, if it watches */
    CALL_ANSWERED, /* finished, its last bytes are with wire */
    CALL_STATES
};

struct call {
    struct wire_call *wire;           /* valid until the call is gone */
    struct conn *conn;                /* whose call it is; outlives it */
    const struct route *route;        /* who serves it; NULL while refused at once */
    const struct codec_method *method; /* of calls for the shard; else NULL */
    struct deadline deadline;         /* armed except in CALL_GONE and in streams without end */
    struct list link;                 /* the list of its state */
    struct list mute_link;            /* in guard's mutes until its message comes, or alone */
    struct identity identity;         /* once is_verified */
    int64_t opened_us;                /* monotonic */
    struct trace trace;               /* of the client's traceparent, when has_trace */
    uint64_t client;                  /* of its token's authorised party, once is_verified */
    uint32_t assurance;               /* enum assurance, once is_verified */
    uint32_t roles;                   /* once is_verified */
    uint8_t *bytes;                   /* owned: the message while its token is verified */
    struct watcher *watcher;          /* owned: of a stream that watches slots; watch.c's */
    struct follower *follower;        /* owned: of a stream that follows a ticket; follow.c's */
    struct listener *listener;        /* owned: of a stream of events; events.c's */
    struct exporter *exporter;        /* owned: of a release's export; export.c's */
    struct errand *errand;            /* owned: the packed command, until it is sent */
    uint32_t bytes_len;               /* at most MESSAGE_MAX */
    uint32_t number;                  /* slot | generation << 16: names one life of the slot */
    uint32_t answer_bytes;            /* counted in the connection's output */
    uint32_t kept_bytes;              /* counted in the guard's memory */
    uint32_t unread_bytes;            /* of its answer when the last time to be read began */
    int32_t service;                  /* health: enum health_status to answer, or told last */
    uint8_t state;                    /* enum call_state */
    uint8_t messages;                 /* that came, counted to 2 */
    bool has_trace;
    bool is_half_closed;              /* the client sends no more */
    bool is_client;                   /* its token is the client's own, or has a role */
    bool is_verified;                 /* the token is good and allows this method */
    bool is_anonymous;                /* no token: the identity is zero */
    bool is_away;                     /* of CALL_AWAY: its errand did not come home yet */
    bool has_own_deadline;            /* the client said how long, and the limit did not cut it */
    bool is_watching;                 /* health: counted among the watchers */
    bool is_lingering;                /* answered, and given a last time to be read */
    bool is_cut;                      /* it was not read, and its stream is reset */
};

struct call_pool {
    struct call *slots; /* CALLS_MAX; touched as far as it was ever used */
    struct list free;   /* most recently used first, its memory is warm */
    size_t used_count;  /* slots that were ever used */
    size_t live_count;
};

/* 0 or -ENOMEM. */
int call_pool_init(struct call_pool *pool);
/* Every call is gone by now.  Takes a zeroed pool. */
void call_pool_fini(struct call_pool *pool);
/* In CALL_OPEN; NULL: the pool is empty. */
struct call *call_new(struct call_pool *pool, struct conn *conn, struct wire_call *wire);
/* A live call by its number; NULL: gone. */
struct call *call_find(struct call_pool *pool, uint32_t number);
/* May a call go from one state to the other? */
bool call_may_move(enum call_state from, enum call_state to);
/* Leaves the old state's list.  Whoever moves it puts `link` on the new one's.  To CALL_GONE: back
 * to the pool. */
void call_move(struct call *call, enum call_state to);
/* Frees the message and the command it holds. */
void call_drop_bytes(struct call *call);
/* Its deadline passed: refuses it, or gives up on a client that does not read. */
void call_expired(struct call *call);
/* Answered after its deadline: a last time to be read. */
void call_linger(struct call *call);
/* Refuses every call that has no answer yet; SHUTTING_DOWN. */
void call_refuse_all(struct call_pool *pool);

struct gateway *call_gateway(const struct call *call);

#endif
