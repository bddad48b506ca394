/* SPDX-License-Identifier: MIT */
/* gRPC's own framing inside DATA: one flag byte, four bytes of length, the message.
 * Shared by both sides; memory comes from the connection's allocator. */
#ifndef FAIRSLOT_WIRE_FRAME_H
#define FAIRSLOT_WIRE_FRAME_H

#include <nghttp2/nghttp2.h>

#include "base/types.h"

#define WIRE_PREFIX 5 /* bytes before each message */

/* A message on its way in.  Zeroed is empty. */
struct wire_frame {
    uint8_t *bytes;              /* what has come of it; NULL: nothing is kept */
    uint32_t bytes_cap;          /* of `bytes` */
    uint32_t have;               /* bytes of the message so far */
    uint32_t message_len;        /* as the prefix says; valid once prefix_have is WIRE_PREFIX */
    uint8_t prefix[WIRE_PREFIX]; /* the prefix so far */
    uint8_t prefix_have;         /* bytes of it; 0: between two messages */
};

enum {
    WIRE_FRAME_MESSAGE = 1,    /* *ret_message is whole: call again with what is left */
    WIRE_FRAME_COMPRESSED = 2, /* its flag is not 0 */
    WIRE_FRAME_TOO_LARGE = 3,  /* its prefix says more than message_max */
};

/* Takes bytes off the front of *input.  0: all taken, no message whole yet; a verdict above; or
 * < 0.  After COMPRESSED and TOO_LARGE, and after < 0, only _fini() is allowed.
 * *ret_message is borrowed from the input, or from `f` until the next push. */
int wire_frame_push(struct wire_frame *f, struct span *input, uint32_t message_max,
                    nghttp2_mem *mem, struct span *ret_message);
/* Adds bytes of a message that has no prefix and ends with its request.  0, WIRE_FRAME_TOO_LARGE,
 * or < 0. */
int wire_frame_gather(struct wire_frame *f, struct span input, uint32_t message_max,
                      nghttp2_mem *mem);
/* Gives back what is kept between two messages; call it when the last one was handled. */
void wire_frame_rest(struct wire_frame *f, nghttp2_mem *mem);
void wire_frame_fini(struct wire_frame *f, nghttp2_mem *mem);

static inline bool wire_frame_inside(const struct wire_frame *f)
{
    return f->prefix_have > 0;
}

void wire_frame_prefix(uint8_t flags, size_t message_len, uint8_t *out);

#endif
