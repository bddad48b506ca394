/* SPDX-License-Identifier: MIT */
/* Hop: calls leave in batches and come back as answers.
 *
 *   loop:        lost calls first, then the fair queue -> batch -> idle context -> rpc_client_send
 *   nng thread:  reply -> the context's inbox -> ready bits (mutex) -> uv_async_send
 *   loop:        ready bits -> unpack -> answer each call by number -> pump again
 *
 * Owns: RPC_CLIENT_CONTEXTS contexts with the bytes of their last reply, the credit, the lost list.
 * A context's inbox belongs to nng's thread from rpc_client_send() until its ready bit is set, to
 * the loop afterwards: so one mutex over a few bits is all the locking there is.
 * Happy path of a lonely client: its call is sent in the turn of the loop that read it.  Under load
 * calls gather: behind HOP_EAGER batches under way a further one leaves when HOP_GATHER calls wait,
 * or when one comes back.  No timer is involved.
 * Fails: a lost batch (RPC_E_GONE) has an unknown effect, so its calls are sent again with the same
 * bytes, hence the same request id, ahead of the queue, as their turn had come; at their deadline,
 * or when the shard is away for HOP_GONE_MS, they are refused with NO_LEADER.  A damaged reply is
 * treated as a lost one.  A call that the reply does not name is an error of ours: INTERNAL.
 * Invariants: a call in CALL_SENT is on the list of the context whose batch carries it; an answer
 * counts only for a call in CALL_SENT on that very context, so a late or repeated number meets
 * nobody; items under way never exceed the credit, but for one batch when nothing is under way.
 * Not raw REP or polling: see docs/decisions and DESIGN 7. */
#include "gateway/hop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "gateway/answer.h"
#include "gateway/inside.h"
#include "gateway/queue.h"
#include "rpc/rpc.h"

#define HOP_CREDIT     64   /* until the shard says; and for the one batch at zero credit */
#define HOP_GONE_MS    200  /* a shard away for longer refuses calls instead of holding them */
#define HOP_TICK_MS    20   /* how often a missing shard is looked for */
#define HOP_FORGET_MS  5000 /* a batch nobody waits for any more is given up after this */
#define HOP_EAGER      2    /* batches under way that others do not wait for: one in the shard's
                               round, one for the next */
#define HOP_GATHER     32   /* calls that are worth a further batch: a batch wakes threads at both
                               ends, which costs as much as some tens of calls */
#define HOP_ARENA_MAX  (4 * BATCH_BYTES_MAX)

_Static_assert(RPC_CLIENT_CONTEXTS <= 32, "one ready bit for each context");

/* A reply as nng's thread left it. */
struct hop_inbox {
    uint8_t *bytes; /* grows to the largest reply, at most BATCH_BYTES_MAX */
    size_t len;
    size_t size;
    int status; /* 0 or RPC_E_GONE */
};

struct hop_context {
    struct list sent;      /* calls of the batch that still wait for it */
    size_t items_count;    /* of the batch, also those that gave up */
    uint64_t sent_ms;
    bool is_busy;
    bool is_aborted;
    struct hop_inbox inbox;
};

struct hop {
    struct gateway *gateway;
    struct rpc_client *client;
    uv_async_t async;
    uv_mutex_t mutex;
    uint32_t ready;        /* under the mutex: contexts whose inbox is full */
    struct hop_context contexts[RPC_CLIENT_CONTEXTS];
    size_t busy_count;
    size_t under_way;      /* items in busy contexts */
    uint32_t credit;       /* as the shard said last */
    uint64_t map_epoch;    /* as the shard said last */
    uint64_t gateway_id;   /* random */
    struct list lost;      /* calls in CALL_LOST */
    uint64_t away_since_ms; /* 0: connected when last seen */
    bool said_away;         /* the log has a line about it */
    uint64_t hold_until_ms; /* no sending before this: the peer was just lost */
    struct deadline tick;   /* armed while away, or while holding */
    struct arena arena;     /* one batch or reply at a time */
    struct batch_call batch[BATCH_ITEMS_MAX];
};

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

static uint64_t hop_now(const struct hop *hop)
{
    return uv_now(&hop->gateway->loop);
}

static void hop_arm_tick(struct hop *hop)
{
    deadline_arm(&hop->gateway->deadlines, &hop->tick, hop_now(hop) + HOP_TICK_MS);
}

static void hop_answer(struct hop *hop, struct call *call, const struct answer *answer)
{
    if (answer->reason == REASON_OK) {
        answer_message(call, answer->message);
        return;
    }
    char field[64];
    size_t n = answer->field.len < sizeof field - 1 ? answer->field.len : sizeof field - 1;
    if (n) {
        memcpy(field, answer->field.ptr, n);
    }
    field[n] = '\0';
    struct codec_refusal refusal = {
        .reason = answer->reason,
        .retry_ms = answer->retry_ms,
        .field = n ? field : NULL,
        .meta = answer->meta,
        .meta_count = answer->meta_count,
    };
    answer_refuse(call, &refusal);
}

/* The whole batch is lost: its calls go again, first. */
static void hop_lose(struct hop *hop, struct hop_context *c)
{
    struct list *link;
    while ((link = list_pull(&c->sent))) {
        struct call *call = CONTAINER_OF(link, struct call, link);
        call_move(call, CALL_LOST);
        list_push(&hop->lost, &call->link);
    }
    hop->hold_until_ms = hop_now(hop) + HOP_TICK_MS;
    hop_arm_tick(hop);
}

static void hop_reply(struct hop *hop, unsigned context)
{
    struct gateway *g = hop->gateway;
    struct hop_context *c = &hop->contexts[context];
    struct reply_view reply;
    int verdict = codec_reply_unpack((struct span){c->inbox.bytes, c->inbox.len}, &hop->arena,
                                     &reply);
    if (verdict) {
        log_warn("gateway: the shard's reply cannot be read: its calls are sent again");
        hop_lose(hop, c);
        return;
    }
    hop->credit = reply.credit;
    hop->map_epoch = reply.map_epoch;
    for (size_t i = 0; i < reply.answers_count; i++) {
        struct call *call = call_find(&g->calls, reply.answers[i].call);
        if (call && call->state == CALL_SENT && call->context == context) {
            hop_answer(hop, call, &reply.answers[i]);
        }
    }
    while (!list_empty(&c->sent)) {
        log_error("gateway: a reply of the shard left out a call");
        answer_reason(CONTAINER_OF(c->sent.next, struct call, link), REASON_INTERNAL, NULL);
    }
}

/* On the loop: takes every full inbox at once. */
static void hop_ready(uv_async_t *async)
{
    struct hop *hop = async->data;
    uv_mutex_lock(&hop->mutex);
    uint32_t ready = hop->ready;
    hop->ready = 0;
    uv_mutex_unlock(&hop->mutex);
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        struct hop_context *c = &hop->contexts[i];
        if ((ready >> i & 1) == 0) {
            continue;
        }
        CHECK(c->is_busy);
        if (c->inbox.status == 0) {
            hop_reply(hop, i);
        } else {
            hop_lose(hop, c);
        }
        CHECK(list_empty(&c->sent));
        hop->under_way -= c->items_count;
        hop->busy_count--;
        c->items_count = 0;
        c->is_busy = false;
        c->is_aborted = false;
        arena_reset(&hop->arena);
    }
}

/* An idle context, or NULL; batches that nobody waits for any more are given up on the way. */
static struct hop_context *hop_idle(struct hop *hop)
{
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        if (!hop->contexts[i].is_busy) {
            return &hop->contexts[i];
        }
    }
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        struct hop_context *c = &hop->contexts[i];
        if (list_empty(&c->sent) && !c->is_aborted &&
            hop_now(hop) - c->sent_ms > HOP_FORGET_MS) {
            c->is_aborted = true;
            rpc_client_abort(hop->client, i);
        }
    }
    return NULL;
}

/* Items that may leave now. */
static size_t hop_room(const struct hop *hop)
{
    size_t room = hop->credit > hop->under_way ? hop->credit - hop->under_way : 0;
    if (room == 0 && hop->busy_count == 0) {
        room = HOP_CREDIT;
    }
    return room < BATCH_ITEMS_MAX ? room : BATCH_ITEMS_MAX;
}

/* Is a further batch worth its price now, or does it rather wait for one to come back? */
static bool hop_is_worth(const struct hop *hop)
{
    return hop->busy_count < HOP_EAGER || !list_empty(&hop->lost) ||
           queue_waiting(hop->gateway) >= HOP_GATHER;
}

static struct call *hop_next(struct hop *hop)
{
    if (!list_empty(&hop->lost)) {
        return CONTAINER_OF(hop->lost.next, struct call, link);
    }
    return queue_pull(hop->gateway);
}

/* Moves waiting calls onto the context; returns how many. */
static size_t hop_fill(struct hop *hop, struct hop_context *c, size_t room)
{
    size_t count = 0, bytes = 0;
    struct call *call;
    uint64_t now = hop_now(hop);
    while (count < room && bytes < BATCH_BYTES && (call = hop_next(hop))) {
        uint64_t at = call->deadline.at_ms;
        hop->batch[count] = (struct batch_call){
            .call = call->number,
            .deadline_ms = at > now ? (uint32_t)(at - now) : 1,
            .command = {call->bytes, call->bytes_len},
        };
        count++;
        bytes += call->bytes_len;
        call_move(call, CALL_SENT);
        call->context = (uint16_t)(c - hop->contexts);
        list_push(&c->sent, &call->link);
    }
    return count;
}

/* One batch; false: it could not leave, its calls are lost. */
static bool hop_send(struct hop *hop, struct hop_context *c, size_t count)
{
    struct span bytes;
    int r = codec_batch_pack(hop->map_epoch, hop->gateway_id,
                             (uint32_t)queue_waiting_identities(hop->gateway), hop->batch, count,
                             &hop->arena, &bytes);
    if (r == 0) {
        /* Before the send: from then on the callback may come. */
        c->is_busy = true;
        c->items_count = count;
        c->sent_ms = hop_now(hop);
        r = rpc_client_send(hop->client, (unsigned)(c - hop->contexts), bytes);
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
    return true;
}

/* Nothing can be delivered: whoever waits is told. */
static void hop_refuse_waiting(struct hop *hop)
{
    while (!list_empty(&hop->lost)) {
        answer_reason(CONTAINER_OF(hop->lost.next, struct call, link), REASON_NO_LEADER, NULL);
    }
    struct call *call;
    while ((call = queue_pull(hop->gateway))) {
        answer_reason(call, REASON_NO_LEADER, NULL);
    }
}

bool hop_is_gone(const struct gateway *g)
{
    return g->hop->away_since_ms && hop_now(g->hop) - g->hop->away_since_ms > HOP_GONE_MS;
}

/* Looks for the shard; false: it is away. */
static bool hop_look(struct hop *hop)
{
    if (rpc_client_connected(hop->client)) {
        if (hop->said_away) {
            log_info("gateway: the shard is connected");
        }
        hop->said_away = false;
        hop->away_since_ms = 0;
        return true;
    }
    if (hop->away_since_ms == 0) {
        hop->away_since_ms = hop_now(hop);
        hop->credit = HOP_CREDIT; /* whoever comes back may be another process */
    }
    if (!hop->said_away && hop_is_gone(hop->gateway)) {
        hop->said_away = true; /* not at once: every start has a moment before the first dial */
        log_warn("gateway: the shard is not connected");
    }
    hop_arm_tick(hop);
    return false;
}

void hop_pump(struct gateway *g)
{
    struct hop *hop = g->hop;
    if (list_empty(&hop->lost) && queue_waiting(g) == 0) {
        return;
    }
    if (!hop_look(hop)) {
        if (hop_is_gone(g)) {
            hop_refuse_waiting(hop);
        }
        return;
    }
    if (hop_now(hop) < hop->hold_until_ms) {
        return; /* the tick is armed */
    }
    for (;;) {
        struct hop_context *c = hop_idle(hop);
        size_t room = hop_room(hop);
        if (c == NULL || room == 0 || !hop_is_worth(hop)) {
            return;
        }
        size_t count = hop_fill(hop, c, room);
        if (count == 0 || !hop_send(hop, c, count)) {
            return;
        }
    }
}

void hop_tick(struct gateway *g)
{
    hop_look(g->hop); /* the pump runs when the loop settles */
}

int hop_open(struct gateway *g)
{
    struct hop *hop = calloc(1, sizeof *hop);
    if (hop == NULL) {
        return err_origin(-ENOMEM);
    }
    *hop = (struct hop){.gateway = g, .credit = HOP_CREDIT, .tick = {.owner = DEADLINE_HOP}};
    clock_random(&hop->gateway_id, sizeof hop->gateway_id);
    arena_init(&hop->arena, HOP_ARENA_MAX);
    list_init(&hop->lost);
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        list_init(&hop->contexts[i].sent);
    }
    int r = uv_mutex_init(&hop->mutex);
    if (r < 0) {
        goto free_hop;
    }
    r = uv_async_init(&g->loop, &hop->async, hop_ready);
    if (r < 0) {
        goto destroy_mutex;
    }
    hop->async.data = hop;
    g->hop = hop; /* from here on hop_close() and hop_free() take it apart */
    r = rpc_client_open(g->options->shard_url, RPC_CLIENT_CONTEXTS, hop_done, hop, &hop->client);
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

void hop_close(struct gateway *g)
{
    struct hop *hop = g->hop;
    if (hop == NULL) {
        return;
    }
    rpc_client_close(hop->client);
    hop->client = NULL;
    deadline_disarm(&g->deadlines, &hop->tick);
    uv_close((uv_handle_t *)&hop->async, NULL);
}

void hop_free(struct gateway *g)
{
    struct hop *hop = g->hop;
    if (hop == NULL) {
        return;
    }
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        CHECK(list_empty(&hop->contexts[i].sent));
        free(hop->contexts[i].inbox.bytes);
    }
    CHECK(list_empty(&hop->lost));
    uv_mutex_destroy(&hop->mutex);
    arena_fini(&hop->arena);
    free(hop);
    g->hop = NULL;
}
