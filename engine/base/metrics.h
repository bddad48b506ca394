/* SPDX-License-Identifier: MIT */
/* Metrics: cells of each thread, added up when somebody asks.  metrics_table.h is the table, and
 * says how to add to it.  No lock and no system call to count: a thread's first count makes its
 * cells (METRICS_CELLS of them, zeroed memory that is touched as far as it is used), its end keeps
 * what it counted; gauges go with it.  Any thread.  Never fails: without memory, threads share. */
#ifndef FAIRSLOT_BASE_METRICS_H
#define FAIRSLOT_BASE_METRICS_H

#include <stdatomic.h>
#include <stdio.h>

#include "base/metrics_table.h"
#include "base/types.h"

#define METRICS_BUCKETS   17 /* upper bounds of a histogram; one more cell has what is above */
#define METRICS_NAMES_MAX 96 /* most values of a label */

enum metrics_label {
#define METRICS_LABEL_ENUM(label, count, values) METRICS_LABEL_##label,
    METRICS_LABELS(METRICS_LABEL_ENUM)
    METRICS_LABEL_COUNT
};
enum {
#define METRICS_VALUES_ENUM(label, count, values) METRICS_VALUES_##label = count,
    METRICS_LABELS(METRICS_VALUES_ENUM)
};
enum { /* cells of one value of each kind */
    METRICS_CELLS_COUNTER = 1,
    METRICS_CELLS_COUNTER_US = 1,
    METRICS_CELLS_GAUGE = 1,
    METRICS_CELLS_HISTOGRAM = METRICS_BUCKETS + 2, /* and the sum */
    METRICS_CELLS_HISTOGRAM_OF = METRICS_BUCKETS + 2,
};

/* Where each metric's cells begin. */
enum {
#define METRICS_AT_ENUM(name, kind, a, b, c, help)                                           \
    METRICS_AT_##name,                                                                       \
    METRICS_LAST_##name = METRICS_AT_##name - 1 + METRICS_CELLS_##kind * METRICS_VALUES_##a * \
                                                      METRICS_VALUES_##b * METRICS_VALUES_##c,
    METRICS(METRICS_AT_ENUM)
    METRICS_CELLS
};
/* The third and second label's sizes, for the index of a cell. */
enum {
#define METRICS_STEP_ENUM(name, kind, a, b, c, help)       \
    METRICS_STEP2_##name = METRICS_VALUES_##c,             \
    METRICS_STEP1_##name = METRICS_VALUES_##b * METRICS_VALUES_##c,
    METRICS(METRICS_STEP_ENUM)
};

/* This thread's cells; NULL: it has none yet.  Nobody else writes them. */
extern _Thread_local _Atomic int64_t *metrics_mine;
/* Gives this thread its cells and counts.  Without memory the shared ones are counted in. */
void metrics_add_slowly(size_t at, int64_t n);

static inline void metrics_add(size_t at, int64_t n)
{
    _Atomic int64_t *mine = metrics_mine;
    if (mine == NULL) {
        metrics_add_slowly(at, n);
        return;
    }
    /* Not fetch_add: one writer needs no locked instruction. */
    int64_t now = atomic_load_explicit(&mine[at], memory_order_relaxed);
    atomic_store_explicit(&mine[at], now + n, memory_order_relaxed);
}

static inline void metrics_set(size_t at, int64_t value)
{
    _Atomic int64_t *mine = metrics_mine;
    int64_t now = mine ? atomic_load_explicit(&mine[at], memory_order_relaxed) : 0;
    metrics_add(at, value - now);
}

/* Into a histogram whose first cell is `at`. */
void metrics_observe_us(size_t at, int64_t us);
void metrics_observe_size(size_t at, int64_t size);

/* An index beyond a label's values is counted as its last one: nothing is lost, nothing is
 * overwritten. */
#define METRICS_INDEX(i, count) ((size_t)(i) < (size_t)(count) ? (size_t)(i) : (size_t)(count) - 1)

#define METRIC_ADD(name, n) metrics_add(METRICS_AT_##name, (n))
#define METRIC_SET(name, value) metrics_set(METRICS_AT_##name, (int64_t)(value))
#define METRIC_ADD1(name, a, i, n)                                                              \
    metrics_add(METRICS_AT_##name + METRICS_INDEX(i, METRICS_VALUES_##a) * METRICS_STEP1_##name, \
                (n))
#define METRIC_ADD3(name, a, i, b, j, c, k, n)                                     \
    metrics_add(METRICS_AT_##name +                                                \
                    METRICS_INDEX(i, METRICS_VALUES_##a) * METRICS_STEP1_##name +  \
                    METRICS_INDEX(j, METRICS_VALUES_##b) * METRICS_STEP2_##name +  \
                    METRICS_INDEX(k, METRICS_VALUES_##c), (n))
#define METRIC_SET1(name, a, i, value)                                                      \
    metrics_set(METRICS_AT_##name + METRICS_INDEX(i, METRICS_VALUES_##a) * METRICS_STEP1_##name, \
                (int64_t)(value))
#define METRIC_TIME(name, us)   metrics_observe_us(METRICS_AT_##name, (us))
#define METRIC_TIME1(name, a, i, us)                                                        \
    metrics_observe_us(METRICS_AT_##name + METRICS_INDEX(i, METRICS_VALUES_##a) *           \
                                               METRICS_STEP1_##name * METRICS_CELLS_HISTOGRAM, \
                       (us))
#define METRIC_SIZE(name, size) metrics_observe_size(METRICS_AT_##name, (size))

/* Names value `index` of a label whose values stand as "" in the table; copied.  The last name
 * holds, also for what was counted under another. */
void metrics_label_name(enum metrics_label label, size_t index, const char *name);
/* What build_info says; borrowed for ever. */
void metrics_build(const char *version);

/* Everything, as Prometheus' text format 0.0.4.  Counters of labels with many values are left out
 * while they are zero, so that the output stays small: at most METRICS_TEXT_MAX bytes. */
#define METRICS_TEXT_MAX (2 * 1024 * 1024)
void metrics_write(FILE *out);
/* The sum over all threads of one cell, for tests. */
int64_t metrics_sum(size_t at);
/* A line for each metric, as docs/metrics.md has them. */
void metrics_describe(FILE *out);

#endif
