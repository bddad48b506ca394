/* SPDX-License-Identifier: MIT */
/* Messages out of a stream of bytes that may be cut anywhere.
 *
 *   DATA bytes -> prefix (5) -> message_len known -> whole in this input? -> borrowed, no copy
 *                                                 -> else kept in `bytes`, grown as they come
 *
 * The usual request comes whole in one DATA frame and is never copied.  A message in pieces grows
 * its buffer by doubling: a prefix that promises 64 KiB costs its sender the bytes first.
 * Fails: a set compression flag or a promised length over the limit is a verdict as soon as the
 * prefix is whole; out of memory is < 0.
 * Invariant: between two messages prefix_have and have are 0. */
#include "wire/frame.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define FIRST_CAP 256

void wire_frame_prefix(uint8_t flags, size_t message_len, uint8_t *out)
{
    CHECK(message_len <= UINT32_MAX);
    out[0] = flags;
    out[1] = (uint8_t)(message_len >> 24);
    out[2] = (uint8_t)(message_len >> 16);
    out[3] = (uint8_t)(message_len >> 8);
    out[4] = (uint8_t)message_len;
}

static void frame_advance(struct span *input, size_t n)
{
    input->ptr += n;
    input->len -= n;
}

static int frame_prefix(struct wire_frame *f, struct span *input, uint32_t message_max)
{
    while (f->prefix_have < WIRE_PREFIX && input->len > 0) {
        f->prefix[f->prefix_have++] = input->ptr[0];
        frame_advance(input, 1);
    }
    if (f->prefix_have < WIRE_PREFIX) {
        return 0;
    }
    const uint8_t *p = f->prefix;
    f->message_len = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (p[0] != 0) {
        return WIRE_FRAME_COMPRESSED;
    }
    return f->message_len > message_max ? WIRE_FRAME_TOO_LARGE : 0;
}

static int frame_grow(struct wire_frame *f, size_t needed, nghttp2_mem *mem)
{
    if (needed <= f->bytes_cap) {
        return 0;
    }
    size_t cap = f->bytes_cap ? f->bytes_cap : FIRST_CAP;
    while (cap < needed) {
        cap *= 2;
    }
    if (cap > f->message_len && f->message_len > 0) {
        cap = f->message_len; /* as its prefix said */
    }
    uint8_t *bytes = mem->realloc(f->bytes, cap, mem->mem_user_data);
    if (!bytes) {
        return err_origin(-ENOMEM);
    }
    f->bytes = bytes;
    f->bytes_cap = (uint32_t)cap;
    return 0;
}

static void frame_next(struct wire_frame *f)
{
    f->prefix_have = 0;
    f->have = 0;
}

int wire_frame_push(struct wire_frame *f, struct span *input, uint32_t message_max,
                    nghttp2_mem *mem, struct span *ret_message)
{
    if (input->len == 0) {
        return 0;
    }
    if (f->prefix_have < WIRE_PREFIX) {
        int r = frame_prefix(f, input, message_max);
        if (r != 0 || f->prefix_have < WIRE_PREFIX) {
            return r;
        }
    }
    size_t missing = f->message_len - f->have;
    if (f->have == 0 && input->len >= missing) {
        *ret_message = (struct span){input->ptr, missing};
        frame_advance(input, missing);
        frame_next(f);
        return WIRE_FRAME_MESSAGE;
    }
    size_t n = input->len < missing ? input->len : missing;
    if (n == 0) {
        return 0;
    }
    int r = frame_grow(f, f->have + n, mem);
    if (r < 0) {
        return err_trace(r);
    }
    memcpy(f->bytes + f->have, input->ptr, n);
    f->have += (uint32_t)n;
    frame_advance(input, n);
    if (f->have < f->message_len) {
        return 0;
    }
    *ret_message = (struct span){f->bytes, f->message_len};
    frame_next(f);
    return WIRE_FRAME_MESSAGE;
}

int wire_frame_gather(struct wire_frame *f, struct span input, uint32_t message_max,
                      nghttp2_mem *mem)
{
    if (input.len > message_max - f->have) {
        return WIRE_FRAME_TOO_LARGE;
    }
    if (input.len == 0) {
        return 0;
    }
    int r = frame_grow(f, f->have + input.len, mem);
    if (r < 0) {
        return err_trace(r);
    }
    memcpy(f->bytes + f->have, input.ptr, input.len);
    f->have += (uint32_t)input.len;
    return 0;
}

void wire_frame_rest(struct wire_frame *f, nghttp2_mem *mem)
{
    if (f->bytes && f->prefix_have == 0) {
        wire_frame_fini(f, mem);
    }
}

void wire_frame_fini(struct wire_frame *f, nghttp2_mem *mem)
{
    if (f->bytes) {
        mem->free(f->bytes, mem->mem_user_data);
    }
    *f = (struct wire_frame){0};
}
