/* SPDX-License-Identifier: MIT */
/* Pass or fail by numbers: 'bot_advantage<1.05', 'wait_p95{population=people}<90s',
 * 'double_booked==0'.  What can be measured is a table of whoever measures it. */
#ifndef FAIRSLOT_FAIRNESS_THRESHOLD_H
#define FAIRSLOT_FAIRNESS_THRESHOLD_H

#include <stdio.h>

#include "crowd/crowd.h"

#define THRESHOLDS_MAX 32
#define THRESHOLD_TEXT 128 /* bytes of one, with its end */
#define THRESHOLD_WHY  256 /* bytes of what is wrong with one */

enum threshold_op { THRESHOLD_LT, THRESHOLD_LE, THRESHOLD_EQ, THRESHOLD_GE, THRESHOLD_GT };

enum threshold_unit {
    THRESHOLD_COUNT, /* no unit */
    THRESHOLD_RATIO, /* none or %; may be negative */
    THRESHOLD_SHARE, /* none or % */
    THRESHOLD_TIME,  /* us, ms, s, min, h; none: seconds */
};

/* Whose number it is. */
enum threshold_of {
    THRESHOLD_OF_RUN, /* of the whole run: it takes no population */
    THRESHOLD_OF_ANY, /* of the population that is named, else of all */
    THRESHOLD_OF_ONE, /* of the population that is named: of all together it says nothing */
};

/* What can be measured; a table ends with a NULL name. */
struct threshold_metric {
    const char *name;
    enum threshold_unit unit;
    enum threshold_of of;
};

struct threshold {
    char text[THRESHOLD_TEXT];       /* as it was given */
    size_t metric;                   /* its place in the table */
    int population;                  /* number; -1: of all */
    enum threshold_op op;
    double value;                    /* times in seconds */
};

enum { THRESHOLD_E_WRONG = 1 };
/* 0, or THRESHOLD_E_WRONG with the column and a suggestion in ret_why. */
int threshold_read(const char *text, const struct threshold_metric *metrics,
                   const struct crowd_scenario *scenario, struct threshold *ret_threshold,
                   char ret_why[THRESHOLD_WHY]);
/* `value` is what was measured; NAN: nothing was, and then it is missed. */
bool threshold_met(const struct threshold *t, double value);

/* A number of `user`'s; NAN: it was not measured. */
typedef double threshold_measure(const void *user, size_t metric, int population);
/* Ticked list; how many were missed. */
size_t threshold_print(FILE *out, const struct threshold *all, size_t count,
                       threshold_measure *measure, const void *user);

#endif
