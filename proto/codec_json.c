/* SPDX-License-Identifier: MIT */
/* JSON for a method: finds its messages, reads one, writes the other.
 *
 *   path -> service descriptor -> method -> message descriptors
 *   request: text -> jansson's tree -> message (codec_json_read.c) -> packed
 *   answer:  packed -> message -> text (codec_json_write.c)
 *
 * Why a tree: the mapping wants to know whether a member came twice and which oneof member is set,
 * and jansson judges the text (UTF-8, escapes, nesting, numbers) better than a reader of ours would
 * for years.  It allocates with malloc for the time of the call: 64 KiB of "{},{},..." take 5 MB,
 * freed before the return.  Keys are hashed with a seed that jansson takes from the system once per
 * process; no output depends on it, members keep the order in which they were given.
 * Owns nothing.  Fails by verdict (text) or -ENOMEM (answers over the cap).
 * Road not taken: writing the packed bytes straight from the text; the message in between lets
 * protobuf-c do the packing. */
#include <errno.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/codec_json_parts.h"

#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "google/longrunning/operations.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"

static const ProtobufCServiceDescriptor *const services[] = {
    &fairslot__v1__catalog_service__descriptor,
    &fairslot__v1__reservation_service__descriptor,
    &fairslot__v1__ticket_service__descriptor,
    &fairslot__v1__event_service__descriptor,
    &fairslot__admin__v1__pool_admin_service__descriptor,
    &fairslot__admin__v1__cluster_service__descriptor,
    &fairslot__admin__v1__release_admin_service__descriptor,
    &fairslot__admin__v1__maintenance_service__descriptor,
    &google__longrunning__operations__descriptor,
    &grpc__health__v1__health__descriptor,
    &grpc__reflection__v1__server_reflection__descriptor,
    &grpc__reflection__v1alpha__server_reflection__descriptor,
};

/* Connect's names of the gRPC codes; 0 cannot be an error. */
static const char *const codes[] = {
    "unknown",
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
};

bool codec_json_method_find(struct span path, struct codec_json_method *ret_method)
{
    const uint8_t *slash = path.len > 1 ? memchr(path.ptr + 1, '/', path.len - 1) : NULL;
    if (slash == NULL || path.ptr[0] != '/') {
        return false;
    }
    struct span service = {path.ptr + 1, (size_t)(slash - path.ptr) - 1};
    struct span name = {slash + 1, path.len - service.len - 2};
    for (size_t i = 0; i < ARRAY_COUNT(services); i++) {
        const ProtobufCServiceDescriptor *s = services[i];
        for (unsigned k = 0; span_equal(service, span_of(s->name)) && k < s->n_methods; k++) {
            if (span_equal(name, span_of(s->methods[k].name))) {
                ret_method->request = s->methods[k].input;
                ret_method->answer = s->methods[k].output;
                return true;
            }
        }
    }
    return false;
}

const char *codec_json_method_path(size_t number, struct arena *arena)
{
    for (size_t i = 0; i < ARRAY_COUNT(services); i++) {
        if (number >= services[i]->n_methods) {
            number -= services[i]->n_methods;
            continue;
        }
        const char *service = services[i]->name, *method = services[i]->methods[number].name;
        size_t service_len = strlen(service), method_len = strlen(method);
        char *out = arena_alloc(arena, service_len + method_len + 3);
        if (out) {
            out[0] = '/';
            memcpy(out + 1, service, service_len);
            out[1 + service_len] = '/';
            memcpy(out + 2 + service_len, method, method_len + 1);
        }
        return out;
    }
    return NULL;
}

static int codec_json_ask(struct span path, const struct codec_json_source *source,
                          struct arena *arena, struct span *ret_message, const char **ret_detail)
{
    struct codec_json_method method;
    if (!codec_json_method_find(path, &method)) {
        return REASON_METHOD_UNKNOWN;
    }
    ProtobufCMessage *message;
    int r = codec_json_read(method.request, source, arena, &message, ret_detail);
    if (r) {
        return r;
    }
    return codec_pack(message, arena, ret_message) ? REASON_MESSAGE_TOO_LARGE : 0;
}

int codec_json_request(struct span path, struct span json, struct arena *arena,
                       struct span *ret_message, const char **ret_detail)
{
    struct codec_json_source source = {.json = json, .is_strict = false};
    return codec_json_ask(path, &source, arena, ret_message, ret_detail);
}

int codec_json_request_strict(struct span path, struct span json, struct arena *arena,
                              struct span *ret_message, const char **ret_detail)
{
    struct codec_json_source source = {.json = json, .is_strict = true};
    return codec_json_ask(path, &source, arena, ret_message, ret_detail);
}

/* Answers come from ourselves: over the cap is our error, damage the caller's to report. */
static int codec_json_unpack(const ProtobufCMessageDescriptor *descriptor, struct span bytes,
                             struct arena *arena, void *ret_message)
{
    int r = codec_unpack(descriptor, bytes, arena, ret_message);
    return r == REASON_MESSAGE_TOO_LARGE ? err_origin(-ENOMEM) : r;
}

int codec_json_answer(struct span path, struct span message, struct arena *arena,
                      struct span *ret_json)
{
    struct codec_json_method method;
    if (!codec_json_method_find(path, &method)) {
        return REASON_METHOD_UNKNOWN;
    }
    ProtobufCMessage *answer;
    int r = codec_json_unpack(method.answer, message, arena, &answer);
    if (r) {
        return r;
    }
    struct codec_json_out out = codec_json_out_of(arena, 256 + 3 * message.len);
    codec_json_put_message(&out, answer);
    return codec_json_out_end(&out, ret_json);
}

static void codec_json_put_detail(struct codec_json_out *out, const Google__Protobuf__Any *any)
{
    struct span value = {any->value.data, any->value.len};
    struct span name = codec_json_any_name(any->type_url);
    codec_json_put(out, "{\"type\":", 8);
    codec_json_put_text(out, (const char *)name.ptr);
    codec_json_put(out, ",\"value\":", 9);
    codec_json_put_bytes(out, value, false);
    const ProtobufCMessageDescriptor *type = codec_json_any_type(name);
    ProtobufCMessage *message;
    if (type && codec_unpack(type, value, out->arena, &message) == 0) {
        codec_json_put(out, ",\"debug\":", 9);
        codec_json_put_message(out, message);
    }
    codec_json_put(out, "}", 1);
}

int codec_json_error(struct span status, struct arena *arena, struct span *ret_json)
{
    Google__Rpc__Status *m;
    int r = codec_json_unpack(&google__rpc__status__descriptor, status, arena, &m);
    if (r) {
        return r;
    }
    struct codec_json_out out = codec_json_out_of(arena, 512 + 3 * status.len);
    bool is_known = m->code > 0 && m->code < (int)ARRAY_COUNT(codes);
    codec_json_put(&out, "{\"code\":", 8);
    codec_json_put_text(&out, codes[is_known ? m->code : 0]);
    if (m->message[0]) {
        codec_json_put(&out, ",\"message\":", 11);
        codec_json_put_text(&out, m->message);
    }
    for (size_t i = 0; i < m->n_details; i++) {
        if (i == 0) {
            codec_json_put(&out, ",\"details\":[", 12);
        } else {
            codec_json_put(&out, ",", 1);
        }
        codec_json_put_detail(&out, m->details[i]);
    }
    if (m->n_details > 0) {
        codec_json_put(&out, "]", 1);
    }
    codec_json_put(&out, "}", 1);
    return codec_json_out_end(&out, ret_json);
}
