/* SPDX-License-Identifier: MIT */
/* A flush is many commits: is it all or nothing all the same, wherever it is cut, and does the file
 * stay short for it?  With one commit a flush the same test of the file must fail. */
#include "base/clock.h"
#include "place.h"
#include "store/stateenv.h"

#define RECORDS 600
#define ROUNDS  40
#define PART    2 /* pages of an undo that are put back at once */
#define WORK    1000000 /* records after which a flush begins (store.c) */
#define MAP     (64 << 20)
#define DENSE_OVERLAY (16 << 20) /* three times what dense() puts into it */
#define P_LEAF  2 /* mdb.c: of a page's flags, at byte 10 */

static const uint8_t cluster[16] = {1};

static struct span key_of(uint8_t out[24], uint64_t n)
{
    struct scribe w = scribe_of(out, 24);
    scribe_u64(&w, n * 0x9e3779b97f4a7c15);
    scribe_u64(&w, n);
    return (struct span){out, 16};
}

/* Value of record n in the given generation: short, long, now and then over a page. */
static struct span value_of(uint8_t out[5000], uint64_t n, uint64_t generation)
{
    size_t len = n % 97 == 0 ? 5000 : 20 + n % 300;
    memset(out, (int)(n + generation * 7), len);
    return (struct span){out, len};
}

/* The second generation changes a third, removes a third, makes as many new ones, and removes some
 * that never were. */
static bool is_changed(uint64_t n) { return n % 3 == 0; }
static bool is_removed(uint64_t n) { return n % 3 == 1; }

static struct overlay *effects(uint64_t generation)
{
    uint8_t key[24], value[5000];
    struct overlay *o;
    EQ(overlay_new(&o), 0);
    for (uint64_t n = 0; n < RECORDS; n++) {
        if (generation == 1 || is_changed(n)) {
            EQ(overlay_put(o, key_of(key, n), value_of(value, n, generation)), 0);
        } else if (is_removed(n)) {
            EQ(overlay_del(o, key_of(key, n)), 0);
        }
        if (generation == 2) {
            EQ(overlay_put(o, key_of(key, RECORDS + n), value_of(value, n, generation)), 0);
            EQ(overlay_del(o, key_of(key, 10 * RECORDS + n)), 0);
        }
    }
    return o;
}

static struct stateenv *state_open(int ret_undo)
{
    struct stateenv *s = NULL;
    char path[300];
    uint32_t format;
    snprintf(path, sizeof path, "%s/state", place_dir);
    EQ(stateenv_open(path, MAP, &s, &format), 0);
    EQ(stateenv_verify(s), 0);
    EQ(stateenv_undo(s, PART), ret_undo);
    return s;
}

static void expect(struct stateenv *s, uint64_t generation)
{
    uint8_t key[24], value[5000];
    struct span got;
    for (uint64_t n = 0; n < 2 * RECORDS && !tap_broken; n++) {
        bool is_old = generation == 1 && n < RECORDS;
        bool is_new = generation == 2 && (n >= RECORDS || !is_removed(n));
        uint64_t of = generation == 2 && (n >= RECORDS || is_changed(n)) ? 2 : 1;
        EQ(stateenv_get(s, key_of(key, n), &got), is_old || is_new ? 0 : STATEENV_E_NONE);
        if (is_old || is_new) {
            OK(span_equal(got, value_of(value, n % RECORDS, of)));
        }
    }
}

/* Writes the effects, at most `max` slices of them; true when that was all. */
static bool state_write(struct stateenv *s, uint64_t generation, int max)
{
    struct overlay *o = effects(generation);
    struct record_state_meta meta = *stateenv_meta(s);
    struct stateenv_flush f;
    int r = STATEENV_E_MORE;
    meta.applied_index = generation;
    stateenv_flush_init(&f, o, &meta, 2);
    for (int i = 0; i < max && r == STATEENV_E_MORE; i++) {
        r = stateenv_write(s, &f);
    }
    OK(r == 0 || r == STATEENV_E_MORE);
    EQ(stateenv_renew(s), 0);
    overlay_free(o);
    return r == 0;
}

static void state_make(void)
{
    char path[300];
    place_remove();
    place_make();
    snprintf(path, sizeof path, "%s/state", place_dir);
    EQ(stateenv_make(path, MAP, cluster), 0);
}

/* Cut behind each slice: what is opened is the old generation, and then the new one fits on it. */
static void test_cut_anywhere(void)
{
    bool is_whole = false;
    int cut = 1;
    for (; !is_whole && !tap_broken; cut++) {
        state_make();
        struct stateenv *s = state_open(0);
        OK(state_write(s, 1, 1000));
        expect(s, 1);
        is_whole = state_write(s, 2, cut);
        stateenv_close(s);

        s = state_open(0);
        EQ(stateenv_meta(s)->applied_index, is_whole ? 2 : 1);
        expect(s, is_whole ? 2 : 1);
        EQ(stateenv_verify(s), 0);
        OK(is_whole || state_write(s, 2, 1000));
        expect(s, 2);
        stateenv_close(s);
        s = state_open(0);
        expect(s, 2);
        stateenv_close(s);
    }
    printf("# cut behind %d slices\n", cut - 2);
    OK(cut > 20);
}

static void file_write(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *file = fopen(path, "r+b");
    EQ(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

/* A bit of each copy of each page of the undo, one after the other: refused, or it was a stale
 * copy and what is opened is the old generation. */
static void test_damaged_undo(void)
{
    char path[320], dir[300];
    uint32_t format;
    int refused = 0;
    state_make();
    struct stateenv *s = state_open(0);
    OK(state_write(s, 1, 1000));
    OK(!state_write(s, 2, 8));
    stateenv_close(s);
    snprintf(dir, sizeof dir, "%s/state", place_dir);
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    FILE *file = fopen(path, "rb");
    static uint8_t bytes[8 << 20];
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    OK(len < sizeof bytes);
    uint8_t *at = bytes;
    while ((at = memmem(at, len - (size_t)(at - bytes), "undo\0\0\0\0\0\0", 10)) != NULL) {
        const uint8_t *page = bytes + (at - bytes) / 4096 * 4096;
        if (!(page[10] & P_LEAF)) { /* a way down that leads astray ends the process, at worst */
            at += 10;
            continue;
        }
        at[22] ^= 4;
        file_write(path, bytes, len);
        s = NULL;
        int r = stateenv_open(dir, MAP, &s, &format);
        r = r ? r : stateenv_undo(s, PART);
        OK(r == 0 || r == STATEENV_E_DAMAGED);
        refused += r != 0;
        if (r == 0) {
            EQ(stateenv_verify(s), 0);
            expect(s, 1);
        }
        stateenv_close(s);
        at[22] ^= 4;
        at += 10;
    }
    printf("# %d refused\n", refused);
    OK(refused > 0);
}

/* Pages of the file beside pages that hold something, in percent, after many flushes of random
 * keys, each of which touches nearly every leaf. */
static unsigned file_percent(uint64_t slice_pages)
{
    struct store_options o = place_options();
    uint8_t key[24], value[5000];
    struct store_stats stats;
    struct stat st;
    char path[300];
    place_remove();
    place_make();
    o.dir = place_dir;
    o.slice_pages = slice_pages;
    struct store *s = place_open(&o);
    const struct book *b = store_book(s);
    for (uint64_t n = 0; n < ROUNDS * RECORDS; n++) {
        EQ(b->put(b->self, key_of(key, n), value_of(value, n % 96 + 1, 1)), 0);
        if (n % RECORDS == RECORDS - 1) {
            place_entry(s, span_of("x"));
            EQ(store_flush(s), 0);
        }
    }
    usleep(120000); /* longer than a measuring is good for */
    store_stats(s, &stats);
    snprintf(path, sizeof path, "%s/state/data.mdb", place_dir);
    EQ(stat(path, &st), 0);
    store_close(s);
    return (unsigned)((uint64_t)st.st_size * 100 / stats.state_bytes);
}

static void test_the_file_stays_short(void)
{
    unsigned sliced = file_percent(16), at_once = file_percent(100000);
    printf("# file to what is in it: %u %% in slices, %u %% at once\n", sliced, at_once);
    OK(sliced <= 130);
    OK(at_once >= 180); /* else this measures something else */
}

/* A store with more records in its overlay than its tree has leaves. */
static struct store *dense(int64_t interval_us)
{
    struct store_options o = place_options();
    uint8_t key[24], value[5000];
    place_remove();
    place_make();
    o.dir = place_dir;
    o.flush_interval_us = interval_us;
    o.slice_pages = 64;
    o.overlay_max_bytes = DENSE_OVERLAY;
    struct store *s = place_open(&o);
    const struct book *b = store_book(s);
    for (uint64_t n = 0; n < 20000; n++) {
        EQ(b->put(b->self, key_of(key, n), value_of(value, n % 96 + 1, 1)), 0);
    }
    place_entry(s, span_of("x"));
    return s;
}

/* Longer than these it may take on a busy machine, shorter never. */
static void test_a_dense_flush_takes_its_time(void)
{
    struct store *s = dense(100000);
    struct store_stats stats = {0};
    int64_t begin_us = clock_mono_us(), done_us = 0;
    while (stats.flush_count == 0 && done_us < 60 * SECOND_US) {
        usleep(2000);
        EQ(store_turn(s), 0);
        store_stats(s, &stats);
        done_us = clock_mono_us() - begin_us;
    }
    EQ(stats.flush_count, 1);
    OK(done_us >= 1500000);            /* fifteen intervals until it is begun */
    OK(stats.flush_us_last >= 100000); /* and its slices are spread */
    store_close(s);
}

/* Minutes if it rested between its slices. */
static void test_who_waits_for_a_flush_hurries_it(void)
{
    struct store *s = dense(100 * SECOND_US);
    int64_t begin_us = clock_mono_us();
    EQ(store_flush(s), 0);
    OK(clock_mono_us() - begin_us < 30 * SECOND_US);
    store_close(s);
}

/* It comes 1500 s early, and takes none of the time that it would have then. */
static void test_a_flush_that_is_waited_for_comes_at_once(void)
{
    struct store *s = dense(100 * SECOND_US);
    struct store_stats stats = {0};
    int64_t begin_us = clock_mono_us();
    EQ(store_turn(s), 0);
    store_want_durable(s, store_applied_index(s) + 7); /* what is not applied, nobody waits for */
    while (stats.flush_count == 0 && clock_mono_us() - begin_us < 60 * SECOND_US) {
        usleep(2000);
        EQ(store_turn(s), 0);
        store_stats(s, &stats);
    }
    EQ(stats.flush_count, 1);
    EQ(store_applied_durable(s), store_applied_index(s));
    store_close(s);
}

/* What a start after a crash would have to decide again is bounded by records, not by time. */
static void test_much_work_is_flushed_before_its_time(void)
{
    struct store_options o = place_options();
    struct store_stats stats;
    uint8_t key[24];
    place_remove();
    place_make();
    o.dir = place_dir;
    o.state_map_bytes = 1 << 30;
    o.overlay_max_bytes = 1 << 30;
    struct store *s = place_open(&o);
    const struct book *b = store_book(s);
    for (uint64_t n = 0; n < WORK; n++) {
        if (n == WORK - 1) {
            place_entry(s, span_of("x"));
            EQ(store_turn(s), 0);
            store_stats(s, &stats);
            OK(stats.flush_count == 0 && stats.flush_records_left == 0);
        }
        EQ(b->put(b->self, key_of(key, n), span_of("v")), 0);
    }
    place_entry(s, span_of("y"));
    EQ(store_turn(s), 0);
    store_stats(s, &stats);
    OK(stats.flush_count > 0 || stats.flush_records_left > 0);
    store_close(s);
}

/* New keys, until they have so many bytes in the live overlay. */
static void fill(struct store *s, uint64_t bytes)
{
    uint8_t key[24], value[5000];
    const struct book *b = store_book(s);
    struct store_stats stats;
    store_stats(s, &stats);
    uint64_t until = stats.overlay_bytes + bytes;
    for (uint64_t n = 1000000; stats.overlay_bytes < until; n++) {
        EQ(b->put(b->self, key_of(key, n), value_of(value, 95, 1)), 0);
        store_stats(s, &stats);
    }
    place_entry(s, span_of("y"));
}

/* A flush is under way, `left` of a hundred of its records are in no slice yet, and the overlay
 * beside it is full to three quarters.  Is it hurried?  *ret_early: it was before, for a machine
 * that never ran it. */
static bool is_hurried_with(uint64_t left, bool *ret_early)
{
    struct store *s = dense(100000);
    struct store_stats stats = {0};
    do {
        usleep(1000);
        EQ(store_turn(s), 0);
        store_stats(s, &stats);
    } while (stats.flush_count == 0 &&
             (stats.flush_records_left == 0 || stats.flush_records_left > 200 * left));
    *ret_early = stats.flush_count > 0 || stats.is_flush_hurried;
    fill(s, DENSE_OVERLAY * 3 / 4);
    EQ(store_turn(s), 0);
    store_stats(s, &stats);
    bool is_hurried = stats.is_flush_hurried;
    *ret_early = *ret_early || stats.flush_count > 0;
    store_close(s);
    return is_hurried;
}

/* The pace decides: one that will have ended before the overlay beside it is full stands back to
 * its end, for what it writes at once when it hurries the log's commits wait behind. */
static void test_a_flush_that_keeps_pace_is_left_alone(void)
{
    static const struct { uint64_t left; bool is_hurried; } cases[] = {{100, true}, {10, false}};
    for (size_t i = 0; i < 2; i++) {
        bool is_early = true, is_hurried = false;
        for (int tries = 0; tries < 5 && is_early; tries++) {
            is_hurried = is_hurried_with(cases[i].left, &is_early);
        }
        if (is_early) {
            printf("# not shown: the machine is too busy\n");
        } else {
            EQ(is_hurried, cases[i].is_hurried);
        }
    }
}

int main(void)
{
    place_make();
    TAP_RUN(test_cut_anywhere);
    TAP_RUN(test_damaged_undo);
    TAP_RUN(test_the_file_stays_short);
    TAP_RUN(test_a_dense_flush_takes_its_time);
    TAP_RUN(test_who_waits_for_a_flush_hurries_it);
    TAP_RUN(test_a_flush_that_is_waited_for_comes_at_once);
    TAP_RUN(test_much_work_is_flushed_before_its_time);
    TAP_RUN(test_a_flush_that_keeps_pace_is_left_alone);
    place_remove();
    return tap_done();
}
