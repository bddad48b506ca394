/* SPDX-License-Identifier: MIT */
/* Listeners to events on one loop.
 *
 *   begin -> ListEvents in the listener's own name, through the fair queue, behind his last token
 *         -> events, or nothing said for EVENTS_SAY_MS? a part, with the token that comes after it
 *         -> more of them? asks again once he has read
 *   news  -> everybody asks, EVENTS_GAP_MS after he asked last: they say only that something came
 *   tick  -> asks for whoever is due; without news each EVENTS_EVERY_MS
 *
 * Owns: the listeners, each with what it takes to ask again and the token of what was told last.
 * Happy path: a listener is behind by one answer; a restart of shard or gateway is another question
 * behind the same token, since a place among the events is a place in the log.
 * Fails: the refusals of ListEvents end the stream, as does a shard that is away.  A full queue in
 * the middle of a stream only delays the next question.
 * Bounded: EVENT_STREAMS_MAX a loop, EVENT_STREAMS_PER_IDENTITY of one identity; one who does not
 * read is asked for no more and ends after EVENTS_SLOW_MS with READER_TOO_SLOW. */
#include "gateway/events.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/metrics.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/errand.h"
#include "gateway/inside.h"
#include "gateway/news.h"
#include "gateway/pb.h"
#include "proto/codec.h"
#include "wire/wire.h"

#define EVENTS_TICK_MS  20
#define EVENTS_GAP_MS   50    /* between two questions of one listener for news */
#define EVENTS_EVERY_MS 1000  /* the same without news */
#define EVENTS_SAY_MS   15000 /* something is said at least so often */
#define EVENTS_SLOW_MS  30000

/* Of ListEventsResponse. */
enum { EVENTS_FIELD = 1, NEXT_TOKEN_FIELD = 2, RESUME_TOKEN_FIELD = 3 };

struct listener {
    struct list link;     /* in the loop's listeners */
    struct call *call;    /* whose stream this is */
    uint64_t asked_ms;    /* when it asked last */
    uint64_t told_ms;     /* when something was said last; 0: never */
    uint64_t give_up_ms;  /* of the question that is out: when it is called back */
    uint64_t read_ms;     /* when nothing waited on the stream, or it began to wait */
    bool is_stale;        /* news came since it asked */
    bool has_more;        /* the last page was not the last */
    struct command command; /* its spans: the three below */
    struct release_words words;
    uint8_t pool[POOL_ID_MAX];
    uint8_t release[RELEASE_ID_MAX];
    uint8_t token[PAGE_TOKEN_MAX];
};

static struct list *events_all(struct gateway *g)
{
    return &g->events.listeners;
}

/* -- asking ------------------------------------------------------------------------------------ */

/* May end the call, and the listener with it. */
static void events_ask(struct gateway *g, struct listener *w)
{
    struct arena arena;
    struct span packed;
    struct errand *e = NULL;
    arena_init(&arena, 16 * 1024);
    if (codec_command_pack(&w->command, &arena, &packed) == 0) {
        e = errand_new(packed);
    }
    arena_fini(&arena);
    w->asked_ms = uv_now(&g->loop);
    w->give_up_ms = w->asked_ms + DEADLINE_MS;
    w->is_stale = w->has_more = false;
    if (e) {
        errand_ask(w->call, e);
    } else if (w->told_ms == 0) {
        answer_reason(w->call, REASON_GATEWAY_FULL, NULL);
    }
}

/* The end, for a reason; one whose time is over has a last time to be read. */
static void events_refuse(struct call *call, enum reason reason, const char *detail)
{
    bool is_over = call->has_own_deadline && call->deadline.place == 0;
    answer_reason(call, is_over ? REASON_DEADLINE_EXCEEDED : reason, detail);
    if (is_over) {
        call_linger(call);
    }
}

/* What a page says besides its events. */
struct events_page {
    bool has_events;
    struct span next, resume; /* tokens, borrowed */
};

static struct events_page events_page_of(struct span message)
{
    struct reader r = reader_of(message.ptr, message.len);
    struct events_page page = {false, {0}, {0}};
    struct pb_field f;
    while (pb_next(&r, &f)) {
        page.has_events |= f.number == EVENTS_FIELD;
        if (f.wire == PB_BYTES && f.number == NEXT_TOKEN_FIELD) {
            page.next = f.bytes;
        } else if (f.wire == PB_BYTES && f.number == RESUME_TOKEN_FIELD) {
            page.resume = f.bytes;
        }
    }
    return page;
}

/* In a stream there is always a next page: the message goes out with both tokens. */
static void events_say(struct call *call, struct span message, const struct events_page *page)
{
    uint8_t *bytes = NULL;
    size_t size = message.len + page->resume.len + 2;
    if (page->next.len == 0) {
        bytes = malloc(size);
        if (bytes == NULL) {
            answer_reason(call, REASON_GATEWAY_FULL, NULL);
            return;
        }
        struct scribe w = scribe_of(bytes, size);
        scribe_bytes(&w, message.ptr, message.len);
        scribe_u8(&w, NEXT_TOKEN_FIELD << 3 | PB_BYTES);
        scribe_u8(&w, (uint8_t)page->resume.len);
        scribe_bytes(&w, page->resume.ptr, page->resume.len);
        CHECK(!w.bad);
        message = (struct span){bytes, size};
    }
    answer_part(call, message); /* may end the call, and the listener with it */
    free(bytes);
}

static void events_tell(struct call *call, struct span message)
{
    struct listener *w = call->listener;
    uint64_t now = uv_now(&call_gateway(call)->loop);
    struct events_page page = events_page_of(message);
    if (page.resume.len == 0 || page.resume.len >= PAGE_TOKEN_MAX) {
        answer_reason(call, REASON_INTERNAL, NULL);
        return;
    }
    memcpy(w->token, page.resume.ptr, page.resume.len);
    w->command.page_token = (struct span){w->token, page.resume.len};
    w->has_more = page.next.len > 0;
    if (!page.has_events && w->told_ms && now - w->told_ms < EVENTS_SAY_MS) {
        return;
    }
    w->told_ms = w->read_ms = now;
    events_say(call, message, &page);
}

void events_home(struct call *call, const struct answer *answer, enum reason reason,
                 const char *detail)
{
    struct listener *w = call->listener;
    bool is_over = call->has_own_deadline && call->deadline.place == 0;
    bool is_passing = w->told_ms && !is_over && (reason == REASON_QUEUE_FULL ||
                                                 reason == REASON_RATE_LIMITED);
    if (is_over || (answer == NULL && !is_passing)) {
        events_refuse(call, answer ? REASON_DEADLINE_EXCEEDED : reason, detail);
    } else if (answer && answer->reason != REASON_OK) {
        answer_shard(call, answer);
    } else if (answer) {
        events_tell(call, answer->message);
    }
}

/* -- the clock --------------------------------------------------------------------------------- */

/* Reads what he was told, or not yet for too long?  true: he may ask. */
static bool events_reads(struct gateway *g, struct listener *w)
{
    uint64_t now = uv_now(&g->loop);
    if (wire_call_queued_bytes(w->call->wire) == 0) {
        w->read_ms = now;
        return true;
    }
    if (now - w->read_ms > EVENTS_SLOW_MS) {
        struct call *call = w->call;
        answer_reason(call, REASON_READER_TOO_SLOW, NULL);
        call_linger(call);
    }
    return false;
}

static void events_serve(struct gateway *g, struct listener *w)
{
    uint64_t now = uv_now(&g->loop);
    if (w->call->is_away) {
        if (now >= w->give_up_ms) {
            w->give_up_ms = now + DEADLINE_MS;
            errand_expire(w->call);
        }
        return;
    }
    uint64_t pause_ms = w->has_more                      ? 0
                        : w->is_stale                    ? EVENTS_GAP_MS
                        : news_is_live(g->front->news) ? EVENTS_SAY_MS
                                                         : EVENTS_EVERY_MS;
    if (events_reads(g, w) && now - w->asked_ms >= pause_ms) {
        events_ask(g, w);
    }
}

static void events_tick(uv_timer_t *timer)
{
    struct gateway *g = timer->data;
    struct list *all = events_all(g), *next;
    for (struct list *l = all->next; l != all; l = next) {
        next = l->next; /* one that ends leaves the list */
        events_serve(g, CONTAINER_OF(l, struct listener, link));
    }
    if (list_empty(all)) {
        uv_timer_stop(&g->events.timer);
        g->events.is_timing = false;
    }
}

void events_news(struct gateway *g)
{
    struct list *all = events_all(g);
    for (struct list *l = all->next; l != all; l = l->next) {
        CONTAINER_OF(l, struct listener, link)->is_stale = true;
    }
}

void events_open(struct gateway *g)
{
    list_init(events_all(g));
    uv_timer_init(&g->loop, &g->events.timer);
    g->events.timer.data = g;
}

void events_close(struct gateway *g)
{
    uv_handle_t *timer = (uv_handle_t *)&g->events.timer;
    if (timer->data && !uv_is_closing(timer)) {
        CHECK(list_empty(events_all(g)));
        uv_close(timer, NULL);
    }
}

void events_end_all(struct gateway *g)
{
    while (!list_empty(events_all(g))) {
        struct list *first = events_all(g)->next;
        answer_reason(CONTAINER_OF(first, struct listener, link)->call, REASON_SHUTTING_DOWN,
                      NULL);
    }
}

/* -- beginning and end ------------------------------------------------------------------------- */

/* NULL, or why there is no room for one more of this identity. */
static const char *events_is_full(struct gateway *g, const struct identity *identity)
{
    struct list *all = events_all(g);
    size_t mine = 0;
    if (g->events.count >= EVENT_STREAMS_MAX) {
        return "as many listen to events as this gateway serves: use ListEvents";
    }
    for (struct list *l = all->next; l != all; l = l->next) {
        const struct listener *w = CONTAINER_OF(l, struct listener, link);
        mine += memcmp(&w->call->identity, identity, sizeof *identity) == 0;
    }
    return mine >= EVENT_STREAMS_PER_IDENTITY ? "this identity listens on 8 streams already"
                                              : NULL;
}

static struct span events_keep(uint8_t *room, struct span bytes)
{
    if (bytes.len) {
        memcpy(room, bytes.ptr, bytes.len);
    }
    return (struct span){room, bytes.len};
}

void events_begin(struct call *call, struct command *command)
{
    struct gateway *g = call_gateway(call);
    const char *detail = events_is_full(g, &call->identity);
    if (detail) {
        answer_reason(call, REASON_RATE_LIMITED, detail);
        return;
    }
    struct listener *w = guard_take(call, sizeof *w) ? calloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        answer_reason(call, REASON_GATEWAY_FULL, NULL);
        return;
    }
    command->kind = COMMAND_LIST_EVENTS;
    w->command = *command;
    w->command.pool = events_keep(w->pool, command->pool);
    w->command.page_token = events_keep(w->token, command->page_token);
    if (command->release) {
        w->words.id = events_keep(w->release, command->release->id);
        w->command.release = &w->words;
    }
    if (!call->has_own_deadline) {
        deadline_disarm(&g->deadlines, &call->deadline);
    }
    call_move(call, CALL_STREAM);
    w->call = call;
    w->read_ms = uv_now(&g->loop);
    call->listener = w;
    list_init(&w->link);
    list_push(events_all(g), &w->link);
    g->events.count++;
    news_begin(g->front->news);
    METRIC_ADD(event_streams, 1);
    if (!g->events.is_timing) {
        g->events.is_timing = true;
        uv_timer_start(&g->events.timer, events_tick, EVENTS_TICK_MS, EVENTS_TICK_MS);
    }
    events_ask(g, w);
}

void events_leave(struct call *call)
{
    struct listener *w = call->listener;
    struct gateway *g = call_gateway(call);
    call->listener = NULL;
    METRIC_ADD(event_streams, -1);
    list_remove(&w->link);
    CHECK(g->events.count > 0);
    g->events.count--;
    news_end(g->front->news);
    free(w);
}
