/* SPDX-License-Identifier: MIT */
/* Answers on stdout.  JSON walks the message's descriptor, so that a new field appears by itself.
 *   message -> fields in order -> lowerCamelCase names -> jansson
 * Owns nothing.  Fails with a sentence; a closed pipe is a failure like any other, so
 * that `fairslot ... | head` does not claim success for what nobody read.
 * Roads not taken: protobuf's own JSON (protobuf-c has none). */
#include "ctl/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ctl/talk.h"
#include "ctl/value.h"
#include "fairslot/v1/resources.pb-c.h"
#include "verb.h"

#define RENDER_NAME_MAX 64

static void render_camel(const char *name, char *out)
{
    size_t n = 0;
    for (bool up = false; *name && n + 1 < RENDER_NAME_MAX; name++) {
        if (*name == '_') {
            up = true;
            continue;
        }
        out[n++] = up && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        up = false;
    }
    out[n] = '\0';
}

static json_t *render_time(const Google__Protobuf__Timestamp *t)
{
    char text[VALUE_TIME_MAX];
    int32_t nanos = t->nanos >= 0 && t->nanos < 1000000000 ? t->nanos : 0;
    value_rfc3339(t->seconds, nanos, text);
    return json_string(text);
}

static json_t *render_duration(const Google__Protobuf__Duration *d)
{
    char text[48];
    if (d->nanos) {
        snprintf(text, sizeof(text), "%lld.%09ds", (long long)d->seconds, abs(d->nanos));
    } else {
        snprintf(text, sizeof(text), "%llds", (long long)d->seconds);
    }
    return json_string(text);
}

static json_t *render_base64(const ProtobufCBinaryData *b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = malloc((b->len + 2) / 3 * 4 + 1), *to = out;
    if (!out) {
        return NULL;
    }
    for (size_t i = 0; i < b->len; i += 3) {
        size_t left = b->len - i;
        unsigned v = (unsigned)b->data[i] << 16;
        v |= left > 1 ? (unsigned)b->data[i + 1] << 8 : 0;
        v |= left > 2 ? b->data[i + 2] : 0;
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = left > 1 ? digits[v >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[v & 63] : '=';
    }
    *to = '\0';
    json_t *value = json_string(out);
    free(out);
    return value;
}

static json_t *render_enum(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);
    return found ? json_string(found->name) : json_integer(value);
}

static json_t *render_wide(bool is_signed, const void *at)
{
    char text[32];
    uint64_t v;
    memcpy(&v, at, sizeof(v));
    if (is_signed) {
        snprintf(text, sizeof(text), "%lld", (long long)v);
    } else {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    }
    return json_string(text);
}

/* One value at `at`; NULL: unset or out of memory. */
static json_t *render_value(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return render_wide(true, at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return render_wide(false, at);
    case PROTOBUF_C_TYPE_FLOAT:
        return json_real((double)*(const float *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return render_enum(field->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(char *const *)at ? *(char *const *)at : "");
    case PROTOBUF_C_TYPE_BYTES:
        return render_base64(at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)at ? render_json(*(ProtobufCMessage *const *)at) : NULL;
    }
    return NULL;
}

static size_t render_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    default:
        return 4;
    }
}

static json_t *render_repeated(const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
    const uint8_t *items = *(uint8_t *const *)(const void *)(base + field->offset);
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++) {
        json_array_append_new(list, render_value(field, items + i * render_size(field->type)));
    }
    return list;
}

json_t *render_json(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    if (type == &google__protobuf__timestamp__descriptor) {
        return render_time((const Google__Protobuf__Timestamp *)message);
    }
    if (type == &google__protobuf__duration__descriptor) {
        return render_duration((const Google__Protobuf__Duration *)message);
    }
    json_t *object = json_object();
    const uint8_t *base = (const uint8_t *)message;
    for (unsigned i = 0; object && i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        char name[RENDER_NAME_MAX];
        bool one_of = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
        if (one_of && *(const uint32_t *)(const void *)(base + field->quantifier_offset) !=
                          field->id) {
            continue;
        }
        json_t *value = field->label == PROTOBUF_C_LABEL_REPEATED
                            ? render_repeated(field, base)
                            : render_value(field, base + field->offset);
        render_camel(field->name, name);
        if (value) {
            json_object_set_new(object, name, value);
        }
    }
    return object;
}

int render_flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        talk_error("cannot write the answer");
        return VERB_FAILED;
    }
    return VERB_OK;
}

static int render_print(json_t *value, size_t flags)
{
    if (!value) {
        talk_error("out of memory");
        return VERB_FAILED;
    }
    json_dumpf(value, stdout, flags);
    json_decref(value);
    putchar('\n');
    return render_flush();
}

int render_print_json(json_t *value)
{
    return render_print(value, JSON_INDENT(2));
}

int render_print_line(json_t *value)
{
    return render_print(value, JSON_COMPACT);
}

const char *render_last(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}
