/* SPDX-License-Identifier: MIT */
/* Pass or fail by numbers: 'bot_advantage<1.05', 'wait_p95{population=people}<90s',
 * 'double_booked==0'.  Metrics are those of report_metric(). */
#ifndef FAIRSLOT_FLOOD_THRESHOLD_H
#define FAIRSLOT_FLOOD_THRESHOLD_H

#include "flood/report.h"

#define THRESHOLDS_MAX 32
#define THRESHOLD_TEXT 128 /* bytes of one, with its end */
#define THRESHOLD_WHY  256 /* bytes of what is wrong with one */

enum threshold_op { THRESHOLD_LT, THRESHOLD_LE, THRESHOLD_EQ, THRESHOLD_GE, THRESHOLD_GT };

struct threshold {
    char text[THRESHOLD_TEXT];       /* as it was given */
    char metric[32];
    char population[CROWD_NAME_MAX]; /* "": all */
    enum threshold_op op;
    double value;                    /* times in seconds */
};

enum { THRESHOLD_E_WRONG = 1 };
/* 0, or THRESHOLD_E_WRONG with the column and a suggestion in ret_why. */
int threshold_read(const char *text, const struct crowd_scenario *scenario,
                   struct threshold *ret_threshold, char ret_why[THRESHOLD_WHY]);
/* Is it met?  *ret_value is what was measured. */
bool threshold_met(const struct threshold *t, const struct report *r, double *ret_value);
/* Ticked list; how many were missed. */
size_t threshold_print(FILE *out, const struct threshold *all, size_t count,
                       const struct report *r);

#endif
