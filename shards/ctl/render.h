/* SPDX-License-Identifier: MIT */
/* Answers on stdout: JSON in the shape of proto3 JSON (lowerCamelCase, RFC 3339 times, int64 as
 * text), or a table with aligned columns. */
#ifndef FAIRSLOT_CTL_RENDER_H
#define FAIRSLOT_CTL_RENDER_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "base/types.h"

/* A new reference, or NULL when out of memory.  Unset messages are left out, scalars never. */
json_t *render_json(const ProtobufCMessage *message);
/* Writes it with a line end and takes the reference.  VERB_OK, or VERB_FAILED (told). */
int render_print_json(json_t *value);
/* The same on one line, for streams. */
int render_print_line(json_t *value);
/* The last part of a resource name: "passports" of "pools/passports". */
const char *render_last(const char *name);

/* Flushes stdout.  VERB_OK, or VERB_FAILED (told): nobody got what was printed. */
int render_flush(void);

#endif
