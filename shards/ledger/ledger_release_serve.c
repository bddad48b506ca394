/* SPDX-License-Identifier: MIT */
/* Serving a release: ranks in order, by preference or by turn, and standby.
 *
 *   by preference: the next in order takes the first of its wishes that can be met, as a hold in
 *                  its own account with an accept-by time; whoever gets nothing stands by
 *   standby:       slots that came back -> one more pass over whoever stands by, from the first
 *                  rank on
 *   by turn:       turns are given while turns < free slots, so each holder is sure of one; a turn
 *                  that lapses passes on
 *
 * A ticket counts against its owner's entitlement as the hold that it becomes will, so a winner's
 * account always has room.  Ranks follow from the seed and nothing else (shards/draw); this file
 * only walks the order that stands in the book.
 * Bounded: SERVE_MAX tickets a step, since a winner touches its ticket, its account and its slots.
 * Owns nothing.  Fails by the book and by damage in it. */
#include <errno.h>

#include "ledger/ledger_event.h"
#include "ledger/ledger_memory.h"

#define SERVE_MAX  32  /* winners of one step */
#define SERVE_LOOK 256 /* tickets looked at in one step */
#define SERVE_NUMBER (UINT64_C(1) << 63) /* holds that a step makes: apart from all others */

uint32_t ledger_release_cohort_closed(const struct ledger_release *r, int64_t now_us)
{
    int64_t since_us = now_us - (int64_t)(r->entry_close_us + r->entry_grace_us);
    return r->cohort_us == 0 || since_us < 0 ? 0 : (uint32_t)(since_us / (int64_t)r->cohort_us);
}

/* -- walking the order ------------------------------------------------------------------------- */

struct serve_place {
    struct ledger_key key;
    uint32_t cohort;
    uint64_t rank;
    struct ticket_id id;
};

/* The place behind `cursor` in the order, of a cohort up to `cohort`: 0, LEDGER_NONE, < 0. */
static int serve_next(struct ledger_step *s, const struct ledger_release *r,
                      const struct ledger_key *cursor, uint32_t cohort, struct serve_place *out)
{
    struct ledger_key begin = ledger_release_key(r->space, 'K');
    struct ledger_key_parts parts;
    struct span key, value;
    int status = ledger_next(s->l, ledger_key_span(cursor->len ? cursor : &begin), true, &key,
                             &value);
    if (status) {
        return status == LEDGER_NONE ? status : err_trace(status);
    }
    if (!ledger_key_parse(key, &parts)) {
        return err_origin(-EBADMSG);
    }
    if (parts.at.space != r->space || parts.at.position != 0 || parts.tag != 'K') {
        return LEDGER_NONE;
    }
    struct reader at = reader_of(parts.suffix.ptr, parts.suffix.len);
    out->cohort = reader_u32(&at);
    out->rank = reader_u64(&at);
    reader_bytes(&at, out->id.bytes, sizeof out->id.bytes);
    if (at.bad || reader_left(&at) > 0) {
        return err_origin(-EBADMSG);
    }
    out->key = ledger_release_key_order(r->space, out->cohort, out->rank, &out->id);
    return out->cohort <= cohort ? 0 : LEDGER_NONE;
}

/* -- a winner's hold --------------------------------------------------------------------------- */

struct serve_winner {
    struct ledger_release *release;
    struct ledger_open *open;
    struct ledger_ticket *ticket;
    uint32_t first;      /* slot number */
    uint32_t slot_count;
    uint32_t nth;        /* winner of this step */
    uint64_t owner;      /* of the hold, once it stands */
    bool is_first;       /* when it is served for the first time, not out of standby */
};

int ledger_release_run(struct ledger_step *s, const struct ledger_open *o, uint32_t first,
                       uint32_t count, struct ledger_run *run)
{
    uint32_t number = first;
    *run = (struct ledger_run){.space = o->pool_space, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        CHECK(number != DRAW_NONE);
#ifdef PLANT_OVERSELL /* never defined but by tests/e2e: the flood must catch it, as each below */
        number -= number % 2;
#endif
        const struct draw_slot *at = draw_stock_slot(o->stock, number);
        struct slot_key slot_key = {at->start_us, {(const uint8_t *)at->slug, at->slug_len}};
        struct ledger_key key = ledger_key_slot(o->pool_space, &slot_key);
        struct span value, desk = {0};
        int r = ledger_get(s->l, &key, &value);
        if (r == 0) {
            r = ledger_read_slot(value, &run->slots[i]);
        }
        if (r == 0) {
            r = ledger_keep(s->arena, run->slots[i].desk, &desk); /* outlives the puts */
        }
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        run->slots[i].desk = desk;
        run->first = i == 0 ? slot_key : run->first;
        run->end_us = at->end_us;
        number = draw_stock_next(o->stock, number);
    }
    return 0;
}

/* The owner's account with the new hold in it. */
static int serve_hold(struct ledger_step *s, struct serve_winner *w, struct ledger_run *run)
{
    struct ledger_scene scene;
    struct ledger_outcome outcome = {.count = 0};
    int r = ledger_pool_find(s->l, s->c->pool, &scene.pool);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    scene.at = ledger_identity_key(ledger_pool_class(scene.pool), &s->c->identity);
    w->owner = scene.at.position;
    r = ledger_account_load(s, scene.at, &scene.account);
    if (r) { /* its ticket made the account: there is always one */
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    struct ledger_spill spill;
    struct ledger_besides besides;
    r = ledger_account_trim(s, &scene.account, &spill);
    if (r) {
        return err_trace(r);
    }
    CHECK(scene.account.items_count < LEDGER_ITEMS_MAX);
    struct ledger_item *item = &scene.account.items[scene.account.items_count++];
    *item = (struct ledger_item){.state = ITEM_LIVE,
                                 .number = w->ticket->hold,
                                 .version = 1,
                                 .changes_left = POOL_MAX_CHANGES,
                                 .expire_us = w->ticket->act_by_us};
    ledger_hold_take(s, &scene, run, item, &outcome);
    r = ledger_hold_follow(s, &scene, item);
    uint8_t bytes[BOOK_VALUE_MAX];
    struct scribe account = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = ledger_key_account(scene.at, &s->c->identity);
    r = r ? r : ledger_memory_record(s, &scene.account, &account, &besides);
    r = r ? r : ledger_outcome_put(s, &outcome);
    r = r ? r : ledger_account_put(s, &key, &account, &spill);
    return r ? err_trace(r)
             : err_trace(ledger_memory_put(s, scene.at, &s->c->identity, &besides));
}

/* Slots, hold and ticket of a winner whose slots are out of the stock already. */
static int serve_win(struct ledger_step *s, struct serve_winner *w)
{
    struct command own = *s->c;
    struct ledger_step step = *s;
    struct ledger_run run;
    own.pool = ledger_release_pool(w->release);
    own.identity = w->ticket->identity;
    step.c = &own;
    w->ticket->hold = SERVE_NUMBER | s->log_index << 19 | (s->number & 511) << 10 | w->nth;
    w->ticket->act_by_us = s->now_us + (int64_t)w->release->accept_us;
    w->ticket->state = TICKET_OFFERED;
    int r = ledger_release_run(&step, w->open, w->first, w->slot_count, &run);
    if (r) {
        return err_trace(r);
    }
    if (w->is_first) {
        w->ticket->first_us = run.first.start_us;
        w->ticket->first_slug = run.first.slug;
    }
    return err_trace(serve_hold(&step, w, &run));
}

/* -- by preference ----------------------------------------------------------------------------- */

/* A pass over the order, within one step. */
struct serve_pass {
    struct ledger_release *release;
    struct ledger_open *open;
    enum ticket_state state; /* whoever is in it is served */
    uint32_t won_count;
};

/* What a pass over standby gives, into the journal. */
static int serve_journal(struct ledger_step *s, struct ledger_release *r,
                         const struct serve_winner *w)
{
    struct ledger_event_of_return e = {.kind = JOURNAL_WON,
                                       .ticket = w->ticket->id,
                                       .wish = w->ticket->wish};
    for (uint32_t slot = w->first; e.slots_count < w->slot_count;
         slot = draw_stock_next(w->open->stock, slot)) {
        e.slots[e.slots_count++] = slot;
    }
    return w->is_first ? 0 : err_trace(ledger_journal_put(s, r, &e));
}

/* One ticket: an offer, or standby. */
static int serve_ticket(struct ledger_step *s, struct serve_pass *pass,
                        struct ledger_ticket *ticket)
{
    struct ledger_release *r = pass->release;
    struct ledger_open *o = pass->open;
    struct draw_preferences p;
    struct draw_wish wishes[DRAW_WISHES_MAX];
    uint8_t kept[DRAW_PREFERENCES_MAX];
    size_t wish = 0;
    memcpy(kept, ticket->preferences.ptr, ticket->preferences.len); /* the book's: gone at a put */
    ticket->preferences.ptr = kept;
    if (!draw_preferences_read(ticket->preferences, &p)) {
        return err_origin(-EBADMSG);
    }
    draw_preferences_wishes(&p, o->stock, wishes);
    uint32_t first = draw_stock_serve(o->stock, wishes, p.count, p.slot_count, &wish);
    ticket->version++;
    ticket->log_index = s->log_index;
    if (first != DRAW_NONE) {
        struct serve_winner w = {r, o, ticket, first, p.slot_count, pass->won_count++, 0,
                                 pass->state == TICKET_ENTERED};
        ticket->wish = (uint32_t)wish + 1;
        r->served_count++;
        int status = serve_journal(s, r, &w);
        status = status ? status : serve_win(s, &w);
        status = status ? status : ledger_ticket_put(s, r->space, ticket);
        struct ledger_event e = {
            .kind = w.is_first ? EVENT_OFFER_MADE : EVENT_STANDBY_OFFER_MADE,
            .act_by_us = ticket->act_by_us,
            .owner = w.owner,
            .number = ticket->hold};
        return status ? err_trace(status) : err_trace(ledger_event_ticket(s, r, ticket, e));
    }
    if (ticket->state == TICKET_STANDBY) {
        return 0; /* stands by as before */
    }
    ticket->state = TICKET_STANDBY;
    return err_trace(ledger_ticket_put(s, r->space, ticket));
}

/* Goes on behind `cursor`; LEDGER_NONE: nobody is left. */
static int serve_on(struct ledger_step *s, struct serve_pass *pass, struct ledger_key *cursor)
{
    struct ledger_release *r = pass->release;
    uint32_t cohort = ledger_release_cohort_closed(r, s->now_us);
    for (int i = 0; i < SERVE_LOOK && pass->won_count < SERVE_MAX; i++) {
        struct serve_place place;
        struct ledger_ticket ticket;
        int status = serve_next(s, r, cursor, cohort, &place);
        if (status == 0) {
            status = ledger_ticket_load(s, r->space, &place.id, &ticket);
        }
        if (status) {
            return status == LEDGER_NONE ? status : err_trace(status);
        }
        *cursor = place.key;
        if (pass->state == TICKET_ENTERED && place.cohort >= r->cohort) {
            r->cohort = place.cohort;
            r->rank_threshold = place.rank;
        }
        uint32_t won_count = pass->won_count;
        status = ticket.state == pass->state ? serve_ticket(s, pass, &ticket) : 0;
        if (status) {
            return err_trace(status);
        }
        if (pass->state == TICKET_ENTERED && place.cohort == 0 && pass->won_count > won_count) {
            r->cut_off = place.rank;
        }
    }
    return 0;
}

/* The pass over standby: begun when slots came back, again when more come during it. */
static int serve_standby(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o)
{
    int status = 0;
    if (!r->is_scanning) {
        struct ledger_event_of_return e = {.kind = JOURNAL_PASS};
        status = ledger_journal_put(s, r, &e);
        r->is_scanning = true;
        r->freed_count = 0;
        r->scan.len = 0;
    }
    struct serve_pass pass = {r, o, TICKET_STANDBY, 0};
    status = status ? status : serve_on(s, &pass, &r->scan);
    if (status == LEDGER_NONE || (status == 0 && draw_stock_free_count(o->stock) == 0)) {
        r->is_scanning = false;
        return 0;
    }
    return err_trace(status);
}

int ledger_release_serve(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o)
{
    /* What came back belongs to those who stand by, before anybody of a later cohort. */
    if (r->phase == PHASE_STANDBY && (r->freed_count > 0 || r->is_scanning)) {
        return err_trace(serve_standby(s, r, o));
    }
    struct serve_pass pass = {r, o, TICKET_ENTERED, 0};
    int status = serve_on(s, &pass, &r->cursor);
    if (status == LEDGER_NONE) {
        r->phase = PHASE_STANDBY;
        return 0;
    }
    return err_trace(status);
}

/* -- by turn ----------------------------------------------------------------------------------- */

/* The first turn, if its time is over: 0, LEDGER_NONE, < 0. */
static int turn_over(struct ledger_step *s, const struct ledger_release *r,
                     struct ledger_key *ret_key, struct ticket_id *ret_id)
{
    struct ledger_key from = ledger_release_key(r->space, 'U');
    struct ledger_key_parts parts;
    struct span key, value;
    int status = ledger_next(s->l, ledger_key_span(&from), true, &key, &value);
    if (status) {
        return status == LEDGER_NONE ? status : err_trace(status);
    }
    if (!ledger_key_parse(key, &parts)) {
        return err_origin(-EBADMSG);
    }
    if (parts.at.space != r->space || parts.at.position != 0 || parts.tag != 'U') {
        return LEDGER_NONE;
    }
    struct reader at = reader_of(parts.suffix.ptr, parts.suffix.len);
    int64_t act_by_us = (int64_t)reader_u64(&at);
    reader_bytes(&at, ret_id->bytes, sizeof ret_id->bytes);
    if (at.bad) {
        return err_origin(-EBADMSG);
    }
    *ret_key = ledger_release_key_turn(r->space, act_by_us, ret_id);
    return act_by_us <= s->now_us && (int64_t)r->lapse_us <= s->now_us ? 0 : LEDGER_NONE;
}

/* Loads, changes and puts a ticket whose state moves by its turn. */
static int turn_set(struct ledger_step *s, struct ledger_release *r, const struct ticket_id *id,
                    enum ticket_state state, int64_t act_by_us)
{
    struct ledger_ticket ticket;
    uint8_t kept[DRAW_PREFERENCES_MAX];
    int status = ledger_ticket_load(s, r->space, id, &ticket);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    memcpy(kept, ticket.preferences.ptr, ticket.preferences.len);
    ticket.preferences.ptr = kept;
    ticket.state = state;
    ticket.act_by_us = act_by_us;
    ticket.version++;
    ticket.log_index = s->log_index;
    status = ledger_ticket_put(s, r->space, &ticket);
    struct ledger_event e = {.kind = act_by_us ? EVENT_TURN_GIVEN : EVENT_TURN_EXPIRED,
                             .act_by_us = act_by_us};
    return status ? err_trace(status) : err_trace(ledger_event_ticket(s, r, &ticket, e));
}

static int turn_lapse(struct ledger_step *s, struct ledger_release *r)
{
    for (int i = 0; i < RELEASE_STEP; i++) {
        struct ledger_key key;
        struct ticket_id id;
        int status = turn_over(s, r, &key, &id);
        if (status) {
            return status == LEDGER_NONE ? 0 : err_trace(status);
        }
        status = turn_set(s, r, &id, TICKET_LAPSED, 0);
        if (status == 0) {
            status = ledger_del(s->l, &key);
        }
        if (status) {
            return err_trace(status);
        }
        CHECK(r->turns_live > 0);
        r->turns_live--;
    }
    return 0;
}

static int turn_give(struct ledger_step *s, struct ledger_release *r,
                     const struct serve_place *place)
{
    int64_t act_by_us = s->now_us + (int64_t)r->turn_us;
    struct ledger_key key = ledger_release_key_turn(r->space, act_by_us, &place->id);
    int status = turn_set(s, r, &place->id, TICKET_TURN, act_by_us);
    r->turns_live++;
    r->served_count++;
    r->rank_threshold = place->rank;
    r->cohort = place->cohort;
    r->cut_off = place->cohort == 0 ? place->rank : r->cut_off;
    return status ? err_trace(status)
                  : err_trace(ledger_release_put_bytes(s, &key, (struct span){0}));
}

int ledger_release_turns(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o)
{
    int status = turn_lapse(s, r);
    uint32_t cohort = ledger_release_cohort_closed(r, s->now_us);
    r->freed_count = 0; /* a turn is given for whatever is free */
    for (int i = 0; i < RELEASE_STEP && status == 0; i++) {
        struct serve_place place;
        struct ledger_ticket ticket;
        status = serve_next(s, r, &r->cursor, cohort, &place);
        if (status == LEDGER_NONE) { /* also when nothing is free: else nothing would end SERVING */
            r->phase = PHASE_STANDBY;
            return 0;
        }
        if (status == 0 && r->turns_live >= draw_stock_free_count(o->stock)) {
            return 0;
        }
        if (status == 0) {
            status = ledger_ticket_load(s, r->space, &place.id, &ticket);
        }
        if (status) {
            return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
        }
        r->cursor = place.key;
        status = ticket.state == TICKET_ENTERED ? turn_give(s, r, &place) : 0;
    }
    return err_trace(status);
}
