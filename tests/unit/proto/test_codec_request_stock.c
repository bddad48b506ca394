/* SPDX-License-Identifier: MIT */
/* Selectors, moves, and operators' requests about a pool that exists: what comes through, and what
 * is refused with its field. */
#include "base/check.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "tests/unit/proto/codec_kit.h"

#define CREATE_HOLD KIT_SERVICE("ReservationService/CreateHold")
#define RESCHEDULE  KIT_SERVICE("ReservationService/RescheduleReservation")
#define RECONFIRM   KIT_SERVICE("ReservationService/ReconfirmReservation")
#define UPDATE_POOL KIT_ADMIN("UpdatePool")
#define BLOCK       KIT_ADMIN("BlockSlots")
#define RESTOCK     KIT_ADMIN("RestockPool")
#define RESERVATION "pools/p-1/reservations/r00000000000000ff-7b"

static Google__Protobuf__Timestamp at;
static Fairslot__V1__SlotSelector selector;

static void fresh_selector(void)
{
    google__protobuf__timestamp__init(&at);
    fairslot__v1__slot_selector__init(&selector);
    at.seconds = 1796115600;
    selector.start_time = &at;
}

static void test_selectors(void)
{
    Fairslot__V1__CreateHoldRequest m = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    m.parent = (char *)"pools/p-1";
    m.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SELECTOR;
    m.selector = &selector;
    m.request_id = (char *)KIT_UUID;
    fresh_selector();
    EQ(kit_ask(CREATE_HOLD, &m), 0);
    OK(kit_command.select_us == 1796115600 * SECOND_US && kit_command.slots_count == 0);
    EQ(kit_command.select_count, 1);
    selector.slot_count = 8;
    EQ(kit_ask(CREATE_HOLD, &m), 0);
    EQ(kit_command.select_count, 8);
    static const int32_t bad[] = {-1, 9, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        selector.slot_count = bad[i];
        REFUSED(CREATE_HOLD, &m, "selector.slot_count");
    }
    fresh_selector();
    at.nanos = 1;
    REFUSED(CREATE_HOLD, &m, "selector.start_time");
    at.nanos = 0;
    at.seconds = -1;
    REFUSED(CREATE_HOLD, &m, "selector.start_time");
    at.seconds = INT64_C(253402300800);
    REFUSED(CREATE_HOLD, &m, "selector.start_time");
    selector.start_time = NULL;
    REFUSED(CREATE_HOLD, &m, "selector.start_time");
}

static void test_moves(void)
{
    Fairslot__V1__RescheduleReservationRequest m =
        FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__INIT;
    fresh_selector();
    m.name = (char *)RESERVATION;
    m.etag = (char *)"\"v2\"";
    m.want_case = FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__WANT_SELECTOR;
    m.selector = &selector;
    m.request_id = (char *)KIT_UUID;
    EQ(kit_ask(RESCHEDULE, &m), 0);
    EQ(kit_command.select_count, 0); /* as many as it has */
    OK(kit_command.owner == 255 && kit_command.number == 123);
    m.want_case = FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__WANT_SLOT;
    m.slot = (char *)"pools/p-1/slots/s20261201t0900-c3";
    EQ(kit_ask(RESCHEDULE, &m), 0);
    EQ(kit_command.slots_count, 1);
    m.slot = (char *)"pools/p-2/slots/s20261201t0900-c3";
    REFUSED(RESCHEDULE, &m, "slot");
    m.want_case = FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__WANT__NOT_SET;
    REFUSED(RESCHEDULE, &m, "want");
    m.name = (char *)"pools/p-1/holds/h00000000000000ff-7b";
    REFUSED(RESCHEDULE, &m, "name");
    Fairslot__V1__ReconfirmReservationRequest r =
        FAIRSLOT__V1__RECONFIRM_RESERVATION_REQUEST__INIT;
    r.name = (char *)RESERVATION;
    REFUSED(RECONFIRM, &r, "request_id");
    r.request_id = (char *)KIT_UUID;
    EQ(kit_ask(RECONFIRM, &r), 0);
    EQ(kit_command.kind, COMMAND_RECONFIRM);
    r.etag = (char *)"\"v2222222222222222222222222222222222\"";
    REFUSED(RECONFIRM, &r, "etag");
}

static Fairslot__V1__Pool pool;
static Fairslot__Admin__V1__UpdatePoolRequest update;

static void fresh_update(void)
{
    fairslot__v1__pool__init(&pool);
    fairslot__admin__v1__update_pool_request__init(&update);
    pool.name = (char *)"pools/p-1";
    update.pool = &pool;
    update.request_id = (char *)KIT_UUID;
}

static void test_update_pool(void)
{
    static char *paths[3] = {(char *)"hold_ttl", (char *)"max_changes", (char *)"office"};
    Google__Protobuf__Duration span = GOOGLE__PROTOBUF__DURATION__INIT;
    fresh_update();
    update.update_paths = paths;
    update.n_update_paths = 3;
    pool.max_changes = -1;
    pool.max_slots_per_hold = 99; /* nobody looks */
    EQ(kit_ask(UPDATE_POOL, &update), 0);
    EQ(kit_command.pool_mask,
       POOL_FIELD_HOLD_TTL | POOL_FIELD_MAX_CHANGES | POOL_FIELD_OFFICE);
    EQ(kit_command.new_pool->max_changes, 0);
    EQ(kit_command.new_pool->hold_ttl_us, 600 * SECOND_US); /* its default */
    pool.max_changes = -2;
    REFUSED(UPDATE_POOL, &update, "pool.max_changes");
    pool.max_changes = 101;
    REFUSED(UPDATE_POOL, &update, "pool.max_changes");
    static const char *const never[] = {"name", "service_class", "etag", "", "pool.office", "*"};
    for (size_t i = 0; i < ARRAY_COUNT(never); i++) {
        paths[0] = (char *)never[i];
        REFUSED(UPDATE_POOL, &update, "update_paths");
    }
    fresh_update(); /* no path: what is set */
    REFUSED(UPDATE_POOL, &update, "update_paths");
    pool.scarce = true;
    pool.reconfirm_by = &span;
    span.seconds = 3600;
    EQ(kit_ask(UPDATE_POOL, &update), 0);
    EQ(kit_command.pool_mask, POOL_FIELD_SCARCE | POOL_FIELD_RECONFIRM_BY);
    span.nanos = 1000;
    REFUSED(UPDATE_POOL, &update, "pool.reconfirm_by");
    span.nanos = 0;
    span.seconds = 30 * 86400 + 1;
    REFUSED(UPDATE_POOL, &update, "pool.reconfirm_by");
    span.seconds = 3600;
    pool.reconfirm_open = &span;
    REFUSED(UPDATE_POOL, &update, "pool.reconfirm_by"); /* not less than it opens */
    pool.name = (char *)"p-1";
    REFUSED(UPDATE_POOL, &update, "pool.name");
    update.pool = NULL;
    REFUSED(UPDATE_POOL, &update, "pool");
}

static void test_block_slots(void)
{
    static char names[257][64];
    static char *slots[257];
    Fairslot__Admin__V1__BlockSlotsRequest m = FAIRSLOT__ADMIN__V1__BLOCK_SLOTS_REQUEST__INIT;
    for (int i = 0; i < 257; i++) { /* backwards */
        snprintf(names[i], sizeof names[i], "pools/p-1/slots/s20261201t%02d%02d-c3",
                 (256 - i) / 60, (256 - i) % 60);
        slots[i] = names[i];
    }
    m.parent = (char *)"pools/p-1";
    m.slots = slots;
    m.request_id = (char *)KIT_UUID;
    REFUSED(BLOCK, &m, "slots");
    m.n_slots = 257;
    REFUSED(BLOCK, &m, "slots");
    m.n_slots = 256;
    EQ(kit_ask(BLOCK, &m), 0);
    uint64_t hash = kit_command.body_hash;
    for (size_t i = 1; i < 256; i++) {
        OK(kit_command.slots[i - 1].start_us < kit_command.slots[i].start_us);
    }
    slots[0] = names[255]; /* another order is the same wish */
    slots[255] = names[0];
    EQ(kit_ask(BLOCK, &m), 0);
    OK(kit_command.body_hash == hash);
    slots[0] = names[1];
    REFUSED(BLOCK, &m, "slots"); /* twice */
    slots[0] = (char *)"pools/p-2/slots/s20261201t0900-c3";
    REFUSED(BLOCK, &m, "slots");
    slots[0] = names[255];
    m.reason = (char *)"tab\there";
    REFUSED(BLOCK, &m, "reason");
}

static void test_restock(void)
{
    static char text[202];
    Fairslot__Admin__V1__RestockPoolRequest m = FAIRSLOT__ADMIN__V1__RESTOCK_POOL_REQUEST__INIT;
    m.name = (char *)"pools/p-1";
    m.request_id = (char *)KIT_UUID;
    memset(text, 'x', 201);
    EQ(kit_ask(RESTOCK, &m), 0);
    m.reason = text;
    REFUSED(RESTOCK, &m, "reason");
    text[200] = 0;
    EQ(kit_ask(RESTOCK, &m), 0);
    EQ(kit_command.note.len, 200);
    m.name = (char *)"pools/-";
    REFUSED(RESTOCK, &m, "name");
}

int main(void)
{
    arena_init(&kit_arena, CALL_ARENA_MAX);
    TAP_RUN(test_selectors);
    TAP_RUN(test_moves);
    TAP_RUN(test_update_pool);
    TAP_RUN(test_block_slots);
    TAP_RUN(test_restock);
    return kit_done();
}
