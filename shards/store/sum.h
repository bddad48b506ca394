/* SPDX-License-Identifier: MIT */
/* XXH3-64 of bytes of any length. */
#ifndef FAIRSLOT_STORE_SUM_H
#define FAIRSLOT_STORE_SUM_H

#include <xxhash.h>

#include "base/types.h"

#define SUM_SHORT 240 /* bytes: XXH3 has a loop of its own for more */

/* Any length; the library's function. */
uint64_t sum_long(struct span bytes, uint64_t seed);

/* A call costs more than the sum of a key does; of an account the library's takes a fifth of the
 * time of the one that is compiled here, for it asks the processor what it can. */
static inline uint64_t sum_bytes(struct span bytes, uint64_t seed)
{
    return bytes.len > SUM_SHORT ? sum_long(bytes, seed)
                                 : XXH3_64bits_withSeed(bytes.ptr, bytes.len, seed);
}

#endif
