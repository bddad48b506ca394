/* SPDX-License-Identifier: MIT */
/* Is a sum the same whoever makes it: the code compiled here, the library's, and XXH3 as it is
 * written down?  Files of other machines have such sums in them. */
#define XXH_INLINE_ALL /* the plain code, whatever processor this is */
#include "store/sum.h"

#include "tests/lib/tap.h"

#define LEN_MAX 5000 /* past all of XXH3's cases: 16, 128, 240, 1,024 and blocks of it */

static uint8_t bytes[LEN_MAX + 64];

static void test_every_length(void)
{
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 167 ^ i >> 5);
    }
    for (size_t len = 0; len <= LEN_MAX; len++) {
        struct span at = {bytes + len % 64, len};
        uint64_t seed = len % 3 ? len * UINT64_C(0x9e3779b97f4a7c15) : 0;
        uint64_t wanted = XXH3_64bits_withSeed(at.ptr, at.len, seed);
        EQ(sum_long(at, seed), wanted);
        EQ(sum_bytes(at, seed), wanted);
    }
}

/* Made by xxhash 0.8.1 from 1,000 bytes as above, beginning at the first. */
static void test_fixed(void)
{
    struct span at = {bytes, 1000};
    EQ(sum_bytes(at, 0), UINT64_C(0xdbd9f09781d39aff));
    EQ(sum_bytes(at, 42), UINT64_C(0xa863c508ec71e2b6));
    at.len = 100;
    EQ(sum_bytes(at, 42), UINT64_C(0x7f9fca294c4a1239));
}

int main(void)
{
    TAP_RUN(test_every_length);
    TAP_RUN(test_fixed);
    return tap_done();
}
