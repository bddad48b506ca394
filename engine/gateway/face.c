/* SPDX-License-Identifier: MIT */
/* What the faces ask of the gateway.  Owns: the table of paths, an arena for JSON.
 *
 *   descriptor set -> walk -> path -> known, GET (idempotency_level NO_SIDE_EFFECTS), stream, cache
 *   JSON in  -> proto/codec_json.h -> packed message -> the same route as everybody's
 *   packed answer -> JSON out
 *
 * The table comes from the .proto files themselves, so that a method that says it has no side
 * effects can be asked by GET, and nobody keeps a second list.  Answers of the catalogue are the
 * same for everybody, so a cache may keep them for a second.
 * JSON is read when the message is wanted (admit.c: after the token), never for a stranger.
 * Fails: a damaged set, out of memory (at the start only); later by refusing the call. */
#include "gateway/face.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/conn.h"
#include "gateway/inside.h"
#include "gateway/pb.h"
#include "proto/codec_json.h"

#define FACE_BYTES_MAX (64 * 1024)       /* of the table */
#define FACE_JSON_MAX  (4 * ANSWER_MAX)  /* JSON takes three times the bytes of a message */
#define FACE_CATALOG   "/fairslot.v1.CatalogService/"

/* Field numbers of google/protobuf/descriptor.proto. */
enum {
    SET_FILE = 1, FILE_PACKAGE = 2, FILE_SERVICE = 6, SERVICE_NAME = 1, SERVICE_METHOD = 2,
    METHOD_NAME = 1, METHOD_OPTIONS = 4, METHOD_CLIENT_STREAMS = 5, METHOD_SERVER_STREAMS = 6,
    OPTIONS_IDEMPOTENCY = 34, NO_SIDE_EFFECTS = 1,
};

/* -- the table --------------------------------------------------------------------------------- */

static struct span face_name(struct span bytes, uint32_t number)
{
    struct reader r = reader_of(bytes.ptr, bytes.len);
    struct pb_field f;
    struct span name = {0};
    while (pb_next(&r, &f)) {
        if (f.number == number && f.wire == PB_BYTES) {
            name = f.bytes;
        }
    }
    return name;
}

static unsigned face_method_facts(struct span method)
{
    struct reader r = reader_of(method.ptr, method.len);
    struct pb_field f;
    unsigned facts = WIRE_PATH_KNOWN;
    while (pb_next(&r, &f)) {
        if (f.number == METHOD_CLIENT_STREAMS || f.number == METHOD_SERVER_STREAMS) {
            facts |= f.value ? WIRE_PATH_STREAM : 0;
        } else if (f.number == METHOD_OPTIONS && f.wire == PB_BYTES) {
            struct reader options = reader_of(f.bytes.ptr, f.bytes.len);
            struct pb_field o;
            while (pb_next(&options, &o)) {
                bool is_safe = o.number == OPTIONS_IDEMPOTENCY && o.value == NO_SIDE_EFFECTS;
                facts |= is_safe ? WIRE_PATH_GET : 0;
            }
        }
    }
    return facts & WIRE_PATH_STREAM ? facts & ~(unsigned)WIRE_PATH_GET : facts;
}

/* What came of a release that is over: big, asked by everybody at once, and it stands. */
static bool face_is_kept(struct span path)
{
    return span_equal(path, span_of(FACE_CATALOG "GetReleaseResult")) ||
           span_equal(path, span_of(FACE_CATALOG "GetReleaseReport"));
}

/* Of a scarce pool who asks without a token is told nothing, and an operator more than others. */
static bool face_is_own(struct span path)
{
    return span_equal(path, span_of(FACE_CATALOG "ListSlots"));
}

/* Counts a method, and fills its row once there is a table; false: out of memory. */
static bool face_add(struct face *face, struct span package, struct span service,
                     struct span method)
{
    size_t at = face->paths_count++;
    if (face->paths == NULL) {
        return true;
    }
    struct span name = face_name(method, METHOD_NAME);
    size_t len = package.len + service.len + name.len + 3;
    uint8_t *path = arena_alloc(&face->arena, len);
    if (path == NULL) {
        return false;
    }
    struct scribe w = scribe_of(path, len);
    scribe_u8(&w, '/');
    scribe_bytes(&w, package.ptr, package.len);
    scribe_u8(&w, '.');
    scribe_bytes(&w, service.ptr, service.len);
    scribe_u8(&w, '/');
    scribe_bytes(&w, name.ptr, name.len);
    unsigned facts = face_method_facts(method);
    bool is_catalog = memcmp(path, FACE_CATALOG, len < sizeof FACE_CATALOG - 1
                                                     ? len : sizeof FACE_CATALOG - 1) == 0;
    facts |= is_catalog && facts & WIRE_PATH_GET ? WIRE_PATH_CACHE : 0;
    facts |= face_is_kept((struct span){path, len}) ? WIRE_PATH_KEEP : 0;
    facts |= face_is_own((struct span){path, len}) ? WIRE_PATH_OWN : 0;
    struct codec_json_method is_ours; /* imported files define services that are not */
    facts = codec_json_method_find((struct span){path, len}, &is_ours) ? facts : 0;
    face->paths[at] = (struct face_path){{path, len}, facts};
    return true;
}

static bool face_walk_service(struct face *face, struct span package, struct span service)
{
    struct span name = face_name(service, SERVICE_NAME);
    struct reader r = reader_of(service.ptr, service.len);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == SERVICE_METHOD && f.wire == PB_BYTES &&
            !face_add(face, package, name, f.bytes)) {
            return false;
        }
    }
    return true;
}

/* 0, FACE_E_DAMAGED or -ENOMEM. */
static int face_walk(struct face *face, struct span set)
{
    struct reader r = reader_of(set.ptr, set.len);
    struct pb_field file, f;
    face->paths_count = 0;
    while (pb_next(&r, &file)) {
        if (file.number != SET_FILE || file.wire != PB_BYTES) {
            continue;
        }
        struct span package = face_name(file.bytes, FILE_PACKAGE);
        struct reader inside = reader_of(file.bytes.ptr, file.bytes.len);
        while (pb_next(&inside, &f)) {
            if (f.number == FILE_SERVICE && f.wire == PB_BYTES &&
                !face_walk_service(face, package, f.bytes)) {
                return err_origin(-ENOMEM);
            }
        }
    }
    return r.bad ? FACE_E_DAMAGED : 0;
}

static int face_compare(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int face_compare_paths(const void *a, const void *b)
{
    return face_compare(((const struct face_path *)a)->path, ((const struct face_path *)b)->path);
}

int face_init(struct face *face, struct span descriptor_set)
{
    *face = (struct face){0};
    arena_init(&face->arena, FACE_BYTES_MAX);
    arena_init(&face->json, FACE_JSON_MAX);
    int r = face_walk(face, descriptor_set);
    if (r) {
        return r;
    }
    face->paths = arena_zalloc(&face->arena, face->paths_count * sizeof *face->paths);
    if (face->paths == NULL || !arena_alloc(&face->json, MESSAGE_MAX)) {
        return err_origin(-ENOMEM);
    }
    arena_reset(&face->json); /* keeps a block that is seldom outgrown */
    r = face_walk(face, descriptor_set);
    qsort(face->paths, face->paths_count, sizeof *face->paths, face_compare_paths);
    return err_trace(r);
}

void face_fini(struct face *face)
{
    arena_fini(&face->arena);
    arena_fini(&face->json);
    face->paths = NULL;
    face->paths_count = 0;
}

unsigned face_facts(const struct face *face, struct span path)
{
    struct face_path key = {.path = path};
    const struct face_path *found =
        path.len == 0 ? NULL : bsearch(&key, face->paths, face->paths_count, sizeof key,
                                       face_compare_paths);
    return found ? found->facts : 0;
}

enum wire_origin face_origin_of(const char *const *origins, size_t count, struct span origin)
{
    enum wire_origin verdict = WIRE_ORIGIN_NO;
    for (size_t i = 0; i < count; i++) {
        if (span_equal(span_of(origins[i]), origin)) {
            return WIRE_ORIGIN_YES;
        }
        if (strcmp(origins[i], "*") == 0) {
            verdict = WIRE_ORIGIN_ANY;
        }
    }
    return verdict;
}

/* -- what wire asks ---------------------------------------------------------------------------- */

unsigned face_path_facts(void *user, struct span path)
{
    const struct conn *conn = user;
    return face_facts(&conn->gateway->face, path);
}

enum wire_origin face_origin(void *user, struct span origin)
{
    const struct conn *conn = user;
    const struct gateway_options *o = conn->gateway->options;
    const struct gateway_origins *origins = atomic_load(&o->origins);
    return origins ? face_origin_of(origins->at, origins->count, origin) : WIRE_ORIGIN_NO;
}

bool face_error(void *user, struct span details, struct span *ret_json)
{
    struct conn *conn = user;
    struct arena *arena = &conn->gateway->face.json;
    arena_reset(arena);
    return codec_json_error(details, arena, ret_json) == 0;
}

/* -- JSON -------------------------------------------------------------------------------------- */

bool face_request(struct call *call, struct span message, struct span *ret_message)
{
    if (wire_call_encoding(call->wire) == WIRE_PROTO) {
        *ret_message = message;
        return true;
    }
    struct arena *arena = &call_gateway(call)->face.json;
    const char *detail = NULL;
    arena_reset(arena);
    int verdict = codec_json_request(wire_call_path(call->wire), message, arena, ret_message,
                                     &detail);
    if (verdict == 0) {
        return true;
    }
    answer_reason(call, verdict > 0 ? (enum reason)verdict : REASON_INTERNAL, detail);
    return false;
}

int face_answer(struct call *call, struct span message, struct span *ret_message)
{
    if (wire_call_encoding(call->wire) == WIRE_PROTO) {
        *ret_message = message;
        return 0;
    }
    struct arena *arena = &call_gateway(call)->face.json;
    arena_reset(arena);
    int verdict = codec_json_answer(wire_call_path(call->wire), message, arena, ret_message);
    return verdict > 0 ? err_origin(-EBADMSG) : err_fold(verdict);
}
