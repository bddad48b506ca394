/* SPDX-License-Identifier: MIT */
/* What the parts of city.c share: shards, gateways, people, and the audit's view of them. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_H
#define FAIRSLOT_TESTS_SIM_CITY_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "fair/fairq.h"
#include "ledger/ledger.h"
#include "node/badge.h"
#include "node/credit.h"
#include "node/fetch.h"
#include "node/replica_store.h"
#include "proto/codec.h"
#include "rpc/peers.h"
#include "rpc/rpc.h"
#include "store/store.h"
#include "tests/sim/city_book.h"
#include "tests/sim/city_writer.h"
#include "tests/sim/step.h"

#define PEOPLE    13  /* 0 is the operator */
#define GATEWAYS  2
#define SLOTS     24
#define CALLS     64  /* at once in a gateway */
#define BATCH     8   /* calls in a batch */
#define BATCHES   2   /* of a gateway at once */
#define BYTES_MAX 1600
#define TTL_US    (2 * SECOND_US)
#define EPOCH_US  (INT64_C(1796115600) * SECOND_US) /* 2026-12-01T09:00Z: virtual 0 */
#define DAY_ONE   (EPOCH_US + 30 * DAY_US)          /* of the first slot */
#define LIVE_MAX  2
#define CITY_GAP_US    (SECOND_US * 9 / 10)  /* without an entry: by log time, which slews */
#define CITY_SPARED_US (SECOND_US * 33 / 10) /* holds stay so long behind it */

enum letter { TO_REPLICA, ASK, BATCH_OUT, REPLY, ANSWER, WAKE, GATE_TIMER };

/* One request of a person: (person, op) is its request id. */
struct call {
    uint32_t person, op;
    enum command_kind kind;
    uint32_t len;
    uint8_t bytes[BYTES_MAX]; /* packed command */
};

/* An answer on its way. */
struct told {
    uint32_t person, op, reason, at; /* at: the call's place in its gateway */
    uint64_t verdict;         /* hash of all that it says */
};

/* A reply: told[count] behind it. */
struct reply_head {
    uint32_t batch, count;
    bool is_turned_away;      /* what has no answer is for the leader */
    uint64_t leader;          /* 0: not known */
    uint32_t credit;
};

/* A batch: batch_id u32, count u32, struct who[count], then its packed message. */
struct who {
    uint32_t call, person, op;
};

struct rpc_batch {
    struct list link;         /* of its node's, until it is replied to */
    struct node *node;
    uint64_t gate;
    uint32_t batch, count;
    struct who *who;          /* in bytes */
    uint8_t *bytes;           /* all of it */
    struct span message;
};

struct shard {
    struct city_book book;
    struct house *house;      /* the shipped writer; NULL while the node is down */
    struct list inbox;        /* peers_message.node: what peers sent */
    struct list batches;      /* rpc_batch.link: not replied to */
    size_t batches_count;
    int64_t next_ms;          /* by its own clock: when the writer wants to be called */
    int64_t applied_us;       /* log time of what is applied */
    uint32_t rules;           /* that its program knows */
    unsigned fuse;            /* the node dies before that many more effects; 0: it does not */
    bool is_dead;             /* it did: nothing of it is seen any more */
    int64_t skew_us;          /* of its wall clock */
    int64_t stall_ms;         /* until then it does nothing: paused, or its disk is slow */
    enum store_room room;
    bool is_damaged;          /* a bit of its state has flipped, and it was found */
    bool is_lost;             /* ... and nothing is applied until it has another one's */
    struct node *source;      /* whose state is to be installed */
};

struct gate_call {
    struct fairq_entry entry;
    struct call call;
    bool is_used;
};

struct gate_batch {
    uint32_t id;              /* 0: none */
    int64_t sent_ms;
    struct gate_call *calls[BATCH];
    size_t count;
    unsigned items;           /* of its gateway's credit */
};

struct gate {
    struct arena arena;       /* of a batch */
    unsigned under_way, credit; /* items sent, and how many may be */
    struct fairq *queue;
    struct gate_call calls[CALLS];
    struct gate_batch batches[BATCHES];
    uint32_t next_batch;
    uint64_t leader;          /* as it believes */
    unsigned waiting[FAIRQ_CLASSES][PEOPLE];
    unsigned passed[FAIRQ_CLASSES][PEOPLE][PEOPLE]; /* by whom, since its own last turn */
    bool is_cut[2][NODES_MAX + 1]; /* to, from */
};

struct person {
    uint32_t op;              /* of the last request */
    bool is_waiting;
    unsigned tries;
    int64_t retry_ms;
    uint64_t invoked_after;   /* index of the newest answer that anybody had when it was invoked */
    struct call call;
    struct {
        uint64_t owner, number;
        bool is_reservation, is_some;
    } has[LIVE_MAX];
    size_t about;             /* which of them the call speaks of */
    bool is_flooding;
    unsigned stage;           /* the operator's */
    unsigned live;            /* holds and reservations, by the model */
};

/* What was decided of a request, when it was first decided. */
struct request_seen {
    uint64_t verdict, index;
    uint64_t owner, number;    /* of the hold or reservation that it speaks of */
    bool is_some;
    bool is_fresh;             /* each time it is asked it may be answered otherwise */
};

struct requests {
    struct request_seen *seen; /* by op */
    size_t cap;
};

enum item_state { NEVER, LIVE, KEPT, OVER };

struct item {
    uint64_t number;
    uint32_t person, slot, version;
    enum item_state state;
    int64_t expire_us;
};

struct city {
    struct shard shards[NODES_MAX];
    struct gate gates[GATEWAYS];
    struct person people[PEOPLE];
    struct {
        unsigned pause, disk_fail, full, slow, skew, think_ms, gate_cut, dup, flip, overlay;
        bool has_release, has_upgrade;
        bool is_skewed;       /* most clocks may be wrong; else one at most is */
    } mix;
    uint64_t *effects;        /* after each index */
    int64_t *log_us;
    size_t effects_count, effects_cap;
    int64_t gap_end_us;       /* log time of the last entry behind a gap */
    uint64_t answered, answered_index, acks, retries;
    uint64_t lost;            /* messages lost, doubled or damaged; not among the faults */
    struct requests requests[PEOPLE];
    struct item *items;
    size_t items_count, items_cap;
    enum slot_state slots[SLOTS];
    size_t created;           /* slots of the pool */
    bool is_closing;          /* nobody begins anything new */
    bool is_loud;             /* log lines are shown */
    struct arena verdicts, entries, packing;
    uint32_t rules;           /* of the state, as they were raised */
    uint64_t ranks;           /* of tickets, looked at */
};

static struct city c;
static struct node *here; /* the node that has the floor */

static struct shard *shard_of(const struct node *n)
{
    return &c.shards[n->id - 1];
}

static void post(unsigned kind, uint64_t from, uint64_t to, int64_t delay_ms, struct span bytes)
{
    uint8_t *copy = malloc(bytes.len + 1);
    if (bytes.len > 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    heap_push((struct message){w.now_ms + delay_ms, w.order++, from, to, copy, bytes.len, kind});
}

static int64_t delay(void)
{
    return 1 + (int64_t)prng_below(&w.prng, w.is_healed ? 3 : w.mix.delay_ms);
}

static bool is_lost(void)
{
    bool lost = !w.is_healed && chance(w.mix.loss);
    c.lost += lost;
    return lost;
}

/* Sent once, twice, or not at all; between gateways, people and shards order is nobody's word. */
static void send_unsure(unsigned kind, uint64_t from, uint64_t to, const void *ptr, size_t len)
{
    struct span bytes = {ptr, len};
    if (is_lost()) {
        return;
    }
    post(kind, from, to, delay(), bytes);
    if (!w.is_healed && chance(c.mix.dup)) {
        c.lost++;
        post(kind, from, to, delay(), bytes);
    }
}

#endif
