/* SPDX-License-Identifier: MIT */
/* A walk over protobuf's wire format: just enough for the two services that the gateway answers by
 * itself (health, reflection), without a message struct or an allocation.  Pure.  The API proper
 * goes through proto/codec.h. */
#ifndef FAIRSLOT_GATEWAY_PB_H
#define FAIRSLOT_GATEWAY_PB_H

#include "base/bytes.h"

enum { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint32_t number;
    unsigned wire;     /* PB_* */
    uint64_t value;    /* of PB_VARINT */
    struct span bytes; /* of PB_BYTES, borrowed */
};

static inline uint64_t pb_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return v;
        }
    }
    r->bad = true;
    return 0;
}

/* The next field; false at the end, or when the bytes are no protobuf (then r->bad). */
static inline bool pb_next(struct reader *r, struct pb_field *ret_field)
{
    if (reader_left(r) == 0) {
        return false;
    }
    uint64_t tag = pb_varint(r);
    struct pb_field f = {.number = (uint32_t)(tag >> 3), .wire = tag & 7};
    const uint8_t *skipped;
    switch (f.wire) {
    case PB_VARINT:
        f.value = pb_varint(r);
        break;
    case PB_FIXED64:
        reader_take(r, 8, &skipped);
        break;
    case PB_FIXED32:
        reader_take(r, 4, &skipped);
        break;
    case PB_BYTES: {
        uint64_t len = pb_varint(r);
        if (!r->bad && len <= reader_left(r)) {
            reader_take(r, (size_t)len, &f.bytes.ptr);
            f.bytes.len = (size_t)len;
        } else {
            r->bad = true;
        }
        break;
    }
    default:
        r->bad = true;
    }
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        r->bad = true;
    }
    if (!r->bad) {
        *ret_field = f;
    }
    return !r->bad;
}

static inline size_t pb_varint_len(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7) {
        n++;
    }
    return n;
}

static inline void pb_put_varint(struct scribe *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        scribe_u8(w, (uint8_t)(v | 0x80));
    }
    scribe_u8(w, (uint8_t)v);
}

/* What pb_put_bytes() writes for a field number below 16. */
static inline size_t pb_bytes_len(size_t n)
{
    return 1 + pb_varint_len(n) + n;
}

/* Tag and length of a field whose `n` bytes follow. */
static inline void pb_put_head(struct scribe *w, uint32_t number, size_t n)
{
    pb_put_varint(w, number << 3 | PB_BYTES);
    pb_put_varint(w, n);
}

static inline void pb_put_bytes(struct scribe *w, uint32_t number, struct span bytes)
{
    pb_put_head(w, number, bytes.len);
    scribe_bytes(w, bytes.ptr, bytes.len);
}

static inline void pb_put_uint(struct scribe *w, uint32_t number, uint64_t v)
{
    pb_put_varint(w, number << 3 | PB_VARINT);
    pb_put_varint(w, v);
}

#endif
