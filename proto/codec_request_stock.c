/* SPDX-License-Identifier: MIT */
/* Operators' messages about a pool that exists -> commands: its policy, blocked slots, a restock.
 * As codec_request.c.  Slots are put into the book's order here, so that the ledger meets each once
 * and in one walk, and so that the same wish in another order is the same body.
 * Owns nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "proto/codec_parts.h"

/* An operator's reason for the audit. */
static int codec_stock_note(struct codec_ask *ask, const char *text)
{
    ask->command->note = span_of(text);
    return ask->command->note.len <= NOTE_MAX && codec_text_ok(ask->command->note)
               ? 0
               : codec_fault(ask, "reason", "at most 200 bytes, no control characters");
}

/* -- a pool's policy --------------------------------------------------------------------------- */

/* The field's bit; 0: there is none that may be changed. */
static uint32_t codec_stock_field(const char *path)
{
    static const struct {
        const char *path;
        uint32_t bit;
    } fields[] = {
#define FIELD_ROW(name, bit, path) {path, POOL_FIELD_##name},
        POOL_FIELDS(FIELD_ROW)
#undef FIELD_ROW
    };
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        if (strcmp(fields[i].path, path) == 0) {
            return fields[i].bit;
        }
    }
    return 0;
}

/* The pool as given, but with its default wherever the mask does not look. */
static void codec_stock_unmask(Fairslot__V1__Pool *m, uint32_t mask)
{
    Fairslot__V1__Pool given = *m;
    fairslot__v1__pool__init(m);
#define KEEP(field, member)                 \
    if (mask & POOL_FIELD_##field) {        \
        m->member = given.member;           \
    }
    KEEP(DISPLAY_NAME, display_name)
    KEEP(OFFICE, office)
    KEEP(SERVICE, service)
    KEEP(TIME_ZONE, time_zone)
    KEEP(MIN_ASSURANCE, min_assurance)
    KEEP(HOLD_TTL, hold_ttl)
    KEEP(MAX_LIVE, max_live_per_identity)
    KEEP(SCARCE, scarce)
    KEEP(MAX_SLOTS, max_slots_per_hold)
    KEEP(MAX_CHANGES, max_changes)
    KEEP(COOL_DOWN, cancel_cool_down)
    KEEP(RECONFIRM_OPEN, reconfirm_open)
    KEEP(RECONFIRM_BY, reconfirm_by)
    KEEP(APPEAL, appeal_period)
    KEEP(RETURN_POLICY, return_policy)
    KEEP(RETURN_WAIT, return_wait)
    KEEP(RETURN_RELEASE, return_release)
#undef KEEP
}

static int codec_stock_mask(struct codec_ask *ask,
                            const Fairslot__Admin__V1__UpdatePoolRequest *m)
{
    struct command *c = ask->command;
    for (size_t i = 0; i < m->n_update_paths; i++) {
        uint32_t bit = codec_stock_field(m->update_paths[i]);
        if (bit == 0) {
            return codec_fault(ask, "update_paths",
                               "names of a pool's fields but name, service_class and etag");
        }
        c->pool_mask |= bit;
    }
    if (m->n_update_paths == 0) {
        c->pool_mask = codec_pool_set(m->pool);
    }
    return c->pool_mask ? 0 : codec_fault(ask, "update_paths", "at least one field to change");
}

int codec_request_update_pool(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__UpdatePoolRequest *m;
    struct command *c = ask->command;
    int r = codec_unpack(&fairslot__admin__v1__update_pool_request__descriptor, message,
                         ask->arena, &m);
    if (r) {
        return r;
    }
    if (m->pool == NULL) {
        return codec_fault(ask, "pool", "the pool with its name and what changes");
    }
    r = codec_ask_pool(ask, "pool.name", m->pool->name);
    r = r ? r : codec_ask_etag(ask, m->pool->etag);
    r = r ? r : codec_stock_mask(ask, m);
    if (r) {
        return r;
    }
    struct pool_view *pool = arena_alloc(ask->arena, sizeof *pool);
    if (pool == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    codec_stock_unmask(m->pool, c->pool_mask);
    *pool = codec_pool_view(m->pool, c->pool);
    if (!codec_pool_check(pool, &ask->field, &ask->detail)) {
        return REASON_FIELD_INVALID;
    }
    c->new_pool = pool;
    return codec_ask_request_id(ask, m->request_id);
}

/* -- blocked slots, a restock ------------------------------------------------------------------ */

static int codec_stock_compare(const void *a, const void *b)
{
    return codec_slot_compare(a, b);
}

int codec_request_block_slots(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__BlockSlotsRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__block_slots_request__descriptor, message,
                         ask->arena, &m);
    r = r ? r : codec_ask_pool(ask, "parent", m->parent);
    if (r) {
        return r;
    }
    if (m->n_slots == 0 || m->n_slots > SLOTS_PER_BLOCK) {
        return codec_fault(ask, "slots", "1 to 256 slots");
    }
    struct slot_key *keys = arena_alloc(ask->arena, m->n_slots * sizeof *keys);
    if (keys == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    for (size_t i = 0; r == 0 && i < m->n_slots; i++) {
        r = codec_ask_slot(ask, "slots", m->slots[i], &keys[i]);
    }
    if (r) {
        return r;
    }
    qsort(keys, m->n_slots, sizeof *keys, codec_stock_compare);
    for (size_t i = 1; i < m->n_slots; i++) {
        if (codec_slot_compare(&keys[i - 1], &keys[i]) == 0) {
            return codec_fault(ask, "slots", "each slot once");
        }
    }
    ask->command->slots = keys;
    ask->command->slots_count = m->n_slots;
    r = codec_stock_note(ask, m->reason);
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

int codec_request_restock(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__RestockPoolRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__restock_pool_request__descriptor, message,
                         ask->arena, &m);
    r = r ? r : codec_ask_pool(ask, "name", m->name);
    r = r ? r : codec_stock_note(ask, m->reason);
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

/* -- an identity ------------------------------------------------------------------------------- */

int codec_request_erase(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__EraseIdentityRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__erase_identity_request__descriptor, message,
                         ask->arena, &m);
    if (r) {
        return r;
    }
    if (strspn(m->identity, "0123456789abcdef") != 32 || m->identity[32] != 0) {
        return codec_fault(ask, "identity", "32 of 0-9 and a-f");
    }
    ask->command->note = span_of(m->identity);
    return codec_ask_request_id(ask, m->request_id);
}
