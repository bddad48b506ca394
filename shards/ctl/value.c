/* SPDX-License-Identifier: MIT */
/* Words of the command line as values.  Everything is strict: the whole word must be the value,
 * nothing is guessed, and a refusal leaves the results untouched.  Owns nothing; the caller says
 * what was wrong, because it knows the option's name. */
#include "ctl/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define VALUE_DURATION_MAX_S (3650LL * 86400)

bool value_count(const char *text, long min, long max, long *ret_count)
{
    CHECK(min <= max);
    size_t len = strlen(text);
    if (len == 0 || len > 12 || strspn(text, "0123456789") != len) {
        return false;
    }
    long n = strtol(text, NULL, 10);
    if (n < min || n > max) {
        return false;
    }
    *ret_count = n;
    return true;
}

bool value_duration(const char *text, int64_t *ret_s)
{
    static const char units[] = "smhd";
    static const int64_t seconds[] = {1, 60, 3600, 86400};
    size_t digits = strspn(text, "0123456789");
    const char *unit = text[digits] ? strchr(units, text[digits]) : units;
    if (digits == 0 || digits > 10 || !unit || (text[digits] && text[digits + 1])) {
        return false;
    }
    int64_t s = strtoll(text, NULL, 10) * seconds[unit - units];
    if (s <= 0 || s > VALUE_DURATION_MAX_S) {
        return false;
    }
    *ret_s = s;
    return true;
}

bool value_target(const char *text, char *ret_host, int *ret_port)
{
    const char *colon = strrchr(text, ':');
    long port;
    if (!colon || !value_count(colon + 1, 0, 65535, &port)) {
        return false;
    }
    const char *host = text;
    size_t len = (size_t)(colon - text);
    bool bracketed = len >= 2 && host[0] == '[' && host[len - 1] == ']';
    if (bracketed) {
        host++;
        len -= 2;
    }
    if (len == 0 || len > VALUE_HOST_MAX || (!bracketed && memchr(host, ':', len)) ||
        memchr(host, '/', len)) {
        return false;
    }
    memcpy(ret_host, host, len);
    ret_host[len] = '\0';
    *ret_port = (int)port;
    return true;
}

bool value_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcmp(host, "localhost") == 0;
}

bool value_any(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return v4.s_addr == 0;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6);
}

/* `min` to `max` digits off the front; -1: not there. */
static int value_digits(struct span *text, size_t min, size_t max)
{
    int n = 0;
    size_t taken = 0;
    while (taken < max && taken < text->len && isdigit(text->ptr[taken])) {
        n = n * 10 + (text->ptr[taken++] - '0');
    }
    text->ptr += taken;
    text->len -= taken;
    return taken >= min ? n : -1;
}

static bool value_take(struct span *text, char c)
{
    if (text->len == 0 || text->ptr[0] != c) {
        return false;
    }
    text->ptr++;
    text->len--;
    return true;
}

bool value_date(struct span text, struct zone_local *ret_local)
{
    struct zone_local l = *ret_local;
    l.year = value_digits(&text, 4, 4);
    bool good = value_take(&text, '-');
    l.month = value_digits(&text, 2, 2);
    good = good && value_take(&text, '-');
    l.day = value_digits(&text, 2, 2);
    struct zone_local midnight = {.year = l.year, .month = l.month, .day = l.day};
    if (!good || text.len > 0 || !zone_local_valid(&midnight)) {
        return false;
    }
    *ret_local = l;
    return true;
}

/* "", "Z", "+01:00", "-0500". */
static bool value_offset(struct span text, bool *ret_has, long *ret_offset_s)
{
    if (text.len == 0) {
        *ret_has = false;
        return true;
    }
    if (value_take(&text, 'Z') && text.len == 0) {
        *ret_has = true;
        *ret_offset_s = 0;
        return true;
    }
    bool minus = value_take(&text, '-');
    if (!minus && !value_take(&text, '+')) {
        return false;
    }
    int hours = value_digits(&text, 2, 2);
    value_take(&text, ':');
    int minutes = value_digits(&text, 2, 2);
    if (hours < 0 || hours > 15 || minutes < 0 || minutes > 59 || text.len > 0) {
        return false;
    }
    *ret_has = true;
    *ret_offset_s = (hours * 3600L + minutes * 60L) * (minus ? -1 : 1);
    return true;
}

bool value_clock(struct span text, struct zone_local *ret_local, bool *ret_has_offset,
                 long *ret_offset_s)
{
    int second = 0;
    int hour = value_digits(&text, 1, 2);
    bool good = hour >= 0 && hour < 24 && value_take(&text, ':');
    int minute = value_digits(&text, 2, 2);
    good = good && minute >= 0 && minute < 60;
    if (good && value_take(&text, ':')) {
        second = value_digits(&text, 2, 2);
        good = second >= 0 && second < 60;
    }
    if (!good || !value_offset(text, ret_has_offset, ret_offset_s)) {
        return false;
    }
    ret_local->hour = hour;
    ret_local->minute = minute;
    ret_local->second = second;
    return true;
}

bool value_time(const char *text, int64_t *ret_us)
{
    struct zone_local l = {0};
    bool has_offset = true;
    long offset_s = 0;
    size_t len = strlen(text);
    if (len < 10 || !value_date((struct span){(const uint8_t *)text, 10}, &l)) {
        return false;
    }
    if (len > 10) {
        struct span clock = {(const uint8_t *)text + 11, len - 11};
        if (text[10] != 'T' || !value_clock(clock, &l, &has_offset, &offset_s) || !has_offset) {
            return false;
        }
    }
    *ret_us = (zone_utc(&l) - offset_s) * SECOND_US;
    return true;
}

void value_rfc3339(int64_t seconds, int32_t nanos, char *out)
{
    CHECK(nanos >= 0);
    CHECK(nanos < 1000000000);
    int64_t days = seconds / 86400 - (seconds % 86400 < 0 ? 1 : 0);
    int64_t rest = seconds - days * 86400;
    /* Civil date of a day count, H. Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
    int n = snprintf(out, VALUE_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, (int)month,
                     (int)(doy - (153 * mp + 2) / 5 + 1), (int)(rest / 3600),
                     (int)(rest / 60 % 60), (int)(rest % 60));
    if (nanos) {
        int digits = nanos % 1000000 == 0 ? 3 : nanos % 1000 == 0 ? 6 : 9;
        int shown = digits == 3 ? nanos / 1000000 : digits == 6 ? nanos / 1000 : nanos;
        n += snprintf(out + n, VALUE_TIME_MAX - (size_t)n, ".%0*d", digits, shown);
    }
    snprintf(out + n, VALUE_TIME_MAX - (size_t)n, "Z");
}

void value_uuid(const uint8_t *bytes, unsigned version, char *out)
{
    CHECK(version < 16);
    uint8_t b[16];
    memcpy(b, bytes, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | version << 4);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    int n = 0;
    for (int i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        n += snprintf(out + n, (size_t)(VALUE_UUID_MAX - n), dash ? "-%02x" : "%02x", b[i]);
    }
}

bool value_uuid_valid(const char *text)
{
    if (strlen(text) != VALUE_UUID_MAX - 1) {
        return false;
    }
    for (int i = 0; i < VALUE_UUID_MAX - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i])) {
            return false;
        }
    }
    return true;
}
