/* SPDX-License-Identifier: MIT */
/* Goal: the stock answers as a plain scan over an array would, through any sequence of takes and
 * puts, chains of every length and gaps between slots; serial dictatorship takes the first wish. */
#include "draw/stock.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

#define SLOTS 700
#define DESKS 5

/* What the stock is held against. */
struct naive {
    struct draw_slot slots[SLOTS];
    bool is_free[SLOTS];
    uint32_t count;
};

static struct draw_slot slot(int64_t start_us, int64_t end_us, char desk)
{
    return (struct draw_slot){start_us, end_us, 1, {desk}};
}

/* Desks work in parallel, with a gap now and then. */
static void naive_make(struct naive *n, struct prng *p, uint32_t count)
{
    n->count = 0;
    for (int64_t start = 0; n->count < count; start += 100) {
        for (uint32_t desk = 0; desk < DESKS && n->count < count; desk++) {
            if (prng_below(p, 6) == 0 && count > DESKS) {
                continue;
            }
            int64_t end = start + (prng_below(p, 9) == 0 ? 90 : 100);
            n->is_free[n->count] = false;
            n->slots[n->count++] = slot(start, end, (char)('a' + desk));
        }
    }
}

static uint32_t naive_next(const struct naive *n, uint32_t at)
{
    for (uint32_t i = at + 1; i < n->count; i++) {
        if (n->slots[i].slug[0] == n->slots[at].slug[0]) {
            return n->slots[i].start_us == n->slots[at].end_us ? i : DRAW_NONE;
        }
    }
    return DRAW_NONE;
}

static uint32_t naive_first(const struct naive *n, struct draw_wish wish, uint32_t slot_count)
{
    for (uint32_t i = wish.from; i < wish.to && i < n->count; i++) {
        uint32_t at = i, k = 0;
        while (k < slot_count && at != DRAW_NONE && n->is_free[at]) {
            at = naive_next(n, at);
            k++;
        }
        if (k == slot_count) {
            return i;
        }
    }
    return DRAW_NONE;
}

static void compare(const struct naive *n, const struct draw_stock *s, struct prng *p)
{
    for (uint32_t count = 1; count <= DRAW_CHAIN_MAX; count++) {
        struct draw_wish wish = {(uint32_t)prng_below(p, n->count), n->count};
        wish.to = wish.from + (uint32_t)prng_below(p, n->count - wish.from + 1) +
                  (prng_below(p, 4) == 0 ? 100 : 0);
        EQ(draw_stock_first(s, wish, count), naive_first(n, wish, count));
    }
}

static void test_as_a_plain_scan(void)
{
    struct naive n;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng p;
        struct draw_stock *s;
        prng_init(&p, seed);
        naive_make(&n, &p, seed <= 3 ? (uint32_t)seed : 1 + (uint32_t)prng_below(&p, SLOTS - 1));
        OK(draw_stock_new(n.slots, n.count, &s) == 0);
        EQ(draw_stock_free_count(s), 0);
        uint32_t free_count = 0;
        for (int step = 0; step < 600; step++) {
            uint32_t i = (uint32_t)prng_below(&p, n.count);
            bool put = prng_below(&p, 100) < (step < 300 ? 80 : 30);
            free_count += put && !n.is_free[i];
            free_count -= !put && n.is_free[i];
            n.is_free[i] = put;
            put ? draw_stock_put(s, i) : draw_stock_take(s, i);
            compare(&n, s, &p);
            EQ(draw_stock_free_count(s), free_count);
            EQ(draw_stock_is_free(s, i), put);
            EQ(draw_stock_next(s, i), naive_next(&n, i));
        }
        draw_stock_free(s);
    }
}

static void test_serves_the_first_wish(void)
{
    const struct draw_slot slots[] = {slot(0, 10, 'a'), slot(0, 10, 'b'), slot(10, 20, 'a'),
                                      slot(10, 20, 'b'), slot(30, 40, 'a')};
    const struct draw_wish wishes[] = {{4, 5}, {0, 2}, {0, 5}};
    struct draw_stock *s;
    size_t wish = 99;
    OK(draw_stock_new(slots, 5, &s) == 0);
    EQ(draw_stock_serve(s, wishes, 3, 1, &wish), DRAW_NONE);
    EQ(wish, 99);
    for (uint32_t i = 0; i < 5; i++) {
        draw_stock_put(s, i);
    }
    /* Two neighbours: slot 4 has none, so the second wish. */
    EQ(draw_stock_serve(s, wishes, 3, 2, &wish), 0);
    EQ(wish, 1);
    OK(!draw_stock_is_free(s, 0) && !draw_stock_is_free(s, 2) && draw_stock_is_free(s, 4));
    EQ(draw_stock_serve(s, wishes, 3, 1, &wish), 4);
    EQ(wish, 0);
    EQ(draw_stock_serve(s, wishes, 3, 1, &wish), 1);
    EQ(wish, 1);
    EQ(draw_stock_serve(s, wishes, 3, 2, &wish), DRAW_NONE);
    EQ(draw_stock_serve(s, wishes, 3, 1, &wish), 3);
    EQ(wish, 2);
    EQ(draw_stock_serve(s, wishes, 3, 1, &wish), DRAW_NONE);
    EQ(draw_stock_free_count(s), 0);
    draw_stock_free(s);
}

static void test_finds_slots_and_intervals(void)
{
    struct draw_slot slots[] = {slot(0, 10, 'a'), slot(0, 10, 'b'), slot(10, 20, 'a'),
                                slot(20, 30, 'b')};
    struct draw_stock *s;
    slots[1].slug_len = 2; /* "b" and a zero byte: behind "b", if there were one */
    OK(draw_stock_new(slots, 4, &s) == 0);
    EQ(draw_stock_find(s, 0, span_of("a")), 0);
    EQ(draw_stock_find(s, 0, span_of("b")), DRAW_NONE);
    EQ(draw_stock_find(s, 0, (struct span){(const uint8_t *)"b", 2}), 1);
    EQ(draw_stock_find(s, 20, span_of("b")), 3);
    EQ(draw_stock_find(s, 20, span_of("a")), DRAW_NONE);
    EQ(draw_stock_find(s, 20, (struct span){0}), DRAW_NONE);
    EQ(draw_stock_find(s, 20, span_of("a desk's slug of over 24 bytes")), DRAW_NONE);
    struct draw_wish w = draw_stock_interval(s, 1, 20);
    OK(w.from == 2 && w.to == 3);
    w = draw_stock_interval(s, 0, 21);
    OK(w.from == 0 && w.to == 4);
    w = draw_stock_interval(s, 40, 50);
    OK(w.from == 4 && w.to == 4);
    w = draw_stock_interval(s, 20, 5);
    EQ(draw_stock_first(s, w, 1), DRAW_NONE);
    EQ(draw_stock_next(s, 1), DRAW_NONE);
    draw_stock_free(s);
}

static void test_nothing_in_stock(void)
{
    struct draw_stock *s;
    OK(draw_stock_new(NULL, 0, &s) == 0);
    EQ(draw_stock_first(s, (struct draw_wish){0, DRAW_NONE}, 1), DRAW_NONE);
    EQ(draw_stock_count(s), 0);
    draw_stock_free(s);
    draw_stock_free(NULL);
}

/* Slot by slot, each free at once, as a release is listed: the same as all in one go. */
static void test_grows_slot_by_slot(void)
{
    enum { ALL = 9000, AT_ONCE = 600 };
    struct draw_slot *slots = calloc(ALL, sizeof *slots);
    struct draw_stock *grown, *whole;
    OK(draw_stock_new(NULL, 0, &grown) == 0);
    for (uint32_t i = 0; i < ALL; i++) { /* desks that follow one another, and gaps */
        int64_t start = i / AT_ONCE * 10;
        slots[i] = (struct draw_slot){.start_us = start, .end_us = start + (i % 7 ? 10 : 9)};
        slots[i].slug_len = (uint8_t)snprintf(slots[i].slug, SLOT_DESK_MAX, "d%03u", i % AT_ONCE);
        OK(draw_stock_add(grown, &slots[i]) == 0);
        draw_stock_put(grown, i);
        EQ(draw_stock_first(grown, (struct draw_wish){0, DRAW_NONE}, 1), 0);
    }
    OK(draw_stock_new(slots, ALL, &whole) == 0);
    for (uint32_t i = 0; i < ALL; i++) {
        draw_stock_put(whole, i);
    }
    EQ(draw_stock_free_count(grown), ALL);
    for (uint32_t i = 0; i < ALL; i++) {
        bool is_followed = i + AT_ONCE < ALL && i % 7 != 0;
        EQ(draw_stock_next(grown, i), is_followed ? i + AT_ONCE : DRAW_NONE);
        EQ(draw_stock_next(whole, i), draw_stock_next(grown, i));
        struct draw_wish wish = {i, ALL};
        for (uint32_t n = 1; n <= DRAW_CHAIN_MAX; n++) {
            EQ(draw_stock_first(grown, wish, n), draw_stock_first(whole, wish, n));
        }
    }
    draw_stock_free(grown);
    draw_stock_free(whole);
    free(slots);
}

/* The tree of bits has a level more from 64, 4,096 and 262,144 slots on. */
static void test_every_height(void)
{
    const uint32_t counts[] = {64, 65, 4096, 4097, 262144, 262145};
    for (size_t c = 0; c < ARRAY_COUNT(counts); c++) {
        struct draw_slot *slots = calloc(counts[c], sizeof *slots);
        struct draw_stock *s;
        for (uint32_t i = 0; i < counts[c]; i++) {
            slots[i] = slot(i, i + 1, 'x');
        }
        OK(draw_stock_new(slots, counts[c], &s) == 0);
        draw_stock_put(s, counts[c] - 1);
        EQ(draw_stock_first(s, (struct draw_wish){0, counts[c]}, 1), counts[c] - 1);
        EQ(draw_stock_first(s, (struct draw_wish){0, counts[c]}, 2), DRAW_NONE);
        draw_stock_put(s, counts[c] - 2);
        EQ(draw_stock_first(s, (struct draw_wish){0, counts[c]}, 2), counts[c] - 2);
        draw_stock_take(s, counts[c] - 1);
        EQ(draw_stock_first(s, (struct draw_wish){counts[c] - 1, counts[c]}, 1), DRAW_NONE);
        EQ(draw_stock_first(s, (struct draw_wish){0, counts[c]}, 1), counts[c] - 2);
        draw_stock_free(s);
        free(slots);
    }
}

int main(void)
{
    TAP_RUN(test_as_a_plain_scan);
    TAP_RUN(test_serves_the_first_wish);
    TAP_RUN(test_finds_slots_and_intervals);
    TAP_RUN(test_nothing_in_stock);
    TAP_RUN(test_grows_slot_by_slot);
    TAP_RUN(test_every_height);
    return tap_done();
}
