/* SPDX-License-Identifier: MIT */
/* What is answered beside the log: commands about the replicas, and what a replica without a leader
 * may still tell.
 * Owns nothing; works on the writer.
 *
 *   somebody leads   -> everything is for the leader: turned away
 *   nobody is known  -> snapshot reads from what is applied here, each with its index and log time;
 *                       all else is turned away, and the gateway refuses it (NO_LEADER)
 *
 * The index is told only then: while things are written it would tell when somebody cancels.
 * Not while a leader is known: a follower's state may be older than what the same caller was just
 * answered.  Fails only where ledger and replica do. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "node/cluster.h"
#include "node/writer_inside.h"

#define FIRST_INDEX 1 /* of the entry that a first member's log begins with: who the members are */

static struct cluster writer_cluster(struct writer *w, char door[PEERING_URL_MAX])
{
    struct cluster c = {.id = w->own.id, .replica = w->replica, .peering = w->peering,
                        .store = w->store, .ledger = w->ledger, .door = door,
                        .program = w->options->program, .signs = signer_mark(w->signer),
                        .lag_max = w->options->lag_alarm_entries};
    pthread_mutex_lock(&w->lock);
    memcpy(door, w->door, PEERING_URL_MAX);
    pthread_mutex_unlock(&w->lock);
    store_cluster_id(w->store, c.cluster_id);
    return c;
}

int writer_ask(struct writer *w, const struct command *command, struct verdict *ret_verdict)
{
    char door[PEERING_URL_MAX];
    struct cluster c = writer_cluster(w, door);
    return err_trace(cluster_answer(&c, command, answers_scratch(w->answers), ret_verdict));
}

/* A change is made when its command is answered, so the answer waits: the next leader may know
 * nothing of it.  So does whoever looks how far it is. */
bool writer_hold(struct writer *w, struct intake_batch *b, struct span reply)
{
    uint64_t index = w->peering ? replica_changing(w->replica) : 0;
    bool speaks = false;
    for (size_t i = 0; i < b->view.items_count && index > 0; i++) {
        speaks = speaks || command_is_cluster(b->view.items[i].command.kind);
    }
    uint8_t *copy = speaks ? malloc(reply.len) : NULL;
    if (copy == NULL) {
        return false; /* or out of memory: as true as it was */
    }
    memcpy(copy, reply.ptr, reply.len);
    b->held_index = index;
    b->held_reply = (struct span){copy, reply.len};
    list_push(&w->held, &b->node);
    return true;
}

void writer_release(struct writer *w)
{
    struct list *node, later;
    list_init(&later);
    while ((node = list_pull(&w->held)) != NULL) {
        struct intake_batch *b = CONTAINER_OF(node, struct intake_batch, node);
        if (b->held_index > replica_committed(w->replica)) {
            list_push(&later, node);
            continue;
        }
        struct span reply = b->held_reply;
        intake_reply(w->intake, b, reply);
        free((void *)(uintptr_t)reply.ptr);
    }
    while ((node = list_pull(&later)) != NULL) {
        list_push(&w->held, node);
    }
}

void writer_release_none(struct writer *w)
{
    for (struct list *l = w->held.next; l != &w->held; l = l->next) {
        struct intake_batch *b = CONTAINER_OF(l, struct intake_batch, node);
        free((void *)(uintptr_t)b->held_reply.ptr);
        b->held_reply = (struct span){0};
    }
    writer_turn_away(w, &w->held);
}

int writer_promote(struct writer *w)
{
    char door[PEERING_URL_MAX];
    struct cluster c = writer_cluster(w, door);
    return err_trace(cluster_turn(&c, answers_scratch(w->answers)));
}

/* Looks whether it would be done: a refused removal changes nothing.  One a round: the second
 * one is CHANGE_RUNNING. */
static int keep_number(struct writer *w, struct round *round, const struct command *remove)
{
    struct command plan = *remove;
    struct verdict verdict = {0};
    bool is_marked = false;
    plan.validate_only = true;
    int r = writer_ask(w, &plan, &verdict);
    r = r ? r : ledger_is_cordoned(w->ledger, remove->number, &is_marked);
    const struct command mark = {.kind = COMMAND_MARK_NODE, .number = remove->number,
                                 .version = NODE_MARK_CORDON, .roles = ROLE_OPERATOR};
    if (r || verdict.reason != REASON_OK || is_marked || !ledger_knows(w->ledger, &mark)) {
        return err_fold(r);
    }
    return err_trace(round_add(round, &mark));
}

int writer_keep_number(struct writer *w, struct round *round)
{
    for (struct list *l = round->batches.next; l != &round->batches; l = l->next) {
        struct intake_batch *b = CONTAINER_OF(l, struct intake_batch, node);
        for (size_t i = 0; i < b->view.items_count; i++) {
            const struct command *command = &b->view.items[i].command;
            if (command->kind == COMMAND_REMOVE_NODE && !command->validate_only) {
                return err_trace(keep_number(w, round, command));
            }
        }
    }
    return 0;
}

int writer_mark(struct writer *w, const struct command *command, struct verdict *verdict)
{
    char door[PEERING_URL_MAX];
    struct cluster c = writer_cluster(w, door);
    if (verdict->reason != REASON_OK) {
        return 0;
    }
    return err_trace(cluster_marked(&c, command->number, answers_scratch(w->answers), verdict));
}

static int snapshot_item(struct writer *w, const struct command *command)
{
    struct verdict verdict = {0};
    struct intake_refusal refusal = {0};
    if (!answers_takes_read(w->answers)) {
        refusal.reason = REASON_STILL_QUEUED;
    }
    budget_judge(w->budget, w->ledger, command, clock_mono_us(), &refusal);
    if (refusal.reason != REASON_OK) {
        answers_refusal(w->answers, &refusal);
        return 0;
    }
    int r = command_is_cluster(command->kind)
                ? writer_ask(w, command, &verdict)
                : err_fold(ledger_apply(w->ledger, command, store_applied_index(w->store), 0,
                                        store_applied_time_us(w->store),
                                        answers_scratch(w->answers), &verdict));
    verdict.as_of_index = store_applied_index(w->store);
    return r ? err_trace(r) : err_trace(answers_verdict(w->answers, &verdict));
}

/* May it be told from here?  Of a replica that has only the members of its log (it waits to be
 * added, its disk was lost, it was removed) all would be empty, and taken for the truth. */
static bool snapshot_may(const struct writer *w, enum command_kind kind)
{
    return command_is_snapshot(kind) &&
           (command_is_cluster(kind) || store_applied_index(w->store) > FIRST_INDEX);
}

static int snapshot(struct writer *w, struct intake_batch *b)
{
    struct span reply;
    int r = 0;
    answers_begin(w->answers, b);
    for (size_t i = 0; i < b->view.items_count && r == 0; i++) {
        const struct command *command = &b->view.items[i].command;
        if (snapshot_may(w, command->kind)) {
            r = snapshot_item(w, command);
        } else {
            answers_omit(w->answers);
        }
    }
    answers_turn_away(w->answers);
    r = r ? r : answers_end(w->answers, (struct credit_grant){0}, &reply);
    if (r == 0) {
        intake_reply(w->intake, b, reply);
    }
    return err_trace(r);
}

int writer_snapshots(struct writer *w, struct list *batches)
{
    struct list *node;
    while ((node = list_pull(batches)) != NULL) {
        int r = snapshot(w, CONTAINER_OF(node, struct intake_batch, node));
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}
