/* SPDX-License-Identifier: MIT */
/* One question at a time to the shard, waited for: for threads that are no loop (board, feed).
 * One thread asks; asking_end() from any. */
#ifndef FAIRSLOT_GATEWAY_ASKING_H
#define FAIRSLOT_GATEWAY_ASKING_H

#include <pthread.h>

#include "base/types.h"
#include "gateway/leads.h"
#include "rpc/rpc.h"

/* Embedded in its owner. */
struct asking {
    struct rpc_client *client; /* NULL: not opened yet; one context */
    size_t at;                 /* the replica that it goes to */
    size_t led;                /* the replica that was thought to lead then */
    bool is_astray;            /* that one did not help: another one next time */
    pthread_mutex_t lock;      /* what follows: between nng's thread and ours */
    pthread_cond_t replied;
    bool has_reply;
    bool is_ending;
    int status;
    uint8_t *reply;            /* BATCH_BYTES_MAX */
    size_t reply_len;
};

/* A condition variable by the monotonic clock. */
void asking_cond_init(pthread_cond_t *cond);
struct timespec asking_until(int64_t mono_us);

/* 0 or -ENOMEM. */
int asking_init(struct asking *a);
/* Dials, in the background, the replica that is thought to lead; after asking_astray() the next,
 * unless another is thought to lead by then.  0 or < 0. */
int asking_open(struct asking *a, struct leads *leads);
/* The one asked did not answer, or does not lead. */
void asking_astray(struct asking *a);
/* Sends and waits, wait_us at most.  0 with the answer, valid until the next call; RPC_E_GONE. */
int asking_exchange(struct asking *a, struct span batch, int64_t wait_us, struct span *ret_reply);
/* The exchange under way, and every later one, ends at once with RPC_E_GONE. */
void asking_end(struct asking *a);
/* Nobody is in an exchange any more. */
void asking_fini(struct asking *a);

#endif
