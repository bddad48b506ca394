/* SPDX-License-Identifier: MIT */
/* The short way into a command: what our own packer writes for a hold, a confirmation and their
 * like, read in one pass and without a copy.
 *
 *   bytes -> ascending fields, each once, each as short as it can be -> command
 *            anything else: false, and codec_command_unpack_any() judges
 *
 * Every command is decoded on every replica, and the general way walks it twice and copies its
 * texts.  Owns nothing; spans borrow from the bytes, the slot from the arena.
 * Never refuses, only declines: so a verdict has one source.  Invariant: what is taken here, the
 * general way takes too, with the same fields (tests/unit/proto/test_codec_plain.c compares them).
 * Not known here: pools, new slots, releases, pages: too rare to be worth a second reader. */
#include "proto/codec_parts.h"

#define TAG(number, wire) ((uint64_t)(number) << 3 | (wire))

enum { WIRE_VARINT = 0, WIRE_FIXED = 1, WIRE_BYTES = 2 };

/* In its shortest form, and at most 63 bits. */
static bool codec_plain_varint(struct reader *r, uint64_t max, uint64_t *ret_value)
{
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

static bool codec_plain_u32(struct reader *r, uint32_t *ret_value)
{
    uint64_t v = 0;
    bool is_ok = codec_plain_varint(r, UINT32_MAX, &v);
    *ret_value = (uint32_t)v;
    return is_ok;
}

static bool codec_plain_bool(struct reader *r, bool *ret_value)
{
    uint64_t v = 0;
    bool is_ok = codec_plain_varint(r, 1, &v);
    *ret_value = v == 1;
    return is_ok;
}

/* Protocol buffers are little-endian. */
static bool codec_plain_fixed(struct reader *r, uint64_t *ret_value)
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

static bool codec_plain_time(struct reader *r, int64_t *ret_us)
{
    uint64_t v = 0;
    bool is_ok = codec_plain_fixed(r, &v);
    *ret_us = (int64_t)v;
    return is_ok;
}

static bool codec_plain_span(struct reader *r, struct span *ret_span)
{
    uint64_t n = 0;
    if (!codec_plain_varint(r, reader_left(r), &n)) {
        return false;
    }
    ret_span->len = (size_t)n;
    return reader_take(r, (size_t)n, &ret_span->ptr);
}

static bool codec_plain_text(struct reader *r, struct span *ret_text)
{
    return codec_plain_span(r, ret_text) && codec_utf8_ok(*ret_text);
}

/* An id of 16 bytes, no more and no less. */
static bool codec_plain_id(struct reader *r, uint8_t *out, size_t *ret_len)
{
    struct span id;
    if (!codec_plain_span(r, &id) || id.len != 16) {
        return false;
    }
    memcpy(out, id.ptr, 16);
    *ret_len = 16;
    return true;
}

static bool codec_plain_slot(struct reader *r, struct arena *arena, struct command *c)
{
    struct span bytes;
    struct slot_key *key = arena_alloc(arena, sizeof *key);
    if (key == NULL || !codec_plain_span(r, &bytes)) {
        return false;
    }
    struct reader in = reader_of(bytes.ptr, bytes.len);
    uint64_t tag = 0;
    bool is_ok = codec_plain_varint(&in, UINT32_MAX, &tag) && tag == TAG(1, WIRE_FIXED) &&
                 codec_plain_time(&in, &key->start_us) &&
                 codec_plain_varint(&in, UINT32_MAX, &tag) && tag == TAG(2, WIRE_BYTES) &&
                 codec_plain_text(&in, &key->slug) && reader_left(&in) == 0;
    c->slots = key;
    c->slots_count = 1;
    return is_ok && codec_slot_key_ok(key);
}

static bool codec_plain_field(struct reader *r, uint64_t tag, struct arena *arena,
                              struct codec_plain *p)
{
    struct command *c = &p->command;
    uint32_t small = 0;
    bool is_ok;
    switch (tag) {
    case TAG(1, WIRE_VARINT):
        is_ok = codec_plain_u32(r, &small);
        c->kind = (enum command_kind)small;
        return is_ok;
    case TAG(2, WIRE_BYTES):
        return codec_plain_id(r, c->identity.bytes, &p->identity_len);
    case TAG(3, WIRE_VARINT):
        is_ok = codec_plain_u32(r, &small);
        c->assurance = (enum assurance)small;
        return is_ok;
    case TAG(4, WIRE_VARINT):
        return codec_plain_u32(r, &c->roles);
    case TAG(5, WIRE_BYTES):
        return codec_plain_id(r, c->request_id.bytes, &p->request_len);
    case TAG(6, WIRE_FIXED):
        return codec_plain_fixed(r, &c->body_hash);
    case TAG(7, WIRE_BYTES):
        return codec_plain_text(r, &c->pool);
    case TAG(8, WIRE_FIXED):
        return codec_plain_fixed(r, &c->owner);
    case TAG(9, WIRE_VARINT):
        return codec_plain_varint(r, UINT64_MAX, &c->number);
    case TAG(10, WIRE_BYTES):
        return codec_plain_slot(r, arena, c);
    case TAG(11, WIRE_BYTES):
        return codec_plain_text(r, &c->etag);
    case TAG(20, WIRE_VARINT):
        return codec_plain_varint(r, UINT64_MAX, &c->version);
    case TAG(21, WIRE_FIXED):
        return codec_plain_time(r, &c->select_us);
    case TAG(22, WIRE_VARINT):
        return codec_plain_u32(r, &c->select_count);
    case TAG(25, WIRE_FIXED):
        return codec_plain_fixed(r, &c->client);
    case TAG(26, WIRE_VARINT):
        return codec_plain_bool(r, &c->is_client);
    default:
        return false;
    }
}

bool codec_plain_read(struct span bytes, struct arena *arena, struct codec_plain *ret_plain)
{
    struct span none = span_of("");
    struct reader r = reader_of(bytes.ptr, bytes.len);
    uint64_t tag = 0, before = 0;
    *ret_plain = (struct codec_plain){
        .command = {.pool = none, .etag = none, .page_token = none, .note = none}};
    while (reader_left(&r) > 0) {
        if (!codec_plain_varint(&r, UINT32_MAX, &tag) || tag >> 3 <= before >> 3 ||
            !codec_plain_field(&r, tag, arena, ret_plain)) {
            return false;
        }
        before = tag;
    }
    return true;
}
