/* SPDX-License-Identifier: MIT */
/* Words of the command line as values, and back.  Pure. */
#ifndef FAIRSLOT_CTL_VALUE_H
#define FAIRSLOT_CTL_VALUE_H

#include "base/types.h"
#include "ctl/zone.h"

#define VALUE_HOST_MAX 255
#define VALUE_UUID_MAX 37 /* 36 characters and the end */
#define VALUE_TIME_MAX 40

/* A whole decimal number, min to max. */
bool value_count(const char *text, long min, long max, long *ret_count);
/* "90", "90s", "10m", "1h", "30d": more than 0, at most 10 years, in seconds. */
bool value_duration(const char *text, int64_t *ret_s);
/* "HOST:PORT", "[::1]:PORT"; brackets are taken off.  `ret_host` has VALUE_HOST_MAX + 1 bytes. */
bool value_target(const char *text, char *ret_host, int *ret_port);
/* 127.0.0.0/8, ::1 or localhost: bytes that never leave the machine. */
bool value_loopback(const char *host);
/* 0.0.0.0 or ::, on which one listens and where nobody is reached. */
bool value_any(const char *host);

/* "2026-12-01". */
bool value_date(struct span text, struct zone_local *ret_local);
/* "09:00", "9:00", "09:00:30", each with an optional "Z", "+01:00" or "-0500" behind it; sets the
 * time of day.  ret_offset_s is for *ret_has_offset. */
bool value_clock(struct span text, struct zone_local *ret_local, bool *ret_has_offset,
                 long *ret_offset_s);
/* RFC 3339 with its offset, or a date alone (midnight UTC), in microseconds since the epoch. */
bool value_time(const char *text, int64_t *ret_us);
/* RFC 3339 in UTC with as many fraction digits as needed; `out` has VALUE_TIME_MAX bytes. */
void value_rfc3339(int64_t seconds, int32_t nanos, char *out);

/* 16 bytes as a UUID of version `version` (their version and variant bits are overwritten). */
void value_uuid(const uint8_t *bytes, unsigned version, char *out);
bool value_uuid_valid(const char *text);

#endif
