/* SPDX-License-Identifier: MIT */
/* What the files of the JSON mapping share; nobody else includes it, but its tests.
 * Pure.  Everything lives in the arena that is passed along. */
#ifndef FAIRSLOT_PROTO_CODEC_JSON_PARTS_H
#define FAIRSLOT_PROTO_CODEC_JSON_PARTS_H

#include <jansson.h>

#include "proto/codec_json.h"
#include "proto/codec_parts.h"

#define CODEC_JSON_DEPTH_MAX  8  /* messages inside each other; no type of ours contains itself */
#define CODEC_JSON_NUMBER_MAX 32 /* bytes of any number, terminated */
#define CODEC_JSON_TIME_MAX   40 /* bytes of any time or duration, terminated */

/* -- codec_json_read.c: jansson's tree -> message -------------------------------------------- */

/* 0, REASON_MESSAGE_MALFORMED (with *ret_detail), REASON_MESSAGE_TOO_LARGE over the cap. */
struct codec_json_source {
    struct span json;
    bool is_strict; /* refuse unknown members */
};
int codec_json_read(const ProtobufCMessageDescriptor *descriptor,
                    const struct codec_json_source *source, struct arena *arena,
                    ProtobufCMessage **ret_message, const char **ret_detail);

/* -- codec_json_write.c: message -> text ----------------------------------------------------- */

/* Grows in the arena; once full it stays full. */
struct codec_json_out {
    struct arena *arena;
    char *text;
    size_t len;
    size_t size;
    bool is_full;
    bool is_bad; /* a value that JSON cannot say, such as a time out of range */
};

/* `guess`: bytes that will probably do. */
struct codec_json_out codec_json_out_of(struct arena *arena, size_t guess);
void codec_json_put(struct codec_json_out *out, const char *text, size_t len);
/* Bytes from one element of the repeated field to the next, as protobuf-c lays them out. */
size_t codec_json_stride(const ProtobufCFieldDescriptor *field);
/* In quotes, escaped. */
void codec_json_put_text(struct codec_json_out *out, const char *text);
/* In quotes, as base64. */
void codec_json_put_bytes(struct codec_json_out *out, struct span bytes, bool is_padded);
void codec_json_put_message(struct codec_json_out *out, const ProtobufCMessage *message);
/* 0, REASON_MESSAGE_MALFORMED, or -ENOMEM. */
int codec_json_out_end(const struct codec_json_out *out, struct span *ret_json);

/* -- codec_json_any.c ------------------------------------------------------------------------ */

/* What may stand in an Any, by its type's full name; NULL: unknown here. */
const ProtobufCMessageDescriptor *codec_json_any_type(struct span full_name);
/* The part of a type URL behind its last '/'. */
struct span codec_json_any_name(const char *type_url);

/* -- codec_json_text.c: how values are spelled ----------------------------------------------- */

/* Standard or URL-safe, padded or not.  `out` takes 3 bytes for each 4 begun; false: no base64. */
bool codec_json_base64_parse(struct span text, uint8_t *out, size_t *ret_len);
/* Terminated; false: out of range. */
bool codec_json_time(int64_t seconds, int32_t nanos, char out[CODEC_JSON_TIME_MAX]);
bool codec_json_time_parse(struct span text, int64_t *ret_seconds, int32_t *ret_nanos);
bool codec_json_duration(int64_t seconds, int32_t nanos, char out[CODEC_JSON_TIME_MAX]);
bool codec_json_duration_parse(struct span text, int64_t *ret_seconds, int32_t *ret_nanos);
/* Is `key` the field's name, in either spelling? */
bool codec_json_name_is(const char *name, struct span key);

/* -- codec_json_number.c --------------------------------------------------------------------- */

/* A number, or one in a string; exact, in range, whole; else false. */
bool codec_json_int(const json_t *value, int64_t min, int64_t max, int64_t *ret_value);
bool codec_json_uint(const json_t *value, uint64_t max, uint64_t *ret_value);
/* The 8 bytes of an IEEE 754 number; also "NaN", "Infinity", "-Infinity". */
bool codec_json_real(const json_t *value, void *ret_value);
/* A short text that reads back as the same number, with quotes where JSON wants them.
 * Returns the length. */
size_t codec_json_real_text(const void *value, char out[CODEC_JSON_NUMBER_MAX]);

#endif
