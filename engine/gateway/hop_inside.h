/* SPDX-License-Identifier: MIT */
/* What hop.c and hop_batch.c share; nobody else includes it. */
#ifndef FAIRSLOT_GATEWAY_HOP_INSIDE_H
#define FAIRSLOT_GATEWAY_HOP_INSIDE_H

#include "gateway/aim.h"
#include "gateway/errand.h"
#include "gateway/hop.h"
#include "gateway/inside.h"
#include "proto/codec.h"

#define HOP_CREDIT     64   /* until the shard says; and for the one batch at zero credit */
#define HOP_GONE_MS    200  /* a shard away for longer refuses calls instead of holding them */
#define HOP_FIRST_MS   2000 /* the same before it was ever connected: it is being started */
#define HOP_TICK_MS    20   /* how often a missing shard is looked for */
#define HOP_LOOK_MS    500  /* the same while it is connected */
#define HOP_LOOK_SOON_MS 100 /* and while something is under way, when there are several replicas */
#define HOP_PROBE_MS   300  /* a batch without a reply: another replica is asked who leads, and
                               nothing waits for that batch any more */
#define HOP_SILENT_MS  3000 /* a batch without a reply is lost; when none came at all: whoever
                               waits is told so */
#define HOP_PAUSE_MS   500  /* longest pause for want of credit */
#define HOP_EAGER      2    /* batches under way that others do not wait for: one in the shard's
                               round, one for the next */
#define HOP_LAP      64   /* calls in a batch of fewer people */
#define HOP_GATHER     32   /* people that are worth a further batch: a batch wakes threads at both
                               ends, which costs as much as some tens of calls */
#define HOP_ARENA_MAX  (4 * BATCH_BYTES_MAX)

_Static_assert(AIM_PROBE < 32, "one ready bit for each context");

/* A reply as nng's thread left it. */
struct hop_inbox {
    uint8_t *bytes; /* grows to the largest reply, at most BATCH_BYTES_MAX */
    size_t len;
    size_t size;
    int status; /* 0 or RPC_E_GONE */
};

struct hop_context {
    struct errand *errands[BATCH_ITEMS_MAX]; /* of the batch, by seat; NULL: gave up, answered */
    size_t errands_count;  /* those that still wait for it */
    size_t items_count;    /* of the batch, also those that gave up */
    uint32_t batch_number; /* of this batch: high bits of what the shard echoes */
    uint64_t sent_ms;
    int64_t sent_us;       /* monotonic */
    size_t at;             /* the replica that has it */
    bool is_busy;
    bool is_aborted;
    struct hop_inbox inbox;
};

struct hop {
    struct front *front;
    struct gateway *gateway; /* the first loop */
    struct aim aim;        /* which replica is asked */
    uv_async_t async;
    uv_mutex_t mutex;
    uint32_t ready;        /* under the mutex: contexts whose inbox is full */
    struct hop_context contexts[RPC_CLIENT_CONTEXTS + 1]; /* the last: who leads? */
    size_t busy_count;     /* without that one */
    size_t under_way;      /* items in busy contexts */
    size_t crowd;          /* people who waited at once lately */
    uint32_t credit;       /* as the shard said last */
    uint64_t map_epoch;    /* as the shard said last */
    uint64_t gateway_id;   /* random */
    uint32_t batches_count; /* ever sent */
    struct list lost;      /* errands in ERRAND_LOST */
    uint64_t away_since_ms; /* 0: connected when last seen */
    uint64_t heard_ms;      /* when a reply came last */
    bool said_away;         /* the log has a line about it */
    bool was_connected;     /* ever */
    uint64_t hold_until_ms; /* nothing leaves before: the peer was just lost, or credit is scarce */
    struct deadline tick;   /* armed while away, or while holding */
    struct arena arena;     /* one batch or reply at a time */
    struct batch_call batch[BATCH_ITEMS_MAX];
};

static inline uint64_t hop_now(const struct hop *hop)
{
    return uv_now(&hop->gateway->loop);
}

/* -- hop_batch.c: who is in the next batch ----------------------------------------------------- */

/* Items that may leave now. */
size_t hop_batch_room(const struct hop *hop);
/* Is a further batch worth its price now, or does it rather wait for one to come back? */
bool hop_batch_is_worth(const struct hop *hop);
/* Who is next, lost ones first; those whose time is over are refused on the way. */
struct errand *hop_batch_next(struct hop *hop);
/* Moves waiting errands onto the context; returns how many. */
size_t hop_batch_fill(struct hop *hop, struct hop_context *c, size_t room);

#endif
