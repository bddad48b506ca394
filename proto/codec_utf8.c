/* SPDX-License-Identifier: MIT */
/* Whether text is text.  protobuf-c checks no string and ends it at its first NUL, so that two
 * different messages would become one: the packed bytes are walked before they are decoded.
 *
 * Happy path: one pass over tags and lengths, one over each string.  Owns nothing.
 * Fails by false: a broken structure, a group (proto3 has none), a bad string, messages nested
 * deeper than any of ours.  Invariant: what passes here is still checked by protobuf-c itself. */
#include "proto/codec_parts.h"

#define CODEC_UTF8_DEPTH_MAX 8

static uint64_t codec_utf8_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t b = reader_u8(r);
        v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if (b < 0x80) {
            return v;
        }
    }
    r->bad = true;
    return 0;
}

/* Bytes of the sequence at p, of which `left` > 0 are there; 0 when it is not well formed. */
static size_t codec_utf8_step(const uint8_t *p, size_t left)
{
    static const uint32_t floor[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (n == 0 || n > left) {
        return 0;
    }
    uint32_t c = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3f);
    }
    bool is_surrogate = c >= 0xd800 && c < 0xe000;
    return c < floor[n] || is_surrogate || c > 0x10ffff ? 0 : n;
}

/* Eight bytes of plain text at once: no high bit, and no zero byte (the borrow of a subtraction
 * reaches the high bit of a byte only when that byte, or one below it, was zero). */
static bool codec_utf8_is_plain(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return ((v | (v - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080)) == 0;
}

bool codec_utf8_ok(struct span text)
{
    size_t i = 0;
    while (i < text.len) {
        if (text.len - i >= 8 && codec_utf8_is_plain(text.ptr + i)) {
            i += 8;
            continue;
        }
        uint8_t b = text.ptr[i];
        if (b == 0) {
            return false;
        }
        size_t n = b < 0x80 ? 1 : codec_utf8_step(text.ptr + i, text.len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

bool codec_text_ok(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool codec_utf8_walk(const ProtobufCMessageDescriptor *descriptor, struct reader r,
                            int depth);

/* A length-delimited value: text, a message, or bytes and unknown ones, which may be anything. */
static bool codec_utf8_value(const ProtobufCFieldDescriptor *field, struct span value, int depth)
{
    if (field == NULL) {
        return true;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return codec_utf8_ok(value);
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return codec_utf8_walk(field->descriptor, reader_of(value.ptr, value.len), depth + 1);
    }
    return true;
}

static bool codec_utf8_walk(const ProtobufCMessageDescriptor *descriptor, struct reader r,
                            int depth)
{
    if (depth > CODEC_UTF8_DEPTH_MAX) {
        return false;
    }
    const uint8_t *skipped = NULL;
    while (reader_left(&r) > 0) {
        uint64_t tag = codec_utf8_varint(&r);
        if (tag >> 3 == 0 || tag > UINT32_MAX) {
            return false;
        }
        switch (tag & 7) {
        case 0:
            codec_utf8_varint(&r);
            break;
        case 1:
            reader_take(&r, 8, &skipped);
            break;
        case 5:
            reader_take(&r, 4, &skipped);
            break;
        case 2: {
            uint64_t n = codec_utf8_varint(&r);
            if (n > reader_left(&r)) {
                return false;
            }
            reader_take(&r, (size_t)n, &skipped);
            const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
            if (!codec_utf8_value(field, (struct span){skipped, (size_t)n}, depth)) {
                return false;
            }
            break;
        }
        default:
            return false;
        }
    }
    return !r.bad;
}

bool codec_utf8_scan(const ProtobufCMessageDescriptor *descriptor, struct span bytes)
{
    return codec_utf8_walk(descriptor, reader_of(bytes.ptr, bytes.len), 0);
}
