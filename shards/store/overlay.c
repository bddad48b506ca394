/* SPDX-License-Identifier: MIT */
/* The overlay: what was applied and is not yet on disk, in key order.
 *
 *   inner node   16-byte prefixes | least entry of each child | children
 *   leaf         16-byte prefixes | entries                   | next leaf
 *   entry        header, key, value          all of it in blocks that only grow
 *   slots        hash of a key -> its entry  a shortcut past the tree
 *
 * For: cheap get and put by key for the writer, and key order for the flusher and for next().
 * Owns: blocks of memory, the slots.  A B-tree that only ever inserts: removal is a tombstone,
 * because older layers below still have the record.  The first 16 bytes of a key (space, position)
 * are kept in the node as two integers, so a search touches an entry only where records share a
 * routing key.
 * Happy path: one slot, one entry.  A key that is not here, the usual case, costs one slot.  Only a
 * new key goes down the tree, three nodes and a binary search in each, its memory asked for before.
 * Fails: out of memory only, and then nothing has changed.
 * Invariants: keys in a leaf ascend strictly; entries never move, so a span into a key lives until
 * reset; a full node is split on the way down, so the parent of a split always has a place free.
 * The tree alone is right: when PROBES_MAX slots in a row are taken, it is asked.  So keys made to
 * collide (clients choose request ids) cost a tree search and no more.
 * Roads not taken: a hash alone and a sort at the flush (next() needs order at every moment); the
 * tree alone (twice the time for what is there, four times for what is not); a skip list. */
#include "store/overlay.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/err.h"
#include "ledger/book.h"
#include "store/blocks.h"

#define NODE_MAX   64            /* entries or children of one node */
#define RUN_MIN    16            /* keys that came one behind the other: more of them will come */
#define SLOTS_MIN  (1u << 12)    /* 32 KiB: an idle store has two overlays too */
#define LINE       64            /* bytes that come from memory together */
#define PROBES_MAX 32            /* slots looked at before the tree is asked */

struct prefix {
    uint64_t high; /* bytes 0..7 of the key, big-endian, zero-filled */
    uint64_t low;  /* bytes 8..15 */
};

struct overlay_node {
    uint32_t count;                           /* of entries (leaf) or children (inner) */
    uint16_t newest;                          /* place of the newest one */
    uint16_t run;                             /* so many came one behind the other, it the last */
    bool is_leaf;
    struct overlay_node *next;                /* leaf: the one to the right */
    struct prefix prefix[NODE_MAX];           /* of entry[i]->key */
    struct overlay_entry *entry[NODE_MAX];    /* inner: least of child i when it was made */
    struct overlay_node *child[];             /* inner only, NODE_MAX of them */
};

/* Units count through all blocks; unit 0 is the first root, so 0 says "empty". */
struct slot {
    uint32_t tag;  /* upper half of the key's hash; its top bits chose the slot */
    uint32_t unit; /* where the entry is */
};

struct overlay {
    struct overlay_node *root; /* never NULL after overlay_new() */
    struct blocks blocks;      /* nodes, entries, values that have grown */
    struct slot *slots;
    uint32_t slot_bits;        /* 1 << this many slots */
    bool has_slotless;         /* some entry found no slot */
    uint64_t count;            /* entries */
    uint64_t places;           /* different routing keys, or a few more */
};

/* What a search looks for. */
struct target {
    struct prefix prefix;
    struct span key;
};

/* -- memory ------------------------------------------------------------------------------------ */

static struct overlay_node *node_new(struct overlay *o, bool is_leaf)
{
    size_t children = is_leaf ? 0 : NODE_MAX * sizeof(struct overlay_node *);
    struct overlay_node *n = blocks_take(&o->blocks, sizeof *n + children);
    if (n) {
        n->count = 0;
        n->newest = NODE_MAX;
        n->run = 0;
        n->is_leaf = is_leaf;
        n->next = NULL;
    }
    return n;
}

static struct slot *slots_new(uint32_t bits)
{
    size_t n = sizeof(struct slot) << bits;
    if (n < BLOCK_SIZE) {
        return calloc(1, n);
    }
    struct slot *slots = blocks_big(n);
    return slots ? memset(slots, 0, n) : NULL;
}

int overlay_new(struct overlay **ret_overlay)
{
    struct overlay *o = calloc(1, sizeof *o);
    if (!o) {
        return err_origin(-ENOMEM);
    }
    o->slot_bits = (uint32_t)__builtin_ctz(SLOTS_MIN);
    o->slots = slots_new(o->slot_bits);
    if (blocks_init(&o->blocks) < 0 || !o->slots) {
        overlay_free(o);
        return err_origin(-ENOMEM);
    }
    o->root = node_new(o, true);
    *ret_overlay = o;
    return 0;
}

int overlay_warm(struct overlay *o, size_t bytes)
{
    return err_trace(blocks_warm(&o->blocks, bytes / BLOCK_SIZE));
}

void overlay_free(struct overlay *o)
{
    if (o) {
        blocks_fini(&o->blocks);
        free(o->slots);
        free(o);
    }
}

void overlay_reset(struct overlay *o)
{
    blocks_reset(&o->blocks);
    if (o->count) {
        memset(o->slots, 0, sizeof *o->slots << o->slot_bits);
    }
    o->has_slotless = false;
    o->count = 0;
    o->places = 0;
    o->root = node_new(o, true);
}

/* -- order ------------------------------------------------------------------------------------- */

static struct target target_of(struct span key)
{
    uint64_t words[2] = {0, 0};
    key.ptr = key.len ? key.ptr : (const uint8_t *)""; /* memcpy and memcmp want a pointer */
    memcpy(words, key.ptr, key.len < 16 ? key.len : 16);
    return (struct target){.prefix = {be64toh(words[0]), be64toh(words[1])}, .key = key};
}

/* < 0 when the target comes before entry i of the node. */
static int order(const struct target *t, const struct overlay_node *n, unsigned i)
{
    const struct prefix *p = &n->prefix[i];
    if (t->prefix.high != p->high) {
        return t->prefix.high < p->high ? -1 : 1;
    }
    if (t->prefix.low != p->low) {
        return t->prefix.low < p->low ? -1 : 1;
    }
    const struct overlay_entry *e = n->entry[i];
    size_t shorter = t->key.len < e->key_len ? t->key.len : e->key_len;
    int difference = memcmp(t->key.ptr, e->key, shorter);
    return difference ? difference : (int)t->key.len - (int)e->key_len;
}

/* Index of the first entry >= target, `count` when there is none. */
static unsigned lower_bound(const struct overlay_node *n, const struct target *t, bool *ret_equal)
{
    unsigned low = 0, high = n->count;
    *ret_equal = false;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int o = order(t, n, middle);
        if (o == 0) {
            *ret_equal = true;
            return middle;
        }
        if (o < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* The child that has the target if any has: the first child also takes what is less than its own
 * least entry. */
static unsigned child_of(const struct overlay_node *n, const struct target *t)
{
    bool equal;
    unsigned i = lower_bound(n, t, &equal);
    return equal || i == 0 ? i : i - 1;
}

/* Asks for all that a search looks at, which would wait for one line after the other. */
static void node_fetch(const struct overlay_node *n)
{
    __builtin_prefetch(n);
    for (unsigned i = 0; i < NODE_MAX; i += LINE / sizeof n->prefix[0]) {
        __builtin_prefetch(&n->prefix[i]);
    }
}

static const struct overlay_node *leaf_of(const struct overlay *o, const struct target *t)
{
    const struct overlay_node *n = o->root;
    while (!n->is_leaf) {
        n = n->child[child_of(n, t)];
        node_fetch(n);
    }
    return n;
}

/* -- the shortcut ----------------------------------------------------------------------------- */

uint32_t overlay_tag(struct span key)
{
    static const char here; /* its address differs from process to process */
    return (uint32_t)(XXH3_64bits_withSeed(key.ptr, key.len, (uintptr_t)&here) >> 32);
}

void overlay_fetch(const struct overlay *o, uint32_t tag)
{
    __builtin_prefetch(&o->slots[tag >> (32 - o->slot_bits)]);
}

static struct overlay_entry *unit_entry(const struct overlay *o, uint32_t unit)
{
    return blocks_piece(&o->blocks, unit);
}

enum slot_answer { SLOT_HERE, SLOT_NOT_HERE, SLOT_ASK_TREE };

static enum slot_answer slots_find(const struct overlay *o, struct span key, uint32_t tag,
                                   struct overlay_entry **ret_entry)
{
    uint32_t mask = (1u << o->slot_bits) - 1, at = tag >> (32 - o->slot_bits);
    for (int i = 0; i < PROBES_MAX; i++, at = (at + 1) & mask) {
        const struct slot *slot = &o->slots[at];
        if (slot->unit == 0) {
            return SLOT_NOT_HERE;
        }
        if (slot->tag == tag) {
            struct overlay_entry *e = unit_entry(o, slot->unit);
            if (e->key_len == key.len && memcmp(e->key, key.ptr, key.len) == 0) {
                *ret_entry = e;
                return SLOT_HERE;
            }
        }
    }
    return SLOT_ASK_TREE;
}

bool overlay_fetch_entry(const struct overlay *o, uint32_t tag)
{
    uint32_t mask = (1u << o->slot_bits) - 1, at = tag >> (32 - o->slot_bits);
    for (int i = 0; i < PROBES_MAX && o->slots[at].unit; i++, at = (at + 1) & mask) {
        if (o->slots[at].tag == tag) {
            const char *e = (const char *)unit_entry(o, o->slots[at].unit);
            __builtin_prefetch(e);
            __builtin_prefetch(e + 64);
            __builtin_prefetch(e + 128); /* a usual account ends there */
            return true;
        }
    }
    return false;
}

/* Only notes it when all its slots are taken: then searches for this key ask the tree. */
static void slots_add(struct overlay *o, uint32_t tag, uint32_t unit)
{
    uint32_t mask = (1u << o->slot_bits) - 1, at = tag >> (32 - o->slot_bits);
    for (int i = 0; i < PROBES_MAX; i++, at = (at + 1) & mask) {
        if (o->slots[at].unit == 0) {
            o->slots[at] = (struct slot){.tag = tag, .unit = unit};
            return;
        }
    }
    o->has_slotless = true;
}

/* Into twice as many slots, in the order of the old ones, which is that of the tags: nobody waits
 * for an entry. */
static void slots_move(struct overlay *o, const struct slot *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (from[i].unit) {
            slots_add(o, from[i].tag, from[i].unit);
        }
    }
}

/* Entries that had found no slot are not among the old ones. */
static void slots_fill(struct overlay *o)
{
    struct overlay_cursor c = overlay_seek(o, (struct span){0}, false);
    o->has_slotless = false;
    for (; c.leaf; overlay_step(&c)) {
        const struct overlay_entry *e = overlay_at(&c);
        slots_add(o, overlay_tag(overlay_key(e)), e->unit);
    }
}

/* Twice the slots when they are half taken.  Entries that had found no slot get one, or leave
 * PROBES_MAX taken ones behind them again.  Kept over resets, so that it ends soon. */
static int slots_grow(struct overlay *o)
{
    if (o->count < 1u << (o->slot_bits - 1)) {
        return 0;
    }
    struct slot *slots = slots_new(o->slot_bits + 1), *before = o->slots;
    if (!slots) {
        return err_origin(-ENOMEM);
    }
    o->slots = slots;
    o->slot_bits++;
    if (o->has_slotless) {
        slots_fill(o);
    } else {
        slots_move(o, before, 1u << (o->slot_bits - 1));
    }
    free(before);
    return 0;
}

/* -- reading ----------------------------------------------------------------------------------- */

const struct overlay_entry *overlay_find_tagged(const struct overlay *o, struct span key,
                                                uint32_t tag)
{
    struct overlay_entry *e = NULL;
    if (slots_find(o, key, tag, &e) != SLOT_ASK_TREE) {
        return e;
    }
    struct target t = target_of(key);
    const struct overlay_node *leaf = leaf_of(o, &t);
    bool equal;
    unsigned i = lower_bound(leaf, &t, &equal);
    return equal ? leaf->entry[i] : NULL;
}

/* Leaves are never empty except the root's, so one hop is enough. */
static void cursor_settle(struct overlay_cursor *c)
{
    if (c->index >= c->leaf->count) {
        c->leaf = c->leaf->next;
        c->index = 0;
    }
}

struct overlay_cursor overlay_seek(const struct overlay *o, struct span from, bool exclusive)
{
    struct target t = target_of(from);
    struct overlay_cursor c = {.leaf = leaf_of(o, &t)};
    bool equal;
    c.index = lower_bound(c.leaf, &t, &equal);
    c.index += equal && exclusive;
    cursor_settle(&c);
    return c;
}

const struct overlay_entry *overlay_at(const struct overlay_cursor *c)
{
    return c->leaf ? c->leaf->entry[c->index] : NULL;
}

void overlay_step(struct overlay_cursor *c)
{
    CHECK(c->leaf);
    c->index++;
    cursor_settle(c);
}

uint64_t overlay_count(const struct overlay *o)
{
    return o->count;
}

uint64_t overlay_places(const struct overlay *o)
{
    return o->places;
}

uint64_t overlay_bytes(const struct overlay *o)
{
    return o->blocks.bytes;
}

/* -- writing ----------------------------------------------------------------------------------- */

static void node_insert(struct overlay_node *n, unsigned i, struct prefix prefix,
                        struct overlay_entry *e)
{
    CHECK(n->count < NODE_MAX);
    unsigned behind = n->count - i;
    memmove(&n->prefix[i + 1], &n->prefix[i], behind * sizeof n->prefix[0]);
    memmove(&n->entry[i + 1], &n->entry[i], behind * sizeof n->entry[0]);
    if (!n->is_leaf) {
        memmove(&n->child[i + 1], &n->child[i], behind * sizeof n->child[0]);
    }
    n->prefix[i] = prefix;
    n->entry[i] = e;
    n->run = i == n->newest + 1u ? n->run + 1 : 0;
    n->newest = (uint16_t)i;
    n->count++;
}

/* How many stay in a full node.  Where keys ascend, as those of a pool's slots do, all before the
 * next of them: so such leaves end up full, and their pools' neighbours go to the right. */
static unsigned split_place(const struct overlay_node *n, const struct target *t)
{
    bool equal;
    if (!n->is_leaf || n->run < RUN_MIN || lower_bound(n, t, &equal) != n->newest + 1u) {
        return NODE_MAX / 2;
    }
    return n->newest + 1u < NODE_MAX ? n->newest + 1u : NODE_MAX - 1;
}

/* Moves the right part of the full child i of `parent` to a new child i + 1; t comes next. */
static int split(struct overlay *o, struct overlay_node *parent, unsigned i,
                 const struct target *t)
{
    struct overlay_node *left = parent->child[i];
    struct overlay_node *right = node_new(o, left->is_leaf);
    if (!right) {
        return err_trace(-ENOMEM);
    }
    unsigned keep = split_place(left, t);
    right->count = left->count - keep;
    memcpy(right->prefix, &left->prefix[keep], right->count * sizeof left->prefix[0]);
    memcpy(right->entry, &left->entry[keep], right->count * sizeof left->entry[0]);
    if (!left->is_leaf) {
        memcpy(right->child, &left->child[keep], right->count * sizeof left->child[0]);
    }
    left->count = keep;
    right->next = left->next;
    left->next = left->is_leaf ? right : NULL;
    node_insert(parent, i + 1, right->prefix[0], right->entry[0]);
    parent->child[i + 1] = right;
    return 0;
}

static int root_grow(struct overlay *o)
{
    struct overlay_node *root = node_new(o, false);
    if (!root) {
        return err_trace(-ENOMEM);
    }
    node_insert(root, 0, o->root->prefix[0], o->root->entry[0]);
    root->child[0] = o->root;
    o->root = root;
    return 0;
}

/* The leaf for the target, with a place free in it. */
static int leaf_for_insert(struct overlay *o, const struct target *t,
                           struct overlay_node **ret_leaf)
{
    if (o->root->count == NODE_MAX) {
        int r = root_grow(o);
        if (r < 0) {
            return err_trace(r);
        }
    }
    struct overlay_node *n = o->root;
    while (!n->is_leaf) {
        unsigned i = child_of(n, t);
        node_fetch(n->child[i]);
        if (n->child[i]->count == NODE_MAX) {
            int r = split(o, n, i, t);
            if (r < 0) {
                return err_trace(r);
            }
            i = order(t, n, i + 1) >= 0 ? i + 1 : i;
        }
        n = n->child[i];
    }
    *ret_leaf = n;
    return 0;
}

static struct overlay_entry *entry_new(struct overlay *o, struct span key, size_t value_len)
{
    size_t cap = blocks_room_size(value_len);
    struct overlay_entry *e = blocks_take(&o->blocks, sizeof *e + key.len + cap);
    if (e) {
        e->unit = blocks_unit(&o->blocks, e);
        e->value = e->key + key.len;
        e->value_len = 0;
        e->value_cap = (uint16_t)cap;
        e->key_len = (uint8_t)key.len;
        e->tombstone = true;
        memcpy(e->key, key.ptr, key.len);
    }
    return e;
}

/* The value may be borrowed from this very entry. */
static int entry_set(struct overlay *o, struct overlay_entry *e, struct span value)
{
    if (value.len > e->value_cap) {
        size_t cap = blocks_room_size(value.len);
        uint8_t *room = blocks_room_take(&o->blocks, cap);
        if (!room) {
            return err_trace(-ENOMEM);
        }
        memcpy(room, value.ptr, value.len);
        blocks_room_give(&o->blocks, e->value, e->value_cap);
        e->value = room;
        e->value_cap = (uint16_t)cap;
    } else if (value.len) {
        memmove(e->value, value.ptr, value.len);
    }
    e->value_len = (uint32_t)value.len;
    e->tombstone = false;
    return 0;
}

/* A new key goes down the tree; a key without a slot may turn out to be there after all. */
static int tree_get(struct overlay *o, struct span key, size_t value_len, uint32_t tag,
                    struct overlay_entry **ret_entry)
{
    struct target t = target_of(key);
    struct overlay_node *leaf = NULL;
    int r = leaf_for_insert(o, &t, &leaf);
    if (r < 0) {
        return err_trace(r);
    }
    bool equal;
    unsigned i = lower_bound(leaf, &t, &equal);
    if (!equal) {
        struct overlay_entry *e = entry_new(o, key, value_len);
        if (!e) {
            return err_trace(-ENOMEM);
        }
        o->places += !(i > 0 && memcmp(&leaf->prefix[i - 1], &t.prefix, 16) == 0) &&
                     !(i < leaf->count && memcmp(&leaf->prefix[i], &t.prefix, 16) == 0);
        node_insert(leaf, i, t.prefix, e);
        slots_add(o, tag, e->unit);
        o->count++;
    }
    *ret_entry = leaf->entry[i];
    return 0;
}

/* The entry of the key, made as a tombstone when new. */
static int entry_get(struct overlay *o, struct span key, size_t value_len,
                     struct overlay_entry **ret_entry)
{
    CHECK(key.len > 0);
    CHECK(key.len <= BOOK_KEY_MAX);
    CHECK(value_len <= BOOK_VALUE_MAX);
    int r = slots_grow(o);
    if (r < 0) {
        return err_trace(r);
    }
    uint32_t tag = overlay_tag(key);
    if (slots_find(o, key, tag, ret_entry) == SLOT_HERE) {
        return 0;
    }
    return err_trace(tree_get(o, key, value_len, tag, ret_entry));
}

int overlay_put(struct overlay *o, struct span key, struct span value)
{
    struct overlay_entry *e;
    int r = entry_get(o, key, value.len, &e);
    return r < 0 ? err_trace(r) : err_trace(entry_set(o, e, value));
}

int overlay_del(struct overlay *o, struct span key)
{
    struct overlay_entry *e;
    int r = entry_get(o, key, 0, &e);
    if (r == 0) {
        e->tombstone = true;
        e->value_len = 0;
    }
    return err_trace(r);
}
