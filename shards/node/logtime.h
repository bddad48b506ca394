/* SPDX-License-Identifier: MIT */
/* Log time: what a command's "now" is (docs/decisions/0006).  Pure: both clocks come in.
 * It advances with the monotonic clock; the wall clock only slews it, by at most 1 %, so that one
 * bad clock neither opens a release nor expires a hold.  It never goes back. */
#ifndef FAIRSLOT_NODE_LOGTIME_H
#define FAIRSLOT_NODE_LOGTIME_H

#include "base/types.h"

#define LOGTIME_SLEW_PERCENT 1

struct logtime {
    int64_t log_us;   /* log time at mono_us */
    int64_t mono_us;  /* monotonic instant of the last step */
    int64_t rest_us;  /* elapsed time that was too short for a whole microsecond of slew */
};

/* Starts at the later of the last log time and the wall clock: no monotonic clock spans a
 * restart. */
void logtime_init(struct logtime *t, int64_t last_log_us, int64_t wall_us, int64_t mono_us);
/* Steps to mono_us (an earlier instant steps by nothing) and returns the log time. */
int64_t logtime_advance(struct logtime *t, int64_t wall_us, int64_t mono_us);

/* The latest instant that the clocks of a majority of so many voters have passed; with fewer clocks
 * than that, the earliest of them.  Sorts clocks; count > 0. */
int64_t logtime_majority(int64_t *clocks, size_t count, size_t voters);
/* Another one leads: its entry of that log time came at that monotonic instant. */
void logtime_follow(struct logtime *t, int64_t log_us, int64_t mono_us);

#endif
