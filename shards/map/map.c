/* SPDX-License-Identifier: MIT */
/* Ranges of routing keys -> shards.  PURE.  Owns nothing: a map is a value of the caller's.
 *
 *   ranges  [ (0,0) ........ )[ (7,0) ....... )[ (7,2^63) ........ end of the space ]
 *   shard         0                  1                    0
 *
 * happy path: the last range whose first key is not above the key, by bisection.
 * ways to fail: only map_check(), for a map that somebody else wrote.
 * invariants: those of map_check(); map_find() relies on them.
 * roads not taken: storing both ends (two truths that can differ), hashing keys to shards (a space
 * must be splittable at any position, and neighbours must stay together). */
#include "map/map.h"

#include <string.h>

#include "base/check.h"

/* As (space, position), both unsigned: the order of the keys' bytes. */
static bool key_below(struct routing_key a, struct routing_key b)
{
    return a.space != b.space ? a.space < b.space : a.position < b.position;
}

void map_init_one(struct map *m, uint32_t shard)
{
    memset(m, 0, sizeof *m);
    m->epoch = 1;
    m->ranges_count = 1;
    m->ranges[0] = (struct map_range){.epoch = 1, .shard = shard};
    CHECK(map_check(m) == 0);
}

int map_check(const struct map *m)
{
    uint64_t newest = 0;
    if (m->ranges_count == 0 || m->ranges_count > MAP_RANGES_MAX) {
        return MAP_E_COUNT;
    }
    if (m->ranges[0].first.space != 0 || m->ranges[0].first.position != 0) {
        return MAP_E_START;
    }
    for (uint32_t i = 0; i < m->ranges_count; i++) {
        const struct map_range *r = &m->ranges[i];
        if (i > 0 && !key_below(m->ranges[i - 1].first, r->first)) {
            return MAP_E_ORDER;
        }
        if (r->epoch == 0) {
            return MAP_E_EPOCH;
        }
        newest = r->epoch > newest ? r->epoch : newest;
    }
    return m->epoch == newest ? 0 : MAP_E_EPOCH;
}

const struct map_range *map_find(const struct map *m, struct routing_key key)
{
    CHECK(m->ranges_count > 0);
    CHECK(m->ranges_count <= MAP_RANGES_MAX);
    uint32_t low = 0, high = m->ranges_count; /* the answer is in [low, high) */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (key_below(key, m->ranges[middle].first)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return &m->ranges[low];
}
