/* SPDX-License-Identifier: MIT */
/* What writer.c (rounds) and writer_open.c (opening, closing, the thread) share. */
#ifndef FAIRSLOT_NODE_WRITER_INSIDE_H
#define FAIRSLOT_NODE_WRITER_INSIDE_H

#include <pthread.h>

#include "node/answers.h"
#include "node/badge.h"
#include "node/budget.h"
#include "node/credit.h"
#include "node/feed.h"
#include "node/logtime.h"
#include "node/node.h"
#include "node/replay.h"
#include "node/replica_store.h"
#include "node/round.h"
#include "node/writer.h"

#define ROUNDS_PENDING 4 /* proposed, not yet committed; a power of two */

struct writer {
    const struct node_options *options;
    struct intake *intake;
    struct store *store;
    struct replica_store *log;            /* the store, as the replica sees it */
    struct replica *replica;
    struct ledger *ledger;
    struct answers *answers;
    struct budget *budget;
    struct signer *signer; /* NULL: nothing is signed */
    struct feed *feed;
    struct replay replay;
    struct logtime time;
    struct credit credit;
    struct round *rounds[ROUNDS_PENDING]; /* ring */
    size_t rounds_first;                  /* oldest pending */
    size_t rounds_count;                  /* pending */
    uint64_t proposed;                    /* last index that a round got */
    bool has_written;                     /* since the last sweep */
    int64_t sweep_at_us, coin_at_us;      /* monotonic: not before */
    size_t sweeps;                        /* in the round that is being made: 0 or 1 */
    pthread_t thread;
    pthread_mutex_t lock;                 /* is_started, status */
    pthread_cond_t wake;
    bool is_started;                      /* open and replayed, or failed to */
    int status;
    char *text;                           /* node_start()'s, until is_started */
};

/* Rounds until the intake stops and nothing waits.  0 or < 0. */
int writer_run(struct writer *w);

#endif
