/* SPDX-License-Identifier: MIT */
/* Holds and the reservations they become: the transitions of a slot.
 *
 *   free --create--> held --confirm--> taken --cancel--> returned
 *                     |  \--drop------------------------> returned
 *                     \--expire (the shard itself)------> returned
 *
 * A returned slot is not bookable: it comes back through a release or an operator, so that nobody
 * can hand a slot on by letting it go at an agreed moment.
 *
 * Order of checks after the request id and the day's count (see ledger.c):
 *   create   NOT_YOUR_TURN, ASSURANCE_TOO_LOW, SLOT_UNKNOWN, SLOT_PAST, SLOT_TAKEN, IDENTITY_QUOTA
 *   confirm  HOLD_UNKNOWN, NOT_YOUR_RESERVATION, HOLD_EXPIRED, HOLD_ENDED, SLOT_PAST (started),
 *            ETAG_MISMATCH
 *   drop     the same without the slot's start and the etag
 *   cancel   RESERVATION_UNKNOWN, NOT_YOUR_RESERVATION, RESERVATION_ENDED, SLOT_PAST (over),
 *            ETAG_MISMATCH
 * From its expiry on a hold has expired for its owner, whether the expiry command has come or not;
 * the slot stays held until it comes, so the two cannot both win.
 *
 * Invariants: a slot is held or taken by exactly one item, and that item names it; the holder never
 * changes; slot and item versions grow with every change.  A slot and an item that disagree are
 * damage (-EBADMSG).  Everything is decided and encoded before the first put. */
#include <errno.h>

#include "ledger/ledger_parts.h"

enum { LEDGER_ANSWERED = 2 }; /* the verdict stands, nothing is to be written */

/* Where a client's mutation takes place. */
struct ledger_scene {
    const struct ledger_pool *pool;
    struct routing_key at; /* of the caller in the pool's class */
    struct ledger_key request;
    bool is_new; /* the caller has no account in this class yet */
    struct ledger_account account;
};

/* What a decision writes; NULL: nothing of that. */
struct ledger_outcome {
    const struct ledger_key *slot_key;
    const struct ledger_slot *slot;
    const struct ledger_item *item; /* as it is now, part of the account */
};

/* -- the frame of every mutation --------------------------------------------------------------- */

/* Counts the request against the day; false when the day's are used up. */
static bool ledger_hold_count(struct ledger_step *s, struct ledger_account *account)
{
    int64_t now = s->now_us > 0 ? s->now_us : 0;
    uint32_t day = (uint32_t)(now / DAY_US);
    if (account->day != day) {
        account->day = day;
        account->requests = 0;
    }
    if (account->requests >= REQUESTS_PER_IDENTITY_DAY) {
        s->v->retry_ms = (uint32_t)((DAY_US - now % DAY_US) / 1000) + 1;
        return false;
    }
    account->requests++;
    return true;
}

/* 0: decide; LEDGER_ANSWERED; < 0. */
static int ledger_hold_open(struct ledger_step *s, struct ledger_scene *scene)
{
    int r = ledger_pool_find(s->l, s->c->pool, &scene->pool);
    if (r == LEDGER_NONE) {
        ledger_refuse(s, REASON_POOL_UNKNOWN);
        return LEDGER_ANSWERED;
    }
    if (r) {
        return err_trace(r);
    }
    scene->at = ledger_identity_key(ledger_pool_class(scene->pool), &s->c->identity);
    scene->request = ledger_key_request(scene->at, &s->c->identity, &s->c->request_id);
    r = ledger_request_recall(s, &scene->request, scene->at.position);
    if (r != LEDGER_NONE) {
        return r ? err_trace(r) : LEDGER_ANSWERED;
    }
    r = ledger_account_load(s, scene->at, &scene->account);
    if (r < 0) {
        return err_trace(r);
    }
    scene->is_new = r == LEDGER_NONE;
    if (scene->is_new || scene->account.has_others) {
        r = ledger_class_recall(s, ledger_pool_class(scene->pool), &scene->account.has_others);
        if (r != LEDGER_NONE) {
            return r ? err_trace(r) : LEDGER_ANSWERED;
        }
    }
    if (!ledger_hold_count(s, &scene->account)) {
        ledger_refuse(s, REASON_RATE_LIMITED);
        return LEDGER_ANSWERED;
    }
    return 0;
}

static int ledger_hold_put_account(struct ledger_step *s, struct ledger_scene *scene,
                                   const struct writer *account,
                                   const struct ledger_spill *spill)
{
    struct ledger_key key = ledger_key_account(scene->at, &s->c->identity);
    int r = ledger_account_put(s, &key, account, spill);
    if (r == 0 && scene->is_new && scene->account.has_others) {
        r = ledger_class_mark(s, ledger_pool_class(scene->pool));
    }
    if (r || !scene->is_new) {
        return err_trace(r);
    }
    uint8_t one[1] = {LEDGER_FORMAT};
    struct writer w = {.start = one, .at = one + 1, .end = one + 1};
    key = ledger_key_index(&s->c->identity, ledger_pool_class(scene->pool));
    return err_trace(ledger_put(s->l, &key, &w));
}

/* Writes what was decided, the verdict in s->v with it. */
static int ledger_hold_close(struct ledger_step *s, struct ledger_scene *scene,
                             const struct ledger_outcome *o)
{
    uint8_t account_bytes[BOOK_VALUE_MAX], item_bytes[256], slot_bytes[128];
    struct writer account = writer_of(account_bytes, sizeof account_bytes);
    struct writer item = writer_of(item_bytes, sizeof item_bytes);
    struct writer slot = writer_of(slot_bytes, sizeof slot_bytes);
    if (o->item) {
        ledger_record_item(&item, o->item);
    }
    if (o->slot) {
        ledger_record_slot(&slot, o->slot);
    }
    struct ledger_spill spill;
    ledger_account_trim(&scene->account, s->now_us, &spill); /* moves items: the last to look */
    ledger_record_account(&account, &scene->account);
    CHECK(!item.bad);
    int r = o->slot ? ledger_put(s->l, o->slot_key, &slot) : 0;
    if (r == 0) {
        r = ledger_hold_put_account(s, scene, &account, &spill);
    }
    if (r) {
        return err_trace(r);
    }
    struct span snapshot = {item_bytes, writer_len(&item)};
    return err_trace(ledger_request_remember(s, &scene->request, snapshot));
}

/* A refusal, remembered. */
static int ledger_hold_refuse(struct ledger_step *s, struct ledger_scene *scene,
                              enum reason reason)
{
    static const struct ledger_outcome nothing;
    ledger_refuse(s, reason);
    return err_trace(ledger_hold_close(s, scene, &nothing));
}

/* -- create ------------------------------------------------------------------------------------ */

/* REASON_OK when the slot may be held; then *ret_slot borrows from the book. */
static int ledger_hold_check_slot(struct ledger_step *s, const struct ledger_scene *scene,
                                  const struct ledger_key *key, struct ledger_slot *ret_slot)
{
    struct span value;
    if (scene->pool->scarce) {
        return REASON_NOT_YOUR_TURN;
    }
    if (s->c->assurance < scene->pool->min_assurance) {
        return REASON_ASSURANCE_TOO_LOW;
    }
    int r = ledger_get(s->l, key, &value);
    if (r) {
        return r == LEDGER_NONE ? REASON_SLOT_UNKNOWN : err_trace(r);
    }
    r = ledger_read_slot(value, ret_slot);
    if (r) {
        return err_trace(r);
    }
    if (s->c->slots[0].start_us <= s->now_us) {
        return REASON_SLOT_PAST;
    }
    if (ret_slot->state != SLOT_FREE) {
        r = ledger_slots_hint(s, key);
        return r ? err_trace(r) : REASON_SLOT_TAKEN;
    }
    return REASON_OK;
}

static int ledger_hold_check_quota(struct ledger_step *s, const struct ledger_scene *scene)
{
    uint32_t max = scene->pool->max_live;
    if (ledger_account_live(&scene->account, s->now_us) < max) {
        return REASON_OK;
    }
    static const char numbers[LIVE_PER_IDENTITY_MAX + 1][3] = {
        "0", "1", "2", "3", "4", "5", "6", "7", "8",
        "9", "10", "11", "12", "13", "14", "15", "16"};
    CHECK(max <= LIVE_PER_IDENTITY_MAX);
    ledger_meta(s, "max_active", span_of(numbers[max]));
    return REASON_IDENTITY_QUOTA;
}

/* Slot and item of the new hold. */
static void ledger_hold_make(struct ledger_step *s, struct ledger_scene *scene,
                             struct ledger_slot *slot, struct ledger_item *item)
{
    slot->state = SLOT_HELD;
    slot->version++;
    slot->owner = scene->at.position;
    slot->number = s->number;
    slot->expire_us = s->now_us + scene->pool->hold_ttl_us;
    slot->item_version = 1;
    *item = (struct ledger_item){.state = ITEM_LIVE,
                                 .number = s->number,
                                 .version = 1,
                                 .pool = s->c->pool,
                                 .slot = s->c->slots[0],
                                 .duration_us = slot->duration_us,
                                 .desk = slot->desk,
                                 .slot_version = slot->version,
                                 .expire_us = slot->expire_us,
                                 .log_index = s->log_index};
}

int ledger_hold_create(struct ledger_step *s)
{
    struct ledger_scene scene;
    struct ledger_slot slot;
    CHECK(s->c->slots_count == 1);
    int r = ledger_hold_open(s, &scene);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    struct ledger_key key = ledger_key_slot(scene.pool->space, &s->c->slots[0]);
    r = ledger_hold_check_slot(s, &scene, &key, &slot);
    if (r == REASON_OK) {
        r = ledger_hold_check_quota(s, &scene);
    }
    if (r < 0) {
        return err_trace(r);
    }
    if (r > 0) {
        return err_trace(ledger_hold_refuse(s, &scene, (enum reason)r));
    }
    CHECK(scene.account.items_count < LEDGER_ITEMS_MAX);
    struct ledger_item *item = &scene.account.items[scene.account.items_count++];
    ledger_hold_make(s, &scene, &slot, item);
    struct ledger_expiry_entry entry = {.expire_us = slot.expire_us,
                                        .space = scene.pool->space,
                                        .owner = slot.owner,
                                        .number = slot.number,
                                        .version = slot.item_version};
    r = ledger_account_answer_hold(s, item, scene.at.position);
    if (r == 0) {
        r = ledger_hold_close(s, &scene, &(struct ledger_outcome){&key, &slot, item});
    }
    return r ? err_trace(r) : err_trace(ledger_expiry_add(&s->l->expiry, &entry));
}

/* -- confirm, drop, cancel --------------------------------------------------------------------- */

/* What a kind changes into what. */
struct ledger_change {
    enum ledger_item_state from, to;
    enum slot_state slot_from, slot_to;
};

static struct ledger_change ledger_hold_change_of(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_CONFIRM_HOLD:
        return (struct ledger_change){ITEM_LIVE, ITEM_CONFIRMED, SLOT_HELD, SLOT_TAKEN};
    case COMMAND_DROP_HOLD:
        return (struct ledger_change){ITEM_LIVE, ITEM_DROPPED, SLOT_HELD, SLOT_RETURNED};
    case COMMAND_EXPIRE_HOLD:
        return (struct ledger_change){ITEM_LIVE, ITEM_EXPIRED, SLOT_HELD, SLOT_RETURNED};
    default:
        CHECK(kind == COMMAND_CANCEL_RESERVATION);
        return (struct ledger_change){ITEM_CONFIRMED, ITEM_CANCELLED, SLOT_TAKEN, SLOT_RETURNED};
    }
}

static bool ledger_hold_is_reservation(const struct ledger_item *item)
{
    return item->state == ITEM_CONFIRMED || item->state == ITEM_CANCELLED;
}

/* REASON_OK with the caller's own item, else why not. */
static int ledger_hold_find(struct ledger_step *s, struct ledger_scene *scene,
                            struct ledger_item **ret_item)
{
    bool is_cancel = s->c->kind == COMMAND_CANCEL_RESERVATION;
    struct ledger_item *item = NULL;
    if (scene->at.position == s->c->owner) {
        struct ledger_key own = ledger_key_account(scene->at, &s->c->identity);
        int r = ledger_account_pick(s, &own, &scene->account, &item);
        if (r < 0) {
            return err_trace(r);
        }
    }
    if (item && (!is_cancel || ledger_hold_is_reservation(item))) {
        *ret_item = item;
        return REASON_OK;
    }
    if (item == NULL) {
        struct ledger_account other;
        struct ledger_key key;
        int r = ledger_account_owner(s, scene->at.space, &key, &other, &item);
        if (r < 0) {
            return err_trace(r);
        }
        if (r == 0 && (!is_cancel || ledger_hold_is_reservation(item))) {
            return REASON_NOT_YOUR_RESERVATION;
        }
    }
    return is_cancel ? REASON_RESERVATION_UNKNOWN : REASON_HOLD_UNKNOWN;
}

/* REASON_OK when the item's state allows the change now. */
static enum reason ledger_hold_check(struct ledger_step *s, const struct ledger_item *item)
{
    if (s->c->kind == COMMAND_CANCEL_RESERVATION) {
        if (item->state == ITEM_CANCELLED) {
            return REASON_RESERVATION_ENDED;
        }
        if (!ledger_item_is_live(item, s->now_us)) {
            return REASON_SLOT_PAST; /* the appointment is over: it stays what it was */
        }
    } else if (item->state == ITEM_EXPIRED ||
               (item->state == ITEM_LIVE && s->now_us >= item->expire_us)) {
        return REASON_HOLD_EXPIRED;
    } else if (item->state != ITEM_LIVE) {
        return REASON_HOLD_ENDED;
    } else if (s->c->kind == COMMAND_CONFIRM_HOLD && item->slot.start_us <= s->now_us) {
        return REASON_SLOT_PAST;
    }
    return codec_etag_matches(s->c->etag, item->version) ? REASON_OK : REASON_ETAG_MISMATCH;
}

/* Slot and item into their next state. The slot must be this item's: anything else is damage. */
static int ledger_hold_move(struct ledger_step *s, const struct ledger_key *key, uint64_t owner,
                            struct ledger_item *item, struct ledger_slot *ret_slot)
{
    struct ledger_change change = ledger_hold_change_of(s->c->kind);
    struct span value;
    struct ledger_slot slot;
    int r = ledger_get(s->l, key, &value);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    r = ledger_read_slot(value, &slot);
    if (r) {
        return err_trace(r);
    }
    if (item->state != change.from || slot.state != change.slot_from || slot.owner != owner ||
        slot.number != item->number) {
        return err_origin(-EBADMSG);
    }
    slot.state = change.slot_to;
    slot.version++;
    item->state = change.to;
    item->version++;
    item->slot_version = slot.version;
    item->log_index = s->log_index;
    if (change.to == ITEM_CONFIRMED) {
        item->create_us = s->now_us;
        slot.item_version = item->version;
    }
    *ret_slot = slot;
    return 0;
}

int ledger_hold_change(struct ledger_step *s)
{
    struct ledger_scene scene;
    struct ledger_item *item = NULL;
    struct ledger_slot slot;
    int r = ledger_hold_open(s, &scene);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    r = ledger_hold_find(s, &scene, &item);
    if (r == REASON_OK) {
        r = ledger_hold_check(s, item);
    }
    if (r) {
        return r < 0 ? err_trace(r) : err_trace(ledger_hold_refuse(s, &scene, (enum reason)r));
    }
    struct ledger_key key = ledger_key_slot(scene.pool->space, &item->slot);
    uint64_t number = item->number;
    r = ledger_hold_move(s, &key, scene.at.position, item, &slot);
    if (r == 0) {
        r = s->c->kind == COMMAND_DROP_HOLD
                ? ledger_account_answer_hold(s, item, scene.at.position)
                : ledger_account_answer_reservation(s, item, scene.at.position);
    }
    if (r == 0) {
        r = ledger_hold_close(s, &scene, &(struct ledger_outcome){&key, &slot, item});
    }
    if (r) {
        return err_trace(r);
    }
    ledger_expiry_remove(&s->l->expiry, number); /* of a cancelled one there is none */
    return 0;
}

/* -- expire ------------------------------------------------------------------------------------ */

/* By the shard itself.  Late, early or twice: nothing happens. */
int ledger_hold_expire(struct ledger_step *s)
{
    const struct command *c = s->c;
    const struct ledger_pool *pool;
    struct ledger_account account;
    struct ledger_item *item;
    struct ledger_slot slot;
    uint8_t account_bytes[BOOK_VALUE_MAX], slot_bytes[128];
    int r = ledger_pool_find(s->l, c->pool, &pool);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    struct ledger_key account_key;
    static const struct identity nobody;
    uint64_t space = ledger_identity_key(ledger_pool_class(pool), &nobody).space;
    r = ledger_account_owner(s, space, &account_key, &account, &item);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    if (item->state != ITEM_LIVE || item->version != c->version || item->expire_us > s->now_us) {
        return 0;
    }
    struct ledger_key key = ledger_key_slot(pool->space, &item->slot);
    r = ledger_hold_move(s, &key, c->owner, item, &slot);
    if (r) {
        return err_trace(r);
    }
    struct writer w = writer_of(account_bytes, sizeof account_bytes);
    struct writer slot_w = writer_of(slot_bytes, sizeof slot_bytes);
    struct ledger_spill spill;
    ledger_account_trim(&account, s->now_us, &spill);
    ledger_record_account(&w, &account);
    ledger_record_slot(&slot_w, &slot);
    r = ledger_put(s->l, &key, &slot_w);
    if (r == 0) {
        r = ledger_account_put(s, &account_key, &w, &spill);
    }
    if (r) {
        return err_trace(r);
    }
    ledger_expiry_remove(&s->l->expiry, c->number);
    return 0;
}
