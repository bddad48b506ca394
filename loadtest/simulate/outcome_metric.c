/* SPDX-License-Identifier: MIT */
/* The numbers of a simulated day by name, for thresholds: those of a run over sockets that have a
 * meaning without them.
 * Owns: nothing.  Fails: never; what nobody got to, or shares of no slot, are NAN: not measured. */
#include <math.h>

#include "base/check.h"
#include "simulate/outcome.h"

enum outcome_number {
    NUMBER_SLOTS, NUMBER_ADVANTAGE, NUMBER_SHARE, NUMBER_BOT_SLOTS, NUMBER_BOT_ADVANTAGE,
    NUMBER_BOT_SHARE, NUMBER_P50, NUMBER_P95, NUMBER_P99, NUMBER_MAX, NUMBER_SENT,
    NUMBER_ANSWERED, NUMBER_REFUSED, NUMBER_TIMED_OUT, NUMBER_CANCELLED, NUMBER_UNACCOUNTED,
    NUMBER_OVERSOLD, NUMBER_DOUBLE, NUMBER_CHI2, NUMBER_ARRIVAL, NUMBER_RTT, NUMBER_JAIN,
    NUMBER_GINI, NUMBER_WASTED, NUMBER_PASSED, NUMBER_TOO_LATE, NUMBER_REPLAYED, NUMBER_DIFFER,
    NUMBER_TAKEN, NUMBER_COUNT,
};

const struct threshold_metric outcome_metrics[] = {
    [NUMBER_SLOTS] = {"slots", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_ADVANTAGE] = {"advantage", THRESHOLD_RATIO, THRESHOLD_OF_ONE},
    [NUMBER_SHARE] = {"slot_share", THRESHOLD_SHARE, THRESHOLD_OF_ONE},
    [NUMBER_BOT_SLOTS] = {"bot_slots", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    [NUMBER_BOT_ADVANTAGE] = {"bot_advantage", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    [NUMBER_BOT_SHARE] = {"bot_slot_share", THRESHOLD_SHARE, THRESHOLD_OF_RUN},
    [NUMBER_P50] = {"wait_p50", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    [NUMBER_P95] = {"wait_p95", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    [NUMBER_P99] = {"wait_p99", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    [NUMBER_MAX] = {"wait_max", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    [NUMBER_SENT] = {"sent", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_ANSWERED] = {"answered", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_REFUSED] = {"refused", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_TIMED_OUT] = {"timed_out", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_CANCELLED] = {"cancelled", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_UNACCOUNTED] = {"unaccounted", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    [NUMBER_OVERSOLD] = {"oversold", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    [NUMBER_DOUBLE] = {"double_booked", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    [NUMBER_CHI2] = {"arrival_chi2", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    [NUMBER_ARRIVAL] = {"arrival_spearman", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    [NUMBER_RTT] = {"rtt_spearman", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    [NUMBER_JAIN] = {"jain", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    [NUMBER_GINI] = {"gini", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    [NUMBER_WASTED] = {"wasted_holds", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_PASSED] = {"passed", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_TOO_LATE] = {"too_late", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_REPLAYED] = {"replayed", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    [NUMBER_DIFFER] = {"replays_differ", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    [NUMBER_TAKEN] = {"taken_share", THRESHOLD_SHARE, THRESHOLD_OF_RUN},
    [NUMBER_COUNT] = {NULL, THRESHOLD_COUNT, THRESHOLD_OF_RUN},
};

static double outcome_wait(const struct outcome_day *o, uint32_t milli_percent, int population)
{
    static struct hist sum;
    hist_init(&sum);
    for (uint32_t i = 0; i < o->scenario.populations_count; i++) {
        if (population < 0 || (int)i == population) {
            hist_merge(&sum, &o->waits[i]);
        }
    }
    return sum.count ? outcome_seconds(&sum, milli_percent) : NAN;
}

static double outcome_request(const struct crowd_tally *t, size_t number)
{
    switch (number) {
    case NUMBER_SENT:
        return (double)t->sent;
    case NUMBER_ANSWERED:
        return (double)t->answered;
    case NUMBER_REFUSED:
        return (double)t->refused;
    case NUMBER_TIMED_OUT:
        return (double)t->timed_out;
    case NUMBER_CANCELLED:
        return (double)t->cancelled;
    case NUMBER_PASSED:
        return (double)t->passed;
    case NUMBER_TOO_LATE:
        return (double)t->too_late;
    case NUMBER_REPLAYED:
        return (double)t->replayed;
    default:
        return (double)t->wasted;
    }
}

/* Of the group that is meant; shares of no slot are none. */
static double outcome_group(const struct outcome_day *o, size_t number, int population)
{
    const struct fairness_group *g =
        number >= NUMBER_BOT_SLOTS ? &o->fairness.attack
        : population >= 0          ? &o->fairness.groups[population] : NULL;
    if (number == NUMBER_SLOTS || number == NUMBER_BOT_SLOTS) {
        return (double)(g ? g->slots : o->fairness.slots);
    }
    CHECK(g != NULL);
    if (o->fairness.slots == 0 && g->identities > 0) {
        return NAN;
    }
    return number == NUMBER_SHARE || number == NUMBER_BOT_SHARE ? g->slot_share : g->advantage;
}

/* Of all together. */
static double outcome_number(const struct outcome_day *o, size_t number)
{
    const struct fairness *f = &o->fairness;
    switch (number) {
    case NUMBER_UNACCOUNTED:
        return (double)o->unaccounted;
    case NUMBER_OVERSOLD:
        return (double)o->oversold;
    case NUMBER_DOUBLE:
        return (double)o->double_booked;
    case NUMBER_DIFFER:
        return (double)o->replays_differ;
    case NUMBER_TAKEN:
        return (double)o->taken / (double)o->scenario.slots;
    default:
        break;
    }
    if (f->slots == 0) {
        return NAN;
    }
    return number == NUMBER_CHI2      ? f->deciles_chi2
           : number == NUMBER_ARRIVAL ? f->arrival_spearman
           : number == NUMBER_RTT     ? f->rtt_spearman
           : number == NUMBER_JAIN    ? f->jain
                                      : f->gini;
}

double outcome_metric(const void *user, size_t number, int population)
{
    static const uint32_t points[] = {50000, 95000, 99000, 100000};
    const struct outcome_day *o = user;
    CHECK(number < NUMBER_COUNT);
    if (number <= NUMBER_BOT_SHARE) {
        return outcome_group(o, number, population);
    }
    if (number <= NUMBER_MAX) {
        return outcome_wait(o, points[number - NUMBER_P50], population);
    }
    if (number <= NUMBER_CANCELLED || (number >= NUMBER_WASTED && number <= NUMBER_REPLAYED)) {
        return outcome_request(population < 0 ? &o->sum : &o->tallies[population], number);
    }
    return outcome_number(o, number);
}
