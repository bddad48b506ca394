/* SPDX-License-Identifier: MIT */
/* protobuf-c in an arena.  Owns nothing: messages are the arena's and go with it.
 *
 *   bytes -> codec_utf8_scan() -> protobuf_c_message_unpack() with our allocator -> message
 *
 * Why an allocator of our own: 64 KiB of empty items unpack to 5.5 MB.  Over the arena's cap it
 * returns NULL, protobuf-c gives up cleanly, and the caller gets a verdict.  free() is a no-op.
 * Fails by verdict (bytes) or -ENOMEM (packing over the cap), never by an assert.
 * What every mutation is made of does not come this way: codec_direct.h. */
#include <errno.h>

#include "base/err.h"
#include "proto/codec_parts.h"

/* What the allocator needs to know, and tell. */
struct codec_heap {
    struct arena *arena;
    bool full; /* the cap was hit: the bytes were too much, not wrong */
};

static void *codec_heap_alloc(void *data, size_t size)
{
    struct codec_heap *heap = data;
    void *p = arena_alloc(heap->arena, size);
    if (p == NULL) {
        heap->full = true;
    }
    return p;
}

static void codec_heap_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

int codec_unpack(const ProtobufCMessageDescriptor *descriptor, struct span bytes,
                 struct arena *arena, void *ret_message)
{
    if (!codec_utf8_scan(descriptor, bytes)) {
        return REASON_MESSAGE_MALFORMED;
    }
    struct codec_heap heap = {.arena = arena};
    ProtobufCAllocator allocator = {
        .alloc = codec_heap_alloc, .free = codec_heap_free, .allocator_data = &heap};
    /* protobuf-c does arithmetic on the pointer even when there is nothing to read. */
    const uint8_t *ptr = bytes.len ? bytes.ptr : (const uint8_t *)"";
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &allocator, bytes.len, ptr);
    if (message == NULL) {
        return heap.full ? REASON_MESSAGE_TOO_LARGE : REASON_MESSAGE_MALFORMED;
    }
    *(ProtobufCMessage **)ret_message = message;
    return 0;
}

int codec_pack(const ProtobufCMessage *message, struct arena *arena, struct span *ret_bytes)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *out = arena_alloc(arena, size);
    if (out == NULL) {
        return err_origin(-ENOMEM);
    }
    *ret_bytes = (struct span){out, protobuf_c_message_pack(message, out)};
    return 0;
}

char *codec_text(struct arena *arena, struct span text)
{
    if (text.len == 0) {
        return (char *)protobuf_c_empty_string;
    }
    char *out = arena_alloc(arena, text.len + 1);
    if (out) {
        memcpy(out, text.ptr, text.len);
        out[text.len] = 0;
    }
    return out;
}
