/* SPDX-License-Identifier: MIT */
/* The book in memory: the twin of shards/store for tests and simulations.
 * Ordered, exact, and on request nasty: `is_strict` hands out copies that die with the next put or
 * del, so that a sanitizer sees every span used for too long; `fail_in` makes the n-th call fail
 * with -EIO.  One thread. */
#ifndef FAIRSLOT_TESTS_MEMBOOK_H
#define FAIRSLOT_TESTS_MEMBOOK_H

#include "ledger/book.h"

struct membook_block;
struct membook_copy;

struct membook {
    struct membook_block **blocks; /* in key order, none empty */
    size_t blocks_count;
    size_t blocks_capacity;
    size_t count;              /* records */
    size_t bytes;              /* of keys and values */
    struct book book;          /* borrow it: &m->book */
    bool is_strict;
    struct membook_copy *copies; /* handed out since the last put or del */
    int64_t fail_in;           /* calls until one fails; 0: never */
    uint64_t gets, puts, dels, nexts;
};

void membook_init(struct membook *m);
void membook_fini(struct membook *m);
/* FNV-1a over every key and value in order: equal books, equal hashes. */
uint64_t membook_hash(const struct membook *m);
/* The i-th record in key order, borrowed; slow. */
void membook_at(const struct membook *m, size_t i, struct span *ret_key, struct span *ret_value);

#endif
