/* SPDX-License-Identifier: MIT */
/* Log-linear histogram of microseconds: 3 significant digits from 1 us to about 1 hour, no
 * allocation, O(1) record (the bucket law of HdrHistogram, G. Tene).  Pure; owned by one thread. */
#ifndef FAIRSLOT_BASE_HIST_H
#define FAIRSLOT_BASE_HIST_H

#include "base/types.h"

#define HIST_SUB_BITS 11                       /* 2,048 linear steps: error below 0.1 % */
#define HIST_SUB      (1u << HIST_SUB_BITS)
#define HIST_LEVELS   22                       /* 2^11 us * 2^21: over one hour */
#define HIST_BUCKETS  (HIST_SUB + (HIST_LEVELS - 1) * (HIST_SUB / 2))

struct hist {
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
    uint64_t min_us;
    uint64_t buckets[HIST_BUCKETS];
};

void hist_init(struct hist *h);
/* Values over the range are counted in the last bucket; max_us stays exact. */
void hist_record(struct hist *h, uint64_t value_us);
/* Smallest recorded value v such that `permille_1000` / 100,000 of the values are <= v.
 * 50,000 is the median, 99,900 the p99.9.  0 when empty.  Never above the exact maximum. */
uint64_t hist_quantile(const struct hist *h, uint32_t permille_1000);
/* The value of the rank-th smallest (from 1 to count), as hist_quantile() tells it, and how many
 * are not greater.  Not for an empty one. */
uint64_t hist_at(const struct hist *h, uint64_t rank, uint64_t *ret_upto);
/* Adds all of `from`. */
void hist_merge(struct hist *to, const struct hist *from);
/* HdrHistogram's compressed V2 encoding (hist_export.c).  Bytes written, at most HIST_EXPORT_MAX;
 * 0: `cap` is less than that. */
#define HIST_EXPORT_MAX (HIST_BUCKETS * 20 + 512)
size_t hist_export(const struct hist *h, uint8_t *out, size_t cap);

#endif
