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
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "node/alarm.h"
#include "node/writer_inside.h"

#define WRITER_TRACES    8                  /* named in the line about a slow round */
#define DOUBT_US         INT64_C(50000)     /* a heartbeat */
#define WAIT_MAX_US      SECOND_US          /* the store wants a turn, log time a step */
#define COMMIT_ENTRIES_MAX 512              /* applied in one go */
#define END_US           (2 * SECOND_US)    /* for rounds under way when the shard stops */
#define SWEEP_US         SECOND_US          /* between two sweeps, when something was written */
#define PROMOTE_US       (SECOND_US / 4)    /* between two looks at learners */
#define EXPIRY_RETRY_US  INT64_C(100000)    /* what is due but cannot be written now */

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
    struct span message;
    if (poll_again(w->poll, command, w->time.mono_us, &message)) {
        return err_trace(answers_message(w->answers, message));
    }
    struct verdict verdict = {0};
    int r = command_is_cluster(command->kind)
                ? writer_ask(w, command, &verdict)
                : err_fold(ledger_apply(w->ledger, command, round->index, is_read ? 0 : (*place)++,
                                        round->log_time_us, answers_scratch(w->answers),
                                        &verdict));
    if (r == 0 && command->kind == COMMAND_MARK_NODE) {
        r = writer_mark(w, command, &verdict);
    }
    r = r ? r : answers_verdict(w->answers, &verdict);
    if (r == 0) {
        poll_keep(w->poll, command, w->time.mono_us, answers_last(w->answers));
    }
    return err_trace(r);
}

static int writer_batch(struct writer *w, struct round *round, struct intake_batch *b,
                        uint32_t *place)
{
    answers_begin(w->answers, b);
    for (size_t i = 0; i < b->view.items_count; i++) {
        if (i + LEDGER_EXPECT_AHEAD < b->view.items_count) {
            ledger_expect(w->ledger, &b->view.items[i + LEDGER_EXPECT_AHEAD].command);
        }
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
    if (!writer_hold(w, b, reply)) {
        METRIC_TIME(shard_batch_duration_seconds, clock_mono_us() - b->arrival_us);
        intake_reply(w->intake, b, reply);
    }
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
        if (r) {
            list_push(&round->batches, node); /* not answered: it may be turned away yet */
        }
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
    int r;
    if (round == NULL || !round->has_entry || round->index != index) {
        r = err_fold(replay_entry(&w->replay, index)); /* another leader's, or Raft's own */
        writer_follow(w);
    } else {
        r = writer_answer(w, round);
        if (r == 0) {
            store_applied(w->store, index, round->term, round->log_time_us);
        }
    }
    if (r == 0 && w->peering &&
        peering_applied(w->peering, index, store_applied_effects(w->store))) {
        w->why = "most replicas have another state than this one; remove this node and add it as a "
                 "new one with an empty directory";
        r = err_origin(-ENOTRECOVERABLE);
    }
    return err_trace(r);
}

static void writer_retire(struct writer *w)
{
    round_reset(writer_oldest(w));
    w->rounds_first = (w->rounds_first + 1) % ROUNDS_PENDING;
    w->rounds_count--;
}

/* Applies and answers what is committed.  The only place that answers.  A replica that catches up
 * stops after some entries: peers want to hear from it meanwhile. */
static int writer_commit(struct writer *w)
{
    uint64_t wanted, committed = replica_committed(w->replica);
    if (store_wants_state(w->store, &wanted)) {
        return 0; /* there is nothing to apply to */
    }
    for (int entries = 0; entries < COMMIT_ENTRIES_MAX; entries++) {
        struct round *round = writer_oldest(w);
        uint64_t applied = store_applied_index(w->store);
        int r;
        if (round && !round->has_entry && round->index <= applied) {
            r = writer_answer(w, round); /* reads alone: what they must not miss is applied */
        } else if (applied < committed && (round || !store_overlay_full(w->store))) {
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
    return 0;
}

/* -- a round ----------------------------------------------------------------------------------- */

static void writer_observe(struct writer *w, const struct round *round, int64_t now_us)
{
    if (!list_empty(&round->batches)) {
        credit_worked(&w->credit, w->work_us);
        w->work_us = 0;
    }
    for (struct list *l = round->batches.next; l != &round->batches; l = l->next) {
        const struct intake_batch *b = CONTAINER_OF(l, struct intake_batch, node);
        int64_t delay_us = now_us - b->arrival_us;
        credit_observe(&w->credit, delay_us > 0 ? delay_us : 0, b->view.items_count, now_us);
    }
}

/* The shard's own commands.  While an older round with such is pending these may be the same: wait.
 * Commands of clients in between are no reason to: what is due names the version that it means. */
static int writer_own(struct writer *w, struct round *round, const struct round_gate *gate)
{
    w->sweeps = 0;
    if (gate->room == STORE_ROOM_NONE || w->own_index > store_applied_index(w->store)) {
        return 0;
    }
    ledger_rules(w->ledger, w->peering ? peering_rules(w->peering) : LEDGER_VERSION);
    round->spares_holds = gate->now_us < w->expire_after_us;
    bool sweep = w->has_written && gate->now_us >= w->sweep_at_us;
    int r = round_own(round, w->ledger, sweep, gate->now_us, &w->coin_at_us);
    if (sweep) {
        w->has_written = false;
        w->sweep_at_us = gate->now_us + SWEEP_US;
    }
    w->sweeps = sweep;
    w->only_spares = round->spares_holds && round->own_count == 0;
    return err_trace(r);
}

static int writer_propose(struct writer *w, struct round *round)
{
    round->index = w->proposed;
    /* Reads alone: among others, only a committed entry shows that we still lead. */
    round->has_entry = round->commands_count > 0 || w->peering;
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
    if (r == REPLICA_E_NOT_LEADER) {
        return r;
    }
    w->proposed = round->index;
    w->own_index = round->own_count > 0 ? round->index : w->own_index;
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
    if (w->peering) { /* the others' disks work while ours does */
        replica_early(w->replica);
        peering_speak(w->peering);
    }
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

/* Makes a round of everything that has arrived.  *ret_round NULL: there was nothing. */
static int writer_make(struct writer *w, struct round **ret_round)
{
    int64_t now_us = clock_mono_us();
    struct round *round = w->rounds[(w->rounds_first + w->rounds_count) % ROUNDS_PENDING];
    struct replica_member members[REPLICA_MEMBERS_MAX];
    struct round_gate gate = {.now_us = now_us, .room = store_room(w->store),
                              .ledger = w->ledger, .members = members,
                              .members_count = replica_members(w->replica, members),
                              .has_older = w->peering && peering_has_older(w->peering)};
    METRIC_SET(shard_storage_room, STORE_ROOM_NONE - gate.room);
    round->log_time_us = logtime_advance(&w->time, writer_wall_us(w, now_us), now_us);
    int r = writer_own(w, round, &gate);
    if (r) {
        return err_trace(r);
    }
    size_t batches = intake_take(w->intake, &round->batches, ROUND_ITEMS_MAX - ROUND_OWN_MAX,
                                 ROUND_BYTES);
    writer_observe(w, round, now_us);
    r = writer_keep_number(w, round);
    if (r) {
        return err_trace(r);
    }
    round_judge(round, &gate);
    if (batches == 0 && round->commands_count == 0) {
        round_reset(round);
        return 0;
    }
    r = writer_propose(w, round);
    if (r == REPLICA_E_NOT_LEADER) { /* it is being handed over */
        writer_turn_away(w, &round->batches);
        round_reset(round);
        return 0;
    }
    w->rounds_count += r == 0;
    *ret_round = round;
    return err_trace(r);
}

/* One round.  With nothing in it, it only lets the store turn and peers be heard. */
static int writer_round(struct writer *w)
{
    struct round *round = NULL;
    int r = store_damaged(w->store) ? writer_lose(w) : 0;
    r = r ? r : err_fold(store_turn(w->store));
    r = r ? r : writer_hear(w);
    METRIC_SET(shard_log_index, store_applied_index(w->store));
    if (r == 0 && !w->leads) {
        r = writer_refuse(w);
    } else if (r == 0 && !w->leaves && w->rounds_count < ROUNDS_PENDING &&
               !store_overlay_full(w->store)) {
        r = writer_make(w, &round); /* else what has come waits where its credit counts it */
    }
    if (r) {
        return err_fold(r);
    }
#ifdef PLANT_ANSWER_BEFORE_FSYNC
    if (round) {
        return writer_answer_early(w, round);
    }
#endif
    if (round) {
        METRIC_ADD1(shard_rounds_total, way, round->has_entry ? 1 : 0, 1);
    }
    /* The fsync.  Of this round only the entry, to peers, has left the house before it. */
    if (round && round->has_entry) {
        r = writer_persist(w, round);
    } else if (w->peering) {
        r = replica_round(w->replica);
    }
    if (r == 0) {
        writer_speak(w);
    }
    int64_t began_us = clock_mono_us();
    r = r ? err_fold(r) : err_trace(writer_commit(w));
    w->work_us += clock_mono_us() - began_us;
    if (r == 0 && !list_empty(&w->held)) { /* what they wait for may begin with this round */
        r = err_fold(replica_round(w->replica));
        writer_speak(w);
        writer_release(w);
    }
    if (r == 0 && w->peering && w->leads && clock_mono_us() >= w->promote_at_us) {
        w->promote_at_us = clock_mono_us() + PROMOTE_US;
        r = writer_promote(w);
    }
    return err_trace(r);
}

/* -- sleeping ---------------------------------------------------------------------------------- */

static int64_t writer_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The next tick, or at once while there is something to apply. */
static int64_t writer_peers_in_us(const struct writer *w, int64_t now_us)
{
    uint64_t wanted;
    if (!store_wants_state(w->store, &wanted) &&
        store_applied_index(w->store) < replica_committed(w->replica) &&
        !store_overlay_full(w->store)) {
        return 0;
    }
    int64_t in_us = peering_next_us(w->peering) - now_us;
    if (!w->leads) { /* is the leader still there? */
        in_us = writer_min(in_us, DOUBT_US);
    }
    return in_us > 0 ? in_us : 0;
}

/* Monotonic instant at which there is something to do even if nobody comes. */
static int64_t writer_until_us(struct writer *w)
{
    int64_t now_us = clock_mono_us();
    int64_t in_us = writer_min(WAIT_MAX_US, store_turn_in_us(w->store));
    if (w->peering) {
        in_us = writer_min(in_us, writer_peers_in_us(w, now_us));
    }
    if (!w->leads || w->own_index > store_applied_index(w->store)) {
        return now_us + in_us;
    }
    int64_t expiry_us = ledger_next_expiry_us(w->ledger);
    if (expiry_us != INT64_MAX) {
        int64_t log_us = logtime_advance(&w->time, writer_wall_us(w, now_us), now_us);
        int64_t due_us = expiry_us > log_us ? expiry_us - log_us : EXPIRY_RETRY_US;
        /* More than one round's worth is due: go on at once, unless nothing may be written, or
         * the last round found nothing but holds that are spared. */
        if (expiry_us <= log_us && store_room(w->store) != STORE_ROOM_NONE &&
            !(w->only_spares && now_us < w->expire_after_us)) {
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

/* Nothing can be taken now: what comes does not end the sleep, the flusher or a peer does. */
static bool writer_is_full(const struct writer *w)
{
    return store_overlay_full(w->store) || (w->rounds_count == ROUNDS_PENDING && w->leads);
}

int64_t writer_next_us(struct writer *w)
{
    if (!writer_is_full(w)) {
        return writer_until_us(w);
    }
    int64_t now_us = clock_mono_us();
    return now_us + (w->peering ? writer_peers_in_us(w, now_us) : WAIT_MAX_US);
}

static void writer_sleep(struct writer *w)
{
    int64_t until_us = writer_next_us(w);
    if (writer_is_full(w)) {
        intake_pause(w->intake, until_us);
    } else {
        intake_wait(w->intake, until_us);
    }
}

/* What the rounds so far decided is durable: whoever waits for news may look. */
static void writer_tell(struct writer *w)
{
    const struct ledger_touch *touches;
    size_t count = ledger_touched(w->ledger, &touches);
    feed_note(w->feed, touches, count);
    if (w->leads) {
        feed_turn(w->feed, clock_mono_us());
    }
}

/* As writer_sleep(), when the intake has stopped: that would end each sleep. */
static void writer_nap(struct writer *w)
{
    int64_t now_us = clock_mono_us();
    intake_pause(w->intake, now_us + (w->peering ? writer_peers_in_us(w, now_us) : WAIT_MAX_US));
}

int writer_step(struct writer *w)
{
    int r = writer_round(w);
    if (r < 0 && store_damaged(w->store)) {
        r = writer_lose(w); /* a read met damage: what it was for was not answered */
    }
    if (r == 0) {
        writer_tell(w);
    }
    return err_trace(r);
}

int writer_run(struct writer *w)
{
    int r = 0;
    while (r == 0 && !intake_is_stopping(w->intake)) {
        writer_sleep(w);
        r = writer_step(w);
    }
    /* Nothing comes in any more: answer what waits.  Among others that takes them, for a while. */
    int64_t until_us = clock_mono_us() + END_US;
    while (r == 0 && (intake_has_waiting(w->intake) || w->rounds_count > 0 ||
                      !list_empty(&w->held)) &&
           !(w->peering && clock_mono_us() > until_us)) {
        r = writer_round(w);
        if (r == 0 && (store_overlay_full(w->store) || w->rounds_count > 0)) {
            writer_nap(w);
        }
    }
    if (r == 0) {
        writer_release_none(w);
    }
    while (r == 0 && w->rounds_count > 0) {
        writer_turn_away(w, &writer_oldest(w)->batches);
        writer_retire(w);
    }
    if (r == 0) {
        writer_tell(w);
        feed_end(w->feed);
    }
    return err_trace(r);
}
