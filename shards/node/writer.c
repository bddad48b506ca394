/* SPDX-License-Identifier: MIT */
/* The shard's writer: rounds.
 * Owns: the store, the replica, the ledger, log time, credits, the pending rounds.  One thread
 * opens, uses and closes them all (LMDB's write transactions want it so).
 *
 *   wait -> take what has arrived -> judge -> one entry -> propose -> replica_round()  === fsync
 *        -> for each committed index: ledger_apply() in order -> store_applied()
 *        -> reads and answers of that round -> replies
 *
 * THE ORDER IS THE PROMISE: no reply is made before replica_committed() covers the entry that it
 * speaks of, and that moves only in replica_round(), after the fsync.  Every way to a reply goes
 * through writer_commit().  The refusals inside a batch leave with the batch, so after it, too.
 *
 * Pending rounds wait in a ring by index: with one voter a round is committed when its own
 * replica_round() returns; a Raft commits them later and in other rounds, and entries that others
 * proposed come in between.  A round of reads alone has no entry: it waits for the last index
 * proposed before it.
 *
 * Ways to fail: the disk, damage, memory.  Then nothing more is answered, the trail is printed and
 * options.fatal (or _exit) ends the process: what was not answered may be decided or not, and the
 * client's request id finds out.
 * A full overlay stops the intake until its flush has ended: batches wait, nothing is refused.
 * Time: sleeps until a batch, a flush, an expiry, a sweep, or a second is over. */
#include "node/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "node/answers.h"
#include "node/alarm.h"
#include "node/budget.h"
#include "node/credit.h"
#include "node/feed.h"
#include "node/logtime.h"
#include "node/replay.h"
#include "node/replica.h"
#include "node/replica_store.h"
#include "node/round.h"

#define WRITER_TRACES    8                  /* named in the line about a slow round */
#define ROUNDS_PENDING   4                  /* proposed, not yet committed; a power of two */
#define WAIT_MAX_US      SECOND_US          /* the store wants a turn, log time a step */
#define SWEEP_US         SECOND_US          /* between two sweeps, when something was written */
#define EXPIRY_RETRY_US  INT64_C(100000)    /* what is due but cannot be written now */

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

/* -- answering: only from writer_commit() ------------------------------------------------------ */

static int writer_item(struct writer *w, struct round *round, struct intake_batch *b, size_t i,
                       uint32_t *place)
{
    const struct command *command = &b->view.items[i].command;
    bool is_read = command_is_read(command->kind);
    struct intake_refusal refusal = b->refusals[i];
    if (refusal.reason == REASON_OK && is_read && !answers_takes_read(w->answers)) {
        refusal.reason = REASON_STILL_QUEUED;
    }
    budget_judge(w->budget, w->ledger, command, w->time.mono_us, &refusal);
    if (refusal.reason != REASON_OK) {
        answers_refusal(w->answers, &refusal);
        return 0;
    }
    struct verdict verdict = {0};
    int r = ledger_apply(w->ledger, command, round->index, is_read ? 0 : (*place)++,
                         round->log_time_us, answers_scratch(w->answers), &verdict);
    if (r) {
        return err_fold(r);
    }
    return err_trace(answers_verdict(w->answers, &verdict));
}

static int writer_batch(struct writer *w, struct round *round, struct intake_batch *b,
                        uint32_t *place)
{
    answers_begin(w->answers, b);
    for (size_t i = 0; i < b->view.items_count; i++) {
        int r = writer_item(w, round, b, i, place);
        if (r) {
            return err_trace(r);
        }
    }
    struct span reply;
    struct credit_grant grant = credit_share(&w->credit, b->view.gateway,
                                             b->view.waiting_identities, w->time.mono_us);
    int r = answers_end(w->answers, grant, &reply);
    if (r) {
        return err_trace(r);
    }
    intake_reply(w->intake, b, reply);
    return 0;
}

/* A round of ours whose index is committed and durable: decide and answer. */
static int writer_answer(struct writer *w, struct round *round)
{
#ifndef PLANT_ANSWER_BEFORE_FSYNC
    CHECK(round->index <= replica_committed(w->replica));
#endif
    uint32_t place = 0;
    int r = 0;
    for (size_t i = 0; i < round->own_count && r == 0; i++) {
        struct verdict verdict = {0};
        r = ledger_apply(w->ledger, &round->own[i], round->index, place++, round->log_time_us,
                         answers_scratch(w->answers), &verdict);
        if (r == 0 && verdict.report) {
            alarm_report(verdict.report);
        }
    }
    struct list *node;
    while (r == 0 && (node = list_pull(&round->batches)) != NULL) {
        r = writer_batch(w, round, CONTAINER_OF(node, struct intake_batch, node), &place);
    }
    IMPLY(r == 0, place == round->commands_count);
    return err_fold(r);
}

static struct round *writer_oldest(struct writer *w)
{
    return w->rounds_count > 0 ? w->rounds[w->rounds_first] : NULL;
}

static int writer_apply(struct writer *w, uint64_t index)
{
    struct round *round = writer_oldest(w);
    if (round == NULL || !round->has_entry || round->index != index) {
        return err_fold(replay_entry(&w->replay, index)); /* proposed by another replica */
    }
    int r = writer_answer(w, round);
    if (r) {
        return err_trace(r);
    }
    store_applied(w->store, index, round->term, round->log_time_us);
    return 0;
}

static void writer_retire(struct writer *w)
{
    round_reset(writer_oldest(w));
    w->rounds_first = (w->rounds_first + 1) % ROUNDS_PENDING;
    w->rounds_count--;
}

/* Applies and answers what is committed.  The only place that answers. */
static int writer_commit(struct writer *w)
{
    uint64_t committed = replica_committed(w->replica);
    for (;;) {
        struct round *round = writer_oldest(w);
        uint64_t applied = store_applied_index(w->store);
        int r;
        if (round && !round->has_entry && round->index <= applied) {
            r = writer_answer(w, round); /* reads alone: what they must not miss is applied */
        } else if (applied < committed) {
            r = writer_apply(w, applied + 1);
        } else {
            return 0;
        }
        if (r) {
            return err_trace(r);
        }
        if (round && round->index <= store_applied_index(w->store)) {
            writer_retire(w);
        }
    }
}

/* -- a round ----------------------------------------------------------------------------------- */

static void writer_observe(struct writer *w, const struct round *round, int64_t now_us)
{
    for (struct list *l = round->batches.next; l != &round->batches; l = l->next) {
        const struct intake_batch *b = CONTAINER_OF(l, struct intake_batch, node);
        int64_t delay_us = now_us - b->arrival_us;
        credit_observe(&w->credit, delay_us > 0 ? delay_us : 0, b->view.items_count, now_us);
    }
}

/* The shard's own commands.  While an older round is pending its expiries may be these: wait. */
static int writer_own(struct writer *w, struct round *round, const struct round_gate *gate)
{
    w->sweeps = 0;
    if (gate->room == STORE_ROOM_NONE || w->rounds_count > 0) {
        return 0;
    }
    bool sweep = w->has_written && gate->now_us >= w->sweep_at_us;
    int r = round_own(round, w->ledger, sweep, gate->now_us, &w->coin_at_us);
    if (sweep) {
        w->has_written = false;
        w->sweep_at_us = gate->now_us + SWEEP_US;
    }
    w->sweeps = sweep;
    return err_trace(r);
}

static int writer_propose(struct writer *w, struct round *round)
{
    round->index = w->proposed;
    round->has_entry = round->commands_count > 0;
    if (!round->has_entry) {
        return 0;
    }
    /* A sweep alone does not ask for the next one. */
    w->has_written = w->has_written || round->commands_count > w->sweeps;
    struct span entry;
    int r = round_pack(round, &entry);
    if (r) {
        return err_trace(r);
    }
    round->term = replica_term(w->replica);
    r = replica_propose(w->replica, entry, &round->index);
    w->proposed = round->index;
    return err_fold(r);
}

/* Names the first few callers' traces, so that theirs can be found to have waited here. */
static void writer_say_slow(const struct round *round, int64_t took_us)
{
    char traces[WRITER_TRACES * TRACE_ID_HEX] = "";
    size_t count = 0;
    for (struct list *l = round->batches.next; l != &round->batches; l = l->next) {
        const struct intake_batch *b = CONTAINER_OF(l, struct intake_batch, node);
        for (size_t i = 0; i < b->view.items_count && count < WRITER_TRACES; i++) {
            const struct span trace = b->view.items[i].trace;
            if (trace.len == TRACE_BYTES) {
                size_t at = strlen(traces);
                traces[at] = ' ';
                trace_id_hex(trace.ptr, traces + at + (at > 0));
                count++;
            }
        }
    }
    log_event(LOG_ROUND_SLOW,
              LOG_FIELDS(LOG_NUMBER("index", round->index), LOG_NUMBER("duration_us", took_us),
                         LOG_NUMBER("commands", round->commands_count),
                         LOG_TEXT("trace_ids", traces)),
              "shard: a round's commit took %lld ms", (long long)took_us / 1000);
}

static int writer_persist(struct writer *w, const struct round *round)
{
    int64_t began_us = clock_mono_us();
    int r = replica_round(w->replica);
    int64_t took_us = clock_mono_us() - began_us;
    METRIC_TIME(shard_commit_duration_seconds, took_us);
    if (w->options->slow_round_us && took_us > w->options->slow_round_us) {
        writer_say_slow(round, took_us);
    }
    METRIC_SIZE(shard_round_commands, (int64_t)round->commands_count);
    return r;
}

#ifdef PLANT_ANSWER_BEFORE_FSYNC /* never defined but by tests/durability, which must catch it */
static int writer_answer_early(struct writer *w, struct round *round)
{
    int r = writer_answer(w, round);
    if (r == 0 && round->has_entry) {
        r = replica_round(w->replica);
        store_applied(w->store, round->index, round->term, round->log_time_us);
    }
    writer_retire(w);
    return err_fold(r);
}
#endif

/* One round: everything that has arrived.  A round with nothing in it only lets the store turn. */
static int writer_round(struct writer *w)
{
    int r = store_turn(w->store);
    if (r || w->rounds_count == ROUNDS_PENDING || store_overlay_full(w->store)) {
        return err_fold(r); /* nothing is taken: what has come waits where its credit counts it */
    }
    int64_t now_us = clock_mono_us();
    struct round *round = w->rounds[(w->rounds_first + w->rounds_count) % ROUNDS_PENDING];
    struct round_gate gate = {.now_us = now_us, .room = store_room(w->store)};
    METRIC_SET(shard_log_index, store_applied_index(w->store));
    METRIC_SET(shard_storage_room, STORE_ROOM_NONE - gate.room);
    round->log_time_us = logtime_advance(&w->time, clock_wall_us(), now_us);
    r = writer_own(w, round, &gate);
    if (r) {
        return err_trace(r);
    }
    size_t batches = intake_take(w->intake, &round->batches, ROUND_ITEMS_MAX - ROUND_OWN_MAX,
                                 ROUND_BYTES);
    writer_observe(w, round, now_us);
    round_judge(round, &gate);
    if (batches == 0 && round->commands_count == 0) {
        round_reset(round);
        return 0;
    }
    r = writer_propose(w, round);
    if (r) {
        return err_trace(r);
    }
    w->rounds_count++;
#ifdef PLANT_ANSWER_BEFORE_FSYNC
    return writer_answer_early(w, round);
#endif
    /* The fsync.  Nothing of this round has left the house before it. */
    r = round->has_entry ? writer_persist(w, round) : 0;
    METRIC_ADD1(shard_rounds_total, way, round->has_entry ? 1 : 0, 1);
    return r ? err_fold(r) : err_trace(writer_commit(w));
}

/* -- sleeping ---------------------------------------------------------------------------------- */

static int64_t writer_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Monotonic instant at which there is something to do even if nobody comes. */
static int64_t writer_until_us(struct writer *w)
{
    int64_t now_us = clock_mono_us();
    int64_t in_us = writer_min(WAIT_MAX_US, store_turn_in_us(w->store));
    int64_t expiry_us = ledger_next_expiry_us(w->ledger);
    if (expiry_us != INT64_MAX) {
        int64_t log_us = logtime_advance(&w->time, clock_wall_us(), now_us);
        int64_t due_us = expiry_us > log_us ? expiry_us - log_us : EXPIRY_RETRY_US;
        /* More than one round's worth is due: go on at once, unless nothing may be written. */
        if (expiry_us <= log_us && store_room(w->store) != STORE_ROOM_NONE) {
            due_us = 0;
        }
        in_us = writer_min(in_us, due_us);
    }
    if (w->has_written) {
        int64_t sweep_us = w->sweep_at_us - now_us;
        in_us = writer_min(in_us, sweep_us > 0 ? sweep_us : 0);
    }
    return now_us + in_us;
}

static void writer_sleep(struct writer *w)
{
    if (store_overlay_full(w->store)) {
        intake_pause(w->intake, clock_mono_us() + WAIT_MAX_US); /* the flusher wakes us */
    } else {
        intake_wait(w->intake, writer_until_us(w));
    }
}

/* What the rounds so far decided is durable: whoever waits for news may look. */
static void writer_tell(struct writer *w)
{
    const struct ledger_touch *touches;
    size_t count = ledger_touched(w->ledger, &touches);
    feed_note(w->feed, touches, count);
    feed_turn(w->feed, clock_mono_us());
}

static int writer_run(struct writer *w)
{
    int r = 0;
    while (r == 0 && !intake_is_stopping(w->intake)) {
        writer_sleep(w);
        r = writer_round(w);
        if (r == 0) {
            writer_tell(w);
        }
    }
    /* Nothing comes in any more: answer what waits. */
    while (r == 0 && intake_has_waiting(w->intake)) {
        r = writer_round(w);
        if (r == 0 && store_overlay_full(w->store)) {
            writer_sleep(w);
        }
    }
    if (r == 0) {
        writer_tell(w);
        feed_end(w->feed);
    }
    return err_trace(r);
}

/* -- opening, closing, the end ----------------------------------------------------------------- */

static void writer_flushed(void *user)
{
    struct writer *w = user;
    intake_wake(w->intake);
}

static int writer_open_store(struct writer *w)
{
    struct store_options options = {
        .dir = w->options->data_dir,
        .log_map_bytes = w->options->log_map_bytes,
        .state_map_bytes = w->options->state_map_bytes,
        .overlay_max_bytes = w->options->overlay_max_bytes,
        .disk_reserve_bytes = w->options->disk_reserve_bytes,
        .flushed = writer_flushed,
        .user = w,
    };
    memcpy(options.cluster_id, w->options->cluster_id, sizeof options.cluster_id);
    int r = store_open(&options, &w->store, w->text);
    return r > 0 ? NODE_E_STORE : err_trace(r);
}

static int writer_replay(struct writer *w)
{
    uint64_t damaged = 0;
    uint64_t first = store_applied_index(w->store) + 1;
    uint64_t last = replica_committed(w->replica);
    int64_t start_us = clock_mono_us();
    replay_init(&w->replay, w->store, w->replica, w->ledger);
    if (last + 1 < first) {
        snprintf(w->text, 256, "%s: the state has entry %llu, the log ends at %llu: "
                 "log and state are not of one shard; restore both from one backup",
                 w->options->data_dir, (unsigned long long)first - 1, (unsigned long long)last);
        return NODE_E_STORE;
    }
    int r = replay_run(&w->replay, &damaged);
    if (r > 0) {
        snprintf(w->text, 256, "%s: log entry %llu is missing or damaged; restore from a backup",
                 w->options->data_dir, (unsigned long long)damaged);
        return NODE_E_STORE;
    }
    if (r == 0 && last >= first) {
        log_event(LOG_SHARD_REPLAYED, LOG_FIELDS(LOG_NUMBER("index", last)),
                  "shard: replayed %llu entries in %lld ms", (unsigned long long)(last + 1 - first),
                  (long long)(clock_mono_us() - start_us) / 1000);
    }
    return err_trace(r);
}

static int writer_open(struct writer *w)
{
    int r = signer_open(w->options->signing_key, &w->signer, w->text);
    r = r == SIGNER_E_KEY ? NODE_E_KEY : err_fold(r);
    r = r ? r : writer_open_store(w);
    r = r ? r : replica_store_open(w->store, w->options->data_dir, &w->log, &w->replica, w->text);
    r = r == REPLICA_E_STATE ? NODE_E_STORE : r;
    if (r) {
        return err_trace(r);
    }
    r = ledger_new(store_book(w->store), &w->ledger);
    if (r == LEDGER_E_VERSION) {
        snprintf(w->text, 256, "%s: written by newer rules than this program's (version %d); "
                 "use the newer program", w->options->data_dir, LEDGER_VERSION);
        return NODE_E_VERSION;
    }
    r = r ? err_fold(r) : writer_replay(w);
    r = r ? r : err_fold(answers_new(w->signer, &w->answers));
    const struct node_options *o = w->options;
    r = r ? r : err_fold(budget_new(o->scarce_reads, o->scarce_burst, &w->budget));
    r = r ? r : err_fold(feed_new(w->intake, &w->feed));
    for (size_t i = 0; i < ROUNDS_PENDING && r == 0; i++) {
        r = err_fold(round_new(&w->rounds[i]));
    }
    if (r) {
        return err_trace(r);
    }
    int64_t now_us = clock_mono_us();
    w->proposed = replica_committed(w->replica);
    logtime_init(&w->time, store_applied_time_us(w->store), clock_wall_us(), now_us);
    credit_init(&w->credit, now_us);
    return 0;
}

static void writer_close(struct writer *w)
{
    for (size_t i = 0; i < ROUNDS_PENDING; i++) {
        round_free(w->rounds[i]);
    }
    answers_free(w->answers);
    budget_free(w->budget);
    signer_close(w->signer);
    feed_free(w->feed);
    replay_fini(&w->replay);
    ledger_free(w->ledger);
    replica_free(w->replica);
    replica_store_free(w->log);
    store_close(w->store);
}

/* Nothing may be answered any more, and nothing on the disk is touched again: store and ledger stay
 * as they are until the process ends. */
static void writer_fail(struct writer *w, int r)
{
    log_event(LOG_SHARD_ENDS, NULL, "shard: cannot go on: %s; ending, the log will be replayed",
              strerror(-r));
    err_print(stderr);
    intake_die(w->intake);
    if (w->options->fatal == NULL) {
        _exit(1);
    }
    w->options->fatal(w->options->user);
}

static void writer_started(struct writer *w, int status)
{
    pthread_mutex_lock(&w->lock);
    w->is_started = true;
    w->status = status;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    int r = writer_open(w);
    if (r) {
        if (r < 0) {
            err_print(stderr); /* this thread's trail: the caller cannot see it */
        }
        writer_close(w);
        writer_started(w, r);
        return NULL;
    }
    writer_started(w, 0);
    r = writer_run(w);
    if (r) {
        writer_fail(w, r);
    } else {
        writer_close(w);
    }
    return NULL;
}

int writer_start(const struct node_options *options, struct intake *intake,
                 struct writer **ret_writer, char *ret_text)
{
    struct writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return err_origin(-ENOMEM);
    }
    w->options = options;
    w->intake = intake;
    w->text = ret_text;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    int r = pthread_create(&w->thread, NULL, writer_main, w);
    if (r) {
        free(w);
        return err_origin(-r);
    }
    pthread_mutex_lock(&w->lock);
    while (!w->is_started) {
        pthread_cond_wait(&w->wake, &w->lock);
    }
    r = w->status;
    pthread_mutex_unlock(&w->lock);
    if (r) {
        writer_stop(w);
        return r < 0 ? err_origin(r) : r;
    }
    *ret_writer = w;
    return 0;
}

void writer_stop(struct writer *w)
{
    if (w == NULL) {
        return;
    }
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    free(w);
}
