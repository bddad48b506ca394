/* SPDX-License-Identifier: MIT */
/* The numbers of a report by name, for thresholds.
 * Owns: nothing.
 * Fails never; what was not measured is NAN, which no threshold is met by: nothing may look well
 * because nobody looked. */
#include <math.h>
#include <stddef.h>

#include "base/check.h"
#include "flood/report.h"

enum metric_kind {
    METRIC_SLOTS, METRIC_ADVANTAGE, METRIC_SLOT_SHARE, METRIC_WAIT, METRIC_LATENCY,
    METRIC_PARTY, METRIC_COUNT64, METRIC_AUDIT, METRIC_SHARDS, METRIC_DOUBLE, METRIC_FAIRNESS,
    METRIC_TAKEN,
};

#define METRIC_OF_BOTS 1 /* `at` of what is of all attackers together */
#define METRIC_IN_REPORT(field) offsetof(struct report, field)
#define METRIC_IN_PARTY(field)  offsetof(struct party_result, field)

const struct threshold_metric report_metrics[] = {
    {"slots", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"advantage", THRESHOLD_RATIO, THRESHOLD_OF_ONE},
    {"slot_share", THRESHOLD_SHARE, THRESHOLD_OF_ONE},
    {"bot_slots", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"bot_advantage", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    {"bot_slot_share", THRESHOLD_SHARE, THRESHOLD_OF_RUN},
    {"wait_p50", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    {"wait_p95", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    {"wait_p99", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    {"wait_max", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    {"latency_p50", THRESHOLD_TIME, THRESHOLD_OF_RUN},
    {"latency_p95", THRESHOLD_TIME, THRESHOLD_OF_RUN},
    {"latency_p99", THRESHOLD_TIME, THRESHOLD_OF_RUN},
    {"latency_max", THRESHOLD_TIME, THRESHOLD_OF_RUN},
    {"sent", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"answered", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"refused", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"timed_out", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"cancelled", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"unaccounted", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"garbled", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"oversold", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"double_booked", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"double_won", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"lost", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"extra_tickets", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"double_confirmed", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"order_wrong", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"shard_differs", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"unheard", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"jain", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    {"gini", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    {"arrival_spearman", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    {"rtt_spearman", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    {"wasted_holds", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"late_share", THRESHOLD_SHARE, THRESHOLD_OF_RUN},
    {"arrival_chi2", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    {"taken_share", THRESHOLD_SHARE, THRESHOLD_OF_RUN},
    {"passed", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"too_late", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"replayed", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"replays_differ", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {NULL, THRESHOLD_COUNT, THRESHOLD_OF_RUN},
};

/* In the order of report_metrics. */
static const struct metric {
    enum metric_kind kind;
    size_t at; /* an offset, or 1,000 times the percentile */
} metric_from[] = {
    {METRIC_SLOTS, 0},
    {METRIC_ADVANTAGE, 0},
    {METRIC_SLOT_SHARE, 0},
    {METRIC_SLOTS, METRIC_OF_BOTS},
    {METRIC_ADVANTAGE, METRIC_OF_BOTS},
    {METRIC_SLOT_SHARE, METRIC_OF_BOTS},
    {METRIC_WAIT, 50000},
    {METRIC_WAIT, 95000},
    {METRIC_WAIT, 99000},
    {METRIC_WAIT, 100000},
    {METRIC_LATENCY, 50000},
    {METRIC_LATENCY, 95000},
    {METRIC_LATENCY, 99000},
    {METRIC_LATENCY, 100000},
    {METRIC_PARTY, METRIC_IN_PARTY(sent)},
    {METRIC_PARTY, METRIC_IN_PARTY(answered)},
    {METRIC_PARTY, METRIC_IN_PARTY(refused)},
    {METRIC_PARTY, METRIC_IN_PARTY(timed_out)},
    {METRIC_PARTY, METRIC_IN_PARTY(cancelled)},
    {METRIC_COUNT64, METRIC_IN_REPORT(unaccounted)},
    {METRIC_COUNT64, METRIC_IN_REPORT(result.garbled)},
    {METRIC_AUDIT, METRIC_IN_REPORT(audit.oversold)},
    {METRIC_AUDIT, METRIC_IN_REPORT(audit.double_booked)},
    {METRIC_AUDIT, METRIC_IN_REPORT(audit.double_won)},
    {METRIC_AUDIT, METRIC_IN_REPORT(audit.lost)},
    {METRIC_AUDIT, METRIC_IN_REPORT(audit.extra_tickets)},
    {METRIC_AUDIT, METRIC_IN_REPORT(audit.double_confirmed)},
    {METRIC_AUDIT, METRIC_IN_REPORT(audit.order_wrong)},
    {METRIC_SHARDS, METRIC_IN_REPORT(audit.shard_differs)},
    {METRIC_AUDIT, METRIC_IN_REPORT(audit.unheard)},
    {METRIC_FAIRNESS, METRIC_IN_REPORT(fair.jain)},
    {METRIC_FAIRNESS, METRIC_IN_REPORT(fair.gini)},
    {METRIC_FAIRNESS, METRIC_IN_REPORT(fair.arrival_spearman)},
    {METRIC_FAIRNESS, METRIC_IN_REPORT(fair.rtt_spearman)},
    {METRIC_PARTY, METRIC_IN_PARTY(wasted)},
    {METRIC_DOUBLE, METRIC_IN_REPORT(late_share)},
    {METRIC_FAIRNESS, METRIC_IN_REPORT(deciles_chi2)},
    {METRIC_TAKEN, 0},
    {METRIC_PARTY, METRIC_IN_PARTY(passed)},
    {METRIC_PARTY, METRIC_IN_PARTY(too_late)},
    {METRIC_PARTY, METRIC_IN_PARTY(replayed)},
    {METRIC_COUNT64, METRIC_IN_REPORT(result.replays_differ)},
};
_Static_assert(ARRAY_COUNT(metric_from) + 1 == ARRAY_COUNT(report_metrics),
               "a metric has both a name and a place");

static uint64_t metric_count64(const void *base, size_t at)
{
    return *(const uint64_t *)(const void *)((const char *)base + at);
}

static double metric_double(const struct report *r, size_t at)
{
    return *(const double *)(const void *)((const char *)r + at);
}

/* NAN when nothing was recorded. */
static double metric_quantile(const struct hist *h, size_t at)
{
    return h->count ? (double)hist_quantile(h, (uint32_t)at) / 1e6 : NAN;
}

/* One population's, or everybody's. */
static double metric_wait(const struct report *r, size_t at, int population)
{
    static struct hist sum;
    hist_init(&sum);
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        if (population < 0 || (int)i == population) {
            hist_merge(&sum, &r->result.parties[i].wait);
        }
    }
    return metric_quantile(&sum, at);
}

static double metric_latency(const struct report *r, size_t at)
{
    static struct hist sum;
    hist_init(&sum);
    for (int i = 0; i < CROWD_ACT_COUNT; i++) {
        hist_merge(&sum, &r->result.latency[i]);
    }
    return metric_quantile(&sum, at);
}

static double metric_party(const struct report *r, size_t at, int population)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        sum += population < 0 || (int)i == population
                   ? metric_count64(&r->result.parties[i], at) : 0;
    }
    return (double)sum;
}

static uint64_t metric_slots(const struct report *r)
{
    uint64_t slots = 0;
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        slots += r->shares[i].slots;
    }
    return slots;
}

/* Shares of nothing are none. */
static double metric_share(const struct report *r, const struct metric *m, int population)
{
    const struct share *s = m->at == METRIC_OF_BOTS ? &r->bots
                            : population < 0        ? NULL
                                                    : &r->shares[population];
    uint64_t all = metric_slots(r);
    if (m->kind == METRIC_SLOTS) {
        return (double)(s ? s->slots : all);
    }
    CHECK(s != NULL);
    if (all == 0 && s->identities > 0) {
        return NAN;
    }
    return m->kind == METRIC_ADVANTAGE ? s->advantage : s->slot_share;
}

double report_metric(const void *user, size_t metric, int population)
{
    const struct report *r = user;
    CHECK(metric < ARRAY_COUNT(metric_from));
    const struct metric *m = &metric_from[metric];
    switch (m->kind) {
    case METRIC_SLOTS:
    case METRIC_ADVANTAGE:
    case METRIC_SLOT_SHARE:
        return metric_share(r, m, population);
    case METRIC_WAIT:
        return metric_wait(r, m->at, population);
    case METRIC_LATENCY:
        return metric_latency(r, m->at);
    case METRIC_PARTY:
        return metric_party(r, m->at, population);
    case METRIC_COUNT64:
        return (double)metric_count64(r, m->at);
    case METRIC_AUDIT:
        return r->audit.is_done ? (double)metric_count64(r, m->at) : NAN;
    case METRIC_SHARDS:
        return r->audit.is_done && r->audit.shards_asked ? (double)metric_count64(r, m->at) : NAN;
    case METRIC_DOUBLE:
        return metric_double(r, m->at);
    case METRIC_TAKEN: /* of the slots on offer, as the shard has them */
        return r->audit.is_done && r->audit.slots
                   ? (double)r->audit.taken / (double)r->audit.slots : NAN;
    case METRIC_FAIRNESS:
        return metric_slots(r) ? metric_double(r, m->at) : NAN;
    }
    return NAN;
}
