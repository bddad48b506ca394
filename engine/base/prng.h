/* SPDX-License-Identifier: MIT */
/* Seeded pseudo-random numbers (xoshiro256**, Blackman and Vigna 2018): simulations, load, tests.
 * Never for keys or for anything an adversary may not guess.  Same seed, same numbers,
 * everywhere. */
#ifndef FAIRSLOT_BASE_PRNG_H
#define FAIRSLOT_BASE_PRNG_H

#include "base/types.h"

struct prng {
    uint64_t s[4];
};

static inline uint64_t prng_splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static inline void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        p->s[i] = prng_splitmix(&seed);
    }
}

static inline uint64_t prng_rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s;
    uint64_t result = prng_rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = prng_rotl(s[3], 45);
    return result;
}

/* Uniform in [0, n), n > 0, without bias (Lemire's multiply-shift with rejection). */
static inline uint64_t prng_below(struct prng *p, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    wide m = (wide)prng_next(p) * n;
    if ((uint64_t)m < n) {
        uint64_t floor = -n % n;
        while ((uint64_t)m < floor) {
            m = (wide)prng_next(p) * n;
        }
    }
    return (uint64_t)(m >> 64);
}

#endif
