/* SPDX-License-Identifier: MIT */
/* The queue between nng's threads and the writer.
 * Owns: a pool of batches with their arenas, the queue, the writer's sleep.
 *
 *   nng: intake_push: decode into the batch's arena -> lock, append, wake if asleep
 *   writer: intake_wait -> intake_take (whole batches, the list is detached under the lock)
 *           ... round, fsync, apply ... -> intake_reply -> pool
 *
 * Decoding stands here because nng has threads and the shard has one writer.
 * Ways to fail: bytes that are no batch are answered with an empty reply (only our own gateways
 * send batches, and it must not cost them the connection); over items_max every item is refused
 * with a retry time: credits keep the queue far below that.
 * Invariants: the pool has as many batches as rpc has contexts, so it is never empty when rpc
 * brings one; a wake is signalled only to a writer that sleeps. */
#include "node/intake.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#define ARENA_KEPT (256 * 1024)       /* first block, kept for the next batch: 256 usual items */
#define ARENA_MAX  (32 * 1024 * 1024) /* 256 KiB of items, and 20 times a message full of slots */

struct intake {
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wake;
    struct list waiting;  /* intake_batch.node, oldest first */
    size_t waiting_items;
    size_t items_max;
    struct list feeds;    /* intake_batch.node: calls for news */
    struct list pool;
    bool is_sleeping; /* the writer waits for `wake` */
    bool is_woken;
    bool is_stopping;
    bool turns_away; /* while stopping: others may lead */
    bool is_dead;
    uint64_t cluster; /* set before the first batch */
    unsigned count;
    struct intake_batch *batches; /* all of them */
};

/* arena_reset() keeps the first block, so make the first block the right size. */
static int intake_warm(struct arena *a)
{
    arena_init(a, ARENA_MAX);
    if (arena_alloc(a, ARENA_KEPT) == NULL) {
        return err_origin(-ENOMEM);
    }
    arena_reset(a);
    return 0;
}

int intake_new(unsigned batches, size_t items_max, struct intake **ret_intake)
{
    struct intake *in = calloc(1, sizeof *in);
    if (in == NULL) {
        return err_origin(-ENOMEM);
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&in->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&in->lock, NULL);
    list_init(&in->waiting);
    list_init(&in->feeds);
    list_init(&in->pool);
    in->items_max = items_max;
    in->batches = calloc(batches, sizeof *in->batches);
    int r = in->batches ? 0 : err_origin(-ENOMEM);
    while (r == 0 && in->count < batches) {
        struct intake_batch *b = &in->batches[in->count++];
        list_init(&b->node);
        list_push(&in->pool, &b->node);
        r = intake_warm(&b->arena);
    }
    if (r) {
        intake_free(in);
        return err_trace(r);
    }
    *ret_intake = in;
    return 0;
}

void intake_free(struct intake *in)
{
    if (in == NULL) {
        return;
    }
    for (unsigned i = 0; i < in->count; i++) {
        if (in->batches[i].rpc) {
            rpc_batch_reply(in->batches[i].rpc, (struct span){0}); /* closed: dropped */
        }
        arena_fini(&in->batches[i].arena);
    }
    free(in->batches);
    pthread_cond_destroy(&in->wake);
    pthread_mutex_destroy(&in->lock);
    free(in);
}

void intake_belong(struct intake *in, uint64_t cluster)
{
    in->cluster = cluster;
}

void intake_reply(struct intake *in, struct intake_batch *batch, struct span reply)
{
    CHECK(batch->rpc != NULL);
    struct rpc_batch *rpc = batch->rpc;
    batch->rpc = NULL;
    /* Into the pool first: replied to, rpc's context may bring the next one at once. */
    arena_reset(&batch->arena);
    pthread_mutex_lock(&in->lock);
    list_push(&in->pool, &batch->node);
    pthread_mutex_unlock(&in->lock);
    rpc_batch_reply(rpc, reply);
}

/* -- nng's threads ----------------------------------------------------------------------------- */

/* The gateway means another cluster's shard: its --shard names one of ours, too, or ours was
 * started as what it is not.  Nothing of its batch may be decided here. */
static bool intake_is_strange(const struct intake_batch *b)
{
    return b->view.cluster && b->cluster && b->view.cluster != b->cluster;
}

/* Credit 0: one batch at a time until a round answers again. */
static void intake_refuse(struct intake *in, struct intake_batch *b, enum reason reason)
{
    struct arena scratch; /* not the batch's: the reply must outlive it */
    arena_init(&scratch, BATCH_BYTES_MAX);
    struct reply_view reply = {.map_epoch = b->view.map_epoch, .cluster = b->cluster};
    struct span bytes = {0};
    reply.is_turned_away = intake_is_strange(b) ||
                           (reason == REASON_SHUTTING_DOWN && in->turns_away);
    struct answer *answers = arena_zalloc(&scratch, b->view.items_count * sizeof *answers);
    for (size_t i = 0; answers && i < b->view.items_count; i++) {
        answers[i].call = b->view.items[i].call;
        answers[i].reason = reason;
        answers[i].retry_ms = reason_retry_ms(reason);
    }
    reply.answers = answers;
    reply.answers_count = answers && !reply.is_turned_away ? b->view.items_count : 0;
    if (codec_reply_pack(&reply, &scratch, &bytes) < 0) {
        bytes = (struct span){0}; /* out of memory: the gateway's deadlines answer */
    }
    intake_reply(in, b, bytes);
    arena_fini(&scratch);
}

/* REASON_OK: queued.  Else the caller refuses, unlocked. */
static enum reason intake_queue(struct intake *in, struct intake_batch *b)
{
    enum reason reason = REASON_OK;
    pthread_mutex_lock(&in->lock);
    if (in->is_stopping && !in->is_dead) {
        reason = REASON_SHUTTING_DOWN;
    } else if (in->waiting_items + b->view.items_count > in->items_max && !in->is_dead) {
        reason = REASON_RATE_LIMITED;
    } else {
        list_push(b->view.is_feed ? &in->feeds : &in->waiting, &b->node);
        in->waiting_items += b->view.items_count;
        in->is_woken = in->is_woken || b->view.is_feed;
        if (in->is_sleeping) {
            in->is_sleeping = false;
            pthread_cond_signal(&in->wake);
        }
    }
    pthread_mutex_unlock(&in->lock);
    return reason;
}

void intake_push(void *user, struct rpc_batch *batch)
{
    struct intake *in = user;
    pthread_mutex_lock(&in->lock);
    struct list *node = list_pull(&in->pool);
    pthread_mutex_unlock(&in->lock);
    CHECK(node != NULL);
    struct intake_batch *b = CONTAINER_OF(node, struct intake_batch, node);
    struct span bytes = rpc_batch_bytes(batch);
    b->rpc = batch;
    b->arrival_us = clock_mono_us();
    b->bytes = bytes.len;
    b->cluster = in->cluster;
    b->view = (struct batch_view){0};
    enum reason reason = REASON_MESSAGE_MALFORMED;
    if (codec_batch_unpack(bytes, &b->arena, &b->view) == 0) {
        reason = intake_is_strange(b) ? REASON_SHUTTING_DOWN : intake_queue(in, b);
    } else {
        b->view = (struct batch_view){0};
        log_event(LOG_BATCH_DAMAGED, NULL, "shard: %zu bytes that are no batch", bytes.len);
    }
    if (reason != REASON_OK) {
        intake_refuse(in, b, reason);
    }
}

/* -- any thread -------------------------------------------------------------------------------- */

static void intake_set(struct intake *in, bool *flag)
{
    pthread_mutex_lock(&in->lock);
    *flag = true;
    if (in->is_sleeping) {
        in->is_sleeping = false;
        pthread_cond_signal(&in->wake);
    }
    pthread_mutex_unlock(&in->lock);
}

void intake_wake(struct intake *in)
{
    intake_set(in, &in->is_woken);
}

void intake_stop(struct intake *in, bool turns_away)
{
    in->turns_away = turns_away; /* read only once is_stopping is seen, under the lock */
    intake_set(in, &in->is_stopping);
}

void intake_die(struct intake *in)
{
    intake_set(in, &in->is_dead);
}

/* -- the writer -------------------------------------------------------------------------------- */

bool intake_is_stopping(struct intake *in)
{
    pthread_mutex_lock(&in->lock);
    bool is_stopping = in->is_stopping;
    pthread_mutex_unlock(&in->lock);
    return is_stopping;
}

bool intake_has_waiting(struct intake *in)
{
    pthread_mutex_lock(&in->lock);
    bool has_waiting = !list_empty(&in->waiting);
    pthread_mutex_unlock(&in->lock);
    return has_waiting;
}

static void intake_sleep(struct intake *in, int64_t until_us, bool takes)
{
    struct timespec until = {until_us / SECOND_US, until_us % SECOND_US * 1000};
    int r = 0;
    pthread_mutex_lock(&in->lock);
    while (!(takes && !list_empty(&in->waiting)) && !in->is_woken && !(takes && in->is_stopping) &&
           r == 0) {
        in->is_sleeping = true;
        r = pthread_cond_timedwait(&in->wake, &in->lock, &until);
    }
    in->is_sleeping = false;
    in->is_woken = false;
    pthread_mutex_unlock(&in->lock);
}

void intake_wait(struct intake *in, int64_t until_us)
{
    intake_sleep(in, until_us, true);
}

void intake_pause(struct intake *in, int64_t until_us)
{
    intake_sleep(in, until_us, false);
}

void intake_take_feeds(struct intake *in, struct list *out)
{
    struct list *node;
    pthread_mutex_lock(&in->lock);
    while ((node = list_pull(&in->feeds)) != NULL) {
        list_push(out, node);
    }
    pthread_mutex_unlock(&in->lock);
}

size_t intake_take(struct intake *in, struct list *out, size_t items_max, size_t bytes_max)
{
    CHECK(items_max >= BATCH_ITEMS_MAX);
    size_t items = 0, bytes = 0, count = 0;
    pthread_mutex_lock(&in->lock);
    while (!list_empty(&in->waiting) && bytes < bytes_max) {
        struct intake_batch *b = CONTAINER_OF(in->waiting.next, struct intake_batch, node);
        if (items + b->view.items_count > items_max) {
            break;
        }
        list_remove(&b->node);
        list_push(out, &b->node);
        items += b->view.items_count;
        bytes += b->bytes;
        count++;
    }
    in->waiting_items -= items;
    pthread_mutex_unlock(&in->lock);
    return count;
}
