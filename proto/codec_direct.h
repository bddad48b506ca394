/* SPDX-License-Identifier: MIT */
/* Messages without protobuf-c, for the few kinds that every mutation is made of: its packer walks
 * each message twice over descriptors, its reader copies each text.
 *
 *   in:  ascending fields, each once, each as short as it can be; anything else: false, and the
 *        general way judges, so a verdict has one source
 *   out: from the last field to the first, so that a length is known when it is written; the bytes
 *        are those that protobuf-c makes, zeroes left out
 *
 * Pure.  Spans that are read borrow from the bytes, what is written is the arena's.
 * Fails by false (in), by -ENOMEM when the arena is full (out); a limit that was reckoned too small
 * is a CHECK.  Road not taken: lengths first, fields then; that is two functions a message. */
#ifndef FAIRSLOT_PROTO_CODEC_DIRECT_H
#define FAIRSLOT_PROTO_CODEC_DIRECT_H

#include <errno.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "proto/codec_parts.h"

#define CODEC_TAG(number, wire) ((uint64_t)(number) << 3 | (wire))

enum { WIRE_VARINT = 0, WIRE_FIXED = 1, WIRE_BYTES = 2 };

/* -- in ---------------------------------------------------------------------------------------- */

/* In its shortest form, at most `max` and at most 63 bits. */
static inline bool codec_in_varint(struct reader *r, uint64_t max, uint64_t *ret_value)
{
    if (r->at < r->end && *r->at < 0x80) {
        *ret_value = *r->at++;
        return *ret_value <= max;
    }
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 63 && r->at < r->end; shift += 7) {
        uint8_t b = *r->at++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret_value = v;
            return v <= max && (b != 0 || shift == 0);
        }
    }
    return false;
}

static inline bool codec_in_u32(struct reader *r, uint32_t *ret_value)
{
    uint64_t v = 0;
    bool is_ok = codec_in_varint(r, UINT32_MAX, &v);
    *ret_value = (uint32_t)v;
    return is_ok;
}

static inline bool codec_in_bool(struct reader *r, bool *ret_value)
{
    uint64_t v = 0;
    bool is_ok = codec_in_varint(r, 1, &v);
    *ret_value = v == 1;
    return is_ok;
}

/* Protocol buffers are little-endian. */
static inline bool codec_in_fixed(struct reader *r, uint64_t *ret_value)
{
    const uint8_t *p = NULL;
    if (!reader_take(r, 8, &p)) {
        return false;
    }
    uint64_t v;
    memcpy(&v, p, sizeof v);
    v = le64toh(v);
    *ret_value = v;
    return true;
}

static inline bool codec_in_time(struct reader *r, int64_t *ret_us)
{
    uint64_t v = 0;
    bool is_ok = codec_in_fixed(r, &v);
    *ret_us = (int64_t)v;
    return is_ok;
}

static inline bool codec_in_span(struct reader *r, struct span *ret_span)
{
    uint64_t n = 0;
    if (!codec_in_varint(r, reader_left(r), &n)) {
        return false;
    }
    ret_span->len = (size_t)n;
    return reader_take(r, (size_t)n, &ret_span->ptr);
}

static inline bool codec_in_text(struct reader *r, struct span *ret_text)
{
    return codec_in_span(r, ret_text) && codec_utf8_ok(*ret_text);
}

/* -- out --------------------------------------------------------------------------------------- */

/* Bytes that come from behind. */
struct codec_out {
    uint8_t *start; /* the arena's */
    uint8_t *at;    /* the newest byte; the next one goes before it */
    uint8_t *end;
};

/* Bytes that are enough for a field, tag and length with it. */
#define CODEC_OUT_NUMBER 12
#define CODEC_OUT_FRAME  7  /* of a text or message, without what is in it */
#define CODEC_OUT_TIME   (CODEC_OUT_FRAME + 2 * CODEC_OUT_NUMBER)
#define CODEC_OUT_ETAG   (CODEC_OUT_FRAME + ETAG_MAX)
#define CODEC_OUT_NAME   (CODEC_OUT_FRAME + 24 + CODEC_ID_BYTES) /* without the pool's id */

/* `bytes_max`: what is written is never longer.  0, or -ENOMEM. */
static inline int codec_out_init(struct codec_out *o, struct arena *arena, size_t bytes_max)
{
    uint8_t *start = arena_alloc(arena, bytes_max);
    *o = (struct codec_out){.start = start};
    if (start == NULL) {
        return err_origin(-ENOMEM);
    }
    o->at = o->end = start + bytes_max;
    return 0;
}

static inline struct span codec_out_span(const struct codec_out *o)
{
    return (struct span){o->at, (size_t)(o->end - o->at)};
}

static inline uint8_t *codec_out_take(struct codec_out *o, size_t n)
{
    CHECK(n <= (size_t)(o->at - o->start));
    o->at -= n;
    return o->at;
}

static inline void codec_out_varint(struct codec_out *o, uint64_t v)
{
    if (v < 0x80) {
        *codec_out_take(o, 1) = (uint8_t)v;
        return;
    }
    uint8_t *p = codec_out_take(o, (size_t)(70 - __builtin_clzll(v)) / 7);
    for (; v >= 0x80; v >>= 7) {
        *p++ = (uint8_t)(v | 0x80);
    }
    *p = (uint8_t)v;
}

static inline void codec_out_raw(struct codec_out *o, const void *ptr, size_t n)
{
    uint8_t *p = codec_out_take(o, n);
    if (n > 0) {
        memcpy(p, ptr, n);
    }
}

/* What was written since `end` was o->at becomes a field: a text or a message. */
static inline void codec_out_close(struct codec_out *o, unsigned number, const uint8_t *end)
{
    codec_out_varint(o, (uint64_t)(end - o->at));
    codec_out_varint(o, CODEC_TAG(number, WIRE_BYTES));
}

/* As the next ones, left out when it is nothing. */
static inline void codec_out_u64(struct codec_out *o, unsigned number, uint64_t v)
{
    if (v != 0) {
        codec_out_varint(o, v);
        codec_out_varint(o, CODEC_TAG(number, WIRE_VARINT));
    }
}

/* int32, int64 and enums: a negative one takes ten bytes. */
static inline void codec_out_i64(struct codec_out *o, unsigned number, int64_t v)
{
    codec_out_u64(o, number, (uint64_t)v);
}

static inline void codec_out_fixed(struct codec_out *o, unsigned number, uint64_t v)
{
    if (v != 0) {
        v = htole64(v);
        codec_out_raw(o, &v, sizeof v);
        codec_out_varint(o, CODEC_TAG(number, WIRE_FIXED));
    }
}

static inline void codec_out_bytes(struct codec_out *o, unsigned number, struct span bytes)
{
    if (bytes.len > 0) {
        const uint8_t *end = o->at;
        codec_out_raw(o, bytes.ptr, bytes.len);
        codec_out_close(o, number, end);
    }
}

/* By protobuf-c, of protobuf_c_message_get_packed_size() bytes. */
static inline void codec_out_message(struct codec_out *o, unsigned number,
                                     const ProtobufCMessage *message)
{
    const uint8_t *end = o->at;
    uint8_t *p = codec_out_take(o, protobuf_c_message_get_packed_size(message));
    protobuf_c_message_pack(message, p);
    codec_out_close(o, number, end);
}

#endif
