/* SPDX-License-Identifier: MIT */
/* What the codec's tests share: messages made with protobuf-c, one call to codec_request(). */
#ifndef FAIRSLOT_TESTS_CODEC_KIT_H
#define FAIRSLOT_TESTS_CODEC_KIT_H

#include <protobuf-c/protobuf-c.h>

#include "base/bytes.h"
#include "proto/codec.h"
#include "tests/lib/tap.h"

#define KIT_UUID "01890a5d-ac96-774b-bcce-b302099a8057"

static struct arena kit_arena;
static struct command kit_command;
static const char *kit_field;
static const char *kit_detail;
static uint8_t kit_bytes[256 * 1024];

static inline struct span kit_pack(const void *message)
{
    const ProtobufCMessage *m = message;
    size_t n = protobuf_c_message_get_packed_size(m);
    if (n > sizeof kit_bytes) {
        abort();
    }
    protobuf_c_message_pack(m, kit_bytes);
    return (struct span){kit_bytes, n};
}

/* The verdict of the bytes for the method of `path`. */
static inline int kit_ask_bytes(const char *path, struct span bytes)
{
    arena_reset(&kit_arena);
    kit_field = kit_detail = "";
    const struct codec_method *method = codec_method_find(span_of(path));
    if (method == NULL) {
        abort();
    }
    return codec_request(method, bytes, &kit_arena, &kit_command, &kit_field, &kit_detail);
}

static inline int kit_ask(const char *path, const void *message)
{
    return kit_ask_bytes(path, kit_pack(message));
}

/* The message must be refused for that field, and the detail must say something. */
#define REFUSED(path, message, name)                              \
    do {                                                          \
        EQ(kit_ask((path), (message)), REASON_FIELD_INVALID);     \
        EQS(kit_field, (name));                                   \
        OK(strlen(kit_detail) > 3);                               \
    } while (0)

static inline int kit_done(void)
{
    arena_fini(&kit_arena);
    return tap_done();
}

#define KIT_SERVICE(name) "/fairslot.v1." name
#define KIT_ADMIN(name)   "/fairslot.admin.v1.PoolAdminService/" name

#endif
