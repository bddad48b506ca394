/* SPDX-License-Identifier: MIT */
/* What one identity has in one service class: its live holds and reservations, and the last ended
 * ones, in a single record: one read decides about a request, one write settles it.
 *
 * Live: a hold not ended yet, a reservation whose slot is not over.  Only live ones count against
 * the entitlement; at most LIVE_PER_IDENTITY_MAX of them exist.  Of the ended ones the newest
 * ENDED_PER_IDENTITY stay, as far as the record's room goes: it is written with every request, so
 * it is kept small.  The others go into records of their own beside it, each written once, and are
 * known until LEDGER_ENDED_US after their slot's end.
 * Owns nothing.  Invariants: items ordered by number; a value never over BOOK_VALUE_MAX. */
#include <errno.h>

#include "ledger/ledger_parts.h"

#define OWNERS_MAX 8 /* identities of a class at one 64-bit position: never two in practice */
#define HEADER_BYTES 11
#define ITEM_BYTES   57 /* of an item without its texts */

int ledger_account_load(struct ledger_step *s, struct routing_key at,
                        struct ledger_account *ret_account)
{
    struct ledger_key key = ledger_key_account(at, &s->c->identity);
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    if (r == LEDGER_NONE) {
        ret_account->has_others = false;
        ret_account->day = 0;
        ret_account->requests = 0;
        ret_account->items_count = 0;
        return LEDGER_NONE;
    }
    return r ? err_trace(r) : err_trace(ledger_read_account(value, ret_account));
}

struct ledger_item *ledger_account_item(struct ledger_account *account, uint64_t number,
                                        struct span pool)
{
    for (size_t i = 0; i < account->items_count; i++) {
        struct ledger_item *item = &account->items[i];
        if (item->number == number) {
            return span_equal(item->pool, pool) ? item : NULL;
        }
    }
    return NULL;
}

bool ledger_item_is_live(const struct ledger_item *item, int64_t now_us)
{
    return item->state == ITEM_LIVE ||
           (item->state == ITEM_CONFIRMED && item->slot.start_us + item->duration_us > now_us);
}

size_t ledger_account_live(const struct ledger_account *account, int64_t now_us)
{
    size_t live = 0;
    for (size_t i = 0; i < account->items_count; i++) {
        live += ledger_item_is_live(&account->items[i], now_us);
    }
    return live;
}

static size_t ledger_account_bytes(const struct ledger_account *account)
{
    size_t n = HEADER_BYTES;
    for (size_t i = 0; i < account->items_count; i++) {
        const struct ledger_item *item = &account->items[i];
        n += ITEM_BYTES + item->pool.len + item->slot.slug.len + item->desk.len;
    }
    return n;
}

bool ledger_item_is_known(const struct ledger_item *item, int64_t now_us)
{
    return item->slot.start_us + item->duration_us + LEDGER_ENDED_US > now_us;
}

static void ledger_account_spill(struct ledger_spill *spill, const struct ledger_item *item)
{
    CHECK(spill->count < LEDGER_ITEMS_MAX);
    struct writer w = writer_of(spill->items[spill->count].bytes, LEDGER_ITEM_BYTES);
    ledger_record_ended(&w, item);
    CHECK(!w.bad);
    spill->items[spill->count].number = item->number;
    spill->items[spill->count++].len = writer_len(&w);
}

void ledger_account_trim(struct ledger_account *account, int64_t now_us,
                         struct ledger_spill *ret_spill)
{
    ret_spill->count = 0;
    for (;;) {
        size_t ended = account->items_count - ledger_account_live(account, now_us);
        bool is_long = ended > ENDED_PER_IDENTITY || account->items_count >= LEDGER_ITEMS_MAX;
        if (ended == 0 || (!is_long && ledger_account_bytes(account) <= BOOK_VALUE_MAX)) {
            return;
        }
        size_t oldest = account->items_count;
        for (size_t i = 0; i < account->items_count; i++) {
            if (!ledger_item_is_live(&account->items[i], now_us) &&
                (oldest == account->items_count ||
                 account->items[i].log_index < account->items[oldest].log_index)) {
                oldest = i;
            }
        }
        CHECK(oldest < account->items_count);
        if (ledger_item_is_known(&account->items[oldest], now_us)) {
            ledger_account_spill(ret_spill, &account->items[oldest]);
        }
        account->items_count--;
        memmove(&account->items[oldest], &account->items[oldest + 1],
                (account->items_count - oldest) * sizeof account->items[0]);
    }
}

int ledger_account_put(struct ledger_step *s, const struct ledger_key *key,
                       const struct writer *account, const struct ledger_spill *spill)
{
    int r = ledger_put(s->l, key, account);
    for (size_t i = 0; r == 0 && i < spill->count; i++) {
        uint8_t *bytes = (uint8_t *)spill->items[i].bytes;
        struct ledger_key beside = ledger_key_ended(key, spill->items[i].number);
        struct writer w = {.start = bytes, .at = bytes + spill->items[i].len};
        r = ledger_put(s->l, &beside, &w);
    }
    return err_trace(r);
}

int ledger_account_pick(struct ledger_step *s, const struct ledger_key *key,
                        struct ledger_account *account, struct ledger_item **ret_item)
{
    struct span value;
    *ret_item = ledger_account_item(account, s->c->number, s->c->pool);
    if (*ret_item) {
        return 0;
    }
    struct ledger_key beside = ledger_key_ended(key, s->c->number);
    int r = ledger_get(s->l, &beside, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    r = ledger_read_ended(value, &account->ended);
    if (r) {
        return err_trace(r);
    }
    if (!span_equal(account->ended.pool, s->c->pool) ||
        !ledger_item_is_known(&account->ended, s->now_us)) {
        return LEDGER_NONE;
    }
    *ret_item = &account->ended;
    return 0;
}

int ledger_account_ended(struct ledger_step *s, const struct ledger_key *key, uint64_t after,
                         struct ledger_item *ret_item)
{
    struct ledger_key from = ledger_key_ended(key, after);
    struct span found, value;
    int r = ledger_next(s->l, ledger_key_span(&from), true, &found, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (found.len != from.len || memcmp(found.ptr, from.bytes, from.len - 8) != 0) {
        return LEDGER_NONE;
    }
    return err_trace(ledger_read_ended(value, ret_item));
}

int ledger_account_owner(struct ledger_step *s, uint64_t class_space, struct ledger_key *ret_key,
                         struct ledger_account *ret_account, struct ledger_item **ret_item)
{
    struct routing_key at = {class_space, s->c->owner};
    struct ledger_key from = ledger_key_make(at, 'I', (struct span){0});
    struct span key = ledger_key_span(&from), value;
    for (int i = 0; i < OWNERS_MAX; i++) {
        struct ledger_key_parts parts;
        int r = ledger_next(s->l, key, i > 0, &key, &value);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        if (!ledger_key_parse(key, &parts)) {
            return err_origin(-EBADMSG);
        }
        if (parts.at.space != at.space || parts.at.position != at.position || parts.tag != 'I') {
            return LEDGER_NONE;
        }
        r = ledger_read_account(value, ret_account);
        if (r) {
            return err_trace(r);
        }
        if (parts.suffix.len != sizeof s->c->identity.bytes) {
            return err_origin(-EBADMSG);
        }
        struct ledger_key own = ledger_key_make(at, 'I', parts.suffix);
        r = ledger_account_pick(s, &own, ret_account, ret_item);
        if (r != LEDGER_NONE) {
            *ret_key = own;
            return err_trace(r);
        }
    }
    return LEDGER_NONE;
}

/* -- answers ----------------------------------------------------------------------------------- */

/* The slot as this item left it, copied into the arena. */
static int ledger_account_slot(struct ledger_step *s, const struct ledger_item *item,
                               struct slot_view **ret_view)
{
    struct slot_view *view = arena_alloc(s->arena, sizeof *view);
    if (view == NULL) {
        return err_origin(-ENOMEM);
    }
    *view = (struct slot_view){.key.start_us = item->slot.start_us,
                               .duration_us = item->duration_us,
                               .state = item->state == ITEM_LIVE        ? SLOT_HELD
                                        : item->state == ITEM_CONFIRMED ? SLOT_TAKEN
                                                                        : SLOT_RETURNED,
                               .version = item->slot_version};
    int r = ledger_keep(s->arena, item->slot.slug, &view->key.slug);
    if (r == 0) {
        r = ledger_keep(s->arena, item->desk, &view->desk);
    }
    *ret_view = view;
    return err_trace(r);
}

int ledger_account_answer_hold(struct ledger_step *s, const struct ledger_item *item,
                               uint64_t owner)
{
    struct hold_view *hold = arena_alloc(s->arena, sizeof *hold);
    struct slot_view *slot;
    if (hold == NULL) {
        return err_origin(-ENOMEM);
    }
    *hold = (struct hold_view){.owner = owner,
                               .number = item->number,
                               .state = item->state == ITEM_LIVE      ? HOLD_LIVE
                                        : item->state == ITEM_DROPPED ? HOLD_DROPPED
                                        : item->state == ITEM_EXPIRED ? HOLD_EXPIRED
                                                                      : HOLD_CONFIRMED,
                               .slots_count = 1,
                               .expire_us = item->expire_us,
                               .version = item->version,
                               .log_index = item->log_index};
    int r = ledger_account_slot(s, item, &slot);
    if (r == 0) {
        r = ledger_keep(s->arena, item->pool, &hold->pool);
    }
    if (r) {
        return err_trace(r);
    }
    hold->slots = slot;
    s->v->result = RESULT_HOLD;
    s->v->holds = hold;
    return 0;
}

int ledger_account_view(struct ledger_step *s, const struct ledger_item *item, uint64_t owner,
                        struct reservation_view *out)
{
    struct slot_view *slot;
    *out = (struct reservation_view){.owner = owner,
                                     .number = item->number,
                                     .state = item->state == ITEM_CANCELLED
                                                  ? RESERVATION_CANCELLED
                                                  : RESERVATION_CONFIRMED,
                                     .slots_count = 1,
                                     .create_us = item->create_us,
                                     .version = item->version,
                                     .log_index = item->log_index};
    int r = ledger_account_slot(s, item, &slot);
    if (r == 0) {
        r = ledger_keep(s->arena, item->pool, &out->pool);
    }
    if (r) {
        return err_trace(r);
    }
    out->slots = slot;
    return 0;
}

int ledger_account_answer_reservation(struct ledger_step *s, const struct ledger_item *item,
                                      uint64_t owner)
{
    struct reservation_view *view = arena_alloc(s->arena, sizeof *view);
    if (view == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_RESERVATION;
    s->v->reservations = view;
    s->v->reservations_count = 1;
    return err_trace(ledger_account_view(s, item, owner, view));
}
