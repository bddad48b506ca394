/* SPDX-License-Identifier: MIT */
/* What writer.c (rounds) and writer_open.c (opening, closing, the thread) share. */
#ifndef FAIRSLOT_NODE_WRITER_INSIDE_H
#define FAIRSLOT_NODE_WRITER_INSIDE_H

#include <pthread.h>

#include "node/answers.h"
#include "node/badge.h"
#include "node/budget.h"
#include "node/poll.h"
#include "node/credit.h"
#include "node/feed.h"
#include "node/logtime.h"
#include "node/node.h"
#include "node/peering.h"
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
    struct poll *poll;
    struct signer *signer; /* NULL: nothing is signed */
    struct feed *feed;
    struct peering *peering;              /* NULL: a voter alone */
    struct badge own;
    struct list held;                     /* batches that speak of a change that may be lost yet */
    bool leads;                           /* rounds are taken; a voter alone always does */
    uint64_t led_term;
    int64_t expire_after_us;              /* monotonic: no hold expires before */
    bool only_spares;                     /* when the shard's own were last looked for */
    int64_t installed_us;                 /* and a state of another replica's installed; 0: none */
    uint64_t own_index;                   /* of the last round with commands of the shard's own */
    bool is_leaving;                      /* another one shall lead; under the lock */
    bool has_left;                        /* ... and does, or cannot; under the lock */
    bool leaves;                          /* is_leaving was seen: no round is begun */
    int64_t yield_at_us;                  /* monotonic: not handed over for want of room before */
    uint64_t leaving_to;                  /* whom it was handed to; 0: nobody yet */
    const char *why;                      /* it cannot go on, in words; NULL: by errno */
    struct replay replay;
    struct logtime time;
    struct credit credit;
    int64_t work_us;                      /* applying and answering, since the last take */
    struct round *rounds[ROUNDS_PENDING]; /* ring */
    size_t rounds_first;                  /* oldest pending */
    size_t rounds_count;                  /* pending */
    uint64_t proposed;                    /* last index that a round got */
    bool has_written;                     /* since the last sweep */
    int64_t sweep_at_us, coin_at_us;      /* monotonic: not before */
    int64_t promote_at_us;                /* the same */
    size_t sweeps;                        /* in the round that is being made: 0 or 1 */
    pthread_t thread;
    pthread_mutex_t lock;                 /* is_started, status */
    pthread_cond_t wake;
    bool is_started;                      /* open and replayed, or failed to */
    int status;
    char *text;                           /* node_start()'s, until is_started */
    char door[PEERING_URL_MAX];           /* where gateways reach us; under the lock */
};

/* writer_lead.c: what a replica among others does before and after a round. */
/* What peers sent, and the tick.  0 or < 0. */
int writer_hear(struct writer *w);
/* Messages to peers; begins or ends to lead. */
void writer_speak(struct writer *w);
/* Answers nothing of them: whoever leads is to be asked. */
void writer_turn_away(struct writer *w, struct list *batches);
/* Batches and calls for news that came while another one leads, or nobody.  0 or < 0. */
int writer_refuse(struct writer *w);
/* Damaged files: nothing is served from them, not one answer more.  With peers, and a log that is
 * as it was, it goes on without a state until it has another one's.  0 or < 0. */
int writer_lose(struct writer *w);
/* Log time goes on from an entry of another leader. */
void writer_follow(struct writer *w);
/* Before the first round: was there no entry for long?  What came due then stays a while. */
void writer_spare(struct writer *w, int64_t now_us);
/* The wall clock that log time is slewed by. */
int64_t writer_wall_us(const struct writer *w, int64_t now_us);

/* writer_ask.c: what is answered beside the log. */
/* A command that command_is_cluster(); spans in the answers' scratch.  0 or < 0. */
int writer_ask(struct writer *w, const struct command *command, struct verdict *ret_verdict);
/* The batch waits with its reply until the change of members that it speaks of is committed.  True:
 * taken.  False: there is none, it may leave. */
bool writer_hold(struct writer *w, struct intake_batch *b, struct span reply);
/* Those whose change is committed leave; the others turned away where they can no more. */
void writer_release(struct writer *w);
void writer_release_none(struct writer *w);
/* A node that the round is to remove is cordoned first, by a command in front: so the state keeps
 * its number for as long as there is a cluster, and nobody is added under it.  0 or < 0. */
int writer_keep_number(struct writer *w, struct round *round);
/* COMMAND_MARK_NODE was applied: its answer shows the node.  0 or < 0. */
int writer_mark(struct writer *w, const struct command *command, struct verdict *verdict);
/* Learners that have caught up get their vote, a cordoned leader hands over.  0 or < 0. */
int writer_promote(struct writer *w);
/* Nobody is known to lead: snapshot reads are answered from here, the rest turned away.  0, < 0. */
int writer_snapshots(struct writer *w, struct list *batches);

/* Rounds until the intake stops and nothing waits.  0 or < 0. */
int writer_run(struct writer *w);
/* One round of them and what follows it; and the monotonic instant of the next one even if nobody
 * comes.  writer_run() sleeps in between; tests/sim, where time is virtual, has no thread. */
int writer_step(struct writer *w);
int64_t writer_next_us(struct writer *w);

/* writer_open.c: what the writer owns, opened and closed on its thread. */
/* 0, a verdict of node.h with w->text, or < 0; writer_close() in any case. */
int writer_open(struct writer *w);
void writer_close(struct writer *w);

#endif
