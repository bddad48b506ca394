/* SPDX-License-Identifier: MIT */
/* Goal: the report's figures are those that a person gets with pencil and paper (docs/report.md),
 * the alarm rings for planted unfairness and not for a fair draw, small counts stay hidden. */
#include "draw/fairness.h"

#include "base/prng.h"
#include "tests/lib/tap.h"

static struct fairness_count count(uint64_t identities, uint64_t slots, uint64_t winners)
{
    return (struct fairness_count){.identities = identities, .slots = slots, .winners = winners,
                                   .squares = slots};
}

static struct fairness_ratio ratio(struct fairness_count all, struct fairness_count group)
{
    struct fairness_ratio r;
    fairness_advantage(&all, &group, &r);
    return r;
}

static bool near(uint64_t got, uint64_t want, uint64_t within)
{
    return got + within >= want && got <= want + within;
}

static void test_by_hand(void)
{
    /* 100 of 1,000 are suspected and got 10 of 100 slots: exactly their share.  Wilson's interval
     * of 10 in 100 is 0.0552 to 0.1744 (any table), so 0.552 to 1.744 times. */
    struct fairness_ratio r = ratio(count(1000, 100, 100), count(100, 10, 10));
    EQ(r.value, 1000000);
    OK(near(r.low, 552300, 300));
    OK(near(r.high, 1743700, 300));
    OK(r.is_known && !r.is_hidden && !r.is_alarm);
    /* 500 bots of 5,000 got all 1,000 slots: 1.0 / 0.1.  Wilson of 1,000 in 1,000: from 0.99617. */
    r = ratio(count(5000, 1000, 1000), count(500, 1000, 1000));
    EQ(r.value, 10000000);
    OK(near(r.low, 9961700, 300));
    EQ(r.high, 10000000);
    OK(r.is_alarm);
    /* 30 of 100 slots for 200 of 1,000: 1.5 times; Wilson of 30 in 100 is 0.2189 to 0.3958. */
    r = ratio(count(1000, 100, 100), count(200, 30, 30));
    EQ(r.value, 1500000);
    OK(near(r.low, 1094700, 500));
    OK(near(r.high, 1979100, 500));
    OK(!r.is_alarm); /* 1.5 alone is no alarm: it may be chance */
    /* Ten times as many with the same shares, and it is one. */
    r = ratio(count(10000, 1000, 1000), count(2000, 300, 300));
    EQ(r.value, 1500000);
    OK(r.low > 1200000);
    OK(r.is_alarm);
}

static void test_neighbours_are_one_draw(void)
{
    /* The same slots, four to a winner: a quarter of the trials, so a wider interval. */
    struct fairness_ratio one = ratio(count(1000, 400, 400), count(100, 60, 60));
    struct fairness_ratio four = ratio(count(1000, 400, 100), count(100, 60, 15));
    EQ(one.value, 1500000);
    EQ(four.value, 1500000);
    OK(one.low > four.low && one.high < four.high);
}

static void test_small_counts_are_hidden(void)
{
    struct fairness_ratio r = ratio(count(1000, 100, 100), count(50, 4, 4));
    OK(r.is_hidden && r.is_known);
    EQ(r.value, 0);
    EQ(r.low, 0);
    EQ(r.high, 800000); /* 4 of 100 slots for 5 % */
    r = ratio(count(1000, 100, 100), count(4, 0, 0));
    OK(r.is_hidden);
    EQ(r.high, 40000000); /* 4 of 100 slots for one of 1,000 */
    r = ratio(count(1000, 100, 100), count(4, 8, 4));
    EQ(r.low, 20000000); /* 8 of 100 for four */
    EQ(r.high, 80000000); /* 8 of 100 for one */
    OK(!ratio(count(1000, 0, 0), count(50, 0, 0)).is_known);
    OK(!ratio(count(1000, 10, 10), count(0, 0, 0)).is_known);
    EQ(fairness_cell(4), FAIRNESS_HIDDEN);
    EQ(fairness_cell(0), FAIRNESS_HIDDEN);
    EQ(fairness_cell(5), 5);
}

static void test_jain(void)
{
    struct fairness_count all = {.identities = 4, .slots = 4, .squares = 4};
    EQ(fairness_jain(&all), 1000000); /* one each */
    all = (struct fairness_count){.identities = 4, .slots = 4, .squares = 16};
    EQ(fairness_jain(&all), 250000); /* one has all */
    all = (struct fairness_count){.identities = 60, .slots = 20, .squares = 20};
    EQ(fairness_jain(&all), 333333);
    all = (struct fairness_count){.identities = 60};
    EQ(fairness_jain(&all), 0);
}

static void test_deciles(void)
{
    struct fairness f = {.holds = 0};
    uint64_t sample[100];
    for (uint64_t i = 0; i < 100; i++) {
        sample[i] = (i * 37 % 100) * 10; /* 0 to 990, shuffled */
    }
    fairness_bounds(sample, 100, f.bounds);
    EQ(f.bounds[0], 90);
    EQ(f.bounds[8], 890);
    for (uint64_t i = 0; i < 100; i++) {
        fairness_add(&f, &(struct fairness_ticket){.arrival = i * 10, .slots = i < 10});
    }
    for (int i = 0; i < FAIRNESS_DECILES; i++) {
        EQ(f.entered[i], 10);
        EQ(f.wins[i], i == 0 ? 10 : 0);
    }
    fairness_bounds(sample, 0, f.bounds); /* nobody */
    EQ(f.bounds[4], 0);
    fairness_bounds(sample, 3, f.bounds); /* fewer than deciles */
    OK(f.bounds[8] >= f.bounds[0]);
}

static void test_groups(void)
{
    struct fairness f = {.holds = 0};
    fairness_add(&f, &(struct fairness_ticket){.assurance = 0, .requests = 1, .slots = 2,
                                               .is_confirmed = true});
    fairness_add(&f, &(struct fairness_ticket){.assurance = 1, .requests = 4});
    fairness_add(&f, &(struct fairness_ticket){.assurance = 2, .requests = 2, .is_late = true,
                                               .slots = 1});
    fairness_add(&f, &(struct fairness_ticket){.assurance = 3, .is_suspected = true});
    EQ(f.groups[FAIRNESS_ALL].identities, 4);
    EQ(f.groups[FAIRNESS_ALL].slots, 3);
    EQ(f.groups[FAIRNESS_ALL].squares, 5);
    EQ(f.groups[FAIRNESS_LOW].identities, 2);
    EQ(f.groups[FAIRNESS_SUBSTANTIAL].slots, 1);
    EQ(f.groups[FAIRNESS_HIGH].identities, 1);
    EQ(f.groups[FAIRNESS_OFTEN].identities, 1);
    EQ(f.groups[FAIRNESS_SUSPECTED].identities, 1);
    EQ(f.holds, 2);
    EQ(f.confirmed, 1);
    EQ(f.slots_confirmed, 2);
    EQ(f.entered[0] + f.entered[9], 3); /* the late one is in no decile */
}

/* 4,550 identities, 50 of them suspected, 1,000 slots: by lot, or the suspected first. */
static struct fairness_ratio run(uint64_t seed, bool is_fair)
{
    struct prng p;
    struct fairness f = {.holds = 0};
    uint32_t left = 1000, people = 4550;
    prng_init(&p, seed);
    for (uint32_t i = 0; i < people; i++) {
        bool is_suspected = i < 50;
        bool wins = is_fair ? prng_below(&p, people - i) < left : left > 0;
        left -= wins;
        fairness_add(&f, &(struct fairness_ticket){.slots = wins, .is_suspected = is_suspected,
                                                   .arrival = i});
    }
    return ratio(f.groups[FAIRNESS_ALL], f.groups[FAIRNESS_SUSPECTED]);
}

static void test_the_alarm_rings_for_planted_unfairness_and_for_nothing_else(void)
{
    unsigned rang = 0, outside = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct fairness_ratio r = run(seed, true);
        rang += r.is_alarm;
        outside += !r.is_hidden && (r.low > 1000000 || r.high < 1000000);
    }
    printf("# fair draws: %u alarms, 1.0 outside the interval %u times of 1,000\n", rang, outside);
    OK(rang <= 12);    /* 1.2 is further off than 1.0 */
    OK(outside <= 50); /* a 95 % interval */
    struct fairness_ratio planted = run(1, false);
    OK(planted.is_alarm);
    EQ(planted.value, 4550000); /* 50 of 1,000 slots for 50 of 4,550 */
}

static void test_great_counts(void)
{
    uint64_t n = UINT64_C(1) << 28;
    struct fairness_ratio r = ratio(count(n, 8 * n, n), count(n / 2, 4 * n, n / 2));
    EQ(r.value, 1000000);
    OK(r.low > 999000 && r.high < 1001000);
}

int main(void)
{
    TAP_RUN(test_by_hand);
    TAP_RUN(test_neighbours_are_one_draw);
    TAP_RUN(test_small_counts_are_hidden);
    TAP_RUN(test_jain);
    TAP_RUN(test_deciles);
    TAP_RUN(test_groups);
    TAP_RUN(test_the_alarm_rings_for_planted_unfairness_and_for_nothing_else);
    TAP_RUN(test_great_counts);
    return tap_done();
}
