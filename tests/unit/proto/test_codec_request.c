/* SPDX-License-Identifier: MIT */
/* What a client may say, field by field, and what each wrong word is answered. */
#include "fairslot/v1/services.pb-c.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "tests/unit/proto/codec_kit.h"

#define CREATE_HOLD KIT_SERVICE("ReservationService/CreateHold")
#define CONFIRM     KIT_SERVICE("ReservationService/ConfirmHold")
#define LIST_SLOTS  KIT_SERVICE("CatalogService/ListSlots")
#define SLOT        "pools/p-1/slots/s20261201t0900-c3"
#define HOLD        "pools/p-1/holds/h00000000deadbeef-7"

static const ProtobufCServiceDescriptor *const services[] = {
    &fairslot__v1__catalog_service__descriptor,
    &fairslot__v1__reservation_service__descriptor,
    &fairslot__v1__ticket_service__descriptor,
    &fairslot__v1__event_service__descriptor,
    &fairslot__admin__v1__pool_admin_service__descriptor,
    &fairslot__admin__v1__cluster_service__descriptor,
    &google__longrunning__operations__descriptor,
    &fairslot__admin__v1__release_admin_service__descriptor,
    &fairslot__admin__v1__maintenance_service__descriptor,
};

static void test_every_rpc_has_a_row(void)
{
    int served = 0;
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        for (unsigned j = 0; j < services[i]->n_methods; j++) {
            char path[200];
            snprintf(path, sizeof path, "/%s/%s", services[i]->name, services[i]->methods[j].name);
            const struct codec_method *m = codec_method_find(span_of(path));
            OK(m != NULL);
            if (m) {
                EQS(m->path, path);
                /* These ask for other roles, or none: a trustee's signature speaks for itself. */
                bool is_open = strstr(path, "/ListRelease") || strstr(path, "/AddReleasePart") ||
                               strstr(path, "/ExportRelease") ||
                               strstr(path, "/GetCluster") || strstr(path, "/ListNodes") ||
                               strstr(path, "/ListShards");
                EQ(m->needs_role, strstr(path, ".admin.") != NULL && !is_open);
                served += m->kind != 0;
            }
        }
    }
    EQ(served, 53);
}

static void test_unknown_methods(void)
{
    static const char *bad[] = {"", "/", "/fairslot.v1.CatalogService/GetPoo",
        "/fairslot.v1.CatalogService/GetPoolX", "/fairslot.v1.CatalogService/", "/zzz"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        OK(codec_method_find(span_of(bad[i])) == NULL);
    }
    /* A NUL inside must not end the comparison. */
    char path[] = "/fairslot.v1.CatalogService/GetPool\0tail";
    OK(codec_method_find((struct span){(uint8_t *)path, sizeof path - 1}) == NULL);
    static const char later[] = "/fairslot.admin.v1.MaintenanceService/VerifyAuditLog";
    const struct codec_method *planned = codec_method_find(span_of(later));
    OK(planned && planned->kind == 0);
    EQ(kit_ask_bytes(later, (struct span){0}), REASON_METHOD_PLANNED);
}

static Fairslot__V1__CreateHoldRequest hold_request(void)
{
    Fairslot__V1__CreateHoldRequest m = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    m.parent = (char *)"pools/p-1";
    m.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT;
    m.slot = (char *)SLOT;
    m.request_id = (char *)KIT_UUID;
    return m;
}

static void test_create_hold(void)
{
    Fairslot__V1__CreateHoldRequest m = hold_request();
    EQ(kit_ask(CREATE_HOLD, &m), 0);
    EQ(kit_command.kind, COMMAND_CREATE_HOLD);
    OK(span_equal(kit_command.pool, span_of("p-1")));
    EQ(kit_command.slots_count, 1);
    EQ(kit_command.slots[0].start_us, 1796115600 * SECOND_US);
    OK(span_equal(kit_command.slots[0].slug, span_of("c3")));
    EQ(kit_command.request_id.bytes[0], 0x01);
    EQ(kit_command.request_id.bytes[15], 0x57);
}

static void test_create_hold_refused(void)
{
    Fairslot__V1__CreateHoldRequest m = hold_request();
    static const char *parents[] = {"", "pools/", "pools/-", "pools/P", "pools/a/b", "pool/a",
                                    "pools/-a", "pools/a-", "pools/a b"};
    for (size_t i = 0; i < sizeof parents / sizeof parents[0]; i++) {
        m.parent = (char *)parents[i];
        REFUSED(CREATE_HOLD, &m, "parent");
    }
    char longest[80] = "pools/";
    memset(longest + 6, 'a', 64);
    m = hold_request();
    m.parent = longest;
    REFUSED(CREATE_HOLD, &m, "parent");
    static const char *slots[] = {"", "s20261201t0900-c3", "pools/p-1/slots/", "pools/p-1/slots/x",
                                  "pools/p-2/slots/s20261201t0900-c3",
                                  "pools/p-1/holds/s20261201t0900-c3",
                                  "pools/p-1/slots/s20261201t0900-c3/x"};
    m = hold_request();
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        m.slot = (char *)slots[i];
        REFUSED(CREATE_HOLD, &m, "slot");
    }
    m = hold_request();
    m.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT__NOT_SET;
    REFUSED(CREATE_HOLD, &m, "want");
    Fairslot__V1__SlotSelector selector = FAIRSLOT__V1__SLOT_SELECTOR__INIT;
    m.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SELECTOR;
    m.selector = &selector;
    REFUSED(CREATE_HOLD, &m, "selector.start_time");
    m = hold_request();
    m.ticket = (char *)"pools/p-1/releases/r/tickets/t";
    REFUSED(CREATE_HOLD, &m, "ticket");
}

static void test_request_id(void)
{
    Fairslot__V1__CreateHoldRequest m = hold_request();
    static const char *bad[] = {"", "1", "01890a5d-ac96-774b-bcce-b302099a805",
        "01890a5d-ac96-774b-bcce-b302099a80570", "01890a5dac96-774b-bcce-b302099a8057-",
        "01890a5d-ac96-774b-bcce-b302099a805g", "{1890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce b302099a8057"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m.request_id = (char *)bad[i];
        REFUSED(CREATE_HOLD, &m, "request_id");
    }
    m.request_id = (char *)"01890A5D-AC96-774B-BCCE-B302099A8057";
    EQ(kit_ask(CREATE_HOLD, &m), 0);
    uint64_t hash = kit_command.body_hash;
    m.request_id = (char *)"00000000-0000-0000-0000-000000000000";
    EQ(kit_ask(CREATE_HOLD, &m), 0);
    OK(kit_command.body_hash == hash); /* the request id is no part of the body */
    m.slot = (char *)"pools/p-1/slots/s20261201t0900-c4";
    EQ(kit_ask(CREATE_HOLD, &m), 0);
    OK(kit_command.body_hash != hash);
}

static void test_encoding_does_not_matter(void)
{
    Fairslot__V1__CreateHoldRequest m = hold_request();
    EQ(kit_ask(CREATE_HOLD, &m), 0);
    uint64_t hash = kit_command.body_hash;
    /* The same message with an unknown field, and with a parent said twice: last one counts. */
    struct span whole = kit_pack(&m);
    static uint8_t twice[512];
    struct scribe w = scribe_of(twice, sizeof twice);
    scribe_bytes(&w, "\x0a\x07pools/x", 9);
    scribe_bytes(&w, whole.ptr, whole.len);
    scribe_bytes(&w, "\xfa\x01\x03xyz", 6);
    EQ(kit_ask_bytes(CREATE_HOLD, (struct span){twice, scribe_len(&w)}), 0);
    OK(kit_command.body_hash == hash);
}

static void test_confirm_and_names(void)
{
    Fairslot__V1__ConfirmHoldRequest m = FAIRSLOT__V1__CONFIRM_HOLD_REQUEST__INIT;
    m.name = (char *)HOLD;
    m.etag = (char *)"\"v3\"";
    m.request_id = (char *)KIT_UUID;
    EQ(kit_ask(CONFIRM, &m), 0);
    EQ(kit_command.owner, 0xdeadbeef);
    EQ(kit_command.number, 7);
    OK(span_equal(kit_command.etag, span_of("\"v3\"")));
    static const char *bad[] = {"", "pools/p-1/holds/", "pools/p-1/holds/x",
        "pools/p-1/reservations/h00000000deadbeef-7", "pools/P/holds/h00000000deadbeef-7", "/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m.name = (char *)bad[i];
        REFUSED(CONFIRM, &m, "name");
    }
    m.name = (char *)HOLD;
    m.etag = (char *)"123456789012345678901234567890123";
    REFUSED(CONFIRM, &m, "etag");
    m.etag = (char *)"";
    m.request_id = (char *)"";
    REFUSED(CONFIRM, &m, "request_id");

    Fairslot__V1__DropHoldRequest drop = FAIRSLOT__V1__DROP_HOLD_REQUEST__INIT;
    drop.name = (char *)HOLD;
    REFUSED(KIT_SERVICE("ReservationService/DropHold"), &drop, "request_id");
    Fairslot__V1__CancelReservationRequest cancel = FAIRSLOT__V1__CANCEL_RESERVATION_REQUEST__INIT;
    cancel.name = (char *)HOLD;
    cancel.request_id = (char *)KIT_UUID;
    REFUSED(KIT_SERVICE("ReservationService/CancelReservation"), &cancel, "name");
    cancel.name = (char *)"pools/p-1/reservations/r00000000deadbeef-7";
    EQ(kit_ask(KIT_SERVICE("ReservationService/CancelReservation"), &cancel), 0);
    Fairslot__V1__GetHoldRequest get = FAIRSLOT__V1__GET_HOLD_REQUEST__INIT;
    REFUSED(KIT_SERVICE("ReservationService/GetHold"), &get, "name");
    Fairslot__V1__GetReservationRequest got = FAIRSLOT__V1__GET_RESERVATION_REQUEST__INIT;
    REFUSED(KIT_SERVICE("ReservationService/GetReservation"), &got, "name");
    Fairslot__V1__GetPoolRequest pool = FAIRSLOT__V1__GET_POOL_REQUEST__INIT;
    REFUSED(KIT_SERVICE("CatalogService/GetPool"), &pool, "name");
}

static void test_pages(void)
{
    char token[PAGE_TOKEN_MAX + 2];
    Fairslot__V1__ListReservationsRequest m = FAIRSLOT__V1__LIST_RESERVATIONS_REQUEST__INIT;
    const char *path = KIT_SERVICE("ReservationService/ListReservations");
    m.parent = (char *)"pools/-";
    EQ(kit_ask(path, &m), 0);
    EQ(kit_command.page_size, PAGE_SIZE);
    OK(span_equal(kit_command.pool, span_of("-")));
    m.page_size = INT32_MAX;
    EQ(kit_ask(path, &m), 0);
    EQ(kit_command.page_size, PAGE_SIZE_MAX);
    m.page_size = -1;
    REFUSED(path, &m, "page_size");
    m.page_size = 1;
    memset(token, 'a', sizeof token);
    token[PAGE_TOKEN_MAX] = 0;
    m.page_token = token;
    EQ(kit_ask(path, &m), 0);
    token[PAGE_TOKEN_MAX] = 'a';
    token[PAGE_TOKEN_MAX + 1] = 0;
    EQ(kit_ask(path, &m), REASON_PAGE_TOKEN_INVALID);
    m.page_token = (char *)"";
    m.parent = (char *)"";
    REFUSED(path, &m, "parent");
    Fairslot__V1__ListPoolsRequest pools = FAIRSLOT__V1__LIST_POOLS_REQUEST__INIT;
    EQ(kit_ask(KIT_SERVICE("CatalogService/ListPools"), &pools), 0);
    pools.page_size = INT32_MIN;
    REFUSED(KIT_SERVICE("CatalogService/ListPools"), &pools, "page_size");
}

static void test_list_slots(void)
{
    Fairslot__V1__ListSlotsRequest m = FAIRSLOT__V1__LIST_SLOTS_REQUEST__INIT;
    Google__Protobuf__Timestamp from = GOOGLE__PROTOBUF__TIMESTAMP__INIT, to = from;
    m.parent = (char *)"pools/-";
    REFUSED(LIST_SLOTS, &m, "parent");
    m.parent = (char *)"pools/a";
    EQ(kit_ask(LIST_SLOTS, &m), 0);
    EQ(kit_command.from_us, 0);
    EQ(kit_command.to_us, INT64_MAX);
    m.start_time = &from;
    m.end_time = &to;
    from.seconds = 5;
    to.seconds = 4;
    REFUSED(LIST_SLOTS, &m, "end_time");
    to.seconds = 5;
    from.nanos = 1000;
    REFUSED(LIST_SLOTS, &m, "end_time");
    from.nanos = -1;
    REFUSED(LIST_SLOTS, &m, "start_time");
    from.nanos = 0;
    EQ(kit_ask(LIST_SLOTS, &m), 0);
    EQ(kit_command.from_us, 5 * SECOND_US);
    from.seconds = -1;
    REFUSED(LIST_SLOTS, &m, "start_time");
    from.seconds = INT64_MAX;
    REFUSED(LIST_SLOTS, &m, "start_time");
    from.seconds = 0;
    to.seconds = 253402300800;
    REFUSED(LIST_SLOTS, &m, "end_time");
    to.seconds = 253402300799;
    to.nanos = 999999999;
    EQ(kit_ask(LIST_SLOTS, &m), 0);
}

static void test_malformed(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\xff", 1},                         /* half a tag */
        {"\x0a\x05pool", 6},                 /* longer than the message */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* length near 2^64 */
        {"\x0b\x0c", 2},                     /* a group */
        {"\x08\x01", 2},                     /* parent as a varint */
        {"\x02\x01\x61", 3},                 /* field number 0 */
        {"\x0a\x02\xc3\x28", 4},             /* broken UTF-8 */
        {"\x0a\x02\xc0\x80", 4},             /* overlong NUL */
        {"\x0a\x03\xed\xa0\x80", 5},         /* a surrogate */
        {"\x0a\x04\xf5\x80\x80\x80", 6},     /* above U+10FFFF */
        {"\x0a\x04\xf4\x90\x80\x80", 6},     /* just above U+10FFFF */
        {"\x0a\x03\xe0\x80\x80", 5},         /* overlong, three bytes */
        {"\x0a\x01\xe2", 3},                 /* cut in the middle */
        {"\x0a\x09pools/a\0b", 11},          /* a NUL, which C would end at */
        {"\x1a\x03\x0a\x05xx", 5},           /* a broken message inside */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11}, /* an endless varint */
        {"\x09\x01\x02", 3},                 /* a short fixed64 */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct span bytes = {(const uint8_t *)bad[i].bytes, bad[i].len};
        int r = kit_ask_bytes(CREATE_HOLD, bytes);
        if (r != REASON_MESSAGE_MALFORMED) {
            printf("# case %zu\n", i);
        }
        EQ(r, REASON_MESSAGE_MALFORMED);
    }
    EQ(kit_ask_bytes(CREATE_HOLD, (struct span){0}), REASON_FIELD_INVALID); /* empty is a message */
}

/* Each prefix of a good message, and each single flipped byte: a verdict, never a crash. */
static void test_damage_is_a_verdict(void)
{
    Fairslot__V1__CreateHoldRequest m = hold_request();
    struct span whole = kit_pack(&m);
    static uint8_t copy[512];
    for (size_t n = 0; n < whole.len; n++) {
        memcpy(copy, whole.ptr, n);
        OK(kit_ask_bytes(CREATE_HOLD, (struct span){copy, n}) > 0);
    }
    for (size_t at = 0; at < whole.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, whole.ptr, whole.len);
            copy[at] ^= (uint8_t)(1 << bit);
            OK(kit_ask_bytes(CREATE_HOLD, (struct span){copy, whole.len}) >= 0);
        }
    }
}

int main(void)
{
    arena_init(&kit_arena, CALL_ARENA_MAX);
    TAP_RUN(test_every_rpc_has_a_row);
    TAP_RUN(test_unknown_methods);
    TAP_RUN(test_create_hold);
    TAP_RUN(test_create_hold_refused);
    TAP_RUN(test_request_id);
    TAP_RUN(test_encoding_does_not_matter);
    TAP_RUN(test_confirm_and_names);
    TAP_RUN(test_pages);
    TAP_RUN(test_list_slots);
    TAP_RUN(test_malformed);
    TAP_RUN(test_damage_is_a_verdict);
    return kit_done();
}
