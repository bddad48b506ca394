/* SPDX-License-Identifier: MIT */
/* Blocks of memory that only grow until a reset.
 *
 *   block 0 | block 1 | .. | block `at`: handed out up to `used` | kept from before
 *
 * For: the overlay, whose records and nodes go all at once.  A value that grows leaves a room
 * behind, which another one grows into: what accounts left made up half of an overlay, and fresh
 * memory is what the writer waits for longest.
 * Owns: the blocks.  The first is of small pages, so a store with little to do touches few of them.
 * Fails: out of memory only, and then what was handed out is as before. */
#include "store/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/err.h"

#define KEEP_MIN  32    /* blocks that a reset keeps in any case */
#define COUNT_MAX 32768 /* so that a unit fits 32 bits */

_Static_assert((uint64_t)COUNT_MAX * BLOCK_UNITS <= (UINT64_C(1) << 32), "a unit fits 32 bits");

int blocks_init(struct blocks *b)
{
    *b = (struct blocks){.block = calloc(1, sizeof *b->block)};
    uint8_t *first = b->block ? malloc(BLOCK_SIZE) : NULL;
    if (!first) {
        return err_origin(-ENOMEM);
    }
    b->block[b->count++] = first;
    return 0;
}

void blocks_fini(struct blocks *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        free(b->block[i]);
    }
    free(b->block);
    *b = (struct blocks){0};
}

/* Blocks wanted lately stay: clearing new ones took the kernel a tenth of the writer's time. */
void blocks_reset(struct blocks *b)
{
    uint32_t least = b->keep - b->keep / 8; /* so they go slowly */
    b->keep = b->at >= least ? b->at + 1 : least;
    while (b->count > KEEP_MIN && b->count > b->keep && b->count > b->warm) {
        free(b->block[--b->count]);
    }
    b->at = 0;
    b->used = 0;
    b->bytes = 0;
    memset(b->rooms, 0, sizeof b->rooms);
}

/* Random access to small pages pays a table walk each time; a huge page is one entry. */
void *blocks_big(size_t n)
{
    void *p = aligned_alloc(BLOCK_SIZE, (n + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE);
    if (p) {
        (void)madvise(p, n, MADV_HUGEPAGE); /* a wish: nothing depends on it */
    }
    return p;
}

/* One more at the end. */
static int grow(struct blocks *b)
{
    CHECK(b->count < COUNT_MAX);
    uint8_t **block = realloc(b->block, (b->count + 1) * sizeof *block);
    if (!block) {
        return err_origin(-ENOMEM);
    }
    b->block = block;
    block[b->count] = blocks_big(BLOCK_SIZE);
    if (!block[b->count]) {
        return err_origin(-ENOMEM);
    }
    b->count++;
    return 0;
}

int blocks_warm(struct blocks *b, size_t count)
{
    b->warm = (uint32_t)(count < COUNT_MAX ? count : COUNT_MAX);
    while (b->count < b->warm) {
        int r = grow(b);
        if (r < 0) {
            return err_trace(r);
        }
        memset(b->block[b->count - 1], 0, BLOCK_SIZE);
    }
    return 0;
}

static int push(struct blocks *b)
{
    uint32_t next = b->at + 1;
    int r = next == b->count ? grow(b) : 0;
    if (r < 0) {
        return err_trace(r);
    }
    b->at = next;
    b->used = 0;
    return 0;
}

void *blocks_take(struct blocks *b, size_t n)
{
    n = (n + BLOCK_UNIT - 1) / BLOCK_UNIT * BLOCK_UNIT;
    CHECK(n <= BLOCK_SIZE);
    if (BLOCK_SIZE - b->used < n && push(b) < 0) {
        return NULL;
    }
    void *p = b->block[b->at] + b->used;
    b->used += (uint32_t)n;
    b->bytes += n;
    return p;
}

/* 16, 32, 48, 64, 128, 256 .. 8192: few sizes, so that a value that grows leaves few rooms, each of
 * them fits another value, and the newest has room to grow. */
static size_t kind_size(unsigned kind)
{
    return kind < 4 ? 16 * (kind + 1) : (size_t)64 << (kind - 3);
}

static unsigned kind_of(size_t n)
{
    unsigned kind = 0;
    while (kind_size(kind) < n) {
        kind++;
    }
    CHECK(kind < ROOM_KINDS);
    return kind;
}

size_t blocks_room_size(size_t n)
{
    return n ? kind_size(kind_of(n)) : 0;
}

void *blocks_room_take(struct blocks *b, size_t size)
{
    uint8_t **list = &b->rooms[kind_of(size)], *room = *list;
    if (!room) {
        return blocks_take(b, size);
    }
    memcpy(list, room, sizeof *list); /* the next one: a link is not aligned */
    return room;
}

void blocks_room_give(struct blocks *b, void *room, size_t size)
{
    if (size) {
        uint8_t **list = &b->rooms[kind_of(size)];
        memcpy(room, list, sizeof *list);
        *list = room;
    }
}

uint32_t blocks_unit(const struct blocks *b, const void *piece)
{
    return b->at * BLOCK_UNITS +
           (uint32_t)(((const uint8_t *)piece - b->block[b->at]) / BLOCK_UNIT);
}
