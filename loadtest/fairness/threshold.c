/* SPDX-License-Identifier: MIT */
/* Thresholds: METRIC [ {population=NAME} ] OPERATOR NUMBER [ us | ms | s | min | h | % ].
 * Owns: nothing.
 * Fails at the first thing that is wrong, with its column and the nearest known word.  What is
 * accepted means something: a unit that fits its metric, a population only where the number is one
 * population's.  What was not measured is missed, never met: a run whose audit could not be made
 * has not shown that nothing was sold twice. */
#include "fairness/threshold.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/guess.h"

struct threshold_reader {
    const char *text, *at;
    char *why;
    const struct threshold_metric *metrics;
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
    char word[32];
    struct guess guess;
    size_t n = threshold_word(r, word, sizeof word);
    guess_init(&guess, word);
    for (size_t i = 0; r->metrics[i].name; i++) {
        if (strcmp(r->metrics[i].name, word) == 0) {
            r->at += n;
            t->metric = i;
            return 0;
        }
        guess_offer(&guess, r->metrics[i].name);
    }
    if (guess.best) {
        return threshold_wrong(r, "unknown metric '%s': did you mean '%s'?", word, guess.best);
    }
    return threshold_wrong(r, "unknown metric '%s' (--help lists them)", word);
}

static int threshold_named(struct threshold_reader *r, const struct crowd_scenario *s,
                           struct threshold *t)
{
    char word[CROWD_NAME_MAX];
    struct guess guess;
    size_t n = threshold_word(r, word, sizeof word);
    guess_init(&guess, word);
    for (uint32_t i = 0; i < s->populations_count; i++) {
        if (strcmp(s->populations[i].name, word) == 0) {
            r->at += n;
            t->population = (int)i;
            return 0;
        }
        guess_offer(&guess, s->populations[i].name);
    }
    return guess.best ? threshold_wrong(r, "the scenario has no population '%s': did you mean "
                                        "'%s'?", word, guess.best)
                      : threshold_wrong(r, "the scenario has no population '%s'", word);
}

static int threshold_population(struct threshold_reader *r, const struct crowd_scenario *s,
                                struct threshold *t)
{
    static const char key[] = "{population=";
    const struct threshold_metric *m = &r->metrics[t->metric];
    t->population = -1;
    if (*r->at != '{' && m->of == THRESHOLD_OF_ONE) {
        return threshold_wrong(r, "%s is one population's: %s{population=%s}", m->name, m->name,
                               s->populations_count ? s->populations[0].name : "NAME");
    }
    if (*r->at != '{') {
        return 0;
    }
    if (m->of == THRESHOLD_OF_RUN) {
        return threshold_wrong(r, "%s is of the whole run: leave {population} away", m->name);
    }
    if (strncmp(r->at, key, sizeof key - 1) != 0) {
        return threshold_wrong(r, "of labels there is {population=NAME} alone");
    }
    r->at += sizeof key - 1;
    int e = threshold_named(r, s, t);
    if (e == 0 && *r->at != '}') {
        return threshold_wrong(r, "a '}' is missing here");
    }
    r->at += e == 0;
    return e;
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
    return threshold_wrong(r, "<, <=, ==, >= or > stands here%s",
                           *r->at == '=' ? ": did you mean '=='?" : "");
}

static int threshold_unit(struct threshold_reader *r, struct threshold *t)
{
    static const struct {
        const char *word;
        double times;
    } units[] = {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"min", 60}, {"h", 3600}};
    enum threshold_unit unit = r->metrics[t->metric].unit;
    bool is_percent = strcmp(r->at, "%") == 0;
    if (*r->at == 0) {
        return 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(units) && unit == THRESHOLD_TIME; i++) {
        if (strcmp(r->at, units[i].word) == 0) {
            t->value *= units[i].times;
            return 0;
        }
    }
    if (is_percent && (unit == THRESHOLD_RATIO || unit == THRESHOLD_SHARE)) {
        t->value *= 0.01;
        return 0;
    }
    return threshold_wrong(r, "%s takes %s, not '%.16s'", r->metrics[t->metric].name,
                           unit == THRESHOLD_TIME    ? "us, ms, s, min, h or none (seconds)"
                           : unit == THRESHOLD_COUNT ? "no unit"
                                                     : "% or no unit", r->at);
}

static int threshold_value(struct threshold_reader *r, struct threshold *t)
{
    char *end;
    bool may_be_negative = r->metrics[t->metric].unit == THRESHOLD_RATIO;
    t->value = strtod(r->at, &end);
    if (end == r->at || !isfinite(t->value) || (t->value < 0 && !may_be_negative)) {
        return threshold_wrong(r, may_be_negative ? "a number stands here"
                                                  : "a number that is not negative stands here");
    }
    r->at = end + strspn(end, " ");
    return threshold_unit(r, t);
}

int threshold_read(const char *text, const struct threshold_metric *metrics,
                   const struct crowd_scenario *scenario, struct threshold *ret_threshold,
                   char ret_why[THRESHOLD_WHY])
{
    struct threshold t = {.text = ""};
    struct threshold_reader r = {text, text, ret_why, metrics};
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

bool threshold_met(const struct threshold *t, double value)
{
    switch (t->op) {
    case THRESHOLD_LT:
        return value < t->value;
    case THRESHOLD_LE:
        return value <= t->value;
    case THRESHOLD_EQ:
        return fabs(value - t->value) < 1e-9;
    case THRESHOLD_GE:
        return value >= t->value;
    case THRESHOLD_GT:
        return value > t->value;
    }
    return false;
}

size_t threshold_print(FILE *out, const struct threshold *all, size_t count,
                       threshold_measure *measure, const void *user)
{
    size_t missed = 0;
    for (size_t i = 0; i < count; i++) {
        double value = measure(user, all[i].metric, all[i].population);
        bool is_met = threshold_met(&all[i], value);
        missed += !is_met;
        fprintf(out, "  %s %s   ", is_met ? "\u2713" : "\u2717", all[i].text);
        fprintf(out, isnan(value) ? "(not measured)\n" : "(%.6g)\n", value);
    }
    return missed;
}
