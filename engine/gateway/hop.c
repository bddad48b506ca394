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
 * or when the shard is away for HOP_GONE_MS, they are refused with NO_LEADER; so is whoever waits
 * when it is connected but has answered nothing for HOP_SILENT_MS (swallowed packets, a disk that
 * stands still), and the next call tries again.  A damaged reply is
 * treated as a lost one.  A call that the reply does not name is an error of ours: INTERNAL.
 * Invariants: an errand in ERRAND_SENT has a seat in the context whose batch carries it; a
 * number names seat and batch, so a late or repeated one meets nobody; items under way never
 * exceed the credit, but for one batch when nothing is under way; what is past its deadline is
 * refused when its turn comes and costs no credit.
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
#include "base/metrics.h"
#include "gateway/errand.h"
#include "gateway/inside.h"
#include "gateway/queue.h"
#include "rpc/rpc.h"

#define HOP_CREDIT     64   /* until the shard says; and for the one batch at zero credit */
#define HOP_GONE_MS    200  /* a shard away for longer refuses calls instead of holding them */
#define HOP_TICK_MS    20   /* how often a missing shard is looked for */
#define HOP_LOOK_MS    500  /* the same while it is connected */
#define HOP_SILENT_MS  3000 /* without any reply, though asked: whoever waits is told so */
#define HOP_PAUSE_MS   500  /* longest pause for want of credit */
#define HOP_FORGET_MS  5000 /* a batch nobody waits for any more is given up after this */
#define HOP_EAGER      2    /* batches under way that others do not wait for: one in the shard's
                               round, one for the next */
#define HOP_LAP      64   /* calls in a batch of fewer people */
#define HOP_GATHER     32   /* people that are worth a further batch: a batch wakes threads at both
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
    struct errand *errands[BATCH_ITEMS_MAX]; /* of the batch, by seat; NULL: gave up, answered */
    size_t errands_count;  /* those that still wait for it */
    size_t items_count;    /* of the batch, also those that gave up */
    uint32_t batch_number; /* of this batch: high bits of what the shard echoes */
    uint64_t sent_ms;
    int64_t sent_us;       /* monotonic */
    bool is_busy;
    bool is_aborted;
    struct hop_inbox inbox;
};

struct hop {
    struct front *front;
    struct gateway *gateway; /* the first loop */
    struct rpc_client *client;
    uv_async_t async;
    uv_mutex_t mutex;
    uint32_t ready;        /* under the mutex: contexts whose inbox is full */
    struct hop_context contexts[RPC_CLIENT_CONTEXTS];
    size_t busy_count;
    size_t under_way;      /* items in busy contexts */
    size_t crowd;          /* people who waited at once lately */
    uint32_t credit;       /* as the shard said last */
    uint64_t map_epoch;    /* as the shard said last */
    uint64_t gateway_id;   /* random */
    uint32_t batches_count; /* ever sent */
    struct list lost;      /* errands in ERRAND_LOST */
    uint64_t away_since_ms; /* 0: connected when last seen */
    uint64_t heard_ms;      /* when a reply came last */
    bool said_away;         /* the log has a line about it */
    uint64_t hold_until_ms; /* nothing leaves before: the peer was just lost, or credit is scarce */
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

/* The whole batch is lost: its errands go again, first. */
static void hop_lose(struct hop *hop, struct hop_context *c)
{
    for (size_t i = 0; c->errands_count > 0; i++) {
        if (c->errands[i]) {
            struct errand *e = hop_take(c, i);
            e->state = ERRAND_LOST;
            e->queued_us = 0;
            list_push(&hop->lost, &e->note.link);
        }
    }
    hop->hold_until_ms = hop_now(hop) + HOP_TICK_MS;
    hop_arm_tick(hop);
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
    hop->credit = reply.credit;
    hop_pace(hop, c, reply.pause_us);
    METRIC_SET(hop_credit, reply.credit);
    hop->map_epoch = reply.map_epoch;
    for (size_t i = 0; i < reply.answers_count; i++) {
        struct errand *e = hop_named(c, reply.answers[i].call);
        if (e) {
            errand_answer(hop->front, e, &reply.answers[i]);
        }
    }
    for (size_t i = 0; c->errands_count > 0; i++) {
        if (c->errands[i]) {
            log_event(LOG_SHARD_REPLY_SHORT, NULL, "gateway: a reply of the shard left out a call");
            errand_refuse(hop->front, c->errands[i], REASON_INTERNAL, NULL);
        }
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
        if (c->errands_count == 0 && !c->is_aborted &&
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

/* How many ask at about the same time: falls by an eighth a batch. */
static void hop_count_crowd(struct hop *hop)
{
    size_t waiting = queue_waiting_identities(hop->front);
    hop->crowd -= (hop->crowd + 7) / 8;
    hop->crowd = waiting > hop->crowd ? waiting : hop->crowd;
}

/* At least half of those who asked lately wait now. */
static bool hop_is_crowded(const struct hop *hop)
{
    return 2 * queue_waiting_identities(hop->front) >= hop->crowd;
}

/* Is a further batch worth its price now, or does it rather wait for one to come back? */
static bool hop_is_worth(const struct hop *hop)
{
    if (hop->busy_count == 0 || !list_empty(&hop->lost)) {
        return true;
    }
    return hop_is_crowded(hop) && (hop->busy_count < HOP_EAGER ||
                                   queue_waiting_identities(hop->front) >= HOP_GATHER);
}

/* Who is next, lost ones first; those whose time is over are refused on the way. */
static struct errand *hop_next(struct hop *hop)
{
    uint64_t now = hop_now(hop);
    for (;;) {
        struct errand *e = list_empty(&hop->lost)
            ? queue_pull(hop->front)
            : CONTAINER_OF(hop->lost.next, struct errand, note.link);
        if (e == NULL || e->deadline_ms > now) {
            return e;
        }
        errand_overdue(hop->front, e);
    }
}

static void hop_seat(struct hop_context *c, struct errand *e, unsigned context, size_t seat)
{
    list_remove(&e->note.link); /* of the lost */
    e->state = ERRAND_SENT;
    e->context = (uint8_t)context;
    e->seat = (uint16_t)seat;
    c->errands[seat] = e;
}

/* Moves waiting errands onto the context; returns how many.  One call of each who waits, and as
 * many again as long as most of them have more: so whoever sends much has his share of a batch, and
 * not the rest of it while the others' next calls are on their way. */
static size_t hop_fill(struct hop *hop, struct hop_context *c, size_t room)
{
    size_t count = 0, bytes = 0, lap = queue_waiting_identities(hop->front);
    struct errand *e;
    uint64_t now = hop_now(hop);
    int64_t now_us = clock_mono_us();
    bool is_lap = list_empty(&hop->lost); /* the lost had their turn before */
    room = !is_lap || lap > HOP_LAP || room < HOP_LAP ? room : HOP_LAP;
    hop_count_crowd(hop);
    c->batch_number = hop->batches_count++ % (UINT32_MAX / BATCH_ITEMS_MAX);
    while (count < room && bytes < BATCH_BYTES && (e = hop_next(hop))) {
        hop->batch[count] = (struct batch_call){
            .call = c->batch_number * BATCH_ITEMS_MAX + (uint32_t)count,
            .deadline_ms = (uint32_t)(e->deadline_ms - now),
            .command = {e->command, e->len},
            .trace = {e->trace.bytes, e->has_trace ? TRACE_BYTES : 0},
        };
        if (e->queued_us) {
            METRIC_TIME1(queue_wait_seconds, class, e->entry.class, now_us - e->queued_us);
        }
        hop_seat(c, e, (unsigned)(c - hop->contexts), count);
        count++;
        bytes += e->len;
        lap -= lap > 0;
        if (lap == 0 && is_lap) {
            lap = queue_waiting_identities(hop->front);
            if (!hop_is_crowded(hop)) {
                break;
            }
        }
    }
    c->errands_count = count;
    return count;
}

/* One batch; false: it could not leave, its calls are lost. */
static bool hop_send(struct hop *hop, struct hop_context *c, size_t count)
{
    struct span bytes;
    int r = codec_batch_pack(hop->map_epoch, hop->gateway_id,
                             (uint32_t)queue_waiting_identities(hop->front), hop->batch, count,
                             &hop->arena, &bytes);
    if (r == 0) {
        /* Before the send: from then on the callback may come. */
        c->is_busy = true;
        c->items_count = count;
        c->sent_ms = hop_now(hop);
        c->sent_us = clock_mono_us();
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
    METRIC_SIZE(hop_batch_calls, (int64_t)count);
    return true;
}

/* Nothing can be delivered: whoever waits is told. */
static void hop_refuse_waiting(struct hop *hop)
{
    struct errand *e;
    while ((e = hop_next(hop))) {
        errand_refuse(hop->front, e, REASON_NO_LEADER, NULL);
    }
}

/* Asked long ago, and nothing came back since, of that or of anything else. */
static bool hop_is_silent(const struct hop *hop)
{
    bool is_asked = false;
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        const struct hop_context *c = &hop->contexts[i];
        is_asked = is_asked || (c->is_busy && !c->is_aborted &&
                                hop_now(hop) - c->sent_ms > HOP_SILENT_MS);
    }
    return is_asked && hop_now(hop) - hop->heard_ms > HOP_SILENT_MS;
}

/* What is under way has an unknown effect, as when the shard is lost. */
static void hop_give_up(struct hop *hop)
{
    log_event(LOG_SHARD_AWAY, NULL, "gateway: the shard has answered nothing for %d ms",
              HOP_SILENT_MS);
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        struct hop_context *c = &hop->contexts[i];
        if (c->is_busy && !c->is_aborted) {
            hop_lose(hop, c);
            c->is_aborted = true;
            rpc_client_abort(hop->client, i);
        }
    }
    hop_refuse_waiting(hop);
}

bool hop_is_gone(const struct front *front)
{
    const struct hop *hop = front->hop;
    return hop->away_since_ms && hop_now(hop) - hop->away_since_ms > HOP_GONE_MS;
}

/* Looks for the shard; false: it is away. */
static bool hop_look(struct hop *hop)
{
    bool connected = rpc_client_connected(hop->client);
    METRIC_SET(hop_connected, connected);
    if (connected) {
        if (hop->said_away) {
            log_event(LOG_SHARD_CONNECTED, NULL, "gateway: the shard is connected");
        }
        hop->said_away = false;
        hop->away_since_ms = 0;
        if (hop->tick.place == 0) { /* probes want to know, also when nobody calls */
            deadline_arm(&hop->gateway->deadlines, &hop->tick, hop_now(hop) + HOP_LOOK_MS);
        }
        return true;
    }
    if (hop->away_since_ms == 0) {
        hop->away_since_ms = hop_now(hop);
        hop->credit = HOP_CREDIT; /* whoever comes back may be another process */
    }
    if (!hop->said_away && hop_is_gone(hop->front)) {
        hop->said_away = true; /* not at once: every start has a moment before the first dial */
        log_event(LOG_SHARD_AWAY, NULL, "gateway: the shard is not connected");
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
        if (hop_is_gone(front)) {
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

void hop_tick(struct front *front)
{
    struct hop *hop = front->hop;
    if (hop_look(hop) && hop_is_silent(hop)) { /* the pump runs when the loop settles */
        hop_give_up(hop);
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
    r = rpc_client_open(front->options->shard_url, RPC_CLIENT_CONTEXTS, hop_done, hop,
                        &hop->client);
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
    rpc_client_close(hop->client);
    hop->client = NULL;
    deadline_disarm(&hop->gateway->deadlines, &hop->tick);
    uv_close((uv_handle_t *)&hop->async, NULL);
}

void hop_free(struct front *front)
{
    struct hop *hop = front->hop;
    if (hop == NULL) {
        return;
    }
    for (unsigned i = 0; i < RPC_CLIENT_CONTEXTS; i++) {
        CHECK(hop->contexts[i].errands_count == 0);
        free(hop->contexts[i].inbox.bytes);
    }
    CHECK(list_empty(&hop->lost));
    uv_mutex_destroy(&hop->mutex);
    arena_fini(&hop->arena);
    free(hop);
    front->hop = NULL;
}
