/* SPDX-License-Identifier: MIT */
/* Is the ledger's view one ordered map, whatever lies in which layer?  1e5 random steps against an
 * array indexed by key, with flushes under way, flushes finished, and the store reopened. */
#include <unistd.h>

#include "place.h"

#define KEYS  700
#define STEPS 100000

static uint32_t model[KEYS]; /* value's seed + 1; 0: no record */

static struct span key_of(uint8_t out[24], uint64_t n)
{
    struct scribe w = scribe_of(out, 24);
    scribe_u64(&w, n / 100);
    scribe_u64(&w, n / 10 % 10);
    scribe_u8(&w, (uint8_t)(n % 10));
    if (n % 3 == 0) {
        scribe_u16(&w, 0); /* other lengths */
    }
    return (struct span){out, scribe_len(&w)};
}

/* Short ones, long ones, some on LMDB's overflow pages. */
static struct span value_of(uint8_t out[4096], uint32_t seed)
{
    size_t len = seed % 97 == 0 ? 3000 + seed % 1096 : seed % 200;
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(seed + i * 31);
    }
    return (struct span){out, len};
}

static bool right_value(struct span got, uint32_t seed)
{
    static uint8_t want[4096];
    return span_equal(got, value_of(want, seed));
}

static void step_next(const struct book *b, uint64_t n, bool exclusive)
{
    uint8_t bytes[24];
    struct span key, value;
    uint64_t want = n + exclusive;
    while (want < KEYS && model[want] == 0) {
        want++;
    }
    int r = b->next(b->self, key_of(bytes, n), exclusive, &key, &value);
    EQ(r, want == KEYS);
    if (r == 0 && want < KEYS) {
        OK(span_equal(key, key_of(bytes, want)));
        OK(right_value(value, model[want] - 1));
    }
}

static void step(struct store *s, struct prng *p)
{
    static uint8_t bytes[4096];
    uint8_t key[24];
    const struct book *b = store_book(s);
    struct span value;
    uint64_t what = prng_below(p, 10), n = prng_below(p, KEYS);
    if (prng_below(p, 4) == 0) { /* changes nothing, whatever becomes of that record meanwhile */
        b->hint(b->self, key_of(key, prng_below(p, KEYS)));
    }
    if (what < 3) {
        int r = b->get(b->self, key_of(key, n), &value);
        EQ(r, model[n] == 0);
        OK(r != 0 || right_value(value, model[n] - 1));
    } else if (what < 6) {
        step_next(b, n, prng_below(p, 2));
    } else if (what < 8) {
        EQ(b->del(b->self, key_of(key, n)), 0);
        model[n] = 0;
    } else {
        uint32_t seed = (uint32_t)prng_below(p, 100000);
        EQ(b->put(b->self, key_of(key, n), value_of(bytes, seed)), 0);
        model[n] = seed + 1;
    }
}

static void walk(struct store *s)
{
    const struct book *b = store_book(s);
    uint8_t bytes[24];
    struct span from = {0}, key, value;
    bool exclusive = false;
    uint64_t n = 0;
    while (b->next(b->self, from, exclusive, &key, &value) == 0) {
        while (n < KEYS && model[n] == 0) {
            n++;
        }
        OK(n < KEYS && span_equal(key, key_of(bytes, n)) && right_value(value, model[n] - 1));
        from = key;
        exclusive = true;
        n++;
    }
    while (n < KEYS && model[n] == 0) {
        n++;
    }
    EQ(n, KEYS);
}

static void test_three_layers_are_one_map(void)
{
    struct store_options options = place_options();
    options.flush_interval_us = 100; /* often, also where writing takes no time */
    struct store *s = place_open(&options);
    struct store_stats stats;
    uint64_t flushes = 0;
    struct prng p;
    prng_init(&p, 42);
    for (int i = 0; i < STEPS && !tap_broken; i++) {
        step(s, &p);
        if (i % 200 == 199) {
            place_entry(s, span_of("x"));
            EQ(store_turn(s), 0); /* begins flushes and adopts them at whatever moment */
            usleep(500);          /* steps take no time: let the flusher get somewhere */
        }
        if (i % 5000 == 4999) {
            walk(s);
        }
        if (i % 10000 == 9999) {
            EQ(store_flush(s), 0);
            EQ(store_applied_durable(s), store_applied_index(s));
        }
        if (i % 25000 == 24999) {
            uint64_t index = store_applied_index(s);
            store_stats(s, &stats);
            flushes += stats.flush_count;
            store_close(s);
            s = place_open(&options);
            EQ(store_applied_index(s), index);
            EQ(store_applied_time_us(s), (int64_t)index * 1000);
            walk(s);
        }
    }
    OK(flushes > 14); /* ten were asked for, others began by themselves */
    store_close(s);
}

static void test_a_frozen_tombstone_hides_the_disk(void)
{
    struct store_options options = place_options();
    struct store *s = place_open(&options);
    const struct book *b = store_book(s);
    struct span key, value;
    EQ(b->put(b->self, span_of("zz1"), span_of("one")), 0);
    EQ(b->put(b->self, span_of("zz2"), span_of("two")), 0);
    place_entry(s, span_of("x"));
    EQ(store_flush(s), 0);
    EQ(b->del(b->self, span_of("zz1")), 0);
    EQ(b->get(b->self, span_of("zz1"), &value), 1);
    EQ(b->next(b->self, span_of("zz"), false, &key, &value), 0);
    OK(span_equal(key, span_of("zz2")));
    place_entry(s, span_of("y"));
    EQ(store_flush(s), 0);
    EQ(b->get(b->self, span_of("zz1"), &value), 1);
    EQ(b->next(b->self, span_of("zz2"), true, &key, &value), 1);
    EQ(b->del(b->self, span_of("never there")), 0);
    place_entry(s, span_of("z"));
    EQ(store_flush(s), 0);
    store_close(s);
}

int main(void)
{
    place_make();
    TAP_RUN(test_three_layers_are_one_map);
    TAP_RUN(test_a_frozen_tombstone_hides_the_disk);
    place_remove();
    return tap_done();
}
