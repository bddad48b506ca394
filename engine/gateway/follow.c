/* SPDX-License-Identifier: MIT */
/* Followers of tickets on one loop.
 *
 *   begin -> GetTicket in the follower's own name, through the fair queue
 *         -> other than what he was told last? a part -> can it change no more? the end, with OK
 *   news  -> whoever they speak of asks again at once; when they speak of a release all its
 *            followers do, FOLLOW_ASKING_MAX at a time
 *   tick  -> whoever is due and has read what he was told asks again, FOLLOW_ASKS a tick
 *
 * Owns: the followers, each with its packed question and a copy of what was told last, in a list by
 * time and in buckets by identity.
 * Happy path: a ticket that does not move costs one small read in FOLLOW_CALM_MS, which is there
 * for somebody who follows another's ticket (an operator), of whom no news speak.  Without news
 * (the shard is away, or was) everybody looks each FOLLOW_EVERY_MS; when there are so many that
 * FOLLOW_ASKS a tick do not suffice all wait longer, in turn, and nobody is left out.
 * Fails: the refusals of GetTicket end the stream, as does a shard that is away.  A full queue in
 * the middle of a stream only delays the next look.
 * Bounded: FOLLOWERS_MAX a loop, FOLLOWS_PER_IDENTITY of one person; one who does not read has at
 * most one message waiting and ends after FOLLOW_SLOW_MS with READER_TOO_SLOW.
 * Invariant: at most one question of a follower is out; call->is_away says so. */
#include "gateway/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/metrics.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/errand.h"
#include "gateway/inside.h"
#include "gateway/news.h"
#include "gateway/pb.h"
#include "proto/codec.h"
#include "wire/wire.h"

#define FOLLOW_TICK_MS  50
#define FOLLOW_ASKS     50    /* questions of a loop in one tick: a thousand a second */
#define FOLLOW_EVERY_MS 1000  /* between two looks of one follower, and up to a quarter more */
#define FOLLOW_CALM_MS  15000 /* the same while news come */
#define FOLLOW_ASKING_MAX 128 /* questions out of those who were woken together */
#define FOLLOW_BUCKETS  4096  /* a power of two; identities are hashes already */
#define FOLLOW_SLOW_MS  30000

/* Of Ticket. */
enum { TICKET_STATE_FIELD = 2 };

struct follower {
    struct list link;     /* in the loop's followers */
    struct list bucket;   /* in its identity's bucket */
    struct list wake;     /* in the loop's woken, while is_woken */
    struct call *call;    /* whose stream this is */
    uint8_t *told;        /* owned: the packed ticket as told last; NULL: nothing yet */
    size_t told_len;
    uint64_t release;     /* codec_release_hash() */
    uint64_t asked_ms;    /* when it asked last */
    uint32_t jitter_ms;   /* so that they do not all look at once */
    bool is_woken;
    bool is_stale;        /* news came while its question was out */
    bool is_asking;       /* counted in the loop's asking */
    uint64_t give_up_ms;  /* of the question that is out: when it is called back */
    uint64_t read_ms;     /* when nothing waited on the stream, or it began to wait */
    size_t question_len;
    uint8_t question[];   /* packed COMMAND_GET_TICKET */
};

/* -- one follower ------------------------------------------------------------------------------ */

/* May end the call, and the follower with it. */
static void follow_ask(struct gateway *g, struct follower *w)
{
    struct errand *e = errand_new((struct span){w->question, w->question_len});
    uint64_t now = uv_now(&g->loop);
    CHECK(!w->call->is_away);
    if (w->is_woken) { /* the clock was faster than its turn among the woken */
        w->is_woken = false;
        list_remove(&w->wake);
    }
    list_remove(&w->link);
    list_push(&g->follow.followers, &w->link);
    w->asked_ms = now;
    w->jitter_ms = (uint32_t)prng_below(&g->jitter, FOLLOW_EVERY_MS / 4);
    w->give_up_ms = now + DEADLINE_MS;
    if (e) {
        w->is_asking = true;
        g->follow.asking++;
        errand_ask(w->call, e);
    } else if (w->told == NULL) {
        answer_reason(w->call, REASON_GATEWAY_FULL, NULL);
    }
}

/* The end, for a reason; one whose time is over has a last time to be read. */
static void follow_refuse(struct call *call, enum reason reason, const char *detail)
{
    bool is_over = call->has_own_deadline && call->deadline.place == 0;
    answer_reason(call, is_over ? REASON_DEADLINE_EXCEEDED : reason, detail);
    if (is_over) {
        call_linger(call);
    }
}

/* Can it change no more? */
static bool follow_is_final(struct span ticket)
{
    struct reader r = reader_of(ticket.ptr, ticket.len);
    struct pb_field f;
    uint64_t state = 0;
    while (pb_next(&r, &f)) {
        if (f.number == TICKET_STATE_FIELD && f.wire == PB_VARINT) {
            state = f.value;
        }
    }
    return state == TICKET_USED || state == TICKET_LOST || state == TICKET_WITHDRAWN ||
           state == TICKET_LAPSED;
}

/* false: out of memory. */
static bool follow_keep(struct follower *w, struct span ticket)
{
    uint8_t *told = realloc(w->told, ticket.len + 1);
    if (told == NULL) {
        return false;
    }
    memcpy(told, ticket.ptr, ticket.len);
    w->told = told;
    w->told_len = ticket.len;
    return true;
}

static void follow_tell(struct call *call, struct span ticket)
{
    struct follower *w = call->follower;
    if (w->told && span_equal((struct span){w->told, w->told_len}, ticket)) {
        return;
    }
    if (ticket.len == 0 || !follow_keep(w, ticket)) {
        answer_reason(call, REASON_GATEWAY_FULL, NULL);
        return;
    }
    w->read_ms = uv_now(&call_gateway(call)->loop);
    answer_part(call, ticket); /* may end the call, and the follower with it */
    if (call->follower == w && follow_is_final(ticket)) {
        answer_end(call);
    }
}

static void follow_asked(struct gateway *g, struct follower *w)
{
    if (w->is_asking) {
        w->is_asking = false;
        CHECK(g->follow.asking > 0);
        g->follow.asking--;
    }
}

/* `own`: the news speak of this person, not of a release with all its tickets. */
static void follow_wake(struct gateway *g, struct follower *w, bool own)
{
    if (w->call->is_away) {
        w->is_stale = true;
        return;
    }
    if (w->is_woken && own) {
        list_remove(&w->wake); /* it goes before all who were woken together */
    }
    if (!w->is_woken || own) {
        list_push(own ? &g->follow.called : &g->follow.woken, &w->wake);
    }
    w->is_woken = true;
}

static void follow_pump(struct gateway *g);

static void follow_answer(struct call *call, const struct answer *answer, enum reason reason,
                          const char *detail)
{
    struct follower *w = call->follower;
    bool is_over = call->has_own_deadline && call->deadline.place == 0;
    bool is_passing = w->told && !is_over && (reason == REASON_QUEUE_FULL ||
                                              reason == REASON_RATE_LIMITED);
    if (answer == NULL && !is_passing) {
        follow_refuse(call, reason, detail);
    } else if (answer && is_over) {
        follow_refuse(call, REASON_DEADLINE_EXCEEDED, NULL);
    } else if (answer && answer->reason != REASON_OK) {
        answer_shard(call, answer);
    } else if (answer) {
        follow_tell(call, answer->message);
    }
}

void follow_home(struct call *call, const struct answer *answer, enum reason reason,
                 const char *detail)
{
    struct gateway *g = call_gateway(call);
    struct follower *w = call->follower;
    bool is_stale = w->is_stale;
    w->is_stale = false;
    follow_asked(g, w);
    follow_answer(call, answer, reason, detail);
    if (call->follower == w && is_stale) { /* the stream goes on */
        follow_wake(g, w, true);
    }
    follow_pump(g);
}

/* Reads what he was told, or not yet for too long?  true: he may ask. */
static bool follow_reads(struct gateway *g, struct follower *w)
{
    uint64_t now = uv_now(&g->loop);
    if (wire_call_queued_bytes(w->call->wire) == 0) {
        w->read_ms = now;
        return true;
    }
    if (now - w->read_ms > FOLLOW_SLOW_MS) {
        struct call *call = w->call;
        answer_reason(call, REASON_READER_TOO_SLOW, NULL);
        call_linger(call);
    }
    return false;
}

/* true: it asked. */
static bool follow_serve(struct gateway *g, struct follower *w)
{
    uint64_t now = uv_now(&g->loop);
    if (w->call->is_away) {
        if (now >= w->give_up_ms) {
            w->give_up_ms = now + DEADLINE_MS;
            errand_expire(w->call);
        }
        return false;
    }
    uint64_t pause_ms = news_is_live(g->front->news) ? FOLLOW_CALM_MS : FOLLOW_EVERY_MS;
    if (!follow_reads(g, w) || now - w->asked_ms < pause_ms + w->jitter_ms) {
        return false;
    }
    follow_ask(g, w);
    return true;
}

/* -- news -------------------------------------------------------------------------------------- */

/* Whoever was called asks, and whoever was woken with all others as far as there is room; one that
 * does not read is met by the tick. */
static void follow_pump(struct gateway *g)
{
    if (g->follow.is_pumping) {
        return; /* a question came home before it was out: refused at the door */
    }
    g->follow.is_pumping = true;
    for (;;) {
        bool has_called = !list_empty(&g->follow.called);
        bool has_room = g->follow.asking < FOLLOW_ASKING_MAX && !list_empty(&g->follow.woken);
        if (!has_called && !has_room) {
            break;
        }
        struct list *from = has_called ? &g->follow.called : &g->follow.woken;
        struct follower *w = CONTAINER_OF(list_pull(from), struct follower, wake);
        w->is_woken = false;
        if (wire_call_queued_bytes(w->call->wire) == 0) {
            follow_ask(g, w);
        } else {
            w->asked_ms = uv_now(&g->loop) - FOLLOW_CALM_MS - FOLLOW_EVERY_MS;
        }
    }
    g->follow.is_pumping = false;
}

static struct list *follow_bucket(const struct gateway *g, const struct identity *identity)
{
    uint32_t hash;
    memcpy(&hash, identity->bytes, sizeof hash);
    return &g->follow.buckets[hash % FOLLOW_BUCKETS];
}

static void follow_wake_identity(struct gateway *g, const struct identity *identity)
{
    struct list *bucket = follow_bucket(g, identity);
    for (struct list *l = bucket->next; l != bucket; l = l->next) {
        struct follower *w = CONTAINER_OF(l, struct follower, bucket);
        if (memcmp(&w->call->identity, identity, sizeof *identity) == 0) {
            follow_wake(g, w, true);
        }
    }
}

/* release 0: whatever they follow. */
static void follow_wake_release(struct gateway *g, uint64_t release)
{
    struct list *all = &g->follow.followers;
    for (struct list *l = all->next; l != all; l = l->next) {
        struct follower *w = CONTAINER_OF(l, struct follower, link);
        if (release == 0 || w->release == release) {
            follow_wake(g, w, false);
        }
    }
}

static void follow_news(uv_async_t *async)
{
    struct gateway *g = async->data;
    struct news_take *take = g->follow.take;
    if (!news_take(g->front->news, g->index, take)) {
        return;
    }
    events_news(g);
    if (take->missed) {
        follow_wake_release(g, 0);
    }
    for (size_t i = 0; i < take->releases_count && !take->missed; i++) {
        follow_wake_release(g, take->releases[i]);
    }
    for (size_t i = 0; i < take->identities_count && !take->missed; i++) {
        follow_wake_identity(g, &take->identities[i]);
    }
    follow_pump(g);
}

/* -- all of a loop ----------------------------------------------------------------------------- */

static void follow_tick(uv_timer_t *timer)
{
    struct gateway *g = timer->data;
    struct list *next;
    size_t asks = 0, left = g->follow.count; /* who asked goes to the end, and is met no more */
    for (struct list *l = g->follow.followers.next; left > 0 && asks < FOLLOW_ASKS; left--) {
        if (l == &g->follow.followers) {
            break;
        }
        next = l->next; /* one that ends leaves the list */
        asks += follow_serve(g, CONTAINER_OF(l, struct follower, link));
        l = next;
    }
    if (list_empty(&g->follow.followers)) {
        uv_timer_stop(&g->follow.timer);
        g->follow.is_timing = false;
    }
}

int follow_open(struct gateway *g)
{
    struct follow *f = &g->follow;
    list_init(&f->followers);
    list_init(&f->called);
    list_init(&f->woken);
    f->buckets = malloc(FOLLOW_BUCKETS * sizeof *f->buckets);
    f->take = malloc(sizeof *f->take);
    int r = f->buckets && f->take ? uv_async_init(&g->loop, &f->async, follow_news) : -ENOMEM;
    if (r < 0) {
        free(f->buckets);
        free(f->take);
        return err_origin(r);
    }
    for (size_t i = 0; i < FOLLOW_BUCKETS; i++) {
        list_init(&f->buckets[i]);
    }
    uv_timer_init(&g->loop, &f->timer);
    f->async.data = f->timer.data = g;
    f->is_open = true;
    news_join_loop(g->front->news, g->index, &f->async);
    return 0;
}

void follow_close(struct gateway *g)
{
    if (g->follow.is_open) {
        CHECK(list_empty(&g->follow.followers));
        g->follow.is_open = false;
        news_leave_loop(g->front->news, g->index);
        uv_close((uv_handle_t *)&g->follow.timer, NULL);
        uv_close((uv_handle_t *)&g->follow.async, NULL);
        free(g->follow.buckets);
        free(g->follow.take);
    }
}

void follow_end_all(struct gateway *g)
{
    while (!list_empty(&g->follow.followers)) {
        struct list *first = g->follow.followers.next;
        answer_reason(CONTAINER_OF(first, struct follower, link)->call, REASON_SHUTTING_DOWN, NULL);
    }
}

/* NULL, or why there is no room for one more of this identity. */
static const char *follow_is_full(const struct gateway *g, const struct identity *identity)
{
    size_t mine = 0;
    if (g->follow.count >= FOLLOWERS_MAX) {
        return "as many follow their tickets as this gateway serves: use GetTicket";
    }
    const struct list *bucket = follow_bucket(g, identity);
    for (const struct list *l = bucket->next; l != bucket; l = l->next) {
        const struct follower *w = CONTAINER_OF(l, struct follower, bucket);
        mine += memcmp(&w->call->identity, identity, sizeof *identity) == 0;
    }
    return mine >= FOLLOWS_PER_IDENTITY ? "this identity follows on 8 streams already" : NULL;
}

/* NULL: refused. */
static struct follower *follow_new(struct call *call, struct command *command)
{
    struct gateway *g = call_gateway(call);
    struct span packed;
    const char *detail = follow_is_full(g, &call->identity);
    if (detail) {
        answer_reason(call, REASON_RATE_LIMITED, detail);
        return NULL;
    }
    struct release_words words = *command->release;
    struct command question = *command;
    words.part = TICKET_FOR_STREAM;
    question.release = &words;
    question.kind = COMMAND_GET_TICKET;
    if (codec_command_pack(&question, &g->scratch, &packed)) {
        answer_reason(call, REASON_INTERNAL, NULL);
        return NULL;
    }
    size_t size = sizeof(struct follower) + packed.len;
    struct follower *w = guard_take(call, size) ? calloc(1, size) : NULL;
    if (w == NULL) {
        answer_reason(call, REASON_GATEWAY_FULL, NULL);
        return NULL;
    }
    w->release = codec_release_hash(command->pool, command->release->id);
    memcpy(w->question, packed.ptr, packed.len);
    w->question_len = packed.len;
    return w;
}

void follow_begin(struct call *call, struct command *command)
{
    struct gateway *g = call_gateway(call);
    struct follower *w = follow_new(call, command);
    if (w == NULL) {
        return;
    }
    if (!call->has_own_deadline) {
        deadline_disarm(&g->deadlines, &call->deadline);
    }
    call_move(call, CALL_STREAM);
    w->call = call;
    w->read_ms = uv_now(&g->loop);
    call->follower = w;
    list_init(&w->link);
    list_push(&g->follow.followers, &w->link);
    list_init(&w->bucket);
    list_init(&w->wake);
    list_push(follow_bucket(g, &call->identity), &w->bucket);
    g->follow.count++;
    news_begin(g->front->news);
    METRIC_ADD(ticket_streams, 1);
    if (!g->follow.is_timing) {
        g->follow.is_timing = true;
        uv_timer_start(&g->follow.timer, follow_tick, FOLLOW_TICK_MS, FOLLOW_TICK_MS);
    }
    follow_ask(g, w);
}

void follow_leave(struct call *call)
{
    struct follower *w = call->follower;
    call->follower = NULL;
    struct gateway *g = call_gateway(call);
    METRIC_ADD(ticket_streams, -1);
    follow_asked(g, w);
    list_remove(&w->link);
    list_remove(&w->bucket);
    if (w->is_woken) {
        list_remove(&w->wake);
    }
    CHECK(g->follow.count > 0);
    g->follow.count--;
    news_end(g->front->news);
    free(w->told);
    free(w);
}
