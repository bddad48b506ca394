/* SPDX-License-Identifier: MIT */
/* Local time to UTC, without ever guessing.
 *   local, read as UTC -> the offsets a day before and a day after -> each one tried: does the
 *   instant read back as this local time?  none: gap.  two: ambiguous.  one: that is it.
 * Owns the process's TZ variable while in use (the zone asked for last stays set).
 * libc takes an unknown zone for UTC without a word, so the zone's file is looked for first.
 * Not taken: mktime() alone, which picks a side in gaps and doubled hours, differently by libc. */
#include "ctl/zone.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ZONE_DAY_S 86400

static char zone_current[ZONE_NAME_MAX + 1];

static bool zone_exists(const char *name)
{
    char path[512], magic[4] = {0};
    const char *dir = getenv("TZDIR");
    size_t len = strlen(name);
    if (len == 0 || len > ZONE_NAME_MAX || !isalpha((unsigned char)name[0])) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("_+-/", name[i])) {
            return false;
        }
    }
    int n = snprintf(path, sizeof(path), "%s/%s", dir ? dir : "/usr/share/zoneinfo", name);
    FILE *f = n > 0 && (size_t)n < sizeof(path) ? fopen(path, "re") : NULL;
    if (!f) {
        return false;
    }
    bool good = fread(magic, 1, sizeof(magic), f) == sizeof(magic) && !memcmp(magic, "TZif", 4);
    fclose(f);
    return good;
}

static bool zone_select(const char *name)
{
    if (strcmp(name, zone_current) == 0) {
        return true;
    }
    if (!zone_exists(name) || setenv("TZ", name, 1) < 0) {
        return false;
    }
    tzset();
    strcpy(zone_current, name); /* zone_exists() checked the length */
    return true;
}

bool zone_local_valid(const struct zone_local *l)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (l->year < 1970 || l->year > 9999 || l->month < 1 || l->month > 12) {
        return false;
    }
    bool leap = (l->year % 4 == 0 && l->year % 100 != 0) || l->year % 400 == 0;
    int last = days[l->month - 1] + (l->month == 2 && leap ? 1 : 0);
    return l->day >= 1 && l->day <= last && l->hour >= 0 && l->hour < 24 && l->minute >= 0 &&
           l->minute < 60 && l->second >= 0 && l->second < 60;
}

int64_t zone_utc(const struct zone_local *l)
{
    struct tm tm = {.tm_year = l->year - 1900, .tm_mon = l->month - 1, .tm_mday = l->day,
                    .tm_hour = l->hour, .tm_min = l->minute, .tm_sec = l->second};
    return timegm(&tm);
}

/* What the selected zone's clocks show. */
static struct zone_local zone_read(int64_t s, long *ret_offset_s)
{
    struct tm tm;
    time_t t = (time_t)s;
    localtime_r(&t, &tm);
    *ret_offset_s = tm.tm_gmtoff;
    return (struct zone_local){.year = tm.tm_year + 1900, .month = tm.tm_mon + 1,
                               .day = tm.tm_mday, .hour = tm.tm_hour, .minute = tm.tm_min,
                               .second = tm.tm_sec};
}

int zone_to_utc(const char *name, const struct zone_local *local, int64_t *ret_s)
{
    if (!zone_select(name)) {
        return ZONE_E_UNKNOWN;
    }
    int64_t as_utc = zone_utc(local);
    long offsets[2];
    zone_read(as_utc - ZONE_DAY_S, &offsets[0]);
    zone_read(as_utc + ZONE_DAY_S, &offsets[1]);
    int found = 0;
    for (int i = 0; i < (offsets[0] == offsets[1] ? 1 : 2); i++) {
        long offset;
        struct zone_local back = zone_read(as_utc - offsets[i], &offset);
        if (zone_utc(&back) == as_utc) {
            *ret_s = as_utc - offsets[i];
            found++;
        }
    }
    return found == 1 ? 0 : found == 0 ? ZONE_E_GAP : ZONE_E_AMBIGUOUS;
}

int zone_from_utc(const char *name, int64_t s, struct zone_local *ret_local, long *ret_offset_s)
{
    if (!zone_select(name)) {
        return ZONE_E_UNKNOWN;
    }
    *ret_local = zone_read(s, ret_offset_s);
    return 0;
}
