/* SPDX-License-Identifier: MIT */
/* Keys and values of releases and tickets, both ways, as ledger_record.c does for the rest: fixed
 * widths, big-endian, a reader takes what its writer made and nothing else.
 * A release's numbers stand in one list, so that writer and reader cannot drift.
 * Owns nothing; what is read of a ticket borrows, a release copies its texts because it is held
 * while other records are put. */
#include <errno.h>
#include <xxhash.h>

#include "ledger/ledger_release.h"

#define RELEASE_FORMAT 1
#define TICKET_HAS_CLIENT 0x80 /* beside assurance and leaf */

/* -- keys -------------------------------------------------------------------------------------- */

uint64_t ledger_release_space(struct span pool, struct span id)
{
    return LEDGER_SPACE_RELEASES | (codec_release_hash(pool, id) & (LEDGER_SPACE_RELEASES - 1));
}

struct ledger_key ledger_release_key(uint64_t space, uint8_t tag)
{
    return ledger_key_make((struct routing_key){space, 0}, tag, (struct span){0});
}

struct ledger_key ledger_release_key_number(uint64_t space, uint8_t tag, uint64_t number)
{
    uint8_t bytes[8];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u64(&w, number);
    return ledger_key_make((struct routing_key){space, 0}, tag, (struct span){bytes, 8});
}

struct ledger_key ledger_release_key_order(uint64_t space, uint32_t cohort, uint64_t rank,
                                           const struct ticket_id *id)
{
    uint8_t bytes[28];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u32(&w, cohort);
    scribe_u64(&w, rank);
    scribe_bytes(&w, id->bytes, sizeof id->bytes);
    return ledger_key_make((struct routing_key){space, 0}, 'K', (struct span){bytes, 28});
}

struct ledger_key ledger_release_key_turn(uint64_t space, int64_t act_by_us,
                                          const struct ticket_id *id)
{
    uint8_t bytes[24];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u64(&w, (uint64_t)act_by_us);
    scribe_bytes(&w, id->bytes, sizeof id->bytes);
    return ledger_key_make((struct routing_key){space, 0}, 'U', (struct span){bytes, 24});
}

struct ledger_key ledger_release_key_ticket(uint64_t space, const struct ticket_id *id)
{
    struct reader r = reader_of(id->bytes, sizeof id->bytes);
    struct routing_key at = {space, reader_u64(&r)};
    return ledger_key_make(at, 'T', (struct span){id->bytes, sizeof id->bytes});
}

struct ledger_key ledger_release_key_named(uint64_t pool_space, struct span id)
{
    return ledger_key_make((struct routing_key){pool_space, 1}, 'L', id);
}

/* -- releases ---------------------------------------------------------------------------------- */

static void release_text(struct scribe *w, const uint8_t *text, uint8_t len)
{
    scribe_u8(w, len);
    scribe_bytes(w, text, len);
}

static void release_read_text(struct reader *r, uint8_t *out, uint8_t *ret_len, size_t max)
{
    *ret_len = reader_u8(r);
    if (*ret_len > max) {
        r->bad = true;
        *ret_len = 0;
    }
    reader_bytes(r, out, *ret_len);
}

static void release_read_key(struct reader *r, struct ledger_key *out)
{
    out->len = reader_u8(r);
    if (out->len > BOOK_KEY_MAX) {
        r->bad = true;
        out->len = 0;
    }
    reader_bytes(r, out->bytes, out->len);
}

void ledger_record_release(struct scribe *w, const struct ledger_release *r)
{
    scribe_u8(w, RELEASE_FORMAT);
    scribe_u8(w, (uint8_t)r->phase);
    scribe_u8(w, (uint8_t)r->serving);
    scribe_u8(w, (uint8_t)(r->is_paused | r->is_draining << 1 | r->is_scanning << 2 |
                           r->is_burned << 3 | (r->over_us != 0) << 4 |
                           r->is_returned << 5 | r->is_journaled << 6));
    scribe_u8(w, r->trustees_count);
    scribe_u8(w, r->parts_mask);
    scribe_u64(w, r->pool_space);
#define RELEASE_NUMBER(name) scribe_u64(w, r->name);
    LEDGER_RELEASE_NUMBERS(RELEASE_NUMBER)
#undef RELEASE_NUMBER
#define RELEASE_HASH(name) scribe_bytes(w, r->name, sizeof r->name);
    LEDGER_RELEASE_HASHES(RELEASE_HASH)
#undef RELEASE_HASH
    release_text(w, r->cursor.bytes, (uint8_t)r->cursor.len);
    release_text(w, r->scan.bytes, (uint8_t)r->scan.len);
    release_text(w, r->pool, r->pool_len);
    release_text(w, r->id, r->id_len);
    release_text(w, r->display, r->display_len);
    release_text(w, r->beacon, r->beacon_len);
    if (r->is_journaled) {
        scribe_u64(w, r->journal_count);
    }
    if (r->over_us) {
#define RELEASE_END(name) scribe_u64(w, r->name);
        LEDGER_RELEASE_ENDS(RELEASE_END)
#undef RELEASE_END
    }
}

static void release_read_ends(struct reader *at, bool has_ends, struct ledger_release *r)
{
#define RELEASE_END(name) r->name = has_ends ? reader_u64(at) : 0;
    LEDGER_RELEASE_ENDS(RELEASE_END)
#undef RELEASE_END
    at->bad |= has_ends && r->over_us == 0;
}

int ledger_read_release(struct span value, struct ledger_release *ret_release)
{
    struct reader at = reader_of(value.ptr, value.len);
    struct ledger_release *r = ret_release;
    bool is_ours = reader_u8(&at) == RELEASE_FORMAT;
    r->phase = (enum ledger_phase)reader_u8(&at);
    r->serving = (enum release_serving)reader_u8(&at);
    uint8_t flags = reader_u8(&at);
    r->is_paused = flags & 1;
    r->is_draining = flags & 2;
    r->is_scanning = flags & 4;
    r->is_burned = flags & 8;
    r->is_returned = flags & 32;
    r->is_journaled = flags & 64;
    r->trustees_count = reader_u8(&at);
    r->parts_mask = reader_u8(&at);
    r->pool_space = reader_u64(&at);
#define RELEASE_NUMBER(name) r->name = reader_u64(&at);
    LEDGER_RELEASE_NUMBERS(RELEASE_NUMBER)
#undef RELEASE_NUMBER
#define RELEASE_HASH(name) reader_bytes(&at, r->name, sizeof r->name);
    LEDGER_RELEASE_HASHES(RELEASE_HASH)
#undef RELEASE_HASH
    release_read_key(&at, &r->cursor);
    release_read_key(&at, &r->scan);
    release_read_text(&at, r->pool, &r->pool_len, POOL_ID_MAX);
    release_read_text(&at, r->id, &r->id_len, RELEASE_ID_MAX);
    release_read_text(&at, r->display, &r->display_len, POOL_TEXT_MAX);
    release_read_text(&at, r->beacon, &r->beacon_len, RELEASE_BEACON_MAX);
    r->journal_count = r->is_journaled ? reader_u64(&at) : 0;
    release_read_ends(&at, flags & 16, r);
    bool is_whole = !at.bad && reader_left(&at) == 0 && flags < 128 &&
                    r->phase >= PHASE_LISTING && r->phase <= PHASE_CANCELLED &&
                    r->serving >= RELEASE_BY_PREFERENCE && r->serving <= RELEASE_FIRST_COME &&
                    r->trustees_count <= RELEASE_TRUSTEES_MAX;
    r->space = ledger_release_space(ledger_release_pool(r), ledger_release_id(r));
    return is_ours && is_whole ? 0 : err_origin(-EBADMSG);
}

/* -- tickets ----------------------------------------------------------------------------------- */

void ledger_record_ticket(struct scribe *w, const struct ledger_ticket *t)
{
    scribe_u8(w, RELEASE_FORMAT);
    scribe_bytes(w, t->identity.bytes, sizeof t->identity.bytes);
    scribe_u8(w, (uint8_t)t->state);
    scribe_u8(w, (uint8_t)(t->is_burned << 3 | t->assurance << 1 | t->is_leaf_withdrawn |
                           (t->client ? TICKET_HAS_CLIENT : 0)));
    if (t->client) {
        scribe_u64(w, t->client);
    }
    scribe_varint(w, t->version);
    scribe_varint(w, t->leaf_version);
    scribe_varint(w, t->cohort);
    scribe_u8(w, (uint8_t)t->wish);
    scribe_varint(w, t->number);
    scribe_varint(w, (uint64_t)t->entered_us);
    scribe_varint(w, t->log_index);
    bool has_more = t->act_by_us || t->hold || t->first_us;
    scribe_u8(w, has_more);
    if (has_more) { /* most tickets have nothing of this */
        scribe_u64(w, (uint64_t)t->act_by_us);
        scribe_u64(w, t->hold);
        scribe_u64(w, (uint64_t)t->first_us);
        scribe_u8(w, (uint8_t)t->first_slug.len);
        scribe_bytes(w, t->first_slug.ptr, t->first_slug.len);
    }
    scribe_span16(w, t->preferences);
}

static uint32_t ticket_u32(struct reader *r)
{
    uint64_t v = reader_varint(r);
    r->bad |= v > UINT32_MAX;
    return (uint32_t)v;
}

static void ticket_read_more(struct reader *r, struct ledger_ticket *out)
{
    out->act_by_us = (int64_t)reader_u64(r);
    out->hold = reader_u64(r);
    out->first_us = (int64_t)reader_u64(r);
    out->first_slug.len = reader_u8(r);
    if (out->first_slug.len > SLOT_DESK_MAX) {
        r->bad = true;
        out->first_slug.len = 0;
    }
    reader_take(r, out->first_slug.len, &out->first_slug.ptr);
}

int ledger_read_ticket(struct span value, const struct ticket_id *id, struct ledger_ticket *out)
{
    struct reader r = reader_of(value.ptr, value.len);
    bool is_ours = reader_u8(&r) == RELEASE_FORMAT;
    *out = (struct ledger_ticket){.id = *id};
    reader_bytes(&r, out->identity.bytes, sizeof out->identity.bytes);
    out->state = (enum ticket_state)reader_u8(&r);
    uint8_t flags = reader_u8(&r);
    out->is_leaf_withdrawn = flags & 1;
    out->assurance = (enum assurance)(flags >> 1 & 3);
    out->is_burned = flags & 8;
    out->client = flags & TICKET_HAS_CLIENT ? reader_u64(&r) : 0;
    out->version = ticket_u32(&r);
    out->leaf_version = ticket_u32(&r);
    out->cohort = ticket_u32(&r);
    out->wish = reader_u8(&r);
    out->number = reader_varint(&r);
    out->entered_us = (int64_t)reader_varint(&r);
    out->log_index = reader_varint(&r);
    uint8_t has_more = reader_u8(&r);
    if (has_more) {
        ticket_read_more(&r, out);
    }
    out->preferences = reader_span16(&r);
    bool is_whole = !r.bad && reader_left(&r) == 0 && has_more <= 1 &&
                    out->state >= TICKET_ENTERED && out->state <= TICKET_LAPSED &&
                    (flags & ~TICKET_HAS_CLIENT) < 16 && out->wish <= DRAW_WISHES_MAX &&
                    out->preferences.len <= DRAW_PREFERENCES_MAX;
    return is_ours && is_whole ? 0 : err_origin(-EBADMSG);
}

/* -- slots of the list ------------------------------------------------------------------------- */

void ledger_record_offered(struct scribe *w, const struct draw_slot *slot)
{
    scribe_u8(w, RELEASE_FORMAT);
    scribe_u64(w, (uint64_t)slot->start_us);
    scribe_u64(w, (uint64_t)slot->end_us);
    release_text(w, (const uint8_t *)slot->slug, slot->slug_len);
}

int ledger_read_offered(struct span value, struct draw_slot *ret_slot)
{
    struct reader r = reader_of(value.ptr, value.len);
    bool is_ours = reader_u8(&r) == RELEASE_FORMAT;
    *ret_slot = (struct draw_slot){.start_us = (int64_t)reader_u64(&r)};
    ret_slot->end_us = (int64_t)reader_u64(&r);
    release_read_text(&r, (uint8_t *)ret_slot->slug, &ret_slot->slug_len, SLOT_DESK_MAX);
    return is_ours && !r.bad && reader_left(&r) == 0 ? 0 : err_origin(-EBADMSG);
}

/* -- bytes ------------------------------------------------------------------------------------- */

int ledger_release_put_bytes(struct ledger_step *s, const struct ledger_key *key,
                             struct span bytes)
{
    uint8_t value[BOOK_VALUE_MAX];
    struct scribe w = scribe_of(value, sizeof value);
    scribe_u8(&w, RELEASE_FORMAT);
    scribe_bytes(&w, bytes.ptr, bytes.len);
    return err_trace(ledger_put(s->l, key, &w));
}

int ledger_release_get_bytes(struct ledger_step *s, const struct ledger_key *key,
                             struct span *ret_bytes)
{
    struct span value;
    int r = ledger_get(s->l, key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (value.len == 0 || value.ptr[0] != RELEASE_FORMAT) {
        return err_origin(-EBADMSG);
    }
    *ret_bytes = (struct span){value.ptr + 1, value.len - 1};
    return 0;
}
