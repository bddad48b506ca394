/* SPDX-License-Identifier: MIT */
/* A finished run and what it means: shares, what a fair draw would give, and the same as JSON, CSV,
 * HdrHistogram text and one HTML page. */
#ifndef FAIRSLOT_FLOOD_REPORT_H
#define FAIRSLOT_FLOOD_REPORT_H

#include <stdio.h>

#include "fairness/fairness.h"
#include "fairness/threshold.h"
#include "flood/plan.h"
#include "flood/stage.h"

/* What a population got, against its share of the identities. */
struct share {
    uint64_t identities, slots;
    double identity_share, slot_share, advantage;
    double advantage_low, advantage_high; /* 95 % of a bootstrap over identities */
    double fair_mean;            /* slots that a draw among all gives on average */
    uint32_t fair_low, fair_high; /* in 95 of 100 draws: not under, not over */
};

struct decile {
    uint32_t clients, won;
};

struct report {
    const struct plan *plan;
    struct result result;
    struct audit audit;
    struct share shares[PLAN_PARTIES_MAX];
    struct share bots;                   /* all populations that attack, together */
    struct decile deciles[PLAN_DECILES]; /* of everybody, by first request */
    struct fairness fair;                /* the rest of it: Jain, Gini, Spearman */
    uint64_t holds, wasted;              /* that anybody had; that came to nothing */
    double deciles_chi2;                 /* 9 degrees of freedom */
    uint64_t sent, answered, refused, timed_out, cancelled, unaccounted;
    double late_share;                   /* of the requests */
    double seconds;                      /* of the run */
    double generator_cores;              /* CPU seconds a second */
    const char *scenario;                /* name or file */
    const char *scale;                   /* in words; "" none */
    int64_t started_wall_us;
};

/* Computes everything behind `audit` from plan and result. */
void report_fill(struct report *r);
/* Was it sent on time?  Else nothing is reported. */
bool report_is_honest(const struct report *r);
#define REPORT_LATE_SHARE 0.01

/* What thresholds may name, and its value: a threshold_measure of a struct report. */
extern const struct threshold_metric report_metrics[];
double report_metric(const void *report, size_t metric, int population);

/* -- outputs --------------------------------------------------------------------------------- */

void report_text(FILE *out, const struct report *r);
/* One object, indented; no line end. */
void report_json(FILE *out, const struct report *r, int indent);
void report_json_text(FILE *out, const char *text); /* quoted */
void report_csv(FILE *out, const struct report *r);
/* The percentile lines of HdrHistogram's own tools, in milliseconds: one table an RPC. */
void report_hgrm(FILE *out, const struct report *r);
/* One page for one to three runs of the same crowd. */
void report_html(FILE *out, const struct report *const *runs, size_t count);

/* Machine, cores, kernel, in words; static. */
const char *report_machine(void);
const char *report_commit(void);

#endif
