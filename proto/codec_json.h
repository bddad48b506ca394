/* SPDX-License-Identifier: MIT */
/* JSON <-> packed messages: the proto3 JSON mapping, by descriptors, for every method of the public
 * API, health and reflection included.  What Connect's JSON faces and `fairslot call` speak.
 * Pure.  Everything returned lives in `arena`.  Hostile text is a verdict, never an assert.
 *
 * Read: lowerCamelCase and original names; 64-bit numbers as strings or numbers; bytes as base64,
 * standard or URL-safe, padded or not; enums by name or number; Timestamp in RFC 3339 with 0 to 9
 * digits and any offset; Duration "1.5s"; null is unset.  Unknown members are ignored, as the
 * servers of connect-go and connect-es do, so that a newer client works with an older server; an
 * unknown *name of an enum* is refused (a misspelt minAssurance must not make a pool without one).
 * Refused: anything that is no JSON of one object (also: invalid UTF-8, lone surrogates, NUL, NaN,
 * nesting over 2,048, numbers over 64 bits), a member given twice, also under both its names, two
 * members of a oneof, a value of another type or out of range.
 * Written: members in the order of their field numbers, those with their default value left out
 * (a set oneof member never is); enums by name; 64-bit integers as strings; times in UTC with 0, 3,
 * 6 or 9 digits.  The same message gives the same bytes. */
#ifndef FAIRSLOT_PROTO_CODEC_JSON_H
#define FAIRSLOT_PROTO_CODEC_JSON_H

#include "base/arena.h"
#include "base/types.h"
#include "proto/reason.h"

struct ProtobufCMessageDescriptor;

/* The request of the method at `path` ("/fairslot.v1.CatalogService/ListPools"), packed.
 * Returns 0, REASON_METHOD_UNKNOWN, REASON_MESSAGE_MALFORMED (then *ret_detail is a text in the
 * arena or static, of our own words and field names only: "pool.holdTtl: a duration is wanted,
 * ..."), or REASON_MESSAGE_TOO_LARGE over the arena's cap. */
int codec_json_request(struct span path, struct span json, struct arena *arena,
                       struct span *ret_message, const char **ret_detail);

/* As codec_json_request(), for people at a command line: an unknown member is refused too. */
int codec_json_request_strict(struct span path, struct span json, struct arena *arena,
                              struct span *ret_message, const char **ret_detail);

/* One answer of the method at `path`, as JSON without a newline or a terminator.  JSON takes about
 * three times the bytes of the packed message, and about as much again of the arena.
 * Returns 0, REASON_METHOD_UNKNOWN, REASON_MESSAGE_MALFORMED, or < 0 (-ENOMEM over the cap). */
int codec_json_answer(struct span path, struct span message, struct arena *arena,
                      struct span *ret_json);

/* A packed google.rpc.Status (codec_status() makes one) as Connect's error object:
 *   {"code":"not_found","message":"no such pool","details":[
 *     {"type":"google.rpc.ErrorInfo","value":"base64, no padding","debug":{...}}]}
 * "debug" is the detail in JSON, for people, where its type is known.  Status 0 is "unknown".
 * Returns as codec_json_answer(). */
int codec_json_error(struct span status, struct arena *arena, struct span *ret_json);

/* The messages of a method; false: no such method. */
struct codec_json_method {
    const struct ProtobufCMessageDescriptor *request;
    const struct ProtobufCMessageDescriptor *answer;
};
bool codec_json_method_find(struct span path, struct codec_json_method *ret_method);

/* The number-th method's path, in the order of the .proto files, health and reflection last;
 * terminated, in the arena.  NULL past the last one, or over the cap. */
const char *codec_json_method_path(size_t number, struct arena *arena);

/* A field's name as JSON spells it: "hold_ttl" is "holdTtl".  `out` takes strlen(name) + 1.
 * Returns the length. */
size_t codec_json_name(const char *name, char *out);

#endif
