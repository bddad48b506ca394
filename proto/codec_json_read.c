/* SPDX-License-Identifier: MIT */
/* JSON text -> message, by its descriptor.
 *
 *   text -> json_loadb(): is it JSON at all? -> members -> fields, each judged by its type
 *
 * Owns jansson's tree for the time of the call.  The message is the arena's.
 * Fails by verdict, with a text that names the field by its path ("slots[3].startTime: ...").  That
 * text is made of our own words and names alone: nothing of what the caller sent stands in it.
 * Invariants: a string is valid UTF-8 without NUL (jansson refuses both), as codec_unpack() has it;
 * a oneof has one member; no value is rounded. */
#include <stdio.h>

#include "base/check.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "proto/codec_json_parts.h"

#define NO_INDEX       ((size_t)-1)
#define DETAIL_MAX     256
#define FIELDS_MAX     64 /* fields of a message: one bit each */
#define NAME_MAX_BYTES 64 /* of a field's name, terminated */

/* Where in the message we are. */
struct codec_json_step {
    const char *name; /* of the field, as the .proto file has it; shorter than NAME_MAX_BYTES */
    size_t index;     /* in a list, else NO_INDEX */
};

/* One text being read. */
struct codec_json_in {
    struct arena *arena;
    bool is_strict;
    struct codec_json_step steps[CODEC_JSON_DEPTH_MAX + 1];
    size_t depth;
    const char *wanted; /* static: what would be right */
};

static int codec_json_read_message(struct codec_json_in *in, const json_t *value,
                                   const ProtobufCMessageDescriptor *descriptor,
                                   ProtobufCMessage **ret_message);

static int codec_json_fault(struct codec_json_in *in, const char *wanted)
{
    in->wanted = wanted;
    return REASON_MESSAGE_MALFORMED;
}

/* "slots[3].startTime: " and what would be right. */
static const char *codec_json_detail(const struct codec_json_in *in)
{
    char *out = arena_alloc(in->arena, DETAIL_MAX);
    size_t len = 0;
    if (out == NULL) {
        return in->wanted;
    }
    for (size_t i = 0; i < in->depth; i++) {
        char name[NAME_MAX_BYTES];
        codec_json_name(in->steps[i].name, name);
        len += (size_t)snprintf(out + len, DETAIL_MAX - len, "%s%s", i > 0 ? "." : "", name);
        if (in->steps[i].index != NO_INDEX && len < DETAIL_MAX) {
            len += (size_t)snprintf(out + len, DETAIL_MAX - len, "[%zu]", in->steps[i].index);
        }
        if (len >= DETAIL_MAX) {
            return in->wanted;
        }
    }
    snprintf(out + len, DETAIL_MAX - len, "%s%s", len > 0 ? ": " : "", in->wanted);
    return out;
}

/* A copy of its own even of the empty text: protobuf-c leaves out a oneof's member that is the
 * shared one (protobuf_c_empty_string), and the choice would be lost. */
static int codec_json_read_text(struct codec_json_in *in, const json_t *value, char **ret_text)
{
    if (!json_is_string(value)) {
        return codec_json_fault(in, "a string is wanted");
    }
    size_t len = json_string_length(value);
    char *copy = arena_alloc(in->arena, len + 1);
    if (copy == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    memcpy(copy, json_string_value(value), len + 1);
    *ret_text = copy;
    return 0;
}

static int codec_json_read_bytes(struct codec_json_in *in, const json_t *value,
                                 ProtobufCBinaryData *ret_bytes)
{
    if (!json_is_string(value)) {
        return codec_json_fault(in, "base64 in a string is wanted");
    }
    struct span text = {(const uint8_t *)json_string_value(value), json_string_length(value)};
    uint8_t *out = arena_alloc(in->arena, text.len / 4 * 3 + 3);
    if (out == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    size_t len;
    if (!codec_json_base64_parse(text, out, &len)) {
        return codec_json_fault(in, "base64 in a string is wanted");
    }
    *ret_bytes = (ProtobufCBinaryData){len, out};
    return 0;
}

static int codec_json_read_enum(struct codec_json_in *in, const json_t *value,
                                const ProtobufCEnumDescriptor *descriptor, int32_t *ret_number)
{
    if (json_is_string(value)) {
        const ProtobufCEnumValue *known =
            protobuf_c_enum_descriptor_get_value_by_name(descriptor, json_string_value(value));
        if (known == NULL) {
            return codec_json_fault(in, "no such name in this enum");
        }
        *ret_number = known->value;
        return 0;
    }
    int64_t number;
    if (!codec_json_int(value, INT32_MIN, INT32_MAX, &number)) {
        return codec_json_fault(in, "the name of a value in a string is wanted, or its number");
    }
    *ret_number = (int32_t)number;
    return 0;
}

static int codec_json_read_number(struct codec_json_in *in, const json_t *value, ProtobufCType type,
                                  void *ret_value)
{
    int64_t small;
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
        return codec_json_int(value, INT64_MIN, INT64_MAX, ret_value)
                   ? 0
                   : codec_json_fault(in, "an integer of 64 bits is wanted");
    case PROTOBUF_C_TYPE_UINT64:
        return codec_json_uint(value, UINT64_MAX, ret_value)
                   ? 0
                   : codec_json_fault(in, "an integer of 0 to 2^64 - 1 is wanted");
    case PROTOBUF_C_TYPE_DOUBLE:
        return codec_json_real(value, ret_value) ? 0 : codec_json_fault(in, "a number is wanted");
    default:
        CHECK(type == PROTOBUF_C_TYPE_INT32);
        if (!codec_json_int(value, INT32_MIN, INT32_MAX, &small)) {
            return codec_json_fault(in, "an integer of 32 bits is wanted");
        }
        *(int32_t *)ret_value = (int32_t)small;
        return 0;
    }
}

static int codec_json_read_value(struct codec_json_in *in, const json_t *value,
                                 const ProtobufCFieldDescriptor *field, void *ret_value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return codec_json_read_text(in, value, ret_value);
    case PROTOBUF_C_TYPE_BYTES:
        return codec_json_read_bytes(in, value, ret_value);
    case PROTOBUF_C_TYPE_ENUM:
        return codec_json_read_enum(in, value, field->descriptor, ret_value);
    case PROTOBUF_C_TYPE_MESSAGE:
        return codec_json_read_message(in, value, field->descriptor, ret_value);
    case PROTOBUF_C_TYPE_BOOL:
        if (!json_is_boolean(value)) {
            return codec_json_fault(in, "true or false is wanted");
        }
        *(protobuf_c_boolean *)ret_value = json_is_true(value);
        return 0;
    default:
        return codec_json_read_number(in, value, field->type, ret_value);
    }
}

static int codec_json_read_list(struct codec_json_in *in, const json_t *value,
                                const ProtobufCFieldDescriptor *field, uint8_t *message)
{
    if (!json_is_array(value)) {
        return codec_json_fault(in, "a list is wanted");
    }
    size_t count = json_array_size(value), stride = codec_json_stride(field);
    uint8_t *items = arena_zalloc(in->arena, count * stride);
    if (items == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    struct codec_json_step *step = &in->steps[in->depth - 1];
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);
        step->index = i;
        if (json_is_null(item)) {
            return codec_json_fault(in, "null has no place in a list");
        }
        int r = codec_json_read_value(in, item, field, items + i * stride);
        if (r) {
            return r;
        }
    }
    step->index = NO_INDEX;
    *(size_t *)(void *)(message + field->quantifier_offset) = count;
    *(uint8_t **)(void *)(message + field->offset) = items;
    return 0;
}

static int codec_json_read_field(struct codec_json_in *in, const json_t *value,
                                 const ProtobufCFieldDescriptor *field, uint8_t *message)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return codec_json_read_list(in, value, field, message);
    }
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        uint32_t *which = (uint32_t *)(void *)(message + field->quantifier_offset);
        if (*which != 0) {
            return codec_json_fault(in, "another member of the same choice is set already");
        }
        *which = field->id;
    }
    return codec_json_read_value(in, value, field, message + field->offset);
}

static const ProtobufCFieldDescriptor *codec_json_field(
    const ProtobufCMessageDescriptor *descriptor, const char *key)
{
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        if (codec_json_name_is(descriptor->fields[i].name, span_of(key))) {
            return &descriptor->fields[i];
        }
    }
    return NULL;
}

/* Only a plain word is repeated to who sent it. */
static int codec_json_unknown(struct codec_json_in *in, const char *key)
{
    size_t len = 0;
    while ((key[len] >= 'a' && key[len] <= 'z') || (key[len] >= 'A' && key[len] <= 'Z') ||
           (key[len] >= '0' && key[len] <= '9') || key[len] == '_') {
        len++;
    }
    if (len > 0 && len < NAME_MAX_BYTES && key[len] == 0) {
        in->steps[in->depth++] = (struct codec_json_step){key, NO_INDEX};
    }
    return codec_json_fault(in, "this message has no such member");
}

/* jansson's iterators want a tree that could be changed; it is not. */
static int codec_json_read_members(struct codec_json_in *in, json_t *object, uint8_t *message,
                                   const ProtobufCMessageDescriptor *descriptor)
{
    uint64_t seen = 0;
    CHECK(descriptor->n_fields <= FIELDS_MAX);
    CHECK(in->depth < ARRAY_COUNT(in->steps));
    void *member = json_object_iter(object);
    for (; member; member = json_object_iter_next(object, member)) {
        const ProtobufCFieldDescriptor *field =
            codec_json_field(descriptor, json_object_iter_key(member));
        if (field == NULL && in->is_strict) {
            return codec_json_unknown(in, json_object_iter_key(member));
        }
        if (field == NULL) {
            continue;
        }
        in->steps[in->depth++] = (struct codec_json_step){field->name, NO_INDEX};
        uint64_t bit = UINT64_C(1) << (field - descriptor->fields);
        if (seen & bit) {
            return codec_json_fault(in, "given twice");
        }
        seen |= bit;
        const json_t *value = json_object_iter_value(member);
        int r = json_is_null(value) ? 0 : codec_json_read_field(in, value, field, message);
        if (r) {
            return r;
        }
        in->depth--;
    }
    return 0;
}

static int codec_json_read_time(struct codec_json_in *in, const json_t *value,
                                Google__Protobuf__Timestamp *t)
{
    struct span text = {(const uint8_t *)json_string_value(value), json_string_length(value)};
    return text.ptr && codec_json_time_parse(text, &t->seconds, &t->nanos)
               ? 0
               : codec_json_fault(in, "a time is wanted, such as \"2026-12-01T09:00:00Z\"");
}

static int codec_json_read_duration(struct codec_json_in *in, const json_t *value,
                                    Google__Protobuf__Duration *d)
{
    struct span text = {(const uint8_t *)json_string_value(value), json_string_length(value)};
    return text.ptr && codec_json_duration_parse(text, &d->seconds, &d->nanos)
               ? 0
               : codec_json_fault(in, "a duration is wanted, such as \"1.5s\"");
}

static int codec_json_read_message(struct codec_json_in *in, const json_t *value,
                                   const ProtobufCMessageDescriptor *descriptor,
                                   ProtobufCMessage **ret_message)
{
    CHECK(descriptor != &google__protobuf__any__descriptor); /* no request has one */
    uint8_t *message = arena_alloc(in->arena, descriptor->sizeof_message);
    if (message == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    descriptor->message_init((ProtobufCMessage *)(void *)message);
    int r;
    if (descriptor == &google__protobuf__timestamp__descriptor) {
        r = codec_json_read_time(in, value, (void *)message);
    } else if (descriptor == &google__protobuf__duration__descriptor) {
        r = codec_json_read_duration(in, value, (void *)message);
    } else if (!json_is_object(value)) {
        r = codec_json_fault(in, "an object is wanted, such as {}");
    } else {
        r = codec_json_read_members(in, (json_t *)value, message, descriptor);
    }
    if (r == 0) {
        *ret_message = (ProtobufCMessage *)(void *)message;
    }
    return r;
}

/* Where the text stops being JSON; jansson's own text may quote what it was sent. */
static const char *codec_json_syntax(struct arena *arena, const json_error_t *error)
{
    char *out = arena_alloc(arena, DETAIL_MAX);
    if (out == NULL) {
        return "no JSON object";
    }
    const char *what = "no JSON";
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        what = "a member is given twice";
        break;
    case json_error_numeric_overflow:
        what = "a number is too large: write it in quotes";
        break;
    case json_error_stack_overflow:
        what = "nested too deeply";
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
        what = "NUL may not stand in a text";
        break;
    case json_error_invalid_utf8:
        what = "no UTF-8";
        break;
    default:
        break;
    }
    snprintf(out, DETAIL_MAX, "%s (line %d, column %d)", what, error->line, error->column);
    return out;
}

int codec_json_read(const ProtobufCMessageDescriptor *descriptor,
                    const struct codec_json_source *source, struct arena *arena,
                    ProtobufCMessage **ret_message, const char **ret_detail)
{
    if (source->json.len == 0) {
        *ret_detail = "an empty body is no JSON: send {}";
        return REASON_MESSAGE_MALFORMED;
    }
    json_error_t error;
    json_t *tree = json_loadb((const char *)source->json.ptr, source->json.len,
                              JSON_REJECT_DUPLICATES, &error);
    if (tree == NULL) {
        *ret_detail = codec_json_syntax(arena, &error);
        return REASON_MESSAGE_MALFORMED;
    }
    struct codec_json_in in = {.arena = arena, .is_strict = source->is_strict};
    int r = codec_json_read_message(&in, tree, descriptor, ret_message);
    if (r == REASON_MESSAGE_MALFORMED) {
        *ret_detail = codec_json_detail(&in);
    }
    json_decref(tree);
    return r;
}
