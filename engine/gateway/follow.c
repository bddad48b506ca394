/* SPDX-License-Identifier: MIT */
/* Followers of tickets on one loop.
 *
 *   begin -> GetTicket in the follower's own name, through the fair queue
 *         -> other than what he was told last? a part -> can it change no more? the end, with OK
 *   tick  -> whoever is due and has read what he was told asks again, FOLLOW_ASKS a tick
 *
 * Owns: the followers, each with its packed question and a copy of what was told last.
 * Happy path: a ticket that does not move costs one small read each FOLLOW_EVERY_MS, less often
 * when there are so many followers that FOLLOW_ASKS a tick do not suffice: then all wait longer,
 * in turn, and nobody is left out.
 * Fails: the refusals of GetTicket end the stream, as does a shard that is away.  A full queue in
 * the middle of a stream only delays the next look.
 * Bounded: FOLLOWERS_MAX a loop, FOLLOWS_PER_IDENTITY of one person; one who does not read has at
 * most one message waiting and ends after FOLLOW_SLOW_MS with READER_TOO_SLOW.
 * Invariant: at most one question of a follower is out; call->is_away says so. */
#include "gateway/follow.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/metrics.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/errand.h"
#include "gateway/inside.h"
#include "gateway/pb.h"
#include "proto/codec.h"
#include "wire/wire.h"

#define FOLLOW_TICK_MS  50
#define FOLLOW_ASKS     50    /* questions of a loop in one tick: a thousand a second */
#define FOLLOW_EVERY_MS 1000  /* between two looks of one follower, and up to a quarter more */
#define FOLLOW_SLOW_MS  30000

/* Of Ticket. */
enum { TICKET_STATE_FIELD = 2 };

struct follower {
    struct list link;     /* in the loop's followers */
    struct call *call;    /* whose stream this is */
    uint8_t *told;        /* owned: the packed ticket as told last; NULL: nothing yet */
    size_t told_len;
    uint64_t due_ms;      /* when it asks again */
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
    list_remove(&w->link);
    list_push(&g->follow.followers, &w->link);
    w->due_ms = now + FOLLOW_EVERY_MS + prng_below(&g->jitter, FOLLOW_EVERY_MS / 4);
    w->give_up_ms = now + DEADLINE_MS;
    if (e) {
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

void follow_home(struct call *call, const struct answer *answer, enum reason reason,
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
    if (!follow_reads(g, w) || now < w->due_ms) {
        return false;
    }
    follow_ask(g, w);
    return true;
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

void follow_open(struct gateway *g)
{
    list_init(&g->follow.followers);
    uv_timer_init(&g->loop, &g->follow.timer);
    g->follow.timer.data = g;
    g->follow.is_open = true;
}

void follow_close(struct gateway *g)
{
    if (g->follow.is_open) {
        CHECK(list_empty(&g->follow.followers));
        g->follow.is_open = false;
        uv_close((uv_handle_t *)&g->follow.timer, NULL);
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
    for (const struct list *l = g->follow.followers.next; l != &g->follow.followers; l = l->next) {
        const struct follower *w = CONTAINER_OF(l, struct follower, link);
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
    command->kind = COMMAND_GET_TICKET;
    if (codec_command_pack(command, &g->scratch, &packed)) {
        answer_reason(call, REASON_INTERNAL, NULL);
        return NULL;
    }
    size_t size = sizeof(struct follower) + packed.len;
    struct follower *w = guard_take(call, size) ? calloc(1, size) : NULL;
    if (w == NULL) {
        answer_reason(call, REASON_GATEWAY_FULL, NULL);
        return NULL;
    }
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
    g->follow.count++;
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
    METRIC_ADD(ticket_streams, -1);
    list_remove(&w->link);
    CHECK(call_gateway(call)->follow.count > 0);
    call_gateway(call)->follow.count--;
    free(w->told);
    free(w);
}
