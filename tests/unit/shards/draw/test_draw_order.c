/* SPDX-License-Identifier: MIT */
/* Goal: draw_order() is what sorting by (rank, ticket id) gives, for every count around the edges
 * and also where ranks are equal. */
#include "draw/draw.h"

#include "base/prng.h"
#include "tests/lib/tap.h"

#define TICKETS 5000

static struct ticket_id ids[TICKETS];
static struct draw_place places[TICKETS], scratch[TICKETS], want[TICKETS];

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ticket_id));
}

static int by_place(const void *a, const void *b)
{
    const struct draw_place *x = a, *y = b;
    if (x->rank != y->rank) {
        return x->rank < y->rank ? -1 : 1;
    }
    return x->index < y->index ? -1 : 1;
}

static void check(uint64_t seed_number, uint32_t count)
{
    struct prng p;
    struct draw_hash seed = {{0}};
    struct draw_mac mac;
    prng_init(&p, seed_number);
    for (uint32_t i = 0; i < count; i++) {
        for (int b = 0; b < 2; b++) {
            uint64_t word = prng_next(&p);
            memcpy(ids[i].bytes + 8 * b, &word, 8);
        }
    }
    qsort(ids, count, sizeof ids[0], by_id);
    seed.bytes[0] = (uint8_t)seed_number;
    draw_order(&seed, ids, count, places, scratch);
    draw_mac_init(&mac, seed.bytes);
    for (uint32_t i = 0; i < count; i++) {
        want[i] = (struct draw_place){draw_rank(&mac, &ids[i]), i};
    }
    qsort(want, count, sizeof want[0], by_place);
    for (uint32_t i = 0; i < count; i++) {
        OK(places[i].rank == want[i].rank && places[i].index == want[i].index);
    }
}

static void test_as_qsort(void)
{
    const uint32_t counts[] = {0, 1, 2, 3, 255, 2047, 2048, 2049, TICKETS};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        check(i + 1, counts[i]);
    }
}

/* The same id twice is no draw, but it is the one way to have equal ranks. */
static void test_equal_ranks_keep_the_order_of_ids(void)
{
    struct draw_hash seed = {{7}};
    memset(ids, 0x5a, 100 * sizeof ids[0]);
    draw_order(&seed, ids, 100, places, scratch);
    for (uint32_t i = 0; i < 100; i++) {
        EQ(places[i].index, i);
    }
}

int main(void)
{
    TAP_RUN(test_as_qsort);
    TAP_RUN(test_equal_ranks_keep_the_order_of_ids);
    return tap_done();
}
