/* SPDX-License-Identifier: MIT */
/* Goal: every key has exactly one range, the edges are half-open and compared unsigned, and a map
 * that does not tile the space is refused. */
#include "map/map.h"

#include "base/prng.h"
#include "tests/lib/tap.h"

static struct routing_key key(uint64_t space, uint64_t position)
{
    return (struct routing_key){.space = space, .position = position};
}

static struct map map_of(const struct routing_key *firsts, uint32_t count)
{
    struct map m;
    map_init_one(&m, 0);
    m.ranges_count = count;
    for (uint32_t i = 0; i < count; i++) {
        m.ranges[i] = (struct map_range){.first = firsts[i], .epoch = 1, .shard = i};
    }
    return m;
}

static void test_one_range(void)
{
    struct map m;
    map_init_one(&m, 7);
    EQ(map_check(&m), 0);
    EQ(m.epoch, 1);
    EQ(map_find(&m, key(0, 0))->shard, 7);
    EQ(map_find(&m, key(UINT64_MAX, UINT64_MAX))->shard, 7);
    EQ(map_find(&m, key(UINT64_MAX / 2, 3))->epoch, 1);
}

static void test_edges(void)
{
    const struct routing_key firsts[] = {key(0, 0), key(7, 0), key(7, UINT64_C(1) << 63),
                                         key(UINT64_MAX, UINT64_MAX)};
    struct map m = map_of(firsts, 4);
    EQ(map_check(&m), 0);
    EQ(map_find(&m, key(6, UINT64_MAX))->shard, 0);
    EQ(map_find(&m, key(7, 0))->shard, 1);
    EQ(map_find(&m, key(7, (UINT64_C(1) << 63) - 1))->shard, 1);
    EQ(map_find(&m, key(7, UINT64_C(1) << 63))->shard, 2); /* unsigned */
    EQ(map_find(&m, key(8, 0))->shard, 2);
    EQ(map_find(&m, key(UINT64_MAX, UINT64_MAX - 1))->shard, 2);
    EQ(map_find(&m, key(UINT64_MAX, UINT64_MAX))->shard, 3);
}

/* Against a walk from the front, with as many ranges as fit. */
static void test_against_walk(void)
{
    static struct routing_key firsts[MAP_RANGES_MAX];
    struct prng p;
    prng_init(&p, 3);
    uint64_t space = 0;
    for (int i = 1; i < MAP_RANGES_MAX; i++) {
        space += prng_below(&p, 3);
        bool same = firsts[i - 1].space == space;
        firsts[i] = key(space, same ? firsts[i - 1].position + 1 + prng_below(&p, 9) : 0);
    }
    struct map m = map_of(firsts, MAP_RANGES_MAX);
    EQ(map_check(&m), 0);
    for (int n = 0; n < 100000; n++) {
        struct routing_key k = key(prng_below(&p, space + 2), prng_below(&p, 30));
        uint32_t want = 0;
        for (uint32_t i = 0; i < MAP_RANGES_MAX; i++) {
            bool reached = firsts[i].space < k.space ||
                           (firsts[i].space == k.space && firsts[i].position <= k.position);
            want = reached ? i : want;
        }
        EQ(map_find(&m, k)->shard, want);
    }
}

static void test_bad_maps(void)
{
    const struct routing_key good[] = {key(0, 0), key(1, 0), key(2, 0)};
    struct map m = map_of(good, 3);
    EQ(map_check(&m), 0);
    m.ranges_count = 0;
    EQ(map_check(&m), MAP_E_COUNT);
    m.ranges_count = MAP_RANGES_MAX + 1;
    EQ(map_check(&m), MAP_E_COUNT);
    m = map_of(good + 1, 2);
    EQ(map_check(&m), MAP_E_START);
    m = map_of(good, 3);
    m.ranges[0].first.position = 1;
    EQ(map_check(&m), MAP_E_START);
    m = map_of(good, 3);
    m.ranges[2].first = m.ranges[1].first; /* an empty range */
    EQ(map_check(&m), MAP_E_ORDER);
    m.ranges[2].first = key(0, 5);
    EQ(map_check(&m), MAP_E_ORDER);
    m = map_of(good, 3);
    m.ranges[1].epoch = 2; /* the map does not know its newest */
    EQ(map_check(&m), MAP_E_EPOCH);
    m.epoch = 2;
    EQ(map_check(&m), 0);
    m.epoch = 3;
    EQ(map_check(&m), MAP_E_EPOCH);
    m.epoch = 2;
    m.ranges[0].epoch = 0;
    EQ(map_check(&m), MAP_E_EPOCH);
}

int main(void)
{
    TAP_RUN(test_one_range);
    TAP_RUN(test_edges);
    TAP_RUN(test_against_walk);
    TAP_RUN(test_bad_maps);
    return tap_done();
}
