/* SPDX-License-Identifier: MIT */
/* Does the overlay keep its contract?  Against a sorted array that cannot be wrong. */
#include "store/overlay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "ledger/book.h"
#include "tests/lib/tap.h"

#define MODEL_MAX 6000

struct model_entry {
    uint8_t key[BOOK_KEY_MAX];
    size_t key_len;
    uint8_t value[64];
    size_t value_len;
    bool tombstone;
};

static int blocks_left = -1; /* that the overlay may have; < 0: any number */

/* In place of the library's: what the overlay takes its blocks from. */
void *aligned_alloc(size_t alignment, size_t size)
{
    void *p = NULL;
    if (blocks_left == 0) {
        return NULL;
    }
    blocks_left -= blocks_left > 0;
    return posix_memalign(&p, alignment, size) == 0 ? p : NULL;
}

static struct model_entry model[MODEL_MAX];
static size_t model_count;

static int compare(struct span a, struct span b)
{
    int d = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return d ? d : (a.len > b.len) - (a.len < b.len);
}

static struct span model_key(size_t i)
{
    return (struct span){model[i].key, model[i].key_len};
}

/* First entry with key >= the given one. */
static size_t model_at(struct span key)
{
    size_t low = 0, high = model_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(model_key(middle), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool model_has(size_t i, struct span key)
{
    return i < model_count && compare(model_key(i), key) == 0;
}

static struct model_entry *model_get(struct span key)
{
    size_t i = model_at(key);
    if (!model_has(i, key)) {
        memmove(&model[i + 1], &model[i], (model_count - i) * sizeof model[0]);
        model_count++;
        memcpy(model[i].key, key.ptr, key.len);
        model[i].key_len = key.len;
    }
    return &model[i];
}

/* Keys of all lengths that share prefixes, with zeros in them: what cached prefixes get wrong. */
static struct span random_key(struct prng *p, uint8_t out[BOOK_KEY_MAX])
{
    size_t len = prng_below(p, 4) ? 16 + prng_below(p, 9) : 1 + prng_below(p, 20);
    for (size_t i = 0; i < len; i++) {
        out[i] = i % 8 == 7 || i > 16 ? (uint8_t)prng_below(p, 4) : 0;
    }
    return (struct span){out, len};
}

static bool same_entry(const struct overlay_entry *e, const struct model_entry *m)
{
    if (!e || compare(overlay_key(e), (struct span){m->key, m->key_len}) != 0 ||
        e->tombstone != m->tombstone) {
        return false;
    }
    return e->tombstone || span_equal(overlay_value(e), (struct span){m->value, m->value_len});
}

static void random_step(struct overlay *o, struct prng *p)
{
    uint8_t bytes[BOOK_KEY_MAX];
    struct span key = random_key(p, bytes);
    uint64_t what = prng_below(p, 10);
    size_t i = model_at(key);
    if (what < 3) {
        const struct overlay_entry *e = overlay_find(o, key);
        OK(model_has(i, key) ? same_entry(e, &model[i]) : !e);
    } else if (what < 5) {
        bool exclusive = prng_below(p, 2);
        struct overlay_cursor c = overlay_seek(o, key, exclusive);
        i += exclusive && model_has(i, key);
        OK(i < model_count ? same_entry(overlay_at(&c), &model[i]) : !overlay_at(&c));
    } else if (what < 6) {
        OK(overlay_del(o, key) == 0);
        model_get(key)->tombstone = true;
    } else {
        struct model_entry *m = model_get(key);
        m->value_len = prng_below(p, sizeof m->value);
        memset(m->value, (int)prng_next(p), m->value_len);
        m->tombstone = false;
        OK(overlay_put(o, key, (struct span){m->value, m->value_len}) == 0);
    }
}

static void walk_is_the_model(const struct overlay *o)
{
    struct overlay_cursor c = overlay_seek(o, (struct span){0}, false);
    size_t i = 0;
    bool same = true;
    for (; overlay_at(&c) && i < model_count; overlay_step(&c), i++) {
        same = same && same_entry(overlay_at(&c), &model[i]);
    }
    OK(same);
    EQ(i, model_count);
    OK(!overlay_at(&c));
    EQ(overlay_count(o), model_count);
}

static void test_random_steps_match_a_sorted_array(void)
{
    struct overlay *o;
    struct prng p;
    EQ(overlay_new(&o), 0);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        prng_init(&p, seed);
        model_count = 0;
        overlay_reset(o);
        for (int i = 0; i < 30000 && model_count + 1 < MODEL_MAX; i++) {
            random_step(o, &p);
        }
        walk_is_the_model(o);
        if (tap_broken) {
            printf("# seed %llu\n", (unsigned long long)seed);
        }
    }
    OK(model_count > 1000); /* several levels of nodes */
    overlay_free(o);
}

static struct span number_key(uint8_t out[8], uint64_t n)
{
    struct scribe w = scribe_of(out, 8);
    scribe_u64(&w, n);
    return (struct span){out, 8};
}

/* More entries than slots to begin with, in an order that splits nodes everywhere. */
static void test_many_entries_in_three_orders(void)
{
    enum { N = 200000 };
    struct overlay *o;
    uint8_t key[8];
    EQ(overlay_new(&o), 0);
    for (int order = 0; order < 3; order++) {
        overlay_reset(o);
        for (uint64_t i = 0; i < N; i++) {
            uint64_t n = order == 0 ? i : order == 1 ? N - 1 - i : i * 77773 % N;
            OK(overlay_put(o, number_key(key, n), (struct span){(uint8_t *)&n, 8}) == 0);
        }
        EQ(overlay_count(o), N);
        struct overlay_cursor c = overlay_seek(o, (struct span){0}, false);
        uint64_t wrong = 0, i = 0;
        for (; overlay_at(&c); overlay_step(&c), i++) {
            const struct overlay_entry *e = overlay_find(o, number_key(key, i));
            wrong += e != overlay_at(&c) || memcmp(e->value, &i, 8) != 0;
        }
        EQ(i, N);
        EQ(wrong, 0);
        OK(!overlay_find(o, number_key(key, N)));
    }
    overlay_free(o);
}

static void test_a_value_may_come_from_the_overlay(void)
{
    struct overlay *o;
    uint8_t big[BOOK_VALUE_MAX];
    EQ(overlay_new(&o), 0);
    memset(big, 7, sizeof big);
    EQ(overlay_put(o, span_of("a"), span_of("hello")), 0);
    struct span v = overlay_value(overlay_find(o, span_of("a")));
    EQ(overlay_put(o, span_of("b"), v), 0);
    v.ptr++;
    v.len--;
    EQ(overlay_put(o, span_of("a"), v), 0); /* overlaps itself */
    OK(span_equal(overlay_value(overlay_find(o, span_of("a"))), span_of("ello")));
    OK(span_equal(overlay_value(overlay_find(o, span_of("b"))), span_of("hello")));
    EQ(overlay_put(o, span_of("a"), (struct span){big, sizeof big}), 0); /* outgrows its place */
    OK(span_equal(overlay_value(overlay_find(o, span_of("a"))), (struct span){big, sizeof big}));
    EQ(overlay_put(o, span_of("a"), (struct span){0}), 0);
    EQ(overlay_find(o, span_of("a"))->value_len, 0);
    OK(!overlay_find(o, span_of("a"))->tombstone);
    overlay_free(o);
}

static void test_reset_forgets_and_bytes_count(void)
{
    struct overlay *o;
    EQ(overlay_new(&o), 0);
    uint64_t empty = overlay_bytes(o);
    EQ(overlay_put(o, span_of("key"), span_of("value")), 0);
    OK(overlay_bytes(o) > empty);
    overlay_reset(o);
    EQ(overlay_bytes(o), empty);
    EQ(overlay_count(o), 0);
    OK(!overlay_find(o, span_of("key")));
    struct overlay_cursor c = overlay_seek(o, (struct span){0}, false);
    OK(!overlay_at(&c));
    overlay_free(o);
    overlay_free(NULL);
}

/* Of any length, and like no other key's value nor the same key's of another length. */
static struct span long_value(uint8_t out[BOOK_VALUE_MAX], uint64_t n, size_t len)
{
    struct prng p;
    prng_init(&p, n * 10000 + len);
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)prng_next(&p);
    }
    return (struct span){out, len};
}

/* A room that one value has outgrown is another's: never two values' at once. */
static void test_values_grow_into_rooms_that_others_left(void)
{
    enum { N = 300 };
    static size_t len[N];
    static uint8_t bytes[BOOK_VALUE_MAX];
    struct overlay *o;
    struct prng p;
    uint8_t key[8];
    uint64_t wrong = 0;
    EQ(overlay_new(&o), 0);
    prng_init(&p, 3);
    for (int i = 0; i < 20000; i++) {
        uint64_t n = prng_below(&p, N), max = prng_below(&p, 20) ? 600 : BOOK_VALUE_MAX + 1;
        if (prng_below(&p, 10) == 0) {
            OK(overlay_del(o, number_key(key, n)) == 0);
            len[n] = 0;
            continue;
        }
        len[n] = prng_below(&p, max);
        OK(overlay_put(o, number_key(key, n), long_value(bytes, n, len[n])) == 0);
    }
    for (uint64_t n = 0; n < N; n++) {
        const struct overlay_entry *e = overlay_find(o, number_key(key, n));
        wrong += e == NULL || !span_equal(overlay_value(e), long_value(bytes, n, len[n]));
    }
    EQ(wrong, 0);
    overlay_free(o);
}

static void test_what_values_leave_is_used_again(void)
{
    enum { N = 1000, LEN = 500, STEP = 25 };
    struct overlay *o;
    uint8_t key[8];
    static uint8_t bytes[BOOK_VALUE_MAX];
    EQ(overlay_new(&o), 0);
    for (uint64_t n = 0; n < N; n++) {
        for (size_t len = STEP; len <= LEN; len += STEP) {
            OK(overlay_put(o, number_key(key, n), long_value(bytes, n, len)) == 0);
        }
    }
    OK(overlay_bytes(o) < N * (LEN + 150)); /* 16 + 32 + 64 .. would be twice the last */
    overlay_free(o);
}

/* As slots come: each pool's ascend, and many pools' turn by turn. */
static void test_runs_fill_their_leaves(void)
{
    enum { RUNS = 50, N = 2000 };
    struct overlay *o;
    uint8_t key[16];
    EQ(overlay_new(&o), 0);
    for (uint64_t n = 0; n < N; n++) {
        for (uint64_t run = 0; run < RUNS; run++) {
            struct scribe w = scribe_of(key, sizeof key);
            scribe_u64(&w, run);
            scribe_u64(&w, n);
            OK(overlay_put(o, (struct span){key, 16}, (struct span){key, 16}) == 0);
        }
    }
    /* An entry takes 64 bytes, a place in a node 24; leaves half full would take 48. */
    OK(overlay_bytes(o) < (uint64_t)RUNS * N * (64 + 24 + 8));
    overlay_free(o);
}

/* More keys of one slot than slots are looked at: who found none must get one as they grow, or
 * stay in the tree alone; and all are found at each moment. */
static void test_keys_without_a_slot_are_found(void)
{
    enum { SAME = 60, SHIFT = 32 - 12, N = 20000 };
    struct overlay *o;
    uint8_t key[8];
    uint64_t same[SAME], count = 0, wrong = 0;
    EQ(overlay_new(&o), 0);
    for (uint64_t n = N; count < SAME; n++) {
        if (overlay_tag(number_key(key, n)) >> SHIFT == 77) {
            same[count++] = n;
            OK(overlay_put(o, number_key(key, n), (struct span){(uint8_t *)&n, 8}) == 0);
        }
    }
    for (uint64_t n = 0; n < N; n++) {
        OK(overlay_put(o, number_key(key, n), (struct span){(uint8_t *)&n, 8}) == 0);
        for (uint64_t i = 0; i < SAME && (n & (n + 1)) == 0; i++) {
            const struct overlay_entry *e = overlay_find(o, number_key(key, same[i]));
            wrong += e == NULL || memcmp(e->value, &same[i], 8) != 0;
        }
    }
    for (uint64_t i = 0; i < SAME; i++) {
        wrong += overlay_find(o, number_key(key, same[i])) == NULL;
    }
    EQ(wrong, 0);
    EQ(overlay_count(o), N + SAME);
    overlay_free(o);
}

/* How many keys below n are not as they should be, by order and by find. */
static uint64_t wrong_with(const struct overlay *o, const bool *known, uint64_t n)
{
    struct overlay_cursor c = overlay_seek(o, (struct span){0}, false);
    uint8_t key[8];
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < n; i++) {
        const struct overlay_entry *e = overlay_find(o, number_key(key, i));
        wrong += known[i] != !!e;
        if (known[i]) {
            wrong += overlay_at(&c) != e || memcmp(e->value, &i, 8) != 0;
            overlay_step(&c);
        }
    }
    return wrong + !!overlay_at(&c);
}

/* Puts random keys below n, more often than there is memory for new ones. */
static void put_until_refused(struct overlay *o, struct prng *p, bool *known, uint64_t n)
{
    uint64_t refused = 0, taken = 0, taken_after = 0;
    uint8_t key[8];
    for (uint64_t i = 0; i < n; i++) {
        uint64_t k = prng_below(p, n);
        int r = overlay_put(o, number_key(key, k), (struct span){(uint8_t *)&k, 8});
        OK(r == 0 || (r == -ENOMEM && !known[k])); /* what is known needs no memory */
        taken += r == 0 && !known[k];
        taken_after += r == 0 && !known[k] && refused > 0;
        refused += r != 0;
        known[k] = r == 0;
    }
    OK(refused > 0);
    OK(taken_after > 0); /* a node was refused; entries that needed none still had a place */
    EQ(overlay_count(o), taken);
    EQ(overlay_places(o), taken);
}

/* What was refused has changed nothing, and goes in when there is memory again. */
static void test_without_memory_a_put_changes_nothing(void)
{
    enum { N = 100000 };
    static bool known[N];
    uint8_t key[8];
    struct prng p;
    for (int blocks = 0; blocks < 2; blocks++) {
        struct overlay *o;
        memset(known, 0, sizeof known);
        prng_init(&p, 1);
        EQ(overlay_new(&o), 0);
        blocks_left = blocks;
        put_until_refused(o, &p, known, N);
        EQ(wrong_with(o, known, N), 0);
        blocks_left = -1;
        for (uint64_t n = 0; n < N; n++) {
            OK(overlay_put(o, number_key(key, n), (struct span){(uint8_t *)&n, 8}) == 0);
            known[n] = true;
        }
        EQ(overlay_count(o), N);
        EQ(wrong_with(o, known, N), 0);
        overlay_free(o);
    }
}

/* What was made warm is there whatever the system has left, and stays over many small flushes. */
static void test_warm_memory_stays(void)
{
    enum { WARM = 40, LEN = 4000 };
    static uint8_t value[LEN];
    struct overlay *o;
    uint8_t key[8];
    EQ(overlay_new(&o), 0);
    EQ(overlay_warm(o, (size_t)WARM << 21), 0);
    blocks_left = 0;
    for (int flush = 0; flush < 200; flush++) {
        uint64_t count = flush == 0 || flush == 199 ? 18000 : 10; /* 72 of 80 MiB */
        for (uint64_t n = 0; n < count; n++) {
            OK(overlay_put(o, number_key(key, n), (struct span){value, LEN}) == 0);
        }
        overlay_reset(o);
    }
    overlay_free(o);
    EQ(overlay_new(&o), 0);
    blocks_left = 3;
    EQ(overlay_warm(o, (size_t)WARM << 21), -ENOMEM);
    blocks_left = -1;
    overlay_free(o);
}

int main(void)
{
    TAP_RUN(test_random_steps_match_a_sorted_array);
    TAP_RUN(test_many_entries_in_three_orders);
    TAP_RUN(test_a_value_may_come_from_the_overlay);
    TAP_RUN(test_values_grow_into_rooms_that_others_left);
    TAP_RUN(test_what_values_leave_is_used_again);
    TAP_RUN(test_runs_fill_their_leaves);
    TAP_RUN(test_keys_without_a_slot_are_found);
    TAP_RUN(test_without_memory_a_put_changes_nothing);
    TAP_RUN(test_reset_forgets_and_bytes_count);
    TAP_RUN(test_warm_memory_stays);
    return tap_done();
}
