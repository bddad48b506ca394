/* SPDX-License-Identifier: MIT */
/* Fair queue: who speaks next.  PURE: no clock, no I/O; memory is taken in fairq_new() only.
 * Owns: the order of waiting calls.  Does not own the calls: entries are embedded in them.
 *
 *   index (u32, open addressing, SipHash-2-4)          slab of flows, one per waiting identity
 *   [ . | 3 | . | 1 | ... ]  -- exact 16-byte compare -->  [0: heads][1][2][3]...
 *                                                           each: FIFO and ring place per class
 *   class turn --> ring of the class (links in the slab, head in flow 0) --> FIFO --> call
 *
 * happy path: push finds or makes the flow, appends to its FIFO of the class and, if that was
 * empty, puts the flow at the END of the class ring (a new identity gets no priority).  Pull takes
 * the flow at the ring's head, one call of it, and sends the flow to the end.  The class turn is
 * deficit round robin with unit cost: a class gets its weight when its turn begins, pays one a call
 * and loses what is left when it runs empty, so nobody saves up.
 * ways to fail: a push is refused, its own newest (FAIRQ_E_FULL_IDENTITY) or for want of a flow
 * (FAIRQ_E_FULL).  Nothing that waits is ever thrown out for somebody else.
 * invariants: a flow is in the index exactly while it has calls waiting; it is in a class ring
 * exactly while its FIFO of that class has calls; the index is at most half full, so that a probe
 * ends; removal shifts back (Knuth 6.4 R), so there are no tombstones and no rehash.
 * cost: push, pull and remove are O(1); a flow takes 120 bytes and 8 to 16 of the index.  The slab
 * comes from calloc at its full size: pages that no flow ever used are never touched.  Free flows
 * are reused last in, first out, so a calm queue stays in the cache.
 * roads not taken: hashed buckets (collisions share fate, and can be sought), growing tables (a
 * pause under load is when it hurts), weighted interleaving of classes (smoother, but the weights
 * are small and the plain turn is exact over any whole cycle). */
#include "fair/fairq.h"

#include <errno.h>
#include <sodium/crypto_shorthash.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define FLOW_NONE 0 /* flow 0 holds the ring heads: ends a ring; in the index: empty */

struct fairq_ring {
    uint32_t prev; /* flow number */
    uint32_t next; /* flow number; of class 0 in a free flow: the next free one */
};

struct fairq_flow {
    struct identity identity;
    uint32_t hash;                         /* low bits of its SipHash; places it in the index */
    uint32_t waiting;                      /* calls, all classes together; 0: free */
    struct fairq_ring ring[FAIRQ_CLASSES]; /* linked while the FIFO of the class has calls */
    struct list fifo[FAIRQ_CLASSES];       /* of fairq_entry.link, oldest first */
};

_Static_assert(sizeof(struct fairq_flow) <= 128, "with 16 bytes of index: under 160 an identity");
_Static_assert(sizeof(struct identity) == 16, "what the hash covers");

struct fairq {
    struct fairq_flow *flows; /* [0]: ring heads; [1 .. flows_max] */
    uint32_t *index;          /* flow numbers; index_mask + 1 places */
    uint32_t index_mask;      /* a power of two, less one */
    uint32_t flows_max;
    uint32_t flows_touched;   /* highest flow number ever used */
    uint32_t flows_free;      /* first of the free list; FLOW_NONE: empty */
    uint32_t flows_waiting;
    uint32_t probe_max;       /* longest search of the index so far */
    size_t calls_waiting;
    uint32_t waiting_per_identity;
    uint32_t turn;                     /* class whose turn it is */
    uint32_t deficit;                  /* calls it may still send in this turn; 0 once empty */
    uint32_t weights[FAIRQ_CLASSES];
    uint8_t secret[crypto_shorthash_KEYBYTES];
};

int fairq_new(const struct fairq_options *options, struct fairq **ret_queue)
{
    CHECK(options->identities_max > 0);
    CHECK(options->identities_max <= UINT32_C(1) << 30);
    CHECK(options->waiting_per_identity > 0);
    uint32_t places = 4;
    while (places < options->identities_max * 2) {
        places *= 2;
    }
    struct fairq *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return err_origin(-ENOMEM);
    }
    q->flows = calloc((size_t)options->identities_max + 1, sizeof *q->flows);
    q->index = calloc(places, sizeof *q->index);
    if (q->flows == NULL || q->index == NULL) {
        fairq_free(q);
        return err_origin(-ENOMEM);
    }
    q->index_mask = places - 1;
    q->flows_max = options->identities_max;
    q->waiting_per_identity = options->waiting_per_identity;
    for (int c = 0; c < FAIRQ_CLASSES; c++) {
        CHECK(options->weights[c] > 0);
        q->weights[c] = options->weights[c];
    }
    _Static_assert(sizeof q->secret == sizeof options->secret, "the key is SipHash's");
    memcpy(q->secret, options->secret, sizeof q->secret);
    q->deficit = q->weights[q->turn];
    *ret_queue = q;
    return 0;
}

void fairq_free(struct fairq *q)
{
    if (q) {
        free(q->index);
        free(q->flows);
        free(q);
    }
}

/* -- the index: identity -> flow --------------------------------------------------------------- */

static uint32_t index_hash(const struct fairq *q, const struct identity *identity)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint32_t hash;
    crypto_shorthash(out, identity->bytes, sizeof identity->bytes, q->secret);
    memcpy(&hash, out, sizeof hash);
    return hash;
}

/* The place that names the identity's flow, or the empty place where it would go. */
static uint32_t index_find(struct fairq *q, const struct identity *identity, uint32_t hash)
{
    uint32_t place = hash & q->index_mask;
    uint32_t probes = 1;
    for (; q->index[place] != FLOW_NONE; probes++) {
        const struct fairq_flow *f = &q->flows[q->index[place]];
        if (f->hash == hash && memcmp(&f->identity, identity, sizeof *identity) == 0) {
            break;
        }
        place = (place + 1) & q->index_mask;
    }
    q->probe_max = probes > q->probe_max ? probes : q->probe_max;
    return place;
}

/* Empties the flow's place and moves back whatever had been pushed past it. */
static void index_remove(struct fairq *q, uint32_t number)
{
    uint32_t hole = q->flows[number].hash & q->index_mask;
    while (q->index[hole] != number) {
        CHECK(q->index[hole] != FLOW_NONE);
        hole = (hole + 1) & q->index_mask;
    }
    for (uint32_t at = (hole + 1) & q->index_mask; q->index[at] != FLOW_NONE;
         at = (at + 1) & q->index_mask) {
        uint32_t home = q->flows[q->index[at]].hash & q->index_mask;
        uint32_t from_home = (at - home) & q->index_mask;
        uint32_t from_hole = (at - hole) & q->index_mask;
        if (from_home >= from_hole) { /* its search passes the hole */
            q->index[hole] = q->index[at];
            hole = at;
        }
    }
    q->index[hole] = FLOW_NONE;
}

/* -- flows and rings --------------------------------------------------------------------------- */

static uint32_t flow_number(const struct fairq *q, const struct fairq_flow *f)
{
    return (uint32_t)(f - q->flows);
}

/* A flow with nothing waiting, or NULL when all are in use. */
static struct fairq_flow *flow_take(struct fairq *q)
{
    uint32_t number = q->flows_free;
    if (number != FLOW_NONE) {
        q->flows_free = q->flows[number].ring[0].next;
    } else if (q->flows_touched < q->flows_max) {
        number = ++q->flows_touched;
        for (int c = 0; c < FAIRQ_CLASSES; c++) {
            list_init(&q->flows[number].fifo[c]);
        }
    } else {
        return NULL;
    }
    q->flows_waiting++;
    return &q->flows[number];
}

static void flow_give(struct fairq *q, struct fairq_flow *f)
{
    CHECK(f->waiting == 0);
    uint32_t number = flow_number(q, f);
    index_remove(q, number);
    f->ring[0].next = q->flows_free;
    q->flows_free = number;
    q->flows_waiting--;
}

static void ring_push(struct fairq *q, uint32_t number, enum fairq_class class)
{
    uint32_t last = q->flows[0].ring[class].prev;
    q->flows[number].ring[class] = (struct fairq_ring){.prev = last, .next = 0};
    q->flows[last].ring[class].next = number;
    q->flows[0].ring[class].prev = number;
}

static void ring_remove(struct fairq *q, uint32_t number, enum fairq_class class)
{
    struct fairq_ring r = q->flows[number].ring[class];
    q->flows[r.prev].ring[class].next = r.next;
    q->flows[r.next].ring[class].prev = r.prev;
}

/* -- the queue --------------------------------------------------------------------------------- */

int fairq_push(struct fairq *q, const struct identity *identity, struct fairq_entry *entry)
{
    CHECK(entry->flow == NULL);
    CHECK((unsigned)entry->class < FAIRQ_CLASSES);
    uint32_t hash = index_hash(q, identity);
    uint32_t place = index_find(q, identity, hash);
    struct fairq_flow *f = &q->flows[q->index[place]];
    if (q->index[place] == FLOW_NONE) {
        f = flow_take(q);
        if (f == NULL) {
            return FAIRQ_E_FULL;
        }
        f->identity = *identity;
        f->hash = hash;
        q->index[place] = flow_number(q, f);
    } else if (f->waiting >= q->waiting_per_identity) {
        return FAIRQ_E_FULL_IDENTITY;
    }
    struct list *fifo = &f->fifo[entry->class];
    if (list_empty(fifo)) {
        ring_push(q, flow_number(q, f), entry->class);
    }
    list_push(fifo, &entry->link);
    entry->flow = f;
    f->waiting++;
    q->calls_waiting++;
    return 0;
}

void fairq_remove(struct fairq *q, struct fairq_entry *entry)
{
    struct fairq_flow *f = entry->flow;
    if (f == NULL) {
        return;
    }
    CHECK(f > q->flows && f <= q->flows + q->flows_touched);
    CHECK(f->waiting > 0);
    list_remove(&entry->link);
    entry->flow = NULL;
    if (list_empty(&f->fifo[entry->class])) {
        ring_remove(q, flow_number(q, f), entry->class);
        if (entry->class == q->turn && q->flows[0].ring[q->turn].next == FLOW_NONE) {
            q->deficit = 0;
        }
    }
    q->calls_waiting--;
    f->waiting--;
    if (f->waiting == 0) {
        flow_give(q, f);
    }
}

/* The class that sends the next call.  Something must be waiting. */
static enum fairq_class class_next(struct fairq *q)
{
    CHECK(q->calls_waiting > 0);
    while (q->deficit == 0 || q->flows[0].ring[q->turn].next == FLOW_NONE) {
        q->turn = (q->turn + 1) % FAIRQ_CLASSES;
        q->deficit = q->weights[q->turn];
    }
    return (enum fairq_class)q->turn;
}

size_t fairq_pull(struct fairq *q, struct fairq_entry **out, size_t max)
{
    size_t n = 0;
    for (; n < max && q->calls_waiting > 0; n++) {
        enum fairq_class class = class_next(q);
        uint32_t number = q->flows[0].ring[class].next;
        struct list *fifo = &q->flows[number].fifo[class];
        CHECK(!list_empty(fifo));
        out[n] = CONTAINER_OF(fifo->next, struct fairq_entry, link);
        q->deficit--; /* before the removal, which forfeits the rest when the class runs empty */
        fairq_remove(q, out[n]);
        if (!list_empty(fifo)) { /* a flow that was given back has empty ones */
            ring_remove(q, number, class);
            ring_push(q, number, class);
        }
    }
    return n;
}

size_t fairq_waiting(const struct fairq *q)
{
    return q->calls_waiting;
}

size_t fairq_waiting_identities(const struct fairq *q)
{
    return q->flows_waiting;
}

size_t fairq_probe_max(const struct fairq *q)
{
    return q->probe_max;
}
