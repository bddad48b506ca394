/* SPDX-License-Identifier: MIT */
/* A ticket as its owner sees it.
 * What is written in the record is what was decided; what holds at an instant (a turn whose time is
 * over, an offer that expired or was confirmed, a release that has ended) is derived here, so that
 * ending a release of a million tickets writes none of them.
 * Owns nothing; fails by the book. */
#include <errno.h>

#include "ledger/ledger_release.h"

/* -- what holds now ---------------------------------------------------------------------------- */

/* What came of a ticket. */
struct ticket_item {
    struct ledger_account account;
    struct ledger_item *item; /* in the account, or beside it */
    uint64_t owner;
};

/* The item of an offer, or of the turn that was used: 0, LEDGER_NONE, < 0. */
static int ticket_item_load(struct ledger_step *s, const struct ledger_release *r,
                            const struct ledger_ticket *t, struct ticket_item *out)
{
    const struct ledger_pool *pool;
    struct command own = *s->c;
    struct ledger_step step = *s;
    int status = ledger_pool_find(s->l, ledger_release_pool(r), &pool);
    if (status) {
        return status == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(status);
    }
    own.identity = t->identity;
    own.pool = ledger_release_pool(r);
    own.number = t->hold;
    step.c = &own;
    struct routing_key at = ledger_identity_key(ledger_pool_class(pool), &t->identity);
    struct ledger_key key = ledger_key_account(at, &t->identity);
    out->owner = at.position;
    status = ledger_account_load(&step, at, &out->account);
    return status ? status == LEDGER_NONE ? status : err_trace(status)
                  : err_trace(ledger_account_pick(&step, &key, &out->account, &out->item));
}

static void ticket_offer_now(const struct ledger_step *s, const struct ledger_item *item,
                             struct ledger_ticket_now *out)
{
    bool is_live = item->state == ITEM_LIVE && !ledger_hold_is_late(s, item);
    out->is_reservation = ledger_item_is_reservation(item);
    if (out->is_reservation) {
        out->state = TICKET_USED;
    } else if (!is_live) {
        out->state = TICKET_LAPSED;
        out->outcome = item->state == ITEM_DROPPED ? "HOLD_DROPPED" : "OFFER_EXPIRED";
    }
}

int ledger_ticket_now(struct ledger_step *s, const struct ledger_release *r,
                             const struct ledger_ticket *t, struct ledger_ticket_now *out)
{
    struct ticket_item found;
    bool is_over = ledger_release_is_over(r) || r->phase == PHASE_CLOSING;
    *out = (struct ledger_ticket_now){.state = t->state, .outcome = ""};
    if (t->hold) {
        int status = ticket_item_load(s, r, t, &found);
        if (status) {
            return status == LEDGER_NONE ? 0 : err_trace(status); /* swept: as it was last */
        }
        out->owner = found.owner;
        ticket_offer_now(s, found.item, out);
        return 0;
    }
    bool is_waiting = t->state == TICKET_ENTERED || t->state == TICKET_STANDBY;
    if (t->state == TICKET_LAPSED) {
        out->outcome = "TURN_EXPIRED";
    } else if (t->state == TICKET_TURN && is_over) {
        out->state = TICKET_LAPSED;
        out->outcome = "RELEASE_CLOSED";
    } else if (is_waiting && is_over) {
        out->state = TICKET_LOST;
        out->outcome = r->phase == PHASE_CANCELLED ? "RELEASE_CANCELLED"
                       : t->state == TICKET_STANDBY ? "PREFERENCES_TAKEN"
                                                    : "RELEASE_CLOSED";
    } else if (t->state == TICKET_STANDBY) {
        out->outcome = "PREFERENCES_TAKEN";
    } else if (t->state == TICKET_ENTERED && r->phase >= PHASE_RANKING) {
        out->state = TICKET_WAITING;
    }
    return 0;
}

/* -- views ------------------------------------------------------------------------------------- */

static int ticket_view_wishes(struct ledger_step *s, const struct ledger_ticket *t,
                              struct ticket_view *out)
{
    struct draw_preferences p;
    struct span kept;
    int r = ledger_keep(s->arena, t->preferences, &kept);
    struct ticket_wish *wishes = arena_alloc(s->arena, DRAW_WISHES_MAX * sizeof *wishes);
    if (r || wishes == NULL) {
        return r ? err_trace(r) : err_origin(-ENOMEM);
    }
    if (!draw_preferences_read(kept, &p)) {
        return err_origin(-EBADMSG);
    }
    for (uint32_t i = 0; i < p.count; i++) {
        const struct draw_want *want = &p.wants[i];
        wishes[i] = (struct ticket_wish){.from_us = want->from_us, .to_us = want->to_us};
        wishes[i].kind = want->kind == DRAW_WANT_SLOT    ? WISH_SLOT
                         : want->kind == DRAW_WANT_CLASS ? WISH_CLASS
                                                         : WISH_ANY;
        wishes[i].slot = (struct slot_key){want->from_us, want->slug};
    }
    out->wishes = wishes;
    out->wishes_count = p.count;
    out->slot_count = p.slot_count;
    return 0;
}

/* About how many of the cohort come before this rank: ranks are uniform.  0 only once it was
 * reached, so at least 1 for whoever still waits.  Only the entry window's tickets are counted: of
 * a later cohort it is 1 until then. */
static uint64_t ticket_ahead(const struct ledger_release *r, const struct ledger_ticket *t,
                             uint64_t rank)
{
    bool is_served = t->cohort < r->cohort || (t->cohort == r->cohort && rank <= r->rank_threshold);
    uint64_t from = t->cohort == r->cohort ? r->rank_threshold : 0;
    uint64_t between = t->cohort ? 0 : ((rank - from) >> 32) * r->tickets_count >> 32;
    return is_served ? 0 : between > 0 ? between : 1;
}

int ledger_ticket_view(struct ledger_step *s, const struct ledger_release *r,
                       const struct ledger_ticket *t, struct ticket_view **ret_view)
{
    struct ledger_ticket_now now;
    struct draw_hash leaf;
    struct ticket_view *out = arena_alloc(s->arena, sizeof *out);
    if (out == NULL) {
        return err_origin(-ENOMEM);
    }
    *out = (struct ticket_view){.cohort = t->cohort,
                                .leaf_version = t->leaf_version,
                                .version = t->version,
                                .log_index = t->log_index};
    memcpy(out->id, t->id.bytes, sizeof out->id);
    ledger_ticket_nonce(s->l, r, t, out->nonce);
    ledger_ticket_leaf(t, out->nonce, &leaf);
    memcpy(out->leaf, leaf.bytes, sizeof out->leaf);
    memcpy(out->manifest_hash, r->manifest_hash, sizeof out->manifest_hash);
    int status = ticket_view_wishes(s, t, out); /* before other records are looked at */
    status = status ? status : ledger_ticket_now(s, r, t, &now);
    status = status ? status : ledger_keep(s->arena, ledger_release_pool(r), &out->pool);
    status = status ? status : ledger_keep(s->arena, ledger_release_id(r), &out->release);
    if (status) {
        return err_trace(status);
    }
    out->state = now.state;
    out->outcome = now.outcome;
    out->hold_owner = now.owner;
    out->hold_number = t->hold;
    out->reservation = now.is_reservation ? t->hold : 0;
    bool is_acting = now.state == TICKET_TURN || now.state == TICKET_OFFERED;
    out->act_by_us = is_acting ? t->act_by_us : 0;
    if (now.state == TICKET_TURN && out->act_by_us < (int64_t)r->lapse_us) {
        out->act_by_us = (int64_t)r->lapse_us; /* it began anew, after a pause */
    }
    out->is_ranked = r->phase >= PHASE_RANKING && r->phase != PHASE_CANCELLED;
    if (out->is_ranked) {
        out->rank = ledger_ticket_rank(s->l, r, &t->id);
        out->ahead = ticket_ahead(r, t, out->rank);
    }
    *ret_view = out;
    return 0;
}
