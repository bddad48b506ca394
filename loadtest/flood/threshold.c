/* SPDX-License-Identifier: MIT */
/* Thresholds: METRIC [ {population=NAME} ] OPERATOR NUMBER [ us | ms | s | min | % ].
 * Owns: nothing.
 * Fails at the first thing that is wrong, with its column and the nearest known word; what was
 * accepted can always be measured. */
#include "flood/threshold.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/guess.h"

struct threshold_reader {
    const char *text, *at;
    char *why;
};

__attribute__((format(printf, 2, 3)))
static int threshold_wrong(struct threshold_reader *r, const char *format, ...)
{
    va_list args;
    int n = snprintf(r->why, THRESHOLD_WHY, "'%.60s', column %zu: ", r->text,
                     (size_t)(r->at - r->text) + 1);
    va_start(args, format);
    vsnprintf(r->why + n, THRESHOLD_WHY - (size_t)n, format, args);
    va_end(args);
    return THRESHOLD_E_WRONG;
}

static size_t threshold_word(const struct threshold_reader *r, char *out, size_t max)
{
    size_t n = strspn(r->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    snprintf(out, max, "%.*s", (int)(n < max ? n : max - 1), r->at);
    return n;
}

static int threshold_metric(struct threshold_reader *r, struct threshold *t)
{
    struct guess guess;
    size_t n = threshold_word(r, t->metric, sizeof t->metric);
    guess_init(&guess, t->metric);
    for (size_t i = 0; report_metric_name(i); i++) {
        if (strcmp(report_metric_name(i), t->metric) == 0) {
            r->at += n;
            return 0;
        }
        guess_offer(&guess, report_metric_name(i));
    }
    if (guess.best) {
        return threshold_wrong(r, "unknown metric '%s': did you mean '%s'?", t->metric,
                               guess.best);
    }
    return threshold_wrong(r, "unknown metric '%s' (fairslot flood --help lists them)", t->metric);
}

static int threshold_population(struct threshold_reader *r, const struct crowd_scenario *s,
                                struct threshold *t)
{
    static const char key[] = "{population=";
    struct guess guess;
    if (*r->at != '{') {
        return 0;
    }
    if (strncmp(r->at, key, sizeof key - 1) != 0) {
        return threshold_wrong(r, "of labels there is {population=NAME} alone");
    }
    r->at += sizeof key - 1;
    size_t n = threshold_word(r, t->population, sizeof t->population);
    guess_init(&guess, t->population);
    for (uint32_t i = 0; i < s->populations_count; i++) {
        if (strcmp(s->populations[i].name, t->population) == 0) {
            r->at += n;
            if (*r->at != '}') {
                return threshold_wrong(r, "a '}' is missing here");
            }
            r->at++;
            return 0;
        }
        guess_offer(&guess, s->populations[i].name);
    }
    return guess.best ? threshold_wrong(r, "the scenario has no population '%s': did you mean "
                                        "'%s'?", t->population, guess.best)
                      : threshold_wrong(r, "the scenario has no population '%s'", t->population);
}

static int threshold_op(struct threshold_reader *r, struct threshold *t)
{
    static const struct {
        const char *word;
        enum threshold_op op;
    } ops[] = {{"<=", THRESHOLD_LE}, {">=", THRESHOLD_GE}, {"==", THRESHOLD_EQ},
               {"<", THRESHOLD_LT},  {">", THRESHOLD_GT}};
    r->at += strspn(r->at, " ");
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        if (strncmp(r->at, ops[i].word, strlen(ops[i].word)) == 0) {
            t->op = ops[i].op;
            r->at += strlen(ops[i].word);
            r->at += strspn(r->at, " ");
            return 0;
        }
    }
    return threshold_wrong(r, "<, <=, ==, >= or > stands here");
}

static int threshold_value(struct threshold_reader *r, struct threshold *t)
{
    static const struct {
        const char *word;
        double unit;
    } units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"min", 60}, {"%", 0.01}};
    char *end;
    t->value = strtod(r->at, &end);
    if (end == r->at || !isfinite(t->value) || t->value < 0) {
        return threshold_wrong(r, "a number that is not negative stands here");
    }
    r->at = end + strspn(end, " ");
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (strcmp(r->at, units[i].word) == 0) {
            t->value *= units[i].unit;
            return 0;
        }
    }
    return threshold_wrong(r, "unknown unit '%.16s': us, ms, s, min, %% or none", r->at);
}

int threshold_read(const char *text, const struct crowd_scenario *scenario,
                   struct threshold *ret_threshold, char ret_why[THRESHOLD_WHY])
{
    struct threshold t = {.text = ""};
    struct threshold_reader r = {.text = text, .at = text, .why = ret_why};
    if (strlen(text) >= sizeof t.text) {
        return threshold_wrong(&r, "longer than %zu bytes", sizeof t.text - 1);
    }
    snprintf(t.text, sizeof t.text, "%s", text);
    int e = threshold_metric(&r, &t);
    e = e ? e : threshold_population(&r, scenario, &t);
    e = e ? e : threshold_op(&r, &t);
    e = e ? e : threshold_value(&r, &t);
    if (e == 0) {
        *ret_threshold = t;
    }
    return e;
}

bool threshold_met(const struct threshold *t, const struct report *r, double *ret_value)
{
    const char *population = t->population[0] ? t->population : NULL;
    CHECK(report_metric(r, t->metric, population, ret_value));
    double v = *ret_value;
    switch (t->op) {
    case THRESHOLD_LT:
        return v < t->value;
    case THRESHOLD_LE:
        return v <= t->value;
    case THRESHOLD_EQ:
        return fabs(v - t->value) < 1e-9;
    case THRESHOLD_GE:
        return v >= t->value;
    case THRESHOLD_GT:
        return v > t->value;
    }
    return false;
}

size_t threshold_print(FILE *out, const struct threshold *all, size_t count,
                       const struct report *r)
{
    size_t missed = 0;
    for (size_t i = 0; i < count; i++) {
        double value;
        bool is_met = threshold_met(&all[i], r, &value);
        missed += !is_met;
        fprintf(out, "  %s %s   (%.6g)\n", is_met ? "\u2713" : "\u2717", all[i].text, value);
    }
    return missed;
}
