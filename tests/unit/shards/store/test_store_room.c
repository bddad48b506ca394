/* SPDX-License-Identifier: MIT */
/* Is a nearly full map or disk refused in time, with a reserve, and taken when there is room? */
#include <stdatomic.h>

#include "place.h"
#include "store/room.h"

static struct room_figures roomy(void)
{
    return (struct room_figures){
        .log = {.page_bytes = 4096, .map_pages = 1000, .used_pages = 10},
        .state = {.page_bytes = 4096, .map_pages = 1000, .used_pages = 10},
        .disk_free_bytes = 1000,
        .disk_reserve_bytes = 1000,
    };
}

static void test_judging(void)
{
    struct room_figures f = roomy();
    EQ(room_judge(&f), STORE_ROOM_OK);
    f.disk_free_bytes = 999;
    EQ(room_judge(&f), STORE_ROOM_RESERVE);
    f.disk_free_bytes = 250;
    EQ(room_judge(&f), STORE_ROOM_RESERVE);
    f.disk_free_bytes = 249;
    EQ(room_judge(&f), STORE_ROOM_NONE);
    f = roomy();
    f.log.used_pages = 900;
    EQ(room_judge(&f), STORE_ROOM_OK);
    f.log.used_pages = 901;
    EQ(room_judge(&f), STORE_ROOM_RESERVE);
    f.log.used_pages = 971;
    EQ(room_judge(&f), STORE_ROOM_NONE);
    f = roomy();
    f.state.used_pages = 800;
    EQ(room_judge(&f), STORE_ROOM_OK);
    f.live_pages = 60;
    f.frozen_pages = 60;
    EQ(room_judge(&f), STORE_ROOM_RESERVE);
    f.state.late_pages = 100; /* nearly as many free, but not for the next flush */
    EQ(room_judge(&f), STORE_ROOM_NONE);
}

static void test_pages_of_a_flush(void)
{
    EQ(room_flush_pages(0, 0, 1000), 0);
    OK(room_flush_pages(1, 100, 1000) >= 4);
    OK(room_flush_pages(100, 0, 1000) >= 100); /* a leaf each */
    OK(room_flush_pages(1000000, 0, 1000) < 1200); /* there are no more leaves */
    OK(room_flush_pages(1000, 4096 * 1000, 0) >= 1000);
}

static struct span key_of(uint8_t out[24], uint64_t n)
{
    struct scribe w = scribe_of(out, 24);
    scribe_u64(&w, n * 0x9e3779b97f4a7c15);
    scribe_u64(&w, n);
    return (struct span){out, 16};
}

static struct store_options tiny(void)
{
    struct store_options o = place_options();
    o.log_map_bytes = 4 << 20;
    o.state_map_bytes = 4 << 20;
    o.flush_interval_us = 3000;
    o.slice_pages = 0;
    o.disk_reserve_bytes = 1;
    return o;
}

#define BATCH 8 /* records an entry */

/* Puts while everything is taken; returns how many records there are. */
static uint64_t fill(struct store *s, uint64_t from)
{
    static const uint8_t value[900];
    const struct book *b = store_book(s);
    uint8_t key[24];
    uint64_t n = from;
    for (int idle = 0; idle < 4;) {
        EQ(store_turn(s), 0);
        if (store_room(s) == STORE_ROOM_OK) {
            for (int i = 0; i < BATCH; i++) {
                EQ(b->put(b->self, key_of(key, n++), (struct span){value, 900}), 0);
            }
            place_entry(s, span_of("x"));
            idle = 0;
        } else {
            usleep(120000); /* longer than a measuring is good for */
            EQ(store_flush(s), 0); /* nothing is pending any more, and still no: it is full */
            idle++;
        }
    }
    return n;
}

static void empty(struct store *s, uint64_t from, uint64_t to)
{
    const struct book *b = store_book(s);
    uint8_t key[24];
    int refused = 0, waits = 0;
    for (uint64_t n = from; n < to && refused < 500;) {
        EQ(store_turn(s), 0);
        if (store_room(s) <= STORE_ROOM_RESERVE) {
            for (int i = 0; i < BATCH && n < to; i++) {
                EQ(b->del(b->self, key_of(key, n++)), 0);
            }
            place_entry(s, span_of("y"));
            refused = 0;
        } else {
            usleep(5000);
            refused++;
            waits++;
        }
    }
    printf("# %llu records gone, waited %d times\n", (unsigned long long)(to - from), waits);
    OK(refused < 500); /* it never stays full for ever */
}

static void test_a_full_map_recovers(void)
{
    struct store_options o = tiny();
    struct store *s = place_open(&o);
    uint64_t least = UINT64_MAX, n = 0;
    for (int cycle = 0; cycle < 3 && !tap_broken; cycle++) {
        uint64_t from = n;
        n = fill(s, from);
        least = n - from < least ? n - from : least;
        OK(store_room(s) != STORE_ROOM_OK);
        empty(s, from, n);
        EQ(store_flush(s), 0);
        EQ(store_room(s), STORE_ROOM_OK);
    }
    printf("# at least %llu records of 900 B in a map of 4 MiB\n", (unsigned long long)least);
    OK(least > 1500); /* a third of the map: it is not refused for no reason */
    store_close(s);
    s = place_open(&o);
    EQ(store_room(s), STORE_ROOM_OK);
    store_close(s);
}

static void test_a_full_disk_is_seen(void)
{
    struct store_options o = tiny();
    o.disk_reserve_bytes = UINT64_MAX / 2;
    struct store *s = place_open(&o);
    EQ(store_room(s), STORE_ROOM_NONE);
    struct store_stats stats;
    store_stats(s, &stats);
    OK(stats.disk_free_bytes > 0);
    EQ(stats.log_map_bytes, 4 << 20);
    EQ(stats.state_map_bytes, 4 << 20);
    store_close(s);
    o.disk_reserve_bytes = stats.disk_free_bytes * 2;
    s = place_open(&o);
    EQ(store_room(s), STORE_ROOM_RESERVE);
    store_close(s);
}

static void count_flushed(void *user)
{
    atomic_int *count = user;
    (*count)++;
}

/* The writer is told when to come, and the overlay says when it is full. */
static void test_turns_and_a_full_overlay(void)
{
    static const uint8_t value[200];
    atomic_int flushed = 0;
    struct store_options o = place_options();
    o.flush_interval_us = 20000;
    o.slice_pages = 100000; /* each flush in one, so that they can be counted */
    o.overlay_max_bytes = 1 << 20;
    o.flushed = count_flushed;
    o.user = &flushed;
    o.disk_reserve_bytes = 1;
    place_remove();
    place_make();
    o.dir = place_dir;
    struct store *s = place_open(&o);
    const struct book *b = store_book(s);
    uint8_t key[24];
    OK(store_turn_in_us(s) == INT64_MAX);
    place_entry(s, span_of("no effects: the index has to reach the disk all the same"));
    OK(store_turn_in_us(s) > 0 && store_turn_in_us(s) <= 20000);
    usleep(25000);
    EQ(store_turn_in_us(s), 0);
    EQ(store_turn(s), 0);
    for (int i = 0; i < 200 && store_applied_durable(s) != 1; i++) {
        usleep(5000);
        EQ(store_turn(s), 0);
    }
    EQ(store_applied_durable(s), 1);
    OK(store_turn_in_us(s) == INT64_MAX);

    bool full = false;
    for (uint64_t n = 0; n < 20000 && !full; n++) {
        OK(b->put(b->self, key_of(key, n), (struct span){value, 200}) == 0);
        if (n == 3000) {
            OK(!store_overlay_full(s)); /* nothing frozen yet */
            place_entry(s, span_of("x"));
            EQ(store_turn(s), 0); /* over half: frozen although the interval is not over */
        }
        full = store_overlay_full(s);
    }
    OK(full);
    place_entry(s, span_of("y"));
    EQ(store_flush(s), 0);
    OK(!store_overlay_full(s));
    store_close(s);
    EQ(flushed, 3);
}

/* What is in the log's tail is in an open transaction of its tree: it has its pages, too. */
static void test_pages_of_what_is_not_committed(void)
{
    enum { ENTRIES = 200, LEN = 2100, PAGE = 4096 }; /* a page of its own for each */
    static const uint8_t entry[LEN];
    struct store_options o = place_options();
    struct store_stats before, after;
    place_shell("rm -rf log state");
    o.log_tail_bytes = 4 << 20;
    struct store *s = place_open(&o);
    store_stats(s, &before);
    for (int i = 0; i < ENTRIES; i++) {
        place_entry(s, (struct span){entry, LEN});
    }
    usleep(120000); /* longer than a measuring is good for */
    store_stats(s, &after);
    OK(after.log_bytes >= before.log_bytes + (uint64_t)ENTRIES * PAGE);
    store_close(s);
}

int main(void)
{
    place_make();
    TAP_RUN(test_judging);
    TAP_RUN(test_pages_of_a_flush);
    TAP_RUN(test_a_full_map_recovers);
    TAP_RUN(test_a_full_disk_is_seen);
    TAP_RUN(test_turns_and_a_full_overlay);
    TAP_RUN(test_pages_of_what_is_not_committed);
    place_remove();
    return tap_done();
}
