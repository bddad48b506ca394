/* SPDX-License-Identifier: MIT */
/* What the store costs, on the machine at hand: one line a figure, medians where it says so.
 *   bench_store DIR [records]      DIR is made and left behind for the caller to remove
 * Not a test: nothing here can fail but the machine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/hist.h"
#include "base/prng.h"
#include "store/overlay.h"
#include "store/store.h"

#define VALUE_SIZE 200
#define FLUSH_KEYS 25000
#define ROUNDS     5

static char text[200];
static uint8_t filler[64 * 1024];

static struct span make_key(uint8_t out[40], uint64_t n)
{
    uint64_t seed = n;
    struct scribe w = scribe_of(out, 40);
    scribe_u64(&w, 7 + n % 50);              /* space */
    scribe_u64(&w, prng_splitmix(&seed));    /* position */
    scribe_u8(&w, 3);
    scribe_u64(&w, n);
    return (struct span){out, scribe_len(&w)};
}

static void bench_overlay(uint64_t entries)
{
    struct overlay *o;
    struct prng p;
    uint8_t key[40];
    uint64_t found = 0;
    prng_init(&p, 1);
    CHECK(overlay_new(&o) == 0);
    for (int round = 0; round < 2; round++) {
        overlay_reset(o);
        int64_t t0 = clock_mono_us();
        for (uint64_t i = 0; i < entries; i++) {
            CHECK(overlay_put(o, make_key(key, i), (struct span){filler, 150}) == 0);
        }
        int64_t t1 = clock_mono_us();
        for (uint64_t i = 0; i < entries; i++) {
            found += overlay_find(o, make_key(key, prng_below(&p, entries))) != NULL;
        }
        int64_t t2 = clock_mono_us();
        for (uint64_t i = 0; i < entries; i++) {
            found += overlay_find(o, make_key(key, entries + i)) != NULL;
        }
        int64_t t3 = clock_mono_us();
        for (uint64_t i = 0; i < entries; i++) {
            struct span k = make_key(key, prng_below(&p, entries));
            CHECK(overlay_put(o, k, (struct span){filler, 150}) == 0);
        }
        int64_t t4 = clock_mono_us();
        struct overlay_cursor c = overlay_seek(o, (struct span){0}, false);
        uint64_t walked = 0;
        for (; overlay_at(&c); overlay_step(&c)) {
            walked++;
        }
        int64_t t5 = clock_mono_us();
        CHECK(walked == entries);
        double n = (double)entries / 1000;
        printf("overlay %" PRIu64 " entries%s: insert %.0f get %.0f miss %.0f overwrite %.0f "
               "walk %.0f ns/op\n", entries, round ? ", reused blocks" : "", (double)(t1 - t0) / n,
               (double)(t2 - t1) / n, (double)(t3 - t2) / n, (double)(t4 - t3) / n,
               (double)(t5 - t4) / n);
    }
    CHECK(found == 2 * entries);
    overlay_free(o);
}

static struct store *open_store(const char *dir, int64_t interval_us)
{
    struct store *s;
    struct store_options o = {.dir = dir, .flush_interval_us = interval_us};
    int r = store_open(&o, &s, text);
    if (r != 0) {
        fprintf(stderr, "bench_store: %d %s\n", r, text);
        exit(1);
    }
    return s;
}

static int64_t thread_cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * SECOND_US + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
}

static void entry_done(struct store *s)
{
    CHECK(store_log_append(s, 1, span_of("entry")) == 0);
    CHECK(store_log_commit(s) == 0);
    store_applied(s, store_log_last(s), 1, 0);
}

static void bench_load(struct store *s, uint64_t records)
{
    const struct book *b = store_book(s);
    uint8_t key[40];
    int64_t t0 = clock_mono_us();
    for (uint64_t i = 0; i < records; i++) {
        CHECK(b->put(b->self, make_key(key, i), (struct span){filler, VALUE_SIZE}) == 0);
        if (i % 1000 == 999) {
            entry_done(s);
            CHECK(store_turn(s) == 0);
            while (store_overlay_full(s)) {
                CHECK(store_flush(s) == 0);
            }
        }
    }
    entry_done(s);
    CHECK(store_flush(s) == 0);
    printf("load %" PRIu64 " records x %d B: %.0f records/s\n", records, VALUE_SIZE,
           (double)records * 1e6 / (double)(clock_mono_us() - t0));
}

static void bench_flush(struct store *s, uint64_t records)
{
    const struct book *b = store_book(s);
    struct store_stats stats;
    struct prng p;
    uint8_t key[40];
    prng_init(&p, 2);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < FLUSH_KEYS; i++) {
            struct span k = make_key(key, prng_below(&p, records));
            CHECK(b->put(b->self, k, (struct span){filler + round, VALUE_SIZE}) == 0);
        }
        entry_done(s);
        int64_t cpu = thread_cpu_us();
        CHECK(store_flush(s) == 0);
        cpu = thread_cpu_us() - cpu;
        store_stats(s, &stats);
        printf("flush %" PRIu64 " random keys x %d B over %" PRIu64 ": %.1f ms wall, %.1f ms CPU, "
               "%.0f puts/s, state %.0f MB\n", stats.flush_records_last, VALUE_SIZE, records,
               (double)stats.flush_us_last / 1000, (double)cpu / 1000,
               (double)stats.flush_records_last * 1e6 / (double)stats.flush_us_last,
               (double)stats.state_bytes / 1e6);
    }
}

static void bench_get(struct store *s, uint64_t records)
{
    const struct book *b = store_book(s);
    struct prng p;
    struct span k, v;
    uint8_t key[40];
    prng_init(&p, 3);
    int64_t t0 = clock_mono_us();
    for (int i = 0; i < 200000; i++) {
        CHECK(b->get(b->self, make_key(key, prng_below(&p, records)), &v) == 0);
    }
    int64_t t1 = clock_mono_us();
    for (int i = 0; i < 200000; i++) {
        CHECK(b->get(b->self, make_key(key, records + prng_below(&p, records)), &v) == 1);
    }
    int64_t t2 = clock_mono_us();
    struct span from = span_of("");
    uint64_t walked = 0;
    while (walked < 200000 && b->next(b->self, from, walked > 0, &k, &v) == 0) {
        from = k;
        walked++;
    }
    int64_t t3 = clock_mono_us();
    printf("book over %" PRIu64 " on disk: get %.0f ns, get of nothing %.0f ns, next %.0f ns\n",
           records, (double)(t1 - t0) / 200, (double)(t2 - t1) / 200, (double)(t3 - t2) / 200);
}

static void bench_log(struct store *s, size_t commands)
{
    static struct hist h;
    hist_init(&h);
    int64_t start = clock_mono_us();
    while (clock_mono_us() - start < 2 * SECOND_US) {
        int64_t t0 = clock_mono_us();
        CHECK(store_log_append(s, 1, (struct span){filler, commands * 120}) == 0);
        CHECK(store_log_commit(s) == 0);
        hist_record(&h, (uint64_t)(clock_mono_us() - t0));
        store_applied(s, store_log_last(s), 1, 0);
        CHECK(store_turn(s) == 0);
    }
    struct store_stats stats;
    store_stats(s, &stats);
    printf("log %3zu x 120 B: %.0f commits/s, p50 %" PRIu64 " us, p99 %" PRIu64
           " us, p99.9 %" PRIu64 " us, log %.1f MB\n", commands,
           (double)h.count * 1e6 / (double)(clock_mono_us() - start), hist_quantile(&h, 50000),
           hist_quantile(&h, 99000), hist_quantile(&h, 99900), (double)stats.log_bytes / 1e6);
}

/* A mutation as the ledger makes them: looks up and puts a slot and an identity's record, and puts
 * the request beside it. */
static void mutate(const struct book *b, struct prng *p, uint64_t records)
{
    uint8_t key[40];
    struct span found;
    uint64_t slot = prng_below(p, records), person = prng_below(p, records);
    CHECK(b->get(b->self, make_key(key, slot), &found) == 0);
    CHECK(b->put(b->self, make_key(key, slot), (struct span){filler, VALUE_SIZE}) == 0);
    struct span k = make_key(key, person);
    CHECK(b->get(b->self, k, &found) == 0);
    CHECK(b->put(b->self, k, (struct span){filler + 1, VALUE_SIZE}) == 0);
    key[16] = 4; /* the same routing key, another table */
    CHECK(b->put(b->self, k, (struct span){filler + 2, 60}) == 0);
}

/* Open loop: each mutation has its instant, and waits from it to the end of its round. */
static void bench_rounds(struct store *s, uint64_t records, uint64_t per_second)
{
    static struct hist h;
    struct prng p;
    uint64_t done = 0;
    prng_init(&p, 4);
    hist_init(&h);
    int64_t start = clock_mono_us();
    while (done < per_second * 10) {
        int64_t now = clock_mono_us();
        uint64_t due = (uint64_t)(now - start) * per_second / SECOND_US;
        due = due > per_second * 10 ? per_second * 10 : due;
        uint64_t n = due - done > 500 ? 500 : due - done;
        if (n == 0) {
            usleep(20);
            continue;
        }
        CHECK(store_turn(s) == 0);
        CHECK(store_log_append(s, 1, (struct span){filler, n * 120}) == 0);
        CHECK(store_log_commit(s) == 0);
        for (uint64_t i = 0; i < n; i++) {
            mutate(store_book(s), &p, records);
        }
        store_applied(s, store_log_last(s), 1, 0);
        now = clock_mono_us();
        for (uint64_t i = 0; i < n; i++, done++) {
            hist_record(&h, (uint64_t)(now - start) - done * SECOND_US / per_second);
        }
    }
    struct store_stats stats;
    store_stats(s, &stats);
    printf("rounds at %" PRIu64 "/s open loop over %" PRIu64 ": p50 %.2f p99 %.2f p99.9 %.2f max "
           "%.2f ms; last flush %" PRIu64 " records %.0f ms\n", per_second, records,
           (double)hist_quantile(&h, 50000) / 1000, (double)hist_quantile(&h, 99000) / 1000,
           (double)hist_quantile(&h, 99900) / 1000, (double)h.max_us / 1000,
           stats.flush_records_last, (double)stats.flush_us_last / 1000);
    CHECK(store_flush(s) == 0);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_store DIR [records]\n");
        return 2;
    }
    uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    struct prng p;
    prng_init(&p, 9);
    for (size_t i = 0; i < sizeof filler; i++) {
        filler[i] = (uint8_t)prng_next(&p);
    }
    bench_overlay(100000);
    bench_overlay(500000);
    struct store *s = open_store(argv[1], 0);
    bench_load(s, records);
    bench_flush(s, records);
    bench_get(s, records);
    bench_rounds(s, records, 20000);
    bench_log(s, 1);
    bench_log(s, 64);
    bench_log(s, 512);
    store_close(s);
    int64_t t0 = clock_mono_us();
    s = open_store(argv[1], 0);
    printf("store_open with %" PRIu64 " records: %.1f ms\n", records,
           (double)(clock_mono_us() - t0) / 1000);
    store_close(s);
    return 0;
}
