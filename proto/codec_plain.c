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
#include "proto/codec_direct.h"

/* An id of 16 bytes, no more and no less. */
static bool codec_plain_id(struct reader *r, uint8_t *out, size_t *ret_len)
{
    struct span id;
    if (!codec_in_span(r, &id) || id.len != 16) {
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
    if (key == NULL || !codec_in_span(r, &bytes)) {
        return false;
    }
    struct reader in = reader_of(bytes.ptr, bytes.len);
    uint64_t tag = 0;
    bool is_ok = codec_in_varint(&in, UINT32_MAX, &tag) && tag == CODEC_TAG(1, WIRE_FIXED) &&
                 codec_in_time(&in, &key->start_us) &&
                 codec_in_varint(&in, UINT32_MAX, &tag) && tag == CODEC_TAG(2, WIRE_BYTES) &&
                 codec_in_text(&in, &key->slug) && reader_left(&in) == 0;
    c->slots = key;
    c->slots_count = 1;
    return is_ok && codec_slot_key_ok(key);
}

static bool codec_plain_field(struct reader *r, uint64_t tag, struct arena *arena,
                              struct codec_plain *p)
{
    struct command *c = p->command;
    uint32_t small = 0;
    bool is_ok;
    switch (tag) {
    case CODEC_TAG(1, WIRE_VARINT):
        is_ok = codec_in_u32(r, &small);
        c->kind = (enum command_kind)small;
        return is_ok;
    case CODEC_TAG(2, WIRE_BYTES):
        return codec_plain_id(r, c->identity.bytes, &p->identity_len);
    case CODEC_TAG(3, WIRE_VARINT):
        is_ok = codec_in_u32(r, &small);
        c->assurance = (enum assurance)small;
        return is_ok;
    case CODEC_TAG(4, WIRE_VARINT):
        return codec_in_u32(r, &c->roles);
    case CODEC_TAG(5, WIRE_BYTES):
        return codec_plain_id(r, c->request_id.bytes, &p->request_len);
    case CODEC_TAG(6, WIRE_FIXED):
        return codec_in_fixed(r, &c->body_hash);
    case CODEC_TAG(7, WIRE_BYTES):
        return codec_in_text(r, &c->pool);
    case CODEC_TAG(8, WIRE_FIXED):
        return codec_in_fixed(r, &c->owner);
    case CODEC_TAG(9, WIRE_VARINT):
        return codec_in_varint(r, UINT64_MAX, &c->number);
    case CODEC_TAG(10, WIRE_BYTES):
        return codec_plain_slot(r, arena, c);
    case CODEC_TAG(11, WIRE_BYTES):
        return codec_in_text(r, &c->etag);
    case CODEC_TAG(20, WIRE_VARINT):
        return codec_in_varint(r, UINT64_MAX, &c->version);
    case CODEC_TAG(21, WIRE_FIXED):
        return codec_in_time(r, &c->select_us);
    case CODEC_TAG(22, WIRE_VARINT):
        return codec_in_u32(r, &c->select_count);
    case CODEC_TAG(25, WIRE_FIXED):
        return codec_in_fixed(r, &c->client);
    case CODEC_TAG(26, WIRE_VARINT):
        return codec_in_bool(r, &c->is_client);
    default:
        return false;
    }
}

bool codec_plain_read(struct span bytes, struct arena *arena, struct codec_plain *plain)
{
    struct span none = span_of("");
    struct reader r = reader_of(bytes.ptr, bytes.len);
    uint64_t tag = 0, before = 0;
    *plain->command =
        (struct command){.pool = none, .etag = none, .page_token = none, .note = none};
    while (reader_left(&r) > 0) {
        if (!codec_in_varint(&r, UINT32_MAX, &tag) || tag >> 3 <= before >> 3 ||
            !codec_plain_field(&r, tag, arena, plain)) {
            return false;
        }
        before = tag;
    }
    return true;
}
