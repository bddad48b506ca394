/* SPDX-License-Identifier: MIT */
/* Slots taken out of use by an operator, and given back.
 *
 *   free --block--> blocked --unblock--> free          returned --block--> blocked --> returned
 *
 * A returned slot that was blocked comes back as returned: unblocking is no hidden restock.
 * All or nothing: one that is held or taken refuses all, and the answer says which.  At most
 * SLOTS_PER_BLOCK of them, in the book's order and distinct (proto/codec_command.c), looked at
 * twice: first whether all may, then each is read, changed and put.  Owns nothing. */
#include <errno.h>

#include "ledger/ledger_memory.h"
#include "ledger/ledger_release.h"

#define IN_USE_IDS 5
#define ID_BYTES   48

/* Ids of what is in use. */
struct ledger_stock_used {
    size_t count;
    size_t len;
    char ids[IN_USE_IDS * ID_BYTES];
};

static int ledger_stock_slot(struct ledger_step *s, uint64_t space, size_t i,
                             struct ledger_key *ret_key, struct ledger_slot *ret_slot)
{
    struct span value;
    *ret_key = ledger_key_slot(space, &s->c->slots[i]);
    int r = ledger_get(s->l, ret_key, &value);
    return r ? r == LEDGER_NONE ? r : err_trace(r) : err_trace(ledger_read_slot(value, ret_slot));
}

static int ledger_stock_unknown(struct ledger_step *s, size_t i)
{
    char id[ID_BYTES];
    struct span text = {(uint8_t *)id, codec_slot_id(&s->c->slots[i], id)};
    int r = ledger_keep(s->arena, text, &text);
    if (r) {
        return err_trace(r);
    }
    ledger_meta(s, "slot", text);
    return REASON_SLOT_UNKNOWN;
}

static int ledger_stock_in_use(struct ledger_step *s, const struct ledger_stock_used *used)
{
    struct span text;
    int r = ledger_keep(s->arena, (struct span){(const uint8_t *)used->ids, used->len}, &text);
    if (r) {
        return err_trace(r);
    }
    ledger_meta(s, "in_use", text);
    r = ledger_meta_count(s, "in_use_count", used->count);
    return r ? err_trace(r) : REASON_SLOT_TAKEN;
}

/* REASON_OK when all of them may change, else why not. */
static int ledger_stock_check(struct ledger_step *s, uint64_t space)
{
    struct ledger_stock_used used = {.count = 0};
    for (size_t i = 0; i < s->c->slots_count; i++) {
        struct ledger_key key;
        struct ledger_slot slot;
        int r = ledger_stock_slot(s, space, i, &key, &slot);
        if (r) {
            return r == LEDGER_NONE ? ledger_stock_unknown(s, i) : err_trace(r);
        }
        uint32_t number;
        bool is_offered = ledger_open_offering(s->l, space, &s->c->slots[i], &number) != NULL;
        if (s->c->kind == COMMAND_BLOCK_SLOTS && is_offered) {
            return REASON_SLOT_OFFERED; /* the manifest is published */
        }
        bool is_used = slot.state == SLOT_HELD || slot.state == SLOT_TAKEN;
        if (s->c->kind == COMMAND_BLOCK_SLOTS && is_used) {
            if (used.count < IN_USE_IDS) {
                used.ids[used.len] = ',';
                used.len += used.count > 0;
                used.len += codec_slot_id(&s->c->slots[i], used.ids + used.len);
            }
            used.count++;
        }
    }
    return used.count ? ledger_stock_in_use(s, &used) : REASON_OK;
}

/* False when it stays as it is. */
static bool ledger_stock_turn(enum command_kind kind, struct ledger_slot *slot)
{
    bool is_blocked = slot->state == SLOT_BLOCKED;
    if (kind == COMMAND_BLOCK_SLOTS && !is_blocked) {
        slot->was_returned = slot->state == SLOT_RETURNED;
        slot->state = SLOT_BLOCKED;
    } else if (kind == COMMAND_UNBLOCK_SLOTS && is_blocked) {
        slot->state = slot->was_returned ? SLOT_RETURNED : SLOT_FREE;
    } else {
        return false;
    }
    slot->version++;
    return true;
}

static int ledger_stock_put(struct ledger_step *s, uint64_t space, size_t *ret_count)
{
    bool is_scarce = ledger_is_scarce(s->l, s->c->pool);
    for (size_t i = 0; i < s->c->slots_count; i++) {
        uint8_t bytes[LEDGER_SLOT_BYTES];
        struct scribe w = scribe_of(bytes, sizeof bytes);
        struct ledger_key key;
        struct ledger_slot slot;
        int r = ledger_stock_slot(s, space, i, &key, &slot);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        bool was_free = slot.state == SLOT_FREE;
        if (ledger_stock_turn(s->c->kind, &slot)) {
            if (is_scarce && was_free != (slot.state == SLOT_FREE)) {
                ledger_slots_free_turned(&slot, s);
            }
            ledger_record_slot(&w, &slot);
            r = ledger_put(s->l, &key, &w);
            *ret_count += 1;
        }
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}

int ledger_stock_block(struct ledger_step *s)
{
    const struct ledger_pool *pool;
    struct ledger_key request;
    uint8_t bytes[16];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    size_t count = 0;
    int r = ledger_pool_open(s, &pool, &request);
    if (r) {
        return r == LEDGER_ANSWERED ? 0 : err_trace(r);
    }
    uint64_t space = pool->space;
    r = ledger_stock_check(s, space);
    if (r == REASON_OK) {
        r = ledger_stock_put(s, space, &count);
        ledger_request_counted(s, count, s->log_index, &w);
    } else if (r > 0) {
        r = ledger_refuse(s, (enum reason)r);
    }
    if (r) {
        return err_trace(r);
    }
    struct span snapshot = {bytes, scribe_len(&w)};
    return err_trace(ledger_request_remember(s, &request, LEDGER_FORMAT_1, snapshot));
}
