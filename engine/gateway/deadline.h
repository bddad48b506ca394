/* SPDX-License-Identifier: MIT */
/* What must happen by when: a binary heap of times, intrusive.  PURE after deadline_heap_init().
 * The loop arms one timer for the top, and none when the heap is empty.  Milliseconds of the
 * loop's clock. */
#ifndef FAIRSLOT_GATEWAY_DEADLINE_H
#define FAIRSLOT_GATEWAY_DEADLINE_H

#include "base/types.h"

/* Whose deadline it is; the loop dispatches on it. */
enum deadline_owner {
    DEADLINE_CALL,
    DEADLINE_HELLO,
    DEADLINE_CONN,
    DEADLINE_KEEP,
    DEADLINE_BRAKE,
    DEADLINE_HOP,
    DEADLINE_DRAIN,
    DEADLINE_OWNERS
};

/* Embedded in its owner; zeroed: not armed. */
struct deadline {
    uint64_t at_ms;
    uint32_t place; /* in the heap, from 1; 0: not armed */
    enum deadline_owner owner;
};

struct deadline_heap {
    struct deadline **slots; /* slots[1] is due first */
    size_t count;
    size_t max; /* armed at once; more is a programmer's error */
};

/* 0 or -ENOMEM.  Memory is touched only as far as it is used. */
int deadline_heap_init(struct deadline_heap *heap, size_t max);
/* Takes a zeroed heap. */
void deadline_heap_fini(struct deadline_heap *heap);
/* Arms, or moves an armed one. */
void deadline_arm(struct deadline_heap *heap, struct deadline *d, uint64_t at_ms);
/* Not armed: nothing happens. */
void deadline_disarm(struct deadline_heap *heap, struct deadline *d);
/* One that is due (at_ms <= now_ms), disarmed; NULL: none. */
struct deadline *deadline_pull(struct deadline_heap *heap, uint64_t now_ms);
/* When the first one is due; 0: none is armed. */
uint64_t deadline_next_ms(const struct deadline_heap *heap);

#endif
