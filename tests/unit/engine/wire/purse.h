/* SPDX-License-Identifier: MIT */
/* An allocator that counts, and fails where it is told to. */
#ifndef FAIRSLOT_TESTS_WIRE_PURSE_H
#define FAIRSLOT_TESTS_WIRE_PURSE_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "base/types.h"

struct purse {
    size_t live;       /* allocations not freed */
    size_t bytes;      /* of them */
    uint64_t count;    /* allocations so far */
    uint64_t fail_at;  /* the one that fails; 0: none */
    bool fails_on;     /* every later one fails too */
};

/* The size stands before the bytes. */
union purse_head {
    size_t size;
    max_align_t align;
};

static inline bool purse_fails(struct purse *purse)
{
    purse->count++;
    return purse->fail_at &&
           (purse->count == purse->fail_at || (purse->fails_on && purse->count > purse->fail_at));
}

static inline void *purse_malloc(size_t size, void *user)
{
    struct purse *purse = user;
    if (purse_fails(purse)) {
        return NULL;
    }
    union purse_head *head = malloc(sizeof(*head) + size);
    head->size = size;
    purse->live++;
    purse->bytes += size;
    return head + 1;
}

static inline void purse_free(void *ptr, void *user)
{
    struct purse *purse = user;
    if (ptr) {
        union purse_head *head = (union purse_head *)ptr - 1;
        purse->live--;
        purse->bytes -= head->size;
        free(head);
    }
}

static inline void *purse_calloc(size_t count, size_t size, void *user)
{
    void *ptr = purse_malloc(count * size, user);
    return ptr ? memset(ptr, 0, count * size) : NULL;
}

static inline void *purse_realloc(void *ptr, size_t size, void *user)
{
    if (!ptr) {
        return purse_malloc(size, user);
    }
    size_t old = ((union purse_head *)ptr - 1)->size;
    void *bigger = purse_malloc(size, user);
    if (bigger) {
        memcpy(bigger, ptr, old < size ? old : size);
        purse_free(ptr, user);
    }
    return bigger;
}

static inline nghttp2_mem purse_mem(struct purse *purse)
{
    return (nghttp2_mem){purse, purse_malloc, purse_free, purse_calloc, purse_realloc};
}

#endif
