/* SPDX-License-Identifier: MIT */
/* The numbers of a report by name: thresholds, comparisons and the JSON use the same table.
 * Owns: nothing.
 * Fails with false for a name that it does not know. */
#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "flood/report.h"

enum metric_kind {
    METRIC_SLOTS, METRIC_ADVANTAGE, METRIC_SLOT_SHARE, METRIC_WAIT, METRIC_LATENCY, METRIC_REPORT,
    METRIC_COUNT64, METRIC_AUDIT, METRIC_DOUBLE,
};

static const struct metric {
    const char *name;
    enum metric_kind kind;
    size_t at;         /* offset, or 1,000 times the percentile */
} metrics[] = {
    {"slots", METRIC_SLOTS, 0},
    {"advantage", METRIC_ADVANTAGE, 0},
    {"slot_share", METRIC_SLOT_SHARE, 0},
    {"bot_slots", METRIC_SLOTS, 1},
    {"bot_advantage", METRIC_ADVANTAGE, 1},
    {"bot_slot_share", METRIC_SLOT_SHARE, 1},
    {"wait_p50", METRIC_WAIT, 50000},
    {"wait_p95", METRIC_WAIT, 95000},
    {"wait_p99", METRIC_WAIT, 99000},
    {"wait_max", METRIC_WAIT, 100000},
    {"latency_p50", METRIC_LATENCY, 50000},
    {"latency_p95", METRIC_LATENCY, 95000},
    {"latency_p99", METRIC_LATENCY, 99000},
    {"latency_max", METRIC_LATENCY, 100000},
    {"sent", METRIC_COUNT64, offsetof(struct report, sent)},
    {"answered", METRIC_COUNT64, offsetof(struct report, answered)},
    {"refused", METRIC_COUNT64, offsetof(struct report, refused)},
    {"timed_out", METRIC_COUNT64, offsetof(struct report, timed_out)},
    {"cancelled", METRIC_COUNT64, offsetof(struct report, cancelled)},
    {"unaccounted", METRIC_COUNT64, offsetof(struct report, unaccounted)},
    {"garbled", METRIC_COUNT64, offsetof(struct report, result.garbled)},
    {"oversold", METRIC_AUDIT, offsetof(struct report, audit.oversold)},
    {"double_booked", METRIC_AUDIT, offsetof(struct report, audit.double_booked)},
    {"double_won", METRIC_AUDIT, offsetof(struct report, audit.double_won)},
    {"lost", METRIC_AUDIT, offsetof(struct report, audit.lost)},
    {"extra_tickets", METRIC_AUDIT, offsetof(struct report, audit.extra_tickets)},
    {"double_confirmed", METRIC_AUDIT, offsetof(struct report, audit.double_confirmed)},
    {"order_wrong", METRIC_AUDIT, offsetof(struct report, audit.order_wrong)},
    {"shard_differs", METRIC_AUDIT, offsetof(struct report, audit.shard_differs)},
    {"unheard", METRIC_AUDIT, offsetof(struct report, audit.unheard)},
    {"jain", METRIC_DOUBLE, offsetof(struct report, fair.jain)},
    {"gini", METRIC_DOUBLE, offsetof(struct report, fair.gini)},
    {"arrival_spearman", METRIC_DOUBLE, offsetof(struct report, fair.arrival_spearman)},
    {"rtt_spearman", METRIC_DOUBLE, offsetof(struct report, fair.rtt_spearman)},
    {"wasted_holds", METRIC_COUNT64, offsetof(struct report, wasted)},
    {"late_share", METRIC_DOUBLE, offsetof(struct report, late_share)},
    {"arrival_chi2", METRIC_DOUBLE, offsetof(struct report, deciles_chi2)},
};

const char *report_metric_name(size_t n)
{
    return n < ARRAY_COUNT(metrics) ? metrics[n].name : NULL;
}

/* One population's, or all but bots' when none is named and the metric is about waiting. */
static void metric_wait(const struct report *r, int party, struct hist *out)
{
    hist_init(out);
    for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
        if (party < 0 || (int)i == party) {
            hist_merge(out, &r->result.parties[i].wait);
        }
    }
}

static double metric_share(const struct report *r, const struct metric *m, int party)
{
    const struct share *s = m->at ? &r->bots : party < 0 ? NULL : &r->shares[party];
    uint64_t slots = 0;
    if (s == NULL) { /* of everybody */
        for (uint32_t i = 0; i < plan_whos(r->plan); i++) {
            slots += r->shares[i].slots;
        }
        return m->kind == METRIC_SLOTS ? (double)slots : 1;
    }
    return m->kind == METRIC_SLOTS       ? (double)s->slots
           : m->kind == METRIC_ADVANTAGE ? s->advantage
                                         : s->slot_share;
}

static double metric_value(const struct report *r, const struct metric *m, int party)
{
    static struct hist sum;
    switch (m->kind) {
    case METRIC_SLOTS:
    case METRIC_ADVANTAGE:
    case METRIC_SLOT_SHARE:
        return metric_share(r, m, party);
    case METRIC_WAIT:
        metric_wait(r, party, &sum);
        return (double)hist_quantile(&sum, (uint32_t)m->at) / 1e6;
    case METRIC_LATENCY:
        hist_init(&sum);
        for (int i = 0; i < CROWD_ACT_COUNT; i++) {
            hist_merge(&sum, &r->result.latency[i]);
        }
        return (double)hist_quantile(&sum, (uint32_t)m->at) / 1e6;
    case METRIC_COUNT64:
    case METRIC_AUDIT:
        return (double)*(const uint64_t *)(const void *)((const char *)r + m->at);
    case METRIC_REPORT:
    case METRIC_DOUBLE:
        return *(const double *)(const void *)((const char *)r + m->at);
    }
    return 0;
}

bool report_metric(const struct report *r, const char *name, const char *population,
                   double *ret_value)
{
    int party = -1;
    for (uint32_t i = 0; population && i < plan_whos(r->plan); i++) {
        if (strcmp(plan_who(r->plan, i)->name, population) == 0) {
            party = (int)i;
        }
    }
    if (population && party < 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(metrics); i++) {
        if (strcmp(metrics[i].name, name) == 0) {
            *ret_value = metric_value(r, &metrics[i], party);
            return true;
        }
    }
    return false;
}
