/* SPDX-License-Identifier: MIT */
/* How JSON spells what is no number: base64, times, durations, names of fields.
 * Owns nothing; fails by false.  Times are the proleptic Gregorian calendar in UTC, from year 1 to
 * 9999, as google.protobuf.Timestamp has it; no leap seconds, no time zone but an offset.
 * Sources: RFC 4648 (both alphabets; the bits left over must be 0), RFC 3339 (with 'T' and 'Z' in
 * capitals, as protobuf writes them), the proto3 JSON mapping. */
#include <stdio.h>

#include "base/base64.h"
#include "proto/codec_json_parts.h"

#define SECOND_MIN   INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define DURATION_MAX INT64_C(315576000000) /* seconds, either way: about 10,000 years */
#define DAY_S        86400
#define NANOS        1000000000

bool codec_json_base64_parse(struct span text, uint8_t *out, size_t *ret_len)
{
    size_t digits = text.len;
    while (digits > 0 && text.ptr[digits - 1] == '=') {
        digits--;
    }
    size_t padding = text.len - digits;
    if (padding > 2 || (padding > 0 && text.len % 4 != 0)) {
        return false;
    }
    bool is_exact;
    return base64_decode((struct span){text.ptr, digits}, BASE64_EITHER, out, ret_len, &is_exact) &&
           is_exact;
}

/* ".5" in 0, 3, 6 or 9 digits; returns the length. */
static size_t codec_json_fraction(int32_t nanos, char *out)
{
    int digits = nanos == 0 ? 0 : nanos % 1000000 == 0 ? 3 : nanos % 1000 == 0 ? 6 : 9;
    if (digits == 0) {
        return 0;
    }
    int32_t v = digits == 3 ? nanos / 1000000 : digits == 6 ? nanos / 1000 : nanos;
    return (size_t)snprintf(out, 11, ".%0*d", digits, v);
}

bool codec_json_time(int64_t seconds, int32_t nanos, char out[CODEC_JSON_TIME_MAX])
{
    if (seconds < SECOND_MIN || seconds > CODEC_SECOND_MAX || nanos < 0 || nanos >= NANOS) {
        return false;
    }
    int64_t days = seconds / DAY_S - (seconds % DAY_S < 0);
    int second = (int)(seconds - days * DAY_S);
    struct codec_date date = codec_date_of(days);
    size_t len =
        (size_t)snprintf(out, CODEC_JSON_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)date.year,
                         date.month, date.day, second / 3600, second / 60 % 60, second % 60);
    len += codec_json_fraction(nanos, out + len);
    out[len++] = 'Z';
    out[len] = 0;
    return true;
}

/* n digits, at most `max`; the reader turns bad on anything else. */
static int codec_json_digits_of(struct reader *r, size_t n, int max)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = reader_u8(r);
        r->bad = r->bad || c < '0' || c > '9';
        v = v * 10 + (c - '0');
    }
    r->bad = r->bad || v > max;
    return r->bad ? 0 : v;
}

static void codec_json_mark(struct reader *r, char mark)
{
    uint8_t c = reader_u8(r);
    r->bad = r->bad || c != (uint8_t)mark;
}

static bool codec_json_next_is(const struct reader *r, char mark)
{
    return reader_left(r) > 0 && *r->at == (uint8_t)mark;
}

/* Nothing, or '.' and 1 to 9 digits. */
static int32_t codec_json_nanos(struct reader *r)
{
    if (!codec_json_next_is(r, '.')) {
        return 0;
    }
    reader_u8(r);
    int32_t nanos = 0;
    int digits = 0;
    for (; reader_left(r) > 0 && *r->at >= '0' && *r->at <= '9'; digits++) {
        uint8_t c = reader_u8(r);
        r->bad = r->bad || digits >= 9;
        nanos = digits < 9 ? nanos * 10 + (c - '0') : nanos;
    }
    r->bad = r->bad || digits == 0;
    for (; digits < 9; digits++) {
        nanos *= 10;
    }
    return nanos;
}

/* 'Z', or an offset; in seconds east of UTC. */
static int64_t codec_json_offset(struct reader *r)
{
    uint8_t sign = reader_u8(r);
    if (r->bad || sign == 'Z') {
        return 0;
    }
    int hour = codec_json_digits_of(r, 2, 23);
    codec_json_mark(r, ':');
    int minute = codec_json_digits_of(r, 2, 59);
    r->bad = r->bad || (sign != '+' && sign != '-');
    return (sign == '-' ? -1 : 1) * (int64_t)(hour * 3600 + minute * 60);
}

bool codec_json_time_parse(struct span text, int64_t *ret_seconds, int32_t *ret_nanos)
{
    struct reader r = reader_of(text.ptr, text.len);
    struct codec_date date;
    date.year = codec_json_digits_of(&r, 4, 9999);
    codec_json_mark(&r, '-');
    date.month = codec_json_digits_of(&r, 2, 12);
    codec_json_mark(&r, '-');
    date.day = codec_json_digits_of(&r, 2, 31);
    codec_json_mark(&r, 'T');
    int64_t second = codec_json_digits_of(&r, 2, 23) * 3600;
    codec_json_mark(&r, ':');
    second += codec_json_digits_of(&r, 2, 59) * 60;
    codec_json_mark(&r, ':');
    second += codec_json_digits_of(&r, 2, 59);
    int32_t nanos = codec_json_nanos(&r);
    int64_t offset = codec_json_offset(&r);
    int64_t days;
    if (r.bad || reader_left(&r) > 0 || !codec_date_count(date, &days)) {
        return false;
    }
    int64_t seconds = days * DAY_S + second - offset;
    if (seconds < SECOND_MIN || seconds > CODEC_SECOND_MAX) {
        return false;
    }
    *ret_seconds = seconds;
    *ret_nanos = nanos;
    return true;
}

bool codec_json_duration(int64_t seconds, int32_t nanos, char out[CODEC_JSON_TIME_MAX])
{
    if (seconds < -DURATION_MAX || seconds > DURATION_MAX || nanos <= -NANOS || nanos >= NANOS ||
        (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0)) {
        return false;
    }
    bool is_negative = seconds < 0 || nanos < 0;
    size_t len = (size_t)snprintf(out, CODEC_JSON_TIME_MAX, "%s%lld", is_negative ? "-" : "",
                                  (long long)(seconds < 0 ? -seconds : seconds));
    len += codec_json_fraction(nanos < 0 ? -nanos : nanos, out + len);
    out[len++] = 's';
    out[len] = 0;
    return true;
}

bool codec_json_duration_parse(struct span text, int64_t *ret_seconds, int32_t *ret_nanos)
{
    struct reader r = reader_of(text.ptr, text.len);
    bool is_negative = codec_json_next_is(&r, '-');
    if (is_negative) {
        reader_u8(&r);
    }
    int64_t seconds = 0;
    size_t digits = 0;
    for (; reader_left(&r) > 0 && *r.at >= '0' && *r.at <= '9'; digits++) {
        seconds = seconds * 10 + (reader_u8(&r) - '0');
        if (seconds > DURATION_MAX) {
            return false;
        }
    }
    int32_t nanos = codec_json_nanos(&r);
    codec_json_mark(&r, 's');
    if (r.bad || digits == 0 || reader_left(&r) > 0 || (seconds == DURATION_MAX && nanos > 0)) {
        return false;
    }
    *ret_seconds = is_negative ? -seconds : seconds;
    *ret_nanos = is_negative ? -nanos : nanos;
    return true;
}

size_t codec_json_name(const char *name, char *out)
{
    size_t len = 0;
    for (bool is_upper = false; *name; name++) {
        if (*name == '_') {
            is_upper = true;
            continue;
        }
        out[len++] = (char)(is_upper && *name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
        is_upper = false;
    }
    out[len] = 0;
    return len;
}

bool codec_json_name_is(const char *name, struct span key)
{
    if (span_equal(key, span_of(name))) {
        return true;
    }
    size_t at = 0;
    for (bool is_upper = false; *name; name++) {
        if (*name == '_') {
            is_upper = true;
            continue;
        }
        char c = (char)(is_upper && *name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
        is_upper = false;
        if (at == key.len || key.ptr[at++] != (uint8_t)c) {
            return false;
        }
    }
    return at == key.len;
}
