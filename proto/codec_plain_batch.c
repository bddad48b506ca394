/* SPDX-License-Identifier: MIT */
/* The short way into batches, replies and entries: what our own packers write, read in one pass.
 *
 *   bytes -> ascending fields, each once but the repeated one -> spans of what is in them
 *            anything else, and news: false, and codec_..._read_any() judges
 *
 * Owns nothing; spans borrow from the bytes, arrays are the arena's, and so are the texts of
 * refusals, which are terminated there.
 * Never refuses, only declines, as codec_plain.c, and before anything inside is unpacked.
 * Invariant: what is taken here, the general way takes too, with the same fields
 * (tests/unit/proto/test_codec_direct.c compares them). */
#include "proto/codec_direct.h"

/* The next tag, behind `before`, or the same one again if it is `repeated`. */
static bool codec_plain_tag(struct reader *r, uint64_t before, uint64_t repeated, uint64_t *ret_tag)
{
    return codec_in_varint(r, UINT32_MAX, ret_tag) &&
           (*ret_tag > before || (*ret_tag == before && before == repeated));
}

/* -- batches ----------------------------------------------------------------------------------- */

static bool codec_plain_request(struct span bytes, struct batch_item *item,
                                struct span *ret_command)
{
    struct reader r = reader_of(bytes.ptr, bytes.len);
    uint64_t tag = 0, before = 0;
    struct span none = {0};
    item->call = item->deadline_ms = 0;
    item->trace = *ret_command = none;
    for (bool is_ok = true; reader_left(&r) > 0; before = tag) {
        is_ok = codec_plain_tag(&r, before, 0, &tag);
        switch (is_ok ? tag : 0) {
        case CODEC_TAG(1, WIRE_VARINT):
            is_ok = codec_in_u32(&r, &item->call);
            break;
        case CODEC_TAG(2, WIRE_VARINT):
            is_ok = codec_in_u32(&r, &item->deadline_ms);
            break;
        case CODEC_TAG(3, WIRE_BYTES):
            is_ok = codec_in_span(&r, ret_command);
            break;
        case CODEC_TAG(4, WIRE_BYTES):
            is_ok = codec_in_span(&r, &item->trace);
            break;
        default:
            is_ok = false;
        }
        if (!is_ok) {
            return false;
        }
    }
    return true;
}

bool codec_batch_read_plain(struct span bytes, struct arena *arena, struct batch_view *ret_batch)
{
    const uint64_t request = CODEC_TAG(4, WIRE_BYTES);
    struct span requests[BATCH_ITEMS_MAX];
    struct reader r = reader_of(bytes.ptr, bytes.len);
    struct batch_view b = {0};
    uint64_t tag = 0, before = 0;
    for (bool is_ok = true; reader_left(&r) > 0; before = tag) {
        is_ok = codec_plain_tag(&r, before, request, &tag);
        switch (is_ok ? tag : 0) {
        case CODEC_TAG(1, WIRE_VARINT):
            is_ok = codec_in_varint(&r, UINT64_MAX, &b.map_epoch);
            break;
        case CODEC_TAG(2, WIRE_FIXED):
            is_ok = codec_in_fixed(&r, &b.gateway);
            break;
        case CODEC_TAG(3, WIRE_VARINT):
            is_ok = codec_in_u32(&r, &b.waiting_identities);
            break;
        case CODEC_TAG(4, WIRE_BYTES):
            is_ok = b.items_count < BATCH_ITEMS_MAX && codec_in_span(&r, &requests[b.items_count]);
            b.items_count++;
            break;
        case CODEC_TAG(6, WIRE_FIXED):
            is_ok = codec_in_fixed(&r, &b.cluster);
            break;
        default:
            is_ok = false;
        }
        if (!is_ok) {
            return false;
        }
    }
    b.items = arena_alloc(arena, b.items_count * sizeof *b.items);
    b.commands = arena_alloc(arena, b.items_count * sizeof *b.commands);
    bool is_ok = b.items && b.commands;
    for (size_t i = 0; is_ok && i < b.items_count; i++) {
        is_ok = codec_plain_request(requests[i], &b.items[i], &b.commands[i]);
    }
    if (is_ok) {
        *ret_batch = b;
    }
    return is_ok;
}

/* -- replies ----------------------------------------------------------------------------------- */

/* A terminated copy. */
static bool codec_plain_copy(struct reader *r, struct arena *arena, struct span *ret_text)
{
    struct span text;
    if (!codec_in_text(r, &text)) {
        return false;
    }
    ret_text->len = text.len;
    ret_text->ptr = (const uint8_t *)codec_text(arena, text);
    return ret_text->ptr != NULL;
}

static bool codec_plain_meta(struct reader *r, struct arena *arena, struct answer *a)
{
    struct span bytes, key = span_of(""), value = key;
    uint64_t tag = 0;
    if (a->meta_count == VERDICT_META_MAX || !codec_in_span(r, &bytes)) {
        return false;
    }
    struct reader in = reader_of(bytes.ptr, bytes.len);
    bool is_ok = codec_in_varint(&in, UINT32_MAX, &tag) && tag == CODEC_TAG(1, WIRE_BYTES) &&
                 codec_plain_copy(&in, arena, &key) && codec_in_varint(&in, UINT32_MAX, &tag) &&
                 tag == CODEC_TAG(2, WIRE_BYTES) && codec_plain_copy(&in, arena, &value) &&
                 reader_left(&in) == 0;
    a->meta[a->meta_count++] = (struct verdict_meta){(const char *)key.ptr, value};
    return is_ok;
}

static bool codec_plain_answer(struct span bytes, struct arena *arena, struct answer *a)
{
    struct reader r = reader_of(bytes.ptr, bytes.len);
    uint64_t tag = 0, before = 0;
    uint32_t reason = 0;
    a->call = a->retry_ms = 0;
    a->meta_count = 0;
    a->field = span_of("");
    a->message = (struct span){0};
    for (bool is_ok = true; reader_left(&r) > 0; before = tag) {
        is_ok = codec_plain_tag(&r, before, CODEC_TAG(5, WIRE_BYTES), &tag);
        switch (is_ok ? tag : 0) {
        case CODEC_TAG(1, WIRE_VARINT):
            is_ok = codec_in_u32(&r, &a->call);
            break;
        case CODEC_TAG(2, WIRE_VARINT): /* a newer shard may know reasons that are none of ours */
            is_ok = codec_in_u32(&r, &reason) && reason < REASON_COUNT;
            break;
        case CODEC_TAG(3, WIRE_VARINT):
            is_ok = codec_in_u32(&r, &a->retry_ms);
            break;
        case CODEC_TAG(4, WIRE_BYTES):
            is_ok = codec_plain_copy(&r, arena, &a->field);
            break;
        case CODEC_TAG(5, WIRE_BYTES):
            is_ok = codec_plain_meta(&r, arena, a);
            break;
        case CODEC_TAG(6, WIRE_BYTES):
            is_ok = codec_in_span(&r, &a->message);
            break;
        default:
            is_ok = false;
        }
        if (!is_ok) {
            return false;
        }
    }
    a->reason = (enum reason)reason;
    return true;
}

bool codec_reply_read_plain(struct span bytes, struct arena *arena, struct reply_view *ret_reply)
{
    struct span answers[BATCH_ITEMS_MAX];
    struct reader r = reader_of(bytes.ptr, bytes.len);
    struct reply_view v = {.leader = span_of("")};
    uint64_t tag = 0, before = 0;
    for (bool is_ok = true; reader_left(&r) > 0; before = tag) {
        is_ok = codec_plain_tag(&r, before, CODEC_TAG(3, WIRE_BYTES), &tag);
        switch (is_ok ? tag : 0) {
        case CODEC_TAG(1, WIRE_VARINT):
            is_ok = codec_in_varint(&r, UINT64_MAX, &v.map_epoch);
            break;
        case CODEC_TAG(2, WIRE_VARINT):
            is_ok = codec_in_u32(&r, &v.credit);
            break;
        case CODEC_TAG(3, WIRE_BYTES):
            is_ok = v.answers_count < BATCH_ITEMS_MAX &&
                    codec_in_span(&r, &answers[v.answers_count]);
            v.answers_count++;
            break;
        case CODEC_TAG(4, WIRE_VARINT):
            is_ok = codec_in_u32(&r, &v.pause_us);
            break;
        case CODEC_TAG(6, WIRE_VARINT):
            is_ok = codec_in_bool(&r, &v.is_turned_away);
            break;
        case CODEC_TAG(7, WIRE_BYTES):
            is_ok = codec_plain_copy(&r, arena, &v.leader);
            break;
        case CODEC_TAG(8, WIRE_FIXED):
            is_ok = codec_in_fixed(&r, &v.cluster);
            break;
        default:
            is_ok = false;
        }
        if (!is_ok) {
            return false;
        }
    }
    v.answers = arena_alloc(arena, v.answers_count * sizeof *v.answers);
    bool is_ok = v.answers != NULL;
    for (size_t i = 0; is_ok && i < v.answers_count; i++) {
        is_ok = codec_plain_answer(answers[i], arena, &v.answers[i]);
    }
    if (is_ok) {
        *ret_reply = v;
    }
    return is_ok;
}

/* -- the log ----------------------------------------------------------------------------------- */

static bool codec_plain_command(struct reader *r, struct span *ret_command)
{
    uint64_t tag = 0;
    return codec_in_varint(r, UINT32_MAX, &tag) && tag == CODEC_TAG(2, WIRE_BYTES) &&
           codec_in_span(r, ret_command);
}

bool codec_entry_read_plain(struct span bytes, struct arena *arena, struct codec_entry *ret_entry)
{
    struct reader r = reader_of(bytes.ptr, bytes.len);
    struct codec_entry e = {0};
    struct span command;
    uint64_t tag = 0;
    if (!codec_in_varint(&r, UINT32_MAX, &tag) || tag != CODEC_TAG(1, WIRE_FIXED) ||
        !codec_in_time(&r, &e.log_time_us)) {
        return false;
    }
    for (struct reader again = r; reader_left(&again) > 0; e.count++) {
        if (e.count == ROUND_ITEMS_MAX || !codec_plain_command(&again, &command)) {
            return false;
        }
    }
    struct span *commands = arena_alloc(arena, e.count * sizeof *commands);
    for (size_t i = 0; commands && i < e.count; i++) {
        CHECK(codec_plain_command(&r, &commands[i])); /* it was there before */
    }
    e.commands = commands;
    if (commands) {
        *ret_entry = e;
    }
    return commands != NULL;
}
