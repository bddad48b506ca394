/* SPDX-License-Identifier: MIT */
/* Message -> JSON text, by its descriptor.
 *
 *   fields in the order of their numbers -> is it set? -> "name": value[, ...]
 *
 * Writes straight into one piece of the arena, sized by a guess that fits nearly always; twice as
 * large when it did not (the arena takes nothing back).
 * Owns nothing.  Full or unspeakable turns `out` bad, and it is looked at once, at the end.
 * Strings are valid UTF-8 already (codec_unpack() saw to it): only quotes, backslashes and control
 * characters are escaped.  protobuf-c knows no maps: the one that we have is named here. */
#include <errno.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/check.h"
#include "base/err.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "proto/codec_json_parts.h"

static void codec_json_put_object(struct codec_json_out *out, const ProtobufCMessage *message,
                                  bool is_first);

struct codec_json_out codec_json_out_of(struct arena *arena, size_t guess)
{
    struct codec_json_out out = {.arena = arena, .size = guess};
    out.text = arena_alloc(arena, guess);
    out.is_full = out.text == NULL;
    return out;
}

/* Room for n more bytes. */
static bool codec_json_out_grow(struct codec_json_out *out, size_t n)
{
    if (out->is_full || n <= out->size - out->len) {
        return !out->is_full;
    }
    size_t size = out->size * 2 > out->len + n ? out->size * 2 : (out->len + n) * 2;
    char *text = arena_alloc(out->arena, size);
    if (text == NULL) {
        out->is_full = true;
        return false;
    }
    memcpy(text, out->text, out->len);
    out->text = text;
    out->size = size;
    return true;
}

void codec_json_put(struct codec_json_out *out, const char *text, size_t len)
{
    if (codec_json_out_grow(out, len)) {
        memcpy(out->text + out->len, text, len);
        out->len += len;
    }
}

static void codec_json_put_plain(struct codec_json_out *out, const char *text)
{
    codec_json_put(out, text, strlen(text));
}

static void codec_json_put_quoted(struct codec_json_out *out, const char *text)
{
    codec_json_put(out, "\"", 1);
    codec_json_put_plain(out, text);
    codec_json_put(out, "\"", 1);
}

static void codec_json_put_escape(struct codec_json_out *out, uint8_t c)
{
    static const char shorts[] = "\bb\tt\nn\ff\rr\"\"\\\\";
    char escape[8];
    for (size_t i = 0; i + 1 < sizeof shorts; i += 2) {
        if ((uint8_t)shorts[i] == c) {
            codec_json_put(out, (char[]){'\\', shorts[i + 1]}, 2);
            return;
        }
    }
    codec_json_put(out, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
}

void codec_json_put_text(struct codec_json_out *out, const char *text)
{
    codec_json_put(out, "\"", 1);
    size_t run = 0;
    for (; text[run]; run++) {
        uint8_t c = (uint8_t)text[run];
        if (c < 0x20 || c == '"' || c == '\\') {
            codec_json_put(out, text, run);
            codec_json_put_escape(out, c);
            text += run + 1;
            run = (size_t)-1;
        }
    }
    codec_json_put(out, text, run);
    codec_json_put(out, "\"", 1);
}

void codec_json_put_bytes(struct codec_json_out *out, struct span bytes, bool is_padded)
{
    size_t len = base64_len(bytes.len, is_padded);
    codec_json_put(out, "\"", 1);
    if (codec_json_out_grow(out, len)) {
        base64_encode(bytes, is_padded, (uint8_t *)out->text + out->len);
        out->len += len;
    }
    codec_json_put(out, "\"", 1);
}

static void codec_json_put_time(struct codec_json_out *out, const Google__Protobuf__Timestamp *t)
{
    char text[CODEC_JSON_TIME_MAX] = "";
    out->is_bad = out->is_bad || !codec_json_time(t->seconds, t->nanos, text);
    codec_json_put_quoted(out, text);
}

static void codec_json_put_duration(struct codec_json_out *out, const Google__Protobuf__Duration *d)
{
    char text[CODEC_JSON_TIME_MAX] = "";
    out->is_bad = out->is_bad || !codec_json_duration(d->seconds, d->nanos, text);
    codec_json_put_quoted(out, text);
}

/* {"@type": "type.googleapis.com/...", its members}; none of our types needs a "value" member. */
static void codec_json_put_any(struct codec_json_out *out, const Google__Protobuf__Any *any)
{
    const ProtobufCMessageDescriptor *type =
        codec_json_any_type(codec_json_any_name(any->type_url));
    ProtobufCMessage *message;
    struct span value = {any->value.data, any->value.len};
    if (type == NULL || codec_unpack(type, value, out->arena, &message)) {
        out->is_bad = true;
        return;
    }
    codec_json_put_plain(out, "{\"@type\":");
    codec_json_put_text(out, any->type_url);
    codec_json_put_object(out, message, false);
}

void codec_json_put_message(struct codec_json_out *out, const ProtobufCMessage *message)
{
    if (message->descriptor == &google__protobuf__timestamp__descriptor) {
        codec_json_put_time(out, (const Google__Protobuf__Timestamp *)(const void *)message);
    } else if (message->descriptor == &google__protobuf__duration__descriptor) {
        codec_json_put_duration(out, (const Google__Protobuf__Duration *)(const void *)message);
    } else if (message->descriptor == &google__protobuf__any__descriptor) {
        codec_json_put_any(out, (const Google__Protobuf__Any *)(const void *)message);
    } else {
        codec_json_put(out, "{", 1);
        codec_json_put_object(out, message, true);
    }
}

static void codec_json_put_enum(struct codec_json_out *out, const ProtobufCFieldDescriptor *field,
                                int32_t number)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(field->descriptor, number);
    char text[CODEC_JSON_NUMBER_MAX];
    if (value) {
        codec_json_put_quoted(out, value->name);
    } else { /* of a later version */
        codec_json_put(out, text, (size_t)snprintf(text, sizeof text, "%d", number));
    }
}

static void codec_json_put_number(struct codec_json_out *out, const ProtobufCFieldDescriptor *field,
                                  const void *at)
{
    char text[CODEC_JSON_NUMBER_MAX];
    size_t len = 0;
    int64_t v;
    int32_t small;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
        memcpy(&v, at, sizeof v);
        len = (size_t)snprintf(text, sizeof text, "\"%lld\"", (long long)v);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        memcpy(&v, at, sizeof v);
        len = (size_t)snprintf(text, sizeof text, "\"%llu\"", (unsigned long long)v);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        len = codec_json_real_text(at, text);
        break;
    default:
        CHECK(field->type == PROTOBUF_C_TYPE_INT32);
        memcpy(&small, at, sizeof small);
        len = (size_t)snprintf(text, sizeof text, "%d", small);
        break;
    }
    codec_json_put(out, text, len);
}

static void codec_json_put_value(struct codec_json_out *out, const ProtobufCFieldDescriptor *field,
                                 const void *at)
{
    const ProtobufCBinaryData *bytes = at;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        codec_json_put_text(out, *(char *const *)at);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        codec_json_put_bytes(out, (struct span){bytes->data, bytes->len}, true);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        codec_json_put_plain(out, *(const protobuf_c_boolean *)at ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        codec_json_put_enum(out, field, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        codec_json_put_message(out, *(ProtobufCMessage *const *)at);
        break;
    default:
        codec_json_put_number(out, field, at);
        break;
    }
}

size_t codec_json_stride(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int32_t);
    default: /* 64-bit numbers, strings, messages */
        return 8;
    }
}

static void codec_json_put_list(struct codec_json_out *out, const ProtobufCFieldDescriptor *field,
                                const uint8_t *items, size_t count)
{
    size_t stride = codec_json_stride(field);
    codec_json_put(out, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            codec_json_put(out, ",", 1);
        }
        codec_json_put_value(out, field, items + i * stride);
    }
    codec_json_put(out, "]", 1);
}

static void codec_json_put_metadata(struct codec_json_out *out,
                                    Google__Rpc__ErrorInfo__MetadataEntry *const *entries,
                                    size_t count)
{
    codec_json_put(out, "{", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            codec_json_put(out, ",", 1);
        }
        codec_json_put_text(out, entries[i]->key);
        codec_json_put(out, ":", 1);
        codec_json_put_text(out, entries[i]->value);
    }
    codec_json_put(out, "}", 1);
}

static bool codec_json_is_zero(const ProtobufCFieldDescriptor *field, const void *at)
{
    static const uint8_t zero[8];
    const char *text;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        text = *(char *const *)at;
        return text == NULL || text[0] == 0;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)at == NULL;
    default: /* -0.0 is not zero: its sign would be lost */
        return memcmp(at, zero, codec_json_stride(field)) == 0;
    }
}

static bool codec_json_is_set(const ProtobufCMessage *message,
                              const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return *(const size_t *)(const void *)(base + field->quantifier_offset) > 0;
    }
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        return *(const uint32_t *)(const void *)(base + field->quantifier_offset) == field->id;
    }
    return !codec_json_is_zero(field, base + field->offset);
}

/* The members and the closing brace. */
static void codec_json_put_object(struct codec_json_out *out, const ProtobufCMessage *message,
                                  bool is_first)
{
    const uint8_t *base = (const uint8_t *)message;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (!codec_json_is_set(message, field)) {
            continue;
        }
        char name[64];
        CHECK(strlen(field->name) < sizeof name);
        codec_json_name(field->name, name);
        codec_json_put(out, ",", !is_first);
        is_first = false;
        codec_json_put_quoted(out, name);
        codec_json_put(out, ":", 1);
        const void *at = base + field->offset;
        if (field->descriptor == &google__rpc__error_info__metadata_entry__descriptor) {
            codec_json_put_metadata(
                out, *(Google__Rpc__ErrorInfo__MetadataEntry *const **)at,
                *(const size_t *)(const void *)(base + field->quantifier_offset));
        } else if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            codec_json_put_list(out, field, *(const uint8_t *const *)at,
                                *(const size_t *)(const void *)(base + field->quantifier_offset));
        } else {
            codec_json_put_value(out, field, at);
        }
    }
    codec_json_put(out, "}", 1);
}

int codec_json_out_end(const struct codec_json_out *out, struct span *ret_json)
{
    if (out->is_full) {
        return err_origin(-ENOMEM);
    }
    if (out->is_bad) {
        return REASON_MESSAGE_MALFORMED;
    }
    *ret_json = (struct span){(const uint8_t *)out->text, out->len};
    return 0;
}
