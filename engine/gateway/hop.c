/* SPDX-License-Identifier: MIT */
/* Hop: errands leave in batches and come back as answers.
 *
 *   loop:        lost ones first, then the fair queue -> batch -> idle context -> rpc_client_send
 *   nng thread:  reply -> the context's inbox -> ready bits (mutex) -> uv_async_send
 *   loop:        ready bits -> unpack -> answer each errand by number -> pump again
 *
 * Owns: RPC_CLIENT_CONTEXTS contexts with the bytes of their last reply, the credit, the lost list.
 * A context's inbox belongs to nng's thread from rpc_client_send() until its ready bit is set, to
 * the loop afterwards: so one mutex over a few bits is all the locking there is.
 * Happy path of a lonely client: its call is sent in the turn of the loop that read it.  Under load
 * calls gather: behind HOP_EAGER batches under way a further one leaves when HOP_GATHER wait,
 * or when one comes back.  No timer is involved.
 * Fails: a lost batch (RPC_E_GONE) has an unknown effect, so its calls are sent again with the same
 * bytes, hence the same request id, ahead of the queue, as their turn had come; at their deadline,
 * or when the shard is away for HOP_GONE_MS (at the start: HOP_FIRST_MS), they are refused with
 * NO_LEADER; so is whoever waits when it is connected but has answered nothing for HOP_SILENT_MS
 * (swallowed packets, a disk that stands still), and the next call tries again.  One batch without
 * a reply for as long, while others have theirs, is lost as if its connection had gone.  A replica
 * that does not lead turns calls away: they go to the one that does (aim.c), or are refused when
 * nobody leads.  A damaged reply is treated as a lost one.  A call that the reply does not name is
 * an error of ours: INTERNAL.
 * Invariants: an errand in ERRAND_SENT has a seat in the context whose batch carries it; a
 * number names seat and batch, so a late or repeated one meets nobody; items under way never
 * exceed the credit, but for one batch when nothing is under way; what is past its deadline is
 * refused when its turn comes and costs no credit.
 * Roads not taken: a raw REP socket at the shard (it drops what it has no room for, silently), the
 * resending of nng's own (a batch twice, and slower with each one under way), polling. */
#include "gateway/hop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/errand.h"
#include "gateway/hop_inside.h"
#include "gateway/inside.h"
#include "gateway/queue.h"

/* On nng's thread. */
static void hop_done(void *user, unsigned context, int status, struct span bytes)
{
    struct hop *hop = user;
    struct hop_inbox *in = &hop->contexts[context].inbox;
    if (bytes.len > in->size) {
        uint8_t *grown = realloc(in->bytes, bytes.len);
        if (grown == NULL) {
            status = RPC_E_GONE; /* as good as lost: it is asked again by request id */
            bytes.len = 0;
        } else {
            in->bytes = grown;
            in->size = bytes.len;
        }
    }
    if (bytes.len) {
        memcpy(in->bytes, bytes.ptr, bytes.len);
    }
    in->len = bytes.len;
    in->status = status;
    uv_mutex_lock(&hop->mutex);
    hop->ready |= 1u << context;
    uv_mutex_unlock(&hop->mutex);
    uv_async_send(&hop->async);
}

static void hop_arm_tick(struct hop *hop)
{
    deadline_arm(&hop->gateway->deadlines, &hop->tick, hop_now(hop) + HOP_TICK_MS);
}

/* The errand of a seat leaves its batch. */
static struct errand *hop_take(struct hop_context *c, size_t seat)
{
    struct errand *e = c->errands[seat];
    CHECK(e != NULL && c->errands_count > 0);
    c->errands[seat] = NULL;
    c->errands_count--;
    return e;
}

void hop_forget(struct front *front, struct errand *e)
{
    CHECK(e->state == ERRAND_SENT);
    struct hop_context *c = &front->hop->contexts[e->context];
    CHECK(c->errands[e->seat] == e);
    hop_take(c, e->seat);
}

/* What was not answered goes again, first, after so long. */
static void hop_again(struct hop *hop, struct hop_context *c, unsigned pause_ms)
{
    for (size_t i = 0; c->errands_count > 0; i++) {
        if (c->errands[i]) {
            struct errand *e = hop_take(c, i);
            e->state = ERRAND_LOST;
            e->queued_us = 0;
            list_push(&hop->lost, &e->note.link);
        }
    }
    hop->hold_until_ms = hop_now(hop) + pause_ms;
    deadline_arm(&hop->gateway->deadlines, &hop->tick, hop->hold_until_ms);
}

/* The whole batch is lost. */
static void hop_lose(struct hop *hop, struct hop_context *c)
{
    hop_again(hop, c, HOP_TICK_MS);
}

/* The replica does not lead: what it left out is for another one, or refused when nobody leads. */
static void hop_turned(struct hop *hop, struct hop_context *c, struct span leader)
{
    size_t before = hop->aim.at;
    unsigned pause_ms = aim_turned(&hop->aim, c->at, leader, hop_now(hop));
    METRIC_ADD(hop_turned_away_total, 1);
    if (hop->aim.at != before) {
        hop->credit = HOP_CREDIT; /* another process, which has not said yet */
    }
    for (size_t i = 0; aim_is_leaderless(&hop->aim, hop_now(hop)) && c->errands_count > 0; i++) {
        if (c->errands[i]) {
            errand_refuse(hop->front, c->errands[i], REASON_NO_LEADER,
                          "no replica of the shard leads: send the same request_id again");
        }
    }
    hop_again(hop, c, pause_ms);
}

/* The errand that an answer names; NULL: none that waits. */
static struct errand *hop_named(const struct hop_context *c, uint32_t number)
{
    uint32_t seat = number % BATCH_ITEMS_MAX;
    return number / BATCH_ITEMS_MAX == c->batch_number ? c->errands[seat] : NULL;
}

/* Credit for a part of one item: nothing leaves until the pause after this batch is over. */
static void hop_pace(struct hop *hop, const struct hop_context *c, uint32_t pause_us)
{
    uint64_t pause_ms = (uint64_t)pause_us * c->items_count / 1000;
    pause_ms = pause_ms < HOP_PAUSE_MS ? pause_ms : HOP_PAUSE_MS;
    if (pause_us && c->sent_ms + pause_ms > hop_now(hop)) {
        hop->hold_until_ms = c->sent_ms + pause_ms;
        deadline_arm(&hop->gateway->deadlines, &hop->tick, hop->hold_until_ms);
    }
}

/* Another cluster's shard: it decided nothing, and whom it names is none of ours. */
static void hop_strange(struct hop *hop, struct hop_context *c)
{
    log_event(LOG_SHARD_STRANGE, NULL,
              "gateway: %s is not of the cluster that was asked before, and is not asked: correct "
              "--shard, or that shard's --id and --peer; where it is meant, restart this gateway",
              leads_url(hop->aim.leads, c->at));
    hop_turned(hop, c, (struct span){0});
}

static void hop_reply(struct hop *hop, unsigned context)
{
    struct hop_context *c = &hop->contexts[context];
    struct reply_view reply;
    int verdict = codec_reply_unpack((struct span){c->inbox.bytes, c->inbox.len}, &hop->arena,
                                     &reply);
    if (verdict) {
        log_event(LOG_SHARD_REPLY_DAMAGED, NULL,
                  "gateway: the shard's reply cannot be read: its calls are sent again");
        hop_lose(hop, c);
        return;
    }
    if (!leads_are(hop->aim.leads, reply.cluster, !reply.is_turned_away)) {
        hop_strange(hop, c);
        return;
    }
    if (!reply.is_turned_away) {
        aim_answered(&hop->aim);
        hop->credit = reply.credit;
        hop_pace(hop, c, reply.pause_us);
        METRIC_SET(hop_credit, reply.credit);
        hop->map_epoch = reply.map_epoch;
    }
    for (size_t i = 0; i < reply.answers_count; i++) {
        struct errand *e = hop_named(c, reply.answers[i].call);
        if (e) {
            errand_answer(hop->front, e, &reply.answers[i]);
        }
    }
    if (reply.is_turned_away) {
        hop_turned(hop, c, reply.leader);
        return;
    }
    for (size_t i = 0; c->errands_count > 0; i++) {
        if (c->errands[i]) {
            log_event(LOG_SHARD_REPLY_SHORT, NULL, "gateway: a reply of the shard left out a call");
            errand_refuse(hop->front, c->errands[i], REASON_INTERNAL, NULL);
        }
    }
}

/* What is under way at another replica than the one that is asked now has an unknown effect. */
static void hop_leave_others(struct hop *hop)
{
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        struct hop_context *c = &hop->contexts[i];
        if (c->is_busy && !c->is_aborted && c->at != hop->aim.at) {
            hop_lose(hop, c);
            c->is_aborted = true;
            aim_abort(&hop->aim, c->at, i);
        }
    }
}

/* A replica said who leads, while the one that is asked was silent. */
static void hop_probed(struct hop *hop)
{
    struct hop_context *c = &hop->contexts[AIM_PROBE];
    struct reply_view reply;
    c->is_busy = false;
    if (c->inbox.status == 0 &&
        codec_reply_unpack((struct span){c->inbox.bytes, c->inbox.len}, &hop->arena, &reply) == 0 &&
        leads_are(hop->aim.leads, reply.cluster, false) &&
        aim_probed(&hop->aim, !reply.is_turned_away, reply.leader)) {
        hop->credit = HOP_CREDIT;
        hop_leave_others(hop);
    }
    arena_reset(&hop->arena);
}

/* On the loop: takes every full inbox at once. */
static void hop_ready(uv_async_t *async)
{
    struct hop *hop = async->data;
    uv_mutex_lock(&hop->mutex);
    uint32_t ready = hop->ready;
    hop->ready = 0;
    uv_mutex_unlock(&hop->mutex);
    if (ready >> AIM_PROBE & 1) {
        hop_probed(hop);
    }
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        struct hop_context *c = &hop->contexts[i];
        if ((ready >> i & 1) == 0) {
            continue;
        }
        CHECK(c->is_busy);
        METRIC_ADD1(hop_batches_total, outcome, c->inbox.status ? 1 : 0, 1);
        METRIC_TIME(hop_round_trip_seconds, clock_mono_us() - c->sent_us);
        if (c->inbox.status == 0) {
            hop->heard_ms = hop_now(hop);
            hop_reply(hop, i);
        } else {
            hop_lose(hop, c);
        }
        CHECK(c->errands_count == 0);
        hop->under_way -= c->items_count;
        hop->busy_count--;
        c->items_count = 0;
        c->is_busy = false;
        c->is_aborted = false;
        arena_reset(&hop->arena);
    }
}

void hop_collect(struct front *front)
{
    hop_ready(&front->hop->async);
}

/* An idle context, or NULL: all have a batch under way, or one that hop_silent() gives up. */
static struct hop_context *hop_idle(struct hop *hop)
{
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        if (!hop->contexts[i].is_busy) {
            return &hop->contexts[i];
        }
    }
    return NULL;
}

/* One batch; false: it could not leave, its calls are lost. */
static bool hop_send(struct hop *hop, struct hop_context *c, size_t count)
{
    struct span bytes;
    const struct batch_head head = {hop->map_epoch, hop->gateway_id,
                                    (uint32_t)queue_waiting_identities(hop->front),
                                    leads_cluster(hop->aim.leads)};
    int r = codec_batch_pack(&head, hop->batch, count, &hop->arena, &bytes);
    if (r == 0) {
        /* Before the send: from then on the callback may come. */
        c->is_busy = true;
        c->items_count = count;
        c->sent_ms = hop_now(hop);
        c->sent_us = clock_mono_us();
        c->at = hop->aim.at;
        r = aim_send(&hop->aim, (unsigned)(c - hop->contexts), bytes);
    }
    arena_reset(&hop->arena);
    if (r) {
        c->is_busy = false;
        c->items_count = 0;
        hop_lose(hop, c);
        return false;
    }
    hop->busy_count++;
    hop->under_way += count;
    METRIC_SIZE(hop_batch_calls, (int64_t)count);
    return true;
}

/* Nothing can be delivered: whoever waits is told. */
static void hop_refuse_waiting(struct hop *hop)
{
    struct errand *e;
    while ((e = hop_batch_next(hop))) {
        errand_refuse(hop->front, e, REASON_NO_LEADER, NULL);
    }
}

/* A batch was sent so long ago and has no reply. */
static bool hop_is_late(const struct hop *hop, uint64_t for_ms)
{
    bool is_late = false;
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        const struct hop_context *c = &hop->contexts[i];
        is_late = is_late || (c->is_busy && !c->is_aborted && hop_now(hop) - c->sent_ms > for_ms);
    }
    return is_late;
}

/* Is somebody else leading by now? */
static void hop_ask_around(struct hop *hop)
{
    struct hop_context *c = &hop->contexts[AIM_PROBE];
    struct span empty;
    const struct batch_head head = {hop->map_epoch, hop->gateway_id, 0,
                                    leads_cluster(hop->aim.leads)};
    if (!c->is_busy && codec_batch_pack(&head, NULL, 0, &hop->arena, &empty) == 0) {
        c->is_busy = true; /* before the send: from then on the callback may come */
        c->is_busy = aim_probe(&hop->aim, empty);
    }
    arena_reset(&hop->arena);
}

/* What was sent by then and has no reply has an unknown effect, as when the shard is lost. */
static void hop_give_up(struct hop *hop, uint64_t sent_by_ms)
{
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        struct hop_context *c = &hop->contexts[i];
        if (c->is_busy && !c->is_aborted && c->sent_ms <= sent_by_ms) {
            hop_lose(hop, c);
            c->is_aborted = true;
            aim_abort(&hop->aim, c->at, i);
        }
    }
}

/* A batch is silent for too long: alone, so it is asked again; or with all that were asked. */
static void hop_silent(struct hop *hop)
{
    if (hop_now(hop) - hop->heard_ms <= HOP_SILENT_MS) {
        log_event(LOG_SHARD_REPLY_MISSING, NULL, "gateway: the shard left a batch unanswered for "
                  "%d ms while it answered others: its calls are sent again", HOP_SILENT_MS);
        hop_give_up(hop, hop_now(hop) - HOP_SILENT_MS);
        return;
    }
    log_event(LOG_SHARD_AWAY, NULL, "gateway: the shard has answered nothing for %d ms",
              HOP_SILENT_MS);
    hop_give_up(hop, hop_now(hop));
    hop_refuse_waiting(hop);
    aim_renew(&hop->aim); /* TCP alone may take minutes to find out that its way is free again */
}

bool hop_is_gone(const struct front *front)
{
    const struct hop *hop = front->hop;
    return hop->away_since_ms && hop_now(hop) - hop->away_since_ms > HOP_GONE_MS;
}

/* Looks for the shard; false: it is away. */
static bool hop_look(struct hop *hop)
{
    bool has_moved, connected = aim_look(&hop->aim, &has_moved);
    hop->credit = has_moved ? HOP_CREDIT : hop->credit;
    METRIC_SET(hop_connected, connected);
    if (connected) {
        if (hop->said_away) {
            log_event(LOG_SHARD_CONNECTED, NULL, "gateway: the shard is connected");
        }
        hop->said_away = false;
        hop->was_connected = true;
        hop->away_since_ms = 0;
        if (hop->tick.place == 0) { /* probes want to know, also when nobody calls */
            bool is_soon = hop->busy_count && leads_count(hop->aim.leads) > 1;
            deadline_arm(&hop->gateway->deadlines, &hop->tick,
                         hop_now(hop) + (is_soon ? HOP_LOOK_SOON_MS : HOP_LOOK_MS));
        }
        return true;
    }
    if (hop->away_since_ms == 0) {
        hop->away_since_ms = hop_now(hop);
        hop->credit = HOP_CREDIT; /* whoever comes back may be another process */
    }
    if (!hop->said_away && hop_is_gone(hop->front)) {
        hop->said_away = true; /* not at once: every start has a moment before the first dial */
        log_event(LOG_SHARD_AWAY, NULL, "gateway: the shard is not connected: see whether it runs, "
                  "the --shard addresses, and the certificates ([inside])");
    }
    hop_arm_tick(hop);
    return false;
}

void hop_pump(struct front *front)
{
    struct hop *hop = front->hop;
    if (list_empty(&hop->lost) && queue_waiting(front) == 0) {
        return;
    }
    if (!hop_look(hop)) {
        uint64_t away_ms = hop_now(hop) - hop->away_since_ms;
        if (away_ms > (hop->was_connected ? HOP_GONE_MS : HOP_FIRST_MS)) {
            hop_refuse_waiting(hop);
        }
        return;
    }
    if (hop_now(hop) < hop->hold_until_ms) {
        return; /* the tick is armed */
    }
    for (;;) {
        struct hop_context *c = hop_idle(hop);
        size_t room = hop_batch_room(hop);
        if (c == NULL || room == 0 || !hop_batch_is_worth(hop)) {
            return;
        }
        size_t count = hop_batch_fill(hop, c, room);
        if (count == 0 || !hop_send(hop, c, count)) {
            return;
        }
    }
}

void hop_tick(struct front *front)
{
    struct hop *hop = front->hop;
    if (!hop_look(hop)) {
        return;
    }
    if (hop_is_late(hop, HOP_SILENT_MS)) { /* the pump runs when the loop settles */
        hop_silent(hop);
    } else if (hop_is_late(hop, HOP_PROBE_MS)) {
        hop_ask_around(hop);
    }
}

int hop_open(struct front *front)
{
    struct gateway *g = front->loops[0];
    struct hop *hop = calloc(1, sizeof *hop);
    if (hop == NULL) {
        return err_origin(-ENOMEM);
    }
    *hop = (struct hop){.front = front, .gateway = g, .credit = HOP_CREDIT,
                        .tick = {.owner = DEADLINE_HOP}};
    clock_random(&hop->gateway_id, sizeof hop->gateway_id);
    arena_init(&hop->arena, HOP_ARENA_MAX);
    list_init(&hop->lost);
    int r = uv_mutex_init(&hop->mutex);
    if (r < 0) {
        goto free_hop;
    }
    r = uv_async_init(&g->loop, &hop->async, hop_ready);
    if (r < 0) {
        goto destroy_mutex;
    }
    hop->async.data = hop;
    front->hop = hop; /* from here on hop_close() and hop_free() take it apart */
    r = aim_open(&hop->aim, front->leads, hop_done, hop);
    if (r) {
        return err_fold(r);
    }
    hop_look(hop);
    return 0;
destroy_mutex:
    uv_mutex_destroy(&hop->mutex);
free_hop:
    arena_fini(&hop->arena);
    free(hop);
    return err_origin(r);
}

void hop_close(struct front *front)
{
    struct hop *hop = front->hop;
    if (hop == NULL) {
        return;
    }
    aim_close(&hop->aim);
    deadline_disarm(&hop->gateway->deadlines, &hop->tick);
    uv_close((uv_handle_t *)&hop->async, NULL);
}

void hop_free(struct front *front)
{
    struct hop *hop = front->hop;
    if (hop == NULL) {
        return;
    }
    for (unsigned i = 0; i <= AIM_PROBE; i++) {
        CHECK(hop->contexts[i].errands_count == 0);
        free(hop->contexts[i].inbox.bytes);
    }
    CHECK(list_empty(&hop->lost));
    uv_mutex_destroy(&hop->mutex);
    arena_fini(&hop->arena);
    free(hop);
    front->hop = NULL;
}
