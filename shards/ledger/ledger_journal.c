/* SPDX-License-Identifier: MIT */
/* The journal of returns (docs/draw.md, "Returns"): what happened to the slots of a release by
 * preference while it was open, in relation to the order in which it was served.
 *
 *   a slot comes back, a pass over standby begins, it gives something, somebody leaves, the end
 *     -> one record (release, 0) 'J' number, with the last ticket that each of both walks looked at
 *
 * A place is kept as its ticket's id: cohort and rank follow from it.  Nothing is written for a
 * ticket that nothing happens to, nor for releases of the rules before 5; by turn only those who
 * leave are counted, so that an export can tell who had left at its instant.
 * Owns nothing; the caller puts the release, whose record has the count.  Fails by the book. */
#include <errno.h>

#include "ledger/ledger_release.h"

#define JOURNAL_FIRST   1 /* flags: which places follow */
#define JOURNAL_STANDBY 2

/* The ticket whose place in the order the walk has looked at last; false: none yet. */
static bool journal_at(const struct ledger_key *walk, struct ticket_id *ret_id)
{
    if (walk->len == 0) {
        return false;
    }
    CHECK(walk->len > sizeof ret_id->bytes);
    memcpy(ret_id->bytes, walk->bytes + walk->len - sizeof ret_id->bytes, sizeof ret_id->bytes);
    return true;
}

void ledger_journal_walks(const struct ledger_release *r, struct ledger_walks *out)
{
    *out = (struct ledger_walks){.has_first = false};
    out->has_first = journal_at(&r->cursor, &out->first);
    out->has_standby = r->is_scanning && journal_at(&r->scan, &out->standby);
}

static void journal_record(struct scribe *w, const struct ledger_event_of_return *e)
{
    scribe_u8(w, (uint8_t)e->kind);
    if (e->kind == JOURNAL_LEFT || e->kind == JOURNAL_WON) {
        scribe_bytes(w, e->ticket.bytes, sizeof e->ticket.bytes);
    }
    if (e->kind == JOURNAL_WON) {
        scribe_u8(w, (uint8_t)e->wish);
        scribe_u8(w, (uint8_t)e->slots_count);
    }
    for (uint32_t i = 0; i < e->slots_count; i++) {
        scribe_u32(w, e->slots[i]);
    }
    if (e->kind == JOURNAL_WON) {
        return; /* the pass says where it is by winning */
    }
    scribe_u8(w, (uint8_t)((e->walks.has_first ? JOURNAL_FIRST : 0) |
                           (e->walks.has_standby ? JOURNAL_STANDBY : 0)));
    if (e->walks.has_first) {
        scribe_bytes(w, e->walks.first.bytes, sizeof e->walks.first.bytes);
    }
    if (e->walks.has_standby) {
        scribe_bytes(w, e->walks.standby.bytes, sizeof e->walks.standby.bytes);
    }
}

static bool journal_read(struct span value, struct ledger_event_of_return *e)
{
    struct reader at = reader_of(value.ptr, value.len);
    *e = (struct ledger_event_of_return){.kind = (enum ledger_journal_kind)reader_u8(&at)};
    if (e->kind == JOURNAL_LEFT || e->kind == JOURNAL_WON) {
        reader_bytes(&at, e->ticket.bytes, sizeof e->ticket.bytes);
    }
    e->slots_count = e->kind == JOURNAL_BACK;
    if (e->kind == JOURNAL_WON) {
        e->wish = reader_u8(&at);
        e->slots_count = reader_u8(&at);
    }
    for (uint32_t i = 0; i < e->slots_count && i < DRAW_CHAIN_MAX; i++) {
        e->slots[i] = reader_u32(&at);
    }
    uint8_t flags = e->kind == JOURNAL_WON ? 0 : reader_u8(&at);
    e->walks.has_first = flags & JOURNAL_FIRST;
    e->walks.has_standby = flags & JOURNAL_STANDBY;
    if (e->walks.has_first) {
        reader_bytes(&at, e->walks.first.bytes, sizeof e->walks.first.bytes);
    }
    if (e->walks.has_standby) {
        reader_bytes(&at, e->walks.standby.bytes, sizeof e->walks.standby.bytes);
    }
    return !at.bad && reader_left(&at) == 0 && flags <= (JOURNAL_FIRST | JOURNAL_STANDBY) &&
           e->kind >= JOURNAL_BACK && e->kind <= JOURNAL_END && e->slots_count <= DRAW_CHAIN_MAX;
}

static bool journal_is_kept(const struct ledger_release *r)
{
    return r->is_journaled && r->serving == RELEASE_BY_PREFERENCE &&
           (r->phase == PHASE_SERVING || r->phase == PHASE_STANDBY || r->phase == PHASE_CLOSING);
}

int ledger_journal_put(struct ledger_step *s, struct ledger_release *r,
                       struct ledger_event_of_return *e)
{
    uint8_t bytes[LEDGER_JOURNAL_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    if (!journal_is_kept(r)) {
        return 0;
    }
    ledger_journal_walks(r, &e->walks);
    journal_record(&w, e);
    CHECK(!w.bad);
    struct ledger_key key = ledger_release_key_number(r->space, 'J', r->journal_count);
    r->journal_count++;
    return err_trace(ledger_release_put_bytes(s, &key, (struct span){bytes, scribe_len(&w)}));
}

int ledger_journal_get(struct ledger_step *s, const struct ledger_release *r, uint64_t number,
                       struct ledger_event_of_return *out)
{
    struct ledger_key key = ledger_release_key_number(r->space, 'J', number);
    struct span value;
    int status = ledger_release_get_bytes(s, &key, &value);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    return journal_read(value, out) ? 0 : err_origin(-EBADMSG);
}

int ledger_journal_back(struct ledger_step *s, struct ledger_release *r, uint32_t slot)
{
    struct ledger_event_of_return e = {.kind = JOURNAL_BACK, .slots = {slot}, .slots_count = 1};
    return r->phase == PHASE_CLOSING ? 0 : err_trace(ledger_journal_put(s, r, &e));
}

int ledger_journal_left(struct ledger_step *s, struct ledger_release *r, struct ledger_ticket *t)
{
    struct ledger_event_of_return e = {.kind = JOURNAL_LEFT, .ticket = t->id};
    bool was_waiting = t->state == TICKET_ENTERED;
    if (!r->is_journaled || r->phase < PHASE_SERVING) {
        return 0;
    }
    int status = ledger_journal_put(s, r, &e);
    r->journal_count += r->serving == RELEASE_BY_TURN;
    t->act_by_us = (int64_t)(2 * r->journal_count + was_waiting);
    return status ? err_trace(status) : err_trace(ledger_release_put(s, r));
}

int ledger_journal_end(struct ledger_step *s, struct ledger_release *r)
{
    struct ledger_event_of_return e = {.kind = JOURNAL_END};
    CHECK(r->phase == PHASE_CLOSING);
    int status = ledger_journal_put(s, r, &e);
    r->cursor.len = 0;
    return err_trace(status);
}
