/* SPDX-License-Identifier: MIT */
/* A done verdict -> the public message that the client gets.
 * Pure: the same verdict gives the same bytes, which is what makes a repeated request's answer
 * equal to the first one byte for byte.  Owns nothing; -ENOMEM over the arena's cap.
 * Output-only values that the words do not carry (names, etags, display codes) are made here.
 * Slots, holds and reservations are written directly (codec_direct.h), field by field from the last
 * to the first, because every mutation pays for one; the rest is rare and goes through protobuf-c.
 * tests/unit/proto/test_codec_direct.c holds the bytes against protobuf-c's. */
#include <stdio.h>

#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "google/longrunning/operations.pb-c.h"
#include "proto/codec_direct.h"

#define DISPLAY_CODE_LEN 6

/* Enough for everything but the pool's id and the desk in it. */
#define SLOT_BYTES \
    (2 * CODEC_OUT_FRAME + CODEC_OUT_NAME + 2 * CODEC_OUT_NUMBER + 2 * CODEC_OUT_TIME)
#define HOLD_BYTES (2 * CODEC_OUT_NAME + 2 * CODEC_OUT_NUMBER + CODEC_OUT_TIME + CODEC_OUT_ETAG)
#define RESERVATION_BYTES                                                                    \
    (CODEC_OUT_FRAME + CODEC_OUT_NAME + 3 * CODEC_OUT_NUMBER + 2 * CODEC_OUT_TIME +          \
     CODEC_OUT_ETAG + CODEC_OUT_FRAME + DISPLAY_CODE_LEN)

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
static void codec_answer_code(struct codec_out *o, unsigned field, uint64_t owner, uint64_t number)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    char code[DISPLAY_CODE_LEN];
    uint64_t x = codec_answer_mix(owner ^ codec_answer_mix(number));
    for (int i = 0; i < DISPLAY_CODE_LEN; i++) {
        code[i] = alphabet[x >> 59];
        x <<= 5;
    }
    codec_out_bytes(o, field, (struct span){(uint8_t *)code, sizeof code});
}

static void codec_answer_etag(struct codec_out *o, unsigned field, uint64_t version)
{
    char etag[ETAG_MAX];
    size_t n = codec_etag(version, etag);
    codec_out_bytes(o, field, (struct span){(uint8_t *)etag, n});
}

/* As codec_timestamp(): there even with nothing in it. */
static void codec_answer_time(struct codec_out *o, unsigned field, int64_t us)
{
    const uint8_t *end = o->at;
    int64_t seconds = us / SECOND_US - (us % SECOND_US < 0);
    codec_out_i64(o, 2, (us - seconds * SECOND_US) * 1000);
    codec_out_i64(o, 1, seconds);
    codec_out_close(o, field, end);
}

/* As codec_duration(). */
static void codec_answer_duration(struct codec_out *o, unsigned field, int64_t us)
{
    const uint8_t *end = o->at;
    codec_out_i64(o, 2, us % SECOND_US * 1000);
    codec_out_i64(o, 1, us / SECOND_US);
    codec_out_close(o, field, end);
}

/* "pools/{pool}{part}{id}", to be closed. */
static void codec_answer_name(struct codec_out *o, struct span pool, const char *part,
                              struct span id)
{
    codec_out_raw(o, id.ptr, id.len);
    codec_out_raw(o, part, strlen(part));
    codec_out_raw(o, pool.ptr, pool.len);
    codec_out_raw(o, "pools/", strlen("pools/"));
}

/* The name of a hold ('h') or a reservation ('r'), to be closed. */
static void codec_answer_owned(struct codec_out *o, struct span pool, char letter, uint64_t owner,
                               uint64_t number)
{
    char id[CODEC_ID_BYTES];
    size_t n = codec_owned_id(letter, owner, number, id);
    codec_answer_name(o, pool, letter == 'h' ? "/holds/" : "/reservations/",
                      (struct span){(uint8_t *)id, n});
}

static void codec_answer_slot(struct codec_out *o, struct span pool, const struct slot_view *v)
{
    char id[CODEC_ID_BYTES];
    size_t n = codec_slot_id(&v->key, id);
    codec_out_u64(o, 6, v->version);
    codec_out_bytes(o, 5, v->desk);
    codec_answer_duration(o, 4, v->duration_us);
    codec_answer_time(o, 3, v->key.start_us);
    codec_out_i64(o, 2, v->state);
    const uint8_t *end = o->at;
    codec_answer_name(o, pool, "/slots/", (struct span){(uint8_t *)id, n});
    codec_out_close(o, 1, end);
}

/* A repeated field. */
static void codec_answer_slots(struct codec_out *o, unsigned field, struct span pool,
                               const struct slot_view *views, size_t count)
{
    while (count-- > 0) {
        const uint8_t *end = o->at;
        codec_answer_slot(o, pool, &views[count]);
        codec_out_close(o, field, end);
    }
}

static size_t codec_answer_slots_max(struct span pool, const struct slot_view *views, size_t count)
{
    size_t max = count * (SLOT_BYTES + pool.len);
    for (size_t i = 0; i < count; i++) {
        max += views[i].desk.len;
    }
    return max;
}

static void codec_answer_hold(struct codec_out *o, const struct hold_view *v)
{
    codec_answer_etag(o, 15, v->version);
    codec_out_u64(o, 14, v->log_index);
    const uint8_t *end = o->at;
    if (v->state == HOLD_CONFIRMED) {
        codec_answer_owned(o, v->pool, 'r', v->owner, v->number);
        codec_out_close(o, 5, end);
    }
    codec_answer_time(o, 4, v->expire_us);
    codec_answer_slots(o, 3, v->pool, v->slots, v->slots_count);
    codec_out_i64(o, 2, v->state);
    end = o->at;
    codec_answer_owned(o, v->pool, 'h', v->owner, v->number);
    codec_out_close(o, 1, end);
}

static void codec_answer_reservation(struct codec_out *o, const struct reservation_view *v)
{
    codec_answer_etag(o, 15, v->version);
    codec_out_u64(o, 14, v->log_index);
    if (v->reconfirm_us != 0) {
        codec_answer_time(o, 7, v->reconfirm_us);
    }
    codec_out_i64(o, 6, v->changes_left);
    codec_answer_code(o, 5, v->owner, v->number);
    codec_answer_time(o, 4, v->create_us);
    codec_answer_slots(o, 3, v->pool, v->slots, v->slots_count);
    codec_out_i64(o, 2, v->state);
    const uint8_t *end = o->at;
    codec_answer_owned(o, v->pool, 'r', v->owner, v->number);
    codec_out_close(o, 1, end);
}

static size_t codec_answer_reservation_max(const struct reservation_view *v)
{
    return RESERVATION_BYTES + v->pool.len +
           codec_answer_slots_max(v->pool, v->slots, v->slots_count);
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
    struct codec_out o;
    size_t max = codec_answer_slots_max(v->pool, v->slots, v->slots_count) + CODEC_OUT_FRAME +
                 v->next_page_token.len + CODEC_OUT_TIME + CODEC_OUT_NUMBER;
    int r = codec_out_init(&o, arena, max);
    if (r) {
        return err_trace(r);
    }
    codec_out_i64(&o, 4, (int64_t)v->as_of_index);
    codec_answer_time(&o, 3, v->as_of_us);
    codec_out_bytes(&o, 2, v->next_page_token);
    codec_answer_slots(&o, 1, v->pool, v->slots, v->slots_count);
    *ret_message = codec_out_span(&o);
    return 0;
}

static int codec_answer_reservations(const struct verdict *v, struct arena *arena,
                                     struct span *ret_message)
{
    struct codec_out o;
    size_t max = CODEC_OUT_FRAME + v->next_page_token.len;
    for (size_t i = 0; i < v->reservations_count; i++) {
        max += codec_answer_reservation_max(&v->reservations[i]);
    }
    int r = codec_out_init(&o, arena, max);
    if (r) {
        return err_trace(r);
    }
    codec_out_bytes(&o, 2, v->next_page_token);
    for (size_t i = v->reservations_count; i-- > 0;) {
        const uint8_t *end = o.at;
        codec_answer_reservation(&o, &v->reservations[i]);
        codec_out_close(&o, 1, end);
    }
    *ret_message = codec_out_span(&o);
    return 0;
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
    const struct hold_view *h = &v->holds[0];
    struct codec_out o;
    int r = codec_out_init(&o, arena,
                           HOLD_BYTES + 2 * h->pool.len +
                               codec_answer_slots_max(h->pool, h->slots, h->slots_count));
    if (r) {
        return err_trace(r);
    }
    codec_answer_hold(&o, h);
    *ret_message = codec_out_span(&o);
    return 0;
}

static int codec_answer_one_reservation(const struct verdict *v, struct arena *arena,
                                        struct span *ret_message)
{
    struct codec_out o;
    int r = codec_out_init(&o, arena, codec_answer_reservation_max(&v->reservations[0]));
    if (r) {
        return err_trace(r);
    }
    codec_answer_reservation(&o, &v->reservations[0]);
    *ret_message = codec_out_span(&o);
    return 0;
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
