/* SPDX-License-Identifier: MIT */
/* Holds of slots that a release offers: by somebody whose turn it is, or first come, first served.
 *
 *   turn        the caller's ticket of the named release has a turn whose time is not over
 *               -> one slot that is still free -> the turn is used, the ticket names the hold
 *   first come  the release that offers the slot is served to whoever comes (no scarcity, or the
 *               control of an experiment): nobody needs a ticket
 *
 * Turns given never exceed free slots, so a holder of one always finds a slot, though not
 * necessarily the one it looked at.  Whoever holds must be who has the ticket: the ticket id is
 * made of the caller's identity, so a ticket's name passed on is worth nothing.
 * Owns nothing. */
#include <errno.h>

#include "ledger/ledger_release.h"

/* The release of the command's ticket, and the caller's turn in it. */
static int turn_of_ticket(struct ledger_step *s, struct ledger_turn *t)
{
    int r = ledger_ticket_pick(s, &t->release, &t->ticket);
    if (r) {
        return r == LEDGER_ANSWERED ? (int)s->v->reason : err_trace(r);
    }
    int64_t act_by_us = t->ticket.act_by_us > (int64_t)t->release.lapse_us
                            ? t->ticket.act_by_us
                            : (int64_t)t->release.lapse_us;
    bool is_served = t->release.phase == PHASE_SERVING || t->release.phase == PHASE_STANDBY;
    bool is_mine = memcmp(&t->ticket.identity, &s->c->identity, sizeof s->c->identity) == 0;
    bool has_turn = t->ticket.state == TICKET_TURN && act_by_us > s->now_us;
    t->has_ticket = true;
    return is_served && is_mine && has_turn ? REASON_OK : REASON_NOT_YOUR_TURN;
}

/* The first-come release that offers what the command wants. */
static int turn_of_anybody(struct ledger_step *s, const struct ledger_pool *pool,
                           struct ledger_turn *t)
{
    int64_t start_us = s->c->slots_count ? s->c->slots[0].start_us : s->c->select_us;
    for (size_t i = 0; i < s->l->open_count; i++) {
        const struct ledger_open *o = &s->l->open[i];
        if (o->pool_space != pool->space || start_us < o->from_us || start_us >= o->to_us) {
            continue;
        }
        int r = ledger_release_load(s->l, o->space, &t->release);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        bool is_open = t->release.serving == RELEASE_FIRST_COME && !t->release.is_paused &&
                       t->release.phase == PHASE_SERVING;
        return is_open ? REASON_OK : REASON_NOT_YOUR_TURN;
    }
    return REASON_NOT_YOUR_TURN;
}

/* The chain that the command names, or that its time allows: the number of its first slot. */
static uint32_t turn_first(struct ledger_step *s, const struct ledger_open *o, uint32_t count)
{
    struct draw_wish wish;
    if (s->c->slots_count) {
        uint32_t slot = draw_stock_find(o->stock, s->c->slots[0].start_us, s->c->slots[0].slug);
        wish = (struct draw_wish){slot, slot == DRAW_NONE ? slot : slot + 1};
    } else {
        wish = draw_stock_interval(o->stock, s->c->select_us, s->c->select_us + 1);
    }
    return draw_stock_first(o->stock, wish, count);
}

int ledger_turn_choose(struct ledger_step *s, const struct ledger_pool *pool, size_t count,
                       struct ledger_turn *t, struct ledger_run *run)
{
    bool is_named = s->c->release != NULL;
    int r = is_named ? turn_of_ticket(s, t) : turn_of_anybody(s, pool, t);
    if (r != REASON_OK) {
        return r < 0 ? err_trace(r) : r;
    }
    if (s->c->assurance < pool->min_assurance) {
        return REASON_ASSURANCE_TOO_LOW;
    }
    if (count > pool->max_slots || (t->has_ticket && count > 1)) {
        return REASON_TOO_MANY_SLOTS;
    }
    struct ledger_open *o = ledger_open_find(s->l, t->release.space);
    CHECK(o != NULL && o->stock != NULL);
    uint32_t first = turn_first(s, o, (uint32_t)count);
    if (first == DRAW_NONE) {
        return s->c->slots_count && draw_stock_find(o->stock, s->c->slots[0].start_us,
                                                    s->c->slots[0].slug) == DRAW_NONE
                   ? REASON_SLOT_UNKNOWN
                   : REASON_SLOT_TAKEN;
    }
    t->first = first;
    t->count = (uint32_t)count;
    if (draw_stock_slot(o->stock, first)->start_us <= s->now_us) {
        return REASON_SLOT_PAST;
    }
    return err_trace(ledger_release_run(s, o, first, (uint32_t)count, run));
}

int ledger_turn_used(struct ledger_step *s, struct ledger_turn *t, uint64_t hold)
{
    struct ledger_open *o = ledger_open_find(s->l, t->release.space);
    uint8_t kept[DRAW_PREFERENCES_MAX];
    struct ledger_ticket ticket;
    for (uint32_t i = 0, slot = t->first; i < t->count; i++) {
        uint32_t next = draw_stock_next(o->stock, slot);
        draw_stock_take(o->stock, slot);
        slot = next;
    }
    if (!t->has_ticket) {
        return 0;
    }
    int r = ledger_ticket_load(s, t->release.space, &t->ticket.id, &ticket);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    struct ledger_key key =
        ledger_release_key_turn(t->release.space, ticket.act_by_us, &ticket.id);
    memcpy(kept, ticket.preferences.ptr, ticket.preferences.len);
    ticket.preferences.ptr = kept;
    ticket.state = TICKET_USED;
    ticket.hold = hold;
    ticket.version++;
    ticket.log_index = s->log_index;
    CHECK(t->release.turns_live > 0);
    t->release.turns_live--;
    r = ledger_ticket_put(s, t->release.space, &ticket);
    r = r ? r : ledger_del(s->l, &key);
    return r ? err_trace(r) : err_trace(ledger_release_put(s, &t->release));
}
