/* SPDX-License-Identifier: MIT */
/* The bootstrap: every group's identities drawn again, with putting back, a thousand times.
 * Owns: nothing that outlives a call.  Fails: never.
 * Somebody has a slot or none (an identity with two counts as two of one), so a group drawn again
 * is one binomial number, and a crowd of ten millions costs as much as one of ten.  Small ones are
 * counted by inversion, large ones rounded from the normal that they are then (np(1-p) > 100). */
#include "fairness/resample.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "crowd/crowd.h"

#define RESAMPLE_NORMAL 100 /* variance from which a binomial is a normal */

struct resample_stream {
    uint64_t seed, n;
};

static uint64_t resample_bits(struct resample_stream *s)
{
    return dice_at(s->seed, 0x626f6f74, s->n++);
}

static double resample_power(double base, uint64_t exponent)
{
    double result = 1;
    for (; exponent; exponent >>= 1, base *= base) {
        result *= exponent & 1 ? base : 1;
    }
    return result;
}

static uint64_t resample_binomial(struct resample_stream *s, uint64_t n, double p)
{
    double mean = (double)n * p, variance = mean * (1 - p);
    if (p <= 0 || n == 0) {
        return 0;
    }
    if (p >= 1) {
        return n;
    }
    if (p > 0.5) {
        return n - resample_binomial(s, n, 1 - p);
    }
    if (variance > RESAMPLE_NORMAL) {
        double z = (double)dice_normal(resample_bits(s)) / 65536;
        double x = mean + z * fairness_root(variance) + 0.5;
        return x < 0 ? 0 : x > (double)n ? n : (uint64_t)x;
    }
    double u = (double)(resample_bits(s) >> 11) / 9007199254740992.0;
    double odds = p / (1 - p), chance = resample_power(1 - p, n);
    uint64_t k = 0;
    while (u > chance && k < n) {
        u -= chance;
        k++;
        chance *= odds * (double)(n - k + 1) / (double)k;
        if (chance < 1e-300) {
            break;
        }
    }
    return k;
}

static int resample_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void resample_interval(double *values, struct fairness_group *g)
{
    qsort(values, FAIRNESS_RESAMPLES, sizeof *values, resample_compare);
    g->advantage_low = values[FAIRNESS_RESAMPLES / 40];
    g->advantage_high = values[FAIRNESS_RESAMPLES - 1 - FAIRNESS_RESAMPLES / 40];
}

void resample_advantages(struct fairness *f, uint32_t attack_mask, uint64_t seed)
{
    static double values[FAIRNESS_GROUPS_MAX + 1][FAIRNESS_RESAMPLES];
    struct resample_stream s = {seed, 0};
    CHECK(f->groups_count <= FAIRNESS_GROUPS_MAX);
    for (int n = 0; n < FAIRNESS_RESAMPLES; n++) {
        uint64_t slots[FAIRNESS_GROUPS_MAX], all = 0, attack = 0;
        for (uint32_t g = 0; g < f->groups_count; g++) {
            const struct fairness_group *from = &f->groups[g];
            double chance = from->identities ? (double)from->slots / (double)from->identities : 0;
            slots[g] = resample_binomial(&s, from->identities, chance);
            all += slots[g];
            attack += attack_mask >> g & 1 ? slots[g] : 0;
        }
        for (uint32_t g = 0; g < f->groups_count; g++) {
            double share = f->groups[g].identity_share;
            values[g][n] = all && share > 0 ? (double)slots[g] / (double)all / share : 0;
        }
        double share = f->attack.identity_share;
        values[FAIRNESS_GROUPS_MAX][n] =
            all && share > 0 ? (double)attack / (double)all / share : 0;
    }
    for (uint32_t g = 0; g < f->groups_count; g++) {
        resample_interval(values[g], &f->groups[g]);
    }
    resample_interval(values[FAIRNESS_GROUPS_MAX], &f->attack);
}
