/* SPDX-License-Identifier: MIT */
/* Shares, ranges, and whether it paid to be early or near.
 * Owns: nothing that outlives a call; the caller's people are sorted in place.
 * Fails: -ENOMEM never happens today (sorting is in place), the contract keeps it.
 *   chi-square   wins and losses by arrival decile against the same chance for all: 2 x 10 table
 *   Spearman     correlation of the ranks of (arrival) with (slots); ties have their middle rank
 *   Jain, Gini   of the chance of one identity, each group weighted by its identities: over single
 *                identities they would only say how few slots there were
 *   fair range   hypergeometric: as many slots as went, drawn among all identities */
#include "fairness/fairness.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "fairness/resample.h"

double fairness_root(double x)
{
    double guess = x > 1 ? x : 1;
    if (x <= 0) {
        return 0;
    }
    for (int i = 0; i < 2000; i++) { /* Newton from above: falls until it stands */
        double next = 0.5 * (guess + x / guess);
        if (next >= guess) {
            break;
        }
        guess = next;
    }
    return guess;
}

/* -- the range of a fair draw ---------------------------------------------------------------- */

/* How much likelier k + 1 is than k. */
static double fairness_step(uint64_t all, uint64_t marked, uint64_t drawn, uint64_t k)
{
    double up = (double)(marked - k) * (double)(drawn - k);
    double down = (double)(k + 1) * ((double)(all - marked) - (double)drawn + (double)k + 1);
    return down > 0 ? up / down : 0;
}

#define FAIRNESS_SMALLEST 1e-15 /* of the likeliest: nothing behind it counts */

/* All weights beyond the likeliest, on one side, summed. */
static double fairness_tail(uint64_t all, uint64_t marked, uint64_t drawn, uint64_t mode,
                            bool is_up)
{
    uint64_t least = drawn > all - marked ? drawn - (all - marked) : 0;
    uint64_t most = marked < drawn ? marked : drawn;
    double weight = 1, sum = 0;
    for (uint64_t k = mode; is_up ? k < most : k > least; k = is_up ? k + 1 : k - 1) {
        weight = is_up ? weight * fairness_step(all, marked, drawn, k)
                       : weight / fairness_step(all, marked, drawn, k - 1);
        sum += weight;
        if (weight < FAIRNESS_SMALLEST) {
            break;
        }
    }
    return sum;
}

/* From the likeliest outwards, as long as more than 2.5 % lie further out. */
static uint64_t fairness_edge(const uint64_t n[3], uint64_t mode, bool is_up, double total)
{
    uint64_t all = n[0], marked = n[1], drawn = n[2];
    double further = fairness_tail(all, marked, drawn, mode, is_up), weight = 1;
    uint64_t k = mode;
    while (further > 0.025 * total && weight >= FAIRNESS_SMALLEST) {
        weight = is_up ? weight * fairness_step(all, marked, drawn, k)
                       : weight / fairness_step(all, marked, drawn, k - 1);
        k = is_up ? k + 1 : k - 1;
        further -= weight;
    }
    return k;
}

void fairness_range(uint64_t all, uint64_t marked, uint64_t drawn, uint64_t *ret_low,
                    uint64_t *ret_high)
{
    CHECK(marked <= all);
    CHECK(drawn <= all);
    uint64_t least = drawn > all - marked ? drawn - (all - marked) : 0;
    uint64_t most = marked < drawn ? marked : drawn;
    uint64_t mode = (uint64_t)(((double)drawn + 1) * ((double)marked + 1) / ((double)all + 2));
    mode = mode < least ? least : mode > most ? most : mode;
    double total = 1 + fairness_tail(all, marked, drawn, mode, true) +
                   fairness_tail(all, marked, drawn, mode, false);
    const uint64_t n[3] = {all, marked, drawn};
    *ret_low = fairness_edge(n, mode, false, total);
    *ret_high = fairness_edge(n, mode, true, total);
}

/* -- arrival and distance -------------------------------------------------------------------- */

static int fairness_by_arrival(const void *a, const void *b)
{
    const struct fairness_person *x = a, *y = b;
    if (x->arrival_us != y->arrival_us) {
        return x->arrival_us < y->arrival_us ? -1 : 1;
    }
    return x->slots != y->slots ? x->slots < y->slots ? -1 : 1 : (x->group > y->group) -
                                                                 (x->group < y->group);
}

static int fairness_by_rtt(const void *a, const void *b)
{
    const struct fairness_person *x = a, *y = b;
    if (x->rtt_us != y->rtt_us) {
        return x->rtt_us < y->rtt_us ? -1 : 1;
    }
    return fairness_by_arrival(a, b);
}

static int64_t fairness_key(const struct fairness_person *p, bool by_rtt)
{
    return by_rtt ? p->rtt_us : p->arrival_us;
}

/* Of people sorted by the key: 0 when the key or the slots are all the same. */
static double fairness_spearman(const struct fairness_person *people, size_t count, bool by_rtt)
{
    uint64_t slots[256] = {0};
    double rank_of[256], middle = ((double)count + 1) / 2, sums[3] = {0, 0, 0}, before = 0;
    for (size_t i = 0; i < count; i++) {
        slots[people[i].slots]++;
    }
    for (int v = 0; v < 256; v++) {
        rank_of[v] = before + ((double)slots[v] + 1) / 2 - middle;
        before += (double)slots[v];
    }
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && fairness_key(&people[to], by_rtt) ==
                                              fairness_key(&people[from], by_rtt); to++) {
        }
        double rank = ((double)from + (double)to + 1) / 2 - middle;
        for (size_t i = from; i < to; i++) {
            double other = rank_of[people[i].slots];
            sums[0] += rank * other;
            sums[1] += rank * rank;
            sums[2] += other * other;
        }
    }
    double scale = fairness_root(sums[1]) * fairness_root(sums[2]);
    return scale > 0 ? sums[0] / scale : 0;
}

/* Wins and losses of the deciles against the same chance for all. */
static double fairness_chi2(const struct fairness *f)
{
    double chi = 0, wins = 0, all = (double)f->identities;
    for (int d = 0; d < FAIRNESS_DECILES; d++) {
        wins += (double)f->deciles[d].slots;
    }
    double chance = all > 0 ? wins / all : 0;
    if (chance <= 0 || chance >= 1) {
        return 0;
    }
    for (int d = 0; d < FAIRNESS_DECILES; d++) {
        double here = (double)f->deciles[d].identities, expected = here * chance;
        double off = (double)f->deciles[d].slots - expected;
        if (here > 0) {
            chi += off * off / expected + off * off / (here - expected);
        }
    }
    return chi;
}

static void fairness_arrivals(const struct fairness_crowd *c, struct fairness *f)
{
    qsort(c->people, c->count, sizeof *c->people, fairness_by_arrival);
    for (size_t i = 0; i < c->count; i++) {
        struct fairness_part *d = &f->deciles[i * FAIRNESS_DECILES / c->count];
        d->identities++;
        d->slots += c->people[i].slots > 0;
    }
    f->deciles_chi2 = fairness_chi2(f);
    f->arrival_spearman = fairness_spearman(c->people, c->count, false);
}

static void fairness_distances(const struct fairness_crowd *c, struct fairness *f)
{
    qsort(c->people, c->count, sizeof *c->people, fairness_by_rtt);
    for (size_t i = 0; i < c->count; i++) {
        struct fairness_part *p = &f->fifths[i * FAIRNESS_FIFTHS / c->count];
        p->identities++;
        p->slots += c->people[i].slots > 0;
    }
    for (int k = 0; k < FAIRNESS_FIFTHS && c->count > 0; k++) {
        f->fifths_rtt_us[k] = c->people[((size_t)k * 2 + 1) * c->count /
                                        (FAIRNESS_FIFTHS * 2)].rtt_us;
    }
    f->rtt_spearman = fairness_spearman(c->people, c->count, true);
}

/* -- shares ---------------------------------------------------------------------------------- */

static void fairness_share(const struct fairness *f, struct fairness_group *g)
{
    g->identity_share = f->identities ? (double)g->identities / (double)f->identities : 0;
    g->slot_share = f->slots ? (double)g->slots / (double)f->slots : 0;
    g->advantage = g->identity_share > 0 ? g->slot_share / g->identity_share : 0;
    g->fair_mean = g->identity_share * (double)f->slots;
    uint64_t drawn = f->slots < f->identities ? f->slots : f->identities;
    fairness_range(f->identities, g->identities, drawn, &g->fair_low, &g->fair_high);
}

static int fairness_by_chance(const void *a, const void *b)
{
    const struct fairness_group *x = a, *y = b;
    return x->advantage < y->advantage ? -1 : x->advantage > y->advantage;
}

static void fairness_evenness(struct fairness *f)
{
    struct fairness_group sorted[FAIRNESS_GROUPS_MAX];
    double sum = 0, squares = 0, below = 0, area = 0;
    memcpy(sorted, f->groups, sizeof sorted);
    qsort(sorted, f->groups_count, sizeof *sorted, fairness_by_chance);
    for (uint32_t i = 0; i < f->groups_count; i++) {
        const struct fairness_group *g = &sorted[i];
        sum += g->identity_share * g->advantage;
        squares += g->identity_share * g->advantage * g->advantage;
        area += g->identity_share * (2 * below + g->slot_share);
        below += g->slot_share;
    }
    f->jain = squares > 0 ? sum * sum / squares : 1;
    f->gini = below > 0 ? 1 - area / below : 0;
}

int fairness_fill(const struct fairness_crowd *c, struct fairness *ret_fairness)
{
    struct fairness *f = ret_fairness;
    CHECK(c->groups_count <= FAIRNESS_GROUPS_MAX);
    memset(f, 0, sizeof *f);
    f->groups_count = c->groups_count;
    f->identities = c->count;
    for (size_t i = 0; i < c->count; i++) {
        CHECK(c->people[i].group < c->groups_count);
        struct fairness_group *g = &f->groups[c->people[i].group];
        bool attacks = c->attack_mask >> c->people[i].group & 1;
        g->identities++;
        g->slots += c->people[i].slots;
        f->slots += c->people[i].slots;
        f->attack.identities += attacks;
        f->attack.slots += attacks ? c->people[i].slots : 0;
    }
    for (uint32_t i = 0; i < c->groups_count; i++) {
        fairness_share(f, &f->groups[i]);
    }
    fairness_share(f, &f->attack);
    fairness_evenness(f);
    if (c->count > 0) {
        fairness_arrivals(c, f);
        fairness_distances(c, f);
    }
    resample_advantages(f, c->attack_mask, c->seed);
    return 0;
}
