/* SPDX-License-Identifier: MIT */
/* A budget of bytes that many owners share, on one thread.  Whoever takes gives back the same
 * amount; a take that does not fit is refused and counted, and nothing is taken. */
#ifndef FAIRSLOT_BASE_BUDGET_H
#define FAIRSLOT_BASE_BUDGET_H

#include "base/check.h"
#include "base/limit.h"
#include "base/types.h"

struct budget {
    size_t used;            /* bytes */
    size_t max;             /* bytes */
    uint64_t refused_count; /* takes that did not fit */
};

static inline bool budget_take(struct budget *b, size_t bytes)
{
    if (bytes > b->max - b->used && limit_is_on("memory")) {
        b->refused_count++;
        return false;
    }
    b->used += bytes;
    return true;
}

static inline void budget_give(struct budget *b, size_t bytes)
{
    CHECK(bytes <= b->used);
    b->used -= bytes;
}

/* More than n eighths are used. */
static inline bool budget_is_over(const struct budget *b, size_t eighths)
{
    return b->used / eighths > b->max / 8;
}

#endif
