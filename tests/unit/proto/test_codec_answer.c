/* SPDX-License-Identifier: MIT */
/* Answers and refusals, read back with protobuf-c as a client reads them. */
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "tests/unit/proto/codec_kit.h"

static struct arena arena;

static const struct slot_view two_slots[2] = {
    {{1796115600 * SECOND_US, {(const uint8_t *)"c3", 2}}, 900 * SECOND_US,
     {(const uint8_t *)"C 3", 3}, SLOT_HELD, 2},
    {{0, {(const uint8_t *)"1", 1}}, DAY_US, {NULL, 0}, SLOT_FREE, 1},
};

static void *answer_of(const struct verdict *v, const ProtobufCMessageDescriptor *descriptor)
{
    struct span bytes = {0};
    arena_reset(&arena);
    EQ(codec_answer(v, &arena, &bytes), 0);
    return protobuf_c_message_unpack(descriptor, NULL, bytes.len, bytes.ptr);
}

static void test_hold(void)
{
    struct hold_view view = {.pool = span_of("p-1"), .owner = 0xdeadbeef, .number = 4096,
                             .state = HOLD_LIVE, .slots = two_slots, .slots_count = 2,
                             .expire_us = 1500000, .version = 3, .log_index = 9};
    struct verdict v = {.result = RESULT_HOLD, .holds = &view};
    Fairslot__V1__Hold *m = answer_of(&v, &fairslot__v1__hold__descriptor);
    EQS(m->name, "pools/p-1/holds/h00000000deadbeef-1000");
    EQ(m->state, FAIRSLOT__V1__HOLD__STATE__STATE_LIVE);
    EQS(m->reservation, "");
    EQS(m->etag, "\"v3\"");
    EQ(m->log_index, 9);
    EQ(m->expire_time->seconds, 1);
    EQ(m->expire_time->nanos, 500000000);
    EQ(m->n_slots, 2);
    EQS(m->slots[0]->name, "pools/p-1/slots/s20261201t0900-c3");
    EQS(m->slots[0]->desk, "C 3");
    EQ(m->slots[0]->state, FAIRSLOT__V1__SLOT__STATE__STATE_HELD);
    EQ(m->slots[0]->start_time->seconds, 1796115600);
    EQ(m->slots[0]->duration->seconds, 900);
    EQ(m->slots[0]->version, 2);
    EQS(m->slots[1]->name, "pools/p-1/slots/s19700101t0000-1");
    protobuf_c_message_free_unpacked(&m->base, NULL);
    view.state = HOLD_CONFIRMED;
    m = answer_of(&v, &fairslot__v1__hold__descriptor);
    EQS(m->reservation, "pools/p-1/reservations/r00000000deadbeef-1000");
    protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void test_reservation(void)
{
    struct reservation_view view = {.pool = span_of("p"), .owner = 1, .number = 4097,
                                    .state = RESERVATION_CANCELLED, .slots = two_slots,
                                    .slots_count = 1, .create_us = -1, .changes_left = 2,
                                    .version = 4, .log_index = 12};
    struct verdict v = {.result = RESULT_RESERVATION, .reservations = &view};
    Fairslot__V1__Reservation *m = answer_of(&v, &fairslot__v1__reservation__descriptor);
    EQS(m->name, "pools/p/reservations/r0000000000000001-1001");
    EQ(m->state, FAIRSLOT__V1__RESERVATION__STATE__STATE_CANCELLED);
    EQ(m->create_time->seconds, -1);
    EQ(m->create_time->nanos, 999999000);
    EQ(m->changes_left, 2);
    EQ(strlen(m->display_code), 6);
    OK(strpbrk(m->display_code, "ILOU") == NULL);
    char first[8];
    strcpy(first, m->display_code);
    protobuf_c_message_free_unpacked(&m->base, NULL);
    view.number++;
    m = answer_of(&v, &fairslot__v1__reservation__descriptor);
    OK(strcmp(first, m->display_code) != 0);
    protobuf_c_message_free_unpacked(&m->base, NULL);
    view.number--;
    view.owner++; /* the same place in the log of another installation */
    m = answer_of(&v, &fairslot__v1__reservation__descriptor);
    OK(strcmp(first, m->display_code) != 0);
    protobuf_c_message_free_unpacked(&m->base, NULL);
}

/* 30 bits: of 2,000 codes of neighbours hardly two are one. */
static void test_display_codes(void)
{
    static char codes[2000][8];
    size_t same = 0;
    for (size_t i = 0; i < 2000; i++) {
        struct reservation_view view = {.pool = span_of("p"), .owner = 7 + i % 2,
                                        .number = (1 + i / 2) << 12, .slots = two_slots,
                                        .slots_count = 1};
        struct verdict v = {.result = RESULT_RESERVATION, .reservations = &view};
        Fairslot__V1__Reservation *m = answer_of(&v, &fairslot__v1__reservation__descriptor);
        strcpy(codes[i], m->display_code);
        protobuf_c_message_free_unpacked(&m->base, NULL);
        for (size_t j = 0; j < i; j++) {
            same += strcmp(codes[i], codes[j]) == 0;
        }
    }
    OK(same <= 1);
}

static void test_lists(void)
{
    struct verdict v = {.result = RESULT_SLOTS, .pool = span_of("p"), .slots = two_slots,
                        .slots_count = 2, .next_page_token = span_of("t"), .as_of_us = SECOND_US};
    Fairslot__V1__ListSlotsResponse *s =
        answer_of(&v, &fairslot__v1__list_slots_response__descriptor);
    EQ(s->n_slots, 2);
    EQS(s->next_page_token, "t");
    EQ(s->as_of_time->seconds, 1);
    protobuf_c_message_free_unpacked(&s->base, NULL);

    struct pool_view pool = {.id = span_of("p"), .display_name = span_of("P"),
                             .service_class = span_of("c"), .time_zone = span_of("UTC"),
                             .min_assurance = ASSURANCE_SUBSTANTIAL, .hold_ttl_us = 1500000,
                             .max_live = 2, .scarce = true, .version = 1};
    v = (struct verdict){.result = RESULT_POOLS, .pools = &pool, .pools_count = 1};
    Fairslot__V1__ListPoolsResponse *l =
        answer_of(&v, &fairslot__v1__list_pools_response__descriptor);
    EQ(l->n_pools, 1);
    EQS(l->pools[0]->name, "pools/p");
    EQS(l->pools[0]->etag, "\"v1\"");
    EQ(l->pools[0]->hold_ttl->nanos, 500000000);
    EQ(l->pools[0]->min_assurance, 2);
    OK(l->pools[0]->scarce);
    protobuf_c_message_free_unpacked(&l->base, NULL);
    v.result = RESULT_POOL;
    Fairslot__V1__Pool *p = answer_of(&v, &fairslot__v1__pool__descriptor);
    EQS(p->display_name, "P");
    EQ(p->max_live_per_identity, 2);
    protobuf_c_message_free_unpacked(&p->base, NULL);

    v = (struct verdict){.result = RESULT_RESERVATIONS};
    Fairslot__V1__ListReservationsResponse *r =
        answer_of(&v, &fairslot__v1__list_reservations_response__descriptor);
    EQ(r->n_reservations, 0);
    protobuf_c_message_free_unpacked(&r->base, NULL);

    v = (struct verdict){.result = RESULT_SLOTS_CHANGED, .changed_count = 7, .log_index = 8};
    Fairslot__Admin__V1__BatchCreateSlotsResponse *c =
        answer_of(&v, &fairslot__admin__v1__batch_create_slots_response__descriptor);
    EQ(c->created_count, 7);
    EQ(c->log_index, 8);
    protobuf_c_message_free_unpacked(&c->base, NULL);
    /* The same bytes are the answers of three other methods. */
    Fairslot__Admin__V1__BlockSlotsResponse *b =
        answer_of(&v, &fairslot__admin__v1__block_slots_response__descriptor);
    OK(b->changed_count == 7 && b->log_index == 8 && b->base.n_unknown_fields == 0);
    protobuf_c_message_free_unpacked(&b->base, NULL);
    Fairslot__Admin__V1__RestockPoolResponse *k =
        answer_of(&v, &fairslot__admin__v1__restock_pool_response__descriptor);
    OK(k->restocked_count == 7 && k->log_index == 8 && k->base.n_unknown_fields == 0);
    protobuf_c_message_free_unpacked(&k->base, NULL);
}

static void test_answer_over_the_cap(void)
{
    static struct slot_view many[1000];
    struct span bytes;
    for (int i = 0; i < 1000; i++) {
        many[i] = two_slots[0];
    }
    struct verdict v = {.result = RESULT_SLOTS, .pool = span_of("p"), .slots = many,
                        .slots_count = 1000};
    for (size_t cap = 16; cap < 60000; cap = cap * 5 / 4) {
        struct arena tiny;
        arena_init(&tiny, cap);
        OK(codec_answer(&v, &tiny, &bytes) < 0);
        arena_fini(&tiny);
    }
    arena_reset(&arena);
    EQ(codec_answer(&v, &arena, &bytes), 0);
    OK(bytes.len < ANSWER_MAX);
    printf("# 1,000 slots: %zu bytes, %zu of arena\n", bytes.len, arena.used_bytes);
}

/* -- refusals ---------------------------------------------------------------------------------- */

static Google__Rpc__Status *status_of(const struct codec_refusal *refusal)
{
    struct span bytes = {0};
    arena_reset(&arena);
    EQ(codec_status(refusal, &arena, &bytes), 0);
    return google__rpc__status__unpack(NULL, bytes.len, bytes.ptr);
}

static void *detail_of(const Google__Rpc__Status *s, const char *name,
                       const ProtobufCMessageDescriptor *descriptor)
{
    char url[100];
    snprintf(url, sizeof url, "type.googleapis.com/google.rpc.%s", name);
    for (size_t i = 0; i < s->n_details; i++) {
        if (strcmp(s->details[i]->type_url, url) == 0) {
            return protobuf_c_message_unpack(descriptor, NULL, s->details[i]->value.len,
                                             s->details[i]->value.data);
        }
    }
    return NULL;
}

static void test_status_of_every_reason(void)
{
    for (int reason = REASON_OK + 1; reason < REASON_COUNT; reason++) {
        struct codec_refusal refusal = {.reason = (enum reason)reason};
        Google__Rpc__Status *s = status_of(&refusal);
        EQ(s->code, reason_status(refusal.reason));
        EQS(s->message, reason_text(refusal.reason));
        Google__Rpc__ErrorInfo *info =
            detail_of(s, "ErrorInfo", &google__rpc__error_info__descriptor);
        OK(info != NULL);
        EQS(info->reason, reason_name(refusal.reason));
        EQS(info->domain, "fairslot");
        Google__Rpc__RetryInfo *retry =
            detail_of(s, "RetryInfo", &google__rpc__retry_info__descriptor);
        EQ(retry != NULL, reason_retry_ms(refusal.reason) > 0);
        Google__Rpc__QuotaFailure *quota =
            detail_of(s, "QuotaFailure", &google__rpc__quota_failure__descriptor);
        EQ(quota != NULL, reason == REASON_IDENTITY_QUOTA);
        protobuf_c_message_free_unpacked(&info->base, NULL);
        protobuf_c_message_free_unpacked(retry ? &retry->base : NULL, NULL);
        protobuf_c_message_free_unpacked(quota ? &quota->base : NULL, NULL);
        protobuf_c_message_free_unpacked(&s->base, NULL);
    }
}

/* What is meant, for every reason that means one: and for no other. */
static void test_status_resources(void)
{
    static const struct {
        enum reason reason;
        const char *type, *name;
    } all[] = {{REASON_POOL_UNKNOWN, "fairslot.v1.Pool", ""},
               {REASON_POOL_EXISTS, "fairslot.v1.Pool", ""},
               {REASON_SLOT_UNKNOWN, "fairslot.v1.Slot", ""},
               {REASON_SLOT_EXISTS, "fairslot.v1.Slot", "s0"},
               {REASON_HOLD_UNKNOWN, "fairslot.v1.Hold", ""},
               {REASON_RESERVATION_UNKNOWN, "fairslot.v1.Reservation", ""},
               {REASON_RELEASE_UNKNOWN, "fairslot.v1.Release", ""},
               {REASON_RELEASE_EXISTS, "fairslot.v1.Release", ""},
               {REASON_TICKET_UNKNOWN, "fairslot.v1.Ticket", ""},
               {REASON_CLUSTER_UNKNOWN, "fairslot.admin.v1.Cluster", ""},
               {REASON_SHARD_UNKNOWN, "fairslot.admin.v1.Shard", ""},
               {REASON_NODE_UNKNOWN, "fairslot.admin.v1.Node", ""},
               {REASON_NODE_EXISTS, "fairslot.admin.v1.Node", ""}};
    size_t found = 0, failures = 0;
    struct verdict_meta meta = {"slot", span_of("s0")};
    for (int reason = REASON_OK + 1; reason < REASON_COUNT; reason++) {
        struct codec_refusal refusal = {.reason = (enum reason)reason, .meta = &meta,
                                        .meta_count = reason == REASON_SLOT_EXISTS};
        Google__Rpc__Status *s = status_of(&refusal);
        Google__Rpc__ResourceInfo *info =
            detail_of(s, "ResourceInfo", &google__rpc__resource_info__descriptor);
        Google__Rpc__PreconditionFailure *failure =
            detail_of(s, "PreconditionFailure", &google__rpc__precondition_failure__descriptor);
        for (size_t i = 0; info && i < sizeof all / sizeof all[0]; i++) {
            if ((int)all[i].reason == reason) {
                EQS(info->resource_type, all[i].type);
                EQS(info->resource_name, all[i].name);
                EQS(info->description, reason_text(refusal.reason));
                found++;
            }
        }
        EQ(failure != NULL, s->code == 9);
        if (failure) {
            EQ(failure->n_violations, 1);
            EQS(failure->violations[0]->type, reason_name(refusal.reason));
            EQS(failure->violations[0]->description, reason_text(refusal.reason));
            failures++;
        }
        protobuf_c_message_free_unpacked(info ? &info->base : NULL, NULL);
        protobuf_c_message_free_unpacked(failure ? &failure->base : NULL, NULL);
        protobuf_c_message_free_unpacked(&s->base, NULL);
    }
    EQ(found, sizeof all / sizeof all[0]);
    EQ(failures, 23);
}

static void test_status_details(void)
{
    struct verdict_meta meta[2] = {{"next_free", span_of("s1,s2")}, {"slot", span_of("s0")}};
    struct codec_refusal refusal = {.reason = REASON_SLOT_TAKEN, .retry_ms = 2500, .meta = meta,
                                    .meta_count = 2};
    Google__Rpc__Status *s = status_of(&refusal);
    EQ(s->code, 10);
    EQ(s->n_details, 2);
    Google__Rpc__ErrorInfo *info = detail_of(s, "ErrorInfo", &google__rpc__error_info__descriptor);
    EQ(info->n_metadata, 2);
    EQS(info->metadata[0]->key, "next_free");
    EQS(info->metadata[0]->value, "s1,s2");
    Google__Rpc__RetryInfo *retry = detail_of(s, "RetryInfo", &google__rpc__retry_info__descriptor);
    EQ(retry->retry_delay->seconds, 2);
    EQ(retry->retry_delay->nanos, 500000000);
    protobuf_c_message_free_unpacked(&info->base, NULL);
    protobuf_c_message_free_unpacked(&retry->base, NULL);
    protobuf_c_message_free_unpacked(&s->base, NULL);

    refusal = (struct codec_refusal){.reason = REASON_FIELD_INVALID, .field = "pool_id",
                                     .detail = "1 to 63"};
    s = status_of(&refusal);
    EQ(s->code, 3);
    EQS(s->message, "pool_id: 1 to 63");
    Google__Rpc__BadRequest *bad =
        detail_of(s, "BadRequest", &google__rpc__bad_request__descriptor);
    EQ(bad->n_field_violations, 1);
    EQS(bad->field_violations[0]->field, "pool_id");
    EQS(bad->field_violations[0]->description, "1 to 63");
    protobuf_c_message_free_unpacked(&bad->base, NULL);
    protobuf_c_message_free_unpacked(&s->base, NULL);

    struct arena tiny;
    struct span bytes;
    arena_init(&tiny, 32);
    OK(codec_status(&refusal, &tiny, &bytes) < 0);
    arena_fini(&tiny);
}

/* What the ledger refuses by a field's name has a rule that says what to write there. */
static void test_rules_of_the_ledgers_fields(void)
{
    EQS(codec_field_rule("release.entry_close_time"), "in the future");
    EQS(codec_field_rule("identity"), "32 hex digits (0-9, a-f)");
    OK(codec_field_rule("pool.name") == NULL && codec_field_rule("") == NULL);
}

int main(void)
{
    arena_init(&arena, CALL_ARENA_MAX);
    TAP_RUN(test_hold);
    TAP_RUN(test_reservation);
    TAP_RUN(test_display_codes);
    TAP_RUN(test_lists);
    TAP_RUN(test_answer_over_the_cap);
    TAP_RUN(test_status_of_every_reason);
    TAP_RUN(test_status_resources);
    TAP_RUN(test_status_details);
    TAP_RUN(test_rules_of_the_ledgers_fields);
    arena_fini(&arena);
    return kit_done();
}
