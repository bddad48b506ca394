/* SPDX-License-Identifier: MIT */
/* Both ends of rpc, for its tests: a shard that echoes, parks or answers from another thread, and a
 * gateway that knows which answer belongs to which question. */
#ifndef FAIRSLOT_TESTS_RPC_ENDS_H
#define FAIRSLOT_TESTS_RPC_ENDS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/limits.h"
#include "rpc/rpc.h"
#include "tests/lib/tap.h"

#define CONTEXTS 8
#define WAIT_US  (20 * SECOND_US)

static const char *transport = "inproc"; /* of the running test */

static inline void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

/* -- a shard: echoes, parks, or answers from another thread ------------------------------------ */

enum shard_way { SHARD_ECHO, SHARD_PARK, SHARD_THREAD };

struct shard {
    struct rpc_server *server;
    atomic_int way; /* enum shard_way */
    char url[96];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct rpc_batch *out[256]; /* parked, or on their way to the thread */
    size_t out_count;
    bool is_ending;
    atomic_uint received;
};

/* First to last byte turned round, so that an answer is not its question. */
static inline void shard_answer(struct rpc_batch *batch)
{
    struct span q = rpc_batch_bytes(batch);
    static _Thread_local uint8_t answer[BATCH_BYTES_MAX];
    for (size_t i = 0; i < q.len; i++) {
        answer[i] = (uint8_t)~q.ptr[i];
    }
    rpc_batch_reply(batch, (struct span){answer, q.len});
}

static inline void shard_batch(void *user, struct rpc_batch *batch)
{
    struct shard *s = user;
    atomic_fetch_add(&s->received, 1);
    if (s->way == SHARD_ECHO) {
        shard_answer(batch);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->out[s->out_count++] = batch;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

static inline void *shard_run(void *arg)
{
    struct shard *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->is_ending) {
        if (s->out_count == 0) {
            pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        struct rpc_batch *b = s->out[--s->out_count];
        pthread_mutex_unlock(&s->lock);
        shard_answer(b);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static inline int shard_open(struct shard *s, enum shard_way way, const char *url)
{
    *s = (struct shard){.way = way};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    int r = rpc_server_open(url, 32, shard_batch, s, &s->server);
    if (r == 0) {
        int port = rpc_server_port(s->server);
        snprintf(s->url, sizeof s->url, "%s", url);
        if (port > 0) {
            snprintf(s->url, sizeof s->url, "tcp://127.0.0.1:%d", port);
        }
        if (way == SHARD_THREAD) {
            pthread_create(&s->thread, NULL, shard_run, s);
        }
    }
    return r;
}

static inline const char *fresh_url(void)
{
    static char url[64];
    static int number;
    if (strcmp(transport, "tcp") == 0) {
        return "tcp://127.0.0.1:0";
    }
    snprintf(url, sizeof url, "inproc://test-%d", ++number);
    return url;
}

static inline void shard_close(struct shard *s)
{
    rpc_server_close(s->server);
    if (s->way == SHARD_THREAD) {
        pthread_mutex_lock(&s->lock);
        s->is_ending = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    for (size_t i = 0; i < s->out_count; i++) {
        rpc_batch_reply(s->out[i], (struct span){0}); /* dropped: the server is closed */
    }
}

/* -- a gateway --------------------------------------------------------------------------------- */

struct gateway {
    struct rpc_client *client;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned done[CONTEXTS]; /* callbacks, each context */
    unsigned gone[CONTEXTS]; /* of these with RPC_E_GONE */
    uint64_t sent[CONTEXTS]; /* content of the batch under way */
    unsigned wrong;          /* answers that do not belong to their question */
    unsigned ready;          /* bit set of idle contexts that were not looked at yet */
};

static inline void gateway_done(void *user, unsigned context, int status, struct span bytes)
{
    struct gateway *g = user;
    pthread_mutex_lock(&g->lock);
    g->done[context]++;
    g->gone[context] += status == RPC_E_GONE;
    uint64_t value;
    if (status == 0 && bytes.len >= sizeof value) {
        memcpy(&value, bytes.ptr, sizeof value);
        g->wrong += value != ~g->sent[context];
    } else if (status != RPC_E_GONE) {
        g->wrong++;
    }
    g->ready |= 1u << context;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

static inline void gateway_open(struct gateway *g, const char *url)
{
    *g = (struct gateway){0};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->wake, &attr);
    EQ(rpc_client_open(url, CONTEXTS, gateway_done, g, &g->client), 0);
}

static inline bool gateway_connected(struct gateway *g)
{
    int64_t limit = clock_mono_us() + WAIT_US;
    while (!rpc_client_connected(g->client) && clock_mono_us() < limit) {
        pause_ms(1);
    }
    return rpc_client_connected(g->client);
}

static inline int gateway_send(struct gateway *g, unsigned context, uint64_t value, size_t len)
{
    static uint8_t bytes[BATCH_BYTES_MAX];
    pthread_mutex_lock(&g->lock);
    g->sent[context] = value;
    pthread_mutex_unlock(&g->lock);
    memcpy(bytes, &value, sizeof value);
    return rpc_client_send(g->client, context, (struct span){bytes, len});
}

/* The contexts that became idle, at least one; 0 after too long. */
static inline unsigned gateway_wait(struct gateway *g)
{
    int64_t limit = clock_mono_us() + WAIT_US;
    struct timespec t = {limit / SECOND_US, limit % SECOND_US * 1000};
    pthread_mutex_lock(&g->lock);
    while (g->ready == 0 && pthread_cond_timedwait(&g->wake, &g->lock, &t) == 0) {
    }
    unsigned ready = g->ready;
    g->ready = 0;
    pthread_mutex_unlock(&g->lock);
    return ready;
}

static inline bool gateway_wait_all(struct gateway *g, unsigned want)
{
    unsigned ready = 0;
    while (ready != want) {
        unsigned more = gateway_wait(g);
        if (more == 0) {
            return false;
        }
        ready |= more;
    }
    return true;
}

static inline unsigned gateway_sum(const unsigned *counts)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < CONTEXTS; i++) {
        sum += counts[i];
    }
    return sum;
}

static inline void gateway_echo(struct gateway *g, unsigned total, size_t len)
{
    unsigned sent = 0;
    for (unsigned i = 0; i < CONTEXTS && sent < total; i++) {
        EQ(gateway_send(g, i, ++sent, len), 0);
    }
    unsigned done = 0;
    while (done < total) {
        unsigned ready = gateway_wait(g);
        if (ready == 0) {
            break;
        }
        for (unsigned i = 0; i < CONTEXTS; i++) {
            if (ready & 1u << i) {
                done++;
                if (sent < total) {
                    EQ(gateway_send(g, i, ++sent, len), 0);
                }
            }
        }
    }
    EQ(done, total);
    EQ(g->wrong, 0);
    EQ(gateway_sum(g->gone), 0);
}

#endif
