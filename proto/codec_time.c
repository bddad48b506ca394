/* SPDX-License-Identifier: MIT */
/* Times and days.  Pure arithmetic in UTC on the proleptic Gregorian calendar: no time zone
 * database, no libc time functions, so that every replica makes the same ids.
 * Owns nothing; fails by false, or by NULL when the arena is full.
 * A year starts in March here, so that the leap day is its last one. */
#include "proto/codec_parts.h"

#define DAYS_400_YEARS 146097
#define DAYS_TO_1970   719468 /* from 0000-03-01 */

struct codec_date codec_date_of(int64_t days)
{
    int64_t n = days + DAYS_TO_1970;
    int64_t era = n / DAYS_400_YEARS;
    int64_t in_era = n % DAYS_400_YEARS;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int month_march = (int)((5 * in_year + 2) / 153); /* 0 is March */
    int day = (int)(in_year - (153 * month_march + 2) / 5) + 1;
    int month = month_march < 10 ? month_march + 3 : month_march - 9;
    return (struct codec_date){era * 400 + year + (month <= 2), month, day};
}

bool codec_date_count(struct codec_date date, int64_t *ret_days)
{
    static const uint8_t month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y = date.year;
    if (y < 1 || y > 9999 || date.month < 1 || date.month > 12 || date.day < 1) {
        return false;
    }
    bool is_leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    int last = month_days[date.month - 1] + (date.month == 2 && is_leap);
    if (date.day > last) {
        return false;
    }
    y -= date.month <= 2;
    int64_t in_era = y % 400;
    int64_t month_march = (date.month + 9) % 12;
    int64_t in_year = (153 * month_march + 2) / 5 + date.day - 1;
    *ret_days = y / 400 * DAYS_400_YEARS + in_era * 365 + in_era / 4 - in_era / 100 + in_year -
                DAYS_TO_1970;
    return true;
}

bool codec_date_days(struct codec_date date, int64_t *ret_days)
{
    return date.year >= 1970 && codec_date_count(date, ret_days);
}

bool codec_time_us(int64_t seconds, int32_t nanos, int64_t *ret_us)
{
    if (seconds < 0 || seconds > CODEC_SECOND_MAX || nanos < 0 || nanos > 999999999) {
        return false;
    }
    *ret_us = seconds * SECOND_US + nanos / 1000;
    return true;
}

Google__Protobuf__Timestamp *codec_timestamp(struct arena *arena, int64_t us)
{
    Google__Protobuf__Timestamp *t = arena_alloc(arena, sizeof *t);
    if (t) {
        google__protobuf__timestamp__init(t);
        t->seconds = us / SECOND_US - (us % SECOND_US < 0);
        t->nanos = (int32_t)(us - t->seconds * SECOND_US) * 1000;
    }
    return t;
}

Google__Protobuf__Duration *codec_duration(struct arena *arena, int64_t us)
{
    Google__Protobuf__Duration *d = arena_alloc(arena, sizeof *d);
    if (d) {
        google__protobuf__duration__init(d);
        d->seconds = us / SECOND_US;
        d->nanos = (int32_t)(us % SECOND_US) * 1000;
    }
    return d;
}
