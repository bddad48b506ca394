/* SPDX-License-Identifier: MIT */
/* The two files of a bundle that say who got what: returns and outcome (docs/draw.md).
 *   outcome  the first pass, in the order of serving    returns  the journal, in its own
 * With a journal the first pass is as of the bundle's instant: whoever stands up to the place that
 * it had come to was looked at, and what was given then stands in the ticket for ever; whoever left
 * says at which event.  So neither file hangs on what happens while the pieces are fetched.
 * Without one (older rules) slots that came back make the results of later cohorts unknown.
 * Owns nothing; fails by the book and by damage in it. */
#include <errno.h>

#include "ledger/ledger_export.h"

/* -- places ------------------------------------------------------------------------------------ */

int ledger_export_place(struct export *e, struct export_place *out)
{
    struct span suffix, value;
    struct ledger_ticket ticket;
    struct ticket_id id;
    int r = ledger_export_next(e, 'K', &suffix, &value);
    if (r) {
        return r;
    }
    if (suffix.len != sizeof out->order) {
        return err_origin(-EBADMSG);
    }
    memcpy(out->order, suffix.ptr, sizeof out->order);
    struct reader at = reader_of(out->order, sizeof out->order);
    if (reader_u32(&at) > e->cut.cohort) {
        return LEDGER_NONE;
    }
    out->rank = reader_u64(&at);
    reader_bytes(&at, id.bytes, sizeof id.bytes);
    r = ledger_ticket_load(e->s, e->release.space, &id, &ticket);
    if (r == 0) {
        out->is_waiting = ledger_left_waiting(&ticket);
        out->left = ledger_left_number(&ticket);
        r = ledger_proof_row(e->s, &e->release, &ticket, &out->row);
    }
    return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
}

/* Had it left at the instant? */
static bool export_has_left(const struct export *e, const struct export_place *p)
{
    return p->row.state == TICKET_WITHDRAWN && (!e->cut.is_open || p->left <= e->cut.events);
}

/* -- returns ----------------------------------------------------------------------------------- */

/* The ticket's place as a field, with the blank before it. */
static int export_id(struct export *e, const struct ticket_id *id)
{
    struct ledger_ticket ticket;
    int r = ledger_ticket_load(e->s, e->release.space, id, &ticket);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    e->looks++;
    ledger_export_text(e, " %u/", ticket.cohort);
    ledger_export_hex(e, id->bytes, sizeof id->bytes);
    return 0;
}

static int export_walk(struct export *e, bool has_place, const struct ticket_id *id)
{
    if (!has_place) {
        ledger_export_text(e, " -");
    }
    return has_place ? err_trace(export_id(e, id)) : 0;
}

static int export_event(struct export *e, const struct ledger_event_of_return *event)
{
    static const char *const words[] = {[JOURNAL_BACK] = "back", [JOURNAL_PASS] = "pass",
                                        [JOURNAL_WON] = "won", [JOURNAL_LEFT] = "left",
                                        [JOURNAL_END] = "end"};
    bool has_ticket = event->kind == JOURNAL_WON || event->kind == JOURNAL_LEFT;
    ledger_export_text(e, "%s", words[event->kind]);
    int r = has_ticket ? export_id(e, &event->ticket) : 0;
    if (event->kind == JOURNAL_WON) {
        ledger_export_text(e, " %u", event->wish);
    }
    for (uint32_t i = 0; i < event->slots_count; i++) {
        ledger_export_text(e, "%c%u", i ? ',' : ' ', event->slots[i]);
    }
    if (event->kind != JOURNAL_WON) {
        r = r ? r : export_walk(e, event->walks.has_first, &event->walks.first);
    }
    if (event->kind != JOURNAL_WON && event->kind != JOURNAL_PASS) {
        r = r ? r : export_walk(e, event->walks.has_standby, &event->walks.standby);
    }
    ledger_export_text(e, "\n");
    return err_trace(r);
}

int ledger_export_returns(struct export *e)
{
    if (!e->is_journaled) {
        ledger_export_text(e, "journal: none\n");
        return LEDGER_NONE;
    }
    if (e->event == 0) {
        ledger_export_text(e, "journal: kept\n");
    }
    int r = 0;
    for (size_t rows = 0; r == 0 && e->event < e->cut.events; rows++) {
        struct ledger_event_of_return event;
        if (!ledger_export_has_room(e, rows)) {
            return 0;
        }
        r = ledger_journal_get(e->s, &e->release, e->event, &event);
        r = r ? r : export_event(e, &event);
        e->at = ledger_release_key_number(e->release.space, 'J', e->event++);
    }
    if (r == 0 && e->cut.is_open) {
        ledger_export_text(e, "now");
        r = export_walk(e, e->cut.walks.has_first, &e->cut.walks.first);
        r = r ? r : export_walk(e, e->cut.walks.has_standby, &e->cut.walks.standby);
        ledger_export_text(e, "\n");
    }
    return r ? err_trace(r) : LEDGER_NONE;
}

/* -- outcome ----------------------------------------------------------------------------------- */

/* The number of this slot in the release's list, with its end. 0, LEDGER_NONE, < 0. */
static int export_find(struct export *e, struct draw_slot *slot, uint64_t *ret_number)
{
    uint64_t from = 0, to = e->release.slots_count;
    while (from < to) {
        uint64_t middle = from + (to - from) / 2;
        struct ledger_key key = ledger_release_key_number(e->release.space, 'N', middle);
        struct draw_slot there;
        struct span value;
        int r = ledger_get(e->s->l, &key, &value);
        r = r ? r : ledger_read_offered(value, &there);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        e->looks++;
        int order = draw_slot_compare(slot, &there);
        if (order == 0) {
            slot->end_us = there.end_us;
            *ret_number = middle;
            return 0;
        }
        *(order < 0 ? &to : &from) = order < 0 ? middle : middle + 1;
    }
    return LEDGER_NONE;
}

/* "won WISH SLOTS" or "lost - -". */
static int export_won(struct export *e, const struct ticket_row *row)
{
    struct draw_preferences p;
    struct draw_slot slot = {.start_us = row->first_us};
    if (row->first_us == 0 || row->wish == 0 || !draw_preferences_read(row->preferences, &p)) {
        ledger_export_text(e, "lost - -\n");
        return 0;
    }
    CHECK(row->first_slug.len <= sizeof slot.slug);
    slot.slug_len = (uint8_t)row->first_slug.len;
    memcpy(slot.slug, row->first_slug.ptr, row->first_slug.len);
    ledger_export_text(e, "won %u ", row->wish);
    for (uint32_t i = 0; i < p.slot_count; i++) {
        uint64_t number = 0;
        int r = export_find(e, &slot, &number);
        if (r) { /* it was served from this list: its neighbours stand in it */
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        ledger_export_text(e, "%s%" PRIu64, i ? "," : "", number);
        slot.start_us = slot.end_us;
    }
    ledger_export_text(e, "\n");
    return 0;
}

static const char *export_turn(const struct ticket_row *row)
{
    return row->state == TICKET_TURN || row->state == TICKET_USED || row->state == TICKET_LAPSED
               ? "turn - -\n"
           : row->state == TICKET_WITHDRAWN ? "left - -\n"
                                            : "waiting - -\n";
}

/* Of a later cohort, by preference: has it had its first chance?  Who left may not have. */
static bool export_is_served(const struct ticket_row *row)
{
    return row->state != TICKET_ENTERED && (row->state != TICKET_WITHDRAWN || row->first_us);
}

/* The place that the first pass had come to at the instant, as bytes of the order; all of them
 * zero: none.  0 or < 0. */
static int export_reached(struct export *e, uint8_t out[EXPORT_ORDER])
{
    struct ledger_ticket ticket;
    struct scribe w = scribe_of(out, EXPORT_ORDER);
    memset(out, 0, EXPORT_ORDER);
    if (!e->cut.walks.has_first) {
        return 0;
    }
    int r = ledger_ticket_load(e->s, e->release.space, &e->cut.walks.first, &ticket);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    scribe_u32(&w, ticket.cohort);
    scribe_u64(&w, ledger_ticket_rank(e->s->l, &e->release, &ticket.id));
    scribe_bytes(&w, ticket.id.bytes, sizeof ticket.id.bytes);
    return 0;
}

/* Whoever was looked at had a turn, unless gone by then. */
static const char *export_turn_then(const struct export *e, const struct export_place *p,
                                    bool is_reached)
{
    return export_has_left(e, p) ? "left - -\n" : is_reached ? "turn - -\n" : "waiting - -\n";
}

/* The first pass with a journal: what it gave, or that it did not come so far. */
static int export_first(struct export *e, const struct export_place *p, bool is_reached)
{
    bool is_gone = export_has_left(e, p) && (p->is_waiting || !is_reached);
    if (is_gone || !is_reached) {
        ledger_export_text(e, is_gone ? "left - -\n" : "later - -\n");
        return 0;
    }
    return err_trace(export_won(e, &p->row));
}

static int export_result(struct export *e, const struct export_place *p, bool is_reached)
{
    const struct ticket_row *row = &p->row;
    if (e->release.serving == RELEASE_BY_TURN) {
        ledger_export_text(e, "%s", e->cut.is_open ? export_turn_then(e, p, is_reached)
                                            : export_turn(row));
        return 0;
    }
    if (e->is_journaled) {
        return err_trace(export_first(e, p, is_reached));
    }
    if (row->cohort > 0 && (e->has_returns || !export_is_served(row))) {
        ledger_export_text(e, "later - -\n");
        return 0;
    }
    return err_trace(export_won(e, row));
}

int ledger_export_outcome(struct export *e)
{
    uint8_t reached[EXPORT_ORDER];
    int r = export_reached(e, reached);
    for (size_t rows = 0; r == 0 && ledger_export_has_room(e, rows); rows++) {
        struct export_place place;
        r = ledger_export_place(e, &place);
        if (r) {
            return r;
        }
        ledger_export_text(e, "%u %016" PRIx64 " ", place.row.cohort, place.rank);
        ledger_export_hex(e, place.row.id, sizeof place.row.id);
        ledger_export_text(e, " ");
        bool is_reached = memcmp(place.order, reached, sizeof reached) <= 0;
        r = export_result(e, &place, is_reached);
    }
    return err_trace(r);
}
