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

#include "ledger/ledger_memory.h"

#define OWNERS_MAX 8 /* identities of a class at one 64-bit position: never two in practice */
#define HEADER_BYTES 19
#define TAIL_BYTES   20 /* counts of marks and of the memory, and its id */
#define ITEM_BYTES   64 /* of an item with one slot, without its texts, in the newest format */
#define PART_BYTES   12 /* of every further slot */

/* The record's bytes are the arena's or the book's; what older rules wrote is as newer have it. */
static int ledger_account_read(struct ledger_step *s, struct span value,
                               struct ledger_account *ret_account)
{
    int r = ledger_read_account(value, ret_account);
    if (r == 0 && ret_account->beside_us == LEDGER_BESIDE_UNKNOWN) {
        ret_account->beside_us = 0;
        r = s->l->version >= 6 ? ledger_memory_renew(s, ret_account) : 0;
    }
    return err_trace(r);
}

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
        ret_account->freed_us = 0;
        ret_account->items_count = 0;
        ret_account->marks_count = 0;
        ledger_account_no_memory(ret_account);
        return LEDGER_NONE;
    }
    if (r == 0) { /* a copy: verdicts and the items' texts outlive the puts to come */
        r = ledger_keep(s->arena, value, &value);
    }
    return r ? err_trace(r) : err_trace(ledger_account_read(s, value, ret_account));
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

struct slot_key ledger_item_slot(const struct ledger_item *item, size_t i)
{
    struct slot_key at = item->slot;
    CHECK(i < item->parts_count);
    for (size_t before = 0; before < i; before++) {
        at.start_us += item->parts[before].duration_us;
    }
    return at;
}

int64_t ledger_item_end_us(const struct ledger_item *item)
{
    size_t last = item->parts_count - 1u;
    return ledger_item_slot(item, last).start_us + item->parts[last].duration_us;
}

bool ledger_item_is_over(const struct ledger_item *item, int64_t now_us)
{
    return item->state == ITEM_CANCELLED || item->state == ITEM_LAPSED ||
           (item->state == ITEM_CONFIRMED && item->lapse_us != 0 && item->lapse_us <= now_us);
}

bool ledger_item_is_live(const struct ledger_item *item, int64_t now_us)
{
    bool is_reserved = item->state == ITEM_CONFIRMED || item->state == ITEM_RECONFIRMED;
    return item->state == ITEM_LIVE || (is_reserved && ledger_item_end_us(item) > now_us);
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
    size_t n = HEADER_BYTES + TAIL_BYTES + 8 * account->marks_count;
    n += account->has_memory ? LEDGER_MEMORY_INLINE : 0;
    bool remembers = account->memories_count > 0 || account->sheaves_count > 0;
    n += remembers || account->beside_us > 0 ? LEDGER_MEMORIES_BYTES : 0;
    for (size_t i = 0; i < account->items_count; i++) {
        const struct ledger_item *item = &account->items[i];
        n += ITEM_BYTES + item->pool.len + item->slot.slug.len + item->desk.len +
             PART_BYTES * (item->parts_count - 1u);
    }
    return n;
}

bool ledger_item_is_known(const struct ledger_item *item, int64_t now_us)
{
    return ledger_item_end_us(item) + LEDGER_ENDED_US > now_us;
}

static void ledger_account_spill(struct ledger_spill *spill, const struct ledger_item *item)
{
    CHECK(spill->count < LEDGER_ITEMS_MAX);
    struct scribe w = scribe_of(spill->items[spill->count].bytes, LEDGER_ITEM_BYTES);
    ledger_record_ended(&w, item);
    CHECK(!w.bad);
    spill->items[spill->count].number = item->number;
    spill->items[spill->count++].len = scribe_len(&w);
}

int ledger_account_trim(struct ledger_step *s, struct ledger_account *account,
                        struct ledger_spill *ret_spill)
{
    int64_t now_us = s->now_us;
    ret_spill->count = 0;
    for (;;) {
        size_t ended = account->items_count - ledger_account_live(account, now_us);
        bool is_long = ended > ENDED_PER_IDENTITY || account->items_count >= LEDGER_ITEMS_MAX;
        if (ended == 0 || (!is_long && ledger_account_bytes(account) <= BOOK_VALUE_MAX)) {
            return 0;
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
        int r = ledger_memory_settle(s, account, account->items[oldest].number);
        if (r) {
            return err_trace(r);
        }
        if (ledger_item_is_known(&account->items[oldest], now_us)) {
            ledger_account_spill(ret_spill, &account->items[oldest]);
        }
        account->items_count--;
        memmove(&account->items[oldest], &account->items[oldest + 1],
                (account->items_count - oldest) * sizeof account->items[0]);
    }
}

int ledger_account_put(struct ledger_step *s, const struct ledger_key *key,
                       const struct scribe *account, const struct ledger_spill *spill)
{
    const struct ledger_pool *pool;
    struct ledger_key_parts parts;
    int r = ledger_put(s->l, key, account);
    bool may_have_tickets = r == 0 && s->c->pool.len > 0 &&
                            ledger_pool_find(s->l, s->c->pool, &pool) == 0 && pool->scarce;
    if (may_have_tickets && ledger_key_parse(ledger_key_span(key), &parts) &&
        parts.suffix.len == sizeof(struct identity)) {
        struct identity identity;
        memcpy(identity.bytes, parts.suffix.ptr, sizeof identity.bytes);
        ledger_touch_identity(s->l, &identity);
    }
    for (size_t i = 0; r == 0 && i < spill->count; i++) {
        uint8_t *bytes = (uint8_t *)spill->items[i].bytes;
        struct ledger_key beside = ledger_key_ended(key, spill->items[i].number);
        struct scribe w = {.start = bytes, .at = bytes + spill->items[i].len};
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
        r = ledger_account_read(s, value, ret_account);
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

static enum slot_state ledger_account_slot_state(enum ledger_item_state state)
{
    return state == ITEM_LIVE                                     ? SLOT_HELD
           : state == ITEM_CONFIRMED || state == ITEM_RECONFIRMED ? SLOT_TAKEN
                                                                  : SLOT_RETURNED;
}

/* The slots as this item left them, copied into the arena. */
static int ledger_account_slots(struct ledger_step *s, const struct ledger_item *item,
                                struct slot_view **ret_views)
{
    struct slot_view *views = arena_alloc(s->arena, item->parts_count * sizeof *views);
    struct span slug, desk;
    if (views == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = ledger_keep(s->arena, item->slot.slug, &slug);
    if (r == 0) {
        r = ledger_keep(s->arena, item->desk, &desk);
    }
    for (size_t i = 0; r == 0 && i < item->parts_count; i++) {
        views[i] = (struct slot_view){.key = {ledger_item_slot(item, i).start_us, slug},
                                      .duration_us = item->parts[i].duration_us,
                                      .desk = desk,
                                      .state = ledger_account_slot_state(item->state),
                                      .version = item->parts[i].version};
    }
    *ret_views = views;
    return err_trace(r);
}

int ledger_account_answer_hold(struct ledger_step *s, const struct ledger_item *item,
                               uint64_t owner)
{
    struct hold_view *hold = arena_alloc(s->arena, sizeof *hold);
    struct slot_view *slots;
    if (hold == NULL) {
        return err_origin(-ENOMEM);
    }
    *hold = (struct hold_view){.owner = owner,
                               .number = item->number,
                               .state = item->state == ITEM_LIVE      ? HOLD_LIVE
                                        : item->state == ITEM_DROPPED ? HOLD_DROPPED
                                        : item->state == ITEM_EXPIRED ? HOLD_EXPIRED
                                                                      : HOLD_CONFIRMED,
                               .slots_count = item->parts_count,
                               .expire_us = item->expire_us,
                               .version = item->version,
                               .log_index = item->log_index};
    int r = ledger_account_slots(s, item, &slots);
    if (r == 0) {
        r = ledger_keep(s->arena, item->pool, &hold->pool);
    }
    if (r) {
        return err_trace(r);
    }
    hold->slots = slots;
    s->v->result = RESULT_HOLD;
    s->v->holds = hold;
    return 0;
}

static enum reservation_state ledger_account_state(enum ledger_item_state state)
{
    return state == ITEM_CANCELLED     ? RESERVATION_CANCELLED
           : state == ITEM_LAPSED      ? RESERVATION_LAPSED
           : state == ITEM_RECONFIRMED ? RESERVATION_RECONFIRMED
                                       : RESERVATION_CONFIRMED;
}

int ledger_account_view(struct ledger_step *s, const struct ledger_item *item, uint64_t owner,
                        struct reservation_view *out)
{
    struct slot_view *slots;
    *out = (struct reservation_view){.owner = owner,
                                     .number = item->number,
                                     .state = ledger_account_state(item->state),
                                     .slots_count = item->parts_count,
                                     .create_us = item->create_us,
                                     .changes_left = item->changes_left,
                                     .reconfirm_us = item->lapse_us,
                                     .version = item->version,
                                     .log_index = item->log_index};
    int r = ledger_account_slots(s, item, &slots);
    if (r == 0) {
        r = ledger_keep(s->arena, item->pool, &out->pool);
    }
    if (r) {
        return err_trace(r);
    }
    out->slots = slots;
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
