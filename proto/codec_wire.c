/* SPDX-License-Identifier: MIT */
/* protobuf-c in an arena.  Owns nothing: messages are the arena's and go with it.
 *
 *   bytes -> codec_utf8_scan() -> protobuf_c_message_unpack() with our allocator -> message
 *
 * Why an allocator of our own: 64 KiB of empty items unpack to 5.5 MB.  Over the arena's cap it
 * returns NULL, protobuf-c gives up cleanly, and the caller gets a verdict.  free() is a no-op.
 * Fails by verdict (bytes) or -ENOMEM (packing over the cap), never by an assert.
 * Road not taken: decoding by hand, which would save the copies of strings but not the risk. */
#include <errno.h>

#define XXH_STATIC_LINKING_ONLY /* the hash state lives on the stack: no malloc here */
#include <xxhash.h>

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

/* A ProtobufCBuffer that hashes what is appended; small pieces are collected first. */
struct codec_hasher {
    ProtobufCBuffer base;
    XXH3_state_t *state; /* NULL until the first flush */
    XXH3_state_t space;
    size_t used;
    uint8_t bytes[512];
};

static void codec_hasher_flush(struct codec_hasher *h)
{
    if (h->state == NULL) {
        h->state = &h->space;
        XXH3_64bits_reset(h->state);
    }
    XXH3_64bits_update(h->state, h->bytes, h->used);
    h->used = 0;
}

static void codec_hasher_append(ProtobufCBuffer *buffer, size_t len, const uint8_t *data)
{
    struct codec_hasher *h = (struct codec_hasher *)(void *)buffer;
    while (len > 0) {
        size_t n = sizeof h->bytes - h->used;
        if (n == 0) {
            codec_hasher_flush(h);
            continue;
        }
        if (n > len) {
            n = len;
        }
        memcpy(h->bytes + h->used, data, n);
        h->used += n;
        data += n;
        len -= n;
    }
}

uint64_t codec_hash(const ProtobufCMessage *message)
{
    struct codec_hasher h;
    h.base.append = codec_hasher_append;
    h.state = NULL;
    h.used = 0;
    protobuf_c_message_pack_to_buffer(message, &h.base);
    if (h.state == NULL) {
        return XXH3_64bits(h.bytes, h.used); /* the same value as the streamed one */
    }
    codec_hasher_flush(&h);
    return XXH3_64bits_digest(h.state);
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
