/* SPDX-License-Identifier: MIT */
/* The bytes of every value.  Format byte first; fixed widths, big-endian; short texts with a
 * length byte.  A writer and its reader stand side by side, so that they cannot drift.
 *
 * A reader takes what its writer made and nothing else: any other byte is damage (-EBADMSG), and
 * the shard stops rather than guess.  Owns nothing: what is read borrows from the value.
 * Roads not taken: protobuf here too (canonical bytes and size matter more than evolution, which
 * the format byte gives). */
#include <errno.h>

#include "ledger/ledger_memory.h"

#define POOL_FORMAT 3 /* of a pool with an appeal period or a way of return of its own */

#define DESK_TEXT_MAX 64

static void ledger_record_text(struct scribe *w, struct span text)
{
    if (text.len > UINT8_MAX) {
        w->bad = true;
        return;
    }
    scribe_u8(w, (uint8_t)text.len);
    scribe_bytes(w, text.ptr, text.len);
}

/* Turns bad over `max`. */
static struct span ledger_read_text(struct reader *r, size_t max)
{
    size_t n = reader_u8(r);
    const uint8_t *p = r->at;
    if (n > max || !reader_take(r, n, &p)) {
        r->bad = true;
        return (struct span){0};
    }
    return (struct span){p, n};
}

static void ledger_record_seconds(struct scribe *w, int64_t us, size_t width)
{
    scribe_be(w, (uint64_t)(us / SECOND_US), width);
}

static int64_t ledger_read_seconds(struct reader *r, size_t width)
{
    return (int64_t)reader_be(r, width) * SECOND_US;
}

/* The format byte; turns bad for one that is none of ours. */
static uint8_t ledger_read_format(struct reader *r)
{
    uint8_t format = reader_u8(r);
    r->bad |= format < LEDGER_FORMAT_1 || format > LEDGER_FORMAT;
    return format;
}

/* Everything was there, and nothing is left. */
static int ledger_read_end(const struct reader *r)
{
    return r->bad || r->at != r->end ? err_origin(-EBADMSG) : 0;
}

/* -- slots ------------------------------------------------------------------------------------- */

static bool ledger_record_is_owned(enum slot_state state)
{
    return state == SLOT_HELD || state == SLOT_TAKEN;
}

/* What only format 2 can say; never 0 there. */
enum { EXTRA_FOLLOWER = 1, EXTRA_RETURNED = 2, EXTRA_LAPSES = 4, EXTRA_SINCE = 8 };

static uint8_t ledger_record_extras(const struct ledger_slot *slot)
{
    bool is_owned = ledger_record_is_owned(slot->state);
    return (uint8_t)((is_owned && slot->is_follower ? EXTRA_FOLLOWER : 0) |
                     (slot->state == SLOT_BLOCKED && slot->was_returned ? EXTRA_RETURNED : 0) |
                     (slot->state == SLOT_TAKEN && slot->lapse_us ? EXTRA_LAPSES : 0) |
                     (slot->since_us ? EXTRA_SINCE : 0));
}

void ledger_record_slot(struct scribe *w, const struct ledger_slot *slot)
{
    uint8_t extras = ledger_record_extras(slot);
    scribe_u8(w, extras ? LEDGER_FORMAT : LEDGER_FORMAT_1);
    scribe_u8(w, slot->state);
    scribe_u64(w, slot->version);
    ledger_record_seconds(w, slot->duration_us, 4);
    ledger_record_text(w, slot->desk);
    if (ledger_record_is_owned(slot->state)) {
        scribe_u64(w, slot->owner);
        scribe_u64(w, slot->number);
        scribe_u64(w, (uint64_t)slot->expire_us);
        scribe_u32(w, slot->item_version);
    }
    if (extras) {
        scribe_u8(w, extras);
    }
    if (extras & EXTRA_LAPSES) {
        ledger_record_seconds(w, slot->lapse_us, 5);
    }
    if (extras & EXTRA_SINCE) {
        ledger_record_seconds(w, slot->since_us, 5);
    }
}

static void ledger_read_extras(struct reader *r, struct ledger_slot *s)
{
    uint8_t extras = reader_u8(r);
    s->is_follower = extras & EXTRA_FOLLOWER;
    s->was_returned = extras & EXTRA_RETURNED;
    s->lapse_us = extras & EXTRA_LAPSES ? ledger_read_seconds(r, 5) : 0;
    s->since_us = extras & EXTRA_SINCE ? ledger_read_seconds(r, 5) : 0;
    r->bad |= extras == 0 || extras != ledger_record_extras(s) ||
              s->lapse_us > (int64_t)LEDGER_SECOND_MAX * SECOND_US;
}

int ledger_read_slot(struct span value, struct ledger_slot *ret_slot)
{
    struct reader r = reader_of(value.ptr, value.len);
    struct ledger_slot s = {0};
    uint8_t format = ledger_read_format(&r);
    s.state = (enum slot_state)reader_u8(&r);
    s.version = reader_u64(&r);
    s.duration_us = ledger_read_seconds(&r, 4);
    s.desk = ledger_read_text(&r, DESK_TEXT_MAX);
    r.bad |= s.state < SLOT_FREE || s.state > SLOT_RETURNED;
    if (ledger_record_is_owned(s.state)) {
        s.owner = reader_u64(&r);
        s.number = reader_u64(&r);
        s.expire_us = (int64_t)reader_u64(&r);
        s.item_version = reader_u32(&r);
    }
    if (format != LEDGER_FORMAT_1) {
        ledger_read_extras(&r, &s);
    }
    *ret_slot = s;
    return ledger_read_end(&r);
}

/* -- items and accounts ------------------------------------------------------------------------ */

uint8_t ledger_item_format(const struct ledger_item *item)
{
    bool is_plain = item->parts_count == 1 && item->changes_left == POOL_MAX_CHANGES &&
                    item->lapse_us == 0 && item->state <= ITEM_CANCELLED;
    return is_plain ? LEDGER_FORMAT_1 : LEDGER_FORMAT;
}

void ledger_record_item(struct scribe *w, const struct ledger_item *item, uint8_t format)
{
    CHECK(format >= ledger_item_format(item));
    scribe_u8(w, item->state);
    scribe_u64(w, item->number);
    scribe_u32(w, item->version);
    ledger_record_text(w, item->pool);
    ledger_record_seconds(w, item->slot.start_us, 5);
    ledger_record_text(w, item->slot.slug);
    ledger_record_seconds(w, item->parts[0].duration_us, 4);
    ledger_record_text(w, item->desk);
    scribe_u64(w, item->parts[0].version);
    scribe_u64(w, (uint64_t)item->create_us);
    scribe_u64(w, (uint64_t)item->expire_us);
    scribe_u64(w, item->log_index);
    if (format == LEDGER_FORMAT_1) {
        return;
    }
    scribe_u8(w, item->changes_left);
    ledger_record_seconds(w, item->lapse_us, 5);
    scribe_u8(w, item->parts_count);
    for (size_t i = 1; i < item->parts_count; i++) {
        ledger_record_seconds(w, item->parts[i].duration_us, 4);
        scribe_u64(w, item->parts[i].version);
    }
}

/* What format 2 says besides. */
static void ledger_read_more_item(struct reader *r, struct ledger_item *item)
{
    item->changes_left = reader_u8(r);
    item->lapse_us = ledger_read_seconds(r, 5);
    item->parts_count = reader_u8(r);
    r->bad |= item->parts_count < 1 || item->parts_count > SLOTS_PER_HOLD ||
              item->changes_left > POOL_CHANGES_MAX || item->state > ITEM_LAPSED;
    for (size_t i = 1; !r->bad && i < item->parts_count; i++) {
        item->parts[i].duration_us = ledger_read_seconds(r, 4);
        item->parts[i].version = reader_u64(r);
    }
}

static void ledger_read_one_item(struct reader *r, uint8_t format, struct ledger_item *item)
{
    item->state = (enum ledger_item_state)reader_u8(r);
    item->number = reader_u64(r);
    item->version = reader_u32(r);
    item->pool = ledger_read_text(r, POOL_ID_MAX);
    item->slot.start_us = ledger_read_seconds(r, 5);
    item->slot.slug = ledger_read_text(r, SLOT_DESK_MAX);
    item->parts[0].duration_us = ledger_read_seconds(r, 4);
    item->desk = ledger_read_text(r, DESK_TEXT_MAX);
    item->parts[0].version = reader_u64(r);
    item->create_us = (int64_t)reader_u64(r);
    item->expire_us = (int64_t)reader_u64(r);
    item->log_index = reader_u64(r);
    item->parts_count = 1;
    item->changes_left = POOL_MAX_CHANGES;
    item->lapse_us = 0;
    r->bad |= item->state < ITEM_LIVE ||
              item->slot.start_us > (int64_t)LEDGER_SECOND_MAX * SECOND_US;
    if (format == LEDGER_FORMAT_1) {
        r->bad |= item->state > ITEM_CANCELLED;
    } else {
        ledger_read_more_item(r, item);
    }
}

int ledger_read_item(struct span value, uint8_t format, struct ledger_item *ret_item)
{
    struct reader r = reader_of(value.ptr, value.len);
    ledger_read_one_item(&r, format, ret_item);
    return ledger_read_end(&r);
}

void ledger_record_ended(struct scribe *w, const struct ledger_item *item)
{
    uint8_t format = ledger_item_format(item);
    scribe_u8(w, format);
    ledger_record_item(w, item, format);
}

int ledger_read_ended(struct span value, struct ledger_item *ret_item)
{
    struct reader r = reader_of(value.ptr, value.len);
    uint8_t format = ledger_read_format(&r);
    ledger_read_one_item(&r, format, ret_item);
    return ledger_read_end(&r);
}

static uint8_t ledger_account_format(const struct ledger_account *account)
{
    if (account->sheaves_count > 0) {
        return LEDGER_FORMAT_5;
    }
    if (account->memories_count > 0 || account->newest_len > 0 || account->beside_us > 0) {
        return LEDGER_FORMAT_4;
    }
    if (account->marks_count > 0 || account->has_memory) {
        return LEDGER_FORMAT_3;
    }
    uint8_t format = account->freed_us ? LEDGER_FORMAT : LEDGER_FORMAT_1;
    for (size_t i = 0; i < account->items_count && format == LEDGER_FORMAT_1; i++) {
        format = ledger_item_format(&account->items[i]);
    }
    return format;
}

/* The newest requests. */
static void ledger_record_memories(struct scribe *w, const struct ledger_account *account)
{
    CHECK(account->beside_us != LEDGER_BESIDE_UNKNOWN && !account->has_memory);
    scribe_varint(w, (uint64_t)(account->beside_us + SECOND_US - 1) / SECOND_US);
    scribe_u8(w, (uint8_t)(account->memories_count + (account->newest_len > 0)));
    scribe_bytes(w, account->memories.ptr, account->memories.len);
    scribe_bytes(w, account->newest, account->newest_len);
}

static int ledger_read_memories(struct reader *r, struct ledger_account *ret_account)
{
    uint64_t beside = reader_varint(r);
    size_t count = reader_u8(r);
    struct span entries = {r->at, reader_left(r)};
    if (r->bad || beside > LEDGER_SECOND_MAX || count > LEDGER_MEMORIES_MAX ||
        !ledger_memories_are_whole(entries, count)) {
        return err_origin(-EBADMSG);
    }
    ret_account->beside_us = (int64_t)beside * SECOND_US;
    ret_account->memories = entries;
    ret_account->memories_count = count;
    return 0;
}

/* Marks, and the newest request or requests. */
static void ledger_record_tail(struct scribe *w, const struct ledger_account *account,
                               uint8_t format)
{
    CHECK(account->marks_count <= LEDGER_MARKS_MAX);
    scribe_u8(w, (uint8_t)account->marks_count);
    for (size_t i = 0; i < account->marks_count; i++) {
        scribe_u64(w, account->marks[i]);
    }
    if (format == LEDGER_FORMAT_5) {
        ledger_record_sheaves(w, account);
    }
    if (format >= LEDGER_FORMAT_4) {
        ledger_record_memories(w, account);
        return;
    }
    scribe_u8(w, account->has_memory);
    if (account->has_memory) {
        scribe_bytes(w, account->memory_id.bytes, sizeof account->memory_id.bytes);
        ledger_record_memory(w, &account->memory); /* to the end */
    }
}

static int ledger_read_tail(struct reader *r, uint8_t format, struct ledger_account *ret_account)
{
    ret_account->marks_count = reader_u8(r);
    if (ret_account->marks_count > LEDGER_MARKS_MAX) {
        return err_origin(-EBADMSG);
    }
    for (size_t i = 0; i < ret_account->marks_count; i++) {
        ret_account->marks[i] = reader_u64(r);
    }
    int status = format == LEDGER_FORMAT_5 ? ledger_read_sheaves(r, ret_account) : 0;
    if (status || format >= LEDGER_FORMAT_4) {
        return status ? err_trace(status) : err_trace(ledger_read_memories(r, ret_account));
    }
    uint8_t has_memory = reader_u8(r);
    r->bad |= has_memory > 1;
    ret_account->has_memory = has_memory == 1;
    if (!ret_account->has_memory || r->bad) {
        return ledger_read_end(r);
    }
    reader_bytes(r, ret_account->memory_id.bytes, sizeof ret_account->memory_id.bytes);
    return r->bad ? err_origin(-EBADMSG)
                  : ledger_read_memory((struct span){r->at, reader_left(r)}, &ret_account->memory);
}

void ledger_record_account(struct scribe *w, const struct ledger_account *account)
{
    uint8_t format = ledger_account_format(account);
    bool has_tail = format >= LEDGER_FORMAT_3;
    uint8_t items = has_tail ? LEDGER_FORMAT : format;
    scribe_u8(w, format);
    if (has_tail) {
        scribe_varint(w, account->day);
        scribe_varint(w, account->requests);
        scribe_u8(w, account->has_others);
        scribe_varint(w, (uint64_t)account->freed_us);
    } else {
        scribe_u32(w, account->day);
        scribe_u32(w, account->requests);
        scribe_u8(w, account->has_others);
        if (format != LEDGER_FORMAT_1) {
            scribe_u64(w, (uint64_t)account->freed_us);
        }
    }
    scribe_u8(w, (uint8_t)account->items_count);
    for (size_t i = 0; i < account->items_count; i++) {
        ledger_record_item(w, &account->items[i], items);
    }
    if (has_tail) {
        ledger_record_tail(w, account, format);
    }
}

/* Format and what stands before the items. */
static uint8_t ledger_read_account_head(struct reader *r, struct ledger_account *ret_account)
{
    bool has_tail = reader_left(r) > 0 &&
                    (r->at[0] >= LEDGER_FORMAT_3 && r->at[0] <= LEDGER_FORMAT_5);
    uint8_t format, has_others;
    if (has_tail) {
        format = reader_u8(r);
        uint64_t day = reader_varint(r), requests = reader_varint(r);
        r->bad |= day > UINT32_MAX || requests > UINT32_MAX;
        ret_account->day = (uint32_t)day;
        ret_account->requests = (uint32_t)requests;
        has_others = reader_u8(r);
        ret_account->freed_us = (int64_t)reader_varint(r);
    } else {
        format = ledger_read_format(r);
        ret_account->day = reader_u32(r);
        ret_account->requests = reader_u32(r);
        has_others = reader_u8(r);
        ret_account->freed_us = format == LEDGER_FORMAT_1 ? 0 : (int64_t)reader_u64(r);
    }
    ret_account->has_others = has_others == 1;
    r->bad |= has_others > 1;
    return format;
}

int ledger_read_account(struct span value, struct ledger_account *ret_account)
{
    struct reader r = reader_of(value.ptr, value.len);
    uint8_t format = ledger_read_account_head(&r, ret_account);
    bool has_tail = format >= LEDGER_FORMAT_3;
    uint8_t items = has_tail ? LEDGER_FORMAT : format;
    ret_account->marks_count = 0;
    ledger_account_no_memory(ret_account);
    ret_account->beside_us = LEDGER_BESIDE_UNKNOWN;
    ret_account->items_count = reader_u8(&r);
    if (ret_account->items_count > LEDGER_ITEMS_MAX - 1) {
        return err_origin(-EBADMSG);
    }
    for (size_t i = 0; i < ret_account->items_count && !r.bad; i++) {
        ledger_read_one_item(&r, items, &ret_account->items[i]);
        r.bad |= i > 0 && ret_account->items[i].number <= ret_account->items[i - 1].number;
    }
    return has_tail && !r.bad ? ledger_read_tail(&r, format, ret_account) : ledger_read_end(&r);
}

/* -- pools ------------------------------------------------------------------------------------- */

bool ledger_pool_is_plain(const struct pool_view *pool)
{
    return pool->max_slots == POOL_MAX_SLOTS && pool->max_changes == POOL_MAX_CHANGES &&
           pool->cool_down_us == 0 && pool->reconfirm_open_us == 0 && pool->reconfirm_by_us == 0;
}

bool ledger_pool_has_ends(const struct pool_view *pool)
{
    return (pool->appeal_us != 0 && pool->appeal_us != POOL_APPEAL_US) ||
           (pool->return_wait_us != 0 && pool->return_wait_us != POOL_RETURN_WAIT_US) ||
           pool->return_policy > RETURN_NEXT || pool->return_release.len > 0;
}

void ledger_record_pool(struct scribe *w, const struct pool_view *pool)
{
    bool has_ends = ledger_pool_has_ends(pool);
    bool is_plain = !has_ends && ledger_pool_is_plain(pool);
    scribe_u8(w, has_ends ? POOL_FORMAT : is_plain ? LEDGER_FORMAT_1 : LEDGER_FORMAT);
    scribe_u64(w, pool->version);
    ledger_record_text(w, pool->id);
    ledger_record_text(w, pool->service_class);
    ledger_record_text(w, pool->display_name);
    ledger_record_text(w, pool->office);
    ledger_record_text(w, pool->service);
    ledger_record_text(w, pool->time_zone);
    scribe_u8(w, pool->min_assurance);
    scribe_u64(w, (uint64_t)pool->hold_ttl_us);
    scribe_u8(w, (uint8_t)pool->max_live);
    scribe_u8(w, pool->scarce);
    if (!is_plain) {
        scribe_u8(w, (uint8_t)pool->max_slots);
        scribe_u8(w, (uint8_t)pool->max_changes);
        ledger_record_seconds(w, pool->cool_down_us, 4);
        ledger_record_seconds(w, pool->reconfirm_open_us, 4);
        ledger_record_seconds(w, pool->reconfirm_by_us, 4);
    }
    if (has_ends) {
        ledger_record_seconds(w, pool->appeal_us, 4);
        ledger_record_seconds(w, pool->return_wait_us, 4);
        scribe_u8(w, (uint8_t)pool->return_policy);
        ledger_record_text(w, pool->return_release);
    }
}

static void ledger_read_ends(struct reader *r, struct pool_view *p)
{
    p->appeal_us = ledger_read_seconds(r, 4);
    p->return_wait_us = ledger_read_seconds(r, 4);
    p->return_policy = (enum return_policy)reader_u8(r);
    p->return_release = ledger_read_text(r, RELEASE_ID_MAX);
    r->bad |= p->return_policy > RETURN_COIN || !ledger_pool_has_ends(p);
}

/* What format 2 says besides. */
static void ledger_read_limits(struct reader *r, struct pool_view *p)
{
    p->max_slots = reader_u8(r);
    p->max_changes = reader_u8(r);
    p->cool_down_us = ledger_read_seconds(r, 4);
    p->reconfirm_open_us = ledger_read_seconds(r, 4);
    p->reconfirm_by_us = ledger_read_seconds(r, 4);
    r->bad |= p->max_slots < 1 || p->max_slots > SLOTS_PER_HOLD ||
              p->max_changes > POOL_CHANGES_MAX;
}

int ledger_read_pool(struct span value, struct pool_view *ret_pool)
{
    struct reader r = reader_of(value.ptr, value.len);
    struct pool_view p = {.max_slots = POOL_MAX_SLOTS,
                          .max_changes = POOL_MAX_CHANGES,
                          .appeal_us = POOL_APPEAL_US,
                          .return_policy = RETURN_NEXT,
                          .return_wait_us = POOL_RETURN_WAIT_US};
    uint8_t format = reader_u8(&r);
    p.version = reader_u64(&r);
    p.id = ledger_read_text(&r, POOL_ID_MAX);
    p.service_class = ledger_read_text(&r, CLASS_MAX);
    p.display_name = ledger_read_text(&r, POOL_TEXT_MAX);
    p.office = ledger_read_text(&r, POOL_TEXT_MAX);
    p.service = ledger_read_text(&r, POOL_TEXT_MAX);
    p.time_zone = ledger_read_text(&r, POOL_TEXT_MAX);
    p.min_assurance = (enum assurance)reader_u8(&r);
    p.hold_ttl_us = (int64_t)reader_u64(&r);
    p.max_live = reader_u8(&r);
    uint8_t scarce = reader_u8(&r);
    p.scarce = scarce == 1;
    if (format != LEDGER_FORMAT_1) {
        ledger_read_limits(&r, &p);
        r.bad |= format == LEDGER_FORMAT && ledger_pool_is_plain(&p);
    }
    if (format == POOL_FORMAT) {
        ledger_read_ends(&r, &p);
    }
    r.bad |= format < LEDGER_FORMAT_1 || format > POOL_FORMAT;
    r.bad |= p.min_assurance > ASSURANCE_HIGH || p.hold_ttl_us <= 0 || p.hold_ttl_us > DAY_US ||
             p.max_live == 0 || p.max_live > LIVE_PER_IDENTITY_MAX || scarce > 1;
    *ret_pool = p;
    return ledger_read_end(&r);
}

/* -- remembered verdicts ----------------------------------------------------------------------- */

void ledger_record_memory(struct scribe *w, const struct ledger_memory *memory)
{
    scribe_u8(w, memory->format);
    scribe_u64(w, (uint64_t)memory->log_time_us);
    scribe_u64(w, memory->body_hash);
    scribe_u8(w, (uint8_t)memory->kind);
    scribe_u16(w, (uint16_t)memory->reason);
    scribe_bytes(w, memory->snapshot.ptr, memory->snapshot.len);
}

int ledger_read_memory(struct span value, struct ledger_memory *ret_memory)
{
    struct reader r = reader_of(value.ptr, value.len);
    ret_memory->format = ledger_read_format(&r);
    ret_memory->log_time_us = (int64_t)reader_u64(&r);
    ret_memory->body_hash = reader_u64(&r);
    ret_memory->kind = (enum command_kind)reader_u8(&r);
    unsigned reason = reader_u16(&r);
    r.bad |= reason >= REASON_COUNT;
    ret_memory->reason = (enum reason)reason;
    ret_memory->snapshot = (struct span){r.at, reader_left(&r)};
    r.at = r.end;
    return ledger_read_end(&r);
}
