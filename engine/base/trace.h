/* SPDX-License-Identifier: MIT */
/* W3C Trace Context: the header traceparent as 25 bytes, so that it travels with a call.
 * https://www.w3.org/TR/trace-context/ (section 3.2).  Pure. */
#ifndef FAIRSLOT_BASE_TRACE_H
#define FAIRSLOT_BASE_TRACE_H

#include <string.h>

#include "base/types.h"

#define TRACE_BYTES 25 /* trace id (16), parent id (8), flags (1) */
#define TRACE_ID_HEX 33 /* trace id in letters, with its end */

struct trace {
    uint8_t bytes[TRACE_BYTES];
};

static inline int trace_nibble(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `count` bytes from hex, small letters only; false: it is none, or all of it is zero and must not
 * be. */
static inline bool trace_hex(const uint8_t *text, uint8_t *out, size_t count, bool may_be_zero)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        int high = trace_nibble(text[2 * i]), low = trace_nibble(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
        any |= out[i];
    }
    return may_be_zero || any;
}

/* False: no traceparent of a version that we can read; *ret is untouched then.  A later version may
 * go on behind a dash. */
static inline bool trace_parse(struct span header, struct trace *ret)
{
    struct trace t;
    uint8_t version;
    const uint8_t *p = header.ptr;
    if (header.len < 55 || p[2] != '-' || p[35] != '-' || p[52] != '-' ||
        !trace_hex(p, &version, 1, true) || version == 0xff ||
        (header.len > 55 && (version == 0 || p[55] != '-')) ||
        !trace_hex(p + 3, t.bytes, 16, false) || !trace_hex(p + 36, t.bytes + 16, 8, false) ||
        !trace_hex(p + 53, t.bytes + 24, 1, true)) {
        return false;
    }
    *ret = t;
    return true;
}

/* The trace id of 16 bytes or more as log lines have it; `out` has TRACE_ID_HEX bytes. */
static inline const char *trace_id_hex(const uint8_t *bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[32] = '\0';
    return out;
}

#endif
