/* SPDX-License-Identifier: MIT */
/* Operators' messages -> commands: a new pool, many new slots.  As codec_request.c.
 * Duplicates inside one request are found with a table in the arena, so that the ledger needs not
 * look for them: what one command makes is known to be distinct. */
#include <xxhash.h>

#include "base/check.h"
#include "base/err.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "proto/codec_parts.h"

#define CODEC_DESK_TEXT_MAX 64

int codec_request_create_pool(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__CreatePoolRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__create_pool_request__descriptor, message,
                         ask->arena, &m);
    if (r) {
        return r;
    }
    static const Fairslot__V1__Pool nothing = FAIRSLOT__V1__POOL__INIT;
    const Fairslot__V1__Pool *given = m->pool ? m->pool : &nothing;
    struct pool_view *pool = arena_alloc(ask->arena, sizeof *pool);
    if (pool == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    *pool = codec_pool_view(given, span_of(m->pool_id));
    if (!codec_pool_check(pool, &ask->field, &ask->detail)) {
        return REASON_FIELD_INVALID;
    }
    struct span named;
    if (given->name[0] != 0 &&
        (!codec_name_pool(span_of(given->name), &named) || !span_equal(named, pool->id))) {
        return codec_fault(ask, "pool.name", "empty, or pools/ and the pool_id");
    }
    ask->command->pool = pool->id;
    ask->command->new_pool = pool;
    return codec_ask_request_id(ask, m->request_id);
}

bool codec_slot_key_ok(const struct slot_key *key)
{
    return key->start_us >= 0 && key->start_us <= CODEC_SECOND_MAX * SECOND_US &&
           key->start_us % SECOND_US == 0 && codec_slug_ok(key->slug);
}

bool codec_slot_check(const struct new_slot *slot, const char **ret_field,
                      const char **ret_detail)
{
    struct slot_key key = {slot->start_us, slot->slug};
    if (!codec_slot_key_ok(&key)) {
        *ret_field = "slots.start_time";
        *ret_detail = "whole seconds, 1970-01-01 to 9999-12-31";
        return false;
    }
    if (slot->duration_us <= 0 || slot->duration_us > DAY_US || slot->duration_us % SECOND_US) {
        *ret_field = "slots.duration";
        *ret_detail = "whole seconds, more than 0, at most 24 hours";
        return false;
    }
    if (slot->desk.len > CODEC_DESK_TEXT_MAX || !codec_text_ok(slot->desk)) {
        *ret_field = "slots.desk";
        *ret_detail = "at most 64 bytes, no control characters";
        return false;
    }
    return true;
}

/* The public slot -> the one to be made; its name, when given, must be the one it will get. */
static int codec_request_slot(struct codec_ask *ask, const Fairslot__V1__Slot *m,
                              struct new_slot *out)
{
    char slug[SLOT_DESK_MAX + 1];
    const Google__Protobuf__Timestamp *start = m->start_time;
    const Google__Protobuf__Duration *duration = m->duration;
    out->desk = span_of(m->desk);
    out->slug = (struct span){(uint8_t *)slug, codec_desk_slug(out->desk, slug)};
    out->start_us = -1;
    out->duration_us = -1;
    if (start && start->nanos == 0) {
        codec_time_us(start->seconds, 0, &out->start_us);
    }
    if (duration && duration->nanos == 0) {
        codec_time_us(duration->seconds, 0, &out->duration_us);
    }
    if (!codec_slot_check(out, &ask->field, &ask->detail)) {
        return REASON_FIELD_INVALID;
    }
    if (m->name[0] != 0) {
        char id[CODEC_ID_BYTES];
        struct slot_key key = {out->start_us, out->slug};
        struct span own = {(uint8_t *)id, codec_slot_id(&key, id)}, pool, named;
        if (!codec_name_child(span_of(m->name), "/slots/", &pool, &named) ||
            !span_equal(named, own) || !span_equal(pool, ask->command->pool)) {
            return codec_fault(ask, "slots.name", "empty, or the name it will get");
        }
    }
    out->slug.ptr = (uint8_t *)codec_text(ask->arena, out->slug);
    return out->slug.ptr ? 0 : REASON_MESSAGE_TOO_LARGE;
}

/* 0, REASON_FIELD_INVALID for two of one key, REASON_MESSAGE_TOO_LARGE. */
static int codec_request_distinct(struct codec_ask *ask, const struct new_slot *slots,
                                  size_t count)
{
    size_t size = 2;
    while (size < 2 * count) {
        size *= 2;
    }
    uint16_t *table = arena_zalloc(ask->arena, size * sizeof *table); /* index + 1; 0 is empty */
    if (table == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    CHECK(count < UINT16_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t seed = (uint64_t)slots[i].start_us;
        size_t at = XXH3_64bits_withSeed(slots[i].slug.ptr, slots[i].slug.len, seed) & (size - 1);
        for (; table[at] != 0; at = (at + 1) & (size - 1)) {
            const struct new_slot *other = &slots[table[at] - 1];
            if (other->start_us == slots[i].start_us && span_equal(other->slug, slots[i].slug)) {
                return codec_fault(ask, "slots", "different: each start time and desk once");
            }
        }
        table[at] = (uint16_t)(i + 1);
    }
    return 0;
}

int codec_request_create_slots(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__BatchCreateSlotsRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__batch_create_slots_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = codec_ask_pool(ask, "parent", m->parent);
    }
    if (r) {
        return r;
    }
    if (m->n_slots == 0 || m->n_slots > SLOTS_PER_CREATE) {
        return codec_fault(ask, "slots", "1 to 10000 slots");
    }
    struct new_slot *slots = arena_alloc(ask->arena, m->n_slots * sizeof *slots);
    if (slots == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    for (size_t i = 0; r == 0 && i < m->n_slots; i++) {
        r = codec_request_slot(ask, m->slots[i], &slots[i]);
    }
    if (r == 0) {
        r = codec_request_distinct(ask, slots, m->n_slots);
    }
    if (r) {
        return r;
    }
    ask->command->new_slots = slots;
    ask->command->new_slots_count = m->n_slots;
    ask->command->validate_only = m->validate_only;
    return codec_ask_request_id(ask, m->request_id);
}
