/* SPDX-License-Identifier: MIT */
/* Errands: calls' work on its way to the one queue and back.
 *
 *   home loop            the first loop
 *   errand_send  ------> on the table, in the queue -> hop -> shard
 *   errand_cancel -----> off the table, queue or batch; freed
 *   errand_expire -----> refused by its state; goes home
 *   call answered <----- off the table: errand_answer, errand_refuse
 *
 * When home is the first loop each arrow is a call of a function; else it is a note (post.h).
 * Owns: the table of errands that are out, by home loop and slot of the call.
 * Happy path: one errand out, the same errand home, freed there.
 * Fails: without memory a cancellation is not sent: the errand is dropped when its call's slot
 * sends the next one, or at its deadline, or its answer meets nobody.
 * Invariants: an errand is on the table exactly while it is queued, sent or lost; it goes home at
 * most once, and its answer counts only for a call in CALL_AWAY with the very number it left with;
 * whatever home does meanwhile it never touches an errand that is out.
 * Not a pointer in the call: home would have to ask before each use whether it is still there. */
#include "gateway/errand.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gateway/answer.h"
#include "gateway/brake.h"
#include "gateway/call.h"
#include "gateway/front.h"
#include "gateway/hop.h"
#include "gateway/inside.h"
#include "gateway/queue.h"

/* What home says about an errand of its own. */
struct errand_word {
    struct post_note note; /* first */
    uint32_t call;
    uint8_t home;
};

struct errand *errand_new(struct span command)
{
    struct errand *e = malloc(sizeof *e + command.len);
    if (e == NULL) {
        return NULL;
    }
    memset(e, 0, sizeof *e);
    e->note.kind = POST_ERRAND;
    list_init(&e->note.link);
    e->len = (uint32_t)command.len;
    if (command.len) {
        memcpy(e->command, command.ptr, command.len);
    }
    return e;
}

void errand_free(struct errand *e)
{
    if (e) {
        free(e->answer);
        free(e);
    }
}

/* -- the first loop ---------------------------------------------------------------------------*/

/* Off the table and out of the queue, the batch or the lost list. */
static void errand_leave(struct front *front, struct errand *e)
{
    *front_errand_slot(front, e->home, e->call) = NULL;
    if (e->state == ERRAND_QUEUED) {
        queue_remove(front, e);
    } else if (e->state == ERRAND_SENT) {
        hop_forget(front, e);
    } else if (e->state == ERRAND_LOST) {
        list_remove(&e->note.link);
    }
    e->state = ERRAND_HOME;
}

/* One piece with everything it points to; NULL: out of memory. */
static struct answer *errand_copy(const struct answer *answer)
{
    size_t size = sizeof *answer + answer->field.len + answer->message.len;
    for (size_t i = 0; i < answer->meta_count; i++) {
        size += strlen(answer->meta[i].key) + 1 + answer->meta[i].value.len;
    }
    struct answer *copy = malloc(size);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *answer;
    uint8_t *at = (uint8_t *)(copy + 1);
    struct span *spans[2 * VERDICT_META_MAX + 2] = {&copy->field, &copy->message};
    size_t count = 2;
    struct span keys[VERDICT_META_MAX];
    for (size_t i = 0; i < answer->meta_count; i++) {
        keys[i] = (struct span){(const uint8_t *)answer->meta[i].key,
                                strlen(answer->meta[i].key) + 1};
        spans[count++] = &keys[i];
        spans[count++] = &copy->meta[i].value;
    }
    for (size_t i = 0; i < count; i++) {
        if (spans[i]->len) {
            memcpy(at, spans[i]->ptr, spans[i]->len);
        }
        spans[i]->ptr = at;
        at += spans[i]->len;
    }
    for (size_t i = 0; i < answer->meta_count; i++) {
        copy->meta[i].key = (const char *)keys[i].ptr;
    }
    return copy;
}

#if defined(PLANT_LOST_REPLY) || defined(PLANT_LATE_ANSWER)
/* Never defined but by tests/e2e: the flood must catch it.  Some confirmations have no answer; a
 * look at a ticket stops everything for 5 s.  True: no answer. */
static bool errand_is_planted(const struct errand *e, const struct call *call)
{
#ifdef PLANT_LOST_REPLY
    return call && call->method->kind == COMMAND_CONFIRM_HOLD &&
           e->place.identity.bytes[0] % 3 == 0;
#else
    static unsigned count;
    if (call && call->method->kind == COMMAND_GET_TICKET && ++count == 40) {
        uv_sleep(5000);
    }
    return false;
#endif
}
#endif

/* The answer for a call that is here; the errand ends. */
static void errand_home(struct gateway *g, struct errand *e, const struct answer *answer)
{
    struct call *call = call_find(&g->calls, e->call);
#if defined(PLANT_LOST_REPLY) || defined(PLANT_LATE_ANSWER)
    if (errand_is_planted(e, call)) {
        errand_free(e);
        return;
    }
#endif
    if (call && call->is_away) {
        call->is_away = false;
        if (call->follower) {
            follow_home(call, answer, e->reason, e->detail);
            errand_free(e);
            return;
        }
        if (call->listener) {
            events_home(call, answer, e->reason, e->detail);
            errand_free(e);
            return;
        }
        if (call->exporter) {
            export_home(call, answer, e->reason, e->detail);
            errand_free(e);
            return;
        }
        if (answer) {
            answer_shard(call, answer);
        } else {
            answer_reason(call, e->reason, e->detail);
            if (e->reason == REASON_QUEUE_FULL) {
                brake_hold(call, e->hold_ms);
            }
        }
        if (call->deadline.place == 0) {
            call_linger(call); /* its deadline asked for this answer */
        }
    }
    errand_free(e);
}

void errand_answer(struct front *front, struct errand *e, const struct answer *answer)
{
    errand_leave(front, e);
    if (e->home == 0) {
        errand_home(front->loops[0], e, answer);
        return;
    }
    e->answer = errand_copy(answer);
    if (e->answer == NULL) {
        e->reason = REASON_RATE_LIMITED;
        e->detail = "this gateway is out of memory: the same request_id brings the answer";
    }
    post_put(&front->loops[0]->post, e->home, &e->note);
}

void errand_refuse(struct front *front, struct errand *e, enum reason reason, const char *detail)
{
    CHECK(reason != REASON_OK);
    errand_leave(front, e);
    e->reason = reason;
    e->detail = detail;
    if (e->home == 0) {
        errand_home(front->loops[0], e, NULL);
    } else {
        post_put(&front->loops[0]->post, e->home, &e->note);
    }
}

void errand_overdue(struct front *front, struct errand *e)
{
    enum reason reason = REASON_DEADLINE_EXCEEDED;
    if (e->state == ERRAND_LOST || (e->state == ERRAND_SENT && !e->has_own_deadline)) {
        reason = REASON_NO_LEADER;
    } else if (!e->has_own_deadline) {
        reason = REASON_STILL_QUEUED;
    }
    errand_refuse(front, e, reason, NULL);
}

void errand_drop_all(struct front *front, unsigned home)
{
    for (uint32_t i = 0; i < CALLS_MAX; i++) {
        struct errand *e = front->errands[home][i];
        if (e) {
            errand_leave(front, e);
            errand_free(e);
        }
    }
}

/* Arrived at the queue's loop. */
static void errand_arrive(struct front *front, struct errand *e)
{
    struct errand **slot = front_errand_slot(front, e->home, e->call);
    if (*slot) { /* its cancellation could not be sent */
        struct errand *older = *slot;
        CHECK(older->call != e->call);
        errand_leave(front, older);
        errand_free(older);
    }
    *slot = e;
    queue_push(front, e);
}

static struct errand *errand_find(struct front *front, unsigned home, uint32_t call)
{
    struct errand *e = *front_errand_slot(front, home, call);
    return e && e->call == call ? e : NULL;
}

static void errand_heed(struct front *front, const struct errand_word *word)
{
    struct errand *e = errand_find(front, word->home, word->call);
    if (e == NULL) {
        return; /* it is on its way home */
    }
    if (word->note.kind == POST_EXPIRE) {
        errand_overdue(front, e);
    } else {
        errand_leave(front, e);
        errand_free(e);
    }
}

/* -- the call's own loop ----------------------------------------------------------------------*/

static void errand_go(struct call *call, struct errand *e)
{
    struct gateway *g = call_gateway(call);
    call->is_away = true;
    e->place = queue_place(call);
    e->entry.class = queue_class(call->method->kind);
    e->trace = call->trace;
    e->has_trace = call->has_trace;
    e->call = call->number;
    e->home = (uint8_t)g->index;
#ifdef PLANT_LOST_REQUEST /* never defined but by tests/e2e: the flood must catch it */
    if (call->method->kind == COMMAND_CREATE_TICKET && e->place.identity.bytes[0] % 16 == 3) {
        errand_free(e);
        return;
    }
#endif
    if (g->index == 0) {
        errand_arrive(g->front, e);
    } else {
        post_put(&g->post, 0, &e->note);
    }
}

void errand_send(struct call *call)
{
    struct errand *e = call->errand;
    CHECK(e != NULL);
    call->errand = NULL;
    call_move(call, CALL_AWAY);
    e->deadline_ms = call->deadline.at_ms;
    e->has_own_deadline = call->has_own_deadline;
    errand_go(call, e);
}

void errand_ask(struct call *call, struct errand *e)
{
    CHECK(call->state == CALL_STREAM && !call->is_away);
    CHECK(call->follower || call->listener || call->exporter);
    uint64_t limit_ms = uv_now(&call_gateway(call)->loop) + DEADLINE_MS;
    bool is_last = call->has_own_deadline && call->deadline.at_ms <= limit_ms;
    e->deadline_ms = is_last ? call->deadline.at_ms : limit_ms;
    e->has_own_deadline = is_last;
    errand_go(call, e);
}

/* false: out of memory. */
static bool errand_say(struct call *call, enum post_kind kind)
{
    struct gateway *g = call_gateway(call);
    struct errand_word said = {.note.kind = kind, .call = call->number, .home = (uint8_t)g->index};
    if (g->index == 0) {
        errand_heed(g->front, &said);
        return true;
    }
    struct errand_word *word = malloc(sizeof *word);
    if (word == NULL) {
        return false;
    }
    *word = said;
    post_put(&g->post, 0, &word->note);
    return true;
}

void errand_cancel(struct call *call)
{
    CHECK(call->is_away);
    call->is_away = false;
    errand_say(call, POST_CANCEL);
}

void errand_expire(struct call *call)
{
    CHECK(call->is_away);
    if (!errand_say(call, POST_EXPIRE)) {
        answer_reason(call, REASON_DEADLINE_EXCEEDED, NULL);
        call_linger(call);
    }
}

void errand_post(struct gateway *g, struct post_note *note)
{
    if (note->kind == POST_CANCEL || note->kind == POST_EXPIRE) {
        struct errand_word *word = CONTAINER_OF(note, struct errand_word, note);
        errand_heed(g->front, word);
        free(word);
        return;
    }
    CHECK(note->kind == POST_ERRAND);
    struct errand *e = CONTAINER_OF(note, struct errand, note);
    if (g->index == 0) {
        errand_arrive(g->front, e);
    } else {
        errand_home(g, e, e->answer);
    }
}
