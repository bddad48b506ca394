/* SPDX-License-Identifier: MIT */
/* JSON as a request of any method, and bytes as an answer of it: the first byte chooses the method
 * and the way.  What is taken as JSON packs; what packs is written as JSON; and what we wrote we
 * read as the same bytes, where the type has no double (a NaN has many bytes). */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "proto/codec_json_parts.h"

#define METHODS_MAX 128

static struct arena arena;

/* JSON says no -0, and reads neither an Any nor a map. */
static bool is_exact(const ProtobufCMessageDescriptor *type)
{
    bool is_exact_here = strcmp(type->name, "google.protobuf.Any") != 0;
    for (unsigned i = 0; is_exact_here && i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        is_exact_here = field->type != PROTOBUF_C_TYPE_DOUBLE &&
                        (field->type != PROTOBUF_C_TYPE_MESSAGE || is_exact(field->descriptor));
    }
    return is_exact_here;
}

static void there_and_back(const ProtobufCMessageDescriptor *type, const ProtobufCMessage *message)
{
    struct codec_json_out out = codec_json_out_of(&arena, 64);
    struct codec_json_source source = {.is_strict = true};
    ProtobufCMessage *again;
    const char *detail = NULL;
    struct span first, second;
    codec_json_put_message(&out, message);
    if (codec_json_out_end(&out, &source.json)) {
        return; /* a time out of range, or the arena's cap */
    }
    if (!is_exact(type)) {
        return;
    }
    int r = codec_json_read(type, &source, &arena, &again, &detail);
    CHECK(r == 0 || r == REASON_MESSAGE_TOO_LARGE);
    if (r == 0 && codec_pack(message, &arena, &first) == 0 &&
        codec_pack(again, &arena, &second) == 0) {
        CHECK(first.len >= second.len); /* fields not known to us are not said */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_cut in = fuzz_cut_of(data, size);
    uint8_t choice = fuzz_byte(&in);
    struct codec_json_method method;
    ProtobufCMessage *message;
    const char *detail = NULL;
    if (size > MESSAGE_MAX) {
        return 0;
    }
    arena_init(&arena, CALL_ARENA_MAX);
    const char *path = codec_json_method_path(choice % METHODS_MAX, &arena);
    if (path && codec_json_method_find(span_of(path), &method)) {
        struct codec_json_source source = {.json = {in.at, in.left}};
        if (choice >= METHODS_MAX) {
            if (codec_unpack(method.answer, source.json, &arena, &message) == 0) {
                there_and_back(method.answer, message);
            }
        } else {
            int r = codec_json_read(method.request, &source, &arena, &message, &detail);
            CHECK(r >= 0);
            CHECK(r != REASON_MESSAGE_MALFORMED || detail);
            if (r == 0) {
                there_and_back(method.request, message);
            }
        }
    }
    arena_fini(&arena);
    return 0;
}
