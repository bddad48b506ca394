/* SPDX-License-Identifier: MIT */
/* Holds and the reservations they become: the transitions of a slot.
 *
 *   free --create--> held --confirm--> taken --cancel--------------------> returned
 *                     |  \--drop------- | ---\--lapse (the shard itself)-> returned
 *                     \--expire (the shard itself), drop -----------------> returned
 *
 * A returned slot is not bookable: it comes back through a release or an operator, so that nobody
 * can hand a slot on by letting it go at an agreed moment.
 * An item has one to eight slots, neighbours at one desk; they move together, in one step.
 *
 * Order of checks after the request id and the day's count (see ledger.c):
 *   create   NOT_YOUR_TURN, ASSURANCE_TOO_LOW, COOL_DOWN, TOO_MANY_SLOTS, SLOT_UNKNOWN, SLOT_PAST,
 *            SLOT_TAKEN, IDENTITY_QUOTA
 *   confirm  HOLD_UNKNOWN, NOT_YOUR_RESERVATION, HOLD_EXPIRED, HOLD_ENDED, SLOT_PAST (started),
 *            ETAG_MISMATCH
 *   drop     the same without the slot's start and the etag
 *   cancel   RESERVATION_UNKNOWN, NOT_YOUR_RESERVATION, RESERVATION_ENDED, SLOT_PAST (over),
 *            ETAG_MISMATCH
 * From its expiry on a hold has expired for its owner, whether the expiry command has come or not;
 * the slot stays held until it comes, so the two cannot both win.  The same for a reservation that
 * was not reconfirmed in time, and its lapse.
 *
 * Invariants: a slot is held or taken by exactly one item, and that item names it; the holder never
 * changes; slot and item versions grow with every change.  A slot and an item that disagree are
 * damage (-EBADMSG). */
#include <errno.h>

#include "ledger/ledger_event.h"
#include "ledger/ledger_memory.h"

/* -- create ------------------------------------------------------------------------------------ */

int ledger_hold_admit(struct ledger_step *s, const struct ledger_pool *pool, size_t count)
{
    if (pool->scarce) {
        return REASON_NOT_YOUR_TURN;
    }
    if (s->c->assurance < pool->min_assurance) {
        return REASON_ASSURANCE_TOO_LOW;
    }
    if (count <= pool->max_slots) {
        return REASON_OK;
    }
    int r = ledger_meta_count(s, "max_slots", pool->max_slots);
    return r ? err_trace(r) : REASON_TOO_MANY_SLOTS;
}

/* `except`: the space of the release whose ticket becomes this hold; 0: none. */
static int ledger_hold_check_quota(struct ledger_step *s, struct ledger_scene *scene,
                                   uint64_t except)
{
    uint32_t max = scene->pool->max_live, tickets = 0;
    int r = s->l->open_count ? ledger_ticket_live(s, scene, except, &tickets) : 0;
    if (r) {
        return err_trace(r);
    }
    if (tickets + ledger_account_live(&scene->account, s->now_us) < max) {
        return REASON_OK;
    }
#ifdef PLANT_NO_QUOTA
    return REASON_OK;
#endif
    r = ledger_meta_count(s, "max_active", max);
    return r ? err_trace(r) : REASON_IDENTITY_QUOTA;
}

void ledger_hold_take(struct ledger_step *s, const struct ledger_scene *scene,
                      struct ledger_run *run, struct ledger_item *item,
                      struct ledger_outcome *o)
{
    enum slot_state state = item->state == ITEM_LIVE ? SLOT_HELD : SLOT_TAKEN;
    CHECK(run->count >= 1);
    CHECK(run->count <= SLOTS_PER_HOLD);
    item->pool = s->c->pool;
    item->slot = run->first;
    item->desk = run->slots[0].desk;
    item->parts_count = (uint8_t)run->count;
    item->log_index = s->log_index;
    for (size_t i = 0; i < run->count; i++) {
        struct ledger_slot *slot = &run->slots[i];
#ifndef PLANT_OVERSELL /* never defined but by tests/e2e: the flood must catch it */
        CHECK(slot->state == SLOT_FREE || slot->state == SLOT_RETURNED);
#endif
        if (scene->pool->scarce && slot->state == SLOT_FREE) {
            ledger_slots_free_turned(slot, s);
        }
        slot->state = state;
        slot->version++;
        slot->owner = scene->at.position;
        slot->number = item->number;
        slot->expire_us = item->expire_us;
        slot->item_version = item->version;
        slot->is_follower = i > 0;
        slot->lapse_us = i == 0 && state == SLOT_TAKEN ? item->lapse_us : 0;
        item->parts[i] = (struct ledger_part){slot->duration_us, slot->version};
        struct slot_key at = ledger_item_slot(item, i);
        struct ledger_key key = ledger_key_slot(scene->pool->space, &at);
        ledger_outcome_add(o, &key, slot);
    }
}

int ledger_hold_follow(struct ledger_step *s, const struct ledger_scene *scene,
                       const struct ledger_item *item)
{
    bool is_reservation = item->state == ITEM_CONFIRMED && item->lapse_us != 0;
#ifdef PLANT_EXPIRY_FREES
    if (item->state == ITEM_CONFIRMED) {
        return 0;
    }
#endif
    if (item->version > 1) { /* a new one is not there yet */
        ledger_expiry_remove(&s->l->expiry, item->number);
    }
    if (item->state != ITEM_LIVE && !is_reservation) {
        return 0;
    }
    struct ledger_expiry_entry entry = {.expire_us = is_reservation ? item->lapse_us
                                                                    : item->expire_us,
                                        .space = scene->pool->space,
                                        .owner = scene->at.position,
                                        .number = item->number,
                                        .version = item->version,
                                        .is_reservation = is_reservation};
    return err_trace(ledger_expiry_add(&s->l->expiry, &entry));
}

/* REASON_OK with the run that the command gets, or why not. */
static int ledger_hold_choose(struct ledger_step *s, struct ledger_scene *scene,
                              struct ledger_turn *turn, struct ledger_run *run)
{
    size_t count = s->c->select_count ? s->c->select_count : 1;
    int r;
    if (scene->pool->scarce) {
        r = ledger_turn_choose(s, scene->pool, count, turn, run);
    } else {
        r = ledger_hold_admit(s, scene->pool, count);
        r = r == REASON_OK ? ledger_choose(s, scene->pool, count, run) : r;
    }
    uint64_t except = scene->pool->scarce && turn->has_ticket ? turn->release.space : 0;
    return r == REASON_OK ? ledger_hold_check_quota(s, scene, except) : r < 0 ? err_trace(r) : r;
}

int64_t ledger_hold_cool_us(struct ledger_step *s, const struct ledger_scene *scene)
{
    bool is_cool = scene->account.freed_us == 0 || scene->pool->cool_down_us == 0;
    return is_cool ? 0 : scene->account.freed_us + scene->pool->cool_down_us - s->now_us;
}

/* The new item, held. */
static int ledger_hold_made(struct ledger_step *s, struct ledger_scene *scene,
                            struct ledger_run *run)
{
    struct ledger_outcome o;
    ledger_outcome_init(&o);
    CHECK(scene->account.items_count < LEDGER_ITEMS_MAX);
    struct ledger_item *item = &scene->account.items[scene->account.items_count++];
    *item = (struct ledger_item){.state = ITEM_LIVE,
                                 .number = s->number,
                                 .version = 1,
                                 .changes_left = POOL_MAX_CHANGES,
                                 .expire_us = s->now_us + scene->pool->hold_ttl_us};
    ledger_hold_take(s, scene, run, item, &o);
    int r = ledger_hold_follow(s, scene, item);
    if (r == 0) {
        r = ledger_account_answer_hold(s, item, scene->at.position);
    }
    return r ? err_trace(r) : err_trace(ledger_scene_close(s, scene, &o, item));
}

int ledger_hold_create(struct ledger_step *s)
{
    struct ledger_scene scene;
    struct ledger_turn turn;
    struct ledger_run run;
    turn.has_ticket = false;
    int r = ledger_scene_open(s, &scene);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    int64_t cool_us = ledger_hold_cool_us(s, &scene);
    if (cool_us > 0 && ledger_hold_admit(s, scene.pool, 1) == REASON_OK) {
        return ledger_scene_wait(s, REASON_COOL_DOWN, cool_us);
    }
    r = ledger_hold_choose(s, &scene, &turn, &run);
    if (r) {
        return r < 0 ? err_trace(r) : err_trace(ledger_scene_refuse(s, &scene, (enum reason)r));
    }
    bool is_scarce = scene.pool->scarce;
    struct ledger_event e = {.kind = EVENT_TURN_USED,
                             .act_by_us = s->now_us + scene.pool->hold_ttl_us,
                             .owner = scene.at.position,
                             .number = s->number};
    r = ledger_hold_made(s, &scene, &run);
    if (r || !is_scarce) {
        return err_trace(r);
    }
    r = ledger_turn_used(s, &turn, s->number);
    return r || !turn.has_ticket
               ? err_trace(r)
               : err_trace(ledger_event_ticket(s, &turn.release, &turn.ticket, e));
}

/* -- confirm, drop, cancel --------------------------------------------------------------------- */

/* What a kind changes into what. */
struct ledger_change {
    enum ledger_item_state to;
    enum slot_state slot_from, slot_to;
};

static struct ledger_change ledger_hold_change_of(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_CONFIRM_HOLD:
        return (struct ledger_change){ITEM_CONFIRMED, SLOT_HELD, SLOT_TAKEN};
    case COMMAND_DROP_HOLD:
        return (struct ledger_change){ITEM_DROPPED, SLOT_HELD, SLOT_RETURNED};
    case COMMAND_EXPIRE_HOLD:
        return (struct ledger_change){ITEM_EXPIRED, SLOT_HELD, SLOT_RETURNED};
    case COMMAND_LAPSE:
        return (struct ledger_change){ITEM_LAPSED, SLOT_TAKEN, SLOT_RETURNED};
    default:
        CHECK(kind == COMMAND_CANCEL_RESERVATION);
#ifdef PLANT_CANCEL_KEEPS
        return (struct ledger_change){ITEM_CANCELLED, SLOT_TAKEN, SLOT_TAKEN};
#endif
        return (struct ledger_change){ITEM_CANCELLED, SLOT_TAKEN, SLOT_RETURNED};
    }
}

/* Since rules 8 a hold is over when the log says so, not by the clock: its expiry is proposed the
 * moment it is due, but for the first seconds after a gap without a leader (writer_lead.c), in
 * which whoever could not confirm meanwhile shall be able to. */
bool ledger_hold_is_late(const struct ledger_step *s, const struct ledger_item *item)
{
    return item->state == ITEM_EXPIRED ||
           (item->state == ITEM_LIVE && s->l->version < 8 && s->now_us >= item->expire_us);
}

/* REASON_OK when the item's state allows the change now. */
static enum reason ledger_hold_check(struct ledger_step *s, const struct ledger_item *item)
{
#ifdef PLANT_LATE_CONFIRM
    if (s->c->kind == COMMAND_CONFIRM_HOLD && item->state == ITEM_EXPIRED) {
        return REASON_OK;
    }
#endif
    if (s->c->kind == COMMAND_CANCEL_RESERVATION) {
        if (ledger_item_is_over(item, s->now_us)) {
            return REASON_RESERVATION_ENDED;
        }
        if (!ledger_item_is_live(item, s->now_us)) {
            return REASON_SLOT_PAST; /* the appointment is over: it stays what it was */
        }
    } else if (ledger_hold_is_late(s, item)) {
        return REASON_HOLD_EXPIRED;
    } else if (item->state != ITEM_LIVE) {
        return REASON_HOLD_ENDED;
    } else if (s->c->kind == COMMAND_CONFIRM_HOLD && item->slot.start_us <= s->now_us) {
        return REASON_SLOT_PAST;
    }
    return codec_etag_matches(s->c->etag, item->version) ? REASON_OK : REASON_ETAG_MISMATCH;
}

static struct ledger_key ledger_hold_key(const struct ledger_owned *owned, size_t i)
{
    struct slot_key at = ledger_item_slot(owned->item, i);
    return ledger_key_slot(owned->pool->space, &at);
}

/* Its i-th slot as the book has it; anything but this item's, in that state, is damage. */
static int ledger_hold_slot(struct ledger_step *s, const struct ledger_owned *owned, size_t i,
                            enum slot_state state, struct ledger_slot *ret_slot)
{
    struct ledger_key key = ledger_hold_key(owned, i);
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    r = ledger_read_slot(value, ret_slot);
    if (r) {
        return err_trace(r);
    }
    bool is_mine = ret_slot->state == state && ret_slot->owner == owned->owner &&
                   ret_slot->number == owned->item->number;
#ifdef PLANT_OVERSELL
    is_mine = true;
#endif
    return is_mine ? 0 : err_origin(-EBADMSG);
}

int ledger_hold_move(struct ledger_step *s, const struct ledger_owned *owned, enum slot_state from,
                     enum slot_state to, struct ledger_outcome *o)
{
    struct ledger_item *item = owned->item;
    for (size_t i = 0; i < item->parts_count; i++) {
        struct ledger_key key = ledger_hold_key(owned, i);
        struct ledger_slot slot;
        int r = ledger_hold_slot(s, owned, i, from, &slot);
        if (r) {
            return err_trace(r);
        }
        slot.version += from != to;
        slot.state = to;
        slot.item_version = item->version;
        slot.lapse_us = i == 0 ? item->lapse_us : 0;
        item->parts[i].version = slot.version;
        ledger_outcome_add(o, &key, &slot);
    }
    return 0;
}

/* Item and slots into the state that the command's kind means. */
static int ledger_hold_turn(struct ledger_step *s, const struct ledger_owned *owned,
                            struct ledger_outcome *o)
{
    struct ledger_change change = ledger_hold_change_of(s->c->kind);
    struct ledger_item *item = owned->item;
    item->state = change.to;
    item->version++;
    item->log_index = s->log_index;
    item->lapse_us = 0;
    if (change.to == ITEM_CONFIRMED) {
        item->create_us = s->now_us;
        item->changes_left = (uint8_t)owned->pool->max_changes;
        item->lapse_us = ledger_pool_lapse_us(owned->pool, item->slot.start_us, s->now_us);
    }
    return err_trace(ledger_hold_move(s, owned, change.slot_from, change.slot_to, o));
}

/* What the item's new state is told as, as long as the account holds it. */
static struct ledger_event ledger_hold_event(const struct ledger_item *item, uint64_t owner)
{
    static const enum event_kind kinds[] = {
        [ITEM_CONFIRMED] = EVENT_HOLD_CONFIRMED,
        [ITEM_DROPPED] = EVENT_HOLD_DROPPED,
        [ITEM_EXPIRED] = EVENT_HOLD_EXPIRED,
        [ITEM_CANCELLED] = EVENT_RESERVATION_CANCELLED,
        [ITEM_RECONFIRMED] = EVENT_RESERVATION_RECONFIRMED,
        [ITEM_LAPSED] = EVENT_RESERVATION_LAPSED};
    CHECK(kinds[item->state] != 0);
    return (struct ledger_event){.kind = kinds[item->state],
                                 .act_by_us = item->lapse_us,
                                 .owner = owner,
                                 .number = item->number};
}

/* The cool-down of a pool that has one begins. */
static void ledger_hold_freed(struct ledger_step *s, const struct ledger_pool *pool,
                              struct ledger_account *account)
{
    if (pool->cool_down_us != 0 && s->c->kind != COMMAND_CONFIRM_HOLD) {
        account->freed_us = s->now_us;
    }
}

int ledger_hold_change(struct ledger_step *s)
{
    struct ledger_scene scene;
    struct ledger_item *item = NULL;
    struct ledger_outcome o;
    ledger_outcome_init(&o);
    int r = ledger_scene_open(s, &scene);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    r = ledger_scene_find(s, &scene, s->c->kind == COMMAND_CANCEL_RESERVATION, &item);
#ifdef PLANT_CONFIRM_TWICE /* never defined but by tests/e2e: the flood must catch it */
    if (r == REASON_OK && item->state == ITEM_CONFIRMED && s->c->kind == COMMAND_CONFIRM_HOLD) {
        r = ledger_account_answer_reservation(s, item, scene.at.position);
        return r ? err_trace(r) : err_trace(ledger_scene_close(s, &scene, &o, item));
    }
#endif
#ifdef PLANT_LATE_YES /* the same */
    if (r == REASON_OK && item->state == ITEM_EXPIRED && s->c->kind == COMMAND_CONFIRM_HOLD) {
        r = ledger_account_answer_reservation(s, item, scene.at.position);
        return r ? err_trace(r) : err_trace(ledger_scene_close(s, &scene, &o, item));
    }
#endif
    if (r == REASON_OK) {
        r = ledger_hold_check(s, item);
    }
    if (r) {
        return r < 0 ? err_trace(r) : err_trace(ledger_scene_refuse(s, &scene, (enum reason)r));
    }
    struct ledger_owned owned = {scene.pool, scene.at.position, item};
    r = ledger_hold_turn(s, &owned, &o);
    if (r == 0) {
        ledger_hold_freed(s, scene.pool, &scene.account);
        r = s->c->kind == COMMAND_DROP_HOLD
                ? ledger_account_answer_hold(s, item, scene.at.position)
                : ledger_account_answer_reservation(s, item, scene.at.position);
    }
    if (r == 0) {
        r = ledger_hold_follow(s, &scene, item);
    }
    struct ledger_event e = ledger_hold_event(item, scene.at.position);
    bool is_scarce = scene.pool->scarce;
    r = r ? r : ledger_scene_close(s, &scene, &o, item);
    return r || !is_scarce ? err_trace(r)
                           : err_trace(ledger_event_item(s, e));
}

/* -- expire, lapse ----------------------------------------------------------------------------- */

/* What is not due any more, or never was, is left alone. */
static bool ledger_hold_is_due(struct ledger_step *s, const struct ledger_item *item)
{
#ifdef PLANT_EXPIRY_FREES
    return s->c->kind != COMMAND_LAPSE && item->expire_us <= s->now_us;
#endif
    if (item->version != s->c->version) {
        return false;
    }
    return s->c->kind == COMMAND_LAPSE
               ? item->state == ITEM_CONFIRMED && item->lapse_us != 0 && item->lapse_us <= s->now_us
               : item->state == ITEM_LIVE && item->expire_us <= s->now_us;
}

/* The appointment passed while nobody could let it lapse: it stays a reservation, and its slot is
 * not asked about again. */
static int ledger_hold_forget(struct ledger_step *s, const struct ledger_owned *owned)
{
    struct ledger_outcome o;
    ledger_outcome_init(&o);
    struct ledger_key key = ledger_hold_key(owned, 0);
    struct ledger_slot slot;
    int r = ledger_hold_slot(s, owned, 0, SLOT_TAKEN, &slot);
    if (r) {
        return err_trace(r);
    }
    slot.lapse_us = 0;
    ledger_outcome_add(&o, &key, &slot);
    ledger_expiry_remove(&s->l->expiry, owned->item->number);
    return err_trace(ledger_outcome_put(s, &o));
}

/* Whose account it is, its key says. */
static int ledger_hold_put_besides(struct ledger_step *s, const struct ledger_key *account,
                                   const struct ledger_besides *besides)
{
    struct ledger_key_parts parts;
    struct identity identity;
    if (besides->count == 0 && besides->sheaf.len == 0) {
        return 0;
    }
    if (!ledger_key_parse(ledger_key_span(account), &parts) ||
        parts.suffix.len != sizeof identity.bytes) {
        return err_origin(-EBADMSG);
    }
    memcpy(identity.bytes, parts.suffix.ptr, sizeof identity.bytes);
    return err_trace(ledger_memory_put(s, parts.at, &identity, besides));
}

/* By the shard itself.  Late, early or twice: nothing happens. */
int ledger_hold_end(struct ledger_step *s)
{
    const struct command *c = s->c;
    const struct ledger_pool *pool;
    struct ledger_account account;
    struct ledger_item *item;
    struct ledger_outcome o;
    struct ledger_key key;
    ledger_outcome_init(&o);
    int r = ledger_pool_find(s->l, c->pool, &pool);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    static const struct identity nobody;
    uint64_t space = ledger_identity_key(ledger_pool_class(pool), &nobody).space;
    r = ledger_account_owner(s, space, &key, &account, &item);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    if (!ledger_hold_is_due(s, item)) {
        return 0;
    }
    struct ledger_owned owned = {pool, c->owner, item};
    if (!ledger_item_is_live(item, s->now_us)) {
        return err_trace(ledger_hold_forget(s, &owned));
    }
    r = ledger_hold_turn(s, &owned, &o);
    if (r) {
        return err_trace(r);
    }
    uint8_t bytes[BOOK_VALUE_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_spill spill;
    struct ledger_besides besides;
    ledger_hold_freed(s, pool, &account);
    struct ledger_event e = ledger_hold_event(item, c->owner);
    ledger_expiry_remove(&s->l->expiry, c->number);
    r = ledger_account_trim(s, &account, &spill);
    r = r ? r : ledger_memory_record(s, &account, &w, &besides);
    if (r) {
        return err_trace(r);
    }
    bool is_scarce = pool->scarce;
    r = ledger_outcome_put(s, &o);
    r = r ? r : ledger_account_put(s, &key, &w, &spill);
    r = r ? r : ledger_hold_put_besides(s, &key, &besides);
    return r || !is_scarce ? err_trace(r) : err_trace(ledger_event_item(s, e));
}

int ledger_hold_give_back(struct ledger_step *s, const struct ledger_owned *owned)
{
    struct ledger_item *item = owned->item;
    struct command as = {.kind = ledger_item_is_reservation(item) ? COMMAND_CANCEL_RESERVATION
                                                                  : COMMAND_DROP_HOLD};
    struct ledger_step step = *s;
    struct ledger_outcome o;
    ledger_outcome_init(&o);
    step.c = &as;
    int r = ledger_hold_turn(&step, owned, &o);
    if (r) {
        return err_trace(r);
    }
    ledger_expiry_remove(&s->l->expiry, item->number);
    return err_trace(ledger_outcome_put(s, &o));
}
