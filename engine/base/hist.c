/* SPDX-License-Identifier: MIT */
/* Latency histogram.  Owns: nothing but the caller's struct.
 * bucket law: values below 2^11 have one bucket each; above, each power of two is cut into 2^10
 * equal steps, so a bucket is never wider than a thousandth of its value.
 * Fails never; an empty histogram answers 0. */
#include "base/hist.h"

#include <string.h>

#include "base/check.h"

void hist_init(struct hist *h)
{
    memset(h, 0, sizeof *h);
    h->min_us = UINT64_MAX;
}

static unsigned hist_index(uint64_t v)
{
    if (v < HIST_SUB) {
        return (unsigned)v;
    }
    unsigned level = 63u - (unsigned)__builtin_clzll(v) - (HIST_SUB_BITS - 1);
    if (level >= HIST_LEVELS) {
        return HIST_BUCKETS - 1;
    }
    unsigned step = (unsigned)(v >> level) - HIST_SUB / 2;
    return HIST_SUB + (level - 1) * (HIST_SUB / 2) + step;
}

/* Highest value that falls into the bucket. */
static uint64_t hist_value(unsigned index)
{
    if (index < HIST_SUB) {
        return index;
    }
    unsigned level = (index - HIST_SUB) / (HIST_SUB / 2) + 1;
    uint64_t step = (index - HIST_SUB) % (HIST_SUB / 2) + HIST_SUB / 2;
    return ((step + 1) << level) - 1;
}

void hist_record(struct hist *h, uint64_t value_us)
{
    unsigned i = hist_index(value_us);
    CHECK(i < HIST_BUCKETS);
    h->buckets[i]++;
    h->count++;
    h->sum_us += value_us;
    h->max_us = value_us > h->max_us ? value_us : h->max_us;
    h->min_us = value_us < h->min_us ? value_us : h->min_us;
}

uint64_t hist_at(const struct hist *h, uint64_t rank, uint64_t *ret_upto)
{
    uint64_t seen = 0;
    CHECK(rank > 0);
    CHECK(rank <= h->count);
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= rank) {
            uint64_t v = hist_value(i);
            *ret_upto = seen;
            return v < h->max_us ? v : h->max_us;
        }
    }
    *ret_upto = h->count;
    return h->max_us;
}

uint64_t hist_quantile(const struct hist *h, uint32_t permille_1000)
{
    CHECK(permille_1000 <= 100000);
    if (h->count == 0) {
        return 0;
    }
    __extension__ typedef unsigned __int128 wide;
    uint64_t rank = (uint64_t)(((wide)h->count * permille_1000 + 99999) / 100000), upto;
    return hist_at(h, rank ? rank : 1, &upto);
}

void hist_merge(struct hist *to, const struct hist *from)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        to->buckets[i] += from->buckets[i];
    }
    to->count += from->count;
    to->sum_us += from->sum_us;
    to->max_us = from->max_us > to->max_us ? from->max_us : to->max_us;
    to->min_us = from->min_us < to->min_us ? from->min_us : to->min_us;
}
