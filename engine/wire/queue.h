/* SPDX-License-Identifier: MIT */
/* Bytes waiting to leave on one stream: a small inline store for the usual answer, the heap for
 * more.  Zeroed is empty.  It has no limit of its own: its user asks wire_queue_len() first. */
#ifndef FAIRSLOT_WIRE_QUEUE_H
#define FAIRSLOT_WIRE_QUEUE_H

#include <nghttp2/nghttp2.h>

#include "base/types.h"

#define WIRE_QUEUE_INLINE 256 /* a hold with its prefix is about 180 bytes */

struct wire_queue {
    uint8_t *heap; /* NULL: the bytes are in `store` */
    size_t cap;    /* of heap */
    size_t head;   /* first byte waiting */
    size_t tail;   /* after the last */
    uint8_t store[WIRE_QUEUE_INLINE];
};

static inline size_t wire_queue_len(const struct wire_queue *q)
{
    return q->tail - q->head;
}

/* One message with its prefix; flags is 0 but for an end.  0, or < 0 with nothing queued. */
int wire_queue_push(struct wire_queue *q, uint8_t flags, struct span message, nghttp2_mem *mem);
/* Room for n bytes at the end, which the caller fills before anything else; NULL: out of memory. */
uint8_t *wire_queue_extend(struct wire_queue *q, size_t n, nghttp2_mem *mem);
/* Moves up to `cap` bytes to `out`, returns how many.  An emptied heap is given back. */
size_t wire_queue_pull(struct wire_queue *q, uint8_t *out, size_t cap, nghttp2_mem *mem);
/* Empties it and gives its heap back. */
void wire_queue_fini(struct wire_queue *q, nghttp2_mem *mem);

#endif
