/* SPDX-License-Identifier: MIT */
/* Methods by what people type, and request ids that are added to packed requests. */
#include "base/bytes.h"
#include "ctl/method.h"
#include "ctl/value.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec_json.h"
#include "tests/lib/tap.h"

static char path[METHOD_PATH_MAX];

static void test_full_and_short_names(void)
{
    static const char *words[] = {"/fairslot.v1.CatalogService/ListPools",
                                  "fairslot.v1.CatalogService/ListPools",
                                  "CatalogService/ListPools", "ListPools"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        path[0] = '\0';
        EQ(method_find(words[i], path), 0);
        EQS(path, "/fairslot.v1.CatalogService/ListPools");
    }
}

static void test_unknown_and_ambiguous(void)
{
    static const char *none[] = {"", "/", "Pools", "service/ListPools", "/ListPools", "ListPool",
                                 "CatalogService", "CatalogService/"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        EQ(method_find(none[i], path), METHOD_E_UNKNOWN);
    }
    EQ(method_find("ServerReflectionInfo", path), METHOD_E_SEVERAL);
    EQ(method_find("v1.ServerReflection/ServerReflectionInfo", path), 0);
}

static void test_request_ids(void)
{
    uint8_t packed[256], out[320];
    Fairslot__V1__ConfirmHoldRequest m = FAIRSLOT__V1__CONFIRM_HOLD_REQUEST__INIT;
    m.name = (char *)"pools/a/holds/b";
    struct span request = {packed, protobuf_c_message_pack(&m.base, packed)};
    size_t len = method_add_request_id("/fairslot.v1.ReservationService/ConfirmHold", request, out);
    EQ(len, request.len + 38);
    Fairslot__V1__ConfirmHoldRequest *back =
        fairslot__v1__confirm_hold_request__unpack(NULL, len, out);
    OK(back && value_uuid_valid(back->request_id));
    if (back) {
        EQS(back->name, m.name);
        m.request_id = back->request_id;
        request.len = protobuf_c_message_pack(&m.base, packed);
        len = method_add_request_id("/fairslot.v1.ReservationService/ConfirmHold", request, out);
        EQ(len, request.len);
        EQ(memcmp(out, packed, len), 0);
        fairslot__v1__confirm_hold_request__free_unpacked(back, NULL);
    }
    request.len = 0;
    EQ(method_add_request_id("/fairslot.v1.CatalogService/ListPools", request, out), 0);
}

/* A later method may have its request_id anywhere. */
static void test_every_request_id(void)
{
    struct arena arena;
    const char *name;
    size_t count = 0;
    arena_init(&arena, 1024 * 1024);
    for (size_t i = 0; (name = codec_json_method_path(i, &arena)) != NULL; i++) {
        struct codec_json_method method;
        uint8_t out[64] = "";
        OK(codec_json_method_find(span_of(name), &method));
        size_t len = method_add_request_id(name, (struct span){out, 0}, out);
        bool wants = protobuf_c_message_descriptor_get_field_by_name(method.request, "request_id");
        EQ(len > 0, wants);
        ProtobufCMessage *m = protobuf_c_message_unpack(method.request, NULL, len, out);
        OK(m && m->n_unknown_fields == 0);
        protobuf_c_message_free_unpacked(m, NULL);
        count += wants;
    }
    arena_fini(&arena);
    OK(count > 10);
}

int main(void)
{
    TAP_RUN(test_full_and_short_names);
    TAP_RUN(test_unknown_and_ambiguous);
    TAP_RUN(test_request_ids);
    TAP_RUN(test_every_request_id);
    return tap_done();
}
