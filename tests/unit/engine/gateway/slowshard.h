/* SPDX-License-Identifier: MIT */
/* Tests: a shard that takes a set time for each item, one batch after the other, behind the real
 * rpc, and gives credit by the real shards/node/credit.c.  It notes whom it served. */
#ifndef FAIRSLOT_TESTS_SLOWSHARD_H
#define FAIRSLOT_TESTS_SLOWSHARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "node/credit.h"
#include "proto/codec.h"
#include "rpc/rpc.h"

enum { SLOW_BATCHES = 64, SLOW_SERVED = 200000 };

struct slow_shard {
    struct rpc_server *server;
    pthread_t thread;
    pthread_mutex_t mutex;
    struct slow_batch {
        struct rpc_batch *batch;
        int64_t came_us;
    } batches[SLOW_BATCHES]; /* a ring */
    size_t first, count;
    struct credit credit;       /* under the mutex */
    int64_t delay_us;           /* of the last batch, under the mutex */
    atomic_int item_us;         /* what an item takes */
    atomic_int credit_fixed;    /* < 0: by credit.c; else what each reply gives */
    atomic_bool is_paused;      /* batches wait */
    atomic_bool is_over;
    atomic_size_t served_count; /* items; the first SLOW_SERVED of them stand here in order */
    struct identity served[SLOW_SERVED];
};

static inline void slow_batch_came(void *user, struct rpc_batch *batch)
{
    struct slow_shard *s = user;
    pthread_mutex_lock(&s->mutex);
    CHECK(s->count < SLOW_BATCHES);
    s->batches[(s->first + s->count++) % SLOW_BATCHES] =
        (struct slow_batch){batch, clock_mono_us()};
    pthread_mutex_unlock(&s->mutex);
}

static inline bool slow_take(struct slow_shard *s, struct slow_batch *ret_batch)
{
    pthread_mutex_lock(&s->mutex);
    bool is_any = s->count > 0 && !atomic_load(&s->is_paused);
    if (is_any) {
        *ret_batch = s->batches[s->first];
        s->first = (s->first + 1) % SLOW_BATCHES;
        s->count--;
    }
    pthread_mutex_unlock(&s->mutex);
    return is_any;
}

/* The gateway's share now. */
static inline struct credit_grant slow_credit(struct slow_shard *s, const struct batch_view *view,
                                              int64_t delay_us)
{
    int fixed = atomic_load(&s->credit_fixed);
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&s->mutex);
    credit_observe(&s->credit, delay_us, view->items_count, now);
    s->delay_us = delay_us;
    struct credit_grant grant =
        credit_share(&s->credit, view->gateway, view->waiting_identities, now);
    pthread_mutex_unlock(&s->mutex);
    return fixed < 0 ? grant : (struct credit_grant){.items = (uint32_t)fixed};
}

static inline void slow_serve(struct slow_shard *s, const struct slow_batch *b)
{
    static _Thread_local struct answer answers[BATCH_ITEMS_MAX];
    struct arena arena;
    struct batch_view view;
    int64_t delay_us = clock_mono_us() - b->came_us;
    arena_init(&arena, 8 << 20);
    CHECK(codec_batch_unpack(rpc_batch_bytes(b->batch), &arena, &view) == 0);
    struct reply_view reply = {.answers = answers, .answers_count = view.items_count};
    for (size_t i = 0; i < view.items_count; i++) {
        size_t at = atomic_load(&s->served_count);
        if (at < SLOW_SERVED) {
            s->served[at] = view.items[i].command.identity;
        }
        atomic_store(&s->served_count, at + 1);
        answers[i] = (struct answer){.call = view.items[i].call,
                                     .message = {(const uint8_t *)"done", 4}};
    }
    int64_t work_us = (int64_t)view.items_count * atomic_load(&s->item_us);
    struct timespec work = {.tv_sec = work_us / 1000000, .tv_nsec = work_us % 1000000 * 1000};
    nanosleep(&work, NULL);
    struct credit_grant grant = slow_credit(s, &view, delay_us);
    reply.credit = grant.items;
    reply.pause_us = grant.pause_us;
    struct span bytes;
    CHECK(codec_reply_pack(&reply, &arena, &bytes) == 0);
    rpc_batch_reply(b->batch, bytes);
    arena_fini(&arena);
}

static inline void *slow_run(void *user)
{
    struct slow_shard *s = user;
    struct slow_batch b;
    while (!atomic_load(&s->is_over)) {
        if (slow_take(s, &b)) {
            slow_serve(s, &b);
        } else {
            usleep(200);
        }
    }
    return NULL;
}

static inline void slow_open(struct slow_shard *s, const char *url, int item_us, int credit_fixed)
{
    *s = (struct slow_shard){.item_us = item_us, .credit_fixed = credit_fixed};
    pthread_mutex_init(&s->mutex, NULL);
    credit_init(&s->credit, clock_mono_us());
    CHECK(rpc_server_open(url, SLOW_BATCHES, slow_batch_came, s, &s->server) == 0);
    CHECK(pthread_create(&s->thread, NULL, slow_run, s) == 0);
}

static inline void slow_close(struct slow_shard *s)
{
    atomic_store(&s->is_over, true);
    pthread_join(s->thread, NULL);
    rpc_server_close(s->server);
    atomic_store(&s->is_paused, false);
    for (struct slow_batch b; slow_take(s, &b);) {
        rpc_batch_reply(b.batch, (struct span){0}); /* dropped: frees it */
    }
}

/* Total credit and the last batch's delay. */
static inline uint32_t slow_look(struct slow_shard *s, int64_t *ret_delay_us)
{
    pthread_mutex_lock(&s->mutex);
    uint32_t total = s->credit.total;
    *ret_delay_us = s->credit.delay_us;
    pthread_mutex_unlock(&s->mutex);
    return total;
}

#endif
