/* SPDX-License-Identifier: MIT */
/* What methods there are and what they speak, read off the descriptors that the JSON mapping has.
 *   word -> the one path that ends in it    path -> fields, then the messages that stand in them
 * Owns nothing; a path lives in the caller's buffer.  Fails by telling (unknown, ambiguous).
 * Invariant: nothing here is a list of its own: a method added to the .proto files is known. */
#include "ctl/method.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/guess.h"
#include "ctl/session.h"
#include "ctl/talk.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "proto/codec.h"
#include "proto/codec_json.h"

#define METHOD_TYPES_MAX 32 /* messages inside one method's messages */

static bool method_path(size_t number, char *out)
{
    struct arena arena;
    arena_init(&arena, 2 * METHOD_PATH_MAX);
    const char *path = codec_json_method_path(number, &arena);
    if (path) {
        CHECK(strlen(path) < METHOD_PATH_MAX);
        strcpy(out, path);
    }
    arena_fini(&arena);
    return path != NULL;
}

static bool method_ends_in(const char *path, const char *word)
{
    size_t len = strlen(path), word_len = strlen(word);
    if (word_len == 0 || word_len > len || strcmp(path + len - word_len, word) != 0) {
        return false;
    }
    char before = word_len == len ? '/' : path[len - word_len - 1];
    return word[0] == '/' ? word_len == len : before == '/' || before == '.';
}

/* Where "Service/Method" begins. */
static const char *method_short(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static void method_guess(const char *word)
{
    static char paths[128][METHOD_PATH_MAX]; /* guess keeps what it is offered */
    struct guess g;
    guess_init(&g, strchr(word, '/') ? strchr(word, '/') + 1 : word);
    for (size_t i = 0; i < ARRAY_COUNT(paths) && method_path(i, paths[i]); i++) {
        guess_offer(&g, strrchr(paths[i], '/') + 1);
    }
    if (g.best) {
        talk_error("no method '%s': did you mean %s?", word, g.best);
    } else {
        talk_error("no method '%s'", word);
    }
    talk_next("fairslot call --list");
}

int method_find(const char *word, char *ret_path)
{
    char path[METHOD_PATH_MAX];
    size_t found = 0;
    for (size_t i = 0; method_path(i, path); i++) {
        if (method_ends_in(path, word)) {
            found++;
            strcpy(ret_path, path);
        }
    }
    if (found == 0) {
        method_guess(word);
        return METHOD_E_UNKNOWN;
    }
    if (found == 1) {
        return 0;
    }
    talk_error("'%s' is the end of %zu methods:", word, found);
    for (size_t i = 0; method_path(i, path); i++) {
        if (method_ends_in(path, word)) {
            talk_say("  %s", path + 1);
        }
    }
    talk_next("write more of the name");
    return METHOD_E_SEVERAL;
}

void method_list(void)
{
    char path[METHOD_PATH_MAX];
    for (size_t i = 0; method_path(i, path); i++) {
        struct codec_json_method method = {0};
        CHECK(codec_json_method_find(span_of(path), &method));
        const struct codec_method *known = codec_method_find(span_of(path));
        printf("%-56s %s -> %s%s\n", path + 1, method_short(method.request->name),
               method_short(method.answer->name),
               known && known->kind == 0 ? " (with a later version)" : "");
    }
}

/* -- describing -------------------------------------------------------------------------------- */

/* Messages to be described, each once. */
struct method_types {
    const ProtobufCMessageDescriptor *at[METHOD_TYPES_MAX];
    size_t count;
};

static void method_types_add(struct method_types *types, const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < types->count; i++) {
        if (types->at[i] == type) {
            return;
        }
    }
    if (types->count < METHOD_TYPES_MAX) {
        types->at[types->count++] = type;
    }
}

static void method_print_enum(const ProtobufCEnumDescriptor *type)
{
    for (unsigned i = 0; i < type->n_values; i++) {
        printf("%s%s", i > 0 ? " | " : "", type->values[i].name);
    }
}

static const char *method_scalar(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
        return "text";
    case PROTOBUF_C_TYPE_BYTES:
        return "bytes, in base64";
    case PROTOBUF_C_TYPE_BOOL:
        return "true | false";
    case PROTOBUF_C_TYPE_INT32:
        return "integer";
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return "integer, written in quotes";
    default:
        return "number";
    }
}

static void method_print_type(struct method_types *types, const ProtobufCFieldDescriptor *field)
{
    if (field->type == PROTOBUF_C_TYPE_ENUM) {
        method_print_enum(field->descriptor);
    } else if (field->descriptor == &google__protobuf__timestamp__descriptor) {
        fputs("time, as \"2026-12-01T09:00:00Z\"", stdout);
    } else if (field->descriptor == &google__protobuf__duration__descriptor) {
        fputs("duration, as \"1.5s\"", stdout);
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        method_types_add(types, field->descriptor);
        fputs(((const ProtobufCMessageDescriptor *)field->descriptor)->short_name, stdout);
    } else {
        fputs(method_scalar(field->type), stdout);
    }
}

static void method_print_fields(struct method_types *types, const ProtobufCMessageDescriptor *type)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        char name[64];
        CHECK(strlen(field->name) < sizeof name);
        codec_json_name(field->name, name);
        printf("  %-22s %s", name, field->label == PROTOBUF_C_LABEL_REPEATED ? "list of " : "");
        method_print_type(types, field);
        puts(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF ? " (one of these)" : "");
    }
    if (type->n_fields == 0) {
        puts("  (nothing)");
    }
}

void method_describe(const char *path)
{
    struct codec_json_method method = {0};
    struct method_types types = {.count = 0};
    CHECK(codec_json_method_find(span_of(path), &method));
    method_types_add(&types, method.request);
    method_types_add(&types, method.answer);
    printf("%s\n", path + 1);
    for (size_t i = 0; i < types.count; i++) {
        printf("%s%s\n", i == 0 ? "request " : i == 1 ? "answer " : "", types.at[i]->short_name);
        method_print_fields(&types, types.at[i]);
    }
}

/* -- request ids ------------------------------------------------------------------------------- */

size_t method_add_request_id(const char *path, struct span request, uint8_t *out)
{
    struct codec_json_method method = {0};
    CHECK(codec_json_method_find(span_of(path), &method));
    memcpy(out, request.ptr, request.len);
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(method.request, "request_id");
    ProtobufCMessage *message =
        protobuf_c_message_unpack(method.request, NULL, request.len, request.ptr);
    const char *given = "";
    if (field && message) {
        given = *(char *const *)(const void *)((const uint8_t *)message + field->offset);
    }
    size_t len = request.len;
    if (field && message && given[0] == '\0') { /* a field behind the others, as the wire has it */
        uint32_t tag = field->id << 3 | 2;
        CHECK(tag < 1 << 14);
        if (tag > 0x7f) {
            out[len++] = (uint8_t)(tag | 0x80);
            tag >>= 7;
        }
        out[len++] = (uint8_t)tag;
        out[len++] = VALUE_UUID_MAX - 1;
        session_request_id((char *)out + len);
        len += VALUE_UUID_MAX - 1;
    }
    if (message) {
        protobuf_c_message_free_unpacked(message, NULL);
    }
    return len;
}
