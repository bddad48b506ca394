/* SPDX-License-Identifier: MIT */
/* Metrics: the cells, and Prometheus' text.
 *
 *   a thread's first count -> its block -> the list of blocks      its end -> `gone` gets the sums
 *   /metrics -> each cell: gone + every block -> text
 *
 * Owns: one block a thread, from its first count to its end.
 * Happy path: a count is one relaxed addition in memory that no other thread writes; a scrape reads
 * those cells while they move, which is what a scrape is.
 * Fails never: without memory for a block the thread counts into `gone`, which is atomic, too.
 * Invariants: a counter never goes back: a thread's counts move into `gone` under the lock that a
 * scrape holds.  What threads left in gauges goes with them.  A histogram's count is made of its
 * buckets, so that it can never differ from +Inf, whatever moves meanwhile. */
#include "base/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum metrics_kind { COUNTER, COUNTER_US, GAUGE, HISTOGRAM, HISTOGRAM_OF };

/* One row of the table. */
struct metrics_row {
    const char *name;
    const char *help;
    size_t at;
    size_t stride;    /* cells of one value */
    enum metrics_kind kind;
    enum metrics_label labels[3];
};

static const struct metrics_row metrics_rows[] = {
#define METRICS_ROW(name, kind, a, b, c, help)                        \
    {#name, help, METRICS_AT_##name, METRICS_CELLS_##kind, kind,      \
     {METRICS_LABEL_##a, METRICS_LABEL_##b, METRICS_LABEL_##c}},
    METRICS(METRICS_ROW)
};

static const struct metrics_set {
    const char *name;
    size_t count;
    const char *values;
} metrics_sets[METRICS_LABEL_COUNT] = {
#define METRICS_SET_ROW(label, count, values) {#label, count, values},
    METRICS_LABELS(METRICS_SET_ROW)
};

#define METRICS_FITS(label, count, values) \
    _Static_assert(count <= METRICS_NAMES_MAX, "too many values of " #label);
METRICS_LABELS(METRICS_FITS)

/* Bounds of a histogram of seconds: what people feel. */
static const int64_t metrics_bounds_us[METRICS_BUCKETS] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,
    5000000, 10000000, 60000000};

struct metrics_block {
    struct metrics_block *next;
    _Atomic int64_t cells[METRICS_CELLS];
};

static pthread_mutex_t metrics_lock = PTHREAD_MUTEX_INITIALIZER; /* the list, names, scrapes */
static struct metrics_block *metrics_blocks;
static struct metrics_block metrics_gone; /* what ended threads counted */
static char *metrics_names[METRICS_LABEL_COUNT][METRICS_NAMES_MAX];
static const char *metrics_version = "";
static pthread_key_t metrics_key;
static pthread_once_t metrics_once = PTHREAD_ONCE_INIT;
_Thread_local _Atomic int64_t *metrics_mine;

static const struct metrics_row *metrics_row_of(size_t at)
{
    const struct metrics_row *row = metrics_rows;
    for (size_t i = 1; i < ARRAY_COUNT(metrics_rows) && metrics_rows[i].at <= at; i++) {
        row = &metrics_rows[i];
    }
    return row;
}

/* The thread ends. */
static void metrics_leave(void *block)
{
    struct metrics_block *mine = block;
    pthread_mutex_lock(&metrics_lock);
    struct metrics_block **at = &metrics_blocks;
    while (*at != mine) {
        at = &(*at)->next;
    }
    *at = mine->next;
    for (size_t i = 0; i < METRICS_CELLS; i++) {
        int64_t n = atomic_load_explicit(&mine->cells[i], memory_order_relaxed);
        if (n && metrics_row_of(i)->kind != GAUGE) {
            atomic_fetch_add_explicit(&metrics_gone.cells[i], n, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&metrics_lock);
    metrics_mine = NULL;
    free(mine);
}

static void metrics_make_key(void)
{
    CHECK(pthread_key_create(&metrics_key, metrics_leave) == 0);
}

static bool metrics_join(void)
{
    pthread_once(&metrics_once, metrics_make_key);
    struct metrics_block *mine = calloc(1, sizeof(*mine));
    if (mine == NULL) {
        return false;
    }
    if (pthread_setspecific(metrics_key, mine) != 0) {
        free(mine);
        return false;
    }
    pthread_mutex_lock(&metrics_lock);
    mine->next = metrics_blocks;
    metrics_blocks = mine;
    pthread_mutex_unlock(&metrics_lock);
    metrics_mine = mine->cells;
    return true;
}

void metrics_add_slowly(size_t at, int64_t n)
{
    CHECK(at < METRICS_CELLS);
    if (metrics_join()) {
        metrics_add(at, n);
    } else {
        atomic_fetch_add_explicit(&metrics_gone.cells[at], n, memory_order_relaxed);
    }
}

void metrics_observe_us(size_t at, int64_t us)
{
    size_t bucket = 0;
    us = us < 0 ? 0 : us;
    while (bucket < METRICS_BUCKETS && us > metrics_bounds_us[bucket]) {
        bucket++;
    }
    metrics_add(at + bucket, 1);
    metrics_add(at + METRICS_BUCKETS + 1, us);
}

void metrics_observe_size(size_t at, int64_t size)
{
    size_t bucket = 0;
    size = size < 0 ? 0 : size;
    while (bucket < METRICS_BUCKETS && size > INT64_C(1) << bucket) {
        bucket++;
    }
    metrics_add(at + bucket, 1);
    metrics_add(at + METRICS_BUCKETS + 1, size);
}

void metrics_label_name(enum metrics_label label, size_t index, const char *name)
{
    CHECK(label < METRICS_LABEL_COUNT);
    CHECK(index < metrics_sets[label].count);
    pthread_mutex_lock(&metrics_lock);
    if (metrics_names[label][index] == NULL || strcmp(metrics_names[label][index], name) != 0) {
        free(metrics_names[label][index]);
        metrics_names[label][index] = strdup(name); /* NULL: the number stands for it */
    }
    pthread_mutex_unlock(&metrics_lock);
}

void metrics_build(const char *version)
{
    metrics_version = version;
}

static int64_t metrics_sum_locked(size_t at)
{
    int64_t sum = atomic_load_explicit(&metrics_gone.cells[at], memory_order_relaxed);
    for (struct metrics_block *b = metrics_blocks; b; b = b->next) {
        sum += atomic_load_explicit(&b->cells[at], memory_order_relaxed);
    }
    return sum;
}

int64_t metrics_sum(size_t at)
{
    CHECK(at < METRICS_CELLS);
    pthread_mutex_lock(&metrics_lock);
    int64_t sum = metrics_sum_locked(at);
    pthread_mutex_unlock(&metrics_lock);
    return sum;
}

/* -- text -------------------------------------------------------------------------------------- */

/* As both HELP and label values want it; a label's value escapes its quotes, too. */
static void metrics_escape(FILE *out, const char *text, bool quotes)
{
    for (; *text; text++) {
        if (*text == '\\' || (*text == '"' && quotes)) {
            fputc('\\', out);
        }
        if (*text == '\n') {
            fputs("\\n", out);
        } else {
            fputc(*text, out);
        }
    }
}

static void metrics_label_value(FILE *out, enum metrics_label label, size_t index)
{
    const struct metrics_set *set = &metrics_sets[label];
    fprintf(out, "%s=\"", set->name);
    const char *word = set->values;
    for (size_t i = 0; *word && i < index; i++) {
        word += strcspn(word, " ");
        word += strspn(word, " ");
    }
    if (metrics_names[label][index]) {
        metrics_escape(out, metrics_names[label][index], true);
    } else if (*word) {
        fwrite(word, 1, strcspn(word, " "), out);
    } else {
        fprintf(out, "%zu", index);
    }
    fputc('"', out);
}

/* {a="x",b="y",le="0.1"}; `le` NULL: without. */
static void metrics_labels(FILE *out, const struct metrics_row *row, size_t value, const char *le)
{
    size_t index[3];
    const char *comma = "{";
    for (int i = 2; i >= 0; i--) {
        size_t count = metrics_sets[row->labels[i]].count;
        index[i] = value % count;
        value /= count;
    }
    for (int i = 0; i < 3; i++) {
        if (row->labels[i] != METRICS_LABEL_none) {
            fputs(comma, out);
            metrics_label_value(out, row->labels[i], index[i]);
            comma = ",";
        }
    }
    if (le) {
        fprintf(out, "%sle=\"%s\"", comma, le);
        comma = ",";
    }
    fputs(*comma == ',' ? "}" : "", out);
}

/* Microseconds as seconds, without a float. */
static void metrics_seconds(char *out, size_t size, int64_t us)
{
    size_t n = (size_t)snprintf(out, size, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);
    while (out[n - 1] == '0') {
        out[--n] = '\0';
    }
    if (out[n - 1] == '.') {
        out[n - 1] = '\0';
    }
}

static void metrics_histogram(FILE *out, const struct metrics_row *row, size_t value)
{
    int64_t count = 0;
    char text[32];
    size_t at = row->at + value * row->stride;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) {
        count += metrics_sum_locked(at + i);
        if (i == METRICS_BUCKETS) {
            snprintf(text, sizeof(text), "+Inf");
        } else if (row->kind == HISTOGRAM) {
            metrics_seconds(text, sizeof(text), metrics_bounds_us[i]);
        } else {
            snprintf(text, sizeof(text), "%" PRId64, INT64_C(1) << i);
        }
        fprintf(out, "fairslot_%s_bucket", row->name);
        metrics_labels(out, row, value, text);
        fprintf(out, " %" PRId64 "\n", count);
    }
    int64_t sum = metrics_sum_locked(at + METRICS_BUCKETS + 1);
    if (row->kind == HISTOGRAM) {
        metrics_seconds(text, sizeof(text), sum);
    } else {
        snprintf(text, sizeof(text), "%" PRId64, sum);
    }
    fprintf(out, "fairslot_%s_sum", row->name);
    metrics_labels(out, row, value, NULL);
    fprintf(out, " %s\nfairslot_%s_count", text, row->name);
    metrics_labels(out, row, value, NULL);
    fprintf(out, " %" PRId64 "\n", count);
}

/* Of a label whose values are named at the start: is this one of those that were not? */
static bool metrics_is_unnamed(const struct metrics_row *row, size_t value)
{
    for (int i = 2; i >= 0; i--) {
        const struct metrics_set *set = &metrics_sets[row->labels[i]];
        if (row->labels[i] != METRICS_LABEL_none && set->values[0] == '\0' &&
            metrics_names[row->labels[i]][value % set->count] == NULL) {
            return true;
        }
        value /= set->count;
    }
    return false;
}

static void metrics_value(FILE *out, const struct metrics_row *row, size_t value, bool sparse)
{
    char text[32];
    if (row->kind == HISTOGRAM || row->kind == HISTOGRAM_OF) {
        metrics_histogram(out, row, value);
        return;
    }
    int64_t n = metrics_sum_locked(row->at + value);
    if (n == 0 && (sparse || metrics_is_unnamed(row, value))) {
        return;
    }
    if (row->kind == COUNTER_US) {
        metrics_seconds(text, sizeof(text), n);
    } else {
        snprintf(text, sizeof(text), "%" PRId64, n);
    }
    fprintf(out, "fairslot_%s", row->name);
    metrics_labels(out, row, value, NULL);
    fprintf(out, " %s\n", text);
}

static size_t metrics_values(const struct metrics_row *row)
{
    return metrics_sets[row->labels[0]].count * metrics_sets[row->labels[1]].count *
           metrics_sets[row->labels[2]].count;
}

static const char *metrics_kind_name(enum metrics_kind kind)
{
    return kind == GAUGE ? "gauge" : kind == COUNTER || kind == COUNTER_US ? "counter"
                                                                            : "histogram";
}

void metrics_write(FILE *out)
{
    pthread_mutex_lock(&metrics_lock);
    for (size_t r = 0; r < ARRAY_COUNT(metrics_rows); r++) {
        const struct metrics_row *row = &metrics_rows[r];
        size_t count = metrics_values(row);
        fprintf(out, "# HELP fairslot_%s ", row->name);
        metrics_escape(out, row->help, false);
        fprintf(out, "\n# TYPE fairslot_%s %s\n", row->name, metrics_kind_name(row->kind));
        for (size_t value = 0; value < count; value++) {
            metrics_value(out, row, value, count > 16);
        }
    }
    fputs("# HELP fairslot_build_info What runs.\n# TYPE fairslot_build_info gauge\n"
          "fairslot_build_info{version=\"", out);
    metrics_escape(out, metrics_version, true);
    fputs("\"} 1\n", out);
    pthread_mutex_unlock(&metrics_lock);
}

void metrics_describe(FILE *out)
{
    for (size_t r = 0; r < ARRAY_COUNT(metrics_rows); r++) {
        const struct metrics_row *row = &metrics_rows[r];
        fprintf(out, "| `fairslot_%s", row->name);
        const char *comma = "{";
        for (int i = 0; i < 3; i++) {
            if (row->labels[i] != METRICS_LABEL_none) {
                fprintf(out, "%s%s", comma, metrics_sets[row->labels[i]].name);
                comma = ",";
            }
        }
        fprintf(out, "%s` | %s | %s |\n", *comma == ',' ? "}" : "", metrics_kind_name(row->kind),
                row->help);
    }
}
