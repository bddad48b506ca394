/* SPDX-License-Identifier: MIT */
/* Random numbers of fixed point, for reaction times and choices.
 * Owns: nothing.  Fails: never.
 * A number is a function of (seed, stream, n), so each client has a stream of its own and the order
 * in which clients are asked does not matter.
 * Normal: the inverse of its distribution, by a table.  The tail is halved again and again (the
 * leading zeros of the random bits say how often), each half is 32 straight lines.  Not Box and
 * Muller: libm's logarithm differs in its last bit from one C library to the next, and the same
 * seed must give the same bytes everywhere. */
#include "base/check.h"
#include "base/prng.h"
#include "crowd/crowd.h"
#include "crowd/dice_tables.h"

#define DICE_LOG2E 94548 /* log2(e), in 1/65536 */

uint64_t dice_at(uint64_t seed, uint64_t stream, uint64_t n)
{
    uint64_t x = seed, y = stream ^ UINT64_C(0xd1b54a32d192ed03), z = 0;
    z = prng_splitmix(&x) ^ n * UINT64_C(0x9e3779b97f4a7c15);
    z ^= prng_splitmix(&y);
    return prng_splitmix(&z);
}

uint64_t dice_below(uint64_t bits, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    CHECK(n > 0);
    return (uint64_t)((wide)bits * n >> 64); /* off by n / 2^64: nothing */
}

int32_t dice_normal(uint64_t bits)
{
    bool is_below = bits >> 63;
    uint64_t tail = bits << 1; /* 63 bits */
    int level = 0;
    while (level < DICE_LEVELS - 1 && !(tail >> 63)) {
        tail <<= 1;
        level++;
    }
    if (!(tail >> 63)) { /* once in 2^26: the end of the table */
        return (is_below ? -1 : 1) * dice_quantiles[DICE_LEVELS * (DICE_STEPS + 1) - 1];
    }
    /* What is left of the bits says where in the half: 5 for the line, 24 along it. */
    tail <<= 1;
    uint32_t line = (uint32_t)(tail >> 59);
    int64_t along = (int64_t)(tail >> 35 & 0xffffff);
    const int32_t *at = &dice_quantiles[level * (DICE_STEPS + 1) + (int)line];
    int32_t z = at[0] + (int32_t)((at[1] - at[0]) * along / (1 << 24));
    return is_below ? -z : z;
}

uint64_t dice_lognormal(uint64_t bits, uint64_t median, uint64_t sigma_milli)
{
    CHECK(median <= UINT64_C(1) << 44);
    CHECK(sigma_milli <= 3000);
    /* exp(x) = 2^(x log2 e): whole part by a shift, the rest by the table and a straight line. */
    int64_t x = (int64_t)dice_normal(bits) * (int64_t)sigma_milli / 1000;
    int64_t power = x * DICE_LOG2E / 65536;
    int64_t whole = power >= 0 ? power / 65536 : -((-power + 65535) / 65536);
    uint32_t rest = (uint32_t)(power - whole * 65536);
    uint64_t from = dice_powers[rest >> 10], to = dice_powers[(rest >> 10) + 1];
    uint64_t factor = from + (to - from) * (rest & 1023) / 1024;
    __extension__ typedef unsigned __int128 wide;
    wide value = (wide)median * factor;
    value = whole >= 0 ? value << whole : value >> -whole;
    value >>= 30;
    return value > UINT64_C(1) << 62 ? UINT64_C(1) << 62 : (uint64_t)value;
}
