/* SPDX-License-Identifier: MIT */
/* Events: what a client asks about them, and how they are told.
 *
 *   ListEventsRequest -> COMMAND_LIST_EVENTS (or _WATCH_): pool or "-", perhaps a release, page
 *   RESULT_EVENTS -> ListEventsResponse, every name made here out of the parts that the shard has
 *
 * Pure: the same verdict gives the same bytes.  Owns nothing; a fault names its field, an answer
 * fails by -ENOMEM over the arena's cap. */
#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec_parts.h"

#define ID_MAX   24 /* "18446744073709551615-65535" in hex is shorter */
#define NAME_MAX_BYTES 256

/* -- in ---------------------------------------------------------------------------------------- */

static int event_parent(struct codec_ask *ask, const char *text)
{
    static const char detail[] = "pools/-, pools/POOL or pools/POOL/releases/RELEASE";
    struct command *c = ask->command;
    struct release_words *words;
    struct span id;
    if (strcmp(text, "pools/-") == 0) {
        c->pool = span_of(text + 6);
        return 0;
    }
    if (codec_name_pool(span_of(text), &c->pool)) {
        return 0;
    }
    if (!codec_name_child(span_of(text), "/releases/", &c->pool, &id) || !codec_pool_id_ok(id)) {
        return codec_fault(ask, "parent", detail);
    }
    words = arena_alloc(ask->arena, sizeof *words);
    if (words == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    *words = (struct release_words){.id = id};
    c->release = words;
    return 0;
}

int codec_request_list_events(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__ListEventsRequest *m;
    int r = codec_unpack(&fairslot__v1__list_events_request__descriptor, message, ask->arena, &m);
    if (r == 0) {
        r = event_parent(ask, m->parent);
    }
    if (r) {
        return r;
    }
    int32_t size = m->page_size > EVENTS_PAGE_MAX ? EVENTS_PAGE_MAX : m->page_size;
    return codec_ask_page(ask, size, m->page_token);
}

/* -- out --------------------------------------------------------------------------------------- */

static const char *event_kind_text(enum event_kind kind)
{
    switch (kind) {
#define EVENT_KIND_TEXT(name, number) \
    case EVENT_##name:                \
        return #name;
        EVENT_KINDS(EVENT_KIND_TEXT)
#undef EVENT_KIND_TEXT
    }
    return "";
}

/* "pools/P/events/N-M", and for what follows from a release's end its ticket besides. */
static char *event_name(struct arena *arena, const struct event_view *v)
{
    char id[ID_MAX + 34];
    int n = snprintf(id, sizeof id, "%llx-%x", (unsigned long long)v->at, v->nth);
    bool is_derived = v->at_ticket;
    if (is_derived) {
        id[n++] = '-';
    }
    for (size_t i = 0; is_derived && i < sizeof v->ticket; i++, n += 2) {
        snprintf(id + n, 3, "%02x", v->ticket[i]);
    }
    return codec_name_make(arena, v->pool, "/events/", (struct span){(uint8_t *)id, (size_t)n});
}

static char *event_ticket(struct arena *arena, const struct event_view *v)
{
    char part[NAME_MAX_BYTES];
    if (v->kind < EVENT_OF_TICKET) {
        return codec_text(arena, (struct span){0});
    }
    int n = snprintf(part, sizeof part, "/releases/%.*s/tickets/", (int)v->release.len,
                     (const char *)v->release.ptr);
    CHECK(n > 0 && n + 33 < NAME_MAX_BYTES);
    for (size_t i = 0; i < sizeof v->ticket; i++, n += 2) {
        snprintf(part + n, 3, "%02x", v->ticket[i]);
    }
    return codec_name_make(arena, v->pool, part, (struct span){0});
}

static char *event_resource(struct arena *arena, const struct event_view *v, char *ticket)
{
    if (v->kind < EVENT_OF_TICKET) {
        return codec_name_make(arena, v->pool, "/releases/", v->release);
    }
    char letter = event_is_of_reservation(v->kind) ? 'r' : 'h';
    return v->kind < EVENT_OF_HOLD ? ticket
                                   : codec_name_owned(arena, v->pool, letter, v->owner, v->number);
}

static bool event_message(struct arena *arena, const struct event_view *v, Fairslot__V1__Event *m)
{
    fairslot__v1__event__init(m);
    m->name = event_name(arena, v);
    m->kind = codec_text(arena, span_of(event_kind_text(v->kind)));
    m->ticket = event_ticket(arena, v);
    m->resource = m->ticket ? event_resource(arena, v, m->ticket) : NULL;
    m->event_time = codec_timestamp(arena, v->time_us);
    m->act_by_time = v->act_by_us ? codec_timestamp(arena, v->act_by_us) : NULL;
    m->reason = codec_text(arena, span_of(v->outcome));
    m->log_index = v->log_index;
    return m->name && m->kind && m->resource && m->event_time && m->reason &&
           (m->act_by_time || v->act_by_us == 0);
}

int codec_answer_events(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    Fairslot__V1__ListEventsResponse m = FAIRSLOT__V1__LIST_EVENTS_RESPONSE__INIT;
    Fairslot__V1__Event *events = arena_alloc(arena, (v->events_count + 1) * sizeof *events);
    m.events = arena_alloc(arena, (v->events_count + 1) * sizeof *m.events);
    m.next_page_token = codec_text(arena, v->next_page_token);
    m.resume_token = codec_text(arena, v->resume_token);
    bool ok = events && m.events && m.next_page_token && m.resume_token;
    for (; ok && m.n_events < v->events_count; m.n_events++) {
        ok = event_message(arena, &v->events[m.n_events], &events[m.n_events]);
        m.events[m.n_events] = &events[m.n_events];
    }
    return ok ? err_trace(codec_pack(&m.base, arena, ret_message)) : err_origin(-ENOMEM);
}
