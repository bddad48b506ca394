/* SPDX-License-Identifier: MIT */
/* Goal: a threshold that is accepted can be measured, means what it says at its very edge, and one
 * that is wrong is told with its column and the nearest word. */
#include "flood/threshold.h"

#include "base/check.h"
#include "tests/lib/tap.h"

static struct plan plan;
static struct report report;

static void begin(void)
{
    memset(&report, 0, sizeof report);
    memset(&plan, 0, sizeof plan);
    plan.scenario.populations_count = 2;
    strcpy(plan.scenario.populations[0].name, "people");
    strcpy(plan.scenario.populations[1].name, "bots");
    report.plan = &plan;
    result_init(&report.result);
    report.bots.advantage = 1.05;
    report.bots.slots = 3;
    report.shares[0].slots = 17;
    report.shares[1].slots = 3;
}

/* 1: met, 0: missed, -1: refused. */
static int met(const char *text)
{
    struct threshold t;
    char why[THRESHOLD_WHY];
    double value;
    if (threshold_read(text, &plan.scenario, &t, why)) {
        printf("# %s\n", why);
        return -1;
    }
    return threshold_met(&t, &report, &value);
}

static void test_operators_at_their_edge(void)
{
    static const struct {
        const char *text;
        int met;
    } cases[] = {
        {"bot_slots<3", 0},  {"bot_slots<=3", 1}, {"bot_slots==3", 1},  {"bot_slots>=3", 1},
        {"bot_slots>3", 0},  {"bot_slots<4", 1},  {"bot_slots>2", 1},   {"bot_slots==2", 0},
        {"bot_slots < 4", 1}, {"bot_advantage<1.05", 0}, {"bot_advantage<=1.05", 1},
        {"slots==20", 1},    {"slots{population=people}==17", 1},
        {"slots{population=bots} == 3", 1}, {"bot_slot_share==0%", 1},
    };
    begin();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (met(cases[i].text) != cases[i].met) {
            printf("# %s\n", cases[i].text);
            OK(false);
        }
    }
}

static void test_units(void)
{
    begin();
    hist_record(&report.result.parties[0].wait, 1500000);
    OK(met("wait_max==1.5s") == 1 && met("wait_max==1.5") == 1 && met("wait_max==1500ms") == 1 &&
       met("wait_max==1500000us") == 1 && met("wait_max==0.025min") == 1);
    OK(met("wait_p95{population=people}<2s") == 1);
    OK(met("wait_p95{population=bots}==0s") == 1); /* nobody of them waited */
    report.late_share = 0.02;
    OK(met("late_share<=2%") == 1 && met("late_share<1.9%") == 0);
}

static void test_every_metric_can_be_measured(void)
{
    char text[THRESHOLD_TEXT];
    size_t n = 0;
    begin();
    for (; report_metric_name(n); n++) {
        snprintf(text, sizeof text, "%s>=0", report_metric_name(n));
        OK(met(text) == 1);
    }
    OK(n > 35);
}

static void test_what_is_wrong_is_told(void)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"bot_advantag<1", "column 1: unknown metric 'bot_advantag': did you mean"},
        {"", "column 1: unknown metric"},
        {"<3", "column 1: unknown metric"},
        {"slots", "column 6: <, <=, ==, >= or > stands here"},
        {"slots=3", "column 6: <, <="},
        {"slots<", "column 7: a number that is not negative"},
        {"slots<-1", "column 7: a number that is not negative"},
        {"slots<nan", "column 7: a number that is not negative"},
        {"slots<three", "column 7"},
        {"slots<3 days", "column 9: unknown unit 'days'"},
        {"slots{group=people}<3", "column 6: of labels there is"},
        {"slots{population=poeple}<3", "column 18: the scenario has no population 'poeple': did"},
        {"slots{population=people<3", "column 24: a '}' is missing"},
        {"slots{population=}<3", "has no population ''"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct threshold t = {.metric = "untouched"};
        char why[THRESHOLD_WHY] = "";
        EQ(threshold_read(cases[i].text, &plan.scenario, &t, why), THRESHOLD_E_WRONG);
        if (strstr(why, cases[i].why) == NULL) {
            printf("# '%s' is not in '%s'\n", cases[i].why, why);
            OK(false);
        }
        OK(strcmp(t.metric, "untouched") == 0);
    }
}

static void test_one_that_is_too_long(void)
{
    char text[4 * THRESHOLD_TEXT], why[THRESHOLD_WHY] = "";
    struct threshold t;
    begin();
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    EQ(threshold_read(text, &plan.scenario, &t, why), THRESHOLD_E_WRONG);
    OK(strstr(why, "longer than") != NULL);
}

static void test_the_list(void)
{
    struct threshold all[2];
    char why[THRESHOLD_WHY], said[512] = "";
    begin();
    EQ(threshold_read("bot_slots<3", &plan.scenario, &all[0], why), 0);
    EQ(threshold_read("bot_slots<4", &plan.scenario, &all[1], why), 0);
    FILE *out = fmemopen(said, sizeof said, "w");
    EQ(threshold_print(out, all, 2, &report), 1);
    fclose(out);
    OK(strstr(said, "\u2717 bot_slots<3   (3)") != NULL);
    OK(strstr(said, "\u2713 bot_slots<4   (3)") != NULL);
}

int main(void)
{
    TAP_RUN(test_operators_at_their_edge);
    TAP_RUN(test_units);
    TAP_RUN(test_every_metric_can_be_measured);
    TAP_RUN(test_what_is_wrong_is_told);
    TAP_RUN(test_one_that_is_too_long);
    TAP_RUN(test_the_list);
    return tap_done();
}
