/* SPDX-License-Identifier: MIT */
/* Goal: the numbers of the fairness block are what the books say, and each can fail: a crowd that
 * is served by arrival, by distance or by population shows it. */
#include "fairness/fairness.h"

#include <math.h>

#include "base/prng.h"
#include "tests/lib/tap.h"

#define N 10000

static struct fairness_person people[N];

static bool near(double a, double b, double by)
{
    if (!(fabs(a - b) <= by)) {
        printf("# %.9g is not %.9g\n", a, b);
    }
    return fabs(a - b) <= by;
}

/* A tenth attacks; who wins is said by `rule`. */
enum rule { BY_LOT, BY_ARRIVAL, BY_DISTANCE, BY_GROUP };

static void crowd(enum rule rule, uint64_t seed, struct fairness *f)
{
    struct prng p;
    prng_init(&p, seed);
    for (int i = 0; i < N; i++) {
        people[i] = (struct fairness_person){(int64_t)prng_below(&p, 60000000),
                                             (uint32_t)prng_below(&p, 100000), i % 10 == 0, 0};
        people[i].slots = rule == BY_LOT        ? 0
                          : rule == BY_ARRIVAL  ? people[i].arrival_us < 6000000
                          : rule == BY_DISTANCE ? people[i].rtt_us < 10000
                                                : people[i].group;
    }
    for (int left = rule == BY_LOT ? N / 10 : 0; left > 0;) {
        struct fairness_person *one = &people[prng_below(&p, N)];
        left -= one->slots == 0;
        one->slots = 1;
    }
    struct fairness_crowd c = {people, N, 2, 2, seed};
    EQ(fairness_fill(&c, f), 0);
}

static void test_a_fair_draw(void)
{
    int beyond = 0, in_range = 0, covered = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct fairness f;
        crowd(BY_LOT, seed, &f);
        EQ(f.slots, N / 10);
        beyond += f.deciles_chi2 > FAIRNESS_CHI2_5;
        in_range += f.attack.slots >= f.attack.fair_low && f.attack.slots <= f.attack.fair_high;
        covered += f.attack.advantage_low <= 1 && f.attack.advantage_high >= 1;
        OK(fabs(f.arrival_spearman) < 0.05 && fabs(f.rtt_spearman) < 0.05);
        OK(f.jain > 0.97 && f.gini < 0.05);
        OK(f.attack.advantage_low < f.attack.advantage &&
           f.attack.advantage < f.attack.advantage_high);
    }
    printf("# of 200: chi-square beyond 5 %%: %d, in range: %d, interval covers 1: %d\n", beyond,
           in_range, covered);
    OK(beyond >= 2 && beyond <= 22); /* 99.9 % of a binomial (200, 0.05) */
    OK(in_range >= 178);
    OK(covered >= 178);
}

static void test_each_can_fail(void)
{
    struct fairness f;
    crowd(BY_ARRIVAL, 1, &f);
    OK(f.deciles_chi2 > 5000);
    OK(f.arrival_spearman < -0.4);
    OK(fabs(f.rtt_spearman) < 0.05);
    crowd(BY_DISTANCE, 2, &f);
    OK(f.rtt_spearman < -0.4);
    OK(f.fifths[0].slots > 900 && f.fifths[4].slots == 0);
    OK(f.fifths_rtt_us[0] < f.fifths_rtt_us[4]);
    crowd(BY_GROUP, 3, &f);
    EQ(f.attack.slots, N / 10);
    OK(near(f.attack.advantage, 10, 1e-9));
    OK(near(f.jain, 0.1, 1e-9));  /* a tenth has everything */
    OK(near(f.gini, 0.9, 1e-9));
    OK(f.attack.slots > f.attack.fair_high);
}

static void test_known_ranges(void)
{
    uint64_t low, high;
    /* R: qhyper(c(0.025, 0.975), 600, 6000, 300) is 18, 37; (10, 10, 5) is 1, 4. */
    fairness_range(6600, 600, 300, &low, &high);
    EQ(low, 18);
    EQ(high, 37);
    fairness_range(20, 10, 5, &low, &high);
    EQ(low, 1);
    EQ(high, 4);
    fairness_range(100, 0, 10, &low, &high);
    EQ(low, 0);
    EQ(high, 0);
    fairness_range(100, 100, 10, &low, &high);
    EQ(low, 10);
    EQ(high, 10);
    fairness_range(10, 3, 10, &low, &high);
    EQ(low, 3);
    EQ(high, 3);
    fairness_range(11000000, 1000000, 200000, &low, &high); /* normal: 18181.8 +- 1.96 * 127.4 */
    OK(low >= 17931 && low <= 17934);
    OK(high >= 18430 && high <= 18433);
}

static void test_spearman_by_hand(void)
{
    /* Ranks 1 2 3 4 against 0 1 0 1: middle ranks 1.5 3.5 1.5 3.5, r = 2 / (sqrt(5) * 2). */
    struct fairness_person four[] = {{1, 4, 0, 0}, {2, 3, 0, 1}, {3, 2, 0, 0}, {4, 1, 0, 1}};
    struct fairness f;
    struct fairness_crowd c = {four, 4, 1, 0, 1};
    EQ(fairness_fill(&c, &f), 0);
    OK(near(f.arrival_spearman, 2 / (sqrt(5) * 2), 1e-12));
    OK(near(f.rtt_spearman, -2 / (sqrt(5) * 2), 1e-12));
    OK(near(f.jain, 1, 0));
    OK(near(f.gini, 0, 0));
}

static void test_nobody(void)
{
    struct fairness f;
    struct fairness_crowd c = {people, 0, 2, 2, 1};
    EQ(fairness_fill(&c, &f), 0);
    EQ(f.slots, 0);
    OK(f.attack.advantage == 0 && f.deciles_chi2 == 0);
}

static void test_root(void)
{
    for (double x = 1e-12; x < 1e18; x *= 7.3) {
        OK(near(fairness_root(x) / sqrt(x), 1, 4e-16));
    }
    OK(fairness_root(0) == 0 && fairness_root(-1) == 0);
}

int main(void)
{
    TAP_RUN(test_a_fair_draw);
    TAP_RUN(test_each_can_fail);
    TAP_RUN(test_known_ranges);
    TAP_RUN(test_spearman_by_hand);
    TAP_RUN(test_nobody);
    TAP_RUN(test_root);
    return tap_done();
}
