/* SPDX-License-Identifier: MIT */
/* The order of a release: ranks of all tickets, sorted.  Pure.
 * Radix sort by 11 bits from the low end: six passes over 16 bytes a ticket, no comparison.  It is
 * stable and the tickets come by id, so equal ranks stay by id, as docs/draw.md wants.
 * Owns nothing; fails never. */
#include "draw/draw.h"

#include <string.h>

#include "base/check.h"

#define ORDER_BITS    11
#define ORDER_BUCKETS (1u << ORDER_BITS)
#define ORDER_PASSES  6 /* of ORDER_BITS: 66 >= 64 */

static void order_pass(const struct draw_place *from, struct draw_place *to, uint32_t count,
                       unsigned shift)
{
    uint32_t starts[ORDER_BUCKETS] = {0};
    for (uint32_t i = 0; i < count; i++) {
        starts[from[i].rank >> shift & (ORDER_BUCKETS - 1)]++;
    }
    uint32_t sum = 0;
    for (uint32_t b = 0; b < ORDER_BUCKETS; b++) {
        uint32_t n = starts[b];
        starts[b] = sum;
        sum += n;
    }
    for (uint32_t i = 0; i < count; i++) {
        to[starts[from[i].rank >> shift & (ORDER_BUCKETS - 1)]++] = from[i];
    }
}

void draw_order(const struct draw_hash *seed, const struct ticket_id *ids, uint32_t count,
                struct draw_place *places, struct draw_place *scratch)
{
    struct draw_mac mac;
    draw_mac_init(&mac, seed->bytes);
    for (uint32_t i = 0; i < count; i++) {
        places[i] = (struct draw_place){draw_rank(&mac, &ids[i]), i};
    }
    struct draw_place *from = places, *to = scratch;
    for (unsigned pass = 0; pass < ORDER_PASSES; pass++) {
        order_pass(from, to, count, pass * ORDER_BITS);
        struct draw_place *swap = from;
        from = to;
        to = swap;
    }
    _Static_assert(ORDER_PASSES % 2 == 0, "the last pass ends in places");
    CHECK(from == places);
}
