/* SPDX-License-Identifier: MIT */
/* What the power-loss driver does and the checker expects: a pure function of the entry's index.
 * Entry i puts key i*7 % KEYS and, when i is a multiple of five, removes key (i*13 + 5) % KEYS. */
#ifndef FAIRSLOT_TESTS_WORKLOAD_H
#define FAIRSLOT_TESTS_WORKLOAD_H

#include "base/bytes.h"
#include "base/check.h"
#include "base/prng.h"
#include "store/store.h"

#define WORKLOAD_KEYS  499 /* so many that an effect stays visible for a whole run */
#define WORKLOAD_TERM  1 /* of entries that stay */
#define WORKLOAD_JUNK  2 /* of entries that are truncated again, and never acknowledged */
#define WORKLOAD_BYTES 900

static inline struct store_options workload_options(const char *dir)
{
    return (struct store_options){.dir = dir,
                                  .log_map_bytes = 16 << 20,
                                  .log_tail_bytes = 24 << 10,
                                  .state_map_bytes = 16 << 20,
                                  .slice_pages = 4,
                                  .flush_interval_us = 1000,
                                  .scrub_interval_us = -1};
}

static inline struct span workload_entry(uint64_t index, uint64_t term, uint8_t out[WORKLOAD_BYTES])
{
    struct prng p;
    prng_init(&p, index * 10 + term);
    size_t len = index % 50 == 0 ? WORKLOAD_BYTES : 20 + prng_below(&p, 100);
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)prng_next(&p);
    }
    return (struct span){out, len};
}

static inline struct span workload_key(uint64_t k, uint8_t out[24])
{
    struct scribe w = scribe_of(out, 24);
    scribe_u64(&w, k % 10);
    scribe_u64(&w, k);
    scribe_u8(&w, 1);
    return (struct span){out, scribe_len(&w)};
}

/* Key that entry i puts; and the one that it removes, KEYS when none. */
static inline uint64_t workload_put(uint64_t index)
{
    return index * 7 % WORKLOAD_KEYS;
}

static inline uint64_t workload_del(uint64_t index)
{
    return index % 5 ? WORKLOAD_KEYS : (index * 13 + 5) % WORKLOAD_KEYS;
}

/* The effects of an entry: what the ledger would do. */
static inline void workload_apply(struct store *s, uint64_t index, uint64_t term, struct span entry)
{
    const struct book *b = store_book(s);
    uint8_t key[24];
    CHECK(b->put(b->self, workload_key(workload_put(index), key), entry) == 0);
    if (workload_del(index) != WORKLOAD_KEYS) {
        CHECK(b->del(b->self, workload_key(workload_del(index), key)) == 0);
    }
    store_applied(s, index, term, (int64_t)index);
}

#endif
