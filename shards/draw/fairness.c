/* SPDX-License-Identifier: MIT */
/* The figures of a report, in whole numbers, so that every replica, and everybody who counts again,
 * gets the same ones.
 *   advantage = (slots of the group / all slots) / (identities of the group / all identities)
 *   interval  = Wilson's for the share of slots, with the number of winners as the number of
 *               trials (somebody who gets four neighbours is one draw, not four), divided by the
 *               share of identities, which is known
 *   z is 1.96; z * z = 3.8416.  Wilson's limits hold for few trials and for shares near 0, where
 *   the plain interval would reach below 0.  Winners are drawn without being put back, which makes
 *   the true interval narrower: ours errs towards silence.
 * Owns nothing; cannot fail.  Sums fit: 2^28 identities of 8 slots; products use 128 bits. */
#include "draw/fairness.h"

#include <stdlib.h>

#include "base/check.h"

typedef unsigned __int128 wide;

#define FAIRNESS_Z2 3841600u /* 1.96 * 1.96, in millionths */

/* -- counting ---------------------------------------------------------------------------------- */

static void fairness_count(struct fairness_count *c, const struct fairness_ticket *t)
{
    c->identities++;
    c->requests += t->requests;
    c->slots += t->slots;
    c->winners += t->slots > 0;
    c->squares += (uint64_t)t->slots * t->slots;
}

void fairness_add(struct fairness *f, const struct fairness_ticket *t)
{
    CHECK(t->assurance <= 3);
    CHECK(t->slots <= 64);
    enum fairness_group level = t->assurance == 3   ? FAIRNESS_HIGH
                                : t->assurance == 2 ? FAIRNESS_SUBSTANTIAL
                                                    : FAIRNESS_LOW;
    fairness_count(&f->groups[FAIRNESS_ALL], t);
    fairness_count(&f->groups[level], t);
    if (t->requests >= FAIRNESS_MANY) {
        fairness_count(&f->groups[FAIRNESS_OFTEN], t);
    }
    if (t->is_suspected) {
        fairness_count(&f->groups[FAIRNESS_SUSPECTED], t);
    }
    f->holds += t->slots > 0;
    f->confirmed += t->is_confirmed;
    f->slots_confirmed += t->is_confirmed ? t->slots : 0;
    if (t->is_late) {
        return;
    }
    size_t decile = 0;
    while (decile < FAIRNESS_DECILES - 1 && t->arrival > f->bounds[decile]) {
        decile++;
    }
    f->entered[decile]++;
    f->wins[decile] += t->slots > 0;
}

static int fairness_compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

void fairness_bounds(uint64_t *sample, size_t count, uint64_t bounds[FAIRNESS_DECILES - 1])
{
    qsort(sample, count, sizeof *sample, fairness_compare);
    for (size_t i = 0; i < FAIRNESS_DECILES - 1; i++) {
        size_t end = count * (i + 1) / FAIRNESS_DECILES; /* behind the decile's last */
        bounds[i] = end ? sample[end - 1] : 0;
    }
}

/* -- figures ----------------------------------------------------------------------------------- */

static uint64_t fairness_root(wide x)
{
    wide low = 0, high = (wide)1 << 64;
    while (high - low > 1) {
        wide middle = low + (high - low) / 2;
        if (middle * middle <= x) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint64_t)low;
}

/* Wilson's limits for a share in n trials; all of them in millionths. */
static void fairness_wilson(uint64_t share, uint64_t n, uint64_t *ret_low, uint64_t *ret_high)
{
    const wide one = FAIRNESS_ONE, z2 = FAIRNESS_Z2;
    CHECK(share <= FAIRNESS_ONE);
    CHECK(n > 0);
    /* (2 n p + z2 -+ z sqrt(z2 + 4 n p (1 - p))) / (2 (n + z2)), everything times a million */
    wide spread = z2 * (z2 + 4 * n * (wide)share * (one - share) / one);
    wide root = fairness_root(spread);
    wide middle = 2 * n * (wide)share + z2;
    wide below = 2 * (n * one + z2);
    *ret_low = middle > root ? (uint64_t)((middle - root) * one / below) : 0;
    uint64_t high = (uint64_t)((middle + root) * one / below);
    *ret_high = high < FAIRNESS_ONE ? high : FAIRNESS_ONE;
}

/* A share of slots (millionths) as advantage of `of` identities among all. */
static uint64_t fairness_over(uint64_t share, uint64_t all, uint64_t of)
{
    return (uint64_t)((wide)share * all / of);
}

static bool fairness_hides(uint64_t count)
{
    return fairness_cell(count) == FAIRNESS_HIDDEN;
}

void fairness_advantage(const struct fairness_count *all, const struct fairness_count *group,
                        struct fairness_ratio *ret_ratio)
{
    struct fairness_ratio *r = ret_ratio;
    *r = (struct fairness_ratio){.is_known = group->identities > 0 && all->slots > 0};
    if (!r->is_known) {
        return;
    }
    uint64_t n = group->identities, x = group->slots, low, high;
    uint64_t share = (uint64_t)((wide)x * FAIRNESS_ONE / all->slots);
    fairness_wilson(share, all->winners, &low, &high);
    r->value = (uint64_t)((wide)x * all->identities * FAIRNESS_ONE / ((wide)all->slots * n));
    r->low = fairness_over(low, all->identities, n);
    r->high = fairness_over(high, all->identities, n);
    r->is_alarm = r->low > FAIRNESS_ALARM;
    r->is_hidden = fairness_hides(n) || fairness_hides(x);
    if (r->is_hidden) { /* only what the counts that are shown leave open */
        uint64_t least = fairness_hides(x) ? 0 : share;
        uint64_t most = fairness_hides(x) ? (FAIRNESS_CELL_MIN - 1) * (uint64_t)FAIRNESS_ONE /
                                                all->slots
                                          : share;
        most = most < FAIRNESS_ONE ? most : FAIRNESS_ONE;
        r->value = 0;
        r->low = fairness_over(least, all->identities,
                               fairness_hides(n) ? FAIRNESS_CELL_MIN - 1 : n);
        r->high = fairness_over(most, all->identities, fairness_hides(n) ? 1 : n);
    }
}

uint64_t fairness_jain(const struct fairness_count *all)
{
    if (all->identities == 0 || all->squares == 0) {
        return 0;
    }
    return (uint64_t)((wide)all->slots * all->slots * FAIRNESS_ONE /
                      ((wide)all->identities * all->squares));
}
