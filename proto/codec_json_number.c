/* SPDX-License-Identifier: MIT */
/* Numbers in JSON: exact integers, and the few fields that are no integers.
 *
 * JSON has one kind of number, protobuf has many: 1, 1.0, 1e0 and "1" are all the integer one.  An
 * integer is never rounded: one that is written with a fraction or an exponent is taken up to
 * 2^53, where every integer is exact, and refused above.
 * The one file of a pure room with floating point in it: such values are copied and spelled here,
 * nothing is decided by them.  Owns nothing; fails by false. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "proto/codec_json_parts.h"

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

/* A sign and a magnitude: the union of int64 and uint64. */
struct codec_json_whole {
    bool is_negative;
    uint64_t magnitude;
};

static size_t codec_json_digits(struct span text, size_t at)
{
    size_t n = 0;
    while (at + n < text.len && text.ptr[at + n] >= '0' && text.ptr[at + n] <= '9') {
        n++;
    }
    return n;
}

/* A number as RFC 8259 spells it, all of the text; *ret_is_plain: neither fraction nor exponent. */
static bool codec_json_number_ok(struct span text, bool *ret_is_plain)
{
    size_t at = text.len > 0 && text.ptr[0] == '-';
    size_t n = codec_json_digits(text, at);
    if (n == 0 || (n > 1 && text.ptr[at] == '0')) {
        return false;
    }
    at += n;
    *ret_is_plain = at == text.len;
    if (at < text.len && text.ptr[at] == '.') {
        n = codec_json_digits(text, at + 1);
        at += n > 0 ? 1 + n : 0;
    }
    if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        size_t sign = at + 1 < text.len && (text.ptr[at + 1] == '-' || text.ptr[at + 1] == '+');
        n = codec_json_digits(text, at + 1 + sign);
        at += n > 0 ? 1 + sign + n : 0;
    }
    return at == text.len;
}

static bool codec_json_whole_of_real(double value, struct codec_json_whole *ret_whole)
{
    double magnitude = value < 0 ? -value : value;
    if (!(magnitude <= EXACT_MAX)) { /* a NaN is not either */
        return false;
    }
    ret_whole->is_negative = value < 0;
    ret_whole->magnitude = (uint64_t)magnitude;
    return (double)ret_whole->magnitude == magnitude;
}

static bool codec_json_whole_of_text(struct span text, struct codec_json_whole *ret_whole)
{
    bool is_plain;
    if (!codec_json_number_ok(text, &is_plain)) {
        return false;
    }
    if (!is_plain) {
        return codec_json_whole_of_real(strtod((const char *)text.ptr, NULL), ret_whole);
    }
    struct codec_json_whole whole = {.is_negative = text.ptr[0] == '-'};
    for (size_t i = whole.is_negative; i < text.len; i++) {
        uint64_t digit = (uint64_t)text.ptr[i] - '0';
        if (whole.magnitude > (UINT64_MAX - digit) / 10) {
            return false;
        }
        whole.magnitude = whole.magnitude * 10 + digit;
    }
    *ret_whole = whole;
    return true;
}

static struct span codec_json_string(const json_t *value)
{
    return (struct span){(const uint8_t *)json_string_value(value), json_string_length(value)};
}

static bool codec_json_whole(const json_t *value, struct codec_json_whole *ret_whole)
{
    if (json_is_integer(value)) {
        json_int_t n = json_integer_value(value);
        ret_whole->is_negative = n < 0;
        ret_whole->magnitude = n < 0 ? -(uint64_t)n : (uint64_t)n;
        return true;
    }
    if (json_is_real(value)) {
        return codec_json_whole_of_real(json_real_value(value), ret_whole);
    }
    return json_is_string(value) && codec_json_whole_of_text(codec_json_string(value), ret_whole);
}

bool codec_json_int(const json_t *value, int64_t min, int64_t max, int64_t *ret_value)
{
    CHECK(min < 0);
    CHECK(max > 0);
    struct codec_json_whole whole;
    if (!codec_json_whole(value, &whole)) {
        return false;
    }
    if (whole.magnitude > (whole.is_negative ? -(uint64_t)min : (uint64_t)max)) {
        return false;
    }
    *ret_value = (int64_t)(whole.is_negative ? -whole.magnitude : whole.magnitude);
    return true;
}

bool codec_json_uint(const json_t *value, uint64_t max, uint64_t *ret_value)
{
    struct codec_json_whole whole;
    if (!codec_json_whole(value, &whole) || (whole.is_negative && whole.magnitude > 0) ||
        whole.magnitude > max) {
        return false;
    }
    *ret_value = whole.magnitude;
    return true;
}

static bool codec_json_real_of_text(struct span text, double *ret_value)
{
    bool is_plain;
    if (span_equal(text, span_of("NaN"))) {
        *ret_value = __builtin_nan("");
    } else if (span_equal(text, span_of("Infinity"))) {
        *ret_value = __builtin_inf();
    } else if (span_equal(text, span_of("-Infinity"))) {
        *ret_value = -__builtin_inf();
    } else if (codec_json_number_ok(text, &is_plain)) {
        *ret_value = strtod((const char *)text.ptr, NULL);
        return __builtin_isfinite(*ret_value);
    } else {
        return false;
    }
    return true;
}

bool codec_json_real(const json_t *value, void *ret_value)
{
    double v;
    if (json_is_integer(value)) {
        v = (double)json_integer_value(value);
    } else if (json_is_real(value)) {
        v = json_real_value(value);
    } else if (!json_is_string(value) || !codec_json_real_of_text(codec_json_string(value), &v)) {
        return false;
    }
    memcpy(ret_value, &v, sizeof v);
    return true;
}

size_t codec_json_real_text(const void *value, char out[CODEC_JSON_NUMBER_MAX])
{
    double v;
    memcpy(&v, value, sizeof v);
    if (__builtin_isnan(v)) {
        return (size_t)snprintf(out, CODEC_JSON_NUMBER_MAX, "\"NaN\"");
    }
    if (__builtin_isinf(v)) {
        return (size_t)snprintf(out, CODEC_JSON_NUMBER_MAX, "\"%sInfinity\"", v < 0 ? "-" : "");
    }
    size_t len = 0;
    for (int digits = 15; digits <= 17; digits++) {
        len = (size_t)snprintf(out, CODEC_JSON_NUMBER_MAX, "%.*g", digits, v);
        if (strtod(out, NULL) == v) {
            break;
        }
    }
    return len;
}
