/* SPDX-License-Identifier: MIT */
/* Framed messages on their way out.  Owns: the bytes until nghttp2 pulled them.
 *
 *   push: [ gone | head ... waiting ... tail | prefix message | room ]
 *   pull: copies from head; when head meets tail the heap goes back, the inline store begins anew
 *
 * One contiguous run, so that a pull is one copy and a DATA frame is filled from many messages.
 * A push without room at the end first slides the waiting bytes down if at least half of the store
 * is gone (so each byte slides O(1) times), else doubles.
 * Fails: out of memory, with nothing queued.  Not a ring: two copies a pull buy nothing here. */
#include "wire/queue.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "wire/frame.h"

static uint8_t *queue_bytes(struct wire_queue *q)
{
    return q->heap ? q->heap : q->store;
}

static int queue_grow(struct wire_queue *q, size_t len, nghttp2_mem *mem)
{
    size_t cap = q->heap ? q->cap : sizeof(q->store);
    while (cap < len) {
        cap *= 2;
    }
    uint8_t *heap = mem->malloc(cap, mem->mem_user_data);
    if (!heap) {
        return err_origin(-ENOMEM);
    }
    memcpy(heap, queue_bytes(q) + q->head, wire_queue_len(q));
    if (q->heap) {
        mem->free(q->heap, mem->mem_user_data);
    }
    q->tail -= q->head;
    q->head = 0;
    q->heap = heap;
    q->cap = cap;
    return 0;
}

static int queue_reserve(struct wire_queue *q, size_t n, nghttp2_mem *mem)
{
    size_t cap = q->heap ? q->cap : sizeof(q->store);
    if (cap - q->tail >= n) {
        return 0;
    }
    size_t len = wire_queue_len(q);
    if (q->head >= cap / 2 && cap - len >= n) {
        memmove(queue_bytes(q), queue_bytes(q) + q->head, len);
        q->head = 0;
        q->tail = len;
        return 0;
    }
    return err_trace(queue_grow(q, len + n, mem));
}

uint8_t *wire_queue_extend(struct wire_queue *q, size_t n, nghttp2_mem *mem)
{
    if (queue_reserve(q, n, mem) < 0) {
        return NULL;
    }
    uint8_t *at = queue_bytes(q) + q->tail;
    q->tail += n;
    return at;
}

int wire_queue_push(struct wire_queue *q, uint8_t flags, struct span message, nghttp2_mem *mem)
{
    uint8_t *at = wire_queue_extend(q, WIRE_PREFIX + message.len, mem);
    if (!at) {
        return err_origin(-ENOMEM);
    }
    wire_frame_prefix(flags, message.len, at);
    if (message.len > 0) {
        memcpy(at + WIRE_PREFIX, message.ptr, message.len);
    }
    return 0;
}

size_t wire_queue_pull(struct wire_queue *q, uint8_t *out, size_t cap, nghttp2_mem *mem)
{
    size_t n = wire_queue_len(q);
    if (n > cap) {
        n = cap;
    }
    memcpy(out, queue_bytes(q) + q->head, n);
    q->head += n;
    if (q->head == q->tail) {
        wire_queue_fini(q, mem);
    }
    return n;
}

void wire_queue_fini(struct wire_queue *q, nghttp2_mem *mem)
{
    if (q->heap) {
        mem->free(q->heap, mem->mem_user_data);
        q->heap = NULL;
    }
    q->cap = q->head = q->tail = 0;
}
