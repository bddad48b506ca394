/* SPDX-License-Identifier: MIT */
/* Goal: a threshold that is accepted means what it says at its very edge, what was not measured is
 * missed, and one that is wrong, or would mean nothing, is told with its column and what to do. */
#include "fairness/threshold.h"

#include <math.h>

#include "base/check.h"
#include "tests/lib/tap.h"

static const struct threshold_metric metrics[] = {
    {"slots", THRESHOLD_COUNT, THRESHOLD_OF_ANY},
    {"bot_slots", THRESHOLD_COUNT, THRESHOLD_OF_RUN},
    {"bot_advantage", THRESHOLD_RATIO, THRESHOLD_OF_RUN},
    {"slot_share", THRESHOLD_SHARE, THRESHOLD_OF_ONE},
    {"wait_p95", THRESHOLD_TIME, THRESHOLD_OF_ANY},
    {NULL, THRESHOLD_COUNT, THRESHOLD_OF_RUN},
};

static struct crowd_scenario scenario;

static void begin(void)
{
    memset(&scenario, 0, sizeof scenario);
    scenario.populations_count = 2;
    strcpy(scenario.populations[0].name, "people");
    strcpy(scenario.populations[1].name, "bots");
}

/* 1: met, 0: missed, -1: refused. */
static int met(const char *text, double value)
{
    struct threshold t;
    char why[THRESHOLD_WHY];
    if (threshold_read(text, metrics, &scenario, &t, why)) {
        printf("# %s\n", why);
        return -1;
    }
    return threshold_met(&t, value);
}

static void test_operators_at_their_edge(void)
{
    static const struct {
        const char *text;
        double value;
        int met;
    } cases[] = {
        {"bot_slots<3", 3, 0},   {"bot_slots<=3", 3, 1}, {"bot_slots==3", 3, 1},
        {"bot_slots>=3", 3, 1},  {"bot_slots>3", 3, 0},  {"bot_slots<4", 3, 1},
        {"bot_slots>2", 3, 1},   {"bot_slots==2", 3, 0}, {"bot_slots < 4", 3, 1},
        {"bot_advantage<1.05", 1.05, 0}, {"bot_advantage<=1.05", 1.05, 1},
        {"bot_advantage<=105%", 1.05, 1}, {"bot_advantage>-0.1", -0.05, 1},
        {"bot_advantage>-0.1", -0.2, 0}, {"slot_share{population=bots}<=5%", 0.05, 1},
        {"slot_share{population=bots}<5%", 0.05, 0}, {"slots{population=people} == 17", 17, 1},
    };
    begin();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (met(cases[i].text, cases[i].value) != cases[i].met) {
            printf("# %s\n", cases[i].text);
            OK(false);
        }
    }
}

static void test_times(void)
{
    begin();
    OK(met("wait_p95==1.5s", 1.5) == 1 && met("wait_p95==1.5", 1.5) == 1 &&
       met("wait_p95==1500ms", 1.5) == 1 && met("wait_p95==1500000us", 1.5) == 1 &&
       met("wait_p95==0.025min", 1.5) == 1 && met("wait_p95{population=people}<1h", 3599) == 1 &&
       met("wait_p95 < 90 s", 90) == 0);
}

static void test_whose_it_is(void)
{
    struct threshold t;
    char why[THRESHOLD_WHY];
    begin();
    EQ(threshold_read("slots>3", metrics, &scenario, &t, why), 0);
    EQ(t.population, -1);
    EQ(threshold_read("slots{population=bots}>3", metrics, &scenario, &t, why), 0);
    EQ(t.population, 1);
    EQ(t.metric, 0);
}

static void test_what_was_not_measured_is_missed(void)
{
    static const char *const ops[] = {"bot_slots<9", "bot_slots<=9", "bot_slots==0",
                                      "bot_slots>=0", "bot_slots>0"};
    begin();
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        EQ(met(ops[i], NAN), 0);
    }
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
        {"slots=3", "column 6: <, <=, ==, >= or > stands here: did you mean '=='?"},
        {"slots<", "column 7: a number that is not negative"},
        {"slots<-1", "column 7: a number that is not negative"},
        {"slots<nan", "column 7: a number that is not negative"},
        {"bot_advantage<inf", "column 15: a number stands here"},
        {"slots<three", "column 7"},
        {"wait_p95<3 days", "column 12: wait_p95 takes us, ms, s, min, h or none (seconds), not"},
        {"wait_p95<50%", "column 12: wait_p95 takes us, ms"},
        {"slots<5ms", "column 8: slots takes no unit, not 'ms'"},
        {"bot_slots<=33%", "column 14: bot_slots takes no unit, not '%'"},
        {"slot_share{population=bots}<3s", "column 30: slot_share takes % or no unit, not 's'"},
        {"slot_share<5%", "column 11: slot_share is one population's: slot_share{population=peo"},
        {"bot_slots{population=people}<3", "column 10: bot_slots is of the whole run: leave"},
        {"slots{group=people}<3", "column 6: of labels there is"},
        {"slots{population=poeple}<3", "column 18: the scenario has no population 'poeple': did"},
        {"slots{population=people<3", "column 24: a '}' is missing"},
        {"slots{population=}<3", "has no population ''"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct threshold t = {.text = "untouched"};
        char why[THRESHOLD_WHY] = "";
        EQ(threshold_read(cases[i].text, metrics, &scenario, &t, why), THRESHOLD_E_WRONG);
        if (strstr(why, cases[i].why) == NULL) {
            printf("# '%s' is not in '%s'\n", cases[i].why, why);
            OK(false);
        }
        OK(strcmp(t.text, "untouched") == 0);
    }
}

static void test_one_that_is_too_long(void)
{
    char text[4 * THRESHOLD_TEXT], why[THRESHOLD_WHY] = "";
    struct threshold t;
    begin();
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    EQ(threshold_read(text, metrics, &scenario, &t, why), THRESHOLD_E_WRONG);
    OK(strstr(why, "longer than") != NULL);
}

/* 3 slots of the bots; nobody waited. */
static double measure(const void *user, size_t metric, int population)
{
    (void)user;
    (void)population;
    return metrics[metric].unit == THRESHOLD_TIME ? NAN : 3;
}

static void test_the_list(void)
{
    struct threshold all[3];
    char why[THRESHOLD_WHY], said[512] = "";
    begin();
    EQ(threshold_read("bot_slots<3", metrics, &scenario, &all[0], why), 0);
    EQ(threshold_read("bot_slots<4", metrics, &scenario, &all[1], why), 0);
    EQ(threshold_read("wait_p95<90s", metrics, &scenario, &all[2], why), 0);
    FILE *out = fmemopen(said, sizeof said, "w");
    EQ(threshold_print(out, all, 3, measure, NULL), 2);
    fclose(out);
    OK(strstr(said, "\u2717 bot_slots<3   (3)\n") != NULL);
    OK(strstr(said, "\u2713 bot_slots<4   (3)\n") != NULL);
    OK(strstr(said, "\u2717 wait_p95<90s   (not measured)\n") != NULL);
}

int main(void)
{
    TAP_RUN(test_operators_at_their_edge);
    TAP_RUN(test_times);
    TAP_RUN(test_whose_it_is);
    TAP_RUN(test_what_was_not_measured_is_missed);
    TAP_RUN(test_what_is_wrong_is_told);
    TAP_RUN(test_one_that_is_too_long);
    TAP_RUN(test_the_list);
    return tap_done();
}
