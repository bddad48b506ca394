/* SPDX-License-Identifier: MIT */
/* Operators' requests: pools with their defaults and bounds, slots in numbers, amplification. */
#include "fairslot/admin/v1/pools.pb-c.h"
#include "tests/unit/proto/codec_kit.h"

#define CREATE_POOL  KIT_ADMIN("CreatePool")
#define CREATE_SLOTS KIT_ADMIN("BatchCreateSlots")

static Fairslot__V1__Pool pool;
static Google__Protobuf__Duration ttl;
static Fairslot__Admin__V1__CreatePoolRequest request;

static void pool_request(void)
{
    fairslot__v1__pool__init(&pool);
    google__protobuf__duration__init(&ttl);
    fairslot__admin__v1__create_pool_request__init(&request);
    request.pool_id = (char *)"city-1";
    request.pool = &pool;
    request.request_id = (char *)KIT_UUID;
}

static void test_pool_defaults(void)
{
    pool_request();
    request.pool = NULL;
    EQ(kit_ask(CREATE_POOL, &request), 0);
    uint64_t hash = kit_command.body_hash;
    const struct pool_view *v = kit_command.new_pool;
    OK(span_equal(v->id, span_of("city-1")) && span_equal(kit_command.pool, v->id));
    OK(span_equal(v->service_class, v->id));
    OK(span_equal(v->time_zone, span_of("UTC")));
    EQ(v->hold_ttl_us, 600 * SECOND_US);
    EQ(v->max_live, 1);
    OK(!v->scarce);
    pool_request(); /* the defaults said aloud are the same body */
    pool.name = (char *)"pools/city-1";
    pool.service_class = (char *)"city-1";
    pool.time_zone = (char *)"UTC";
    pool.hold_ttl = &ttl;
    ttl.seconds = 600;
    pool.max_live_per_identity = 1;
    EQ(kit_ask(CREATE_POOL, &request), 0);
    OK(kit_command.body_hash == hash);
}

static void test_pool_ids(void)
{
    static const char *bad[] = {"", "-", "A", "a_b", "a-", "-a", "pools/a", "\xc3\xa4",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    pool_request();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        request.pool_id = (char *)bad[i];
        REFUSED(CREATE_POOL, &request, "pool_id");
    }
    request.pool_id = (char *)"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    EQ(kit_ask(CREATE_POOL, &request), 0);
    pool.name = (char *)"pools/other";
    REFUSED(CREATE_POOL, &request, "pool.name");
}

static void test_pool_bounds(void)
{
    static char text[POOL_TEXT_MAX + 2];
    memset(text, 'x', POOL_TEXT_MAX + 1);
    char **texts[] = {&pool.display_name, &pool.office, &pool.service};
    static const char *names[] = {"pool.display_name", "pool.office", "pool.service"};
    for (int i = 0; i < 3; i++) {
        pool_request();
        *texts[i] = text + 1;
        EQ(kit_ask(CREATE_POOL, &request), 0);
        *texts[i] = text;
        REFUSED(CREATE_POOL, &request, names[i]);
    }
    pool_request();
    pool.service_class = (char *)"a b";
    REFUSED(CREATE_POOL, &request, "pool.service_class");
    pool.service_class = text + POOL_TEXT_MAX - CLASS_MAX;
    REFUSED(CREATE_POOL, &request, "pool.service_class");
    pool.service_class = (char *)"Passport.new_2-x";
    EQ(kit_ask(CREATE_POOL, &request), 0);
    pool.time_zone = (char *)"Europe/Berlin; rm";
    REFUSED(CREATE_POOL, &request, "pool.time_zone");
    pool.time_zone = (char *)"America/Argentina/Buenos_Aires";
    EQ(kit_ask(CREATE_POOL, &request), 0);
    pool.min_assurance = (Fairslot__V1__Assurance)4;
    REFUSED(CREATE_POOL, &request, "pool.min_assurance");
    pool.min_assurance = (Fairslot__V1__Assurance)-1;
    REFUSED(CREATE_POOL, &request, "pool.min_assurance");
}

static void test_pool_numbers(void)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        bool ok;
    } ttls[] = {{0, 0, false},     {0, 999999999, false}, {1, 0, true},           {86400, 0, true},
                {86400, 1000, false}, {-1, 0, false},     {1, -1, false},
                {1, 1000000000, false}, {INT64_MAX, 0, false}, {INT64_MIN, 0, false}};
    pool_request();
    pool.hold_ttl = &ttl;
    for (size_t i = 0; i < sizeof ttls / sizeof ttls[0]; i++) {
        ttl.seconds = ttls[i].seconds;
        ttl.nanos = ttls[i].nanos;
        if (ttls[i].ok) {
            EQ(kit_ask(CREATE_POOL, &request), 0);
        } else {
            REFUSED(CREATE_POOL, &request, "pool.hold_ttl");
        }
    }
    static const int32_t bad[] = {-1, 17, INT32_MAX, INT32_MIN};
    pool_request();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pool.max_live_per_identity = bad[i];
        REFUSED(CREATE_POOL, &request, "pool.max_live_per_identity");
    }
    pool.max_live_per_identity = 16;
    EQ(kit_ask(CREATE_POOL, &request), 0);
}

/* -- slots ------------------------------------------------------------------------------------- */

#define MANY 4000

static Fairslot__V1__Slot slots[MANY];
static Fairslot__V1__Slot *slot_pointers[MANY];
static Google__Protobuf__Timestamp starts[MANY];
static Google__Protobuf__Duration durations[MANY];
static Fairslot__Admin__V1__BatchCreateSlotsRequest batch;

static void slots_request(size_t count)
{
    fairslot__admin__v1__batch_create_slots_request__init(&batch);
    for (size_t i = 0; i < count; i++) {
        fairslot__v1__slot__init(&slots[i]);
        google__protobuf__timestamp__init(&starts[i]);
        google__protobuf__duration__init(&durations[i]);
        starts[i].seconds = 1796115600 + 600 * (int64_t)i;
        durations[i].seconds = 600;
        slots[i].start_time = &starts[i];
        slots[i].duration = &durations[i];
        slot_pointers[i] = &slots[i];
    }
    batch.parent = (char *)"pools/a";
    batch.request_id = (char *)KIT_UUID;
    batch.n_slots = count;
    batch.slots = slot_pointers;
}

static void test_slots(void)
{
    slots_request(2);
    slots[0].desk = (char *)"Desk 7";
    slots[1].name = (char *)"pools/a/slots/s20261201t0910-x";
    EQ(kit_ask(CREATE_SLOTS, &batch), 0);
    EQ(kit_command.new_slots_count, 2);
    OK(span_equal(kit_command.new_slots[0].slug, span_of("desk-7")));
    OK(span_equal(kit_command.new_slots[0].desk, span_of("Desk 7")));
    EQ(kit_command.new_slots[1].start_us, 1796116200 * SECOND_US);
    EQ(kit_command.new_slots[1].duration_us, 600 * SECOND_US);
    slots[1].name = (char *)"pools/a/slots/s20261201t0911-x";
    REFUSED(CREATE_SLOTS, &batch, "slots.name");
    slots[1].name = (char *)"pools/b/slots/s20261201t0910-x";
    REFUSED(CREATE_SLOTS, &batch, "slots.name");
}

static void test_slots_refused(void)
{
    static char desk[80];
    slots_request(0);
    REFUSED(CREATE_SLOTS, &batch, "slots");
    slots_request(1);
    slots[0].start_time = NULL;
    REFUSED(CREATE_SLOTS, &batch, "slots.start_time");
    slots_request(1);
    starts[0].nanos = 1;
    REFUSED(CREATE_SLOTS, &batch, "slots.start_time");
    starts[0].nanos = 0;
    static const int64_t bad_starts[] = {-1, 253402300800, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 4; i++) {
        starts[0].seconds = bad_starts[i];
        REFUSED(CREATE_SLOTS, &batch, "slots.start_time");
    }
    slots_request(1);
    slots[0].duration = NULL;
    REFUSED(CREATE_SLOTS, &batch, "slots.duration");
    slots_request(1);
    static const int64_t bad_durations[] = {0, -1, 86401, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 5; i++) {
        durations[0].seconds = bad_durations[i];
        REFUSED(CREATE_SLOTS, &batch, "slots.duration");
    }
    durations[0].seconds = 1;
    durations[0].nanos = 1;
    REFUSED(CREATE_SLOTS, &batch, "slots.duration");
    slots_request(1);
    memset(desk, 'd', 65);
    slots[0].desk = desk;
    REFUSED(CREATE_SLOTS, &batch, "slots.desk");
    desk[64] = 0;
    EQ(kit_ask(CREATE_SLOTS, &batch), 0);
    slots_request(1);
    batch.parent = (char *)"pools/-";
    REFUSED(CREATE_SLOTS, &batch, "parent");
    slots_request(1);
    batch.request_id = (char *)"no";
    REFUSED(CREATE_SLOTS, &batch, "request_id");
}

/* Texts go to terminals and tables: no control characters in them. */
static void test_control_characters(void)
{
    static const char *const bad[] = {"a\nb", "\x1b[2J", "tab\t", "\x7f", "\x01"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        slots_request(1);
        slots[0].desk = (char *)bad[i];
        REFUSED(CREATE_SLOTS, &batch, "slots.desk");
        pool_request();
        pool.display_name = (char *)bad[i];
        REFUSED(CREATE_POOL, &request, "pool.display_name");
        pool_request();
        pool.office = (char *)bad[i];
        REFUSED(CREATE_POOL, &request, "pool.office");
        pool_request();
        pool.service = (char *)bad[i];
        REFUSED(CREATE_POOL, &request, "pool.service");
    }
    slots_request(1);
    slots[0].desk = (char *)" Z\xc3\xbcrich \xc2\xa7~";
    EQ(kit_ask(CREATE_SLOTS, &batch), 0);
}

static void test_slots_twice(void)
{
    slots_request(1000);
    EQ(kit_ask(CREATE_SLOTS, &batch), 0);
    starts[999].seconds = starts[3].seconds;
    REFUSED(CREATE_SLOTS, &batch, "slots");
    slots[999].desk = (char *)"Desk 2";
    EQ(kit_ask(CREATE_SLOTS, &batch), 0);
    slots[3].desk = (char *)"desk-2"; /* another spelling of the same slug */
    REFUSED(CREATE_SLOTS, &batch, "slots");
    slots[3].desk = (char *)"Desk #2";
    EQ(kit_ask(CREATE_SLOTS, &batch), 0);
}

/* As many ordinary slots as 64 KiB hold must fit into the cap on memory. */
static void test_slots_full_message(void)
{
    size_t count = MANY;
    slots_request(count);
    for (size_t i = 0; i < count; i++) {
        slots[i].desk = (char *)"Schalter 12";
    }
    while (protobuf_c_message_get_packed_size(&batch.base) > MESSAGE_MAX) {
        batch.n_slots = --count;
    }
    EQ(kit_ask(CREATE_SLOTS, &batch), 0);
    struct span packed;
    EQ(codec_command_pack(&kit_command, &kit_arena, &packed), 0);
    OK(packed.len < BATCH_BYTES_MAX / 4);
    printf("# %zu slots in one message, %zu bytes packed, %zu of arena\n", count, packed.len,
           kit_arena.used_bytes);
}

static void test_amplification(void)
{
    static uint8_t empty[MESSAGE_MAX];
    for (size_t i = 0; i < sizeof empty; i += 2) {
        empty[i] = 2 << 3 | 2; /* slots: an empty message */
    }
    EQ(kit_ask_bytes(CREATE_SLOTS, (struct span){empty, sizeof empty}), REASON_MESSAGE_TOO_LARGE);
    OK(kit_arena.used_bytes <= CALL_ARENA_MAX);
    /* The arena serves the next call. */
    slots_request(1);
    EQ(kit_ask(CREATE_SLOTS, &batch), 0);
}

int main(void)
{
    arena_init(&kit_arena, CALL_ARENA_MAX);
    TAP_RUN(test_pool_defaults);
    TAP_RUN(test_pool_ids);
    TAP_RUN(test_pool_bounds);
    TAP_RUN(test_pool_numbers);
    TAP_RUN(test_slots);
    TAP_RUN(test_slots_refused);
    TAP_RUN(test_control_characters);
    TAP_RUN(test_slots_twice);
    TAP_RUN(test_slots_full_message);
    TAP_RUN(test_amplification);
    return kit_done();
}
