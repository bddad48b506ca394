/* SPDX-License-Identifier: MIT */
/* Bump allocator with a cap: the bytes of one call live here and go all at once.
 * Blocks are kept by arena_reset() up to the first one, so a pooled call does not malloc again.
 * Over the cap, or out of memory, arena_alloc() returns NULL: a verdict for the caller. */
#ifndef FAIRSLOT_BASE_ARENA_H
#define FAIRSLOT_BASE_ARENA_H

#include "base/types.h"

struct arena_block;

struct arena {
    struct arena_block *first; /* newest block */
    size_t used_bytes;         /* handed out, all blocks */
    size_t max_bytes;          /* cap on used_bytes */
};

/* Caller's memory; allocates nothing yet. */
void arena_init(struct arena *a, size_t max_bytes);
/* Frees every block.  Takes a zeroed arena. */
void arena_fini(struct arena *a);
/* Everything handed out becomes invalid; keeps one block for the next use. */
void arena_reset(struct arena *a);
/* 16-byte aligned, not zeroed; NULL over the cap or out of memory.  n may be 0. */
void *arena_alloc(struct arena *a, size_t n);
/* As arena_alloc(), zeroed. */
void *arena_zalloc(struct arena *a, size_t n);

#endif
