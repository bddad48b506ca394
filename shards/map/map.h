/* SPDX-License-Identifier: MIT */
/* Which shard owns a routing key.  PURE: fixed memory, no clock, no I/O.  Nobody asks yet: there is
 * one shard, and it owns them all.
 *
 * Ranges tile the whole key space: a range is the half-open interval from its first key to the
 * next range's first key, the last one runs to the end.  Only first keys are stored, so a
 * gap or an overlap cannot even be written down; what can be wrong, map_check() finds.
 * A map is a value: copy it, swap it whole.  Readers of one map on many threads are fine. */
#ifndef FAIRSLOT_MAP_MAP_H
#define FAIRSLOT_MAP_MAP_H

#include "base/limits.h"
#include "base/types.h"

struct map_range {
    struct routing_key first; /* its lowest key */
    uint64_t epoch;           /* version of its ownership: a write with an older one is refused */
    uint32_t shard;
};

struct map {
    uint64_t epoch; /* of its newest range; what a batch carries as map_epoch */
    uint32_t ranges_count;
    struct map_range ranges[MAP_RANGES_MAX]; /* ascending by first */
};

enum {
    MAP_E_COUNT = 1, /* no range at all, or over MAP_RANGES_MAX */
    MAP_E_START = 2, /* the lowest key belongs to nobody */
    MAP_E_ORDER = 3, /* a range is empty or out of order */
    MAP_E_EPOCH = 4, /* a range has epoch 0, or the map's is not that of its newest */
};

/* One range over the whole space, epoch 1. */
void map_init_one(struct map *m, uint32_t shard);
/* 0 when the ranges tile the whole space, or MAP_E_*.  For every map that comes from outside. */
int map_check(const struct map *m);
/* The range that holds the key; never NULL for a map that passed map_check().  O(log ranges). */
const struct map_range *map_find(const struct map *m, struct routing_key key);

#endif
