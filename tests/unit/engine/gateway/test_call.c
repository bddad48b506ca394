/* SPDX-License-Identifier: MIT */
/* May a call go exactly where the drawing in call.c says; and do the two services that the gateway
 * answers by itself answer as their protocols say? */
#include "gateway/call.h"

#include "base/bytes.h"
#include "gateway/conn.h"
#include "gateway/health.h"
#include "gateway/pb.h"
#include "gateway/queue.h"
#include "gateway/reflect.h"
#include "gateway/symbols.h"
#include "tests/lib/tap.h"

extern const unsigned char api_descriptor_set[];
extern const unsigned long api_descriptor_set_len;

static struct symbols symbols;

static void test_moves(void)
{
    static const char *const allowed[CALL_STATES] = {
        /* to:          GONE OPEN AUTH AWAY STREAM ANSWERED */
        [CALL_GONE] = "010000",   [CALL_OPEN] = "101111",   [CALL_AUTH] = "110001",
        [CALL_AWAY] = "100001",   [CALL_STREAM] = "100001", [CALL_ANSWERED] = "100000",
    };
    for (int from = 0; from < CALL_STATES; from++) {
        for (int to = 0; to < CALL_STATES; to++) {
            EQ(call_may_move(from, to), allowed[from][to] == '1');
        }
    }
}

static void test_classes(void)
{
    EQ(queue_class(COMMAND_CONFIRM_HOLD), FAIRQ_CONTROL);
    EQ(queue_class(COMMAND_DROP_HOLD), FAIRQ_CONTROL);
    EQ(queue_class(COMMAND_CANCEL_RESERVATION), FAIRQ_CONTROL);
    EQ(queue_class(COMMAND_CREATE_HOLD), FAIRQ_RESERVE);
    EQ(queue_class(COMMAND_CREATE_POOL), FAIRQ_RESERVE);
    EQ(queue_class(COMMAND_CREATE_SLOTS), FAIRQ_RESERVE);
    EQ(queue_class(COMMAND_GET_HOLD), FAIRQ_READ);
    EQ(queue_class(COMMAND_GET_RESERVATION), FAIRQ_READ);
    EQ(queue_class(COMMAND_LIST_RESERVATIONS), FAIRQ_READ);
    EQ(queue_class(COMMAND_GET_TICKET), FAIRQ_READ);
    EQ(queue_class(COMMAND_GET_PROOF), FAIRQ_READ);
    EQ(queue_class(COMMAND_LIST_EVENTS), FAIRQ_READ);
    EQ(queue_class(COMMAND_WATCH_EVENTS), FAIRQ_READ);
    EQ(queue_class(COMMAND_CREATE_TICKET), FAIRQ_RESERVE);
    EQ(queue_class(COMMAND_LIST_SLOTS), FAIRQ_SEARCH);
    EQ(queue_class(COMMAND_LIST_POOLS), FAIRQ_SEARCH);
    EQ(queue_class(COMMAND_GET_POOL), FAIRQ_SEARCH);
}

/* Who is sure to be somebody has a place of his own; who is not shares one with his address, but
 * behind a frontend that speaks for many; who says nothing shares one with all who say nothing. */
static void test_places(void)
{
    struct conn conn = {.group.value = 77}, frontend = {.group.value = 0};
    struct call call = {.conn = &conn, .assurance = ASSURANCE_SUBSTANTIAL,
                        .identity.bytes = {1, 2, 3}};
    struct fairq_place place = queue_place(&call);
    EQ(place.is_grouped, false);
    EQ(memcmp(&place.identity, &call.identity, sizeof place.identity), 0);
    call.assurance = ASSURANCE_LOW;
    place = queue_place(&call);
    EQ(place.is_grouped, true);
    EQ(memcmp(place.group.bytes, &conn.group.value, sizeof conn.group.value), 0);
    call.conn = &frontend;
    EQ(queue_place(&call).is_grouped, false);
    call = (struct call){.conn = &conn, .assurance = ASSURANCE_LOW, .is_anonymous = true};
    EQ(queue_place(&call).is_grouped, false);
}

static struct span ask_for(const char *service)
{
    static uint8_t buf[100];
    struct scribe w = scribe_of(buf, sizeof buf);
    pb_put_bytes(&w, 1, span_of(service));
    return (struct span){buf, scribe_len(&w)};
}

static void test_health(void)
{
    struct health h;
    health_init(&h, &symbols);
    EQ(health_ask(&h, (struct span){0}), HEALTH_SERVING);
    EQ(health_ask(&h, ask_for("")), HEALTH_SERVING);
    EQ(health_ask(&h, ask_for("fairslot.v1.ReservationService")), HEALTH_SERVING);
    EQ(health_ask(&h, ask_for("fairslot.admin.v1.PoolAdminService")), HEALTH_SERVING);
    EQ(health_ask(&h, ask_for("fairslot.v1.Reservation")), HEALTH_SERVICE_UNKNOWN);
    EQ(health_ask(&h, span_of("\x10\x01")), HEALTH_SERVING); /* an unknown field */
    EQ(health_ask(&h, span_of("\x0a")), HEALTH_UNKNOWN);
    EQ(health_ask(&h, span_of("\x0a\x05" "abc")), HEALTH_UNKNOWN);
    EQ(health_ask(&h, span_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")), HEALTH_UNKNOWN);
    EQ(health_ask(&h, span_of("\x0f")), HEALTH_UNKNOWN);
    health_set(&h, HEALTH_NOT_SERVING);
    EQ(health_ask(&h, ask_for("")), HEALTH_NOT_SERVING);
    EQ(health_ask(&h, ask_for("fairslot.v1.CatalogService")), HEALTH_NOT_SERVING);
    EQ(health_ask(&h, ask_for("none")), HEALTH_SERVICE_UNKNOWN);
}

static struct span field(struct span message, uint32_t number)
{
    struct reader r = reader_of(message.ptr, message.len);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == number && f.wire == PB_BYTES) {
            return f.bytes;
        }
    }
    return (struct span){0};
}

static struct span ask_reflection(struct arena *arena, uint32_t number, const char *value)
{
    static uint8_t buf[200];
    struct scribe w = scribe_of(buf, sizeof buf);
    pb_put_bytes(&w, number, span_of(value));
    struct span request = {buf, scribe_len(&w)}, response = {0};
    arena_reset(arena);
    EQ(reflect_ask(&symbols, request, arena, &response), 0);
    OK(span_equal(field(response, 2), request)); /* the echo */
    return response;
}

static uint64_t error_code(struct span response)
{
    struct span error = field(response, 7);
    struct reader r = reader_of(error.ptr, error.len);
    struct pb_field f = {0};
    return pb_next(&r, &f) && f.number == 1 ? f.value : 0;
}

static void test_reflection(void)
{
    struct arena arena;
    struct span response;
    arena_init(&arena, 1 << 20);
    response = ask_reflection(&arena, 3, "fairslot/v1/resources.proto");
    const struct symbols_file *file =
        symbols_file_by_name(&symbols, span_of("fairslot/v1/resources.proto"));
    OK(file && span_equal(field(field(response, 4), 1), file->bytes));
    response = ask_reflection(&arena, 4, "fairslot.v1.Hold");
    OK(file && span_equal(field(field(response, 4), 1), file->bytes));
    EQ(error_code(ask_reflection(&arena, 3, "nothing.proto")), 5);
    EQ(error_code(ask_reflection(&arena, 4, "fairslot.v1.Nothing")), 5);
    EQ(error_code(ask_reflection(&arena, 5, "")), 5);
    EQ(error_code(ask_reflection(&arena, 6, "fairslot.v1.Hold")), 12);
    EQ(error_code(ask_reflection(&arena, 1, "host")), 3);
    struct span list = field(ask_reflection(&arena, 7, "*"), 6);
    size_t count = 0;
    struct reader r = reader_of(list.ptr, list.len);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        OK(symbols_service_index(&symbols, field(f.bytes, 1)) >= 0);
        count++;
    }
    EQ(count, symbols.services_count);
    EQ(reflect_ask(&symbols, span_of("\x3a\x09"), &arena, &response), REFLECT_E_MALFORMED);
    arena_fini(&arena);
}

/* A response that does not fit its arena is an error, not a crash. */
static void test_reflection_without_memory(void)
{
    struct arena arena;
    struct span response;
    arena_init(&arena, 16);
    OK(reflect_ask(&symbols, span_of("\x3a\x01*"), &arena, &response) < 0);
    arena_fini(&arena);
}

int main(void)
{
    EQ(symbols_init(&symbols, (struct span){api_descriptor_set, api_descriptor_set_len}), 0);
    TAP_RUN(test_moves);
    TAP_RUN(test_classes);
    TAP_RUN(test_places);
    TAP_RUN(test_health);
    TAP_RUN(test_reflection);
    TAP_RUN(test_reflection_without_memory);
    symbols_fini(&symbols);
    return tap_done();
}
