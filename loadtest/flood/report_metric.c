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

/* Name, unit, whose, kind, and an offset or 1,000 times the percentile. */
#define METRICS(X)                                                                                \
    X(slots, COUNT, ANY, SLOTS, 0)                                                                \
    X(advantage, RATIO, ONE, ADVANTAGE, 0)                                                        \
    X(slot_share, SHARE, ONE, SLOT_SHARE, 0)                                                      \
    X(bot_slots, COUNT, RUN, SLOTS, METRIC_OF_BOTS)                                               \
    X(bot_advantage, RATIO, RUN, ADVANTAGE, METRIC_OF_BOTS)                                       \
    X(bot_slot_share, SHARE, RUN, SLOT_SHARE, METRIC_OF_BOTS)                                     \
    X(wait_p50, TIME, ANY, WAIT, 50000)                                                           \
    X(wait_p95, TIME, ANY, WAIT, 95000)                                                           \
    X(wait_p99, TIME, ANY, WAIT, 99000)                                                           \
    X(wait_max, TIME, ANY, WAIT, 100000)                                                          \
    X(latency_p50, TIME, RUN, LATENCY, 50000)                                                     \
    X(latency_p95, TIME, RUN, LATENCY, 95000)                                                     \
    X(latency_p99, TIME, RUN, LATENCY, 99000)                                                     \
    X(latency_max, TIME, RUN, LATENCY, 100000)                                                    \
    X(sent, COUNT, ANY, PARTY, METRIC_IN_PARTY(sent))                                             \
    X(answered, COUNT, ANY, PARTY, METRIC_IN_PARTY(answered))                                     \
    X(refused, COUNT, ANY, PARTY, METRIC_IN_PARTY(refused))                                       \
    X(timed_out, COUNT, ANY, PARTY, METRIC_IN_PARTY(timed_out))                                   \
    X(cancelled, COUNT, ANY, PARTY, METRIC_IN_PARTY(cancelled))                                   \
    X(unaccounted, COUNT, RUN, COUNT64, METRIC_IN_REPORT(unaccounted))                            \
    X(garbled, COUNT, RUN, COUNT64, METRIC_IN_REPORT(result.garbled))                             \
    X(oversold, COUNT, RUN, AUDIT, METRIC_IN_REPORT(audit.oversold))                              \
    X(double_booked, COUNT, RUN, AUDIT, METRIC_IN_REPORT(audit.double_booked))                    \
    X(double_won, COUNT, RUN, AUDIT, METRIC_IN_REPORT(audit.double_won))                          \
    X(lost, COUNT, RUN, AUDIT, METRIC_IN_REPORT(audit.lost))                                      \
    X(extra_tickets, COUNT, RUN, AUDIT, METRIC_IN_REPORT(audit.extra_tickets))                    \
    X(double_confirmed, COUNT, RUN, AUDIT, METRIC_IN_REPORT(audit.double_confirmed))              \
    X(order_wrong, COUNT, RUN, AUDIT, METRIC_IN_REPORT(audit.order_wrong))                        \
    X(shard_differs, COUNT, RUN, SHARDS, METRIC_IN_REPORT(audit.shard_differs))                   \
    X(unheard, COUNT, RUN, AUDIT, METRIC_IN_REPORT(audit.unheard))                                \
    X(jain, RATIO, RUN, FAIRNESS, METRIC_IN_REPORT(fair.jain))                                    \
    X(gini, RATIO, RUN, FAIRNESS, METRIC_IN_REPORT(fair.gini))                                    \
    X(arrival_spearman, RATIO, RUN, FAIRNESS, METRIC_IN_REPORT(fair.arrival_spearman))            \
    X(rtt_spearman, RATIO, RUN, FAIRNESS, METRIC_IN_REPORT(fair.rtt_spearman))                    \
    X(wasted_holds, COUNT, ANY, PARTY, METRIC_IN_PARTY(wasted))                                   \
    X(late_share, SHARE, RUN, DOUBLE, METRIC_IN_REPORT(late_share))                               \
    X(arrival_chi2, RATIO, RUN, FAIRNESS, METRIC_IN_REPORT(deciles_chi2))                         \
    X(taken_share, SHARE, RUN, TAKEN, 0)                                                          \
    X(passed, COUNT, ANY, PARTY, METRIC_IN_PARTY(passed))                                         \
    X(too_late, COUNT, ANY, PARTY, METRIC_IN_PARTY(too_late))                                     \
    X(replayed, COUNT, ANY, PARTY, METRIC_IN_PARTY(replayed))                                     \
    X(replays_differ, COUNT, RUN, COUNT64, METRIC_IN_REPORT(result.replays_differ))

const struct threshold_metric report_metrics[] = {
#define METRIC_NAME(name, unit, of, kind, at) {#name, THRESHOLD_##unit, THRESHOLD_OF_##of},
    METRICS(METRIC_NAME)
#undef METRIC_NAME
    {NULL, THRESHOLD_COUNT, THRESHOLD_OF_RUN},
};

static const struct metric {
    enum metric_kind kind;
    size_t at;
} metric_from[] = {
#define METRIC_FROM(name, unit, of, kind, at) {METRIC_##kind, at},
    METRICS(METRIC_FROM)
#undef METRIC_FROM
};

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
