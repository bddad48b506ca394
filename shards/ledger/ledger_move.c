/* SPDX-License-Identifier: MIT */
/* What a reservation's holder may do with it besides cancelling: move it to other slots, and say
 * again that they will come.
 *
 *   reschedule: the new run taken, the old slots returned, the item as it was but for its slots
 *   reconfirm:  confirmed -> reconfirmed, and its lapse is off
 *
 * One step: the same entry has both sides or neither.  The number, so the name and the code at the
 * counter, and the holder stay; a rescheduled reservation is to be reconfirmed anew.  The old slots
 * go where cancelled ones go, so a move is no way to hand a slot on.  The new ones must be free, so
 * none is the item's own: an appointment never overlaps the one that it replaces.
 *
 * Order of checks after the request id and the day's count (see ledger.c):
 *   both        RESERVATION_UNKNOWN, NOT_YOUR_RESERVATION, RESERVATION_ENDED, SLOT_PAST (begun),
 *               ETAG_MISMATCH
 *   reschedule  CHANGES_USED_UP, NOT_YOUR_TURN, ASSURANCE_TOO_LOW, TOO_MANY_SLOTS, SLOT_UNKNOWN,
 *               SLOT_PAST, SLOT_TAKEN
 *   reconfirm   RECONFIRM_EARLY (not remembered) */
#include "ledger/ledger_event.h"
#include "ledger/ledger_memory.h"

/* 0: the scene with the caller's reservation; LEDGER_ANSWERED; < 0. */
static int ledger_move_open(struct ledger_step *s, struct ledger_scene *scene,
                            struct ledger_item **ret_item)
{
    struct ledger_item *item = NULL;
    int r = ledger_scene_open(s, scene);
    if (r) {
        return r == LEDGER_ANSWERED ? r : err_trace(r);
    }
    r = ledger_scene_find(s, scene, true, &item);
    if (r == REASON_OK) {
        r = ledger_item_is_over(item, s->now_us)                    ? REASON_RESERVATION_ENDED
            : item->slot.start_us <= s->now_us                     ? REASON_SLOT_PAST
            : !codec_etag_matches(s->c->etag, item->version) ? REASON_ETAG_MISMATCH
                                                                    : REASON_OK;
    }
    if (r > 0) {
        r = ledger_scene_refuse(s, scene, (enum reason)r);
        return r ? err_trace(r) : LEDGER_ANSWERED;
    }
    *ret_item = item;
    return err_trace(r);
}

/* The event comes when everything else is put. */
static int ledger_move_close(struct ledger_step *s, struct ledger_scene *scene,
                             struct ledger_outcome *o, struct ledger_item *item,
                             struct ledger_event e)
{
    bool is_scarce = scene->pool->scarce;
    e.owner = scene->at.position;
    int r = ledger_scene_close(s, scene, o, item);
    return r || !is_scarce ? err_trace(r)
                           : err_trace(ledger_event_item(s, e));
}

/* -- reschedule -------------------------------------------------------------------------------- */

static int ledger_move_choose(struct ledger_step *s, const struct ledger_scene *scene,
                              const struct ledger_item *item, struct ledger_run *run)
{
    if (item->changes_left == 0) {
        int r = ledger_meta_count(s, "max_changes", scene->pool->max_changes);
        return r ? err_trace(r) : REASON_CHANGES_USED_UP;
    }
    size_t count = s->c->select_count ? s->c->select_count : item->parts_count;
    /* What it has it may keep, whatever the pool allows by now. */
    int r = ledger_hold_admit(s, scene->pool, count == item->parts_count ? 1 : count);
    return r == REASON_OK ? ledger_choose(s, scene->pool, count, run) : r;
}

static int ledger_move_slots(struct ledger_step *s, struct ledger_scene *scene,
                             struct ledger_item *item, struct ledger_run *run,
                             struct ledger_outcome *o)
{
    item->version++;
    item->lapse_us = 0;
    struct ledger_owned owned = {scene->pool, scene->at.position, item};
    int r = ledger_memory_settle(s, &scene->account, item->number); /* they tell the old slots */
    r = r ? r : ledger_hold_move(s, &owned, SLOT_TAKEN, SLOT_RETURNED, o);
    if (r) {
        return err_trace(r);
    }
#ifdef PLANT_MOVE_KEEPS
    o->count = 0;
#endif
    item->state = ITEM_CONFIRMED;
    item->changes_left--;
    item->lapse_us = ledger_pool_lapse_us(scene->pool, run->first.start_us, s->now_us);
    ledger_hold_take(s, scene, run, item, o);
    return 0;
}

int ledger_move_reschedule(struct ledger_step *s)
{
    struct ledger_scene scene;
    struct ledger_run run;
    struct ledger_item *item;
    struct ledger_outcome o;
    ledger_outcome_init(&o);
    int r = ledger_move_open(s, &scene, &item);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    r = ledger_move_choose(s, &scene, item, &run);
    if (r) {
        return r < 0 ? err_trace(r) : err_trace(ledger_scene_refuse(s, &scene, (enum reason)r));
    }
    r = ledger_move_slots(s, &scene, item, &run, &o);
    if (r == 0) {
        r = ledger_hold_follow(s, &scene, item);
    }
    if (r == 0) {
        r = ledger_account_answer_reservation(s, item, scene.at.position);
    }
    struct ledger_event e = {.kind = EVENT_RESERVATION_RESCHEDULED,
                             .act_by_us = item->lapse_us,
                             .number = item->number};
    return r ? err_trace(r) : err_trace(ledger_move_close(s, &scene, &o, item, e));
}

/* -- reconfirm --------------------------------------------------------------------------------- */

int ledger_move_reconfirm(struct ledger_step *s)
{
    struct ledger_scene scene;
    struct ledger_item *item;
    struct ledger_outcome o;
    ledger_outcome_init(&o);
    int r = ledger_move_open(s, &scene, &item);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    int64_t open_us = scene.pool->reconfirm_open_us;
    int64_t early_us = open_us ? item->slot.start_us - open_us - s->now_us : 0;
    if (item->state != ITEM_RECONFIRMED && early_us > 0) {
        return ledger_scene_wait(s, REASON_RECONFIRM_EARLY, early_us);
    }
    if (item->state != ITEM_RECONFIRMED) {
        item->state = ITEM_RECONFIRMED;
        item->version++;
        item->log_index = s->log_index;
        item->lapse_us = 0;
        struct ledger_owned owned = {scene.pool, scene.at.position, item};
        r = ledger_hold_move(s, &owned, SLOT_TAKEN, SLOT_TAKEN, &o);
    }
    if (r == 0) {
        r = ledger_hold_follow(s, &scene, item);
    }
    if (r == 0) {
        r = ledger_account_answer_reservation(s, item, scene.at.position);
    }
    struct ledger_event e = {.kind = EVENT_RESERVATION_RECONFIRMED, .number = item->number};
    return r ? err_trace(r) : err_trace(ledger_move_close(s, &scene, &o, item, e));
}
