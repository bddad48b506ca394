/* SPDX-License-Identifier: MIT */
/* Memory of one call.  Owns: a chain of blocks, newest first.
 * happy path: bump a pointer.  A full block: a new one, twice as large, in front.
 * Fails by NULL only.  There is no free of one piece: that is what makes it cheap. */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define ARENA_BLOCK_MIN 1024
#define ARENA_ALIGN     16

struct arena_block {
    struct arena_block *next;
    size_t size; /* usable bytes behind the header */
    size_t used;
    size_t padding; /* keeps the bytes 16-byte aligned */
};

_Static_assert(sizeof(struct arena_block) % ARENA_ALIGN == 0, "block header keeps alignment");

void arena_init(struct arena *a, size_t max_bytes)
{
    CHECK(max_bytes > 0);
    *a = (struct arena){.max_bytes = max_bytes};
}

void arena_fini(struct arena *a)
{
    while (a->first) {
        struct arena_block *b = a->first;
        a->first = b->next;
        free(b);
    }
    a->used_bytes = 0;
}

void arena_reset(struct arena *a)
{
    while (a->first && a->first->next) {
        struct arena_block *b = a->first;
        a->first = b->next;
        free(b);
    }
    if (a->first) {
        a->first->used = 0;
    }
    a->used_bytes = 0;
}

static struct arena_block *arena_grow(struct arena *a, size_t n)
{
    size_t size = a->first ? a->first->size * 2 : ARENA_BLOCK_MIN;
    if (size < n) {
        size = n;
    }
    struct arena_block *b = malloc(sizeof *b + size);
    if (b == NULL) {
        return NULL;
    }
    *b = (struct arena_block){.next = a->first, .size = size};
    a->first = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    CHECK(a->max_bytes > 0);
    if (n > a->max_bytes - a->used_bytes) {
        return NULL;
    }
    size_t need = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *b = a->first;
    if (b == NULL || b->size - b->used < need) {
        b = arena_grow(a, need);
        if (b == NULL) {
            return NULL;
        }
    }
    void *p = (uint8_t *)(b + 1) + b->used;
    b->used += need;
    a->used_bytes += n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    if (p) {
        memset(p, 0, n);
    }
    return p;
}
