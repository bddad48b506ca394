/* SPDX-License-Identifier: MIT */
/* Goal: inside the window, arrival does not matter.  1,000 consecutive draws in virtual time with
 * the real ticket ids, seed and order; the crowd: 4,500 people with log-normal reaction (median
 * 4 s, sigma 0.6), 500 bots at 5 ms, 1,000 slots, window 60 s.
 *
 *   advantage   mean of the bots' within 3 standard errors of the closed form 1/F(W)
 *   deciles     wins and losses by arrival decile, chi-square(9) for each seed: as many beyond the
 *               5 % value as their own 99 % range allows; all seeds pooled: within 3 standard
 *               deviations each
 *   per seed    the bots' wins lie in the 95 % range of a fair draw about 95 times in a hundred
 * The same with the shuffle switched off (order of arrival) must fail all of it, and show 90 % of
 * the possible advantage (H + B) / S = 5 and more: so the check can fail.
 * The seeds come from one fixed base, so the result is the same everywhere. */
#include <math.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "crowd/crowd.h"
#include "draw/manifest.h"
#include "tests/lib/tap.h"

#define HUMANS 4500
#define BOTS   500
#define ALL    (HUMANS + BOTS)
#define SLOTS  1000
#define SEEDS  1000
#define WINDOW_S 60.0
#define DECILES  10
#define CHI_5    16.919 /* of 9 degrees of freedom */
#define RANGE_LOW  33   /* 99 % of a binomial (1000, 0.05) */
#define RANGE_HIGH 69

struct ticket {
    struct ticket_id id;
    double arrival_s;
    bool is_bot;
};

struct result {
    double advantage_mean, advantage_error; /* of the mean */
    int beyond;                             /* seeds whose chi-square is beyond the 5 % value */
    int in_range;                           /* seeds whose bots' wins a fair draw would have */
    double pooled_worst;                    /* standard deviations of the worst decile */
};

static struct ticket tickets[ALL], by_arrival[ALL];
static struct ticket_id ids[ALL];
static struct draw_place places[ALL], scratch[ALL];

static int by_id(const void *a, const void *b)
{
    return memcmp(&((const struct ticket *)a)->id, &((const struct ticket *)b)->id,
                  sizeof(struct ticket_id));
}

static int by_time(const void *a, const void *b)
{
    double x = ((const struct ticket *)a)->arrival_s, y = ((const struct ticket *)b)->arrival_s;
    return x < y ? -1 : x > y;
}

/* Everybody's ticket, sorted by id.  Bots are a little apart, so that arrival is an order. */
static void gather(struct prng *p, uint64_t number)
{
    struct draw_mac release;
    uint8_t key[32] = {0};
    memcpy(key, &number, sizeof number);
    draw_mac_init(&release, key);
    for (int i = 0; i < ALL; i++) {
        struct identity who = {{0}};
        memcpy(who.bytes, &i, sizeof i);
        draw_ticket_id(&release, &who, &tickets[i].id);
        tickets[i].is_bot = i < BOTS;
        uint64_t reaction_us = dice_lognormal(prng_next(p), 4000000, 600); /* as the crowd's */
        tickets[i].arrival_s = tickets[i].is_bot ? 0.005 + 1e-7 * i : (double)reaction_us / 1e6;
    }
    qsort(tickets, ALL, sizeof tickets[0], by_id);
}

static void seed_of(uint64_t number, struct draw_hash *ret_seed)
{
    uint8_t operator_seed[32] = {0};
    memcpy(operator_seed, &number, sizeof number);
    struct draw_seed_parts parts = {.count = ALL, .operator_seed = {operator_seed, 32}};
    draw_seed(&parts, ret_seed);
}

/* Marks the winners: those in the window by rank, then whoever came later. */
static int serve(uint64_t number, bool is_shuffled, bool won[ALL])
{
    struct draw_hash seed;
    int left = SLOTS, bots = 0;
    seed_of(number, &seed);
    for (int i = 0; i < ALL; i++) {
        ids[i] = tickets[i].id;
        won[i] = false;
    }
    draw_order(&seed, ids, ALL, places, scratch);
    if (!is_shuffled) { /* the planted fault: first come, first served */
        memcpy(by_arrival, tickets, sizeof tickets);
        qsort(by_arrival, ALL, sizeof by_arrival[0], by_time);
        for (int i = 0; i < ALL; i++) {
            struct ticket *t = bsearch(&by_arrival[i], tickets, ALL, sizeof tickets[0], by_id);
            places[i].index = (uint32_t)(t - tickets);
        }
    }
    for (int late = 0; late < 2; late++) {
        for (int i = 0; i < ALL && left > 0; i++) {
            const struct ticket *t = &tickets[places[i].index];
            if ((t->arrival_s > WINDOW_S) == late) {
                won[places[i].index] = true;
                bots += t->is_bot;
                left--;
            }
        }
    }
    return bots;
}

/* Wins by arrival decile, added to `pooled`; the chi-square of the 2 x 10 table. */
static double deciles(const bool won[ALL], double pooled[DECILES])
{
    double wins[DECILES] = {0}, chi = 0;
    memcpy(by_arrival, tickets, sizeof tickets);
    qsort(by_arrival, ALL, sizeof by_arrival[0], by_time);
    for (int i = 0; i < ALL; i++) {
        struct ticket *t = bsearch(&by_arrival[i], tickets, ALL, sizeof tickets[0], by_id);
        wins[i * DECILES / ALL] += won[t - tickets];
    }
    double expected = (double)SLOTS / DECILES, losses = (double)(ALL - SLOTS) / DECILES;
    for (int d = 0; d < DECILES; d++) {
        double off = wins[d] - expected;
        chi += off * off / expected + off * off / losses;
        pooled[d] += wins[d];
    }
    return chi;
}

static struct result simulate(bool is_shuffled)
{
    struct result r = {0};
    static bool won[ALL];
    double sum = 0, squares = 0, pooled[DECILES] = {0};
    /* Of a fair draw: hypergeometric, SLOTS of ALL, BOTS of them marked. */
    double mean = (double)SLOTS * BOTS / ALL;
    double sd = sqrt(mean * (1 - (double)BOTS / ALL) * (ALL - SLOTS) / (ALL - 1.0));
    for (uint64_t n = 0; n < SEEDS; n++) {
        struct prng p;
        prng_init(&p, 20261125 + n);
        gather(&p, n);
        int bots = serve(n, is_shuffled, won);
        double advantage = ((double)bots / SLOTS) / ((double)BOTS / ALL);
        sum += advantage;
        squares += advantage * advantage;
        r.beyond += deciles(won, pooled) > CHI_5;
        r.in_range += fabs(bots - mean) <= 1.96 * sd;
    }
    r.advantage_mean = sum / SEEDS;
    r.advantage_error = sqrt((squares / SEEDS - r.advantage_mean * r.advantage_mean) / SEEDS);
    double p_win = (double)SLOTS / ALL, in_decile = (double)ALL / DECILES * SEEDS;
    double decile_sd = sqrt(in_decile * p_win * (1 - p_win) * (1 - 1.0 / DECILES));
    for (int d = 0; d < DECILES; d++) {
        double off = fabs(pooled[d] - in_decile * p_win) / decile_sd;
        r.pooled_worst = off > r.pooled_worst ? off : r.pooled_worst;
    }
    return r;
}

/* 1 / F(W): whoever is too late for the window leaves its place to all who are not. */
static double closed_form(void)
{
    double z = (log(WINDOW_S) - log(4.0)) / 0.6;
    double f = 0.5 * erfc(-z / sqrt(2));
    return 1 / ((BOTS + HUMANS * f) / ALL);
}

static void say(const char *what, const struct result *r)
{
    printf("# %s: advantage %.4f +- %.4f (closed form %.6f), beyond 5 %%: %d of %d (%d to %d), "
           "in a fair draw's 95 %% range: %d, worst decile %.1f sd\n",
           what, r->advantage_mean, r->advantage_error, closed_form(), r->beyond, SEEDS, RANGE_LOW,
           RANGE_HIGH, r->in_range, r->pooled_worst);
}

static bool is_fair(const struct result *r)
{
    return fabs(r->advantage_mean - closed_form()) <= 3 * r->advantage_error &&
           r->beyond >= RANGE_LOW && r->beyond <= RANGE_HIGH && r->pooled_worst <= 3;
}

static void test_arrival_does_not_matter(void)
{
    struct result r = simulate(true);
    say("shuffled", &r);
    OK(is_fair(&r));
    OK(r.in_range >= 925 && r.in_range <= 975);
}

static void test_the_check_can_fail(void)
{
    struct result r = simulate(false);
    say("order of arrival", &r);
    OK(!is_fair(&r));
    OK(r.advantage_mean >= 0.9 * ALL / SLOTS);
    EQ(r.in_range, 0);
}

int main(void)
{
    TAP_RUN(test_arrival_does_not_matter);
    TAP_RUN(test_the_check_can_fail);
    return tap_done();
}
