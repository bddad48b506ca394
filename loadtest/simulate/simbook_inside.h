/* SPDX-License-Identifier: MIT */
/* What simbook.c (the tree) and simbook_hint.c (asking memory ahead) share: nodes, and how a key is
 * looked for in one. */
#ifndef FAIRSLOT_SIMULATE_SIMBOOK_INSIDE_H
#define FAIRSLOT_SIMULATE_SIMBOOK_INSIDE_H

#include <string.h>

#include "base/bytes.h"
#include "simulate/simbook.h"

#define SIMBOOK_FAN    64
#define SIMBOOK_PREFIX 40 /* bytes that a node knows of all its keys, at most */
#define SIMBOOK_RANK   21 /* where a rank stands in the keys of a release's order */
#define SIMBOOK_LINE   64 /* bytes of a line of the cache */
#define SIMBOOK_KINDS  4  /* of spaces, by their highest bits: each has places of its own */

struct simbook_record {
    uint16_t value_len;
    uint8_t key_len;
    uint8_t bytes[]; /* key, value */
};

/* Its first line of the cache, lines of numbers, lines of records. */
struct simbook_node {
    _Alignas(SIMBOOK_LINE) bool is_leaf;
    uint8_t count;
    uint8_t prefix_len;
    uint8_t prefix[SIMBOOK_PREFIX];              /* of all its keys */
    struct simbook_node *next;                   /* of a leaf */
    _Alignas(SIMBOOK_LINE) uint64_t heads[SIMBOOK_FAN]; /* 8 bytes behind the prefix, then 0 */
    struct simbook_record *records[SIMBOOK_FAN]; /* inner: the key alone; the first has none */
    struct simbook_node *children[];             /* of an inner node */
};

static inline uint64_t simbook_head(struct span key, size_t from)
{
    uint64_t v = 0;
    if (from + sizeof v <= key.len) {
        memcpy(&v, key.ptr + from, sizeof v);
    } else if (from < key.len) {
        memcpy(&v, key.ptr + from, key.len - from);
    }
    return __builtin_bswap64(v);
}

/* The first entry of heads[from, to) that is not lower than `head`. */
static inline uint32_t simbook_lower_head(const struct simbook_node *n, uint32_t from, uint32_t to,
                                          uint64_t head)
{
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        bool is_lower = n->heads[middle] < head;
        from = is_lower ? middle + 1 : from;
        to = is_lower ? to : middle;
    }
    return from;
}

/* How the key's beginning is to the node's prefix: < 0, 0 or > 0. */
static inline int simbook_prefix_order(const struct simbook_node *n, struct span key)
{
    size_t len = key.len < n->prefix_len ? key.len : n->prefix_len;
    int order = memcmp(key.ptr, n->prefix, len);
    return order ? order : len < n->prefix_len ? -1 : 0;
}

/* All numbers of the node are wanted: one wait for them, not one after the other. */
static inline void simbook_fetch(const struct simbook_node *n)
{
    __builtin_prefetch(n);
    for (uint32_t i = 0; i < SIMBOOK_FAN; i += SIMBOOK_LINE / sizeof n->heads[0]) {
        __builtin_prefetch(&n->heads[i]);
    }
}

/* The memo's place for a key.  Positions are hashes, and where they are not (0), ranks follow, so
 * neighbours among millions share a place and the places are used alike.  A command reads an
 * account, an index and a ticket: they would drive each other out of places that they shared. */
static inline struct simbook_node **simbook_memo(struct simbook *s, struct span key)
{
    uint64_t position = simbook_head(key, 8), space = simbook_head(key, 0);
    uint64_t spread = position ? position : simbook_head(key, SIMBOOK_RANK);
    spread += space * UINT64_C(0x9e3779b97f4a7c15);
    return &s->memo[(spread >> s->memo_shift) * SIMBOOK_KINDS + (space >> 62)];
}

#endif
