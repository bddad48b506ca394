/* SPDX-License-Identifier: MIT */
/* A question to the shard and the wait for its answer.
 * Owns: one rpc client with one context, the copy of the answer.
 * Fails: RPC_E_GONE when nobody is there, nothing came in time, or asking_end() was called; whether
 * the shard has seen the question is unknown then, and these are all reads.
 * Invariant: for each send exactly one callback, so an exchange that gave up waits for it. */
#include "gateway/asking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"

struct timespec asking_until(int64_t mono_us)
{
    return (struct timespec){mono_us / SECOND_US, mono_us % SECOND_US * 1000};
}

void asking_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

int asking_init(struct asking *a)
{
    *a = (struct asking){.reply = malloc(BATCH_BYTES_MAX)};
    if (a->reply == NULL) {
        return err_origin(-ENOMEM);
    }
    pthread_mutex_init(&a->lock, NULL);
    asking_cond_init(&a->replied);
    return 0;
}

static void asking_replied(void *user, unsigned context, int status, struct span bytes)
{
    struct asking *a = user;
    pthread_mutex_lock(&a->lock);
    a->status = bytes.len > BATCH_BYTES_MAX ? RPC_E_GONE : status;
    a->reply_len = a->status ? 0 : bytes.len;
    if (a->reply_len) {
        memcpy(a->reply, bytes.ptr, bytes.len);
    }
    a->has_reply = true;
    pthread_cond_signal(&a->replied);
    pthread_mutex_unlock(&a->lock);
}

int asking_open(struct asking *a, struct leads *leads)
{
    size_t led = leads_current(leads), at = a->at;
    if (a->client == NULL || led != a->led) {
        at = led;
    } else if (a->is_astray) {
        at = (at + 1) % leads_count(leads);
    }
    a->led = led;
    a->is_astray = false;
    if (a->client && at == a->at) {
        return 0;
    }
    rpc_client_close(a->client); /* nothing is under way on it */
    a->client = NULL;
    a->at = at;
    return err_fold(rpc_client_open(leads_url(leads, at), 1, asking_replied, a, &a->client));
}

void asking_astray(struct asking *a)
{
    a->is_astray = true;
}

int asking_exchange(struct asking *a, struct span batch, int64_t wait_us, struct span *ret_reply)
{
    struct timespec until = asking_until(clock_mono_us() + wait_us);
    pthread_mutex_lock(&a->lock);
    a->has_reply = false;
    pthread_mutex_unlock(&a->lock);
    if (rpc_client_send(a->client, 0, batch)) {
        return RPC_E_GONE;
    }
    pthread_mutex_lock(&a->lock);
    int r = 0;
    while (!a->has_reply && !a->is_ending && r == 0) {
        r = pthread_cond_timedwait(&a->replied, &a->lock, &until);
    }
    if (!a->has_reply) {
        pthread_mutex_unlock(&a->lock);
        rpc_client_abort(a->client, 0);
        pthread_mutex_lock(&a->lock);
        while (!a->has_reply) {
            pthread_cond_wait(&a->replied, &a->lock);
        }
    }
    r = a->status;
    *ret_reply = (struct span){a->reply, a->reply_len};
    pthread_mutex_unlock(&a->lock);
    return r ? RPC_E_GONE : 0;
}

void asking_end(struct asking *a)
{
    pthread_mutex_lock(&a->lock);
    a->is_ending = true;
    pthread_cond_signal(&a->replied);
    pthread_mutex_unlock(&a->lock);
}

void asking_fini(struct asking *a)
{
    rpc_client_close(a->client);
    pthread_cond_destroy(&a->replied);
    pthread_mutex_destroy(&a->lock);
    free(a->reply);
}
