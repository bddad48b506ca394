/* SPDX-License-Identifier: MIT */
/* Events, page by page.
 *
 *   own interval (client) --+-- the earlier one --> release filter --> whose --> a view
 *   everybody's (0)       --+       its release has ended --> a TICKET_LOST for each ticket left
 *
 * That a release has ended says of each ticket of it that got nothing that it lost: so ending a
 * release of a million tickets writes one event, and whoever reads it is told of each of his.
 * The place where a list goes on is the last record looked at, and while a release's tickets are
 * gone through the last ticket too.  With it goes a time: what was told up to there is whole as of
 * then.  When that is so long ago that the sweep may have been there, EVENTS_GONE.
 * A person sees his own alone: the ticket of each event is compared.
 * Bounded: EVENTS_LOOK records a page; a page may be short, even empty, and not the last.
 * Owns nothing; puts nothing. */
#include <errno.h>

#include "ledger/ledger_event.h"

#define EVENTS_LOOK 256

struct event_list {
    uint64_t at;          /* the last record looked at */
    uint16_t nth;
    bool is_inside;       /* going through the tickets of that record's release */
    struct ticket_id ticket; /* the last of them */
    int64_t time_us;
    struct span pool;     /* filter; empty: all */
    uint64_t only;        /* filter: a release's space; 0: all */
    size_t looked;
    struct event_view *views;
    size_t max;
    bool has_release;     /* what follows holds */
    struct ledger_release release; /* of the event at hand */
    struct span release_pool, release_id; /* in the arena */
};

/* -- tokens ------------------------------------------------------------------------------------ */

/* 0; a reason; < 0. */
static int event_resume(struct ledger_step *s, struct event_list *list)
{
    struct span token;
    int r = ledger_page_read(s, &token);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    struct reader reader = reader_of(token.ptr, token.len);
    list->time_us = (int64_t)reader_u64(&reader);
    list->at = reader_u64(&reader);
    list->nth = reader_u16(&reader);
    list->is_inside = reader_left(&reader) > 0;
    if (list->is_inside) {
        reader_bytes(&reader, list->ticket.bytes, sizeof list->ticket.bytes);
    }
    if (reader.bad || reader_left(&reader) > 0) {
        return REASON_PAGE_TOKEN_INVALID;
    }
    return list->time_us <= s->now_us - EVENTS_KEPT_US ? REASON_EVENTS_GONE : 0;
}

static int event_tokens(struct ledger_step *s, const struct event_list *list, bool is_last)
{
    uint8_t bytes[34];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u64(&w, (uint64_t)(is_last ? s->now_us : list->time_us));
    scribe_u64(&w, list->at);
    scribe_u16(&w, list->nth);
    if (list->is_inside) {
        scribe_bytes(&w, list->ticket.bytes, sizeof list->ticket.bytes);
    }
    int r = ledger_page_write(s, (struct span){bytes, scribe_len(&w)});
    s->v->resume_token = s->v->next_page_token;
    if (is_last) {
        s->v->next_page_token.len = 0;
    }
    return err_trace(r);
}

/* -- one event --------------------------------------------------------------------------------- */

/* The event's release, in list->release; LEDGER_NONE: it is gone, or not asked for. */
static int event_release(struct ledger_step *s, struct event_list *list, uint64_t space)
{
    if (list->only && list->only != space) {
        return LEDGER_NONE;
    }
    if (!list->has_release || list->release.space != space) {
        list->has_release = false;
        int r = ledger_release_load(s->l, space, &list->release);
        r = r ? r : ledger_keep(s->arena, ledger_release_pool(&list->release),
                                &list->release_pool);
        r = r ? r : ledger_keep(s->arena, ledger_release_id(&list->release), &list->release_id);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        list->has_release = true;
    }
    return list->pool.len && !span_equal(list->pool, list->release_pool) ? LEDGER_NONE : 0;
}

/* May the caller see it?  0, LEDGER_NONE, < 0. */
static int event_is_mine(struct ledger_step *s, const struct ledger_event *e)
{
    struct ledger_ticket ticket;
    if (e->kind < EVENT_OF_TICKET || s->c->is_client) {
        return 0;
    }
    int r = ledger_ticket_load(s, e->release, &e->ticket, &ticket);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    return memcmp(&ticket.identity, &s->c->identity, sizeof ticket.identity) ? LEDGER_NONE : 0;
}

/* There is room: whoever calls has looked. */
static void event_push(struct ledger_step *s, struct event_list *list,
                       const struct ledger_event *e, const char *outcome)
{
    CHECK(s->v->events_count < list->max);
    struct event_view *view = &list->views[s->v->events_count++];
    *view = (struct event_view){.kind = e->kind,
                                .pool = list->release_pool,
                                .release = list->release_id,
                                .owner = e->owner,
                                .number = e->number,
                                .time_us = e->time_us,
                                .act_by_us = e->act_by_us,
                                .outcome = outcome,
                                .at = list->at,
                                .nth = list->nth,
                                .at_ticket = list->is_inside,
                                .log_index = list->at >> LEDGER_ITEM_BITS};
    memcpy(view->ticket, e->ticket.bytes, sizeof view->ticket);
}

static bool event_is_full(const struct ledger_step *s, const struct event_list *list)
{
    return s->v->events_count == list->max || list->looked >= EVENTS_LOOK;
}

/* -- the tickets of a release that has ended -------------------------------------------------- */

/* What the end means for this ticket: NULL: nothing. */
static const char *event_outcome(const struct ledger_release *r, const struct ledger_ticket *t)
{
    bool is_waiting = t->state == TICKET_ENTERED || t->state == TICKET_STANDBY;
    if (t->state == TICKET_LOST) {
        return "RELEASE_CLOSED"; /* written when its key was burned */
    }
    if (t->hold || !(is_waiting || t->state == TICKET_TURN)) {
        return NULL;
    }
    return r->phase == PHASE_CANCELLED    ? "RELEASE_CANCELLED"
           : t->state == TICKET_STANDBY ? "PREFERENCES_TAKEN"
                                          : "RELEASE_CLOSED";
}

static void event_of_lost(struct ledger_step *s, struct event_list *list,
                          const struct ledger_ticket *t)
{
    const char *outcome = event_outcome(&list->release, t);
    bool is_mine = t->client && t->client == s->c->client;
    if (outcome && is_mine) {
        struct ledger_event e = {.kind = t->state == TICKET_TURN ? EVENT_TURN_EXPIRED
                                                                 : EVENT_TICKET_LOST,
                                 .time_us = list->time_us,
                                 .ticket = t->id};
        event_push(s, list, &e, outcome);
    }
}

/* The ticket behind the last one: 0, LEDGER_NONE, < 0. */
static int event_next_ticket(struct ledger_step *s, struct event_list *list,
                             struct ledger_ticket *ret_ticket)
{
    struct ledger_key from = ledger_release_key_ticket(list->release.space, &list->ticket);
    struct ledger_key_parts parts;
    struct span at = ledger_key_span(&from), key, value;
    do {
        int r = ledger_next(s->l, at, true, &key, &value);
        if (r) {
            return r == LEDGER_NONE ? r : err_trace(r);
        }
        if (!ledger_key_parse(key, &parts)) {
            return err_origin(-EBADMSG);
        }
        if (parts.at.space != list->release.space) {
            return LEDGER_NONE;
        }
        at = key;
    } while (parts.tag != 'T'); /* at position 0 stand the release's own records too */
    if (parts.suffix.len != sizeof list->ticket.bytes) {
        return err_origin(-EBADMSG);
    }
    memcpy(list->ticket.bytes, parts.suffix.ptr, sizeof list->ticket.bytes);
    return err_trace(ledger_read_ticket(value, &list->ticket, ret_ticket));
}

/* A person has one ticket: no walk. */
static int event_own_ticket(struct ledger_step *s, struct event_list *list)
{
    struct ledger_ticket ticket;
    struct ticket_id id;
    ledger_ticket_id(s->l, &list->release, &s->c->identity, &id);
    int r = ledger_ticket_load(s, list->release.space, &id, &ticket);
    if (r == 0) {
        event_of_lost(s, list, &ticket);
    }
    list->is_inside = false;
    return r == LEDGER_NONE ? 0 : err_trace(r);
}

/* Goes on through the tickets; is_inside is false when it has come to their end. */
static int event_inside(struct ledger_step *s, struct event_list *list)
{
    while (list->is_inside && !event_is_full(s, list)) {
        struct ledger_ticket ticket;
        if (!s->c->is_client) {
            return err_trace(event_own_ticket(s, list));
        }
        list->looked++;
        int r = event_next_ticket(s, list, &ticket);
        if (r == LEDGER_NONE) {
            list->is_inside = false;
        } else if (r == 0) {
            event_of_lost(s, list, &ticket);
        } else {
            return err_trace(r);
        }
    }
    return 0;
}

/* -- the walk ---------------------------------------------------------------------------------- */

struct event_place {
    uint64_t at;
    uint16_t nth;
    struct ledger_event event;
};

/* The event of a client behind the list's place: 0, LEDGER_NONE, < 0. */
static int event_next(struct ledger_step *s, const struct event_list *list, uint64_t client,
                      struct event_place *out)
{
    struct ledger_key from = ledger_event_key(client, list->at, list->nth);
    struct ledger_key_parts parts;
    struct span key, value;
    int r = ledger_next(s->l, ledger_key_span(&from), true, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (!ledger_key_parse(key, &parts)) {
        return err_origin(-EBADMSG);
    }
    if (parts.at.space != LEDGER_SPACE_EVENTS || parts.at.position != client) {
        return LEDGER_NONE;
    }
    struct reader reader = reader_of(parts.suffix.ptr, parts.suffix.len);
    out->at = reader_u64(&reader);
    out->nth = reader_u16(&reader);
    if (reader.bad || reader_left(&reader) > 0) {
        return err_origin(-EBADMSG);
    }
    return err_trace(ledger_event_read(value, &out->event));
}

/* The earlier of the client's own next and everybody's: 0, LEDGER_NONE, < 0. */
static int event_earlier(struct ledger_step *s, const struct event_list *list,
                         struct event_place *out)
{
    struct event_place own;
    int all = event_next(s, list, 0, out);
    int r = all < 0 || s->c->client == 0 ? LEDGER_NONE : event_next(s, list, s->c->client, &own);
    if (all < 0 || r < 0) {
        return err_trace(all < 0 ? all : r);
    }
    if (r == 0 && (all == LEDGER_NONE || own.at < out->at ||
                   (own.at == out->at && own.nth < out->nth))) {
        *out = own;
        return 0;
    }
    return all;
}

static int event_take(struct ledger_step *s, struct event_list *list,
                      const struct event_place *place)
{
    const struct ledger_event *e = &place->event;
    list->at = place->at;
    list->nth = place->nth;
    list->time_us = e->time_us;
    if (e->time_us <= s->now_us - EVENTS_KEPT_US) {
        return 0; /* the sweep was not here yet */
    }
    int r = event_release(s, list, e->release);
    r = r ? r : event_is_mine(s, e);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    event_push(s, list, e, "");
    if (e->kind == EVENT_RELEASE_CLOSED || e->kind == EVENT_RELEASE_CANCELLED) {
        list->is_inside = true;
        list->ticket = (struct ticket_id){{0}};
        return err_trace(event_inside(s, list));
    }
    return 0;
}

/* The place is inside a release: which one its event says. */
static int event_return(struct ledger_step *s, struct event_list *list)
{
    struct ledger_key key = ledger_event_key(0, list->at, list->nth);
    struct ledger_event e;
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    r = r ? r : ledger_event_read(value, &e);
    r = r ? r : event_release(s, list, e.release);
    if (r) {
        list->is_inside = false;
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    return err_trace(event_inside(s, list));
}

/* What the command asks for: REASON_OK, a reason, < 0. */
static int event_filter(struct ledger_step *s, struct event_list *list)
{
    const struct ledger_pool *pool;
    struct ledger_release release;
    if (s->c->pool.len == 1 && s->c->pool.ptr[0] == '-') {
        return REASON_OK;
    }
    list->pool = s->c->pool;
    int r = ledger_pool_find(s->l, s->c->pool, &pool);
    if (r) {
        return r == LEDGER_NONE ? REASON_POOL_UNKNOWN : err_trace(r);
    }
    r = s->c->release ? ledger_release_find(s, &release) : LEDGER_NONE;
    if (r < 0 || s->c->release == NULL) {
        return r < 0 ? err_trace(r) : REASON_OK;
    }
    list->only = r == 0 ? release.space : 0;
    return r == 0 ? REASON_OK : REASON_RELEASE_UNKNOWN;
}

int ledger_event_list(struct ledger_step *s)
{
    struct event_list list = {.time_us = s->now_us};
    struct event_place place;
    int r = event_filter(s, &list);
    r = r ? r : event_resume(s, &list);
    if (r) {
        return r < 0 ? err_trace(r) : ledger_refuse(s, (enum reason)r);
    }
    list.max = s->c->page_size < EVENTS_PAGE_MAX ? s->c->page_size : EVENTS_PAGE_MAX;
    list.views = arena_alloc(s->arena, list.max * sizeof *list.views);
    if (list.views == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->result = RESULT_EVENTS;
    s->v->events = list.views;
    r = list.is_inside ? event_return(s, &list) : 0;
    while (r == 0 && !event_is_full(s, &list)) {
        list.looked++;
        r = event_earlier(s, &list, &place);
        r = r ? r : event_take(s, &list, &place);
    }
    return r < 0 ? err_trace(r) : err_trace(event_tokens(s, &list, r == LEDGER_NONE));
}
