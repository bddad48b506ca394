/* SPDX-License-Identifier: MIT */
/* Does the table of paths say what the .proto files do, and the list of origins what it lists? */
#include "base/bytes.h"
#include "gateway/face.h"
#include "proto/codec.h"
#include "proto/codec_json.h"
#include "tests/lib/tap.h"

extern const unsigned char api_descriptor_set[];
extern const unsigned long api_descriptor_set_len;

static struct face face;

static struct span api(void)
{
    return (struct span){api_descriptor_set, api_descriptor_set_len};
}

static void test_facts(void)
{
    static const struct {
        const char *path;
        unsigned facts;
    } cases[] = {
        {"/fairslot.v1.CatalogService/ListPools",
         WIRE_PATH_KNOWN | WIRE_PATH_GET | WIRE_PATH_CACHE},
        {"/fairslot.v1.CatalogService/GetPool", WIRE_PATH_KNOWN | WIRE_PATH_GET | WIRE_PATH_CACHE},
        {"/fairslot.v1.CatalogService/WatchSlots", WIRE_PATH_KNOWN | WIRE_PATH_STREAM},
        {"/fairslot.v1.ReservationService/CreateHold", WIRE_PATH_KNOWN},
        {"/fairslot.admin.v1.PoolAdminService/CreatePool", WIRE_PATH_KNOWN},
        {"/grpc.health.v1.Health/Check", WIRE_PATH_KNOWN},
        {"/grpc.health.v1.Health/Watch", WIRE_PATH_KNOWN | WIRE_PATH_STREAM},
        {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
         WIRE_PATH_KNOWN | WIRE_PATH_STREAM},
        {"/fairslot.v1.CatalogService/ListPool", 0}, {"/fairslot.v1.CatalogService/", 0},
        {"/fairslot.v1.CatalogService", 0}, {"fairslot.v1.CatalogService/ListPools", 0},
        {"/", 0}, {"", 0}, {"/shard.v1.Shard/Apply", 0},
        {"/google.longrunning.Operations/GetOperation", WIRE_PATH_KNOWN},
        {"/google.longrunning.Operations/Get", 0}};
    EQ(face_init(&face, api()), 0);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        EQ(face_facts(&face, span_of(cases[i].path)), cases[i].facts);
    }
    face_fini(&face);
}

/* Every path of the table is one that JSON is spoken for, and the other way round; what has no side
 * effects is no mutation of the shard. */
static void test_table_is_whole(void)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    EQ(face_init(&face, api()), 0);
    size_t count = 0;
    for (const char *path; (path = codec_json_method_path(count, &arena)); count++) {
        OK(face_facts(&face, span_of(path)) & WIRE_PATH_KNOWN);
    }
    for (size_t i = 0; i < face.paths_count; i++) {
        count -= face.paths[i].facts & WIRE_PATH_KNOWN;
        const struct codec_method *method = codec_method_find(face.paths[i].path);
        OK(!(face.paths[i].facts & WIRE_PATH_GET) || (method && !method->needs_role));
        OK((face.paths[i].facts & (WIRE_PATH_GET | WIRE_PATH_STREAM)) !=
           (WIRE_PATH_GET | WIRE_PATH_STREAM));
    }
    EQ(count, 0);
    face_fini(&face);
    arena_fini(&arena);
}

/* Cut anywhere: a verdict, no harm. */
static void test_damaged(void)
{
    int damaged = 0;
    for (size_t n = 1; n < api_descriptor_set_len; n += 97) {
        int r = face_init(&face, (struct span){api_descriptor_set, n});
        OK(r == 0 || r == FACE_E_DAMAGED);
        damaged += r == FACE_E_DAMAGED;
        face_fini(&face);
    }
    OK(damaged > 10);
    EQ(face_init(&face, (struct span){0}), 0);
    EQ(face_facts(&face, span_of("/x")), 0);
    face_fini(&face);
}

static void test_origins(void)
{
    static const char *const listed[] = {"https://a.example", "http://localhost:5173"};
    static const char *const any[] = {"https://a.example", "*"};
    static const struct {
        const char *origin;
        enum wire_origin by_list, by_any;
    } cases[] = {{"https://a.example", WIRE_ORIGIN_YES, WIRE_ORIGIN_YES},
                 {"http://localhost:5173", WIRE_ORIGIN_YES, WIRE_ORIGIN_ANY},
                 {"http://localhost", WIRE_ORIGIN_NO, WIRE_ORIGIN_ANY},
                 {"http://a.example", WIRE_ORIGIN_NO, WIRE_ORIGIN_ANY},
                 {"https://a.example.evil", WIRE_ORIGIN_NO, WIRE_ORIGIN_ANY},
                 {"https://A.example", WIRE_ORIGIN_NO, WIRE_ORIGIN_ANY},
                 {"null", WIRE_ORIGIN_NO, WIRE_ORIGIN_ANY},
                 {"*", WIRE_ORIGIN_NO, WIRE_ORIGIN_YES},
                 {"", WIRE_ORIGIN_NO, WIRE_ORIGIN_ANY}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span origin = span_of(cases[i].origin);
        EQ(face_origin_of(listed, ARRAY_COUNT(listed), origin), cases[i].by_list);
        EQ(face_origin_of(any, ARRAY_COUNT(any), origin), cases[i].by_any);
        EQ(face_origin_of(NULL, 0, origin), WIRE_ORIGIN_NO);
    }
}

int main(void)
{
    TAP_RUN(test_facts);
    TAP_RUN(test_table_is_whole);
    TAP_RUN(test_damaged);
    TAP_RUN(test_origins);
    return tap_done();
}
