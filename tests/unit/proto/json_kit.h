/* SPDX-License-Identifier: MIT */
/* What the tests of the JSON mapping share: JSON read as a type of message, and written again. */
#ifndef FAIRSLOT_TESTS_JSON_KIT_H
#define FAIRSLOT_TESTS_JSON_KIT_H

#include <errno.h>

#include "base/check.h"
#include "base/prng.h"
#include "proto/codec_json_parts.h"
#include "tests/unit/proto/codec_kit.h"

#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/resources.pb-c.h"
#include "fairslot/v1/services.pb-c.h"

#define POOL &fairslot__v1__pool__descriptor
#define SLOT &fairslot__v1__slot__descriptor

static const char *detail;

static inline int read_as(const ProtobufCMessageDescriptor *type, const char *json,
                          void *ret_message)
{
    struct codec_json_source source = {.json = span_of(json)};
    arena_reset(&kit_arena);
    detail = "";
    return codec_json_read(type, &source, &kit_arena, ret_message, &detail);
}

/* JSON -> message -> JSON, or the refusal. */
static inline const char *again(const ProtobufCMessageDescriptor *type, const char *json)
{
    static char text[4096];
    ProtobufCMessage *message;
    if (read_as(type, json, &message)) {
        return detail;
    }
    struct codec_json_out out = codec_json_out_of(&kit_arena, 1);
    codec_json_put_message(&out, message);
    struct span span;
    EQ(codec_json_out_end(&out, &span), 0);
    OK(span.len < sizeof text);
    memcpy(text, span.ptr, span.len);
    text[span.len] = 0;
    return text;
}

#define SAME(type, json)      EQS(again((type), (json)), (json))
#define NORMAL(type, json, b) EQS(again((type), (json)), (b))

#endif
