/* SPDX-License-Identifier: MIT */
/* What came of a simulated day, and how it is told. */
#ifndef FAIRSLOT_SIMULATE_OUTCOME_H
#define FAIRSLOT_SIMULATE_OUTCOME_H

#include <stdio.h>

#include "base/hist.h"
#include "fairness/threshold.h"
#include "simulate/world.h"

struct outcome_day {
    struct crowd_scenario scenario;
    uint64_t seed;
    struct fairness fairness;
    struct crowd_tally tallies[CROWD_POPULATIONS_MAX];
    struct hist waits[CROWD_POPULATIONS_MAX]; /* first request -> hold, standby place or no; in
                                               * ms: days fit, which they do not in us */
    struct crowd_tally sum;
    uint64_t taken;            /* slots, in the ledger */
    uint64_t oversold, double_booked, unaccounted, replays_differ;
    uint64_t expired, commands, records, book_bytes, queued_max;
    double closed_form;        /* advantage of the attackers: all in time have the same chance */
    double possible_advantage; /* of attackers who get all that they can hold */
    double bytes_per_client;   /* crowd and papers */
    double virtual_s;
};

/* Reads the world when it has run.  0 or < 0. */
int outcome_fill(struct outcome_day *o, struct world *w);
void outcome_text(FILE *out, const struct outcome_day *o);
void outcome_json(FILE *out, const struct outcome_day *o);
/* Seconds of one of `waits`. */
double outcome_seconds(const struct hist *waits, uint32_t milli_percent);

/* What thresholds may name, and its value: a threshold_measure of a struct outcome_day. */
extern const struct threshold_metric outcome_metrics[];
double outcome_metric(const void *outcome, size_t metric, int population);

#endif
