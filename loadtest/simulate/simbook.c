/* SPDX-License-Identifier: MIT */
/* A B+ tree of records.  Leaves are chained.  A node knows what all its keys begin with, and of
 * each key the 8 bytes behind that as a number, so most comparisons touch no record.
 *   node, 64 entries: what all begin with, 8 bytes more of each, record
 *   inner nodes: a child each, whose keys are not lower; the first entry is lower than all keys
 * With millions of records each line of a node is far away: a search asks for all of a node's
 * numbers at once, then reads them, so that it waits once a node and not once a comparison.
 * Owns its nodes and records.  Fails: -ENOMEM from put().  simbook_hint.c asks memory ahead.
 * Not balanced on removal: an emptied leaf stays and is stepped over; a simulation is short. */
#include "simulate/simbook_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define SIMBOOK_GRAIN  8
#define SIMBOOK_HUGE   ((size_t)2 << 20)
#define SIMBOOK_SLAB   ((size_t)32 << 20)
#define SIMBOOK_DEPTH  12
#define SIMBOOK_SHARED 4  /* more bytes in common than this make a longer prefix worth its work */
#define SIMBOOK_AHEAD  8  /* records that next() asks for ahead */
#define SIMBOOK_MEMO   ((size_t)64) /* places at first */
#define SIMBOOK_HOPS   2  /* leaves behind the one in the memo that are tried */

/* Records lie close together in huge pages: half the memory of malloc(), a third of the misses. */
struct simbook_slab {
    struct simbook_slab *next;
    uint8_t pad[SIMBOOK_LINE - sizeof(void *)];
    uint8_t bytes[];
};

/* Where a search went. */
struct simbook_path {
    struct simbook_node *nodes[SIMBOOK_DEPTH];
    uint32_t at[SIMBOOK_DEPTH];
    uint32_t depth;
};

static struct span simbook_key(const struct simbook_record *r)
{
    return (struct span){r->bytes, r->key_len};
}

static int simbook_compare(struct span a, struct span b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static uint32_t simbook_first(const struct simbook_node *n)
{
    return n->is_leaf ? 0 : 1;
}

/* The first entry that is not lower than the key, of an inner node from the second on; is it the
 * key's own? */
static uint32_t simbook_lower(const struct simbook_node *n, struct span key, bool *ret_is_own)
{
    uint32_t from = simbook_first(n), to = n->count;
    int order = simbook_prefix_order(n, key);
    *ret_is_own = false;
    if (order || from >= to) {
        return order > 0 ? to : from;
    }
    uint64_t head = simbook_head(key, n->prefix_len);
    from = simbook_lower_head(n, from, to, head);
    if (from == to || n->heads[from] != head) {
        return from;
    }
    to = head == UINT64_MAX ? to : simbook_lower_head(n, from, to, head + 1);
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        order = simbook_compare(simbook_key(n->records[middle]), key);
        if (order == 0) {
            *ret_is_own = true;
            return middle;
        }
        from = order < 0 ? middle + 1 : from;
        to = order < 0 ? to : middle;
    }
    return from;
}

static struct simbook_node *simbook_leaf(const struct simbook *s, struct span key,
                                         struct simbook_path *p)
{
    struct simbook_node *n = s->root;
    p->depth = 0;
    while (!n->is_leaf) {
        bool is_own;
        uint32_t i = simbook_lower(n, key, &is_own);
        i -= !is_own; /* the first entry is lower than all */
        CHECK(p->depth < SIMBOOK_DEPTH);
        p->nodes[p->depth] = n;
        p->at[p->depth++] = i;
        n = n->children[i];
        simbook_fetch(n);
    }
    return n;
}

/* -- memory ---------------------------------------------------------------------------------- */

static size_t simbook_class(size_t size)
{
    return (size + SIMBOOK_GRAIN - 1) / SIMBOOK_GRAIN;
}

/* Of a slab, at a multiple of `align`. */
static void *simbook_cut(struct simbook *s, size_t bytes, size_t align)
{
    s->slab_used = (s->slab_used + align - 1) & ~(align - 1);
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

static void *simbook_alloc(struct simbook *s, size_t size)
{
    size_t class = simbook_class(size);
    CHECK(class < SIMBOOK_CLASSES);
    void *free_one = s->free[class];
    if (free_one) {
        memcpy(&s->free[class], free_one, sizeof s->free[class]);
        return free_one;
    }
    return simbook_cut(s, class * SIMBOOK_GRAIN, SIMBOOK_GRAIN);
}

static void simbook_give_back(struct simbook *s, struct simbook_record *r)
{
    size_t class = simbook_class(sizeof *r + r->key_len + r->value_len);
    memcpy(r, &s->free[class], sizeof s->free[class]);
    s->free[class] = r;
}

/* Of each kind as many places as leaves, or more.  What was known is forgotten. */
static int simbook_widen(struct simbook *s)
{
    size_t size = s->memo ? (size_t)1 << (64 - s->memo_shift + 1) : SIMBOOK_MEMO;
    struct simbook_node **memo = calloc(size * SIMBOOK_KINDS, sizeof(struct simbook_node *));
    if (memo == NULL) {
        return err_origin(-ENOMEM);
    }
    free(s->memo);
    s->memo = memo;
    s->memo_shift = 64 - (uint32_t)__builtin_ctzll(size);
    s->memo_full = size * SIMBOOK_FAN / 2;
    return 0;
}

/* The leaf in which the key is, or between whose keys it belongs, and simbook_lower() of it.
 * Leaves never go, and each has an interval of its own, so one found before is right as long as the
 * key lies inside.  A place is about as wide as a leaf: what begins in one goes on in the next, so
 * the lower one is kept. */
static struct simbook_node *simbook_home(struct simbook *s, struct span key, uint32_t *ret_at,
                                         bool *ret_is_own)
{
    struct simbook_path p;
    struct simbook_node **memo = simbook_memo(s, key), *n = *memo;
    for (uint32_t hops = 0; n && hops <= SIMBOOK_HOPS; hops++) {
        simbook_fetch(n);
        *ret_at = simbook_lower(n, key, ret_is_own);
        if (*ret_at < n->count && (*ret_at > 0 || *ret_is_own)) {
            return n;
        }
        n = *ret_at == n->count ? n->next : NULL;
    }
    *memo = n = simbook_leaf(s, key, &p);
    *ret_at = simbook_lower(n, key, ret_is_own);
    return n;
}

static struct simbook_node *simbook_node(struct simbook *s, bool is_leaf)
{
    size_t children = is_leaf ? 0 : SIMBOOK_FAN * sizeof(struct simbook_node *);
    struct simbook_node *n = simbook_cut(s, sizeof *n + children, SIMBOOK_LINE);
    if (n) {
        n->is_leaf = is_leaf;
        n->count = 0;
        n->prefix_len = 0;
        n->next = NULL;
    }
    return n;
}

static struct simbook_record *simbook_record(struct simbook *s, struct span key,
                                             struct span value)
{
    struct simbook_record *r = simbook_alloc(s, sizeof *r + key.len + value.len);
    if (r) {
        r->key_len = (uint8_t)key.len;
        r->value_len = (uint16_t)value.len;
        memcpy(r->bytes, key.ptr, key.len);
        if (value.len > 0) {
            memcpy(r->bytes + key.len, value.ptr, value.len);
        }
    }
    return r;
}

/* -- growing --------------------------------------------------------------------------------- */

/* The node's keys all begin with the first `len` bytes of `key`: known from now on. */
static void simbook_set_prefix(struct simbook_node *n, struct span key, size_t len)
{
    memcpy(n->prefix, key.ptr, len);
    n->prefix_len = (uint8_t)len;
    for (uint32_t i = simbook_first(n); i < n->count; i++) {
        n->heads[i] = simbook_head(simbook_key(n->records[i]), len);
    }
}

static size_t simbook_common(struct span a, struct span b)
{
    size_t most = a.len < b.len ? a.len : b.len, len = 0;
    most = most < SIMBOOK_PREFIX ? most : SIMBOOK_PREFIX;
    while (len < most && a.ptr[len] == b.ptr[len]) {
        len++;
    }
    return len;
}

/* Makes room in the prefix for one more key. */
static void simbook_admit(struct simbook_node *n, struct span key)
{
    if (n->count <= simbook_first(n)) {
        simbook_set_prefix(n, key, simbook_common(key, key));
        return;
    }
    size_t len = simbook_common(key, (struct span){n->prefix, n->prefix_len});
    if (len < n->prefix_len) {
        simbook_set_prefix(n, key, len);
    }
}

/* After a split: what is left may have more in common. */
static void simbook_sharpen(struct simbook_node *n)
{
    uint32_t first = simbook_first(n);
    if (n->count > first + 1 &&
        ((n->heads[first] ^ n->heads[n->count - 1]) >> (64 - 8 * SIMBOOK_SHARED)) == 0) {
        struct span low = simbook_key(n->records[first]);
        simbook_set_prefix(n, low, simbook_common(low, simbook_key(n->records[n->count - 1])));
    }
}

static void simbook_shift(struct simbook_node *to, uint32_t to_at, struct simbook_node *from,
                          uint32_t at)
{
    uint32_t n = from->count - at;
    memmove(to->heads + to_at, from->heads + at, n * sizeof *to->heads);
    memmove(to->records + to_at, from->records + at, n * sizeof *to->records);
    if (!to->is_leaf) {
        memmove(to->children + to_at, from->children + at, n * sizeof *to->children);
    }
}

/* The upper part of a full node as a node of its own; NULL: no memory.  A node that grows at its
 * end is left full: keys that come in order make full nodes. */
static struct simbook_node *simbook_split(struct simbook *s, struct simbook_node *n,
                                          uint32_t at)
{
    struct simbook_node *right = simbook_node(s, n->is_leaf);
    uint32_t keep = at == n->count ? (uint32_t)n->count - !n->is_leaf : n->count / 2;
    if (right) {
        simbook_shift(right, 0, n, keep);
        right->count = (uint8_t)(n->count - keep);
        right->prefix_len = n->prefix_len;
        memcpy(right->prefix, n->prefix, n->prefix_len);
        n->count = (uint8_t)keep;
        right->next = n->is_leaf ? n->next : NULL;
        n->next = n->is_leaf ? right : NULL;
    }
    return right;
}

/* A floor above the root; its first entry is the old one. */
static struct simbook_node *simbook_raise(struct simbook *s)
{
    struct simbook_node *root = simbook_node(s, false);
    if (root) {
        root->children[0] = s->root;
        root->records[0] = NULL;
        root->count = 1;
        s->root = root;
    }
    return root;
}

static void simbook_enter(struct simbook_node *n, uint32_t at, struct simbook_record *r,
                          struct simbook_node *child)
{
    struct span key = simbook_key(r);
    simbook_admit(n, key);
    simbook_shift(n, at + 1, n, at);
    n->heads[at] = simbook_head(key, n->prefix_len);
    n->records[at] = r;
    if (child) {
        n->children[at] = child;
    }
    n->count++;
}

/* The key by which a new node stands beside its old one, one floor up: an inner node's first, which
 * it needs no more; a leaf keeps its own.  NULL: no memory. */
static struct simbook_record *simbook_rise(struct simbook *s, struct simbook_node *right)
{
    struct simbook_record *first = right->records[0];
    if (right->is_leaf) {
        return simbook_record(s, simbook_key(first), (struct span){0});
    }
    right->records[0] = NULL;
    return first;
}

static int simbook_insert(struct simbook *s, struct simbook_path *p, struct simbook_node *n,
                          struct simbook_record *r)
{
    struct simbook_node *child = NULL;
    bool is_own;
    uint32_t at = simbook_lower(n, simbook_key(r), &is_own);
    while (n->count == SIMBOOK_FAN) {
        struct simbook_node *right = simbook_split(s, n, at), *into = n;
        if (right == NULL) {
            return err_origin(-ENOMEM);
        }
        if (at > n->count || (at == n->count && n->is_leaf)) {
            into = right;
            at -= n->count;
        }
        simbook_enter(into, at, r, child);
        r = simbook_rise(s, right);
        if (r == NULL) {
            return err_origin(-ENOMEM);
        }
        simbook_sharpen(n);
        simbook_sharpen(right);
        child = right;
        if (p->depth == 0) {
            n = simbook_raise(s);
            at = 1;
        } else {
            n = p->nodes[--p->depth];
            at = p->at[p->depth] + 1;
        }
        if (n == NULL) {
            return err_origin(-ENOMEM);
        }
    }
    simbook_enter(n, at, r, child);
    return 0;
}

/* -- the book -------------------------------------------------------------------------------- */

static struct span simbook_value(const struct simbook_record *r)
{
    return (struct span){r->bytes + r->key_len, r->value_len};
}

static int simbook_get(void *self, struct span key, struct span *ret_value)
{
    uint32_t at;
    bool is_there;
    const struct simbook_node *n = simbook_home(self, key, &at, &is_there);
    if (!is_there) {
        return 1;
    }
    *ret_value = simbook_value(n->records[at]);
    return 0;
}

static int simbook_put(void *self, struct span key, struct span value)
{
    struct simbook *s = self;
    struct simbook_path p = {.depth = 0};
    uint32_t at;
    bool is_there;
    struct simbook_node *n = simbook_home(s, key, &at, &is_there);
    CHECK(key.len >= 16);
    CHECK(key.len <= BOOK_KEY_MAX);
    CHECK(value.len <= BOOK_VALUE_MAX);
    if (is_there && n->records[at]->value_len == value.len) {
        struct simbook_record *r = n->records[at];
        if (value.len > 0) {
            memmove(r->bytes + r->key_len, value.ptr, value.len);
        }
        return 0;
    }
    struct simbook_record *r = simbook_record(s, key, value);
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
    s->walked = NULL;
    if (s->count > s->memo_full && simbook_widen(s)) {
        return err_trace(-ENOMEM);
    }
    n = n->count == SIMBOOK_FAN ? simbook_leaf(s, key, &p) : n; /* the way up, for a split */
    return err_trace(simbook_insert(s, &p, n, r));
}

static int simbook_del(void *self, struct span key)
{
    struct simbook *s = self;
    uint32_t at;
    bool is_there;
    struct simbook_node *n = simbook_home(s, key, &at, &is_there);
    if (is_there) {
        s->count--;
        s->bytes -= key.len + n->records[at]->value_len;
        simbook_give_back(s, n->records[at]);
        simbook_shift(n, at, n, at + 1);
        n->count--;
        s->walked = NULL;
    }
    return 0;
}

static int simbook_next(void *self, struct span from, bool exclusive, struct span *ret_key,
                        struct span *ret_value)
{
    struct simbook *s = self;
    const struct simbook_node *n = s->walked;
    uint32_t at = s->walked_at;
    bool is_there = n && simbook_compare(simbook_key(n->records[at]), from) == 0;
    if (!is_there) { /* else a walk goes on */
        n = simbook_home(s, from, &at, &is_there);
    }
    at += exclusive && is_there;
    while (n && at >= n->count) {
        n = n->next;
        at = 0;
    }
    s->walked = n;
    s->walked_at = at;
    if (n == NULL) {
        return 1;
    }
    if (at + SIMBOOK_AHEAD < n->count) { /* walks go on */
        __builtin_prefetch(n->records[at + SIMBOOK_AHEAD]);
    }
    *ret_key = simbook_key(n->records[at]);
    *ret_value = simbook_value(n->records[at]);
    return 0;
}

int simbook_init(struct simbook *s)
{
    *s = (struct simbook){.book = {s, simbook_get, simbook_put, simbook_del, simbook_next}};
    s->root = simbook_node(s, true);
    return s->root ? err_trace(simbook_widen(s)) : err_origin(-ENOMEM);
}

void simbook_fini(struct simbook *s)
{
    while (s->slab) {
        struct simbook_slab *next = s->slab->next;
        free(s->slab);
        s->slab = next;
    }
    free(s->memo);
    s->memo = NULL;
    s->root = NULL;
}
