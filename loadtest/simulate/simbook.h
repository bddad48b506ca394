/* SPDX-License-Identifier: MIT */
/* The book in memory for simulations of millions: a B+ tree.  tests/lib/membook is the simple twin
 * that tests trust; this one is for size.  One thread.  Memory that ends is -ENOMEM from put(). */
#ifndef FAIRSLOT_SIMULATE_SIMBOOK_H
#define FAIRSLOT_SIMULATE_SIMBOOK_H

#include "ledger/book.h"

#define SIMBOOK_CLASSES 1024 /* sizes of records, in steps of 8 bytes */

struct simbook_node;
struct simbook_slab;

struct simbook {
    struct simbook_node *root;
    struct simbook_slab *slab; /* the newest; all that it owns lies in these */
    size_t slab_used;
    void *free[SIMBOOK_CLASSES]; /* given back, by size */
    struct simbook_node **memo; /* leaves found lately, by space and position */
    uint32_t memo_shift;        /* 2^(64 - memo_shift) of them for each kind of space */
    size_t memo_full;           /* records beyond which there should be more */
    const struct simbook_node *walked; /* where next() was last; NULL: leaves changed since */
    uint32_t walked_at;
    struct book book;     /* borrow it: &s->book */
    size_t count;         /* records */
    size_t bytes;         /* of keys and values */
};

/* 0 or -ENOMEM. */
int simbook_init(struct simbook *s);
void simbook_fini(struct simbook *s);
/* These are going to be read: asks memory for them, all at once.  Changes nothing. */
void simbook_hint(struct simbook *s, const struct span *keys, size_t count);

#endif
