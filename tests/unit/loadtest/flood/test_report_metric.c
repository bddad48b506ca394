/* SPDX-License-Identifier: MIT */
/* Goal: every metric that a threshold may name has its own number, and one that nobody measured has
 * none: an audit that was not made, waits of nobody, shares of no slot. */
#include "flood/report.h"

#include <math.h>

#include "base/check.h"
#include "tests/lib/tap.h"

static struct plan plan;
static struct report report;

/* A run in which everything was measured. */
static void begin(void)
{
    memset(&report, 0, sizeof report);
    memset(&plan, 0, sizeof plan);
    plan.scenario.populations_count = 2;
    strcpy(plan.scenario.populations[0].name, "people");
    strcpy(plan.scenario.populations[1].name, "bots");
    report.plan = &plan;
    result_init(&report.result);
    report.bots = (struct share){.identities = 9, .slots = 3, .advantage = 1.05};
    report.shares[0] = (struct share){.identities = 50, .slots = 17, .advantage = 0.99};
    report.shares[1] = report.bots;
    report.audit.is_done = true;
    report.audit.shards_asked = 1;
    report.audit.slots = 20;
    report.audit.taken = 15;
    for (uint32_t i = 0; i < 2; i++) {
        hist_record(&report.result.parties[i].wait, 1500000 * (i + 1));
        report.result.parties[i].refused = 10 + i;
    }
    hist_record(&report.result.latency[0], 2000);
}

static double of(const char *name, int population)
{
    size_t i = 0;
    while (report_metrics[i].name && strcmp(report_metrics[i].name, name) != 0) {
        i++;
    }
    CHECK(report_metrics[i].name != NULL);
    return report_metric(&report, i, population);
}

static void test_every_metric_can_be_measured(void)
{
    size_t n = 0;
    begin();
    for (; report_metrics[n].name; n++) {
        int population = report_metrics[n].of == THRESHOLD_OF_ONE ? 1 : -1;
        OK(report_metric(&report, n, population) >= 0);
    }
    OK(n > 35);
}

static void test_whose_it_is(void)
{
    begin();
    OK(of("slots", -1) == 20 && of("slots", 0) == 17 && of("bot_slots", -1) == 3);
    OK(of("advantage", 0) == 0.99 && of("bot_advantage", -1) == 1.05);
    OK(of("refused", -1) == 21 && of("refused", 1) == 11);
    OK(fabs(of("wait_max", 0) - 1.5) < 1e-9 && fabs(of("wait_max", -1) - 3) < 1e-9);
    OK(fabs(of("latency_max", -1) - 0.002) < 1e-9);
}

static void test_an_audit_that_was_not_made_shows_nothing(void)
{
    static const char *const audits[] = {
        "oversold", "double_booked", "double_won", "lost", "extra_tickets", "double_confirmed",
        "order_wrong", "shard_differs", "unheard"};
    begin();
    OK(of("taken_share", -1) == 0.75);
    for (size_t i = 0; i < ARRAY_COUNT(audits); i++) {
        OK(of(audits[i], -1) == 0);
    }
    report.audit.is_done = false;
    for (size_t i = 0; i < ARRAY_COUNT(audits); i++) {
        OK(isnan(of(audits[i], -1)));
    }
    OK(isnan(of("taken_share", -1)));
    report.audit = (struct audit){.is_done = true};
    OK(isnan(of("shard_differs", -1)));
}

static void test_waits_of_nobody_and_shares_of_nothing(void)
{
    begin();
    hist_init(&report.result.parties[0].wait);
    hist_init(&report.result.latency[0]);
    OK(isnan(of("wait_p95", 0)) && of("wait_p95", 1) > 0 && isnan(of("latency_p99", -1)));
    report.shares[0].slots = report.shares[1].slots = report.bots.slots = 0;
    OK(isnan(of("bot_advantage", -1)) && isnan(of("slot_share", 0)) && isnan(of("jain", -1)));
    OK(of("slots", -1) == 0 && of("bot_slots", -1) == 0);
    report.bots.identities = 0; /* nobody attacks: nothing is taken */
    report.bots.advantage = 0;
    OK(of("bot_advantage", -1) == 0);
}

int main(void)
{
    TAP_RUN(test_every_metric_can_be_measured);
    TAP_RUN(test_whose_it_is);
    TAP_RUN(test_an_audit_that_was_not_made_shows_nothing);
    TAP_RUN(test_waits_of_nobody_and_shares_of_nothing);
    return tap_done();
}
