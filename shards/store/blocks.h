/* SPDX-License-Identifier: MIT */
/* The memory of an overlay: it is handed out piece by piece, and comes back all at once.
 * Pieces start at multiples of a unit, and units are counted through all blocks, so that 32 bits
 * say where a piece is.  One thread. */
#ifndef FAIRSLOT_STORE_BLOCKS_H
#define FAIRSLOT_STORE_BLOCKS_H

#include "base/types.h"

#define BLOCK_SIZE  (2048 * 1024) /* bytes: one huge page, where the kernel gives them */
#define BLOCK_UNIT  16            /* bytes */
#define BLOCK_UNITS (BLOCK_SIZE / BLOCK_UNIT)

struct blocks {
    uint8_t **block; /* BLOCK_SIZE each */
    uint32_t count;  /* allocated */
    uint32_t at;     /* the one being filled */
    uint32_t used;   /* bytes of it handed out */
    uint32_t keep;   /* as many were wanted lately */
    uint64_t bytes;  /* handed out in all */
};

/* 0 or -ENOMEM; then blocks_fini() is allowed too. */
int blocks_init(struct blocks *b);
void blocks_fini(struct blocks *b);
/* Nothing is handed out any more; keeps the memory that was wanted lately. */
void blocks_reset(struct blocks *b);
/* n <= BLOCK_SIZE bytes, not cleared, until the reset; NULL: memory has ended. */
void *blocks_take(struct blocks *b, size_t n);
/* Of the piece that was taken last. */
uint32_t blocks_unit(const struct blocks *b, const void *piece);
/* Memory outside the blocks, BLOCK_SIZE bytes or more, to be given to free(); NULL: none left. */
void *blocks_big(size_t n);

static inline void *blocks_piece(const struct blocks *b, uint32_t unit)
{
    return b->block[unit / BLOCK_UNITS] + (size_t)(unit % BLOCK_UNITS) * BLOCK_UNIT;
}

#endif
