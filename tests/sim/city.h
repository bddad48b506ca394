/* SPDX-License-Identifier: MIT */
/* What the parts of city.c share: shards, gateways, people, and the audit's view of them. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_H
#define FAIRSLOT_TESTS_SIM_CITY_H

#include "base/arena.h"
#include "fair/fairq.h"
#include "ledger/ledger.h"
#include "node/logtime.h"
#include "proto/codec.h"
#include "tests/sim/city_book.h"
#include "tests/sim/heap.h"
#include "tests/sim/nodes.h"

#define PEOPLE    13  /* 0 is the operator */
#define GATEWAYS  2
#define SLOTS     24
#define CALLS     64  /* at once in a gateway */
#define BATCH     8   /* calls in a batch */
#define BATCHES   2   /* of a gateway at once */
#define ROUNDS    4   /* pending of a shard */
#define INBOX     64
#define BYTES_MAX 1600
#define TTL_US    (2 * SECOND_US)
#define EPOCH_US  (INT64_C(1796115600) * SECOND_US) /* 2026-12-01T09:00Z: virtual 0 */
#define DAY_ONE   (EPOCH_US + 30 * DAY_US)          /* of the first slot */
#define LIVE_MAX  2

enum letter { TO_REPLICA, ASK, BATCH_OUT, REPLY, ANSWER, WAKE, GATE_TIMER };

#define TURNED_AWAY UINT32_MAX /* instead of a reason: who got it does not lead */

/* One request of a person: (person, op) is its request id. */
struct call {
    uint32_t person, op;
    enum command_kind kind;
    uint32_t len;
    uint8_t bytes[BYTES_MAX]; /* packed command */
};

struct told {
    uint32_t person, op, reason, at; /* at: place in its batch */
    uint64_t index;           /* of the entry that it speaks of */
    uint64_t verdict;         /* hash of all that it says */
    uint64_t owner, number;
    uint32_t leader;          /* of TURNED_AWAY */
};

struct inbox_call {
    struct call call;
    uint32_t gate, batch, at;
};

struct pending {
    uint64_t index, term;
    int64_t log_us;
    size_t own, count;        /* commands in all; calls begin behind own */
    struct inbox_call *calls[INBOX];
};

struct shard {
    struct city_book book;
    struct ledger *ledger;
    struct logtime time;
    int64_t skew_us;          /* of its wall clock */
    int64_t stall_ms;         /* until then it does nothing: paused, or its disk is slow */
    int64_t sweep_us;
    bool is_full, has_written;
    struct pending rounds[ROUNDS];
    size_t rounds_first, rounds_count;
    struct inbox_call *inbox[INBOX];
    size_t inbox_count;
    struct told outs[INBOX * ROUNDS];
    uint32_t outs_gate[INBOX * ROUNDS], outs_batch[INBOX * ROUNDS];
    size_t outs_count;
    struct arena arena;       /* of the round */
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
};

struct gate {
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
    bool is_some;
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
        unsigned pause, disk_fail, full, slow, skew, think_ms, gate_cut, dup;
        bool has_release, is_skewed;
    } mix;
    uint64_t *effects;        /* after each index */
    int64_t *log_us;
    size_t effects_count, effects_cap;
    uint64_t answered, answered_index, acks, retries;
    uint64_t lost;            /* messages lost, doubled or damaged; not among the faults */
    struct requests requests[PEOPLE];
    struct item *items;
    size_t items_count, items_cap;
    enum slot_state slots[SLOTS];
    size_t created;           /* slots of the pool */
    bool is_closing;          /* nobody begins anything new */
    struct arena verdicts, entries, packing;
    int crash_point;          /* of the event under way; 0: none */
};

static struct city c;

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
