/* SPDX-License-Identifier: MIT */
/* Was it fair?  The numbers of the fairness block, from who came when and who got a slot.  No
 * clock, no I/O.  A room of its own because it counts in doubles, which pure rooms do not: they are
 * made with + - * / and a square root of our own, so they are the same wherever IEEE 754 is, and
 * nothing of a schedule depends on them. */
#ifndef FAIRSLOT_FAIRNESS_FAIRNESS_H
#define FAIRSLOT_FAIRNESS_FAIRNESS_H

#include "base/types.h"

#define FAIRNESS_GROUPS_MAX 16
#define FAIRNESS_DECILES    10
#define FAIRNESS_FIFTHS     5
#define FAIRNESS_RESAMPLES  1000
#define FAIRNESS_CHI2_5     16.919 /* beyond it in 5 % of fair draws: 9 degrees of freedom */

/* One identity (not one device). */
struct fairness_person {
    int64_t arrival_us;
    uint32_t rtt_us;
    uint8_t group;    /* population */
    uint8_t slots;    /* that it got */
};

struct fairness_group {
    uint64_t identities, slots;
    double identity_share, slot_share;
    double advantage;                     /* slot_share / identity_share; 1: as a fair draw */
    double advantage_low, advantage_high; /* 95 % of the bootstrap */
    double fair_mean;                     /* slots that a fair draw among all gives on average */
    uint64_t fair_low, fair_high;         /* in 95 of 100 fair draws: not under, not over */
};

struct fairness_part {
    uint64_t identities, slots;
};

struct fairness {
    struct fairness_group groups[FAIRNESS_GROUPS_MAX];
    struct fairness_group attack;  /* all groups of attack_mask together */
    uint32_t groups_count;
    uint64_t identities, slots;
    double jain;   /* of the chance of an identity, over groups by their identities; 1: all alike */
    double gini;   /* of the same; 0: all alike */
    struct fairness_part deciles[FAIRNESS_DECILES]; /* by arrival */
    double deciles_chi2;   /* win and no win x 10; against FAIRNESS_CHI2_5 */
    double arrival_spearman; /* arrival and win: -1 the first got all, 0 no matter */
    struct fairness_part fifths[FAIRNESS_FIFTHS];   /* by round-trip time, fastest first */
    uint64_t fifths_rtt_us[FAIRNESS_FIFTHS];        /* median of each */
    double rtt_spearman;
};

struct fairness_crowd {
    struct fairness_person *people; /* sorted on return: by round-trip time */
    size_t count;
    uint32_t groups_count;
    uint32_t attack_mask;           /* bit n: group n attacks */
    uint64_t seed;                  /* of the bootstrap */
};

/* 0 or -ENOMEM. */
int fairness_fill(const struct fairness_crowd *crowd, struct fairness *ret_fairness);

/* 95 % of a hypergeometric: `drawn` of `all` without putting back, `marked` of them count: the
 * least and most that leave at most 2.5 % under and over. */
void fairness_range(uint64_t all, uint64_t marked, uint64_t drawn, uint64_t *ret_low,
                    uint64_t *ret_high);
/* Square root, correct to the last bit or the one before. */
double fairness_root(double x);

#endif
