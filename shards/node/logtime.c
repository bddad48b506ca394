/* SPDX-License-Identifier: MIT */
/* Log time out of two clocks.  Owns nothing but its struct.
 *   log += elapsed + clamp(wall - (log + elapsed), -1 %, +1 % of elapsed)
 * happy path: wall and log agree, nothing is slewed.  A wall clock that jumps by an hour is
 * followed at 36 s an hour.  Fails never.
 * Invariant: elapsed >= 0 and slew >= -elapsed / 100, so log time never goes back.
 * Road not taken: following the wall clock within a bound (NTP steps are small, broken clocks are
 * not, and both look the same from here). */
#include "node/logtime.h"

void logtime_init(struct logtime *t, int64_t last_log_us, int64_t wall_us, int64_t mono_us)
{
    t->log_us = last_log_us > wall_us ? last_log_us : wall_us;
    t->mono_us = mono_us;
    t->rest_us = 0;
}

int64_t logtime_advance(struct logtime *t, int64_t wall_us, int64_t mono_us)
{
    int64_t elapsed = mono_us - t->mono_us;
    if (elapsed <= 0) {
        return t->log_us;
    }
    t->mono_us = mono_us;
    t->log_us += elapsed;
    /* Rounds are short: without the rest, 1 % of 90 us would never be anything. */
    int64_t share = elapsed * LOGTIME_SLEW_PERCENT + t->rest_us;
    int64_t slew_max = share / 100;
    t->rest_us = share % 100;
    int64_t drift = wall_us - t->log_us;
#ifdef PLANT_FOLLOW_WALL /* never defined but by tests/sim */
    return t->log_us = wall_us;
#endif
    t->log_us += drift > slew_max ? slew_max : drift < -slew_max ? -slew_max : drift;
    return t->log_us;
}

void logtime_follow(struct logtime *t, int64_t log_us, int64_t mono_us)
{
    *t = (struct logtime){.log_us = log_us, .mono_us = mono_us};
}

int64_t logtime_majority(int64_t *clocks, size_t count, size_t voters)
{
    for (size_t i = 1; i < count; i++) { /* latest first */
        for (size_t k = i; k > 0 && clocks[k] > clocks[k - 1]; k--) {
            int64_t later = clocks[k];
            clocks[k] = clocks[k - 1];
            clocks[k - 1] = later;
        }
    }
    size_t before = voters / 2; /* with that many before it, a majority has passed it */
    return clocks[before < count ? before : count - 1];
}
