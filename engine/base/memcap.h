/* SPDX-License-Identifier: MIT */
/* A cap on bytes of memory that many owners share, on one thread.  Whoever takes gives back the
 * same amount; a take that does not fit is refused and counted, and nothing is taken. */
#ifndef FAIRSLOT_BASE_MEMCAP_H
#define FAIRSLOT_BASE_MEMCAP_H

#include "base/check.h"
#include "base/types.h"

struct memcap {
    size_t used;            /* bytes */
    size_t max;             /* bytes */
    uint64_t refused_count; /* takes that did not fit */
};

static inline bool memcap_take(struct memcap *m, size_t bytes)
{
    if (bytes > m->max - m->used) {
        m->refused_count++;
        return false;
    }
    m->used += bytes;
    return true;
}

static inline void memcap_give(struct memcap *m, size_t bytes)
{
    CHECK(bytes <= m->used);
    m->used -= bytes;
}

/* More than n eighths are used. */
static inline bool memcap_is_over(const struct memcap *m, size_t eighths)
{
    return m->used / eighths > m->max / 8;
}

#endif
