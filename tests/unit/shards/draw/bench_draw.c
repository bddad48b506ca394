/* SPDX-License-Identifier: MIT */
/* A national draw on one core: ranks, order and serial dictatorship.  Prints one JSON line with the
 * seconds of each step and the peak memory; tests/figures runs it three times.
 * usage: bench_draw [TICKETS SLOTS CLASSES]     default: 11000000 200000 4000
 * The crowd: each ticket wishes for 1 to 8 classes, popular ones more often; a class is a stretch
 * of neighbouring numbers (an office's day part), as release manifests have them. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/check.h"
#include "base/prng.h"
#include "draw/draw.h"
#include "draw/stock.h"

#define WISHES 8

struct bench {
    uint32_t tickets, slots, classes;
    struct ticket_id *ids;
    uint16_t (*wishes)[WISHES]; /* classes; ends at the first 0 after the first */
    struct draw_place *places, *scratch;
    struct draw_stock *stock;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t argument(int argc, char **argv, int i, uint32_t otherwise)
{
    return argc > i ? (uint32_t)strtoul(argv[i], NULL, 10) : otherwise;
}

/* Ascending ids: each a little further than the last, as a sorted set of random ones is. */
static void fill(struct bench *b)
{
    struct prng p;
    prng_init(&p, 1);
    uint64_t step = UINT64_MAX / b->tickets, at = 0;
    for (uint32_t i = 0; i < b->tickets; i++) {
        uint64_t high = at + prng_below(&p, step), low = prng_next(&p);
        for (int k = 0; k < 8; k++) {
            b->ids[i].bytes[k] = (uint8_t)(high >> (56 - 8 * k));
            b->ids[i].bytes[8 + k] = (uint8_t)(low >> (8 * k));
        }
        at += step;
        uint32_t n = 1 + (uint32_t)prng_below(&p, WISHES);
        for (uint32_t w = 0; w < n; w++) {
            uint64_t x = prng_below(&p, b->classes);
            b->wishes[i][w] = (uint16_t)(x * prng_below(&p, b->classes) / b->classes);
        }
    }
}

static void stock_up(struct bench *b)
{
    struct draw_slot *slots = calloc(b->slots, sizeof *slots);
    CHECK(slots != NULL);
    for (uint32_t i = 0; i < b->slots; i++) {
        slots[i] = (struct draw_slot){i / 100 * 900, i / 100 * 900 + 900, 2,
                                      {(char)('0' + i % 100 / 10), (char)('0' + i % 10)}};
    }
    CHECK(draw_stock_new(slots, b->slots, &b->stock) == 0);
    for (uint32_t i = 0; i < b->slots; i++) {
        draw_stock_put(b->stock, i);
    }
    free(slots);
}

static uint32_t serve(struct bench *b)
{
    uint32_t winners = 0;
    for (uint32_t i = 0; i < b->tickets && draw_stock_free_count(b->stock) > 0; i++) {
        if (i + 16 < b->tickets) {
            __builtin_prefetch(b->wishes[b->places[i + 16].index]); /* ranks scatter the tickets */
        }
        const uint16_t *classes = b->wishes[b->places[i].index];
        struct draw_wish wishes[WISHES];
        size_t n = 0, which;
        for (; n < WISHES && (n == 0 || classes[n] != 0); n++) {
            uint64_t from = (uint64_t)classes[n] * b->slots / b->classes;
            uint64_t to = ((uint64_t)classes[n] + 1) * b->slots / b->classes;
            wishes[n] = (struct draw_wish){(uint32_t)from, (uint32_t)to};
        }
        winners += draw_stock_serve(b->stock, wishes, n, 1, &which) != DRAW_NONE;
    }
    return winners;
}

int main(int argc, char **argv)
{
    struct bench b = {.tickets = argument(argc, argv, 1, 11000000),
                      .slots = argument(argc, argv, 2, 200000),
                      .classes = argument(argc, argv, 3, 4000)};
    CHECK(b.tickets > 0 && b.slots > 0 && b.classes > 0 && b.classes <= 65536);
    b.ids = calloc(b.tickets, sizeof *b.ids);
    b.wishes = calloc(b.tickets, sizeof *b.wishes);
    b.places = calloc(b.tickets, sizeof *b.places);
    b.scratch = calloc(b.tickets, sizeof *b.scratch);
    CHECK(b.ids && b.wishes && b.places && b.scratch);
    fill(&b);
    double t0 = now();
    draw_order(&(struct draw_hash){{1}}, b.ids, b.tickets, b.places, b.scratch);
    double t1 = now();
    stock_up(&b);
    double t2 = now();
    uint32_t winners = serve(&b);
    double t3 = now();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"tickets\":%u,\"slots\":%u,\"classes\":%u,\"winners\":%u,\"order_s\":%.3f,"
           "\"stock_s\":%.3f,\"serve_s\":%.3f,\"total_s\":%.3f,\"peak_bytes\":%ld}\n",
           b.tickets, b.slots, b.classes, winners, t1 - t0, t2 - t1, t3 - t2, t3 - t0,
           usage.ru_maxrss * 1024);
    draw_stock_free(b.stock);
    free(b.scratch);
    free(b.places);
    free(b.wishes);
    free(b.ids);
    return 0;
}
