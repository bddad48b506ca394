/* SPDX-License-Identifier: MIT */
/* Tests: a shard of canned answers behind the real rpc.  The pool asked for says what it does:
 *   "mute..."     the whole batch is kept until shard_release()
 *   "unknown..."  POOL_UNKNOWN with metadata
 *   "omit..."     left out of the reply
 *   "read..."     answered also by a replica that does not lead
 *   else          the message "pong:" and the pool's id */
#ifndef FAIRSLOT_TESTS_FAKESHARD_H
#define FAIRSLOT_TESTS_FAKESHARD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "base/check.h"
#include "proto/codec.h"
#include "rpc/rpc.h"

enum { SHARD_KEPT_MAX = 64 };

struct fake_shard {
    struct rpc_server *server;
    pthread_mutex_t mutex;
    struct rpc_batch *kept[SHARD_KEPT_MAX];
    size_t kept_count;
    atomic_uint credit;       /* that replies grant */
    atomic_uint items;        /* seen */
    atomic_uint batches;      /* seen */
    atomic_uint items_of_one; /* most in one batch */
    atomic_uint garbage;      /* so many replies are nonsense */
    atomic_bool follows;      /* turns batches away */
    const char *_Atomic leader; /* and names this one; NULL: none */
    atomic_bool is_mute;      /* keeps every batch, as a process that stands still */
};

static inline bool shard_starts(struct span s, const char *with)
{
    return s.len >= strlen(with) && memcmp(s.ptr, with, strlen(with)) == 0;
}

static inline void shard_reply(struct fake_shard *shard, struct rpc_batch *batch)
{
    static _Thread_local struct answer answers[BATCH_ITEMS_MAX];
    struct arena arena;
    arena_init(&arena, 8 << 20);
    struct batch_view view;
    CHECK(codec_batch_unpack(rpc_batch_bytes(batch), &arena, &view) == 0);
    struct reply_view reply = {.credit = atomic_load(&shard->credit), .answers = answers};
    const char *leader = atomic_load(&shard->leader);
    reply.is_turned_away = atomic_load(&shard->follows);
    reply.leader = leader ? span_of(leader) : (struct span){0};
    struct feed_news news = {.epoch = 7, .next = 1};
    reply.feed = view.is_feed && !reply.is_turned_away ? &news : NULL;
    for (size_t i = 0; i < view.items_count; i++) {
        struct span pool = view.items[i].command.pool;
        if (reply.is_turned_away && !shard_starts(pool, "read")) {
            continue;
        }
        struct answer a = {.call = view.items[i].call};
        if (shard_starts(pool, "unknown")) {
            a.reason = REASON_POOL_UNKNOWN;
            a.meta[0] = (struct verdict_meta){"pool", pool};
            a.meta_count = 1;
        } else {
            uint8_t *text = arena_alloc(&arena, pool.len + 5);
            memcpy(text, "pong:", 5);
            memcpy(text + 5, pool.ptr, pool.len);
            a.message = (struct span){text, pool.len + 5};
        }
        if (!shard_starts(pool, "omit")) {
            answers[reply.answers_count++] = a;
        }
    }
    struct span bytes;
    CHECK(codec_reply_pack(&reply, &arena, &bytes) == 0);
    if (atomic_load(&shard->garbage)) {
        atomic_fetch_sub(&shard->garbage, 1);
        bytes = (struct span){(const uint8_t *)"\xff\xff\xff", 3};
    }
    rpc_batch_reply(batch, bytes);
    arena_fini(&arena);
}

static inline void shard_batch(void *user, struct rpc_batch *batch)
{
    struct fake_shard *shard = user;
    struct arena arena;
    arena_init(&arena, 8 << 20);
    struct batch_view view;
    CHECK(codec_batch_unpack(rpc_batch_bytes(batch), &arena, &view) == 0);
    atomic_fetch_add(&shard->batches, 1);
    atomic_fetch_add(&shard->items, (unsigned)view.items_count);
    if (view.items_count > atomic_load(&shard->items_of_one)) {
        atomic_store(&shard->items_of_one, (unsigned)view.items_count);
    }
    bool keep = atomic_load(&shard->is_mute);
    for (size_t i = 0; i < view.items_count; i++) {
        keep = keep || shard_starts(view.items[i].command.pool, "mute");
    }
    arena_fini(&arena);
    if (keep) {
        pthread_mutex_lock(&shard->mutex);
        CHECK(shard->kept_count < SHARD_KEPT_MAX);
        shard->kept[shard->kept_count++] = batch;
        pthread_mutex_unlock(&shard->mutex);
    } else {
        shard_reply(shard, batch);
    }
}

static inline void shard_open(struct fake_shard *shard, const char *url)
{
    CHECK(rpc_server_open(url, 16, shard_batch, shard, &shard->server) == 0);
}

static inline void shard_init(struct fake_shard *shard, const char *url)
{
    *shard = (struct fake_shard){.credit = 64};
    pthread_mutex_init(&shard->mutex, NULL);
    shard_open(shard, url);
}

/* Answers every batch that was kept. */
static inline void shard_release(struct fake_shard *shard)
{
    struct rpc_batch *kept[SHARD_KEPT_MAX];
    pthread_mutex_lock(&shard->mutex);
    size_t count = shard->kept_count;
    memcpy(kept, shard->kept, count * sizeof *kept);
    shard->kept_count = 0;
    pthread_mutex_unlock(&shard->mutex);
    for (size_t i = 0; i < count; i++) {
        shard_reply(shard, kept[i]);
    }
}

static inline size_t shard_kept(struct fake_shard *shard)
{
    pthread_mutex_lock(&shard->mutex);
    size_t count = shard->kept_count;
    pthread_mutex_unlock(&shard->mutex);
    return count;
}

/* The shard dies: batches it kept get no answer. */
static inline void shard_close(struct fake_shard *shard)
{
    rpc_server_close(shard->server);
    shard->server = NULL;
    shard_release(shard); /* dropped by rpc: frees them */
}

#endif
