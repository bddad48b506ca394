/* SPDX-License-Identifier: MIT */
/* The JSON mapping behind a pipe, so that tests/e2e/js/oracle.mjs can hold it against protobuf-es.
 * One question a line, one answer a line:
 *   "R TYPE HEX"   packed message -> its JSON, or "! VERDICT"
 *   "P TYPE JSON"  JSON -> the packed message in hex, or "! DETAIL"
 *   "T"            every type that can be asked for, those with '*' only for R
 * Types are all that the methods of the API speak, and the details of a refusal.
 * Owns one arena. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/codec_json_parts.h"

#define TYPES_MAX 300

static const ProtobufCMessageDescriptor *types[TYPES_MAX];
static size_t types_count;
static struct arena arena;

/* JSON reads neither an Any nor a map: no request has one. */
static bool is_readable(const ProtobufCMessageDescriptor *type)
{
    bool is_readable_here = strcmp(type->name, "google.protobuf.Any") != 0 &&
                            strcmp(type->name, "google.rpc.ErrorInfo.MetadataEntry") != 0;
    for (unsigned i = 0; is_readable_here && i < type->n_fields; i++) {
        is_readable_here = type->fields[i].type != PROTOBUF_C_TYPE_MESSAGE ||
                           is_readable(type->fields[i].descriptor);
    }
    return is_readable_here;
}

static void add(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < types_count; i++) {
        if (types[i] == type) {
            return;
        }
    }
    CHECK(types_count < TYPES_MAX);
    types[types_count++] = type;
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) {
            add(type->fields[i].descriptor);
        }
    }
}

static void add_all(void)
{
    static const char *details[] = {"google.rpc.ErrorInfo",           "google.rpc.RetryInfo",
                                    "google.rpc.QuotaFailure",        "google.rpc.BadRequest",
                                    "google.rpc.PreconditionFailure", "google.rpc.ResourceInfo"};
    struct codec_json_method method;
    for (size_t i = 0; i < ARRAY_COUNT(details); i++) {
        add(codec_json_any_type(span_of(details[i])));
    }
    const char *path;
    for (size_t i = 0; (path = codec_json_method_path(i, &arena)) != NULL; i++) {
        CHECK(codec_json_method_find(span_of(path), &method));
        add(method.request);
        add(method.answer);
    }
}

static const ProtobufCMessageDescriptor *find(const char *name)
{
    for (size_t i = 0; i < types_count; i++) {
        if (strcmp(types[i]->name, name) == 0) {
            return types[i];
        }
    }
    fprintf(stderr, "no type %s\n", name);
    exit(1);
}

static void answer_read(const ProtobufCMessageDescriptor *type, char *hex)
{
    size_t len = strlen(hex) / 2;
    uint8_t *bytes = (uint8_t *)hex; /* shorter than its digits */
    for (size_t i = 0; i < len; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    ProtobufCMessage *message;
    struct codec_json_out out = codec_json_out_of(&arena, 64);
    struct span json;
    int r = codec_unpack(type, (struct span){bytes, len}, &arena, &message);
    if (r == 0) {
        codec_json_put_message(&out, message);
        r = codec_json_out_end(&out, &json);
    }
    if (r) {
        printf("! %d\n", r);
    } else {
        printf("%.*s\n", (int)json.len, (const char *)json.ptr);
    }
}

static void answer_parse(const ProtobufCMessageDescriptor *type, const char *json)
{
    struct codec_json_source source = {.json = span_of(json)};
    ProtobufCMessage *message;
    const char *detail = "?";
    struct span bytes = {0};
    int r = codec_json_read(type, &source, &arena, &message, &detail);
    if (r == 0) {
        r = codec_pack(message, &arena, &bytes);
    }
    if (r) {
        printf("! %s\n", detail);
        return;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        printf("%02x", bytes.ptr[i]);
    }
    printf("\n");
}

int main(void)
{
    setlinebuf(stdout);
    arena_init(&arena, 64 << 20);
    add_all();
    char *line = NULL;
    size_t size = 0;
    for (ssize_t len; (len = getline(&line, &size, stdin)) > 0;) {
        arena_reset(&arena);
        line[len - 1] = 0;
        if (line[0] == 'T') {
            for (size_t i = 0; i < types_count; i++) {
                printf("%s%s ", types[i]->name, is_readable(types[i]) ? "" : "*");
            }
            printf("\n");
            continue;
        }
        char *name = line + 2, *rest = strchr(name, ' ');
        CHECK(rest != NULL);
        *rest++ = 0;
        if (line[0] == 'R') {
            answer_read(find(name), rest);
        } else {
            answer_parse(find(name), rest);
        }
    }
    free(line);
    arena_fini(&arena);
    return 0;
}
