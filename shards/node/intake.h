/* SPDX-License-Identifier: MIT */
/* Where nng's threads and the writer meet: batches wait here for a round, decoded already.
 * A call for news waits apart: it is in no round.
 * intake_push() on any thread; everything else on the writer's, unless said. */
#ifndef FAIRSLOT_NODE_INTAKE_H
#define FAIRSLOT_NODE_INTAKE_H

#include "base/arena.h"
#include "base/list.h"
#include "proto/codec.h"
#include "rpc/rpc.h"

struct intake;

/* What the round decided about an item before the log: REASON_OK goes on. */
struct intake_refusal {
    enum reason reason;
    uint32_t retry_ms; /* 0: the reason's own */
    const char *field; /* static; NULL for none */
};

/* A batch in the house: from the intake's pool, back to it by intake_reply(). */
struct intake_batch {
    struct list node;         /* in the intake's queue, a round, or the pool */
    struct rpc_batch *rpc;    /* NULL in the pool */
    struct arena arena;       /* of view; the packed commands are in rpc's message or here */
    struct batch_view view;
    uint64_t cluster;         /* whose shard this is, for its reply */
    int64_t arrival_us;       /* monotonic */
    size_t bytes;             /* of its message */
    struct intake_refusal refusals[BATCH_ITEMS_MAX]; /* the writer's */
    uint64_t held_index;      /* the writer's, as the next: no answer leaves before that entry */
    struct span held_reply;
};

/* batches: as many as rpc can have out; items_max: what may wait, more is refused.  0 or < 0. */
int intake_new(unsigned batches, size_t items_max, struct intake **ret_intake);
/* Whose shard this is: batches for another one are turned away, and each reply says it.  Before the
 * first batch; 0 as long as nobody says: all are taken. */
void intake_belong(struct intake *in, uint64_t cluster);
/* After rpc_server_close(): lets go of batches that were never answered.  Takes NULL. */
void intake_free(struct intake *in);

/* rpc_server_batch_cb: decodes, queues and wakes, or refuses.  user is the intake. */
void intake_push(void *user, struct rpc_batch *batch);
/* Makes intake_wait() return; any thread. */
void intake_wake(struct intake *in);
/* From now on batches are refused with SHUTTING_DOWN, or turned away when others may lead, and
 * intake_is_stopping() is true. Any thread. */
void intake_stop(struct intake *in, bool turns_away);
/* From now on nothing is answered any more, not even refused. */
void intake_die(struct intake *in);
bool intake_is_stopping(struct intake *in);
bool intake_has_waiting(struct intake *in);

/* Until something has come, somebody woke, stopping began, or until_us (monotonic). */
void intake_wait(struct intake *in, int64_t until_us);
/* The same, but what has come does not end it: nothing can be taken just now. */
void intake_pause(struct intake *in, int64_t until_us);
/* Moves whole batches to the end of `out`, oldest first: at most items_max items, and no further
 * one once bytes_max bytes are passed.  Returns their number. */
size_t intake_take(struct intake *in, struct list *out, size_t items_max, size_t bytes_max);
/* Moves every call for news to the end of `out`. */
void intake_take_feeds(struct intake *in, struct list *out);
/* Answers the batch and takes it back. */
void intake_reply(struct intake *in, struct intake_batch *batch, struct span reply);

#endif
