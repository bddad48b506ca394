/* SPDX-License-Identifier: MIT */
/* What a replica says of itself, as bytes.
 *
 *   version u8, applied u64, durable u64, log time u64, rules u32, room u8, free bytes u64,
 *   door and program (u16 and bytes each), repairs u8, needs u64, signs u64
 *
 * An older program's ends earlier, a newer one's may go on: nodes are updated one after another.
 * Owns nothing.  Fails: unpack tells what is none. */
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "node/peering.h"

#define STATUS_VERSION 1

size_t peering_status_pack(const struct peering_status *s, uint8_t out[PEERING_STATUS_MAX])
{
    struct scribe w = scribe_of(out, PEERING_STATUS_MAX);
    scribe_u8(&w, STATUS_VERSION);
    scribe_u64(&w, s->applied);
    scribe_u64(&w, s->durable);
    scribe_u64(&w, (uint64_t)s->log_time_us);
    scribe_u32(&w, s->rules);
    scribe_u8(&w, s->room);
    scribe_u64(&w, s->disk_free_bytes);
    scribe_span16(&w, (struct span){(const uint8_t *)s->door, strlen(s->door)});
    scribe_span16(&w, (struct span){(const uint8_t *)s->program, strlen(s->program)});
    scribe_u8(&w, s->repairs);
    scribe_u64(&w, s->needs);
    scribe_u64(&w, s->signs);
    CHECK(!w.bad);
    return scribe_len(&w);
}

static void text_in(struct reader *in, char out[PEERING_URL_MAX])
{
    struct span text = reader_span16(in);
    in->bad = in->bad || text.len >= PEERING_URL_MAX;
    if (!in->bad) {
        memcpy(out, text.ptr, text.len);
        out[text.len] = '\0';
    }
}

bool peering_status_unpack(struct span bytes, struct peering_status *ret_status)
{
    struct reader in = reader_of(bytes.ptr, bytes.len);
    struct peering_status s = {0};
    uint8_t version = reader_u8(&in);
    s.applied = reader_u64(&in);
    s.durable = reader_u64(&in);
    s.log_time_us = (int64_t)reader_u64(&in);
    s.rules = reader_u32(&in);
    s.room = reader_u8(&in);
    s.disk_free_bytes = reader_u64(&in);
    text_in(&in, s.door);
    text_in(&in, s.program);
    s.repairs = !in.bad && reader_left(&in) > 0 && reader_u8(&in) == 1;
    s.needs = !in.bad && reader_left(&in) > 0 ? reader_u64(&in) : 0;
    s.signs = !in.bad && reader_left(&in) > 0 ? reader_u64(&in) : 0;
    *ret_status = s;
    return !in.bad && version == STATUS_VERSION;
}
