/* SPDX-License-Identifier: MIT */
/* The memory of an overlay: it is handed out piece by piece, and comes back all at once; only the
 * rooms that values outgrow may be given back one by one.
 * Pieces start at multiples of a unit, and units are counted through all blocks, so that 32 bits
 * say where a piece is.  One thread. */
#ifndef FAIRSLOT_STORE_BLOCKS_H
#define FAIRSLOT_STORE_BLOCKS_H

#include "base/types.h"

#define BLOCK_SIZE  (2048 * 1024) /* bytes: one huge page, where the kernel gives them */
#define BLOCK_UNIT  16            /* bytes */
#define BLOCK_UNITS (BLOCK_SIZE / BLOCK_UNIT)
#define ROOM_KINDS  11            /* sizes of rooms: 16 to 8,192 bytes */

struct blocks {
    uint8_t **block; /* BLOCK_SIZE each */
    uint32_t count;  /* allocated */
    uint32_t at;     /* the one being filled */
    uint32_t used;   /* bytes of it handed out */
    uint32_t keep;   /* as many were wanted lately */
    uint32_t warm;   /* as many stay in any case */
    uint64_t bytes;  /* handed out in all */
    uint8_t *rooms[ROOM_KINDS]; /* given back: a list of each size, its links in the rooms */
};

/* 0 or -ENOMEM; then blocks_fini() is allowed too. */
int blocks_init(struct blocks *b);
void blocks_fini(struct blocks *b);
/* At least so many blocks from now on, each of their pages touched.  0 or -ENOMEM. */
int blocks_warm(struct blocks *b, size_t count);
/* Nothing is handed out any more; keeps the memory that was wanted lately. */
void blocks_reset(struct blocks *b);
/* n <= BLOCK_SIZE bytes, not cleared, until the reset; NULL: memory has ended. */
void *blocks_take(struct blocks *b, size_t n);
/* Bytes of the least room for so many, 0 for none; n <= 8,192. */
size_t blocks_room_size(size_t n);
/* A room of a size that blocks_room_size() said, at any address; NULL: memory has ended. */
void *blocks_room_take(struct blocks *b, size_t size);
/* A room, or a part of a piece that is as long; of size 0: does nothing. */
void blocks_room_give(struct blocks *b, void *room, size_t size);
/* Of the piece that was taken last. */
uint32_t blocks_unit(const struct blocks *b, const void *piece);
/* Memory outside the blocks, BLOCK_SIZE bytes or more, to be given to free(); NULL: none left. */
void *blocks_big(size_t n);

static inline void *blocks_piece(const struct blocks *b, uint32_t unit)
{
    return b->block[unit / BLOCK_UNITS] + (size_t)(unit % BLOCK_UNITS) * BLOCK_UNIT;
}

#endif
