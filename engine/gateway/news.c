/* SPDX-License-Identifier: MIT */
/* The thread that waits for the shard's news.
 *
 *   somebody follows -> call for news, parked by the shard -> answer: identities, releases, missed
 *     -> into the box of each loop, under the lock -> uv_async_send() -> the loop takes its box
 *
 * Owns: the boxes, one line to the shard, the thread, which begins with the first follower and
 * sleeps when nobody follows.
 * News are hints to look again, so a full box becomes "everybody looks" and nothing is lost; so
 * does a line that broke, or another shard process.
 * Fails: while the shard is away is_live is false and followers look by the clock, as ever. */
#include "gateway/news.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "gateway/asking.h"
#include "proto/codec.h"

#define NEWS_WAIT_US   (8 * SECOND_US)  /* the shard answers after 5 s at the latest */
#define NEWS_RETRY_US  (SECOND_US / 5)
#define NEWS_ARENA_MAX (1024 * 1024)

struct news {
    struct leads *leads;   /* borrowed */
    pthread_mutex_t lock; /* down to the boxes */
    pthread_cond_t wake;
    bool has_thread, is_stopping;
    size_t followers;
    uv_async_t *loops[LOOPS_MAX];
    struct news_take boxes[LOOPS_MAX];
    atomic_bool is_live;
    pthread_t thread;
    /* The thread's own: */
    struct asking asking;
    struct arena arena;
    uint64_t gateway_id, epoch, after;
};

/* -- boxes, under the lock --------------------------------------------------------------------- */

static void box_fill(struct news_take *box, const struct feed_news *news)
{
    size_t count = news->identities.len / sizeof box->identities[0];
    bool fits = box->identities_count + count <= FEED_NEWS_MAX &&
                box->releases_count + news->releases_count <= FEED_NEWS_MAX;
    if (box->missed || news->missed || !fits) {
        box->missed = true;
        return;
    }
    if (count) {
        memcpy(&box->identities[box->identities_count], news->identities.ptr,
               news->identities.len);
    }
    if (news->releases_count) {
        memcpy(&box->releases[box->releases_count], news->releases,
               news->releases_count * sizeof box->releases[0]);
    }
    box->identities_count += count;
    box->releases_count += news->releases_count;
}

static void news_share(struct news *f, const struct feed_news *news)
{
    if (!news->missed && news->identities.len == 0 && news->releases_count == 0) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < LOOPS_MAX; i++) {
        if (f->loops[i]) {
            box_fill(&f->boxes[i], news);
            uv_async_send(f->loops[i]);
        }
    }
    pthread_mutex_unlock(&f->lock);
}

bool news_take(struct news *f, unsigned loop, struct news_take *ret_take)
{
    pthread_mutex_lock(&f->lock);
    struct news_take *box = &f->boxes[loop];
    bool is_full = box->missed || box->identities_count || box->releases_count;
    if (is_full) {
        ret_take->missed = box->missed;
        ret_take->identities_count = box->identities_count;
        ret_take->releases_count = box->releases_count;
        memcpy(ret_take->identities, box->identities,
               box->identities_count * sizeof box->identities[0]);
        memcpy(ret_take->releases, box->releases, box->releases_count * sizeof box->releases[0]);
        box->missed = false;
        box->identities_count = box->releases_count = 0;
    }
    pthread_mutex_unlock(&f->lock);
    return is_full;
}

/* -- the thread -------------------------------------------------------------------------------- */

/* One call: 0 with news shared; RPC_E_GONE; < 0. */
static int news_ask(struct news *f)
{
    struct span batch, bytes;
    struct reply_view reply;
    arena_reset(&f->arena);
    int r = codec_feed_pack(f->gateway_id, f->epoch, f->after, &f->arena, &batch);
    r = r ? r : asking_open(&f->asking, f->leads);
    if (r) {
        return err_fold(r);
    }
    r = asking_exchange(&f->asking, batch, NEWS_WAIT_US, &bytes);
    if (r || codec_reply_unpack(bytes, &f->arena, &reply) || reply.feed == NULL) {
        asking_astray(&f->asking); /* gone, or it does not lead */
        return RPC_E_GONE;
    }
    f->epoch = reply.feed->epoch;
    f->after = reply.feed->next;
    atomic_store(&f->is_live, true);
    news_share(f, reply.feed);
    return 0;
}

static void news_sleep(struct news *f, int64_t us)
{
    struct timespec until = asking_until(clock_mono_us() + us);
    pthread_cond_timedwait(&f->wake, &f->lock, &until);
}

static void *news_main(void *arg)
{
    struct news *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->is_stopping) {
        if (f->followers == 0) {
            atomic_store(&f->is_live, false);
            f->epoch = 0; /* whoever comes later has asked after it came */
            news_sleep(f, HOUR_US);
            continue;
        }
        pthread_mutex_unlock(&f->lock);
        int r = news_ask(f);
        pthread_mutex_lock(&f->lock);
        if (r && !f->is_stopping) {
            atomic_store(&f->is_live, false);
            news_sleep(f, NEWS_RETRY_US);
        }
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* -- the loops --------------------------------------------------------------------------------- */

void news_join_loop(struct news *f, unsigned loop, uv_async_t *async)
{
    CHECK(loop < LOOPS_MAX);
    pthread_mutex_lock(&f->lock);
    f->loops[loop] = async;
    pthread_mutex_unlock(&f->lock);
}

void news_leave_loop(struct news *f, unsigned loop)
{
    news_join_loop(f, loop, NULL);
}

void news_begin(struct news *f)
{
    pthread_mutex_lock(&f->lock);
    f->followers++;
    if (!f->has_thread) {
        f->has_thread = pthread_create(&f->thread, NULL, news_main, f) == 0;
    }
    if (f->followers == 1) {
        pthread_cond_signal(&f->wake);
    }
    pthread_mutex_unlock(&f->lock);
}

void news_end(struct news *f)
{
    pthread_mutex_lock(&f->lock);
    CHECK(f->followers > 0);
    f->followers--;
    pthread_mutex_unlock(&f->lock);
}

bool news_is_live(struct news *f)
{
    return atomic_load(&f->is_live);
}

/* -- beginning and end ------------------------------------------------------------------------- */

int news_new(struct leads *leads, struct news **ret_feed)
{
    struct news *f = calloc(1, sizeof *f);
    int r = f ? asking_init(&f->asking) : err_origin(-ENOMEM);
    if (r) {
        free(f);
        return err_trace(r);
    }
    f->leads = leads;
    pthread_mutex_init(&f->lock, NULL);
    asking_cond_init(&f->wake);
    arena_init(&f->arena, NEWS_ARENA_MAX);
    clock_random(&f->gateway_id, sizeof f->gateway_id);
    *ret_feed = f;
    return 0;
}

void news_free(struct news *f)
{
    if (f == NULL) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->is_stopping = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    asking_end(&f->asking);
    if (f->has_thread) {
        pthread_join(f->thread, NULL);
    }
    asking_fini(&f->asking);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    arena_fini(&f->arena);
    free(f);
}
