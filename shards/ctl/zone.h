/* SPDX-License-Identifier: MIT */
/* Local times of an IANA zone and UTC, by the system's tzdata.  NOT pure and not thread-safe: libc
 * knows one zone a process (TZ), so only a single-threaded command may use this. */
#ifndef FAIRSLOT_CTL_ZONE_H
#define FAIRSLOT_CTL_ZONE_H

#include "base/types.h"

#define ZONE_NAME_MAX 63

/* A wall-clock reading. */
struct zone_local {
    int year, month, day;     /* month from 1 */
    int hour, minute, second;
};

enum {
    ZONE_E_UNKNOWN = 1,   /* tzdata has no such zone */
    ZONE_E_GAP = 2,       /* clocks skip this time (they go forward over it) */
    ZONE_E_AMBIGUOUS = 3, /* this time comes twice (clocks go back over it) */
};

/* A real date and time of day, year 1970 to 9999; no leap seconds. */
bool zone_local_valid(const struct zone_local *local);
/* As if UTC: seconds since the epoch. */
int64_t zone_utc(const struct zone_local *local);
/* 0 and the instant, or ZONE_E_*. `name` is terminated. */
int zone_to_utc(const char *name, const struct zone_local *local, int64_t *ret_s);
/* 0 and what the clocks there show (with the offset from UTC in seconds), or ZONE_E_UNKNOWN. */
int zone_from_utc(const char *name, int64_t s, struct zone_local *ret_local, long *ret_offset_s);

#endif
