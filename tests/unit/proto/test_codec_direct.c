/* SPDX-License-Identifier: MIT */
/* What is written without protobuf-c is what protobuf-c writes, byte for byte: over every
 * combination of nothing, one and the largest values, and over random ones. */
#include "base/check.h"
#include "base/prng.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec_parts.h"
#include "tests/unit/proto/codec_kit.h"

#define ROUNDS 20000

static struct arena arena, model; /* what is tested; what protobuf-c needs */
static struct prng p;
static uint8_t texts[80];

/* -- values ------------------------------------------------------------------------------------ */

static uint64_t any_u64(void)
{
    static const uint64_t edges[] = {0, 1, 127, 128, UINT32_MAX, INT64_MAX, UINT64_MAX};
    return prng_below(&p, 3) ? prng_next(&p) >> prng_below(&p, 64)
                             : edges[prng_below(&p, ARRAY_COUNT(edges))];
}

static int64_t any_i64(void)
{
    return (int64_t)any_u64();
}

static struct span any_text(size_t max)
{
    size_t len = prng_below(&p, 3) ? prng_below(&p, max + 1) : prng_below(&p, 2) * max;
    return (struct span){len ? texts + prng_below(&p, sizeof texts - len) : NULL, len};
}

static struct slot_view any_slot(void)
{
    int64_t second = (int64_t)prng_below(&p, (uint64_t)CODEC_SECOND_MAX + 1);
    second = prng_below(&p, 4) ? second / 60 * 60 : second;
    return (struct slot_view){{(prng_below(&p, 9) ? second : 0) * SECOND_US,
                               any_text(SLOT_DESK_MAX)},
                              any_i64(), any_text(64), (enum slot_state)prng_below(&p, 6),
                              any_u64()};
}

/* -- protobuf-c's way -------------------------------------------------------------------------- */

static struct span model_pack(const ProtobufCMessage *m)
{
    struct span out = {0};
    EQ(codec_pack(m, &model, &out), 0);
    return out;
}

static char *model_etag(uint64_t version)
{
    char *out = arena_alloc(&model, ETAG_MAX);
    codec_etag(version, out);
    return out;
}

static Fairslot__V1__Slot **model_slots(struct span pool, const struct slot_view *v, size_t count)
{
    Fairslot__V1__Slot **all = arena_alloc(&model, count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        Fairslot__V1__Slot *m = all[i] = arena_alloc(&model, sizeof *m);
        fairslot__v1__slot__init(m);
        m->name = codec_name_slot(&model, pool, &v[i].key);
        m->state = (Fairslot__V1__Slot__State)v[i].state;
        m->start_time = codec_timestamp(&model, v[i].key.start_us);
        m->duration = codec_duration(&model, v[i].duration_us);
        m->desk = codec_text(&model, v[i].desk);
        m->version = v[i].version;
    }
    return all;
}

static struct span model_hold(const struct hold_view *v)
{
    Fairslot__V1__Hold m = FAIRSLOT__V1__HOLD__INIT;
    m.name = codec_name_owned(&model, v->pool, 'h', v->owner, v->number);
    m.state = (Fairslot__V1__Hold__State)v->state;
    m.n_slots = v->slots_count;
    m.slots = model_slots(v->pool, v->slots, v->slots_count);
    m.expire_time = codec_timestamp(&model, v->expire_us);
    m.log_index = v->log_index;
    m.etag = model_etag(v->version);
    if (v->state == HOLD_CONFIRMED) {
        m.reservation = codec_name_owned(&model, v->pool, 'r', v->owner, v->number);
    }
    return model_pack(&m.base);
}

/* The code is the direct way's own: taken from what it wrote. */
static Fairslot__V1__Reservation *model_reservation(const struct reservation_view *v, char *code)
{
    Fairslot__V1__Reservation *m = arena_alloc(&model, sizeof *m);
    fairslot__v1__reservation__init(m);
    m->name = codec_name_owned(&model, v->pool, 'r', v->owner, v->number);
    m->state = (Fairslot__V1__Reservation__State)v->state;
    m->n_slots = v->slots_count;
    m->slots = model_slots(v->pool, v->slots, v->slots_count);
    m->create_time = codec_timestamp(&model, v->create_us);
    m->display_code = code;
    m->changes_left = v->changes_left;
    m->reconfirm_by_time = v->reconfirm_us ? codec_timestamp(&model, v->reconfirm_us) : NULL;
    m->log_index = v->log_index;
    m->etag = model_etag(v->version);
    return m;
}

/* -- answers ----------------------------------------------------------------------------------- */

static struct slot_view slots[SLOTS_PER_HOLD];

static size_t any_slots(void)
{
    for (size_t i = 0; i < SLOTS_PER_HOLD; i++) {
        slots[i] = any_slot();
    }
    return prng_below(&p, SLOTS_PER_HOLD + 1);
}

static struct span answer_of(const struct verdict *v)
{
    struct span out = {0};
    arena_reset(&arena);
    arena_reset(&model);
    EQ(codec_answer(v, &arena, &out), 0);
    return out;
}

static void test_holds(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct hold_view h = {.pool = any_text(POOL_ID_MAX), .owner = any_u64(),
                              .number = any_u64(), .state = (enum hold_state)prng_below(&p, 5),
                              .slots = slots, .slots_count = any_slots(), .expire_us = any_i64(),
                              .version = any_u64(), .log_index = any_u64()};
        struct verdict v = {.result = RESULT_HOLD, .holds = &h};
        struct span is = answer_of(&v);
        OK(span_equal(is, model_hold(&h)));
    }
}

static struct reservation_view any_reservation(void)
{
    return (struct reservation_view){
        .pool = any_text(POOL_ID_MAX), .owner = any_u64(), .number = any_u64(),
        .state = (enum reservation_state)prng_below(&p, 7), .slots = slots,
        .slots_count = any_slots(), .create_us = any_i64(), .changes_left = (int32_t)any_i64(),
        .reconfirm_us = any_i64(), .version = any_u64(), .log_index = any_u64()};
}

static void test_reservations(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct reservation_view r = any_reservation();
        struct verdict v = {.result = RESULT_RESERVATION, .reservations = &r};
        struct span is = answer_of(&v);
        Fairslot__V1__Reservation *m =
            fairslot__v1__reservation__unpack(NULL, is.len, is.ptr);
        EQ(strlen(m->display_code), 6);
        OK(span_equal(is, model_pack(&model_reservation(&r, m->display_code)->base)));
        fairslot__v1__reservation__free_unpacked(m, NULL);
    }
}

static void test_pages(void)
{
    struct reservation_view r[3];
    for (int i = 0; i < ROUNDS / 10; i++) {
        struct verdict v = {.result = RESULT_SLOTS, .pool = any_text(POOL_ID_MAX), .slots = slots,
                            .slots_count = any_slots(), .next_page_token = any_text(70),
                            .as_of_us = any_i64(), .as_of_index = any_u64()};
        struct span is = answer_of(&v);
        Fairslot__V1__ListSlotsResponse s = FAIRSLOT__V1__LIST_SLOTS_RESPONSE__INIT;
        s.n_slots = v.slots_count;
        s.slots = model_slots(v.pool, slots, v.slots_count);
        s.next_page_token = codec_text(&model, v.next_page_token);
        s.as_of_time = codec_timestamp(&model, v.as_of_us);
        s.as_of_index = (int64_t)v.as_of_index;
        OK(span_equal(is, model_pack(&s.base)));

        size_t count = prng_below(&p, 4);
        for (size_t k = 0; k < count; k++) {
            r[k] = any_reservation();
        }
        v = (struct verdict){.result = RESULT_RESERVATIONS, .reservations = r,
                             .reservations_count = count, .next_page_token = any_text(70)};
        is = answer_of(&v);
        Fairslot__V1__ListReservationsResponse *got =
            fairslot__v1__list_reservations_response__unpack(NULL, is.len, is.ptr);
        Fairslot__V1__ListReservationsResponse l = FAIRSLOT__V1__LIST_RESERVATIONS_RESPONSE__INIT;
        Fairslot__V1__Reservation *all[3];
        EQ(got->n_reservations, count);
        for (size_t k = 0; k < count; k++) {
            all[k] = model_reservation(&r[k], got->reservations[k]->display_code);
        }
        l.n_reservations = count;
        l.reservations = all;
        l.next_page_token = codec_text(&model, v.next_page_token);
        OK(span_equal(is, model_pack(&l.base)));
        fairslot__v1__list_reservations_response__free_unpacked(got, NULL);
    }
}

int main(void)
{
    memset(texts, 'a', sizeof texts);
    prng_init(&p, 26);
    arena_init(&arena, CALL_ARENA_MAX);
    arena_init(&model, CALL_ARENA_MAX);
    TAP_RUN(test_holds);
    TAP_RUN(test_reservations);
    TAP_RUN(test_pages);
    arena_fini(&arena);
    arena_fini(&model);
    return kit_done();
}
