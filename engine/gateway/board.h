/* SPDX-License-Identifier: MIT */
/* The board: the newest edition of every pool that somebody watches, one a second, for all loops of
 * a process.  It has a thread of its own and its own line to the shard, so that a thousand watchers
 * cost the shard what one does, and wait in nobody's queue.  Every function from any thread, and
 * none of them waits for the shard. */
#ifndef FAIRSLOT_GATEWAY_BOARD_H
#define FAIRSLOT_GATEWAY_BOARD_H

#include <uv.h>

#include "base/limits.h"
#include "base/types.h"
#include "proto/reason.h"

struct board;
struct leads;
struct edition;

/* Nothing runs until somebody watches.  `leads` is borrowed.  0 or < 0. */
int board_new(struct leads *leads, struct board **ret_board);
/* Nobody watches any more.  Takes NULL. */
void board_free(struct board *b);

/* This loop's async is sent whenever there may be something new.  Until board_leave_loop(). */
void board_join_loop(struct board *b, unsigned loop, uv_async_t *async);
void board_leave_loop(struct board *b, unsigned loop);

/* A seat for one watcher of a pool: REASON_OK, or RATE_LIMITED with *ret_detail (static).  To be
 * given back with board_leave(). */
enum reason board_join(struct board *b, const struct identity *identity, struct span pool,
                       unsigned *ret_seat, const char **ret_detail);
void board_leave(struct board *b, unsigned seat);
/* The newest edition of the seat's pool, held for the caller; NULL: there is none yet. */
struct edition *board_look(struct board *b, unsigned seat);

#endif
