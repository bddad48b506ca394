/* SPDX-License-Identifier: MIT */
/* Sums of more than a few bytes: the library's code, chosen at run time for this processor where
 * the library can do that.  The same sums as XXH3_64bits_withSeed(), by the library's promise and
 * by unit store_sum.  Owns nothing, fails never. */
#undef XXH_INLINE_ALL /* the room's other files have a copy of their own, for keys */
#include "store/sum.h"

#ifdef HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#endif

uint64_t sum_long(struct span bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.ptr, bytes.len, seed);
}
