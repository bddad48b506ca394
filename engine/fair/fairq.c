/* SPDX-License-Identifier: MIT */
/* Fair queue: who speaks next.  PURE: no clock, no I/O; memory is taken in fairq_new() only.
 * Owns: the order of waiting calls.  Does not own the calls: entries are embedded in them.
 *
 *   index (u32, open addressing, SipHash-2-4)          slab of flows
 *   [ . | 3 | . | 1 | ... ]  -- exact 16-byte compare -->  [0: root][1][2][3]...
 *
 *   a flow of calls is an identity: a FIFO for each class.  A flow of flows is a group, a tenant,
 *   or the root: a ring of flows for each class.
 *   root --ring--> tenants --ring--> identities and groups;  group --ring--> identities;
 *   a flow is in its parent's ring of a class exactly while it has something of that class
 *
 * happy path: push finds or makes the flow, appends to its FIFO of the class and, if that was
 * empty, puts the flow at the END of its parent's ring, and the parent at the end of its own if
 * that was empty (a new identity gets no priority).  Pull goes down the heads of the rings, takes
 * one call, and sends what it came through to the ends.  The class turn is deficit round robin with
 * unit cost: a class gets its weight when its turn begins, pays one a call and loses what is left
 * when it runs empty, so nobody saves up; so do tenants within a class.
 * ways to fail: a push is refused, its own newest (FAIRQ_E_FULL_IDENTITY) or for want of a flow
 * (FAIRQ_E_FULL).  Nothing that waits is ever thrown out for somebody else.
 * invariants: a flow of calls exists exactly while it has calls waiting, a flow of flows exactly
 * while it has members; identities and groups are in the index then, tenants in their table; the
 * index is at most half full, so that a probe ends; removal shifts back (Knuth 6.4 R), so there are
 * no tombstones and no rehash.
 * cost: push, pull and remove are O(1); a flow takes 128 bytes and 8 to 16 of the index.  The slab
 * comes from calloc at its full size: pages that no flow ever used are never touched.  Free flows
 * are reused last in, first out, so a calm queue stays in the cache.
 * roads not taken: hashed buckets (collisions share fate, and can be sought), growing tables (a
 * pause under load is when it hurts), weighted interleaving of classes (smoother, but the weights
 * are small and the plain turn is exact over any whole cycle), CAKE's own flat ring with a part of
 * a quantum for each member (a pull would walk past all members whose part is not whole yet). */
#include "fair/fairq.h"

#include <errno.h>
#include <sodium/crypto_shorthash.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/pages.h"

#define FLOW_NONE 0 /* ends a ring; in the index: empty */
#define FLOW_ROOT 0 /* nobody's member, never in the index */

enum flow_kind { FLOW_IDENTITY, FLOW_GROUP, FLOW_TENANT, FLOW_KINDS };

struct fairq_ring {
    uint32_t prev; /* flow number; of a head: the last */
    uint32_t next; /* flow number; of a head: the first; of class 0 in a free flow: the next free */
};

/* Of a flow of flows. */
struct fairq_members {
    struct fairq_ring heads[FAIRQ_CLASSES];
    uint32_t deficit[FAIRQ_CLASSES]; /* tenants: calls it may still send in this turn */
    uint32_t weight;                 /* tenants: calls in a turn */
};

struct fairq_flow {
    struct identity key;                   /* identity or group's key; tenants have none */
    uint32_t hash;                         /* low bits of its SipHash: places it in the index; or
                                              the tenant's number */
    uint32_t waiting;                      /* calls, all classes together; or members; 0: free */
    struct fairq_ring ring[FAIRQ_CLASSES]; /* in the parent's, while it has some of the class */
    uint32_t parent;                       /* flow number */
    uint32_t kind;                         /* enum flow_kind */
    union {
        struct list fifo[FAIRQ_CLASSES];   /* of fairq_entry.link, oldest first */
        struct fairq_members members;
    };
};

_Static_assert(sizeof(struct fairq_flow) <= 128, "with 16 bytes of index: under 160 an identity");
_Static_assert(sizeof(struct identity) == 16, "what the hash covers");

struct fairq {
    struct fairq_flow *flows; /* [0]: root; [1 .. flows_max] */
    uint32_t *index;          /* flow numbers of identities and groups; index_mask + 1 places */
    uint32_t *tenants;        /* flow number of each tenant; FLOW_NONE: nothing waits */
    uint32_t tenants_max;
    uint32_t index_mask;      /* a power of two, less one */
    uint32_t flows_max;
    uint32_t flows_touched;   /* highest flow number ever used */
    uint32_t flows_free;      /* first of the free list; FLOW_NONE: empty */
    uint32_t counts[FLOW_KINDS]; /* flows in use */
    uint32_t identities_max;
    uint32_t groups_max;
    uint32_t probe_max;       /* longest search of the index so far */
    size_t calls_waiting;
    uint32_t waiting_per_identity;
    uint32_t turn;                     /* class whose turn it is */
    uint32_t deficit;                  /* calls it may still send in this turn; 0 once empty */
    uint32_t weights[FAIRQ_CLASSES];
    uint8_t secret[crypto_shorthash_KEYBYTES];
};

static int fairq_init(struct fairq *q, const struct fairq_options *options)
{
    q->tenants_max = options->tenants_max ? options->tenants_max : 1;
    uint32_t places = 4;
    q->identities_max = options->identities_max;
    q->groups_max = options->groups_max ? options->groups_max : options->identities_max;
    q->flows_max = q->identities_max + q->groups_max + q->tenants_max;
    while (places < 2 * (q->identities_max + q->groups_max)) {
        places *= 2;
    }
    q->index_mask = places - 1;
    q->flows = pages_new((size_t)q->flows_max + 1, sizeof *q->flows);
    q->index = pages_new(places, sizeof *q->index);
    q->tenants = calloc(q->tenants_max, sizeof *q->tenants);
    if (q->flows == NULL || q->index == NULL || q->tenants == NULL) {
        return err_origin(-ENOMEM);
    }
    q->flows[FLOW_ROOT].kind = FLOW_TENANT;
    q->waiting_per_identity = options->waiting_per_identity;
    for (int c = 0; c < FAIRQ_CLASSES; c++) {
        CHECK(options->weights[c] > 0);
        q->weights[c] = options->weights[c];
    }
    _Static_assert(sizeof q->secret == sizeof options->secret, "the key is SipHash's");
    memcpy(q->secret, options->secret, sizeof q->secret);
    q->deficit = q->weights[q->turn];
    return 0;
}

int fairq_new(const struct fairq_options *options, struct fairq **ret_queue)
{
    CHECK(options->identities_max > 0);
    CHECK(options->identities_max <= UINT32_C(1) << 28);
    CHECK(options->tenants_max <= UINT16_MAX + 1);
    CHECK(options->waiting_per_identity > 0);
    struct fairq *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = fairq_init(q, options);
    if (r) {
        fairq_free(q);
        return err_trace(r);
    }
    *ret_queue = q;
    return 0;
}

void fairq_free(struct fairq *q)
{
    if (q) {
        free(q->tenants);
        pages_free(q->index, (size_t)q->index_mask + 1, sizeof *q->index);
        pages_free(q->flows, (size_t)q->flows_max + 1, sizeof *q->flows);
        free(q);
    }
}

/* -- the index: key and kind -> flow ----------------------------------------------------------- */

static uint32_t index_hash(const struct fairq *q, const struct identity *key, enum flow_kind kind)
{
    uint8_t in[sizeof key->bytes + 1], out[crypto_shorthash_BYTES];
    uint32_t hash;
    memcpy(in, key->bytes, sizeof key->bytes);
    in[sizeof key->bytes] = (uint8_t)kind;
    crypto_shorthash(out, in, sizeof in, q->secret);
    memcpy(&hash, out, sizeof hash);
    return hash;
}

/* The place that names the flow, or the empty place where it would go. */
static uint32_t index_find(struct fairq *q, const struct identity *key, enum flow_kind kind,
                           uint32_t hash)
{
    uint32_t place = hash & q->index_mask;
    uint32_t probes = 1;
    for (; q->index[place] != FLOW_NONE; probes++) {
        const struct fairq_flow *f = &q->flows[q->index[place]];
        if (f->hash == hash && f->kind == kind && memcmp(&f->key, key, sizeof *key) == 0) {
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

/* -- flows ------------------------------------------------------------------------------------- */

static uint32_t flow_number(const struct fairq *q, const struct fairq_flow *f)
{
    return (uint32_t)(f - q->flows);
}

/* A flow with nothing in it.  There is room for its kind. */
static struct fairq_flow *flow_take(struct fairq *q, enum flow_kind kind)
{
    uint32_t number = q->flows_free;
    bool is_fresh = number == FLOW_NONE;
    if (is_fresh) {
        CHECK(q->flows_touched < q->flows_max);
        number = ++q->flows_touched;
    } else {
        q->flows_free = q->flows[number].ring[0].next;
    }
    struct fairq_flow *f = &q->flows[number];
    if (kind != FLOW_IDENTITY) {
        f->members = (struct fairq_members){0};
    } else if (is_fresh || f->kind != FLOW_IDENTITY) { /* else its FIFOs were left empty */
        for (int c = 0; c < FAIRQ_CLASSES; c++) {
            list_init(&f->fifo[c]);
        }
    }
    f->kind = kind;
    f->waiting = 0;
    q->counts[kind]++;
    return f;
}

/* Back with it, and with the group and the tenant whose last member it was. */
static void flow_give(struct fairq *q, struct fairq_flow *f)
{
    while (flow_number(q, f) != FLOW_ROOT && f->waiting == 0) {
        uint32_t number = flow_number(q, f);
        struct fairq_flow *parent = &q->flows[f->parent];
        if (f->kind == FLOW_TENANT) {
            q->tenants[f->hash] = FLOW_NONE;
        } else {
            index_remove(q, number);
        }
        f->ring[0].next = q->flows_free;
        q->flows_free = number;
        q->counts[f->kind]--;
        CHECK(parent->waiting > 0);
        parent->waiting--;
        f = parent;
    }
}

/* Finds or makes the flow of an identity or a group; NULL: there are as many as there may be. */
static struct fairq_flow *flow_of(struct fairq *q, const struct identity *key, enum flow_kind kind,
                                  uint32_t parent)
{
    uint32_t hash = index_hash(q, key, kind);
    uint32_t place = index_find(q, key, kind, hash);
    if (q->index[place] != FLOW_NONE) {
        return &q->flows[q->index[place]];
    }
    if (q->counts[kind] >= (kind == FLOW_GROUP ? q->groups_max : q->identities_max)) {
        return NULL;
    }
    struct fairq_flow *f = flow_take(q, kind);
    f->key = *key;
    f->hash = hash;
    f->parent = parent;
    q->flows[parent].waiting++;
    q->index[place] = flow_number(q, f);
    return f;
}

static struct fairq_flow *flow_tenant(struct fairq *q, const struct fairq_place *place)
{
    CHECK(place->tenant < q->tenants_max);
    struct fairq_flow *tenant = &q->flows[q->tenants[place->tenant]];
    if (q->tenants[place->tenant] == FLOW_NONE) {
        tenant = flow_take(q, FLOW_TENANT);
        tenant->hash = place->tenant;
        tenant->parent = FLOW_ROOT;
        q->flows[FLOW_ROOT].waiting++;
        q->tenants[place->tenant] = flow_number(q, tenant);
    }
    tenant->members.weight = place->tenant_weight ? place->tenant_weight : 1;
    return tenant;
}

/* The tenant or group that a new identity belongs to; NULL: no room. */
static struct fairq_flow *flow_parent(struct fairq *q, const struct fairq_place *place)
{
    struct fairq_flow *tenant = flow_tenant(q, place);
    if (!place->is_grouped) {
        return tenant;
    }
    /* A group is one tenant's: its key tells both. */
    struct identity key = place->group;
    for (size_t i = 0; i < sizeof place->tenant; i++) {
        key.bytes[sizeof key.bytes - 1 - i] ^= (uint8_t)(place->tenant >> 8 * i);
    }
    struct fairq_flow *group = flow_of(q, &key, FLOW_GROUP, flow_number(q, tenant));
    if (group == NULL) {
        flow_give(q, tenant);
    }
    return group;
}

/* The flow of an identity that has nothing waiting yet; NULL: no room. */
static struct fairq_flow *flow_new(struct fairq *q, const struct fairq_place *place)
{
    if (q->counts[FLOW_IDENTITY] >= q->identities_max) {
        return NULL; /* before anything is made for it */
    }
    struct fairq_flow *parent = flow_parent(q, place);
    return parent ? flow_of(q, &place->identity, FLOW_IDENTITY, flow_number(q, parent)) : NULL;
}

/* -- rings ------------------------------------------------------------------------------------- */

static void ring_push(struct fairq *q, uint32_t number, enum fairq_class class)
{
    struct fairq_flow *f = &q->flows[number];
    struct fairq_ring *head = &q->flows[f->parent].members.heads[class];
    f->ring[class] = (struct fairq_ring){.prev = head->prev, .next = FLOW_NONE};
    if (head->prev == FLOW_NONE) {
        head->next = number;
    } else {
        q->flows[head->prev].ring[class].next = number;
    }
    head->prev = number;
}

static void ring_remove(struct fairq *q, uint32_t number, enum fairq_class class)
{
    struct fairq_flow *f = &q->flows[number];
    struct fairq_ring *head = &q->flows[f->parent].members.heads[class];
    struct fairq_ring r = f->ring[class];
    *(r.prev == FLOW_NONE ? &head->next : &q->flows[r.prev].ring[class].next) = r.next;
    *(r.next == FLOW_NONE ? &head->prev : &q->flows[r.next].ring[class].prev) = r.prev;
}

/* Its first member's turn is over. */
static void ring_rotate(struct fairq *q, uint32_t parent, enum fairq_class class)
{
    struct fairq_ring *head = &q->flows[parent].members.heads[class];
    uint32_t first = head->next;
    if (first != head->prev) {
        ring_remove(q, first, class);
        ring_push(q, first, class);
    }
}

/* The flow has something of the class now: into its parent's ring, and so on up. */
static void ring_join(struct fairq *q, struct fairq_flow *f, enum fairq_class class)
{
    for (uint32_t number = flow_number(q, f); number != FLOW_ROOT;
         number = q->flows[number].parent) {
        bool is_first = q->flows[q->flows[number].parent].members.heads[class].next == FLOW_NONE;
        ring_push(q, number, class);
        if (!is_first) {
            break;
        }
    }
}

/* The flow has nothing of the class any more; what is left of turns is forfeited. */
static void ring_leave(struct fairq *q, struct fairq_flow *f, enum fairq_class class)
{
    uint32_t number = flow_number(q, f);
    while (number != FLOW_ROOT) {
        uint32_t parent = q->flows[number].parent;
        struct fairq_members *members = &q->flows[parent].members;
        ring_remove(q, number, class);
        if (members->heads[class].next != FLOW_NONE) {
            return;
        }
        members->deficit[class] = 0;
        number = parent;
    }
    if (class == q->turn) {
        q->deficit = 0;
    }
}

/* -- the queue --------------------------------------------------------------------------------- */

int fairq_push(struct fairq *q, const struct fairq_place *place, struct fairq_entry *entry)
{
    CHECK(entry->flow == NULL);
    CHECK((unsigned)entry->class < FAIRQ_CLASSES);
    uint32_t hash = index_hash(q, &place->identity, FLOW_IDENTITY);
    uint32_t number = q->index[index_find(q, &place->identity, FLOW_IDENTITY, hash)];
    struct fairq_flow *f = number == FLOW_NONE ? flow_new(q, place) : &q->flows[number];
    if (f == NULL) {
        return FAIRQ_E_FULL;
    }
    if (f->waiting >= q->waiting_per_identity) {
        return FAIRQ_E_FULL_IDENTITY;
    }
    struct list *fifo = &f->fifo[entry->class];
    if (list_empty(fifo)) {
        ring_join(q, f, entry->class);
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
        ring_leave(q, f, entry->class);
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
    const struct fairq_ring *heads = q->flows[FLOW_ROOT].members.heads;
    CHECK(q->calls_waiting > 0);
    while (q->deficit == 0 || heads[q->turn].next == FLOW_NONE) {
        q->turn = (q->turn + 1) % FAIRQ_CLASSES;
        q->deficit = q->weights[q->turn];
    }
    return (enum fairq_class)q->turn;
}

/* The next call of the class, off the queue. */
static struct fairq_entry *class_pull(struct fairq *q, enum fairq_class class)
{
    uint32_t tenant = q->flows[FLOW_ROOT].members.heads[class].next;
    struct fairq_members *t = &q->flows[tenant].members;
    uint32_t first = t->heads[class].next;
    bool is_group = q->flows[first].kind == FLOW_GROUP;
    uint32_t flow = is_group ? q->flows[first].members.heads[class].next : first;
    struct list *fifo = &q->flows[flow].fifo[class];
    CHECK(!list_empty(fifo));
    struct fairq_entry *entry = CONTAINER_OF(fifo->next, struct fairq_entry, link);
    if (t->deficit[class] == 0) {
        t->deficit[class] = t->weight;
    }
    t->deficit[class]--;
    bool tenant_ends = t->deficit[class] == 0;
    /* To the ends while they are all there; what runs empty leaves from there. */
    if (is_group) {
        ring_rotate(q, first, class);
    }
#ifndef PLANT_UNFAIR /* never defined but by tests/sim */
    ring_rotate(q, tenant, class);
#endif
    if (tenant_ends) {
        ring_rotate(q, FLOW_ROOT, class);
    }
    fairq_remove(q, entry);
    return entry;
}

size_t fairq_pull(struct fairq *q, struct fairq_entry **out, size_t max)
{
    size_t n = 0;
    for (; n < max && q->calls_waiting > 0; n++) {
        enum fairq_class class = class_next(q);
        q->deficit--; /* before the removal, which forfeits the rest when the class runs empty */
        out[n] = class_pull(q, class);
    }
    return n;
}

size_t fairq_waiting(const struct fairq *q)
{
    return q->calls_waiting;
}

size_t fairq_waiting_identities(const struct fairq *q)
{
    return q->counts[FLOW_IDENTITY];
}

size_t fairq_probe_max(const struct fairq *q)
{
    return q->probe_max;
}
