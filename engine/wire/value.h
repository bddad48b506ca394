/* SPDX-License-Identifier: MIT */
/* What stands in gRPC's header values: timeouts, percent-encoded text, base64 (gRPC over HTTP/2,
 * "PROTOCOL-HTTP2.md"; RFC 4648).  Pure functions over borrowed bytes; hostile input gets false.
 * Output buffers are the caller's and must be as large as the _max() of their function. */
#ifndef FAIRSLOT_WIRE_VALUE_H
#define FAIRSLOT_WIRE_VALUE_H

#include "base/types.h"
#include "wire/wire.h"

/* "application/grpc" or "application/grpc+proto", with or without parameters. */
bool wire_value_is_grpc(struct span content_type);

/* What a content-type says of a call, parameters and letters' case aside.  False: none of ours. */
bool wire_value_face(struct span content_type, enum wire_protocol *ret_protocol,
                     enum wire_encoding *ret_encoding);
/* Equal but for the case of ASCII letters. */
bool wire_value_same(struct span value, const char *lower);

/* Without the blanks and tabs around it, which are no part of a value (RFC 9110 5.5). */
struct span wire_value_trim(struct span value);

/* 1 to 8 digits and a unit of H M S m u n; nanoseconds are rounded up. */
bool wire_value_timeout_parse(struct span value, int64_t *ret_us);
#define WIRE_TIMEOUT_MAX 9
/* Up to 8 digits in the finest unit that holds it, rounded down; not terminated.  Returns the
 * length. */
size_t wire_value_timeout_write(int64_t timeout_us, char *out);

static inline size_t wire_value_percent_max(size_t len)
{
    return 3 * len;
}
/* Everything but printable ASCII, and '%', becomes %XX; so do blanks at the ends, which HTTP would
 * strip.  Returns the length. */
size_t wire_value_percent_encode(struct span text, uint8_t *out);
/* At most text.len bytes; a broken %XX stays as it is, as the specification asks. */
size_t wire_value_percent_decode(struct span text, uint8_t *out);
/* The longest prefix of at most `max` bytes that cuts no UTF-8 character in two. */
struct span wire_value_cut(struct span text, size_t max);

/* base64 in the standard alphabet, padding may be there or not.  `out` takes
 * text.len / 4 * 3 + 2 bytes, and may be the text itself. */
bool wire_value_base64_decode(struct span text, uint8_t *out, size_t *ret_len);

#endif
