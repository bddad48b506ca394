/* SPDX-License-Identifier: MIT */
/* A done verdict -> the public message that the client gets.
 * Pure: the same verdict gives the same bytes, which is what makes a repeated request's answer
 * equal to the first one byte for byte.  Owns nothing; -ENOMEM over the arena's cap.
 * Output-only values that the words do not carry (names, etags, display codes) are made here. */
#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "google/longrunning/operations.pb-c.h"
#include "proto/codec_parts.h"

#define DISPLAY_CODE_LEN 6

/* Every bit of x reaches every bit of the result (the finalizer of MurmurHash3). */
static uint64_t codec_answer_mix(uint64_t x)
{
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

/* Six characters without look-alikes (no I, L, O, U; Crockford's base 32), from the owner, which is
 * a hash of the person, and the number: read out at the counter beside the time of the appointment,
 * unique enough for one office day.  The number alone would give every installation the same codes
 * in the same order. */
static char *codec_answer_code(struct arena *arena, uint64_t owner, uint64_t number)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    char *out = arena_alloc(arena, DISPLAY_CODE_LEN + 1);
    if (out == NULL) {
        return NULL;
    }
    uint64_t x = codec_answer_mix(owner ^ codec_answer_mix(number));
    for (int i = 0; i < DISPLAY_CODE_LEN; i++) {
        out[i] = alphabet[x >> 59];
        x <<= 5;
    }
    out[DISPLAY_CODE_LEN] = 0;
    return out;
}

static char *codec_answer_etag(struct arena *arena, uint64_t version)
{
    char *out = arena_alloc(arena, ETAG_MAX);
    if (out) {
        codec_etag(version, out);
    }
    return out;
}

static bool codec_answer_slot(struct arena *arena, struct span pool, const struct slot_view *v,
                              Fairslot__V1__Slot *m)
{
    fairslot__v1__slot__init(m);
    m->name = codec_name_slot(arena, pool, &v->key);
    m->state = (Fairslot__V1__Slot__State)v->state;
    m->start_time = codec_timestamp(arena, v->key.start_us);
    m->duration = codec_duration(arena, v->duration_us);
    m->desk = codec_text(arena, v->desk);
    m->version = v->version;
    return m->name && m->start_time && m->duration && m->desk;
}

/* NULL over the cap, else an array of `count` pointers. */
static Fairslot__V1__Slot **codec_answer_slots(struct arena *arena, struct span pool,
                                               const struct slot_view *views, size_t count)
{
    Fairslot__V1__Slot **pointers = arena_alloc(arena, count * sizeof(void *));
    Fairslot__V1__Slot *slots = arena_alloc(arena, count * sizeof *slots);
    bool ok = pointers && slots;
    for (size_t i = 0; ok && i < count; i++) {
        ok = codec_answer_slot(arena, pool, &views[i], &slots[i]);
        pointers[i] = &slots[i];
    }
    return ok ? pointers : NULL;
}

static bool codec_answer_hold(struct arena *arena, const struct hold_view *v,
                              Fairslot__V1__Hold *m)
{
    fairslot__v1__hold__init(m);
    m->name = codec_name_owned(arena, v->pool, 'h', v->owner, v->number);
    m->state = (Fairslot__V1__Hold__State)v->state;
    m->n_slots = v->slots_count;
    m->slots = codec_answer_slots(arena, v->pool, v->slots, v->slots_count);
    m->expire_time = codec_timestamp(arena, v->expire_us);
    m->log_index = v->log_index;
    m->etag = codec_answer_etag(arena, v->version);
    if (v->state == HOLD_CONFIRMED) {
        m->reservation = codec_name_owned(arena, v->pool, 'r', v->owner, v->number);
    }
    return m->name && m->slots && m->expire_time && m->etag && m->reservation;
}

static bool codec_answer_reservation(struct arena *arena, const struct reservation_view *v,
                                     Fairslot__V1__Reservation *m)
{
    fairslot__v1__reservation__init(m);
    m->name = codec_name_owned(arena, v->pool, 'r', v->owner, v->number);
    m->state = (Fairslot__V1__Reservation__State)v->state;
    m->n_slots = v->slots_count;
    m->slots = codec_answer_slots(arena, v->pool, v->slots, v->slots_count);
    m->create_time = codec_timestamp(arena, v->create_us);
    m->display_code = codec_answer_code(arena, v->owner, v->number);
    m->changes_left = v->changes_left;
    if (v->reconfirm_us != 0) {
        m->reconfirm_by_time = codec_timestamp(arena, v->reconfirm_us);
        if (m->reconfirm_by_time == NULL) {
            return false;
        }
    }
    m->log_index = v->log_index;
    m->etag = codec_answer_etag(arena, v->version);
    return m->name && m->slots && m->create_time && m->display_code && m->etag;
}

static int codec_answer_pools(const struct verdict *v, struct arena *arena,
                              struct span *ret_message)
{
    Fairslot__V1__ListPoolsResponse m = FAIRSLOT__V1__LIST_POOLS_RESPONSE__INIT;
    m.n_pools = v->pools_count;
    m.pools = arena_alloc(arena, v->pools_count * sizeof(void *));
    m.next_page_token = codec_text(arena, v->next_page_token);
    m.as_of_time = codec_timestamp(arena, v->as_of_us);
    m.as_of_index = (int64_t)v->as_of_index;
    bool ok = m.pools && m.next_page_token && m.as_of_time;
    for (size_t i = 0; ok && i < v->pools_count; i++) {
        m.pools[i] = codec_pool_message(arena, &v->pools[i], true);
        ok = m.pools[i] != NULL;
    }
    return ok ? err_trace(codec_pack(&m.base, arena, ret_message)) : err_origin(-ENOMEM);
}

static int codec_answer_list_slots(const struct verdict *v, struct arena *arena,
                                   struct span *ret_message)
{
    Fairslot__V1__ListSlotsResponse m = FAIRSLOT__V1__LIST_SLOTS_RESPONSE__INIT;
    m.n_slots = v->slots_count;
    m.slots = codec_answer_slots(arena, v->pool, v->slots, v->slots_count);
    m.next_page_token = codec_text(arena, v->next_page_token);
    m.as_of_time = codec_timestamp(arena, v->as_of_us);
    m.as_of_index = (int64_t)v->as_of_index;
    bool ok = m.slots && m.next_page_token && m.as_of_time;
    return ok ? err_trace(codec_pack(&m.base, arena, ret_message)) : err_origin(-ENOMEM);
}

static int codec_answer_reservations(const struct verdict *v, struct arena *arena,
                                     struct span *ret_message)
{
    Fairslot__V1__ListReservationsResponse m = FAIRSLOT__V1__LIST_RESERVATIONS_RESPONSE__INIT;
    size_t count = v->reservations_count;
    Fairslot__V1__Reservation *items = arena_alloc(arena, count * sizeof *items);
    m.n_reservations = count;
    m.reservations = arena_alloc(arena, count * sizeof(void *));
    m.next_page_token = codec_text(arena, v->next_page_token);
    bool ok = items && m.reservations && m.next_page_token;
    for (size_t i = 0; ok && i < count; i++) {
        ok = codec_answer_reservation(arena, &v->reservations[i], &items[i]);
        m.reservations[i] = &items[i];
    }
    return ok ? err_trace(codec_pack(&m.base, arena, ret_message)) : err_origin(-ENOMEM);
}

static int codec_answer_pool(const struct verdict *v, struct arena *arena,
                             struct span *ret_message)
{
    Fairslot__V1__Pool *m = codec_pool_message(arena, &v->pools[0], true);
    if (m && v->as_of_index > 0) { /* of a replica without a leader */
        m->as_of_index = (int64_t)v->as_of_index;
        m->as_of_time = codec_timestamp(arena, v->as_of_us);
        m = m->as_of_time ? m : NULL;
    }
    return m ? err_trace(codec_pack(&m->base, arena, ret_message)) : err_origin(-ENOMEM);
}

static int codec_answer_one_hold(const struct verdict *v, struct arena *arena,
                                 struct span *ret_message)
{
    Fairslot__V1__Hold m;
    bool ok = codec_answer_hold(arena, &v->holds[0], &m);
    return ok ? err_trace(codec_pack(&m.base, arena, ret_message)) : err_origin(-ENOMEM);
}

static int codec_answer_one_reservation(const struct verdict *v, struct arena *arena,
                                        struct span *ret_message)
{
    Fairslot__V1__Reservation m;
    bool ok = codec_answer_reservation(arena, &v->reservations[0], &m);
    return ok ? err_trace(codec_pack(&m.base, arena, ret_message)) : err_origin(-ENOMEM);
}

/* BlockSlotsResponse and RestockPoolResponse have the same two fields under the same numbers, so
 * one packer serves all four methods; a unit test holds them against each other. */
static int codec_answer_changed(const struct verdict *v, struct arena *arena,
                                struct span *ret_message)
{
    Fairslot__Admin__V1__BatchCreateSlotsResponse m =
        FAIRSLOT__ADMIN__V1__BATCH_CREATE_SLOTS_RESPONSE__INIT;
    m.created_count = (int32_t)v->changed_count;
    m.log_index = v->log_index;
    return err_trace(codec_pack(&m.base, arena, ret_message));
}

/* Of what is done when it is answered. */
static int codec_answer_operation(const struct verdict *v, struct arena *arena,
                                  struct span *ret_message)
{
    Google__Longrunning__Operation m = GOOGLE__LONGRUNNING__OPERATION__INIT;
    char name[48];
    snprintf(name, sizeof name, "operations/%llu", (unsigned long long)v->log_index);
    m.name = name;
    m.done = true;
    return err_trace(codec_pack(&m.base, arena, ret_message));
}

int codec_answer(const struct verdict *verdict, struct arena *arena, struct span *ret_message)
{
    CHECK(verdict->reason == REASON_OK);
    switch (verdict->result) {
    case RESULT_NONE:
        *ret_message = (struct span){0}; /* google.protobuf.Empty */
        return 0;
    case RESULT_POOL:
        CHECK(verdict->pools_count == 1);
        return err_trace(codec_answer_pool(verdict, arena, ret_message));
    case RESULT_POOLS:
        return err_trace(codec_answer_pools(verdict, arena, ret_message));
    case RESULT_SLOTS:
        return err_trace(codec_answer_list_slots(verdict, arena, ret_message));
    case RESULT_SLOTS_CHANGED:
        return err_trace(codec_answer_changed(verdict, arena, ret_message));
    case RESULT_HOLD:
        return err_trace(codec_answer_one_hold(verdict, arena, ret_message));
    case RESULT_RESERVATION:
        return err_trace(codec_answer_one_reservation(verdict, arena, ret_message));
    case RESULT_RESERVATIONS:
        return err_trace(codec_answer_reservations(verdict, arena, ret_message));
    case RESULT_RELEASE:
        return err_trace(codec_answer_release(verdict, arena, ret_message));
    case RESULT_RELEASES:
        return err_trace(codec_answer_releases(verdict, arena, ret_message));
    case RESULT_TICKET:
        return err_trace(codec_answer_ticket(verdict, arena, ret_message));
    case RESULT_PROOF:
        return err_trace(codec_answer_proof(verdict, arena, ret_message));
    case RESULT_REPORT:
        return err_trace(codec_answer_report(verdict, arena, ret_message));
    case RESULT_OUTCOME:
        return err_trace(codec_answer_outcome(verdict, arena, ret_message));
    case RESULT_EXPORT:
        return err_trace(codec_answer_piece(verdict, arena, ret_message));
    case RESULT_EVENTS:
        return err_trace(codec_answer_events(verdict, arena, ret_message));
    case RESULT_OPERATION:
        return err_trace(codec_answer_operation(verdict, arena, ret_message));
    case RESULT_TICKETS:
        return err_trace(codec_answer_rows(verdict, arena, ret_message));
    case RESULT_CLUSTER:
    case RESULT_NODES:
    case RESULT_SHARDS:
    case RESULT_SHARD:
    case RESULT_NODE_CHANGE:
    case RESULT_NODE:
        return err_trace(codec_answer_cluster(verdict, arena, ret_message));
    }
    return err_origin(-EINVAL);
}
