/* SPDX-License-Identifier: MIT */
/* The JSON of whole calls: every method's messages can be said, errors as Connect has them, a small
 * arena, noise. */
#include "tests/unit/proto/json_kit.h"

/* Every type that a method speaks: depth, names and kinds of fields that the mapping knows. */
static void walk(const ProtobufCMessageDescriptor *type, bool is_request, size_t depth)
{
    OK(depth <= CODEC_JSON_DEPTH_MAX);
    OK(type->n_fields <= 64);
    bool is_any = strcmp(type->name, "google.protobuf.Any") == 0;
    OK(!is_any || !is_request);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        OK(strlen(field->name) < 64);
        switch (field->type) {
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_DOUBLE:
        case PROTOBUF_C_TYPE_BOOL:
        case PROTOBUF_C_TYPE_ENUM:
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
            break;
        case PROTOBUF_C_TYPE_MESSAGE:
            walk(field->descriptor, is_request, depth + 1);
            break;
        default:
            printf("# %s.%s\n", type->name, field->name);
            OK(false);
        }
    }
}

static void test_every_method(void)
{
    size_t count = 0;
    arena_reset(&kit_arena);
    for (const char *path; (path = codec_json_method_path(count, &kit_arena)) != NULL; count++) {
        struct codec_json_method method;
        OK(codec_json_method_find(span_of(path), &method));
        walk(method.request, true, 0);
        walk(method.answer, false, 0);
        struct span message, json;
        EQ(codec_json_request(span_of(path), span_of("{}"), &kit_arena, &message, &detail), 0);
        EQ(message.len, 0);
        EQ(codec_json_answer(span_of(path), message, &kit_arena, &json), 0);
        OK(span_equal(json, span_of("{}")));
        OK(strncmp(path, "/fairslot.", 10) != 0 || codec_method_find(span_of(path)));
    }
    OK(count > 50);
}

static void test_no_such_method(void)
{
    static const char *bad[] = {"",
                                "/",
                                "//",
                                "x",
                                "/fairslot.v1.CatalogService",
                                "/fairslot.v1.CatalogService/",
                                "/fairslot.v1.CatalogService/List",
                                "fairslot.v1.CatalogService/ListPools",
                                "/fairslot.v1.CatalogService/ListPools/"};
    struct span out;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        EQ(codec_json_request(span_of(bad[i]), span_of("{}"), &kit_arena, &out, &detail),
           REASON_METHOD_UNKNOWN);
        EQ(codec_json_answer(span_of(bad[i]), (struct span){0}, &kit_arena, &out),
           REASON_METHOD_UNKNOWN);
    }
}

static void test_error_object(void)
{
    struct codec_refusal refusal = {
        .reason = REASON_FIELD_INVALID, .field = "name", .detail = "pools/{pool} is wanted"};
    struct span status, json;
    arena_reset(&kit_arena);
    EQ(codec_status(&refusal, &kit_arena, &status), 0);
    EQ(codec_json_error(status, &kit_arena, &json), 0);
    static const char want[] =
        "{\"code\":\"invalid_argument\",\"message\":\"name: pools/{pool} is wanted\",\"details\":["
        "{\"type\":\"google.rpc.ErrorInfo\",\"value\":\"Cg1GSUVMRF9JTlZBTElEEghmYWlyc2xvdA\","
        "\"debug\":{\"reason\":\"FIELD_INVALID\",\"domain\":\"fairslot\"}},"
        "{\"type\":\"google.rpc.BadRequest\","
        "\"value\":\"Ch4KBG5hbWUSFnBvb2xzL3twb29sfSBpcyB3YW50ZWQ\","
        "\"debug\":{\"fieldViolations\":[{\"field\":\"name\","
        "\"description\":\"pools/{pool} is wanted\"}]}}]}";
    EQ(json.len, sizeof want - 1);
    OK(span_equal(json, span_of(want)));
    struct verdict_meta meta = {"slot", span_of("s\"1")};
    refusal = (struct codec_refusal){.reason = REASON_SLOT_TAKEN, .meta = &meta, .meta_count = 1};
    EQ(codec_status(&refusal, &kit_arena, &status), 0);
    EQ(codec_json_error(status, &kit_arena, &json), 0);
    OK(memmem(json.ptr, json.len, "\"metadata\":{\"slot\":\"s\\\"1\"}", 26) != NULL);
    OK(memmem(json.ptr, json.len, "\"code\":\"aborted\"", 16) != NULL);
    EQ(codec_json_error((struct span){(const uint8_t *)"\xff", 1}, &kit_arena, &json),
       REASON_MESSAGE_MALFORMED);
    EQ(codec_json_error((struct span){0}, &kit_arena, &json), 0);
    OK(span_equal(json, span_of("{\"code\":\"unknown\"}")));
}

static void test_small_arena(void)
{
    struct arena small;
    static char json[40000];
    strcpy(json, "{\"slots\":[{}");
    for (int i = 0; i < 10000; i++) {
        strcat(json + 3 * i, ",{}");
    }
    strcat(json, "]}");
    arena_init(&small, 64 * 1024);
    struct span out;
    EQ(codec_json_request(span_of("/fairslot.admin.v1.PoolAdminService/BatchCreateSlots"),
                          span_of(json), &small, &out, &detail),
       REASON_MESSAGE_TOO_LARGE);
    static const uint8_t name[3000] = {10, 0xb5, 0x17};
    uint8_t message[3000];
    memcpy(message, name, sizeof name);
    memset(message + 3, 1, sizeof message - 3); /* six bytes each */
    arena_reset(&small);
    small.max_bytes = 16 * 1024;
    EQ(codec_json_answer(span_of("/fairslot.v1.CatalogService/GetPool"),
                         (struct span){message, sizeof message}, &small, &out),
       -ENOMEM);
    small.max_bytes = 1024 * 1024;
    EQ(codec_json_answer(span_of("/fairslot.v1.CatalogService/GetPool"),
                         (struct span){message, sizeof message}, &small, &out),
       0);
    EQ(out.len, 2997 * 6 + 11);
    arena_fini(&small);
}

/* Bytes thrown at it: any verdict, no crash; what is taken can be written and read again. */
static void test_noise(void)
{
    static const char *words[] = {"{",
                                  "}",
                                  "[",
                                  "]",
                                  ",",
                                  ":",
                                  "\"desk\":\"\\ud83d\\ude00\"",
                                  "\"startTime\":null",
                                  "\"duration\":\"1s\"",
                                  ",\"state\":1",
                                  "},{",
                                  "},{\"version\":1e9",
                                  "null",
                                  "true",
                                  "\"",
                                  "\\",
                                  "\xc3",
                                  "\"2026-12-01T09:00:00Z\"",
                                  "{\"slots\":[{\"start_time\":",
                                  "}]}",
                                  "\"state\""};
    const ProtobufCMessageDescriptor *type =
        &fairslot__admin__v1__batch_create_slots_request__descriptor;
    struct prng p;
    prng_init(&p, 11);
    int taken = 0;
    for (int i = 0; i < 20000; i++) {
        char json[1024] = "", first[1024];
        strcat(json, i % 2 ? "{\"slots\":[{" : "");
        for (size_t n = prng_below(&p, i % 2 ? 5 : 20); n > 0; n--) {
            strcat(json, words[prng_below(&p, ARRAY_COUNT(words))]);
        }
        strcat(json, i % 2 ? "}]}" : "");
        strcpy(first, again(type, json));
        if (first[0] == '{') {
            SAME(type, first);
            taken++;
        }
    }
    OK(taken > 1000);
}

int main(void)
{
    arena_init(&kit_arena, 4 * 1024 * 1024);
    TAP_RUN(test_every_method);
    TAP_RUN(test_no_such_method);
    TAP_RUN(test_error_object);
    TAP_RUN(test_small_arena);
    TAP_RUN(test_noise);
    return kit_done();
}
