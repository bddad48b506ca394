/* SPDX-License-Identifier: MIT */
/* A B+ tree of records.  Leaves are chained; the first 16 bytes of a key (space, position) lie in
 * the leaf as two numbers, so most comparisons touch no record.
 *   node, 64 entries: (space, position, rest of key + value) each; inner nodes: rest of the key and
 *   a child whose keys are not lower
 * Owns its nodes and records.  Fails: -ENOMEM from put().
 * Not balanced on removal: an emptied leaf stays and is stepped over; a simulation is short. */
#include "simulate/simbook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define SIMBOOK_FAN   64
#define SIMBOOK_GRAIN 8
#define SIMBOOK_HUGE  ((size_t)2 << 20)
#define SIMBOOK_SLAB  ((size_t)32 << 20)
#define SIMBOOK_DEPTH 12
#define SIMBOOK_KEYS  16 /* of next() that live at once */

/* Records lie close together in huge pages: half the memory of malloc(), a third of the misses. */
struct simbook_slab {
    struct simbook_slab *next;
    uint8_t pad[8];
    uint8_t bytes[];
};

struct simbook_record {
    uint16_t value_len;
    uint8_t rest_len;
    uint8_t bytes[]; /* rest of the key, value */
};

struct simbook_node {
    bool is_leaf;
    uint32_t count;
    struct simbook_node *next; /* of a leaf */
    uint64_t space[SIMBOOK_FAN], position[SIMBOOK_FAN];
    struct simbook_record *records[SIMBOOK_FAN]; /* inner: the key alone, value_len 0 */
    struct simbook_node *children[];             /* of an inner node */
};

struct simbook_key {
    uint64_t space, position;
    struct span rest;
};

/* Where a search went. */
struct simbook_path {
    struct simbook_node *nodes[SIMBOOK_DEPTH];
    uint32_t at[SIMBOOK_DEPTH];
    uint32_t depth;
};

static uint64_t simbook_number(const uint8_t *bytes)
{
    uint64_t v;
    memcpy(&v, bytes, sizeof v);
    return __builtin_bswap64(v);
}

static struct simbook_key simbook_key(struct span key)
{
    uint8_t head[16] = {0};
    size_t n = key.len < 16 ? key.len : 16;
    memcpy(head, key.ptr, n);
    return (struct simbook_key){simbook_number(head), simbook_number(head + 8),
                                {key.ptr + n, key.len - n}};
}

static int simbook_compare(const struct simbook_node *n, uint32_t i, const struct simbook_key *key)
{
    if (n->space[i] != key->space) {
        return n->space[i] < key->space ? -1 : 1;
    }
    if (n->position[i] != key->position) {
        return n->position[i] < key->position ? -1 : 1;
    }
    const struct simbook_record *r = n->records[i];
    size_t len = r->rest_len < key->rest.len ? r->rest_len : key->rest.len;
    int order = memcmp(r->bytes, key->rest.ptr, len);
    return order ? order : (r->rest_len > key->rest.len) - (r->rest_len < key->rest.len);
}

/* The first entry that is not lower than the key. */
static uint32_t simbook_lower(const struct simbook_node *n, const struct simbook_key *key)
{
    uint32_t low = 0, high = n->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (simbook_compare(n, middle, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool simbook_is_at(const struct simbook_node *n, uint32_t i, const struct simbook_key *key)
{
    return i < n->count && simbook_compare(n, i, key) == 0;
}

static struct simbook_node *simbook_leaf(const struct simbook *s, const struct simbook_key *key,
                                         struct simbook_path *p)
{
    struct simbook_node *n = s->root;
    p->depth = 0;
    while (!n->is_leaf) {
        uint32_t i = simbook_lower(n, key);
        if (!simbook_is_at(n, i, key)) {
            i = i ? i - 1 : 0;
        }
        CHECK(p->depth < SIMBOOK_DEPTH);
        p->nodes[p->depth] = n;
        p->at[p->depth++] = i;
        n = n->children[i];
    }
    return n;
}

/* -- memory ---------------------------------------------------------------------------------- */

static size_t simbook_class(size_t size)
{
    return (size + SIMBOOK_GRAIN - 1) / SIMBOOK_GRAIN;
}

static void *simbook_alloc(struct simbook *s, size_t size)
{
    size_t class = simbook_class(size), bytes = class * SIMBOOK_GRAIN;
    CHECK(class < SIMBOOK_CLASSES);
    void *free_one = s->free[class];
    if (free_one) {
        memcpy(&s->free[class], free_one, sizeof s->free[class]);
        return free_one;
    }
    if (s->slab == NULL || s->slab_used + bytes > SIMBOOK_SLAB) {
        struct simbook_slab *slab = aligned_alloc(SIMBOOK_HUGE, SIMBOOK_SLAB);
        if (slab == NULL) {
            return NULL;
        }
        madvise(slab, SIMBOOK_SLAB, MADV_HUGEPAGE); /* faster with, right without */
        slab->next = s->slab;
        s->slab = slab;
        s->slab_used = sizeof *slab;
    }
    void *made = (uint8_t *)s->slab + s->slab_used;
    s->slab_used += bytes;
    return made;
}

static void simbook_give_back(struct simbook *s, struct simbook_record *r)
{
    size_t class = simbook_class(sizeof *r + r->rest_len + r->value_len);
    memcpy(r, &s->free[class], sizeof s->free[class]);
    s->free[class] = r;
}

/* The memo's place for a key. */
static struct simbook_node **simbook_memo(struct simbook *s, const struct simbook_key *key)
{
    uint64_t mixed = (key->space ^ key->position) * UINT64_C(0x9e3779b97f4a7c15);
    return &s->memo[mixed >> 58];
}

/* The leaf in which the key is, or between whose keys it belongs.  Leaves never go, and each has
 * an interval of its own, so one found before is right as long as the key lies inside. */
static struct simbook_node *simbook_home(struct simbook *s, const struct simbook_key *key)
{
    struct simbook_path p;
    struct simbook_node **memo = simbook_memo(s, key), *n = *memo;
    if (n && n->count && simbook_compare(n, 0, key) <= 0 &&
        simbook_compare(n, n->count - 1, key) >= 0) {
        return n;
    }
    return *memo = simbook_leaf(s, key, &p);
}

static struct simbook_node *simbook_node(struct simbook *s, bool is_leaf)
{
    size_t children = is_leaf ? 0 : SIMBOOK_FAN * sizeof(struct simbook_node *);
    struct simbook_node *n = simbook_alloc(s, sizeof *n + children);
    if (n) {
        n->is_leaf = is_leaf;
        n->count = 0;
        n->next = NULL;
    }
    return n;
}

static struct simbook_record *simbook_record(struct simbook *s, struct span rest,
                                             struct span value)
{
    struct simbook_record *r = simbook_alloc(s, sizeof *r + rest.len + value.len);
    if (r) {
        r->rest_len = (uint8_t)rest.len;
        r->value_len = (uint16_t)value.len;
        if (rest.len > 0) {
            memcpy(r->bytes, rest.ptr, rest.len);
        }
        if (value.len > 0) {
            memcpy(r->bytes + rest.len, value.ptr, value.len);
        }
    }
    return r;
}

static void simbook_shift(struct simbook_node *to, uint32_t to_at, struct simbook_node *from,
                          uint32_t at)
{
    uint32_t n = from->count - at;
    memmove(to->space + to_at, from->space + at, n * sizeof *to->space);
    memmove(to->position + to_at, from->position + at, n * sizeof *to->position);
    memmove(to->records + to_at, from->records + at, n * sizeof *to->records);
    if (!to->is_leaf) {
        memmove(to->children + to_at, from->children + at, n * sizeof *to->children);
    }
}

static void simbook_set(struct simbook_node *n, uint32_t at, const struct simbook_key *key,
                        struct simbook_record *r)
{
    n->space[at] = key->space;
    n->position[at] = key->position;
    n->records[at] = r;
}

/* The upper part of a full node as a node of its own; NULL: no memory.  A node that grows at its
 * end is left full: keys that come in order make full nodes. */
static struct simbook_node *simbook_split(struct simbook *s, struct simbook_node *n,
                                          uint32_t at)
{
    struct simbook_node *right = simbook_node(s, n->is_leaf);
    uint32_t keep = at == n->count ? n->count : n->count / 2;
    if (right) {
        simbook_shift(right, 0, n, keep);
        right->count = n->count - keep;
        n->count = keep;
        right->next = n->next;
        n->next = n->is_leaf ? right : NULL;
        right->next = n->is_leaf ? right->next : NULL;
    }
    return right;
}

static int simbook_insert(struct simbook *s, struct simbook_path *p, struct simbook_node *n,
                          const struct simbook_key *key, struct simbook_record *r)
{
    struct simbook_node *child = NULL;
    struct simbook_key k = *key;
    uint32_t at = simbook_lower(n, &k);
    for (;;) {
        struct simbook_node *right = NULL, *into = n;
        if (n->count == SIMBOOK_FAN) {
            right = simbook_split(s, n, at);
            if (right == NULL) {
                return err_origin(-ENOMEM);
            }
            if (at >= n->count) {
                into = right;
                at -= n->count;
            }
        }
        simbook_shift(into, at + 1, into, at);
        simbook_set(into, at, &k, r);
        if (child) {
            into->children[at] = child;
        }
        into->count++;
        if (right == NULL) {
            return 0;
        }
        /* The new node goes beside this one, one floor up. */
        const struct simbook_record *first = right->records[0];
        r = simbook_record(s, (struct span){first->bytes, first->rest_len}, (struct span){0});
        k = (struct simbook_key){right->space[0], right->position[0], {0}};
        child = right;
        if (r == NULL) {
            return err_origin(-ENOMEM);
        }
        k.rest = (struct span){r->bytes, r->rest_len};
        if (p->depth == 0) {
            struct simbook_node *root = simbook_node(s, false);
            struct simbook_record *least = simbook_record(s, (struct span){0},
                                                          (struct span){0});
            if (root == NULL || least == NULL) {
                return err_origin(-ENOMEM);
            }
            simbook_set(root, 0, &(struct simbook_key){0}, least);
            root->children[0] = n;
            root->count = 1;
            s->root = root;
            n = root;
            at = 1;
        } else {
            n = p->nodes[--p->depth];
            at = p->at[p->depth] + 1;
        }
    }
}

/* -- the book -------------------------------------------------------------------------------- */

static struct span simbook_value(const struct simbook_record *r)
{
    return (struct span){r->bytes + r->rest_len, r->value_len};
}

static int simbook_get(void *self, struct span key, struct span *ret_value)
{
    struct simbook_key k = simbook_key(key);
    const struct simbook_node *n = simbook_home(self, &k);
    uint32_t at = simbook_lower(n, &k);
    if (!simbook_is_at(n, at, &k)) {
        return 1;
    }
    *ret_value = simbook_value(n->records[at]);
    return 0;
}

static int simbook_put(void *self, struct span key, struct span value)
{
    struct simbook *s = self;
    struct simbook_path p;
    struct simbook_key k = simbook_key(key);
    struct simbook_node *n = simbook_home(s, &k);
    uint32_t at = simbook_lower(n, &k);
    CHECK(key.len >= 16);
    CHECK(key.len <= BOOK_KEY_MAX);
    CHECK(value.len <= BOOK_VALUE_MAX);
    bool is_there = simbook_is_at(n, at, &k);
    if (is_there && n->records[at]->value_len == value.len) {
        struct simbook_record *r = n->records[at];
        if (value.len > 0) {
            memmove(r->bytes + r->rest_len, value.ptr, value.len);
        }
        return 0;
    }
    struct simbook_record *r = simbook_record(s, k.rest, value);
    if (r == NULL) {
        return err_origin(-ENOMEM);
    }
    s->bytes += value.len;
    if (is_there) {
        s->bytes -= n->records[at]->value_len;
        simbook_give_back(s, n->records[at]);
        n->records[at] = r;
        return 0;
    }
    s->count++;
    s->bytes += key.len;
    n = n->count == SIMBOOK_FAN ? simbook_leaf(s, &k, &p) : n; /* the way up, for a split */
    return err_trace(simbook_insert(s, &p, n, &k, r));
}

static int simbook_del(void *self, struct span key)
{
    struct simbook *s = self;
    struct simbook_key k = simbook_key(key);
    struct simbook_node *n = simbook_home(s, &k);
    uint32_t at = simbook_lower(n, &k);
    if (simbook_is_at(n, at, &k)) {
        s->count--;
        s->bytes -= key.len + n->records[at]->value_len;
        simbook_give_back(s, n->records[at]);
        simbook_shift(n, at, n, at + 1);
        n->count--;
    }
    return 0;
}

static int simbook_next(void *self, struct span from, bool exclusive, struct span *ret_key,
                        struct span *ret_value)
{
    static uint8_t keys[SIMBOOK_KEYS][BOOK_KEY_MAX]; /* lent by turns: a few at once are needed */
    static uint32_t turn;
    uint8_t *bytes = keys[turn++ % SIMBOOK_KEYS];
    struct simbook_key k = simbook_key(from);
    const struct simbook_node *n = simbook_home(self, &k);
    uint32_t at = simbook_lower(n, &k);
    if (exclusive && simbook_is_at(n, at, &k)) {
        at++;
    }
    while (n && at >= n->count) {
        n = n->next;
        at = 0;
    }
    if (n == NULL) {
        return 1;
    }
    const struct simbook_record *r = n->records[at];
    uint64_t head[2] = {__builtin_bswap64(n->space[at]), __builtin_bswap64(n->position[at])};
    memcpy(bytes, head, 16);
    memcpy(bytes + 16, r->bytes, r->rest_len);
    *ret_key = (struct span){bytes, (size_t)16 + r->rest_len};
    *ret_value = simbook_value(r);
    return 0;
}

int simbook_init(struct simbook *s)
{
    *s = (struct simbook){.book = {s, simbook_get, simbook_put, simbook_del, simbook_next}};
    s->root = simbook_node(s, true);
    return s->root ? 0 : err_origin(-ENOMEM);
}

void simbook_fini(struct simbook *s)
{
    while (s->slab) {
        struct simbook_slab *next = s->slab->next;
        free(s->slab);
        s->slab = next;
    }
    s->root = NULL;
}
